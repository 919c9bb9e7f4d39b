//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): `traceparent` and `tracestate`, read
//! strictly, higher versions by the rules the specification gives for them.

use super::{Extracted, TraceContext};
use crate::span::model::{SpanId, TraceId};

/// Trace flag: the sender may have recorded this trace.
pub const SAMPLED: u8 = 1;
/// Trace flag of level 2: the right-most 7 bytes of the trace id are random.
pub const RANDOM: u8 = 2;

/// Length of a version 00 `traceparent`, and of the part every higher version begins with.
const TRACEPARENT_LEN: usize = 55;
/// List members a `tracestate` may have.
const MEMBERS_MAX: usize = 32;
/// Bytes of `tracestate` carried along; the specification asks for at least 512.
const TRACESTATE_MAX_BYTES: usize = 8192;

/// Reads the context of a request from the values of its headers (several `tracestate` headers are
/// given joined by commas).
pub fn extract(traceparent: &[String], tracestate: Option<&str>) -> Extracted {
    let Some((first, others)) = traceparent.split_first() else {
        return Extracted::Absent;
    };
    let first = trim(first);
    if others.iter().any(|other| trim(other) != first) {
        return Extracted::Contradicting;
    }
    match parse_traceparent(first) {
        None => Extracted::Invalid,
        Some((trace_id, parent_id, flags)) => Extracted::Context(TraceContext {
            trace_id,
            parent_id,
            flags,
            // A broken tracestate is dropped; it does not touch the traceparent.
            state: tracestate.and_then(parse_tracestate).unwrap_or_default(),
        }),
    }
}

/// Parses one `traceparent` value without surrounding white space.
pub fn parse_traceparent(value: &str) -> Option<(TraceId, SpanId, u8)> {
    let bytes = value.as_bytes();
    if bytes.len() < TRACEPARENT_LEN || [2, 35, 52].iter().any(|&at| bytes[at] != b'-') {
        return None;
    }
    let [version] = hex::<1>(&bytes[..2])?;
    let well_formed = match version {
        0xff => false,
        0 => bytes.len() == TRACEPARENT_LEN,
        // A later version may add fields after another dash; what comes before stays as it is.
        _ => bytes.len() == TRACEPARENT_LEN || bytes[TRACEPARENT_LEN] == b'-',
    };
    if !well_formed {
        return None;
    }
    let trace_id = hex::<16>(&bytes[3..35])?;
    let parent_id = hex::<8>(&bytes[36..52])?;
    let [flags] = hex::<1>(&bytes[53..55])?;
    if trace_id == [0; 16] || parent_id == [0; 8] {
        return None;
    }
    // Flags without a meaning must not be passed on.
    Some((
        TraceId(trace_id),
        SpanId(parent_id),
        flags & (SAMPLED | RANDOM),
    ))
}

/// Parses a whole `tracestate`; gives it without optional white space and empty members.
pub fn parse_tracestate(value: &str) -> Option<String> {
    if value.len() > TRACESTATE_MAX_BYTES {
        return None;
    }
    let mut members: Vec<(&str, &str)> = Vec::new();
    for member in value
        .split(',')
        .map(trim)
        .filter(|member| !member.is_empty())
    {
        let (key, state) = member.split_once('=')?;
        let fresh = members.iter().all(|(seen, _)| *seen != key);
        if !fresh || members.len() == MEMBERS_MAX || !valid_key(key) || !valid_value(state) {
            return None;
        }
        members.push((key, member));
    }
    let members: Vec<&str> = members.into_iter().map(|(_, member)| member).collect();
    Some(members.join(","))
}

/// `simple-key`, or `tenant-id@system-id`.
fn valid_key(key: &str) -> bool {
    let part = |part: &str, limit: usize, digit_first: bool| {
        let bytes = part.as_bytes();
        let first = bytes
            .first()
            .is_some_and(|b| b.is_ascii_lowercase() || digit_first && b.is_ascii_digit());
        first && bytes.len() <= limit && bytes.iter().all(|&b| key_char(b))
    };
    match key.split_once('@') {
        None => part(key, 256, false),
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
    }
}

fn key_char(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
}

fn valid_value(value: &str) -> bool {
    let legal = |b: u8| (0x20..=0x7e).contains(&b) && b != b',' && b != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(legal)
}

/// Without HTTP's optional white space at both ends.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// Lower-case hex digits only, as the specification has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
#[path = "w3c_tests.rs"]
mod tests;
