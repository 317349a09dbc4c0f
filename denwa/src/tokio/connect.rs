//! Making connections: TCP, then TLS, then the WebSocket handshake, as the transport asks; and accepting them likewise.
//!
//! A connection is told of when all of that is done, or it has failed.

use super::marking::mark;
use super::stream::{Framing, StreamLimits};
use super::tls::{self, Tls, TlsConfig};
use super::websocket::{self, WebSocketConfig};
use crate::marking::Dscp;
use denwa_sip_core::Protocol;
use denwa_sip_core::io::{PeerIdentity, StreamFailure};
use denwa_sip_core::transport::websocket::Role;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A connection on which SIP can be spoken.
pub(super) struct Ready {
    pub(super) link: Link,
    pub(super) framing: Framing,
    pub(super) peer_identity: Option<PeerIdentity>,
}

impl Ready {
    /// A connection without handshakes.
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { link: Link::Plain(stream), framing: Framing::Bytes, peer_identity: None }
    }
}

/// The bytes below SIP or below its frames.
pub(super) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What connections are made with.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) tls: Option<Tls>,
    pub(super) websocket: Arc<WebSocketConfig>,
    pub(super) limits: StreamLimits,
    /// What is sent by them is marked with.
    pub(super) dscp: Option<Dscp>,
}

impl Means {
    /// Those for a connection over this transport. Believes whom the system believes, when nothing else was said.
    pub(super) fn made_for(&mut self, protocol: Protocol) -> Self {
        if protocol.is_secure() && self.tls.is_none() {
            self.tls = Tls::new(&TlsConfig::default()).ok();
        }
        self.clone()
    }
}

/// Makes a connection.
pub(super) async fn connect(
    means: Means,
    protocol: Protocol,
    local: Option<SocketAddr>,
    remote: SocketAddr,
    server_name: Option<Arc<str>>,
) -> std::result::Result<Ready, StreamFailure> {
    let name = server_name.unwrap_or_else(|| remote.ip().to_string().into());
    let work = async {
        let stream = tcp(local, remote, means.dscp).await.map_err(|error| tcp_failure(&error))?;
        let link = match (protocol.is_secure(), &means.tls) {
            (false, _) => Link::Plain(stream),
            (true, None) => return Err(StreamFailure::TlsHandshake),
            (true, Some(tls)) => Link::Tls(Box::new(tls_to(tls, protocol, &name, stream).await?)),
        };
        let peer_identity = match &means.tls {
            Some(tls) if tls.believes => link.identity(),
            _ => None,
        };
        let mut ready = Ready { link, framing: Framing::Bytes, peer_identity };
        if protocol.is_websocket() {
            let host = host(&name, remote.port(), protocol);
            let early = websocket::connect(&mut ready.link, &host, &means.websocket.path).await;
            let early = early.map_err(|_| StreamFailure::WebSocketHandshake)?;
            ready.framing = Framing::WebSocket { role: Role::Client, early };
        }
        Ok(ready)
    };
    match tokio::time::timeout(means.limits.connect, work).await {
        Ok(result) => result,
        Err(_) => Err(StreamFailure::TimedOut),
    }
}

/// Does an accepted connection's handshakes.
///
/// # Errors
/// What went wrong, or took too long.
pub(super) async fn accept(means: Means, protocol: Protocol, stream: TcpStream) -> Result<Ready> {
    let work = async {
        let link = if protocol.is_secure() {
            let server = means.tls.and_then(|tls| tls.server).ok_or(ErrorKind::Unsupported)?;
            Link::Tls(Box::new(TlsAcceptor::from(server).accept(stream).await?.into()))
        } else {
            Link::Plain(stream)
        };
        let peer_identity = link.identity();
        let mut ready = Ready { link, framing: Framing::Bytes, peer_identity };
        if protocol.is_websocket() {
            let early = websocket::accept(&mut ready.link, &means.websocket).await?;
            ready.framing = Framing::WebSocket { role: Role::Server, early };
        }
        Ok(ready)
    };
    tokio::time::timeout(means.limits.connect, work).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

async fn tcp(local: Option<SocketAddr>, remote: SocketAddr, dscp: Option<Dscp>) -> Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    mark(&socket, dscp);
    if let Some(local) = local.filter(|local| !local.ip().is_unspecified()) {
        // The listening port is taken by the listener; only the address matters.
        socket.bind(SocketAddr::new(local.ip(), 0))?;
    }
    socket.connect(remote).await
}

fn tcp_failure(error: &Error) -> StreamFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => StreamFailure::Refused,
        ErrorKind::TimedOut => StreamFailure::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            StreamFailure::Unreachable
        }
        _ => StreamFailure::Other,
    }
}

async fn tls_to(
    tls: &Tls,
    protocol: Protocol,
    name: &str,
    stream: TcpStream,
) -> std::result::Result<TlsStream<TcpStream>, StreamFailure> {
    let config = if protocol.is_websocket() { &tls.web_client } else { &tls.sip_client };
    let name = ServerName::try_from(name.to_owned()).map_err(|_| StreamFailure::WrongIdentity)?;
    match TlsConnector::from(Arc::clone(config)).connect(name, stream).await {
        Ok(stream) => Ok(stream.into()),
        Err(error) => Err(tls_failure(&error)),
    }
}

fn tls_failure(error: &Error) -> StreamFailure {
    use rustls::{CertificateError, Error as TlsError};
    match error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => StreamFailure::WrongIdentity,
        Some(TlsError::InvalidCertificate(_)) => StreamFailure::UntrustedCertificate,
        _ => StreamFailure::TlsHandshake,
    }
}

/// As it stands in a `Host` header.
fn host(name: &str, port: u16, protocol: Protocol) -> String {
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    if port == protocol.default_port() { name } else { format!("{name}:{port}") }
}

impl Link {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Who the other end proved to be. A certificate that was shown has been verified, unless nobody is believed.
    fn identity(&self) -> Option<PeerIdentity> {
        let Self::Tls(stream) = self else { return None };
        let own: &CertificateDer<'_> = stream.get_ref().1.peer_certificates()?.first()?;
        Some(PeerIdentity { names: tls::names(own) })
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
