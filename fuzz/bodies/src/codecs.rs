//! Targets of `codecs`.

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[];
