//! Telephone codecs and the sounds of telephony, in pure Rust.
//!
//! | room | what is in it |
//! |---|---|
//! | [`frame`] | the shape all codecs share: [`Encoder`], [`Decoder`], their errors |
//! | [`g711`] | mu-law and A-law, scalar truth and vector kernels |
//! | [`level`] | how loud: RMS and peak against full scale and against 0 dBm0 |
//! | [`registry`] | from the names of SDP to constructors |
//! | [`tone`] | sine generators, cadences, the milliwatt |
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
