//! Why a call ended: one sentence of cause and, where something is wrong, one of remedy.
//!
//! [`End`] holds the facts. What the caller is answered, what the record says and what the log says are all computed from
//! it here, so that they cannot disagree.

use std::fmt;
use std::time::{Duration, Instant};

use denwa::evidence::{
    Cause as Found, Confidence, Evidence, Fact, Finding, Party, Rule, Side as EvidenceSide,
};

use crate::store::Outcome;

/// Why a call ended, with the facts that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// One side hung up an answered call.
    HungUp(Side),
    /// The caller gave up before it was answered.
    CallerGaveUp,
    /// The number reaches nothing.
    UnknownNumber,
    /// No telephone of the extension is registered.
    NotRegistered,
    /// The trunk may not have its calls passed on.
    TransitNotAllowed {
        /// The trunk the call came from.
        from: String,
        /// The trunk it would have left by.
        to: String,
    },
    /// The trunk's host name has no address.
    TrunkHasNoAddress {
        /// The trunk.
        trunk: String,
    },
    /// Offer and ability have no codec in common, or the offer cannot be used for another reason.
    MediaRefused {
        /// The sentence that names both lists.
        sentence: String,
        /// The value of the Warning header (RFC 3261 section 20.43) that tells the peer, if there is one.
        warning: Option<String>,
        /// Whose description it was.
        whose: Side,
    },
    /// The call went round in a circle, or over more exchanges than may be.
    TooManyHops,
    /// The callee's telephones are busy.
    Busy {
        /// Who.
        who: String,
    },
    /// The callee declined.
    Declined {
        /// Who.
        who: String,
    },
    /// The caller's INVITE lacks what every answer needs.
    Unanswerable {
        /// What is missing, without a full stop.
        what: String,
    },
    /// The callee's telephone forwards by itself: it answered with a redirection.
    Moved {
        /// Who.
        who: String,
        /// The number it names.
        to: String,
    },
    /// It rang and nobody answered.
    NoAnswer {
        /// How long it rang.
        after: Duration,
    },
    /// No telephone of the callee, or no trunk, sent any reply to the INVITE.
    NoReply {
        /// Where it was sent, as `udp 192.0.2.1:5060`.
        to: String,
    },
    /// The packets or the connection could not reach the callee.
    Unreachable {
        /// Where it was sent.
        to: String,
        /// What the network said.
        reason: String,
    },
    /// The callee refused with another status.
    Refused {
        /// Who.
        who: String,
        /// The status code.
        status: u16,
        /// Its reason phrase, Warning or Reason header, as far as there is one.
        reason: String,
    },
    /// There are as many calls as may be.
    TooManyCalls {
        /// The limit.
        limit: u32,
    },
    /// All RTP ports are in use, or the system refuses them.
    NoPorts {
        /// What was found.
        reason: String,
    },
    /// The system knows no way to a peer.
    NoRoute {
        /// The peer's address.
        to: String,
    },
    /// One side's voice stopped.
    Silent {
        /// Which side.
        side: Side,
        /// Where its packets last came from, or were expected from.
        at: String,
        /// For how long.
        since: Duration,
        /// Whether none ever came.
        never_came: bool,
    },
    /// One side did not confirm what it had agreed to, or stopped replying to requests.
    PeerVanished {
        /// Which side.
        side: Side,
        /// What was missed, as `its ACK never came`.
        what: String,
    },
    /// A rule of the operator's forbids it.
    NotAllowed {
        /// What it forbids, one sentence without a full stop.
        limit: String,
        /// Which kind of rule that is.
        rule: Rule,
    },
    /// A neighbour's caller is not signed for as he should be (RFC 8224).
    NotSigned {
        /// The neighbour.
        trunk: String,
        /// The status that says so.
        status: u16,
        /// What is the matter with the signature, without a full stop.
        error: String,
    },
    /// What answered it had no more to say.
    Served,
    /// The operator ended it by a command.
    Operator,
    /// Its two other sides were joined in another call, by a transfer.
    Joined {
        /// That call.
        call: u64,
    },
    /// The exchange was shut down.
    ShutDown,
}

