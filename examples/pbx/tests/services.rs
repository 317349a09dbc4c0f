//! What the exchange answers itself, heard packet by packet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use denwa_codecs::g711::Law;
use denwa_interop::audio;
use phone::{Dialog, Phone, Program, folder, free_port};

struct House {
    program: Program,
    server: SocketAddr,
}

impl House {
    fn new(name: &str, more: &str) -> Self {
        let port = free_port();
        let extensions: String = ["1001", "1002", "1003"]
            .map(|number| {
                let more = if number == "1002" {
                    "forward_no_answer = \"voicemail\"\nring_seconds = 1\n"
                } else {
                    ""
                };
                format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n{more}")
            })
            .concat();
        let text = format!(
            "{extensions}{more}\n[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
             [prompts]\nlanguage = \"en\"\n"
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

/// Calls a number and gets through; where the voice goes.
fn through(phone: &mut Phone, number: &str) -> (Dialog, SocketAddr) {
    let mut dialog = phone.call(number);
    let answer = phone.answered(&mut dialog);
    let to = answer.rtp();
    // The exchange sends once it may: a packet of ours shows it the way.
    phone.rtp.send_to(&packet(1, 8, &[0xd5; 160]), to).unwrap();
    (dialog, to)
}

fn packet(sequence: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([9, 9, 9, 9]);
    packet.extend(payload);
    packet
}

/// Presses a key: an RFC 4733 event of 100 ms with its end three times.
fn press(phone: &Phone, to: SocketAddr, key: u8, sequence: u16) {
    let timestamp = u32::from(sequence) * 160;
    for (index, (end, duration)) in
        [(0_u8, 160_u16), (0, 480), (0x80, 800), (0x80, 800), (0x80, 800)].into_iter().enumerate()
    {
        let mut packet = vec![0x80, if index == 0 { 101 | 0x80 } else { 101 }];
        packet.extend((sequence + u16::try_from(index).unwrap()).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([9, 9, 9, 9]);
        packet.extend([key, end | 10]);
        packet.extend(duration.to_be_bytes());
        phone.rtp.send_to(&packet, to).unwrap();
    }
}

/// What the telephone hears in so many packets of A-law, as loudness per packet.
fn hears(phone: &Phone, packets: usize) -> Vec<f64> {
    let mut heard = Vec::new();
    let mut buffer = [0; 2048];
    while heard.len() < packets {
        let length = match phone.rtp.recv(&mut buffer) {
            // A process that was stopped for a moment.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            received => received.unwrap(),
        };
        if buffer[1] & 0x7f != 8 {
            continue;
        }
        let energy: f64 = buffer[12..length].iter().map(|byte| f64::from(Law::A.decode(*byte)).powi(2)).sum();
        heard.push((energy / (length - 12) as f64).sqrt());
    }
    heard
}

fn is_loud(loudness: &[f64]) -> bool {
    loudness.iter().filter(|loudness| **loudness > 300.0).count() * 3 > loudness.len()
}

#[test]
fn the_clock_the_greeting_and_the_music_are_heard() {
    let house = House::new("heard", "");
    let mut alice = house.phone("1001");
    for number in ["117", "123", "188"] {
        let (mut dialog, _) = through(&mut alice, number);
        assert!(is_loud(&hears(&alice, 60)), "{number} is silent");
        alice.hang_up(&mut dialog);
    }
}

#[test]
fn a_number_not_in_use_is_announced_and_then_refused() {
    let house = House::new("announced", "");
    let mut alice = house.phone("1001");
    let dialog = alice.call("7777");
    let progress = alice.expect("INVITE", 183);
    alice.rtp.send_to(&packet(1, 8, &[0xd5; 160]), progress.rtp()).unwrap();
    assert!(is_loud(&hears(&alice, 60)));
    assert_eq!(alice.refused(&dialog).status(), 404);
}

#[test]
fn digits_are_read_back() {
    let house = House::new("read-back", "");
    let mut alice = house.phone("1001");
    let (mut dialog, to) = through(&mut alice, "184");
    for (index, key) in [4, 2].into_iter().enumerate() {
        press(&alice, to, key, 100 + 10 * u16::try_from(index).unwrap());
    }
    // The keys end the prompt; the hash has them read.
    let mut heard = hears(&alice, 5);
    press(&alice, to, 11, 150);
    heard.extend(hears(&alice, 60));
    assert!(is_loud(&heard[20..]));
    alice.hang_up(&mut dialog);
}

#[test]
fn three_talk_in_the_conference() {
    let house = House::new("conference", "[conference]\npin = \"77\"\n");
    let mut phones = [house.phone("1001"), house.phone("1002"), house.phone("1003")];
    let mut dialogs = Vec::new();
    for phone in &mut phones {
        let (dialog, to) = through(phone, "160");
        press(phone, to, 7, 100);
        press(phone, to, 7, 110);
        press(phone, to, 11, 120);
        dialogs.push((dialog, to));
    }
    // What one says the two others hear, and he does not: a loud tone against silence.
    let tone: Vec<u8> =
        (0..160).map(|n| Law::A.encode(((f64::from(n) * 0.7).sin() * 9_000.0) as i16)).collect();
    let talks = |speaker: usize, listener: usize| {
        let began = Instant::now();
        let mut sequence = 1_000;
        let mut loud = 0;
        // Prompts and door bells end; then only the speaker is heard.
        while loud < 25 && began.elapsed() < phone::PATIENCE {
            phones[speaker].rtp.send_to(&packet(sequence, 8, &tone), dialogs[speaker].1).unwrap();
            sequence += 1;
            let heard = hears(&phones[listener], 1)[0];
            loud = if heard > 3_000.0 { loud + 1 } else { 0 };
        }
        loud >= 25
    };
    assert!(talks(0, 1) && talks(0, 2) && talks(2, 0));
    for (phone, (dialog, _)) in phones.iter_mut().zip(&mut dialogs) {
        phone.hang_up(dialog);
    }
}

#[test]
fn a_wrong_pin_keeps_strangers_out() {
    let house = House::new("pin", "[conference]\npin = \"77\"\n");
    let mut alice = house.phone("1001");
    let (dialog, to) = through(&mut alice, "160");
    for sequence in [100, 200, 300] {
        press(&alice, to, 1, sequence);
        press(&alice, to, 11, sequence + 10);
    }
    alice.hung_up(&dialog);
}

#[test]
fn a_message_is_left_shown_and_listened_to() {
    let mut house = House::new("voicemail", "[voicemail]\nfolder = \".\"\n");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    // Nobody answers; the mailbox does.
    let mut calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 180, "");
    let cancel = bob.expect("CANCEL", 0);
    bob.reply_to(&cancel, cancel.header("To"), 200, "");
    bob.reply(&called, 487, "");
    bob.expect("ACK", 0);
    let answer = alice.answered(&mut calling);
    house.program.wait_for("goes on to mailbox 1002");
    let tone: Vec<u8> =
        (0..160).map(|n| Law::A.encode(((f64::from(n) * 0.7).sin() * 9_000.0) as i16)).collect();
    // She speaks all the time; what comes after the tone is the message.
    for sequence in 1..250 {
        alice.rtp.send_to(&packet(sequence, 8, &tone), answer.rtp()).unwrap();
        hears(&alice, 1);
    }
    press(&alice, answer.rtp(), 11, 300);
    alice.hung_up(&calling);
    let folder = house.program.folder.join("voicemail/1002");
    // It is put there by a thread of its own.
    let has_message = || fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_some());
    assert!(denwa_interop::wait_until(phone::PATIENCE, has_message));
    let messages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].to_str().unwrap().ends_with("-1001.new.wav"), "{messages:?}");
    assert!(fs::metadata(&messages[0]).unwrap().len() > 8_000, "more than half a second");

