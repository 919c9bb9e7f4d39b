//! What lies outside `/proc/PID` about a container: its name, the pod's namespace.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::text;

/// Bytes of docker's description of a container that are read.
const DESCRIPTION_MAX: u64 = 1 << 20;
/// Longest namespace name.
const NAMESPACE_MAX: u64 = 253;
/// Where Kubernetes mounts the namespace of a pod's service account.
const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Name that docker gave to a container.
pub fn docker_name(id: &str) -> Option<String> {
    // The id is 64 hexadecimal digits: no path can hide in it.
    let path = format!("/var/lib/docker/containers/{id}/config.v2.json");
    let mut json = Vec::new();
    File::open(path)
        .ok()?
        .take(DESCRIPTION_MAX)
        .read_to_end(&mut json)
        .ok()?;
    name_in(&json)
}

fn name_in(json: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Description {
        #[serde(rename = "Name")]
        name: String,
    }
    let description: Description = serde_json::from_slice(json).ok()?;
    text::name(description.name.trim_start_matches('/'))
}

/// Content of the service account's namespace file as the process sees it.
///
/// The container's files are hostile: symbolic links must not lead out of its root, and a pipe in
/// the place of the file must not block.
pub fn namespace_file(tgid: u32) -> Option<String> {
    let root = open(
        format!("/proc/{tgid}/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let file = in_root(&root, NAMESPACE_FILE)?;
    let mut name = String::new();
    file.take(NAMESPACE_MAX + 1)
        .read_to_string(&mut name)
        .ok()?;
    Some(name)
}

fn in_root(root: &OwnedFd, path: &str) -> Option<File> {
    let open = |flags: OFlags| {
        openat2(
            root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
        .ok()
    };
    // Opening a device can have effects; its kind is looked at first.
    let seen = open(OFlags::PATH)?;
    let kind = |fd: &OwnedFd| {
        fstat(fd)
            .ok()
            .map(|stat| FileType::from_raw_mode(stat.st_mode))
    };
    if kind(&seen)? != FileType::RegularFile {
        return None;
    }
    let again = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Some(File::from(
        rustix::fs::openat(CWD, again, flags, Mode::empty()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(dir: &tempfile::TempDir) -> OwnedFd {
        open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("a directory")
    }

    fn content(file: Option<File>) -> Option<String> {
        let mut text = String::new();
        file?.read_to_string(&mut text).expect("readable");
        Some(text)
    }

    #[test]
    fn links_stay_in_the_containers_root() {
        let (dir, outside) = (
            tempfile::tempdir().expect("dir"),
            tempfile::tempdir().expect("dir"),
        );
        std::fs::write(outside.path().join("secret"), "secret").expect("written");
        std::fs::write(dir.path().join("inside"), "inside").expect("written");
        let link = |target: &std::path::Path, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).expect("a link");
        };
        link(&outside.path().join("secret"), "absolute");
        link("/inside".as_ref(), "rooted");
        let root = root(&dir);
        assert_eq!(content(in_root(&root, "absolute")), None);
        assert_eq!(content(in_root(&root, "rooted")).as_deref(), Some("inside"));
        assert_eq!(
            content(in_root(&root, "../../../../inside")).as_deref(),
            Some("inside")
        );
    }

    #[test]
    fn a_pipe_in_the_place_of_the_file_does_not_block() {
        let dir = tempfile::tempdir().expect("dir");
        rustix::fs::mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0)
            .expect("a pipe");
        assert!(in_root(&root(&dir), "pipe").is_none());
    }

    #[test]
    fn dockers_description_gives_the_name() {
        assert_eq!(
            name_in(br#"{"ID":"x","Name":"/shop-web-1"}"#).as_deref(),
            Some("shop-web-1")
        );
        assert_eq!(name_in(b"{"), None);
        assert_eq!(name_in(br#"{"Name":"/"}"#), None);
    }
}
