//! A harness for tests with programs that none of us wrote: baresip, Linphone, SIPp and their like, on loopback.
//!
//! - [`require`] finds a peer, [`python_with`] one that is a Python module; when it is not installed a developer's test says so and goes on, and CI fails.
//! - [`Peer`] is a running process with a log to wait on, ended by its process group when it is dropped.
//! - [`Ports`] is a block of ports that no other test of this machine uses at the same time.
//! - [`kamailio`] is started with the routes of a test.
//! - [`network`] makes hosts with routers between them, out of the kernel.
//! - [`hikari`] stands in for a telephone company that refuses much, [`dns`] for the name servers of the world.
//! - [`baresip`], [`linphone`] and [`sipp`] write profiles and scenarios; [`chromium`] presses buttons in a page,
//!   [`sip_page`] is one with JsSIP or SIP.js, [`web`] serves pages, [`authority`] signs certificates; [`coturn`] is its
//!   server and [`turnutils`] its clients; [`audio`] makes test signals and says whether a recording holds what was sent, and
//!   [`hearing`] waits until one does.
//!
//! A harness may panic: a test that cannot go on has failed.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod audio;
pub mod authority;
pub mod baresip;
pub mod chromium;
pub mod coturn;
pub mod dns;
pub mod hearing;
pub mod hikari;
pub mod jssip;
pub mod kamailio;
pub mod linphone;
pub mod network;
mod peer;
mod ports;
mod python;
pub mod sip_page;
pub mod sipp;
pub mod turnutils;
pub mod web;

pub use peer::{PATIENCE, Peer, Scratch, at_last, require, wait_until};
pub use ports::{Ports, is_bound, nobody};
pub use python::python_with;
