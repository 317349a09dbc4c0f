//! The attributes of RFC 8489, 8445, 8656, 5780, 6062 and 7635: one table gives names, types, decoding and encoding.
//!
//! A type holds a value that cannot be nonsense; [`Attribute::decode`] says `None` to bytes that are. Text is borrowed.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::address;
use super::credentials::PasswordAlgorithm;
use super::error_code::ErrorCode;
use super::message::TransactionId;
use super::writer::Writer;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The number that says what an attribute is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeKind(pub u16);

impl AttributeKind {
    /// Whether a receiver that does not know it must refuse the message (RFC 8489 section 14).
    #[must_use]
    pub const fn is_required(self) -> bool {
        self.0 < 0x8000
    }
}

impl fmt::Debug for AttributeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "attribute {:#06x}", self.0),
        }
    }
}

/// An attribute's value, understood.
pub trait Attribute<'a>: Sized {
    /// Its number.
    const KIND: AttributeKind;
    /// What its value must be, for error texts.
    const EXPECTED: &'static str;
    /// Reads the value; `None` when it is not what it must be.
    fn decode(value: &'a [u8], id: TransactionId) -> Option<Self>;
    /// Writes the value, without header and padding.
    fn encode(&self, to: &mut Writer<'_>);
}

/// One line each: number, constant, name on paper, type, form of the value, what it is.
macro_rules! attributes {
    ($($code:literal $constant:ident $text:literal $name:ident $form:tt $doc:literal;)*) => {
        impl AttributeKind {
            $(#[doc = $doc] pub const $constant: Self = Self($code);)*

            /// The name in the RFC that defines it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }

            /// Every attribute of the table.
            pub const ALL: &'static [Self] = &[$(Self($code)),*];
        }
        $(attributes!(@ $form $constant $name $text $doc);)*
    };
    (@ (raw) $constant:ident $name:ident $text:literal $doc:literal) => {};
    (@ (flag) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;
        impl Attribute<'_> for $name {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!($text, " without a value");
            fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
                value.is_empty().then_some(Self)
            }
            fn encode(&self, _: &mut Writer<'_>) {}
        }
    };
    (@ (text $most:literal) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a str);
        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!($text, " of UTF-8, at most ", $most, " bytes");
            fn decode(value: &'a [u8], _: TransactionId) -> Option<Self> {
                (value.len() <= $most).then(|| std::str::from_utf8(value).ok().map(Self)).flatten()
            }
            fn encode(&self, to: &mut Writer<'_>) {
                to.bytes(self.0.as_bytes());
            }
        }
    };
    (@ (bytes) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a [u8]);
        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = $text;
            fn decode(value: &'a [u8], _: TransactionId) -> Option<Self> {
                Some(Self(value))
            }
            fn encode(&self, to: &mut Writer<'_>) {
                to.bytes(self.0);
            }
        }
    };
    (@ (array $length:literal) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub [u8; $length]);
        impl Attribute<'_> for $name {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!($length, " bytes of ", $text);
            fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
                value.try_into().ok().map(Self)
            }
            fn encode(&self, to: &mut Writer<'_>) {
                to.bytes(&self.0);
            }
        }
    };
    (@ (u32) $constant:ident $name:ident $text:literal $doc:literal) => {
        attributes!(@number u32 $constant $name $text $doc);
    };
    (@ (u64) $constant:ident $name:ident $text:literal $doc:literal) => {
        attributes!(@number u64 $constant $name $text $doc);
    };
    (@number $type:ident $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $type);
        impl Attribute<'_> for $name {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!("a ", stringify!($type), " of ", $text);
            fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
                value.try_into().ok().map(|bytes| Self($type::from_be_bytes(bytes)))
            }
            fn encode(&self, to: &mut Writer<'_>) {
                to.bytes(&self.0.to_be_bytes());
            }
        }
    };
    (@ (address) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub SocketAddr);
        impl Attribute<'_> for $name {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!("an address as ", $text);
            fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
                address::decode(value).map(Self)
            }
            fn encode(&self, to: &mut Writer<'_>) {
                address::encode(self.0, to);
            }
        }
    };
    (@ (xored) $constant:ident $name:ident $text:literal $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub SocketAddr);
        impl Attribute<'_> for $name {
            const KIND: AttributeKind = AttributeKind::$constant;
            const EXPECTED: &'static str = concat!("an address as ", $text);
            fn decode(value: &[u8], id: TransactionId) -> Option<Self> {
                address::decode_xored(value, id).map(Self)
            }
            fn encode(&self, to: &mut Writer<'_>) {
                address::encode_xored(self.0, to);
            }
        }
    };
}

