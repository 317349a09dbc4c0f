//! What offer and answer came to, as data that a media stream is configured with.
//!
//! Plain values, so that they can travel from the thread of the signalling to that of the media, and so that a test can
//! write them by hand. Payload types are two per codec: the number we put on what we send is the peer's, the number on
//! what arrives is ours (RFC 3264 §5.1).

use super::{DtlsParameters, IceParameters};
use denwa_rtp::srtp::Keying;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Everything a stream must know of what was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamParameters {
    /// Where the peer receives media; `None` while nobody knows (a name not resolved yet, or an address of nobody).
    pub remote_rtp: Option<SocketAddr>,
    /// Where the peer receives RTCP; `None` when on the media port (RFC 5761).
    pub remote_rtcp: Option<SocketAddr>,
    /// A second address that packets also go to until the first one comes from anywhere: the signalling address, when the
    /// described one seems to be out of reach.
    pub also_rtp: Option<SocketAddr>,
    /// Hosts the signalling vouches for, whose packets are believed sooner than a stranger's.
    pub known_hosts: Vec<IpAddr>,
    /// We may send.
    pub sends: bool,
    /// We may receive.
    pub receives: bool,
    /// Codecs of what we send, preferred first, with the peer's payload types.
    pub send: Vec<PayloadFormat>,
    /// Codecs of what arrives, with our payload types.
    pub receive: Vec<PayloadFormat>,
    /// Telephone events (RFC 4733) we may send, by clock rate.
    pub send_events: Vec<EventFormat>,
    /// Telephone events that may arrive.
    pub receive_events: Vec<EventFormat>,
    /// How much sound a packet we send holds, 10–200 ms.
    pub packet_time: Duration,
    /// How keys of the telephone are told to the peer.
    pub key_path: KeyPath,
    /// Silence is left out of what we send, and described (RFC 3389), where the peer takes descriptions (`CN` is among
    /// [`StreamParameters::send`]). Codecs with means of their own (G.729 Annex B, Opus) go by their parameters.
    pub suppresses_silence: bool,
    /// The keys of SRTP; `None` for plain RTP, and when they come by DTLS.
    pub keys: Option<StreamKeys>,
    /// DTLS, which makes the keys of SRTP; the stream must have a certificate.
    pub dtls: Option<DtlsParameters>,
    /// ICE, which finds the way; the stream must have an agent. The addresses above then say nothing.
    pub ice: Option<IceParameters>,
    /// Whether RTCP shares the port of RTP (RFC 5761).
    pub rtcp_mux: bool,
}

/// How keys of the telephone are told to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyPath {
    /// As events (RFC 4733) where they were agreed on, else in the sound.
    #[default]
    Agreed,
    /// In the sound, whatever was agreed on; and they are listened for in the peer's sound.
    InBand,
    /// By the signalling (INFO): whoever does that is told of each key by an event.
    Signalling,
}

/// The keys of SRTP (RFC 3711), one for each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKeys {
    /// What we send is protected with.
    pub outbound: Keying,
    /// What the peer sends is protected with.
    pub inbound: Keying,
}

/// A codec under a payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFormat {
    /// The payload type, 0–127.
    pub payload_type: u8,
    /// The name in `rtpmap`, for instance `PCMA`; case does not matter.
    pub name: String,
    /// Ticks of the RTP clock a second.
    pub clock_rate_hz: u32,
    /// Channels.
    pub channels: u8,
    /// The codec's parameters, as `fmtp` has them; empty without.
    pub parameters: String,
}

/// Telephone events under a payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// The payload type, 0–127.
    pub payload_type: u8,
    /// Ticks of the RTP clock a second: that of the voice it goes with.
    pub clock_rate_hz: u32,
}

impl PayloadFormat {
    /// PCMU under its static payload type (RFC 3551).
    #[must_use]
    pub fn pcmu() -> Self {
        Self::new(0, "PCMU", 8000)
    }

    /// PCMA under its static payload type (RFC 3551).
    #[must_use]
    pub fn pcma() -> Self {
        Self::new(8, "PCMA", 8000)
    }

    /// A codec of one channel without parameters.
    #[must_use]
    pub fn new(payload_type: u8, name: &str, clock_rate_hz: u32) -> Self {
        Self { payload_type, name: name.to_owned(), clock_rate_hz, channels: 1, parameters: String::new() }
    }

