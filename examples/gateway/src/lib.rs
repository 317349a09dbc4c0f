//! A gateway between telephone networks, browsers and voice robots: a call that comes from one side goes out on another, as two
//! calls with their media joined.
//!
//! [`config`] is the file, [`gateway`] the machine (under the contract, so that it runs on sockets and in a virtual network
//! alike), [`run`] the program, `web` its page and its robots, [`turn`] the STUN and TURN server beside it. Sides, routes and codecs are policy and live here; calls and media are `denwa`'s.
#![forbid(unsafe_code)]

pub mod config;
pub mod gateway;
pub mod run;
pub mod turn;

mod web;
