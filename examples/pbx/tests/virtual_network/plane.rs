//! The media plane on the virtual network: what the media driver does with sockets, done with the network's.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use denwa::Seed;
use denwa::bridge::{
    Action, BridgeConfig, Command, Component, Event, Input, LegId, MediaBridge, Output, Path,
};
use denwa_sim::{Protocol, Transmit};

pub(crate) struct Plane {
    bridge: MediaBridge,
    sockets: BTreeMap<SocketAddr, LegId>,
    legs: BTreeMap<LegId, (SocketAddr, SocketAddr)>,
}

impl Plane {
    pub(crate) fn new(seed: [u8; 32], now: Instant) -> Self {
        let bridge =
            MediaBridge::new(BridgeConfig::new(Duration::from_secs(1_800_000_000), now), Seed(seed), now);
        Self { bridge, sockets: BTreeMap::new(), legs: BTreeMap::new() }
    }

    pub(crate) fn owns(&self, local: SocketAddr) -> bool {
        self.sockets.contains_key(&local)
    }

    pub(crate) fn open_legs(&self) -> usize {
        self.legs.len()
    }

    pub(crate) fn command(&mut self, command: Command, now: Instant) {
        self.bridge.handle_command(command, now);
    }

    pub(crate) fn datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
        now: Instant,
        out: &mut VecDeque<denwa_sim::Output>,
    ) {
        let Some(leg) = self.sockets.get(&local).copied() else { return };
        let mut buffer = payload.to_vec();
        buffer.resize(payload.len() + 64, 0);
        let path = Path { source: remote, destination: Some(local) };
        if let Action::Forward(forward) = self.bridge.receive(leg, path, &mut buffer, payload.len(), now) {
            let bytes = forward.bytes.to_vec();
            for to in std::iter::once(forward.destination).chain(forward.also) {
                send(&self.legs, forward.leg, to, &bytes, out);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut VecDeque<denwa_sim::Output>) {
        self.bridge.handle_timeout(now);
        let mut buffer = [0; 2048];
        while let Some(frame) = self.bridge.next_frame(&mut buffer, now) {
            for to in std::iter::once(frame.destination).chain(frame.also) {
                send(&self.legs, frame.leg, to, &buffer[..frame.length], out);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.bridge.poll_timeout()
    }

    /// Does what the bridge wants done, and gives what it tells.
    pub(crate) fn drain(&mut self, now: Instant, out: &mut VecDeque<denwa_sim::Output>) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(output) = self.bridge.poll_output() {
            match output {
                Output::Bind { leg, rtp, rtcp } => {
                    for local in [rtp, rtcp] {
                        self.sockets.insert(local, leg);
                        out.push_back(denwa_sim::Output::Bind { protocol: Protocol::Udp, local });
                    }
                    self.legs.insert(leg, (rtp, rtcp));
                    self.bridge.handle_input(Input::Bound { leg, rtp, rtcp }, now);
                }
                Output::Unbind { leg } => {
                    let Some((rtp, rtcp)) = self.legs.remove(&leg) else { continue };
                    for local in [rtp, rtcp] {
                        self.sockets.remove(&local);
                        out.push_back(denwa_sim::Output::Unbind { protocol: Protocol::Udp, local });
                    }
                }
                Output::Transmit(transmit) => {
                    let Some((rtp, rtcp)) = self.legs.get(&transmit.leg) else { continue };
                    let source = if transmit.component == Component::Rtp { *rtp } else { *rtcp };
                    let datagram = Transmit::datagram(Some(source), transmit.destination, transmit.payload);
                    out.push_back(denwa_sim::Output::Transmit(datagram));
                }
                Output::Wire { .. } => {}
                Output::Event(event) => events.push(event),
            }
        }
        events
    }
}

fn send(
    legs: &BTreeMap<LegId, (SocketAddr, SocketAddr)>,
    leg: LegId,
    to: SocketAddr,
    bytes: &[u8],
    out: &mut VecDeque<denwa_sim::Output>,
) {
    if let Some((rtp, _)) = legs.get(&leg) {
        out.push_back(denwa_sim::Output::Transmit(Transmit::datagram(Some(*rtp), to, bytes.to_vec())));
    }
}