    let (mut dialog, _) = through(&mut bob, "*97");
    let heard = hears(&bob, 200);
    assert!(heard.iter().filter(|loudness| **loudness > 3_000.0).count() > 20, "the message is heard");
    bob.hang_up(&mut dialog);
    let is_old = || {
        let mut files = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
        files.any(|path| path.to_str().unwrap().ends_with("-1001.old.wav"))
    };
    assert!(denwa_interop::wait_until(phone::PATIENCE, is_old), "{:?}", fs::read_dir(&folder));
}

#[test]
fn the_dial_tone_is_that_of_the_country() {
    const PLANS: [(&str, &[f64]); 3] =
        [("japan", &[400.0]), ("north america", &[350.0, 440.0]), ("europe", &[425.0])];
    for (country, tones) in PLANS {
        let name = format!("tones-{}", country.replace(' ', "-"));
        let house = House::new(&name, &format!("[calls]\ntones = \"{country}\"\n"));
        let mut alice = house.phone("1001");
        let (mut dialog, _) = through(&mut alice, "*0");
        let heard: Vec<i16> =
            (0..60).flat_map(|_| alice.hear().1).map(|byte| Law::A.decode(byte)).skip(1_600).collect();
        for tone in [350.0, 400.0, 425.0, 440.0] {
            let share = audio::share_of_tone(&heard, tone);
            let is_right =
                if tones.contains(&tone) { share > 0.7 / tones.len() as f64 } else { share < 0.15 };
            assert!(is_right, "{country}: {share:.2} of it is {tone} Hz");
        }
        alice.hang_up(&mut dialog);
    }
}