    /// Whether packets of the one are packets of the other, but for the payload type.
    #[must_use]
    pub fn is_same_codec(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.clock_rate_hz == other.clock_rate_hz
            && self.channels == other.channels
    }

    /// Whether the packets of the one mean the same as those of the other to whoever asked for `self`, parameters
    /// included: frames of the same length (iLBC), no silence descriptors where none are wanted (G.729).
    pub(crate) fn takes(&self, other: &Self) -> bool {
        if !self.is_same_codec(other) {
            return false;
        }
        if self.name.eq_ignore_ascii_case("iLBC") {
            return self.parameter("mode").unwrap_or("30") == other.parameter("mode").unwrap_or("30");
        }
        let refuses =
            |format: &Self| format.parameter("annexb").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        !self.name.eq_ignore_ascii_case("G729") || !refuses(self) || refuses(other)
    }

    /// The value of one of the codec's parameters.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Descriptions of silence (RFC 3389).
    pub(crate) fn is_comfort_noise(&self) -> bool {
        self.name.eq_ignore_ascii_case("CN")
    }

    /// The codec has means of its own to leave silence out.
    pub(crate) fn describes_silence(&self) -> bool {
        self.name.eq_ignore_ascii_case("G729") || self.name.eq_ignore_ascii_case("opus")
    }

    /// As people know it: `PCMA/8000`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.name, self.clock_rate_hz)
    }
}

impl StreamParameters {
    /// Plain media both ways with the peer at `remote`, RTCP on the port above, the same payload types both ways,
    /// telephone events as 101, 20 ms packets.
    #[must_use]
    pub fn plain(remote: SocketAddr, formats: &[PayloadFormat]) -> Self {
        let events = EventFormat { payload_type: 101, clock_rate_hz: 8000 };
        Self {
            remote_rtp: Some(remote),
            remote_rtcp: remote.port().checked_add(1).map(|port| SocketAddr::new(remote.ip(), port)),
            also_rtp: None,
            known_hosts: Vec::new(),
            sends: true,
            receives: true,
            send: formats.to_vec(),
            receive: formats.to_vec(),
            send_events: vec![events],
            receive_events: vec![events],
            packet_time: Duration::from_millis(20),
            key_path: KeyPath::Agreed,
            suppresses_silence: false,
            keys: None,
            dtls: None,
            ice: None,
            rtcp_mux: false,
        }
    }

    /// The codec we send, as people know it; empty without one.
    pub fn codec(&self) -> String {
        self.send.first().map(PayloadFormat::label).unwrap_or_default()
    }

    /// Keys go to the peer as tones.
    pub(crate) fn sends_keys_in_sound(&self) -> bool {
        match self.key_path {
            KeyPath::Agreed => self.send_events.is_empty(),
            KeyPath::InBand => true,
            KeyPath::Signalling => false,
        }
    }

    /// Keys may come from the peer as tones: it has agreed on nothing better.
    pub(crate) fn hears_keys_in_sound(&self) -> bool {
        match self.key_path {
            KeyPath::Agreed => self.receive_events.is_empty(),
            KeyPath::InBand => true,
            KeyPath::Signalling => false,
        }
    }

    /// Whether every payload type is one, and they are not too many.
    pub(crate) fn is_sound(&self) -> bool {
        let codecs = self.send.iter().chain(&self.receive).map(|format| format.payload_type);
        let events = self.send_events.iter().chain(&self.receive_events).map(|event| event.payload_type);
        codecs.chain(events).all(|payload_type| payload_type <= 127)
            && self.receive.len().saturating_add(self.receive_events.len()) <= 128
    }

    /// What is agreed as formats of a [`denwa_rtp::Session`].
    pub(crate) fn session_formats(&self) -> Vec<denwa_rtp::session::Format> {
        use denwa_rtp::session::{Content, Format};
        let media = self.receive.iter().map(|format| Format {
            payload_type: format.payload_type,
            clock_rate_hz: format.clock_rate_hz,
            content: if format.is_comfort_noise() { Content::ComfortNoise } else { Content::Media },
        });
        let events = self.receive_events.iter().map(|event| Format {
            payload_type: event.payload_type,
            clock_rate_hz: event.clock_rate_hz,
            content: Content::TelephoneEvent,
        });
        media.chain(events).filter(|format| format.payload_type <= 127).collect()
    }
}
