//! What kind of packet is this? RFC 7983 (first octet) and RFC 5761 §4 (RTP beside RTCP), from two octets.
//!
//! Nothing is validated beyond that: the machine that gets the datagram does.

/// The protocols that share a media port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// STUN: first octet 0–3.
    Stun,
    /// ZRTP: first octet 16–19.
    Zrtp,
    /// DTLS: first octet 20–63.
    Dtls,
    /// TURN channel data: first octet 64–79.
    TurnChannel,
    /// RTP or SRTP: version 2 and no packet type of RTCP.
    Rtp,
    /// RTCP or SRTCP: version 2 and a second octet of 192–223.
    Rtcp,
    /// Anything else, and an empty datagram.
    Unknown,
}

/// Looks at the first two octets.
#[must_use]
pub const fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, ..] => Kind::Stun,
        [16..=19, ..] => Kind::Zrtp,
        [20..=63, ..] => Kind::Dtls,
        [64..=79, ..] => Kind::TurnChannel,
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7983_first_octets() {
        let count = |kind| (0..=255u8).filter(|&first| classify(&[first, 0]) == kind).count();
        assert_eq!(count(Kind::Stun), 4);
        assert_eq!(count(Kind::Zrtp), 4);
        assert_eq!(count(Kind::Dtls), 44);
        assert_eq!(count(Kind::TurnChannel), 16);
        assert_eq!(count(Kind::Rtp), 64);
        assert_eq!(count(Kind::Unknown), 124);
    }

    #[test]
    fn rfc5761_payload_types_that_would_read_as_rtcp() {
        let control = (0..=255u8).filter(|&second| classify(&[0x80, second]) == Kind::Rtcp);
        assert_eq!(control.collect::<Vec<_>>(), (192..=223).collect::<Vec<_>>());
        assert_eq!(classify(&[]), Kind::Unknown);
        assert_eq!(classify(&[0x80]), Kind::Unknown);
    }
}
