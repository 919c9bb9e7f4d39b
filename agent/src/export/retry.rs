//! Which failures are worth another attempt, and when: the rules of the OTLP specification.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use tonic::Code;

/// First pause.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause, so that a backend that came back is found soon.
const LONGEST: Duration = Duration::from_secs(5);

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people.
    pub(super) why: String,
    /// Whether another attempt may help.
    pub(super) retry: Retry,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// The same request would fail again.
    Never,
    /// After a pause of our choice.
    Soon,
    /// The backend named the pause; it holds for all batches.
    After(Duration),
}

impl Failure {
    /// Not worth another attempt.
    pub(super) fn last(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            retry: Retry::Never,
        }
    }

    /// Worth another attempt.
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            retry: Retry::Soon,
        }
    }
}

/// By gRPC status code; `retry_info` is the delay of a `google.rpc.RetryInfo`.
pub(super) fn grpc(code: Code, retry_info: Option<Duration>) -> Retry {
    match (code, retry_info) {
        (Code::ResourceExhausted, None) => Retry::Never,
        (
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted,
            info,
        ) => info.map_or(Retry::Soon, Retry::After),
        _ => Retry::Never,
    }
}

/// By HTTP status and `Retry-After`.
pub(super) fn http(status: u16, retry_after: Option<&str>, now: SystemTime) -> Retry {
    match status {
        429 | 502 | 503 | 504 => retry_after
            .and_then(|value| pause(value.trim(), now))
            .map_or(Retry::Soon, Retry::After),
        _ => Retry::Never,
    }
}

/// `Retry-After`: seconds or a date.
fn pause(value: &str, now: SystemTime) -> Option<Duration> {
    match value.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

/// Pause before attempt number `attempt` (1: the first repetition): doubling, with jitter of a
/// fifth either way so that many agents do not come back at once.
pub(super) fn backoff(attempt: u32, random: u64) -> Duration {
    let base = FIRST
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(LONGEST);
    let spread = base / 5;
    let share = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
    base - spread + spread.mul_f64(2.0 * share)
}

/// A random number, good enough for jitter.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_follow_the_table_of_the_specification() {
        use Code::*;
        for code in [
            Cancelled,
            DeadlineExceeded,
            Aborted,
            OutOfRange,
            Unavailable,
            DataLoss,
        ] {
            assert_eq!(grpc(code, None), Retry::Soon, "{code:?}");
        }
        for code in [
            Unknown,
            InvalidArgument,
            NotFound,
            AlreadyExists,
            PermissionDenied,
            FailedPrecondition,
            Unimplemented,
            Internal,
            Unauthenticated,
            ResourceExhausted,
        ] {
            assert_eq!(grpc(code, None), Retry::Never, "{code:?}");
        }
        let pause = Duration::from_secs(3);
        for code in [ResourceExhausted, Unavailable] {
            assert_eq!(grpc(code, Some(pause)), Retry::After(pause), "{code:?}");
        }
        assert_eq!(grpc(Internal, Some(pause)), Retry::Never);
    }

    #[test]
    fn http_statuses_follow_the_table_of_the_specification() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for status in [429, 502, 503, 504] {
            assert_eq!(http(status, None, now), Retry::Soon, "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 413, 415, 500, 501, 505] {
            assert_eq!(http(status, Some("1"), now), Retry::Never, "{status}");
        }
        let after = |value| http(503, Some(value), now);
        assert_eq!(after(" 7 "), Retry::After(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(after(date), Retry::After(Duration::from_secs(7)));
        let past = "Sun, 06 Nov 1994 08:49:00 GMT";
        assert_eq!(after(past), Retry::After(Duration::ZERO));
        for nonsense in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(after(nonsense), Retry::Soon, "{nonsense}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_stays_within_a_fifth() {
        for (attempt, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (u32::MAX, 5.0)] {
            let low = backoff(attempt, 0).as_secs_f64();
            let high = backoff(attempt, u64::MAX).as_secs_f64();
            assert!((low - seconds * 0.8).abs() < 1e-6, "{attempt}: {low}");
            assert!((high - seconds * 1.2).abs() < 1e-6, "{attempt}: {high}");
        }
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
