//! What crosses the boundary between the kernel programs and the agent: wire records, map
//! values, counters. Compiled for both sides, so one layout assertion guards both builds.
//!
//! Wire types are `repr(C)`, made of fixed-width integers and byte arrays, padding written out.
#![no_std]

pub mod counter;
pub mod map;
pub mod record;

/// Fails both builds, kernel and user, when a wire type moves.
#[macro_export]
macro_rules! pin_layout {
    ($t:ty: $size:expr; $($field:ident @ $at:expr),+ $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$t>() == $size);
            $(assert!(core::mem::offset_of!($t, $field) == $at);)+
        };
    };
}
