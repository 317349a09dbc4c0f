//! Kamailio as registrar with digest and as edge proxy with Path (RFC 3327): two telephones of ours register through it and
//! call each other, and our own proxy is the edge of a Kamailio that registers.

use crate::authority::Authority;
use crate::exchange::{Exchange, PASSWORD, sdp};
use denwa_interop::kamailio::{Kamailio, REGISTRAR, Setup};
use denwa_interop::{Ports, Scratch, require};
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::*;
use denwa_sip_core::message::UriBuf;
use std::net::SocketAddr;
use std::time::Duration;

/// One that speaks both transports, with more modules and a route of the test's.
fn kamailio(scratch: &Scratch, name: &str, port: u16, modules: &str, route: &str) -> Kamailio {
    let more = format!("modparam(\"rr\", \"enable_double_rr\", 1)\n{modules}");
    let routes = format!("route[BEGIN] {{\n{route}\n}}");
    Kamailio::set_up(
        scratch.path(),
        &Setup { name, port, tcp: true, silent: false, head: "", more: &more, routes: &routes },
    )
}

fn registrar(scratch: &Scratch, port: u16) -> Kamailio {
    let modules = format!(
        r#"{REGISTRAR}
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 2)
modparam("registrar", "min_expires", 1)"#
    );
    let route = format!(
        r#"    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("exchange", "{PASSWORD}", "0")) {{ www_challenge("exchange", "1"); exit; }}
        save("location", "0x04");
        exit;
    }}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}"#
    );
    kamailio(scratch, "registrar", port, &modules, &route)
}

/// Registers `user` at the registrar by way of `edge`; the response of the registrar.
fn register(
    exchange: &Exchange,
    user: &'static str,
    edge: (Protocol, SocketAddr),
    registrar: SocketAddr,
) -> denwa_sip_core::Response {
    let (protocol, address) = edge;
    let uri = |text: String| UriBuf::parse(&text).unwrap();
    let register = Register {
        address_of_record: Party::new(uri(format!("sip:{user}@{registrar}"))),
        registrar: uri(format!("sip:{registrar}")),
        target: Target::address(protocol, address),
        routes: Vec::new(),
        local: LocalIdentity { user: user.to_owned(), ..LocalIdentity::default() },
        headers: Headers::new().with("Supported", "path").unwrap(),
        credentials: vec![Credentials {
            realm: Some("exchange".to_owned()),
            username: user.to_owned(),
            secret: Secret::password(PASSWORD),
        }],
        expires: Duration::from_secs(120),
    };
    exchange.act(move |endpoint, now| endpoint.register(register, now).map(drop)).unwrap();
    exchange.expect(|event| match event {
        Event::Registered { response, .. } => Some(response.clone()),
        Event::RegistrationFailed { reason, .. } => panic!("{reason:?}"),
        _ => None,
    })
}

/// A calls B by his address of record, each behind the edge; either hangs up.
fn call_each_other(a: &Exchange, b: &Exchange, edge: (Protocol, SocketAddr), registrar: SocketAddr) {
    for caller_ends in [true, false] {
        let (protocol, address) = edge;
        let party = |user: &str| Party::new(UriBuf::parse(&format!("sip:{user}@{registrar}")).unwrap());
        let mut place = PlaceCall::new(party("a"), party("b"), Target::address(protocol, address));
        place.local.user = "a".to_owned();
        place.body = Some(sdp(1, "sendrecv"));
        let call = a.act(move |endpoint, now| endpoint.place_call(place, now)).unwrap();
        a.expect(|event| match event {
            Event::CallAnswered { .. } => Some(()),
            Event::CallEnded { reason, .. } => panic!("{reason:?}"),
            _ => None,
        });
        let there = b.expect_call();
        // Hold and back, through everything that is between.
        a.change(call, 2, "sendonly");
        b.change(there, 3, "sendrecv");
        if caller_ends {
            a.hang_up(call);
            b.expect_end(there);
        } else {
            b.hang_up(there);
            a.expect_end(call);
        }
    }
}

fn edge(protocol: Protocol) {
    if !require("kamailio") {
        return;
    }
    let scratch = Scratch::new(&format!("kamailio-path-{}", protocol.uri_token()));
    let mut ports = Ports::block();
    let (edge_port, registrar_port) = (ports.take(2), ports.take(2));
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let registrar_peer = registrar(&scratch, registrar_port);
    let route = format!(
        r#"    if (is_method("REGISTER")) {{ add_path_received(); $du = "sip:127.0.0.1:{registrar_port}"; t_relay(); exit; }}
    # What the registrar sends comes down the Path; loose_route() says no to it for want of a further Route, and is right.
    if ($sp == {registrar_port}) {{ loose_route(); t_relay(); exit; }}
    $du = "sip:127.0.0.1:{registrar_port}";"#
    );
    let modules = "loadmodule \"path.so\"\nmodparam(\"path\", \"use_received\", 1)";
    let edge_peer = kamailio(&scratch, "edge", edge_port, modules, &route);
    let authority = Authority::new();
    let (a, b) = (Exchange::start(&authority), Exchange::start(&authority));
    let way = (protocol, at(edge_port));
    for (exchange, user) in [(&a, "a"), (&b, "b")] {
        let ok = register(exchange, user, way, at(registrar_port));
        let path = ok.get("Path").unwrap_or_default();
        assert!(path.contains(&edge_port.to_string()), "the Path of the edge comes back: {path:?}");
    }
    call_each_other(&a, &b, way, at(registrar_port));
    for method in ["INVITE", "ACK", "BYE"] {
        for kamailio in [&edge_peer, &registrar_peer] {
            assert!(kamailio.passed(method) > 0, "{method}: {}", kamailio.peer.log());
        }
    }
    a.stop();
    b.stop();
}

#[test]
fn as_registrar_and_as_edge_proxy_with_path_over_udp() {
    edge(Protocol::Udp);
}

#[test]
fn as_registrar_and_as_edge_proxy_with_path_over_tcp() {
    edge(Protocol::Tcp);
}
