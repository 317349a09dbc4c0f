//! Neighbours that none of us wrote: what an Asterisk's quick-start does to its neighbours, as SIPp scenarios; Kamailio that
//! registers with us, and Kamailio as outbound proxy; and a telephone company that refuses much.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use denwa_interop::dns::{NameServer, Record};
use denwa_interop::hikari::{Carrier, Line};
use denwa_interop::kamailio::Kamailio;
use denwa_interop::sipp::{Options, Sipp};
use denwa_interop::{Ports, Scratch, require, wait_until};
use phone::{Phone, Program, folder};

const LIMIT: Duration = Duration::from_secs(60);

struct House {
    program: Program,
    server: SocketAddr,
}

impl House {
    fn new(name: &str, port: u16, tables: &str) -> Self {
        let text = format!(
            "[[extensions]]\nnumber = \"1001\"\npassword = \"secret-1001\"\n{tables}\n\
             [sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n[calls]\nannouncements = false\n"
        );
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        Self { program: Program::start(folder(name), &text), server }
    }

    fn phone(&self) -> Phone {
        let mut phone = Phone::udp(self.server, "1001", "secret-1001");
        assert_eq!(phone.register(300).status(), 200);
        phone
    }
}

const HILL: &str = "[[trunks]]\nname = \"hill\"\nprofile = \"asterisk\"\ninbound_user = \"hill\"\n\
                    inbound_password = \"wave-kettle\"\nsupervise = false\n[[routes]]\nprefix = \"0390\"\ntrunk = \"hill\"\n";

#[test]
fn an_asterisk_registers_calls_and_is_called() {
    if !require("sipp") {
        return;
    }
    let (scratch, mut ports) = (Scratch::new("asterisk"), Ports::block());
    let (server, own, media) = (ports.take(2), ports.take(2), ports.take(20));
    let mut house = House::new("asterisk", server, HILL);
    let target = format!("127.0.0.1:{server}");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/neighbours");
    let start = |name: &str, target: Option<&str>, more: &[&str]| {
        let scenario = fs::read_to_string(scenarios.join(format!("{name}.xml"))).unwrap();
        let arguments: Vec<&str> =
            ["-m", "1", "-timeout", "50s", "-timeout_error"].iter().chain(more).copied().collect();
        let options = Options {
            name,
            scenario: &scenario,
            target,
            port: own,
            media_port: media,
            arguments: &arguments,
        };
        Sipp::start(&options, scratch.path())
    };
    let good = |name: &str, mut sipp: Sipp| {
        let good = sipp.finish(LIMIT);
        let errors = fs::read_to_string(scratch.path().join(format!("{name}.errors"))).unwrap_or_default();
        assert!(good, "{name}: {errors}");
    };
    good("asterisk_registers", start("asterisk_registers", Some(&target), &[]));
    house.program.wait_for("hill registered");
    let mut alice = house.phone();

    let sipp = start("asterisk_calls", Some(&target), &["-s", "1001"]);
    let called = alice.invited();
    assert!(called.invite.header("From").contains("\"Barn\" <sip:03902525@"), "{:?}", called.invite);
    alice.answer(&called, &alice.offer("8 101"));
    alice.hung_up(&called);
    good("asterisk_calls", sipp);

    let sipp = start("asterisk_is_called", None, &[]);
    sipp.wait_until_it_listens("u1");
    let mut calling = alice.call("0390200");
    alice.answered(&mut calling);
    // A-law here, iLBC there.
    house.program.wait_for("PCMA/iLBC");
    alice.hang_up(&mut calling);
    good("asterisk_is_called", sipp);
}

