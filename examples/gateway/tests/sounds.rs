//! Keys in all three ways, and packets of any length: what one end sends becomes what the other understands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod town;

use denwa_codecs::tone::dtmf::{Detector, DtmfEvent, frequencies_hz};
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::sipp::{Sipp, receive};
use denwa_interop::{Ports, Scratch, audio, require, wait_until};
use gateway::gateway::Command;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use town::Gate;
use town::ladder::*;

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: [&str; 3] = ["1", "5", "#"];

/// A telephone that has one way to send and understand keys.
enum Telephone {
    Events(Phone),
    /// Who has no other way presses his keys by his voice, over and over.
    Sound(Phone),
    /// SIPp, for baresip sends none in INFO.
    Info(Sipp),
}

impl Telephone {
    fn baresip(name: &str, says: &[i16], scratch: &Scratch, ports: &mut Ports) -> Phone {
        let account = Account { name, codecs: "PCMU", ..Account::unregistered("200", "127.0.0.1") };
        let phone = Phone::start(&account, scratch.path(), ports, says);
        phone.peer.wait_for("baresip is ready", PATIENCE);
        phone
    }

    /// Presses each key when the other end has got the one before.
    fn presses(&self, heard: impl Fn(&str)) {
        for key in KEYS {
            if let Self::Events(phone) = self {
                phone.command("sndcode", key);
            }
            heard(key);
        }
    }

    /// Waits until it has got a key.
    fn hears(&self, key: &str, log: impl Fn() -> String) {
        let there = wait_until(PATIENCE, || match self {
            Self::Events(phone) => phone.peer.log().contains(&format!("received event: '{key}'")),
            Self::Sound(phone) => keys_in(&phone.newest_recording().1).contains(key),
            Self::Info(sipp) => {
                let signal = format!("Signal={key}\n");
                sipp.messages()
                    .iter()
                    .any(|it| !it.sent && it.text.starts_with("INFO") && it.text.contains(&signal))
            }
        });
        let own = match self {
            Self::Events(phone) | Self::Sound(phone) => phone.peer.log(),
            Self::Info(sipp) => format!("{:#?}", sipp.messages()),
        };
        assert!(there, "{key} was not heard:\n{own}\n{}", log());
    }

    fn is_up(&self) {
        match self {
            Self::Events(phone) | Self::Sound(phone) => phone.peer.wait_for("Call established", PATIENCE),
            Self::Info(_) => {}
        }
    }
}

/// All keys as tones, with silence around.
fn pressed() -> Vec<i16> {
    let mut samples = vec![0; 8000];
    for key in KEYS {
        let (row, column) = frequencies_hz(key.chars().next().unwrap()).unwrap();
        let sine = |hertz: f64, at: usize| (std::f64::consts::TAU * hertz * at as f64 / 8000.0).sin();
        samples.extend((0..960).map(|at| (6000.0 * (sine(row, at) + sine(column, at))) as i16));
        samples.extend([0; 960]);
    }
    samples
}

fn keys_in(samples: &[i16]) -> String {
    let mut keys = String::new();
    Detector::new(audio::RATE).listen(samples, |event| {
        if let DtmfEvent::Begun { digit, .. } = event {
            keys.push(digit);
        }
    });
    keys
}

