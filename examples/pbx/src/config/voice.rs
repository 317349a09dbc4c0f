//! How voice travels to and from one side: codecs, encryption and its keys, ICE, digits, packets, what is believed of addresses.

use std::time::Duration;

use denwa::marking::Dscp;
use denwa::media::KeyPath;

use super::Protocol;

/// How voice travels to and from one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Codecs offered and accepted, best first.
    pub codecs: Vec<Codec>,
    /// Whether it is encrypted.
    pub encryption: Encryption,
    /// How its keys are agreed on, where this side is called. A caller says himself.
    pub keying: Keying,
    /// Whether its way is found by ICE (RFC 8445), where the other side can.
    pub ice: bool,
    /// Whether it is certain to know one port for RTP and RTCP, as browsers are.
    pub one_port: bool,
    /// How keys of the telephone are told to it.
    pub keys: KeyPath,
    /// How much sound a packet should hold; as the other side wishes when `None`.
    pub packet_time: Option<Duration>,
    /// Whether it is where its messages come from, or where they say.
    pub nat: Nat,
    /// What voice to it is marked with; as `media.dscp` says when `None`.
    pub dscp: Option<Dscp>,
}

/// How the keys of encrypted voice are agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keying {
    /// They stand in the description (RFC 4568).
    #[default]
    Sdes,
    /// By a handshake on the way of the voice (RFC 5764), as browsers do. Telephones on WebSockets always.
    Dtls,
}

/// What is believed of the addresses that a telephone tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// It is called where its REGISTER came from; voice goes where its description says and follows what comes.
    #[default]
    Auto,
    /// What it tells is true: it is called at its Contact.
    Off,
    /// What it tells is not: voice goes to the address of its signalling, too, before any has come.
    Behind,
}

/// Whether voice is encrypted (SRTP with keys in the description, RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never; an encrypted offer is refused.
    Off,
    /// When the other side offers it.
    #[default]
    Accepted,
    /// Offered to it, and taken when it can.
    Offered,
    /// Always; what is not encrypted is refused.
    Required,
}

/// A codec the exchange can carry. What both sides have passes untouched, any other becomes what the other side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
    /// G.722, wideband.
    G722,
    /// G.729 and its annexes.
    G729,
    /// GSM full rate.
    Gsm,
    /// iLBC.
    Ilbc,
    /// Opus.
    Opus,
    /// G.726 at 32 kbit/s.
    G726,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            codecs: Codec::DEFAULT.to_vec(),
            encryption: Encryption::default(),
            keying: Keying::default(),
            ice: false,
            one_port: false,
            keys: KeyPath::Agreed,
            packet_time: None,
            nat: Nat::default(),
            dscp: None,
        }
    }
}

impl Voice {
    /// The same for a telephone on this transport: those on WebSockets are browsers, which know but one way.
    #[must_use]
    pub fn over(&self, protocol: Protocol) -> Self {
        let is_browser =
            matches!(protocol, Protocol::Ws | Protocol::Wss) && self.encryption != Encryption::Off;
        if !is_browser {
            return self.clone();
        }
        Self {
            encryption: Encryption::Required,
            keying: Keying::Dtls,
            ice: true,
            one_port: true,
            ..self.clone()
        }
    }
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 8] =
        [Self::Pcma, Self::Pcmu, Self::G722, Self::G729, Self::Gsm, Self::Ilbc, Self::Opus, Self::G726];

    /// Those that every telephone has, in the order they are offered when the file says nothing.
    pub const DEFAULT: [Self; 2] = [Self::Pcma, Self::Pcmu];

    /// The name of RFC 3551 and its like, as the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::Gsm => "GSM",
            Self::Ilbc => "iLBC",
            Self::Opus => "opus",
            Self::G726 => "G726-32",
        }
    }

    /// The codec of a name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}
