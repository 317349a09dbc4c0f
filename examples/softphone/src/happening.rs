//! What happens to a telephone without a screen: a line of text each, or of JSON, and a report at the end.

use denwa::evidence::{Confidence, Finding};
use denwa::media::StreamReport;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The account is registered.
    Registered {
        /// For so long.
        seconds: u64,
    },
    /// It is not, and why.
    NotRegistered {
        /// Why.
        why: String,
        /// What was the matter.
        findings: Vec<Reason>,
    },
    /// One of several ways to be reached is lost (RFC 5626); the others stand.
    FlowLost {
        /// By which server it led.
        server: String,
        /// Why.
        why: String,
    },
    /// The registration was withdrawn.
    Unregistered,
    /// We call.
    Calling {
        /// Whom.
        address: String,
    },
    /// A call cannot even be tried.
    CannotCall {
        /// Whom.
        address: String,
        /// Why.
        why: String,
    },
    /// Somebody calls.
    Incoming {
        /// The address.
        from: String,
        /// The name.
        name: Option<String>,
    },
    /// The callee is elsewhere, and is called there.
    Redirected {
        /// Where.
        to: String,
    },
    /// A provisional response.
    Progress {
        /// The status.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// The call is up.
    Answered,
    /// Keys could not be pressed.
    KeysNotPressed {
        /// Why.
        why: String,
    },
    /// Their sound comes.
    SoundFrom {
        /// From there.
        address: String,
    },
    /// Their sound comes from elsewhere.
    SoundMoved {
        /// From there before.
        from: String,
        /// From there now.
        to: String,
    },
    /// They pressed a key.
    Key {
        /// Which.
        key: char,
    },
    /// Nothing is heard.
    Silent {
        /// For so long.
        seconds: u64,
    },
    /// Put on hold, or taken off.
    Hold {
        /// Whether on hold.
        held: bool,
    },
    /// Another codec.
    Codec {
        /// Which.
        codec: String,
    },
    /// ICE has found the way that sound takes.
    Path {
        /// Both ends, as `host 192.0.2.1:4000 to relayed 198.51.100.7:5000`.
        path: String,
        /// Whether a TURN server relays.
        relayed: bool,
    },
    /// ICE has found none, or lost it.
    NoPath,
    /// Keys were agreed on by DTLS.
    Encrypted {
        /// The suite.
        suite: &'static str,
    },
    /// They were not.
    NotEncrypted {
        /// Why.
        why: String,
    },
    /// Sound is not taken there.
    Undeliverable {
        /// Where.
        address: String,
    },
    /// A change was refused.
    ChangeRefused {
        /// Why.
        why: String,
    },
    /// A call is over.
    Ended(Box<CallReport>),
    /// Something should have been heard, and was not.
    NoSound,
    /// A message came.
    Message {
        /// From whom.
        from: String,
        /// What.
        text: String,
    },
    /// Ours was taken.
    MessageDelivered,
    /// Ours was not.
    MessageFailed {
        /// Why.
        why: String,
    },
    /// What a test call found.
    Verdict(Verdict),
}

/// What a test call found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// What was said came back.
    pub both_ways: bool,
    /// How long that took.
    pub delay_ms: Option<u64>,
    /// How it sounds here, 1 to 4.5.
    pub mos: Option<f32>,
    /// One sentence.
    pub sentence: String,
}

/// A call that is over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallReport {
    /// Whom with.
    pub peer: String,
    /// Whether they called.
    pub incoming: bool,
    /// Whether it was up.
    pub answered: bool,
    /// How long it was up.
    pub seconds: f64,
    /// How it ended.
    pub ended: String,
    /// The codec we sent.
    pub codec: String,
    /// How sound was protected: `none`, `sdes` or `dtls`.
    pub encryption: String,
    /// The way that ICE found; `None` without ICE.
    pub path: Option<String>,
    /// Packets we sent.
    pub packets_sent: u64,
    /// Packets that came.
    pub packets_received: u64,
    /// Packets that were missing.
    pub packets_lost: u64,
    /// Jitter of what came.
    pub jitter_ms: f64,
    /// There and back, by RTCP.
    pub round_trip_ms: Option<f64>,
    /// How it sounds here, 1 to 4.5.
    pub mos: Option<f32>,
    /// The keys they pressed.
    pub keys: String,
    /// What was the matter.
    pub findings: Vec<Reason>,
}

/// Why something went wrong, and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The name of the cause.
    pub cause: String,
    /// How sure: `possible`, `likely`, `certain`.
    pub confidence: &'static str,
    /// What happened.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl From<Finding> for Reason {
    fn from(finding: Finding) -> Self {
        let confidence = match finding.confidence {
            Confidence::Possible => "possible",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        };
        Self {
            cause: format!("{:?}", finding.cause),
            confidence,
            sentence: finding.sentence,
            remedy: finding.remedy,
        }
    }
}

