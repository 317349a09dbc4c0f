//! A telephone: a screen with several accounts and calls, and commands that need no terminal.
//!
//! [`ui`] is the screen as a pure machine, [`desk`] the machine around a [`denwa::ua::UserAgent`] behind it, [`terminal`] joins
//! the two with a real terminal, and [`sound`] with real devices. [`phone::Phone`] is the telephone of the commands: whom to
//! call, when to answer, what to say, when to hang up. Both run on sockets or in a virtual network alike. [`arguments`] is the
//! command line, [`config`] the file; [`explain`] says what went wrong.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod config;
pub mod desk;
pub mod explain;
pub mod happening;
pub mod identity;
pub mod interface;
pub mod phone;
pub mod probe;
pub mod run;
pub mod secret;
pub mod sound;
pub mod terminal;
pub mod ui;
pub mod wav;
pub mod ways;
pub mod wizard;
pub mod zone;
