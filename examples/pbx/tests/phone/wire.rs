//! What messages come and go by.

use super::Message;
use std::collections::HashSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};

pub(super) enum Wire {
    /// With what has come: the same once more is sent because this side was slow, and not meant.
    Udp {
        socket: UdpSocket,
        server: SocketAddr,
        come: HashSet<String>,
    },
    Tcp {
        stream: TcpStream,
        held: String,
    },
}

impl Wire {
    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Self::Udp { socket, .. } => socket.local_addr().unwrap(),
            Self::Tcp { stream, .. } => stream.local_addr().unwrap(),
        }
    }

    pub(super) fn transport(&self) -> &'static str {
        match self {
            Self::Udp { .. } => "UDP",
            Self::Tcp { .. } => "TCP",
        }
    }

    pub(super) fn send(&mut self, text: &str) {
        match self {
            Self::Udp { socket, server, .. } => drop(socket.send_to(text.as_bytes(), *server).unwrap()),
            Self::Tcp { stream, .. } => stream.write_all(text.as_bytes()).unwrap(),
        }
    }

    pub(super) fn receive(&mut self) -> Option<Message> {
        match self {
            Self::Udp { socket, come, .. } => {
                let mut buffer = vec![0; 65_535];
                loop {
                    let length = match socket.recv_from(&mut buffer) {
                        // A process that was stopped for a moment.
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        received => received.ok()?.0,
                    };
                    // Voice for whoever had this port before is no message.
                    if let Ok(text) = std::str::from_utf8(&buffer[..length])
                        && come.insert(text.to_owned())
                    {
                        return Some(Message::parse(text));
                    }
                }
            }
            Self::Tcp { stream, held } => loop {
                if let Some(end) = held.find("\r\n\r\n") {
                    let head = Message::parse(&held[..end]);
                    let total = end + 4 + head.header("Content-Length").parse::<usize>().unwrap();
                    if held.len() >= total {
                        let rest = held.split_off(total);
                        return Some(Message::parse(&std::mem::replace(held, rest)));
                    }
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).ok()? {
                    0 => return None,
                    length => held.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
                }
            },
        }
    }
}
