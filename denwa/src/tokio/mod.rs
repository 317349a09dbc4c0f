//! The drivers: they move bytes between sockets and machines, and decide nothing.
//!
//! [`SignallingDriver`] runs one [`crate::driver::Machine`] on a thread of its own: UDP, TCP, TLS, WS and WSS, names, routes,
//! time; [`Telephone`] is that with a [`crate::ua::UserAgent`] in it, ready to call. [`MediaDriver`] runs [`crate::bridge::MediaBridge`]s on worker threads, one each; [`TurnServer`]
//! is a STUN and TURN server on a thread. None of them ever waits for another, nor for the program.

mod connect;
mod interrupt;
mod listen;
mod marking;
mod media;
mod names;
mod port;
mod route;
mod running;
mod signalling;
mod stream;
mod streams;
mod telephone;
mod tls;
mod turn;
mod udp;
mod websocket;

pub use crate::marking::Dscp;
pub use interrupt::{on_interrupt, on_interrupt_or_hang_up};
pub use listen::{Listen, Listening, ParseListenError, StartError};
pub use media::{MediaDriver, MediaDriverConfig, MediaMeans};
pub use names::DnsConfig;
pub use route::{own_addresses, route_to};
pub use signalling::{DriverConfig, DriverHandle, SignallingDriver, Stopped};
pub use stream::StreamLimits;
pub use telephone::Telephone;
pub use tls::{Certificate, ClientCertificates, Tls, TlsConfig, TlsError, Trust};
pub use turn::{TurnServer, TurnServerConfig, TurnStatus};
pub use udp::Batching;
pub use websocket::WebSocketConfig;

/// 32 bytes of the system's entropy, for a machine's seed.
///
/// # Errors
/// When the system has none to give, which is as good as broken.
pub fn entropy() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}
