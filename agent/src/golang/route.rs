//! Where `net/http.ServeMux` has just matched a pattern. Taken there and not from the request:
//! middleware copies the request, and the pattern is set on the copy.
//!
//! - Go 1.22 and later: `(*ServeMux).ServeHTTP` right after its call of `findHandler`, whose third
//!   and fourth result register hold the pattern.
//! - Before (and in some versions for the old mux that `GODEBUG=httpmuxgo121=1` brings back): the
//!   last `if h == nil` of `handler`, where the pattern is in its stack slot.

use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

use super::GoError;
use super::code::{Writes, decode, emulated};
use super::elf::Image;
use super::pclntab::Functions;
use super::sites::{Probe, Site, SiteKind};

/// The function that every request of a mux passes.
pub(super) const SERVE_HTTP: &str = "net/http.(*ServeMux).ServeHTTP";
/// The mux of the version, and the one of Go 1.21 where later versions keep it.
const MUXES: [[&str; 2]; 2] = [
    [
        "net/http.(*ServeMux).findHandler",
        "net/http.(*ServeMux).handler",
    ],
    [
        "net/http.(*serveMux121).findHandler",
        "net/http.(*serveMux121).handler",
    ],
];
/// Instructions of a straight line that is followed.
const LINE: usize = 40;

/// Sites that tell patterns.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) sites: Vec<Site>,
    /// For [`Probe::RouteStack`].
    pub(super) stack: Option<i32>,
}

pub(super) fn find(image: &Image, functions: &Functions) -> Result<Routes, GoError> {
    let mut routes = Routes::default();
    let serve = match functions.get(SERVE_HTTP) {
        Some(function) => instructions(&function.code(image)?, function.address),
        None => return Ok(routes),
    };
    for [finder, handler] in MUXES {
        let callee = functions.get(finder);
        if let Some(place) = callee.and_then(|callee| after_call(&serve, callee.address)) {
            routes
                .sites
                .push(Site::new(image, Probe::Route, SERVE_HTTP, place)?);
        } else if let Some(function) = functions.get(handler)
            && let Some(result) = results(&instructions(&function.code(image)?, function.address))
            && routes.stack.is_none_or(|stack| stack == result.pattern)
        {
            let place = (result.site, SiteKind::Jcc);
            routes.stack = Some(result.pattern);
            routes
                .sites
                .push(Site::new(image, Probe::RouteStack, handler, place)?);
        }
    }
    Ok(routes)
}

fn instructions(code: &[u8], address: u64) -> Vec<Instruction> {
    decode(code, address).into_iter().collect()
}

/// The first emulated instruction after the call of `callee`, while rcx and rdi (third and fourth
/// result) and r14 (g) are as they were on return.
fn after_call(instructions: &[Instruction], callee: u64) -> Option<(u64, SiteKind)> {
    const KEPT: [Register; 4] = [Register::RCX, Register::RDI, Register::R14, Register::RSP];
    let call = |instruction: &Instruction| {
        instruction.code() == Code::Call_rel32_64 && instruction.near_branch_target() == callee
    };
    let mut calls = instructions
        .iter()
        .enumerate()
        .filter(|(_, instruction)| call(instruction));
    let (index, _) = calls.next()?;
    if calls.next().is_some() {
        return None;
    }
    let mut writes = Writes::new();
    for instruction in instructions[index + 1..].iter().take(LINE) {
        if let Some(kind) = emulated(instruction).filter(|kind| *kind != SiteKind::PushRbp) {
            return Some((instruction.ip(), kind));
        }
        let next = instruction.flow_control() == FlowControl::Next;
        if !next || instruction.is_invalid() || writes.any(instruction, &KEPT) {
            return None;
        }
    }
    None
}

/// `handler`'s results (h Handler, pattern string) live in stack slots: where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slots {
    handler: u64,
    pattern: u64,
}

/// A branch at which both are set, and the slot of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Results {
    site: u64,
    pattern: i32,
}

/// Finds `if h == nil` from which both ways lead straight to the return: nothing is matched after.
fn results(instructions: &[Instruction]) -> Option<Results> {
    let mut found = None;
    for (index, pair) in instructions.windows(2).enumerate() {
        let [compare, branch] = pair else { continue };
        let Some(handler) = compared_with_nil(compare) else {
            continue;
        };
        if branch.is_jcc_short_or_near() && emulated(branch).is_some() {
            let taken = branch.near_branch_target();
            let Ok(target) = instructions.binary_search_by_key(&taken, Instruction::ip) else {
                continue;
            };
            let returned = returned_from(&instructions[target..]);
            let joins = target > index + 1
                && instructions[index + 2..target]
                    .iter()
                    .all(|i| i.flow_control() == FlowControl::Next);
            if joins && let Some(slots) = returned.filter(|slots| slots.handler == handler) {
                if found.is_some() {
                    return None;
                }
                let pattern = i32::try_from(slots.pattern).ok()?;
                found = Some(Results {
                    site: branch.ip(),
                    pattern,
                });
            }
        }
    }
    found
}

/// `cmp qword [rsp + slot], 0`.
fn compared_with_nil(instruction: &Instruction) -> Option<u64> {
    (instruction.code() == Code::Cmp_rm64_imm8 && instruction.immediate8to64() == 0)
        .then(|| stack_slot(instruction, 0))
        .flatten()
}

/// The slots that a straight line (calls allowed) loads as results before it returns.
fn returned_from(line: &[Instruction]) -> Option<Slots> {
    let mut slots = [None; 4];
    for instruction in line.iter().take(LINE) {
        match instruction.flow_control() {
            FlowControl::Return => {
                let [Some(handler), Some(data), Some(pattern), Some(len)] = slots else {
                    return None;
                };
                let whole = data == handler + 8 && len == pattern + 8;
                return whole.then_some(Slots { handler, pattern });
            }
            FlowControl::Call | FlowControl::IndirectCall => slots = [None; 4],
            FlowControl::Next => {
                let results = [Register::RAX, Register::RBX, Register::RCX, Register::RDI];
                let target = instruction.op0_register();
                let result = results.iter().position(|register| *register == target);
                if instruction.code() == Code::Mov_r64_rm64
                    && let Some(result) = result
                {
                    slots[result] = stack_slot(instruction, 1);
                }
            }
            _ => return None,
        }
    }
    None
}

/// N of an operand `[rsp + N]`.
fn stack_slot(instruction: &Instruction, operand: u32) -> Option<u64> {
    let on_stack = instruction.op_kind(operand) == OpKind::Memory
        && instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None
        && instruction.segment_prefix() == Register::None;
    on_stack.then(|| instruction.memory_displacement64())
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
