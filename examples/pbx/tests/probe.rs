//! `pbx probe`: two exchanges, a neighbour that echoes, and neighbours that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;
mod phone;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use denwa_interop::sipp::{Options, Sipp};
use denwa_interop::{require, wait_until};
use house::House;
use phone::{Phone, Program, folder, free_port};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn the_echo_of_another_exchange_is_heard_and_measured() {
    let far = free_port();
    let tables = format!("[[trunks]]\nname = \"far\"\naddress = \"udp:127.0.0.1:{far}\"\nprobe = \"186\"\n");
    let near = House::new("probe-near", &[""], &tables);
    let text = format!(
        "[[extensions]]\nnumber = \"2001\"\npassword = \"x\"\n[sip]\nlisten = [\"udp:127.0.0.1:{far}\"]\n\
         [store]\nurl = \"sqlite:pbx.db\"\n[[trunks]]\nname = \"near\"\naddress = \"udp:{}\"\n",
        near.server
    );
    let _far = Program::start(folder("probe-far"), &text);
    // A probe takes a few seconds, in which a busy machine may be elsewhere: then it is made again.
    let mut found = serde_json::Value::Null;
    let heard = (0..5).any(|_| {
        found = near.json(&["probe"]);
        let probe = &found[0];
        let passes = ["answered", "hears_us", "we_hear"].iter().all(|key| probe[key] == true);
        let echo = probe["echo_ms"].as_f64().is_some_and(|echo| (0.0..2_000.0).contains(&echo));
        passes && echo && probe["tones"][1].as_u64() >= Some(12)
    });
    let probe = &found[0];
    assert!(heard, "{probe:#}");
    assert!(probe["jitter_ms"].is_f64() && probe["lost_here"].is_f64(), "{probe:#}");
    assert_eq!(probe["codec"], "PCMA");

    // A tone instead of an echo: sound comes from there, and its reports tell whether ours arrives.
    let output = near.command(&["probe", "far", "--number", "100"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let line = table.lines().find(|line| line.starts_with("far ")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains(" 100 ") && line.contains("Sound"), "{table}");

    // A number of nobody, and a trunk of nobody: one sentence each, and the exit code says that it is not well.
    let output = near.command(&["probe", "far", "--number", "7777"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("404") || table.contains("not in use") || table.contains("refused"), "{table}");
    assert_eq!(output.status.code(), Some(1));
    let output = near.command(&["probe", "nobody"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("there is no trunk \"nobody\""));
}

#[test]
fn sipp_echoes_and_a_neighbour_who_is_silent_is_told_apart() {
    let tables = "[[trunks]]\nname = \"lab\"\naddress = \"TRUNK\"\nprobe = \"200\"\n";
    let house = House::new("probe-sipp", &[""], tables);
    if require("sipp") {
        let options = Options {
            name: "echo",
            scenario: include_str!("scenarios/trunk_uas.xml"),
            target: None,
            port: house.trunk.port(),
            media_port: free_port() / 2 * 2,
            arguments: &["-rtp_echo"],
        };
        let mut sipp = Sipp::start(&options, &house.program.folder);
        let mut found = serde_json::Value::Null;
        let heard = wait_until(Duration::from_secs(60), || {
            found = house.json(&["probe", "lab"]);
            found[0]["answered"] == true && found[0]["finding"] == "Sound passes both ways."
        });
        assert!(heard, "{found:#}");
        sipp.peer.stop();
    }
    // The next one answers and says nothing.
    let mut silent = Phone::udp_at(house.server, "200", "", at(house.trunk.port()));
    let answers = thread::spawn(move || {
        let called = silent.invited();
        silent.answer(&called, &silent.offer("8 101"));
        silent.hung_up(&called);
    });
    let found = house.json(&["probe", "lab"]);
    answers.join().unwrap();
    assert_eq!(found[0]["finding"], "It answers, but no packet of voice comes from there.", "{found:#}");
    assert_eq!((found[0]["hears_us"].is_null(), found[0]["we_hear"].as_bool()), (true, Some(false)));
}
