//! Does a message start like HTTP/1? Looks at the request or status line only.

use crate::protocol::{DETECT_BYTES, Verdict};

/// Longest method that is believed.
pub const MAX_METHOD: usize = 32;

/// Bytes that tell a response: version and status.
pub const STATUS_BYTES: usize = 12;

const STATUS_LINE: &[u8] = b"HTTP/1.";

/// Tells a request or a response by the first bytes of its first line (leading line breaks are
/// for the caller to strip).
pub fn classify(bytes: &[u8]) -> Verdict {
    match response(bytes) {
        Verdict::No => request(bytes),
        // A method cannot contain a slash, so `HTTP` alone may be either.
        verdict => verdict,
    }
}

/// `HTTP/1.x NNN`, as far as it is there.
pub fn response(bytes: &[u8]) -> Verdict {
    let known = bytes.len().min(STATUS_LINE.len());
    if bytes[..known] != STATUS_LINE[..known] {
        return Verdict::No;
    }
    let rest = &bytes[known..];
    let fits = |at: usize, ok: fn(u8) -> bool| rest.get(at).is_none_or(|&byte| ok(byte));
    let shape = fits(0, |b| b == b'0' || b == b'1')
        && fits(1, |b| b == b' ')
        && (2..5).all(|at| fits(at, |b| b.is_ascii_digit()));
    match (shape, rest.len() >= 5) {
        (false, _) => Verdict::No,
        (true, true) => Verdict::Response,
        (true, false) => Verdict::Maybe,
    }
}

/// `METHOD target HTTP/1.x`, as far as it is there.
pub fn request(bytes: &[u8]) -> Verdict {
    let window = &bytes[..bytes.len().min(MAX_METHOD + 1)];
    let Some(space) = window.iter().position(|&b| !is_token(b)) else {
        return if bytes.len() > MAX_METHOD {
            Verdict::No
        } else {
            Verdict::Maybe
        };
    };
    if space == 0 || bytes[space] != b' ' {
        return Verdict::No;
    }
    let rest = &bytes[space + 1..];
    let Some(end) = rest.iter().position(|&b| b == b'\n') else {
        return unfinished(&bytes[..space], rest);
    };
    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    let version = line.len().checked_sub(9).map(|at| &line[at..]);
    match version {
        Some(b" HTTP/1.1" | b" HTTP/1.0") if line.len() > 9 => Verdict::Request,
        _ => Verdict::No,
    }
}

/// A request line without its end: enough of a long one is taken for the whole.
fn unfinished(method: &[u8], rest: &[u8]) -> Verdict {
    let target = rest.split(|&b| b == b' ').next().unwrap_or_default();
    if target.iter().any(|&b| b < 0x21 || b == 0x7f) {
        return Verdict::No;
    }
    let long = method.len() + 1 + rest.len() >= DETECT_BYTES;
    match long {
        true if is_known(method) => Verdict::Request,
        true => Verdict::No,
        false => Verdict::Maybe,
    }
}

/// A method of the registry (RFC 9110 and PATCH).
pub fn is_known(method: &[u8]) -> bool {
    KNOWN.contains(&method)
}

/// Bytes that only an HTTP request starts with: (the beginning of) a known method and of a target.
pub fn is_plain_start(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |&b| b == b' ');
    let method = parts.next().unwrap_or_default();
    match parts.next() {
        None => KNOWN.iter().any(|known| known.starts_with(method)),
        Some(rest) => {
            is_known(method)
                && (method == b"CONNECT"
                    || rest
                        .first()
                        .is_none_or(|&b| matches!(b, b'/' | b'*' | b'h' | b'H')))
        }
    }
}

const KNOWN: &[&[u8]] = &[
    b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE",
];

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_a_first_line_may_be_one() {
        for line in [
            "GET /a?b=c HTTP/1.1\r\n",
            "PROPFIND * HTTP/1.0\n",
            "CONNECT a:1 HTTP/1.1\r\n",
        ] {
            for end in 1..line.len() {
                assert_eq!(
                    classify(&line.as_bytes()[..end]),
                    Verdict::Maybe,
                    "{:?}",
                    &line[..end]
                );
            }
            assert_eq!(classify(line.as_bytes()), Verdict::Request);
        }
        let line = "HTTP/1.1 200";
        for end in 1..line.len() {
            assert_eq!(classify(&line.as_bytes()[..end]), Verdict::Maybe);
        }
        assert_eq!(classify(b"HTTP/1.1 200"), Verdict::Response);
    }

    #[test]
    fn other_protocols_are_refused_at_once() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"*1\r\n$4\r\nPING\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"GET key\r\n",
            b"get key\r\n",
            b"EHLO example.org\r\n",
            b"SSH-2.0-OpenSSH_9\r\n",
            b"GET  HTTP/1.1\r\n",
            b"HTTP/2 200\r\n",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"this-is-a-token-but-far-too-long-for-a-method",
        ] {
            assert_eq!(classify(bytes), Verdict::No, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_long_request_line_is_believed_of_known_methods_only() {
        let long = |method: &str| format!("{method} /{}", "a".repeat(DETECT_BYTES));
        assert_eq!(classify(long("GET").as_bytes()), Verdict::Request);
        assert_eq!(classify(long("FETCH").as_bytes()), Verdict::No);
    }
}
