//! Session descriptions, and offer/answer that says why it refused.
#![forbid(unsafe_code)]

pub mod address;
pub mod attribute;
mod direction;
mod error;
mod fields;
mod limits;
mod media;
mod negotiation;
mod origin;
mod parse;
mod profile;
mod session;
mod timing;
mod write;

pub use address::{Connection, Host};
pub use attribute::{Attribute, AttributeName};
pub use direction::Direction;
pub use error::{ErrorKind, Leniency, LeniencyKind, ParseError};
pub use limits::Limits;
pub use media::Media;
pub use negotiation::{
    ActiveMedium, Agreed, AgreedCodec, AgreedDtls, AgreedEncryption, AgreedEvents, AgreedFax, AgreedIce,
    AgreedMedium, AgreedSdes, AnswerCodecs, AnswerError, BestEffort, Capability, Codec, DtlsCapability,
    DtlsRole, Encryption, EncryptionCapability, FaxCapability, FaxErrorCorrection, Format, Hold, HoldStyle,
    Ice, KeyExchange, LocalFingerprint, LocalIce, MediaCapability, MediumMismatch, Mismatch, Misuse,
    NegotiationError, Negotiator, OfferError, OtherCapability, ParameterRule, Parties, Preference, Refuser,
    RemoteAddress, RemoteDescription, RemoteFax, RemoteFingerprint, RemoteIce, RemoteMedium, RemoteOrigin,
    Role, RtcpMux, Rule, SdesCapability, Seed, SrtpKey, State, Transport,
};
pub use origin::{Origin, VersionStep};
pub use parse::ParseOptions;
pub use profile::{Kind, Profile};
pub use session::{AttributeLine, Attributes, Description, Line};
pub use timing::{Bandwidth, Timing};
pub use write::{Builder, Editor};
