//! What the exchange tells the program around it: facts in the past tense, each with a line for the log.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use denwa::evidence::Rule;
use denwa::farewell::Parted;

use super::Counts;
use crate::store::CallRecord;

/// How much a fact matters to whoever reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Only when looking for something.
    Detail,
    /// What goes on.
    News,
    /// Something should be looked at.
    Warning,
}

/// A fact.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A telephone registered, or registered again from elsewhere.
    Registered {
        /// The extension.
        number: String,
        /// The contact.
        contact: String,
        /// Where from, as `udp 192.0.2.1:5060`.
        from: String,
        /// For how long.
        expires_in: Duration,
        /// What it calls itself; may be empty.
        user_agent: String,
        /// Whether it was registered with this contact before.
        again: bool,
    },
    /// A telephone is registered no more.
    Unregistered {
        /// The extension.
        number: String,
        /// The contact.
        contact: String,
        /// Whether its time ran out; otherwise it was withdrawn.
        expired: bool,
    },
    /// A registration was refused.
    RegistrationRefused {
        /// The number it was for.
        number: String,
        /// Where from.
        from: String,
        /// Why, one sentence without a full stop.
        cause: String,
        /// What helps, one sentence; empty when that is not known.
        remedy: String,
    },
    /// A call came from somebody who is allowed to call.
    CallBegan {
        /// The call.
        call: u64,
        /// Who calls, as `1001 "Kitchen" (extension, udp 192.0.2.1:5060)`.
        caller: String,
        /// The number dialled.
        dialled: String,
        /// What that is, as `extension 1002`.
        reaches: String,
    },
    /// The callee's telephone rings.
    CallRinging {
        /// The call.
        call: u64,
        /// Whose telephone.
        callee: String,
    },
    /// Nobody took it there, and it went on.
    CallDiverted {
        /// The call.
        call: u64,
        /// Whom it goes to now.
        to: String,
        /// Why, one sentence.
        cause: String,
    },
    /// It was answered.
    CallAnswered {
        /// The call.
        call: u64,
        /// Who answered.
        callee: String,
        /// The codecs on both sides, as `PCMA/PCMU`.
        codec: String,
        /// How long after it began.
        after: Duration,
    },
    /// One side put the other on hold, or took it back.
    CallHeld {
        /// The call.
        call: u64,
        /// By whom.
        by: String,
        /// Whether it is held now.
        held: bool,
    },
    /// One side had the other connected with somebody else.
    CallTransferred {
        /// The call.
        call: u64,
        /// Who asked for it.
        by: String,
        /// Whom the other side talks to now.
        to: String,
    },
    /// A transfer came to nothing.
    TransferFailed {
        /// The call.
        call: u64,
        /// Who asked for it.
        by: String,
        /// Whom the other side should have been connected with.
        to: String,
        /// Why it was not, one sentence.
        cause: String,
    },
    /// It is over; its record goes to the store.
    CallEnded {
        /// The call.
        call: u64,
        /// Everything about it.
        record: Arc<CallRecord>,
    },
    /// Somebody who proved nothing was refused something.
    Refused {
        /// Where from.
        from: String,
        /// What was asked.
        what: String,
        /// Why, one sentence without a full stop.
        cause: String,
        /// What helps, one sentence; empty when that is not known.
        remedy: String,
    },
    /// Packets were turned away unread, by the lists of those who may come and may not.
    TurnedAway {
        /// How many since this was told last.
        count: u64,
        /// Where one of them came from, as `udp 192.0.2.1:5060`.
        example: String,
        /// Which list it was.
        list: &'static str,
    },
    /// A message came that belongs to nothing, as when two sides hang up at once.
    Stray {
        /// Where from.
        from: String,
        /// Its first line.
        what: String,
        /// Why it was refused.
        cause: String,
    },
    /// Input that could not be used was dropped or answered 400.
    HostileInput {
        /// How many messages since this was told last.
        count: u64,
        /// One of them: where from, and what was wrong with it.
        example: String,
    },
    /// A stranger was banned.
    Banned {
        /// An address, a network or an account.
        who: String,
        /// What it did last.
        cause: String,
        /// How many times in a row now.
        times: u32,
        /// For how long.
        lasts: Duration,
    },
    /// A ban has run out.
    BanLifted {
        /// Whose.
        who: String,
        /// Packets refused meanwhile.
        refused: u64,
    },
    /// A limit of the exchange was reached.
    LimitReached {
        /// Which.
        limit: String,
    },
    /// The address that peers beyond the local networks are told became known or changed.
    ExternalAddress {
        /// The address; `None`: it is not known.
        address: Option<IpAddr>,
        /// How it became known, or why not.
        how: String,
    },
    /// A peer sees this exchange under another address than it was told, and is told that one from now on.
    SeenAs {
        /// The peer.
        peer: SocketAddr,
        /// Where it sees us.
        address: SocketAddr,
    },
    /// A neighbour answers: for the first time, or again.
    TrunkAnswers {
        /// Its name.
        trunk: String,
        /// How long that took.
        round_trip: Duration,
    },
    /// A neighbour does not answer.
    TrunkSilent {
        /// Its name.
        trunk: String,
        /// How that was found out.
        cause: String,
    },
    /// A call that a former run left behind was ended, or not.
    LeftBehind {
        /// How that went.
        parted: Parted,
    },
    /// The DNS says where a neighbour is: for the first time, or elsewhere than before.
    TrunkFound {
        /// Its name, as the file writes it.
        name: String,
        /// Its places, the best first, as `udp 192.0.2.1:5060`.
        places: Vec<String>,
    },
    /// The DNS does not say where a neighbour is. Told once, until it does.
    TrunkNotFound {
        /// Its name, as the file writes it.
        name: String,
        /// Why, one sentence without a full stop.
        cause: String,
    },
    /// A neighbour has taken our registration.
    TrunkRegistered {
        /// Its name.
        trunk: String,
        /// For how long.
        expires_in: Duration,
    },
    /// A neighbour has not taken our registration.
    TrunkNotRegistered {
        /// Its name.
        trunk: String,
        /// Why, one sentence.
        cause: String,
    },
    /// Somebody was to be woken and has no telephone that could ring.
    NotWoken {
        /// His extension.
        number: String,
    },
    /// The extensions were changed by a command.
    ExtensionsChanged {
        /// How many there are now.
        count: usize,
    },
    /// The configuration was read anew.
    Reloaded {
        /// Extensions there are now.
        extensions: usize,
        /// Trunks there are now.
        trunks: usize,
        /// Routes there are now.
        routes: usize,
    },
    /// The store did not do its part.
    StoreFailed {
        /// What it was to do, and what it said.
        cause: String,
    },
    /// The clock of the machine was set.
    ClockSet {
        /// Forward by so much; back when negative.
        seconds: i64,
    },
    /// The store does its part again.
    StoreRecovered {
        /// So many records of calls and settings that waited in memory are in it now.
        waited: usize,
    },
    /// The messages that waited in memory for room on the disk are written.
    MessagesWritten,
    /// How much the exchange holds, as was asked for.
    Holding {
        /// The figures.
        counts: Counts,
    },
    /// Everything has ended.
    ShutDown,
}

