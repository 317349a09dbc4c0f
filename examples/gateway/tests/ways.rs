//! Sides by other ways than UDP at an address: TCP, TLS, and peers that the file names. SIPp over TCP at the one end, for Debian's
//! speaks no TLS, and baresip over TLS at the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod town;

use denwa_interop::authority::Authority;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::dns::{NameServer, Record};
use denwa_interop::sipp::{Sipp, receive};
use denwa_interop::{PATIENCE, Ports, Scratch, require};
use denwa_sip_core::Protocol;
use town::Gate;
use town::ladder::*;

struct Ways {
    scratch: Scratch,
    ports: Ports,
    gate: Gate,
    phone: Phone,
    /// SIPp's.
    port: u16,
    _names: NameServer,
}

/// A baresip that listens for TLS where the DNS says that `phone.example` is, and a SIPp's place, which has a name as well.
fn ways(name: &str, answers: bool) -> Ways {
    let (scratch, mut ports) = (Scratch::new(name), Ports::block());
    let authority = Authority::new();
    let (ca, own) = authority.write(scratch.path(), "phone", &["phone.example", "127.0.0.1"]);
    let (_, of_gateway) = authority.write(scratch.path(), "gateway", &["127.0.0.1"]);
    let account = Account {
        name: "peer",
        transport: "tls",
        codecs: "PCMU",
        answers,
        ..Account::unregistered("200", "127.0.0.1")
    };
    let config =
        format!("sip_certificate {}\nsip_cafile {}\nsip_verify_server yes\n", own.display(), ca.display());
    let phone = Phone::start_with(&account, scratch.path(), &mut ports, &vec![0; 8000 * 300], &config);
    phone.peer.wait_for("baresip is ready", PATIENCE);
    let port = ports.take(2);
    let names = NameServer::start();
    // It listens for TLS on the port after that for UDP and TCP.
    let service = |port, host: &str| Record::Service(0, 0, port, host.to_owned());
    names.put("_sips._tcp.phone.example", service(phone.sip_port + 1, "phone.example"));
    names.put("phone.example", Record::Address([127, 0, 0, 1].into()));
    names.put("_sip._tcp.exchange.example", service(port, "host.exchange.example"));
    names.put("host.exchange.example", Record::Address([127, 0, 0, 2].into()));
    let first = ports.take(20);
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [network]\ndns = [\"{}\"]\n[tls]\ncertificate = \"{of}\"\nkey = \"{of}\"\nauthorities = \"{}\"\n\
         [[sides]]\nname = \"exchange\"\nto = \"tcp:exchange.example\"\n\
         [[sides]]\nname = \"phone\"\nto = \"tls:phone.example\"\n\
         [[routes]]\nfrom = \"exchange\"\nto = \"phone\"\n[[routes]]\nfrom = \"phone\"\nto = \"exchange\"\n",
        first + 19,
        names.address(),
        ca.display(),
        of = of_gateway.display(),
    ));
    // Who calls is known by his address, once the names have been looked up; one has no address of its own, only a service.
    gate.wait_for("side exchange: its name leads to 127.0.0.2");
    gate.wait_for("side phone: its name leads to 127.0.0.1");
    Ways { scratch, ports, gate, phone, port, _names: names }
}

fn assert_good(sipp: &mut Sipp, ways: &Ways) {
    let messages = || sipp.messages().iter().map(ToString::to_string).collect::<String>();
    let messages = messages();
    assert!(sipp.finish(PATIENCE), "{messages}\n{}\n{}", ways.gate.log(), ways.phone.peer.log());
}

#[test]
fn from_tcp_to_tls_by_name() {
    if !require("sipp") || !require("baresip") {
        return;
    }
    let mut ways = ways("gateway-tcp-tls", true);
    let target =
        ways.gate.running().listening().iter().find(|it| it.protocol == Protocol::Tcp).unwrap().address;
    let mut steps = calls("", Some(&sdp(1, "")));
    steps.extend([
        receive("response=\"180\" optional=\"true\""),
        receive("response=\"200\""),
        asks("ACK", 1, "", None),
    ]);
    steps.extend(is_hung_up());
    let place = ("127.0.0.2", ways.port, ways.ports.take(2));
    let mut sipp = start_over("t1", "caller", &steps, Some(&target.to_string()), place, &ways.scratch);
    ways.phone.peer.wait_for("Call established", PATIENCE);
    ways.gate.wait_for(": up");
    ways.phone.hang_up();
    assert_good(&mut sipp, &ways);
    let answer = sipp.messages();
    let contact = received(&answer, "SIP/2.0 200").header("Contact").to_owned();
    assert!(contact.contains("transport=tcp") && contact.contains(&target.to_string()), "{contact}");
    assert_eq!(ways.gate.end(), Vec::<String>::new());
}

#[test]
fn from_tls_to_tcp_by_name() {
    if !require("sipp") || !require("baresip") {
        return;
    }
    let mut ways = ways("gateway-tls-tcp", false);
    let tls = ways.gate.running().listening().iter().find(|it| it.protocol == Protocol::Tls).unwrap().address;
    let place = ("127.0.0.2", ways.port, ways.ports.take(2));
    let mut sipp = start_over("t1", "callee", &takes_the_call(), None, place, &ways.scratch);
    sipp.wait_until_it_listens("t1");
    ways.phone.dial(&format!("sip:300@{tls};transport=tls"));
    ways.phone.peer.wait_for("Call established", PATIENCE);
    ways.gate.wait_for(": up");
    ways.phone.hang_up();
    assert_good(&mut sipp, &ways);
    let messages = sipp.messages();
    let invite = received(&messages, "INVITE");
    assert_eq!(invite.first_line(), "INVITE sip:300@exchange.example SIP/2.0", "{invite}");
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP "), "{invite}");
    assert_eq!(ways.gate.end(), Vec::<String>::new());
}
