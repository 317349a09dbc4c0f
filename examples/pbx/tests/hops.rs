//! Three exchanges in a row, each a program of its own: a call over two hops, and the number shown at its end called back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::SocketAddr;

use phone::{Phone, Program, folder, free_port};

/// An exchange with extension 200 and trunks: each with its name, port and the prefix that leads there.
fn exchange(name: &str, port: u16, trunks: &[(&str, u16, &str)]) -> Program {
    let trunks: String = trunks
        .iter()
        .map(|(trunk, port, prefix)| {
            format!(
                "[[trunks]]\nname = \"{trunk}\"\naddress = \"udp:127.0.0.1:{port}\"\n\
                 [[routes]]\nprefix = \"{prefix}\"\ntrunk = \"{trunk}\"\n"
            )
        })
        .collect();
    let text = format!(
        "[[extensions]]\nnumber = \"200\"\nname = \"{name}\"\npassword = \"secret-200\"\n{trunks}\
         [sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
         [media]\nports = [\"{}-{}\"]\n",
        u32::from(port) % 20_000 + 20_000,
        u32::from(port) % 20_000 + 20_099,
    );
    Program::start(folder(&format!("hops-{name}")), &text)
}

fn phone(port: u16) -> Phone {
    let mut phone = Phone::udp(SocketAddr::from(([127, 0, 0, 1], port)), "200", "secret-200");
    assert_eq!(phone.register(300).status(), 200);
    phone
}

/// The user of a From header.
fn shown(header: &str) -> String {
    header.split("sip:").nth(1).unwrap().split('@').next().unwrap().to_owned()
}

#[test]
fn the_number_shown_at_the_far_end_leads_back_to_the_caller() {
    let (p, q, r) = (free_port(), free_port(), free_port());
    // P knows Q as 0510, Q knows R as 0390; back, R knows Q as 0777 and Q knows P as 0123.
    let _p = exchange("p", p, &[("q", q, "0510")]);
    let mut middle = exchange("q", q, &[("p", p, "0123"), ("r", r, "0390")]);
    let _r = exchange("r", r, &[("q", q, "0777")]);
    let (mut alice, mut bob) = (phone(p), phone(r));

    let mut calling = alice.call("05100390200");
    let called = bob.invited();
    let number = shown(called.invite.header("From"));
    assert_eq!(number, "07770123200", "as it is dialled from there");
    bob.answer(&called, &bob.offer("8 101"));
    let answer = alice.answered(&mut calling);
    alice.says_to(0x51, answer.rtp(), 8, &bob);
    bob.says_to(0x52, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    middle.wait_for("call 1: 0123200 → 0390200 ended");

    let mut calling = bob.call(&number);
    let called = alice.invited();
    assert_eq!(shown(called.invite.header("From")), "05100390200", "and so for the way back");
    alice.answer(&called, &alice.offer("8 101"));
    let answer = bob.answered(&mut calling);
    bob.says_to(0x53, answer.rtp(), 8, &alice);
    alice.says_to(0x54, called.invite.rtp(), 8, &bob);
    bob.hang_up(&mut calling);
    alice.hung_up(&called);
}
