//! G.711 for x86-64, one file a family of instructions; each is offered only where the processor has it.
//!
//! All encoders rest on the same fact: the companding laws are a floating-point format. Truncated to four bits of
//! mantissa, a magnitude as a float *is* the code, less a bias. All decoders but SSE2's and VBMI's use one
//! `maddubs`: (2^segment, 33) times (2 step + 33, -1) is a mu-law magnitude, and A-law has such a pair too.
#![allow(unsafe_code)]

use crate::kernel::Kernel;

#[macro_use]
mod lanes;
#[macro_use]
mod loops;
#[cfg(feature = "std")]
mod avx2;
#[cfg(feature = "std")]
mod avx512bw;
#[cfg(feature = "std")]
mod avx512fp16;
#[cfg(feature = "std")]
mod avx512vbmi;
mod sse2;
#[cfg(feature = "std")]
mod ssse3;
#[cfg(feature = "std")]
mod vbmi_tables;

/// Bits that turn a positive code around: mu-law sends all bits inverted, A-law every other one and the sign.
const INVERSION: [u8; 2] = [0xff, 0xd5];
/// Makes all mu-law segments powers of two long, in 16-bit units.
const MU_LAW_BIAS: i16 = 132;
/// The exponent of the lowest segment in single precision, above four bits of mantissa.
const SINGLE_BIAS: i16 = 134 << 4;

/// Tables of the `maddubs` decoders, indexed by the halves of a code as transmitted.
///
/// The magnitude, in units of 4 (mu-law) or 8 (A-law), is `scale[high] * step[low] + offset[high] * factor`.
#[cfg(feature = "std")]
struct MaddTables {
    scale: [u8; 16],
    offset: [u8; 16],
    step: [u8; 16],
    factor: i8,
}

#[cfg(feature = "std")]
const MADD: [MaddTables; 2] = [madd_tables(false), madd_tables(true)];

#[cfg(feature = "std")]
const fn madd_tables(a_law: bool) -> MaddTables {
    let mut tables = MaddTables { scale: [0; 16], offset: [0; 16], step: [0; 16], factor: 0 };
    tables.factor = if a_law { 32 } else { -1 };
    let mut half = 0;
    while half < 16 {
        if a_law {
            let segment = (half ^ 5) & 7;
            tables.scale[half] = if segment == 0 { 1 } else { 1 << (segment - 1) };
            tables.offset[half] = if segment == 0 { 0 } else { 1 << (segment - 1) };
            tables.step[half] = 2 * (half ^ 5) as u8 + 1;
        } else {
            tables.scale[half] = 1 << (!half & 7);
            tables.offset[half] = 33;
            tables.step[half] = 2 * (!half & 15) as u8 + 33;
        }
        half += 1;
    }
    tables
}

/// A mask of the first `count` of 64 lanes.
#[cfg(feature = "std")]
const fn first_of_64(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The kernels this processor can run, the fastest first.
#[cfg(feature = "std")]
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    [
        avx512fp16::kernel(),
        avx512vbmi::kernel(),
        avx512bw::kernel(),
        avx2::kernel(),
        ssse3::kernel(),
        Some(sse2::KERNEL),
    ]
    .into_iter()
    .flatten()
}

/// What x86-64 guarantees.
#[cfg(not(feature = "std"))]
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    core::iter::once(sse2::KERNEL)
}
