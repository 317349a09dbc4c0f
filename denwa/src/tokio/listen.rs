//! Where to listen: as configurations write it, and opening it.

use denwa_sip_core::Protocol;
use socket2::{Domain, Socket, Type};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;

/// A transport and a local address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listen {
    /// The transport.
    pub protocol: Protocol,
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
}

/// What is being listened on, with the port the system chose where that was left to it.
pub type Listening = Listen;

/// `udp:127.0.0.1:5060`, `tcp:[::1]:5060`; without a port, the transport's own.
impl FromStr for Listen {
    type Err = ParseListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = |fault| ParseListenError { text: text.to_owned(), fault };
        let (protocol, address) = text.split_once(':').ok_or_else(|| fault(ListenFault::NoProtocol))?;
        let protocol = Protocol::from_via_token(protocol).ok_or_else(|| fault(ListenFault::NoProtocol))?;
        let address = read_address(address, protocol.default_port())
            .ok_or_else(|| fault(ListenFault::NotAnAddress(protocol.default_port())))?;
        Ok(Self { protocol, address })
    }
}

impl Listen {
    /// The same for a STUN and TURN server: `udp:`, `tcp:` or `tls:`; without a port 3478, with TLS 5349 (RFC 8489 §18.6).
    ///
    /// # Errors
    /// What is expected instead.
    pub fn for_turn(text: &str) -> Result<Self, ParseListenError> {
        let fault = |fault| ParseListenError { text: text.to_owned(), fault };
        let (protocol, port, address) = match text.split_once(':') {
            Some(("udp", address)) => (Protocol::Udp, 3478, address),
            Some(("tcp", address)) => (Protocol::Tcp, 3478, address),
            Some(("tls", address)) => (Protocol::Tls, 5349, address),
            _ => return Err(fault(ListenFault::NoTurnProtocol)),
        };
        let address = read_address(address, port).ok_or_else(|| fault(ListenFault::NotAnAddress(port)))?;
        Ok(Self { protocol, address })
    }
}

fn read_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let with_default = |address: IpAddr| SocketAddr::new(address, default_port);
    text.parse::<SocketAddr>().ok().or_else(|| text.parse().ok().map(with_default)).or_else(|| {
        let bare = text.strip_prefix('[')?.strip_suffix(']')?;
        bare.parse::<Ipv6Addr>().ok().map(|address| with_default(address.into()))
    })
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol.via_token().to_ascii_lowercase(), self.address)
    }
}

/// Why a text says no place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseListenError {
    text: String,
    fault: ListenFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenFault {
    NoProtocol,
    NoTurnProtocol,
    /// With the port that is meant where none is written.
    NotAnAddress(u16),
}

impl ParseListenError {
    /// The text that could not be read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ParseListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.fault {
            ListenFault::NoProtocol => {
                write!(f, "`{text}` does not begin with a transport: expected udp:, tcp:, tls:, ws: or wss:")
            }
            ListenFault::NoTurnProtocol => {
                write!(f, "`{text}` does not begin with a transport: expected udp:, tcp: or tls:")
            }
            ListenFault::NotAnAddress(port) => {
                write!(
                    f,
                    "`{text}` has no address after its transport: expected 192.0.2.1:{port} or [2001:db8::1]:{port}"
                )
            }
        }
    }
}

impl std::error::Error for ParseListenError {}

/// Why a driver did not start. The text is one sentence for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address could not be listened on.
    Listen {
        /// Which.
        listen: Listen,
        /// What the system said.
        error: std::io::Error,
    },
    /// To be listened on with TLS, and there is no certificate to show.
    NoCertificate(Listen),
    /// No thread could be started.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::io::ErrorKind;
        match self {
            Self::Listen { listen, error } => match error.kind() {
                ErrorKind::AddrInUse => {
                    write!(f, "cannot listen on {listen}: another program uses this port")
                }
                ErrorKind::AddrNotAvailable => {
                    write!(
                        f,
                        "cannot listen on {listen}: {} is not an address of this host",
                        listen.address.ip()
                    )
                }
                ErrorKind::PermissionDenied => {
                    write!(f, "cannot listen on {listen}: the system does not permit this port")
                }
                _ => write!(f, "cannot listen on {listen}: {error}"),
            },
            Self::NoCertificate(listen) => {
                write!(f, "cannot listen on {listen}: TLS needs a certificate and its key")
            }
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::Thread(error) => Some(error),
            Self::NoCertificate(_) => None,
        }
    }
}

/// Binds a UDP socket for signalling. An IPv6 socket is for IPv6 alone, so that both families can have the same port.
pub(super) fn bind_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bursts of registrations come all at once; the system takes what it allows of this.
    let _ = socket.set_recv_buffer_size(4 << 20);
    let _ = socket.set_send_buffer_size(1 << 20);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

pub(super) fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restarted program must not wait for the connections of its former life.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_read_and_written() {
        for text in
            ["udp:127.0.0.1:5060", "tcp:[::1]:5060", "tls:0.0.0.0:5061", "ws:127.0.0.1:8080", "wss:[::]:443"]
        {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("UDP:192.0.2.1".parse::<Listen>().unwrap().to_string(), "udp:192.0.2.1:5060");
        assert_eq!("tls:[2001:db8::1]".parse::<Listen>().unwrap().to_string(), "tls:[2001:db8::1]:5061");
        for text in ["127.0.0.1:5060", "sctp:127.0.0.1:5060", "udp:localhost:5060", "udp:", ""] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }

    #[test]
    fn a_turn_server_has_ports_of_its_own() {
        let read = |text| Listen::for_turn(text).map(|listen| listen.to_string());
        assert_eq!(read("udp:0.0.0.0").unwrap(), "udp:0.0.0.0:3478");
        assert_eq!(read("tls:[::]").unwrap(), "tls:[::]:5349");
        assert_eq!(read("tcp:127.0.0.1:443").unwrap(), "tcp:127.0.0.1:443");
        for text in ["wss:0.0.0.0", "udp:turn.example", "0.0.0.0:3478"] {
            assert!(read(text).unwrap_err().to_string().contains("expected"), "{text}");
        }
    }

    #[test]
    fn both_families_can_have_one_port_and_a_taken_port_is_named() {
        let v6 = bind_udp("[::]:0".parse().unwrap()).unwrap();
        let port = v6.local_addr().unwrap().port();
        let address: SocketAddr = ([0, 0, 0, 0], port).into();
        let _v4 = bind_udp(address).unwrap();
        let error = bind_udp(address).unwrap_err();
        let listen = Listen { protocol: Protocol::Udp, address };
        let sentence = StartError::Listen { listen, error }.to_string();
        assert_eq!(sentence, format!("cannot listen on udp:0.0.0.0:{port}: another program uses this port"));
    }
}
