//! The port set of a MAP-E subscriber (RFC 7597 §5.1, RFC 7598 §4.5).
//!
//! Several homes share one IPv4 address; each owns the ports whose middle bits are its port-set identifier (PSID). With `a`
//! offset bits in front and `k` PSID bits, the ports come in blocks of `2^(16 − a − k)`, one for each value of the front bits;
//! the block with all front bits zero is left out when there are front bits, for it holds the well-known ports.

use super::PortSet;
use core::fmt;

impl PortSet {
    /// The ports of a MAP-E subscriber: `offset_bits` (0–15, usually 4 or 6) before the PSID, `psid_bits` long
    /// (0–16) with the value `psid`.
    ///
    /// # Errors
    /// When the bits do not fit into a port number, or `psid` does not fit into its bits.
    pub fn mape(offset_bits: u8, psid_bits: u8, psid: u16) -> Result<Self, MapeError> {
        if offset_bits > 15 || psid_bits > 16 || offset_bits + psid_bits > 16 {
            return Err(MapeError::TooManyBits { offset_bits, psid_bits });
        }
        if u32::from(psid) >> psid_bits != 0 {
            return Err(MapeError::PsidTooLarge { psid_bits, psid });
        }
        let block_bits = 16 - offset_bits - psid_bits;
        let first_block = u32::from(offset_bits > 0);
        let blocks = first_block..(1u32 << offset_bits);
        let last_in_block = (1u32 << block_bits) - 1;
        Ok(Self::from_ranges(blocks.filter_map(|block| {
            let first = (block << (16 - u32::from(offset_bits))) | (u32::from(psid) << block_bits);
            Some(u16::try_from(first).ok()?..=u16::try_from(first + last_in_block).ok()?)
        })))
    }
}

/// Why parameters describe no MAP-E port set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapeError {
    /// Offset and PSID together are longer than a port number (16 bits), or the offset alone leaves no bit.
    TooManyBits {
        /// Bits before the PSID.
        offset_bits: u8,
        /// Bits of the PSID.
        psid_bits: u8,
    },
    /// The PSID does not fit into its own length.
    PsidTooLarge {
        /// Bits of the PSID.
        psid_bits: u8,
        /// The value that does not fit.
        psid: u16,
    },
}

impl fmt::Display for MapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyBits { offset_bits, psid_bits } => {
                write!(
                    f,
                    "a PSID of {psid_bits} bits after {offset_bits} offset bits does not fit into a 16-bit port"
                )
            }
            Self::PsidTooLarge { psid_bits, psid } => {
                write!(f, "PSID {psid} does not fit into {psid_bits} bits")
            }
        }
    }
}

impl std::error::Error for MapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_with_fifteen_blocks_of_sixteen() {
        let set = PortSet::mape(4, 8, 212).unwrap();
        assert_eq!(set.len(), 240);
        assert_eq!(set.ranges().first(), Some(&(7488..=7503)));
        assert_eq!(set.ranges().last(), Some(&(64832..=64847)));
    }

    #[test]
    fn the_edges_of_the_parameters() {
        assert_eq!(PortSet::mape(0, 0, 0).unwrap().len(), 65535, "a whole address, but for port 0");
        assert_eq!(PortSet::mape(0, 8, 1).unwrap().to_string(), "256-511", "no offset: one block");
        assert_eq!(PortSet::mape(0, 16, 5060).unwrap().to_string(), "5060");
        assert_eq!(PortSet::mape(4, 13, 0), Err(MapeError::TooManyBits { offset_bits: 4, psid_bits: 13 }));
        assert_eq!(PortSet::mape(4, 8, 256), Err(MapeError::PsidTooLarge { psid_bits: 8, psid: 256 }));
    }
}
