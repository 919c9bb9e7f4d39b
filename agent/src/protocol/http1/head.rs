//! Header blocks: collecting one that comes in pieces, and reading a whole one.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, ParserConfig, Request, Response, Status};

use super::body::Framing;
use super::line;
use super::target::{self, cut};
use crate::connection::transaction::RequestHead;
use crate::protocol::{DETECT_BYTES, Mark, Verdict};

/// Longest header block.
pub const MAX_HEAD: usize = 64 * 1024;
/// `traceparent` headers kept.
pub const MAX_TRACEPARENT: usize = 4;
/// Longest value kept of a header that has no limit of its own.
pub const MAX_VALUE: usize = 512;
/// Longest `tracestate` kept; a longer one is dropped whole, a part of it would be a lie.
pub const MAX_TRACESTATE: usize = 8 * 1024;

/// Headers that need no memory of their own.
const FEW_HEADERS: usize = 64;

/// The header block is against the rules.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// A header block under way.
#[derive(Debug)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    line_start: usize,
    line_checked: bool,
    /// Its first byte.
    pub start: Mark,
    /// Looked for after bytes were passed over: that it is none is no error.
    pub tentative: bool,
}

/// What became of bytes given to a [`HeadBuffer`].
pub enum Collected<'a> {
    /// All taken, more needed.
    More,
    /// Complete: bytes taken, and the block.
    Whole(usize, Cow<'a, [u8]>),
    /// Its first line is not HTTP/1.
    Foreign,
    /// Longer than [`MAX_HEAD`].
    TooLong,
}

impl HeadBuffer {
    /// Starts empty.
    pub fn new(start: Mark, tentative: bool) -> Self {
        Self {
            bytes: Vec::new(),
            line_start: 0,
            line_checked: false,
            start,
            tentative,
        }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The first line was seen and will do.
    pub fn is_sure(&self) -> bool {
        self.line_checked
    }

    /// The bytes held are surely those of a header block.
    pub fn is_plain(&self) -> bool {
        self.line_checked || line::is_plain_start(&self.bytes)
    }

    /// Adds bytes up to the end of the block. `is` tells whether a first line will do.
    pub fn push<'a>(&mut self, more: &'a [u8], is: fn(&[u8]) -> Verdict) -> Collected<'a> {
        let before = self.bytes.len();
        let (end, window) = match before {
            // The usual case: all of it in one segment, nothing copied.
            0 => (self.end_in(more, 0), more),
            _ => {
                let room = MAX_HEAD.saturating_sub(before).min(more.len());
                self.bytes.extend_from_slice(&more[..room]);
                let bytes = std::mem::take(&mut self.bytes);
                let end = self.end_in(&bytes, before);
                self.bytes = bytes;
                (end, &self.bytes[..])
            }
        };
        if !self.line_checked && !line_will_do(window, is, &mut self.line_checked) {
            return Collected::Foreign;
        }
        match end {
            Some(end) if end > MAX_HEAD => Collected::TooLong,
            Some(end) if before == 0 => Collected::Whole(end, Cow::Borrowed(&more[..end])),
            Some(end) => {
                let mut bytes = std::mem::take(&mut self.bytes);
                bytes.truncate(end);
                Collected::Whole(end - before, Cow::Owned(bytes))
            }
            None if before + more.len() >= MAX_HEAD => Collected::TooLong,
            None => {
                if before == 0 {
                    self.bytes.extend_from_slice(more);
                }
                Collected::More
            }
        }
    }

    /// Length of the block when its last line is in `bytes[from..]`.
    fn end_in(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(found) = bytes[at..].iter().position(|&b| b == b'\n') {
            let line = &bytes[self.line_start..at + found];
            at += found + 1;
            // An empty first line cannot be: line breaks in front are not part of the block.
            if (line.is_empty() || line == b"\r") && self.line_start > 0 {
                return Some(at);
            }
            self.line_start = at;
        }
        None
    }
}

