//! ChannelData messages: four bytes in front of a peer's data (RFC 8656 section 12.4).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Bytes in front of the data.
pub const HEADER_BYTES: usize = 4;

/// A ChannelData message in somebody's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub channel: u16,
    /// The peer's data.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Whether a datagram between a client and its server is ChannelData, by its first byte. Since RFC 8656 only 0x40 to 0x4F are given
    /// out; clients of RFC 5766 use numbers up to 0x7FFF.
    #[must_use]
    pub const fn is_channel_data(datagram: &[u8]) -> bool {
        matches!(datagram.first(), Some(0x40..=0x7F))
    }

    /// Reads a message; bytes after the data (padding) are left out. `None` when it is cut short or not ChannelData.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        if !Self::is_channel_data(datagram) {
            return None;
        }
        let (header, rest) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let [c0, c1, l0, l1] = *header;
        let data = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        Some(Self { channel: u16::from_be_bytes([c0, c1]), data })
    }

    /// The four bytes in front of data of this length; `None` when there is too much.
    #[must_use]
    pub fn header(channel: u16, data_bytes: usize) -> Option<[u8; HEADER_BYTES]> {
        let [c0, c1] = channel.to_be_bytes();
        let [l0, l1] = u16::try_from(data_bytes).ok()?.to_be_bytes();
        Some([c0, c1, l0, l1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_behind_its_header_and_padding_is_not_data() {
        let message = [0x40, 1, 0, 3, 7, 8, 9, 0];
        assert_eq!(ChannelData::parse(&message), Some(ChannelData { channel: 0x4001, data: &[7, 8, 9] }));
        assert_eq!(ChannelData::header(0x4001, 3), Some([0x40, 1, 0, 3]));
        assert_eq!(ChannelData::parse(&message[..6]), None);
        assert_eq!(ChannelData::parse(&[0x80, 1, 0, 0]), None);
        assert_eq!(ChannelData::header(0x4000, 70_000), None);
    }
}
