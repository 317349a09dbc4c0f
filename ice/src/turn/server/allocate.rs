//! Allocate: quotas, reservations, ports that are opened one after the other, and the allocation (RFC 8656 section 7).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::allocation::Allocation;
use super::authentication::Authenticated;
use super::ports::Wanted;
use super::requests::No;
use super::{
    AllocationId, ClientPath, RESERVATION_LIFETIME, Refusal, Reservation, Server, ServerEvent, ServerLimit,
    ServerOutput, Signer, quota_address,
};
use crate::stun::attribute::{
    AdditionalAddressFamily, AddressErrorCode, AlternateServer, EvenPort, Family, Lifetime,
    RequestedAddressFamily, RequestedTransport, ReservationToken, XorMappedAddress, XorRelayedAddress,
};
use crate::stun::error_code::ErrorCode;
use crate::stun::{AttributeKind, Class, Message, Method, TransactionId};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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

impl Server {
    pub(super) fn allocate(
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

    pub(super) fn lifetime(&self, message: &Message<'_>) -> Result<Duration, No> {
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
