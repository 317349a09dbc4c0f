//! The exchange as a machine: registrar, back-to-back user agent and dial plan over one endpoint, without a socket, a
//! clock, a file or a thread.
//!
//! It follows the contract of every machine here. What it needs beyond the network it asks for as outputs and is provided
//! with as inputs: the store ([`Output::Store`] – [`Input::Stored`]), routes and names ([`Output::Ask`] – [`Input::Answered`]), and the media plane ([`Output::Media`] – [`Input::Media`]).

mod accounts;
mod admission;
mod answers;
mod attend;
mod call;
mod callee;
mod caller;
mod data;
mod defence;
mod describing;
mod desk;
mod driven;
mod errands;
mod event;
mod external;
mod facts;
mod history;
mod inspect;
mod interface;
mod invitation;
mod leaving;
mod leg;
mod messages;
mod modify;
mod names;
mod own;
mod pickup;
mod planned;
mod probe;
mod reach;
mod record;
mod refusing;
mod registrar;
mod reload;
mod rewriting;
mod signalling;
mod supervision;
mod switching;
mod taping;
mod trace;
mod transfer;
mod voice;
mod watching;
mod whereabouts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use denwa::address::AddressPolicy;
use denwa::bridge;
use denwa::farewell::Farewells;
use denwa::port_set::PortPool;
use denwa_sip_core::endpoint::Endpoint;
use denwa_sip_core::io;

use crate::config::Config;
use crate::links::Links;
use accounts::Accounts;
use admission::Admission;
use call::Call;
use defence::Defence;
use desk::{Desk, Policy, Setup};
use errands::Errands;
use external::External;
use names::Names;
use registrar::Registrar;
use rewriting::Rewriting;
use signalling::{Hostile, endpoint_config};
use supervision::Supervision;
use trace::Traces;
use watching::Watching;
use whereabouts::Whereabouts;

pub use driven::{Command, Told};
pub use event::{Event, Weight};
pub use inspect::{Attacker, Attacks, LiveCall, Phone, Question, Relaying, Report, Status, TrunkState};
pub use interface::{Counts, ExchangeConfig, Input, Output, Seed};
pub use probe::Probe;
pub use trace::{Filter, Packet, Wanted};

/// The exchange; see the module's words.
#[derive(Debug)]
pub struct Exchange {
    desk: Desk,
    admission: Admission,
    registrar: Registrar,
    external: External,
    rewriting: Rewriting,
    supervision: Supervision,
    accounts: Accounts,
    defence: Defence,
    errands: Errands,
    farewells: Farewells,
    /// Boxed: a map moves what it holds when it grows and shrinks, and a call is kilobytes.
    calls: BTreeMap<u64, Box<Call>>,
    deadlines: BTreeSet<(Instant, u64)>,
    hostile: Hostile,
    traces: Traces,
    watching: Watching,
    /// The file as it is in force.
    file: Config,
    names: Names,
    shut_down_at: Option<Instant>,
    stopped: bool,
}

impl Exchange {
    /// An exchange with what it is made of; the registrations it is given can be called at once.
    pub fn new(config: ExchangeConfig, seed: Seed, now: Instant) -> Self {
        let ExchangeConfig { file, directory, registrations, listening, identity, first_call, time } = config;
        let setup = Setup {
            policy: Policy::new(&file),
            realm: file.sip.realm.clone(),
            cname: "exchange".to_owned(),
            name: seed.0.iter().skip(24).map(|byte| format!("{byte:02x}")).collect(),
            listening,
            identity,
            clock: (now, time),
        };
        let child = |label: u8| seed.0.map(|byte| byte.wrapping_add(label));
        let endpoint = Endpoint::new(endpoint_config(&setup), io::Seed(child(1)), now);
        let ports = PortPool::new(file.media.ports.clone(), &denwa::Seed(child(2)));
        let places =
            Whereabouts::new(AddressPolicy { local: file.network.local.clone(), ..AddressPolicy::default() });
        let links = Links::new(&file.trunks, &file.sip.realm);
        let mut desk = Desk::new(setup, directory, links, endpoint, places, ports, first_call, &seed, now);
        let mut registrar = Registrar::default();
        let mut defence = Defence::new(&file, &desk, child(3), now);
        registrar.restore(&mut desk, &mut defence, &registrations);
        let mut exchange = Self {
            admission: Admission::default(),
            registrar,
            external: External::new(&file.network, now),
            rewriting: Rewriting::new(&file.rewrites),
            supervision: Supervision::new(&desk),
            accounts: Accounts::new(&desk),
            defence,
            errands: Errands::default(),
            farewells: Farewells::off(),
            desk,
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            hostile: Hostile::default(),
            traces: Traces::default(),
            watching: Watching::default(),
            file,
            names: Names::default(),
            shut_down_at: None,
            stopped: false,
        };
        exchange.errands.plan_wakes(&exchange.desk);
        exchange.names.reload(&exchange.desk);
        exchange.handle_timeout(now);
        exchange
    }

