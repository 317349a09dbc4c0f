//! What lies between a stream and its sockets when paths are found by ICE or keys come by DTLS: STUN, TURN, DTLS, RTP and
//! RTCP told apart on one port (RFC 7983), each given to whom it is for, and what leaves put on the way that was found.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::dtls::{DtlsNews, DtlsSide, Whence};
use super::ice::{IceNews, IceSide, Judged, Sent, Wire};
use super::{DtlsParameters, Event, IceConfig, Identity, StreamKeys, StreamParameters};
use crate::seed::Generator;
use bytes::Bytes;
use denwa_ice::agent::PairReport;
use denwa_ice::{Input, StreamId};
use denwa_rtp::classify::{Kind, classify};
use std::net::SocketAddr;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Carrier {
    ice: Option<IceSide>,
    dtls: Option<DtlsSide>,
    muxed: bool,
    /// Where the peer receives each component when there is no ICE.
    remotes: [Option<SocketAddr>; 2],
    /// DTLS of the peer's that came before its way was found good.
    early: Vec<(u16, SocketAddr, Bytes)>,
    keyed: bool,
    /// The way in use, in words, and the suite in use: for reports.
    pub(super) path: Option<String>,
    pub(super) suite: Option<&'static str>,
}

/// What the carrier tells the stream.
#[derive(Debug)]
pub(crate) enum News {
    Transmit {
        rtcp: bool,
        destination: SocketAddr,
        payload: Bytes,
    },
    Wire(Wire),
    /// A component reaches the peer by this address.
    Path {
        component: u16,
        remote: SocketAddr,
        relayed: bool,
    },
    Keys(Box<StreamKeys>),
    /// RTCP's, on a port of its own.
    ControlKeys(Box<StreamKeys>),
    Event(Event),
}

/// What became of a datagram.
pub(crate) enum Sorted {
    /// RTP or RTCP, at this place of the datagram.
    Packet {
        start: usize,
        length: usize,
        source: SocketAddr,
    },
    Taken,
    Useless,
}

/// Datagrams of DTLS that wait for their way to be found good.
const EARLY: usize = 8;

impl Carrier {
    /// `bound` are the sockets of RTP and, where it is not known yet that both share one, RTCP.
    pub(crate) fn new(
        ice: Option<&IceConfig>,
        identity: Option<Identity>,
        bound: (SocketAddr, Option<SocketAddr>),
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut random = Generator::new(crate::Seed(seed));
        Self {
            ice: ice.map(|config| IceSide::new(config, bound, &mut random, now)),
            dtls: identity.map(|identity| DtlsSide::new(identity, random.bytes())),
            muxed: bound.1.is_none(),
            remotes: [None, None],
            early: Vec::new(),
            keyed: false,
            path: None,
            suite: None,
        }
    }

    pub(super) fn ice(&self) -> Option<&IceSide> {
        self.ice.as_ref()
    }

    pub(super) fn ice_mut(&mut self) -> Option<&mut IceSide> {
        self.ice.as_mut()
    }

    /// Whether what was agreed can be carried.
    pub(crate) fn carries(&self, parameters: &StreamParameters) -> bool {
        (parameters.ice.is_none() || self.ice.is_some()) && (parameters.dtls.is_none() || self.dtls.is_some())
    }

    /// Goes by what was agreed.
    pub(crate) fn configure(&mut self, parameters: &StreamParameters, now: Instant) {
        self.muxed = parameters.rtcp_mux;
        if let Some(ice) = &mut self.ice {
            ice.configure(parameters.ice.as_ref(), parameters.rtcp_mux, now);
        }
        let remotes = [parameters.remote_rtp, parameters.remote_rtcp.filter(|_| !parameters.rtcp_mux)];
        let moved = std::mem::replace(&mut self.remotes, remotes) != remotes;
        if let Some(dtls) = &mut self.dtls {
            let wanted: Option<&DtlsParameters> = parameters.dtls.as_ref();
            dtls.configure(wanted, now);
            self.keyed &= wanted.is_some();
        }
        if !self.is_by_ice() && (moved || parameters.dtls.is_some()) {
            self.greet(now);
        }
        if !self.is_by_ice() {
            self.take_early(now);
        }
    }