/// Each way becomes each other, in both directions of a call.
#[test]
fn keys_become_what_the_other_end_understands() {
    if !require("baresip") || !require("sipp") {
        return;
    }
    let scratch = Scratch::new("gateway-keys");
    let mut ports = Ports::block();
    let (silence, voice) = (vec![0; 8000 * 120], pressed().repeat(60));
    let mut baresip = |name, says: &[i16]| Telephone::baresip(name, says, &scratch, &mut ports);
    let (to_info, to_events, from_sound, to_sound) = (
        baresip("one", &silence),
        baresip("two", &silence),
        baresip("three", &voice),
        baresip("four", &voice),
    );
    let (info_called, info_calls, first) = (ports.take(2), ports.take(2), ports.take(40));
    let side = |name: &str, port: u16, way: &str| {
        format!(
            "[[sides]]\nname = \"{name}\"\nto = \"udp:127.0.0.1:{port}\"\ncodecs = [\"PCMU\"]\ndtmf = \"{way}\"\n"
        )
    };
    let route = |from: &str, to: &str| format!("[[routes]]\nfrom = \"{from}\"\nto = \"{to}\"\n");
    let file = [
        format!("[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n", first + 39),
        side("events", to_info.sip_port, "events"),
        side("info called", info_called, "info"),
        side("info", info_calls, "info"),
        side("sound called", to_sound.sip_port, "sound"),
        side("sound", from_sound.sip_port, "sound"),
        side("events called", to_events.sip_port, "events"),
        route("events", "info called"),
        route("info", "sound called"),
        route("sound", "events called"),
    ];
    let gate = Gate::start(&file.concat());
    let address = gate.running().listening()[0].address.to_string();

    // The one that is called presses when it has heard the first key, for then the other one hears as well.
    let mut called = vec![is_called(), lifts("200 OK", "", Some(&sdp(1, ""))), receive("request=\"ACK\"")];
    called.extend(is_told());
    let mut calling = calls("", Some(&sdp(1, "")));
    calling.extend([
        receive("response=\"180\" optional=\"true\""),
        receive("response=\"200\""),
        asks("ACK", 1, "", None),
    ]);
    for (number, name) in (10..).zip(KEYS) {
        called.extend([key(&requests("INFO", number, "", None), name), receive("response=\"200\"")]);
        calling.extend([key(&asks("INFO", number, "", None), name), receive("response=\"200\"")]);
    }
    for steps in [&mut called, &mut calling] {
        steps.extend(is_hung_up());
    }
    let info_called = start("called", &called, None, ("127.0.0.1", info_called, ports.take(2)), &scratch);
    info_called.wait_until_it_listens("u1");
    let uri = format!("sip:200@{address}");
    to_info.dial(&uri);
    from_sound.dial(&uri);
    let info_calls =
        start("calls", &calling, Some(&address), ("127.0.0.1", info_calls, ports.take(2)), &scratch);
    let mut calls = [
        (Telephone::Events(to_info), Telephone::Info(info_called)),
        (Telephone::Info(info_calls), Telephone::Sound(to_sound)),
        (Telephone::Sound(from_sound), Telephone::Events(to_events)),
    ];
    for (one, other) in &calls {
        one.is_up();
        other.is_up();
        for (from, to) in [(one, other), (other, one)] {
            from.presses(|key| to.hears(key, || gate.log()));
        }
    }
    gate.running().handle().command(Command::Stop).unwrap();
    for telephone in calls.iter_mut().flat_map(|(one, other)| [one, other]) {
        if let Telephone::Info(sipp) = telephone {
            assert!(sipp.finish(PATIENCE), "{:#?}\n{}", sipp.messages(), gate.log());
        }
    }
}

// ---- packets of any length (RFC 4566 §6, a=ptime)

/// Sends packets that hold this much sound until both ends have got as many as they want, for both need the other's; how long
/// those are that come.
fn talk(socket: &UdpSocket, to: u16, milliseconds: u16, wanted: usize, content: &AtomicUsize) -> Vec<usize> {
    let samples = usize::from(milliseconds) * 8;
    socket.set_read_timeout(Some(Duration::from_millis(milliseconds.into()))).unwrap();
    let (mut lengths, mut sequence, mut stamp) = (Vec::new(), 0_u16, 0_u32);
    let mut buffer = [0; 2000];
    let end = std::time::Instant::now() + PATIENCE / 2;
    let mut is_content = false;
    let mut due = std::time::Instant::now();
    while content.load(Ordering::SeqCst) < 2 && std::time::Instant::now() < end {
        if std::time::Instant::now() >= due {
            due += Duration::from_millis(milliseconds.into());
            let mut packet = vec![0x80, 0];
            packet.extend(sequence.to_be_bytes());
            packet.extend(stamp.to_be_bytes());
            packet.extend([7, 7, 7, milliseconds as u8]);
            packet.extend(vec![0x55; samples]);
            socket.send_to(&packet, ("127.0.0.1", to)).unwrap();
            (sequence, stamp) = (sequence.wrapping_add(1), stamp.wrapping_add(samples as u32));
        }
        if let Ok(length) = socket.recv(&mut buffer)
            && buffer[1] & 0x7f == 0
        {
            lengths.push(length - 12);
        }
        if !is_content && lengths.len() >= wanted {
            is_content = true;
            content.fetch_add(1, Ordering::SeqCst);
        }
    }
    lengths
}

/// The port that a description received by somebody names.
fn port_told(sipp: &Sipp, beginning: &str) -> u16 {
    let mut port = None;
    let told = wait_until(PATIENCE, || {
        let messages = sipp.messages();
        let message = nth(&messages, beginning, 0);
        port = message.and_then(|it| it.described("m=audio ").split(' ').next()?.parse().ok());
        port.is_some()
    });
    assert!(told, "{beginning} never came");
    port.unwrap()
}

