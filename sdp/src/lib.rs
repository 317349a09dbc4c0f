//! Session descriptions, and offer/answer that can say why it refused.
//!
//! # Reading and writing
//!
//! [`Description`] is an index of lines over the text of a body (RFC 8866, and what peers of RFC 4566 and RFC 2327 send).
//! It borrows, judges little, and can always be written back byte for byte: order, unknown lines and exact text are kept.
//! Views are typed when they are asked for ([`Media`], [`Attribute`], [`Connection`], …), and every fault has a line, a
//! column, and what was expected. [`Builder`] writes strictly; [`Editor`] changes single lines and leaves the others.
//!
//! ```
//! use denwa_sdp::{Description, Direction};
//! # fn main() -> Result<(), denwa_sdp::ParseError> {
//! let description = Description::parse(
//!     b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
//!       m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n",
//! )?;
//! for medium in description.media() {
//!     assert_eq!((medium.port(), medium.direction()), (4000, Direction::SendOnly));
//! }
//! let fault = Description::parse(b"v=0\r\nm=audio 70000 RTP/AVP 0\r\n").unwrap_err();
//! assert_eq!(fault.to_string(), "line 2, column 9: a number out of range; expected a port, 0 to 65535");
//! # Ok(())
//! # }
//! ```
//!
//! # Negotiating
//!
//! [`Negotiator`] is one side of RFC 3264: a machine without a clock, driven by calls. What the side can do is declared
//! once in a [`Capability`]; offers and answers are derived from it. What comes of an exchange is a value: [`Agreed`] has
//! for each medium where to send, with which numbers and keys, and what to expect; [`Mismatch`] has for each medium what
//! was offered, what is supported, and the one rule that failed. It prints as a sentence and knows the SIP status and the
//! `Warning` code that go with it.
//!
//! ```
//! use denwa_sdp::{Capability, Codec, Negotiator, Seed, Transport};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let side = |codecs: &[Codec], address: &str, seed| -> Result<_, std::net::AddrParseError> {
//!     let capability = Capability::telephone(codecs.iter().cloned());
//!     Ok(Negotiator::new(capability, vec![Transport::audio(address.parse()?)], Seed([seed; 32])))
//! };
//! let mut caller = side(&[Codec::opus(), Codec::pcma()], "192.0.2.1:4000", 1)?;
//! let mut callee = side(&[Codec::pcmu(), Codec::pcma()], "192.0.2.2:5000", 2)?;
//! let answer = callee.answer(&caller.offer()?)?;
//! let agreed = caller.accept_answer(&answer)?;
//! let audio = agreed.audio().ok_or("no audio")?;
//! assert!(audio.codec().is_some_and(|codec| codec.is("PCMA") && codec.payload_type == 8));
//!
//! let mut stranger = side(&[Codec::g729(true)], "192.0.2.3:6000", 3)?;
//! let refusal = stranger.answer(&callee.offer()?).unwrap_err();
//! assert_eq!(refusal.status(), 488);
//! assert_eq!(
//!     refusal.to_string(),
//!     "no common audio codec: the other side offers PCMA and PCMU, this side has G729"
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Speed
//!
//! Reading allocates once, for the index of lines, however many attributes are read and typed after that. On one core of a
//! small server, in one run: the offer of a phone (452 bytes) 0.34 µs, with every attribute typed 0.84 µs (sipx-sdp 0.80,
//! sdp-types 1.36, webrtc-rs 2.8, webrtc-sdp 5.4); that of a browser (3.7 kB) 1.5 µs, typed 4.1 µs (sipx-sdp 5.2,
//! sdp-types 7.5, webrtc-rs 15, webrtc-sdp 52; all but webrtc-sdp leave most values as text).
//! `cargo bench -p denwa-benches --bench sdp --features peers` measures them again.
//!
//! # Left out on purpose
//!
//! * Capability negotiation (RFC 5939) and the choice among address families inside one medium (ANAT, ALTC): their
//!   attributes are kept and not understood.
//! * Multicast: read and written, never agreed to (refused with warning 330).
//! * Retransmission (`rtx`), simulcast and `rid`: text. A codec `rtx` may be declared and is matched by its parameters.
//! * `r=`, `z=` and `k=`: text.
//!
//! # Deviations from the letter of the RFCs
//!
//! * Answers repeat the offer's payload types always, also where a number meant another codec before (RFC 3264 §8.3.2):
//!   nothing but offered numbers is ever said.
//! * A telephone event at a clock rate no chosen codec has is accepted when there is no other (RFC 4733 §2.1 wants equal
//!   rates; many peers send events at 8000 Hz whatever the codec is).
//! * An answer without `setup` is taken as `active` (RFC 4145 §4.1), and so is one that says `actpass`.
//! * G.722 at 16000 Hz is G.722 at 8000 Hz (RFC 3551 §4.5.2), and `telephone-events` is `telephone-event`.
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
mod scan;
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
    Ice, KeyExchange, LocalFingerprint, LocalIce, LocalSource, MediaCapability, MediumMismatch, Mismatch,
    Misuse, NegotiationError, Negotiator, OfferError, OtherCapability, ParameterRule, Parties, Preference,
    Refuser, RemoteAddress, RemoteDescription, RemoteFax, RemoteFingerprint, RemoteIce, RemoteMedium,
    RemoteOrigin, Role, RtcpMux, Rule, SdesCapability, Seed, SrtpKey, State, Transport,
};
pub use origin::{Origin, VersionStep};
pub use parse::ParseOptions;
pub use profile::{Kind, Profile};
pub use session::{AttributeLine, Attributes, Description, Line, MediaList};
pub use timing::{Bandwidth, Timing};
pub use write::{Builder, Editor};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
