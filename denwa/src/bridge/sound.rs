//! The part of a bridge that handles sound rather than packets: taps, announcements, recordings and conferences.

use super::conference::{Conference, ConferenceId};
use super::leg::Leg;
use super::live::Live;
use super::player::Player;
use super::program::{Program, Sound};
use super::recording::{Recorder, RecordingEnd, RecordingId, RecordingSpec};
use super::tap::{BEAT, Tap};
use super::{Connection, Event, LegId, MediaBridge, Misuse, Output, Source};
use crate::media::Mouth;
use denwa_codecs::tone::{Sine, Tone};
use std::time::{Duration, Instant};

/// Beats that are made up for at most when the driver wakes late; more are skipped.
const LATE_BEATS: u32 = 10;

/// Recordings of one leg at a time.
const RECORDINGS_LIMIT: usize = 8;

impl MediaBridge {
    // ---- what is played

    pub(super) fn announce(&mut self, leg: LegId, program: Program, now: Instant) -> Result<(), Misuse> {
        let epoch = self.config.wall_clock.at;
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        let feed = entry.stream.next_feed();
        entry.announcement = (!program.pieces().is_empty())
            .then(|| Player::new(program, entry.stream.parameters.as_ref(), feed, epoch, now));
        self.rearm(leg);
        Ok(())
    }

