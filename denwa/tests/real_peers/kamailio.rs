//! Kamailio between two user agents: as outbound proxy over TLS, and as load balancer, with Record-Route.

use crate::agent::{Agent, PATIENCE};
use crate::authority::Authority;
use denwa::ua::Event;
use denwa_interop::kamailio::{Kamailio, Setup};
use denwa_interop::{Ports, Scratch, require, wait_until};
use denwa_sip_core::Protocol;
use std::fs;
use std::net::{SocketAddr, TcpStream};

/// One that speaks all transports and forwards every request of a new dialog as `route` says; and its port for TLS.
fn kamailio(
    scratch: &Scratch,
    ports: &mut Ports,
    authority: &Authority,
    more: &str,
    route: &str,
) -> (Kamailio, u16) {
    let (ca, own) = authority.write(scratch.path(), "kamailio", &["127.0.0.1"]);
    let (port, tls) = (ports.take(1), ports.take(1));
    let head = format!("enable_tls=yes\nlisten=tls:127.0.0.1:{tls}");
    let (ca, own) = (ca.display(), own.display());
    let more = format!(
        r#"loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "private_key", "{own}")
modparam("tls", "certificate", "{own}")
modparam("tls", "ca_list", "{ca}")
modparam("tls", "verify_certificate", 1)
modparam("rr", "enable_double_rr", 1)
{more}"#
    );
    let routes = format!("route[BEGIN] {{ {route} }}");
    let setup =
        Setup { name: "proxy", port, tcp: true, silent: false, head: &head, more: &more, routes: &routes };
    let proxy = Kamailio::set_up(scratch.path(), &setup);
    let address = SocketAddr::from(([127, 0, 0, 1], tls));
    assert!(wait_until(PATIENCE, || TcpStream::connect(address).is_ok()), "{}", proxy.peer.log());
    (proxy, tls)
}

/// Everything of a call goes through it: INVITE, ACK, and BYE from either end, over TLS on one side and UDP, TCP or TLS on
/// the other.
#[test]
fn as_outbound_proxy_over_tls() {
    if !require("kamailio") {
        return;
    }
    let scratch = Scratch::new("kamailio-outbound");
    let mut ports = Ports::block();
    let authority = Authority::new();
    let (proxy, tls) = kamailio(&scratch, &mut ports, &authority, "", "return;");
    let (a, b) = (Agent::start(&authority), Agent::start(&authority));
    let account = a.account("a", "127.0.0.1", Some((Protocol::Tls, SocketAddr::from(([127, 0, 0, 1], tls)))));
    let mut calls = 0;
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tls] {
        for caller_ends in [true, false] {
            let to = format!("sip:b@{};transport={}", b.address(protocol), protocol.uri_token());
            let call = a.call(account, to);
            let Event::Incoming { call: there, .. } =
                b.until(|event| matches!(event, Event::Incoming { .. }))
            else {
                return;
            };
            a.until_answered(call);
            b.until_answered(there);
            if caller_ends {
                a.hang_up(call)
            } else {
                b.hang_up(there)
            }
            let (one, other) = (a.until_ended(), b.until_ended());
            let expected = ["hung up here", "the other side hung up"];
            assert_eq!(if caller_ends { [&*one, &*other] } else { [&*other, &*one] }, expected);
            calls += 1;
            let through = protocol.via_token().to_ascii_lowercase();
            let bye = if caller_ends { "BYE over tls".to_owned() } else { format!("BYE over {through}") };
            assert!(proxy.passed(&bye) > 0, "{bye}: {}", proxy.peer.log());
        }
    }
    for method in ["INVITE", "ACK", "BYE"] {
        assert!(proxy.passed(method) >= calls, "{method}: {}", proxy.peer.log());
    }
    a.stop();
    b.stop();
}

/// It shares calls between two, over different transports, and passes by one that is dead.
#[test]
fn as_load_balancer_with_record_route() {
    if !require("kamailio") {
        return;
    }
    let scratch = Scratch::new("kamailio-balancer");
    let mut ports = Ports::block();
    let authority = Authority::new();
    let (a, b, c) = (Agent::start(&authority), Agent::start(&authority), Agent::start(&authority));
    let list = scratch.path().join("dispatcher.list");
    let (udp, tls) = (b.address(Protocol::Udp), c.address(Protocol::Tls));
    fs::write(&list, format!("1 sip:{udp}\n1 sip:{tls};transport=tls\n")).unwrap();
    let more = format!(
        "loadmodule \"dispatcher.so\"\nmodparam(\"dispatcher\", \"list_file\", \"{}\")",
        list.display()
    );
    let route = r#"if (!ds_select_dst("1", "4")) { sl_send_reply("503", "Nobody"); exit; }"#;
    let (proxy, _) = kamailio(&scratch, &mut ports, &authority, &more, route);
    let account = a.account("a", "127.0.0.1", None);
    for turn in 0..10 {
        let call = a.call(account, format!("sip:service@127.0.0.1:{}", proxy.address.port()));
        // They take turns; which is first is the balancer's business.
        let mut there = None;
        let end = std::time::Instant::now() + PATIENCE;
        while there.is_none() {
            assert!(std::time::Instant::now() < end, "call {turn} came nowhere: {}", proxy.peer.log());
            there = [&b, &c].into_iter().find(|agent| agent.has_call());
        }
        let there = there.unwrap();
        a.until_answered(call);
        a.hang_up(call);
        assert_eq!(a.until_ended(), "hung up here");
        assert_eq!(there.until_ended(), "the other side hung up");
    }
    // Over UDP a busy machine may see one of them twice.
    for method in ["INVITE", "ACK", "BYE"] {
        assert!(proxy.passed(method) >= 10, "{method}: {}", proxy.peer.log());
    }
    assert_eq!([b.calls_had(), c.calls_had()], [5, 5]);
    for agent in [a, b, c] {
        agent.stop();
    }
}
