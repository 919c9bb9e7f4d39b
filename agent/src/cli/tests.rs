//! What each command takes, and what it says.

use super::*;

fn parse(line: &str) -> Result<Cli, CliError> {
    let words = line.split(' ').map(OsString::from);
    parse_from(words, &|_| None).map(|invocation| invocation.cli)
}

fn exit(line: &str) -> Exit {
    parse(line).expect_err(line).exit()
}

#[test]
fn the_commands_contradict_nothing() {
    Cli::command().debug_assert();
}

#[test]
fn each_command_takes_its_words() {
    let Command::Run(run) = parse("threadline run --for 1m --record a.tl --record-raw -t x")
        .expect("valid")
        .command
    else {
        panic!("run");
    };
    assert_eq!(run.for_, Some(Duration::from_secs(60)));
    assert!(run.record_raw && run.record == Some("a.tl".into()));
    let Command::Record(record) = parse("threadline record --output a.tl --for 10s")
        .expect("valid")
        .command
    else {
        panic!("record");
    };
    assert_eq!((record.file, record.record_raw), ("a.tl".into(), false));
    let Command::Replay(replay) = parse("threadline replay a.tl --output console")
        .expect("valid")
        .command
    else {
        panic!("replay");
    };
    assert_eq!(replay.output.output, Some(config::Output::Text));
    parse("threadline plan --json").expect("valid");
    parse("threadline status --socket /run/x.sock").expect("valid");
}

#[test]
fn help_is_no_error_and_misuse_is() {
    for line in [
        "threadline --help",
        "threadline run --help",
        "threadline --version",
    ] {
        assert_eq!(exit(line), Exit::Ok, "{line}");
    }
    for line in [
        "threadline",
        "threadline walk",
        "threadline run --fro 10s",
        "threadline run --for 10",
        "threadline run --record-raw",
        "threadline run -t port:x",
        "threadline record",
        "threadline replay",
        "threadline replay a.tl --output xml",
        "threadline run --config /nonexistent",
    ] {
        assert_eq!(exit(line), Exit::Usage, "{line}");
    }
}

#[test]
fn help_shows_examples_variables_and_exit_codes() {
    // Lines are wrapped where the terminal ends.
    let help = |line: &str| {
        let text = parse(line).expect_err("help").to_string();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let run = help("threadline run --help");
    for part in [
        "Examples:",
        "Exit codes:",
        "[env: THREADLINE_BACKEND]",
        "[default: 8MiB]",
        "Kernel side:",
        "tracepoint",
    ] {
        assert!(run.contains(part), "{part} in {run}");
    }
    assert!(help("threadline --help").contains("replay"));
}