#[test]
fn packets_are_as_long_as_each_end_wants_them() {
    if !require("sipp") {
        return;
    }
    let sockets = ["127.0.0.2:0", "127.0.0.3:0"].map(|address| UdpSocket::bind(address).unwrap());
    let body = |socket: &UdpSocket, more: &str| {
        sdp(1, more).replace("[media_port]", &socket.local_addr().unwrap().port().to_string())
    };
    let wishes = [body(&sockets[0], "a=ptime:40"), body(&sockets[1], "a=ptime:10\na=maxptime:20")];
    // The gateway ends the call when enough was heard.
    let ends = [receive("request=\"BYE\""), answers("200 OK", "", None)];
    let mut caller = calls("", Some(&wishes[0]));
    caller.extend([receive("response=\"180\""), receive("response=\"200\""), asks("ACK", 1, "", None)]);
    caller.extend(ends.clone());
    let mut callee = takes_the_call();
    callee.truncate(4);
    callee[2] = lifts("200 OK", "", Some(&wishes[1]));
    callee.extend(ends);
    let (mut lengths, content) = (Vec::new(), AtomicUsize::new(0));
    let place = Place { outside: "ptime = 30", ..Place::new("gateway-ptime") };
    let ladder = place.run_with(&caller, &callee, |gate, calling, called| {
        let callee = port_told(called.unwrap(), "INVITE");
        let caller = port_told(calling, "SIP/2.0 200");
        gate.wait_for(": up");
        lengths = std::thread::scope(|scope| {
            let near = scope.spawn(|| talk(&sockets[0], caller, 60, 20, &content));
            let far = scope.spawn(|| talk(&sockets[1], callee, 20, 40, &content));
            [near.join().unwrap(), far.join().unwrap()].to_vec()
        });
        gate.running().handle().command(Command::Stop).unwrap();
    });
    assert_eq!(received(&ladder.callee, "INVITE").described("a=ptime:"), "30", "{ladder}");
    assert_eq!(content.into_inner(), 2, "{lengths:?}\n{ladder}");
    assert!(lengths[0].iter().all(|length| *length == 320), "{lengths:?}");
    assert!(lengths[1].iter().all(|length| *length == 80), "{lengths:?}");
}

/// A codec on the wire, and a payload of so many milliseconds. Where its number is not fixed, everybody has one of his own for what
/// he receives.
struct Wire {
    numbers: [u8; 2],
    name: &'static str,
    rtpmap: &'static str,
    payload: fn(u16, &mut u8) -> Vec<u8>,
}

/// Other octets each time, so that what is lost or doubled is seen.
fn octets(count: usize, next: &mut u8) -> Vec<u8> {
    let first = *next;
    *next = next.wrapping_add(count as u8);
    (0..count).map(|at| first.wrapping_add(at as u8)).collect()
}

const CODECS: [Wire; 6] = [
    Wire {
        numbers: [9; 2],
        name: "G722",
        rtpmap: "G722/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds) * 8, next),
    },
    Wire {
        numbers: [18; 2],
        name: "G729",
        rtpmap: "G729/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds), next),
    },
    Wire {
        numbers: [3; 2],
        name: "GSM",
        rtpmap: "GSM/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds) / 20 * 33, next),
    },
    Wire {
        numbers: [102, 119],
        name: "G726-32",
        rtpmap: "G726-32/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds) * 4, next),
    },
    Wire {
        numbers: [118, 103],
        name: "iLBC20",
        rtpmap: "iLBC/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds) / 20 * 38, next),
    },
    Wire {
        numbers: [107, 108],
        name: "L16",
        rtpmap: "L16/8000",
        payload: |milliseconds, next| octets(usize::from(milliseconds) * 16, next),
    },
];

/// The number that a description received by somebody has for a codec.
fn number_told(sipp: &Sipp, beginning: &str, wire: &Wire) -> u8 {
    let messages = sipp.messages();
    let message = nth(&messages, beginning, 0).unwrap();
    let like = format!(" {}", wire.rtpmap);
    let maps = message.text.lines().filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let number = maps.filter_map(|map| map.strip_suffix(&like)?.parse().ok()).next();
    number.unwrap_or_else(|| panic!("{} is not in\n{message}", wire.rtpmap))
}

