//! Machine code: which instruction the kernel emulates under a uprobe, what an instruction changes.

use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register,
};

use super::SiteKind;

/// The instructions of `code`, which lies at `address`.
pub(super) fn decode(code: &[u8], address: u64) -> Decoder<'_> {
    Decoder::with_ip(64, code, address, DecoderOptions::NONE)
}

/// How the kernel emulates this instruction; `None`: it would be single-stepped. (Linux,
/// arch/x86/kernel/uprobes.c: `branch_setup_xol_ops`, `push_setup_xol_ops`; prefixed branches and
/// longer no-ops are not emulated by every kernel, so they are left out.)
pub(super) fn emulated(instruction: &Instruction) -> Option<SiteKind> {
    let code = instruction.code();
    if code == Code::Push_r64 && instruction.op0_register() == Register::RBP {
        Some(SiteKind::PushRbp)
    } else if matches!(code, Code::Nopw | Code::Nopd) {
        Some(SiteKind::Nop)
    } else if matches!(code, Code::Call_rel32_64) {
        Some(SiteKind::Call)
    } else if instruction.is_jcc_short_or_near() && matches!(instruction.len(), 2 | 6) {
        Some(SiteKind::Jcc)
    } else if matches!(code, Code::Jmp_rel8_64 | Code::Jmp_rel32_64) {
        Some(SiteKind::Jmp)
    } else {
        None
    }
}

/// Tells what instructions write.
pub(super) struct Writes(InstructionInfoFactory);

impl Writes {
    pub(super) fn new() -> Self {
        Self(InstructionInfoFactory::new())
    }

    /// `instruction` writes (a part of) one of `registers`.
    pub(super) fn any(&mut self, instruction: &Instruction, registers: &[Register]) -> bool {
        let used = self.0.info(instruction).used_registers();
        used.iter().any(|used| {
            let writes = !matches!(
                used.access(),
                OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            );
            writes && registers.contains(&used.register().full_register())
        })
    }
}
