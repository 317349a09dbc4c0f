//! The program on a pseudo-terminal: what it shows, what keys do in real calls, and how it leaves the terminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "terminal/pty.rs"]
mod pty;
mod running;

use pty::Pty;
use running::Running;
use softphone::phone::Outcome;
use std::path::{Path, PathBuf};

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("terminal-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The screen of a telephone without an account, and the port it listens on.
fn open(name: &str) -> (Pty, String) {
    let folder = scratch(name);
    let file = folder.join("direct.toml");
    std::fs::write(&file, "language = \"en\"\n[[accounts]]\nuri = \"sip:me@localhost\"\nregister = false\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let screen = Pty::start(&["--config", file, "--sound", "tone", "--listen", "udp:127.0.0.1:0"], &folder);
    let text = screen.wait_for("udp:127.0.0.1:");
    let port = text.split("udp:127.0.0.1:").nth(1).unwrap();
    let port = port.chars().take_while(char::is_ascii_digit).collect();
    (screen, port)
}

#[test]
fn a_call_is_made_held_keyed_and_ended() {
    let (mut screen, _) = open("call");
    let mut other =
        Running::start("softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --expect-audio");
    let port = other.expect("listening on udp:127.0.0.1:");
    screen.press(&format!("sip:bob@127.0.0.1:{port}\r"));
    screen.wait_for("talking");
    screen.wait_for("PCMA");
    screen.wait_for("not encrypted  127.0.0.1:");
    screen.wait_for("them ███");
    other.expect("answered");
    screen.press("\x1bOQ"); // F2
    screen.wait_for("held by you");
    other.expect("on hold");
    screen.press("\x1bOQ");
    screen.wait_for("talking");
    other.expect("off hold");
    screen.press("\x1b[17~42#"); // F6
    for key in ["key 4", "key 2", "key #"] {
        other.expect(key);
    }
    screen.press("\x1b");
    screen.wait_for("Dial");
    // Long enough for figures, and to be heard.
    screen.wait_for("MOS");
    screen.wait_for("   0:03");
    screen.press("\x1b[15~"); // F5
    screen.wait_for("muted");
    screen.press("\x1b");
    screen.wait_for("hung up here");
    screen.wait_for("No calls.");
    assert_eq!(other.end().0, Outcome::Good);
    screen.press("\x1b[21~"); // F10
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
}

#[test]
fn a_call_that_comes_in_shows_a_card_and_is_answered() {
    let (mut screen, port) = open("card");
    let call = Running::start(&format!(
        "softphone call sip:me@127.0.0.1:{port} --user ann --name Ann --listen udp:127.0.0.1:0 --hangup-after 3s --expect-audio"
    ));
    screen.wait_for("Incoming call");
    screen.wait_for("Ann");
    screen.press("\r");
    screen.wait_for("talking");
    assert_eq!(call.end().0, Outcome::Good);
    screen.wait_for("the other side hung up");
    // Declined by a key, and by itself.
    let call = Running::start(&format!("softphone call sip:me@127.0.0.1:{port} --listen udp:127.0.0.1:0"));
    screen.wait_for("Incoming call");
    screen.press("\x1b");
    assert_eq!(call.end().0, Outcome::Failed);
    screen.press("\x1b[20~"); // F9
    screen.wait_for("DO NOT DISTURB");
    let mut call =
        Running::start(&format!("softphone call sip:me@127.0.0.1:{port} --listen udp:127.0.0.1:0"));
    call.expect("call ended: refused: 486");
    assert_eq!(call.end().0, Outcome::Failed);
    // A message comes and is read.
    let message =
        Running::start(&format!("softphone message sip:me@127.0.0.1:{port} hello --listen udp:127.0.0.1:0"));
    screen.wait_for("new messages 1");
    assert_eq!(message.end().0, Outcome::Good);
    screen.press("\x1b[19~"); // F8
    screen.wait_for("hello");
    screen.press("\x03");
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
}

#[test]
fn failures_are_shown_with_cause_and_remedy() {
    let (mut screen, _) = open("failure");
    // A port where nobody is.
    let (_kept, nobody) = denwa_interop::nobody();
    screen.press(&format!("sip:bob@{nobody}\r"));
    screen.wait_for("listens");
    let mut other =
        Running::start("softphone answer --user bob --listen udp:127.0.0.1:0 --codecs G729 --calls 1");
    let port = other.expect("listening on udp:127.0.0.1:");
    screen.press(&format!("sip:bob@127.0.0.1:{port}\r"));
    let text = screen.wait_for("refused: 488");
    assert!(text.contains("codec"), "{text}");
    assert_eq!(other.end().0, Outcome::Failed);
}

#[test]
fn killed_in_a_call_it_leaves_the_terminal_usable() {
    for (name, victim, signal) in [
        ("kill", Victim::Drawer, pty::Signal::KILL),
        ("abort", Victim::Drawer, pty::Signal::ABORT),
        ("terminate", Victim::Drawer, pty::Signal::TERM),
        ("guard", Victim::Guard, pty::Signal::KILL),
    ] {
        let (mut screen, _) = open(name);
        let mut other = Running::start(
            "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --hangup-after 60s",
        );
        let port = other.expect("listening on udp:127.0.0.1:");
        screen.press(&format!("sip:bob@127.0.0.1:{port}\r"));
        screen.wait_for("talking");
        assert!(!screen.is_canonical(), "{name}: the terminal is in raw mode while the screen is there");
        let drawer = screen.child_of_guard();
        screen.signal(if victim == Victim::Guard { screen.id() } else { drawer }, signal);
        screen.exit_code();
        screen.wait_until_gone(drawer);
        screen.assert_terminal_is_usable();
        // The other side is told nothing; it ends with this test.
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Drawer,
    Guard,
}

#[test]
fn a_broken_file_is_named_with_line_and_column_before_the_screen_is_opened() {
    let folder = scratch("file");
    let file = folder.join("softphone.toml");
    std::fs::write(&file, "[[accounts]]\nuri = \"sip:a@b\"\ncodecs = [\"PCMA\", \"X\"]\n").unwrap();
    let mut screen = Pty::start(&["--config", file.to_str().unwrap()], &folder);
    assert_eq!(screen.exit_code(), Some(2));
    let text = screen.text();
    assert!(
        text.contains("line 3, column 19: `X` is not a codec of this telephone: expected one of opus"),
        "{text}"
    );
    screen.assert_terminal_is_usable();
}

#[test]
fn the_wizard_asks_for_an_account_and_writes_it() {
    let folder = scratch("wizard");
    let file = folder.join("new.toml");
    let mut screen = Pty::start(&["wizard", "--config", file.to_str().unwrap()], &folder);
    screen.wait_for("Address");
    screen.press("nonsense\n");
    screen.wait_for("expected sip:user@domain");
    screen.press("1001@pbx.example\n");
    screen.wait_for("Name that others see");
    screen.press("Ann \"the\" first\n");
    screen.wait_for("Password");
    screen.press("hush hush\r");
    screen.wait_for("Server");
    screen.press("\n");
    screen.wait_for("Transport");
    screen.press("tcp\n");
    screen.wait_for("Encryption");
    screen.press("\n");
    screen.wait_for("Codecs");
    screen.press("G722 PCMA\n");
    screen.wait_for("Written.");
    assert_eq!(screen.exit_code(), Some(0));
    assert!(!screen.text().contains("hush"), "a password is not shown: {}", screen.text());
    let config = softphone::config::read(&file).unwrap();
    let account = &config.accounts[0];
    assert_eq!(
        (account.address().as_str(), account.name.as_deref()),
        ("1001@pbx.example", Some("Ann \"the\" first"))
    );
    assert_eq!(account.password, Some(softphone::secret::Secret::Text("hush hush".into())));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o077, 0, "only its owner reads it");
}

#[test]
fn without_a_terminal_the_screen_says_so() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_softphone"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no terminal here"));
}
