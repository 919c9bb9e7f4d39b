//! `threadline status`.

use std::io::{IsTerminal, Write};

use threadline::cli::{Exit, StatusArgs};
use threadline::status::{self, render};

use super::Failure;

pub fn status(args: &StatusArgs) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Failure, error);
    let socket = &args.agent.socket;
    let text = if args.json {
        status::fetch_text(socket).map_err(|error| failed(&error))?
    } else {
        let told = status::fetch(socket).map_err(|error| failed(&error))?;
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        render(&told, colour)
    };
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}
