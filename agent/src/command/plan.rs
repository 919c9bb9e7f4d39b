//! `threadline plan`: what would be traced, by which probes, what is missing, what it costs.

use threadline::cli::{Invocation, PlanArgs};

use super::Failure;

pub fn plan(_invocation: &Invocation, _args: &PlanArgs) -> Result<(), Failure> {
    Ok(())
}
