//! What of one side becomes something else at the other: keys of the telephone; and what the file says of single telephones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;
mod phone;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use denwa_codecs::g711::Law;
use house::House;
use phone::{Phone, Program, folder, free_port};

#[test]
fn keys_become_what_the_other_side_takes() {
    let house = House::new("keys", &["", "", "dtmf = \"info\"\n"], "");
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let digit = "Signal=5\r\nDuration=160\r\n";
    let relay = "Content-Type: application/dtmf-relay\r\n";

    // By INFO to somebody who agreed on events: an event.
    let (mut calling, called, answer) = alice.talk("1002", &mut bob);
    bob.says_to(0x54, called.invite.rtp(), 8, &alice);
    alice.request(&mut calling, "INFO", relay, digit);
    assert_eq!(alice.final_response("INFO").status(), 200);
    let event = std::iter::repeat_with(|| bob.hear()).find(|(kind, ..)| *kind == 101).unwrap();
    assert_eq!(event.1[0], 5);
    // What is no key passes as it is.
    let other = "Content-Type: application/media_control+xml\r\n";
    alice.request(&mut calling, "INFO", other, "<x/>");
    let info = bob.expect("INFO", 0);
    assert_eq!((info.header("Content-Type"), info.body.as_str()), ("application/media_control+xml", "<x/>"));
    bob.reply_to(&info, info.header("To"), 200, "");
    assert_eq!(alice.final_response("INFO").status(), 200);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);

    // By INFO and by event to somebody who wants INFO: INFO.
    let mut calling = alice.call("1003");
    let called = carol.invited();
    carol.answer(&called, &carol.offer("8 101"));
    let answer_of_carol = alice.answered(&mut calling).rtp();
    assert_ne!(answer_of_carol, answer.rtp());
    alice.request(&mut calling, "INFO", relay, digit);
    let info = carol.expect("INFO", 0);
    assert_eq!(info.body, digit);
    carol.reply_to(&info, info.header("To"), 200, "");
    assert_eq!(alice.final_response("INFO").status(), 200);
    for (index, end) in [0_u8, 0, 0x80, 0x80, 0x80].into_iter().enumerate() {
        let sequence = 10 + u16::try_from(index).unwrap();
        let duration = 160 * (u16::try_from(index).unwrap() + 1);
        let mut packet = vec![0x80, 101];
        packet.extend(sequence.to_be_bytes());
        packet.extend(1_600_u32.to_be_bytes());
        packet.extend(0x1234_5678_u32.to_be_bytes());
        packet.extend([9, end | 10]);
        packet.extend(duration.to_be_bytes());
        alice.rtp.send_to(&packet, answer_of_carol).unwrap();
    }
    let info = carol.expect("INFO", 0);
    assert!(info.body.starts_with("Signal=9\r\nDuration="), "{info:?}");
    carol.reply_to(&info, info.header("To"), 200, "");
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn a_telephone_in_band_says_and_hears_keys_as_tones() {
    let house = House::new("in-band", &["", "dtmf = \"in-band\"\n"], "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let (mut calling, called, _) = alice.talk("1002", &mut bob);
    bob.says_to(0x54, called.invite.rtp(), 8, &alice);
    let relay = "Content-Type: application/dtmf-relay\r\n";
    alice.request(&mut calling, "INFO", relay, "Signal=5\r\nDuration=160\r\n");
    assert_eq!(alice.final_response("INFO").status(), 200);
    // 5 is 770 and 1336 Hz: a loud sound of PCMA, not an event.
    let (kind, sound, _) = bob.hear();
    assert_eq!((kind, sound.len()), (8, 160));
    assert!(sound.iter().filter(|byte| **byte & 0x7f != 0x55).count() > 100, "{sound:?}");
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn the_file_says_how_packets_are_and_whom_to_believe() {
    let more = ["", "nat = \"off\"\npacket_ms = 40\n", "nat = \"behind\"\n"];
    let house = House::new("single", &more, "");
    let mut alice = house.phone("1001");
    // 1002 tells the truth: its Contact is another socket than the one it registered from.
    let mut desk = Phone::udp(house.server, "1002", "secret-1002");
    let mut elsewhere = Phone::udp(house.server, "1002", "secret-1002");
    let contact = format!("Contact: <sip:1002@{}>\r\nExpires: 300\r\n", elsewhere.address());
    assert_eq!(desk.register_with(&contact).status(), 200);
    let calling = alice.call("1002");
    let called = elsewhere.invited();
    assert!(called.invite.has_line("a=ptime:40"), "{:?}", called.invite);
    alice.cancel(&calling);

    // 1003 does not know its own address: voice goes where its signalling is, before it has said a word.
    let mut carol = house.phone("1003");
    let real = carol.rtp.local_addr().unwrap();
    let nobody = UdpSocket::bind("127.0.0.9:0").unwrap();
    let mut calling = alice.call("1003");
    let called = carol.invited();
    let lie = carol.offer("8 101").replace("c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.9");
    drop(nobody);
    carol.answer(&called, &lie);
    let answer = alice.answered(&mut calling);
    assert_eq!(alice.says_to(0x61, answer.rtp(), 8, &carol).0, 8, "{real}");
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn a_telephone_is_known_by_its_address() {
    // An adapter that neither registers nor knows a password, and names nobody in From.
    let adapter = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let house = House::new("known", &["", &format!("address = \"udp:{adapter}\"\n")], "");
    let mut alice = house.phone("1001");
    let mut adapter = Phone::udp_at(house.server, "anonymous", "", adapter);
    let mut calling = adapter.call("1001");
    let called = alice.invited();
    assert!(called.invite.header("From").contains("sip:1002@"), "{:?}", called.invite);
    alice.answer(&called, &alice.offer("8 101"));
    let answer = adapter.answered(&mut calling);
    adapter.says_to(0x21, answer.rtp(), 8, &alice);
    adapter.hang_up(&mut calling);
    alice.hung_up(&called);
    // And it is called there.
    let mut calling = alice.call("1002");
    let called = adapter.invited();
    assert!(called.invite.first_line.contains("sip:1002@"), "{:?}", called.invite);
    adapter.answer(&called, &adapter.offer("8 101"));
    alice.answered(&mut calling);
    alice.hang_up(&mut calling);
    adapter.hung_up(&called);
    // A stranger from elsewhere is asked for a password as ever.
    let mut stranger = Phone::udp(house.server, "anonymous", "");
    let calling = stranger.call("1001");
    assert_eq!(stranger.final_of(&calling).status(), 407);
}

#[test]
fn machines_get_one_law_of_g711_on_both_sides() {
    let more = ["codecs = [\"G729\", \"PCMA\"]\n", "codecs = [\"PCMU\", \"PCMA\"]\n"];
    let mut house = House::new("fax", &more, "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let mut calling = alice.call_with("1002", &alice.offer("18 8 101"));
    let called = bob.invited();
    bob.answer(&called, &bob.offer("0 101"));
    let answer = alice.answered(&mut calling);
    // A machine of Bob's answers: 2100 Hz for a second, in mu-law.
    let tone = |sequence: u16| -> Vec<u8> {
        let sample = |n: u32| (f64::from(n) * std::f64::consts::TAU * 2_100.0 / 8_000.0).sin() * 8_000.0;
        (0..160).map(|n| Law::Mu.encode(sample(u32::from(sequence) * 160 + n) as i16)).collect()
    };
    // As fast as it is spoken, or nearly: what comes all at once may be too much for who converts it.
    alice.rtp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for sequence in 1..60 {
        bob.say(called.invite.rtp(), 0, sequence, &tone(sequence));
        let _ = alice.rtp.recv(&mut [0; 2048]);
    }
    // Whoever has another codec than the other side is asked for the law that both may use.
    for phone in [&mut alice, &mut bob] {
        let asked = phone.expect("INVITE", 0);
        assert!(asked.line("m=audio ").ends_with("RTP/AVP 8 101"), "{asked:?}");
        phone.reply_to(&asked, asked.header("To"), 200, &phone.describe("8 101", "sendrecv", 2));
        phone.expect("ACK", 0);
    }
    // Now packets pass byte by byte, whatever is in them.
    let word: Vec<u8> = (0..160).map(|n: u8| n.wrapping_mul(37)).collect();
    alice.rtp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 2048];
    let heard = (100..500).find(|sequence| {
        bob.say(called.invite.rtp(), 8, *sequence, &word);
        alice.rtp.recv(&mut buffer).is_ok_and(|length| buffer[1] & 0x7f == 8 && buffer[12..length] == word)
    });
    assert!(heard.is_some(), "a clear channel");
    assert_ne!(answer.rtp(), called.invite.rtp());
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    house.program.wait_for("call 1: 1001 → 1002 ended");
    let why = house.command(&["why", "1"]);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("a fax machine or modem has answered: it has a clear channel"), "{why}");
}

#[test]
fn whoever_says_nothing_or_another_codec_than_was_agreed_on_is_named_when_all_have_hung_up() {
    let mut house = House::new("unheard", &["", "", ""], "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    // What Bob says in the time of two hundred packets of Alice's, and what is said of it.
    let silent = "passes, media do not: ";
    let foreign = "sends payload type 9 (G722), but PCMA/8000 was agreed on";
    for (call, says, sentence) in [(1, None, silent), (2, Some(9), foreign)] {
        let (mut calling, called, answer) = alice.talk("1002", &mut bob);
        alice.says_to(0x11, answer.rtp(), 8, &bob);
        for sequence in 1_000..1_200 {
            alice.say(answer.rtp(), 8, sequence, &[0x11; 160]);
            if let Some(kind) = says {
                bob.say(called.invite.rtp(), kind, sequence, &[0x12; 160]);
            }
            bob.hear();
        }
        alice.hang_up(&mut calling);
        bob.hung_up(&called);
        let ended = house.program.wait_for(&format!("call {call}: 1001 → 1002 ended"));
        assert!(ended.contains(&bob.address().to_string()) && ended.contains(sentence), "{ended}");
        assert!(!ended.contains(&alice.address().to_string()), "{ended}");
    }
}

#[test]
fn whom_the_exchange_answers_is_told_an_address_where_it_listens() {
    // One of several addresses of the machine, and not the one that packets to the telephones leave by.
    let server = SocketAddr::from(([127, 0, 0, 5], free_port()));
    let extension =
        |number: u32| format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n");
    let sip = format!("[sip]\nlisten = [\"udp:{server}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n");
    let _program = Program::start(folder("several"), &format!("{}{}{sip}", extension(1001), extension(1002)));
    let mut phones = ["1001", "1002"].map(|user| Phone::udp(server, user, &format!("secret-{user}")));
    for phone in &mut phones {
        assert_eq!(phone.register(300).status(), 200);
    }
    let [mut alice, mut bob] = phones;
    let (mut calling, called, answer) = alice.talk("1002", &mut bob);
    for message in [&answer, &called.invite] {
        assert!(message.header("Contact").contains(&format!("@{server}")), "{message:?}");
    }
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn an_invite_that_cannot_be_answered_or_heard_is_refused_and_rings_nowhere() {
    let adapter = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut house = House::new("unusable", &["", &format!("address = \"udp:{adapter}\"\n")], "");
    let (mut alice, mut bob) = (house.phone("1001"), Phone::udp_at(house.server, "1002", "", adapter));
    let server = house.server;
    let invite = |branch: u32, contact: &str, sdp: &str| {
        format!(
            "INVITE sip:1001@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {adapter};branch=z9hG4bKu{branch}\r\nFrom: <sip:1002@{server}>;tag=u{branch}\r\n\
             To: <sip:1001@{server}>\r\nCall-ID: unusable{branch}\r\nCSeq: {branch} INVITE\r\n{contact}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    };
    // Devices of RFC 2543's days may leave Contact out: there would be nowhere to send a BYE to.
    let sdp = bob.offer("8 101");
    bob.send_raw(&invite(1, "", &sdp));
    assert_eq!(bob.final_response("INVITE").status(), 400);
    house.program.wait_for("The caller's INVITE cannot be answered: ");
    // And whoever switches his sound off in the first offer has nobody to talk with.
    let port = format!("m=audio {} ", bob.rtp.local_addr().unwrap().port());
    bob.send_raw(&invite(
        2,
        &format!("Contact: <sip:1002@{adapter}>\r\n"),
        &sdp.replace(&port, "m=audio 0 "),
    ));
    assert_eq!(bob.final_response("INVITE").status(), 488);
    house.program.wait_for("the caller described no voice that could be used");
    // The first that reaches the other telephone is a good call.
    let calling = bob.call("1001");
    assert!(alice.invited().invite.line("m=audio ").contains(" 8"));
    bob.cancel(&calling);
    assert_eq!(bob.refused(&calling).status(), 487);
}
