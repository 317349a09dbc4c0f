//! Kamailio between two user agents: as outbound proxy over TLS, and as load balancer, with Record-Route.

use crate::agent::{Agent, PATIENCE};
use crate::authority::Authority;
use denwa::ua::Event;
use denwa_interop::{Peer, Ports, Scratch, require, wait_until};
use denwa_sip_core::Protocol;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

struct Kamailio {
    peer: Peer,
    udp: u16,
    tls: u16,
}

impl Kamailio {
    /// Starts one that forwards every request of a new dialog as `route` says.
    fn start(scratch: &Scratch, ports: &mut Ports, authority: &Authority, more: &str, route: &str) -> Self {
        let folder = scratch.path();
        let (ca, own) = authority.write(folder, "kamailio", &["127.0.0.1"]);
        let (udp, tls) = (ports.take(1), ports.take(1));
        let config = format!(
            r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
enable_tls=yes
listen=udp:127.0.0.1:{udp}
listen=tcp:127.0.0.1:{udp}
listen=tls:127.0.0.1:{tls}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "private_key", "{own}")
modparam("tls", "certificate", "{own}")
modparam("tls", "ca_list", "{ca}")
modparam("tls", "verify_certificate", 1)
modparam("rr", "enable_double_rr", 1)
{more}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    xlog("L_ERR", "passed: $rm over $proto\n");
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    t_check_trans();
    record_route();
    {route}
    t_relay();
}}
"#,
            own = own.display(),
            ca = ca.display(),
        );
        let path = folder.join("kamailio.cfg");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "8", "-f"]).arg(&path);
        command.arg("-Y").arg(folder).arg("-P").arg(folder.join("kamailio.pid"));
        let peer = Peer::start("kamailio", folder, &mut command);
        for port in [udp, tls] {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            assert!(wait_until(PATIENCE, || TcpStream::connect(address).is_ok()), "{}", peer.log());
        }
        Self { peer, udp, tls }
    }

    fn passed(&self, what: &str) -> usize {
        self.peer.log().matches(&format!("passed: {what}")).count()
    }
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
    let proxy = Kamailio::start(&scratch, &mut ports, &authority, "", "");
    let (a, b) = (Agent::start(&authority), Agent::start(&authority));
    let account =
        a.account("a", "127.0.0.1", Some((Protocol::Tls, SocketAddr::from(([127, 0, 0, 1], proxy.tls)))));
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
    let proxy = Kamailio::start(&scratch, &mut ports, &authority, &more, route);
    let account = a.account("a", "127.0.0.1", None);
    for turn in 0..10 {
        let call = a.call(account, format!("sip:service@127.0.0.1:{}", proxy.udp));
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
