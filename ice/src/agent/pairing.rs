//! Pairs: which of our candidates can speak to which of the peer's, and in what order (RFC 8445 section 6.1.2).

use super::check_list;
use super::event::{AgentEvent, AgentLimit};
use super::state::{Local, Remote};
use super::{Agent, MediaStream, Policy, Role};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, pair_priority};
use crate::io::QuestionId;
use std::net::SocketAddr;
use std::time::Instant;

impl Agent {
    /// Changes the role, and with it the priority of every pair.
    pub(super) fn set_role(&mut self, role: Role) {
        if self.role == role {
            return;
        }
        self.role = role;
        let locals = &self.locals;
        for stream in self.streams.values_mut() {
            let remotes = &stream.remotes;
            for pair in stream.list.pairs_mut() {
                let (local, remote) = (locals.get(pair.local), remotes.get(pair.remote));
                if let (Some(local), Some(remote)) = (local, remote) {
                    pair.priority = priority_of(role, local, remote);
                }
                pair.nominated = false;
                pair.nominating = false;
            }
            stream.list.sort();
        }
    }

    /// A candidate of the peer with an address.
    pub(super) fn remote_candidate(&mut self, stream: u32, candidate: Candidate, now: Instant) {
        let Some(address) = candidate.address.ip() else { return };
        let foundation = self.remote_foundation(&candidate.foundation);
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let known = state.remotes.iter_mut().enumerate().find(|(_, remote)| remote.is(&candidate, address));
        if let Some((place, remote)) = known {
            // Learnt from its checks before it was told (RFC 8838 section 11.3): now we know what it is.
            if remote.candidate.kind == CandidateKind::PeerReflexive
                && candidate.kind != CandidateKind::PeerReflexive
            {
                remote.candidate = candidate;
                let (role, locals) = (self.role, &self.locals);
                for pair in state.list.pairs_mut().iter_mut().filter(|pair| pair.remote == place) {
                    if let Some(local) = locals.get(pair.local) {
                        pair.priority = priority_of(role, local, &state.remotes[place]);
                    }
                }
                state.list.sort();
            }
            return;
        }
        state.remotes.push(Remote { candidate, address, foundation });
        let remote = state.remotes.len() - 1;
        for local in 0..self.locals.len() {
            self.pair_up(stream, local, remote);
        }
        self.arm(now);
    }

    pub(super) fn remote_foundation(&mut self, text: &str) -> u32 {
        let place = self.remote_foundations.iter().position(|known| known == text).unwrap_or_else(|| {
            self.remote_foundations.push(text.to_owned());
            self.remote_foundations.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Forms a pair if the two can speak to each other and nothing of the kind is there (RFC 8445 section 6.1.2.2 to 6.1.2.5).
    pub(super) fn pair_up(&mut self, stream: u32, local: usize, remote: usize) {
        if self.config.lite {
            return;
        }
        let Some(candidate) = self.locals.get(local) else { return };
        let Some(state) = self.streams.get(&stream) else { return };
        let Some(peer) = state.remotes.get(remote) else { return };
        // Reflexive candidates would be replaced by their bases, whose pairs are there already.
        let checks = matches!(candidate.candidate.kind, CandidateKind::Host | CandidateKind::Relayed);
        let allowed = self.config.policy == Policy::All || candidate.candidate.kind == CandidateKind::Relayed;
        // Nobody can be reached at an active candidate: its pair comes to be when it has connected.
        let reachable = peer.candidate.transport != CandidateTransport::TcpActive;
        let fits = candidate.stream == stream
            && !candidate.gone
            && candidate.candidate.component == peer.candidate.component
            && candidate.candidate.transport.fits(peer.candidate.transport)
            && can_reach(candidate.address, peer.address);
        if checks && allowed && reachable && fits && state.list.find(local, remote).is_none() {
            self.add_pair(stream, local, remote);
        }
    }

    pub(super) fn add_pair(
        &mut self,
        stream: u32,
        local: usize,
        remote: usize,
    ) -> Option<check_list::PairId> {
        let total: usize = self.streams.values().map(|stream| stream.list.len()).sum();
        let state = self.streams.get_mut(&stream)?;
        let (candidate, peer) = (self.locals.get(local)?, state.remotes.get(remote)?);
        let priority = priority_of(self.role, candidate, peer);
        if total >= self.config.limits.pairs {
            let lowest = state.list.pairs().last().map_or(0, |pair| pair.priority);
            if lowest >= priority || !state.list.drop_lowest() {
                let stream = MediaStream(stream);
                self.event(AgentEvent::LimitReached { stream, limit: AgentLimit::Pairs });
                return None;
            }
        }
        let foundation = (candidate.foundation, peer.foundation);
        let component = candidate.candidate.component;
        Some(state.list.add(component, (local, remote), priority, foundation))
    }

    pub(super) fn name_resolved(
        &mut self,
        question: QuestionId,
        addresses: &[std::net::IpAddr],
        now: Instant,
    ) {
        let Some((stream, candidate)) = self.names.remove(&question) else { return };
        let CandidateAddress::Name(_, port) = candidate.address else { return };
        // One address only (RFC 8839 section 5.1): the first that one of ours can speak to, else the first.
        let usable = |ip: &&std::net::IpAddr| {
            self.locals.iter().any(|local| local.stream == stream && local.address.is_ipv4() == ip.is_ipv4())
        };
        let Some(ip) = addresses.iter().find(usable).or_else(|| addresses.first()) else { return };
        let address = CandidateAddress::Ip(SocketAddr::new(*ip, port));
        let limit = self.config.limits.remote_candidates;
        if self.streams.get(&stream).is_some_and(|state| state.remotes.len() < limit) {
            self.remote_candidate(stream, Candidate { address, ..candidate }, now);
        }
    }
}

pub(super) fn priority_of(role: Role, local: &Local, remote: &Remote) -> u64 {
    match role {
        Role::Controlling => pair_priority(local.candidate.priority, remote.candidate.priority),
        Role::Controlled => pair_priority(remote.candidate.priority, local.candidate.priority),
    }
}

/// Whether packets from one address can reach the other at all.
pub(super) fn can_reach(local: SocketAddr, remote: SocketAddr) -> bool {
    match (local, remote) {
        (SocketAddr::V4(local), SocketAddr::V4(remote)) => {
            local.ip().is_loopback() == remote.ip().is_loopback() && !remote.ip().is_unspecified()
        }
        (SocketAddr::V6(local), SocketAddr::V6(remote)) => {
            local.ip().is_loopback() == remote.ip().is_loopback()
                && local.ip().is_unicast_link_local() == remote.ip().is_unicast_link_local()
                && !remote.ip().is_unspecified()
        }
        _ => false,
    }
}
