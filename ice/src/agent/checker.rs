//! Our connectivity checks: which is next, what it says, and what its answer means (RFC 8445 sections 6.1.4 and 7.2).

use super::check_list::{Foundation, PairId};
use super::event::{PairFailure, PairState};
use super::state::Base;
use super::{Agent, Role};
use crate::candidate::{Candidate, CandidateKind};
use crate::stun::attribute::{
    ErrorCodeAttribute, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use crate::stun::{Class, ErrorCode, IntegrityKey, Message, Method, Timing, TransactionId, Writer};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a transaction is for.
#[derive(Debug, Clone)]
pub(super) enum Tag {
    /// A check of a pair.
    Check { stream: u32, pair: PairId, base: Base, key: IntegrityKey, role: Role, nominates: bool },
    /// A question to a STUN server.
    Gather { stream: u32, socket: usize, server: SocketAddr },
    /// A question for consent.
    Consent { stream: u32, component: u16, base: Base, key: IntegrityKey },
}

impl Tag {
    pub(super) const fn base(&self) -> Base {
        match self {
            Self::Check { base, .. } | Self::Consent { base, .. } => *base,
            Self::Gather { socket, .. } => Base::Socket(*socket),
        }
    }

    pub(super) const fn stream(&self) -> Option<u32> {
        match self {
            Self::Check { stream, .. } | Self::Gather { stream, .. } | Self::Consent { stream, .. } => {
                Some(*stream)
            }
        }
    }
}

impl Agent {
    /// There may be something to send: at once, or when the pace allows.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.tick_at.is_none() {
            let paced = self.last_tick.and_then(|last| last.checked_add(self.pace()));
            self.tick_at = Some(paced.map_or(now, |paced| paced.max(now)));
        }
    }

    /// Never less than the RFC allows (section 14.2).
    fn pace(&self) -> Duration {
        self.config.pace.max(Duration::from_millis(5))
    }

    /// Sends the next new transaction if its time has come, and arms the time of the one after it.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.tick_at.is_none_or(|at| at > now) {
            return;
        }
        self.tick_at = None;
        if self.take_task(now) || self.take_check(now) {
            self.last_tick = Some(now);
            self.tick_at = now.checked_add(self.pace());
        }
    }

    /// Sends the next check of the next list that has one (RFC 8445 section 6.1.4.2).
    fn take_check(&mut self, now: Instant) -> bool {
        let numbers = self.stream_numbers();
        let start = numbers.iter().position(|number| *number > self.turn).unwrap_or(0);
        let (first, last) = (numbers.iter().skip(start), numbers.iter().take(start));
        for number in first.chain(last).copied() {
            if let Some(pair) = self.next_pair(number) {
                self.turn = number;
                self.send_check(number, pair, now);
                return true;
            }
        }
        false
    }

    fn next_pair(&mut self, number: u32) -> Option<PairId> {
        let stream = self.streams.get_mut(&number)?;
        stream.remote_credentials.as_ref()?;
        if let Some(triggered) = stream.list.take_triggered() {
            return Some(triggered);
        }
        self.thaw_untried();
        let stream = self.streams.get(&number)?;
        if let Some(waiting) = stream.list.next_waiting() {
            return Some(waiting);
        }
        let active = |foundation: Foundation| {
            let states = [PairState::Waiting, PairState::InProgress];
            self.streams.values().any(|stream| stream.list.has(foundation, &states))
        };
        stream.list.frozen().find(|pair| !active(pair.foundation)).map(|pair| pair.id)
    }

    /// Of each foundation of which no pair has been tried in any list, the best pair waits (RFC 8445 section 6.1.2.6).
    fn thaw_untried(&mut self) {
        let mut seen: Vec<Foundation> = Vec::new();
        let tried = [PairState::Waiting, PairState::InProgress, PairState::Succeeded, PairState::Failed];
        for number in self.stream_numbers() {
            let Some(stream) = self.streams.get(&number) else { continue };
            let fresh: Vec<_> = stream.list.frozen().map(|pair| (pair.id, pair.foundation)).collect();
            for (id, foundation) in fresh {
                if seen.contains(&foundation) {
                    continue;
                }
                seen.push(foundation);
                let known = self.streams.values().any(|stream| stream.list.has(foundation, &tried));
                let works = self.streams.values().any(|it| it.list.has(foundation, &[PairState::Succeeded]));
                if let Some(stream) = self.streams.get_mut(&number) {
                    if works {
                        stream.list.unfreeze(foundation);
                    } else if !known && let Some(pair) = stream.list.get_mut(id) {
                        pair.state = PairState::Waiting;
                    }
                }
            }
        }
    }

    pub(super) fn count_request(&mut self, stream: u32, pair: PairId) {
        if let Some(pair) = self.streams.get_mut(&stream).and_then(|stream| stream.list.get_mut(pair)) {
            pair.requests_sent = pair.requests_sent.saturating_add(1);
        }
    }

    fn send_check(&mut self, number: u32, id: PairId, now: Instant) {
        let timing = self.check_timing();
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(remote_credentials) = stream.remote_credentials.clone() else { return };
        let Some(pair) = stream.list.get_mut(id) else { return };
        let (Some(local), Some(remote)) = (self.locals.get(pair.local), stream.remotes.get(pair.remote))
        else {
            return;
        };
        if local.gone {
            pair.state = PairState::Failed;
            pair.failure = Some(PairFailure::AddressGone);
            return;
        }
        let (base, destination) = (local.base, remote.address);
        // What works is asked for steadily: only losses can keep the answer away.
        let timing = match pair.valid {
            true => Timing { longest_pause: timing.retransmission, ..timing },
            false => timing,
        };
        let reliable = local.candidate.transport.is_tcp();
        let nominates = pair.nominating && self.role == Role::Controlling;
        if pair.state != PairState::Succeeded {
            pair.state = PairState::InProgress;
        }
        pair.failure = None;
        pair.requests_sent = pair.requests_sent.saturating_add(1);
        let priority = self.reflexive_priority(base);
        let transaction = self.generator.transaction_id();
        let username = format!("{}:{}", remote_credentials.fragment, self.credentials.fragment);
        let request = self.write_check(transaction, &username, priority, nominates, &remote_credentials.key);
        if let Some(pair) = self.streams.get_mut(&number).and_then(|stream| stream.list.get_mut(id)) {
            pair.current = Some(transaction);
        }
        let tag = Tag::Check {
            stream: number,
            pair: id,
            base,
            key: remote_credentials.key,
            role: self.role,
            nominates,
        };
        self.transactions.begin(transaction, tag, (request.clone(), destination), (reliable, timing), now);
        self.transmit_by(base, destination, &request);
    }

    /// The more there is to check, the longer the first pause (RFC 8445 section 14.3).
    fn check_timing(&self) -> Timing {
        let active: usize = self.streams.values().map(|stream| stream.list.active()).sum();
        let spread = self.config.pace.saturating_mul(u32::try_from(active).unwrap_or(u32::MAX));
        let timing = self.config.check_timing;
        let retransmission = timing.retransmission.max(spread);
        let longest_pause = timing.longest_pause.max(retransmission);
        Timing { retransmission, longest_pause, ..timing }
    }

    pub(super) fn socket_of(&self, base: Base) -> Option<&super::Socket> {
        match base {
            Base::Socket(socket) => self.sockets.get(socket),
            Base::Relay(relay) => self.sockets.get(self.relays.get(relay)?.socket),
        }
    }

    /// The priority that a peer-reflexive candidate of this base would have (RFC 8445 section 7.1.1).
    pub(super) fn reflexive_priority(&self, base: Base) -> u32 {
        let Some(socket) = self.socket_of(base) else { return 1 };
        let preference = CandidateKind::PeerReflexive.type_preference(socket.transport);
        Candidate::priority(preference, socket.local_preference, socket.component)
    }

    /// A Binding request to the peer: a check, or a question for consent, which looks the same.
    pub(super) fn write_check(
        &self,
        id: TransactionId,
        username: &str,
        priority: u32,
        nominates: bool,
        key: &IntegrityKey,
    ) -> Bytes {
        let mut buffer = [0; 700];
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, id);
        writer.put(&Username(username));
        writer.put(&Priority(priority));
        match self.role {
            Role::Controlling => writer.put(&IceControlling(self.tie_breaker)),
            Role::Controlled => writer.put(&IceControlled(self.tie_breaker)),
        }
        if nominates {
            writer.put(&UseCandidate);
        }
        writer.integrity(key);
        writer.fingerprint();
        // 513 bytes of user name and 110 of the rest always fit.
        let length = writer.finish().unwrap_or(0);
        Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())
    }

    /// A response came from `remote` to `base`. Whether it was one of ours.
    pub(super) fn handle_response(
        &mut self,
        message: &Message<'_>,
        base: Base,
        remote: SocketAddr,
        now: Instant,
    ) -> bool {
        let Some(tag) = self.transactions.get(message.id()).cloned() else { return false };
        if message.method() != Method::BINDING || message.fingerprint() == Some(false) {
            return true;
        }
        let asked = self.transactions.peer(message.id());
        let symmetric = asked == Some(remote) && tag.base() == base;
        match &tag {
            Tag::Gather { stream, socket, server } => {
                if symmetric {
                    self.transactions.finish(message.id(), now);
                    self.gathered((*stream, *socket, *server), message, now);
                }
            }
            Tag::Check { key, .. } => {
                // Only the peer can sign; an error that nobody signed may be anybody's.
                if message.verify(key).is_err() {
                    return true;
                }
                self.check_answered(message, &tag, symmetric, now);
            }
            Tag::Consent { stream, component, key, .. } => {
                if symmetric && message.verify(key).is_ok() {
                    self.transactions.finish(message.id(), now);
                    let revoked = message.class() == Class::Error
                        && matches!(message.get::<ErrorCodeAttribute<'_>>(), Ok(Some(it)) if it.code == ErrorCode::FORBIDDEN);
                    self.consent_answered(*stream, *component, !revoked, message.class(), now);
                }
            }
        }
        true
    }

    fn check_answered(&mut self, message: &Message<'_>, tag: &Tag, symmetric: bool, now: Instant) {
        let Tag::Check { stream, pair, role, nominates, .. } = *tag else { return };
        let Some(answered) = self.transactions.finish(message.id(), now) else { return };
        if let Some(pair) = self.streams.get_mut(&stream).and_then(|stream| stream.list.get_mut(pair)) {
            pair.responses_received = pair.responses_received.saturating_add(1);
        }
        if !symmetric {
            return self.pair_failed(stream, pair, PairFailure::Asymmetric);
        }
        if message.class() == Class::Error {
            return match message.get::<ErrorCodeAttribute<'_>>() {
                Ok(Some(error)) if error.code == ErrorCode::ROLE_CONFLICT => {
                    if role == self.role {
                        self.switch_role();
                    }
                    self.retry(stream, pair, now);
                }
                Ok(Some(error)) => self.pair_failed(stream, pair, PairFailure::Refused(error.code)),
                _ => self.pair_failed(stream, pair, PairFailure::BadAnswer),
            };
        }
        let Ok(Some(XorMappedAddress(mapped))) = message.get() else {
            return self.pair_failed(stream, pair, PairFailure::BadAnswer);
        };
        let round_trip = (answered.sent == 1).then_some(answered.elapsed);
        self.pair_succeeded((stream, pair), mapped, round_trip, nominates, now);
    }

    /// Checks the pair again, after a role conflict.
    fn retry(&mut self, stream: u32, id: PairId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            if let Some(pair) = stream.list.get_mut(id).filter(|pair| pair.state == PairState::InProgress) {
                pair.state = PairState::Waiting;
            }
            stream.list.trigger(id);
        }
        self.arm(now);
    }

    fn pair_succeeded(
        &mut self,
        (number, id): (u32, PairId),
        mapped: SocketAddr,
        round_trip: Option<Duration>,
        nominates: bool,
        now: Instant,
    ) {
        let Some(local) = self.streams.get(&number).and_then(|it| it.list.get(id)).map(|pair| pair.local)
        else {
            return;
        };
        let seen_as = self.seen_as(local, mapped, now);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(pair) = stream.list.get_mut(id) else { return };
        let settled = pair.state == PairState::NotNeeded && !pair.nominated && !nominates;
        pair.valid = true;
        (pair.mapped, pair.seen_as) = (Some(mapped), seen_as);
        pair.round_trip = round_trip.or(pair.round_trip);
        (pair.state, pair.failure) = (PairState::Succeeded, None);
        let (foundation, component) = (pair.foundation, pair.component);
        let chosen = nominates || pair.nominated && self.role == Role::Controlled;
        if nominates {
            (pair.nominated, pair.nominating) = (true, false);
        }
        if let Some(component) = stream.component_mut(component) {
            component.first_valid_at.get_or_insert(now);
        }
        for stream in self.streams.values_mut() {
            stream.list.unfreeze(foundation);
        }
        if chosen && !settled {
            self.select(number, id, now);
        }
        self.update_state(number);
        self.arm(now);
    }

    pub(super) fn pair_failed(&mut self, number: u32, id: PairId, failure: PairFailure) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(pair) = stream.list.get_mut(id) else { return };
        if pair.state == PairState::NotNeeded {
            return;
        }
        (pair.state, pair.failure) = (PairState::Failed, Some(failure));
        (pair.valid, pair.nominating) = (false, false);
    }

    pub(super) fn request_timed_out(&mut self, id: TransactionId, tag: &Tag, now: Instant) {
        match tag {
            Tag::Check { stream, pair, .. } => {
                let current =
                    self.streams.get(stream).and_then(|it| it.list.get(*pair)).and_then(|it| it.current);
                if current == Some(id) {
                    self.pair_failed(*stream, *pair, PairFailure::NoAnswer);
                    self.update_state(*stream);
                    self.arm(now);
                }
            }
            Tag::Gather { stream, server, .. } => self.not_gathered(*stream, *server),
            // Consent ends by its own clock.
            Tag::Consent { .. } => {}
        }
    }

    /// A TURN server does not relay to some peers.
    pub(super) fn fail_relayed(&mut self, relay: usize, refused: impl Fn(SocketAddr) -> bool, now: Instant) {
        let mut failed = Vec::new();
        for (number, stream) in &self.streams {
            for pair in stream.list.pairs() {
                let by_relay =
                    self.locals.get(pair.local).is_some_and(|local| local.base == Base::Relay(relay));
                let to_refused =
                    stream.remotes.get(pair.remote).is_some_and(|remote| refused(remote.address));
                if by_relay && to_refused && !pair.valid {
                    failed.push((*number, pair.id));
                }
            }
        }
        for (number, pair) in failed {
            self.transactions.forget(
                |tag| matches!(tag, Tag::Check { stream, pair: of, .. } if *stream == number && *of == pair),
            );
            self.pair_failed(number, pair, PairFailure::RelayRefused);
        }
        self.arm(now);
    }

    /// The other end has our role and keeps it.
    pub(super) fn switch_role(&mut self) {
        let role = self.role.other();
        self.set_role(role);
        self.event(super::AgentEvent::RoleChanged { role });
    }
}
