//! Links between exchanges: how neighbours are reached and known, what calls with them look like, and what is done for stubborn
//! ones. The neighbours are text telephones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::{SocketAddr, UdpSocket};

use phone::{Phone, Program, folder, free_port};

/// An exchange with 1001 and 1002, and what a test adds. `NEAR` in it stands for a neighbour's port, `FAR` for another's.
struct House {
    program: Program,
    server: SocketAddr,
    near: SocketAddr,
    far: SocketAddr,
}

impl House {
    fn new(name: &str, tables: &str) -> Self {
        let [port, near, far] = [free_port(), free_port(), free_port()];
        let tables = tables.replace("NEAR", &near.to_string()).replace("FAR", &far.to_string());
        let text = format!(
            "[[extensions]]\nnumber = \"1001\"\npassword = \"secret-1001\"\nEXTRA\n\
             [[extensions]]\nnumber = \"1002\"\npassword = \"secret-1002\"\n{tables}\n\
             [sip]\nlisten = [\"udp:127.0.0.1:{port}\", \"tcp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
             [calls]\nannouncements = false\nDIGITS\n"
        );
        // What a test says of 1001 and of calls stands behind marks of its own.
        let take = |mark: &str, text: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let (extra, digits) = (take("1001: ", &text), take("calls: ", &text));
        let rest: String = text
            .lines()
            .filter(|line| !line.starts_with("1001: ") && !line.starts_with("calls: "))
            .map(|line| format!("{line}\n"))
            .collect();
        let text = rest.replace("EXTRA", &extra).replace("DIGITS", &digits);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { program: Program::start(folder(name), &text), server: at(port), near: at(near), far: at(far) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    fn near(&self) -> Phone {
        Phone::udp_at(self.server, "200", "", self.near)
    }

    fn far(&self) -> Phone {
        Phone::udp_at(self.server, "200", "", self.far)
    }
}

const ROUTE: &str = "[[routes]]\nprefix = \"9\"\ntrunk = \"lab\"\n";

fn trunk(keys: &str) -> String {
    format!("[[trunks]]\nname = \"lab\"\naddress = \"udp:127.0.0.1:NEAR\"\n{keys}\n{ROUTE}")
}

/// Calls by the trunk: the INVITE as it comes there; then the call is given up.
fn invite(alice: &mut Phone, neighbour: &mut Phone, number: &str) -> phone::Message {
    let calling = alice.call(number);
    let called = neighbour.invited();
    neighbour.reply(&called, 486, "");
    neighbour.expect("ACK", 0);
    assert_eq!(alice.refused(&calling).status(), 486);
    called.invite
}

#[test]
fn a_neighbour_without_an_address_registers_and_is_called_there() {
    let mut house = House::new(
        "inbound",
        &format!(
            "[[trunks]]\nname = \"lab\"\ninbound_user = \"hill\"\ninbound_password = \"wave-kettle\"\nsupervise = false\n{ROUTE}"
        ),
    );
    let mut alice = house.phone("1001");
    let calling = alice.call("9200");
    assert_eq!(alice.refused(&calling).status(), 502, "it has not registered yet");
    let mut hill = Phone::udp(house.server, "hill", "wrong");
    assert_eq!(hill.register(300).status(), 401);
    let mut hill = Phone::udp(house.server, "hill", "wave-kettle");
    assert_eq!(hill.register(300).status(), 200);
    house.program.wait_for("hill registered");
    let mut calling = alice.call("9200");
    let called = hill.invited();
    assert!(
        called.invite.first_line.contains(&format!("sip:200@{}", hill.address())),
        "{}",
        called.invite.first_line
    );
    hill.answer(&called, &hill.offer("8 101"));
    let answer = alice.answered(&mut calling);
    alice.says_to(0x61, answer.rtp(), 8, &hill);
    hill.says_to(0x62, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    hill.hung_up(&called);
    // Its password opens no lamp.
    assert_eq!(hill.watch("1001", "dialog"), 403);
    // It calls by its password, and is shown with the prefix that leads back to it.
    let calling = hill.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:9hill@"), "{:?}", called.invite);
    alice.reply(&called, 486, "");
    assert_eq!(hill.final_of(&calling).status(), 486);
    // Where it registered is on disk: it is called at once after a restart.
    let _program = Program::start_again(house.program.stop());
    let calling = alice.call("9201");
    let called = hill.invited();
    assert!(called.invite.first_line.contains("sip:201@"), "{:?}", called.invite);
    hill.reply(&called, 486, "");
    assert_eq!(alice.refused(&calling).status(), 486);
}

#[test]
fn what_is_silent_or_out_of_service_is_passed_over() {
    // Three servers: the first never says a word, the second says 503, the third answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let keys =
        format!("servers = [\"udp:127.0.0.1:NEAR\", \"udp:127.0.0.1:FAR\"]\npatience_seconds = 3\n{ROUTE}");
    let house = House::new(
        "fail-over",
        &format!("[[trunks]]\nname = \"lab\"\naddress = \"udp:{}\"\n{keys}", silent.local_addr().unwrap()),
    );
    let (mut alice, mut near, mut far) = (house.phone("1001"), house.near(), house.far());
    let mut calling = alice.call("9200");
    let refused = near.invited();
    near.reply(&refused, 503, "");
    near.expect("ACK", 0);
    let called = far.invited();
    far.answer(&called, &far.offer("8 101"));
    let answer = alice.answered(&mut calling);
    alice.says_to(0x63, answer.rtp(), 8, &far);
    alice.hang_up(&mut calling);
    far.hung_up(&called);
    // Busy is an answer: nobody else is asked.
    let calling = alice.call("9200");
    let called = near.invited();
    near.reply(&called, 486, "");
    assert_eq!(alice.refused(&calling).status(), 486);
}

#[test]
fn a_busy_one_is_tried_once_more_where_the_file_says_so() {
    let house = House::new("retry", &trunk("retry_seconds = 1"));
    let (mut alice, mut near) = (house.phone("1001"), house.near());
    let calling = alice.call("9200");
    for status in [500, 486] {
        let called = near.invited();
        near.reply(&called, status, "");
        near.expect("ACK", 0);
    }
    assert_eq!(alice.refused(&calling).status(), 486);
}

#[test]
fn supervision_finds_the_dead_before_a_caller_does() {
    let mut house = House::new(
        "supervised",
        &trunk("servers = [\"udp:127.0.0.1:FAR\"]\nsupervise = true\nsupervise_seconds = 20"),
    );
    // Nobody listens at the first; the second answers.
    let mut far = house.far();
    let options = far.expect("OPTIONS", 0);
    far.reply_to(&options, options.header("To"), 200, "");
    house.program.wait_for(&format!("the trunk lab at {} does not answer", house.near));
    let mut alice = house.phone("1001");
    let calling = alice.call("9200");
    let called = far.invited();
    far.reply(&called, 486, "");
    assert_eq!(alice.refused(&calling).status(), 486);
}

#[test]
fn everything_goes_by_the_outbound_proxy_and_comes_from_there() {
    let house = House::new(
        "proxy",
        &format!(
            "[[trunks]]\nname = \"lab\"\naddress = \"udp:sip.example\"\noutbound_proxy = \"udp:127.0.0.1:NEAR\"\n\
             user = \"0312345678\"\npassword = \"x\"\nregister = true\ncontact_user = \"line-1\"\n{ROUTE}"
        ),
    );
    let (mut alice, mut proxy) = (house.phone("1001"), house.near());
    let register = proxy.expect("REGISTER", 0);
    assert!(register.first_line.starts_with("REGISTER sip:sip.example "), "{register:?}");
    assert!(register.header("To").contains("sip:0312345678@sip.example"), "{register:?}");
    assert!(register.header("Contact").contains("sip:line-1@"), "{register:?}");
    proxy.reply_to(&register, register.header("To"), 403, "");
    let invite = invite(&mut alice, &mut proxy, "9200");
    assert!(invite.first_line.starts_with("INVITE sip:200@sip.example "), "{invite:?}");
    assert_eq!(invite.header("Route"), format!("<sip:{};lr>", house.near));
    assert!(invite.header("Contact").contains("sip:line-1@"), "{invite:?}");
    let calling = proxy.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:9200@"), "{:?}", called.invite);
    proxy.cancel(&calling);
}

#[test]
fn timers_and_reliable_responses_are_as_the_file_says() {
    for (keys, expires, minimum, supported, required) in [
        ("", "", "90", "timer", ""),
        ("session_timer = \"off\"\nreliable = \"off\"", "", "", "", ""),
        (
            "session_timer = \"asked\"\nsession_seconds = 300\nsession_min_seconds = 120",
            "300",
            "120",
            "100rel",
            "",
        ),
        ("reliable = \"required\"", "", "", "timer", "100rel"),
        (
            "profile = \"hikari\"\nuser = \"0312345678\"\ndomain = \"ntt-east.ne.jp\"\nregister = false\nretry_seconds = 0",
            "",
            "300",
            "timer",
            "",
        ),
    ] {
        let house = House::new("terms", &trunk(keys));
        let (mut alice, mut near) = (house.phone("1001"), house.near());
        let invite = invite(&mut alice, &mut near, "9200");
        assert_eq!(
            invite.header("Session-Expires").split(';').next().unwrap(),
            expires,
            "{keys}: {invite:?}"
        );
        if !minimum.is_empty() && minimum != "90" {
            assert_eq!(invite.header("Min-SE"), minimum, "{keys}: {invite:?}");
        }
        let tags = invite.header("Supported");
        assert!(tags.contains(supported), "{keys}: {invite:?}");
        assert_eq!(keys.contains("session_timer = \"off\""), !tags.contains("timer"), "{keys}: {tags}");
        assert_eq!(keys.contains("reliable = \"off\""), !tags.contains("100rel"), "{keys}: {tags}");
        assert_eq!(invite.header("Require"), required, "{keys}: {invite:?}");
    }
}

#[test]
fn a_session_shorter_than_the_file_allows_is_refused() {
    let house = House::new("min-se", &trunk("session_min_seconds = 600"));
    let (_alice, mut near) = (house.phone("1001"), house.near());
    near.more = "Supported: timer\r\nSession-Expires: 120\r\n".to_owned();
    let calling = near.call("1001");
    let refused = near.refused(&calling);
    assert_eq!((refused.status(), refused.header("Min-SE")), (422, "600"));
}

#[test]
fn early_media_is_heard_as_the_neighbour_allows() {
    let house = House::new("early", &trunk("early_media = \"authorised\""));
    let (mut alice, mut near) = (house.phone("1001"), house.near());
    for (header, status) in
        [("P-Early-Media: inactive\r\n", 180), ("P-Early-Media: sendrecv, gated\r\n", 183), ("", 183)]
    {
        let calling = alice.call("9200");
        let called = near.invited();
        assert_eq!(called.invite.header("P-Early-Media"), "supported");
        near.more = header.to_owned();
        near.reply(&called, 183, &near.offer("8 101"));
        near.more.clear();
        let mut progress = alice.next();
        while progress.status() == 100 {
            progress = alice.next();
        }
        assert_eq!(progress.status(), status, "{header}");
        near.reply(&called, 486, "");
        near.expect("ACK", 0);
        assert_eq!(alice.refused(&calling).status(), 486);
    }
    // A neighbour that asks is told that it may be heard.
    near.more = "P-Early-Media: supported\r\n".to_owned();
    let calling = near.call("9200");
    // (The trunk leads to itself: this is the same telephone as callee.)
    let called = near.invited();
    near.more.clear();
    near.reply(&called, 183, &near.offer("8 101"));
    let progress = near.expect("INVITE", 183);
    assert_eq!(progress.header("P-Early-Media"), "sendrecv");
    near.cancel(&calling);
}

#[test]
fn who_forwarded_a_call_is_told_by_both_headers() {
    let house = House::new("history", &trunk("diverted_by = \"both\"\n1001: forward_busy = \"9200\""));
    let (mut alice, mut bob, mut near) = (house.phone("1001"), house.phone("1002"), house.near());
    let calling = bob.call("1001");
    let called = alice.invited();
    alice.reply(&called, 486, "");
    alice.expect("ACK", 0);
    let called = near.invited();
    let invite = &called.invite;
    assert_eq!(invite.header("Diversion"), "<sip:1001@pbx.example>;reason=user-busy");
    let history = invite.header("History-Info");
    let expected = format!(
        "<sip:1001@{}>;index=1, <sip:1001@pbx.example?Reason=SIP%3Bcause%3D486>;index=1.1, \
         <sip:200@{}>;index=1.1.1;mp=1.1",
        house.server, house.near
    );
    assert_eq!(history, expected);
    bob.cancel(&calling);
}

#[test]
fn a_circle_is_noticed_by_the_history_alone() {
    let house = House::new("circle", &trunk("profile = \"denwa\"\nidentity = \"none\""));
    let mut near = house.near();
    let entry = format!("<sip:9200@{}>;index=1", house.server);
    near.more = format!("History-Info: {entry}, {entry}.1, {entry}.1.1\r\n");
    let calling = near.call("9200");
    assert_eq!(near.refused(&calling).status(), 483);
}

#[test]
fn a_withheld_number_stays_withheld_over_a_hop() {
    let house = House::new("withheld", &trunk("identity = \"p-asserted\""));
    let (mut alice, mut near) = (house.phone("1001"), house.near());
    near.more = "P-Asserted-Identity: <sip:0312345678@x>\r\nPrivacy: id\r\n".to_owned();
    let calling = near.call("1001");
    let called = alice.invited();
    assert!(!format!("{:?}", called.invite).contains("0312345678"), "{:?}", called.invite);
    near.cancel(&calling);
}

#[test]
fn networks_that_stumble_over_rport_see_none() {
    for (keys, shows) in [("", true), ("plain_via = true", false)] {
        let house = House::new("plain-via", &trunk(keys));
        let (mut alice, mut near) = (house.phone("1001"), house.near());
        let sent = invite(&mut alice, &mut near, "9200");
        assert_eq!(sent.header("Via").contains("rport"), shows, "{sent:?}");
        // What it is answered has its own Via as it sent it.
        let calling = near.call("1001");
        let called = alice.invited();
        alice.reply(&called, 486, "");
        let answer = near.final_of(&calling);
        assert_eq!((answer.status(), answer.header("Via").contains("rport")), (486, shows), "{answer:?}");
    }
}

#[test]
fn stubborn_neighbours_are_put_right_by_rules() {
    let rules = "[[rewrites]]\npeer = \"lab\"\non = \"received\"\nat = \"header From\"\nfind = \"anonymous@localhost\"\n\
                 put = \"555@localhost\"\nexamples = [\"<sip:anonymous@localhost>;tag=1\", \"<sip:555@localhost>;tag=1\"]\n\
                 [[rewrites]]\npeer = \"lab\"\non = \"sent\"\nat = \"sdp\"\nmessages = [\"INVITE\"]\nfind = \"^a=ptime:.*\"\nremove = true\n\
                 [[rewrites]]\npeer = \"127.0.0.0/8\"\non = \"sent\"\nat = \"header X-Line\"\nput = \"1\"\nmessages = [\"INVITE\", \"180\"]\n";
    let house = House::new("rewrites", &format!("{}{rules}", trunk("")));
    let (mut alice, mut near) = (house.phone("1001"), house.near());
    let sent = invite(&mut alice, &mut near, "9200");
    assert!(sent.body.contains("m=audio") && !sent.body.contains("a=ptime"), "{sent:?}");
    assert_eq!(sent.header("X-Line"), "1");
    assert_eq!(sent.header("Content-Length"), sent.body.len().to_string());
    drop(near);
    let mut near = Phone::udp_at(house.server, "anonymous", "", house.near);
    let text = format!(
        "INVITE sip:1001@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {1};branch=z9hG4bKodd\r\nFrom: <sip:anonymous@localhost>;tag=1\r\n\
         To: <sip:1001@{0}>\r\nCall-ID: odd\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{1}>\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        house.server, house.near
    );
    near.send_raw(&text);
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:9555@"), "{:?}", called.invite);
    assert_eq!(called.invite.header("X-Line"), "1");
}

#[test]
fn rules_work_over_connections_too() {
    let rules = "[[rewrites]]\npeer = \"127.0.0.1\"\non = \"received\"\nat = \"header To\"\nmessages = [\"REGISTER\"]\n\
                 find = \"typo\"\nput = \"1002\"\n";
    let house = House::new("rewrites-tcp", rules);
    let mut bob = Phone::tcp(house.server, "1002", "secret-1002");
    // Its To names nobody; the rule makes it whom its password belongs to.
    assert_eq!(bob.register_as("typo", 300).status(), 200);
}

#[test]
fn digits_dialled_one_by_one_are_waited_for() {
    let help = "[[routes]]\nprefix = \"11\"\nstrip = 0\ntrunk = \"lab\"";
    let house =
        House::new("overlap", &format!("{}{help}", trunk("1001: overlap = true\ncalls: digit_seconds = 3")));
    let (mut alice, mut bob, mut near) = (house.phone("1001"), house.phone("1002"), house.near());
    // Nothing ends here, and more may come: the telephone is told so at once.
    let calling = alice.call("100");
    // 100 is the milliwatt, but 1001 begins so: it waits for the next digit, and answers when none comes.
    alice.expect("INVITE", 200);
    drop(calling);
    let calling = alice.call("10");
    assert_eq!(alice.refused(&calling).status(), 484);
    let calling = alice.call("1002");
    let called = bob.invited();
    alice.give_up(&calling, &mut bob, &called);
    alice.final_of(&calling);
    // Nobody who calls for help waits, though a longer number may begin so.
    let help = alice.call("110");
    let called = near.invited();
    assert!(called.invite.first_line.contains("sip:110@"), "{:?}", called.invite);
    near.reply(&called, 486, "");
    near.expect("ACK", 0);
    assert_eq!(alice.final_of(&help).status(), 486);
    // A neighbour's numbers may always go on: the longer one takes the place of the shorter.
    let short = alice.call("920");
    let long = alice.call_again("9200", &short);
    assert_eq!(alice.final_of(&short).status(), 484);
    let called = near.invited();
    assert!(called.invite.first_line.contains("sip:200@"), "{:?}", called.invite);
    alice.cancel(&long);
}

#[test]
fn some_numbers_need_a_pin() {
    let mut house = House::new("pin", &trunk("pin_for = [\"090\"]\npin = \"4711\""));
    let (mut alice, mut near) = (house.phone("1001"), house.near());
    // Others do not.
    invite(&mut alice, &mut near, "9200");
    let mut calling = alice.call("90901234");
    let answer = alice.answered(&mut calling);
    for digits in ["1234#", "4711#"] {
        for digit in digits.chars() {
            let body = format!("Signal={digit}\r\nDuration=160\r\n");
            alice.request(&mut calling, "INFO", "Content-Type: application/dtmf-relay\r\n", &body);
            assert_eq!(alice.final_response("INFO").status(), 200);
        }
    }
    let called = near.invited();
    assert!(called.invite.first_line.contains("sip:0901234@"), "{:?}", called.invite);
    near.answer(&called, &near.offer("8 101"));
    near.says_to_transcoded(&called, &alice);
    let _ = answer;
    alice.hang_up(&mut calling);
    near.hung_up(&called);
    house.program.wait_for("the PIN is wrong");
    // A neighbour cannot be asked.
    let calling = near.call("90901234");
    assert_eq!(near.refused(&calling).status(), 403);
}

#[test]
fn a_telephone_that_challenges_gets_its_answer() {
    // One of the file, and one of the store: its password is kept sealed.
    let mut house = House::new("challenges", "1001: challenges = true");
    let pbx = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml", "extensions"])
            .args(arguments)
            .current_dir(&house.program.folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    pbx(&["add", "1003", "--password", "secret-before", "--challenges"]);
    // The password is another one; that it is kept stays.
    pbx(&["password", "1003", "--password", "secret-1003"]);
    assert!(pbx(&["list", "--json"]).contains("\"challenges\": true"));
    let store = std::fs::read(house.program.folder.join("pbx.db")).unwrap();
    assert!(!store.windows(11).any(|bytes| bytes == b"secret-1003"), "it stands in the store as it is");
    house.program.wait_for("the extensions were changed, there are 3 now");
    let mut bob = house.phone("1002");
    for number in ["1001", "1003"] {
        challenged(&house, &mut bob, number);
    }
}

fn challenged(house: &House, bob: &mut Phone, number: &str) {
    let mut alice = house.phone(number);
    let calling = bob.call(number);
    let first = alice.invited();
    alice.more = "WWW-Authenticate: Digest realm=\"HT701\", nonce=\"abc\", algorithm=MD5\r\n".to_owned();
    alice.reply(&first, 401, "");
    alice.more.clear();
    alice.expect("ACK", 0);
    let second = alice.invited();
    let answer = second.invite.header("Authorization");
    assert!(
        answer.contains(&format!("username=\"{number}\"")) && answer.contains("realm=\"HT701\""),
        "{answer}"
    );
    assert!(alice.proves(answer, "INVITE"), "{answer}");
    alice.reply(&second, 486, "");
    alice.expect("ACK", 0);
    assert_eq!(bob.final_of(&calling).status(), 486);
}

#[test]
fn lists_say_who_may_come_and_how() {
    let mut house = House::new("acl", "1001: allow = [\"tcp\"]\n[guard]\ndeny = [\"127.0.0.9\"]\n");
    let mut alice = Phone::udp(house.server, "1001", "secret-1001");
    assert_eq!(alice.register(300).status(), 403);
    house.program.wait_for("the `allow` of 1001 in the file names other addresses or transports");
    let mut alice = Phone::tcp(house.server, "1001", "secret-1001");
    assert_eq!(alice.register(300).status(), 200);
    let mut bob = Phone::udp_at(house.server, "1002", "secret-1002", "127.0.0.9:0".parse().unwrap());
    bob.patience(std::time::Duration::from_millis(300));
    assert_eq!(bob.try_register(300), None, "nothing is answered at all");
    let mut bob = house.phone("1002");
    assert_eq!(bob.register(300).status(), 200);
}

#[test]
fn callers_are_shown_by_the_header_that_the_neighbour_reads() {
    for (identity, header, expected) in [
        ("p-asserted", "P-Asserted-Identity", "<sip:1001@"),
        ("p-preferred", "P-Preferred-Identity", "<sip:1001@"),
        ("remote-party", "Remote-Party-ID", ";party=calling;privacy=off;screen=yes"),
    ] {
        let house = House::new("identity", &trunk(&format!("identity = \"{identity}\"")));
        let (mut alice, mut near) = (house.phone("1001"), house.near());
        let shown = invite(&mut alice, &mut near, "9200");
        assert!(shown.header(header).contains(expected), "{shown:?}");
        let withheld = invite(&mut alice, &mut near, "*679200");
        assert_eq!(withheld.header("Privacy"), "id");
        assert!(withheld.header("From").contains("anonymous@anonymous.invalid"), "{withheld:?}");
    }
}

#[test]
fn profiles_say_what_the_file_leaves_out() {
    let account = "user = \"0312345678\"\npassword = \"x\"\nregister = false\n";
    for (keys, expected) in [
        ("profile = \"asterisk\"".to_owned(), vec!["Remote-Party-ID", "iLBC/8000", "G722/8000"]),
        ("profile = \"mikopbx\"".to_owned(), vec!["Remote-Party-ID", "GSM/8000"]),
        ("profile = \"freeswitch\"".to_owned(), vec!["Remote-Party-ID", "opus/48000"]),
        ("profile = \"denwa\"".to_owned(), vec!["P-Asserted-Identity", "History-Info"]),
        (
            format!("profile = \"provider\"\n{account}domain = \"sip.example\""),
            vec!["P-Asserted-Identity", "<sip:0312345678@sip.example>"],
        ),
        (
            format!("profile = \"hikari\"\nretry_seconds = 0\n{account}domain = \"ntt-east.ne.jp\""),
            vec!["<sip:0312345678@ntt-east.ne.jp>", "Min-SE: 300", "RTP/AVP 0 101"],
        ),
    ] {
        let house = House::new("profile", &trunk(&keys));
        let (mut alice, mut near) = (house.phone("1001"), house.near());
        let text = invite(&mut alice, &mut near, "9200").text();
        for word in expected {
            assert!(text.to_lowercase().contains(&word.to_lowercase()), "{keys}: {word} in {text}");
        }
    }
    // An account's secret in a profile that needs none, and a profile that nobody knows.
    let wrong = denwa_wrong("[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1\"\nprofile = \"asterix\"\n");
    assert!(wrong.contains("\"asterix\" is not known here, expected one of `denwa`, `asterisk`"), "{wrong}");
}

fn denwa_wrong(text: &str) -> String {
    let problems = pbx::config::Config::parse(text).unwrap_err();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_dial_tone_takes_digits_one_by_one() {
    let house = House::new("dial-tone", &trunk("calls: digit_seconds = 3"));
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let mut calling = alice.call("*0");
    let answer = alice.answered(&mut calling);
    // 400 Hz until the first digit.
    alice.hear();
    for digit in "1002".chars() {
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        alice.request(&mut calling, "INFO", "Content-Type: application/dtmf-relay\r\n", &body);
        assert_eq!(alice.final_response("INFO").status(), 200);
    }
    // Nothing longer begins so: it is called at once.
    let called = bob.invited();
    bob.answer(&called, &bob.offer("8 101"));
    let _ = answer;
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}
