//! Calls through a running exchange over the loopback, by telephones that share nothing with it but the digest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::SocketAddr;
use std::time::Duration;

use phone::{Phone, Program, folder, free_port};

/// An exchange with three extensions, and a trunk at a port of the test's own.
struct Exchange {
    program: Program,
    server: SocketAddr,
    trunk: SocketAddr,
}

impl Exchange {
    fn new(name: &str) -> Self {
        Self::with(name, "")
    }

    fn with(name: &str, more: &str) -> Self {
        let (port, trunk) = (free_port(), free_port());
        let program = Program::start(folder(name), &file(port, trunk, more));
        let server = format!("127.0.0.1:{port}").parse().unwrap();
        Self { program, server, trunk: format!("127.0.0.1:{trunk}").parse().unwrap() }
    }

    /// A registered telephone.
    fn phone(&self, user: &str) -> Phone {
        let mut phone = Phone::udp(self.server, user, &format!("secret-{user}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    fn trunk(&self) -> Phone {
        Phone::udp_at(self.server, "200", "", self.trunk)
    }
}

fn file(port: u16, trunk: u16, more: &str) -> String {
    // What announcements sound like is heard in tests of their own.
    let more = format!("[calls]\nannouncements = false\n{}", more.trim_start_matches("[calls]\n"));
    let extension = |number: &str, more: &str| {
        format!(
            "[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\nname = \"Phone {number}\"\n{more}\n"
        )
    };
    format!(
        "{}{}{}[[trunks]]\nname = \"lab\"\naddress = \"udp:127.0.0.1:{trunk}\"\n\
         [[routes]]\nprefix = \"9\"\nstrip = 1\ntrunk = \"lab\"\n\
         [sip]\nlisten = [\"udp:127.0.0.1:{port}\", \"tcp:127.0.0.1:{port}\"]\n\
         [store]\nurl = \"sqlite:pbx.db\"\n{more}",
        extension("1001", ""),
        extension("1002", ""),
        extension("1003", "codecs = [\"PCMU\"]"),
    )
}

#[test]
fn two_telephones_talk_and_either_hangs_up() {
    let mut exchange = Exchange::new("talk");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    for caller_hangs_up in [true, false] {
        let mut calling = alice.call("1002");
        let mut called = bob.invited();
        assert!(called.invite.header("From").starts_with("\"Phone 1001\" <sip:1001@"), "{:?}", called.invite);
        assert!(
            !called.invite.body.contains(&alice.rtp.local_addr().unwrap().port().to_string()),
            "media is anchored"
        );
        bob.reply(&called, 180, "");
        alice.expect("INVITE", 180);
        bob.reply(&called, 200, &bob.offer("8 101"));
        let answer = alice.answered(&mut calling);
        bob.expect("ACK", 0);
        assert!(
            answer.line("m=audio ").ends_with("RTP/AVP 8 101"),
            "the callee's codec, so that nothing is converted"
        );
        let (to_bob, to_alice) = (answer.rtp(), called.invite.rtp());
        assert_eq!(alice.says_to(0x55, to_bob, 8, &bob), (8, vec![0x55; 160]));
        assert_eq!(bob.says_to(0x66, to_alice, 8, &alice), (8, vec![0x66; 160]));
        if caller_hangs_up {
            alice.hang_up(&mut calling);
            bob.hung_up(&called);
        } else {
            bob.hang_up(&mut called);
            alice.hung_up(&calling);
        }
    }
    exchange.program.wait_for("call 2: 1001 → 1002 ended after");
    let printed = exchange.program.printed();
    assert!(printed.contains("call 1: 1001 \"Phone 1001\" (extension, udp 127.0.0.1:"), "{printed}");
    assert!(printed.contains("answered after"), "{printed}");
}

#[test]
fn mu_law_and_a_law_understand_each_other() {
    let exchange = Exchange::new("convert");
    let (mut alice, mut carol) = (exchange.phone("1001"), exchange.phone("1003"));
    let sdp = alice.offer("8 101");
    let mut calling = alice.call_with("1003", &sdp);
    let called = carol.invited();
    assert!(called.invite.line("m=audio ").contains("RTP/AVP 0 101"), "{:?}", called.invite);
    carol.answer(&called, &carol.offer("0 101"));
    let answer = alice.answered(&mut calling);
    // The A-law and mu-law words for silence.
    let (kind, heard) = alice.says_to(0xd5, answer.rtp(), 8, &carol);
    assert_eq!(kind, 0);
    assert!(heard.iter().all(|word| matches!(word, 0xff | 0x7f | 0xfe | 0x7e)), "{heard:?}");
    alice.hang_up(&mut calling);
}

#[test]
fn a_telephone_on_tcp_talks_to_one_on_udp() {
    let exchange = Exchange::new("tcp");
    let mut alice = Phone::tcp(exchange.server, "1001", "secret-1001");
    assert_eq!(alice.register(300).status(), 200);
    let mut bob = exchange.phone("1002");
    let mut calling = bob.call("1001");
    let called = alice.invited();
    alice.answer(&called, &alice.offer("0 8 101"));
    let answer = bob.answered(&mut calling);
    bob.says_to(0x11, answer.rtp(), 0, &alice);
    alice.says_to(0x22, called.invite.rtp(), 0, &bob);
    bob.hang_up(&mut calling);
    alice.hung_up(&called);
}

#[test]
fn refusals_have_their_status_and_their_sentence() {
    let mut exchange = Exchange::new("refusals");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let calling = alice.call("7777");
    assert_eq!(alice.refused(&calling).status(), 404);
    exchange.program.wait_for("No extension, service or route has this number.");
    let calling = alice.call("1003");
    assert_eq!(alice.refused(&calling).status(), 480);
    exchange.program.wait_for("No telephone of this extension is registered");
    for (answer, passed) in [(486, 486), (603, 603), (404, 404), (302, 480)] {
        let calling = alice.call("1002");
        let called = bob.invited();
        bob.reply(&called, answer, "");
        bob.expect("ACK", 0);
        assert_eq!(alice.refused(&calling).status(), passed);
    }
    exchange.program.wait_for("1002 is busy.");
    exchange.program.wait_for("1002 declined the call.");
}

#[test]
fn no_codec_in_common_is_488_and_both_lists_are_named() {
    let mut exchange = Exchange::new("codecs");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let sdp = alice.offer("18 101");
    let calling = alice.call_with("1002", &sdp);
    let refusal = alice.refused(&calling);
    assert_eq!(refusal.status(), 488);
    let warning = refusal.header("Warning").to_owned();
    for codec in ["G729", "PCMA", "PCMU"] {
        assert!(warning.contains(codec), "{warning}");
    }
    let sentence = warning.split('"').nth(1).unwrap().trim_end_matches('.').to_owned();
    exchange.program.wait_for(&sentence);
    // Nothing rang: the next thing that reaches the callee is a good call.
    let calling = alice.call("1002");
    let called = bob.invited();
    assert!(called.invite.line("m=audio ").contains(" 8"));
    alice.cancel(&calling);
    assert_eq!(alice.refused(&calling).status(), 487);
}

#[test]
fn a_codec_that_both_have_passes_untouched_and_any_other_is_transcoded() {
    let wide = "codecs = [\"G729\", \"PCMA\"]\n";
    let (port, trunk) = (free_port(), free_port());
    let text =
        file(port, trunk, "").replace("name = \"Phone 1001\"\n", &format!("name = \"Phone 1001\"\n{wide}"));
    let text = text.replace("name = \"Phone 1002\"\n", &format!("name = \"Phone 1002\"\n{wide}"));
    let program = Program::start(folder("passes"), &text);
    let exchange = Exchange {
        program,
        server: SocketAddr::from(([127, 0, 0, 1], port)),
        trunk: SocketAddr::from(([127, 0, 0, 1], trunk)),
    };
    let (mut alice, mut bob, mut carol) =
        (exchange.phone("1001"), exchange.phone("1002"), exchange.phone("1003"));
    let sdp = alice.offer("18 101");
    let mut calling = alice.call_with("1002", &sdp);
    let called = bob.invited();
    // What both have stands first.
    assert!(called.invite.line("m=audio ").ends_with("RTP/AVP 18 8 101"), "{:?}", called.invite);
    bob.answer(&called, &bob.offer("18 101"));
    let answer = alice.answered(&mut calling);
    assert_eq!(alice.says_to(0x99, answer.rtp(), 18, &bob), (18, vec![0x99; 160]));
    alice.hang_up(&mut calling);
    bob.hung_up(&called);

    // 1003 may use only PCMU: her speech becomes G.729 for him, ten octets each ten milliseconds.
    let mut calling = alice.call_with("1003", &sdp);
    let called = carol.invited();
    assert!(called.invite.line("m=audio ").ends_with("RTP/AVP 0 101"), "{:?}", called.invite);
    carol.answer(&called, &carol.offer("0 101"));
    alice.answered(&mut calling);
    let (payload_type, payload) = carol.says_to_transcoded(&called, &alice);
    assert_eq!((payload_type, payload.len() % 10), (18, 0));
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn encrypted_voice_on_one_side_is_plain_on_the_other() {
    let exchange = Exchange::new("srtp");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let sdp = alice.offer("8 101").replace("RTP/AVP", "RTP/SAVP") + key;
    let mut calling = alice.call_with("1002", &sdp);
    let called = bob.invited();
    assert!(called.invite.line("m=audio ").contains("RTP/AVP"), "{:?}", called.invite);
    bob.answer(&called, &bob.offer("8 101"));
    let answer = alice.answered(&mut calling);
    assert!(
        answer.line("m=audio ").contains("RTP/SAVP") && answer.line("a=crypto:1 ").starts_with("AES_CM_128")
    );
    // Bob's plain voice reaches Alice as something else, longer by the authentication tag.
    let (kind, heard) = bob.says_to(0x42, called.invite.rtp(), 8, &alice);
    assert_eq!((kind, heard.len()), (8, 170));
    assert_ne!(heard[..160], [0x42; 160]);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn a_caller_who_gives_up_silences_the_bell() {
    let mut exchange = Exchange::new("cancel");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let calling = alice.call("1002");
    let called = bob.invited();
    alice.give_up(&calling, &mut bob, &called);
    assert_eq!(alice.refused(&calling).status(), 487);
    exchange.program.wait_for("(cancelled)");
}

#[test]
fn nobody_answers() {
    let mut exchange = Exchange::with("unanswered", "[calls]\nring_seconds = 1\n");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 180, "");
    let cancel = bob.expect("CANCEL", 0);
    bob.reply_to(&cancel, cancel.header("To"), 200, "");
    bob.reply(&called, 487, "");
    let refusal = alice.refused(&calling);
    assert_eq!((refusal.status(), refusal.header("Reason")), (480, "Q.850;cause=19;text=\"No answer\""));
    exchange.program.wait_for("Nobody answered within 1 s.");
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let exchange = Exchange::new("early");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let mut calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 183, &bob.offer("8 101"));
    let progress = alice.expect("INVITE", 183);
    bob.says_to(0x33, called.invite.rtp(), 8, &alice);
    bob.reply(&called, 200, &bob.offer("8 101"));
    let answer = alice.answered(&mut calling);
    bob.expect("ACK", 0);
    assert_eq!(answer.body, progress.body, "the answer is the same in both");
    alice.says_to(0x44, answer.rtp(), 8, &bob);
    alice.hang_up(&mut calling);
}

#[test]
fn every_telephone_of_an_extension_rings_and_the_first_wins() {
    let exchange = Exchange::new("fork");
    let mut alice = exchange.phone("1001");
    let (mut desk, mut hall) = (exchange.phone("1002"), exchange.phone("1002"));
    let mut calling = alice.call("1002");
    let (at_desk, at_hall) = (desk.invited(), hall.invited());
    desk.reply(&at_desk, 180, "");
    hall.reply(&at_hall, 180, "");
    hall.reply(&at_hall, 200, &hall.offer("0 101"));
    hall.expect("ACK", 0);
    let cancel = desk.expect("CANCEL", 0);
    assert!(cancel.header("Reason").contains("cause=200"), "{cancel:?}");
    desk.reply_to(&cancel, cancel.header("To"), 200, "");
    desk.reply(&at_desk, 487, "");
    let answer = alice.answered(&mut calling);
    assert!(answer.line("m=audio ").contains("RTP/AVP 0"), "the codec of the one that answered");
    alice.says_to(0x10, answer.rtp(), 0, &hall);
    alice.hang_up(&mut calling);
    hall.hung_up(&at_hall);
}

#[test]
fn one_busy_telephone_does_not_speak_for_the_other() {
    let exchange = Exchange::new("onebusy");
    let mut alice = exchange.phone("1001");
    let (mut desk, mut hall) = (exchange.phone("1002"), exchange.phone("1002"));
    let mut calling = alice.call("1002");
    let (at_desk, at_hall) = (desk.invited(), hall.invited());
    desk.reply(&at_desk, 486, "");
    desk.expect("ACK", 0);
    hall.answer(&at_hall, &hall.offer("0 8 101"));
    alice.answered(&mut calling);
    alice.hang_up(&mut calling);
}

#[test]
fn hold_and_resume_pass_through_in_both_styles() {
    let mut exchange = Exchange::new("hold");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let (mut calling, called, _) = alice.talk("1002", &mut bob);

    // The style of RFC 3264.
    let hold = alice.describe("0 8 101", "sendonly", 2);
    alice.request(&mut calling, "INVITE", "", &hold);
    let reinvite = bob.expect("INVITE", 0);
    assert!(reinvite.has_line("a=sendonly"), "{reinvite:?}");
    bob.reply_to(&reinvite, reinvite.header("To"), 200, &bob.describe("8 101", "recvonly", 2));
    bob.expect("ACK", 0);
    let held = alice.expect("INVITE", 200);
    assert!(held.has_line("a=recvonly"), "{held:?}");
    alice.acknowledge(&mut calling, &held, "");
    exchange.program.wait_for("put the other side on hold");

    let resume = alice.describe("0 8 101", "sendrecv", 3);
    alice.request(&mut calling, "INVITE", "", &resume);
    let reinvite = bob.expect("INVITE", 0);
    assert!(!reinvite.has_line("a=sendonly"), "{reinvite:?}");
    bob.reply_to(&reinvite, reinvite.header("To"), 200, &bob.describe("8 101", "sendrecv", 3));
    bob.expect("ACK", 0);
    let resumed = alice.expect("INVITE", 200);
    alice.acknowledge(&mut calling, &resumed, "");
    exchange.program.wait_for("took the other side back");
    alice.says_to(0x21, resumed.rtp(), 8, &bob);
    bob.says_to(0x22, reinvite.rtp(), 8, &alice);

    // The older style: an address of nobody.
    let ip = format!("c=IN IP4 {}", alice.rtp.local_addr().unwrap().ip());
    let hold = alice.describe("0 8 101", "sendrecv", 4).replace(&ip, "c=IN IP4 0.0.0.0");
    alice.request(&mut calling, "INVITE", "", &hold);
    let reinvite = bob.expect("INVITE", 0);
    assert!(reinvite.has_line("a=sendonly"), "{reinvite:?}");
    bob.reply_to(&reinvite, reinvite.header("To"), 200, &bob.describe("8 101", "recvonly", 4));
    bob.expect("ACK", 0);
    let held = alice.expect("INVITE", 200);
    alice.acknowledge(&mut calling, &held, "");

    let resume = alice.describe("0 8 101", "sendrecv", 5);
    alice.request(&mut calling, "INVITE", "", &resume);
    let reinvite = bob.expect("INVITE", 0);
    bob.reply_to(&reinvite, reinvite.header("To"), 200, &bob.describe("8 101", "sendrecv", 5));
    bob.expect("ACK", 0);
    let resumed = alice.expect("INVITE", 200);
    alice.acknowledge(&mut calling, &resumed, "");
    alice.says_to(0x23, resumed.rtp(), 8, &bob);
    bob.says_to(0x24, reinvite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn a_change_the_other_side_refuses_is_refused() {
    let exchange = Exchange::new("refusedchange");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let (mut calling, called, answer) = alice.talk("1002", &mut bob);
    let hold = alice.describe("8 101", "sendonly", 2);
    alice.request(&mut calling, "INVITE", "", &hold);
    let reinvite = bob.expect("INVITE", 0);
    bob.reply_to(&reinvite, reinvite.header("To"), 488, "");
    bob.expect("ACK", 0);
    let refusal = alice.final_response("INVITE");
    assert_eq!(refusal.status(), 488);
    alice.acknowledge(&mut calling, &answer, "");
    // The call goes on as before.
    alice.says_to(0x25, answer.rtp(), 8, &bob);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn offers_that_cross_are_tried_again() {
    let exchange = Exchange::new("glare");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let (mut calling, mut called, _) = alice.talk("1002", &mut bob);
    let hold = alice.describe("8 101", "sendonly", 2);
    alice.request(&mut calling, "INVITE", "", &hold);
    let crossing = bob.expect("INVITE", 0);
    // Before he answers it, Bob changes something himself.
    let own = bob.describe("8 101", "sendonly", 2);
    bob.request(&mut called, "INVITE", "", &own);
    let refused = bob.final_response("INVITE");
    assert_eq!(refused.status(), 491);
    bob.ack_failure_of(&called, &refused);
    bob.reply_to(&crossing, crossing.header("To"), 491, "");
    bob.expect("ACK", 0);
    let again = bob.expect("INVITE", 0);
    assert!(again.has_line("a=sendonly"));
    bob.reply_to(&again, again.header("To"), 200, &bob.describe("8 101", "recvonly", 3));
    bob.expect("ACK", 0);
    let held = alice.expect("INVITE", 200);
    alice.acknowledge(&mut calling, &held, "");
    alice.hang_up(&mut calling);
}

#[test]
fn an_invite_without_offer_gets_ours() {
    let exchange = Exchange::new("late");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let mut calling = alice.call_with("1002", "");
    let called = bob.invited();
    bob.answer(&called, &bob.offer("8 101"));
    let offer = alice.expect("INVITE", 200);
    let answer = alice.offer("8 101");
    alice.acknowledge(&mut calling, &offer, &answer);
    alice.says_to(0x31, offer.rtp(), 8, &bob);
    bob.says_to(0x32, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn a_neighbour_is_called_by_prefix_and_calls_without_password() {
    let exchange = Exchange::new("trunk");
    let (mut alice, mut lab) = (exchange.phone("1001"), exchange.trunk());
    let mut calling = alice.call("9200");
    let called = lab.invited();
    assert!(
        called.invite.first_line.starts_with("INVITE sip:200@127.0.0.1:"),
        "{}",
        called.invite.first_line
    );
    lab.answer(&called, &lab.offer("8 101"));
    alice.answered(&mut calling);
    alice.hang_up(&mut calling);
    lab.hung_up(&called);

    let mut calling = lab.call("1001");
    let called = alice.invited();
    // Dialled from here, this number leads back to the caller.
    assert!(called.invite.header("From").contains("sip:9200@"), "{:?}", called.invite);
    alice.answer(&called, &alice.offer("8 101"));
    lab.answered(&mut calling);
    lab.hang_up(&mut calling);
    alice.hung_up(&called);
}

#[test]
fn a_neighbour_passes_calls_on_only_where_it_may() {
    for transit in [true, false] {
        let (port, trunk, other) = (free_port(), free_port(), free_port());
        let text = file(port, trunk, "").replace("[[routes]]", &format!("transit = {transit}\n[[routes]]"));
        let more = format!("[[trunks]]\nname = \"far\"\naddress = \"udp:127.0.0.1:{other}\"\n");
        let mut program = Program::start(folder(&format!("transit-{transit}")), &(text + &more));
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let mut lab = Phone::udp_at(server, "200", "", SocketAddr::from(([127, 0, 0, 1], trunk)));
        let mut far = Phone::udp_at(server, "300", "", SocketAddr::from(([127, 0, 0, 1], other)));
        let calling = far.call("9300");
        let called = lab.invited();
        assert_eq!(called.invite.header("Max-Forwards"), "69");
        lab.reply(&called, 486, "");
        lab.expect("ACK", 0);
        assert_eq!(far.refused(&calling).status(), 486);
        // And from the trunk whose permission is asked for.
        let calling = lab.call("9300");
        if transit {
            let back = lab.invited();
            lab.reply(&back, 486, "");
            assert_eq!(lab.final_of(&calling).status(), 486);
        } else {
            assert_eq!(lab.refused(&calling).status(), 403);
            program
                .wait_for("The trunk lab asked for a number that leaves by the trunk lab, which it may not.");
        }
    }
}

#[test]
fn a_stranger_is_refused_whatever_he_dials() {
    let exchange = Exchange::new("stranger");
    let mut bob = exchange.phone("1002");
    for (user, number) in [("1001", "1002"), ("1002", "9200"), ("nobody", "100"), ("200", "7777")] {
        let mut stranger = Phone::udp(exchange.server, user, "");
        let calling = stranger.call(number);
        let refusal = stranger.refused(&calling);
        assert_eq!(refusal.status(), 407, "{user} {number}");
        assert!(refusal.header("Proxy-Authenticate").starts_with("Digest "));
    }
    let mut stranger = Phone::udp(exchange.server, "1001", "wrong");
    let calling = stranger.call("1002");
    let refusal = stranger.refused(&calling);
    assert!(matches!(refusal.status(), 403 | 407), "{}", refusal.first_line);
    // The bell of 1002 was silent all the time: the next INVITE that reaches it is this one.
    let mut alice = exchange.phone("1001");
    let calling = alice.call("1002");
    assert!(bob.invited().invite.header("From").contains("1001"));
    alice.cancel(&calling);
}

#[test]
fn the_echo_returns_and_the_milliwatt_sounds() {
    let mut exchange = Exchange::new("services");
    let mut alice = exchange.phone("1001");
    let mut calling = alice.call("186");
    let answer = alice.answered(&mut calling);
    let (kind, heard) = alice.says_to(0x77, answer.rtp(), 8, &alice);
    assert_eq!((kind, heard), (8, vec![0x77; 160]));
    alice.hang_up(&mut calling);
    exchange.program.wait_for("(service echo)");

    let sdp = alice.offer("0");
    let mut calling = alice.call_with("100", &sdp);
    let answer = alice.answered(&mut calling);
    alice.say(answer.rtp(), 0, 1, &[0xff; 160]);
    let mut heard = Vec::new();
    while heard.len() < 480 {
        let (kind, payload, _) = alice.hear();
        // Echoes of the call before may still be under way.
        if kind == 0 {
            heard.extend(payload);
        }
    }
    // ITU-T G.711 Table 6: the periodic sequence of the digital milliwatt.
    let milliwatt = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e];
    let phase =
        (0..8).find(|phase| heard.iter().enumerate().all(|(at, word)| *word == milliwatt[(at + phase) % 8]));
    assert!(phase.is_some(), "{heard:x?}");
    alice.hang_up(&mut calling);
}

#[test]
fn a_call_whose_voice_stops_is_noticed_and_ended() {
    let mut exchange = Exchange::with("silent", "[media]\nsilence_seconds = 3\n");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let (calling, called, answer) = alice.talk("1002", &mut bob);
    alice.says_to(0x41, answer.rtp(), 8, &bob);
    let bye = bob.hung_up(&called);
    assert!(bye.header("Reason").contains("cause=102"), "{bye:?}");
    alice.hung_up(&calling);
    let line = exchange.program.wait_for("call 1: 1001 → 1002 ended");
    assert!(line.contains("Not one voice packet came from the callee at 127.0.0.1:"), "{line}");
}

#[test]
fn a_telephone_in_local_and_one_beyond_it_are_told_their_addresses() {
    let network = "[network]\nexternal = \"203.0.113.9\"\nlocal = [\"127.0.0.1/32\"]\n";
    let (port, trunk) = (free_port(), free_port());
    let text = file(port, trunk, network).replace("127.0.0.1:{port}", "0.0.0.0:{port}");
    let text = text.replace(&format!("udp:127.0.0.1:{port}"), &format!("udp:0.0.0.0:{port}"));
    let text = text.replace(&format!("tcp:127.0.0.1:{port}"), &format!("tcp:0.0.0.0:{port}"));
    let program = Program::start(folder("told"), &text);
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut near = Phone::udp(server, "1001", "secret-1001");
    let mut far = Phone::udp_at(server, "1002", "secret-1002", SocketAddr::from(([127, 0, 0, 2], 0)));
    assert_eq!(near.register(300).status(), 200);
    assert_eq!(far.register(300).status(), 200);
    let mut calling = near.call("1002");
    let called = far.invited();
    assert!(called.invite.header("Contact").contains("203.0.113.9:"), "{:?}", called.invite);
    assert_eq!(called.invite.line("c="), "IN IP4 203.0.113.9");
    far.reply(&called, 200, &far.offer("8 101"));
    let answer = near.expect("INVITE", 200);
    assert_eq!(answer.line("c="), "IN IP4 127.0.0.1");
    assert!(answer.header("Contact").contains("127.0.0.1:"), "{answer:?}");
    near.acknowledge(&mut calling, &answer, "");
    near.hang_up(&mut calling);
    drop(program);
}

/// A command beside the running exchange.
fn command(exchange: &Exchange, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml"])
        .args(arguments)
        .current_dir(&exchange.program.folder)
        .output()
        .unwrap();
    String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
}

#[test]
fn the_commands_tell_who_is_there_what_was_called_and_why() {
    let mut exchange = Exchange::new("why");
    assert_eq!(command(&exchange, &["phones"]), "No telephone is registered.\n");
    assert_eq!(command(&exchange, &["calls"]), "There was no call yet.\n");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let phones = command(&exchange, &["phones"]);
    assert!(phones.starts_with(&format!("1001     udp {}", alice.address())), "{phones}");
    let calling = alice.call("1003");
    alice.refused(&calling);
    let (mut calling, called, answer) = alice.talk("1002", &mut bob);
    alice.says_to(0x11, answer.rtp(), 8, &bob);
    bob.says_to(0x12, called.invite.rtp(), 8, &alice);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    exchange.program.wait_for("call 2: 1001 → 1002 ended");
    // The record is written by another thread a moment after the line.
    let calls = loop {
        let calls = command(&exchange, &["calls"]);
        if calls.lines().count() == 2 {
            break calls;
        }
    };
    assert!(
        calls.lines().nth(1).unwrap().contains("No telephone of this extension is registered."),
        "{calls}"
    );
    let why = command(&exchange, &["why", "1"]);
    assert!(
        why.contains("It was not answered: 480 (failed).\nNo telephone of this extension is registered."),
        "{why}"
    );
    let why = command(&exchange, &["why", "2"]);
    assert!(why.contains("PCMA/PCMA.\nNothing was wrong with it."), "{why}");
    assert!(why.contains("the first media came from"), "{why}");
    let json = command(&exchange, &["calls", "--json"]);
    assert!(
        json.contains("\"outcome\": \"answered\"") && json.contains("\"codec\": \"PCMA/PCMA\""),
        "{json}"
    );
    assert!(command(&exchange, &["why", "77"]).starts_with("pbx: there is no call 77 in the store"));
}

#[test]
fn a_signal_asks_how_much_is_held() {
    let mut exchange = Exchange::new("holding");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let (mut calling, called, _) = alice.talk("1002", &mut bob);
    exchange.program.signal("USR1");
    let line = exchange.program.wait_for("holding: ");
    assert!(line.contains("holding: 1 calls, 2 dialogs, "), "{line}");
    assert!(line.ends_with(" transactions, 4 media ports, 2 registrations"), "{line}");
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    exchange.program.wait_for("call 1: 1001 → 1002 ended");
    exchange.program.signal("USR1");
    exchange.program.wait_for("holding: 0 calls, 0 dialogs, ");
}

#[test]
fn ending_the_program_hangs_up() {
    for signal in ["INT", "TERM"] {
        let mut exchange = Exchange::new(&format!("end-{signal}"));
        let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
        let (calling, called, _) = alice.talk("1002", &mut bob);
        exchange.program.signal(signal);
        alice.hung_up(&calling);
        bob.hung_up(&called);
        assert_eq!(exchange.program.ended().code(), Some(0));
    }
}

#[test]
fn the_limit_of_calls_is_kept() {
    let mut exchange = Exchange::with("limit", "[calls]\nlimit = 1\n");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let calling = alice.call("1002");
    bob.invited();
    let mut carol = exchange.phone("1003");
    let second = carol.call("186");
    assert_eq!(carol.refused(&second).status(), 503);
    exchange.program.wait_for("a limit was reached: 1 calls at a time");
    alice.cancel(&calling);
}

#[test]
fn what_cannot_be_used_disturbs_nobody() {
    let mut exchange = Exchange::new("hostile");
    let (mut alice, mut bob) = (exchange.phone("1001"), exchange.phone("1002"));
    let noise = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let long = format!("OPTIONS sip:x SIP/2.0\r\n{}\r\n", "X-Header: value\r\n".repeat(3000));
    for bad in [&b"\0\0\0"[..], b"INVITE", b"\xff\xfe\xfd", b"GET / HTTP/1.1\r\n\r\n", long.as_bytes()] {
        noise.send_to(bad, exchange.server).unwrap();
    }
    noise
        .send_to(
            b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nCSeq: one OPTIONS\r\n\r\n",
            exchange.server,
        )
        .unwrap();
    let mut stream = std::net::TcpStream::connect(exchange.server).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"INVITE sip:1002@x SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n",
    )
    .unwrap();
    let (mut calling, called, _) = alice.talk("1002", &mut bob);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    exchange.program.wait_for("cannot be used");
}

#[test]
fn a_short_message_reaches_every_telephone_of_an_extension() {
    let exchange = Exchange::new("message");
    let mut alice = exchange.phone("1001");
    assert_eq!(alice.message("1002", "anybody there?"), 480);
    assert_eq!(alice.message("7777", "anybody there?"), 404);
    let phones = [exchange.phone("1002"), exchange.phone("1002")];
    let readers = phones.map(|mut phone| {
        std::thread::spawn(move || {
            let message = phone.expect("MESSAGE", 0);
            phone.reply_to(&message, &format!("{};tag=r", message.header("To")), 200, "");
            (message.header("From").to_owned(), message.body)
        })
    });
    assert_eq!(alice.message("1002", "dinner is ready"), 200);
    for reader in readers {
        let (from, text) = reader.join().unwrap();
        assert!(from.contains("sip:1001@"), "{from}");
        assert_eq!(text, "dinner is ready");
    }
}
