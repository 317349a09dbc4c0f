//! What is told of a stream: its session's events in the words of this crate, and how it goes.

use super::Stream;
use crate::evidence::StreamCounters;
use crate::media::{Event, StreamReport};
use denwa_rtp::{jitter, session};
use std::time::Instant;

impl Stream {
    pub(super) fn translate(&mut self, event: session::Event, now: Instant) -> Option<Event> {
        match event {
            session::Event::Followed(learned) => {
                let from = learned.from.filter(|from| *from != learned.to)?;
                Some(Event::SourceMoved { from, to: learned.to })
            }
            session::Event::MediaStopped { last_at } => {
                let lasted =
                    last_at.map_or(self.config.silence_after, |last| now.saturating_duration_since(last));
                Some(Event::Silent { lasted })
            }
            session::Event::MediaResumed { after } => Some(Event::Resumed { after }),
            session::Event::ReportReceived { .. } => Some(Event::Report(self.report(now))),
            session::Event::Unreachable { destination } => {
                self.undeliverable = self.undeliverable.saturating_add(1);
                let news = self.undeliverable_told != Some(destination);
                self.undeliverable_told = Some(destination);
                news.then_some(Event::Undeliverable { destination })
            }
            _ => None,
        }
    }

    pub(crate) fn report(&self, now: Instant) -> StreamReport {
        self.report_with(None, now)
    }

    /// With what the jitter buffer has to say.
    pub(crate) fn report_with(&self, playout: Option<&jitter::Statistics>, now: Instant) -> StreamReport {
        let mut report = StreamReport::default();
        if let Some(parameters) = &self.parameters {
            report.codec = parameters.codec();
        }
        if let Some(carrier) = &self.carrier {
            report.path.clone_from(&carrier.path);
            report.suite = carrier.suite;
        }
        let Some(session) = &self.session else { return report };
        let quality = session.quality(playout, now);
        let counters = session.counters();
        let remote = session.remote_report();
        report.mos = quality.received.mos.map(|mos| mos as f32);
        report.counters = StreamCounters {
            destination: session.destination(),
            source: self.first_from.and(session.destination()),
            sent: session.sender().packets(),
            received: counters.media,
            lost: session.sources().map(|source| u64::try_from(source.lost()).unwrap_or(0)).sum(),
            refused: counters.refused,
            unreachable: self.undeliverable,
            jitter: quality.received.jitter,
            peer_lost: remote.map(|report| f32::from(report.block.fraction_lost) / 256.0),
            round_trip: quality.round_trip,
        };
        report
    }
}
