//! Do the neighbours live? Each is asked by OPTIONS now and then, and the log hears when the answer changes.
//!
//! The question has a second use: its answer tells under which address the neighbour sees us (`received` in our own Via),
//! which is what he is told from then on. In a VPN that renames hosts no packet of voice would find us otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use denwa_sip_core::Method;
use denwa_sip_core::endpoint::{Outcome, OutgoingHandle, Party, SendRequest};
use denwa_sip_core::message::UriBuf;

use super::Event;
use super::desk::Desk;
use super::facts;
use super::planned::ways;

/// How soon the first question is asked, and asked again when the way to the neighbour was not known yet.
const SOON: Duration = Duration::from_secs(1);

/// How long an answer may take before its place counts as silent. One that comes later counts all the same.
const PATIENCE: Duration = Duration::from_secs(6);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Supervision {
    /// When each neighbour is asked next.
    next: BTreeMap<String, Instant>,
    asked: BTreeMap<OutgoingHandle, Question>,
    /// What each place's last answer was.
    alive: BTreeMap<(String, SocketAddr), bool>,
}

/// One that has not been answered.
#[derive(Debug)]
struct Question {
    trunk: String,
    peer: SocketAddr,
    /// When its place counts as silent; `None` once it does.
    until: Option<Instant>,
}

impl Supervision {
    pub(super) fn new(desk: &Desk) -> Self {
        let mut new = Self { next: BTreeMap::new(), asked: BTreeMap::new(), alive: BTreeMap::new() };
        new.reload(desk);
        new
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let until = self.asked.values().filter_map(|question| question.until);
        self.next.values().copied().chain(until).min()
    }

    /// The neighbours have changed: those that are new are asked soon.
    pub(super) fn reload(&mut self, desk: &Desk) {
        let is_supervised =
            |name: &str| desk.links.get(name).is_some_and(|link| link.trunk.supervise.is_some());
        self.alive.retain(|(name, _), _| is_supervised(name));
        let supervised = desk.links.iter().filter(|link| link.trunk.supervise.is_some());
        self.next = supervised.map(|link| (link.trunk.name.clone(), desk.now)).collect();
    }

    /// Whether a neighbour answered last time, at any of its places; `None` when it was not asked yet.
    pub(super) fn answers(&self, trunk: &str) -> Option<bool> {
        let of_it = self.alive.iter().filter(|((name, _), _)| name == trunk);
        of_it.map(|(_, alive)| *alive).reduce(|one, other| one || other)
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk) {
        let now = desk.now;
        let mut silent = Vec::new();
        for question in self.asked.values_mut() {
            if question.until.take_if(|until| *until <= now).is_some() {
                silent.push((question.trunk.clone(), question.peer));
            }
        }
        for (trunk, peer) in silent {
            let cause = format!("nothing replied to an OPTIONS within {} s", PATIENCE.as_secs());
            self.noted(desk, trunk, peer, Some(cause), None);
        }
        let due: Vec<String> =
            self.next.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            let again = desk.links.get(&name).and_then(|link| link.trunk.supervise);
            // Its name or the way to it is being looked up: soon again.
            let wait = if self.ask(desk, &name) { again } else { Some(SOON) };
            match wait.and_then(|wait| now.checked_add(wait)) {
                Some(at) => drop(self.next.insert(name, at)),
                None => drop(self.next.remove(&name)),
            }
        }
    }

    /// Asks a neighbour at each of its places; `false` when none of them could be asked yet.
    fn ask(&mut self, desk: &mut Desk, name: &str) -> bool {
        let ways = desk.links.get(name).map(|link| ways(desk, link, "")).unwrap_or_default();
        // One that registers with us may not have done so: there is nothing to ask.
        let mut asked =
            ways.is_empty() && desk.links.get(name).is_some_and(|link| link.trunk.servers.is_empty());
        for way in ways {
            if self.asked.values().any(|question| question.trunk == name && question.peer == way.peer) {
                asked = true;
                continue;
            }
            let Some(Ok(place)) = desk.place_of(way.peer.ip()) else { continue };
            let identity = desk.identity("", &place, way.protocol, way.flow);
            let host = identity.advertised.as_ref().map(|told| told.host.to_string()).unwrap_or_default();
            let from = Party::new(UriBuf::sip("ping", host).build());
            let mut request = SendRequest::new(Method::Options, from, Party::new(way.to), way.target);
            request.local = identity;
            request.routes = way.routes;
            if let Ok(handle) = desk.endpoint.send_request(request, desk.now) {
                let until = desk.now.checked_add(PATIENCE);
                self.asked.insert(handle, Question { trunk: name.to_owned(), peer: way.peer, until });
                asked = true;
            }
        }
        asked
    }

    /// A request of ours has ended; `true` when it was one of these.
    pub(super) fn completed(
        &mut self,
        desk: &mut Desk,
        outgoing: OutgoingHandle,
        outcome: &Outcome,
        round_trip: Option<Duration>,
    ) -> bool {
        let Some(Question { trunk, peer, .. }) = self.asked.remove(&outgoing) else { return false };
        let dead = match outcome {
            Outcome::Failed(reason) => Some(
                facts::unreachable(*reason).unwrap_or_else(|| "nothing replied to an OPTIONS".to_owned()),
            ),
            // Any status is a sign of life, but that of a server that says it is out of service.
            Outcome::Response(response) if response.status().code() == 503 => {
                Some("it answered an OPTIONS with 503".to_owned())
            }
            _ => None,
        };
        self.noted(desk, trunk, peer, dead, round_trip);
        true
    }

    /// A place has answered, or has not.
    fn noted(
        &mut self,
        desk: &mut Desk,
        trunk: String,
        peer: SocketAddr,
        dead: Option<String>,
        round_trip: Option<Duration>,
    ) {
        desk.links.answers(&trunk, peer, dead.is_none());
        let before = self.alive.insert((trunk.clone(), peer), dead.is_none());
        // Of several places it is said which.
        let is_one_of_many = desk.links.get(&trunk).is_some_and(|link| link.hops().len() > 1);
        let trunk = if is_one_of_many { format!("{trunk} at {peer}") } else { trunk };
        match dead {
            Some(cause) if before != Some(false) => desk.tell(Event::TrunkSilent { trunk, cause }),
            None if before != Some(true) => {
                desk.tell(Event::TrunkAnswers { trunk, round_trip: round_trip.unwrap_or_default() });
            }
            _ => {}
        }
    }
}
