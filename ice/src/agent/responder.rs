//! The peer's checks: who may ask, what is answered, and which pair follows from it (RFC 8445 section 7.3).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::event::{AgentEvent, AgentLimit, PairState};
use super::state::{Base, Early, Remote};
use super::{Agent, MediaStream, Policy, Role};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport};
use crate::stun::attribute::{
    IceControlled, IceControlling, Priority, Software, UseCandidate, Username, XorMappedAddress,
};
use crate::stun::{AttributeKind, Class, ErrorCode, IntegrityKey, Message, Method, TransactionId, Writer};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

impl Agent {
    /// A request came from `remote` to `base`.
    pub(super) fn handle_request(
        &mut self,
        message: &Message<'_>,
        base: Base,
        remote: SocketAddr,
        now: Instant,
    ) {
        if message.method() != Method::BINDING || message.fingerprint() == Some(false) {
            return;
        }
        // Whoever hides behind a relay is not at home.
        if self.config.policy == Policy::RelayOnly && matches!(base, Base::Socket(_)) {
            return;
        }
        let Ok(Some(Username(username))) = message.get() else {
            return self.refuse(message, base, remote, ErrorCode::BAD_REQUEST, None);
        };
        if !message.has_integrity() {
            return self.refuse(message, base, remote, ErrorCode::BAD_REQUEST, None);
        }
        let (ours, theirs) = username.split_once(':').unwrap_or((username, ""));
        let previous = self.previous.as_ref().filter(|(credentials, _)| credentials.fragment == ours);
        let (key, current) = match previous {
            _ if ours == self.credentials.fragment => (self.key.clone(), true),
            Some((_, key)) => (key.clone(), false),
            None => return self.refuse(message, base, remote, ErrorCode::UNAUTHENTICATED, None),
        };
        if message.verify(&key).is_err() {
            return self.refuse(message, base, remote, ErrorCode::UNAUTHENTICATED, None);
        }
        if message.unknown_required(is_known).next().is_some() {
            return self.refuse(message, base, remote, ErrorCode::UNKNOWN_ATTRIBUTE, Some(&key));
        }
        if current && self.conflicts(message) {
            return self.refuse(message, base, remote, ErrorCode::ROLE_CONFLICT, Some(&key));
        }
        self.answer(message.id(), base, remote, &key);
        if current {
            let priority = message.get::<Priority>().ok().flatten().map_or(1, |priority| priority.0);
            let use_candidate = message.get::<UseCandidate>().ok().flatten().is_some();
            let fragment = theirs.to_owned();
            self.check_came(Early { fragment, base, remote, priority, use_candidate }, now);
        }
    }

    /// Whether the peer has our role and must change it. If we must, we do (RFC 8445 section 7.3.1.1).
    fn conflicts(&mut self, message: &Message<'_>) -> bool {
        let controlling = message.get::<IceControlling>().ok().flatten();
        let controlled = message.get::<IceControlled>().ok().flatten();
        match (self.role, controlling, controlled) {
            (Role::Controlling, Some(IceControlling(theirs)), _) => {
                if self.tie_breaker >= theirs {
                    return true;
                }
                self.switch_role();
                false
            }
            (Role::Controlled, _, Some(IceControlled(theirs))) if !self.config.lite => {
                if self.tie_breaker >= theirs {
                    self.switch_role();
                    return false;
                }
                true
            }
            _ => false,
        }
    }

    /// The peer is believed: its check has a pair.
    fn check_came(&mut self, check: Early, now: Instant) {
        let Some(number) = self.socket_of(check.base).map(|socket| socket.stream) else { return };
        let limit = self.config.limits.early_checks;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let expected = stream.remote_credentials.as_ref().is_some_and(|it| it.fragment == check.fragment);
        if !expected {
            // Before its description came, or after a restart that we have not heard of yet.
            let same = |early: &&mut Early| early.base == check.base && early.remote == check.remote;
            if let Some(early) = stream.early.iter_mut().find(same) {
                // Not to forget that it was chosen when a later check only asks for consent.
                let chosen = early.use_candidate;
                *early = check;
                early.use_candidate |= chosen;
            } else if stream.early.len() < limit {
                stream.early.push(check);
            } else {
                let stream = MediaStream(number);
                self.event(AgentEvent::LimitReached { stream, limit: AgentLimit::EarlyChecks });
            }
            return;
        }
        self.take_check_of_peer(number, &check, now);
    }

    /// The credentials have come: so have the checks that were waiting for them.
    pub(super) fn take_early_checks(&mut self, number: u32, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let early = std::mem::take(&mut stream.early);
        let fragment = stream.remote_credentials.as_ref().map(|it| it.fragment.clone());
        for check in early.into_iter().filter(|check| Some(&check.fragment) == fragment.as_ref()) {
            self.take_check_of_peer(number, &check, now);
        }
    }

