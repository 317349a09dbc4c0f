//! Moving packets: from a host by its route over links to the next host, through boxes, to a machine.

use super::Network;
use super::driving::{LOOPBACK, Occurrence};
use crate::link::{Fate, LinkState, Oversize};
use crate::machine::{Protocol, Stimulus, UnreachableReason};
use crate::middlebox::{Passage, Verdict};
use crate::packet::{Body, Packet, Segment};
use crate::stream::{Effects, Key};
use crate::trace::Happening;
use std::net::SocketAddr;

/// The largest datagram UDP can carry, in bytes.
pub const LARGEST_DATAGRAM: usize = 65_507;

impl Network {
    /// A packet begins at `host`.
    pub(super) fn send(&mut self, host: usize, mut packet: Packet) {
        if self.hosts[host].owns(packet.destination.ip()) {
            let at = self.elapsed + LOOPBACK;
            self.queue.push(at, Occurrence::Arrival { host, interface: None, packet });
            return;
        }
        if self.pass_boxes(host, &mut packet, None, None) {
            self.forward(host, None, packet);
        }
    }

    /// A packet reaches `host`, which keeps it, passes it on, or drops it.
    pub(super) fn arrive(&mut self, host: usize, interface: Option<usize>, mut packet: Packet) {
        if interface.is_some_and(|it| !self.hosts[host].interfaces[it].connected) {
            return self.drop_packet(host, &packet, "the cable is out");
        }
        self.capture_packet(host, interface, &packet);
        if interface.is_some() && !self.pass_boxes(host, &mut packet, interface, None) {
            return;
        }
        if self.hosts[host].owns(packet.destination.ip()) {
            return self.deliver_packet(host, packet);
        }
        if !self.hosts[host].forwards {
            return self.drop_packet(host, &packet, "not for this host");
        }
        let Some(left) = packet.hops_left.checked_sub(1) else {
            return self.drop_packet(host, &packet, "too many hops");
        };
        packet.hops_left = left;
        self.forward(host, interface, packet);
    }

    /// Puts a packet on the link that its route says.
    fn forward(&mut self, host: usize, ingress: Option<usize>, mut packet: Packet) {
        let Some(way) = self.hosts[host].way(packet.destination.ip()) else {
            return self.refuse(host, &packet, "no route", UnreachableReason::Host);
        };
        if !self.pass_boxes(host, &mut packet, ingress, Some(way.interface)) {
            return;
        }
        self.capture_packet(host, Some(way.interface), &packet);
        let bytes = packet.wire_bytes();
        let now = self.elapsed;
        let segment = self.hosts[host].interfaces[way.interface].segment;
        let Some(&(next, next_interface)) = self.segments[segment.0].owners.get(&way.next_hop) else {
            // Nobody on a cable answers for this address; on the Internet some router would say so, or not.
            return self.drop_packet(host, &packet, "no such host");
        };
        let sender = &mut self.hosts[host].interfaces[way.interface];
        let mut arrivals = vec![now];
        let mut trouble = None;
        let lines = sender.up.as_mut().into_iter().chain(Some(&mut sender.carrier));
        for line in lines {
            cross(line, bytes, &mut arrivals, &mut trouble);
        }
        if let Some(line) = self.hosts[next].interfaces[next_interface].down.as_mut() {
            cross(line, bytes, &mut arrivals, &mut trouble);
        }
        match trouble {
            Some(Fate::TooBig(Oversize::Refuse)) => {
                return self.refuse(host, &packet, "too big for the link", UnreachableReason::TooBig);
            }
            Some(Fate::TooBig(_)) => return self.drop_packet(host, &packet, "too big for the link"),
            Some(Fate::QueueFull) => self.drop_packet(host, &packet, "queue full"),
            Some(Fate::Lost) => self.drop_packet(host, &packet, "lost on the way"),
            Some(Fate::Arrives(..)) | None => {}
        }
        for at in arrivals {
            let packet = packet.clone();
            self.queue.push(at, Occurrence::Arrival { host: next, interface: Some(next_interface), packet });
        }
    }

    /// Runs a packet through the boxes of a host; before routing when `egress` is `None`. Whether it goes on.
    fn pass_boxes(
        &mut self,
        host: usize,
        packet: &mut Packet,
        ingress: Option<usize>,
        egress: Option<usize>,
    ) -> bool {
        if self.hosts[host].middleboxes.is_empty() {
            return true;
        }
        let passage = Passage { ingress, egress, now: self.elapsed };
        let mut verdict = Verdict::Pass;
        for middlebox in &mut self.hosts[host].middleboxes {
            verdict = match egress {
                None => middlebox.before_routing(packet, passage),
                Some(_) => middlebox.after_routing(packet, passage),
            };
            if verdict != Verdict::Pass {
                break;
            }
        }
        match verdict {
            Verdict::Pass => true,
            Verdict::Drop(reason) => {
                self.drop_packet(host, packet, reason);
                false
            }
            Verdict::Reject(reason) => {
                self.refuse(host, packet, "rejected by a firewall", reason);
                false
            }
        }
    }

