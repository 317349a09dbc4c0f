//! Targets of `ice`.

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[];
