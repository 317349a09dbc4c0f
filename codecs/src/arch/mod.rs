//! The loops over samples: [`scalar`] is the truth, the others are the same thing faster.
//!
//! This is the only folder of the workspace in which `unsafe` may appear. Each kernel is a table of safe functions
//! that is handed out only on a processor that has what they need.

#[cfg(feature = "g729")]
pub(crate) mod convolution;
#[cfg(feature = "g711")]
pub(crate) mod scalar;
#[cfg(all(feature = "g711", target_arch = "x86_64"))]
pub(crate) mod x86_64;
