//! A stream with ICE, DTLS, or both around it: what they want done, what they found, and media that came inside TURN's streams.

use super::{Output, Received, Stream};
use crate::media::carrier::{self, Carrier};
use crate::media::ice::Wire;
use crate::media::{Event, IceConfig, Identity, StreamKeys};
use crate::seed::Generator;
use denwa_rtp::session::{ControlKeys, Path, Session};
use denwa_sdp::{LocalIce, LocalSource};
use std::net::SocketAddr;
use std::time::Instant;

impl Stream {
    /// Gives the stream ICE, a certificate, or both, once its sockets are open.
    pub(crate) fn carry(
        &mut self,
        ice: Option<&IceConfig>,
        identity: Option<Identity>,
        is_muxed: bool,
        seed: [u8; 32],
        now: Instant,
    ) {
        let mut random = Generator::new(crate::Seed(seed));
        let bound = (self.config.rtp, (!is_muxed).then_some(self.config.rtcp));
        self.carrier = Some(Box::new(Carrier::new(ice, identity, bound, random.bytes(), now)));
        self.ssrc = ice.map(|_| random.u32());
        self.settle(now);
    }

    pub(crate) fn carrier(&self) -> Option<&Carrier> {
        self.carrier.as_deref()
    }

    /// Who sends, as descriptions tell it; `None` without ICE.
    pub(crate) fn source(&self) -> Option<LocalSource> {
        let ssrc = self.session.as_ref().map_or(self.ssrc?, Session::ssrc);
        Some(LocalSource { ssrc, cname: self.config.cname.clone() })
    }

    /// What the peer is to be told of ICE: credentials and candidates, and where RTP and RTCP go without it.
    pub(crate) fn ice_description(&self) -> Option<(LocalIce, SocketAddr, Option<SocketAddr>)> {
        let ice = self.carrier.as_deref()?.ice()?;
        let rtp = ice.default_address(1).unwrap_or(self.config.rtp);
        Some((ice.local(2), rtp, ice.default_address(2)))
    }

    /// Draws new credentials for ICE.
    pub(crate) fn restart_ice(&mut self, now: Instant) {
        if let Some(ice) = self.carrier.as_deref_mut().and_then(Carrier::ice_mut) {
            ice.restart(now);
        }
        self.settle(now);
    }

    /// Answers what ICE asks for besides datagrams where there are neither streams nor names.
    pub(crate) fn decline(&mut self, wire: &Wire, now: Instant) {
        let Some(carrier) = &mut self.carrier else { return };
        match *wire {
            Wire::Open { stream, .. } => {
                carrier.handle_input(denwa_ice::Input::StreamFailed { stream }, now);
            }
            Wire::Resolve { question, .. } => {
                carrier.handle_input(denwa_ice::Input::Resolved { question, addresses: &[] }, now);
            }
            Wire::Send { .. } | Wire::Close { .. } => {}
        }
        self.settle(now);
    }

    /// Tells ICE what became of what it asked for.
    pub(crate) fn handle_ice(&mut self, input: denwa_ice::Input<'_>, now: Instant) {
        if let Some(carrier) = &mut self.carrier {
            carrier.handle_input(input, now);
        }
        self.settle(now);
    }

    /// Goes by what ICE and DTLS have to tell.
    pub(crate) fn settle(&mut self, now: Instant) {
        let Some(carrier) = &mut self.carrier else { return };
        while let Some(news) = carrier.poll(now) {
            let output = match news {
                carrier::News::Transmit { rtcp, destination, payload } => {
                    Output::Transmit { rtcp, destination, payload }
                }
                carrier::News::Wire(wire) => Output::Wire(wire),
                carrier::News::Event(event) => Output::Event(event),
                carrier::News::Keys(keys) => {
                    if let Some(session) = &mut self.session {
                        // Both are there: DTLS has just made them.
                        let _ = session.set_keys(Some(&keys.outbound), Some(&keys.inbound));
                    }
                    self.made_keys = Some(keys);
                    Output::Event(Event::Encrypted { suite: carrier.suite.unwrap_or_default() })
                }
                carrier::News::ControlKeys(keys) => {
                    if let Some(session) = &mut self.session {
                        let StreamKeys { outbound, inbound } = &*keys;
                        let _ = session.set_control_keys(ControlKeys::Own { outbound, inbound });
                    }
                    self.made_control_keys = Some(keys);
                    continue;
                }
                carrier::News::Path { component, remote, relayed } => {
                    if let Some(place) = self.found.get_mut(usize::from(component).wrapping_sub(1)) {
                        *place = Some(remote);
                    }
                    let muxed = self.parameters.as_ref().is_some_and(|parameters| parameters.rtcp_mux);
                    let [media, control] = self.found;
                    if let Some(session) = &mut self.session {
                        session.set_remote(media, control.filter(|_| !muxed), now);
                    }
                    if component != 1 {
                        continue;
                    }
                    let path = carrier.path.clone().unwrap_or_default();
                    Output::Event(Event::PathChosen { remote, path, relayed })
                }
            };
            self.wanted.push_back(output);
        }
    }

    /// Bytes of a stream came that ICE asked for. What media are in them is handled as if it had come to a socket.
    pub(crate) fn receive_stream(
        &mut self,
        stream: denwa_ice::StreamId,
        bytes: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Received, &[u8]),
    ) {
        for (_, source, mut packet) in self.unpack(stream, bytes, now) {
            let length = packet.len();
            let received = self.receive_packet(Path::from(source), &mut packet, length, now);
            each(received, &packet);
        }
    }

    /// The packets in bytes of a stream that ICE asked for, and what component and whom they are of.
    pub(crate) fn unpack(
        &mut self,
        stream: denwa_ice::StreamId,
        bytes: &mut [u8],
        now: Instant,
    ) -> Vec<(u16, SocketAddr, Vec<u8>)> {
        let Some(carrier) = &mut self.carrier else { return Vec::new() };
        let packets = carrier.receive_stream(stream, bytes, now);
        self.settle(now);
        packets
    }
}
