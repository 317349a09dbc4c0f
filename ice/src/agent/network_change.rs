//! Addresses that go: what stood on them falls, and what else works takes its place.

use super::Agent;
use super::event::{PairFailure, PairState};
use super::state::Base;
use std::net::SocketAddr;
use std::time::Instant;

impl Agent {
    /// Everything that stands on a socket falls with it.
    pub(super) fn forget_address(&mut self, address: SocketAddr, now: Instant) {
        let mut fallen = Vec::new();
        for (place, socket) in self.sockets.iter_mut().enumerate() {
            if socket.address == address && !socket.gone {
                socket.gone = true;
                fallen.push(place);
            }
        }
        for (place, relay) in self.relays.iter_mut().enumerate() {
            if fallen.contains(&relay.socket) && !relay.client.has_ended() {
                // What it sends cannot leave; the server will find out by itself.
                let _ = relay.client.release(now);
                self.locals
                    .iter_mut()
                    .filter(|local| local.base == Base::Relay(place))
                    .for_each(|it| it.gone = true);
            }
        }
        for relay in 0..self.relays.len() {
            self.drain_relay(relay, now);
        }
        for local in &mut self.locals {
            if matches!(local.base, Base::Socket(socket) if fallen.contains(&socket)) {
                local.gone = true;
            }
        }
        self.tasks.retain(|task| !fallen.contains(&task.socket()));
        self.close_connections_of(&fallen);
        self.fail_gone_pairs(now);
    }

    pub(super) fn fail_gone_pairs(&mut self, now: Instant) {
        for number in self.stream_numbers() {
            let Some(stream) = self.streams.get_mut(&number) else { continue };
            let locals = &self.locals;
            let gone = |local: usize| locals.get(local).is_none_or(|local| local.gone);
            for pair in stream.list.pairs_mut().iter_mut().filter(|pair| gone(pair.local)) {
                pair.state = PairState::Failed;
                pair.failure = Some(PairFailure::AddressGone);
                (pair.valid, pair.nominated, pair.nominating) = (false, false, false);
            }
            for component in 1..=stream.component_count() {
                let active = stream.component(component).and_then(|it| it.active.as_ref());
                if active.is_some_and(|active| gone(active.local)) {
                    self.replace_active(number, component, now);
                    break;
                }
            }
        }
        for number in self.stream_numbers() {
            self.update_state(number);
        }
    }
}
