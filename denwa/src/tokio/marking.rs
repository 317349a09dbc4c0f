//! Having sockets mark what they send (RFC 2474).

use crate::marking::Dscp;
use socket2::SockRef;
use std::net::SocketAddr;

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
