//! Packets of Opus taken apart into frames and put together again (RFC 6716 §3), without a look into the frames. Padding is left out.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

/// Of a packet, in ticks of 48 kHz: 120 ms.
pub(super) const LONGEST: u32 = 5760;
/// What a frame's two octets of length can say (§3.2.1).
const LARGEST_FRAME: usize = 1275;

/// All but the number of frames of a packet's first octet: packets that differ in it cannot be joined.
pub(super) fn configuration(payload: &[u8]) -> u8 {
    payload.first().copied().unwrap_or_default() & !3
}

/// How many frames a packet holds, and ticks of 48 kHz that each lasts, as far as its beginning says; `None` when it breaks a rule.
pub(super) fn beginning(payload: &[u8]) -> Option<(u32, u32)> {
    let ticks = frame_ticks(*payload.first()?);
    let count = match payload.first()? & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    let whole = count.checked_mul(ticks)?;
    (1..=LONGEST).contains(&whole).then_some((count, ticks))
}

/// Ticks of 48 kHz that a frame of this configuration lasts (§3.1, table 2).
fn frame_ticks(first: u8) -> u32 {
    let configuration = first >> 3;
    match (configuration, configuration & 3) {
        (0..=11, 0) | (12..=15, 0 | 2) | (16..=31, 2) => 480,
        (0..=11, 1) | (12..=15, _) | (16..=31, 3) => 960,
        (0..=11, 2) => 1920,
        (0..=11, _) => 2880,
        (_, 0) => 120,
        (_, _) => 240,
    }
}

/// The frames of a packet (§3.2); `None` when it breaks a rule.
pub(super) fn frames(payload: &[u8]) -> Option<Vec<Range<usize>>> {
    let (count, _) = beginning(payload)?;
    let end = payload.len();
    let frames = match payload.first()? & 3 {
        0 => std::iter::once(1..end).collect(),
        1 => {
            let both = end.checked_sub(1).filter(|both| both.is_multiple_of(2))?;
            let middle = both.checked_div(2)?.checked_add(1)?;
            vec![1..middle, middle..end]
        }
        2 => {
            let (length, at) = frame_length(payload, 1)?;
            let middle = at.checked_add(length).filter(|middle| *middle <= end)?;
            vec![at..middle, middle..end]
        }
        _ => {
            let head = *payload.get(1)?;
            let count = count as usize;
            let (mut at, mut padding) = (2_usize, 0_usize);
            if head & 0x40 != 0 {
                loop {
                    let octet = *payload.get(at)?;
                    at = at.checked_add(1)?;
                    padding = padding.checked_add(usize::from(octet.min(254)))?;
                    if octet != 255 {
                        break;
                    }
                }
            }
            let end = end.checked_sub(padding)?;
            let mut lengths = Vec::with_capacity(count);
            if head & 0x80 == 0 {
                let each = end.checked_sub(at)?.checked_div(count)?;
                lengths.resize(count, each);
                if each.checked_mul(count)? != end.checked_sub(at)? {
                    return None;
                }
            } else {
                for _ in 1..count {
                    let (length, next) = frame_length(payload, at)?;
                    lengths.push(length);
                    at = next;
                }
                let told = lengths.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length))?;
                lengths.push(end.checked_sub(at)?.checked_sub(told)?);
            }
            let mut frames = Vec::with_capacity(count);
            for length in lengths {
                let next = at.checked_add(length).filter(|next| *next <= end)?;
                frames.push(at..next);
                at = next;
            }
            frames
        }
    };
    frames.iter().all(|frame| frame.len() <= LARGEST_FRAME).then_some(frames)
}

/// The length of a frame, in one octet or two (§3.2.1), and where what follows it begins.
fn frame_length(payload: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*payload.get(at)?);
    if first < 252 {
        return Some((first, at.checked_add(1)?));
    }
    let second = usize::from(*payload.get(at.checked_add(1)?)?);
    Some((second.checked_mul(4)?.checked_add(first)?, at.checked_add(2)?))
}