/// Sends packets of so many milliseconds until both ends have what they want; the payloads that come.
fn speak(
    socket: &UdpSocket,
    (to, number): (u16, u8),
    (wire, own): (&Wire, u8),
    milliseconds: u16,
    wanted: usize,
    content: &AtomicUsize,
) -> (Vec<u8>, Vec<(u32, Vec<u8>)>) {
    let every = Duration::from_millis(milliseconds.into());
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let (mut said, mut heard, mut next) = (Vec::new(), Vec::new(), 0);
    let (mut sequence, mut stamp, mut is_content) = (0_u16, 0_u32, false);
    let mut buffer = [0; 2000];
    let end = std::time::Instant::now() + PATIENCE / 2;
    let mut due = std::time::Instant::now();
    while content.load(Ordering::SeqCst) < 2 && std::time::Instant::now() < end {
        if std::time::Instant::now() >= due {
            due += every;
            let mut packet = vec![0x80, number];
            packet.extend(sequence.to_be_bytes());
            packet.extend(stamp.to_be_bytes());
            packet.extend([7, 7, 7, milliseconds as u8]);
            let payload = (wire.payload)(milliseconds, &mut next);
            said.extend_from_slice(&payload);
            packet.extend(payload);
            socket.send_to(&packet, ("127.0.0.1", to)).unwrap();
            sequence = sequence.wrapping_add(1);
            stamp = stamp.wrapping_add(u32::from(milliseconds) * 8);
        }
        if let Ok(length) = socket.recv(&mut buffer)
            && buffer[1] & 0x7f == own
        {
            let stamp = u32::from_be_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]);
            heard.push((stamp, buffer[12..length].to_vec()));
        }
        if !is_content && heard.len() >= wanted {
            is_content = true;
            content.fetch_add(1, Ordering::SeqCst);
        }
    }
    (said, heard)
}

/// Packets of 60 ms become those of 20 at the one end and the other way round, and every octet of every frame is what it was.
#[test]
fn packets_of_each_codec_are_cut_and_joined() {
    if !require("sipp") {
        return;
    }
    for wire in &CODECS {
        let sockets = ["127.0.0.2:0", "127.0.0.3:0"].map(|address| UdpSocket::bind(address).unwrap());
        let mode = if wire.name == "iLBC20" { "a=fmtp:[number] mode=20\n" } else { "" };
        let body = |socket: &UdpSocket, number: u8, milliseconds: u16| {
            let mode = mode.replace("[number]", &number.to_string());
            sdp(1, &format!("a=rtpmap:{number} {}\n{mode}a=ptime:{milliseconds}", wire.rtpmap))
                .replace("[media_port]", &socket.local_addr().unwrap().port().to_string())
                .replace("RTP/AVP 0", &format!("RTP/AVP {number}"))
        };
        let ends = [receive("request=\"BYE\""), answers("200 OK", "", None)];
        let mut caller = calls("", Some(&body(&sockets[0], wire.numbers[0], 20)));
        caller.extend([receive("response=\"180\""), receive("response=\"200\""), asks("ACK", 1, "", None)]);
        caller.extend(ends.clone());
        let mut callee = takes_the_call();
        callee.truncate(4);
        callee[2] = lifts("200 OK", "", Some(&body(&sockets[1], wire.numbers[1], 60)));
        callee.extend(ends);
        let lines = format!("codecs = [\"{}\"]", wire.name);
        let place = Place { inside: &lines, outside: &lines, ..Place::new("gateway-frames") };
        let (mut talks, content) = (Vec::new(), AtomicUsize::new(0));
        place.run_with(&caller, &callee, |gate, calling, called| {
            let called = called.unwrap();
            let callee = (port_told(called, "INVITE"), number_told(called, "INVITE", wire));
            let caller = (port_told(calling, "SIP/2.0 200"), number_told(calling, "SIP/2.0 200", wire));
            gate.wait_for(": up");
            talks = std::thread::scope(|scope| {
                // Each sends what the other does not want.
                let near =
                    scope.spawn(|| speak(&sockets[0], caller, (wire, wire.numbers[0]), 20, 9, &content));
                let far =
                    scope.spawn(|| speak(&sockets[1], callee, (wire, wire.numbers[1]), 60, 3, &content));
                [near.join().unwrap(), far.join().unwrap()].into()
            });
            gate.running().handle().command(Command::Stop).unwrap();
        });
        assert_eq!(content.into_inner(), 2, "{}: too little came", wire.name);
        for ((_, heard), milliseconds, (said, _)) in [(&talks[0], 20, &talks[1]), (&talks[1], 60, &talks[0])]
            .map(|(hearer, milliseconds, speaker)| {
                ((&hearer.0, &hearer.1), milliseconds, (&speaker.0, &speaker.1))
            })
        {
            let name = wire.name;
            let whole = (wire.payload)(milliseconds, &mut 0).len();
            let ticks = u32::from(milliseconds) * 8;
            let mut before = None;
            let mut content = Vec::new();
            for (stamp, payload) in heard {
                assert_eq!(payload.len(), whole, "{name}, {milliseconds} ms");
                assert!(before.is_none_or(|before: u32| stamp.wrapping_sub(before) == ticks), "{name}");
                before = Some(*stamp);
                content.extend_from_slice(payload);
            }
            // What was said before the other end could hear it is not in it.
            let is_in = said.windows(content.len()).any(|piece| piece == content);
            assert!(is_in, "{name}, {milliseconds} ms: other octets came");
        }
    }
}
