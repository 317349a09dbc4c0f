//! What the exchange calls for by itself, and who rings for one extension: wake-up calls, call back on busy, paging, places in
//! a queue, telephones by priority, follow-me, pick-up within groups.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;
mod phone;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use house::House;
use phone::{Dialog, Phone};

/// Calls a code that answers, and hangs up.
fn dial(phone: &mut Phone, code: &str) {
    let mut dialog = phone.call(code);
    phone.answered(&mut dialog);
    phone.hang_up(&mut dialog);
}

/// Presses a key: an RFC 4733 event of 100 ms with its end three times.
fn press(phone: &Phone, to: SocketAddr, key: u8) {
    for (index, (end, duration)) in
        [(0_u8, 160_u16), (0, 480), (0x80, 800), (0x80, 800), (0x80, 800)].into_iter().enumerate()
    {
        let mut packet = vec![0x80, if index == 0 { 101 | 0x80 } else { 101 }];
        packet.extend((100 + u16::try_from(index).unwrap()).to_be_bytes());
        packet.extend(16_000_u32.to_be_bytes());
        packet.extend([9, 9, 9, 9, key, end | 10]);
        packet.extend(duration.to_be_bytes());
        phone.rtp.send_to(&packet, to).unwrap();
    }
}

/// A call that a telephone takes away from another: CANCEL, 200, 487, ACK.
fn cancelled(phone: &mut Phone, called: &Dialog) {
    let cancel = phone.expect("CANCEL", 0);
    phone.reply_to(&cancel, cancel.header("To"), 200, "");
    phone.reply(called, 487, "");
    phone.expect("ACK", 0);
}

