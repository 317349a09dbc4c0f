//! What happens to one media stream, and its figures.

use crate::evidence::StreamCounters;
use crate::media::dtls;
use denwa_ice::agent::PairReport;
use std::net::SocketAddr;
use std::time::Duration;

/// A fact about one media stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first packet of media came.
    FirstPacket {
        /// From where.
        from: SocketAddr,
        /// Where the description said that the peer receives.
        expected: Option<SocketAddr>,
    },
    /// Media are followed to another address: that is where ours go from now on.
    SourceMoved {
        /// The address before.
        from: SocketAddr,
        /// The address now.
        to: SocketAddr,
    },
    /// Packets came from an address that is not followed. Told once.
    SourceRefused {
        /// From where.
        from: SocketAddr,
    },
    /// The peer pressed a key, by telephone event (RFC 4733) or, where it has none, in the sound.
    Digit {
        /// `0`–`9`, `*`, `#`, `A`–`D`, or `!` for a hook flash.
        digit: char,
        /// How long.
        duration: Duration,
    },
    /// A key is to be told to the peer by the signalling (INFO): see [`super::KeyPath::Signalling`].
    KeyToSignal {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long.
        duration: Duration,
    },
    /// The peer's media stopped, though they should come.
    Silent {
        /// For how long.
        lasted: Duration,
    },
    /// The peer's media came again.
    Resumed {
        /// After how long.
        after: Duration,
    },
    /// Offer and answer changed which way media flow, seen from here.
    DirectionChanged {
        /// We may send.
        sends: bool,
        /// We may receive.
        receives: bool,
    },
    /// Offer and answer changed what we send, as `PCMA/8000`.
    CodecChanged {
        /// The codec.
        codec: String,
    },
    /// Packet after packet of the peer's fails its check: other keys than were agreed on, or no protection. Told once.
    ProtectionFailed,
    /// Packet after packet of the peer's has a payload type that was not agreed on, half a second long: none of them is heard.
    /// Told once for each payload type in a row.
    FormatNotAgreed {
        /// The payload type, 0–127.
        payload_type: u8,
    },
    /// The peer's host says that our media are not delivered. Told once for each address.
    Undeliverable {
        /// Where they went.
        destination: SocketAddr,
    },
    /// All candidates for ICE are known: descriptions written from now on have them.
    Gathered,
    /// ICE has found the way that media take, or another one than before.
    PathChosen {
        /// The peer's address.
        remote: SocketAddr,
        /// Both ends, as `host 192.0.2.1:4000 to relayed 198.51.100.7:5000`.
        path: String,
        /// Whether a TURN server relays, the peer's or ours.
        relayed: bool,
    },
    /// ICE has found no way.
    PathFailed {
        /// What was tried, and what came of it.
        pairs: Vec<PairReport>,
    },
    /// The peer has stopped answering on the way in use; nothing is sent any more (RFC 7675).
    PathLost,
    /// Keys were agreed on by DTLS: media are encrypted.
    Encrypted {
        /// The suite, as SDES would call it.
        suite: &'static str,
    },
    /// DTLS gave no keys, and media do not flow; or the peer has ended what gave them, as some do at the end of a call.
    NotEncrypted {
        /// Why.
        reason: dtls::Failure,
    },
    /// How the stream is doing: with each report of the peer's.
    Report(StreamReport),
}

/// The figures of one media stream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StreamReport {
    /// Packets both ways, loss, jitter, round trip.
    pub counters: StreamCounters,
    /// The codec sent, as `PCMA/8000`; empty before an agreement.
    pub codec: String,
    /// The way that ICE found, in words; `None` without ICE.
    pub path: Option<String>,
    /// The suite that DTLS agreed on; `None` without DTLS.
    pub suite: Option<&'static str>,
    /// How it sounds here by the E-model (ITU-T G.107), 1 to 4.5; `None` without enough packets.
    pub mos: Option<f32>,
}
