//! `threadline plan`: what would be traced, by which probes, what is missing, what it costs.

use std::io::{IsTerminal, Write};

use threadline::cli::{Exit, Invocation, PlanArgs};
use threadline::plan::{Asked, Plan, render};

use super::{Failure, exporters, run};

pub fn plan(invocation: &Invocation, args: &PlanArgs) -> Result<(), Failure> {
    let settings = &args.settings;
    // The exporter's own connection is left out, so where it goes must be known.
    let export = exporters(invocation, settings.output.output)?;
    let who = run::who(invocation, &settings.select, &export)?;
    let plan = Plan::make(Asked {
        capture: &settings.capture,
        targets: &settings.select.targets,
        who: &who,
    });
    let text = if args.json {
        plan.json()
            .map_err(|error| Failure::new(Exit::Failure, &error))?
    } else {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        render(&plan, wanted && std::io::stdout().is_terminal())
    };
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    match plan.can_run {
        true => Ok(()),
        false => Err(blocked(&plan)),
    }
}

/// The page tells how each of them is remedied.
fn blocked(plan: &Plan) -> Failure {
    let first = plan.blockers.iter().filter_map(|text| text.lines().next());
    let reasons: Vec<&str> = first.collect();
    Failure {
        exit: Exit::NotPermitted,
        text: format!("tracing cannot run here: {}", reasons.join("; ")),
        remedy: None,
    }
}
