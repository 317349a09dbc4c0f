//! A telephone for the command line, without sound card: it plays a WAV file and records another.
//!
//! [`phone::Phone`] is the telephone's will, a machine around a [`denwa::ua::UserAgent`]: whom to call, when to answer, what to
//! say, when to hang up. It runs on sockets ([`run`]) or in a virtual network alike. [`arguments`] is the command line,
//! [`wav`] the files.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod config;
pub mod desk;
pub mod phone;
pub mod run;
pub mod secret;
pub mod sound;
pub mod ui;
pub mod wav;
