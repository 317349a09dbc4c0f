//! The requests of a TURN client, written (RFC 8656 sections 7 to 12, RFC 6062 section 4).

use super::Client;
use crate::io::StreamId;
use crate::stun::attribute::{
    AdditionalAddressFamily, ChannelNumber, ConnectionId, EvenPort, Family, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, Software, XorPeerAddress,
};
use crate::stun::{Class, Method, Writer};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Room for any request: names, realm and nonce at their longest.
const REQUEST_BYTES: usize = 4096;

/// An open request, and what is needed to make it again with other credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Allocate,
    Refresh { lifetime: Duration },
    Permission { peer: IpAddr },
    Channel { peer: SocketAddr, channel: u16 },
    Connect { peer: SocketAddr },
    ConnectionBind { peer: SocketAddr, connection: u32, stream: StreamId },
}

impl Request {
    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Allocate => Method::ALLOCATE,
            Self::Refresh { .. } => Method::REFRESH,
            Self::Permission { .. } => Method::CREATE_PERMISSION,
            Self::Channel { .. } => Method::CHANNEL_BIND,
            Self::Connect { .. } => Method::CONNECT,
            Self::ConnectionBind { .. } => Method::CONNECTION_BIND,
        }
    }
}

impl Client {
    /// Sends a request and waits for its answer.
    pub(super) fn request(&mut self, request: Request, now: Instant) {
        let id = self.generator.transaction_id();
        let mut buffer = vec![0; REQUEST_BYTES];
        let mut writer = Writer::new(&mut buffer, Class::Request, request.method(), id);
        self.write_attributes(&request, &mut writer);
        if let Some(software) = &self.config.software {
            writer.put(&Software(software));
        }
        if let Some(credentials) = &self.credentials {
            credentials.sign(&mut writer);
        }
        writer.fingerprint();
        // Names and passwords beyond all measure are the only way to fail; then nothing is sent and the request times out.
        let length = writer.finish().unwrap_or(0);
        buffer.truncate(length);
        let payload = Bytes::from(buffer);
        let stream = match request {
            Request::ConnectionBind { stream, .. } => Some(stream),
            _ => self.stream,
        };
        if length > 0 {
            self.transmit(payload.clone(), stream);
        }
        let reliable = self.config.server.protocol.is_reliable();
        self.transactions.begin(id, request, (payload, self.server), (reliable, self.config.timing), now);
    }

    fn write_attributes(&self, request: &Request, writer: &mut Writer<'_>) {
        match *request {
            Request::Allocate => self.write_allocate(writer),
            Request::Refresh { lifetime } => {
                writer.put(&Lifetime(lifetime));
                if let Some(family) = self.config.family {
                    writer.put(&RequestedAddressFamily(Some(family)));
                }
            }
            Request::Permission { peer } => writer.put(&XorPeerAddress(SocketAddr::new(peer, 0))),
            Request::Channel { peer, channel } => {
                writer.put(&ChannelNumber(channel));
                writer.put(&XorPeerAddress(peer));
            }
            Request::Connect { peer } => writer.put(&XorPeerAddress(peer)),
            Request::ConnectionBind { connection, .. } => writer.put(&ConnectionId(connection)),
        }
    }

    fn write_allocate(&self, writer: &mut Writer<'_>) {
        let config = &self.config;
        let transport = if config.tcp_allocation { RequestedTransport::TCP } else { RequestedTransport::UDP };
        writer.put(&transport);
        writer.put(&Lifetime(config.lifetime));
        if let Some(token) = config.reservation {
            // A token excludes everything that chooses a port or a family (RFC 8656 section 7.2).
            return writer.put(&ReservationToken(token));
        }
        if let Some(reserve_next) = config.even_port.filter(|_| !config.tcp_allocation) {
            writer.put(&EvenPort { reserve_next });
        }
        if let Some(family) = config.family {
            writer.put(&RequestedAddressFamily(Some(family)));
        } else if config.both_families && config.even_port != Some(true) {
            writer.put(&AdditionalAddressFamily(Some(Family::V6)));
        }
    }
}
