//! Redundant audio (RED), RFC 2198: earlier payloads travel again with later ones.
//!
//! [`Blocks`] reads, [`write()`] writes, [`Packer`] remembers what to repeat. Whether a block is news is for the receiver
//! to tell: a jitter buffer and a telephone-event receiver know a frame by number or timestamp and take it once.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::VecDeque;

use crate::error::{Misuse, ParseError};

/// The longest redundant block: ten bits.
const MAXIMUM_BLOCK: usize = 0x3ff;
/// The greatest timestamp offset: 14 bits.
const MAXIMUM_OFFSET: u32 = 0x3fff;
/// Octets of a redundant block's header.
const HEADER: usize = 4;

/// One payload within a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its payload type.
    pub payload_type: u8,
    /// Clock units before the packet's timestamp, up to 16383; 0 for the primary block.
    pub offset: u16,
    /// Its payload; up to 1023 octets for a redundant block.
    pub payload: &'a [u8],
}

/// The blocks of a payload: the redundant ones as they stand, usually oldest first, then the primary.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    headers: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// Reads a payload of type RED; every length has been checked then.
    ///
    /// # Errors
    /// Says which header lies.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = payload;
        let mut announced = 0usize;
        loop {
            let offset = payload.len().saturating_sub(rest.len());
            match rest {
                [first, ..] if first & 0x80 == 0 => break,
                [_, _, high, low, after @ ..] => {
                    announced = announced.saturating_add(block_length(*high, *low));
                    rest = after;
                }
                _ => return Err(ParseError::new(offset, "a block header that is the last, or four octets")),
            }
        }
        let headers_length = payload.len().saturating_sub(rest.len()).saturating_add(1);
        let Some((headers, payloads)) = payload.split_at_checked(headers_length) else {
            return Err(ParseError::new(payload.len(), "a primary block header"));
        };
        if payloads.len() < announced {
            return Err(ParseError::new(headers_length, "as many octets as the blocks announce"));
        }
        Ok(Self { headers, payloads })
    }
}

const fn block_length(high: u8, low: u8) -> usize {
    ((high & 0x03) as usize) << 8 | low as usize
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        match self.headers {
            [last] => {
                let payload = std::mem::take(&mut self.payloads);
                self.headers = &[];
                Some(Block { payload_type: last & 0x7f, offset: 0, payload })
            }
            [first, o, high, low, rest @ ..] => {
                let (payload, payloads) = self.payloads.split_at_checked(block_length(*high, *low))?;
                self.headers = rest;
                self.payloads = payloads;
                let offset = u16::from(*o) << 6 | u16::from(high >> 2);
                Some(Block { payload_type: first & 0x7f, offset, payload })
            }
            _ => None,
        }
    }
}

/// Writes blocks, of which the last is the primary; returns the payload's length.
///
/// # Errors
/// When there is no block, a field is out of range, or the buffer too small.
pub fn write(blocks: &[Block<'_>], buffer: &mut [u8]) -> Result<usize, Misuse> {
    let Some((primary, redundant)) = blocks.split_last() else {
        return Err(Misuse::OutOfRange("there must be a primary block"));
    };
    for block in blocks {
        if block.payload_type > 127 {
            return Err(Misuse::NotAPayloadType(block.payload_type));
        }
    }
    let fits =
        |block: &Block<'_>| block.payload.len() <= MAXIMUM_BLOCK && u32::from(block.offset) <= MAXIMUM_OFFSET;
    if !redundant.iter().all(fits) {
        return Err(Misuse::TooLong(
            "a redundant block has at most 1023 octets and lies at most 16383 units back",
        ));
    }
    let payloads: usize = blocks.iter().fold(0, |sum, block| sum.saturating_add(block.payload.len()));
    let needed = redundant.len().saturating_mul(HEADER).saturating_add(1).saturating_add(payloads);
    let available = buffer.len();
    let Some(mut rest) = buffer.get_mut(..needed) else {
        return Err(Misuse::BufferTooSmall { needed, available });
    };
    for block in redundant {
        let length = block.payload.len() as u16;
        let [high, low] = (block.offset << 10 | length).to_be_bytes();
        rest = put(rest, &[0x80 | block.payload_type, (block.offset >> 6) as u8, high, low]);
    }
    rest = put(rest, &[primary.payload_type]);
    for block in blocks {
        rest = put(rest, block.payload);
    }
    Ok(needed)
}

/// Writes `octets` to the start of `room`, which has been measured to hold them; returns what is left.
fn put<'a>(room: &'a mut [u8], octets: &[u8]) -> &'a mut [u8] {
    let length = octets.len().min(room.len());
    let (head, rest) = room.split_at_mut(length);
    head.copy_from_slice(octets.get(..length).unwrap_or(&[]));
    rest
}

/// Repeats the last payloads with each new one.
#[derive(Debug, Clone)]
pub struct Packer {
    generations: usize,
    past: VecDeque<Past>,
}

#[derive(Debug, Clone)]
struct Past {
    timestamp: u32,
    payload_type: u8,
    payload: Vec<u8>,
}

impl Packer {
    /// Repeats each payload in the next `generations` packets, at most 8.
    #[must_use]
    pub fn new(generations: usize) -> Self {
        let generations = generations.min(8);
        Self { generations, past: VecDeque::with_capacity(generations) }
    }

    /// Makes a RED payload of this payload and those before it that are near and short enough; returns its length.
    ///
    /// # Errors
    /// When the payload type is above 127, or even the primary alone does not fit the buffer; redundancy that does
    /// not fit is left out, oldest first.
    pub fn pack(
        &mut self,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, Misuse> {
        // A report of the same event, or the same frame again, supersedes the one before.
        if self.past.back().is_some_and(|past| past.timestamp == timestamp) {
            self.past.pop_back();
        }
        let mut room = buffer.len().saturating_sub(payload.len()).saturating_sub(1);
        let mut first = self.past.len();
        for (index, past) in self.past.iter().enumerate().rev() {
            let needed = past.payload.len().saturating_add(HEADER);
            let near = (1..=MAXIMUM_OFFSET).contains(&timestamp.wrapping_sub(past.timestamp));
            if !near || past.payload.len() > MAXIMUM_BLOCK || needed > room {
                break;
            }
            room = room.saturating_sub(needed);
            first = index;
        }
        let blocks: Vec<Block<'_>> = self
            .past
            .iter()
            .skip(first)
            .map(|past| Block {
                payload_type: past.payload_type,
                offset: timestamp.wrapping_sub(past.timestamp) as u16,
                payload: &past.payload,
            })
            .chain([Block { payload_type, offset: 0, payload }])
            .collect();
        let length = write(&blocks, buffer)?;
        self.remember(timestamp, payload_type, payload);
        Ok(length)
    }

    fn remember(&mut self, timestamp: u32, payload_type: u8, payload: &[u8]) {
        if self.generations == 0 {
            return;
        }
        // The memory of the oldest serves the newest.
        let mut memory = if self.past.len() >= self.generations {
            self.past.pop_front().map(|past| past.payload).unwrap_or_default()
        } else {
            Vec::new()
        };
        memory.clear();
        memory.extend_from_slice(payload);
        self.past.push_back(Past { timestamp, payload_type, payload: memory });
    }
}

#[cfg(test)]
mod tests;