attributes! {
    0x0001 MAPPED_ADDRESS "MAPPED-ADDRESS" MappedAddress (address) "The address a request came from, for peers of RFC 3489.";
    0x0003 CHANGE_REQUEST "CHANGE-REQUEST" ChangeRequest (u32) "Answer from another address or port (RFC 5780): see its methods.";
    0x0006 USERNAME "USERNAME" Username (text 513) "Who sends this.";
    0x0008 MESSAGE_INTEGRITY "MESSAGE-INTEGRITY" MessageIntegrity (raw) "HMAC-SHA1 over what comes before.";
    0x0009 ERROR_CODE "ERROR-CODE" ErrorCodeAttribute (raw) "Why a request was not done: [`ErrorCode`] and a phrase.";
    0x000A UNKNOWN_ATTRIBUTES "UNKNOWN-ATTRIBUTES" UnknownAttributes (raw) "What of a request was not understood.";
    0x000C CHANNEL_NUMBER "CHANNEL-NUMBER" ChannelNumber (raw) "A channel (RFC 8656).";
    0x000D LIFETIME "LIFETIME" Lifetime (raw) "How long an allocation lives.";
    0x0012 XOR_PEER_ADDRESS "XOR-PEER-ADDRESS" XorPeerAddress (xored) "A peer's address as the server sees it (RFC 8656).";
    0x0013 DATA "DATA" Data (bytes) "What is relayed (RFC 8656).";
    0x0014 REALM "REALM" Realm (text 763) "What a name and a password are for.";
    0x0015 NONCE "NONCE" Nonce (text 763) "The server's word, to be given back.";
    0x0016 XOR_RELAYED_ADDRESS "XOR-RELAYED-ADDRESS" XorRelayedAddress (xored) "The address that was allocated (RFC 8656).";
    0x0017 REQUESTED_ADDRESS_FAMILY "REQUESTED-ADDRESS-FAMILY" RequestedAddressFamily (raw) "IPv4 or IPv6 (RFC 8656).";
    0x0018 EVEN_PORT "EVEN-PORT" EvenPort (raw) "The relayed port must be even (RFC 8656).";
    0x0019 REQUESTED_TRANSPORT "REQUESTED-TRANSPORT" RequestedTransport (raw) "UDP or TCP between server and peers (RFC 8656, RFC 6062).";
    0x001A DONT_FRAGMENT "DONT-FRAGMENT" DontFragment (flag) "Set the DF bit (RFC 8656).";
    0x001B ACCESS_TOKEN "ACCESS-TOKEN" AccessToken (bytes) "A token of a third party (RFC 7635).";
    0x001C MESSAGE_INTEGRITY_SHA256 "MESSAGE-INTEGRITY-SHA256" MessageIntegritySha256 (raw) "HMAC-SHA256 over what comes before.";
    0x001D PASSWORD_ALGORITHM "PASSWORD-ALGORITHM" ChosenPasswordAlgorithm (raw) "How the key was made of the password.";
    0x001E USERHASH "USERHASH" UserHash (array 32) "SHA-256 of user name and realm, instead of the name.";
    0x0020 XOR_MAPPED_ADDRESS "XOR-MAPPED-ADDRESS" XorMappedAddress (xored) "The address a request came from.";
    0x0022 RESERVATION_TOKEN "RESERVATION-TOKEN" ReservationToken (array 8) "The next higher port is kept under this (RFC 8656).";
    0x0024 PRIORITY "PRIORITY" Priority (u32) "What a peer-reflexive candidate would have (RFC 8445).";
    0x0025 USE_CANDIDATE "USE-CANDIDATE" UseCandidate (flag) "This pair is to be used (RFC 8445).";
    0x0026 PADDING "PADDING" Padding (bytes) "Bytes that make a message large (RFC 5780).";
    0x0027 RESPONSE_PORT "RESPONSE-PORT" ResponsePort (raw) "Answer to this port (RFC 5780).";
    0x002A CONNECTION_ID "CONNECTION-ID" ConnectionId (u32) "A peer's TCP connection (RFC 6062).";
    0x8000 ADDITIONAL_ADDRESS_FAMILY "ADDITIONAL-ADDRESS-FAMILY" AdditionalAddressFamily (raw) "IPv6 as well (RFC 8656).";
    0x8001 ADDRESS_ERROR_CODE "ADDRESS-ERROR-CODE" AddressErrorCode (raw) "Why one family was not allocated (RFC 8656).";
    0x8002 PASSWORD_ALGORITHMS "PASSWORD-ALGORITHMS" PasswordAlgorithms (raw) "How keys may be made of passwords.";
    0x8003 ALTERNATE_DOMAIN "ALTERNATE-DOMAIN" AlternateDomain (text 255) "The name in the other server's certificate.";
    0x8004 ICMP "ICMP" Icmp (raw) "What ICMP said about a datagram to a peer (RFC 8656).";
    0x8022 SOFTWARE "SOFTWARE" Software (text 763) "The sender's program.";
    0x8023 ALTERNATE_SERVER "ALTERNATE-SERVER" AlternateServer (address) "Ask there.";
    0x8027 CACHE_TIMEOUT "CACHE-TIMEOUT" CacheTimeout (u32) "How long a finding holds, in seconds (RFC 5780).";
    0x8028 FINGERPRINT "FINGERPRINT" Fingerprint (raw) "CRC-32 of what comes before.";
    0x8029 ICE_CONTROLLED "ICE-CONTROLLED" IceControlled (u64) "The sender is controlled; its tie-breaker (RFC 8445).";
    0x802A ICE_CONTROLLING "ICE-CONTROLLING" IceControlling (u64) "The sender controls; its tie-breaker (RFC 8445).";
    0x802B RESPONSE_ORIGIN "RESPONSE-ORIGIN" ResponseOrigin (address) "Where the answer was sent from (RFC 5780).";
    0x802C OTHER_ADDRESS "OTHER-ADDRESS" OtherAddress (address) "The server's other address and port (RFC 5780).";
    0x802E THIRD_PARTY_AUTHORIZATION "THIRD-PARTY-AUTHORIZATION" ThirdPartyAuthorization (text 763) "Who gives tokens (RFC 7635).";
}

