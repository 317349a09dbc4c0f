//! A softphone without a screen on a thread of its own, and the lines it says: for the tests of this program and of those it calls.
#![allow(dead_code)]

use clap::Parser;
use softphone::arguments::Arguments;
use softphone::phone::Outcome;
use softphone::run;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    thread: JoinHandle<Result<Outcome, String>>,
}

impl Running {
    pub(crate) fn start(line: &str) -> Self {
        let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let (tell, lines) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            run::telephone(&arguments, &mut |line| drop(tell.send(line.to_owned())), false)
        });
        Self { lines, seen: Vec::new(), thread }
    }

    /// Waits for a line that begins so, and gives the rest of it.
    pub(crate) fn expect(&mut self, beginning: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return rest.to_owned();
                    }
                }
                Err(_) => panic!("never said `{beginning}`: {:#?}", self.seen),
            }
        }
    }

    /// How it ended, and all its lines.
    pub(crate) fn end(mut self) -> (Outcome, Vec<String>) {
        let outcome = self.thread.join().unwrap().unwrap();
        self.seen.extend(self.lines.try_iter());
        (outcome, self.seen)
    }
}
