//! How far measured times are off.

use std::fmt;

/// A difference is small up to so many nanoseconds...
const ALLOWED_NS: u64 = 200_000;
/// ... or this share of the true time, as its inverse (1/20 = 5 %).
const ALLOWED_PART: u64 = 20;

/// Differences between measured and true times.
#[derive(Default)]
pub struct Differences {
    all: Vec<u64>,
    small: usize,
}

impl Differences {
    /// Adds one pair.
    pub fn add(&mut self, measured: u64, true_time: u64) {
        let off = measured.abs_diff(true_time);
        if off <= ALLOWED_NS.max(true_time / ALLOWED_PART) {
            self.small += 1;
        }
        self.all.push(off);
    }

    /// The value below which so many of a hundred lie.
    pub fn percentile(&self, percent: usize) -> u64 {
        let Some(last) = self.all.len().checked_sub(1) else {
            return 0;
        };
        let mut sorted = self.all.clone();
        *sorted.select_nth_unstable(last * percent / 100).1
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Are 99 of 100 small? Nothing compared is nothing shown.
    pub fn is_good(&self) -> bool {
        self.len() > 0 && self.small * 100 >= self.len() * 99
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len() == 0 {
            return write!(f, "none compared");
        }
        let us = |percent| self.percentile(percent) as f64 / 1000.0;
        let share = self.small as f64 * 100.0 / self.len() as f64;
        write!(
            f,
            "p50 {:.0} us, p99 {:.0} us, worst {:.0} us; {share:.2} % within 200 us or 5 % ({} compared)",
            us(50),
            us(99),
            us(100),
            self.len()
        )
    }
}
