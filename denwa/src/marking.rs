//! Marks on packets, by which routers let some of them pass first: the differentiated services code point (RFC 2474 §3).

/// What a packet is marked with: six bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dscp(u8);

impl Dscp {
    /// Expedited forwarding, as RFC 4594 wants for voice.
    pub const VOICE: Self = Self(46);
    /// Class selector 5, as RFC 4594 wants for the signalling of telephony.
    pub const SIGNALLING: Self = Self(40);

    /// A code point of 0 to 63; `None` beyond.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        (value < 64).then_some(Self(value))
    }

    /// The code point, 0 to 63.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0
    }

    /// The octet of the IP header that has it, with no word about congestion.
    #[cfg(feature = "tokio")]
    pub(crate) fn octet(self) -> u32 {
        u32::from(self.0) << 2
    }
}
