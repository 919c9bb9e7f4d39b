//! Keeps a copy of the ordered stream in a file, secrets overwritten.

use std::path::Path;

use threadline_common::record::{self, KIND_PROCESS};
use tracing::warn;

use crate::connection::Input;
use crate::connection::redact::Redactor;
use crate::source::recording::Writer;
use crate::source::{Event, json_record};

/// Writes a recording until it fails.
pub struct Recorder {
    writer: Option<Writer>,
    redactor: Option<Redactor>,
    /// Records written.
    pub written: u64,
}

impl Recorder {
    /// Creates the file. `raw`: secrets are kept.
    pub fn create(path: &Path, raw: bool) -> std::io::Result<Self> {
        let redactor = (!raw).then(Redactor::default);
        Ok(Self {
            writer: Some(Writer::create(path)?),
            redactor,
            written: 0,
        })
    }

    /// Appends a record.
    pub fn record(&mut self, event: &Event) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        if let Some(redactor) = &mut self.redactor
            && let Some(input) = noted(event)
        {
            redactor.note(input);
        }
        let bytes = encode(event, self.redactor.as_mut());
        match writer.write(&bytes) {
            Ok(()) => self.written += 1,
            Err(error) => {
                warn!(%error, "the recording ends here");
                self.writer = None;
            }
        }
    }

    /// Writes out what is buffered.
    pub fn finish(self) -> std::io::Result<()> {
        self.writer.map_or(Ok(()), Writer::finish)
    }
}

/// What the redactor follows besides segments.
fn noted(event: &Event) -> Option<Input> {
    Some(match event {
        Event::Open(open) => Input::Open(*open),
        Event::Short(short) => Input::Short(*short),
        Event::Halt(halt) => Input::Halt(*halt),
        Event::Close(close) => Input::Close(*close),
        Event::Exit(header) => Input::Exit(header.tgid, header.ktime_ns),
        _ => return None,
    })
}

/// The record's bytes as they came, but for secrets.
fn encode(event: &Event, redactor: Option<&mut Redactor>) -> Vec<u8> {
    let with = |fixed: &[u8], payload: &[u8]| {
        let mut bytes = fixed.to_vec();
        bytes.extend_from_slice(payload);
        // The size as written: the ring may have padded the record.
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[16..20].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    match event {
        Event::Open(r) => with(record::bytes_of(r), &[]),
        Event::Close(r) => with(record::bytes_of(r), &[]),
        Event::Segment(r, payload) => {
            let mut segment = *r;
            let mut payload = payload.to_vec();
            if let Some(redactor) = redactor {
                redactor.redact(&mut segment, &mut payload);
            }
            with(record::bytes_of(&segment), &payload)
        }
        Event::Short(r) => with(record::bytes_of(r), &[]),
        Event::Halt(r) => with(record::bytes_of(r), &[]),
        Event::Exec(r) => with(record::bytes_of(r), &[]),
        Event::Exit(r) | Event::Mapped(r) => with(record::bytes_of(r), &[]),
        Event::GoServe(r) => with(record::bytes_of(r), &[]),
        Event::GoCall(r) => with(record::bytes_of(r), &[]),
        Event::GoConn(r) => with(record::bytes_of(r), &[]),
        Event::GoRoute(r, text) => with(record::bytes_of(r), text),
        Event::GoExit(r) => with(record::bytes_of(r), &[]),
        Event::Clock(r) => with(record::bytes_of(r), &[]),
        Event::Counters(r, json) => with(record::bytes_of(r), json),
        Event::Process(r, facts) => {
            let json = serde_json::to_vec(facts).unwrap_or_default();
            json_record(KIND_PROCESS, r.tgid, r.ktime_ns, &json)
        }
    }
}
