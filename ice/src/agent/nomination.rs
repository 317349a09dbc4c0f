//! Nomination: which of the pairs that work is used (RFC 8445 section 8), and when to give up (RFC 8863).
//!
//! The controlling end waits until nothing better can come of the checks, or for as long as its patience lasts. The controlled end
//! follows; when the peer nominates everything (RFC 5245 "aggressive"), the best of what it nominated counts.

use super::check_list::PairId;
use super::consent::Consent;
use super::event::{AgentEvent, PairState, StreamState};
use super::state::{Active, Base, Stream};
use super::{Agent, MediaStream, Role};
use crate::candidate::CandidateKind;
use std::time::Instant;

impl Agent {
    /// Nominates a pair of each component whose time has come.
    pub(super) fn consider_nomination(&mut self, number: u32, now: Instant) {
        if self.role != Role::Controlling || self.config.lite {
            return;
        }
        let Some(stream) = self.streams.get(&number) else { return };
        let mut chosen = Vec::new();
        for component in 1..=stream.component_count() {
            if let Some((pair, at)) = self.nomination_due(stream, component)
                && at.is_none_or(|at| at <= now)
            {
                chosen.push(pair);
            }
        }
        let Some(stream) = self.streams.get_mut(&number) else { return };
        for id in &chosen {
            if let Some(pair) = stream.list.get_mut(*id) {
                pair.nominating = true;
            }
            stream.list.trigger(*id);
        }
        if !chosen.is_empty() {
            self.arm(now);
        }
    }

    /// The pair that a component would be given, and when: `None` is at once.
    fn nomination_due(&self, stream: &Stream, component: u16) -> Option<(PairId, Option<Instant>)> {
        let state = stream.component(component)?;
        let has = state.active.as_ref().is_some_and(|active| active.pair.is_some());
        let underway = stream.list.pairs().iter().any(|pair| pair.component == component && pair.nominating);
        if has || underway {
            return None;
        }
        let best = stream.list.best_valid(component)?;
        if !stream.list.better_is_open(best) && self.nothing_better_can_come(stream, component) {
            return Some((best.id, None));
        }
        let relayed = |kind: CandidateKind| kind == CandidateKind::Relayed;
        let by_relay = self.locals.get(best.local).is_some_and(|it| relayed(it.candidate.kind))
            || stream.remotes.get(best.remote).is_some_and(|it| relayed(it.candidate.kind));
        let patience = if by_relay { self.config.relay_patience } else { self.config.patience };
        let at = state.first_valid_at?.checked_add(patience)?;
        Some((best.id, Some(at)))
    }

    /// Whether every candidate of both ends is known: until then a relayed pair should wait for the others.
    fn nothing_better_can_come(&self, stream: &Stream, component: u16) -> bool {
        let best = stream.list.best_valid(component);
        let best_local = best.and_then(|pair| self.locals.get(pair.local)).map(|it| it.candidate.kind);
        let best_remote = best.and_then(|pair| stream.remotes.get(pair.remote)).map(|it| it.candidate.kind);
        let direct = best_local == Some(CandidateKind::Host)
            && matches!(best_remote, Some(CandidateKind::Host | CandidateKind::PeerReflexive));
        direct || stream.remote_ended && stream.gathering_told
    }

    /// A component has its pair.
    pub(super) fn select(&mut self, number: u32, id: PairId, now: Instant) {
        let Some(stream) = self.streams.get(&number) else { return };
        let Some(pair) = stream.list.get(id) else { return };
        let component = pair.component;
        let current = stream.component(component).and_then(|it| it.active.as_ref()).and_then(|it| it.pair);
        if current == Some(id) {
            return;
        }
        // Of several nominated pairs the best one counts.
        let current_priority = current.and_then(|current| stream.list.get(current)).map(|pair| pair.priority);
        if current_priority.is_some_and(|current| current > pair.priority) {
            return;
        }
        self.activate(number, id, now);
        // Our own choice is final; the peer may be one that goes on nominating.
        let final_choice = self.role == Role::Controlling;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let quiet = stream.list.settle(component, id, final_choice);
        for pair in quiet {
            let current =
                self.streams.get(&number).and_then(|it| it.list.get(pair)).and_then(|pair| pair.current);
            if let Some(current) = current {
                self.transactions.quiet(current);
            }
        }
        // All pairs are new ones: what came before the last restart is over.
        let all = |stream: &Stream| {
            stream.components().iter().all(|it| it.active.as_ref().is_none_or(|active| active.pair.is_some()))
        };
        if self.streams.values().all(all) {
            self.previous = None;
        }
        self.update_state(number);
    }

    /// Media uses this pair from now on.
    fn activate(&mut self, number: u32, id: PairId, now: Instant) {
        let consent = Consent::begin(&self.config, &mut self.generator, now);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(pair) = stream.list.get(id).cloned() else { return };
        let Some(local) = self.locals.get(pair.local) else { return };
        let Some(remote) = stream.remotes.get(pair.remote) else { return };
        let Some(credentials) = stream.remote_credentials.clone() else { return };
        let shown = pair.seen_as.and_then(|place| self.locals.get(place)).unwrap_or(local);
        let event = AgentEvent::PairSelected {
            stream: MediaStream(number),
            component: pair.component,
            local: Box::new(shown.candidate.clone()),
            remote: Box::new(remote.candidate.clone()),
        };
        let (base, address) = (local.base, remote.address);
        let username = format!("{}:{}", credentials.fragment, self.credentials.fragment);
        let key = credentials.key;
        let active = Active { pair: Some(id), local: pair.local, remote: address, username, key, consent };
        if let Some(component) = stream.component_mut(pair.component) {
            component.active = Some(active);
        }
        self.event(event);
        if let Base::Relay(relay) = base
            && let Some(entry) = self.relays.get_mut(relay)
        {
            // Without a channel data costs more, and goes through all the same.
            let _ = entry.client.bind_channel(address, now);
            self.drain_relay(relay, now);
        }
    }

