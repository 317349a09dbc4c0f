//! What a test of the way to a neighbour found: does sound pass there and back, how late, and how much of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::why::{End, explain};

/// What is recorded of a leg waits for so long for what is late; that is not the way's.
const LISTENED_LATE: Duration = Duration::from_millis(60);

/// See the module's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The neighbour.
    pub trunk: String,
    /// The number called there.
    pub number: String,
    /// The test's own call.
    pub call: Option<u64>,
    /// Whether it was answered.
    pub answered: bool,
    /// Whether sound of ours arrives there: shown by its echo, or by the neighbour's reports (RTCP). `null`: nothing tells.
    pub hears_us: Option<bool>,
    /// Whether sound comes from there.
    pub we_hear: bool,
    /// How much later the echo came than what was said, as one would hear it, in milliseconds.
    pub echo_ms: Option<f64>,
    /// The network's part of it, there and back, by RTCP.
    pub network_ms: Option<f64>,
    /// Tones said, and how many of them came back.
    pub tones: (u32, u32),
    /// The share of the neighbour's packets that did not arrive here.
    pub lost_here: Option<f64>,
    /// The share of ours that did not arrive there, by its reports.
    pub lost_there: Option<f64>,
    /// How unevenly its packets came, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Packets sent and received.
    pub packets: (u64, u64),
    /// The codec.
    pub codec: String,
    /// In a sentence.
    pub finding: String,
}

impl Probe {
    /// Nobody could be called.
    pub(super) fn impossible(trunk: &str, finding: String) -> Self {
        Self { trunk: trunk.to_owned(), finding, ..Self::default() }
    }

    /// What a call that is over tells.
    pub(super) fn of(call: &Call, trunk: String, number: String, end: &End) -> Self {
        let counters = call.caller.counters.clone().unwrap_or_default();
        let echo = call.echo().unwrap_or_default();
        let answered = call.answered.is_some();
        let milliseconds = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
        let share = |share: f64| (share * 10_000.0).round() / 10_000.0;
        let expected = counters.received + counters.lost;
        let reported = counters.peer_lost.map(f64::from);
        let hears_us = match (echo.delay, reported) {
            (Some(_), _) => Some(true),
            (None, Some(lost)) => Some(lost < 0.9),
            (None, None) => None,
        };
        let mut probe = Self {
            trunk,
            number,
            call: Some(call.number),
            answered,
            hears_us: hears_us.filter(|_| answered),
            we_hear: echo.sound,
            echo_ms: echo.delay.map(|delay| milliseconds(delay.saturating_sub(LISTENED_LATE))),
            network_ms: counters.round_trip.map(milliseconds),
            tones: (echo.sent, echo.returned),
            lost_here: (expected > 0).then(|| share(counters.lost as f64 / expected as f64)),
            lost_there: reported.map(share),
            jitter_ms: (counters.received > 0).then(|| milliseconds(counters.jitter)),
            packets: (counters.sent, counters.received),
            codec: call.caller.codec.clone().unwrap_or_default(),
            finding: String::new(),
        };
        probe.finding = probe.in_words(call, end);
        probe
    }

    fn in_words(&self, call: &Call, end: &End) -> String {
        let received = self.packets.1 > 0;
        match (self.answered, self.hears_us, self.we_hear) {
            (false, ..) => {
                let cause = explain(end, false, &call.evidence).map(|cause| cause.sentence);
                cause.unwrap_or_else(|| "It did not answer.".to_owned())
            }
            (true, Some(true), true) if self.echo_ms.is_some() => "Sound passes both ways.".to_owned(),
            (true, Some(true), true) => {
                "Sound passes both ways, though what comes from there is no echo.".to_owned()
            }
            (true, Some(true), false) if received => {
                "Ours arrives there; packets come from there, but no sound is in them.".to_owned()
            }
            (true, Some(true), false) => "Ours arrives there, but nothing comes from there.".to_owned(),
            (true, Some(false), true) => "Sound comes from there, but ours does not arrive there.".to_owned(),
            (true, None, true) => {
                "Sound comes from there; whether ours arrives nothing tells, for it is no echo of ours."
                    .to_owned()
            }
            (true, _, false) if received => "Packets come from there, but no sound is in them.".to_owned(),
            (true, _, false) => "It answers, but no packet of voice comes from there.".to_owned(),
        }
    }

    /// Whether sound passes both ways.
    pub fn is_good(&self) -> bool {
        self.answered && self.hears_us == Some(true) && self.we_hear
    }
}