impl CallReport {
    /// Takes over the figures of the media.
    pub fn measure(&mut self, report: &StreamReport) {
        let counters = &report.counters;
        self.codec.clone_from(&report.codec);
        self.path.clone_from(&report.path);
        (self.packets_sent, self.packets_received) = (counters.sent, counters.received);
        self.packets_lost = counters.lost;
        self.jitter_ms = milliseconds(counters.jitter);
        self.round_trip_ms = counters.round_trip.map(milliseconds);
        self.mos = report.mos;
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Everything that was done and how it went, for `--report`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for: `call`, `answer`, `register`, `message` or `test`.
    pub command: &'static str,
    /// The exit code.
    pub exit_code: u8,
    /// What that means: `good`, `failed` or `no_audio`.
    pub outcome: &'static str,
    /// The calls.
    pub calls: Vec<CallReport>,
    /// What a test call found.
    pub verdict: Option<Verdict>,
    /// Why there was no registration, message or call.
    pub faults: Vec<String>,
}

impl Report {
    /// Nothing happened so far.
    pub fn new(command: &'static str) -> Self {
        Self { command, exit_code: 0, outcome: "good", calls: Vec::new(), verdict: None, faults: Vec::new() }
    }

    /// Takes note.
    pub fn add(&mut self, happening: &Happening) {
        match happening {
            Happening::Ended(call) => self.calls.push(call.as_ref().clone()),
            Happening::Verdict(verdict) => self.verdict = Some(verdict.clone()),
            Happening::NotRegistered { .. }
            | Happening::CannotCall { .. }
            | Happening::NoSound
            | Happening::MessageFailed { .. } => self.faults.push(happening.to_string()),
            _ => {}
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { seconds } => write!(f, "registered for {seconds} s"),
            Self::NotRegistered { why, findings } => {
                write!(f, "not registered: {why}")?;
                findings.iter().try_for_each(|finding| write!(f, "\n{} {}", finding.sentence, finding.remedy))
            }
            Self::FlowLost { server, why } => write!(f, "the way by {server} is lost, others stand: {why}"),
            Self::Unregistered => f.write_str("registration withdrawn"),
            Self::Calling { address } => write!(f, "calling {address}"),
            Self::CannotCall { address, why } => write!(f, "cannot call {address}: {why}"),
            Self::Incoming { from, name: Some(name) } => write!(f, "call from {name} <{from}>"),
            Self::Incoming { from, name: None } => write!(f, "call from {from}"),
            Self::Redirected { to } => write!(f, "sent on to {to}"),
            Self::Progress { status, reason } => write!(f, "{status} {reason}"),
            Self::Answered => f.write_str("answered"),
            Self::KeysNotPressed { why } => write!(f, "keys not pressed: {why}"),
            Self::SoundFrom { address } => write!(f, "sound comes from {address}"),
            Self::SoundMoved { from, to } => write!(f, "sound comes from {to} now, not from {from}"),
            Self::Key { key } => write!(f, "key {key}"),
            Self::Silent { seconds } => write!(f, "nothing was heard for {seconds} s"),
            Self::Hold { held: true } => f.write_str("on hold"),
            Self::Hold { held: false } => f.write_str("off hold"),
            Self::Codec { codec } => write!(f, "codec is {codec} now"),
            Self::Path { path, relayed: false } => write!(f, "sound goes from {path}"),
            Self::Path { path, relayed: true } => write!(f, "sound goes from {path}, relayed"),
            Self::NoPath => f.write_str("ICE has found no way for the sound"),
            Self::Encrypted { suite } => write!(f, "keys by DTLS: {suite}"),
            Self::NotEncrypted { why } => write!(f, "no keys by DTLS: {why}"),
            Self::Undeliverable { address } => write!(f, "sound is not taken at {address}"),
            Self::ChangeRefused { why } => write!(f, "change refused: {why}"),
            Self::Ended(call) => write!(f, "{call}"),
            Self::NoSound => f.write_str("no sound was heard"),
            Self::Message { from, text } => write!(f, "message from {from}: {text}"),
            Self::MessageDelivered => f.write_str("message delivered"),
            Self::MessageFailed { why } => write!(f, "message not delivered: {why}"),
            Self::Verdict(verdict) => f.write_str(&verdict.sentence),
        }
    }
}

impl fmt::Display for CallReport {
    /// Several lines: how it ended, the figures, what was the matter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call ended: {}", self.ended)?;
        if self.packets_sent + self.packets_received > 0 {
            write!(
                f,
                "\n{}: {} packets said, {} heard, {} lost on the way here, jitter {:.1} ms",
                self.codec, self.packets_sent, self.packets_received, self.packets_lost, self.jitter_ms
            )?;
        }
        for finding in &self.findings {
            write!(f, "\n{} {}", finding.sentence, finding.remedy)?;
        }
        Ok(())
    }
}
