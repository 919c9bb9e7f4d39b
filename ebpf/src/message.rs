//! The core that every back end feeds: numbers messages, decides what is copied, sends segments.
//!
//! A message begins where a connection's direction flips. Its first bytes are copied; while they
//! look like an HTTP header block without end, the rest follows, up to a bound. Bodies are not
//! copied, except for a short tail that shows where a chunked body ends. All of this only limits
//! copying: what a message is, the agent's parser decides.

use crate::{
    golang,
    layout::max_bytes,
    maps::{CHUNK, SOCKETS, Scratch, WAITS, count, send},
    memory::user,
    process::{Task, header},
    socket::{announce, scratch},
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use threadline_common::map::Socket;
use threadline_common::map::socket::{HEAD_OPEN, HTTP, OPAQUE, RX_KNOWN, TX_KNOWN};
use threadline_common::{
    counter::{
        OFFSET_JUMP, PAYLOAD_FAULT, RX_MESSAGES, RX_MESSAGES_RING_FULL, RX_MESSAGES_SENT,
        RX_MESSAGES_UNKNOWN, SEGMENTS_RING_FULL, TX_MESSAGES, TX_MESSAGES_RING_FULL,
        TX_MESSAGES_SENT, TX_MESSAGES_UNKNOWN,
    },
    map::PROCESS_GO,
    record::{
        DIR_TX, KIND_SEGMENT, SEGMENT_FIRST, SEGMENT_JUMP, SEGMENT_MORE, SEGMENT_NONBLOCK,
        SEGMENT_TAIL, SEGMENT_UNREADABLE, Segment,
    },
};

/// First bytes of a message that are copied.
const HEAD: u32 = 1024;
/// Later segments up to this size are copied whole: trailers, last chunks.
const SMALL: u32 = 256;
/// Messages in a row that look like nothing known before a connection is left alone; more patience
/// where HTTP was seen (bodies after `100 Continue` begin with anything).
const UNKNOWN_LIMIT: u32 = 4;
const UNKNOWN_LIMIT_HTTP: u32 = 64;
/// Pieces (iovec) of a call whose lengths are added up.
pub const PIECES: u32 = 32;
/// Pieces whose bytes are copied.
const GATHERED: u64 = 8;

/// Where the bytes of a call lie in user memory.
#[derive(Clone, Copy)]
pub struct Source {
    /// The buffer, or the array of `struct iovec`.
    pub base: u64,
    /// Entries of that array; 0: `base` is the buffer itself.
    pub pieces: u32,
    /// False where the bytes are not in user memory (splice, sendfile).
    pub readable: bool,
}

/// One call that moved bytes.
#[derive(Clone, Copy)]
pub struct Move {
    pub task: Task,
    pub sock: u64,
    pub source: Source,
    pub offset: u64,
    /// Entry time where the record is sent at the exit; 0: now.
    pub ktime_ns: u64,
    pub len: u32,
    pub dir: u8,
    pub nonblocking: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct IoVec {
    base: u64,
    len: u64,
}

// The loops below are global functions of numbers: the verifier proves each once, on its own,
// instead of once for every way that leads there (kernel/bpf/verifier.c, since 5.6).

/// Bytes that the pieces hold together.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pieces_total(base: u64, pieces: u64) -> u64 {
    let mut sum = 0u64;
    for i in 0..PIECES as u64 {
        if i >= pieces {
            break;
        }
        let Some(piece) = user::<IoVec>(base + i * 16) else {
            break;
        };
        sum += piece.len;
    }
    sum
}

/// Bytes of a call: the buffer's, or those of all its pieces.
#[inline(always)]
pub fn total(base: u64, pieces: u64) -> u64 {
    pieces_total(base, pieces)
}

/// Copies up to `want` bytes (at most [`CHUNK`]) of several pieces to the scratch payload.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn gather_pieces(base: u64, pieces: u64, want: u64) -> u64 {
    let Some(scratch) = scratch() else { return 0 };
    let mut have = 0u64;
    for i in 0..GATHERED {
        if i >= pieces || have >= want {
            break;
        }
        let Some(piece) = user::<IoVec>(base + i * 16) else {
            break;
        };
        let room = want - have;
        let n = if piece.len < room { piece.len } else { room };
        if n == 0 {
            continue;
        }
        if copy(piece.base, have as u32, n as u32, scratch) == 0 {
            break;
        }
        have = mask::<{ CHUNK as u64 - 1 }>(have + n);
    }
    have
}