impl ChangeRequest {
    const ADDRESS: u32 = 4;
    const PORT: u32 = 2;

    /// What should be other.
    #[must_use]
    pub const fn new(address: bool, port: bool) -> Self {
        Self((if address { Self::ADDRESS } else { 0 }) | (if port { Self::PORT } else { 0 }))
    }

    /// Whether the answer should come from the other address.
    #[must_use]
    pub const fn address(self) -> bool {
        self.0 & Self::ADDRESS != 0
    }

    /// Whether the answer should come from the other port.
    #[must_use]
    pub const fn port(self) -> bool {
        self.0 & Self::PORT != 0
    }
}

/// Why a request was not done: ERROR-CODE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCodeAttribute<'a> {
    /// The number.
    pub code: ErrorCode,
    /// Words for people.
    pub phrase: &'a str,
}

impl<'a> Attribute<'a> for ErrorCodeAttribute<'a> {
    const KIND: AttributeKind = AttributeKind::ERROR_CODE;
    const EXPECTED: &'static str = "ERROR-CODE from 300 to 699 with a phrase of UTF-8";
    fn decode(value: &'a [u8], _: TransactionId) -> Option<Self> {
        let ([_, _, class, number], phrase) = value.split_first_chunk::<4>()?;
        let code = u16::from(class & 7).checked_mul(100)?.checked_add(u16::from(*number))?;
        if *number > 99 || phrase.len() > 763 {
            return None;
        }
        Some(Self { code: ErrorCode::new(code)?, phrase: std::str::from_utf8(phrase).ok()? })
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[0, 0, self.code.class(), self.code.number()]);
        to.bytes(self.phrase.as_bytes());
    }
}

/// What of a request was not understood: UNKNOWN-ATTRIBUTES. Bytes, two for each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAttributes<'a>(&'a [u8]);

