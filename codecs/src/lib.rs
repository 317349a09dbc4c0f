//! Telephone codecs and the sounds of telephony, in pure Rust.
//!
//! | room | what is in it |
//! |---|---|
//! | [`frame`] | the shape all codecs share: [`Encoder`], [`Decoder`], their errors |
//! | [`registry`] | from the names of SDP to constructors |
//! | [`g711`] | mu-law and A-law, scalar truth and vector kernels, concealment by Appendix I |
//! | [`g729`] | Annex A's encoder, both decoders, Annex B; bit-exact |
//! | [`g722`] | all modes, bit-exact; concealment in the manner of Appendix IV, not its samples |
//! | `g726`, `gsm`, `ilbc`, [`linear`], `opus` | the other codecs |
//! | `conceal`, `comfort_noise`, `activity` | losses and pauses |
//! | `tone` | tones and their plans, DTMF and call progress both ways, the milliwatt |
//! | `level`, `mix`, `resample` | how loud, many at once, other rates |
//! | `wav`, `ogg` | prompts and recordings |
//!
//! Most programs come by the registry, with what the session description says:
//!
//! ```
//! # #[cfg(feature = "g729")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use denwa_codecs::registry;
//!
//! let codec = registry::find("G729", 8_000).ok_or("not in this build")?;
//! let mut encoder = codec.encoder("annexb=no")?;
//! let mut decoder = codec.decoder("")?;
//!
//! let samples = vec![0i16; codec.packet_samples_of(&*encoder)]; // 20 ms
//! let mut payload = vec![0; encoder.max_payload_bytes(samples.len())];
//! let length = encoder.encode(&samples, &mut payload)?;
//! assert_eq!((samples.len(), length), (160, 20));
//!
//! let mut heard = vec![0i16; decoder.max_samples(length)];
//! assert_eq!(decoder.decode(&payload[..length], &mut heard)?, 160);
//! assert_eq!(decoder.conceal(&mut heard), 160); // when a packet is lost
//!
//! // A fault says what would do; what was to be heard is concealed as for a lost packet.
//! let fault = decoder.decode(&payload[..7], &mut heard).unwrap_err();
//! assert_eq!(fault.to_string(), "a payload of 7 bytes; a multiple of 10 bytes, with or without 2 more at its end, would do");
//! # Ok(()) }
//! # #[cfg(not(feature = "g729"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `g711`, `g722`, `g729`, `l16` | yes | these codecs; `no_std` with `alloc` |
//! | `g726`, `gsm`, `ilbc` | yes | these codecs; they need `std` |
//! | `std` | yes | tones, detectors, mixing, resampling, concealment; kernels chosen by the processor at run time |
//! | `opus` | no | Opus, by a crate in Rust |
//! | `wav`, `ogg` | no | prompts and recordings |
//!
//! Without `std` take `default-features = false` and the codecs by name: `features = ["g711", "g729"]`.
//!
//! There is no clock, no queue, no thread and no global state here: samples go in as `&[i16]`, payloads come out as
//! bytes in the caller's buffer, and no call allocates once its object is built.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod activity;
mod arch;
#[cfg(feature = "std")]
pub mod comfort_noise;
#[cfg(feature = "std")]
pub mod conceal;
pub mod frame;
#[cfg(feature = "g711")]
pub mod g711;
#[cfg(feature = "g722")]
pub mod g722;
#[cfg(feature = "g726")]
pub mod g726;
#[cfg(feature = "g729")]
pub mod g729;
#[cfg(feature = "gsm")]
pub mod gsm;
#[cfg(feature = "ilbc")]
pub mod ilbc;
#[cfg(feature = "g711")]
pub mod kernel;
#[cfg(feature = "std")]
pub mod level;
#[cfg(feature = "l16")]
pub mod linear;
#[cfg(feature = "std")]
pub mod mix;
#[cfg(feature = "ogg")]
pub mod ogg;
#[cfg(feature = "opus")]
pub mod opus;
pub mod registry;
#[cfg(feature = "std")]
pub mod resample;
#[cfg(feature = "std")]
pub mod tone;
#[cfg(feature = "wav")]
pub mod wav;

pub use frame::{DecodeError, Decoder, EncodeError, Encoder, PayloadLengths};

#[cfg(all(doctest, feature = "g711"))]
#[doc = include_str!("../README.md")]
struct Readme;
