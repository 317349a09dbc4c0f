//! Where the peers are that the file names: asked of the DNS by RFC 3263 (NAPTR, SRV, addresses), so that their calls are known
//! by the addresses they come from.
//!
//! What is asked anew is answered from memory for as long as the records say that they hold; so asking often is asking by their
//! time to live.

use super::Gateway;
use crate::config::{Place, Target as ConfigTarget};
use denwa_sip_core::endpoint::{LocateId, Located, ResolveFailure};
use denwa_sip_core::transport::Target;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A peer's name may lead elsewhere after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same while it leads nowhere.
const LOOK_SOON: Duration = Duration::from_secs(10);

/// What is known of them.
#[derive(Debug)]
pub(super) struct Names {
    /// The addresses that sides were found at.
    found: BTreeMap<usize, Vec<IpAddr>>,
    asked: BTreeMap<LocateId, usize>,
    asked_at: Instant,
}

impl Names {
    pub(super) fn new(now: Instant) -> Self {
        Self { found: BTreeMap::new(), asked: BTreeMap::new(), asked_at: now }
    }

    /// Whether the side was found there.
    pub(super) fn is_at(&self, side: usize, address: IpAddr) -> bool {
        self.found.get(&side).is_some_and(|own| own.contains(&address))
    }
}

impl Gateway {
    /// Asks where the peers are whose names the file has.
    pub(super) fn find_peers(&mut self, now: Instant) {
        self.names.asked_at = now;
        for index in 0..self.config.sides.len() {
            let Some(Place::Peer(ConfigTarget::Name { protocol, host, port })) =
                self.side(index).map(|side| &side.place)
            else {
                continue;
            };
            // One that has not been answered yet is not asked for twice.
            if let Target::Uri(uri) = super::admission::by_name(*protocol, host, *port)
                && !self.names.asked.values().any(|asked| *asked == index)
            {
                let id = self.endpoint.locate(&uri, now);
                self.names.asked.insert(id, index);
            }
        }
    }

    /// When they are asked for anew: now and then, and soon while one is not known.
    pub(super) fn look_for_peers_at(&self) -> Option<Instant> {
        let is_named = |index: &usize| {
            let place = self.side(*index).map(|side| &side.place);
            matches!(place, Some(Place::Peer(ConfigTarget::Name { .. }))) && !self.stopping
        };
        let unknown = |index: usize| self.names.found.get(&index).is_none_or(Vec::is_empty);
        let named = (0..self.config.sides.len()).filter(is_named);
        let waits = named.map(|index| if unknown(index) { LOOK_SOON } else { LOOK_AGAIN });
        self.names.asked_at.checked_add(waits.min()?)
    }

    /// The DNS has answered. Whoever was found once is known while it does not answer.
    pub(super) fn on_located(&mut self, id: LocateId, outcome: &Result<Located, ResolveFailure>) {
        let Some(index) = self.names.asked.remove(&id) else { return };
        let addresses: Vec<IpAddr> = match outcome {
            Ok(located) => {
                let mut addresses: Vec<IpAddr> = located.hops.iter().map(|hop| hop.remote.ip()).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses
            }
            Err(ResolveFailure::NotFound) => Vec::new(),
            Err(_) if self.names.found.contains_key(&index) => return,
            Err(_) => Vec::new(),
        };
        if self.names.found.get(&index) == Some(&addresses) {
            return;
        }
        if let Some(name) = self.side(index).map(|side| side.name.clone()) {
            let places: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            let places = if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") };
            self.line(format!("side {name}: its name leads to {places}"));
        }
        self.names.found.insert(index, addresses);
    }
}
