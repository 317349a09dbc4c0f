//! Comfort noise payloads, RFC 3389: how loud the background is and how it is coloured. Making the noise is a codec's
//! business.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{Misuse, ParseError};

/// The static payload type for 8 kHz (RFC 3551 §4.5.6).
pub const PAYLOAD_TYPE: u8 = 13;

/// A description of background noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComfortNoise<'a> {
    /// −dBov: 0 is overload, 127 is silence.
    pub level: u8,
    /// Quantised reflection coefficients, as many as the sender's model has; none for white noise.
    pub coefficients: &'a [u8],
}

impl<'a> ComfortNoise<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is empty.
    pub const fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        match payload {
            // The reserved top bit must be ignored (§3.1).
            [level, coefficients @ ..] => Ok(Self { level: 0x7f & *level, coefficients }),
            [] => Err(ParseError { offset: 0, expected: "a noise level" }),
        }
    }

    /// The reflection coefficients, each between −1 and 1 (§3.2); the reserved index 255 ends the list.
    pub fn reflection(&self) -> impl Iterator<Item = f32> + use<'a> {
        let used = self.coefficients.iter().take_while(|index| **index != 255);
        used.map(|index| 258.0 * (f32::from(*index) - 127.0) / 32768.0)
    }

    /// Writes the payload; returns its length.
    ///
    /// # Errors
    /// When the level is above 127 or the buffer too small.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        if self.level > 127 {
            return Err(Misuse::OutOfRange("a noise level is 0 to 127"));
        }
        let needed = self.coefficients.len().saturating_add(1);
        let available = buffer.len();
        let Some((level, coefficients)) = buffer.get_mut(..needed).and_then(<[u8]>::split_first_mut) else {
            return Err(Misuse::BufferTooSmall { needed, available });
        };
        *level = self.level;
        coefficients.copy_from_slice(self.coefficients);
        Ok(needed)
    }
}

/// The index of a reflection coefficient; what lies outside −1 to 1 is taken to the nearest there is.
#[must_use]
pub fn quantise(coefficient: f32) -> u8 {
    (coefficient * 32768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3389_levels_and_coefficients() {
        let noise = ComfortNoise::parse(&[0x80 | 40, 0, 127, 254, 255, 7]).unwrap();
        assert_eq!(noise.level, 40);
        let reflection: Vec<_> = noise.reflection().collect();
        assert_eq!(reflection, [-258.0 * 127.0 / 32768.0, 0.0, 258.0 * 127.0 / 32768.0]);
        assert!(ComfortNoise::parse(&[]).is_err());
        assert_eq!(ComfortNoise::parse(&[78]).unwrap().reflection().count(), 0);
    }

    #[test]
    fn rfc3389_every_index_survives() {
        for index in 0..=254u8 {
            let noise = ComfortNoise { level: 1, coefficients: &[index] };
            assert_eq!(quantise(noise.reflection().next().unwrap()), index);
        }
        let mut buffer = [0; 3];
        let noise = ComfortNoise { level: 60, coefficients: &[1, 2] };
        assert_eq!(noise.write(&mut buffer), Ok(3));
        assert_eq!(ComfortNoise::parse(&buffer), Ok(noise));
        assert!(noise.write(&mut [0; 2]).is_err());
        assert!(ComfortNoise { level: 128, ..noise }.write(&mut buffer).is_err());
    }
}
