//! What a running exchange can be asked, and its reports: for people as tables, for scripts as JSON, one form of both.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{Counts, Exchange, Probe};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How is it?
    Status,
    /// Which calls are going on?
    Calls,
    /// Everything about one of them.
    Call(u64),
    /// Which telephones are registered?
    Phones,
    /// How are the neighbours?
    Trunks,
    /// Who was refused what?
    Attacks,
    /// End this call.
    HangUp(u64),
    /// Does sound pass to this neighbour and back? Answered when the test is over.
    Probe {
        /// Its name.
        trunk: String,
        /// The number there that echoes, when not the one of the file.
        number: Option<String>,
    },
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Report {
    /// To [`Question::Status`].
    Status(Box<Status>),
    /// To [`Question::Calls`].
    Calls(Vec<LiveCall>),
    /// To [`Question::Call`]: `None` when it is not going on.
    Call(Option<LiveCall>),
    /// To [`Question::Phones`].
    Phones(Vec<Phone>),
    /// To [`Question::Trunks`].
    Trunks(Vec<TrunkState>),
    /// To [`Question::Attacks`].
    Attacks(Attacks),
    /// To [`Question::HangUp`]: whether there was such a call.
    HungUp(bool),
    /// To [`Question::Probe`].
    Probe(Box<Probe>),
}

/// How an exchange is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Seconds since it was started.
    pub up_seconds: u64,
    /// Where it listens.
    pub listening: Vec<String>,
    /// Calls going on.
    pub calls: usize,
    /// Calls since it was started.
    pub calls_ever: u64,
    /// Extensions there are.
    pub extensions: usize,
    /// Telephones registered.
    pub registrations: usize,
    /// Ports in use for voice.
    pub media_ports: usize,
    /// Dialogs held.
    pub dialogs: usize,
    /// Transactions held.
    pub transactions: usize,
    /// Messages that could not be used.
    pub unusable_messages: u64,
    /// Bans in force.
    pub bans: usize,
    /// The neighbours.
    pub trunks: Vec<TrunkState>,
    /// The STUN and TURN server, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Relaying>,
}

/// How the STUN and TURN server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relaying {
    /// Where it listens.
    pub listening: Vec<String>,
    /// Allocations at present.
    pub allocations: u64,
    /// Connections of clients at present.
    pub connections: u64,
    /// Datagrams relayed, both ways.
    pub relayed_packets: u64,
    /// Their bytes.
    pub relayed_bytes: u64,
    /// Requests that named a user who is not known, or with another password.
    pub failed_authentications: u64,
}

/// A call that is going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveCall {
    /// Its number.
    pub call: u64,
    /// `trying`, `ringing`, `talking`, `ending`.
    pub stage: String,
    /// Seconds since it began.
    pub seconds: u64,
    /// Seconds since it was answered.
    pub talked_seconds: Option<u64>,
    /// Who calls.
    pub caller: String,
    /// Where from: `extension 1001`, `trunk lab`.
    pub caller_side: String,
    /// What was dialled.
    pub dialled: String,
    /// What that reaches.
    pub reaches: String,
    /// Who has answered, or what does.
    pub answered_by: String,
    /// The codecs on both sides.
    pub codec: String,
    /// Who has put the other side on hold.
    pub held_by: Vec<String>,
    /// What is known of it, one fact a line.
    pub facts: Vec<String>,
}

/// A telephone that is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phone {
    /// Its extension.
    pub number: String,
    /// What it wants to be called by.
    pub contact: String,
    /// Its transport.
    pub protocol: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Seconds until its registration runs out.
    pub expires_in_seconds: u64,
    /// What it calls itself.
    pub user_agent: String,
}

/// How a neighbour is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkState {
    /// Its name.
    pub trunk: String,
    /// Where it is, as the file says.
    pub address: String,
    /// Where calls to it go now.
    pub destination: Option<SocketAddr>,
    /// Whether it answers OPTIONS; `null` when it is not asked, or not yet.
    pub answers: Option<bool>,
    /// Whether it has taken our registration; `null` when we do not register with it, or not yet.
    pub registered: Option<bool>,
    /// Calls with it that are going on.
    pub calls: usize,
    /// The number there that echoes, for `pbx probe`.
    pub probe: Option<String>,
}