/// Copies the first `want` bytes of a call to the scratch payload; how many it got.
#[inline(always)]
fn gather(source: &Source, want: u32, scratch: &mut Scratch) -> u32 {
    if source.pieces == 0 {
        copy(source.base, 0, want, scratch)
    } else {
        gather_pieces(source.base, u64::from(source.pieces), u64::from(want)) as u32
    }
}

/// First four bytes of the call, where one piece holds them.
#[inline(always)]
fn prefix(source: &Source) -> Option<[u8; 4]> {
    let base = if source.pieces == 0 {
        source.base
    } else {
        user::<IoVec>(source.base)?.base
    };
    user(base)
}

/// `value & MASK`, done where the compiler cannot remove it: it may know the bound already, the
/// verifier must see it.
#[inline(always)]
fn mask<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: one register, no memory, no control flow.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) value, const MASK) };
    value
}

/// Copies `n` bytes of user memory to the scratch payload at `at`; `n`, or 0 on a fault.
#[inline(always)]
fn copy(from: u64, at: u32, n: u32, scratch: &mut Scratch) -> u32 {
    let at = mask::<{ CHUNK as u64 - 1 }>(u64::from(at)) as usize;
    let n = mask::<{ 2 * CHUNK as u64 - 1 }>(u64::from(n)) as u32;
    if n == 0 {
        return 0;
    }
    // SAFETY: at < CHUNK and n < 2 * CHUNK; the payload has 3 * CHUNK bytes. The helper checks the source.
    let failed = unsafe {
        bpf_probe_read_user(
            scratch.payload.as_mut_ptr().add(at).cast(),
            n,
            from as *const _,
        )
    };
    if failed == 0 { n } else { 0 }
}

/// Address of the last 8 bytes of a call in several pieces, 0 where no one piece holds them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pieces_tail(base: u64, pieces: u64, len: u64) -> u64 {
    let mut passed = 0u64;
    for i in 0..PIECES as u64 {
        if i >= pieces {
            break;
        }
        let Some(piece) = user::<IoVec>(base + i * 16) else {
            break;
        };
        if passed + piece.len >= len {
            let end = len - passed;
            return if end >= 8 { piece.base + end - 8 } else { 0 };
        }
        passed += piece.len;
    }
    0
}

/// Last 8 bytes of the call, where one piece holds them.
#[inline(always)]
fn tail(source: &Source, len: u32) -> Option<[u8; 8]> {
    let len = u64::from(len);
    let at = if source.pieces == 0 {
        source.base + len - 8
    } else {
        pieces_tail(source.base, u64::from(source.pieces), len)
    };
    if at == 0 { None } else { user(at) }
}

/// Could a request, a response or a PROXY header begin with these bytes?
#[inline(always)]
fn begins(bytes: [u8; 4], n: u32) -> bool {
    let upper = |b: u8| b.is_ascii_uppercase();
    let [a, b, c, d] = bytes;
    if a == b'\r' {
        return true;
    }
    upper(a)
        && (n < 2 || upper(b) || b == b'-')
        && (n < 3 || upper(c))
        && (n < 4 || upper(d) || d == b' ' || d == b'-')
}

#[inline(always)]
fn first_four(scratch: &Scratch, at: u32) -> [u8; 4] {
    let at = mask::<{ CHUNK as u64 - 1 }>(u64::from(at)) as usize;
    // SAFETY: at < CHUNK, the payload is twice as long.
    unsafe { core::ptr::read_unaligned(scratch.payload.as_ptr().add(at).cast()) }
}

/// Offset behind the first empty line among the first `n` bytes of the scratch payload, 0 where
/// there is none. Looks at every fourth byte: the four bytes CR LF CR LF always cover one of them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn head_end(n: u64) -> u64 {
    const END: u32 = u32::from_le_bytes(*b"\r\n\r\n");
    let Some(scratch) = scratch() else { return 0 };
    let mut i = 3u64;
    while i < u64::from(HEAD) {
        if i >= n {
            break;
        }
        let window = word(scratch, i - 3);
        let byte = (window >> 24) as u8;
        if byte == b'\n' || byte == b'\r' {
            let mut shift = 0;
            while shift < 4 {
                if (window >> (8 * shift)) as u32 == END {
                    // Bytes behind the n-th are left over from another message.
                    let end = i + 1 + shift;
                    return if end <= n { end } else { 0 };
                }
                shift += 1;
            }
        }
        i += 4;
    }
    0
}

