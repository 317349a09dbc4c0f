//! Connections to TURN servers over TCP and TLS (RFC 8656 §2.1) of the media of calls, beside those of signalling. What they carry is
//! none of the endpoint's business.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{CallId, UserAgent};
use crate::driver::Output;
use crate::media::{Input as MediaInput, Wire};
use bytes::Bytes;
use denwa_ice::{Protocol as IceProtocol, StreamId as IceStream};
use denwa_sip_core::io::Input;
use denwa_sip_core::{Protocol, StreamId, Transmit};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

/// The connections of all calls.
#[derive(Debug, Default)]
pub(super) struct Relays {
    open: BTreeMap<StreamId, Relay>,
    opened: u64,
}

#[derive(Clone, Copy, Debug)]
struct Relay {
    call: CallId,
    /// As the call's media know it.
    stream: IceStream,
    protocol: Protocol,
    remote: SocketAddr,
}

impl Relays {
    fn open(&mut self, relay: Relay) -> StreamId {
        self.opened = self.opened.wrapping_add(1);
        let stream = StreamId::own(self.opened);
        self.open.insert(stream, relay);
        stream
    }

    fn of(&self, call: CallId, stream: IceStream) -> Option<(StreamId, Relay)> {
        let is_it = |relay: &Relay| relay.call == call && relay.stream == stream;
        self.open.iter().find(|(_, relay)| is_it(relay)).map(|(stream, relay)| (*stream, *relay))
    }

    /// What is to be sent on a call's connection; `None` when it has ended.
    pub(super) fn transmit(&self, call: CallId, stream: IceStream, payload: Bytes) -> Option<Transmit> {
        let (stream, relay) = self.of(call, stream)?;
        Some(Transmit {
            source: None,
            destination: relay.remote,
            protocol: relay.protocol,
            stream: Some(stream),
            payload,
        })
    }
}

impl UserAgent {
    /// What the media of a call want besides datagrams.
    pub(super) fn wire(&mut self, call: CallId, wire: Wire, now: Instant) {
        match wire {
            Wire::Open { stream, protocol, local, remote, server_name } if is_known(protocol) => {
                let protocol = if protocol == IceProtocol::Tls { Protocol::Tls } else { Protocol::Tcp };
                let stream = self.relays.open(Relay { call, stream, protocol, remote });
                // The port is the media's own.
                let local = local.map(|local| SocketAddr::new(local.ip(), 0));
                let server_name = server_name.map(Into::into);
                self.outputs.push_back(Output::OpenStream { stream, protocol, local, remote, server_name });
            }
            Wire::Send { stream, payload } => {
                self.outputs.extend(self.relays.transmit(call, stream, payload).map(Output::Transmit));
            }
            Wire::Close { stream } => {
                if let Some((stream, _)) = self.relays.of(call, stream) {
                    self.relays.open.remove(&stream);
                    self.outputs.push_back(Output::CloseStream { stream });
                }
            }
            // DTLS to a server, and names of the own network.
            declined => {
                if let Some(media) = self.calls.get_mut(&call).and_then(|call| call.media.as_mut()) {
                    media.decline(&declined, now);
                }
            }
        }
    }

    /// Whether this was of a connection to a TURN server, and not for the endpoint.
    pub(super) fn on_relay(&mut self, input: &Input<'_>, now: Instant) -> bool {
        let stream = match input {
            Input::StreamOpened { stream, .. }
            | Input::StreamFailed { stream, .. }
            | Input::StreamClosed { stream }
            | Input::StreamData { stream, .. } => *stream,
            _ => return false,
        };
        let Some(relay) = self.relays.open.get(&stream).copied() else { return stream.is_own() };
        let media = self.calls.get_mut(&relay.call).and_then(|call| call.media.as_mut());
        let of_media = relay.stream;
        match (input, media) {
            (Input::StreamData { payload, .. }, Some(media)) => {
                media.receive_stream(of_media, &mut payload.to_vec(), now);
            }
            (Input::StreamOpened { local, remote, .. }, Some(media)) => {
                let (local, remote) = (*local, *remote);
                media.handle_input(MediaInput::StreamOpened { stream: of_media, local, remote }, now);
            }
            (Input::StreamFailed { .. } | Input::StreamClosed { .. }, media) => {
                self.relays.open.remove(&stream);
                let was_open = matches!(input, Input::StreamClosed { .. });
                if let Some(media) = media {
                    media.handle_input(MediaInput::StreamClosed { stream: of_media, was_open }, now);
                }
            }
            _ => {}
        }
        self.drain_media(relay.call, now);
        true
    }

    /// A call is over: nobody needs its connections.
    pub(super) fn close_relays(&mut self, call: CallId) {
        let of_call = self.relays.open.iter().filter(|(_, relay)| relay.call == call);
        let streams: Vec<StreamId> = of_call.map(|(stream, _)| *stream).collect();
        for stream in streams {
            self.relays.open.remove(&stream);
            self.outputs.push_back(Output::CloseStream { stream });
        }
    }
}

fn is_known(protocol: IceProtocol) -> bool {
    matches!(protocol, IceProtocol::Tcp | IceProtocol::Tls)
}
