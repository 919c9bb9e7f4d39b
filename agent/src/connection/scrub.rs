//! Overwrites what is secret in a header block that comes in pieces, byte for byte and at the same
//! length. Keeps the request line but for query values and user info, the names of headers, and
//! the values of a short list of headers that spans are made of. Where a piece ends too early to
//! tell, it overwrites.

/// What stands for every byte that is not told.
pub(super) const COVER: u8 = b'x';

/// Headers whose values are kept.
const KEPT: &[&[u8]] = &[
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
    b"content-type",
    b"host",
    b"user-agent",
    b"x-request-id",
    b"traceparent",
    b"tracestate",
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"uber-trace-id",
];
const LONGEST: usize = 32;
const LONGEST_METHOD: u8 = 32;

/// Where in a header block the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first line.
    #[default]
    First,
    /// In the first word, after so many bytes.
    Method(u8),
    /// At the target's first byte.
    Target,
    /// In a target that may hold user info and whose end is not in sight.
    Authority,
    Path,
    /// At the start of a query key.
    Key,
    /// In a query key whose end was not in sight.
    HiddenKey,
    QueryValue,
    Version,
    /// In a status line, after so many spaces.
    Status(u8),
    /// At the start of a header line.
    Line,
    Name,
    /// In a name that is none of ours.
    HiddenName,
    Value(Rule),
}

/// What becomes of a header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rule {
    Keep,
    /// Keep but for user info.
    Host,
    #[default]
    Cover,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scrub {
    at: At,
    /// The last header's, for folded lines.
    rule: Rule,
    name: [u8; LONGEST],
    name_len: usize,
}

impl Scrub {
    /// A header block starts with the next byte.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Trailers start with the next byte.
    pub(super) fn restart_in_lines(&mut self) {
        *self = Self {
            at: At::Line,
            ..Self::default()
        };
    }

    /// Overwrites what is secret in the next bytes.
    pub(super) fn scrub(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&mut bytes[at..]).max(1);
        }
    }

    /// Looks at the front of `bytes`; how many it is done with.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match bytes[0] {
            b'\n' => {
                self.at = match self.at {
                    At::First | At::Line => At::First,
                    _ => At::Line,
                };
                return 1;
            }
            b'\r' => return 1,
            _ => {}
        }
        match self.at {
            At::First => self.at = At::Method(0),
            At::Target if matches!(bytes[0], b'/' | b'*') => self.at = At::Path,
            At::Line if matches!(bytes[0], b' ' | b'\t') => self.at = At::Value(self.rule),
            At::Line => (self.at, self.name_len) = (At::Name, 0),
            _ => {}
        }
        match self.at {
            At::Target => self.authority(bytes),
            At::Key => self.key(bytes),
            At::Name => self.name(bytes),
            At::Value(Rule::Host) => self.host(bytes),
            _ => {
                self.byte(&mut bytes[0]);
                1
            }
        }
    }

    fn byte(&mut self, byte: &mut u8) {
        let next = match (self.at, *byte) {
            (At::Method(_), b' ') => At::Target,
            (At::Method(_), b'/') => At::Status(0),
            (At::Method(n), _) if n < LONGEST_METHOD => At::Method(n + 1),
            (At::Path, b'?') => At::Key,
            (At::Authority, b'?') => At::Key,
            (At::HiddenKey, b'=') => At::QueryValue,
            (At::HiddenKey | At::QueryValue, b'&') => At::Key,
            (At::Path | At::Authority | At::HiddenKey | At::QueryValue, b' ') => At::Version,
            (At::Status(n), b' ') if n < 2 => At::Status(n + 1),
            (At::HiddenName, b':') => {
                self.rule = Rule::Cover;
                At::Value(Rule::Cover)
            }
            (at @ (At::Path | At::Version | At::Status(0..=1) | At::Value(Rule::Keep)), _) => at,
            (at, _) => {
                *byte = COVER;
                at
            }
        };
        self.at = next;
    }

    /// A target that does not start with a slash: covers user info.
    fn authority(&mut self, bytes: &mut [u8]) -> usize {
        let line = position(bytes, b" \r\n");
        let scheme = bytes[..line.unwrap_or(0)]
            .windows(3)
            .position(|part| part == b"://");
        let start = scheme.map_or(0, |at| at + 3);
        match line.and_then(|_| position(&bytes[start..], b"/? \r\n")) {
            Some(end) => {
                let end = start + end;
                if let Some(at) = bytes[start..end].iter().rposition(|&b| b == b'@') {
                    bytes[start..start + at].fill(COVER);
                }
                self.at = At::Path;
                end
            }
            None => {
                bytes[start..].fill(COVER);
                self.at = At::Authority;
                bytes.len()
            }
        }
    }

    /// A key is one only when `=` follows; a bare word may be a secret.
    fn key(&mut self, bytes: &mut [u8]) -> usize {
        match position(bytes, b"=& \r\n") {
            Some(end) if bytes[end] == b'=' => {
                self.at = At::QueryValue;
                end + 1
            }
            Some(end) => {
                bytes[..end].fill(COVER);
                self.at = At::HiddenKey;
                end
            }
            None => {
                bytes.fill(COVER);
                self.at = At::HiddenKey;
                bytes.len()
            }
        }
        .max(usize::from(self.at != At::HiddenKey))
    }

    /// User info does not belong there, but comes before the host where somebody put it.
    fn host(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = position(bytes, b"\r\n") else {
            self.at = At::Value(Rule::Cover);
            bytes.fill(COVER);
            return bytes.len();
        };
        if let Some(at) = bytes[..end].iter().rposition(|&b| b == b'@') {
            bytes[..at].fill(COVER);
        }
        end
    }

    fn name(&mut self, bytes: &mut [u8]) -> usize {
        let end = position(bytes, b":\n");
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = part.len().min(LONGEST - self.name_len);
        let whole = room == part.len();
        self.name[self.name_len..self.name_len + room].copy_from_slice(&part[..room]);
        self.name[self.name_len..].make_ascii_lowercase();
        self.name_len += room;
        let name = self.name[..self.name_len].trim_ascii();
        match end {
            Some(end) if bytes[end] == b':' => {
                self.rule = match whole && KEPT.contains(&name) {
                    true if name == b"host" => Rule::Host,
                    true => Rule::Keep,
                    false => Rule::Cover,
                };
                self.at = At::Value(self.rule);
                end + 1
            }
            // A line without a colon is no header.
            Some(end) => {
                cover_line(&mut bytes[..end]);
                end
            }
            None if whole && KEPT.iter().any(|kept| kept.starts_with(name)) => bytes.len(),
            None => {
                cover_line(bytes);
                self.at = At::HiddenName;
                bytes.len()
            }
        }
    }
}

