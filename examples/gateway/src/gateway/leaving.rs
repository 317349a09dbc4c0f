//! Calls that outlive this run, should it be killed: written down while they are up, and ended at the next start.

use super::passage::{End, Link};
use super::{Event, Gateway};
use denwa::driver::Output;
use denwa::farewell::{Farewells, Left, Parted};
use denwa_sip_core::endpoint::{CallHandle, Credentials, Outcome, OutgoingHandle};
use std::time::Instant;

impl Gateway {
    /// Writes calls down from now on, as [`Event::Note`], and ends what a former run left.
    pub fn keep_farewells(&mut self, left: Vec<Left>, now: Instant) {
        self.farewells = Farewells::new(left);
        self.part(now);
        self.drain(now);
    }

    /// The calls that an event of this one may change something of: itself, and the other of its passage; with their sides.
    pub(super) fn calls_with(&self, call: CallHandle) -> Vec<(CallHandle, Option<usize>)> {
        let Some(passage) = self.by_call.get(&call).and_then(|(id, _)| self.passages.get(id)) else {
            return vec![(call, None)];
        };
        let of = |end: End| match passage.leg(end).link {
            Link::Call(call) => Some((call, Some(passage.leg(end).side))),
            _ => None,
        };
        End::BOTH.into_iter().filter_map(of).collect()
    }

    pub(super) fn write_down(&mut self, call: CallHandle, side: Option<usize>) {
        let side = side.and_then(|side| self.config.sides.get(side));
        let label = || side.map(|side| side.name.clone()).unwrap_or_default();
        self.farewells.look_at(&self.endpoint, call, label);
        self.tell_journal();
    }

    pub(super) fn on_parted(&mut self, outgoing: OutgoingHandle, outcome: &Outcome, now: Instant) {
        if let Some(parted) = self.farewells.completed(outgoing, outcome) {
            self.tell_parted(&parted);
            self.part(now);
        }
    }

    fn part(&mut self, now: Instant) {
        let config = &self.config;
        let credentials = |label: &str| -> Vec<Credentials> {
            let side = config.side(label);
            side.and_then(super::placing::trunk_credentials).into_iter().collect()
        };
        let failed = self.farewells.proceed(&mut self.endpoint, credentials, now);
        failed.iter().for_each(|parted| self.tell_parted(parted));
        self.tell_journal();
    }

    fn tell_parted(&mut self, parted: &Parted) {
        self.line(format!("side {}: {parted}", parted.label));
    }

    fn tell_journal(&mut self) {
        while let Some(note) = self.farewells.poll_note() {
            self.outputs.push_back(Output::Event(Event::Note(note)));
        }
    }
}
