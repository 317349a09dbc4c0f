//! What a bridge is made with, what it takes in and gives out, apart from commands and events.

use super::{Event, LegId, OpenFailure};
use crate::media::Wire;
use bytes::Bytes;
use denwa_ice::StreamId;
use denwa_rtp::latch;
use denwa_rtp::session::{DropReason, NotSent};
use denwa_rtp::wallclock::WallClock;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a bridge is made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Legs that may be open at a time. Default 20 000.
    pub legs_limit: usize,
    /// How a leg finds the true sender of its media.
    pub latch: latch::Config,
    /// One moment on both clocks, for RTCP sender reports.
    pub wall_clock: WallClock,
    /// Samples a second at which conferences are mixed. Default 8000.
    pub sound_rate_hz: u32,
}

impl BridgeConfig {
    /// The defaults, with the time of day for RTCP: `since_1970` is what the wall clock shows at `now`.
    #[must_use]
    pub fn new(since_1970: Duration, now: Instant) -> Self {
        Self {
            legs_limit: 20_000,
            latch: latch::Config::default(),
            wall_clock: WallClock { at: now, since_1970 },
            sound_rate_hz: 8000,
        }
    }
}

/// What the driver tells a bridge. Datagrams go to [`super::MediaBridge::receive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Both sockets of the leg are open.
    Bound {
        /// Which leg.
        leg: LegId,
        /// Where RTP is received: what was asked for, with the port the system chose when that was 0.
        rtp: SocketAddr,
        /// The same for RTCP.
        rtcp: SocketAddr,
    },
    /// The leg's sockets could not be opened; none is left open.
    BindFailed {
        /// Which leg.
        leg: LegId,
        /// Why.
        reason: OpenFailure,
    },
    /// The system says that a datagram was not delivered.
    Unreachable {
        /// From which leg.
        leg: LegId,
        /// Where it went.
        destination: SocketAddr,
    },
    /// A connection of [`Wire::Open`] is open. Bytes of it go to [`super::MediaBridge::receive_stream`].
    StreamOpened {
        /// Of which leg.
        leg: LegId,
        /// Which.
        stream: StreamId,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A connection could not be opened, or has ended.
    StreamClosed {
        /// Of which leg.
        leg: LegId,
        /// Which.
        stream: StreamId,
        /// It was open before.
        was_open: bool,
    },
}

/// What a bridge wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open the leg's two sockets; answered by [`Input::Bound`] or [`Input::BindFailed`].
    Bind {
        /// Which leg.
        leg: LegId,
        /// Where RTP is received.
        rtp: SocketAddr,
        /// Where RTCP is received.
        rtcp: SocketAddr,
    },
    /// Close the leg's sockets, after what was transmitted before.
    Unbind {
        /// Which leg.
        leg: LegId,
    },
    /// Send this: a control datagram, or a packet that came by a connection.
    Transmit(Transmit),
    /// Open a connection to a TURN server for the leg, send on it, close it; never [`Wire::Resolve`]. Those of a leg end with
    /// [`Output::Unbind`]. Who has no connections answers [`Wire::Open`] with [`Input::StreamClosed`].
    Wire {
        /// For which leg; its connections have numbers of their own.
        leg: LegId,
        /// What.
        wire: Wire,
    },
    /// A fact for whoever gives the commands.
    Event(Event),
}

/// Which socket of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// The one for media.
    Rtp,
    /// The one for control.
    Rtcp,
}

/// A datagram to send that lies in no buffer of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From which leg.
    pub leg: LegId,
    /// From which of its sockets.
    pub component: Component,
    /// The address that socket is bound to.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// What.
    pub payload: Bytes,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'d> {
    /// Send these bytes from that leg's RTP socket.
    Forward(Forward<'d>),
    /// It was taken: control, or media that nobody is to hear.
    Consumed,
    /// It was of no use.
    Dropped(Dropped),
}

/// A media packet that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Forward<'d> {
    /// From which leg's RTP socket.
    pub leg: LegId,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides, while it is not known which of two is right.
    pub also: Option<SocketAddr>,
    /// The packet.
    pub bytes: &'d [u8],
}

/// Why a datagram was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// There is no such leg.
    UnknownLeg,
    /// Nothing was agreed with this leg's peer yet.
    NotAgreed,
    /// The leg's session refused it.
    Refused(DropReason),
    /// It is another protocol than RTP or RTCP.
    OtherProtocol,
    /// It comes from a second source of the peer that is not listened to now.
    NotActive,
    /// The other leg cannot send it now.
    NotSent(NotSent),
}

/// A packet made here, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// From which leg's RTP socket.
    pub leg: LegId,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides.
    pub also: Option<SocketAddr>,
    /// How many octets of the buffer.
    pub length: usize,
}
