//! Which layer wins, and what is said about values nobody can use.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::cli::{CliError, Command, Invocation, parse_from};

fn parse(words: &[&str], env: &[(&str, &str)]) -> Result<Invocation, CliError> {
    let env: HashMap<String, OsString> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect();
    let words = std::iter::once("threadline").chain(words.iter().copied());
    parse_from(words.map(OsString::from), &|name| env.get(name).cloned())
}

fn settings(words: &[&str], env: &[(&str, &str)]) -> Settings {
    match parse(words, env).expect("valid").cli.command {
        Command::Run(args) => args.settings,
        other => panic!("{other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn message(result: Result<Invocation, CliError>) -> String {
    result.expect_err("refused").to_string()
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

#[test]
fn nothing_given_means_the_defaults() {
    let settings = settings(&["run"], &[]);
    assert_eq!(settings.capture.ring_bytes, 8 << 20);
    assert_eq!(settings.capture.max_bytes, 65536);
    assert_eq!(settings.capture.backend, Backend::Auto);
    assert!(settings.capture.uprobes);
    assert_eq!(settings.spans.queries, Queries::Redact);
    assert_eq!(settings.spans.long_after, Duration::from_secs(60));
    assert_eq!(settings.output.output, None);
    assert_eq!(settings.agent.socket, Path::new(DEFAULT_SOCKET));
    assert!(settings.select.targets.is_empty());
}

#[test]
fn a_flag_wins_over_environment_over_file() {
    let file =
        file("backend: kprobe\nring:\n  bytes: 1MiB\nqueries: keep\nspan:\n  long_after: 5s\n");
    let env = [
        ("THREADLINE_CONFIG", path(&file)),
        ("THREADLINE_BACKEND", "fentry"),
        ("THREADLINE_RING_BYTES", "2MiB"),
    ];
    let settings = settings(&["run", "--backend", "tracepoint"], &env);
    assert_eq!(settings.capture.backend, Backend::Tracepoint);
    assert_eq!(settings.capture.ring_bytes, 2 << 20);
    assert_eq!(settings.spans.queries, Queries::Keep);
    assert_eq!(settings.spans.long_after, Duration::from_secs(5));
}

#[test]
fn the_config_flag_wins_over_its_variable() {
    let (one, two) = (file("queries: keep\n"), file("queries: redact\n"));
    let env = [("THREADLINE_CONFIG", path(&two))];
    for words in [
        ["run", "--config", path(&one)],
        ["--config", path(&one), "run"],
    ] {
        assert_eq!(settings(&words, &env).spans.queries, Queries::Keep);
    }
}

#[test]
fn switches_can_be_set_from_every_layer() {
    let file = file("uprobes: false\nprocess: {command_args: true}\n");
    let from_file = settings(&["run", "--config", path(&file)], &[]);
    assert!(!from_file.capture.uprobes && from_file.select.command_args);
    let env = [
        ("THREADLINE_UPROBES", "1"),
        ("THREADLINE_COMMAND_ARGS", "no"),
    ];
    let from_env = settings(&["run", "--config", path(&file)], &env);
    assert!(from_env.capture.uprobes && !from_env.select.command_args);
    let from_flag = settings(&["run", "--no-uprobes", "--command-args"], &env);
    assert!(!from_flag.capture.uprobes && from_flag.select.command_args);
}

#[test]
fn targets_repeat_and_split_at_commas_in_every_layer() {
    let expected = ["exe:shop", "port:80-90", "!pid:1"];
    let words = ["run", "-t", "exe:shop,port:80-90", "--target", "!pid:1"];
    assert_eq!(settings(&words, &[]).select.targets, expected);
    let env = [("THREADLINE_TARGETS", "exe:shop, port:80-90 ,!pid:1")];
    assert_eq!(settings(&["run"], &env).select.targets, expected);
    for text in [
        "targets: [exe:shop, 'port:80-90', '!pid:1']",
        "targets: exe:shop,port:80-90,!pid:1",
    ] {
        let file = file(text);
        let words = ["run", "--config", path(&file)];
        assert_eq!(settings(&words, &[]).select.targets, expected, "{text}");
        // A stronger layer replaces the list.
        let words = ["run", "--config", path(&file), "-t", "nginx"];
        assert_eq!(settings(&words, &[]).select.targets, ["nginx"]);
    }
}

#[test]
fn an_empty_variable_is_not_set() {
    let settings = settings(
        &["run"],
        &[("THREADLINE_BACKEND", ""), ("THREADLINE_TARGETS", "")],
    );
    assert_eq!(settings.capture.backend, Backend::Auto);
    assert!(settings.select.targets.is_empty());
}

#[test]
fn an_unknown_key_names_itself_its_line_and_the_nearest_one() {
    let file = file("queries: keep\nring:\n  byte: 1MiB\n");
    let said = message(parse(&["run", "--config", path(&file)], &[]));
    assert!(said.contains(":3: unknown key `ring.byte`"), "{said}");
    assert!(said.ends_with("`ring.bytes`"), "{said}");
}

#[test]
fn a_bad_value_names_file_line_key_and_what_is_allowed() {
    for (text, line, parts) in [
        (
            "\nbackend: ebpf\n",
            2,
            vec!["backend", "`ebpf`", "auto, fentry, kprobe, tracepoint"],
        ),
        (
            "ring:\n  bytes: 3\n",
            2,
            vec!["ring.bytes", "64KiB to 1GiB"],
        ),
        (
            "span: {long_after: 5}\n",
            1,
            vec!["span.long_after", "`5`", "10s"],
        ),
        ("uprobes: maybe\n", 1, vec!["uprobes", "`maybe`"]),
        ("targets: ['port:x']\n", 1, vec!["targets", "port"]),
        ("queries: [keep, keep]\n", 1, vec!["queries", "one value"]),
    ] {
        let file = file(text);
        // `status` does not use them, and tells all the same.
        for command in ["run", "status"] {
            let said = message(parse(&[command, "--config", path(&file)], &[]));
            let at = format!("{}:{line}: ", path(&file));
            assert!(said.starts_with(&at), "{said}");
            parts
                .iter()
                .for_each(|part| assert!(said.contains(part), "{said}"));
        }
    }
}

#[test]
fn a_bad_variable_is_named() {
    let said = message(parse(&["run"], &[("THREADLINE_BACKEND", "ebpf")]));
    assert!(
        said.starts_with("environment variable THREADLINE_BACKEND: "),
        "{said}"
    );
    assert!(said.contains("auto, fentry"), "{said}");
}

#[test]
fn what_is_no_settings_file_is_refused_with_its_place() {
    for (text, part) in [
        ("- a\n- b\n", "expected keys"),
        ("ring: 5\n", "expected keys below it"),
        ("queries: {a: b}\n", "expected a value"),
        ("queries: keep\nqueries: keep\n", "queries"),
        ("otel: {PATH: x}\n", "no OTEL_* variable"),
        ("otel: {OTEL_A: [x]}\n", "expected text"),
        ("a: [\n", ":"),
    ] {
        let said = ConfigFile::parse(Path::new("f.yaml"), text)
            .expect_err(text)
            .to_string();
        assert!(said.starts_with("f.yaml"), "{said}");
        assert!(said.contains(part), "{text}: {said}");
    }
    let gone = message(parse(&["run", "--config", "/nonexistent/f.yaml"], &[]));
    assert!(gone.contains("/nonexistent/f.yaml"), "{gone}");
}

#[test]
fn an_empty_file_and_empty_groups_change_nothing() {
    for text in ["", "# nothing\n", "ring:\nqueries:\notel:\n"] {
        let file = ConfigFile::parse(Path::new("f"), text).expect(text);
        assert!(file.settings.is_empty() && file.otel.is_empty(), "{text}");
    }
}

#[test]
fn otel_variables_of_the_file_are_the_weakest() {
    let file = file("otel:\n  OTEL_BSP_MAX_QUEUE_SIZE: 64\n  OTEL_SERVICE_NAME: node\n");
    let invocation = parse(&["run", "--config", path(&file)], &[]).expect("valid");
    assert_eq!(
        invocation.otel("OTEL_BSP_MAX_QUEUE_SIZE").as_deref(),
        Some("64")
    );
    assert_eq!(invocation.otel("OTEL_NOT_THERE"), None);
}

#[test]
fn the_reference_has_a_row_for_every_setting() {
    let page = reference();
    for key in file::known_keys() {
        assert!(page.contains(&format!("| `{key}` | `--")), "{key}");
    }
    assert!(
        page.contains("`THREADLINE_TARGETS`") && page.contains("`8MiB`"),
        "{page}"
    );
    assert!(
        page.lines()
            .filter(|line| line.starts_with("| `"))
            .all(|line| { line.matches(" | ").count() == 4 }),
        "{page}"
    );
}

#[test]
fn misspelt_variables_are_found() {
    use clap::CommandFactory;
    let names = [
        "THREADLINE_TARGET",
        "THREADLINE_TARGETS",
        "THREADLINE_CONFIG",
        "PATH",
    ];
    let unknown = unknown_variables(
        names.iter().map(|name| (*name).to_owned()),
        &crate::cli::Cli::command(),
    );
    assert_eq!(unknown, ["THREADLINE_TARGET"]);
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_parser_panic(text in "(?s)([a-z.]{0,6}[:\\[\\]{},\\-\\n ]{0,3}){0,20}|.{0,80}") {
        let _ = ConfigFile::parse(Path::new("f"), &text);
    }
}