    /// Gives a packet to the machine whose port it came to.
    fn deliver_packet(&mut self, host: usize, packet: Packet) {
        let (local, remote) = (packet.destination, packet.source);
        match packet.body {
            Body::Datagram(ref payload) => {
                let Some(node) = self.hosts[host].listener(Protocol::Udp, local) else {
                    if self.hosts[host].silent {
                        return self.drop_packet(host, &packet, "port closed");
                    }
                    return self.refuse(host, &packet, "port closed", UnreachableReason::Port);
                };
                self.deliver(node, Stimulus::Datagram { local, remote, payload: payload.to_vec() });
            }
            Body::Segment(ref segment) => self.deliver_segment(host, &packet, segment.clone()),
            Body::Unreachable { transport: _, source, destination, reason } => {
                self.deliver_unreachable(host, source, destination, reason);
            }
        }
    }

    fn deliver_segment(&mut self, host: usize, packet: &Packet, segment: Segment) {
        let key = Key { local: packet.destination, remote: packet.source };
        let node = self.hosts[host].listener(segment.protocol, key.local);
        let listener =
            node.map(|node| (node, self.nodes[node].identity().filter(|_| segment.protocol.is_secure())));
        if listener.is_none() && self.hosts[host].silent && segment.open && !segment.acknowledges {
            return self.drop_packet(host, packet, "port closed");
        }
        let mut effects = Effects::default();
        let now = self.elapsed;
        self.hosts[host].streams.receive(key, segment, listener, now, &mut effects);
        self.perform_effects(host, effects);
    }

    fn deliver_unreachable(
        &mut self,
        host: usize,
        local: SocketAddr,
        remote: SocketAddr,
        reason: UnreachableReason,
    ) {
        let mut effects = Effects::default();
        self.hosts[host].streams.unreachable(Key { local, remote }, &mut effects);
        self.perform_effects(host, effects);
        if let Some(node) = self.hosts[host].listener(Protocol::Udp, local) {
            self.deliver(node, Stimulus::Unreachable { local, remote, reason });
        }
    }

    pub(super) fn perform_effects(&mut self, host: usize, effects: Effects) {
        for packet in effects.packets {
            self.send(host, packet);
        }
        for (node, stimulus) in effects.inputs {
            self.deliver_pieces(node, stimulus);
        }
        let owner = &mut self.hosts[host];
        if let Some(at) = owner.streams.next_timeout()
            && owner.streams_wake_at.is_none_or(|queued| at < queued)
        {
            owner.streams_wake_at = Some(at);
            self.queue.push(at, Occurrence::StreamTimer { host });
        }
    }

    /// Delivers at once what cannot be divided, and the bytes of a stream in as many reads as the script asked for.
    fn deliver_pieces(&mut self, node: usize, stimulus: Stimulus) {
        let at = self.elapsed;
        match (stimulus, self.largest_stream_read) {
            (Stimulus::StreamData { protocol, local, remote, payload }, Some(largest))
                if !protocol.keeps_boundaries() =>
            {
                let mut rest = payload.as_slice();
                while !rest.is_empty() {
                    let length = (self.random.below(largest.max(1) as u64) as usize + 1).min(rest.len());
                    let (piece, others) = rest.split_at(length);
                    rest = others;
                    let stimulus = Stimulus::StreamData { protocol, local, remote, payload: piece.to_vec() };
                    self.queue.push(at, Occurrence::Delivery { node, stimulus });
                }
            }
            (stimulus, _) => self.queue.push(at, Occurrence::Delivery { node, stimulus }),
        }
    }

    pub(super) fn stream_timer(&mut self, host: usize) {
        let now = self.elapsed;
        let owner = &mut self.hosts[host];
        if owner.streams_wake_at.is_none_or(|at| at > now) {
            return; // an earlier look has been queued since, and has been taken
        }
        owner.streams_wake_at = None;
        let mut effects = Effects::default();
        owner.streams.handle_timeout(now, &mut effects);
        self.perform_effects(host, effects);
    }

    fn capture_packet(&mut self, host: usize, interface: Option<usize>, packet: &Packet) {
        if let Some((capture, numbers)) = self.captures.get_mut(&host)
            && let Some(number) = interface.and_then(|interface| numbers.get(interface))
        {
            capture.add(*number, self.elapsed, packet);
        }
    }

    fn drop_packet(&mut self, host: usize, packet: &Packet, reason: &'static str) {
        let (source, destination) = (packet.source, packet.destination);
        self.record_at(host, Happening::Dropped { source, destination, reason });
    }

    /// Drops a packet and tells its sender, unless it was such a message itself.
    fn refuse(&mut self, host: usize, packet: &Packet, why: &'static str, reason: UnreachableReason) {
        self.drop_packet(host, packet, why);
        if matches!(packet.body, Body::Unreachable { .. }) {
            return;
        }
        let (source, destination) = (packet.source, packet.destination);
        let body = Body::Unreachable { transport: packet.transport(), source, destination, reason };
        let from = self.hosts[host].way(source.ip()).map_or(destination.ip(), |way| way.source);
        let from = if self.hosts[host].owns(destination.ip()) { destination.ip() } else { from };
        self.send(host, Packet::new((from, 0).into(), source, body));
    }
}

/// Moves every copy of a packet across one line.
fn cross(
    line: &mut LinkState,
    bytes: usize,
    arrivals: &mut Vec<std::time::Duration>,
    trouble: &mut Option<Fate>,
) {
    let mut onward = Vec::with_capacity(arrivals.len());
    for at in arrivals.drain(..) {
        match line.carry(bytes, at) {
            Fate::Arrives(first, second) => {
                onward.push(first);
                onward.extend(second);
            }
            fate => *trouble = Some(fate),
        }
    }
    *arrivals = onward;
}
