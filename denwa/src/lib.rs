//! Denwa's front door: telephony for programs, from one call to the media plane of an exchange.
//!
//! # A call in thirty lines
//!
//! ```no_run
//! use denwa::tokio::Telephone;
//! use denwa::ua::{Account, Event};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (telephone, events) = Telephone::start(&["udp:0.0.0.0:5060".parse()?], |_| {})?;
//!     let account = Account::new("200", "pbx.example").with_password("secret");
//!     let account = telephone.with(move |agent, now| {
//!         let account = agent.add_account(account);
//!         agent.register(account, now).map(|()| account)
//!     })??;
//!     for event in events {
//!         match event {
//!             Event::Registered { .. } => drop(telephone.with(move |agent, now| agent.call(account, "117", now))?),
//!             Event::Ringing { .. } => println!("it rings"),
//!             // 20 ms of what the other side says; it beats the time for what we say.
//!             Event::Sound { call, samples } => {
//!                 let silence = vec![0; samples.len()];
//!                 telephone.with(move |agent, _| agent.say(call, &silence))??;
//!             }
//!             Event::Ended { reason, evidence, .. } => {
//!                 println!("{reason}");
//!                 // Why nothing was heard, if nothing was: in one sentence, with what to do about it.
//!                 evidence.findings().iter().for_each(|finding| println!("{finding}"));
//!                 break;
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok(telephone.shut_down()?)
//! }
//! ```
//!
//! # The three nouns to hold
//!
//! - A **user agent** ([`ua::UserAgent`]) is a telephone: accounts, calls, sound in and out, transfer, conference, messages.
//! - A **media session** ([`media::MediaSession`]) is what one call's sound needs: descriptions, keys, packets, codecs.
//! - A **bridge** ([`bridge::MediaBridge`]) is an exchange's media plane: any number of legs, joined to one another, to music,
//!   to recorders, to conferences; told what to do by plain data.
//!
//! Each is a machine without a socket, a clock or a thread: bytes and time go in by `handle_input` and `handle_timeout`, what
//! is to be done comes out of `poll_output`. [`driver::Machine`] is that contract with media beside it; [`tokio`] (a feature, on
//! by default) runs such machines over real sockets, and `denwa-sim` runs them in a virtual network, where a call of an hour
//! takes a moment and the same seed tells the same story.
//!
//! # Around them
//!
//! | for | there is |
//! |---|---|
//! | why a call failed or stayed silent | [`evidence`]: facts as they happen, and [`evidence::Evidence::findings`] |
//! | strangers and guessing | [`guard::Guard`] |
//! | which ports media may use, MAP-E included | [`port_set::PortSet`], [`port_set::PortPool`] |
//! | calls that a killed program leaves behind | [`farewell::Farewells`], [`farewell::Journal`] |
//! | which of our addresses a peer is told | [`address::AddressPolicy`] |
//!
//! # Cookbook
//!
//! **Transfer a call.** Blind: the peer is sent on at once. Attended: both were talked with.
//!
//! ```
//! # use denwa::ua::{CallId, Misuse, UserAgent};
//! # use std::time::Instant;
//! fn hand_over(agent: &mut UserAgent, caller: CallId, expert: Option<CallId>, now: Instant) -> Result<(), Misuse> {
//!     match expert {
//!         None => agent.transfer(caller, "sip:200@pbx.example", now),
//!         Some(expert) => agent.transfer_to(caller, expert, now),
//!     }
//! }
//! ```
//!
//! **Hold two calls at once and put them together.**
//!
//! ```
//! # use denwa::ua::{CallId, Misuse, UserAgent};
//! # use std::time::Instant;
//! fn three_of_us(agent: &mut UserAgent, held: CallId, other: CallId, now: Instant) -> Result<(), Misuse> {
//!     agent.resume(held, now)?;
//!     agent.confer(held, now)?;
//!     agent.confer(other, now)
//! }
//! ```
//!
//! **Play a prompt into a leg of an exchange, record the answer.** Commands are data; whoever runs the bridge hands back events.
//!
//! ```
//! use denwa::bridge::{Command, Connection, LegId, Piece, Program, RecordingId, RecordingSpec, Sides, Sound, Source};
//! use std::time::Duration;
//!
//! fn voicemail(leg: LegId, greeting: Sound, beep: Sound) -> Vec<Command> {
//!     let mut message = RecordingSpec::new(Sides::Peer);
//!     message.limit = Some(Duration::from_secs(120));
//!     message.silence = Some(Duration::from_secs(5));
//!     let program = Program::new([Piece::Sound(greeting), Piece::Sound(beep)]);
//!     vec![
//!         Command::Connect { leg, to: Connection::Source(Source::Program(program)) },
//!         // After Event::Played:
//!         Command::Record { leg, recording: RecordingId(1), spec: message },
//!     ]
//! }
//! ```
//!
//! **Music for all who wait**, the same bars for everybody: `Program::of(music).running()`. **Ring back** as the country has it:
//! `Program::tone(denwa_codecs::tone::plan::Plan::japan().ring_back)`.
//!
//! **Use only some ports**, as a router behind MAP-E demands:
//!
//! ```
//! use denwa::port_set::PortSet;
//! use denwa::ua::UserAgentConfig;
//!
//! let mut config = UserAgentConfig::new(Vec::new());
//! config.media_ports = "20000-20999".parse().ok().or(Some(PortSet::default()));
//! ```
//!
//! **Answer at once.** Who sits at the user agent on its driver's thread says the next words before the packet leaves: an echo.
//!
//! ```
//! use denwa::driver::Machine;
//! use denwa::ua::{Attendant, Command, Event, Told, UserAgent};
//! use std::time::Instant;
//!
//! /// Run it with `denwa::tokio::SignallingDriver` as `Attended::new(agent, Echo)`.
//! struct Echo;
//!
//! impl Attendant for Echo {
//!     type Command = Command;
//!     type Event = Event;
//!
//!     fn handle_event(&mut self, agent: &mut UserAgent, event: Event, now: Instant) {
//!         match event {
//!             Event::Incoming { call, .. } => drop(agent.answer(call, now)),
//!             Event::Sound { call, samples } => drop(agent.say(call, &samples)),
//!             _ => {}
//!         }
//!     }
//!
//!     fn handle_command(&mut self, agent: &mut UserAgent, command: Command, now: Instant) {
//!         agent.handle_command(command, now);
//!     }
//!
//!     fn poll_event(&mut self) -> Option<Told<Event>> {
//!         None
//!     }
//! }
//! ```
//!
//! **Ask why.** Evidence collects by itself in a user agent: every message, description, route and stream of a call
//! ([`ua::Event::Ended`]), of a registration ([`ua::UserAgent::registration_evidence`]), of a stranger who was turned away
//! ([`ua::UserAgent::refused_sources`]). Exchanges add facts to [`evidence::Evidence`] of their own.
//!
//! ```
//! use denwa::evidence::{Evidence, Fact};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let mut call = Evidence::new("call 7", Evidence::DEFAULT_LIMIT, now);
//! call.add(None, Fact::Unresolved { name: "pbx.exmaple".into() }, now);
//! assert_eq!(call.findings()[0].sentence, "The name pbx.exmaple has no address.");
//! ```
//!
//! Whole programs are in `examples/`: an echo server, an answering machine, a recorder, a load generator, click to call, a
//! bridge to voice robots, and a telephone over a plain blocking socket without any runtime.
//!
//! # Features
//!
//! Features add and never change:
//!
//! - `tokio` (default): the drivers, with TLS, WebSocket and DNS. Without it the crate needs neither a runtime nor a socket; the
//!   example `blocking_udp` telephones so.
//! - `opus`: that codec, by a pure-Rust crate. Every other codec is always there.
#![forbid(unsafe_code)]

pub mod address;
pub mod bridge;
pub mod driver;
pub mod echo_test;
pub mod evidence;
pub mod farewell;
pub mod guard;
pub mod marking;
pub mod media;
pub mod port_set;
pub mod robot;
pub mod rules;
mod seed;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod ua;

pub use seed::Seed;

#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