    /// Without ICE the peer is where its description says.
    fn greet(&mut self, now: Instant) {
        let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.is_wanted()) else { return };
        for (component, remote) in [1, 2].into_iter().zip(self.remotes) {
            if remote.is_some() {
                dtls.path_found(Whence { component, remote }, now);
            }
        }
    }

    pub(super) fn is_by_ice(&self) -> bool {
        self.ice.as_ref().is_some_and(IceSide::is_in_use)
    }

    /// Tells what a datagram at a component's socket is.
    pub(crate) fn receive(
        &mut self,
        component: u16,
        source: SocketAddr,
        datagram: &mut [u8],
        now: Instant,
    ) -> Sorted {
        let kind = classify(datagram);
        let by_ice = self.is_by_ice();
        let sorted = match &mut self.ice {
            Some(ice) if by_ice || matches!(kind, Kind::Stun | Kind::TurnChannel) => {
                match ice.receive(component, source, datagram, now) {
                    Judged::Payload { start, length, remote, component, checked } => {
                        let payload = datagram.get(start..start.saturating_add(length)).unwrap_or_default();
                        let kind = classify(payload);
                        self.sort_payload(kind, payload, (start, length), (component, remote, checked), now)
                    }
                    Judged::Taken => Sorted::Taken,
                    Judged::Useless => Sorted::Useless,
                }
            }
            _ => {
                let length = datagram.len();
                self.sort_payload(kind, datagram, (0, length), (component, source, true), now)
            }
        };
        self.after(now);
        sorted
    }

    fn sort_payload(
        &mut self,
        kind: Kind,
        payload: &[u8],
        (start, length): (usize, usize),
        (component, remote, checked): (u16, SocketAddr, bool),
        now: Instant,
    ) -> Sorted {
        match kind {
            // Who has the keys is the peer, whatever way was taken; in the clear the way has to vouch.
            Kind::Rtp | Kind::Rtcp if checked || self.keyed => {
                Sorted::Packet { start, length, source: remote }
            }
            Kind::Dtls if !checked || self.awaits_description() => {
                if self.early.len() < EARLY {
                    self.early.push((component, remote, Bytes::copy_from_slice(payload)));
                }
                Sorted::Taken
            }
            Kind::Dtls => self.take_dtls(component, remote, payload, now),
            _ => Sorted::Useless,
        }
    }

    /// The peer may be ahead of its answer: whether it comes by ICE, and which association its hello belongs to, is told by that.
    fn awaits_description(&self) -> bool {
        self.ice.is_some() && self.dtls.as_ref().is_some_and(|dtls| !dtls.is_wanted())
    }

    fn take_dtls(&mut self, component: u16, remote: SocketAddr, payload: &[u8], now: Instant) -> Sorted {
        let by_ice = self.is_by_ice();
        let Some(dtls) = &mut self.dtls else { return Sorted::Useless };
        dtls.receive(payload, Whence { component, remote: (!by_ice).then_some(remote) }, now);
        Sorted::Taken
    }

    /// Bytes of a stream (TURN over TCP or TLS, candidates on TCP) came; RTP and RTCP in them are given to `each`.
    pub(crate) fn receive_stream(
        &mut self,
        stream: StreamId,
        bytes: &mut [u8],
        now: Instant,
    ) -> Vec<(u16, SocketAddr, Vec<u8>)> {
        let mut packets = Vec::new();
        if let Some(ice) = &mut self.ice {
            ice.receive_stream(stream, bytes, now, |component, remote, payload| {
                packets.push((component, remote, payload.to_vec()));
            });
        }
        packets.retain(|(component, remote, payload)| {
            let is_dtls = classify(payload) == Kind::Dtls;
            if is_dtls {
                self.take_dtls(*component, *remote, payload, now);
            }
            !is_dtls
        });
        self.after(now);
        packets
    }

    pub(crate) fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.handle_input(input, now);
        }
        self.after(now);
    }

    /// DTLS that waited is looked at again whenever something has changed.
    fn after(&mut self, now: Instant) {
        if self.path.is_some() {
            self.take_early(now);
        }
    }

    fn take_early(&mut self, now: Instant) {
        for (component, remote, payload) in std::mem::take(&mut self.early) {
            self.take_dtls(component, remote, &payload, now);
        }
    }

    /// Puts a packet on its way: `destination` is where the session would send it. `None` when there is no way.
    #[inline]
    pub(super) fn wrap(
        &mut self,
        rtcp: bool,
        buffer: &mut [u8],
        length: usize,
        local: SocketAddr,
        destination: SocketAddr,
    ) -> Option<Sent> {
        match &mut self.ice {
            Some(ice) if ice.is_in_use() => ice.wrap(component(rtcp), buffer, length),
            _ => Some(Sent { source: local, destination, length, stream: None }),
        }
    }

    /// The same for a control datagram, which comes out as news.
    pub(super) fn send(&mut self, rtcp: bool, destination: SocketAddr, payload: Bytes) -> Option<News> {
        match &mut self.ice {
            Some(ice) if ice.is_in_use() => {
                ice.send(component(rtcp), &payload);
                None
            }
            _ => Some(News::Transmit { rtcp, destination, payload }),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(now);
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        self.after(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let ice = self.ice.as_ref().and_then(IceSide::poll_timeout);
        let dtls = self.dtls.as_ref().and_then(DtlsSide::poll_timeout);
        ice.into_iter().chain(dtls).min()
    }

    /// Says good-bye.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        if let Some(ice) = &mut self.ice {
            ice.close(now);
        }
    }

    /// What was tried, pair by pair.
    pub(crate) fn pairs(&self) -> Vec<PairReport> {
        self.ice.as_ref().map(IceSide::report).unwrap_or_default()
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<News> {
        loop {
            if let Some(news) = self.dtls.as_mut().and_then(DtlsSide::poll) {
                match self.translate_dtls(news) {
                    Some(news) => return Some(news),
                    None => continue,
                }
            }
            let news = self.ice.as_mut()?.poll()?;
            return Some(self.translate_ice(news, now));
        }
    }

    fn translate_dtls(&mut self, news: DtlsNews) -> Option<News> {
        Some(match news {
            DtlsNews::Transmit(whence, payload) => match (&mut self.ice, whence.remote) {
                (Some(ice), None) => {
                    ice.send(whence.component, &payload);
                    return None;
                }
                (_, Some(destination)) => {
                    News::Transmit { rtcp: whence.component == 2, destination, payload }
                }
                (None, None) => return None,
            },
            DtlsNews::Keys { component: 2, keys, .. } => News::ControlKeys(keys),
            DtlsNews::Keys { keys, suite, .. } => {
                self.keyed = true;
                self.suite = Some(suite);
                News::Keys(keys)
            }
            DtlsNews::Failed(reason) => News::Event(Event::NotEncrypted { reason }),
        })
    }

    fn translate_ice(&mut self, news: IceNews, now: Instant) -> News {
        match news {
            IceNews::Transmit { source, destination, payload } => {
                let rtcp = self.ice.as_ref().is_some_and(|ice| ice.is_base_of(source, 2));
                News::Transmit { rtcp, destination, payload }
            }
            IceNews::Wire(wire) => News::Wire(wire),
            IceNews::Gathered => News::Event(Event::Gathered),
            IceNews::Path { component, remote, words, relayed } => {
                if component == 1 {
                    self.path = Some(words);
                }
                if let Some(dtls) = &mut self.dtls {
                    dtls.path_found(Whence { component, remote: None }, now);
                }
                self.after(now);
                News::Path { component, remote, relayed }
            }
            IceNews::Failed(pairs) => News::Event(Event::PathFailed { pairs }),
            IceNews::Lost => {
                self.path = None;
                News::Event(Event::PathLost)
            }
        }
    }
}

const fn component(rtcp: bool) -> u16 {
    if rtcp { 2 } else { 1 }
}
