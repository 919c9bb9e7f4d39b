//! Struct offsets: what the binary's own debug information says, else the table of its version.

use threadline_common::map::UNKNOWN;

use super::elf::Image;
use super::table::TABLE;
use super::{GoBinary, GoError, dwarf, missing};

/// Struct and field, in the order of [`Offsets`].
pub(super) const FIELDS: [(&str, &str); 11] = [
    ("runtime.g", "m"),
    ("runtime.g", "goid"),
    ("runtime.g", "parentGoid"),
    ("runtime.g", "startpc"),
    ("runtime.m", "curg"),
    ("net/http.Request", "ctx"),
    ("net/http.Request", "Pattern"),
    ("net/http.persistConn", "conn"),
    ("net/http.persistConn", "tlsState"),
    ("net.netFD", "pfd"),
    ("internal/poll.FD", "Sysfd"),
];

/// Offsets in bytes by field; `None`: not known, or the version has no such field.
pub(super) type Offsets = [Option<u32>; FIELDS.len()];

/// Fills the struct offsets of `binary`, and what is missing without them.
pub(super) fn fill(image: &Image, binary: &mut GoBinary) -> Result<(), GoError> {
    let found = dwarf::offsets(image);
    let row = row(&binary.version, binary.minor);
    let mut offsets: Offsets = [None; FIELDS.len()];
    for (index, offset) in offsets.iter_mut().enumerate() {
        *offset = match found.seen[index] {
            true => found.offsets[index],
            false => row.and_then(|row| row[index]),
        };
    }
    set(binary, &offsets);
    // Types that the program does not use are in no debug information; they are not missed.
    if row.is_none() && !found.seen[0] {
        let newest = TABLE.last().map_or(0, |(minor, _)| *minor);
        binary
            .missing
            .push(missing::unknown_version(&binary.version, newest));
    }
    tell(binary);
    Ok(())
}

/// The offsets of a release. Development versions may have been cut before a field moved.
fn row(version: &str, minor: u32) -> Option<&'static Offsets> {
    let released = version.starts_with("go1.");
    let row = TABLE.iter().find(|(known, _)| released && *known == minor);
    row.map(|(_, offsets)| offsets)
}

fn set(binary: &mut GoBinary, offsets: &Offsets) {
    let [
        m,
        goid,
        parent,
        startpc,
        curg,
        ctx,
        pattern,
        conn,
        tls_state,
        pfd,
        sysfd,
    ] = offsets.map(|offset| offset.and_then(|offset| i32::try_from(offset).ok()));
    let layout = &mut binary.layout;
    let netfd_sysfd = pfd.zip(sysfd).map(|(pfd, sysfd)| pfd + sysfd);
    for (field, offset) in [
        (&mut layout.g_m, m),
        (&mut layout.g_goid, goid),
        (&mut layout.g_parent_goid, parent),
        (&mut layout.g_startpc, startpc),
        (&mut layout.m_curg, curg),
        (&mut layout.request_ctx, ctx),
        (&mut layout.request_pattern, pattern),
        (&mut layout.pconn_conn, conn),
        (&mut layout.pconn_tls_state, tls_state),
        (&mut layout.netfd_sysfd, netfd_sysfd),
    ] {
        *field = offset.unwrap_or(UNKNOWN);
    }
}

fn tell(binary: &mut GoBinary) {
    let layout = &binary.layout;
    let unknown = |fields: &[i32]| fields.contains(&UNKNOWN);
    let goroutine = unknown(&[layout.g_m, layout.g_goid, layout.m_curg]);
    let context = unknown(&[layout.request_ctx]);
    let pooled = unknown(&[
        layout.pconn_conn,
        layout.pconn_tls_state,
        layout.netfd_sysfd,
    ]);
    let lost = [
        (goroutine, missing::GOROUTINE),
        (
            context && (binary.has_http_client || binary.has_http_server),
            missing::CONTEXT,
        ),
        (pooled && binary.has_http_client, missing::POOLED),
    ];
    let lost = lost.into_iter().filter(|(lost, _)| *lost);
    binary.missing.extend(lost.map(|(_, text)| text.to_owned()));
}
