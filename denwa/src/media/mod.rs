//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod agreed;
mod digits;
mod event;
mod parameters;
mod stream;

pub use agreed::NotUsable;
pub use event::{Event, StreamReport};
pub use parameters::{EventFormat, PayloadFormat, StreamKeys, StreamParameters};

pub(crate) use digits::DigitFault;
pub(crate) use stream::{Output as StreamOutput, Received, Stream, StreamConfig};
