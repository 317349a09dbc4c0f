//! STUN, TURN and ICE without sockets.
//!
//! - [`stun`]: messages read in place and written without allocation, integrity, credentials, transactions, framing.
//! - [`candidate`]: candidates, their priorities and their text.
//! - [`agent`]: the ICE agent: gathering, checks, nomination, consent, restarts.
//! - [`turn`]: the client that asks for a relayed address, and the server that gives one.
//! - [`behaviour`]: what kind of NAT is in the way.
//!
//! Every machine offers the same five verbs – `new(config, …, seed, now)`, `handle_input`, `handle_timeout`, `poll_output`,
//! `poll_timeout` – and commands besides. Time and chance are arguments, so a seed replays a run. Media takes no queue: `receive` finds it in
//! the caller's datagram, `send` wraps it into the caller's buffer.
//!
//! ```
//! use denwa_ice::agent::{Agent, AgentConfig, AgentEvent, LocalAddress};
//! use denwa_ice::{Output, Seed};
//! use std::time::Instant;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let mut agent = Agent::new(AgentConfig::default(), Seed([7; 32]), now); // 32 bytes of the system's entropy
//! let audio = agent.add_stream(1);
//! agent.add_local_address(audio, 1, LocalAddress::udp("192.0.2.1:40000".parse()?), now)?;
//! agent.all_addresses_added(audio, now)?;
//! let mut lines = Vec::new();
//! while let Some(output) = agent.poll_output() {
//!     match output {
//!         Output::Event(AgentEvent::CandidateGathered { candidate, .. }) => lines.push(candidate.to_string()),
//!         _ => {} // Transmit: to the socket that it names. OpenStream, CloseStream, Resolve: the driver's work.
//!     }
//! }
//! assert_eq!(lines, ["candidate:1 1 udp 2130706175 192.0.2.1 40000 typ host"]);
//! # Ok(()) }
//! ```
//!
//! # Where the RFCs are not followed to the letter
//!
//! | where | what | why |
//! |---|---|---|
//! | STUN | classic STUN (RFC 3489) is not spoken | nobody needs it |
//! | STUN | names and passwords are not prepared by RFC 8265 | the caller can, and knows whether they are text |
//! | TURN client | an unsigned error response other than 400 ends a request | servers leave the signature out; a forger would need the transaction's 96 bits |
//! | TURN server | channel numbers up to 0x7FFF can be bound | clients of RFC 5766 use them |
//! | TURN server | the nonce is looked at before the password | strangers then cost no key |
//! | TURN server | strangers are not answered beyond an allowance of bytes | an answer is longer than a request (amplification) |
//! | TURN server | no TCP allocations (RFC 6062), no tokens (RFC 7635), no mobility (RFC 8016) | not wanted yet |
//! | ICE | pauses between repeated checks stop growing at 2 s, and stay at the first pause for a pair that works | paths with much loss are found |
//! | ICE | reflexive candidates have no pairs of their own | they would be replaced by their bases' (section 6.1.2.4) |
//! | ICE | strangers' checks are answered with an error only when that is not longer than the check | amplification |
//! | ICE | a nomination of our own is final also for better pairs being checked | so RFC 8445 section 8.1.1 reads for regular nomination; RFC 5245 peers may go on |
//! | ICE | ICMP errors change nothing | they can be forged, and NATs that are about to open send them |
#![forbid(unsafe_code)]

pub mod agent;
pub mod behaviour;
pub mod candidate;
mod io;
mod random;
pub mod stun;
pub mod turn;
mod words;

pub use agent::Agent;
pub use candidate::Candidate;
pub use io::{Input, Output, Protocol, QuestionId, Seed, StreamId, Transmit};