    /// The address of a component's pair is gone: another pair that works takes its place, or none.
    pub(super) fn replace_active(&mut self, number: u32, component: u16, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if let Some(component) = stream.component_mut(component) {
            component.active = None;
        }
        if let Some(best) = stream.list.best_valid(component).map(|pair| pair.id) {
            self.activate(number, best, now);
        }
    }

    /// Two lite ends check nothing: the best pair of each component is used (RFC 8445 section 8.2.2).
    pub(super) fn conclude_between_lites(&mut self, number: u32, now: Instant) {
        if !self.config.lite {
            return;
        }
        let Some(stream) = self.streams.get(&number) else { return };
        if !stream.remote_credentials.as_ref().is_some_and(|it| it.lite) || !stream.remote_ended {
            return;
        }
        let mut best: Vec<Option<(u64, usize, usize)>> = vec![None; usize::from(stream.component_count())];
        for (local, ours) in self.locals.iter().enumerate().filter(|(_, it)| it.stream == number && !it.gone)
        {
            for (remote, theirs) in stream.remotes.iter().enumerate() {
                let fits = ours.candidate.component == theirs.candidate.component
                    && ours.candidate.transport.fits(theirs.candidate.transport)
                    && super::pairing::can_reach(ours.address, theirs.address);
                let priority = super::pairing::priority_of(self.role, ours, theirs);
                let place = usize::from(ours.candidate.component).saturating_sub(1);
                if let Some(best) =
                    best.get_mut(place).filter(|best| fits && best.is_none_or(|it| it.0 < priority))
                {
                    *best = Some((priority, local, remote));
                }
            }
        }
        for (_, local, remote) in best.into_iter().flatten() {
            let known = self.streams.get(&number).and_then(|stream| stream.list.find(local, remote));
            let Some(id) = known.or_else(|| self.add_pair(number, local, remote)) else { continue };
            if let Some(pair) = self.streams.get_mut(&number).and_then(|stream| stream.list.get_mut(id)) {
                (pair.state, pair.valid, pair.nominated) = (PairState::Succeeded, true, true);
            }
            self.select(number, id, now);
        }
    }

    /// Works out a stream's state, and tells it if it is another.
    pub(super) fn update_state(&mut self, number: u32) {
        let Some(stream) = self.streams.get(&number) else { return };
        let active = |component: u16| stream.component(component).and_then(|it| it.active.as_ref());
        let mut all = 1..=stream.component_count();
        let lost = all.clone().any(|it| active(it).is_some_and(|it| it.consent.is_lost()));
        let completed = all.clone().all(|it| active(it).is_some_and(|it| it.pair.is_some()));
        let connected = all.all(|it| active(it).is_some() || stream.list.best_valid(it).is_some());
        let was_up = stream.state >= StreamState::Connected;
        let state = match stream.state {
            _ if lost => StreamState::Disconnected,
            _ if completed => StreamState::Completed,
            _ if connected => StreamState::Connected,
            StreamState::Failed => StreamState::Failed,
            _ if was_up => StreamState::Disconnected,
            _ if stream.remote_credentials.is_some() => StreamState::Checking,
            _ => StreamState::New,
        };
        self.set_state(number, state);
    }

    fn set_state(&mut self, number: u32, state: StreamState) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if matches!(state, StreamState::Connected | StreamState::Completed) {
            // Whatever comes later, it has worked: that is not failure.
            stream.give_up_at = None;
        }
        if stream.state != state {
            stream.state = state;
            self.event(AgentEvent::StateChanged { stream: MediaStream(number), state });
        }
    }

    /// Gives up when nothing works, nothing is being tried, and nobody can be expected any more.
    pub(super) fn consider_giving_up(&mut self, number: u32, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.give_up_at.is_none_or(|at| at > now) {
            return;
        }
        let hopeless = (1..=stream.component_count()).any(|component| {
            !stream.list.is_pending(component) && stream.list.best_valid(component).is_none()
        });
        let undecided =
            matches!(stream.state, StreamState::New | StreamState::Checking | StreamState::Disconnected);
        if hopeless && undecided {
            stream.give_up_at = None;
            self.set_state(number, StreamState::Failed);
        } else if !undecided {
            stream.give_up_at = None;
        } else {
            // Pairs are still being tried: look again when they are through.
            stream.give_up_at =
                now.checked_add(self.config.check_timing.retransmission.max(self.config.pace));
        }
    }

    /// Deadlines of a stream: nomination, consent, giving up.
    pub(super) fn stream_deadlines(&self, stream: &Stream) -> impl Iterator<Item = Instant> {
        let controls = self.role == Role::Controlling && !self.config.lite;
        let mut deadlines: Vec<Instant> = Vec::new();
        for component in 1..=stream.component_count() {
            if controls && let Some((_, Some(at))) = self.nomination_due(stream, component) {
                deadlines.push(at);
            }
            let active = stream.component(component).and_then(|it| it.active.as_ref());
            deadlines.extend(active.and_then(|active| active.consent.next_due()));
        }
        deadlines.extend(stream.give_up_at);
        deadlines.extend(stream.gather_until.filter(|_| !stream.gathering_told));
        deadlines.into_iter()
    }
}