    fn take_check_of_peer(&mut self, number: u32, check: &Early, now: Instant) {
        let Some(local) = self.local_at(check.base, check.remote) else { return };
        let Some(remote) = self.remote_at(number, local, check) else { return };
        let found = self.streams.get(&number).and_then(|stream| stream.list.find(local, remote));
        let Some(id) = found.or_else(|| self.add_pair(number, local, remote)) else { return };
        let nominated = check.use_candidate && self.role == Role::Controlled;
        let lite = self.config.lite;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(pair) = stream.list.get_mut(id) else { return };
        pair.requests_received = pair.requests_received.saturating_add(1);
        pair.nominated |= nominated;
        if lite {
            // We check nothing: what the peer has checked works.
            (pair.state, pair.valid) = (PairState::Succeeded, true);
        }
        let (state, current) = (pair.state, pair.current);
        match state {
            PairState::Succeeded => {
                if nominated {
                    self.select(number, id, now);
                }
                self.update_state(number);
            }
            PairState::NotNeeded if !nominated => {}
            PairState::InProgress
            | PairState::Frozen
            | PairState::Waiting
            | PairState::Failed
            | PairState::NotNeeded => {
                if let Some(pair) = self.streams.get_mut(&number).and_then(|stream| stream.list.get_mut(id)) {
                    pair.state = PairState::Waiting;
                }
                // The running transaction is not repeated; if it is answered after all, good.
                if let (PairState::InProgress, Some(current)) = (state, current) {
                    self.transactions.quiet(current);
                }
                if let Some(stream) = self.streams.get_mut(&number) {
                    stream.list.trigger(id);
                }
                self.arm(now);
            }
        }
    }

    /// Our candidate that a check came to: the host's or the relayed one of its base.
    fn local_at(&self, base: Base, remote: SocketAddr) -> Option<usize> {
        let kind = match base {
            Base::Socket(_) => CandidateKind::Host,
            Base::Relay(_) => CandidateKind::Relayed,
        };
        self.locals.iter().position(|local| {
            local.base == base
                && local.candidate.kind == kind
                && !local.gone
                && local.address.is_ipv4() == remote.is_ipv4()
        })
    }

    /// The peer's candidate that a check came from, made peer-reflexive if it is not known (RFC 8445 section 7.3.1.3).
    fn remote_at(&mut self, number: u32, local: usize, check: &Early) -> Option<usize> {
        let ours = self.locals.get(local)?.candidate.clone();
        let transport = match ours.transport {
            CandidateTransport::Udp => CandidateTransport::Udp,
            CandidateTransport::TcpPassive => CandidateTransport::TcpActive,
            CandidateTransport::TcpActive => CandidateTransport::TcpPassive,
            CandidateTransport::TcpSimultaneous => CandidateTransport::TcpSimultaneous,
        };
        let stream = self.streams.get(&number)?;
        let known = stream.remotes.iter().position(|remote| {
            remote.address == check.remote
                && remote.candidate.component == ours.component
                && remote.candidate.transport == transport
        });
        if known.is_some() {
            return known;
        }
        if stream.remotes.len() >= self.config.limits.remote_candidates {
            let (stream, limit) = (MediaStream(number), AgentLimit::RemoteCandidates);
            self.event(AgentEvent::LimitReached { stream, limit });
            return None;
        }
        let text = format!("prflx{}", check.remote);
        let foundation = self.remote_foundation(&text);
        let candidate = Candidate {
            foundation: format!("p{foundation}"),
            component: ours.component,
            transport,
            priority: check.priority,
            address: CandidateAddress::Ip(check.remote),
            kind: CandidateKind::PeerReflexive,
            related: None,
            extensions: Vec::new(),
        };
        let stream = self.streams.get_mut(&number)?;
        stream.remotes.push(Remote { candidate, address: check.remote, foundation });
        stream.remotes.len().checked_sub(1)
    }

    fn answer(&mut self, id: TransactionId, base: Base, remote: SocketAddr, key: &IntegrityKey) {
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer, Class::Success, Method::BINDING, id);
        writer.put(&XorMappedAddress(remote));
        if let Some(software) = self.config.software.as_deref().filter(|it| it.len() < 128) {
            writer.put(&Software(software));
        }
        writer.integrity(key);
        writer.fingerprint();
        let length = writer.finish().unwrap_or(0);
        let answer = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        self.transmit_by(base, remote, &answer);
    }

    fn refuse(
        &mut self,
        message: &Message<'_>,
        base: Base,
        remote: SocketAddr,
        code: ErrorCode,
        key: Option<&IntegrityKey>,
    ) {
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer, Class::Error, Method::BINDING, message.id());
        writer.error(code);
        if code == ErrorCode::UNKNOWN_ATTRIBUTE {
            writer.unknown_attributes(message.unknown_required(is_known).take(16));
        }
        if let Some(key) = key {
            writer.integrity(key);
        }
        writer.fingerprint();
        let length = writer.finish().unwrap_or(0);
        // Whoever is not known gets no more bytes than he sent: his address may be somebody else's.
        if key.is_some() || length <= message.bytes().len() {
            let answer = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            self.transmit_by(base, remote, &answer);
        }
    }
}

/// The comprehension-required attributes that a check may hold.
fn is_known(kind: AttributeKind) -> bool {
    matches!(kind, AttributeKind::USERNAME | AttributeKind::PRIORITY | AttributeKind::USE_CANDIDATE)
}
