//! Do the neighbours live? Each is asked by OPTIONS now and then, and the log hears when the answer changes.
//!
//! The question has a second use: its answer tells under which address the neighbour sees us (`received` in our own Via),
//! which is what he is told from then on. In a VPN that renames hosts no packet of voice would find us otherwise.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use denwa_sip_core::Method;
use denwa_sip_core::endpoint::{Outcome, OutgoingHandle, Party, SendRequest, Target};
use denwa_sip_core::message::UriBuf;

use super::Event;
use super::desk::Desk;
use super::facts;

/// How often a neighbour is asked.
const AGAIN: Duration = Duration::from_secs(60);

/// How soon the first question is asked, and asked again when the way to the neighbour was not known yet.
const SOON: Duration = Duration::from_secs(1);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Supervision {
    next: Option<Instant>,
    asked: BTreeMap<OutgoingHandle, String>,
    /// What each neighbour's last answer was.
    alive: BTreeMap<String, bool>,
}

impl Supervision {
    pub(super) fn new(desk: &Desk) -> Self {
        let any = desk.links.iter().any(|link| link.is_supervised());
        Self { next: any.then_some(desk.now), asked: BTreeMap::new(), alive: BTreeMap::new() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// The neighbours have changed: those that are new are asked soon.
    pub(super) fn reload(&mut self, desk: &Desk) {
        self.alive.retain(|name, _| desk.links.get(name).is_some_and(|link| link.is_supervised()));
        self.next = desk.links.iter().any(|link| link.is_supervised()).then_some(desk.now);
    }

    /// Whether a neighbour answered last time; `None` when it was not asked yet.
    pub(super) fn answers(&self, trunk: &str) -> Option<bool> {
        self.alive.get(trunk).copied()
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk) {
        if self.next.is_none_or(|next| next > desk.now) {
            return;
        }
        let mut wait = AGAIN;
        let supervised: Vec<_> = desk.links.iter().filter(|link| link.is_supervised()).cloned().collect();
        for link in supervised {
            let name = &link.trunk.name;
            if self.asked.values().any(|asked| asked == name) {
                continue;
            }
            let place = link.destination().and_then(|peer| Some((peer, desk.place_of(peer.ip())?.ok()?)));
            let Some((peer, place)) = place else {
                // Its name or the way to it is being looked up.
                wait = SOON;
                continue;
            };
            let protocol = link.trunk.address.protocol;
            let to = UriBuf::at_address("", peer);
            let identity = desk.identity("", &place, protocol, None);
            let host = identity.advertised.as_ref().map(|told| told.host.to_string()).unwrap_or_default();
            let from = Party::new(UriBuf::sip("ping", host).build());
            let mut request =
                SendRequest::new(Method::Options, from, Party::new(to), Target::address(protocol, peer));
            request.local = identity;
            if let Ok(handle) = desk.endpoint.send_request(request, desk.now) {
                self.asked.insert(handle, name.clone());
            }
        }
        self.next = desk.now.checked_add(wait);
    }

    /// A request of ours has ended; `true` when it was one of these.
    pub(super) fn completed(
        &mut self,
        desk: &mut Desk,
        outgoing: OutgoingHandle,
        outcome: &Outcome,
        round_trip: Option<Duration>,
    ) -> bool {
        let Some(trunk) = self.asked.remove(&outgoing) else { return false };
        let dead = match outcome {
            Outcome::Failed(reason) => Some(
                facts::unreachable(*reason).unwrap_or_else(|| "nothing replied to an OPTIONS".to_owned()),
            ),
            // Any status is a sign of life.
            _ => None,
        };
        let before = self.alive.insert(trunk.clone(), dead.is_none());
        match dead {
            Some(cause) if before != Some(false) => desk.tell(Event::TrunkSilent { trunk, cause }),
            None if before != Some(true) => {
                desk.tell(Event::TrunkAnswers { trunk, round_trip: round_trip.unwrap_or_default() });
            }
            _ => {}
        }
        true
    }
}
