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