#[test]
fn whoever_is_held_hears_music_and_then_the_other_again() {
    // Whoever holds says nothing for longer than a call may be silent.
    let house = House::new("music", "[media]\nsilence_seconds = 4\n");
    let (mut alice, mut carol) = (house.phone("1001"), house.phone("1003"));
    let (mut calling, mut called, answer) = alice.talk("1003", &mut carol);
    alice.says_to(0x33, answer.rtp(), 8, &carol);
    carol.says_to(0x34, called.invite.rtp(), 8, &alice);
    let hold = carol.describe("8 101", "sendonly", 2);
    carol.request(&mut called, "INVITE", "", &hold);
    let reinvite = alice.expect("INVITE", 0);
    assert!(reinvite.has_line("a=sendonly"), "{reinvite:?}");
    alice.reply_to(&reinvite, reinvite.header("To"), 200, &alice.describe("8 101", "recvonly", 2));
    alice.expect("ACK", 0);
    let held = carol.expect("INVITE", 200);
    carol.acknowledge(&mut called, &held, "");
    assert!(is_loud(&hears(&alice, 300)), "music");
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}

#[test]
fn a_menu_connects_and_a_call_is_recorded() {
    let more = "[[menus]]\nnumber = \"500\"\nchoices = [\"1=1003\"]\n";
    let mut house = House::new("menu", more);
    let (mut alice, mut carol) = (house.phone("1001"), house.phone("1003"));
    let (mut dialog, to) = through(&mut alice, "500");
    hears(&alice, 5);
    press(&alice, to, 1, 100);
    let called = carol.invited();
    carol.answer(&called, &carol.offer("8 101"));
    // The first packets may come before the way is open.
    carol.rtp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 2048];
    let heard = (200..800).find_map(|sequence| {
        alice.rtp.send_to(&packet(sequence, 8, &[0x35; 160]), to).unwrap();
        carol.rtp.recv(&mut buffer).ok()
    });
    assert_eq!(buffer[12..heard.unwrap()], [0x35; 160]);
    carol.rtp.set_read_timeout(Some(phone::PATIENCE)).unwrap();
    // *1: it is recorded from now on, and both hear so.
    press(&alice, to, 10, 1000);
    press(&alice, to, 1, 1010);
    assert!(is_loud(&hears(&alice, 40)));
    let recordings = house.program.folder.join("recordings");
    let bytes = || -> u64 {
        let files = fs::read_dir(&recordings).into_iter().flatten();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let began = Instant::now();
    while bytes() < 16_000 && began.elapsed() < phone::PATIENCE {
        hears(&alice, 1);
    }
    assert!(bytes() >= 16_000, "half a second of two channels");
    alice.hang_up(&mut dialog);
    carol.hung_up(&called);
    house.program.wait_for("call 1: 1001 → 500 ended");
}

#[test]
fn who_is_recorded_hears_a_tone_again_and_again() {
    let more = "[recording]\nannounced = false\nbeep_seconds = 1\n";
    let house = House::new("beep", more);
    let (mut alice, mut carol) = (house.phone("1001"), house.phone("1003"));
    let mut calling = alice.call("1003");
    let called = carol.invited();
    carol.answer(&called, &carol.offer("8 101"));
    let to = alice.answered(&mut calling).rtp();
    alice.says_to(0xd5, to, 8, &carol);
    press(&alice, to, 10, 1000);
    press(&alice, to, 1, 1010);
    // Carol says nothing: whatever is heard is the exchange's, and between two tones nothing is sent.
    let mut loud: Vec<Instant> = Vec::new();
    // 12 packets of 20 ms are more than one tone of 140 ms. Those that a busy machine brings all at once show no pause.
    let is_pause = |pair: &[Instant]| pair[1] - pair[0] > Duration::from_millis(500);
    while loud.len() < 12 || !loud.windows(2).any(is_pause) {
        let is_loud = hears(&alice, 1)[0] > 300.0;
        loud.extend(is_loud.then(Instant::now));
        assert!(loud.len() < 300, "no pause between the tones");
    }
    alice.hang_up(&mut calling);
    carol.hung_up(&called);
}
