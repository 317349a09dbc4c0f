//! What a TURN server answers, and what follows from it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::requests::Request;
use super::{Client, ClientEvent, EndReason, RequestFailure, State};
use crate::io::{Output, StreamId};
use crate::stun::attribute::{
    AlternateServer, ConnectionId, ErrorCodeAttribute, Icmp, Lifetime, ReservationToken, XorMappedAddress,
    XorPeerAddress, XorRelayedAddress,
};
use crate::stun::{AttributeKind, Class, ErrorCode, Message, Method};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

impl Client {
    /// A response or an indication that is not data. `via`: the stream it came by.
    pub(super) fn handle_message(&mut self, message: &Message<'_>, via: Option<StreamId>, now: Instant) {
        match message.class() {
            Class::Success | Class::Error => self.handle_response(message, via, now),
            Class::Indication => self.handle_indication(message, now),
            Class::Request => {} // nothing that a server may ask
        }
    }

    fn handle_response(&mut self, message: &Message<'_>, via: Option<StreamId>, now: Instant) {
        let Some(request) = self.transactions.get(message.id()) else { return };
        let expected = match request {
            Request::ConnectionBind { stream, .. } => Some(*stream),
            _ => self.stream,
        };
        if request.method() != message.method() || expected != via || message.fingerprint() == Some(false) {
            return;
        }
        let error = match message.class() {
            Class::Error => match message.get::<ErrorCodeAttribute<'_>>() {
                Ok(Some(error)) => Some(error.code),
                _ => return,
            },
            _ => None,
        };
        // Whoever cannot sign must not be believed, except when it says that it cannot (RFC 8489 section 9.2.5).
        let challenge = matches!(error, Some(ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE));
        let challenged = self.credentials.as_ref().is_some_and(crate::stun::LongTerm::is_challenged);
        if challenged && !challenge {
            let believed = self.credentials.as_ref().is_some_and(|it| it.verify(message).is_ok());
            // Servers leave out the signature when they refuse before they have looked at it; a lie costs the attacker a look
            // at the transaction number, and us no more than a failed request.
            let unsigned_refusal =
                error.is_some_and(|code| code != ErrorCode::BAD_REQUEST) && !message.has_integrity();
            if !believed && !unsigned_refusal {
                return;
            }
        }
        let Some(answered) = self.transactions.finish(message.id(), now) else { return };
        let unknown = message.unknown_required(is_known).next().is_some();
        match error {
            None if unknown => self.request_failed(answered.tag, RequestFailure::BadAnswer),
            None => self.request_done(answered.tag, message, now),
            Some(ErrorCode::UNAUTHENTICATED) => self.answer_challenge(answered.tag, message, false, now),
            Some(ErrorCode::STALE_NONCE) => self.answer_challenge(answered.tag, message, true, now),
            Some(ErrorCode::TRY_ALTERNATE) if answered.tag == Request::Allocate => {
                self.redirected(message, now)
            }
            Some(code) => self.request_failed(answered.tag, RequestFailure::Refused(code)),
        }
    }

    fn answer_challenge(&mut self, request: Request, message: &Message<'_>, stale: bool, now: Instant) {
        let refused = match &mut self.credentials {
            Some(credentials) => {
                let sent = credentials.is_challenged();
                credentials.challenge(message, stale, sent).is_err()
            }
            None => true,
        };
        if !refused {
            return self.request(request, now);
        }
        match request {
            Request::Allocate => self.end(EndReason::CredentialsRefused),
            _ => self.request_failed(request, RequestFailure::Refused(ErrorCode::UNAUTHENTICATED)),
        }
    }

    fn redirected(&mut self, message: &Message<'_>, now: Instant) {
        let Ok(Some(AlternateServer(alternate))) = message.get() else {
            return self.end(EndReason::BadAnswer);
        };
        if self.asked.contains(&alternate) || self.asked.len() > self.config.limits.redirects {
            return self.end(EndReason::TooManyRedirects);
        }
        self.asked.push(alternate);
        self.server = alternate;
        if let Some(stream) = self.stream.take() {
            self.outputs.push_back(Output::CloseStream { stream });
        }
        self.approach(now);
    }

    fn request_done(&mut self, request: Request, message: &Message<'_>, now: Instant) {
        match request {
            Request::Allocate => self.allocated(message, now),
            Request::Refresh { lifetime } if lifetime.is_zero() => self.end(EndReason::Released),
            Request::Refresh { .. } => match message.get::<Lifetime>() {
                Ok(Some(Lifetime(lifetime))) => self.keep_alive(lifetime, now),
                _ => self.keep_alive(self.config.lifetime, now),
            },
            Request::Permission { peer } => {
                if self.peers.permitted(peer, now) {
                    self.event(ClientEvent::Permitted { peer });
                }
            }
            Request::Channel { peer, .. } => {
                if self.peers.bound(peer, now) {
                    self.event(ClientEvent::ChannelBound { peer });
                }
            }
            Request::Connect { peer } => match message.get::<ConnectionId>() {
                Ok(Some(ConnectionId(connection))) => self.join(peer, connection),
                _ => self.request_failed(Request::Connect { peer }, RequestFailure::BadAnswer),
            },
            Request::ConnectionBind { peer, stream, .. } => {
                if self.joining.remove(&stream).is_some() {
                    self.joined.insert(stream, peer);
                    self.event(ClientEvent::PeerConnected { peer, stream });
                }
            }
        }
    }

    fn allocated(&mut self, message: &Message<'_>, now: Instant) {
        if self.state != State::Allocating {
            return;
        }
        let relayed: Vec<SocketAddr> =
            message.get_all::<XorRelayedAddress>().flatten().map(|it| it.0).take(2).collect();
        let lifetime = message.get::<Lifetime>();
        let (false, Ok(Some(Lifetime(lifetime)))) = (relayed.is_empty(), lifetime) else {
            return self.end(EndReason::BadAnswer);
        };
        self.state = State::Allocated;
        self.relayed.clone_from(&relayed);
        self.mapped = message.get::<XorMappedAddress>().ok().flatten().map(|it| it.0);
        self.keep_alive(lifetime, now);
        let reservation = message.get::<ReservationToken>().ok().flatten().map(|it| it.0);
        let (mapped, server) = (self.mapped, self.server);
        self.event(ClientEvent::Allocated { relayed, mapped, lifetime, reservation, server });
    }

    /// Arms the next refresh: a minute before the end, or half-way when the server is stingy.
    fn keep_alive(&mut self, lifetime: Duration, now: Instant) {
        let lifetime = lifetime.clamp(Duration::from_secs(2), Duration::from_secs(24 * 3600));
        let half = lifetime.checked_div(2).unwrap_or(lifetime);
        let early = lifetime.saturating_sub(Duration::from_secs(60)).max(half);
        self.refresh_at = now.checked_add(early);
        self.expires_at = now.checked_add(lifetime);
    }

    /// Opens a stream for a peer's connection (RFC 6062 section 4.3).
    fn join(&mut self, peer: SocketAddr, connection: u32) {
        let stream = self.new_stream();
        self.joining.insert(stream, (peer, connection, None));
        self.open_stream(stream);
    }

    fn handle_indication(&mut self, message: &Message<'_>, _now: Instant) {
        let Ok(Some(XorPeerAddress(peer))) = message.get() else { return };
        if !self.peers.knows(peer.ip()) {
            return;
        }
        match message.method() {
            Method::DATA => {
                if let Ok(Some(Icmp { kind, code, .. })) = message.get() {
                    self.event(ClientEvent::PeerUnreachable { peer, icmp: (kind, code) });
                }
            }
            Method::CONNECTION_ATTEMPT => {
                let busy = self.joining.len().saturating_add(self.joined.len());
                if let Ok(Some(ConnectionId(connection))) = message.get()
                    && self.state == State::Allocated
                    && busy < self.config.limits.peers
                {
                    self.join(peer, connection);
                }
            }
            _ => {}
        }
    }

    pub(super) fn request_failed(&mut self, request: Request, reason: RequestFailure) {
        match request {
            Request::Allocate => self.end(end_reason(reason)),
            Request::Refresh { lifetime } if lifetime.is_zero() => self.end(EndReason::Released),
            Request::Refresh { .. } => self.end(match reason {
                RequestFailure::Refused(ErrorCode::ALLOCATION_MISMATCH) => EndReason::Expired,
                other => end_reason(other),
            }),
            Request::Permission { peer } => {
                if self.peers.permission_refused(peer, reason) {
                    self.event(ClientEvent::PermissionRefused { peer, reason });
                }
            }
            Request::Channel { peer, .. } => {
                if self.peers.channel_refused(peer, reason) {
                    self.event(ClientEvent::ChannelRefused { peer, reason });
                }
            }
            Request::Connect { peer } => self.event(ClientEvent::PeerNotConnected { peer, reason }),
            Request::ConnectionBind { peer, stream, .. } => {
                if self.joining.remove(&stream).is_some() {
                    self.outputs.push_back(Output::CloseStream { stream });
                    self.event(ClientEvent::PeerNotConnected { peer, reason });
                }
            }
        }
    }
}

const fn end_reason(failure: RequestFailure) -> EndReason {
    match failure {
        RequestFailure::Refused(code) => EndReason::Refused(code),
        RequestFailure::NoAnswer => EndReason::NoAnswer,
        RequestFailure::StreamFailed => EndReason::StreamFailed,
        RequestFailure::BadAnswer => EndReason::BadAnswer,
    }
}

/// The comprehension-required attributes that a response may hold.
const fn is_known(kind: AttributeKind) -> bool {
    kind.name().is_some()
}
