//! The program itself: its first start, its second, and what keeps it from starting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output};

use phone::{Phone, Program, folder, free_port};

fn file(port: u16) -> String {
    format!("[sip]\nlisten = [\"udp:127.0.0.1:{port}\", \"tcp:127.0.0.1:{port}\"]\n")
}

/// Runs it with a file that keeps it from starting.
fn refused(name: &str, text: &str) -> String {
    let folder = folder(name);
    std::fs::write(folder.join("pbx.toml"), text).unwrap();
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{error}");
    error
}

#[test]
fn the_first_start_makes_five_extensions_and_says_what_to_type() {
    let port = free_port();
    let mut program = Program::start(folder("first"), &file(port));
    // The welcome comes by the standard output and "listening" by the other: in any order.
    program.wait_for("Ctrl-C ends it");
    let printed = program.printed();
    let server = format!("127.0.0.1:{port}");
    assert!(printed.contains(&server), "{printed}");
    for service in ["100 ", "186 "] {
        assert!(printed.contains(service), "{printed}");
    }
    let mut passwords = Vec::new();
    for number in ["1001", "1002", "1003", "1004", "1005"] {
        let line =
            printed.lines().find(|line| line.trim_start().starts_with(&format!("{number}  "))).unwrap();
        passwords.push(line.split_whitespace().nth(1).unwrap().to_owned());
    }
    passwords.sort();
    passwords.dedup();
    assert_eq!(passwords.len(), 5, "every password is its own");
    let password = printed
        .lines()
        .find(|line| line.contains("1003"))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    let mut phone = Phone::udp(SocketAddr::from(([127, 0, 0, 1], port)), "1003", &password);
    assert_eq!(phone.register(300).status(), 200);
    assert!(program.folder.join("pbx-data/pbx.db").exists());
    let folder = program.stop();

    // The second start keeps the passwords, and does not know them.
    let mut program = Program::start(folder, &file(port));
    let printed = program.printed();
    assert!(printed.contains("5 extensions and 1 registration are in sqlite:pbx-data/pbx.db"), "{printed}");
    assert!(!printed.contains(&password), "{printed}");
    assert_eq!(phone.register(300).status(), 200);
}

#[test]
fn a_port_in_use_is_one_clear_sentence() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused("taken", &file(port));
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("pbx: ") && last.contains(&format!("udp:127.0.0.1:{port}")), "{error}");
    assert!(last.contains("use"), "{error}");
}

#[test]
fn an_address_of_another_machine_is_one_clear_sentence() {
    let error = refused("elsewhere", "[sip]\nlisten = [\"udp:192.0.2.77:5060\"]\n");
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("pbx: ") && last.contains("192.0.2.77"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_one_clear_sentence() {
    let error =
        refused("folder", &format!("{}[store]\nurl = \"sqlite:/proc/pbx/pbx.db\"\n", file(free_port())));
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("pbx: cannot make the folder /proc/pbx for the store: "), "{error}");
}
