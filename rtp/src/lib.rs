//! RTP, RTCP, SRTP, telephone events, jitter buffer, latching and quality, without sockets.
//!
//! A [`session::Session`] is one participant with one peer: it takes datagrams in place, says what became of each,
//! keeps the statistics and speaks RTCP. Everything it is made of can be used alone: [`packet`] and [`rtcp`] are
//! views and writers, [`source`] and [`sender`] the two directions' book-keeping, [`latch`] follows a peer behind
//! NAT, [`relay`] makes one leg's packets the other's, [`jitter`] gives a smooth stream back,
//! [`telephone_event`] sends and receives digits, [`quality`] says how it sounded.
//!
//! Nothing here opens a socket, reads a clock or draws a random number by itself: time, seed and bytes are
//! arguments. Codecs, session descriptions, ICE and DTLS live in other crates; a payload is bytes, a key is bytes.
//!
//! # Where to begin
//!
//! Media goes through [`Session::send`] and [`Session::receive`], in buffers of the caller's; RTCP and what there is to be told come
//! out of [`Session::poll_output`], and are due when [`Session::poll_timeout`] says:
//!
//! ```
//! use denwa_rtp::session::{Action, Config, Content, Format, Frame, Output, Path, Seed, Session};
//! use std::{net::SocketAddr, time::Instant};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let (at_alice, at_bob): (SocketAddr, SocketAddr) = ("192.0.2.1:4000".parse()?, "192.0.2.2:5000".parse()?);
//! let a_law = Format { payload_type: 8, clock_rate_hz: 8000, content: Content::Media };
//! // In life the seed is of the operating system: the SSRC comes of it.
//! let talks_to = |remote, seed| {
//!     let mut config = Config::new("somebody", vec![a_law], now);
//!     config.remote = Some(remote);
//!     Session::new(config, Seed([seed; 32]), now)
//! };
//! let (mut alice, mut bob) = (talks_to(at_bob, 1), talks_to(at_alice, 2));
//!
//! // 20 ms of silence, put into a buffer that is good for any packet.
//! let frame = Frame { feed: 0, timestamp: 0, payload_type: 8, marker: true, payload: &[0xd5; 160] };
//! let mut buffer = [0; 1500];
//! let packet = alice.send(frame, &mut buffer, now)?;
//! assert_eq!(packet.destination, at_bob);
//!
//! let datagram = &mut buffer[..packet.length];
//! let Action::Media(media) = bob.receive(datagram, Path::from(at_alice), now) else { return Err("not heard".into()) };
//! assert_eq!(media.packet.payload().len(), 160);
//!
//! // Reports to the peer, and news: a source that joined, one that fell silent, what the peer says of our packets.
//! let mut has_reported = false;
//! while !has_reported {
//!     let due = bob.poll_timeout().ok_or("nothing is due")?;
//!     bob.handle_timeout(due);
//!     while let Some(output) = bob.poll_output() {
//!         match output {
//!             Output::Transmit(report) => has_reported = report.destination == at_alice,
//!             Output::Event(_) => {}
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Encrypted, and through the play-out
//!
//! One packet from microphone to ear, by SRTP and through the play-out:
//!
//! ```
//! use denwa_rtp::jitter::{self, playout::{Decoder, Playout}};
//! use denwa_rtp::session::{Action, Config, Content, Format, Frame, Path, Seed, Session};
//! use denwa_rtp::srtp::{Keying, MasterKey, Suite};
//! use std::{net::SocketAddr, time::Instant};
//!
//! /// Codecs live elsewhere: `denwa-codecs` has them.
//! struct Codec;
//!
//! impl Decoder for Codec {
//!     fn decode(&mut self, _payload_type: u8, payload: &[u8], out: &mut Vec<i16>) {
//!         out.extend(payload.iter().map(|octet| i16::from(*octet)));
//!     }
//!     fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
//!         out.resize(out.len() + samples, 0);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (alice, bob): (SocketAddr, SocketAddr) = ("192.0.2.1:4000".parse()?, "192.0.2.2:4000".parse()?);
//! let now = Instant::now();
//! let pcmu = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };
//! // Key and salt one behind the other, as `a=crypto` has them; each direction has its own.
//! let key = |octet| MasterKey::new(Suite::Aes128CmHmacSha1Tag80, &[octet; 30]).map(Keying::new);
//! let session = |peer, seed, sends: u8, hears: u8| -> Result<Session, denwa_rtp::Misuse> {
//!     let mut config = Config::new("cname", vec![pcmu], now);
//!     config.remote = Some(peer);
//!     config.require_protection = true;
//!     let mut session = Session::new(config, Seed([seed; 32]), now);
//!     session.set_keys(Some(&key(sends)?), Some(&key(hears)?))?;
//!     Ok(session)
//! };
//! let (mut speaker, mut listener) = (session(bob, 1, 11, 22)?, session(alice, 2, 22, 11)?);
//!
//! let mut datagram = [0; 1500];
//! let frame = Frame { feed: 0, timestamp: 0, payload_type: 0, marker: true, payload: &[100; 160] };
//! let out = speaker.send(frame, &mut datagram, now)?;
//! assert_eq!((out.destination, out.length), (bob, 12 + 160 + 10));
//!
//! let mut play_out = Playout::new(jitter::Config::voice(8000), 8000, now);
//! match listener.receive(&mut datagram[..out.length], Path::from(alice), now) {
//!     Action::Media(media) => {
//!         play_out.put(media.packet.into(), now);
//!     }
//!     other => return Err(format!("{other:?}").into()),
//! }
//! let mut ear = [0; 160]; // as often as the sound device wants samples
//! let pulled = play_out.pull(&mut Codec, &mut ear, now);
//! println!("{pulled:?}, {:?}", listener.quality(Some(&play_out.statistics(now)), now));
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod classify;
pub mod comfort_noise;
pub mod error;
pub mod extension;
pub mod interval;
pub mod jitter;
pub mod latch;
pub mod packet;
pub mod quality;
pub mod redundancy;
pub mod relay;
pub mod rtcp;
pub mod sender;
pub mod sequence;
pub mod session;
#[cfg(test)]
#[path = "../tests/shared/mod.rs"]
mod shared;
pub mod source;
pub mod srtp;
pub mod telephone_event;
mod time;
pub mod wallclock;

pub use error::{Misuse, ParseError};
pub use packet::Packet;
pub use session::Session;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
