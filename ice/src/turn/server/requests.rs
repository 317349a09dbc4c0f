//! The requests a server does for its users: Allocate, Refresh, CreatePermission, ChannelBind (RFC 8656 sections 7 to 12).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::allocation::{Allocation, PeerRefusal};
use super::authentication::{Authenticated, Verdict};
use super::ports::Wanted;
use super::{
    AllocationEnd, AllocationId, ClientPath, RESERVATION_LIFETIME, Refusal, Reservation, Server, ServerEvent,
    ServerLimit, ServerOutput, Signer, quota_address,
};
use crate::io::Protocol;
use crate::stun::attribute::{
    AdditionalAddressFamily, AddressErrorCode, AlternateServer, ChannelNumber, EvenPort, Family, Lifetime,
    Nonce, PasswordAlgorithms, Realm, RequestedAddressFamily, RequestedTransport, ReservationToken, Software,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use crate::stun::error_code::ErrorCode;
use crate::stun::{AttributeKind, Class, Message, Method, TransactionId, Writer};
use crate::turn::OLD_CHANNELS;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Room for any answer.
const ANSWER_BYTES: usize = 1500;
/// How many ports are tried when other programs hold them.
const PORT_TRIES: u32 = 5;

/// An allocation that waits for its ports.
#[derive(Debug)]
pub(super) struct Opening {
    path: ClientPath,
    made_by: TransactionId,
    who: Authenticated,
    lifetime: Duration,
    wanted: Wanted,
    /// Ports that are open already.
    open: Vec<SocketAddr>,
    /// Families that are still to be opened.
    rest: Vec<Family>,
    /// A family that could not be given.
    missing: Option<Family>,
    tries: u32,
}

/// A refusal: what the client is told, and which rule it was.
struct No(ErrorCode, Refusal);

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

    // ---- Allocate ----

    fn allocate(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        who: &Authenticated,
        now: Instant,
    ) -> Result<(), No> {
        if let Some(allocation) = self.by_path.get(path).and_then(|number| self.allocations.get(number)) {
            if allocation.made_by == message.id() {
                let answer = allocation.answer.clone();
                self.transmit(path, answer);
                return Ok(());
            }
            return Err(ErrorCode::ALLOCATION_MISMATCH.into());
        }
        if self.opening.values().any(|opening| opening.path == *path) {
            return Ok(()); // the answer is on its way
        }
        match message.get::<RequestedTransport>() {
            Ok(Some(RequestedTransport::UDP)) => {}
            Ok(Some(_)) => return Err(ErrorCode::UNSUPPORTED_TRANSPORT.into()),
            _ => return Err(ErrorCode::BAD_REQUEST.into()),
        }
        if let Some(alternate) = self.config.alternate {
            let signer = Signer::from(who);
            let answer = self.write(message, Class::Error, Some(&signer), |writer| {
                writer.error(ErrorCode::TRY_ALTERNATE);
                writer.put(&AlternateServer(alternate));
            });
            self.transmit(path, answer);
            return Ok(());
        }
        self.check_quotas(path, who)?;
        let reserved = self.take_reservation(message)?;
        let (families, wanted) =
            if reserved.is_some() { (Vec::new(), Wanted::Any) } else { wanted(message)? };
        let first = families.first().copied();
        if first.is_some_and(|family| !self.ports.has_family(family)) {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED.into());
        }
        let opening = Opening {
            path: *path,
            made_by: message.id(),
            who: who.clone(),
            lifetime: self.lifetime(message)?,
            wanted,
            open: reserved.into_iter().collect(),
            rest: families,
            missing: None,
            tries: 0,
        };
        self.open_next(opening, now);
        Ok(())
    }

    fn check_quotas(&mut self, path: &ClientPath, who: &Authenticated) -> Result<(), No> {
        let limits = self.config.limits;
        let opening = self.opening.len();
        if self.allocations.len().saturating_add(opening) >= limits.allocations {
            self.event(ServerEvent::LimitReached(ServerLimit::Allocations));
            return Err(No(ErrorCode::INSUFFICIENT_CAPACITY, Refusal::Capacity));
        }
        if opening >= limits.waiting {
            self.event(ServerEvent::LimitReached(ServerLimit::Waiting));
            return Err(No(ErrorCode::INSUFFICIENT_CAPACITY, Refusal::Capacity));
        }
        let waiting = |by: &dyn Fn(&Opening) -> bool| self.opening.values().filter(|it| by(it)).count();
        let of_user = self.per_user.get(&who.user).copied().unwrap_or(0);
        if of_user.saturating_add(waiting(&|it| it.who.user == who.user)) >= limits.per_user {
            return Err(No(ErrorCode::ALLOCATION_QUOTA_REACHED, Refusal::UserQuota));
        }
        let address = quota_address(path.remote.ip());
        let of_address = self.per_address.get(&address).copied().unwrap_or(0);
        let waiting = waiting(&|it| quota_address(it.path.remote.ip()) == address);
        if of_address.saturating_add(waiting) >= limits.per_address {
            return Err(No(ErrorCode::ALLOCATION_QUOTA_REACHED, Refusal::AddressQuota));
        }
        Ok(())
    }

    fn lifetime(&self, message: &Message<'_>) -> Result<Duration, No> {
        let asked = message.get::<Lifetime>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let asked = asked.map_or(self.config.default_lifetime, |lifetime| lifetime.0);
        // Never less than what everybody gets (RFC 8656 section 7.2), unless it is nothing at all.
        if asked.is_zero() {
            return Ok(asked);
        }
        Ok(asked.clamp(
            self.config.default_lifetime,
            self.config.longest_lifetime.max(self.config.default_lifetime),
        ))
    }

    fn take_reservation(&mut self, message: &Message<'_>) -> Result<Option<SocketAddr>, No> {
        let Some(token) = message.get::<ReservationToken>().map_err(|_| ErrorCode::BAD_REQUEST)? else {
            return Ok(None);
        };
        let contradicts = [
            AttributeKind::EVEN_PORT,
            AttributeKind::REQUESTED_ADDRESS_FAMILY,
            AttributeKind::ADDITIONAL_ADDRESS_FAMILY,
        ];
        if contradicts.iter().any(|kind| message.has(*kind)) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let place = self.reservations.iter().position(|kept| kept.token == token.0);
        let Some(place) = place else { return Err(ErrorCode::INSUFFICIENT_CAPACITY.into()) };
        Ok(Some(self.reservations.swap_remove(place).address))
    }

    /// Opens the next port that an allocation needs, or makes the allocation.
    fn open_next(&mut self, mut opening: Opening, now: Instant) {
        let Some(family) = opening.rest.first().copied() else { return self.make(opening, now) };
        match self.ports.take(family, opening.wanted, &mut self.generator) {
            Some(address) => {
                self.opening.insert(address, opening);
                self.outputs.push_back(ServerOutput::OpenPort { address });
            }
            None if !opening.open.is_empty() => {
                // The other family is there: that will do (RFC 8656 section 7.2).
                opening.missing = Some(family);
                opening.rest.remove(0);
                self.open_next(opening, now);
            }
            None => {
                self.event(ServerEvent::LimitReached(ServerLimit::Ports));
                self.fail(&opening, ErrorCode::INSUFFICIENT_CAPACITY);
            }
        }
    }

    pub(super) fn port_opened(&mut self, address: SocketAddr, now: Instant) {
        // A reserved port is opened together with its neighbour.
        let Some(mut opening) = self.opening.remove(&address) else {
            return;
        };
        opening.open.push(address);
        opening.rest.remove(0);
        self.open_next(opening, now);
    }

    pub(super) fn port_failed(&mut self, address: SocketAddr, now: Instant) {
        if let Some(place) = self.reservations.iter().position(|kept| kept.address == address) {
            self.reservations.swap_remove(place);
            self.ports.give_back(address);
            return;
        }
        let Some(mut opening) = self.opening.remove(&address) else { return };
        opening.tries = opening.tries.saturating_add(1);
        if opening.wanted == Wanted::EvenWithNext {
            self.ports.give_back(neighbour(address));
        }
        if opening.tries < PORT_TRIES {
            self.open_next(opening, now);
            // Only now, so that the same port is not taken again at once. Another program holds it.
            self.ports.give_back(address);
        } else {
            self.ports.give_back(address);
            self.fail(&opening, ErrorCode::INSUFFICIENT_CAPACITY);
        }
    }

    /// All ports are open.
    fn make(&mut self, opening: Opening, now: Instant) {
        let Opening { path, made_by, who, lifetime, wanted, open, missing, .. } = opening;
        let lifetime = if lifetime.is_zero() { self.config.default_lifetime } else { lifetime };
        let token = (wanted == Wanted::EvenWithNext).then(|| self.reserve(&open, now)).flatten();
        let told: Vec<SocketAddr> = open.iter().map(|address| self.ports.told(*address)).collect();
        let signer = Signer::from(&who);
        let answer = self.write_to(Method::ALLOCATE, made_by, Class::Success, Some(&signer), |writer| {
            told.iter().for_each(|address| writer.put(&XorRelayedAddress(*address)));
            writer.put(&Lifetime(lifetime));
            if let Some(token) = token {
                writer.put(&ReservationToken(token));
            }
            writer.put(&XorMappedAddress(path.remote));
            if let Some(family) = missing {
                let code = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
                writer.put(&AddressErrorCode { family, code, phrase: code.phrase() });
            }
        });
        let number = self.next_allocation;
        self.next_allocation = self.next_allocation.wrapping_add(1);
        let expires_at = now.checked_add(lifetime).unwrap_or(now);
        for address in &open {
            self.by_relayed.insert(*address, number);
        }
        self.by_path.insert(path, number);
        self.expiries.insert((expires_at, number));
        let user = who.user.clone();
        let of_user = self.per_user.entry(user.clone()).or_default();
        *of_user = of_user.saturating_add(1);
        let of_address = self.per_address.entry(quota_address(path.remote.ip())).or_default();
        *of_address = of_address.saturating_add(1);
        let allocation =
            Allocation::new(path, (user.clone(), who.key), open, expires_at, (made_by, answer.clone()));
        self.allocations.insert(number, allocation);
        self.set_stream_busy(&path, true, now);
        let allocation = AllocationId(number);
        self.event(ServerEvent::AllocationMade { allocation, user, client: path.remote, relayed: told });
        self.transmit(&path, answer);
    }

    /// Keeps the next higher port under a token.
    fn reserve(&mut self, open: &[SocketAddr], now: Instant) -> Option<[u8; 8]> {
        let address = neighbour(*open.first()?);
        if self.reservations.len() >= self.config.limits.reservations {
            self.ports.give_back(address);
            self.event(ServerEvent::LimitReached(ServerLimit::Reservations));
            return None;
        }
        let token = self.generator.next_u64().to_be_bytes();
        let expires_at = now.checked_add(RESERVATION_LIFETIME).unwrap_or(now);
        self.reservations.push(Reservation { token, address, expires_at });
        self.outputs.push_back(ServerOutput::OpenPort { address });
        Some(token)
    }

    fn fail(&mut self, opening: &Opening, code: ErrorCode) {
        for address in &opening.open {
            self.close_port(*address);
        }
        let (client, user) = (opening.path.remote, opening.who.user.clone());
        self.event(ServerEvent::Refused { client, user, code, rule: Refusal::Capacity });
        let signer = Signer::from(&opening.who);
        let answer =
            self.write_to(Method::ALLOCATE, opening.made_by, Class::Error, Some(&signer), |writer| {
                writer.error(code);
            });
        self.transmit(&opening.path, answer);
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

    fn write(
        &self,
        message: &Message<'_>,
        class: Class,
        signer: Option<&Signer>,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Bytes {
        self.write_to(message.method(), message.id(), class, signer, body)
    }

    fn write_to(
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

/// Which families an Allocate request wants, and how the port must be.
fn wanted(message: &Message<'_>) -> Result<(Vec<Family>, Wanted), No> {
    let even = message.get::<EvenPort>().map_err(|_| ErrorCode::BAD_REQUEST)?;
    let family = message.get::<RequestedAddressFamily>().map_err(|_| ErrorCode::BAD_REQUEST)?;
    let additional = message.get::<AdditionalAddressFamily>().map_err(|_| ErrorCode::BAD_REQUEST)?;
    let wanted = match even {
        None => Wanted::Any,
        Some(EvenPort { reserve_next: false }) => Wanted::Even,
        Some(EvenPort { reserve_next: true }) => Wanted::EvenWithNext,
    };
    let families = match (family, additional) {
        (None, None) => vec![Family::V4],
        (Some(RequestedAddressFamily(family)), None) => {
            vec![family.ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?]
        }
        // Only IPv6 can be additional, and not to a pair of ports.
        (None, Some(AdditionalAddressFamily(Some(Family::V6)))) if wanted != Wanted::EvenWithNext => {
            vec![Family::V4, Family::V6]
        }
        _ => return Err(ErrorCode::BAD_REQUEST.into()),
    };
    Ok((families, wanted))
}

const fn neighbour(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(std::net::IpAddr::V4(*v4.ip()), v4.port() | 1),
        SocketAddr::V6(v6) => SocketAddr::new(std::net::IpAddr::V6(*v6.ip()), v6.port() | 1),
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
