//! A source of sound that is made here: which tone it is.

use super::Source;
use crate::media::{StreamParameters, TonePlayer};
use denwa_codecs::tone::{Sine, Tone};
use std::time::Instant;

/// Plays `source` as `parameters` want it, from now on. `None` when the source makes no sound of its own, when we may not
/// send, or when there is no encoder for what was agreed.
pub(super) fn player(
    source: &Source,
    parameters: &StreamParameters,
    feed: u32,
    now: Instant,
) -> Option<TonePlayer> {
    let tone = match source {
        Source::Echo => return None,
        Source::Tone { frequency_hz, level_dbm0 } => {
            Some(Tone::steady(&[Sine::new(*frequency_hz, *level_dbm0)]))
        }
        Source::Silence => None,
    };
    TonePlayer::new(tone.as_ref(), parameters, feed, now)
}