    /// What the network did, or what was asked for.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.advance(now);
        match input {
            Input::Sip(input) => {
                self.traces.note(&input);
                if !self.traces.is_empty()
                    && let Some(packet) = self.traces.incoming(&input, self.desk.time_of_day(self.desk.now))
                {
                    self.copy(&packet);
                }
                self.sip_input(input);
            }
            Input::Answered { question, answer } => {
                if let Some(asked) = self.desk.answered(question) {
                    self.answered(asked, answer);
                }
            }
            Input::Media(bridge::Event::Copied { leg, copy }) => self.voice_copied(leg, *copy),
            Input::Media(event) => {
                if let Some(number) = self.desk.call_of_leg(event.leg()) {
                    self.with_call(number, |call, desk| call.on_media(desk, event));
                }
            }
            Input::Stored(answer) => self.stored(answer),
            Input::Cabinet(answer) => self.cabinet(answer),
            Input::Prompts(prompts) => self.desk.prompts = prompts,
            Input::Directory(directory) => {
                self.desk.tell(Event::ExtensionsChanged { count: directory.len() });
                self.desk.directory = directory;
                self.desk.lamps_moved = true;
                self.registrar.forget_strangers(&mut self.desk);
                self.errands.plan_wakes(&self.desk);
            }
            Input::Report => {
                let counts = self.counts();
                self.desk.tell(Event::Holding { counts });
            }
            Input::Ask { ticket, question: Question::Probe { trunk, number } } => {
                self.probe(ticket, &trunk, number.as_deref());
            }
            Input::Ask { ticket, question } => {
                let report = Box::new(self.report(&question));
                self.desk.put(Output::Answer { ticket, report });
            }
            Input::Trace { ticket, wanted: Some(wanted) } => self.traces.begin(ticket, wanted),
            Input::Trace { ticket, wanted: None } => self.traces.end(ticket),
            Input::Reload(file, directory) => self.reload(*file, directory),
            Input::Clock(time) => self.clock_set(time),
            Input::ShutDown => self.shut_down(),
        }
        self.settle();
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let now = self.desk.now;
        self.desk.endpoint.handle_timeout(now);
        self.drain();
        let due: Vec<u64> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, number)| *number).collect();
        for number in due {
            self.with_call(number, |call, desk| call.on_deadline(desk));
        }
        self.names.handle_timeout(&mut self.desk);
        let begun = self.admission.handle_timeout(&mut self.desk, self.calls.len());
        begun.into_iter().for_each(|call| self.insert(call));
        self.defence.handle_timeout(now);
        self.external.handle_timeout(&mut self.desk);
        self.supervision.handle_timeout(&mut self.desk);
        self.accounts.handle_timeout(&mut self.desk);
        self.errands_due();
        self.tell_hostile();
        if self.shut_down_at.is_some_and(|at| at <= now) {
            self.stop();
        }
        self.settle();
    }

    /// Everything that follows from what was just done.
    fn settle(&mut self) {
        self.drain();
        self.errands_wished();
        self.copy_voice();
        self.tell_watchers();
        self.drain();
    }

    /// The next thing to do; `None` when there is nothing left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.desk.next_output()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted; `None` while idle.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let hostile = self.hostile.quiet_until.filter(|_| self.hostile.count > 0);
        [
            self.desk.endpoint.poll_timeout(),
            self.deadlines.first().map(|(at, _)| *at),
            self.names.poll_timeout(),
            self.admission.poll_timeout(),
            self.defence.poll_timeout(),
            self.external.poll_timeout(),
            self.supervision.poll_timeout(),
            self.accounts.poll_timeout(),
            self.errands.poll_timeout(),
            hostile,
            self.shut_down_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How much the exchange holds now.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            ports: self.desk.ports.in_use(),
            sip: self.desk.endpoint.counts(),
            hostile: self.hostile.total,
        }
    }

    fn advance(&mut self, now: Instant) {
        // Time never goes backwards: an earlier instant counts as the latest seen.
        self.desk.now = self.desk.now.max(now);
    }
}
