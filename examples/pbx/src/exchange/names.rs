//! Where neighbours are that are written by their names: asked of the DNS now and then (RFC 3263), and told when that is
//! news.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use denwa_sip_core::endpoint::{LocateId, Located, ResolveFailure};

use super::Event;
use super::desk::Desk;
use crate::config::PeerAddress;
use crate::links::Place;

/// How often a name is looked up that was found.
const AGAIN: Duration = Duration::from_secs(60);

/// How soon all are looked up again when one was not found.
const SOON: Duration = Duration::from_secs(10);

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Names {
    asked: BTreeMap<LocateId, PeerAddress>,
    /// Those that were not found last time, as the file writes them.
    unknown: BTreeSet<String>,
    next: Option<Instant>,
}

impl Names {
    /// The neighbours are new or have changed.
    pub(super) fn reload(&mut self, desk: &Desk) {
        self.next = (!desk.links.names().is_empty()).then_some(desk.now);
        self.unknown.clear();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk) {
        if self.next.is_none_or(|at| at > desk.now) {
            return;
        }
        self.next = desk.now.checked_add(AGAIN);
        for address in desk.links.names() {
            // One that has not been answered yet is not asked for twice.
            if !self.asked.values().any(|asked| *asked == address) {
                let id = desk.endpoint.locate(&address.uri(), desk.now);
                self.asked.insert(id, address);
            }
        }
    }

    /// The DNS has answered. Tells whether neighbours are elsewhere now.
    pub(super) fn located(
        &mut self,
        desk: &mut Desk,
        id: LocateId,
        outcome: &Result<Located, ResolveFailure>,
    ) -> bool {
        let Some(address) = self.asked.remove(&id) else { return false };
        let name = address.to_string();
        match outcome {
            Ok(located) => {
                self.unknown.remove(&name);
                let place = |hop: &denwa_sip_core::transport::Hop| (hop.protocol, hop.remote);
                let places: Vec<Place> = located.hops.iter().map(place).collect();
                let news = desk.links.learn(&address, &places);
                if news {
                    let places = places
                        .iter()
                        .map(|(protocol, place)| format!("{} {place}", protocol.uri_token()))
                        .collect();
                    desk.tell(Event::TrunkFound { name, places });
                }
                news
            }
            Err(failure) => {
                self.next = self.next.min(desk.now.checked_add(SOON));
                if self.unknown.insert(name.clone()) {
                    desk.tell(Event::TrunkNotFound { name, cause: in_words(*failure) });
                }
                // A name that was taken away leads nowhere; servers of names that do not answer prove nothing.
                *failure == ResolveFailure::NotFound && desk.links.learn(&address, &[])
            }
        }
    }
}

fn in_words(failure: ResolveFailure) -> String {
    match failure {
        ResolveFailure::NotFound => "the DNS knows no server of it".to_owned(),
        ResolveFailure::DnsFailed => "no DNS server answered".to_owned(),
        ResolveFailure::UnsupportedTransport => {
            "`[sip] listen` has no transport that it is reached by".to_owned()
        }
        ResolveFailure::Overloaded => "too many names are being looked up".to_owned(),
        other => format!("{other:?}"),
    }
}
