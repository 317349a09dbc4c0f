//! Targets of `rtp`.

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[];
