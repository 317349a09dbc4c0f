//! STUN over streams: where one message ends and the next begins.
//!
//! Two framings: STUN and ChannelData one after another, as a TURN server and its clients speak (RFC 8489 section 6.2.2, RFC 8656
//! section 12.5), and the two-byte length before each packet that ICE's TCP candidates use (RFC 4571, RFC 6544). A
//! [`Framer`] holds back at most one message, so a peer that never finishes one costs a stated number of bytes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use thiserror::Error;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each message carries its length: STUN, ChannelData padded to four bytes.
    Native,
    /// Two bytes of length before each packet.
    LengthPrefixed,
}

/// A stream that cannot be understood any more; it must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// The next byte begins neither a STUN message nor ChannelData.
    #[error("neither STUN nor ChannelData on the stream")]
    Unknown,
    /// The next message is longer than allowed.
    #[error("a message of {length} bytes where {limit} are allowed")]
    TooLong {
        /// What it says of itself.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Framer {
    framing: Framing,
    limit: usize,
    held: Vec<u8>,
    failed: Option<FramingError>,
}

impl Framer {
    /// A framer that takes messages of at most `limit` bytes.
    #[must_use]
    pub const fn new(framing: Framing, limit: usize) -> Self {
        Self { framing, limit, held: Vec::new(), failed: None }
    }

    /// Takes bytes and gives `each` every message that is now whole, without length prefix and padding.
    ///
    /// # Errors
    /// The stream cannot be understood; every later call fails the same way.
    pub fn receive(&mut self, mut data: &[u8], mut each: impl FnMut(&mut [u8])) -> Result<(), FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            // As much as is needed to know the length, then as much as the message has.
            let Some(frame) = self.frame_of(&self.held) else {
                if data.is_empty() {
                    return Ok(());
                }
                let (first, rest) = data.split_at(1);
                self.held.extend_from_slice(first);
                data = rest;
                continue;
            };
            let frame = frame.and_then(|frame| {
                let length = frame.length();
                if length > self.limit {
                    Err(FramingError::TooLong { length, limit: self.limit })
                } else {
                    Ok(frame)
                }
            });
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.held = Vec::new();
                    self.failed = Some(error);
                    return Err(error);
                }
            };
            let missing = frame.end.saturating_sub(self.held.len());
            let (more, rest) = data.split_at(missing.min(data.len()));
            self.held.extend_from_slice(more);
            data = rest;
            if self.held.len() < frame.end {
                return Ok(());
            }
            if let Some(message) = self.held.get_mut(frame.start..frame.message_end)
                && !message.is_empty()
            {
                each(message);
            }
            self.held.clear();
        }
    }

    /// Bytes held back.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Where the message that begins with these bytes lies, or `None` when more bytes are needed to know.
    fn frame_of(&self, held: &[u8]) -> Option<Result<Frame, FramingError>> {
        match self.framing {
            Framing::LengthPrefixed => {
                let [l0, l1, ..] = *held else { return None };
                let end = usize::from(u16::from_be_bytes([l0, l1])).saturating_add(2);
                Some(Ok(Frame { start: 2, message_end: end, end }))
            }
            Framing::Native => {
                let first = *held.first()?;
                if (0x40..=0x7F).contains(&first) {
                    let [_, _, l0, l1, ..] = *held else { return None };
                    let message_end = usize::from(u16::from_be_bytes([l0, l1])).saturating_add(4);
                    let end = message_end.saturating_add(3) & !3;
                    return Some(Ok(Frame { start: 0, message_end, end }));
                }
                if first > 3 {
                    return Some(Err(FramingError::Unknown));
                }
                let [_, _, l0, l1, ..] = *held else { return None };
                let end = usize::from(u16::from_be_bytes([l0, l1])).saturating_add(20);
                Some(Ok(Frame { start: 0, message_end: end, end }))
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    start: usize,
    message_end: usize,
    end: usize,
}

impl Frame {
    const fn length(self) -> usize {
        self.message_end.saturating_sub(self.start)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn cut(framing: Framing, limit: usize, data: &[u8], step: usize) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut framer = Framer::new(framing, limit);
        let mut messages = Vec::new();
        for piece in data.chunks(step) {
            framer.receive(piece, |message| messages.push(message.to_vec()))?;
            assert!(framer.held_bytes() <= limit + 3);
        }
        Ok(messages)
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        binding.extend([9; 12]);
        let channel = [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        let stream = [binding.as_slice(), &channel, &binding].concat();
        for step in 1..stream.len() {
            let messages = cut(Framing::Native, 100, &stream, step).unwrap();
            assert_eq!(messages, [binding.clone(), channel[..9].to_vec(), binding.clone()]);
        }
        let stream = [0, 2, 7, 8, 0, 0, 0, 1, 9];
        for step in 1..stream.len() {
            assert_eq!(cut(Framing::LengthPrefixed, 100, &stream, step).unwrap(), [vec![7, 8], vec![9]]);
        }
    }

    #[test]
    fn nonsense_and_too_long_messages_end_the_stream() {
        assert_eq!(cut(Framing::Native, 100, b"\x16\x03\x01\x02\x00", 1), Err(FramingError::Unknown));
        let long = FramingError::TooLong { length: 1020, limit: 100 };
        assert_eq!(cut(Framing::Native, 100, &[0, 1, 3, 0xE8, 0, 0], 6), Err(long));
    }
}
