//! A virtual network with virtual time, and the laws every state machine obeys.
//!
//! A program written without sockets and clocks can be proven without them. [`Network`] is a seeded,
//! single-threaded internet: segments and hosts ([`host`]), links that are slow, lossy and disorderly
//! ([`link`]), datagrams and in-order byte streams ([`stream`]), boxes in the middle ([`middlebox`]) that translate ([`nat`]),
//! filter ([`firewall`]), rename ([`vpn`]) and meddle ([`sip_alg`]), captures for Wireshark ([`capture`]), names ([`names`]), and a [`trace`] that is the same, byte for byte, whenever the
//! seed is. Anything that implements [`Machine`] can live on a host; [`laws`] runs a machine through the ten
//! rules that all of Denwa's machines keep.
//!
//! The crate knows no protocol of telephony, and none of the rooms that are tested in it.
//!
//! ```
//! use denwa_sim::{Input, Machine, Network, Output, Protocol, Transmit};
//! use std::{collections::VecDeque, time::{Duration, Instant}};
//!
//! /// Sends back whatever arrives.
//! struct Echo(VecDeque<Output>);
//! impl Machine for Echo {
//!     fn handle_input(&mut self, input: Input<'_>, _now: Instant) {
//!         if let Input::Datagram { local, remote, payload, .. } = input {
//!             self.0.push_back(Output::Transmit(Transmit::datagram(Some(local), remote, payload.to_vec())));
//!         }
//!     }
//!     fn handle_timeout(&mut self, _now: Instant) {}
//!     fn poll_output(&mut self) -> Option<Output> { self.0.pop_front() }
//!     fn poll_timeout(&self) -> Option<Instant> { None }
//! }
//!
//! # fn main() -> Result<(), denwa_sim::Misuse> {
//! let mut network = Network::new(7);
//! let internet = network.internet();
//! let (a, b) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
//! let (alice, bob) = (network.add_host("alice", internet, &[a])?, network.add_host("bob", internet, &[b])?);
//! let caller = network.add_machine(alice, Echo(VecDeque::new()))?;
//! let callee = network.add_machine(bob, Echo(VecDeque::new()))?;
//! network.bind(caller, Protocol::Udp, (a, 5060).into())?;
//! network.bind(callee, Protocol::Udp, (b, 5060).into())?;
//! network.with(caller, |echo, _now| {
//!     echo.0.push_back(Output::Transmit(Transmit::datagram(None, (b, 5060).into(), "ping")));
//! });
//! network.run_for(Duration::from_secs(1));
//! assert_eq!(network.trace().received_by("bob"), 50); // there and back in 20 ms, for one second
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod adapter;
pub mod capture;
pub mod firewall;
pub mod host;
pub mod laws;
pub mod link;
pub mod machine;
pub mod middlebox;
pub mod names;
pub mod nat;
pub mod network;
pub mod packet;
pub mod random;
pub mod sip_alg;
pub mod stream;
pub mod trace;
pub mod vpn;

pub use adapter::StreamNames;
pub use host::{HostId, Route, SegmentId};
pub use link::{Link, Loss};
pub use machine::{
    CloseReason, Input, Life, Machine, Output, Protocol, Stimulus, StreamFailure, Transmit, UnreachableReason,
};
pub use names::{Names, Record, RecordKind, ResolveFailure};
pub use network::{Misuse, Network, Node};
pub use trace::Trace;
