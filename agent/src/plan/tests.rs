use std::collections::BTreeSet;
use std::fs::File;

use threadline_common::map::GoLayout;

use super::*;
use crate::golang::{GoBinary, Linkage, Probe, Site, SiteKind};

fn site(probe: Probe, symbol: &str, address: u64, kind: SiteKind) -> Site {
    Site {
        probe,
        symbol: symbol.to_owned(),
        address,
        file_offset: address - 0x40_0000,
        kind,
    }
}

fn server() -> GoBinary {
    GoBinary {
        version: "go1.26.1".to_owned(),
        minor: 26,
        module: "example.com/shop".to_owned(),
        cgo: false,
        linkage: Linkage::Executable,
        layout: GoLayout::NONE,
        tls_slot_word: None,
        route_stack: None,
        sites: vec![
            site(
                Probe::Route,
                "net/http.(*ServeMux).ServeHTTP",
                0x6a_1000,
                SiteKind::Call,
            ),
            site(
                Probe::Serve,
                "net/http.serverHandler.ServeHTTP",
                0x6a_2008,
                SiteKind::Entry,
            ),
        ],
        missing: vec!["requests' contexts cannot be read".to_owned()],
        has_http_client: false,
        has_http_server: true,
    }
}

fn check(name: &'static str, ok: bool, required: bool) -> Check {
    let text = |text: &str| if ok { String::new() } else { text.to_owned() };
    Check {
        name,
        ok,
        required,
        detail: if ok {
            "held".to_owned()
        } else {
            "no".to_owned()
        },
        remedy: text("get it"),
    }
}

fn process(pid: u32, exe: &str, reason: Option<&str>) -> ProcessPlan {
    ProcessPlan {
        pid,
        exe: exe.to_owned(),
        service: exe.trim_start_matches('/').to_owned(),
        selected: reason.is_none(),
        reason: reason.map(str::to_owned),
        ..ProcessPlan::default()
    }
}

fn sample() -> Plan {
    let kernel = KernelPlan {
        tried: true,
        error: None,
        load_us: 812_345,
        programs: vec![ProgramPlan {
            name: "sys_enter".to_owned(),
            kind: "tp_btf",
            tracepoint: Some("sys_enter".to_owned()),
            state: ProgramState::Taken,
            verified_instructions: 4711,
        }],
    };
    let mut binary = golang::of(&server(), Ok(()));
    binary.path = "/srv/shop".to_owned();
    binary.inode = 12;
    binary.pids = BTreeSet::from([7, 4711]);
    binary.inspect_us = 12_340;
    let shop = |pid| ProcessPlan {
        language: Some("go".to_owned()),
        go_version: Some("go1.26.1".to_owned()),
        go_binary: Some("/srv/shop".to_owned()),
        ..process(pid, "/shop", None)
    };
    Plan {
        version: "0.1.0".to_owned(),
        kernel_release: "6.18.0".to_owned(),
        can_run: true,
        blockers: Vec::new(),
        checks: vec![check("CAP_BPF", true, true), check("cgroup", false, false)],
        backend: BackendPlan::new(Backend::Auto, &kernel),
        kernel,
        features: vec![
            FeaturePlan {
                name: "http1",
                on: true,
                why: "any program".to_owned(),
                loses: String::new(),
            },
            FeaturePlan {
                name: "tls",
                on: false,
                why: "not readable".to_owned(),
                loses: "requests inside TLS".to_owned(),
            },
        ],
        prices: PRICES,
        targets: Vec::new(),
        processes: vec![
            shop(7),
            process(90, "/evil\x1b[2J", None),
            process(91, "/usr/bin/otelcol", Some("a telemetry backend or agent")),
            shop(4711),
        ],
        binaries: vec![binary],
    }
}

const PAGE: &str = "\
threadline 0.1.0 on kernel 6.18.0: tracing can run
Nothing was attached and nothing was changed.

This machine
  ok       CAP_BPF  held
  missing  cgroup   no
                    remedy: get it

Back end: tracepoint (asked for: auto)
  no     fentry      not built yet
  no     kprobe      not built yet
  taken  tracepoint  the kernel takes all its programs (1, loaded in 812 ms and dropped again)
  cost to processes that are not selected: about 0.27 us a system call (two tracepoints)
  (measured on a 2-core x86-64 virtual machine, kernel 6.18; read them as ratios)

Features
  on   http1  any program
  off  tls    not readable
              lost: requests inside TLS