/// False when the first line is known to be something else.
fn line_will_do(bytes: &[u8], is: fn(&[u8]) -> Verdict, checked: &mut bool) -> bool {
    let end = bytes.iter().position(|&b| b == b'\n');
    match end {
        Some(end) => {
            *checked = true;
            matches!(is(&bytes[..=end]), Verdict::Request | Verdict::Response)
        }
        None if bytes.len() < 2 * DETECT_BYTES => is(bytes) != Verdict::No,
        None => {
            *checked = true;
            is(bytes) != Verdict::No
        }
    }
}

/// A request's header block, read.
#[derive(Debug)]
pub struct ParsedRequest {
    /// What is kept of it.
    pub head: RequestHead,
    /// Framing of its content.
    pub framing: Framing,
}

/// Reads a whole request header block.
pub fn request(block: &[u8], redact_query: bool) -> Result<ParsedRequest, Broken> {
    let block = unfold(block);
    with_headers(&block, |headers| {
        let mut request = Request::new(headers);
        let mut config = ParserConfig::default();
        config.ignore_invalid_headers_in_requests(true);
        let Ok(Status::Complete(_)) = config.parse_request(&mut request, &block) else {
            return Err(Broken);
        };
        let fields = Fields::read(request.headers, &block)?;
        let framing = match fields.coding {
            Some(true) => Framing::Chunked,
            // RFC 9112, 6.3: the length of such a request cannot be known.
            Some(false) => return Err(Broken),
            None => fields.length.map_or(Framing::Empty, sized),
        };
        let method = request.method.ok_or(Broken)?;
        let target = target::parse(method, request.path.ok_or(Broken)?, redact_query);
        let version = match request.version {
            Some(0) => "1.0",
            _ => "1.1",
        };
        let head = RequestHead {
            method: method.to_owned(),
            path: target.path,
            query: target.query,
            host: target.host.or(fields.host),
            version,
            user_agent: fields.user_agent,
            request_id: fields.request_id,
            traceparent: fields.traceparent,
            tracestate: fields.tracestate,
            proxied_for: None,
        };
        Ok(ParsedRequest { head, framing })
    })
}

/// Reads a whole response header block: status, and framing where content may follow.
pub fn response(block: &[u8]) -> Result<(u16, Framing), Broken> {
    let block = unfold(block);
    with_headers(&block, |headers| {
        let mut response = Response::new(headers);
        let mut config = ParserConfig::default();
        config.ignore_invalid_headers_in_responses(true);
        config.allow_spaces_after_header_name_in_responses(true);
        let Ok(Status::Complete(_)) = config.parse_response(&mut response, &block) else {
            return Err(Broken);
        };
        let fields = Fields::read(response.headers, &block)?;
        let framing = match (fields.coding, fields.length) {
            (Some(true), _) => Framing::Chunked,
            (Some(false), _) | (None, None) => Framing::Close,
            (None, Some(n)) => sized(n),
        };
        Ok((response.code.ok_or(Broken)?, framing))
    })
}

fn sized(n: u64) -> Framing {
    match n {
        0 => Framing::Empty,
        n => Framing::Length(n),
    }
}

/// Calls `read` with room for all headers of `block`.
fn with_headers<'b, T>(block: &'b [u8], read: impl FnOnce(&mut [Header<'b>]) -> T) -> T {
    let lines = block.iter().filter(|&&b| b == b'\n').count();
    match lines {
        0..FEW_HEADERS => read(&mut [EMPTY_HEADER; FEW_HEADERS]),
        _ => read(&mut vec![EMPTY_HEADER; lines]),
    }
}

/// Puts folded header lines on one line (RFC 9112, 5.2), same length.
fn unfold(block: &[u8]) -> Cow<'_, [u8]> {
    let folded = |pair: &[u8]| pair[0] == b'\n' && matches!(pair[1], b' ' | b'\t');
    if !block.windows(2).any(folded) {
        return Cow::Borrowed(block);
    }
    let mut block = block.to_vec();
    for at in 1..block.len() {
        if folded(&block[at - 1..=at]) {
            block[at - 1] = b' ';
            if at >= 2 && block[at - 2] == b'\r' {
                block[at - 2] = b' ';
            }
        }
    }
    Cow::Owned(block)
}

