//! Calls that an extension does not take, and groups.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::SocketAddr;

use phone::{Phone, Program, folder, free_port};

struct House {
    program: Program,
    server: SocketAddr,
}

impl House {
    /// Extensions 1001 to 1004, each with more lines of its own.
    fn new(name: &str, more: [&str; 4], groups: &str) -> Self {
        let port = free_port();
        let extensions: String = ["1001", "1002", "1003", "1004"]
            .iter()
            .zip(more)
            .map(|(number, more)| {
                format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n{more}\n")
            })
            .collect();
        let text = format!(
            "{extensions}{groups}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
             [calls]\nring_seconds = 3\nannouncements = false\n"
        );
        let program = Program::start(folder(name), &text);
        Self { program, server: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }
}

/// The telephone rings and is cancelled.
fn rings_in_vain(phone: &mut Phone) {
    let called = phone.invited();
    phone.reply(&called, 180, "");
    let cancel = phone.expect("CANCEL", 0);
    phone.reply_to(&cancel, cancel.header("To"), 200, "");
    phone.reply(&called, 487, "");
    phone.expect("ACK", 0);
}

/// The telephone rings and answers; the caller hears it and hangs up.
fn answers(caller: &mut Phone, number: &str, callee: &mut Phone, before: impl FnOnce(&mut Phone)) {
    let mut calling = caller.call(number);
    before(callee);
    let called = callee.invited();
    callee.answer(&called, &callee.offer("8 101"));
    let answer = caller.answered(&mut calling);
    caller.says_to(0x61, answer.rtp(), 8, callee);
    caller.hang_up(&mut calling);
    callee.hung_up(&called);
}

#[test]
fn calls_go_on_when_busy_unanswered_unreachable_or_always() {
    let mut house = House::new(
        "forward",
        ["", "forward_busy = \"1003\"\nforward_no_answer = \"1003\"", "", "forward_unreachable = \"1003\""],
        "",
    );
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    answers(&mut alice, "1002", &mut carol, |_| {
        let called = bob.invited();
        bob.reply(&called, 486, "");
        bob.expect("ACK", 0);
    });
    house.program.wait_for("call 1: it goes on to 1003. 1002 is busy.");
    answers(&mut alice, "1002", &mut carol, |_| rings_in_vain(&mut bob));
    house.program.wait_for("call 2: it goes on to 1003. Nobody answered within 3 s.");
    answers(&mut alice, "1004", &mut carol, |_| {});
}

#[test]
fn do_not_disturb_is_busy_and_circles_end() {
    let house = House::new(
        "circle",
        ["", "do_not_disturb = true", "forward_always = \"1004\"", "forward_always = \"1003\""],
        "",
    );
    let mut alice = house.phone("1001");
    let _bob = house.phone("1002");
    let calling = alice.call("1002");
    assert_eq!(alice.refused(&calling).status(), 486);
    let calling = alice.call("1003");
    assert_eq!(alice.refused(&calling).status(), 486);
}

#[test]
fn forwarding_may_lead_to_a_service() {
    let house = House::new("service", ["", "forward_unreachable = \"186\"", "", ""], "");
    let mut alice = house.phone("1001");
    let mut calling = alice.call("1002");
    let answer = alice.answered(&mut calling);
    assert_eq!(alice.says_to(0x62, answer.rtp(), 8, &alice).1, vec![0x62; 160]);
    alice.hang_up(&mut calling);
}

#[test]
fn a_group_rings_all_its_members() {
    let group = "[[groups]]\nnumber = \"600\"\nmembers = [\"1002\", \"1003\", \"1004\"]\n";
    let house = House::new("all", ["", "", "", ""], group);
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    answers(&mut alice, "600", &mut carol, |_| {
        let called = bob.invited();
        bob.reply(&called, 180, "");
    });
    let cancel = bob.expect("CANCEL", 0);
    bob.reply_to(&cancel, cancel.header("To"), 200, "");
}

#[test]
fn a_hunting_group_rings_one_after_the_other_and_goes_on_when_nobody_answers() {
    let group = "[[groups]]\nnumber = \"600\"\nmembers = [\"1002\", \"1003\"]\nstrategy = \"hunt\"\n\
                 forward_no_answer = \"1004\"\n";
    let house = House::new("hunt", ["", "", "", ""], group);
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let (mut carol, mut dave) = (house.phone("1003"), house.phone("1004"));
    answers(&mut alice, "600", &mut dave, |_| {
        rings_in_vain(&mut bob);
        rings_in_vain(&mut carol);
    });
}

#[test]
fn turns_are_taken_round_robin() {
    let group = "[[groups]]\nnumber = \"600\"\nmembers = [\"1002\", \"1003\"]\nstrategy = \"round robin\"\n";
    let house = House::new("robin", ["", "", "", ""], group);
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    for _ in 0..2 {
        answers(&mut alice, "600", &mut bob, |_| {});
        answers(&mut alice, "600", &mut carol, |_| {});
    }
}

#[test]
fn a_telephone_that_forwards_by_itself_is_followed_but_not_in_a_circle() {
    let mut house = House::new("moved", [""; 4], "");
    let mut phones = ["1001", "1002", "1003"].map(|number| house.phone(number));
    let [alice, bob, carol] = &mut phones;
    let moves = |phone: &mut Phone, to: &str| {
        let called = phone.invited();
        phone.redirect(&called, to);
        phone.expect("ACK", 0);
    };
    answers(alice, "1002", carol, |_| moves(bob, "1003"));
    let calling = alice.call("1002");
    moves(bob, "1003");
    moves(carol, "1002");
    assert_eq!(alice.refused(&calling).status(), 480);
    house.program.wait_for("The telephone of 1003 sends its calls on to 1002. Look at the forwarding");
    // Services that do something for whoever dials them are none of the caller's.
    let calling = alice.call("1002");
    moves(bob, "*550730");
    assert_eq!(alice.refused(&calling).status(), 480);
}
