//! Evidence that collects by itself: each SIP message in and out, and each description, becomes a fact of the call or the
//! registration it belongs to; what is turned away becomes one of its source.

use super::{AccountId, CallId, UserAgent};
use crate::evidence::{Description, Evidence, Fact, MessageHead, Party as Who, Side};
use bytes::Bytes;
use denwa_sdp::RemoteDescription;
use denwa_sip_core::endpoint::Refusal;
use denwa_sip_core::header::Fields;
use denwa_sip_core::io::Flow;
use denwa_sip_core::message::Request;
use denwa_sip_core::{Message, Method, Transmit};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Sources that were turned away, bounded: when there is no room, the one that came first is forgotten.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    by_address: BTreeMap<IpAddr, Evidence>,
    in_order: VecDeque<IpAddr>,
}

impl Strangers {
    fn of(&mut self, source: IpAddr, limit: usize, now: Instant) -> &mut Evidence {
        if !self.by_address.contains_key(&source) {
            while self.in_order.len() >= limit.max(1) {
                let Some(oldest) = self.in_order.pop_front() else { break };
                self.by_address.remove(&oldest);
            }
            self.in_order.push_back(source);
        }
        let new = || Evidence::new(source.to_string(), FACTS_OF_A_STRANGER, now);
        self.by_address.entry(source).or_insert_with(new)
    }
}

const FACTS_OF_A_STRANGER: usize = 32;

/// Messages that are known again when they are repeated.
const SENT_LATELY: usize = 32;

impl UserAgent {
    /// What is known of an account's registration since it was last made anew; `None` when there is no such account or it never
    /// registered.
    #[must_use]
    pub fn registration_evidence(&self, account: AccountId) -> Option<&Evidence> {
        self.accounts.get(&account)?.evidence.as_ref()
    }

    /// Sources that were turned away, and what they did.
    pub fn refused_sources(&self) -> impl Iterator<Item = (IpAddr, &Evidence)> {
        self.strangers.by_address.iter().map(|(source, evidence)| (*source, evidence))
    }

    pub(super) fn witness_received(&mut self, flow: &Flow, bytes: Bytes, now: Instant) {
        // What cannot be read is told of by itself.
        let Ok(message) = Message::parse_lenient(bytes) else { return };
        if let Some(evidence) = self.evidence_of(&message, now) {
            note(evidence, Who::Peer, &message, flow, now);
        }
    }

    pub(super) fn witness_sent(&mut self, transmit: &Transmit, now: Instant) {
        let Ok(message) = Message::parse_lenient(transmit.payload.clone()) else { return };
        let flow = Flow {
            protocol: transmit.protocol,
            local: transmit.source.unwrap_or(transmit.destination),
            remote: transmit.destination,
            stream: transmit.stream,
        };
        let times = self.repetitions(&transmit.payload);
        let Some(evidence) = self.evidence_of(&message, now) else { return };
        if times == 0 {
            note(evidence, Who::Here, &message, &flow, now);
        } else {
            let method = head(&message, &flow).method;
            evidence.add(Some(Side::FIRST), Fact::Repeated { method, times }, now);
        }
    }

    /// How often this very message was sent before, as far as is remembered.
    fn repetitions(&mut self, payload: &Bytes) -> u32 {
        if let Some((_, times)) = self.sent_lately.iter_mut().find(|(sent, _)| sent == payload) {
            *times = times.saturating_add(1);
            return *times;
        }
        self.sent_lately.push_back((payload.clone(), 0));
        if self.sent_lately.len() > SENT_LATELY {
            self.sent_lately.pop_front();
        }
        0
    }

    /// The INVITE that a call begins with came before there was the call.
    pub(super) fn witness_invite(&mut self, id: CallId, message: &Request, flow: &Flow, now: Instant) {
        if let Ok(call_id) = message.call_id() {
            self.by_call_id.insert(call_id.to_owned(), id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            note(&mut call.evidence, Who::Peer, &Message::Request(message.clone()), flow, now);
        }
    }

    pub(super) fn witness_refused(&mut self, flow: &Flow, rule: &Refusal, first_line: &str, now: Instant) {
        let why = match rule {
            Refusal::Malformed(error) => {
                return self.turned_away(
                    flow.remote,
                    |source| Fact::Unreadable { source, why: error.to_string() },
                    now,
                );
            }
            // Repeats of what is over, mostly: nobody was turned away.
            Refusal::StrayResponse | Refusal::StrayAck | Refusal::NoSuchTransaction => return,
            Refusal::NoSuchDialog => "it belongs to no call here",
            Refusal::Limit(_) | Refusal::ShuttingDown => "there is no room for it",
            Refusal::Method => "the method makes no sense here",
            Refusal::Merged => "it came twice by different ways",
            _ => "it is not allowed at this point",
        };
        self.turned_away(
            flow.remote,
            |source| Fact::TurnedAway { source, why: format!("{first_line}: {why}") },
            now,
        );
    }

    pub(super) fn turned_away(
        &mut self,
        source: SocketAddr,
        fact: impl FnOnce(SocketAddr) -> Fact,
        now: Instant,
    ) {
        let evidence = self.strangers.of(source.ip(), self.config.refused_sources_limit, now);
        evidence.add(Some(Side::FIRST), fact(source), now);
    }

    /// Whose evidence a message belongs to.
    fn evidence_of(&mut self, message: &Message, now: Instant) -> Option<&mut Evidence> {
        let fields: &Fields = match message {
            Message::Request(request) => request,
            Message::Response(response) => response,
        };
        let call = fields.call_id().ok().and_then(|call_id| self.by_call_id.get(call_id).copied());
        if let Some(call) = call {
            return self.calls.get_mut(&call).map(|call| &mut call.evidence);
        }
        if fields.cseq().ok()?.method != Method::Register {
            return None;
        }
        let to = fields.to().ok()?;
        let state = self.accounts.values_mut().find(|state| {
            // The domain may carry a port.
            let uri = state.account.uri();
            let own = uri.as_uri();
            (to.uri.user(), to.uri.port()) == (own.user(), own.port())
                && to.uri.host_str().eq_ignore_ascii_case(own.host_str())
        })?;
        if matches!(message, Message::Request(_)) {
            state.try_again();
        }
        Some(state.evidence(now))
    }
}

fn head(message: &Message, flow: &Flow) -> MessageHead {
    match message {
        Message::Request(request) => MessageHead::of_request(request, Some(flow)),
        Message::Response(response) => MessageHead::of_response(response, Some(flow)),
    }
}

fn note(evidence: &mut Evidence, by: Who, message: &Message, flow: &Flow, now: Instant) {
    let head = head(message, flow);
    let fact = match by {
        Who::Here => Fact::Sent(head),
        Who::Peer => Fact::Received(head),
    };
    evidence.add(Some(Side::FIRST), fact, now);
    let fields: &Fields = match message {
        Message::Request(request) => request,
        Message::Response(response) => response,
    };
    let Ok(Some(body)) = fields.part_of_type("application/sdp") else { return };
    if let Ok(description) = denwa_sdp::Description::parse(&body) {
        let description = Description::of_remote(&RemoteDescription::read(&description));
        evidence.add(Some(Side::FIRST), Fact::Described { by, description }, now);
    }
}