/// What is kept of the headers.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// `Some(true)`: the last transfer coding is chunked.
    coding: Option<bool>,
    host: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    traceparent: Vec<String>,
    tracestate: Option<String>,
}

impl Fields {
    fn read(headers: &[Header<'_>], block: &[u8]) -> Result<Self, Broken> {
        let mut fields = Self::default();
        let mut state = String::new();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = header.value.trim_ascii();
            // Names are told apart by length first: most headers are none of these.
            match header.name.len() {
                14 if is("content-length") => fields.content_length(value)?,
                17 if is("transfer-encoding") => fields.transfer_encoding(value),
                4 if is("host") && fields.host.is_none() => {
                    fields.host = Some(target::host(&text(value, 1024)));
                }
                10 if is("user-agent") => keep(&mut fields.user_agent, value),
                12 if is("x-request-id") => keep(&mut fields.request_id, value),
                11 if is("traceparent") && fields.traceparent.len() < MAX_TRACEPARENT => {
                    fields.traceparent.push(text(value, MAX_VALUE));
                }
                10 if is("tracestate") && state.len() <= MAX_TRACESTATE => {
                    if !state.is_empty() {
                        state.push(',');
                    }
                    state.push_str(&String::from_utf8_lossy(value));
                }
                _ => {}
            }
        }
        if !state.is_empty() && state.len() <= MAX_TRACESTATE {
            fields.tracestate = Some(state);
        }
        fields.refuse_passed_over(headers.len(), block)?;
        Ok(fields)
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Broken> {
        for part in value.split(|&b| b == b',') {
            let part = part.trim_ascii();
            if part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
                return Err(Broken);
            }
            let digits = std::str::from_utf8(part).map_err(|_| Broken)?;
            let n: u64 = digits.parse().map_err(|_| Broken)?;
            // The same length twice is legal to accept, two lengths are not.
            if self.length.is_some_and(|length| length != n) {
                return Err(Broken);
            }
            self.length = Some(n);
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        let last = value
            .rsplit(|&b| b == b',')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if last.eq_ignore_ascii_case(b"identity") {
            return;
        }
        self.coding = Some(last.eq_ignore_ascii_case(b"chunked"));
    }

    /// Lines the reader passes over are harmless unless they frame the message.
    fn refuse_passed_over(&self, read: usize, block: &[u8]) -> Result<(), Broken> {
        let lines = block.split(|&b| b == b'\n').skip(1);
        let lines = lines.filter(|line| !line.trim_ascii().is_empty());
        if lines.clone().count() == read {
            return Ok(());
        }
        let mut names = lines.map(|line| {
            let name = line
                .split(|&b| b == b':')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            name.to_ascii_lowercase()
        });
        let framing = |name: &Vec<u8>| name == b"content-length" || name == b"transfer-encoding";
        match names.any(|name| framing(&name)) && self.length.is_none() && self.coding.is_none() {
            true => Err(Broken),
            false => Ok(()),
        }
    }
}

fn keep(slot: &mut Option<String>, value: &[u8]) {
    if slot.is_none() {
        *slot = Some(text(value, MAX_VALUE));
    }
}

fn text(value: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(max)]);
    cut(&text, max).to_owned()
}

/// First line of a request or not.
pub fn is_request(bytes: &[u8]) -> Verdict {
    line::request(bytes)
}

/// First line of a response or not.
pub fn is_response(bytes: &[u8]) -> Verdict {
    line::response(bytes)
}

#[cfg(test)]
mod tests;