fn cover_line(bytes: &mut [u8]) {
    bytes
        .iter_mut()
        .filter(|byte| **byte != b'\r')
        .for_each(|byte| *byte = COVER);
}

fn position(bytes: &[u8], any: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| any.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str, step: usize) -> String {
        let (mut scrub, mut bytes) = (Scrub::default(), text.as_bytes().to_vec());
        bytes.chunks_mut(step).for_each(|piece| scrub.scrub(piece));
        String::from_utf8(bytes).unwrap()
    }

    const REQUEST: &str = "GET http://u:secret@h/a?k=secret&secret&l=secret HTTP/1.1\r\nHost: h\r\n\
        Authorization: Bearer secret\r\n secret\r\nX-Any: secret\r\ntraceparent: 00-1\r\n\
        Content-Length: 5\r\nsecret\r\nReferer: http://h/?t=secret\r\n\r\n\
        GET /b HTTP/1.1\r\nCookie: secret\r\n\r\n";

    #[test]
    fn secrets_go_and_what_spans_need_stays() {
        let host = "GET / HTTP/1.1\r\nHost: secret@h\r\n\r\n";
        assert_eq!(
            scrubbed(host, 40),
            "GET / HTTP/1.1\r\nHost:xxxxxxx@h\r\n\r\n"
        );
        assert_eq!(
            scrubbed(REQUEST, REQUEST.len()),
            "GET http://xxxxxxxx@h/a?k=xxxxxx&xxxxxx&l=xxxxxx HTTP/1.1\r\nHost: h\r\n\
             Authorization:xxxxxxxxxxxxxx\r\nxxxxxxx\r\nX-Any:xxxxxxx\r\ntraceparent: 00-1\r\n\
             Content-Length: 5\r\nxxxxxx\r\nReferer:xxxxxxxxxxxxxxxxxxx\r\n\r\n\
             GET /b HTTP/1.1\r\nCookie:xxxxxxx\r\n\r\n"
        );
        let response =
            "HTTP/1.1 200 secret\r\nSet-Cookie: secret\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            scrubbed(response, response.len()),
            "HTTP/1.1 200 xxxxxx\r\nSet-Cookie:xxxxxxx\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn no_split_lets_a_secret_through() {
        // Any four bytes of it in a row would be too many.
        for step in 1..REQUEST.len() {
            let text = scrubbed(REQUEST, step);
            for part in ["secr", "ecre", "cret"] {
                assert!(!text.contains(part), "step {step}: {text}");
            }
            assert_eq!(text.len(), REQUEST.len());
            assert!(
                text.contains("\r\ntraceparent: 00-1\r\nContent-Length: 5\r\n"),
                "{text}"
            );
        }
    }
}
