//! SIPp calls through the PBX to SIPp, with RTP echoed: no call fails, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::{fs, time::Duration};

use denwa_interop::{
    PATIENCE, Ports, audio, require,
    sipp::{Options, Sipp},
    wait_until,
};
use interop_support::Exchange;

const UAC: &str = include_str!("scenarios/trunk_uac.xml");
const UAS: &str = include_str!("scenarios/trunk_uas.xml");

#[test]
fn two_hundred_calls_at_twenty_a_second_leave_nothing_behind() {
    leave_nothing_behind("20", 200, Duration::from_secs(150));
}

#[test]
#[ignore = "nightly: ten minutes at five calls a second"]
fn ten_minutes_at_five_calls_a_second_leave_nothing_behind() {
    leave_nothing_behind("5", 3_000, Duration::from_secs(700));
}

fn leave_nothing_behind(rate: &str, calls: u32, limit: Duration) {
    if !require("sipp") {
        return;
    }
    let mut far = Ports::block();
    let (caller_port, callee_port) = (far.take(2), far.take(2));
    let (caller_media, callee_media) = (far.take(300), far.take(100));
    let trunks = format!(
        "[[trunks]]\nname = \"caller\"\naddress = \"udp:127.0.0.1:{caller_port}\"\n\n\
         [[trunks]]\nname = \"callee\"\naddress = \"udp:127.0.0.1:{callee_port}\"\n\n\
         [[routes]]\nprefix = \"9\"\nstrip = 1\ntrunk = \"callee\"\n"
    );
    let mut exchange = Exchange::start("load", &trunks);
    let folder = exchange.scratch.path().to_owned();
    // What SIPp plays: A-law without a header. Any bytes are A-law; a tone makes it recognisable in a capture.
    let voice: Vec<u8> = audio::tone(440.0, 8_000.0, 2).iter().map(|sample| alaw(*sample)).collect();
    fs::write(folder.join("voice.al"), voice).unwrap();
    let mut callee = Sipp::start(
        &Options {
            name: "callee",
            scenario: UAS,
            target: None,
            port: callee_port,
            media_port: callee_media,
            arguments: &["-rtp_echo"],
        },
        &folder,
    );
    let before = resident_kib(exchange.peer.id());
    let mut caller = Sipp::start(
        &Options {
            name: "caller",
            scenario: UAC,
            target: Some(&format!("127.0.0.1:{}", exchange.sip_port)),
            port: caller_port,
            media_port: caller_media,
            arguments: &[
                "-s",
                "9200",
                "-r",
                rate,
                "-m",
                &calls.to_string(),
                "-l",
                "60",
                "-d",
                "2000",
                "-timeout",
                &format!("{}s", limit.as_secs() - 30),
                "-timeout_error",
            ],
        },
        &folder,
    );
    // What is held after the first tenth is held at the end: nothing grows with the calls that have been.
    let first = limit / 10;
    std::thread::sleep(if calls > 1_000 { first } else { Duration::ZERO });
    let early = resident_kib(exchange.peer.id());
    let all_good = caller.finish(limit);
    let late = resident_kib(exchange.peer.id());
    if calls > 1_000 {
        assert!(late < early + 8_192, "{early} KiB after {first:?}, {late} KiB at the end");
    }
    let figure = |name: &str| caller.figure(name).unwrap_or_default();
    let errors = fs::read_to_string(folder.join("caller.errors")).unwrap_or_default();
    assert!(all_good, "SIPp counts failed calls: {}\n{errors}", figure("FailedCall(C)"));
    assert_eq!(
        (figure("SuccessfulCall(C)").as_str(), figure("FailedCall(C)").as_str()),
        (calls.to_string().as_str(), "0")
    );
    assert!(exchange.peer.alive(), "the PBX is gone");
    assert!(
        wait_until(PATIENCE, || exchange.open_media_ports() == 0),
        "{} media ports are still open",
        exchange.open_media_ports()
    );
    // Timer J and Timer L keep a transaction 32 seconds after its end (RFC 3261 §17.2): then nothing is left.
    let nothing = "holding: 0 calls, 0 dialogs, 0 transactions, 0 media ports";
    let mut last = String::new();
    let empty = wait_until(Duration::from_secs(150), || {
        exchange.peer.ask();
        std::thread::sleep(Duration::from_millis(500));
        let log = exchange.peer.log();
        last = log.lines().rev().find(|line| line.contains("holding:")).unwrap_or("no report").to_owned();
        last.contains(nothing)
    });
    assert!(empty, "the PBX still holds something: {last}");
    println!(
        "{calls} calls: retransmissions {}, resident before {before} KiB, after {} KiB",
        figure("Retransmissions(C)"),
        resident_kib(exchange.peer.id())
    );
    callee.peer.stop();
}

/// A-law by the definition of ITU-T G.711: only to make a file for SIPp, independent of our codec.
fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = (if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 }) >> 3;
    let exponent = (magnitude >> 5).checked_ilog2().map_or(0, |log| log + 1).min(7);
    let mantissa = if exponent == 0 { magnitude >> 1 } else { magnitude >> exponent } & 0x0f;
    ((sign | (exponent as i32) << 4 | mantissa) as u8) ^ 0x55
}

fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0)
}
