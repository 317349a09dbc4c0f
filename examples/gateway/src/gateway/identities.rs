//! Who calls, by the headers that say so: P-Asserted-Identity and Privacy (RFC 3323, RFC 3325), and the Remote-Party-ID of
//! exchanges from before them.
//!
//! A side that is not trusted asserts nothing and is told nothing but what the caller lets be told; whoever has shown that he
//! knows his password is vouched for by the gateway itself. Numbers and hosts are written as the side that is told has them.
//! Which of several identities a caller prefers (P-Preferred-Identity) does not matter here: each user has one.

use super::admission::number_of;
use super::passage::{Passage, PassageId};
use super::placing::written;
use super::{End, Gateway};
use crate::config::{IdentityHeader, Side};
use denwa_sip_core::call::caller_identity::{CallerIdentity, Privacy, tell};
use denwa_sip_core::endpoint::{Party, PlaceCall};
use denwa_sip_core::header::NameAddr;
use denwa_sip_core::message::Request;
use denwa_sip_core::{HeaderName, Misuse};

impl Gateway {
    /// Writes who calls into the call to the callee, whose side knows us by `own`.
    pub(super) fn identify(&self, id: PassageId, place: &mut PlaceCall, own: &str) -> Result<(), Misuse> {
        let Some(passage) = self.passages.get(&id) else { return Ok(()) };
        let (Some(from), Some(to)) = (self.side(passage.caller.side), self.side_of(id, End::Callee)) else {
            return Ok(());
        };
        let identity = identity(passage, from.trusted, to, own);
        if !to.trusted {
            tell(place, &identity, false)?;
            if identity.privacy.none {
                place.headers.push("Privacy", "none")?;
            }
            return Ok(());
        }
        let privacy = identity.privacy;
        match to.identity {
            IdentityHeader::Asserted => {
                tell(place, &CallerIdentity { privacy: Privacy::default(), ..identity }, true)?;
                let wishes = wishes(privacy);
                if !wishes.is_empty() {
                    place.headers.push("Privacy", wishes)?;
                }
            }
            IdentityHeader::RemoteParty => {
                if let Some(party) = identity.asserted.first() {
                    let hidden = if privacy.hides_caller() { "full" } else { "off" };
                    let value = format!("{};party=calling;screen=yes;privacy={hidden}", address(party));
                    place.headers.push("Remote-Party-ID", value)?;
                }
            }
        }
        Ok(())
    }
}

/// Who the caller is, as the side he calls writes its numbers.
fn identity(passage: &Passage, is_trusted: bool, to: &Side, own: &str) -> CallerIdentity {
    let mut identity =
        passage.who.invite.as_ref().map_or_else(CallerIdentity::default, |invite| read(invite, is_trusted));
    for party in &mut identity.asserted {
        if let Some(number) = number_of(&party.uri) {
            party.uri = written(to, &to.callers.apply(&number), own);
        }
    }
    if identity.asserted.is_empty() && passage.who.is_proven {
        let uri = written(to, &to.callers.apply(&passage.who.user), own);
        identity.asserted.push(Party { display_name: passage.who.name.clone(), uri });
    }
    identity
}

fn read(invite: &Request, is_trusted: bool) -> CallerIdentity {
    let mut identity = CallerIdentity::read(invite, is_trusted);
    let parties = invite.list_as::<NameAddr<'_>>(HeaderName::RemotePartyId).flatten();
    let caller = |party: &NameAddr<'_>| {
        party.params.get("party").is_none_or(|party| party.eq_ignore_ascii_case("calling"))
    };
    let Some(party) = parties.take(4).find(caller) else { return identity };
    // Whoever asks not to be told is heard, also where his word for who he is counts for nothing.
    if party.params.get("privacy").is_some_and(|it| !it.eq_ignore_ascii_case("off")) {
        identity.privacy.identity = true;
    }
    if is_trusted && identity.asserted.is_empty() {
        let display_name = party.display_name.map(|name| name.text().into_owned());
        identity.asserted.push(Party { display_name, uri: party.uri.to_owned() });
    }
    identity
}

/// `Privacy`, as it was.
fn wishes(privacy: Privacy) -> String {
    let words = [
        (privacy.header, "header"),
        (privacy.session, "session"),
        (privacy.user, "user"),
        (privacy.none, "none"),
        (privacy.identity, "id"),
        (privacy.history, "history"),
        (privacy.critical, "critical"),
    ];
    let wished: Vec<&str> = words.into_iter().filter(|(wished, _)| *wished).map(|(_, word)| word).collect();
    wished.join(";")
}

fn address(party: &Party) -> String {
    match &party.display_name {
        Some(name) => format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), party.uri),
        None => format!("<{}>", party.uri),
    }
}