/// Eight bytes of the scratch payload.
#[inline(always)]
fn word(scratch: &Scratch, at: u64) -> u64 {
    let at = mask::<{ CHUNK as u64 - 1 }>(at) as usize;
    // SAFETY: at < CHUNK, the payload is three times as long.
    let from = unsafe { scratch.payload.as_ptr().add(at) };
    let value: u64;
    // One unaligned load, which the kernel takes on all our machines; the compiler would make
    // eight of it.
    // SAFETY: reads eight bytes of the payload.
    unsafe { core::arch::asm!("{0} = *(u64 *)({1} + 0)", out(reg) value, in(reg) from) };
    value
}

/// Bytes moved, or were handed over to move. Numbers the message and tells the agent.
#[inline(always)]
pub fn moved(m: Move) {
    if let Some(scratch) = scratch() {
        scratch.call = m;
        message_moved();
    }
}

/// [`moved`], with its argument in scratch memory: proven once for all callers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn message_moved() -> u64 {
    let Some(scratch) = scratch() else { return 0 };
    let m = scratch.call;
    if let Some(socket) = SOCKETS.get_ptr_mut(m.sock) {
        // SAFETY: the map's value, see `socket::remembered`.
        number(&m, unsafe { &mut *socket }, scratch);
    }
    0
}

#[inline(always)]
fn number(m: &Move, socket: &mut Socket, scratch: &mut Scratch) {
    let sending = m.dir == DIR_TX;
    let first = socket.last_dir != m.dir;
    if first {
        socket.last_dir = m.dir;
        socket.followed = 0;
        socket.flags |= HEAD_OPEN;
        if sending {
            socket.tx_messages += 1;
            count(TX_MESSAGES);
        } else {
            socket.rx_messages += 1;
            count(RX_MESSAGES);
        }
    }
    let (known, next) = if sending {
        (TX_KNOWN, socket.tx_next)
    } else {
        (RX_KNOWN, socket.rx_next)
    };
    let jumped = socket.flags & known != 0 && m.offset != next;
    if jumped {
        count(OFFSET_JUMP);
    }
    socket.flags |= known;
    if sending {
        socket.tx_next = m.offset + u64::from(m.len);
    } else {
        socket.rx_next = m.offset + u64::from(m.len);
    }
    if socket.flags & OPAQUE != 0 {
        if first {
            count(if sending {
                TX_MESSAGES_UNKNOWN
            } else {
                RX_MESSAGES_UNKNOWN
            });
        }
        return;
    }
    announce(&m.task, m.sock, socket);

    let mut captured = 0;
    let mut more = false;
    if m.source.readable {
        // A pipelined message, or a response after an interim one, begins without a flip.
        if socket.flags & HEAD_OPEN == 0
            && m.len > SMALL
            && let Some(bytes) = prefix(&m.source)
            && begins(bytes, 4)
        {
            socket.flags |= HEAD_OPEN;
            socket.followed = 0;
        }
        let open = socket.flags & HEAD_OPEN != 0;
        let want = if open { HEAD } else { SMALL };
        if open || m.len <= SMALL {
            captured = gather(&m.source, m.len.min(want), scratch);
        }
        if open {
            more = follow(m, socket, first, captured, scratch);
        }
    }

    let mut flags = 0;
    if first {
        flags |= SEGMENT_FIRST;
    }
    if jumped {
        flags |= SEGMENT_JUMP;
    }
    if m.nonblocking {
        flags |= SEGMENT_NONBLOCK;
    }
    if !m.source.readable || (captured == 0 && socket.flags & HEAD_OPEN != 0) {
        flags |= SEGMENT_UNREADABLE;
        if m.source.readable {
            count(PAYLOAD_FAULT);
        }
    }
    let segment = &mut scratch.segment;
    segment.header = header(&m.task, KIND_SEGMENT, 0);
    if m.ktime_ns != 0 {
        segment.header.ktime_ns = m.ktime_ns;
    }
    socket.last_ns = segment.header.ktime_ns;
    segment.conn = socket.conn;
    segment.offset = m.offset;
    segment.goid = golang::current_goid(&m.task);
    segment.last_wait_ns = 0;
    if m.task.process.flags & PROCESS_GO == 0 {
        // SAFETY: copied at once.
        segment.last_wait_ns = unsafe { WAITS.get(m.task.tid) }.copied().unwrap_or(0);
    }
    segment.len = m.len;
    segment.captured = captured;
    segment.ordinal = if sending {
        socket.tx_messages
    } else {
        socket.rx_messages
    };
    segment.dir = m.dir;
    segment.pad = [0; 2];
    segment.tail = [0; 8];
    if m.source.readable
        && captured < m.len
        && m.len >= 8
        && let Some(bytes) = tail(&m.source, m.len)
    {
        flags |= SEGMENT_TAIL;
        segment.tail = bytes;
    }
    segment.flags = flags;
    let sent = emit(scratch, captured);
    if first {
        count(match (sending, sent) {
            (true, true) => TX_MESSAGES_SENT,
            (true, false) => TX_MESSAGES_RING_FULL,
            (false, true) => RX_MESSAGES_SENT,
            (false, false) => RX_MESSAGES_RING_FULL,
        });
    }
    if !sent {
        if !first {
            count(SEGMENTS_RING_FULL);
        }
        if sending {
            socket.tx_dropped += 1;
        } else {
            socket.rx_dropped += 1;
        }
        return;
    }
    if more && m.source.pieces == 0 {
        let held = u64::from(captured);
        let limit = max_bytes().saturating_sub(u64::from(socket.followed));
        let left = u64::from(m.len) - held;
        socket.followed += send_rest(m.source.base + held, left, m.offset + held, limit) as u32;
    } else if m.source.pieces == 0 && ends_a_head(&scratch.segment) {
        // A request right behind a body that began in this call or before: its head ends the call.
        let left = m.len - captured;
        let n = u64::from(if left < HEAD { left } else { HEAD });
        let at = u64::from(m.len) - n;
        send_rest(m.source.base + at, n, m.offset + at, n);
    }
}