#[test]
fn whoever_orders_it_is_woken_and_nobody_else() {
    let tables = "[clock]\noffset = \"+00:00\"\n";
    let mut house = House::new("wake", &["do_not_disturb = true", ""], tables);
    let mut alice = house.phone("1001");
    // The minute that will be there when the order is.
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(10);
    let minute = unix.as_secs() / 60 % 1_440;
    dial(&mut alice, &format!("*55{:02}{:02}", minute / 60, minute % 60));
    let called = alice.invited();
    assert!(called.invite.header("From").starts_with("\"Wake-up call\" <sip:*55@"), "{:?}", called.invite);
    alice.answer(&called, &alice.offer("8 101"));
    alice.rtp.send_to(&[0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], called.invite.rtp()).unwrap();
    assert_eq!(alice.hear().0, 8, "it is said to her");
    let mut called = called;
    alice.hang_up(&mut called);
    house.program.wait_for("(this exchange) dialled 1001");
    // The order was for once, and a time of day is all that can be ordered.
    while String::from_utf8_lossy(&house.command(&["extensions", "list"]).stdout).contains("wake_up=0") {}
    let output = house.command(&["extensions", "set", "1002", "wake_up=25:00"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no time of day"), "{output:?}");
}

#[test]
fn whoever_finds_somebody_busy_is_called_back() {
    let house = House::new("call-back", &["", "call_waiting = false", ""], "");
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let (mut talking, called, _) = bob.talk("1003", &mut carol);
    let busy = alice.call("1002");
    assert_eq!(alice.refused(&busy).status(), 486);
    dial(&mut alice, "*66");
    bob.hang_up(&mut talking);
    carol.hung_up(&called);
    // Now both are free: she is called, as by him, and he when she has answered.
    let back = alice.invited();
    assert!(back.invite.header("From").contains("sip:1002@"), "{:?}", back.invite);
    alice.answer(&back, &alice.offer("8 101"));
    let called = bob.invited();
    assert!(called.invite.header("From").contains("sip:1001@"), "{:?}", called.invite);
    bob.answer(&called, &bob.offer("8 101"));
    alice.says_to(0x31, back.invite.rtp(), 8, &bob);
    let mut back = back;
    alice.hang_up(&mut back);
    bob.hung_up(&called);
    // Nobody was found busy by him: there is nothing to be called back for.
    dial(&mut bob, "*66");
}

#[test]
fn a_page_is_heard_by_all_telephones_of_a_group_at_once() {
    let tables = "[[groups]]\nnumber = \"700\"\nmembers = [\"1002\", \"1003\"]\nstrategy = \"page\"\n";
    let house = House::new("page", &["", "", ""], tables);
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let mut paging = alice.call("700");
    let answer = alice.answered(&mut paging);
    let mut paged = Vec::new();
    for phone in [&mut bob, &mut carol] {
        let called = phone.invited();
        assert_eq!(called.invite.header("Answer-Mode"), "Auto", "{:?}", called.invite);
        phone.answer(&called, &phone.offer("8 101"));
        // The way is open when a packet came from the telephone.
        phone.say(called.invite.rtp(), 8, 1, &[0xd5; 160]);
        paged.push(called);
    }
    // She is heard by both; she hears neither of them, for they are only to listen.
    for phone in [&bob, &carol] {
        let loud = (2..500).any(|sequence| {
            alice.say(answer.rtp(), 8, sequence, &[[0x2a, 0xaa]; 80].concat());
            phone.hear().1.iter().filter(|byte| **byte & 0x7f != 0x55).count() > 80
        });
        assert!(loud, "the page is heard");
    }
    alice.hang_up(&mut paging);
    bob.hung_up(&paged[0]);
    carol.hung_up(&paged[1]);
}

#[test]
fn telephones_ring_by_their_priority_and_then_where_one_may_be_found() {
    let more = "priority_seconds = 3\nring_seconds = 3\nfollow_me = [\"1003\"]\n";
    let house = House::new("priority", &["", more, ""], "[calls]\nannouncements = false\n");
    let mut alice = house.phone("1001");
    let mut desk = Phone::udp(house.server, "1002", "secret-1002");
    let mut hall = Phone::udp(house.server, "1002", "secret-1002");
    for (phone, q) in [(&mut desk, "1.0"), (&mut hall, "0.3")] {
        let contact = format!("Contact: <sip:1002@{}>;q={q}\r\nExpires: 300\r\n", phone.address());
        assert_eq!(phone.register_with(&contact).status(), 200);
    }
    let mut carol = house.phone("1003");
    let mut calling = alice.call("1002");
    for phone in [&mut desk, &mut hall] {
        let called = phone.invited();
        phone.reply(&called, 180, "");
        cancelled(phone, &called);
    }
    let called = carol.invited();
    carol.answer(&called, &carol.offer("8 101"));
    alice.answered(&mut calling);
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn only_calls_of_the_own_groups_are_picked_up() {
    let tables = "[[groups]]\nnumber = \"600\"\nmembers = [\"1002\", \"1003\"]\n\
                  [[groups]]\nnumber = \"601\"\nmembers = [\"1004\"]\n";
    let house = House::new("groups", &["", "", "", ""], tables);
    let [mut alice, mut bob, mut carol, mut dave] =
        ["1001", "1002", "1003", "1004"].map(|number| house.phone(number));
    let mut calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 180, "");
    alice.expect("INVITE", 180);
    // Dave is of another group: there is nothing for him.
    dial(&mut dave, "*8");
    let mut picking = carol.call("*8");
    carol.answered(&mut picking);
    let answer = alice.answered(&mut calling);
    cancelled(&mut bob, &called);
    alice.says_to(0x51, answer.rtp(), 8, &carol);
    alice.hang_up(&mut calling);
    carol.hung_up(&picking);
}

#[test]
fn a_queue_is_first_come_first_served() {
    // Nobody says anything here, however long a slow machine lets them wait.
    let tables = "[media]\nsilence_seconds = 0\n[[groups]]\nnumber = \"600\"\nmembers = [\"1003\"]\n\
                  [[queues]]\nnumber = \"510\"\ngroup = \"600\"\nagain_seconds = 1\n";
    let house = House::new("places", &["", "", ""], tables);
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let mut first = alice.call("510");
    alice.answered(&mut first);
    let mut second = bob.call("510");
    bob.answered(&mut second);
    // Somebody comes: whoever waited longest has him, and the other when that call is over.
    let mut carol = house.phone("1003");
    let called = carol.invited();
    assert!(called.invite.header("From").contains("sip:1001@"), "{:?}", called.invite);
    carol.answer(&called, &carol.offer("8 101"));
    let mut called = called;
    carol.hang_up(&mut called);
    alice.hung_up(&first);
    let called = carol.invited();
    assert!(called.invite.header("From").contains("sip:1002@"), "{:?}", called.invite);
    carol.reply(&called, 180, "");
    bob.hang_up(&mut second);
    cancelled(&mut carol, &called);
}

#[test]
fn a_voice_says_that_somebody_is_busy_and_a_key_orders_the_call_back() {
    let tables = "[calls]\nannounce_busy = true\ntones = \"europe\"\n";
    let house = House::new("busy", &["", "call_waiting = false", ""], tables);
    let (mut alice, mut bob, mut carol) = (house.phone("1001"), house.phone("1002"), house.phone("1003"));
    let (mut talking, called, _) = bob.talk("1003", &mut carol);
    let busy = alice.call("1002");
    let progress = alice.expect("INVITE", 183);
    press(&alice, progress.rtp(), 1);
    assert_eq!(alice.refused(&busy).status(), 486);
    bob.hang_up(&mut talking);
    carol.hung_up(&called);
    let back = alice.invited();
    assert!(back.invite.header("From").contains("sip:1002@"), "{:?}", back.invite);
    alice.reply(&back, 486, "");
    alice.expect("ACK", 0);
}
