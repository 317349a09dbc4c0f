//! What was tried with each pair, and what came of it.

use super::event::PairReport;
use super::{Agent, MediaStream};

impl Agent {
    /// A report for every pair of a stream, best first; empty for a stream that is not there.
    #[must_use]
    pub fn report(&self, stream: MediaStream) -> Vec<PairReport> {
        let Some(state) = self.streams.get(&stream.0) else { return Vec::new() };
        let report = |pair: &super::check_list::Pair| {
            let local = self.locals.get(pair.local)?;
            let remote = state.remotes.get(pair.remote)?;
            let active = state.component(pair.component).and_then(|it| it.active.as_ref());
            let shown = pair.seen_as.and_then(|place| self.locals.get(place)).unwrap_or(local);
            Some(PairReport {
                component: pair.component,
                local: shown.candidate.clone(),
                remote: remote.candidate.clone(),
                priority: pair.priority,
                state: pair.state,
                failure: pair.failure,
                requests_sent: pair.requests_sent,
                responses_received: pair.responses_received,
                requests_received: pair.requests_received,
                round_trip: pair.round_trip,
                mapped: pair.mapped,
                nominated: pair.nominated,
                selected: active.is_some_and(|active| active.pair == Some(pair.id)),
            })
        };
        state.list.pairs().iter().filter_map(report).collect()
    }
}
