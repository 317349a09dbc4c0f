//! TURN (RFC 8656; RFC 6062 streams; RFC 7635 is left out): the client that asks for a relayed address, and the server that gives one.

pub mod channel_data;
pub mod client;
pub mod server;

pub use channel_data::ChannelData;
pub use client::Client;
pub use server::Server;

use std::time::Duration;

/// A permission lives this long (RFC 8656 section 9).
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// A channel lives this long (RFC 8656 section 12).
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// An allocation lives this long unless something else is agreed (RFC 8656 section 3.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// Channel numbers that clients bind (RFC 8656 section 12).
pub const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;
/// Channel numbers that the server lets them bind: those of RFC 5766, since its clients are still about.
pub const OLD_CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFF;
