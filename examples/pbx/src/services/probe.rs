//! The test of a way: the signal of [`denwa::echo_test`] is said, and what comes back is judged.

use std::time::Duration;

use denwa::echo_test;

use super::script::{Act, Heard, Scene, Script};

/// How long it is listened after the signal.
const AFTER: Duration = Duration::from_secs(2);

/// Samples a second of what is recorded.
const RATE_HZ: u32 = 8_000;

/// See the module's words.
#[derive(Debug)]
pub struct Prober;

impl Script for Prober {
    fn hear(&mut self, heard: Heard, _: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let signal = echo_test::signal();
                let limit = signal.duration().unwrap_or_default() + AFTER;
                vec![Act::RecordBoth { limit }, Act::Play(signal)]
            }
            Heard::Recorded(both) => {
                let side =
                    |which: usize| -> Vec<i16> { both.iter().skip(which).step_by(2).copied().collect() };
                vec![Act::Judged(echo_test::judge(&side(1), &side(0), RATE_HZ)), Act::HangUp]
            }
            _ => Vec::new(),
        }
    }
}
