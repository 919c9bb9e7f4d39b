//! `.go.buildinfo`: the toolchain's version and the main module (Go 1.18 and later keep both
//! inline; older ones keep pointers, which are not followed).

use super::GoError;
use super::elf::Image;
use super::window::find;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER: usize = 32;
/// Flag: strings follow the header.
const INLINE: u8 = 2;
/// Bytes of the version.
const MAX_VERSION: usize = 256;
/// Bytes read for the list of modules.
const MAX_INFO: u64 = 1024 * 1024;
/// Bytes of the module path that are kept.
const MAX_MODULE: usize = 512;
/// The linker puts the list of modules between two markers of this length.
const MARKER: usize = 16;

/// What the binary says about its making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BuildInfo {
    pub(super) version: String,
    pub(super) module: String,
}

impl BuildInfo {
    /// The minor version, 0 where unknown.
    pub(super) fn minor(&self) -> u32 {
        minor(&self.version)
    }
}

/// `None`: not a Go binary.
pub(super) fn read(image: &Image) -> Result<Option<BuildInfo>, GoError> {
    if let Some(section) = image.section(".go.buildinfo") {
        let bytes = image.read(section.offset, section.size.min(MAX_INFO))?;
        return Ok(Some(parse(&bytes)));
    }
    if [".gopclntab", ".data.rel.ro.gopclntab"]
        .iter()
        .any(|name| image.section(name).is_some())
    {
        return Ok(Some(BuildInfo::default()));
    }
    if !image.sections.is_empty() {
        return Ok(None);
    }
    for segment in image.segments.iter().filter(|segment| segment.writable) {
        if let Some(at) = find(image, segment, 0, 16, |block| block.starts_with(MAGIC))? {
            let bytes = image.read(segment.offset + at, (segment.size - at).min(MAX_INFO))?;
            return Ok(Some(parse(&bytes)));
        }
    }
    Ok(None)
}

fn parse(bytes: &[u8]) -> BuildInfo {
    let inline = bytes.starts_with(MAGIC) && bytes.get(15).is_some_and(|flags| flags & INLINE != 0);
    let Some((version, rest)) = bytes.get(HEADER..).filter(|_| inline).and_then(string) else {
        return BuildInfo::default();
    };
    let info = string(rest).map(|(info, _)| info).unwrap_or_default();
    let info = info.get(MARKER..).unwrap_or_default();
    BuildInfo {
        version: text(version, MAX_VERSION),
        module: module(info)
            .map(|path| text(path, MAX_MODULE))
            .unwrap_or_default(),
    }
}

/// A string behind its length (an unsigned varint), and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut len, mut shift) = (0usize, 0);
    for (index, byte) in bytes.iter().enumerate().take(4) {
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(len);
        }
    }
    None
}

/// Path of the main module, else of the main package.
fn module(info: &[u8]) -> Option<&[u8]> {
    let line = |key: &[u8]| {
        let mut lines = info.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(key))?;
        value.split(|byte| *byte == b'\t').next()
    };
    line(b"mod\t").or_else(|| line(b"path\t"))
}

fn text(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]);
    text.chars().filter(|c| !c.is_control()).collect()
}

/// 26 for `go1.26.8`, `go1.26rc1`, `devel go1.26-a1b2c3 X:...`; 0 for anything else.
fn minor(version: &str) -> u32 {
    let version = version.strip_prefix("devel ").unwrap_or(version);
    let Some(rest) = version.strip_prefix("go1.") else {
        return 0;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_are_read_from_releases_and_development_versions() {
        for (version, want) in [
            ("go1.18", 18),
            ("go1.26.8", 26),
            ("go1.27rc1", 27),
            ("go1.24.1 X:boringcrypto", 24),
            ("devel go1.28-0123abcd Mon Jan 5 2026", 28),
            ("devel +0123abcd", 0),
            ("go2.1", 0),
            ("go1.99999999999", 0),
            ("", 0),
        ] {
            assert_eq!(minor(version), want, "{version}");
        }
    }

    #[test]
    fn version_and_module_are_read() {
        let info = b"path\texample.com/a/cmd/x\nmod\texample.com/a\tv1.2.3\th1:=\nbuild\t-a=b\n";
        let mut bytes = [MAGIC, &[8, INLINE]].concat();
        bytes.resize(HEADER, 0);
        bytes.extend([8]);
        bytes.extend(b"go1.26.8");
        bytes.extend([(info.len() + 2 * MARKER) as u8]);
        bytes.extend([b'<'; MARKER]);
        bytes.extend(info);
        bytes.extend([b'>'; MARKER]);
        let build = parse(&bytes);
        assert_eq!(
            (&*build.version, &*build.module),
            ("go1.26.8", "example.com/a")
        );
        for end in 0..bytes.len() {
            parse(&bytes[..end]);
        }
    }

    #[test]
    fn lengths_that_lie_give_nothing() {
        let mut bytes = [MAGIC, &[8, INLINE]].concat();
        bytes.resize(HEADER, 0);
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(parse(&bytes), BuildInfo::default());
    }
}
