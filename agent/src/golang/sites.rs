//! Where a probe costs little: on an instruction that the kernel emulates, at a place where the
//! registers still say what the program wants to know.

use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

use super::code::{Writes, decode, emulated};
use super::elf::Image;
use super::pclntab::{Function, Functions};
use super::{GoError, missing};

/// Bytes from a function's start in which its frame is made.
const PROLOGUE: usize = 64;
/// Instructions before a call in which its arguments are set.
const ARGUMENTS: usize = 8;
/// `runtime._Gdead`, the state that `newproc1` takes a new goroutine from.
const G_DEAD: u64 = 6;

/// What a probe tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// `net/http.serverHandler.ServeHTTP`: rdi = `*Request`, r14 = g.
    Serve,
    /// `net/http.(*Transport).roundTrip`: r14 = g.
    Begin,
    /// `net/http.(*persistConn).roundTrip`: rax = `*persistConn`, rbx = `*transportRequest`, r14 = g.
    Call,
    /// `net/http.(*persistConn).writeLoop`: rax = `*persistConn`, r14 = g.
    Conn,
    /// `runtime.newproc1`, where a new goroutine is made runnable: rax = new g, r14 = g0.
    Create,
    /// `runtime.goexit1`, where a goroutine ends: r14 = g.
    Exit,
    /// `ServeMux` matched: pattern in the registers that `GoLayout::route_regs` names, r14 = g.
    Route,
    /// `ServeMux` matched: pattern at `GoBinary::route_stack` from rsp, r14 = g. Before Go 1.22,
    /// and in Go 1.22 for `GODEBUG=httpmuxgo121=1` (the default there under an old go line).
    RouteStack,
}

/// What lies under a probe. All but [`SiteKind::Entry`] are emulated by the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteKind {
    /// `push %rbp` after the stack check.
    PushRbp,
    /// A conditional branch. That of the stack check is met again after the stack has grown.
    Jcc,
    /// A direct jump.
    Jmp,
    /// A direct call.
    Call,
    /// A one-byte no-op.
    Nop,
    /// The function's first instruction, single-stepped: some ten times as dear.
    Entry,
}

impl SiteKind {
    /// Name in `plan`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PushRbp => "push",
            Self::Jcc => "jcc",
            Self::Jmp => "jmp",
            Self::Call => "call",
            Self::Nop => "nop",
            Self::Entry => "entry (dear: single-stepped)",
        }
    }

    /// The kernel emulates the instruction.
    pub const fn is_emulated(self) -> bool {
        !matches!(self, Self::Entry)
    }
}

/// A place to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What it tells.
    pub probe: Probe,
    /// The function it lies in.
    pub symbol: String,
    /// Virtual address in the file.
    pub address: u64,
    /// Place in the file: what a uprobe is given with the inode.
    pub file_offset: u64,
    /// What lies there.
    pub kind: SiteKind,
}

impl Site {
    pub(super) fn new(
        image: &Image,
        probe: Probe,
        symbol: &str,
        (address, kind): (u64, SiteKind),
    ) -> Result<Self, GoError> {
        let (file_offset, _) = image
            .locate(address)
            .ok_or_else(|| GoError::malformed(format!("{symbol} is not in the file")))?;
        Ok(Self {
            probe,
            symbol: symbol.to_owned(),
            address,
            file_offset,
            kind,
        })
    }
}

/// Functions probed where they begin.
const BEGINNINGS: [(Probe, &str); 5] = [
    (Probe::Serve, "net/http.serverHandler.ServeHTTP"),
    (Probe::Begin, "net/http.(*Transport).roundTrip"),
    (Probe::Call, "net/http.(*persistConn).roundTrip"),
    (Probe::Conn, "net/http.(*persistConn).writeLoop"),
    (Probe::Exit, "runtime.goexit1"),
];

/// All sites but those of routes.
pub(super) fn find(
    image: &Image,
    functions: &Functions,
    missing: &mut Vec<String>,
) -> Result<Vec<Site>, GoError> {
    let mut sites = Vec::new();
    for (probe, symbol) in BEGINNINGS {
        let Some(function) = functions.get(symbol) else {
            continue;
        };
        let place = beginning(&function.code(image)?, function.address);
        sites.push(Site::new(image, probe, symbol, place)?);
    }
    let symbol = "runtime.newproc1";
    match create(image, functions)? {
        Some(place) => sites.push(Site::new(image, Probe::Create, symbol, place)?),
        None => {
            let lost = "calls from goroutines started by a handler are not joined to it";
            missing.push(missing::no_site(symbol, lost));
        }
    }
    Ok(sites)
}

/// The cheapest instruction of a function's beginning at which its arguments are intact.
fn beginning(code: &[u8], address: u64) -> (u64, SiteKind) {
    const KEPT: [Register; 11] = [
        Register::RAX,
        Register::RBX,
        Register::RCX,
        Register::RDI,
        Register::RSI,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R14,
        Register::RSP,
    ];
    let mut writes = Writes::new();
    let mut check = None;
    for instruction in decode(&code[..code.len().min(PROLOGUE)], address) {
        match emulated(&instruction) {
            Some(SiteKind::PushRbp) => return (instruction.ip(), SiteKind::PushRbp),
            Some(SiteKind::Jcc) => {
                check.get_or_insert((instruction.ip(), SiteKind::Jcc));
                continue;
            }
            _ => {}
        }
        let next = instruction.flow_control() == FlowControl::Next;
        if !next || instruction.is_invalid() || writes.any(&instruction, &KEPT) {
            break;
        }
    }
    check.unwrap_or((address, SiteKind::Entry))
}

fn create(image: &Image, functions: &Functions) -> Result<Option<(u64, SiteKind)>, GoError> {
    match (
        functions.get("runtime.newproc1"),
        functions.get("runtime.casgstatus"),
    ) {
        (Some(function), Some(callee)) => Ok(state_change(
            &function.code(image)?,
            function.address,
            callee,
        )),
        _ => Ok(None),
    }
}

/// The one call `casgstatus(newg, _Gdead, ...)`. (The call before it takes a g that was just
/// allocated from `_Gidle` to `_Gdead`.)
fn state_change(code: &[u8], address: u64, callee: Function) -> Option<(u64, SiteKind)> {
    let instructions: Vec<Instruction> = decode(code, address).into_iter().collect();
    let mut found = instructions
        .iter()
        .enumerate()
        .filter(|(index, instruction)| {
            instruction.code() == Code::Call_rel32_64
                && instruction.near_branch_target() == callee.address
                && old_state(&instructions[index.saturating_sub(ARGUMENTS)..*index]) == Some(G_DEAD)
        });
    let (_, call) = found.next()?;
    found
        .next()
        .is_none()
        .then_some((call.ip(), SiteKind::Call))
}

/// The constant that the second argument holds after `instructions`.
fn old_state(instructions: &[Instruction]) -> Option<u64> {
    let mut writes = Writes::new();
    let last = instructions.iter().rfind(|instruction| {
        instruction.flow_control() != FlowControl::Next || writes.any(instruction, &[Register::RBX])
    })?;
    let constant = last.code() == Code::Mov_r32_imm32 && last.op1_kind() == OpKind::Immediate32;
    constant.then(|| u64::from(last.immediate32()))
}

#[cfg(test)]
#[path = "sites_tests.rs"]
mod tests;
