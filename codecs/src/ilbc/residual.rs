//! The order in which a frame's residual is coded (RFC 3951 §3.6, §4.3): the start state, its rest, the blocks after it
//! forwards in time, the blocks before it backwards. Encoder and decoder walk the same way.

use super::bits::{Frame, Mode, Shape};
use super::codebook::{BLOCK, Memory, Place, construct};
use super::lpc::Filters;
use super::state;

/// Where the start state's samples are that are coded one by one.
pub(super) fn state_position(mode: Mode, start: u8, state_first: bool) -> usize {
    let pair = (usize::from(start) - 1) * BLOCK;
    if state_first { pair } else { pair + 2 * BLOCK - mode.state_samples() }
}

/// Decodes a frame's residual; `shape_of` gives each target's codes, found or received.
pub(super) fn walk(
    mode: Mode,
    frame: &mut Frame,
    filters: &Filters,
    decoded: &mut [f32],
    mut shape_of: impl FnMut(&Place, &Memory, &mut Shape),
) {
    let first_block = usize::from(frame.start) - 1;
    let position = state_position(mode, frame.start, frame.state_first);
    let size = mode.state_samples();
    let state = &mut decoded[position..position + size];
    state::decode(frame.scale, &frame.state[..size], &filters[first_block], state);

    let length = 2 * BLOCK - size;
    let rest = if frame.state_first {
        Place { number: 0, at: position + size, forward: true, length, bound: position }
    } else {
        Place { number: 0, at: position, forward: false, length, bound: position + size }
    };
    let pair = first_block * BLOCK;
    let end = mode.frame_samples();
    let after = (pair + 2 * BLOCK..end).step_by(BLOCK).map(|at| (at, true));
    let before = (1..=first_block).rev().map(|block| (block * BLOCK, false));
    let blocks = after.chain(before).enumerate().map(|(index, (at, forward))| {
        let bound = if forward { pair } else { end };
        Place { number: index + 1, at, forward, length: BLOCK, bound }
    });
    for place in core::iter::once(rest).chain(blocks) {
        let shape = match place.number {
            0 => &mut frame.rest,
            number => &mut frame.blocks[(number - 1).min(3)],
        };
        let memory = place.memory(decoded);
        shape_of(&place, &memory, shape);
        let vector = construct(&memory, shape, place.number);
        for (n, sample) in vector.into_iter().take(place.length).enumerate() {
            decoded[place.index(n)] = sample;
        }
    }
}
