//! What the log says of a backend: its first failure, a summary while it lasts, its return. Never
//! a line per batch.

use std::time::{Duration, Instant};

use super::look::harmless;

/// Least time between two lines about failures.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);
/// Least time between two lines about partial success.
const PARTIAL_EVERY: Duration = Duration::from_secs(60);

/// Decides which lines are written; knows nothing of logging.
#[derive(Debug)]
pub(super) struct Notice {
    target: String,
    outage: Option<Outage>,
    last_line: Option<Instant>,
    last_partial: Option<Instant>,
    rejected: u64,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u64,
    lost_before: u64,
    told: bool,
}

impl Notice {
    /// For the backend at `target`.
    pub(super) fn new(target: String) -> Self {
        Self {
            target,
            outage: None,
            last_line: None,
            last_partial: None,
            rejected: 0,
        }
    }

    /// An attempt failed; `lost` spans were lost so far in all.
    pub(super) fn failed(&mut self, now: Instant, why: &str, lost: u64) -> Option<String> {
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            attempts: 0,
            lost_before: lost,
            told: false,
        });
        outage.attempts += 1;
        if !passed(self.last_line, now, SUMMARY_EVERY) {
            return None;
        }
        self.last_line = Some(now);
        let first = !outage.told;
        outage.told = true;
        let target = &self.target;
        Some(if first {
            format!(
                "cannot export spans to {target}: {why}; is a collector listening there? \
                 OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL say where and how"
            )
        } else {
            format!(
                "still cannot export spans to {target}: {} attempts failed in {} s, {} spans lost; last: {why}",
                outage.attempts,
                now.saturating_duration_since(outage.since).as_secs(),
                lost.saturating_sub(outage.lost_before),
            )
        })
    }

    /// A batch was accepted.
    pub(super) fn succeeded(&mut self, now: Instant, lost: u64) -> Option<String> {
        let outage = self.outage.take().filter(|outage| outage.told)?;
        Some(format!(
            "exporting spans to {} again after {} s; {} spans were lost",
            self.target,
            now.saturating_duration_since(outage.since).as_secs(),
            lost.saturating_sub(outage.lost_before),
        ))
    }

    /// The backend took a request and said something about it.
    pub(super) fn partial(&mut self, now: Instant, rejected: u64, message: &str) -> Option<String> {
        self.rejected += rejected;
        if !passed(self.last_partial, now, PARTIAL_EVERY) {
            return None;
        }
        self.last_partial = Some(now);
        let rejected = std::mem::take(&mut self.rejected);
        Some(format!(
            "{} rejected {rejected} spans and says: {}",
            self.target,
            harmless(message)
        ))
    }
}

fn passed(last: Option<Instant>, now: Instant, least: Duration) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_told_once_summed_up_every_ten_seconds_and_its_end_is_told() {
        let start = Instant::now();
        let mut notice = Notice::new("http://h:4318".into());
        let first = notice.failed(start, "connection refused", 5).unwrap();
        assert!(first.starts_with("cannot export spans to http://h:4318: connection refused"));
        assert!(first.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
        assert_eq!(notice.failed(at(start, 9), "refused", 7), None);
        assert_eq!(
            notice.failed(at(start, 10), "refused", 25).unwrap(),
            "still cannot export spans to http://h:4318: 3 attempts failed in 10 s, 20 spans lost; last: refused"
        );
        assert_eq!(
            notice.succeeded(at(start, 12), 25).unwrap(),
            "exporting spans to http://h:4318 again after 12 s; 20 spans were lost"
        );
        assert_eq!(notice.succeeded(at(start, 13), 25), None);
    }

    #[test]
    fn a_backend_that_comes_and_goes_does_not_flood_the_log() {
        let start = Instant::now();
        let mut notice = Notice::new("t".into());
        let mut lines = 0;
        for second in 0..60 {
            lines += usize::from(notice.failed(at(start, second), "no", 0).is_some());
            lines += usize::from(notice.succeeded(at(start, second), 0).is_some());
        }
        assert_eq!(lines, 12);
    }

    #[test]
    fn partial_success_is_told_once_a_minute_with_all_that_was_rejected_since() {
        let start = Instant::now();
        let mut notice = Notice::new("t".into());
        assert!(
            notice
                .partial(start, 1, "too\nold")
                .unwrap()
                .ends_with("1 spans and says: too\u{fffd}old")
        );
        assert_eq!(notice.partial(at(start, 59), 2, "x"), None);
        assert!(
            notice
                .partial(at(start, 60), 3, "x")
                .unwrap()
                .contains("rejected 5 spans")
        );
    }
}
