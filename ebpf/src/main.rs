//! Kernel programs of threadline: they observe, number and copy; they write nothing but their own
//! maps. One file per hook family; [`message`] is the core that every back end feeds.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod golang;
mod layout;
mod maps;
mod memory;
mod message;
mod process;
mod socket;
mod syscall;
mod tcp;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // No path panics: the verifier would refuse the loop this compiles to if one could be reached.
    loop {}
}

/// Helpers used here (kernel time, ring buffer, probe reads) are offered to GPL programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