Processes: 3 selected, 1 not (targets: every process)
  pid   service   language  executable
     7  shop      go1.26.1  /shop
    90  evil\u{fffd}[2J  -         /evil\u{fffd}[2J
  4711  shop      go1.26.1  /shop
  not selected:
  91  a telemetry backend or agent  /usr/bin/otelcol

Go binaries
  a probe costs 0.7 us each time it is met, 9.4 us where the instruction is single-stepped

  /srv/shop
    go1.26.1, example.com/shop, executable, net/http server, pid 7 4711
    read in 12.3 ms: a first run that ends sooner shows requests, but no goroutines
           address   offset    under it  us   met at               symbol                            for
    armed  0x6a1000  0x2a1000  call      0.7  each request routed  net/http.(*ServeMux).ServeHTTP    http.route
    not    0x6a2008  0x2a2008  entry     9.4  each request served  net/http.serverHandler.ServeHTTP  which goroutine and context handle a request (go_context); not armed: no net/http client in it: there are no calls to join
    missing: requests' contexts cannot be read
";

#[test]
fn the_page_reads_as_meant() {
    assert_eq!(render(&sample(), false), PAGE);
}

#[test]
fn colours_frame_the_same_words() {
    let coloured = render(&sample(), true);
    assert!(coloured.contains("\x1b[32mtracing can run\x1b[0m"));
    let mut plain = coloured;
    for code in ["0", "1", "2", "31", "32", "33"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(plain, PAGE);
}

#[test]
fn a_refusal_ends_the_page_s_promise_and_keeps_the_kernel_s_words() {
    let mut plan = sample();
    plan.kernel.error = Some("the kernel refused program go_call\nR1 invalid".to_owned());
    plan.kernel.programs[0].state = ProgramState::NotTried;
    plan.backend = BackendPlan::new(Backend::Auto, &plan.kernel);
    plan.blockers = blockers(&plan.checks, &plan.kernel, &plan.backend);
    plan.can_run = plan.blockers.is_empty();
    let page = render(&plan, false);
    for part in [
        "tracing cannot run here\n  the kernel refused program go_call\n  R1 invalid\n",
        "Back end: none (asked for: auto)",
        "tracepoint  the kernel refuses it, see below",
        "What the kernel says\n  the kernel refused program go_call\n",
        "programs not tried after that: 1",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn a_back_end_that_is_not_built_is_not_chosen() {
    let kernel = sample().kernel;
    for asked in [Backend::Fentry, Backend::Kprobe] {
        let backend = BackendPlan::new(asked, &kernel);
        assert_eq!(backend.chosen, None);
        assert_eq!(blockers(&[], &kernel, &backend).len(), 1);
    }
    let backend = BackendPlan::new(Backend::Tracepoint, &kernel);
    assert_eq!(backend.chosen.as_deref(), Some("tracepoint"));
    assert_eq!(blockers(&[], &kernel, &backend), [""; 0]);
}

#[test]
fn only_required_checks_block() {
    let kernel = KernelPlan::not_tried("required checks fail");
    let backend = BackendPlan::new(Backend::Auto, &kernel);
    let checks = [check("BTF", false, true), check("cgroup", false, false)];
    assert_eq!(blockers(&checks, &kernel, &backend), ["BTF: no"]);
}

#[test]
fn the_document_has_the_keys_that_people_read() {
    let json: serde_json::Value =
        serde_json::from_str(&sample().json().expect("JSON")).expect("JSON");
    for key in [
        "version",
        "kernel_release",
        "can_run",
        "blockers",
        "checks",
        "backend",
        "kernel",
        "features",
        "prices",
        "targets",
        "processes",
        "binaries",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["backend"]["chosen"], "tracepoint");
    assert_eq!(json["kernel"]["programs"][0]["state"], "taken");
    assert_eq!(json["processes"][0]["go_binary"], "/srv/shop");
    assert_eq!(json["processes"][2]["selected"], false);
    let binary = &json["binaries"][0];
    assert_eq!(binary["pids"], serde_json::json!([7, 4711]));
    let site = &binary["sites"][0];
    assert_eq!(site["address"], 0x6a_1000);
    assert_eq!(site["file_offset"], 0x2a_1000);
    assert_eq!(site["instruction"], "call");
    assert_eq!(
        (&site["armed"], &site["why_not"]),
        (&true.into(), &().into())
    );
    assert_eq!(binary["sites"][1]["armed"], false);
    assert_eq!(binary["sites"][1]["price_ns"], 9_400);
}

#[test]
fn sites_are_armed_where_they_earn_their_price_and_nothing_forbids_it() {
    let mut binary = server();
    let armed = |binary: &GoBinary, probing| {
        let plan = golang::of(binary, probing);
        let armed = plan.sites.iter().filter(|site| site.armed);
        armed.map(|site| site.probe).collect::<Vec<_>>()
    };
    assert_eq!(armed(&binary, Ok(())), ["route"]);
    assert_eq!(armed(&binary, Err("--no-uprobes")), [""; 0]);
    binary.has_http_client = true;
    assert_eq!(armed(&binary, Ok(())), ["route", "serve"]);
    let off = golang::of(&binary, Err("--no-uprobes"));
    assert_eq!(off.sites[0].why_not.as_deref(), Some("--no-uprobes"));
}

#[test]
fn the_own_executable_is_no_go_binary_and_a_broken_one_says_so() {
    let own = File::open(std::env::current_exe().expect("a path")).expect("readable");
    let id = crate::hook::golang::file_id(&own).expect("a file");
    assert_eq!(golang::inspect(&own, "/own", id, Ok(())), None);
    let directory = File::open("/").expect("readable");
    if let Some(plan) = golang::inspect(&directory, "/", id, Ok(())) {
        assert!(plan.error.is_some() && plan.sites.is_empty(), "{plan:?}");
    }
}
