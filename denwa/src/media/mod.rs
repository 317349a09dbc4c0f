//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod parameters;

pub use parameters::{EventFormat, PayloadFormat, StreamParameters};
