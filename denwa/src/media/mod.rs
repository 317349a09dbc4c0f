//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod agreed;
mod digits;
mod event;
mod parameters;
mod session;
mod stream;
mod voice;

pub use agreed::NotUsable;
pub use denwa_rtp::session::Path;
pub use event::{Event, StreamReport};
pub use parameters::{EventFormat, PayloadFormat, StreamKeys, StreamParameters};
pub use session::{
    Action, Dropped, Input, MediaConfig, MediaSession, Misuse, Outgoing, Output, PlayOut, Refusal,
};

pub(crate) use digits::DigitFault;
pub(crate) use stream::{Arrived, Output as StreamOutput, Received, Stream, StreamConfig};
pub(crate) use voice::{Ear, Mouth};