#[test]
fn kamailio_registers_and_calls_pass_both_ways() {
    if !require("kamailio") {
        return;
    }
    let (scratch, mut ports) = (Scratch::new("kamailio-neighbour"), Ports::block());
    let (server, own, behind) = (ports.take(2), ports.take(2), ports.take(2));
    let mut house = House::new("kamailio-neighbour", server, HILL);
    let tables = scratch.path().join("tables");
    fs::create_dir(&tables).unwrap();
    fs::write(tables.join("version"), "table_name(string) table_version(int)\nuacreg:5\n").unwrap();
    fs::write(
        tables.join("uacreg"),
        format!(
            "id(int,auto) l_uuid(string) l_username(string) l_domain(string) r_username(string) r_domain(string) realm(string) \
             auth_username(string) auth_password(string) auth_ha1(string,null) auth_proxy(string) expires(int) flags(int) reg_delay(int) \
             contact_addr(string) socket(string,null)\n\
             1:line:hill:127.0.0.1:hill:127.0.0.1:pbx.example:hill:wave-kettle::sip\\:127.0.0.1\\:{server}:300:0:0:127.0.0.1\\:{own}:\n"
        ),
    )
    .unwrap();
    let more = format!(
        "loadmodule \"db_text.so\"\nloadmodule \"uac.so\"\nmodparam(\"uac\", \"reg_db_url\", \"text://{}\")\n\
         modparam(\"uac\", \"reg_contact_addr\", \"127.0.0.1:{own}\")\nmodparam(\"uac\", \"reg_timer_interval\", 5)\n\
         modparam(\"uac\", \"auth_username_avp\", \"$avp(user)\")\nmodparam(\"uac\", \"auth_password_avp\", \"$avp(password)\")\n\
         modparam(\"uac\", \"auth_realm_avp\", \"$avp(realm)\")",
        tables.display()
    );
    let routes = format!(
        r#"
route[BEGIN] {{
    if ($sp == {server}) {{ $du = "sip:127.0.0.1:{behind}"; return; }}
    $du = "sip:127.0.0.1:{server}";
    t_on_failure("PROVE");
}}
failure_route[PROVE] {{
    if (t_check_status("407")) {{
        $avp(realm) = "pbx.example";
        $avp(user) = "hill";
        $avp(password) = "wave-kettle";
        if (uac_auth()) {{ t_on_failure("PROVE_NO_MORE"); t_relay(); }}
    }}
}}
failure_route[PROVE_NO_MORE] {{ exit; }}
"#
    );
    let kamailio = Kamailio::start(scratch.path(), own, &more, &routes);
    let mut alice = house.phone();
    house.program.wait_for("hill registered");

    let mut barn = Phone::udp_at(kamailio.address, "2525", "", SocketAddr::from(([127, 0, 0, 1], behind)));
    let mut calling = alice.call("03902525");
    let called = barn.invited();
    assert!(called.invite.first_line.contains("sip:2525@"), "{:?}", called.invite);
    barn.answer_through(&called, &barn.offer("8 101"));
    let answer = alice.answered(&mut calling);
    alice.says_to(0x71, answer.rtp(), 8, &barn);
    barn.says_to(0x72, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    barn.hung_up(&called);
    assert!(kamailio.passed("BYE") >= 1, "{}", kamailio.peer.log());

    let calling = barn.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:03902525@"), "{:?}", called.invite);
    alice.reply(&called, 486, "");
    assert_eq!(barn.final_of(&calling).status(), 486);
}

#[test]
fn kamailio_as_outbound_proxy() {
    if !require("kamailio") {
        return;
    }
    let (scratch, mut ports) = (Scratch::new("kamailio-proxy"), Ports::block());
    let (server, own, behind) = (ports.take(2), ports.take(2), ports.take(2));
    let routes = "route[BEGIN] { if (loose_route_preloaded()) { return; } remove_hf(\"Route\"); }";
    let kamailio =
        Kamailio::start(scratch.path(), own, "", &routes.replace("loose_route_preloaded", "loose_route"));
    let house = House::new(
        "kamailio-proxy",
        server,
        &format!(
            "[[trunks]]\nname = \"far\"\naddress = \"udp:127.0.0.1:{behind}\"\noutbound_proxy = \"udp:127.0.0.1:{own}\"\n\
             [[routes]]\nprefix = \"9\"\ntrunk = \"far\"\n"
        ),
    );
    let mut alice = house.phone();
    let mut far = Phone::udp_at(kamailio.address, "200", "", SocketAddr::from(([127, 0, 0, 1], behind)));
    for caller_ends in [true, false] {
        let mut calling = alice.call("9200");
        let mut called = far.invited();
        far.answer_through(&called, &far.offer("8 101"));
        let answer = alice.answered(&mut calling);
        alice.says_to(0x73, answer.rtp(), 8, &far);
        far.says_to(0x74, called.invite.rtp(), 8, &alice);
        if caller_ends {
            alice.hang_up(&mut calling);
            far.hung_up(&called);
        } else {
            far.hang_up(&mut called);
            alice.hung_up(&calling);
        }
    }
    for method in ["INVITE", "ACK", "BYE"] {
        assert!(kamailio.passed(method) >= 2, "{method}: {}", kamailio.peer.log());
    }
}

/// SRV by transport, NAPTR and SRV for a name alone; the first server says nothing.
#[test]
fn neighbours_are_found_by_their_names() {
    let mut ports = Ports::block();
    let (server, near) = (ports.take(2), ports.take(2));
    let dns = NameServer::start();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let here = || Record::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let srv = |priority, port, target: &str| Record::Service(priority, 0, port, target.to_owned());
    dns.put("_sip._udp.lab.example", srv(20, near, "two.lab.example"));
    dns.put("_sip._udp.lab.example", srv(10, silent_port, "one.lab.example"));
    dns.put("one.lab.example", here());
    dns.put("two.lab.example", here());
    let tables = format!(
        "[network]\ndns = [\"{}\"]\n[[trunks]]\nname = \"lab\"\naddress = \"udp:lab.example\"\npatience_seconds = 3\n\
         supervise = false\n[[trunks]]\nname = \"hill\"\naddress = \"hill.example\"\nsupervise = false\n\
         [[routes]]\nprefix = \"9\"\ntrunk = \"lab\"\n[[routes]]\nprefix = \"8\"\ntrunk = \"hill\"\n",
        dns.address()
    );
    let mut house = House::new("names", server, &tables);
    let mut alice = house.phone();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut two = Phone::udp_at(house.server, "200", "", at(near));

    // A name that the DNS does not know is told, and asked for again when the file is read anew.
    house
        .program
        .wait_for("it is not known where the trunk at hill.example is: the DNS knows no server of it");
    let calling = alice.call("8200");
    assert_eq!(alice.refused(&calling).status(), 502);

    house.program.wait_for("the trunk at udp:lab.example is at udp 127.0.0.1:");
    let calling = alice.call("9200");
    let called = two.invited();
    assert!(called.invite.first_line.starts_with("INVITE sip:200@lab.example "), "{:?}", called.invite);
    let mut heard = [0; 2000];
    let (length, _) = silent.recv_from(&mut heard).unwrap();
    assert!(heard[..length].starts_with(b"INVITE sip:200@lab.example "), "the better server was asked first");
    two.reply(&called, 486, "");
    assert_eq!(alice.refused(&calling).status(), 486);
    // Where its servers are is where its calls come from.
    let calling = two.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("<sip:9200@"), "{:?}", called.invite);
    alice.reply(&called, 486, "");
    assert_eq!(two.final_of(&calling).status(), 486);

    // The NAPTR record leads where no default would.
    let third = ports.take(2);
    dns.put("hill.example", Record::Pointer(10, 0, "SIP+D2U".to_owned(), "_sip._udp.far.example".to_owned()));
    dns.put("_sip._udp.far.example", srv(0, third, "one.lab.example"));
    let mut three = Phone::udp_at(house.server, "300", "", at(third));
    house.program.signal("HUP");
    house.program.wait_for(&format!("the trunk at hill.example is at udp 127.0.0.1:{third}"));
    let calling = alice.call("8300");
    let called = three.invited();
    assert!(called.invite.first_line.starts_with("INVITE sip:300@hill.example "), "{:?}", called.invite);
    three.reply(&called, 486, "");
    assert_eq!(alice.final_of(&calling).status(), 486);
}