impl<'a> UnknownAttributes<'a> {
    /// The kinds.
    pub fn kinds(&self) -> impl Iterator<Item = AttributeKind> + 'a {
        self.0.as_chunks::<2>().0.iter().map(|pair| AttributeKind(u16::from_be_bytes(*pair)))
    }
}

impl<'a> Attribute<'a> for UnknownAttributes<'a> {
    const KIND: AttributeKind = AttributeKind::UNKNOWN_ATTRIBUTES;
    const EXPECTED: &'static str = "UNKNOWN-ATTRIBUTES of two bytes each";
    fn decode(value: &'a [u8], _: TransactionId) -> Option<Self> {
        value.len().is_multiple_of(2).then_some(Self(value))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(self.0);
    }
}

/// A channel: CHANNEL-NUMBER. Numbers from 0x4000 to 0x4FFF can be bound (RFC 8656 section 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelNumber(pub u16);

impl Attribute<'_> for ChannelNumber {
    const KIND: AttributeKind = AttributeKind::CHANNEL_NUMBER;
    const EXPECTED: &'static str = "four bytes of CHANNEL-NUMBER";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [n0, n1, _, _] = *value else { return None };
        Some(Self(u16::from_be_bytes([n0, n1])))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        let [n0, n1] = self.0.to_be_bytes();
        to.bytes(&[n0, n1, 0, 0]);
    }
}

/// How long an allocation lives, in whole seconds: LIFETIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl Attribute<'_> for Lifetime {
    const KIND: AttributeKind = AttributeKind::LIFETIME;
    const EXPECTED: &'static str = "a u32 of LIFETIME";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let seconds = u32::from_be_bytes(value.try_into().ok()?);
        Some(Self(Duration::from_secs(u64::from(seconds))))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// IPv4 or IPv6: REQUESTED-ADDRESS-FAMILY. `None` is a family this crate does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedAddressFamily(pub Option<Family>);

impl Attribute<'_> for RequestedAddressFamily {
    const KIND: AttributeKind = AttributeKind::REQUESTED_ADDRESS_FAMILY;
    const EXPECTED: &'static str = "four bytes of REQUESTED-ADDRESS-FAMILY";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [family, _, _, _] = *value else { return None };
        Some(Self(Family::from_code(family)))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[self.0.map_or(0, Family::code), 0, 0, 0]);
    }
}

/// The other family as well: ADDITIONAL-ADDRESS-FAMILY. `None` is a family this crate does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdditionalAddressFamily(pub Option<Family>);

impl Attribute<'_> for AdditionalAddressFamily {
    const KIND: AttributeKind = AttributeKind::ADDITIONAL_ADDRESS_FAMILY;
    const EXPECTED: &'static str = "four bytes of ADDITIONAL-ADDRESS-FAMILY";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [family, _, _, _] = *value else { return None };
        Some(Self(Family::from_code(family)))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[self.0.map_or(0, Family::code), 0, 0, 0]);
    }
}

/// Why one family was not allocated: ADDRESS-ERROR-CODE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressErrorCode<'a> {
    /// Which family.
    pub family: Family,
    /// The number.
    pub code: ErrorCode,
    /// Words for people.
    pub phrase: &'a str,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const KIND: AttributeKind = AttributeKind::ADDRESS_ERROR_CODE;
    const EXPECTED: &'static str = "a family and an error code as ADDRESS-ERROR-CODE";
    fn decode(value: &'a [u8], id: TransactionId) -> Option<Self> {
        let family = Family::from_code(*value.first()?)?;
        let ErrorCodeAttribute { code, phrase } = ErrorCodeAttribute::decode(value, id)?;
        Some(Self { family, code, phrase })
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[self.family.code(), 0, self.code.class(), self.code.number()]);
        to.bytes(self.phrase.as_bytes());
    }
}

/// The relayed port must be even: EVEN-PORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvenPort {
    /// Whether the next higher port is to be kept as well.
    pub reserve_next: bool,
}

impl Attribute<'_> for EvenPort {
    const KIND: AttributeKind = AttributeKind::EVEN_PORT;
    const EXPECTED: &'static str = "one byte of EVEN-PORT";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [bits] = *value else { return None };
        Some(Self { reserve_next: bits & 0x80 != 0 })
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[if self.reserve_next { 0x80 } else { 0 }]);
    }
}

