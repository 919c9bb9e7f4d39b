//! `service.name`.

use proptest::prelude::*;

use super::snapshot;
use crate::process::kubernetes::Pod;
use crate::process::read::arguments;
use crate::process::service::{NamedBy, service_name};
use crate::process::{Snapshot, interpreter};

#[test]
fn interpreters_are_named_after_what_they_run() {
    for (exe, line, expected) in [
        (
            "/usr/bin/python3.12",
            "python3 -u -X dev /srv/shop/app.py --port 1",
            "app",
        ),
        (
            "/usr/bin/python3",
            "python3 -m http.server 80",
            "http.server",
        ),
        ("/usr/bin/python3", "python3 -muvicorn shop:app", "uvicorn"),
        (
            "/usr/bin/python3",
            "python3 /usr/bin/gunicorn shop:app",
            "gunicorn",
        ),
        ("/usr/bin/python3", "python3 /srv/shop/__main__.py", "shop"),
        ("/usr/bin/python3", "python3 -c print()", "python3"),
        ("/usr/bin/python3", "python3", "python3"),
        (
            "/usr/bin/node",
            "node --require ./otel.js --max-old-space-size=9 server.mjs",
            "server",
        ),
        ("/usr/bin/node", "node /srv/cart/index.js", "cart"),
        ("/usr/bin/node", "node ./index.js", "index"),
        (
            "/usr/lib/jvm/bin/java",
            "java -Xmx1g -cp a.jar:b.jar com.shop.Main x",
            "com.shop.Main",
        ),
        (
            "/usr/bin/java",
            "java -javaagent:x.jar -jar /srv/shop-1.4.2-SNAPSHOT.jar",
            "shop",
        ),
        (
            "/usr/bin/java",
            "java -p mods -m shop/com.shop.Main",
            "com.shop.Main",
        ),
        ("/usr/bin/ruby3.1", "ruby -I lib bin/rails server", "rails"),
        (
            "/usr/bin/php8.2",
            "php -S 0.0.0.0:80 -t public router.php",
            "router",
        ),
        ("/usr/bin/php", "php artisan serve", "artisan"),
        ("/usr/bin/perl", "perl -w app.pl", "app"),
        ("/usr/bin/dotnet", "dotnet exec Shop.Api.dll", "Shop.Api"),
        ("/usr/bin/deno", "deno run --allow-net main.ts", "main"),
        ("/root/.bun/bin/bun", "bun run server.ts", "server"),
        (
            "/usr/sbin/nginx",
            "nginx: master process /usr/sbin/nginx",
            "nginx",
        ),
        ("/srv/shop", "/srv/shop -m x", "shop"),
    ] {
        let (name, _) = service_name(&snapshot(exe, line), &[]);
        assert_eq!(name, expected, "{line}");
    }
}

#[test]
fn the_strongest_source_names_the_service() {
    let mut process = snapshot("/srv/shop", "shop");
    let name = |process: &Snapshot, own: &[(String, String)]| service_name(process, own);
    assert_eq!(name(&process, &[]), ("shop".into(), NamedBy::Executable));
    process.cgroup.unit = Some("runner".into());
    assert_eq!(
        name(&process, &[]).1,
        NamedBy::Executable,
        "not the unit's own program"
    );
    process.unit_main = true;
    assert_eq!(name(&process, &[]), ("runner".into(), NamedBy::Unit));
    process.container_name = Some("web-1".into());
    assert_eq!(name(&process, &[]), ("web-1".into(), NamedBy::Container));
    process.pod = Some(Pod {
        name: Some("cart-0".into()),
        ..Pod::default()
    });
    assert_eq!(name(&process, &[]), ("cart".into(), NamedBy::Kubernetes));
    let own = [("service.name".to_owned(), "own".to_owned())];
    assert_eq!(
        name(&process, &own),
        ("own".into(), NamedBy::ResourceAttributes)
    );
    process
        .env
        .insert("OTEL_SERVICE_NAME".into(), "said".into());
    assert_eq!(name(&process, &own), ("said".into(), NamedBy::ServiceName));
    process.env.insert("OTEL_SERVICE_NAME".into(), " ".into());
    assert_eq!(
        name(&process, &own).1,
        NamedBy::ResourceAttributes,
        "empty is not set"
    );
}

#[test]
fn names_from_hostile_programs_are_bounded_and_printable() {
    let mut process = snapshot("/srv/shop", "shop");
    let evil = format!("\x1b[2J{}\n", "ä".repeat(1000));
    process.env.insert("OTEL_SERVICE_NAME".into(), evil);
    let (name, _) = service_name(&process, &[]);
    assert!(name.len() <= 255 && !name.chars().any(char::is_control));
    process.env.clear();
    process.exe = String::new();
    assert_eq!(service_name(&process, &[]).0, "unknown_service:7");
}

proptest! {
    #[test]
    fn no_command_line_makes_the_parser_panic(line: Vec<u8>, exe in "(python3|node|java|ruby|php|perl|dotnet|deno)") {
        let args = arguments(&line);
        let interpreter = interpreter::interpreter(&exe).expect("known");
        if let Some(program) = interpreter::program(interpreter, &args) {
            prop_assert!(!program.is_empty());
            let _ = interpreter::short(interpreter, program);
        }
    }

    #[test]
    fn every_argument_is_found_between_nuls(args in prop::collection::vec("[a-z]{1,8}", 1..8)) {
        let line = args.iter().flat_map(|arg| arg.bytes().chain([0])).collect::<Vec<_>>();
        prop_assert_eq!(arguments(&line), args);
    }
}