/// The two sides of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Caller => "the caller",
            Self::Callee => "the callee",
        })
    }
}

/// What went wrong and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What went wrong, one sentence with a full stop.
    pub sentence: String,
    /// What helps, one sentence; empty when there is nothing to do.
    pub remedy: String,
}

impl End {
    /// The status that the caller's INVITE is answered with when the call was never answered.
    pub fn status(&self) -> u16 {
        match self {
            Self::HungUp(_)
            | Self::Silent { .. }
            | Self::PeerVanished { .. }
            | Self::Joined { .. }
            | Self::Served => 200,
            Self::Operator => 480,
            Self::Unanswerable { .. } => 400,
            Self::CallerGaveUp => 487,
            Self::UnknownNumber => 404,
            Self::NotRegistered
            | Self::Moved { .. }
            | Self::NoAnswer { .. }
            | Self::NoReply { .. }
            | Self::Unreachable { .. } => 480,
            Self::TransitNotAllowed { .. } | Self::NotAllowed { .. } => 403,
            Self::TrunkHasNoAddress { .. } => 502,
            Self::TooManyHops => 483,
            Self::MediaRefused { .. } => 488,
            Self::Busy { .. } => 486,
            Self::Declined { .. } => 603,
            Self::NotSigned { status, .. } => *status,
            Self::Refused { status, .. } => passed_on(*status),
            Self::TooManyCalls { .. } | Self::NoPorts { .. } | Self::NoRoute { .. } | Self::ShutDown => 503,
        }
    }

    /// What the record calls it, given whether the call had been answered.
    pub fn outcome(&self, answered: bool) -> Outcome {
        match self {
            Self::HungUp(_) | Self::Served | Self::Joined { .. } | Self::Operator | Self::ShutDown
                if answered =>
            {
                Outcome::Answered
            }
            _ if answered => Outcome::Broken,
            Self::CallerGaveUp => Outcome::Cancelled,
            Self::Busy { .. } => Outcome::Busy,
            Self::Declined { .. } => Outcome::Declined,
            Self::NoAnswer { .. } => Outcome::Unanswered,
            _ => Outcome::Failed,
        }
    }

