//! Calls and registrations that were refused, by whom and for what.

use super::digest::Digest;
use super::finding;
use crate::evidence::{Cause, Confidence, Disagreement, EndCause, Fact, Finding, Party, Rule};

pub(super) fn judge(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    let before = found.len();
    for dated in &digest.all {
        let shown = || vec![(*dated).clone()];
        match &dated.fact {
            Fact::Mismatched { offered_by, offered, supported, about, rule } => {
                let (offerer, refuser) = match offered_by {
                    Party::Here => ("we offered", "the peer can"),
                    Party::Peer => ("the peer offered", "we can"),
                };
                let can = match supported.is_empty() {
                    // A refusal need not say what would have been taken.
                    true => String::new(),
                    false => format!(", {refuser} {}", list(supported)),
                };
                let offered = list(offered);
                let (cause, remedy) = match about {
                    Disagreement::Codec => {
                        (Cause::NoCommonCodec, "Allow one codec of the other list on one of the two sides.")
                    }
                    Disagreement::Encryption => {
                        (Cause::EncryptionOneSided, "Switch SRTP on at both sides, or off at both.")
                    }
                    Disagreement::Other => {
                        (Cause::RefusedByPeer, "Change what the rule names on one of the two sides.")
                    }
                };
                found.push(finding(
                    cause,
                    Confidence::Certain,
                    digest.side,
                    format!(
                        "The descriptions do not meet: {offerer} {offered}{can}; {rule}."
                    ),
                    remedy,
                    shown(),
                ));
            }
            Fact::TranscoderMissing { from, to } => found.push(finding(
                Cause::TranscoderMissing,
                Confidence::Certain,
                digest.side,
                format!("One leg speaks {from}, the other {to}, and nothing here converts between them."),
                "Allow a codec on both legs that they share, or use a build that has the codec.",
                shown(),
            )),
            Fact::RuleBroken { what } => found.push(finding(
                Cause::RuleBroken,
                Confidence::Certain,
                digest.side,
                format!("{} {what}.", digest.peer()),
                "Look for newer software or other settings of what is there, or for something on the way that changes messages.",
                shown(),
            )),
            Fact::Forbidden { rule, why } => found.push(finding(
                rule.cause(),
                Confidence::Certain,
                digest.side,
                sentence(why),
                rule.remedy(),
                shown(),
            )),
            _ => {}
        }
    }
    credentials(digest, found);
    if found.len() == before {
        found.extend(by_status(digest));
    }
}

/// Wrong credentials count only when nothing better came after them: a challenge is how every registration begins.
fn credentials(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    let refused = digest.all.iter().rev().find_map(|dated| match &dated.fact {
        Fact::CredentialsRefused { by, account, account_known } => {
            Some((*dated, *by, account, *account_known))
        }
        _ => None,
    });
    let Some((dated, by, account, known)) = refused else { return };
    let (cause, confidence, sentence) = match (by, known) {
        (Party::Here, Some(false)) => (
            Cause::UnknownAccount,
            Confidence::Certain,
            format!("{} tried the account `{account}`, which does not exist.", digest.peer()),
        ),
        (Party::Here, _) => (
            Cause::WrongPassword,
            Confidence::Certain,
            format!("{} tried the account `{account}` with a wrong password.", digest.peer()),
        ),
        (Party::Peer, _) => (
            Cause::WrongPassword,
            Confidence::Likely,
            format!("{} refuses the account `{account}`: name or password is wrong there.", digest.peer()),
        ),
    };
    let remedy = match by {
        Party::Here => "Compare number and password in the phone with those given out here.",
        Party::Peer => "Compare user name, password and realm with what the other side gave out.",
    };
    found.push(finding(cause, confidence, digest.side, sentence, remedy, vec![dated.clone()]));
}

fn by_status(digest: &Digest<'_>) -> Option<Finding> {
    let (by, cause) = digest.ended?;
    let status = match cause {
        EndCause::NoAnswer => {
            return Some(finding(
                Cause::NotAnswered,
                Confidence::Certain,
                digest.side,
                if digest.rang {
                    format!("{} rang and nobody answered.", digest.peer())
                } else {
                    format!("{} neither rang nor answered.", digest.peer())
                },
                "Nothing is wrong if nobody was there.",
                digest.show(|fact| matches!(fact, Fact::Ended { .. })),
            ));
        }
        EndCause::Refused(status) => *status,
        _ => return None,
    };
    let who = match by {
        Party::Here => "We".to_owned(),
        Party::Peer => digest.peer(),
    };
    let words = digest.last_refusal.filter(|_| by == Party::Peer);
    let said = match words {
        Some(head) => match &head.warning {
            Some(warning) => format!("{status} {}, {warning}", head.reason),
            None => format!("{status} {}", head.reason),
        },
        None => status.to_string(),
    };
    let registers = words.is_some_and(|head| head.method == "REGISTER");
    let (cause, remedy) = match status {
        404 | 604 if registers => {
            (Cause::UnknownAccount, "Compare user name and domain with what the other side gave out.")
        }
        486 | 600 => (Cause::Busy, "Call again later."),
        603 | 607 | 608 => (Cause::Declined, "The callee, or a rule there, did not want the call."),
        404 | 410 | 484 | 485 | 604 => {
            (Cause::UnknownNumber, "Check the number, and the route that sends it there.")
        }
        480 => (
            Cause::NotRegistered,
            "The phone is switched off, not registered, or does not want to be disturbed.",
        ),
        300..=399 => (
            Cause::RefusedByPeer,
            "It sends calls elsewhere, in a way or to an address that is not followed here: call what it names.",
        ),
        408 => (Cause::NotAnswered, "Nobody answered there, or the next hop got no reply."),
        488 | 606 | 415 => (Cause::NoCommonCodec, "Allow a codec that the other side has."),
        401 | 403 | 407 => (Cause::RefusedByPeer, "Check the account, and what it is allowed to call."),
        _ => match Rule::of_status(status).filter(|_| by == Party::Peer) {
            Some(rule) => (rule.cause(), rule.remedy_at_peer()),
            None => (Cause::RefusedByPeer, "The other side's log says more."),
        },
    };
    let confidence = match status {
        401 | 403 | 407 | 488 | 606 | 415 | 408 => Confidence::Likely,
        _ => Confidence::Certain,
    };
    Some(finding(
        cause,
        confidence,
        digest.side,
        format!("{who} refused the {}: {said}.", if registers { "registration" } else { "call" }),
        remedy,
        digest.show(|fact| {
            matches!(fact, Fact::Ended { .. })
                || matches!(fact, Fact::Received(head) if head.status.is_some_and(|status| status >= 300))
        }),
    ))
}

/// A capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}
