//! Recordings: the event stream in a file, and back. Mode 0600; one magic line, then records as
//! they came (their head tells their size).

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use threadline_common::record::{Header, read};

/// First bytes of a recording; the number changes with the format.
pub const MAGIC: &[u8] = b"threadline recording 1\n";
/// No record is larger: a segment of 4 KiB payload is the largest of the kernel's, process facts of
/// the agent's.
const MAX_RECORD: usize = 1 << 20;

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file itself.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a recording, or another version's.
    #[error("not a threadline recording of this version (it must begin with \"{}\")",
        String::from_utf8_lossy(MAGIC).trim_end())]
    Magic,
    /// A record with an impossible size: what follows cannot be found.
    #[error("damaged recording: a record of {0} bytes at offset {1}")]
    Size(u32, u64),
}

/// Writes a recording.
pub struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    /// Creates the file (readable by its owner only) or empties it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(MAGIC)?;
        Ok(Self { file })
    }

    /// Appends one record.
    pub fn write(&mut self, record: &[u8]) -> io::Result<()> {
        self.file.write_all(record)
    }

    /// Writes out what is buffered.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a recording.
pub struct Reader<R> {
    file: BufReader<R>,
    offset: u64,
}

impl Reader<File> {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::new(File::open(path)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads from any stream.
    pub fn new(stream: R) -> Result<Self, RecordingError> {
        let mut file = BufReader::with_capacity(1 << 18, stream);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)
            .map_err(|_| RecordingError::Magic)?;
        if magic != MAGIC {
            return Err(RecordingError::Magic);
        }
        Ok(Self {
            file,
            offset: MAGIC.len() as u64,
        })
    }

    /// The next record's bytes; `None` at the end. A record cut off by the end of the file (a
    /// recorder that was killed) ends the recording too.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<()>, RecordingError> {
        record.resize(size_of::<Header>(), 0);
        if !self.fill(record)? {
            return Ok(None);
        }
        let size = read::<Header>(record).map_or(0, |header| header.size);
        let len = size as usize;
        if !(size_of::<Header>()..=MAX_RECORD).contains(&len) {
            return Err(RecordingError::Size(size, self.offset));
        }
        record.resize(len, 0);
        let whole = self.fill(&mut record[size_of::<Header>()..])?;
        self.offset += len as u64;
        Ok(whole.then_some(()))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::json_record;

    #[test]
    fn what_is_written_is_read_again_and_a_cut_end_is_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let first = json_record(101, 7, 1, b"{}");
        let mut writer = Writer::create(&path).unwrap();
        writer.write(&first).unwrap();
        writer.write(&first[..10]).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let mut record = Vec::new();
        assert!(reader.next(&mut record).unwrap().is_some());
        assert_eq!(record, first);
        assert!(reader.next(&mut record).unwrap().is_none());
    }

    #[test]
    fn a_lying_size_is_an_error() {
        let mut bytes = MAGIC.to_vec();
        let mut record = json_record(101, 7, 1, b"{}");
        record[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes.extend_from_slice(&record);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        assert!(matches!(
            reader.next(&mut Vec::new()),
            Err(RecordingError::Size(u32::MAX, 23))
        ));
        assert!(matches!(
            Reader::new(&b"no"[..]),
            Err(RecordingError::Magic)
        ));
    }
}
