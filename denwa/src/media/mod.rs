//! One media session: descriptions, transport, RTP and codecs, tied together without a socket.

mod agreed;
mod carrier;
mod digits;
pub mod dtls;
mod event;
mod ice;
mod parameters;
mod session;
mod stream;
mod voice;

pub use agreed::NotUsable;
pub use denwa_ice::agent::PairReport;
pub use denwa_rtp::session::Path;
pub use dtls::{DtlsParameters, Identity};
pub use event::{Event, StreamReport};
pub use ice::{IceConfig, IceParameters, TurnServer, Wire};
pub use parameters::{EventFormat, PayloadFormat, StreamKeys, StreamParameters};
pub use session::{
    Action, Dropped, Input, MediaConfig, MediaSession, Misuse, Outgoing, Output, PlayOut, Refusal,
};

pub(crate) use digits::DigitFault;
pub(crate) use stream::{Arrived, Output as StreamOutput, Received, Stream, StreamConfig};
pub(crate) use voice::{Ear, Mouth};