impl Event {
    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Self::Registered { again: true, .. } | Self::Stray { .. } => Weight::Detail,
            Self::CallEnded { record, .. } if !record.remedy.is_empty() => Weight::Warning,
            Self::RegistrationRefused { .. }
            | Self::HostileInput { .. }
            | Self::TurnedAway { .. }
            | Self::LimitReached { .. }
            | Self::StoreFailed { .. }
            | Self::TrunkSilent { .. }
            | Self::TrunkNotFound { .. }
            | Self::TrunkNotRegistered { .. }
            | Self::NotWoken { .. }
            | Self::Banned { .. }
            | Self::ExternalAddress { address: None, .. } => Weight::Warning,
            _ => Weight::News,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { number, contact, from, expires_in, user_agent, again } => {
                let verb = if *again { "renewed its registration" } else { "registered" };
                write!(f, "{number} {verb} from {from} as {contact} for {} s", expires_in.as_secs())?;
                if user_agent.is_empty() { Ok(()) } else { write!(f, " ({user_agent})") }
            }
            Self::Unregistered { number, contact, expired: true } => {
                write!(f, "{number} is registered as {contact} no more: its time ran out")
            }
            Self::Unregistered { number, contact, .. } => write!(f, "{number} unregistered {contact}"),
            Self::RegistrationRefused { number, from, cause, remedy } => {
                write!(f, "the registration of {number} from {from} was refused: {}", Why(cause, remedy))
            }
            Self::CallBegan { call, caller, dialled, reaches } => {
                write!(f, "call {call}: {caller} dialled {dialled} ({reaches})")
            }
            Self::CallRinging { call, callee } => write!(f, "call {call}: {callee} rings"),
            Self::CallDiverted { call, to, cause } => write!(f, "call {call}: it goes on to {to}. {cause}"),
            Self::CallAnswered { call, callee, codec, after } => {
                write!(f, "call {call}: {callee} answered after {:.1} s, {codec}", after.as_secs_f32())
            }
            Self::CallHeld { call, by, held: true } => {
                write!(f, "call {call}: {by} put the other side on hold")
            }
            Self::CallHeld { call, by, .. } => write!(f, "call {call}: {by} took the other side back"),
            Self::CallTransferred { call, by, to } => {
                write!(f, "call {call}: {by} transferred the other side to {to}")
            }
            Self::TransferFailed { call, by, to, cause } => {
                write!(f, "call {call}: {by} could not transfer the other side to {to}: {cause}")
            }
            Self::CallEnded { call, record } => ended(*call, record, f),
            Self::Refused { from, what, cause, remedy } => {
                write!(f, "{what} from {from} was refused: {}", Why(cause, remedy))
            }
            Self::TurnedAway { count, example, list } => write!(
                f,
                "{count} packets were turned away unread, among them one from {example}: it is not to come, by `[guard] {list}`. {}",
                Rule::Listed.remedy()
            ),
            Self::Stray { from, what, cause } => write!(f, "{from} sent \"{what}\": {cause}"),
            Self::HostileInput { count: 1, example } => {
                write!(f, "a message that cannot be used was dropped: {example}")
            }
            Self::HostileInput { count, example } => {
                write!(f, "{count} messages that cannot be used were dropped, among them: {example}")
            }
            Self::Banned { who, cause, times, lasts } => {
                let seconds = lasts.as_secs();
                write!(
                    f,
                    "{who} is banned for {seconds} s ({cause}; ban {times} in a row). {}",
                    Rule::Banned.remedy()
                )
            }
            Self::BanLifted { who, refused } => {
                write!(f, "the ban of {who} is over; {refused} packets were refused meanwhile")
            }
            Self::LimitReached { limit } => write!(f, "a limit was reached: {limit}"),
            Self::ExternalAddress { address: Some(address), how } => {
                write!(f, "peers beyond the local networks are told the address {address}: {how}")
            }
            Self::ExternalAddress { address: None, how } => {
                write!(f, "the external address is not known: {how}")
            }
            Self::SeenAs { peer, address } => {
                write!(f, "{peer} sees this exchange at {address} and is told that address from now on")
            }
            Self::TrunkAnswers { trunk, round_trip } => {
                write!(f, "the trunk {trunk} answers, after {:.1} ms", round_trip.as_secs_f64() * 1000.0)
            }
            Self::TrunkSilent { trunk, cause } => write!(
                f,
                "the trunk {trunk} does not answer: {cause}. Look whether it is switched on, whether its address and port \
                 are right, and whether a firewall on the way lets SIP pass."
            ),
            Self::LeftBehind { parted } => write!(f, "{parted}"),
            Self::TrunkFound { name, places } => write!(f, "the trunk at {name} is at {}", places.join(", ")),
            Self::TrunkNotFound { name, cause } => write!(
                f,
                "it is not known where the trunk at {name} is: {cause}. Look whether the name is spelt right, and ask the DNS \
                 from this machine for it (`host -t SRV _sip._udp.NAME`, `host NAME`); a port behind the name asks for its \
                 addresses only."
            ),
            Self::TrunkRegistered { trunk, expires_in } => {
                write!(f, "registered with the trunk {trunk} for {} s", expires_in.as_secs())
            }
            Self::TrunkNotRegistered { trunk, cause } => {
                write!(
                    f,
                    "not registered with the trunk {trunk}: {cause}. Compare `user`, `password` and `domain` with what it \
                     gave you, and try whether it can be reached (`pbx trunks`)."
                )
            }
            Self::NotWoken { number } => {
                write!(f, "{number} was to be woken, but none of its telephones could be called")
            }
            Self::ExtensionsChanged { count } => {
                write!(f, "the extensions were changed, there are {count} now")
            }
            Self::Reloaded { extensions, trunks, routes } => write!(
                f,
                "the configuration was read anew: {extensions} extensions, {trunks} trunks, {routes} routes"
            ),
            Self::StoreFailed { cause } => f.write_str(cause),
            Self::ClockSet { seconds } => {
                let way = if *seconds < 0 { "back" } else { "forward" };
                let by = Duration::from_secs(seconds.unsigned_abs());
                write!(
                    f,
                    "the clock of this machine went {way} by {by:?}: wake-up calls, hours and records follow it, calls and \
                     registrations last as long as before"
                )
            }
            Self::MessagesWritten => f.write_str("the messages that waited in memory are written"),
            Self::StoreRecovered { waited: 0 } => f.write_str("the store can be written again"),
            Self::StoreRecovered { waited } => write!(
                f,
                "the store can be written again, and has the {waited} records and settings that waited for it"
            ),
            Self::Holding { counts } => write!(f, "holding: {counts}"),
            Self::ShutDown => f.write_str("everything has ended"),
        }
    }
}

/// A cause and, where there is one, what helps.
struct Why<'a>(&'a str, &'a str);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        if self.1.is_empty() { Ok(()) } else { write!(f, ". {}", self.1) }
    }
}

fn ended(call: u64, record: &CallRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "call {call}: {} → {} ", record.caller, record.dialled)?;
    match record.answered_at {
        Some(answered_at) => {
            let talked = record.ended_at.duration_since(answered_at).unwrap_or_default();
            write!(f, "ended after {:.0} s", talked.as_secs_f32())?;
        }
        None => write!(f, "was not answered, {} ({})", record.status, record.outcome.text())?,
    }
    if !record.cause.is_empty() {
        write!(f, ": {}", record.cause)?;
    }
    if !record.remedy.is_empty() {
        write!(f, " {}", record.remedy)?;
    }
    Ok(())
}
