//! Which way a packet would leave: what the driver said of late, and what it was asked.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::LocateId;
use crate::{
    id::Id,
    io::{QueryId, RouteInfo},
    random::Random,
    transport::Hop,
};

/// Answers of the driver about routes. They are kept for a few seconds: interfaces come and go.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) known: HashMap<IpAddr, (Option<RouteInfo>, Instant), FixedState>,
    pub(super) open: HashMap<QueryId, Asked, FixedState>,
    pub(super) by_address: HashMap<IpAddr, QueryId, FixedState>,
    pub(super) next: u64,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) address: IpAddr,
    pub(super) since: Instant,
    pub(super) clients: Vec<Id>,
    pub(super) locates: Vec<(LocateId, Vec<Hop>)>,
}

/// How long a route is believed.
const ROUTE_LIFETIME: Duration = Duration::from_secs(5);
/// How many routes are kept.
const ROUTES: usize = 4096;

impl Routes {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            known: HashMap::with_hasher(random.hasher()),
            open: HashMap::with_hasher(random.hasher()),
            by_address: HashMap::with_hasher(random.hasher()),
            next: 0,
        }
    }

    pub(super) fn get(&self, address: IpAddr, now: Instant) -> Option<Option<RouteInfo>> {
        let (route, until) = self.known.get(&address)?;
        (*until > now).then(|| route.clone())
    }

    pub(super) fn learn(&mut self, address: IpAddr, route: Option<RouteInfo>, now: Instant) {
        if self.known.len() >= ROUTES {
            self.known.retain(|_, (_, until)| *until > now);
        }
        if self.known.len() < ROUTES {
            self.known.insert(address, (route, now + ROUTE_LIFETIME));
        }
    }
}
