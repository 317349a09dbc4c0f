//! Star codes, pick-up, parking, limits, hours and Mantela, with telephones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use phone::{Phone, Program, folder, free_port};

struct House {
    program: Program,
    server: SocketAddr,
    trunk: SocketAddr,
}

impl House {
    fn new(name: &str, more: [&str; 3], tables: &str) -> Self {
        let (port, trunk) = (free_port(), free_port());
        let extensions: String = ["1001", "1002", "1003"]
            .iter()
            .zip(more)
            .map(|(number, more)| {
                format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n{more}\n")
            })
            .collect();
        let text = format!(
            "{extensions}{}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n",
            tables.replace("TRUNK", &format!("udp:127.0.0.1:{trunk}"))
        );
        let program = Program::start(folder(name), &text);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { program, server: at(port), trunk: at(trunk) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml"])
            .args(arguments)
            .current_dir(&self.program.folder)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + std::str::from_utf8(&output.stderr).unwrap()
    }
}

#[test]
fn star_codes_set_and_are_kept() {
    let mut house = House::new("codes", ["", "", ""], "[calls]\nannouncements = false\n");
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let mut dialog = bob.call("*78");
    bob.answered(&mut dialog);
    house.program.wait_for("the extensions were changed");
    bob.hang_up(&mut dialog);
    let calling = alice.call("1002");
    assert_eq!(alice.refused(&calling).status(), 486);
    assert!(house.command(&["extensions", "list"]).contains("set: do_not_disturb=on"));
    for code in ["*79", "*721003"] {
        let mut dialog = bob.call(code);
        bob.answered(&mut dialog);
        bob.hang_up(&mut dialog);
    }
    while !house.command(&["extensions", "list"]).contains("set: forward_always=1003") {}
    let calling = alice.call("1002");
    carol.invited();
    alice.cancel(&calling);
}

#[test]
fn a_call_that_rings_is_picked_up_elsewhere() {
    let house = House::new("pick-up", ["", "", ""], "");
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    for code in ["*81002", "*8"] {
        let mut calling = alice.call("1002");
        let called = bob.invited();
        bob.reply(&called, 180, "");
        alice.expect("INVITE", 180);
        let mut picking = carol.call(code);
        let to_carol = carol.answered(&mut picking);
        let answer = alice.answered(&mut calling);
        let cancel = bob.expect("CANCEL", 0);
        bob.reply_to(&cancel, cancel.header("To"), 200, "");
        bob.reply(&called, 487, "");
        bob.expect("ACK", 0);
        alice.says_to(0x41, answer.rtp(), 8, &carol);
        carol.says_to(0x42, to_carol.rtp(), 8, &alice);
        alice.hang_up(&mut calling);
        carol.hung_up(&picking);
    }
    // Nothing rings: there is nothing to pick up.
    let mut picking = carol.call("*8");
    carol.answered(&mut picking);
    carol.hang_up(&mut picking);
}

#[test]
fn a_parked_caller_is_fetched() {
    let house = House::new("park", ["", "", ""], "");
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let (calling, mut called, answer) = alice.talk("1002", &mut bob);
    bob.refer(&mut called, &format!("sip:*68@{}", house.server));
    assert_eq!(bob.transferred(1).last().map(String::as_str), Some("SIP/2.0 200 OK"));
    let mut fetching = carol.call("*6801");
    let to_carol = carol.answered(&mut fetching);
    alice.says_to(0x43, answer.rtp(), 8, &carol);
    carol.says_to(0x44, to_carol.rtp(), 8, &alice);
    carol.hang_up(&mut fetching);
    alice.hung_up(&calling);
}

#[test]
fn a_queue_is_answered_by_who_has_been_idle_longest() {
    let tables = "[[groups]]\nnumber = \"600\"\nmembers = [\"1002\", \"1003\"]\nstrategy = \"longest idle\"\n\
                  [[queues]]\nnumber = \"510\"\ngroup = \"600\"\nagain_seconds = 1\n";
    let house = House::new("queue", ["", "", ""], tables);
    let mut alice = house.phone("1001");
    // Nobody is there yet: the caller waits, and is not refused.
    let mut calling = alice.call("510");
    let answer = alice.answered(&mut calling);
    let (mut bob, mut carol) = (house.phone("1002"), house.phone("1003"));
    let called = bob.invited();
    bob.answer(&called, &bob.offer("8 101"));
    alice.says_to(0x45, answer.rtp(), 8, &bob);
    bob.says_to(0x46, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    // 1002 has just had a call, 1003 never.
    let mut calling = alice.call("510");
    alice.answered(&mut calling);
    let called = carol.invited();
    carol.answer(&called, &carol.offer("8 101"));
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn limits_are_kept_and_emergency_calls_pass_them() {
    let tables = "[[trunks]]\nname = \"lab\"\naddress = \"TRUNK\"\ncalls_an_hour = 1\nbarred = [\"0990\"]\n\
                  quiet_hours = \"\"\n[[routes]]\nprefix = \"9\"\ntrunk = \"lab\"\n\
                  [[routes]]\nprefix = \"11\"\nstrip = 0\ntrunk = \"lab\"\n\
                  [calls]\nannouncements = false\nblocked = [\"9666\"]\n";
    let mut house = House::new("limits", ["call_limit = 1", "call_waiting = false", ""], tables);
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let mut lab = Phone::udp_at(house.server, "200", "", house.trunk);
    let calling = alice.call("90990123");
    assert_eq!(alice.refused(&calling).status(), 403);
    let (mut calling, called, _) = alice.talk("9200", &mut lab);
    // One call is all that 1001 may have, and one an hour all that goes out by the trunk; an emergency passes both.
    let second = alice.call("1003");
    assert_eq!(alice.final_of(&second).status(), 403);
    let out = carol.call("9201");
    assert_eq!(carol.refused(&out).status(), 403);
    house.program.wait_for("1 calls have gone out by the trunk lab within an hour");
    let emergency = carol.call("119");
    let called_119 = lab.invited();
    assert!(called_119.invite.first_line.contains("sip:119@"), "{:?}", called_119.invite);
    lab.reply(&called_119, 180, "");
    carol.expect("INVITE", 180);
    carol.cancel(&emergency);
    let cancel = lab.expect("CANCEL", 0);
    lab.reply_to(&cancel, cancel.header("To"), 200, "");
    lab.reply(&called_119, 487, "");
    lab.expect("ACK", 0);
    assert_eq!(carol.final_of(&emergency).status(), 487);
    alice.hang_up(&mut calling);
    lab.hung_up(&called);

    // No call waiting: who has a call is busy.
    let (mut talking, called, _) = carol.talk("1002", &mut bob);
    let calling = alice.call("1002");
    assert_eq!(alice.refused(&calling).status(), 486);
    carol.hang_up(&mut talking);
    bob.hung_up(&called);

    drop(lab);
    let mut nuisance = Phone::udp_at(house.server, "6661", "", house.trunk);
    let calling = nuisance.call("1001");
    assert_eq!(nuisance.refused(&calling).status(), 403);
}

#[test]
fn an_intercom_call_asks_to_be_answered_at_once() {
    let house = House::new("intercom", ["", "", ""], "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let calling = alice.call("*801002");
    let called = bob.invited();
    assert_eq!(called.invite.header("Answer-Mode"), "Auto");
    assert!(called.invite.header("Call-Info").ends_with("answer-after=0"), "{:?}", called.invite);
    alice.cancel(&calling);
}

#[test]
fn at_its_hours_a_number_means_another() {
    let tables =
        "[clock]\noffset = \"+00:00\"\n[[rules]]\nnumber = \"500\"\nhours = \"00:00-24:00\"\nto = \"1003\"\n";
    let house = House::new("hours", ["", "", ""], tables);
    let (mut alice, mut carol) = (house.phone("1001"), house.phone("1003"));
    let calling = alice.call("500");
    carol.invited();
    alice.cancel(&calling);
}

#[test]
fn mantela_is_published_and_read() {
    let port = free_port();
    let tables = format!(
        "[mantela]\nlisten = \"127.0.0.1:{port}\"\nname = \"Hill\"\nidentifier = \"hill\"\nprefix = \"0390\"\n\
         [[trunks]]\nname = \"valley\"\naddress = \"TRUNK\"\nmantela = \"valley.json\"\n\
         [[routes]]\nprefix = \"0510\"\ntrunk = \"valley\"\n"
    );
    let house = House::new("mantela", ["name = \"Kitchen\"", "publish = false", ""], &tables);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /.well-known/mantela.json HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("Access-Control-Allow-Origin: *"), "{head}");
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["aboutMe"]["name"], "Hill");
    assert!(body.contains("Kitchen") && !body.contains("\"1002\"") && !body.contains("secret"), "{body}");
    std::fs::write(
        house.program.folder.join("valley.json"),
        r#"{"aboutMe":{"identifier":"valley","name":"Valley"},"extensions":[{"extension":"200","name":"Barn"}],
            "providers":[{"prefix":"0771","identifier":"coast"}]}"#,
    )
    .unwrap();
    let book = house.command(&["mantela", "book"]);
    assert!(book.contains("0510200") && book.contains("Barn"), "{book}");
    let route = house.command(&["mantela", "route", "coast", "33"]);
    assert!(route.starts_with("0510077133 "), "{route}");
}

#[test]
fn a_neighbour_is_called_as_it_likes_and_secrets_may_be_elsewhere() {
    let tables = "[[trunks]]\nname = \"carrier\"\naddress = \"TRUNK\"\nuser = \"0312345678\"\npassword = \"file:carrier.key\"\n\
                  identity = \"p-asserted\"\nfrom_user = \"0312345678\"\nfrom_domain = \"carrier.example\"\nuser_phone = true\n\
                  rewrite_outgoing = [\"0=+81\"]\nrewrite_incoming = [\"+81=0\"]\nrewrite_caller = false\n\
                  [[routes]]\nprefix = \"0\"\nstrip = 0\ntrunk = \"carrier\"\n[calls]\nannouncements = false\n";
    let port = free_port();
    let trunk = free_port();
    let text = format!(
        "[[extensions]]\nnumber = \"1001\"\nname = \"Kitchen\"\npassword = \"env:PBX_TEST_SECRET\"\n{}\
         [sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n",
        tables.replace("TRUNK", &format!("udp:127.0.0.1:{trunk}"))
    );
    let folder = folder("carrier");
    std::fs::write(folder.join("carrier.key"), "wave-kettle\n").unwrap();
    std::fs::write(folder.join("pbx.toml"), text).unwrap();
    // Without the variable it says which secret is missing.
    let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["check", "pbx.toml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("extension 1001: the environment has no PBX_TEST_SECRET"), "{said}");
    let _program = Program::start_with(folder, &[("PBX_TEST_SECRET", "secret-1001")]);

    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut alice = Phone::udp(server, "1001", "secret-1001");
    assert_eq!(alice.register(300).status(), 200);
    let at = SocketAddr::from(([127, 0, 0, 1], trunk));
    let mut carrier = Phone::udp_at(server, "+81355556666", "", at);
    for (dialled, withheld) in [("0355556666", false), ("*670355556666", true)] {
        let calling = alice.call(dialled);
        let called = carrier.invited();
        let invite = &called.invite;
        assert!(
            invite.first_line.contains("sip:+81355556666@") && invite.first_line.contains(";user=phone"),
            "{invite:?}"
        );
        assert!(
            invite.header("P-Asserted-Identity").contains("\"Kitchen\" <sip:1001@carrier.example"),
            "{invite:?}"
        );
        let from = invite.header("From");
        if withheld {
            assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{from}");
            assert_eq!(invite.header("Privacy"), "id");
        } else {
            assert!(from.starts_with("\"Kitchen\" <sip:0312345678@carrier.example>"), "{from}");
        }
        carrier.reply(&called, 486, "");
        carrier.expect("ACK", 0);
        assert_eq!(alice.refused(&calling).status(), 486);
    }
    let calling = carrier.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:0355556666@"), "{:?}", called.invite);
    carrier.cancel(&calling);
}
