//! The built kernel programs only read.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionKind};

use crate::paths;
use crate::test::{Tally, Verdict};

/// Helpers that change what others see, by number (include/uapi/linux/bpf.h, never reused).
const WRITERS: &[(i32, &str)] = &[
    (9, "skb_store_bytes"),
    (11, "l4_csum_replace"),
    (36, "probe_write_user"),
    (49, "setsockopt"),
    (53, "sock_map_update"),
    (58, "override_return"),
    (64, "bind"),
    (70, "sock_hash_update"),
    (90, "msg_push_data"),
    (91, "msg_pop_data"),
    (104, "sysctl_set_new_value"),
    (109, "send_signal"),
    (117, "send_signal_thread"),
    (143, "store_hdr_opt"),
    (166, "sys_bpf"),
];

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
const INSTRUCTION_BYTES: usize = 8;

/// The tests.
pub fn tests(tally: &mut Tally) {
    tally.check(
        "object: no helper writes to user memory, sockets or processes",
        || {
            let path = paths::bpf_object();
            let object =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let calls = helper_calls(&object)?;
            let bad: Vec<&str> = WRITERS
                .iter()
                .filter(|(number, _)| calls.contains(number))
                .map(|(_, name)| *name)
                .collect();
            Ok(match (calls.is_empty(), bad.is_empty()) {
                (true, _) => {
                    Verdict::Failed("no helper call was found: is this the object?".to_owned())
                }
                (_, false) => Verdict::Failed(format!("the object calls {}", bad.join(", "))),
                _ => Verdict::Passed,
            })
        },
    );
}

/// Numbers of all helpers that the programs call.
fn helper_calls(object: &[u8]) -> Result<Vec<i32>> {
    let file = object::File::parse(object).context("the object is no ELF file")?;
    let mut calls = Vec::new();
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        calls.extend(calls_in(section.data()?));
    }
    calls.sort_unstable();
    calls.dedup();
    Ok(calls)
}

/// A helper call has a zero source register; others call functions of the object or the kernel.
fn calls_in(code: &[u8]) -> impl Iterator<Item = i32> {
    code.chunks_exact(INSTRUCTION_BYTES)
        .filter_map(|instruction| match instruction {
            [CALL, registers, _, _, number @ ..] if registers >> 4 == 0 => {
                Some(i32::from_le_bytes(number.try_into().ok()?))
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::calls_in;

    #[test]
    fn helper_calls_are_told_from_other_calls() {
        let code = [
            [0x85, 0, 0, 0, 36, 0, 0, 0],
            [0x85, 0x10, 0, 0, 9, 0, 0, 0], // a function of the object
            [0x95, 0, 0, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 5, 0, 0, 0],
        ];
        assert_eq!(calls_in(&code.concat()).collect::<Vec<_>>(), [36, 5]);
    }
}
