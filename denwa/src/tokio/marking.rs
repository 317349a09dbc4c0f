//! Marks on packets, by which routers let some of them pass first: the differentiated services code point (RFC 2474 §3).

use socket2::SockRef;
use std::net::SocketAddr;

/// What a packet is marked with: six bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dscp(u8);

impl Dscp {
    /// Expedited forwarding, as RFC 4594 wants for voice.
    pub const VOICE: Self = Self(46);
    /// Class selector 5, as RFC 4594 wants for the signalling of telephony.
    pub const SIGNALLING: Self = Self(40);

    /// A code point of 0 to 63; `None` beyond.
    pub fn new(value: u8) -> Option<Self> {
        (value < 64).then_some(Self(value))
    }

    /// The code point, 0 to 63.
    pub fn value(self) -> u8 {
        self.0
    }

    /// The octet of the IP header that has it, with no word about congestion.
    fn octet(self) -> u32 {
        u32::from(self.0) << 2
    }
}

/// Has a socket mark what it sends. A system that does not let us sends without marks.
pub(super) fn mark<'s>(socket: impl Into<SockRef<'s>>, dscp: Option<Dscp>) {
    let (socket, Some(dscp)) = (socket.into(), dscp) else { return };
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    let _ = match address {
        Some(SocketAddr::V6(_)) => mark_v6(&socket, dscp),
        _ => socket.set_tos_v4(dscp.octet()),
    };
}

#[cfg(target_os = "linux")]
fn mark_v6(socket: &SockRef<'_>, dscp: Dscp) -> std::io::Result<()> {
    Ok(rustix::net::sockopt::set_ipv6_tclass(&**socket, dscp.octet())?)
}

#[cfg(not(target_os = "linux"))]
fn mark_v6(_: &SockRef<'_>, _: Dscp) -> std::io::Result<()> {
    Ok(())
}
