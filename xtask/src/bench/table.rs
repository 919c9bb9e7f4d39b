//! Rounds as a table: medians, and what was added to the bare server.

use std::collections::BTreeMap;
use std::fmt;

use super::round::{Mode, Round};

/// Rounds by mode.
#[derive(Default)]
pub struct Table {
    rounds: BTreeMap<Mode, Vec<Round>>,
}

impl Table {
    /// Adds a round.
    pub fn add(&mut self, mode: Mode, round: Round) {
        self.rounds.entry(mode).or_default().push(round);
    }

    fn median(&self, mode: Mode, value: impl Fn(&Round) -> f64) -> f64 {
        let mut all: Vec<f64> = self
            .rounds
            .get(&mode)
            .into_iter()
            .flatten()
            .map(value)
            .collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    fn added_us(&self, mode: Mode) -> f64 {
        self.median(mode, |round| round.app_us) - self.median(Mode::Nothing, |round| round.app_us)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18}{:>10}{:>12}{:>10}{:>12}{:>10}{:>10}{:>10}{:>8}",
            "",
            "req/s",
            "app us/req",
            "added us",
            "agent us/sp",
            "app MiB",
            "agent MiB",
            "p99 us",
            "lost"
        )?;
        for mode in Mode::ALL {
            writeln!(
                f,
                "{:<18}{:>10.0}{:>12.1}{:>10.1}{:>12.1}{:>10.1}{:>10.1}{:>10.0}{:>8.0}",
                mode.name(),
                self.median(mode, |round| round.per_second),
                self.median(mode, |round| round.app_us),
                self.added_us(mode),
                self.median(mode, |round| round.agent_us),
                self.median(mode, |round| round.app_mib),
                self.median(mode, |round| round.agent_mib),
                self.median(mode, |round| round.p99_us),
                self.median(mode, |round| round.lost),
            )?;
        }
        let (ours, sdk) = (self.added_us(Mode::Threadline), self.added_us(Mode::Sdk));
        writeln!(
            f,
            "application CPU added: threadline / SDK = {:.2}",
            ours / sdk
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_and_the_bare_server_is_subtracted() {
        let mut table = Table::default();
        for (mode, values) in [
            (Mode::Nothing, [10.0, 90.0, 11.0]),
            (Mode::Threadline, [13.0, 12.0, 80.0]),
            (Mode::Sdk, [40.0; 3]),
        ] {
            for app_us in values {
                table.add(
                    mode,
                    Round {
                        app_us,
                        ..Round::default()
                    },
                );
            }
        }
        assert_eq!(
            (table.added_us(Mode::Threadline), table.added_us(Mode::Sdk)),
            (2.0, 29.0)
        );
        assert!(
            table.to_string().ends_with("threadline / SDK = 0.07\n"),
            "{table}"
        );
    }
}
