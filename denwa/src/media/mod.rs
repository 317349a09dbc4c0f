//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod agreed;
mod carrier;
mod decoding;
mod digits;
pub mod dtls;
mod encoding;
mod event;
mod ice;
mod in_band;
mod parameters;
mod session;
mod stream;
mod tones;
mod voice;

pub use agreed::NotUsable;
pub use denwa_ice::agent::PairReport;
pub use denwa_rtp::session::Path;
pub use dtls::{DtlsParameters, Identity};
pub use event::{Event, StreamReport};
pub use ice::{IceConfig, IceParameters, TurnServer, Wire};
pub use parameters::{EventFormat, KeyPath, PayloadFormat, StreamKeys, StreamParameters};
pub use session::{
    Action, Dropped, Input, MediaConfig, MediaSession, Misuse, Outgoing, Output, PlayOut, Refusal,
};

pub(crate) use decoding::{Decoders, scaled};
pub(crate) use digits::{DigitFault, Key};
pub(crate) use encoding::{Encoded, Encoding};
pub(crate) use ice::{Sent, stream_opened};
pub(crate) use stream::{Arrived, Output as StreamOutput, Received, Stream, StreamConfig};
pub(crate) use voice::{Ear, Mouth};
