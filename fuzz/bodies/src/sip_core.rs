//! Targets of `sip-core`.

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[];
