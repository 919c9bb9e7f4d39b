//! Parsers of single values. Each says in its error what is allowed.

use std::time::Duration;

use bytesize::ByteSize;

use crate::process::targets::Rule;

const RING: (u64, u64) = (64 << 10, 1 << 30);
const MAX: (u64, u64) = (1 << 10, 1 << 20);
/// Longest duration taken: beyond it arithmetic in nanoseconds would need care everywhere.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A target, checked and kept as typed.
pub fn target(text: &str) -> Result<String, String> {
    let text = text.trim();
    text.parse::<Rule>()
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// A duration such as `10s`, `500ms`, `1m 30s`; more than zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(Duration::ZERO) => Err("must be more than zero".to_owned()),
        Ok(duration) if duration > LONGEST => Err("must be at most a year".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("allowed: a number with a unit, such as 500ms, 10s, 5m, 1h".to_owned()),
    }
}

pub fn ring_bytes(text: &str) -> Result<u32, String> {
    size(text, RING).map(u32::next_power_of_two)
}

pub fn max_bytes(text: &str) -> Result<u32, String> {
    size(text, MAX)
}

fn size(text: &str, (least, most): (u64, u64)) -> Result<u32, String> {
    text.trim()
        .parse::<ByteSize>()
        .ok()
        .map(|size| size.as_u64())
        .filter(|size| (least..=most).contains(size))
        .and_then(|size| u32::try_from(size).ok())
        .ok_or_else(|| {
            format!(
                "allowed: {} to {}, such as 65536 or 64KiB",
                whole(least),
                whole(most)
            )
        })
}

/// The bounds are whole numbers of their unit: `64KiB`, not `64.0 KiB`.
fn whole(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{}GiB", b >> 30),
        b if b >= 1 << 20 => format!("{}MiB", b >> 20),
        b if b >= 1 << 10 => format!("{}KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}
