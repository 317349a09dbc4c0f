//! The requests a server does for its users: Allocate, Refresh, CreatePermission, ChannelBind (RFC 8656 sections 7 to 12).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::allocation::PeerRefusal;
use super::authentication::{Authenticated, Verdict};
use super::{AllocationEnd, ClientPath, Refusal, Server, ServerEvent, Signer};
use crate::io::Protocol;
use crate::stun::attribute::{
    ChannelNumber, Family, Lifetime, Nonce, PasswordAlgorithms, Realm, RequestedAddressFamily, Software,
    XorPeerAddress,
};
use crate::stun::error_code::ErrorCode;
use crate::stun::{AttributeKind, Class, Message, Method, TransactionId, Writer};
use crate::turn::OLD_CHANNELS;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// Room for any answer.
const ANSWER_BYTES: usize = 1500;
/// A refusal: what the client is told, and which rule it was.
pub(super) struct No(pub(super) ErrorCode, pub(super) Refusal);

impl From<ErrorCode> for No {
    fn from(code: ErrorCode) -> Self {
        Self(code, Refusal::Protocol)
    }
}

impl Server {
    pub(super) fn handle_message(&mut self, message: &Message<'_>, path: &ClientPath, now: Instant) {
        if message.class() != Class::Request || message.fingerprint() == Some(false) {
            return;
        }
        match message.method() {
            Method::BINDING => self.handle_binding(message, path, now),
            Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND => {
                let verdict = self.authenticate(message, path, now);
                self.go_on(message, path, verdict, now);
            }
            // TCP allocations are not offered, and other methods are not known.
            _ => self.refuse_stranger(message, path, ErrorCode::BAD_REQUEST, now),
        }
    }

    /// After the sender is known, or known not to be.
    pub(super) fn go_on(&mut self, message: &Message<'_>, path: &ClientPath, verdict: Verdict, now: Instant) {
        let who = match verdict {
            Verdict::Waits => return,
            Verdict::Error(code) => return self.refuse_stranger(message, path, code, now),
            Verdict::Known(who) => who,
        };
        if message.unknown_required(is_known).next().is_some() {
            return self.refuse_unknown(message, path, is_known, now);
        }
        let outcome = match message.method() {
            Method::ALLOCATE => self.allocate(message, path, &who, now),
            Method::REFRESH => self.refresh(message, path, &who, now),
            Method::CREATE_PERMISSION => self.create_permission(message, path, &who, now),
            _ => self.channel_bind(message, path, &who, now),
        };
        if let Err(No(code, rule)) = outcome {
            let user = who.user.clone();
            self.event(ServerEvent::Refused { client: path.remote, user, code, rule });
            let answer =
                self.write(message, Class::Error, Some(&Signer::from(&who)), |writer| writer.error(code));
            self.transmit(path, answer);
        }
    }

    // ---- the other requests ----

    /// The allocation of a path, if it is this user's.
    fn own(&self, path: &ClientPath, who: &Authenticated) -> Result<u64, No> {
        let number = self.by_path.get(path).copied().ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let allocation = self.allocations.get(&number).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if allocation.user == who.user { Ok(number) } else { Err(ErrorCode::WRONG_CREDENTIALS.into()) }
    }

