//! Which loops run: chosen once, when a codec is built, and kept as plain function pointers.
//!
//! [`available`] names every kernel this processor can run, so that tests and benches can try each. Without the
//! `std` feature nothing can be asked of the processor, and the kernel is what the target guarantees (SSE2 on
//! x86-64). On aarch64 the portable loops serve: they are branch-free, with a leading-zero count and shifts that
//! NEON has, and were neither compiled nor run there.

use alloc::vec::Vec;

use crate::arch;

/// Sums made while decoding: what `level` needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) squares: u64,
    pub(crate) peak: u16,
}

/// G.711 loops for one law. All slices of one call have the same length; the callers see to that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LawKernel {
    pub(crate) encode: fn(&[i16], &mut [u8]),
    pub(crate) decode: fn(&[u8], &mut [i16]),
    #[cfg_attr(not(feature = "std"), allow(dead_code))] // there is no `level` without it
    pub(crate) decode_level: fn(&[u8], &mut [i16]) -> Sums,
    /// To the other law, in place.
    pub(crate) transcode: fn(&mut [u8]),
    /// The second is added to the first.
    pub(crate) mix: fn(&mut [u8], &[u8]),
    /// Gain in units of 2^-11.
    pub(crate) gain: fn(&mut [u8], i16),
}

/// A set of G.711 loops for one kind of processor.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) mu: LawKernel,
    pub(crate) a: LawKernel,
}

impl Kernel {
    /// The fastest that this processor can run.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = arch::x86_64::kernels().next() {
            return kernel;
        }
        arch::scalar::KERNEL
    }

    /// The portable loops.
    #[must_use]
    pub const fn scalar() -> Self {
        arch::scalar::KERNEL
    }

    /// What kind of processor it is for: `avx2`, `scalar`, ….
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Every kernel this processor can run, the fastest first, the portable one last.
#[must_use]
pub fn available() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    #[cfg(target_arch = "x86_64")]
    kernels.extend(arch::x86_64::kernels());
    kernels.push(arch::scalar::KERNEL);
    kernels
}
