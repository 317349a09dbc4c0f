//! coturn's server on loopback, with a certificate for TLS and DTLS.

use crate::{PATIENCE, Peer, Ports, require, wait_until};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

/// The one user.
pub const USER: &str = "alice";
/// Its password.
pub const PASSWORD: &str = "secret";

/// A running server.
#[derive(Debug)]
pub struct Coturn {
    _peer: Peer,
    /// UDP and TCP.
    pub address: SocketAddr,
    /// TLS and DTLS.
    pub tls_address: SocketAddr,
}

impl Coturn {
    /// Starts one, with `more` on its command line; `None` when it is not there.
    ///
    /// # Panics
    /// When it is not there although peers are required, or does not begin to listen.
    #[must_use]
    pub fn start(folder: &Path, ports: &mut Ports, more: &[&str]) -> Option<Self> {
        if !require("turnserver") || !require("openssl") {
            return None;
        }
        let path = |name: &str| folder.join(name).display().to_string();
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=turn.example", "-keyout", &key, "-out", &certificate])
            .stderr(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "openssl makes no certificate");
        let (port, tls_port, first) = (ports.take(1), ports.take(1), ports.take(62));
        let user = format!("{USER}:{PASSWORD}");
        let mut command = Command::new("turnserver");
        command
            .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &port.to_string()])
            .args(["--tls-listening-port", &tls_port.to_string(), "--cert", &certificate, "--pkey", &key])
            .args(["--min-port", &first.to_string(), "--max-port", &(first + 60).to_string()])
            .args([
                "--allow-loopback-peers",
                "--no-cli",
                "-a",
                "-u",
                &user,
                "-r",
                "lab.test",
                "-f",
                "-m",
                "1",
            ])
            .args(["--no-multicast-peers", "--simple-log", "--log-file", "stdout"])
            .args(["--userdb", &path("turndb"), "--pidfile", &path("pid")])
            .args(more);
        let peer = Peer::start("turnserver", folder, &mut command);
        for port in [port, tls_port] {
            let listens = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            assert!(wait_until(PATIENCE, listens), "{}", peer.log());
        }
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Some(Self { _peer: peer, address: at(port), tls_address: at(tls_port) })
    }
}
