//! Peers that have too much to do: `Retry-After` of a 503 (RFC 3261 §21.5.4), and overload control by loss in its simple form
//! (RFC 7339 §4, §5).
//!
//! What a peer asks for is remembered for as long as it says and for as many peers as there is room. A 503 alone never
//! stops requests to the only server there is: it puts that server behind the others.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::Transactions;
use crate::{
    header::{HeaderName, RetryAfter, Via},
    message::{Response, StatusCode},
    random::Random,
    transport::Hop,
};

/// What peers have asked for.
#[derive(Debug)]
pub(super) struct Overload {
    peers: HashMap<SocketAddr, Asked, FixedState>,
    /// What we ask of others: which share of their requests to hold back.
    own: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Until then the others come first.
    quiet_until: Instant,
    /// Percent of requests to hold back, and until when.
    loss: u8,
    loss_until: Instant,
}

/// How many peers are remembered.
const PEERS: usize = 4096;
/// No `Retry-After` counts for longer: who is away for an hour may be asked again all the same.
const LONGEST: Duration = Duration::from_secs(600);
/// What `oc-validity` is when it is not given (RFC 7339 §4.3), in milliseconds.
const VALIDITY: u32 = 500;

impl Overload {
    pub(super) fn new(random: &mut Random) -> Self {
        Self { peers: HashMap::with_hasher(random.hasher()), own: None }
    }

    /// What is to be told to peers that can be told.
    pub(super) const fn own(&self) -> Option<u8> {
        self.own
    }

    fn asked(&mut self, peer: SocketAddr, now: Instant) -> Option<&mut Asked> {
        if self.peers.len() >= PEERS && !self.peers.contains_key(&peer) {
            self.peers.retain(|_, asked| asked.quiet_until > now || asked.loss_until > now);
            if self.peers.len() >= PEERS {
                return None;
            }
        }
        Some(self.peers.entry(peer).or_insert(Asked { quiet_until: now, loss: 0, loss_until: now }))
    }

    fn is_quiet(&self, peer: SocketAddr, now: Instant) -> bool {
        self.peers.get(&peer).is_some_and(|asked| asked.quiet_until > now)
    }

    fn loss(&self, peer: SocketAddr, now: Instant) -> u8 {
        self.peers.get(&peer).filter(|asked| asked.loss_until > now).map_or(0, |asked| asked.loss)
    }
}

impl Transactions {
    /// Asks peers that understand RFC 7339 to hold back this share of their requests, in percent; `None` asks for nothing.
    /// It is told in every response from now on.
    pub fn set_overload(&mut self, percent: Option<u8>) {
        self.overload.own = percent.map(|percent| percent.min(100));
    }

    /// Notes what a response says about its sender's load.
    pub(super) fn note_load(&mut self, peer: SocketAddr, response: &Response) {
        let now = self.now;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE
            && let Ok(Some(retry)) = response.typed_as::<RetryAfter<'_>>(HeaderName::RetryAfter)
            && let Some(asked) = self.overload.asked(peer, now)
        {
            asked.quiet_until = now + Duration::from_secs(u64::from(retry.seconds)).min(LONGEST);
        }
        if !self.config.overload_control {
            return;
        }
        let Ok(via) = response.via() else { return };
        if let Some((loss, validity)) = told(&via)
            && let Some(asked) = self.overload.asked(peer, now)
        {
            asked.loss = loss;
            asked.loss_until = now + validity.min(LONGEST);
        }
    }

    /// Servers that asked for quiet come last, in the order they had.
    pub(super) fn quiet_ones_last(&self, hops: &mut [Hop]) {
        hops.sort_by_key(|hop| self.overload.is_quiet(hop.remote, self.now));
    }

    /// Whether the peer's wish makes this the request that is held back.
    pub(super) fn is_held_back(&mut self, peer: SocketAddr) -> bool {
        let loss = self.overload.loss(peer, self.now);
        loss > 0 && self.random.below(100) < u32::from(loss)
    }
}

/// `oc` and `oc-validity` of our own Via, as the peer filled them in. Zero validity ends what was asked (§4.3).
fn told(via: &Via<'_>) -> Option<(u8, Duration)> {
    let loss = via.params.number("oc")?;
    let validity = via.params.number("oc-validity").unwrap_or(VALIDITY);
    let loss = u8::try_from(loss).unwrap_or(100).min(100);
    Some((loss, Duration::from_millis(u64::from(validity))))
}
