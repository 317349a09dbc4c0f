//! Topology hiding (RFC 5853 §3.1): what of one side's hosts may be seen from the other.
//!
//! Via, Contact, Call-ID, tags and routes belong to one leg and never pass (`denwa_sip_core::b2bua`); addresses and descriptions
//! are written anew. What passes may name hosts all the same: a Warning its agent, a History-Info the proxies, an Alert-Info
//! the server with the tune. Such hosts are written as our own there, addresses of things to be fetched are left out, and so
//! is whatever repeats an identifier of the leg. Bodies that are no descriptions (INFO, MESSAGE) are the users' and pass.

use super::Gateway;
use super::passage::{End, PassageId};
use crate::config::{Place, Side, Target};
use denwa_sip_core::HeaderName;
use denwa_sip_core::endpoint::{Headers, Reply};
use denwa_sip_core::header::{Fields, NameAddr, Via};
use denwa_sip_core::message::Host;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// More than this are not remembered of a leg: they come from the peer.
const MOST: usize = 64;

/// Shorter identifiers are words like others.
const SHORTEST_MARK: usize = 6;

/// What a leg's messages tell of its side.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    hosts: BTreeSet<String>,
    marks: BTreeSet<String>,
}

impl Secrets {
    /// Our own address there, or the peer's.
    pub(super) fn learn_address(&mut self, address: IpAddr) {
        self.learn_host(&Host::from(address).to_string());
    }

    /// Remembers what a message of the leg tells.
    pub(super) fn learn(&mut self, message: &Fields) {
        for via in message.list::<Via<'_>>().flatten() {
            self.learn_host(&via.host.to_string());
            via.received().into_iter().for_each(|address| self.learn_address(address));
            via.branch().into_iter().for_each(|branch| self.learn_mark(branch));
        }
        let addresses = [
            HeaderName::From,
            HeaderName::To,
            HeaderName::Contact,
            HeaderName::RecordRoute,
            HeaderName::Route,
        ];
        for name in addresses {
            for address in message.list_as::<NameAddr<'_>>(name).flatten() {
                self.learn_host(address.uri.host_str());
                address.tag().into_iter().for_each(|tag| self.learn_mark(tag));
            }
        }
        message.get(HeaderName::CallId).into_iter().for_each(|id| self.learn_mark(id));
    }

    /// The names that the file has for that side.
    pub(super) fn learn_side(&mut self, side: &Side) {
        side.domain.iter().for_each(|domain| self.learn_host(domain));
        if let Place::Peer(Target::Name { host, .. }) = &side.place {
            self.learn_host(host);
        }
    }

    fn learn_host(&mut self, host: &str) {
        if !host.is_empty() && self.hosts.len() < MOST {
            self.hosts.insert(host.to_ascii_lowercase());
        }
    }

    fn learn_mark(&mut self, mark: &str) {
        if mark.len() >= SHORTEST_MARK && self.marks.len() < MOST {
            self.marks.insert(mark.to_owned());
        }
    }

    /// Header fields as the other side may see them; `own` is the host that it knows us by.
    pub(super) fn veil(&self, headers: &Headers, own: &str) -> Headers {
        let mut seen = Headers::new();
        for (name, value) in headers.iter() {
            if let Some(value) = self.veiled(name, value, own) {
                // What was written once can be written with another host in it.
                let _ = seen.push(name, value);
            }
        }
        seen
    }

    fn veiled(&self, name: &str, value: &str, own: &str) -> Option<String> {
        if self.marks.iter().any(|mark| value.contains(mark.as_str())) {
            return None;
        }
        let text = self.text(value, own);
        match HeaderName::parse(name) {
            // At our own host there is nothing to be fetched.
            Some(HeaderName::AlertInfo | HeaderName::CallInfo) if text != value => None,
            Some(HeaderName::Warning) => Some(unsigned(&text)),
            _ => Some(text),
        }
    }

    /// The same for words: a reason phrase.
    pub(super) fn text(&self, text: &str, own: &str) -> String {
        self.hosts.iter().fold(text.to_owned(), |text, host| with_host(&text, host, own))
    }
}

/// A Warning's agent is a pseudonym (RFC 3261 §20.43).
fn unsigned(warning: &str) -> String {
    let mut parts = warning.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(code), Some(_), Some(text)) => format!("{code} gateway {text}"),
        _ => warning.to_owned(),
    }
}

