//! The drivers: they move bytes between sockets and machines, and decide nothing.
//!
//! [`SignallingDriver`] runs one [`crate::driver::Machine`] on a thread of its own: UDP and TCP, names, routes, time.
//! [`MediaDriver`] runs [`crate::bridge::MediaBridge`]s on worker threads, one each. Neither ever waits for the other, nor for
//! the program. TLS, WebSocket and DNS records other than addresses are not here yet.

mod listen;
mod media;
mod port;
mod resolve;
mod route;
mod signalling;
mod stream;
mod udp;

pub use listen::{Listen, Listening, ParseListenError, StartError};
pub use media::{MediaDriver, MediaDriverConfig};
pub use route::route_to;
pub use signalling::{DriverConfig, DriverHandle, SignallingDriver, Stopped};
pub use stream::StreamLimits;

/// 32 bytes of the system's entropy, for a machine's seed.
///
/// # Errors
/// When the system has none to give, which is as good as broken.
pub fn entropy() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}