/// What is spoken between server and peers: REQUESTED-TRANSPORT, a protocol number of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// Datagrams.
    pub const UDP: Self = Self(17);
    /// Streams (RFC 6062).
    pub const TCP: Self = Self(6);
}

impl Attribute<'_> for RequestedTransport {
    const KIND: AttributeKind = AttributeKind::REQUESTED_TRANSPORT;
    const EXPECTED: &'static str = "four bytes of REQUESTED-TRANSPORT";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [protocol, _, _, _] = *value else { return None };
        Some(Self(protocol))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[self.0, 0, 0, 0]);
    }
}

/// Answer to this port: RESPONSE-PORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsePort(pub u16);

impl Attribute<'_> for ResponsePort {
    const KIND: AttributeKind = AttributeKind::RESPONSE_PORT;
    const EXPECTED: &'static str = "two or four bytes of RESPONSE-PORT";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        match *value {
            [p0, p1] | [p0, p1, _, _] => Some(Self(u16::from_be_bytes([p0, p1]))),
            _ => None,
        }
    }
    fn encode(&self, to: &mut Writer<'_>) {
        let [p0, p1] = self.0.to_be_bytes();
        to.bytes(&[p0, p1, 0, 0]);
    }
}

/// What ICMP said about a datagram to a peer: ICMP (RFC 8656 section 18.13, erratum 8901).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// ICMP or ICMPv6 type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// For "too big": the largest size, otherwise 0.
    pub data: u32,
}

impl Attribute<'_> for Icmp {
    const KIND: AttributeKind = AttributeKind::ICMP;
    const EXPECTED: &'static str = "eight bytes of ICMP";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let [_, _, kind, code, d0, d1, d2, d3] = *value else { return None };
        Some(Self { kind, code, data: u32::from_be_bytes([d0, d1, d2, d3]) })
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(&[0, 0, self.kind, self.code]);
        to.bytes(&self.data.to_be_bytes());
    }
}

/// How the key was made of the password: PASSWORD-ALGORITHM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenPasswordAlgorithm(pub PasswordAlgorithm);

impl Attribute<'_> for ChosenPasswordAlgorithm {
    const KIND: AttributeKind = AttributeKind::PASSWORD_ALGORITHM;
    const EXPECTED: &'static str = "MD5 or SHA-256 as PASSWORD-ALGORITHM";
    fn decode(value: &[u8], _: TransactionId) -> Option<Self> {
        let ([a0, a1, 0, 0], _) = value.split_first_chunk::<4>()? else { return None };
        PasswordAlgorithm::from_code(u16::from_be_bytes([*a0, *a1])).map(Self)
    }
    fn encode(&self, to: &mut Writer<'_>) {
        let [a0, a1] = self.0.code().to_be_bytes();
        to.bytes(&[a0, a1, 0, 0]);
    }
}

/// How keys may be made of passwords, best first: PASSWORD-ALGORITHMS. Bytes, as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordAlgorithms<'a>(pub &'a [u8]);

impl<'a> PasswordAlgorithms<'a> {
    /// Both, SHA-256 first.
    pub const BOTH: PasswordAlgorithms<'static> = PasswordAlgorithms(&[0, 2, 0, 0, 0, 1, 0, 0]);

    /// Those that are known, in order.
    pub fn known(&self) -> impl Iterator<Item = PasswordAlgorithm> + 'a {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let ([a0, a1, l0, l1], after) = rest.split_first_chunk::<4>()?;
            let parameters = usize::from(u16::from_be_bytes([*l0, *l1])).saturating_add(3) & !3;
            rest = after.get(parameters..).unwrap_or_default();
            Some(PasswordAlgorithm::from_code(u16::from_be_bytes([*a0, *a1])))
        })
        .flatten()
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const KIND: AttributeKind = AttributeKind::PASSWORD_ALGORITHMS;
    const EXPECTED: &'static str = "algorithms and their parameters as PASSWORD-ALGORITHMS";
    fn decode(value: &'a [u8], _: TransactionId) -> Option<Self> {
        (value.len() >= 4).then_some(Self(value))
    }
    fn encode(&self, to: &mut Writer<'_>) {
        to.bytes(self.0);
    }
}
