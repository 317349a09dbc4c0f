//! The exchange as a STUN and TURN server: coturn's clients through the running program, its users changed while it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use denwa_interop::turnutils::{Turnutils, Way};
use denwa_interop::{Ports, wait_until};
use phone::{Program, folder, free_port};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

fn file(sip: u16, turn: u16, tls: u16, relayed: u16, users: &str) -> String {
    let last = relayed + 40;
    format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\"]\n\
         [turn]\nlisten = [\"udp:127.0.0.1:{turn}\", \"tcp:127.0.0.1:{turn}\", \"tls:127.0.0.1:{tls}\"]\n\
         ports = [\"{relayed}-{last}\"]\npeers = [\"127.0.0.0/8\"]\nexternal = \"127.0.0.1\"\n{users}\n"
    )
}

#[test]
fn coturns_clients_relay_through_the_exchange_and_status_tells_it() {
    let (folder, mut ports) = (folder("turn"), Ports::block());
    let Some(tools) = Turnutils::start(&folder, &mut ports) else { return };
    let (sip, turn, tls, relayed) = (free_port(), ports.take(1), ports.take(1), ports.take(42));
    let mut program = Program::start(folder, &file(sip, turn, tls, relayed, "secret = \"of the page\""));
    program.wait_for("Ctrl-C ends it");
    program.wait_for(&format!("STUN and TURN on tls:127.0.0.1:{tls}"));
    let (plain, secure) = (SocketAddr::from(([127, 0, 0, 1], turn)), SocketAddr::from(([127, 0, 0, 1], tls)));
    let page = ["-u", "alice", "-W", "of the page", "-n", "20"];
    for (server, way) in [(plain, Way::Udp), (plain, Way::Tcp), (secure, Way::Tls)] {
        tools.relay_whole(server, way, &page);
    }
    let refused = tools.relay(plain, Way::Udp, &["-u", "alice", "-W", "of another", "-n", "1"]);
    assert_eq!(refused.received, 0);
    program.wait_for("TURN: allocation 0: 127.0.0.1:");
    program.wait_for("which is not known or has another password");
    let status = status(&program);
    assert!(
        status.contains("STUN and TURN on udp:127.0.0.1") && status.contains("packets relayed"),
        "{status}"
    );

    // Another secret, and the exchange goes on.
    let users = "users = { bob = \"pw\" }";
    std::fs::write(program.folder.join("pbx.toml"), file(sip, turn, tls, relayed, users)).unwrap();
    program.signal("HUP");
    let bob = || tools.relay(plain, Way::Udp, &["-u", "bob", "-w", "pw", "-n", "5"]).received > 0;
    assert!(wait_until(Duration::from_secs(60), bob), "{}", program.printed());
    assert!(!program.printed().contains("`turn` takes effect"), "{}", program.printed());
    program.stop();
}

fn status(program: &Program) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml", "status"])
        .current_dir(&program.folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