    /// The sentence and its remedy; `None` for what needs no explanation.
    pub fn cause(&self) -> Option<Cause> {
        let (sentence, remedy) = match self {
            Self::HungUp(_) | Self::Served | Self::CallerGaveUp => return None,
            Self::UnknownNumber => (
                "No extension, service or route has this number.".to_owned(),
                "`pbx extensions list` shows the extensions, the file's [[routes]] the prefixes.",
            ),
            Self::NotRegistered => (
                "No telephone of this extension is registered.".to_owned(),
                "Look at the telephone: is it on, and does it say that it is registered with this server?",
            ),
            Self::TransitNotAllowed { from, to } => (
                format!(
                    "The trunk {from} asked for a number that leaves by the trunk {to}, which it may not."
                ),
                "`transit = true` for that trunk in the file lets it pass calls on.",
            ),
            Self::NotAllowed { limit, rule } => (sentence(limit), rule.remedy()),
            Self::NotSigned { trunk, status, error } => {
                let rule = if *status == 428 { Rule::Signed } else { Rule::Signature };
                (format!("The call of the trunk {trunk} was refused with {status}: {error}."), rule.remedy())
            }
            Self::TrunkHasNoAddress { trunk } => (
                format!("It is not known at present where the trunk {trunk} is."),
                "Look whether its host name is spelt right and can be looked up here or, when it registers with this \
                 exchange, whether it does (`pbx trunks`).",
            ),
            Self::MediaRefused { sentence, .. } => (
                full_stop(sentence),
                "Give the telephone or the extension (`codecs`) a codec that the other one has.",
            ),
            Self::TooManyHops => (
                "The call has come by too many exchanges, perhaps in a circle.".to_owned(),
                "Look at the [[routes]] of the exchanges on its way: two of them may send the same digits to each other.",
            ),
            Self::Busy { who } => (format!("{who} is busy."), ""),
            Self::Declined { who } => (format!("{who} declined the call."), ""),
            Self::Unanswerable { what } => (
                format!("The caller's INVITE cannot be answered: {what}."),
                "Look at what his telephone writes into Contact; a rule under [[rewrites]] may put it right.",
            ),
            Self::Moved { who, to } => (
                format!("The telephone of {who} sends its calls on to {to}."),
                "Look at the forwarding in its own menu: numbers that it could dial itself are followed, but no star codes and no circles.",
            ),
            Self::NoAnswer { after } => (format!("Nobody answered within {} s.", after.as_secs()), ""),
            Self::NoReply { to } => (
                format!("Nothing replied to the INVITE sent to {to}."),
                "The telephone may be off or have a new address, or a firewall between drops SIP: let it register again.",
            ),
            Self::Unreachable { to, reason } => (
                format!("The INVITE could not be delivered to {to}: {reason}."),
                "Look whether the other side runs and listens there, and whether a firewall refuses it.",
            ),
            Self::Refused { who, status, reason } if reason.is_empty() => {
                (format!("{who} refused with {status}."), "")
            }
            Self::Refused { who, status, reason } => (format!("{who} refused with {status} ({reason})."), ""),
            Self::TooManyCalls { limit } => (
                format!("There are {limit} calls already, as many as may be."),
                "[calls] limit in the file raises it.",
            ),
            Self::NoPorts { reason } => (
                format!("There is no port left for voice: {reason}."),
                "[media] ports in the file widens the range; a call uses four.",
            ),
            Self::NoRoute { to } => (
                format!("This machine knows no way to {to}."),
                "Look at its network and routes; a VPN may be down.",
            ),
            Self::Silent { side, at, never_came: true, since } => (
                format!(
                    "Not one voice packet came from {side} at {at} in {} s, so the call was ended.",
                    since.as_secs()
                ),
                "A firewall may pass SIP and drop the RTP ports, or that side sends to an address that does not lead here.",
            ),
            Self::Silent { side, at, since, .. } => (
                format!(
                    "The voice packets of {side} at {at} stopped {} s ago, so the call was ended.",
                    since.as_secs()
                ),
                "That side went silent without hanging up: a crash, a lost network, or a telephone that stops sending on mute.",
            ),
            Self::PeerVanished { side, what } => (
                format!("The call was ended because {side} was gone: {what}."),
                "Packets in one direction may be lost: look at the address that side was told in Contact.",
            ),
            Self::Joined { call } => (format!("A transfer went on with it as call {call}."), ""),
            Self::Operator => ("It was ended by `pbx hangup`.".to_owned(), ""),
            Self::ShutDown => ("The exchange was shut down.".to_owned(), ""),
        };
        Some(Cause { sentence, remedy: remedy.to_owned() })
    }
}

/// What a call's end and its facts amount to. The end speaks for itself where it names a cause; where it does not (a call
/// that was hung up, or fell silent) the facts may show one: no voice in one direction, an address that leads nowhere.
pub fn explain(end: &End, answered: bool, evidence: &Evidence) -> Option<Cause> {
    let said = end.cause();
    if said.is_some() && !matches!(end, End::Silent { .. } | End::PeerVanished { .. }) || !answered {
        return said;
    }
    let findings = evidence.findings().into_iter();
    let finding =
        findings.filter(|it| !is_own_wish(it, end)).find(|finding| finding.confidence >= Confidence::Likely);
    match (said, finding) {
        (Some(said), Some(finding)) => Some(Cause {
            sentence: format!("{} {}", said.sentence, finding.sentence),
            remedy: finding.remedy,
        }),
        (None, Some(finding)) => Some(Cause { sentence: finding.sentence, remedy: finding.remedy }),
        (said, None) => said,
    }
}

/// Whoever hangs up while he holds the other side wants nothing of it any more: nothing is wrong.
fn is_own_wish(finding: &Finding, end: &End) -> bool {
    let End::HungUp(side) = end else { return false };
    let holder = if finding.side == Some(EvidenceSide::FIRST) { Side::Caller } else { Side::Callee };
    finding.cause == Found::HeldForever && holder == *side
}