    pub(super) fn mute(&mut self, leg: LegId, muted: bool) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        if std::mem::replace(&mut entry.muted, muted) && !muted {
            self.resume(leg);
        }
        Ok(())
    }

    pub(super) fn detect(&mut self, leg: LegId, in_band_digits: bool, now: Instant) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        entry.detects = in_band_digits;
        self.retap(leg, now);
        Ok(())
    }

    /// What a source plays; `None` when it makes no sound of its own.
    pub(super) fn program_of(source: &Source) -> Option<Program> {
        match source {
            Source::Echo | Source::Live => None,
            Source::Tone { frequency_hz, level_dbm0 } => {
                Some(Program::tone(Tone::steady(&[Sine::new(*frequency_hz, *level_dbm0)])))
            }
            Source::Silence => Some(Program::tone(Tone::steady(&[]))),
            Source::Program(program) => Some(program.clone()),
        }
    }

    pub(super) fn say(&mut self, leg: LegId, sound: &Sound) -> Result<(), Misuse> {
        self.live(leg)?.say(sound);
        Ok(())
    }

    pub(super) fn hush(&mut self, leg: LegId) -> Result<(), Misuse> {
        self.live(leg)?.hush();
        Ok(())
    }

    fn live(&mut self, leg: LegId) -> Result<&mut Live, Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        entry.player.as_mut().and_then(Player::as_live).ok_or(Misuse::NotLive)
    }

    /// What ended when a packet was made.
    pub(super) fn finish_programs(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if entry.announcement.as_ref().is_some_and(Player::is_finished) {
            entry.announcement = None;
            self.tell(Event::Played { leg, announcement: true });
        }
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if entry.player.as_ref().is_some_and(Player::is_finished) {
            entry.player = None;
            entry.joined = Connection::Nothing;
            self.tell(Event::Played { leg, announcement: false });
            self.retap(leg, now);
        }
    }

    // ---- recordings

    pub(super) fn record(
        &mut self,
        leg: LegId,
        recording: RecordingId,
        spec: RecordingSpec,
        now: Instant,
    ) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        if entry.recorders.iter().any(|recorder| recorder.id == recording) {
            return Err(Misuse::RecordingExists(recording));
        }
        if entry.recorders.len() >= RECORDINGS_LIMIT {
            return Err(Misuse::TooManyRecordings);
        }
        entry.recorders.push(Recorder::new(recording, spec));
        self.retap_both(leg, now);
        Ok(())
    }

    pub(super) fn stop_recording(
        &mut self,
        leg: LegId,
        recording: RecordingId,
        now: Instant,
    ) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        if !entry.recorders.iter().any(|recorder| recorder.id == recording) {
            return Err(Misuse::UnknownRecording(recording));
        }
        self.end_recording(leg, recording, RecordingEnd::Stopped);
        self.retap_both(leg, now);
        Ok(())
    }

    pub(super) fn end_recordings(&mut self, leg: LegId, reason: RecordingEnd) {
        while let Some(recording) =
            self.legs.get(&leg).and_then(|entry| entry.recorders.first()).map(|recorder| recorder.id)
        {
            self.end_recording(leg, recording, reason);
        }
    }

    fn end_recording(&mut self, leg: LegId, recording: RecordingId, reason: RecordingEnd) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let Some(place) = entry.recorders.iter().position(|recorder| recorder.id == recording) else {
            return;
        };
        let mut recorder = entry.recorders.swap_remove(place);
        while let Some(samples) = recorder.take_chunk(true) {
            self.outputs.push_back(Output::Event(Event::Recorded { leg, recording, samples }));
        }
        let lasted = recorder.lasted();
        self.tell(Event::RecordingEnded { leg, recording, lasted, reason });
    }

    // ---- taps

    /// Sees to it that the leg has a tap if it needs one, and the leg it is joined to as well.
    pub(super) fn retap_both(&mut self, leg: LegId, now: Instant) {
        self.retap(leg, now);
        if let Some(Connection::Leg(other)) = self.legs.get(&leg).map(|entry| &entry.joined) {
            self.retap(*other, now);
        }
    }

    pub(super) fn retap(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get(&leg) else { return };
        let is_heard_by_recorders = match &entry.joined {
            Connection::Leg(other) => self.legs.get(other).is_some_and(Leg::records_what_it_hears),
            _ => false,
        };
        let rate = self.config.sound_rate_hz;
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let in_conference = matches!(entry.joined, Connection::Conference(_));
        let detects = entry.detects
            && entry.key_ear.is_none()
            && entry
                .stream
                .parameters
                .as_ref()
                .is_some_and(|parameters| parameters.receive_events.is_empty());
        let wanted = in_conference || detects || is_heard_by_recorders || !entry.recorders.is_empty();
        if !wanted {
            entry.tap = None;
        } else if entry.tap.as_ref().is_none_or(|tap| !tap.is_for(in_conference)) {
            entry.tap = Some(Box::new(Tap::new(rate, in_conference, now)));
        }
        if let Some(tap) = &mut entry.tap {
            if let Some(parameters) = &entry.stream.parameters {
                tap.configure(parameters, now);
            }
            tap.detect(detects);
        }
        self.rearm(leg);
    }

    /// The leg's own beat has come: hears what its peer said since, and hands it on.
    pub(super) fn beat(&mut self, leg: LegId, now: Instant) {
        let rate = self.config.sound_rate_hz;
        let mut made = 0;
        loop {
            let Some(entry) = self.legs.get_mut(&leg) else { return };
            if matches!(entry.joined, Connection::Conference(_)) {
                return;
            }
            let Some(tap) = entry.tap.as_mut().filter(|tap| tap.due <= now) else { return };
            let due = tap.due;
            made += 1;
            tap.due = if made < LATE_BEATS { due + BEAT } else { now + BEAT };
            let outputs = &mut self.outputs;
            let frame = tap.hear(leg, |event| outputs.push_back(Output::Event(event)), due).to_vec();
            if matches!(entry.joined, Connection::Source(Source::Echo)) {
                entry.was_heard(&frame, rate);
            }
            let passes_to = match &entry.joined {
                Connection::Leg(other) if !entry.muted => Some(*other),
                _ => None,
            };
            if let Some(other) =
                passes_to.and_then(|other| self.legs.get_mut(&other)).filter(|other| !other.is_talked_over())
            {
                other.was_heard(&frame, rate);
            }
            self.was_said(leg, &frame, rate, now);
        }
    }

    /// The leg's peer said this.
    fn was_said(&mut self, leg: LegId, frame: &[i16], rate: u32, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let mut ended = Vec::new();
        for recorder in &mut entry.recorders {
            let end = recorder.put_said(frame, rate);
            let recording = recorder.id;
            while let Some(samples) = recorder.take_chunk(false) {
                self.outputs.push_back(Output::Event(Event::Recorded { leg, recording, samples }));
            }
            ended.extend(end.map(|reason| (recording, reason)));
        }
        for (recording, reason) in &ended {
            self.end_recording(leg, *recording, *reason);
        }
        if !ended.is_empty() {
            self.retap_both(leg, now);
        }
    }

    // ---- conferences

    pub(super) fn join_conference(&mut self, leg: LegId, conference: ConferenceId, now: Instant) {
        let rate = self.config.sound_rate_hz;
        let room =
            self.conferences.entry(conference).or_insert_with(|| Conference::new(rate as usize / 50, now));
        room.join(leg);
        self.retap(leg, now);
        self.configure_mouth(leg);
    }

    pub(super) fn leave_conference(&mut self, leg: LegId, conference: ConferenceId) {
        if self.conferences.get_mut(&conference).is_some_and(|room| room.leave(leg)) {
            self.conferences.remove(&conference);
        }
    }

    /// A member speaks to its peer as was agreed.
    pub(super) fn configure_mouth(&mut self, leg: LegId) {
        let rate = self.config.sound_rate_hz;
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if !matches!(entry.joined, Connection::Conference(_)) {
            entry.mouth = None;
            return;
        }
        if entry.mouth.is_none() {
            let mut mouth = Mouth::new(rate, Duration::from_millis(200));
            mouth.set_feed(entry.stream.next_feed());
            entry.mouth = Some(Box::new(mouth));
        }
        if let (Some(mouth), Some(parameters)) = (&mut entry.mouth, entry.stream.parameters.clone()) {
            mouth.configure(&parameters, || entry.stream.next_feed());
        }
    }

    pub(super) fn conference_beats(&mut self, now: Instant) {
        // Few conferences run at a time; each handles as many packets on a beat as it has members.
        let due: Vec<ConferenceId> =
            self.conferences.iter().filter(|(_, room)| room.due <= now).map(|(id, _)| *id).collect();
        for conference in due {
            let Some(mut room) = self.conferences.remove(&conference) else { continue };
            let mut made = 0;
            while room.due <= now {
                let at = room.due;
                made += 1;
                room.due = if made < LATE_BEATS { at + BEAT } else { now + BEAT };
                self.mix(&mut room, at, now);
            }
            self.conferences.insert(conference, room);
        }
    }

    fn mix(&mut self, room: &mut Conference, at: Instant, now: Instant) {
        let rate = self.config.sound_rate_hz;
        room.begin();
        let mut place = 0;
        while let Some(leg) = room.member(place) {
            let outputs = &mut self.outputs;
            let heard = self.legs.get_mut(&leg).and_then(|entry| {
                let muted = entry.muted;
                let tap = entry.tap.as_mut()?;
                Some((tap.hear(leg, |event| outputs.push_back(Output::Event(event)), at).to_vec(), muted))
            });
            if let Some((frame, muted)) = heard {
                if !muted {
                    room.add(place, &frame);
                }
                self.was_said(leg, &frame, rate, now);
            }
            if let Some(talking) = room.talk_changed(place, at) {
                self.tell(Event::Talking { leg, talking });
            }
            place += 1;
        }
        place = 0;
        while let Some(leg) = room.member(place) {
            let sum = room.hear(place);
            if let Some(entry) = self.legs.get_mut(&leg) {
                let sends = entry.stream.parameters.as_ref().is_some_and(|parameters| parameters.sends);
                if entry.is_talked_over() || !sends {
                    if let Some(mouth) = &mut entry.mouth {
                        mouth.forget();
                    }
                } else {
                    entry.was_heard(sum, rate);
                    if let Some(mouth) = &mut entry.mouth {
                        mouth.say(sum, false);
                    }
                    self.owed.push_back(leg);
                }
            }
            place += 1;
        }
    }
}
