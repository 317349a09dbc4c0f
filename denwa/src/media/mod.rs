//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod agreed;
mod decoding;
mod digits;
mod encoding;
mod event;
mod in_band;
mod parameters;
mod session;
mod stream;
mod tones;
mod voice;

pub use agreed::NotUsable;
pub use denwa_rtp::session::Path;
pub use event::{Event, StreamReport};
pub use parameters::{EventFormat, KeyPath, PayloadFormat, StreamKeys, StreamParameters};
pub use session::{
    Action, Dropped, Input, MediaConfig, MediaSession, Misuse, Outgoing, Output, PlayOut, Refusal,
};

pub(crate) use decoding::{Decoders, scaled};
pub(crate) use digits::{DigitFault, Key};
pub(crate) use encoding::{Encoded, Encoding};
pub(crate) use stream::{Arrived, Output as StreamOutput, Received, Stream, StreamConfig};
pub(crate) use voice::{Ear, Mouth};
