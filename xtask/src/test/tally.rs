//! Names, verdicts and the last line.

use std::time::Instant;

use anyhow::Result;

/// How one test went.
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not; why.
    Failed(String),
    /// This machine cannot run it; why.
    Skipped(String),
}

/// Counts tests and prints each.
pub struct Tally {
    filter: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Counts tests whose name contains `filter`.
    pub fn new(filter: &str) -> Self {
        Self {
            filter: filter.to_owned(),
            passed: 0,
            failed: 0,
            skipped: 0,
            failures: Vec::new(),
        }
    }

    /// What names must contain.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Is a test of this name wanted?
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Runs one test; an error is a failure.
    pub fn check(&mut self, name: &str, test: impl FnOnce() -> Result<Verdict>) {
        if !self.wants(name) {
            return;
        }
        let began = Instant::now();
        let verdict = test().unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
        let seconds = began.elapsed().as_secs_f64();
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                println!("test {name} ... FAILED ({seconds:.1} s)\n{why}");
                self.failures.push(name.to_owned());
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                println!("test {name} ... skipped ({why})");
            }
        }
    }

    /// Adds counts of another runner.
    pub fn add(&mut self, passed: usize, failed: usize, skipped: usize) {
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
        if failed > 0 {
            self.failures.push(format!("{failed} of cargo test, above"));
        }
    }

    /// Prints the totals; true if nothing failed.
    pub fn finish(&self) -> bool {
        for name in &self.failures {
            println!("failed: {name}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        self.failed == 0
    }
}
