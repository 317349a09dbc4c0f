//! Lamps: who is on the telephone, who is there, whose mailbox holds messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::net::SocketAddr;

use phone::{Phone, Program, folder, free_port};

struct House {
    _program: Program,
    server: SocketAddr,
}

impl House {
    fn new(name: &str, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let port = free_port();
        let extensions: String = ["1001", "1002", "1003"]
            .map(|number| format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n"))
            .concat();
        let text = format!(
            "{extensions}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n"
        );
        let folder = folder(name);
        prepare(&folder);
        Self { _program: Program::start(folder, &text), server: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }
}

#[test]
fn a_busy_lamp_follows_the_calls_of_the_watched() {
    let house = House::new("lamps", |_| {});
    let (mut alice, mut bob, mut desk) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    assert_eq!(desk.watch("1002", "dialog"), 200);
    let first = desk.told("<dialog-info");
    assert!(first.contains("entity=\"sip:1002@") && !first.contains("<dialog "), "{first}");
    let mut calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 180, "");
    let ringing = desk.told("<state>early</state>");
    assert!(ringing.contains("direction=\"recipient\"") && ringing.contains("sip:1001@"), "{ringing}");
    bob.reply(&called, 200, &bob.offer("8 101"));
    bob.expect("ACK", 0);
    alice.answered(&mut calling);
    desk.told("<state>confirmed</state>");
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    desk.told("<state>terminated</state>");
    for (number, event, status) in [("7777", "dialog", 404), ("1002", "nonsense", 489)] {
        assert_eq!(desk.watch(number, event), status);
    }
}

#[test]
fn presence_tells_who_is_there() {
    let house = House::new("presence", |_| {});
    let mut desk = house.phone("1003");
    assert_eq!(desk.watch("1002", "presence"), 200);
    desk.told("Not registered");
    let mut bob = house.phone("1002");
    desk.told("Ready");
    assert_eq!(bob.register(0).status(), 200);
    assert!(desk.told("Not registered").contains("<basic>closed</basic>"));
}

#[test]
fn waiting_messages_are_told_to_their_owner_only() {
    let house = House::new("waiting", |folder| {
        let mailbox = folder.join("voicemail/1002");
        fs::create_dir_all(&mailbox).unwrap();
        fs::write(mailbox.join("000000000000001-1001.new.wav"), [0; 16_044]).unwrap();
    });
    let (mut bob, mut carol) = (house.phone("1002"), house.phone("1003"));
    assert_eq!(bob.watch("1002", "message-summary"), 200);
    let told = bob.told("Messages-Waiting: yes");
    assert!(told.contains("Voice-Message: 1/0"), "{told}");
    // Whatever address she asks for, it is her own mailbox she is told of.
    assert_eq!(carol.watch("1002", "message-summary"), 200);
    carol.told("Messages-Waiting: no");
}
