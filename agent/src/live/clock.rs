//! Event time and wall clock.

use threadline_common::record::{Clock, Header, KIND_CLOCK};

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid pointer to a timespec of ours.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// CLOCK_MONOTONIC, nanoseconds: the kernel programs' clock.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC).unsigned_abs()
}

/// What the wall clock is ahead of the monotonic one. The pair is read three times and the closest
/// reading taken: the thread may be interrupted in between.
pub fn clock_record(boot_id: [u8; 16]) -> Clock {
    let (_, before, wall) = (0..3)
        .map(|_| {
            let before = read(libc::CLOCK_MONOTONIC);
            let wall = read(libc::CLOCK_REALTIME);
            let after = read(libc::CLOCK_MONOTONIC);
            (after - before, before + (after - before) / 2, wall)
        })
        .min()
        .unwrap_or_default();
    let header = Header {
        ktime_ns: before.unsigned_abs(),
        tgid: 0,
        tid: 0,
        size: size_of::<Clock>() as u32,
        kind: KIND_CLOCK,
        pad: 0,
    };
    Clock {
        header,
        wall_offset_ns: wall - before,
        boot_id,
    }
}

/// The machine's boot id; zeroes where unreadable.
pub fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or("0");
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_monotonic_time_plus_the_offset() {
        let clock = clock_record(boot_id());
        let told = clock.header.ktime_ns.cast_signed() + clock.wall_offset_ns;
        let wall = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64;
        assert!((wall - told).abs() < 1_000_000_000, "{wall} against {told}");
        assert_ne!(boot_id(), [0; 16]);
    }
}