/// What a caller is told when the callee answered `status`: challenges, redirections and what concerns only the callee's
/// own request stay between the exchange and the callee.
fn passed_on(status: u16) -> u16 {
    match status {
        401 | 407 | 421 | 494 => 480,
        300..=399 | 408 | 481 => 480,
        400 | 402 | 405 | 406 | 413..=416 | 420 | 422 | 423 | 482 | 483 | 485 | 491 | 493 => 500,
        400..=699 => status,
        _ => 500,
    }
}

/// What helps whoever could not prove himself with a number's password.
pub fn remedy_of_credentials(number: &str, is_known: bool, now: Instant) -> String {
    let mut evidence = Evidence::new(number, 2, now);
    let account = number.to_owned();
    let fact = Fact::CredentialsRefused { by: Party::Here, account, account_known: Some(is_known) };
    evidence.add(None, fact, now);
    evidence.findings().into_iter().next().map(|finding| finding.remedy).unwrap_or_default()
}

/// A capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    full_stop(&format!("{first}{}", letters.as_str()))
}

fn full_stop(sentence: &str) -> String {
    if sentence.ends_with('.') { sentence.to_owned() } else { format!("{sentence}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_one_sentence() {
        let who = || "1002".to_owned();
        let ends = [
            (End::UnknownNumber, 404),
            (End::NotRegistered, 480),
            (End::Busy { who: who() }, 486),
            (End::Declined { who: who() }, 603),
            (End::NoAnswer { after: Duration::from_secs(60) }, 480),
            (End::MediaRefused { sentence: "a".into(), warning: None, whose: Side::Caller }, 488),
            (End::TooManyCalls { limit: 3 }, 503),
            (End::TransitNotAllowed { from: "a".into(), to: "b".into() }, 403),
            (End::NoReply { to: "udp 192.0.2.1:5060".into() }, 480),
        ];
        for (end, status) in ends {
            assert_eq!(end.status(), status);
            let cause = end.cause().unwrap();
            assert!(cause.sentence.ends_with('.') && !cause.sentence.contains('\n'), "{cause:?}");
        }
    }

    #[test]
    fn what_a_rule_forbids_has_a_remedy_of_the_rules_own() {
        for rule in Rule::ALL.iter().copied() {
            let end = End::NotAllowed { limit: "numbers that begin with 0990 are barred".into(), rule };
            let cause = end.cause().unwrap();
            assert_eq!(cause.sentence, "Numbers that begin with 0990 are barred.");
            assert_eq!(cause.remedy, rule.remedy());
        }
        for (status, rule) in [(428, Rule::Signed), (438, Rule::Signature)] {
            let end = End::NotSigned { trunk: "hill".into(), status, error: "the key is not trusted".into() };
            assert_eq!(end.status(), status);
            assert_eq!(end.cause().unwrap().remedy, rule.remedy());
        }
    }

    #[test]
    fn calls_that_end_as_calls_do_need_no_explanation() {
        assert_eq!(End::HungUp(Side::Callee).cause(), None);
        assert_eq!(End::CallerGaveUp.cause(), None);
        assert_eq!(End::HungUp(Side::Caller).outcome(true), Outcome::Answered);
        assert_eq!(End::CallerGaveUp.outcome(false), Outcome::Cancelled);
    }

    #[test]
    fn a_challenge_or_redirection_of_the_callee_never_reaches_the_caller() {
        for status in [301, 302, 401, 407, 408, 481] {
            assert_eq!(passed_on(status), 480, "{status}");
        }
        for status in [403, 404, 410, 480, 484, 486, 487, 488, 500, 503, 600, 603, 604] {
            assert_eq!(passed_on(status), status);
        }
    }

    #[test]
    fn an_answered_call_that_falls_silent_is_broken() {
        let end = End::Silent {
            side: Side::Callee,
            at: "192.0.2.1:4000".into(),
            since: Duration::from_secs(30),
            never_came: false,
        };
        assert_eq!(end.outcome(true), Outcome::Broken);
        let sentence = end.cause().unwrap().sentence;
        assert_eq!(
            sentence,
            "The voice packets of the callee at 192.0.2.1:4000 stopped 30 s ago, so the call was ended."
        );
    }
}
