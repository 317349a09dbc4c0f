//! A conference held here: the calls in it hear one another and us, and we hear them all.

use super::{CallId, Event, Misuse, UserAgent};
use denwa_codecs::mix::Mixer;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The conference, while there are calls in it.
#[derive(Debug)]
pub(super) struct Conference {
    pub(super) due: Instant,
    mixer: Mixer,
    /// What is said here and was not mixed yet.
    said: VecDeque<i16>,
}

/// Sounds that are made up for at most when the driver wakes late; more are skipped.
const LATE_SOUNDS: u32 = 10;

impl UserAgent {
    /// Takes a call into the conference that is held here. Its peer hears all others in it, and they hear him; its sound is
    /// part of [`Event::ConferenceSound`] from now on.
    ///
    /// # Errors
    /// When there is no such call, it is not up, or it is in the conference already.
    pub fn confer(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        if !entry.is_up() || entry.confers {
            return Err(Misuse::NotNow);
        }
        entry.confers = true;
        self.conference.get_or_insert_with(|| Conference {
            due: now,
            mixer: Mixer::new(0, 0),
            said: VecDeque::new(),
        });
        self.seat();
        Ok(())
    }

    /// Takes a call out of the conference: it is one by itself again.
    ///
    /// # Errors
    /// When there is no such call, or it is not in the conference.
    pub fn leave_conference(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        if !std::mem::replace(&mut entry.confers, false) {
            return Err(Misuse::NotNow);
        }
        entry.restart_sound(now);
        self.seat();
        Ok(())
    }

    /// The calls in the conference, oldest first.
    #[must_use]
    pub fn conference(&self) -> Vec<CallId> {
        self.calls.iter().filter(|(_, call)| call.confers).map(|(id, _)| *id).collect()
    }

    /// Says something to everybody in the conference: as many samples as [`Event::ConferenceSound`] has, at each.
    pub fn say_to_conference(&mut self, samples: &[i16]) {
        let limit = self.config.sample_rate_hz as usize / 5;
        if let Some(conference) = &mut self.conference {
            conference.said.extend(samples);
            let surplus = conference.said.len().saturating_sub(limit);
            conference.said.drain(..surplus);
        }
    }

    /// Makes the mixer fit who is there.
    pub(super) fn seat(&mut self) {
        let members = self.calls.values().filter(|call| call.confers).count();
        let samples = self.frame_samples();
        match &mut self.conference {
            Some(_) if members == 0 => self.conference = None,
            // The last place is ours.
            Some(conference) => conference.mixer = Mixer::new(members.saturating_add(1), samples),
            None => {}
        }
    }

    pub(super) fn frame(&self) -> Duration {
        self.config.sound_frame.max(Duration::from_millis(5))
    }

    pub(super) fn frame_samples(&self) -> usize {
        self.frame().as_millis() as usize * self.config.sample_rate_hz as usize / 1000
    }

    pub(super) fn conference_beat(&mut self, now: Instant) {
        let (frame, samples) = (self.frame(), self.frame_samples());
        let Some(mut conference) = self.conference.take() else { return };
        let ids = self.conference();
        let mut played = 0;
        while conference.due <= now {
            let due = conference.due;
            played += 1;
            // A driver that slept for long goes on from now.
            conference.due = if played < LATE_SOUNDS { due + frame } else { now + frame };
            let mut sound = vec![0; samples];
            conference.mixer.begin();
            for (place, id) in ids.iter().enumerate() {
                if let Some(media) = self.calls.get_mut(id).and_then(|call| call.media.as_mut()) {
                    media.hear(&mut sound, due);
                    conference.mixer.add(place, &sound);
                }
            }
            sound.fill(0);
            for (place, sample) in
                sound.iter_mut().zip(conference.said.drain(..samples.min(conference.said.len())))
            {
                *place = sample;
            }
            conference.mixer.add(ids.len(), &sound);
            for (place, id) in ids.iter().enumerate() {
                conference.mixer.hear(place, &mut sound);
                if let Some(media) = self.calls.get_mut(id).and_then(|call| call.media.as_mut()) {
                    media.say(&sound);
                }
            }
            conference.mixer.hear(ids.len(), &mut sound);
            self.tell(Event::ConferenceSound { samples: sound });
        }
        self.conference = Some(conference);
        for id in ids {
            self.drain_media(id, now);
        }
    }
}
