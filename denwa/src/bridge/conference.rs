//! A conference: on each beat what every member says is added up once, and each hears the sum less what he said himself.

use super::LegId;
use denwa_codecs::mix::Mixer;
use std::time::{Duration, Instant};

/// Names a conference. It exists while legs are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConferenceId(pub u64);

/// Louder than this is talk, in dBov.
const TALK_DBOV: f64 = -42.0;
/// Who talked is taken to talk for so long after.
const TALK_HOLD: Duration = Duration::from_millis(600);

#[derive(Debug)]
pub(super) struct Conference {
    members: Vec<Member>,
    mixer: Mixer,
    frame: Vec<i16>,
    pub(super) due: Instant,
}

#[derive(Debug)]
struct Member {
    leg: LegId,
    talked_at: Option<Instant>,
    is_talking: bool,
}

impl Conference {
    pub(super) fn new(samples: usize, now: Instant) -> Self {
        Self { members: Vec::new(), mixer: Mixer::new(0, samples), frame: vec![0; samples], due: now }
    }

    pub(super) fn join(&mut self, leg: LegId) {
        self.members.push(Member { leg, talked_at: None, is_talking: false });
        self.resize();
    }

    /// Says whether nobody is left.
    pub(super) fn leave(&mut self, leg: LegId) -> bool {
        self.members.retain(|member| member.leg != leg);
        self.resize();
        self.members.is_empty()
    }

    fn resize(&mut self) {
        self.mixer = Mixer::new(self.members.len(), self.frame.len());
    }

    /// The leg in this place.
    pub(super) fn member(&self, place: usize) -> Option<LegId> {
        self.members.get(place).map(|member| member.leg)
    }

    pub(super) fn begin(&mut self) {
        self.mixer.begin();
    }

    /// Adds what the member in this place says.
    pub(super) fn add(&mut self, place: usize, samples: &[i16]) {
        self.mixer.add(place, samples);
    }

    /// What the member in this place hears.
    pub(super) fn hear(&mut self, place: usize) -> &[i16] {
        self.mixer.hear(place, &mut self.frame);
        &self.frame
    }

    /// Whether this member has begun or ceased to talk, when that changed.
    pub(super) fn talk_changed(&mut self, place: usize, now: Instant) -> Option<bool> {
        let level = self.mixer.level_dbov(place);
        let member = self.members.get_mut(place)?;
        if level > TALK_DBOV {
            member.talked_at = Some(now);
        }
        let is_talking =
            member.talked_at.is_some_and(|talked| now.saturating_duration_since(talked) < TALK_HOLD);
        (std::mem::replace(&mut member.is_talking, is_talking) != is_talking).then_some(is_talking)
    }
}
