//! Work per byte stays constant on hostile input: counted, not timed. Valgrind counts the instructions that `inspect` needs
//! to read a message strictly and leniently, judge every typed header and print what it found; eight times the input may cost eight times
//! as much, and no more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use denwa_interop::{Scratch, require};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A text of about so many bytes.
type Shape = fn(usize) -> String;

fn message(header: &str) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n\
         Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n{header}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What costs others the square of its length, or more.
const SHAPES: [(&str, Shape); 16] = [
    ("one long value", |n| message(&format!("X: {}", "a".repeat(n)))),
    ("folds", |n| message(&format!("X: a{}", "\r\n a".repeat(n / 4)))),
    ("white space", |n| message(&format!("Subject: a{}b", " ".repeat(n)))),
    ("escaped quotes", |n| message(&format!("Contact: \"{}", "\\\"".repeat(n / 2)))),
    ("quotes that do not close", |n| message(&format!("Accept: {}", "a/b;c=\",".repeat(n / 8)))),
    ("angle brackets", |n| message(&format!("Route: {}", "<".repeat(n)))),
    ("commas", |n| message(&format!("Allow: {}", ",".repeat(n)))),
    ("list items", |n| message(&format!("Supported: {}", "a,".repeat(n / 2)))),
    ("semicolons", |n| message(&format!("Reason: SIP{}", ";".repeat(n)))),
    ("parameters", |n| message(&format!("Event: a{}", ";b=c".repeat(n / 4)))),
    ("percents", |n| message(&format!("Refer-To: <sip:{}@b>", "%".repeat(n)))),
    ("nested comments", |n| message(&format!("User-Agent: {}", "(".repeat(n)))),
    ("closed comments", |n| message(&format!("Server: {}", "()".repeat(n / 2)))),
    ("lines that are no headers", |n| message(&"a\r\n".repeat(n / 3))),
    ("repeated headers", |n| message(&"X:a\r\n".repeat(n / 5))),
    ("parts", |n| {
        let body = "--b\r\n\r\n".repeat(n / 7);
        format!(
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n\
             Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: multipart/mixed;boundary=b\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }),
];

/// Cargo builds examples beside the tests.
fn inspect() -> PathBuf {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.join("examples/inspect")
}

/// How many instructions it takes to look at these files.
fn instructions(files: &[&Path]) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(inspect())
        .arg("--json")
        .args(files)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    line.unwrap_or_else(|| panic!("{told}")).1.trim().parse().unwrap()
}

#[test]
fn eight_times_the_input_costs_eight_times_as_much() {
    if !require("valgrind") {
        return;
    }
    let scratch = Scratch::new("work");
    let write = |name: &str, text: String| {
        let path = scratch.path().join(name.replace(' ', "-"));
        fs::write(&path, text).unwrap();
        path
    };
    let nothing = instructions(&[&write("nothing", message("X: a"))]);
    let judge = |shapes: &[(&str, Shape)]| {
        for (name, shape) in shapes {
            let cost =
                |n: usize| instructions(&[&write(&format!("{name}-{n}"), shape(n))]).saturating_sub(nothing);
            let (small, large) = (cost(4_000), cost(32_000));
            // Limits make the large one cheaper; a little is the same for both.
            assert!(large <= small * 9 + 200_000, "{name}: {small} instructions for 4 kB, {large} for 32 kB");
        }
    };
    std::thread::scope(|scope| {
        let (one, other) = SHAPES.split_at(SHAPES.len() / 2);
        scope.spawn(move || judge(one));
        judge(other);
    });
}
