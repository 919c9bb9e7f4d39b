//! Running other programs: errors that name the command, logs, time limits.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a program that runs into a log is said to be still at it.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Lines of a log that are shown when its program failed.
const TAIL_LINES: usize = 25;

/// Runs it with this terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", show(command));
    }
    Ok(())
}

/// Runs it and gives what it printed on standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed ({}): {}",
            show(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs something long into a log, says from time to time that it still runs, and ends it after
/// `limit`. What it printed last is in the error.
pub fn run_logged(what: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    eprintln!("{what}: {}", show(command));
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {}", show(command)))?;
    let began = Instant::now();
    let mut said = began;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                eprintln!("{what}: done in {:.0} s", began.elapsed().as_secs_f64());
                return Ok(());
            }
            bail!(
                "{} failed ({status}); the end of {}:\n{}",
                show(command),
                log.display(),
                tail(log)
            );
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{} took more than {} s", show(command), limit.as_secs());
        }
        if said.elapsed() > HEARTBEAT {
            said = Instant::now();
            eprintln!(
                "{what}: still running after {} s",
                began.elapsed().as_secs()
            );
        }
        sleep(Duration::from_millis(50));
    }
}

/// The last lines of a file.
pub fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The command as one would type it.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Variables a cargo hands to its children that would mislead one of another toolchain. Settings
/// about the network and the registry stay.
pub fn forget_cargo(command: &mut Command) {
    const KEEP: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_TERM_",
    ];
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let cargo = text.starts_with("CARGO") && !KEEP.iter().any(|keep| text.starts_with(keep));
        let rust = text.starts_with("RUSTC") || text == "RUSTFLAGS" || text.starts_with("RUSTDOC");
        if cargo || rust || text == "RUSTUP_TOOLCHAIN" || text == "RUST_RECURSION_COUNT" {
            command.env_remove(&name);
        }
    }
}

/// Finds a program on `PATH`.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Does this run as root?
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
