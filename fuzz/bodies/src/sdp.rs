//! Targets of `sdp`.

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[];