/// A packet of these frames, which lie one behind the other and end there.
pub(super) fn join(configuration: u8, frames: &[u8], ends: &[usize]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(frames.len().saturating_add(ends.len().saturating_mul(2)));
    if ends.len() == 1 {
        payload.push(configuration);
    } else {
        // Code 3 with a length before each frame but the last.
        payload.push(configuration | 3);
        payload.push(0x80 | u8::try_from(ends.len()).unwrap_or(48));
        let (mut start, last) = (0_usize, ends.len().saturating_sub(1));
        for end in ends.iter().take(last) {
            let length = end.saturating_sub(start);
            match u8::try_from(length).ok().filter(|length| *length < 252) {
                Some(length) => payload.push(length),
                None => {
                    // At most 1275 octets, so that the second one fits.
                    let low = 252 | (length & 3);
                    payload.push(u8::try_from(low).unwrap_or(252));
                    payload.push(u8::try_from(length.saturating_sub(low) / 4).unwrap_or(255));
                }
            }
            start = *end;
        }
    }
    payload.extend_from_slice(frames);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CELT, 20 ms, with this code.
    fn packet(code: u8, rest: &[u8]) -> Vec<u8> {
        [&[0xf8 | code][..], rest].concat()
    }

    /// The code, what follows the first octet, and where the frames lie.
    type Case<'a> = (u8, &'a [u8], Option<&'a [Range<usize>]>);

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one frame is one range")]
    fn each_code_is_taken_apart() {
        let cases: [Case<'_>; 14] = [
            (0, &[1, 2, 3], Some(&[1..4])),
            (0, &[], Some(&[1..1])),
            (1, &[1, 2, 3, 4], Some(&[1..3, 3..5])),
            (1, &[1, 2, 3], None),
            (2, &[1, 9, 8, 8], Some(&[2..3, 3..5])),
            (2, &[4, 9, 8, 8], None),
            // Three of one length; the same with two octets of padding; one too few.
            (3, &[3, 1, 2, 3], Some(&[2..3, 3..4, 4..5])),
            (3, &[0x43, 2, 1, 2, 3, 0, 0], Some(&[3..4, 4..5, 5..6])),
            (3, &[0x42, 2, 1, 2, 3, 0, 0], None),
            // Of different lengths; with padding; longer than there is.
            (3, &[0x83, 1, 2, 7, 8, 8, 9], Some(&[4..5, 5..7, 7..8])),
            (3, &[0xc2, 1, 1, 7, 8, 8, 0], Some(&[4..5, 5..7])),
            (3, &[0xc2, 5, 1, 7, 8, 8, 0], None),
            // None, and more than 120 ms.
            (3, &[0], None),
            (3, &[7, 1, 2, 3, 4, 5, 6, 7], None),
        ];
        for (code, rest, wanted) in cases {
            assert_eq!(frames(&packet(code, rest)).as_deref(), wanted, "code {code}, {rest:?}");
        }
        // 255 says 254 octets and that another number follows.
        let padded = packet(3, &[&[0x41, 255, 1, 9, 9][..], &[0; 255]].concat());
        assert_eq!(frames(&padded), Some(vec![4..6]));
        // Longer than a frame can be.
        assert_eq!(frames(&packet(0, &[0; 1276])), None);
    }

    #[test]
    fn what_was_joined_is_taken_apart_again() {
        for lengths in [&[0][..], &[5, 0, 7], &[251, 252, 253, 255, 256, 1], &[1275, 1275, 3]] {
            let mut ends = Vec::new();
            let mut said = Vec::new();
            for (value, length) in (1..).zip(lengths) {
                said.resize(said.len() + *length, value);
                ends.push(said.len());
            }
            let joined = join(0xf8, &said, &ends);
            let frames = frames(&joined).unwrap();
            assert_eq!(frames.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), lengths);
            let heard: Vec<u8> = frames.into_iter().flat_map(|frame| joined[frame].to_vec()).collect();
            assert_eq!(heard, said);
        }
    }
}
