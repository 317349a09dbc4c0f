//! Transfers: blind and attended, by either side, and those that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::SocketAddr;

use phone::{Phone, Program, folder, free_port};

struct Desk {
    program: Program,
    server: SocketAddr,
}

impl Desk {
    fn new(name: &str) -> Self {
        let port = free_port();
        let extensions: String = ["1001", "1002", "1003"]
            .map(|number| format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n"))
            .concat();
        let text = format!(
            "{extensions}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
             [calls]\nring_seconds = 4\nannouncements = false\n"
        );
        let program = Program::start(folder(name), &text);
        Self { program, server: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    fn uri(&self, number: &str) -> String {
        format!("sip:{number}@{}", self.server)
    }
}

#[test]
fn the_callee_passes_the_caller_on() {
    let mut desk = Desk::new("blind-callee");
    let (mut alice, mut bob, mut carol) = (desk.phone("1001"), desk.phone("1002"), desk.phone("1003"));
    let (calling, mut called, answer) = alice.talk("1002", &mut bob);
    let uri = desk.uri("1003");
    bob.refer(&mut called, &uri);
    let mut at_carol = carol.invited();
    assert!(at_carol.invite.header("From").contains("sip:1001@"), "{:?}", at_carol.invite);
    assert_eq!(bob.notified(), "SIP/2.0 100 Trying");
    carol.reply(&at_carol, 180, "");
    assert_eq!(bob.notified(), "SIP/2.0 180 Ringing");
    carol.reply(&at_carol, 200, &carol.offer("8 101"));
    carol.expect("ACK", 0);
    assert_eq!(bob.transferred(1), ["SIP/2.0 200 OK"]);
    alice.says_to(0x51, answer.rtp(), 8, &carol);
    carol.says_to(0x52, at_carol.invite.rtp(), 8, &alice);
    desk.program.wait_for("transferred the other side to 1003 at udp");
    carol.hang_up(&mut at_carol);
    alice.hung_up(&calling);
    desk.program.wait_for("call 1: 1001 → 1002 ended");
}

#[test]
fn the_caller_passes_the_callee_on_and_hangs_up_at_once() {
    let desk = Desk::new("blind-caller");
    let (mut alice, mut bob, mut carol) = (desk.phone("1001"), desk.phone("1002"), desk.phone("1003"));
    let (mut calling, called, _) = alice.talk("1002", &mut bob);
    let uri = desk.uri("1003");
    alice.refer(&mut calling, &uri);
    let mut at_carol = carol.invited();
    assert!(at_carol.invite.header("From").contains("sip:1002@"), "{:?}", at_carol.invite);
    // She does not wait for the end of it.
    alice.request(&mut calling, "BYE", "", "");
    carol.answer(&at_carol, &carol.offer("8 101"));
    bob.says_to(0x53, called.invite.rtp(), 8, &carol);
    carol.says_to(0x54, at_carol.invite.rtp(), 8, &bob);
    carol.hang_up(&mut at_carol);
    bob.hung_up(&called);
}

#[test]
fn a_transfer_to_nobody_leaves_the_call_as_it_was() {
    let mut desk = Desk::new("blind-nobody");
    let (mut alice, mut bob) = (desk.phone("1001"), desk.phone("1002"));
    let (calling, mut called, answer) = alice.talk("1002", &mut bob);
    for (number, status) in [("7777", 404), ("1003", 480)] {
        let uri = desk.uri(number);
        bob.request(&mut called, "REFER", &format!("Refer-To: <{uri}>\r\n"), "");
        assert_eq!(bob.final_response("REFER").status(), status);
    }
    desk.program
        .wait_for("could not transfer the other side to 1003: No telephone of this extension is registered.");
    // Somebody who is there and does not answer, and somebody who is busy.
    let mut carol = desk.phone("1003");
    for busy in [true, false] {
        let uri = desk.uri("1003");
        bob.refer(&mut called, &uri);
        let at_carol = carol.invited();
        if busy {
            carol.reply(&at_carol, 486, "");
            carol.expect("ACK", 0);
        } else {
            carol.reply(&at_carol, 180, "");
            let cancel = carol.expect("CANCEL", 0);
            carol.reply_to(&cancel, cancel.header("To"), 200, "");
            carol.reply(&at_carol, 487, "");
        }
        let mut last = String::new();
        while !last.starts_with(if busy { "SIP/2.0 486" } else { "SIP/2.0 480" }) {
            let notify = bob.expect("NOTIFY", 0);
            last = notify.body.lines().next().unwrap().to_owned();
            bob.reply_to(&notify, notify.header("To"), 200, "");
        }
    }
    alice.says_to(0x55, answer.rtp(), 8, &bob);
    bob.says_to(0x56, called.invite.rtp(), 8, &alice);
    bob.hang_up(&mut called);
    alice.hung_up(&calling);
}

#[test]
fn two_calls_of_one_telephone_are_joined() {
    for held in [false, true] {
        let mut desk = Desk::new(&format!("attended-{held}"));
        let (mut alice, mut bob, mut carol) = (desk.phone("1001"), desk.phone("1002"), desk.phone("1003"));
        let (calling, mut at_bob, answer) = alice.talk("1002", &mut bob);
        if held {
            let hold = bob.describe("8 101", "sendonly", 2);
            bob.request(&mut at_bob, "INVITE", "", &hold);
            let reinvite = alice.expect("INVITE", 0);
            alice.reply_to(&reinvite, reinvite.header("To"), 200, &alice.describe("8 101", "recvonly", 2));
            alice.expect("ACK", 0);
            let held = bob.expect("INVITE", 200);
            bob.acknowledge(&mut at_bob, &held, "");
        }
        let (bob_to_carol, mut at_carol, _) = bob.talk("1003", &mut carol);
        let refer_to = format!("{}?Replaces={}", desk.uri("1003"), bob.replaces(&bob_to_carol));
        bob.refer(&mut at_bob, &refer_to);
        assert_eq!(bob.transferred(2).last().map(String::as_str), Some("SIP/2.0 200 OK"));
        let mut exchange_rtp = answer.rtp();
        if held {
            let reinvite = alice.expect("INVITE", 0);
            assert!(!reinvite.has_line("a=sendonly") && !reinvite.has_line("a=inactive"), "{reinvite:?}");
            alice.reply_to(&reinvite, reinvite.header("To"), 200, &alice.describe("8 101", "sendrecv", 3));
            alice.expect("ACK", 0);
            exchange_rtp = reinvite.rtp();
        }
        alice.says_to(0x57, exchange_rtp, 8, &carol);
        carol.says_to(0x58, at_carol.invite.rtp(), 8, &alice);
        carol.hang_up(&mut at_carol);
        alice.hung_up(&calling);
        desk.program.wait_for("A transfer went on with it as call 1.");
        desk.program.wait_for("call 1: 1001 → 1002 ended");
        desk.program.signal("USR1");
        desk.program.wait_for("holding: 0 calls, ");
    }
}

#[test]
fn a_transfer_to_the_echo_leaves_the_other_side_with_it() {
    let desk = Desk::new("blind-echo");
    let (mut alice, mut bob) = (desk.phone("1001"), desk.phone("1002"));
    let (mut calling, mut called, answer) = alice.talk("1002", &mut bob);
    let uri = desk.uri("186");
    bob.refer(&mut called, &uri);
    assert_eq!(bob.transferred(1).last().map(String::as_str), Some("SIP/2.0 200 OK"));
    assert_eq!(alice.says_to(0x59, answer.rtp(), 8, &alice).1, vec![0x59; 160]);
    alice.hang_up(&mut calling);
}

#[test]
fn a_telephone_that_joins_two_calls_by_re_invite_is_followed() {
    let desk = Desk::new("re-invite");
    let (mut alice, mut bob, mut carol) = (desk.phone("1001"), desk.phone("1002"), desk.phone("1003"));
    let (mut calling, mut called, answer) = alice.talk("1002", &mut bob);
    let (mut second_calling, at_carol, answer_there) = bob.talk("1003", &mut carol);
    // He tells each of his calls the other's address: voice no longer goes by him.
    let (first, second) = (called.invite.rtp(), answer_there.rtp());
    for (dialog, there) in [(&mut called, second), (&mut second_calling, first)] {
        let own = bob.describe("8 101", "sendrecv", 2);
        let port = format!("m=audio {} ", bob.rtp.local_addr().unwrap().port());
        let other = own.replace(&port, &format!("m=audio {} ", there.port()));
        assert_ne!(own, other);
        bob.request(dialog, "INVITE", "", &other);
        let answer = bob.expect("INVITE", 200);
        bob.acknowledge(dialog, &answer, "");
    }
    assert_eq!(alice.says_to(0x41, answer.rtp(), 8, &carol).1, vec![0x41; 160]);
    assert_eq!(carol.says_to(0x42, at_carol.invite.rtp(), 8, &alice).1, vec![0x42; 160]);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    bob.hang_up(&mut second_calling);
    carol.hung_up(&at_carol);
}