/// The uncaptured end of a segment is an empty line, and not that of a last chunk.
#[inline(always)]
fn ends_a_head(segment: &Segment) -> bool {
    let [_, _, a, b, tail @ ..] = segment.tail;
    segment.flags & SEGMENT_TAIL != 0 && tail == *b"\r\n\r\n" && (a, b) != (b'\n', b'0')
}

/// Looks at the captured head of a segment: is it HTTP, does the header block end in it, must the
/// rest of the segment be copied too?
#[inline(never)]
fn follow(
    m: &Move,
    socket: &mut Socket,
    first: bool,
    captured: u32,
    scratch: &mut Scratch,
) -> bool {
    if first && captured > 0 {
        if begins(first_four(scratch, 0), captured) {
            socket.flags |= HTTP;
            socket.unknown = 0;
        } else {
            socket.flags &= !HEAD_OPEN;
            socket.unknown += 1;
            let limit = if socket.flags & HTTP != 0 {
                UNKNOWN_LIMIT_HTTP
            } else {
                UNKNOWN_LIMIT
            };
            if socket.unknown >= limit {
                socket.flags |= OPAQUE;
            }
            return false;
        }
    }
    socket.followed += captured;
    let end = head_end(u64::from(captured)) as u32;
    if end == 0 {
        // Too large to be followed any longer.
        if u64::from(socket.followed) >= max_bytes() {
            socket.flags &= !HEAD_OPEN;
            return false;
        }
        return captured < m.len;
    }
    // Another message right behind this one?
    if end + 4 <= captured && begins(first_four(scratch, end), 4) {
        return captured < m.len;
    }
    socket.flags &= !HEAD_OPEN;
    false
}

/// Sends `left` bytes of a plain buffer in records of [`CHUNK`] bytes, from `base` on, which has
/// `offset` in its stream; how many it sent. The head of the record is that of the first part.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_rest(mut base: u64, mut left: u64, mut offset: u64, limit: u64) -> u64 {
    let Some(scratch) = scratch() else { return 0 };
    scratch.segment.flags = (scratch.segment.flags & SEGMENT_NONBLOCK) | SEGMENT_MORE;
    scratch.segment.tail = [0; 8];
    let mut sent = 0;
    for _ in 0..16 {
        if left == 0 || sent >= limit {
            break;
        }
        let n = if left < CHUNK as u64 {
            left
        } else {
            CHUNK as u64
        };
        let n = copy(base, 0, n as u32, scratch);
        if n == 0 {
            count(PAYLOAD_FAULT);
            break;
        }
        scratch.segment.offset = offset;
        scratch.segment.len = left as u32;
        scratch.segment.captured = n;
        if !emit(scratch, n) {
            count(SEGMENTS_RING_FULL);
            break;
        }
        let n = u64::from(n);
        base += n;
        offset += n;
        left -= n;
        sent += n;
    }
    sent
}

/// Sends the record in scratch memory with `captured` payload bytes.
#[inline(always)]
fn emit(scratch: &mut Scratch, captured: u32) -> bool {
    let payload = mask::<{ 2 * CHUNK as u64 - 1 }>(u64::from(captured));
    let size = size_of::<Segment>() as u64 + payload;
    scratch.segment.header.size = size as u32;
    send((&raw const scratch.segment).cast(), size)
}
