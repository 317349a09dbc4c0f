//! coturn's own client tools, against a TURN server of ours on loopback.

use crate::{PATIENCE, Peer, Ports, is_bound, require, wait_until};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// How `turnutils_uclient` reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// `turnutils_peer`, which sends back what is relayed to it.
#[derive(Debug)]
pub struct Turnutils {
    _peer: Peer,
    peer_port: u16,
}

/// What a run of `turnutils_uclient` has told.
#[derive(Debug)]
pub struct Relayed {
    /// Messages sent through the server.
    pub sent: usize,
    /// Messages that came back.
    pub received: usize,
    /// All that it printed.
    pub text: String,
}

impl Turnutils {
    /// Starts the peer; `None` when the tools are not there.
    ///
    /// # Panics
    /// When they are not there although peers are required, or the peer does not begin to listen.
    #[must_use]
    pub fn start(folder: &Path, ports: &mut Ports) -> Option<Self> {
        if !require("turnutils_uclient") || !require("turnutils_peer") {
            return None;
        }
        let peer_port = ports.take(2);
        let mut command = Command::new("turnutils_peer");
        command.args(["-L", "127.0.0.1", "-p", &peer_port.to_string()]);
        let peer = Peer::start("turnutils_peer", folder, &mut command);
        assert!(wait_until(PATIENCE, || is_bound(peer_port)), "{}", peer.log());
        Some(Self { _peer: peer, peer_port })
    }

    /// Relays messages of 172 bytes through `server` to the peer and back. `more` names the user, and what else is wished.
    #[must_use]
    pub fn relay(&self, server: SocketAddr, way: Way, more: &[&str]) -> Relayed {
        let mut command = Command::new("timeout");
        command.args([
            "60",
            "turnutils_uclient",
            "-L",
            "127.0.0.1",
            "-e",
            "127.0.0.1",
            "-l",
            "172",
            "-z",
            "5",
            "-c",
        ]);
        command.args(["-r", &self.peer_port.to_string(), "-p", &server.port().to_string()]);
        match way {
            Way::Udp => {}
            Way::Tcp => drop(command.arg("-t")),
            Way::Tls => drop(command.args(["-t", "-S"])),
        }
        let output = command.args(more).arg(server.ip().to_string()).output();
        let text = output.map_or_else(
            |error| error.to_string(),
            |output| {
                String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr)
            },
        );
        let count = |name: &str| {
            let last = text.rsplit(&format!("{name}=")).next().unwrap_or_default();
            last.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
        };
        Relayed { sent: count("tot_send_msgs"), received: count("tot_recv_msgs"), text }
    }
}

impl Turnutils {
    /// As [`Turnutils::relay`], but again when datagrams were lost, as they are where a busy machine lets their readers wait.
    ///
    /// # Panics
    /// When not once everything came back.
    pub fn relay_whole(&self, server: SocketAddr, way: Way, more: &[&str]) {
        for _ in 0..4 {
            let relayed = self.relay(server, way, more);
            if relayed.sent > 0 && relayed.received == relayed.sent {
                return;
            }
        }
        self.relay(server, way, more).assert_whole();
    }
}

impl Relayed {
    /// Everything sent came back.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_whole(&self) {
        assert!(
            self.sent > 0 && self.received == self.sent,
            "{} of {}\n{}",
            self.received,
            self.sent,
            self.text
        );
    }
}
