//! The thread-local word that holds g, read from the code of `runtime.stackcheck`, which begins by
//! loading it.

use iced_x86::{Code, Instruction, OpKind, Register};

use super::GoError;
use super::code::decode;
use super::elf::Image;
use super::pclntab::Functions;

/// Bytes of the function that are looked at.
const HEAD: usize = 24;

/// Where g is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// At this offset from the thread pointer.
    At(i32),
    /// At the offset that the loader writes to this address.
    Word(u64),
    /// The code reads otherwise than known.
    Unknown,
}

pub(super) fn slot(image: &Image, functions: &Functions) -> Result<Slot, GoError> {
    let Some(function) = functions.get("runtime.stackcheck") else {
        return Ok(Slot::Unknown);
    };
    Ok(read(&function.code(image)?, function.address))
}

fn read(code: &[u8], address: u64) -> Slot {
    let code = &code[..code.len().min(HEAD)];
    let mut instructions = decode(code, address).into_iter();
    let (Some(first), Some(second)) = (instructions.next(), instructions.next()) else {
        return Slot::Unknown;
    };
    // mov rax, fs:[slot]
    if loads_g(&first, Register::None) {
        return narrow(first.memory_displacement64());
    }
    if !loads_g(&second, first.op0_register()) || second.memory_displacement64() != 0 {
        return Slot::Unknown;
    }
    match first.code() {
        // mov rcx, slot; mov rax, fs:[rcx]
        Code::Mov_rm64_imm32 if first.op0_kind() == OpKind::Register => {
            narrow(first.immediate32to64() as u64)
        }
        // mov rcx, [rip + word]; mov rax, fs:[rcx]
        Code::Mov_r64_rm64 if first.is_ip_rel_memory_operand() => {
            Slot::Word(first.ip_rel_memory_address())
        }
        _ => Slot::Unknown,
    }
}

fn loads_g(instruction: &Instruction, base: Register) -> bool {
    let load = matches!(
        instruction.code(),
        Code::Mov_r64_rm64 | Code::Mov_RAX_moffs64
    );
    load && instruction.op1_kind() == OpKind::Memory
        && instruction.segment_prefix() == Register::FS
        && instruction.memory_base() == base
        && instruction.memory_index() == Register::None
}

fn narrow(slot: u64) -> Slot {
    // Slots lie below the thread pointer, within its static block.
    match i32::try_from(slot as i64) {
        Ok(slot) if slot < 0 => Slot::At(slot),
        _ => Slot::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &[u8] = &[
        0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x39, 0x60, 0x08,
    ];
    const PIE: &[u8] = &[
        0x48, 0xc7, 0xc1, 0x48, 0xfb, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x01, 0x48, 0x39, 0x60, 0x08,
    ];
    const SHARED: &[u8] = &[
        0x48, 0x8b, 0x0d, 0xb9, 0x5b, 0x40, 0x00, 0x64, 0x48, 0x8b, 0x01, 0x48, 0x39, 0x60, 0x08,
    ];

    #[test]
    fn all_three_forms_are_read() {
        assert_eq!(read(FIXED, 0x4617e0), Slot::At(-8));
        assert_eq!(read(PIE, 0x461a00), Slot::At(-1208));
        assert_eq!(read(SHARED, 0xd03e0), Slot::Word(0x4d5fa0));
    }

    #[test]
    fn other_code_gives_no_slot() {
        let mut gs = FIXED.to_vec();
        gs[0] = 0x65;
        let mut positive = FIXED.to_vec();
        positive[5..9].copy_from_slice(&8i32.to_le_bytes());
        let mut other_register = PIE.to_vec();
        other_register[10] = 0x02;
        for code in [
            &gs[..],
            &positive,
            &other_register,
            &[0xc3],
            &[],
            &FIXED[..5],
        ] {
            assert_eq!(read(code, 0x1000), Slot::Unknown, "{code:02x?}");
        }
    }
}
