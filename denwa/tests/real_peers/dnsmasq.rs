//! A real DNS server: NAPTR leads to SRV, SRV to hosts, and a host that does not answer to the next one.

use crate::desk::{Desk, PATIENCE};
use denwa::tokio::DriverConfig;
use denwa_interop::{Peer, Ports, Scratch, require, wait_until};
use denwa_sip_core::config::{Listener, TransactionConfig};
use denwa_sip_core::message::{Request, UriBuf};
use denwa_sip_core::transaction::{EndReason, SendOptions, TransactionEvent};
use denwa_sip_core::transport::Target;
use denwa_sip_core::{Method, Protocol};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

fn desk(dns: SocketAddr) -> Desk {
    let mut config =
        DriverConfig::new(["udp:127.0.0.1:0", "tcp:127.0.0.1:0"].map(|text| text.parse().unwrap()).to_vec());
    config.dns.servers = vec![dns];
    Desk::start(config, |listening| {
        let mut config = TransactionConfig::new(
            listening.iter().map(|place| Listener::new(place.protocol, place.address)).collect(),
        );
        // A host that says nothing is given up sooner than in life.
        config.timers.failover_after = Duration::from_secs(2);
        config
    })
}

fn options(desk: &Desk, uri: &'static str) {
    desk.act(move |layer, now| {
        let target = UriBuf::parse(uri).unwrap();
        let request = Request::builder(Method::Options, &target)
            .header("Max-Forwards", 70)
            .header("From", "<sip:a@example.com>;tag=f")
            .header("To", format!("<{uri}>"))
            .header("Call-ID", uri)
            .header("CSeq", "1 OPTIONS")
            .finish()
            .unwrap();
        layer.send_request(request, Target::Uri(target), SendOptions::default(), now).unwrap();
    });
}

/// How often another server was tried, over which transport the request came, and the status in the end.
fn outcome(desk: &Desk) -> (usize, Option<Protocol>, u16) {
    let (mut turned, mut over) = (0, None);
    let status = desk.expect(|event| match event {
        TransactionEvent::FailedOver { .. } => {
            turned += 1;
            None
        }
        TransactionEvent::Request { origin, .. } => {
            over = Some(origin.flow.protocol);
            None
        }
        TransactionEvent::Response { response, .. } => Some(response.status().code()),
        TransactionEvent::ClientEnded { reason, .. } if *reason != EndReason::Completed => {
            panic!("{reason:?}")
        }
        _ => None,
    });
    (turned, over, status)
}

#[test]
fn the_next_server_answers_when_the_first_is_dead() {
    if !require("dnsmasq") {
        return;
    }
    let scratch = Scratch::new("dnsmasq");
    let mut ports = Ports::block();
    let dns = SocketAddr::from(([127, 0, 0, 1], ports.take(1)));
    let desk = desk(dns);
    let (udp, tcp) = (desk.address(Protocol::Udp).port(), desk.address(Protocol::Tcp).port());
    // Nobody listens on the first, and the second says nothing.
    let (dead, silent) = (ports.take(1), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let silent_port = silent.local_addr().unwrap().port();
    let mut command = Command::new("dnsmasq");
    command.args([
        "--no-daemon",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--listen-address=127.0.0.1",
    ]);
    command.args([
        "--conf-file=/dev/null",
        "--local=/example.com/",
        "--user=root",
        "--pid-file=",
        "--log-queries",
    ]);
    command.arg(format!("--port={}", dns.port()));
    for (name, address) in [("one", "127.0.0.1"), ("two", "127.0.0.1"), ("three", "127.0.0.1")] {
        command.arg(format!("--host-record={name}.example.com,{address}"));
    }
    for (service, target, port, priority) in [
        ("_sip._udp", "one", dead, 1),
        ("_sip._udp", "two", silent_port, 2),
        ("_sip._udp", "three", udp, 3),
        ("_sip._tcp", "one", dead, 1),
        ("_sip._tcp", "three", tcp, 2),
    ] {
        command.arg(format!("--srv-host={service}.example.com,{target}.example.com,{port},{priority}"));
        command.arg(format!("--srv-host={service}.naptr.example.com,{target}.example.com,{port},{priority}"));
    }
    command.arg("--naptr-record=naptr.example.com,20,0,s,SIP+D2U,,_sip._udp.naptr.example.com");
    command.arg("--naptr-record=naptr.example.com,10,0,s,SIP+D2T,,_sip._tcp.naptr.example.com");
    let server = Peer::start("dnsmasq", scratch.path(), &mut command);
    assert!(wait_until(PATIENCE, || TcpStream::connect(dns).is_ok()), "{}", server.log());

    // A port that nobody listens on is told by ICMP, a silent host by time.
    options(&desk, "sip:desk@example.com");
    assert_eq!(outcome(&desk), (2, Some(Protocol::Udp), 200));
    // NAPTR prefers TCP; the first refuses the connection.
    options(&desk, "sip:desk@naptr.example.com");
    assert_eq!(outcome(&desk), (1, Some(Protocol::Tcp), 200));
    // A transport that the URI names needs no NAPTR.
    options(&desk, "sip:desk@naptr.example.com;transport=udp");
    assert_eq!(outcome(&desk), (2, Some(Protocol::Udp), 200));
    let asked = server.log();
    for question in [
        "query[NAPTR] naptr.example.com",
        "query[SRV] _sip._tcp.naptr.example.com",
        "query[A] three.example.com",
    ] {
        assert!(asked.contains(question), "{question}: {asked}");
    }
}