/// A telephone company on the loopback, with one line whose one SIP port is the exchange's.
fn carrier(port: u16) -> Carrier {
    Carrier::start(Line {
        number: "0312345678".to_owned(),
        domain: "ntt-east.ne.jp".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port,
    })
}

#[test]
fn a_carrier_that_refuses_much_is_satisfied() {
    let mut ports = Ports::block();
    let (server, limit) = (ports.take(2), Duration::from_secs(60));
    let carrier = carrier(server);
    let tables = format!(
        "[[trunks]]\nname = \"ntt\"\nprofile = \"hikari\"\naddress = \"udp:{}\"\nuser = \"0312345678\"\n\
         domain = \"ntt-east.ne.jp\"\nincoming = \"1001\"\n[[routes]]\nprefix = \"0\"\nstrip = 0\ntrunk = \"ntt\"\n",
        carrier.address
    );
    let house = House::new("hikari", server, &tables);
    let mut alice = house.phone();
    carrier.wait_for("registered", limit);
    for _ in 0..2 {
        let mut calling = alice.call("0355556666");
        let answer = alice.answered(&mut calling);
        // The carrier echoes, and nothing of it is converted on the way.
        let (kind, heard) = alice.says_to(0x75, answer.rtp(), 0, &alice);
        assert_eq!((kind, heard), (0, vec![0x75; 160]));
        alice.hang_up(&mut calling);
    }
    // It has one line: what ends late would end the next call.
    carrier.wait_for_times("ended", 2, limit);
    for (times, from) in [(1, Some("0399998888")), (2, None)] {
        carrier.call(from);
        let called = alice.invited();
        let shown = from.unwrap_or("anonymous");
        assert!(called.invite.header("From").contains(&format!("sip:{shown}@")), "{:?}", called.invite);
        alice.reply(&called, 180, "");
        carrier.wait_for_times("ringing", times, limit);
        alice.reply(&called, 200, &alice.offer("0 101"));
        alice.expect("ACK", 0);
        carrier.wait_for_times("answered, session 300;refresher=uac", times, limit);
        if from.is_some() {
            carrier.hang_up();
            alice.hung_up(&called);
        } else {
            let mut called = called;
            alice.hang_up(&mut called);
        }
    }
    let ended = || carrier.told().iter().filter(|line| line.starts_with("ended")).count();
    assert!(wait_until(limit, || ended() == 3), "{:#?}", carrier.told());
    let told = carrier.told();
    let refused: Vec<&String> =
        told.iter().filter(|line| line.starts_with("refused") || line.starts_with("gave up")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// The same carrier and a trunk without its profile: each of these is refused, so that the test above proves something.
#[test]
fn the_carrier_refuses_who_does_not_know_it() {
    let mut ports = Ports::block();
    let (server, limit) = (ports.take(2), Duration::from_secs(60));
    let carrier = carrier(server);
    let tables = format!(
        "[[trunks]]\nname = \"ntt\"\naddress = \"udp:{}\"\nuser = \"0312345678\"\npassword = \"x\"\nregister = true\n\
         [[routes]]\nprefix = \"0\"\nstrip = 0\ntrunk = \"ntt\"\n",
        carrier.address
    );
    let house = House::new("hikari-plain", server, &tables);
    let mut alice = house.phone();
    carrier.wait_for("refused 403: REGISTER names", limit);
    let calling = alice.call("0355556666");
    assert_eq!(alice.refused(&calling).status(), 403);
    carrier.wait_for("refused 403: From is", limit);
}
