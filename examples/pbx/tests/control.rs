//! Commands to a running exchange: what goes on, traces, changes of the file while a call goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use phone::{Phone, Program, folder, free_port};

struct Desk {
    program: Program,
    server: SocketAddr,
}

impl Desk {
    fn new(name: &str) -> Self {
        let port = free_port();
        let program = Program::start(folder(name), &file(port, ""));
        Self { program, server: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn phone(&self, number: &str) -> Phone {
        let mut phone = Phone::udp(self.server, number, &format!("secret-{number}"));
        assert_eq!(phone.register(300).status(), 200);
        phone
    }

    /// What a command prints, and whether it was done.
    fn command(&self, arguments: &[&str]) -> (String, bool) {
        let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml"])
            .args(arguments)
            .current_dir(&self.program.folder)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + std::str::from_utf8(&output.stderr).unwrap();
        (text, output.status.success())
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let (text, done) = self.command(&[arguments, &["--json"]].concat());
        assert!(done, "{arguments:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn file(port: u16, more: &str) -> String {
    let extensions: String = ["1001", "1002"]
        .map(|number| format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n"))
        .concat();
    format!(
        "{extensions}{more}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
         [guard]\nexempt = []\n[calls]\nannouncements = false\n"
    )
}

#[test]
fn what_goes_on_is_told_and_can_be_ended() {
    let desk = Desk::new("goes-on");
    let mode = fs::metadata(desk.program.folder.join("pbx.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may speak to it");
    let (mut alice, mut bob) = (desk.phone("1001"), desk.phone("1002"));
    let mut calling = alice.call("1002");
    let called = bob.invited();
    bob.reply(&called, 180, "");
    alice.expect("INVITE", 180);
    assert_eq!(desk.json(&["calls"])["going_on"][0]["stage"], "ringing");
    bob.reply(&called, 200, &bob.offer("8 101"));
    bob.expect("ACK", 0);
    alice.answered(&mut calling);

    let status = desk.json(&["status"]);
    assert_eq!((&status["calls"], &status["registrations"]), (&1.into(), &2.into()), "{status}");
    let (text, _) = desk.command(&["status"]);
    assert!(text.contains("1 calls going on, 1 since the start; 2 of 2 extensions"), "{text}");
    let calls = desk.json(&["calls"]);
    assert_eq!(calls["going_on"][0]["codec"], "PCMA/PCMA", "{calls}");
    let (text, _) = desk.command(&["why", "1"]);
    assert!(text.starts_with("Call 1: 1001 (extension 1001) dialled 1002 (extension 1002)"), "{text}");
    assert!(text.contains("What happened so far:"), "{text}");
    let phones = desk.json(&["phones"]);
    assert_eq!(phones[0]["address"], alice.address().to_string(), "{phones}");

    assert!(!desk.command(&["hangup", "7"]).1);
    assert!(desk.command(&["hangup", "1"]).1);
    for (phone, dialog) in [(&mut alice, &calling), (&mut bob, &called)] {
        phone.hung_up(dialog);
    }
    let why = loop {
        let (text, _) = desk.command(&["why", "1"]);
        if text.contains("It was answered") {
            break text;
        }
    };
    assert!(why.contains("It was ended by `pbx hangup`."), "{why}");
}

#[test]
fn a_file_is_read_anew_without_dropping_calls() {
    let mut desk = Desk::new("reload");
    let (mut alice, mut bob) = (desk.phone("1001"), desk.phone("1002"));
    let (mut calling, called, answer) = alice.talk("1002", &mut bob);

    let path = desk.program.folder.join("pbx.toml");
    fs::write(&path, "[sip]\nlisten = 7\n").unwrap();
    let (text, done) = desk.command(&["reload"]);
    assert!(!done && text.contains("line 2"), "a mistake is told by whoever notices first: {text}");
    let more =
        "[[extensions]]\nnumber = \"1003\"\npassword = \"secret-1003\"\n[media]\nports = [\"30000-30099\"]\n";
    fs::write(&path, file(desk.server.port(), more)).unwrap();
    let reloaded = desk.json(&["reload"]);
    assert_eq!(reloaded["notices"][0], "`media.ports` takes effect only after a restart");
    desk.program.wait_for("read anew: 3 extensions");
    let mut carol = desk.phone("1003");
    alice.says_to(0x31, answer.rtp(), 8, &bob);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
    let calling = alice.call("1003");
    carol.invited();
    alice.cancel(&calling);
    assert_eq!(alice.final_of(&calling).status(), 487);

    fs::write(&path, file(desk.server.port(), "")).unwrap();
    desk.program.signal("HUP");
    desk.program.wait_for("read anew: 2 extensions");
    let calling = alice.call("1003");
    assert_eq!(alice.refused(&calling).status(), 404);
}

#[test]
fn what_is_set_by_a_command_comes_before_the_file() {
    let mut desk = Desk::new("set");
    let mut alice = desk.phone("1001");
    let _bob = desk.phone("1002");
    let (text, done) = desk.command(&["extensions", "set", "1002", "do_not_disturb=perhaps"]);
    assert!(!done && text.contains("neither \"on\" nor \"off\""), "{text}");
    assert!(desk.command(&["extensions", "set", "1002", "do_not_disturb=on"]).1);
    desk.program.wait_for("the extensions were changed");
    let calling = alice.call("1002");
    assert_eq!(alice.refused(&calling).status(), 486);
    let (text, _) = desk.command(&["extensions", "list"]);
    assert!(text.contains("set: do_not_disturb=on"), "{text}");
    assert_eq!(desk.json(&["extensions", "list"])["extensions"][1]["do_not_disturb"], true);
    assert!(desk.command(&["extensions", "unset", "1002", "do_not_disturb"]).1);
}

#[test]
fn a_trace_holds_one_telephones_traffic_and_no_more_than_it_may() {
    let desk = Desk::new("trace");
    let mut trace = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml", "trace", "--phone", "1002", "--seconds", "600", "out.pcap"])
        .current_dir(&desk.program.folder)
        .spawn()
        .unwrap();
    let path = desk.program.folder.join("out.pcap");
    // The header comes when the trace has begun.
    while fs::metadata(&path).map_or(0, |file| file.len()) < 24 {
        assert!(trace.try_wait().unwrap().is_none(), "the trace ended before it began");
        std::thread::yield_now();
    }
    let contains = |text: &str| {
        let bytes = fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let _alice = desk.phone("1001");
    let bob = desk.phone("1002");
    let contact = format!("sip:1002@{}", bob.address());
    while !contains(&contact) {
        std::thread::yield_now();
    }
    assert!(!contains("sip:1001@"), "the other telephone's traffic is not in it");
    // Voice is in it, too, as it is on the wire.
    let (mut bob, mut alice) = (bob, _alice);
    let (_, _, answer) = alice.talk("1002", &mut bob);
    let word = "what is said is in the capture";
    let mut sequence = 1;
    while !contains(word) {
        alice.say(answer.rtp(), 8, sequence, word.repeat(6).as_bytes());
        sequence += 1;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    trace.kill().unwrap();
    trace.wait().unwrap();
}

#[test]
fn attacks_are_reported() {
    let mut desk = Desk::new("attacks");
    for _ in 0..3 {
        let mut stranger = Phone::udp(desk.server, "1001", "wrong");
        stranger.register(300);
    }
    desk.program.wait_for("the password is wrong");
    let attacks = desk.json(&["attacks"]);
    assert_eq!(attacks["sources"][0]["who"], "127.0.0.1", "{attacks}");
    let (text, _) = desk.command(&["attacks"]);
    assert!(text.contains("×3") && text.contains("not banned"), "{text}");
}

#[test]
fn shells_complete_the_commands() {
    let desk = Desk::new("completion");
    for shell in ["bash", "zsh", "fish"] {
        let (text, done) = desk.command(&["completion", shell]);
        assert!(done && text.contains("extensions"), "{shell}");
    }
}
