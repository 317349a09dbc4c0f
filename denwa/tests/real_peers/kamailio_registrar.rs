//! Kamailio as registrar with digest and as edge proxy with Path (RFC 3327): two telephones of ours register through it and
//! call each other, and our own proxy is the edge of a Kamailio that registers.

use crate::authority::Authority;
use crate::exchange::{Exchange, PASSWORD, PATIENCE, sdp};
use denwa_interop::{Peer, Ports, Scratch, require, wait_until};
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::*;
use denwa_sip_core::message::UriBuf;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Starts a Kamailio with more modules and a main route of the test's.
fn kamailio(scratch: &Scratch, name: &str, port: u16, modules: &str, route: &str) -> Peer {
    let config = format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
modparam("rr", "enable_double_rr", 1)
{modules}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_ERR", "passed: $rm over $proto\n");
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    t_check_trans();
{route}
}}
"#
    );
    let folder = scratch.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("kamailio.cfg");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(&path);
    command.arg("-Y").arg(&folder).arg("-P").arg(folder.join("kamailio.pid"));
    let peer = Peer::start(name, scratch.path(), &mut command);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(wait_until(PATIENCE, || TcpStream::connect(address).is_ok()), "{}", peer.log());
    peer
}

fn registrar(scratch: &Scratch, port: u16) -> Peer {
    let modules = r#"loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 2)
modparam("registrar", "min_expires", 1)"#;
    let route = format!(
        r#"    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("exchange", "{PASSWORD}", "0")) {{ www_challenge("exchange", "1"); exit; }}
        save("location", "0x04");
        exit;
    }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();"#
    );
    kamailio(scratch, "registrar", port, modules, &route)
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
    record_route();
    # What the registrar sends comes down the Path; loose_route() says no to it for want of a further Route, and is right.
    if ($sp == {registrar_port}) {{ loose_route(); t_relay(); exit; }}
    $du = "sip:127.0.0.1:{registrar_port}";
    t_relay();"#
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
        for peer in [&edge_peer, &registrar_peer] {
            assert!(peer.log().contains(&format!("passed: {method}")), "{method}: {}", peer.log());
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
