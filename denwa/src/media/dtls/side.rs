//! A stream's side of DTLS: associations as descriptions want them, the peer's certificate checked, keys for SRTP.
//!
//! As the server an association is begun for each address that sends one, a few at a time, and the one whose certificate is the
//! peer's wins: a stranger who is first to say hello keeps nobody out (CVE-2023-51443 and its like). Each component has associations and
//! keys of its own when RTCP has a port of its own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Association, DtlsParameters, Established, Failure, Identity, check};
use crate::media::StreamKeys;
use crate::seed::Generator;
use bytes::Bytes;
use denwa_rtp::srtp::{Keying, from_dtls_exporter};
use denwa_sdp::DtlsRole;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

/// Where a datagram came from, or is to go: a component (1 or 2), and the peer's address unless whoever finds the path knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) struct Whence {
    pub(in crate::media) component: u16,
    pub(in crate::media) remote: Option<SocketAddr>,
}

/// What DTLS tells the stream.
#[derive(Debug)]
pub(in crate::media) enum DtlsNews {
    Transmit(Whence, Bytes),
    /// Of a component: the media's, or RTCP's on a port of its own.
    Keys {
        component: u16,
        keys: Box<StreamKeys>,
        suite: &'static str,
    },
    Failed(Failure),
}

pub(in crate::media) struct DtlsSide {
    identity: Identity,
    random: Generator,
    parameters: Option<DtlsParameters>,
    associations: Vec<Entry>,
    /// Messages of the peer that came before its description.
    early: Vec<(Whence, Bytes)>,
    failed: bool,
    news: VecDeque<DtlsNews>,
}

struct Entry {
    whence: Whence,
    association: Box<dyn Association>,
    /// The peer has shown the certificate its description names.
    verified: bool,
}

/// Handshakes at a time for each component.
const AT_A_TIME: usize = 4;

/// Datagrams that are kept until the description comes.
const EARLY: usize = 8;

impl DtlsSide {
    pub(in crate::media) fn new(identity: Identity, seed: [u8; 32]) -> Self {
        Self {
            identity,
            random: Generator::new(crate::Seed(seed)),
            parameters: None,
            associations: Vec::new(),
            early: Vec::new(),
            failed: false,
            news: VecDeque::new(),
        }
    }

    /// Goes by what was agreed: an association that fits goes on, another ends and one begins anew.
    pub(in crate::media) fn configure(&mut self, parameters: Option<&DtlsParameters>, now: Instant) {
        if self.parameters.as_ref() == parameters {
            return;
        }
        for entry in &mut self.associations {
            entry.association.close(now);
        }
        self.flush();
        self.associations.clear();
        self.failed = false;
        self.parameters = parameters.cloned();
        for (whence, datagram) in std::mem::take(&mut self.early) {
            self.receive(&datagram, whence, now);
        }
    }

    pub(in crate::media) fn is_wanted(&self) -> bool {
        self.parameters.is_some()
    }

    /// A way to the peer is there: the client begins.
    pub(in crate::media) fn path_found(&mut self, whence: Whence, now: Instant) {
        let is_client = self.parameters.as_ref().is_some_and(|it| it.role == DtlsRole::Client);
        let mut of_component =
            self.associations.iter_mut().filter(|it| it.whence.component == whence.component);
        if is_client && let Some(entry) = of_component.next() {
            entry.whence = whence;
        } else if is_client && !self.failed {
            self.begin(whence, now);
        }
    }