/// Who was refused what, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attacks {
    /// Packets read of strangers.
    pub strangers: u64,
    /// Packets dropped, for whatever reason.
    pub refused: u64,
    /// Offences noticed.
    pub offences: u64,
    /// Each source that did something.
    pub sources: Vec<Attacker>,
}

/// One source of offences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attacker {
    /// An address, a network or an account.
    pub who: String,
    /// What it did, and how often.
    pub offences: Vec<(String, u32)>,
    /// Packets of it that were dropped.
    pub refused: u64,
    /// How often it was banned.
    pub bans: u32,
    /// Seconds until the present ban ends.
    pub banned_for_seconds: Option<u64>,
    /// Seconds since it was heard last.
    pub last_seen_seconds: u64,
}

/// Lines of an attack report.
const MOST_ATTACKERS: usize = 1_000;

impl Exchange {
    pub(super) fn report(&mut self, question: &Question) -> Report {
        match question {
            Question::Status => Report::Status(Box::new(self.status())),
            Question::Calls => Report::Calls(self.calls.values().map(|call| self.live(call)).collect()),
            Question::Call(number) => Report::Call(self.calls.get(number).map(|call| self.live(call))),
            Question::Phones => Report::Phones(self.phones()),
            Question::Trunks => Report::Trunks(self.trunks()),
            Question::Probe { trunk, .. } => Report::Probe(Box::new(Probe::impossible(trunk, String::new()))),
            Question::Attacks => Report::Attacks(self.defence.report(self.desk.now, MOST_ATTACKERS)),
            Question::HangUp(number) => {
                let is_there = self.calls.contains_key(number);
                self.with_call(*number, |call, desk| call.end(desk, crate::why::End::Operator));
                Report::HungUp(is_there)
            }
        }
    }

    fn status(&self) -> Status {
        let Counts { calls, ports, sip, hostile } = self.counts();
        let now = self.desk.now;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_seconds: now.saturating_duration_since(self.desk.setup.clock.0).as_secs(),
            listening: self.desk.setup.listening.iter().map(ToString::to_string).collect(),
            calls,
            calls_ever: self.desk.calls_ever(),
            extensions: self.desk.directory.len(),
            registrations: sip.bindings,
            media_ports: ports,
            dialogs: sip.dialogs,
            transactions: sip.clients + sip.servers,
            unusable_messages: hostile,
            bans: self.defence.bans(now),
            trunks: self.trunks(),
            turn: None,
        }
    }

    fn live(&self, call: &Call) -> LiveCall {
        call.live(&self.desk)
    }

    fn phones(&self) -> Vec<Phone> {
        let now = self.desk.now;
        let mut phones = Vec::new();
        for account in self.desk.directory.iter() {
            for binding in self.desk.endpoint.bindings(&account.number) {
                phones.push(Phone {
                    number: account.number.clone(),
                    contact: binding.contact.to_string(),
                    protocol: binding.flow.protocol.uri_token().to_owned(),
                    address: binding.flow.remote,
                    expires_in_seconds: binding.expires_at.saturating_duration_since(now).as_secs(),
                    user_agent: binding.user_agent.to_string(),
                });
            }
        }
        phones
    }

    fn trunks(&self) -> Vec<TrunkState> {
        let state = |link: &crate::links::Link| TrunkState {
            trunk: link.trunk.name.clone(),
            address: link.trunk.whereabouts(),
            destination: link.destination(),
            answers: self.supervision.answers(&link.trunk.name),
            probe: link.trunk.probe.clone(),
            registered: self.accounts.is_registered(&link.trunk.name),
            calls: self.calls.values().filter(|call| call.uses_trunk(&link.trunk.name)).count(),
        };
        self.desk.links.iter().map(state).collect()
    }
}
