//! The gateway as a STUN and TURN server: coturn's clients through the running program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_interop::turnutils::{Turnutils, Way};
use denwa_interop::{PATIENCE, Peer, Ports, Scratch};
use std::net::SocketAddr;
use std::process::Command;

#[test]
fn coturns_clients_relay_through_the_gateway() {
    let (folder, mut ports) = (Scratch::new("gateway-turn"), Ports::block());
    let Some(tools) = Turnutils::start(folder.path(), &mut ports) else { return };
    let (sip, turn, relayed) = (ports.take(1), ports.take(1), ports.take(42));
    let last = relayed + 40;
    let file = folder.path().join("gateway.toml");
    let text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\"]\n\
         [turn]\nlisten = [\"udp:127.0.0.1:{turn}\", \"tcp:127.0.0.1:{turn}\"]\nusers = {{ alice = \"pw\" }}\n\
         ports = [\"{relayed}-{last}\"]\nexternal = \"127.0.0.1\"\npeers = [\"127.0.0.0/8\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    let gateway = Peer::start("gateway", folder.path(), command.arg("run").arg(&file));
    gateway.wait_for("STUN and TURN on tcp:", PATIENCE);
    let server = SocketAddr::from(([127, 0, 0, 1], turn));
    for way in [Way::Udp, Way::Tcp] {
        tools.relay_whole(server, way, &["-u", "alice", "-w", "pw", "-n", "20"]);
    }
    assert_eq!(tools.relay(server, Way::Udp, &["-u", "alice", "-w", "no", "-n", "1"]).received, 0);
    gateway.wait_for("which is not known or has another password", PATIENCE);
}