    fn begin(&mut self, whence: Whence, now: Instant) {
        let Some(parameters) = &self.parameters else { return };
        match self.identity.begin(parameters.role, self.random.bytes(), now) {
            Ok(association) => {
                self.associations.push(Entry { whence, association, verified: false });
                self.flush();
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Takes a datagram of DTLS.
    pub(in crate::media) fn receive(&mut self, datagram: &[u8], whence: Whence, now: Instant) {
        let Some(parameters) = &self.parameters else {
            if self.early.len() < EARLY {
                self.early.push((whence, Bytes::copy_from_slice(datagram)));
            }
            return;
        };
        let is_server = parameters.role == DtlsRole::Server;
        let of_component = |entry: &Entry| entry.whence.component == whence.component;
        let place = match self
            .associations
            .iter()
            .position(|it| of_component(it) && (it.whence == whence || !is_server))
        {
            Some(place) => place,
            None if is_server => {
                // Once the peer is known, nobody else gets a hearing; before that, a few do.
                let others = self.associations.iter().filter(|entry| of_component(entry));
                let (count, known) = others.fold((0, false), |(count, known), it| {
                    (usize::saturating_add(count, 1), known || it.verified)
                });
                if known || count >= AT_A_TIME {
                    return;
                }
                self.begin(whence, now);
                match self.associations.iter().position(|entry| entry.whence == whence) {
                    Some(place) => place,
                    None => return,
                }
            }
            None => return,
        };
        let Some(entry) = self.associations.get_mut(place) else { return };
        let taken = entry.association.receive(datagram, now);
        self.flush();
        match taken {
            Ok(()) => self.look_at(place, now),
            Err(failure) => self.lose(place, failure),
        }
    }

    /// Sees whether an association has come to something.
    fn look_at(&mut self, place: usize, now: Instant) {
        let Some(parameters) = &self.parameters else { return };
        let Some(entry) = self.associations.get_mut(place).filter(|entry| !entry.verified) else { return };
        let Some(established) = entry.association.established() else { return };
        if let Err(failure) = check(&established.certificate, &parameters.fingerprints) {
            entry.association.close(now);
            self.flush();
            self.lose(place, failure);
            return;
        }
        entry.verified = true;
        let whence = entry.whence;
        match keys(&established, parameters.role) {
            Some(keys) => {
                let suite = established.suite.sdes_name();
                let keys = Box::new(keys);
                self.news.push_back(DtlsNews::Keys { component: whence.component, keys, suite });
            }
            None => self.fail(Failure::NoCommonSuite),
        }
        self.associations.retain(|it| it.verified || it.whence.component != whence.component);
    }

    /// An association is at its end. One of a stranger is nobody's loss while the peer may still come.
    fn lose(&mut self, place: usize, failure: Failure) {
        if place >= self.associations.len() {
            return;
        }
        let entry = self.associations.swap_remove(place);
        let is_server = self.parameters.as_ref().is_some_and(|it| it.role == DtlsRole::Server);
        let stranger = is_server && entry.whence.remote.is_some() && !entry.verified;
        // Those of RTCP have no say: the media's keys are those of the first component.
        let others = self.associations.iter().any(|other| other.whence.component == 1);
        if entry.whence.component == 1 && (!stranger || !others) {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: Failure) {
        // A server keeps listening: the right one may still come.
        self.failed = true;
        self.news.push_back(DtlsNews::Failed(failure));
    }

    fn flush(&mut self) {
        for entry in &mut self.associations {
            while let Some(payload) = entry.association.poll_transmit() {
                self.news.push_back(DtlsNews::Transmit(entry.whence, payload));
            }
        }
    }

    pub(in crate::media) fn handle_timeout(&mut self, now: Instant) {
        let due = |entry: &Entry| entry.association.poll_timeout().is_some_and(|at| at <= now);
        for place in (0..self.associations.len()).rev() {
            let Some(entry) = self.associations.get_mut(place).filter(|entry| due(entry)) else { continue };
            let done = entry.association.handle_timeout(now);
            self.flush();
            if let Err(failure) = done {
                self.lose(place, failure);
            }
        }
    }

    pub(in crate::media) fn poll_timeout(&self) -> Option<Instant> {
        self.associations.iter().filter_map(|entry| entry.association.poll_timeout()).min()
    }

    pub(in crate::media) fn close(&mut self, now: Instant) {
        for entry in &mut self.associations {
            entry.association.close(now);
        }
        self.flush();
        self.associations.clear();
    }

    pub(in crate::media) fn poll(&mut self) -> Option<DtlsNews> {
        self.news.pop_front()
    }
}

fn keys(established: &Established, role: DtlsRole) -> Option<StreamKeys> {
    let (client, server) = from_dtls_exporter(established.suite, &established.material).ok()?;
    let (ours, theirs) = if role == DtlsRole::Client { (client, server) } else { (server, client) };
    Some(StreamKeys { outbound: Keying::new(ours), inbound: Keying::new(theirs) })
}

impl fmt::Debug for DtlsSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsSide")
            .field("parameters", &self.parameters)
            .field("associations", &self.associations.len())
            .finish_non_exhaustive()
    }
}
