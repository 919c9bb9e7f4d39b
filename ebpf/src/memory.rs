//! Reading kernel and user memory.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use core::mem::MaybeUninit;

/// Reads a `T` at `base + offset` of kernel memory; `None` when the page is not there.
#[inline(always)]
pub fn kernel<T: Copy>(base: u64, offset: u64) -> Option<T> {
    let mut out = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source and writes size_of::<T> bytes to our stack.
    let failed = unsafe {
        bpf_probe_read_kernel(
            out.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset) as *const _,
        )
    };
    // SAFETY: the helper filled (or, on failure, zeroed) the whole value.
    if failed == 0 {
        Some(unsafe { out.assume_init() })
    } else {
        None
    }
}

/// The same for user memory of the current process.
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> Option<T> {
    let mut out = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source and writes size_of::<T> bytes to our stack.
    let failed = unsafe {
        bpf_probe_read_user(
            out.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        )
    };
    // SAFETY: the helper filled (or, on failure, zeroed) the whole value.
    if failed == 0 {
        Some(unsafe { out.assume_init() })
    } else {
        None
    }
}

/// Loads a `T` through a pointer that the verifier knows by its BTF type; the kernel turns a bad
/// address into zero. `offset` must be a constant to the verifier ([`crate::layout::kernel!`]).
#[inline(always)]
pub fn typed<T: Copy>(base: u64, offset: u64) -> T {
    // SAFETY: a BTF-typed load; faults are handled by the kernel's exception table.
    unsafe { core::ptr::read_volatile(base.wrapping_add(offset) as *const T) }
}