    fn refresh(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        who: &Authenticated,
        now: Instant,
    ) -> Result<(), No> {
        let number = self.own(path, who)?;
        let lifetime = self.lifetime(message)?;
        let family = message.get::<RequestedAddressFamily>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        if let Some(RequestedAddressFamily(family)) = family {
            let relayed = self.allocations.get(&number).map(|it| it.relayed.as_slice()).unwrap_or_default();
            if family.is_none_or(|family| !relayed.iter().any(|it| Family::of(*it) == family)) {
                return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH.into());
            }
        }
        if lifetime.is_zero() {
            self.end_allocation(number, AllocationEnd::Released);
        } else if let Some(allocation) = self.allocations.get_mut(&number) {
            self.expiries.remove(&(allocation.expires_at, number));
            allocation.expires_at = now.checked_add(lifetime).unwrap_or(now);
            self.expiries.insert((allocation.expires_at, number));
        }
        let signer = Signer::from(who);
        let answer =
            self.write(message, Class::Success, Some(&signer), |writer| writer.put(&Lifetime(lifetime)));
        self.transmit(path, answer);
        Ok(())
    }

    fn create_permission(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        who: &Authenticated,
        now: Instant,
    ) -> Result<(), No> {
        let number = self.own(path, who)?;
        let limit = self.config.limits.permissions;
        // All or nothing (RFC 8656 section 10.2): look at every peer before the first is let in.
        let mut peers = Vec::new();
        for peer in message.get_all::<XorPeerAddress>().take(limit.saturating_add(1)) {
            let XorPeerAddress(peer) = peer.ok_or(ErrorCode::BAD_REQUEST)?;
            self.check_peer(number, peer)?;
            peers.push(peer.ip());
        }
        if peers.is_empty() {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        if let Some(allocation) = self.allocations.get_mut(&number) {
            for peer in peers {
                allocation.permit(peer, limit, now).map_err(too_many)?;
            }
        }
        let answer = self.write(message, Class::Success, Some(&Signer::from(who)), |_| {});
        self.transmit(path, answer);
        Ok(())
    }

    fn channel_bind(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        who: &Authenticated,
        now: Instant,
    ) -> Result<(), No> {
        let number = self.own(path, who)?;
        let channel = message.get::<ChannelNumber>().ok().flatten().ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = message.get::<XorPeerAddress>().ok().flatten().ok_or(ErrorCode::BAD_REQUEST)?;
        if !OLD_CHANNELS.contains(&channel.0) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        self.check_peer(number, peer.0)?;
        if !self.config.peers.permits_port(peer.0) {
            return Err(No(ErrorCode::FORBIDDEN, Refusal::ForbiddenPeer(peer.0.ip())));
        }
        let limits = self.config.limits;
        if let Some(allocation) = self.allocations.get_mut(&number) {
            allocation.bind(channel.0, peer.0, limits.channels, now).map_err(too_many)?;
            allocation.permit(peer.0.ip(), limits.permissions, now).map_err(too_many)?;
        }
        let answer = self.write(message, Class::Success, Some(&Signer::from(who)), |_| {});
        self.transmit(path, answer);
        Ok(())
    }

    fn check_peer(&self, number: u64, peer: SocketAddr) -> Result<(), No> {
        let allocation = self.allocations.get(&number).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if allocation.relayed_for(peer).is_none() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH.into());
        }
        if !self.config.peers.permits(peer.ip()) {
            return Err(No(ErrorCode::FORBIDDEN, Refusal::ForbiddenPeer(peer.ip())));
        }
        Ok(())
    }

    // ---- answers ----

    /// Answers somebody who is not known, unless that would make a weapon of the server.
    fn refuse_stranger(&mut self, message: &Message<'_>, path: &ClientPath, code: ErrorCode, now: Instant) {
        let challenges = matches!(code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE);
        let nonce = self.nonces.make(path.remote, now);
        let realm = self.config.realm.clone();
        let answer = self.write(message, Class::Error, None, |writer| {
            writer.error(code);
            if challenges {
                writer.put(&Realm(&realm));
                writer.put(&Nonce(&nonce));
                writer.put(&PasswordAlgorithms::BOTH);
            }
        });
        if path.protocol.is_reliable()
            || self.strangers.may_answer(path.remote.ip(), message.bytes().len(), answer.len(), now)
        {
            self.transmit(path, answer);
        }
    }

    pub(super) fn refuse_unknown(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        known: impl Fn(AttributeKind) -> bool,
        now: Instant,
    ) {
        let answer = self.write(message, Class::Error, None, |writer| {
            writer.error(ErrorCode::UNKNOWN_ATTRIBUTE);
            writer.unknown_attributes(message.unknown_required(known).take(64));
        });
        if self.strangers.may_answer(path.remote.ip(), message.bytes().len(), answer.len(), now) {
            self.transmit(path, answer);
        }
    }

    pub(super) fn write(
        &self,
        message: &Message<'_>,
        class: Class,
        signer: Option<&Signer>,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Bytes {
        self.write_to(message.method(), message.id(), class, signer, body)
    }

    pub(super) fn write_to(
        &self,
        method: Method,
        id: TransactionId,
        class: Class,
        signer: Option<&Signer>,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Bytes {
        let mut buffer = [0; ANSWER_BYTES];
        let mut writer = Writer::new(&mut buffer, class, method, id);
        body(&mut writer);
        if let Some(signer) = signer {
            if let Some(software) = &self.config.software {
                writer.put(&Software(software));
            }
            if signer.sha256 { writer.integrity_sha256(&signer.key) } else { writer.integrity(&signer.key) }
        }
        // Only a realm or software name beyond all measure does not fit.
        let length = writer.finish().unwrap_or(0);
        Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())
    }
}

fn too_many(refusal: PeerRefusal) -> No {
    match refusal {
        PeerRefusal::Full => No(ErrorCode::INSUFFICIENT_CAPACITY, Refusal::TooManyPeers),
        PeerRefusal::Clash => ErrorCode::BAD_REQUEST.into(),
    }
}

/// The comprehension-required attributes that the requests of users may hold. DONT-FRAGMENT is not among them: a driver that
/// cannot set the bit must refuse it (RFC 8656 section 7.2).
fn is_known(kind: AttributeKind) -> bool {
    let unknown = [
        AttributeKind::DONT_FRAGMENT,
        AttributeKind::ACCESS_TOKEN,
        AttributeKind::CONNECTION_ID,
        AttributeKind::CHANGE_REQUEST,
        AttributeKind::RESPONSE_PORT,
        AttributeKind::PADDING,
    ];
    kind.name().is_some() && !unknown.contains(&kind)
}

impl ClientPath {
    /// A client on UDP.
    pub(super) const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, protocol: Protocol::Udp, stream: None }
    }
}