/// `text` with each whole `host`, the names below it and the port behind it, in the place of which comes `own`.
fn with_host(text: &str, host: &str, own: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let is_of_a_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    let has_names_below = host.contains(|it: char| it.is_ascii_alphabetic()) && !host.starts_with('[');
    let (mut written, mut from) = (String::new(), 0);
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(host)).map(|at| from.saturating_add(at))
    {
        let end = at.saturating_add(host.len());
        let (before, behind) = (text.get(from..at).unwrap_or(""), text.get(end..).unwrap_or(""));
        // A full stop may end a sentence.
        let goes_on = behind.starts_with(|it: char| is_of_a_name(it) && it != '.')
            || behind.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_of_a_name));
        let outside = if has_names_below && before.ends_with('.') {
            before.trim_end_matches(is_of_a_name)
        } else {
            before
        };
        if goes_on || outside.ends_with(is_of_a_name) {
            written += text.get(from..end).unwrap_or("");
            from = end;
            continue;
        }
        written += outside;
        written += own;
        let port = behind.strip_prefix(':').map_or(0, |rest| {
            let digits = rest.len() - rest.trim_start_matches(|it: char| it.is_ascii_digit()).len();
            if digits > 0 { digits + 1 } else { 0 }
        });
        from = end.saturating_add(port);
    }
    written + text.get(from..).unwrap_or("")
}

impl Gateway {
    /// Header fields of one end's side as the other may see them.
    pub(super) fn hidden(&self, id: PassageId, from: End, headers: &Headers) -> Headers {
        let Some(passage) = self.passages.get(&id) else { return Headers::new() };
        passage.leg(from).secrets.veil(headers, &self.own_host(id, from.other()))
    }

    /// The same of a whole reply.
    pub(super) fn hidden_reply(&self, id: PassageId, from: End, mut reply: Reply) -> Reply {
        let Some(passage) = self.passages.get(&id) else { return reply };
        let own = self.own_host(id, from.other());
        reply.headers = passage.leg(from).secrets.veil(&reply.headers, &own);
        reply.reason = reply.reason.map(|phrase| passage.leg(from).secrets.text(&phrase, &own));
        reply
    }

    /// The host that a leg's peer knows us by.
    pub(super) fn own_host(&self, id: PassageId, end: End) -> String {
        let leg = self.passages.get(&id).map(|passage| passage.leg(end));
        let domain = leg.and_then(|leg| self.side(leg.side)?.domain.clone());
        let address = || {
            let route = leg.and_then(|leg| leg.route)?;
            let peer = leg.and_then(|leg| leg.peer).map_or(route, |peer| peer.ip());
            Some(self.told_host(peer, route))
        };
        domain.or_else(address).unwrap_or_else(|| "gateway.invalid".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denwa_sip_core::Method;
    use denwa_sip_core::message::Request;

    #[test]
    fn hosts_of_a_side_are_ours_and_its_identifiers_are_nobodys() {
        let request = Request::builder(Method::Invite, "sip:200@gate.example")
            .header("Via", "SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bKinside;received=10.0.0.9")
            .header("From", "<sip:ann@Inside.example>;tag=tag-of-ann")
            .header("To", "<sip:200@gate.example>")
            .header("Call-ID", "a-call@10.0.0.1")
            .header("Contact", "<sip:ann@[fd00::1]:5070>")
            .header("Record-Route", "<sip:proxy.inside.example;lr>")
            .finish()
            .unwrap();
        let mut secrets = Secrets::default();
        secrets.learn(&request);
        secrets.learn_address([10, 0, 0, 254].into());
        let see = |name: &str, value: &str| {
            let seen = secrets.veil(&Headers::new().with(name, value).unwrap(), "out.example");
            seen.iter().next().map(|(_, value)| value.to_owned())
        };
        let as_is = |value: &str| Some(value.to_owned());
        assert_eq!(
            see("Subject", "10.0.0.12, 110.0.0.1 and not.inside.example.org"),
            as_is("10.0.0.12, 110.0.0.1 and not.inside.example.org")
        );
        assert_eq!(
            see("Subject", "at 10.0.0.1:5062, INSIDE.example."),
            as_is("at out.example, out.example.")
        );
        assert_eq!(
            see("History-Info", "<sip:1@[fd00::1]:5070;x=1>;index=1, <sip:2@10.0.0.254>;index=1.1"),
            as_is("<sip:1@out.example;x=1>;index=1, <sip:2@out.example>;index=1.1")
        );
        assert_eq!(
            see("Warning", "399 proxy7 \"nobody at 10.0.0.9\""),
            as_is("399 gateway \"nobody at out.example\"")
        );
        assert_eq!(see("Alert-Info", "<http://tunes.Inside.example/tune.wav>"), None);
        assert_eq!(see("Alert-Info", "<urn:alert:source:internal>"), as_is("<urn:alert:source:internal>"));
        assert_eq!(see("X-Trace", "a-call@10.0.0.1;x"), None);
        assert_eq!(see("X-Trace", "of z9hG4bKinside"), None);
    }
}
