//! The loops over samples: [`scalar`] is the truth, the others are the same thing faster.
//!
//! This is the only folder of the workspace in which `unsafe` may appear.

#[cfg(feature = "g711")]
pub(crate) mod scalar;
