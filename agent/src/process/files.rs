//! Executable files of a process: identity as the kernel programs see it, paths to open them.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use threadline_common::map::FileId;

/// Bytes of `/proc/PID/maps` that are read.
pub const MAPS_MAX: u64 = 8 << 20;
/// Executable files of one process that are told.
pub const MAPPED_MAX: usize = 512;

/// A file that a process has mapped as code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Path as the process sees it.
    pub path: PathBuf,
    /// Path that opens exactly this file, also when it was replaced since. Needs
    /// CAP_CHECKPOINT_RESTORE (or CAP_SYS_ADMIN); [`Mapped::in_root`] does without.
    pub map_file: PathBuf,
    /// Which file.
    pub id: FileId,
}

impl Mapped {
    /// The path through the process's root: it may have been replaced since it was mapped.
    pub fn in_root(&self, tgid: u32) -> PathBuf {
        let inside = self.path.strip_prefix("/").unwrap_or(&self.path);
        Path::new("/proc")
            .join(tgid.to_string())
            .join("root")
            .join(inside)
    }
}

/// Identity by `stat`.
///
/// The device is that of `stat`, which equals the kernel's `s_dev` on most file systems. btrfs
/// gives each subvolume a number of its own there, and overlayfs with layers on several file
/// systems may report a layer's; [`exe_id`] and [`mapped`] take the kernel's own where they can.
pub fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|metadata| by_stat(&metadata))
}

/// The same from what `stat` told.
pub fn by_stat(metadata: &Metadata) -> FileId {
    let dev = metadata.dev();
    FileId {
        inode: metadata.ino(),
        device: kernel_dev(rustix::fs::major(dev), rustix::fs::minor(dev)),
        pad: 0,
    }
}

/// The kernel's internal encoding.
fn kernel_dev(major: u32, minor: u32) -> u32 {
    major << 20 | (minor & 0xf_ffff)
}

/// Identity of a process's executable: inode by `stat`, device from its mapping, which shows
/// `s_dev` itself.
pub fn exe_id(tgid: u32) -> io::Result<FileId> {
    let by_stat = file_id(Path::new(&format!("/proc/{tgid}/exe")))?;
    let mapped = lines(tgid).ok().and_then(|mut lines| {
        lines.find_map(|line| {
            parse(&line)
                .map(|line| line.id)
                .filter(|id| id.inode == by_stat.inode)
        })
    });
    Ok(mapped.unwrap_or(by_stat))
}

/// Files that the process has mapped as code, each once: executable, libraries, Go c-shared ones.
pub fn mapped(tgid: u32) -> io::Result<Vec<Mapped>> {
    let mut seen = BTreeSet::new();
    Ok(lines(tgid)?
        .filter_map(|text| {
            let line = parse(&text).filter(|line| line.executable)?;
            seen.insert(line.id).then(|| Mapped {
                path: line.path.into(),
                map_file: format!("/proc/{tgid}/map_files/{}", line.range).into(),
                id: line.id,
            })
        })
        .take(MAPPED_MAX)
        .collect())
}

fn lines(tgid: u32) -> io::Result<impl Iterator<Item = String>> {
    let file = File::open(format!("/proc/{tgid}/maps"))?;
    Ok(BufReader::new(file.take(MAPS_MAX))
        .split(b'\n')
        .map_while(Result::ok)
        .map(|line| String::from_utf8_lossy(&line).into_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    range: String,
    executable: bool,
    id: FileId,
    path: &'a str,
}

/// `7f00-7f10 r-xp 00000000 fd:01 1234   /usr/lib/libc.so.6`; `None` where no file is mapped.
fn parse(line: &str) -> Option<Line<'_>> {
    let mut rest = line;
    let mut field = || {
        rest = rest.trim_start_matches(' ');
        let (field, tail) = rest.split_once(' ')?;
        rest = tail;
        Some(field)
    };
    let (range, perms, _, dev, inode) = (field()?, field()?, field()?, field()?, field()?);
    let path = rest.trim_start_matches(' ');
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let inode: u64 = inode.parse().ok().filter(|&inode| inode != 0)?;
    let (major, minor) = dev.split_once(':')?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    let (start, end) = range.split_once('-')?;
    // maps pads addresses with zeroes, map_files does not.
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(Line {
        range: format!("{:x}-{:x}", address(start)?, address(end)?),
        executable: perms.as_bytes().get(2) == Some(&b'x'),
        id: FileId {
            inode,
            device: kernel_dev(hex(major)?, hex(minor)?),
            pad: 0,
        },
        path,
    })
    .filter(|line| line.path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_file_device_and_path() {
        let line =
            parse("00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/a b (deleted)")
                .expect("a file");
        assert_eq!(
            (line.range.as_str(), line.executable),
            ("400000-452000", true)
        );
        assert_eq!((line.id.inode, line.id.device), (173_521, 8 << 20 | 2));
        assert_eq!(line.path, "/usr/bin/a b");
        for none in [
            "7ffe0000-7ffe2000 r-xp 00000000 00:00 0          [vdso]",
            "7f00-7f10 rw-p 00000000 00:00 0",
            "7f00-7f10 r-xp 00000000 00:01 7    anon_inode:x",
            "x-y r-xp 0 1:1 1 /a",
            "",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn the_own_executable_is_found_by_both_ways() {
        let own = std::process::id();
        let exe = std::env::current_exe().expect("a path");
        let by_maps = mapped(own).expect("readable");
        let id = exe_id(own).expect("readable");
        assert_eq!(id.inode, file_id(&exe).expect("readable").inode);
        let line = by_maps
            .iter()
            .find(|mapped| mapped.id == id)
            .expect("mapped");
        assert_eq!(line.path, exe);
        assert_eq!(
            file_id(&line.in_root(own)).expect("readable").inode,
            id.inode
        );
        let ids: BTreeSet<_> = by_maps.iter().map(|mapped| mapped.id).collect();
        assert_eq!(ids.len(), by_maps.len(), "each once");
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in "([0-9a-f]{0,20}[- :]){0,8}.{0,40}") {
            let _ = parse(&line);
        }
    }
}
