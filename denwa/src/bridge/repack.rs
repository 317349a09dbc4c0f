//! Packets of one codec cut and joined anew, frame by frame, for a peer that wants them of another length than they come in
//! (`ptime` of RFC 4566 §6). What the frames say is not touched, so nothing is lost by it.
//!
//! A frame is what a codec cannot do with a part of: an octet or some for codecs of samples (RFC 3551 §4.3), 10 to 30 ms for the
//! others (§4.5, RFC 3952), what the first octet says for Opus (RFC 6716 §3). A frame that is longer than a packet is to be goes
//! as it is: cutting it takes an encoder.
//!
//! Nothing is done, and nothing allocated, while packets come as they are wanted. From the first that does not on, all go through
//! here until the source pauses or begins anew, for what is made here has a time line of its own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{LegId, opus_frames};
use crate::media::{Arrived, PayloadFormat};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Fits a packet of 1500 octets with whatever protects and tunnels it.
const LARGEST_PAYLOAD: usize = 1400;
/// Packets this far behind are late ones; those farther begin anew.
const LATE: i16 = 100;
/// Packets that wait for their turn; further ones are lost. More come of one only where a peer puts seconds into it.
const READY_LIMIT: usize = 64;
/// Timestamps that are off by less than this, in ms, are not looked at: some senders read them from a clock.
const OFF_MS: u32 = 3;
/// Of a packet, in ms, whatever was asked for.
const PACKET_MS: (u64, u64) = (10, 200);

/// How a codec's frames lie in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    /// One behind the other.
    Octets { octets: usize, ticks: u32 },
    /// The same, and one of two octets may end the packet: a description of silence (RFC 3551 §4.5.6).
    G729,
    /// RFC 6716 §3.
    Opus,
}

/// What is known of a format and of the packets that are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// Comes so.
    pub(super) payload_type: u8,
    /// Leaves so.
    into: u8,
    frames: Frames,
    /// Ticks that a packet is to hold.
    wanted: u32,
    /// The same, were there no limit to a packet's octets.
    asked: u32,
    /// Of timestamps that are not looked at.
    off: u32,
}

impl Shape {
    /// Packets of this format that are to hold so much time and leave under the other payload type; `None` where it is not
    /// known how frames lie.
    pub(super) fn new(format: &PayloadFormat, into: u8, packet_time: Duration) -> Option<Self> {
        let frames = frames(format)?;
        let (octets, ticks) = match frames {
            Frames::Octets { octets, ticks } => (octets, ticks),
            Frames::G729 => (10, 80),
            Frames::Opus => (1, 120),
        };
        let milliseconds = u64::try_from(packet_time.as_millis()).ok()?.clamp(PACKET_MS.0, PACKET_MS.1);
        let asked = milliseconds.checked_mul(u64::from(format.clock_rate_hz))?.checked_div(1000)?;
        let asked = u32::try_from(asked).ok()?;
        let room = u32::try_from(LARGEST_PAYLOAD.checked_div(octets)?).ok()?;
        let most = if frames == Frames::Opus { opus_frames::LONGEST } else { room.saturating_mul(ticks) };
        let whole = |asked: u32| Some(asked.checked_div(ticks)?.max(1).saturating_mul(ticks));
        let off = format.clock_rate_hz.checked_div(1000)?.saturating_mul(OFF_MS);
        let payload_type = format.payload_type;
        Some(Self { payload_type, into, frames, wanted: whole(asked.min(most))?, asked: whole(asked)?, off })
    }

    /// Whether a payload holds what is wanted, or nothing can be done about it.
    fn fits(&self, payload: &[u8]) -> bool {
        match self.frames {
            Frames::Octets { octets, ticks } => {
                let whole = (payload.len() as u64).saturating_mul(u64::from(ticks));
                let holds = |wanted: u32| whole == u64::from(wanted).saturating_mul(octets as u64);
                holds(self.wanted) || holds(self.asked) || !payload.len().is_multiple_of(octets) || whole == 0
            }
            Frames::G729 => {
                let (voice, silence) = (payload.len() / 10, payload.len() % 10);
                let frames = voice.saturating_add(silence / 2);
                let wanted = (self.wanted / 80) as usize;
                match silence {
                    0 => frames == wanted || frames == 0,
                    // Nothing may follow a description of silence.
                    2 => frames <= wanted,
                    _ => true,
                }
            }
            Frames::Opus => opus_frames::beginning(payload).is_none_or(|(count, ticks)| {
                count == self.wanted.checked_div(ticks).unwrap_or_default().max(1)
            }),
        }
    }

    /// Whether a frame is a few samples, so that a packet of any time can be made of them.
    fn is_of_samples(&self) -> bool {
        matches!(self.frames, Frames::Octets { ticks, .. } if ticks <= 8)
    }

    /// The frames of a payload; `None` when it is none of this codec.
    fn pieces(&self, payload: &[u8]) -> Option<Vec<Piece>> {
        match self.frames {
            Frames::Octets { octets, ticks } => {
                // Codecs of samples are cut where the packet is full, and not octet by octet.
                let step_ticks = if self.is_of_samples() { self.wanted } else { ticks };
                let step = octets.checked_mul(step_ticks.checked_div(ticks)? as usize)?;
                let mut pieces = Vec::new();
                let mut start = 0_usize;
                while start < payload.len() {
                    let end = start.checked_add(step)?.min(payload.len());
                    let length = end.checked_sub(start)?;
                    if length.checked_rem(octets)? != 0 {
                        return None;
                    }
                    let ticks = if length == step {
                        step_ticks
                    } else {
                        u32::try_from(length.checked_div(octets)?).ok()?.checked_mul(ticks)?
                    };
                    pieces.push(Piece { range: start..end, ticks, ends: false });
                    start = end;
                }
                Some(pieces)
            }
            Frames::G729 => {
                let mut pieces = Vec::new();
                let mut start = 0_usize;
                while start < payload.len() {
                    let left = payload.len().checked_sub(start)?;
                    let length = if left == 2 { 2 } else { 10 };
                    let end = start.checked_add(length).filter(|end| *end <= payload.len())?;
                    pieces.push(Piece { range: start..end, ticks: 80, ends: length == 2 });
                    start = end;
                }
                Some(pieces)
            }
            Frames::Opus => {
                let (_, ticks) = opus_frames::beginning(payload)?;
                let piece = |range| Piece { range, ticks, ends: false };
                Some(opus_frames::frames(payload)?.into_iter().map(piece).collect())
            }
        }
    }
}

/// How this format's frames lie, where that is known.
fn frames(format: &PayloadFormat) -> Option<Frames> {
    let is = |name: &str| format.name.eq_ignore_ascii_case(name);
    let channels = usize::from(format.channels.max(1));
    let octets = |octets, ticks| Some(Frames::Octets { octets, ticks });
    if is("opus") {
        return Some(Frames::Opus);
    }
    if is("L16") {
        return octets(channels.checked_mul(2)?, 1);
    }
    if channels != 1 || format.clock_rate_hz != 8000 {
        return None;
    }
    match () {
        () if is("PCMU") || is("PCMA") || is("G722") => octets(1, 1),
        // Eight samples fill whole octets, in either order of the bits.
        () if is("G726-16") || is("AAL2-G726-16") => octets(2, 8),
        () if is("G726-24") || is("AAL2-G726-24") => octets(3, 8),
        () if is("G726-32") || is("AAL2-G726-32") => octets(4, 8),
        () if is("G726-40") || is("AAL2-G726-40") => octets(5, 8),
        () if is("G729") => Some(Frames::G729),
        () if is("GSM") => octets(33, 160),
        () if is("iLBC") && format.parameter("mode") == Some("20") => octets(38, 160),
        () if is("iLBC") => octets(50, 240),
        () => None,
    }
}

/// A frame, or whole frames, in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    range: Range<usize>,
    ticks: u32,
    /// Nothing may follow it in its packet.
    ends: bool,
}

/// Makes packets of the wanted length of one format's.
#[derive(Debug)]
pub(super) struct Repacker {
    shape: Shape,
    to: LegId,
    feed: u32,
    expected: Option<Expected>,
    /// Frames that no packet holds yet.
    waiting: Vec<u8>,
    /// Where each of them ends, and what Opus says before them.
    ends: Vec<usize>,
    configuration: u8,
    waiting_ticks: u32,
    /// When the first of them belongs on the wire.
    timestamp: u32,
    begins: bool,
    ready: VecDeque<Packet>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

#[derive(Debug)]
struct Packet {
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

impl Repacker {
    pub(super) fn new(shape: Shape, to: LegId, feed: u32) -> Self {
        Self {
            shape,
            to,
            feed,
            expected: None,
            waiting: Vec::new(),
            ends: Vec::new(),
            configuration: 0,
            waiting_ticks: 0,
            timestamp: 0,
            begins: true,
            ready: VecDeque::new(),
        }
    }

    /// Whether it would be made the same again.
    pub(super) fn is_for(&self, shape: &Shape, to: LegId) -> bool {
        self.shape == *shape && self.to == to
    }

    /// Whether it is for packets of this payload type.
    #[inline]
    pub(super) fn takes(&self, payload_type: u8) -> bool {
        self.shape.payload_type == payload_type
    }

    /// Whether a payload must go through here: it is not as long as is wanted, or comes after one that was not.
    #[inline]
    pub(super) fn wants(&self, payload: &[u8]) -> bool {
        self.expected.is_some() || !self.shape.fits(payload)
    }

    /// The source begins anew, or passes this by for a while: what was not sent is not sent any more.
    pub(super) fn interrupt(&mut self) {
        self.expected = None;
        self.waiting.clear();
        self.ends.clear();
        self.waiting_ticks = 0;
        self.clear();
    }

    /// Takes a packet. Packets that go out are fetched with [`Repacker::send`].
    pub(super) fn receive(&mut self, arrived: &Arrived, payload: &[u8]) {
        // Nothing said keeps a way open and no more.
        if payload.is_empty() {
            return;
        }
        match self.expected.filter(|expected| expected.ssrc == arrived.ssrc) {
            Some(expected) => {
                let ahead = arrived.sequence.wrapping_sub(expected.sequence).cast_signed();
                if (-LATE..0).contains(&ahead) {
                    return; // What comes after it is on its way.
                }
                let gap = arrived.timestamp.wrapping_sub(expected.timestamp).cast_signed();
                if gap.unsigned_abs() > self.shape.off {
                    // Something was lost or left out: what waits goes as it is. A time line that goes back begins anew.
                    self.flush();
                    self.timestamp = self.timestamp.wrapping_add(u32::try_from(gap).unwrap_or(0));
                    self.begins |= gap < 0;
                }
            }
            None => {
                self.flush();
                self.begins = true;
            }
        }
        let mut ticks = 0_u32;
        match self.shape.pieces(payload) {
            Some(pieces) => {
                let configuration = opus_frames::configuration(payload);
                if self.shape.frames == Frames::Opus && self.configuration != configuration {
                    self.flush();
                    self.configuration = configuration;
                }
                self.begins |= arrived.marker;
                for piece in pieces {
                    ticks = ticks.saturating_add(piece.ticks);
                    self.take(payload.get(piece.range).unwrap_or_default(), piece.ticks, piece.ends);
                }
            }
            // What is none of the codec is the other end's to judge.
            None => {
                self.flush();
                self.begins |= arrived.marker;
                self.push(payload.to_vec());
            }
        }
        self.expected = Some(Expected {
            ssrc: arrived.ssrc,
            sequence: arrived.sequence.wrapping_add(1),
            timestamp: arrived.timestamp.wrapping_add(ticks),
        });
    }

    fn take(&mut self, frame: &[u8], ticks: u32, ends: bool) {
        let room = self.shape.wanted.saturating_sub(self.waiting_ticks);
        if self.shape.is_of_samples() && ticks > room && room > 0 {
            // Codecs of samples fill what is begun.
            let cut = (frame.len() as u64).saturating_mul(u64::from(room)).checked_div(u64::from(ticks));
            let (first, rest) = frame.split_at_checked(cut.unwrap_or(0) as usize).unwrap_or((frame, &[]));
            self.append(first, room);
            self.flush();
            return self.take(rest, ticks.saturating_sub(room), ends);
        }
        if ticks > room || self.waiting.len().saturating_add(frame.len()) > LARGEST_PAYLOAD {
            self.flush();
        }
        self.append(frame, ticks);
        // All frames of a packet are of one length: where no further one fits, it is full.
        let least = if self.shape.is_of_samples() { 1 } else { ticks };
        if ends || self.waiting_ticks.saturating_add(least) > self.shape.wanted {
            self.flush();
        }
    }

    fn append(&mut self, frame: &[u8], ticks: u32) {
        self.waiting.extend_from_slice(frame);
        self.ends.push(self.waiting.len());
        self.waiting_ticks = self.waiting_ticks.saturating_add(ticks);
    }

    /// What waits is a packet.
    fn flush(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let payload = match self.shape.frames {
            Frames::Opus => opus_frames::join(self.configuration, &self.waiting, &self.ends),
            Frames::Octets { .. } | Frames::G729 => self.waiting.clone(),
        };
        self.push(payload);
        self.timestamp = self.timestamp.wrapping_add(std::mem::take(&mut self.waiting_ticks));
        self.waiting.clear();
        self.ends.clear();
    }

    fn push(&mut self, payload: Vec<u8>) {
        if self.ready.len() < READY_LIMIT {
            let marker = std::mem::take(&mut self.begins);
            self.ready.push_back(Packet { timestamp: self.timestamp, marker, payload });
        }
    }

    /// Packets that are full are not sent.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }

    /// Whether a packet is full.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Writes the next packet into `buffer`, if one is full.
    pub(super) fn send(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let Packet { timestamp, marker, payload } = self.ready.pop_front()?;
        let frame =
            Frame { feed: self.feed, timestamp, payload_type: self.shape.into, marker, payload: &payload };
        Some(session.send(frame, buffer, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(sequence: u16, timestamp: u32) -> Arrived {
        Arrived {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp,
            ssrc: 7,
            content: denwa_rtp::session::Content::Media,
            payload: 0..0,
            length: 0,
        }
    }

    fn repacker(name: &str, parameters: &str, clock_rate_hz: u32, milliseconds: u64) -> Repacker {
        let format = PayloadFormat {
            parameters: parameters.to_owned(),
            ..PayloadFormat::new(96, name, clock_rate_hz)
        };
        let shape = Shape::new(&format, 97, Duration::from_millis(milliseconds)).unwrap();
        Repacker::new(shape, LegId(1), 0)
    }

    /// Packets of this many octets that hold so many ticks go in; lengths and timestamps that come out.
    fn through(it: &mut Repacker, packets: &[(usize, u32)]) -> Vec<(usize, u32)> {
        let (mut timestamp, mut content) = (1000, 0_u8);
        let (mut said, mut heard, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, (octets, ticks)) in (0..).zip(packets) {
            let payload: Vec<u8> = (0..*octets)
                .map(|_| {
                    content = content.wrapping_add(1);
                    content
                })
                .collect();
            said.extend_from_slice(&payload);
            it.receive(&arrived(sequence, timestamp), &payload);
            timestamp = u32::wrapping_add(timestamp, *ticks);
            while let Some(packet) = it.ready.pop_front() {
                heard.extend_from_slice(&packet.payload);
                out.push((packet.payload.len(), packet.timestamp));
            }
        }
        heard.extend_from_slice(&it.waiting);
        assert_eq!(heard, said, "octet for octet");
        out
    }

    #[test]
    fn each_codec_is_cut_and_joined_at_its_frames() {
        // Name, parameters, clock; octets and ticks of 60 ms; wanted ms; octets and ticks of a packet that leaves.
        let cases = [
            ("G722", "", 8000, (480, 480), 20, (160, 160)),
            ("PCMA", "", 8000, (480, 480), 40, (320, 320)),
            ("G726-32", "", 8000, (240, 480), 10, (40, 80)),
            ("G726-40", "", 8000, (300, 480), 40, (200, 320)),
            ("AAL2-G726-24", "", 8000, (180, 480), 30, (90, 240)),
            ("G726-16", "", 8000, (120, 480), 20, (40, 160)),
            ("L16", "", 16_000, (1920, 960), 20, (640, 320)),
            ("G729", "", 8000, (60, 480), 10, (10, 80)),
            ("G729", "", 8000, (60, 480), 40, (40, 320)),
            ("GSM", "", 8000, (99, 480), 20, (33, 160)),
            ("GSM", "", 8000, (99, 480), 40, (66, 320)),
            ("iLBC", "mode=20", 8000, (114, 480), 20, (38, 160)),
            ("iLBC", "mode=30", 8000, (100, 480), 30, (50, 240)),
            // Shorter than a frame is as short as a frame.
            ("iLBC", "", 8000, (100, 480), 20, (50, 240)),
            ("GSM", "", 8000, (99, 480), 10, (33, 160)),
        ];
        for (name, parameters, clock, packet, wanted, (octets, ticks)) in cases {
            let mut it = repacker(name, parameters, clock, wanted);
            assert!(it.wants(&vec![0; packet.0]), "{name}");
            assert!(!it.wants(&vec![0; octets]), "{name}");
            let out = through(&mut it, &[packet; 4]);
            let wanted: Vec<(usize, u32)> =
                (0..packet.1 * 4 / ticks).map(|at| (octets, at * ticks)).collect();
            assert_eq!(out, wanted, "{name}");
        }
    }

    #[test]
    fn small_packets_are_joined_and_odd_ones_cut_across() {
        assert_eq!(through(&mut repacker("G722", "", 8000, 30), &[(80, 80); 7]), [(240, 0), (240, 240)]);
        let out = through(&mut repacker("PCMU", "", 8000, 20), &[(240, 240), (80, 80), (200, 200)]);
        assert_eq!(out, [(160, 0), (160, 160), (160, 320)]);
        let out = through(&mut repacker("G729", "", 8000, 30), &[(20, 160); 3]);
        assert_eq!(out, [(30, 0), (30, 240)]);
    }

    #[test]
    fn a_description_of_silence_ends_its_packet() {
        let mut it = repacker("G729", "", 8000, 40);
        assert_eq!(through(&mut it, &[(20, 160), (12, 160), (2, 80)]), [(32, 0), (2, 320)]);
    }

    #[test]
    fn what_is_lost_leaves_a_gap_and_what_is_late_is_left_out() {
        let mut it = repacker("G722", "", 8000, 40);
        it.receive(&arrived(1, 0), &[1; 240]);
        // The packet between is lost: what waited goes as it is, and the time line has its gap.
        it.receive(&arrived(3, 480), &[3; 240]);
        it.receive(&arrived(2, 240), &[2; 240]);
        it.receive(&arrived(4, 720), &[4; 240]);
        let out: Vec<_> = it.ready.drain(..).map(|packet| (packet.timestamp, packet.payload.len())).collect();
        assert_eq!(out, [(0, 240), (480, 320)]);
        assert_eq!(it.waiting.len(), 160);
    }

    #[test]
    fn opus_is_cut_and_joined_at_its_frames() {
        // CELT, 20 ms (configuration 31): one frame a packet, then three, then two of one length.
        let mut it = repacker("opus", "", 48_000, 60);
        let one = |length: u8| [&[0xf8][..], &vec![length; usize::from(length)]].concat();
        for (sequence, length) in (0..).zip([10, 20, 30]) {
            assert!(it.wants(&one(length)));
            it.receive(&arrived(sequence, u32::from(sequence) * 960), &one(length));
        }
        let joined = it.ready.pop_front().unwrap().payload;
        assert_eq!(joined[..4], [0xfb, 0x83, 10, 20]);
        assert!(it.shape.fits(&joined), "it is as long as is wanted");
        // And cut again.
        let mut it = repacker("opus", "", 48_000, 20);
        assert!(!it.wants(&one(10)));
        it.receive(&arrived(0, 0), &joined);
        let cut: Vec<_> = it.ready.drain(..).map(|packet| (packet.timestamp, packet.payload)).collect();
        assert_eq!(cut, [(0, one(10)), (960, one(20)), (1920, one(30))]);
        // A frame of 20 ms cannot be made two of 10.
        assert!(!repacker("opus", "", 48_000, 10).wants(&one(10)));
        // Long frames have two octets of length.
        let mut it = repacker("opus", "", 48_000, 40);
        let long = [&[0xf8][..], &[5; 700]].concat();
        it.receive(&arrived(0, 0), &long);
        it.receive(&arrived(1, 960), &one(9));
        let joined = it.ready.pop_front().unwrap().payload;
        assert_eq!(
            opus_frames::frames(&joined).unwrap().iter().map(|it| it.len()).collect::<Vec<_>>(),
            [700, 9]
        );
    }

    /// Timestamps, markers and lengths of what is ready.
    fn made(it: &mut Repacker) -> Vec<(u32, bool, usize)> {
        it.ready.drain(..).map(|packet| (packet.timestamp, packet.marker, packet.payload.len())).collect()
    }

    #[test]
    fn what_comes_as_it_is_wanted_passes_by() {
        // Name, parameters, clock, ms wanted; octets that pass; octets that do not.
        let cases: [(_, _, _, _, &[usize], &[usize]); 8] = [
            ("PCMU", "", 8000, 20, &[160, 0], &[80, 161]),
            // Descriptions of silence, alone and behind a frame, and what is no payload of it.
            ("G729", "", 8000, 20, &[20, 12, 2, 0, 7], &[10, 30, 22]),
            ("iLBC", "mode=30", 8000, 20, &[50, 0, 38], &[100]),
            ("iLBC", "mode=20", 8000, 30, &[38, 50], &[76]),
            ("GSM", "", 8000, 40, &[66, 65], &[33]),
            ("G726-24", "", 8000, 20, &[60, 61], &[30]),
            // As long as was asked for, though such would not be made here.
            ("L16", "", 48_000, 20, &[1920, 1400, 1919], &[960]),
            // Whatever was asked for is brought into what there is.
            ("PCMA", "", 8000, 0, &[80], &[1, 160]),
        ];
        for (name, parameters, clock, milliseconds, passes, not) in cases {
            let it = repacker(name, parameters, clock, milliseconds);
            for (octets, wanted) in passes.iter().map(|it| (it, false)).chain(not.iter().map(|it| (it, true)))
            {
                assert_eq!(it.wants(&vec![0; *octets]), wanted, "{name}, {octets} octets");
            }
        }
        let of_opus =
            |milliseconds: u64, payload: &[u8]| repacker("opus", "", 48_000, milliseconds).wants(payload);
        // No frame of 20 ms becomes one of 10, and none makes 30 ms.
        assert_eq!([10, 20, 30, 40].map(|wanted| of_opus(wanted, &[0xf8, 1])), [false, false, false, true]);
        // A frame of 60 ms; nothing said; a count of none.
        assert_eq!([&[0x18, 1][..], &[0xf8], &[0xfb, 0]].map(|payload| of_opus(20, payload)), [false; 3]);
    }

    #[test]
    fn after_one_that_was_cut_all_go_the_same_way() {
        let mut it = repacker("G722", "", 8000, 20);
        it.receive(&arrived(0, 0), &[0; 320]);
        assert!(it.wants(&[0; 160]), "one time line");
        it.receive(&arrived(1, 320), &[0; 160]);
        assert_eq!(made(&mut it), [(0, true, 160), (160, false, 160), (320, false, 160)]);
        it.interrupt();
        assert!(!it.wants(&[0; 160]));
    }

    #[test]
    fn a_payload_of_another_kind_goes_as_it_is_in_its_turn() {
        let mut it = repacker("iLBC", "mode=30", 8000, 60);
        it.receive(&arrived(0, 0), &[0; 50]);
        it.receive(&arrived(1, 240), &[0; 38]);
        it.receive(&arrived(2, 400), &[0; 100]);
        it.receive(&arrived(3, 880), &[]);
        assert_eq!(made(&mut it), [(0, true, 50), (240, false, 38), (400, false, 100)]);
    }

    #[test]
    fn doubles_and_clocks_that_shake_change_nothing() {
        let mut it = repacker("PCMU", "", 8000, 40);
        for (sequence, timestamp) in
            [(u16::MAX, 5), (u16::MAX, 5), (0, 163), (u16::MAX, 5), (1, 326), (2, 484)]
        {
            it.receive(&arrived(sequence, timestamp), &[0; 160]);
        }
        assert_eq!(made(&mut it), [(0, true, 320), (320, false, 320)]);
    }

    #[test]
    fn another_source_and_another_time_begin_anew() {
        let mut it = repacker("PCMU", "", 8000, 20);
        let from = |ssrc, sequence, timestamp| Arrived { ssrc, ..arrived(sequence, timestamp) };
        it.receive(&from(7, 10, 1000), &[0; 240]);
        // What the one has said is not joined to what the other says.
        it.receive(&from(8, 60_000, u32::MAX - 79), &[0; 80]);
        it.receive(&from(8, 60_001, 0), &[0; 80]);
        assert_eq!(made(&mut it), [(0, true, 160), (160, false, 80), (240, true, 160)]);
        // Back in time, and as far ahead as can be.
        it.receive(&from(8, 20, 4_000_000_000), &[0; 160]);
        it.receive(&from(8, 21, 1_852_516_511), &[0; 160]);
        it.receive(&Arrived { marker: true, ..from(8, 22, 1_852_516_671 + 800) }, &[0; 160]);
        let far = 560_u32.wrapping_add(1_852_516_511_u32.wrapping_sub(4_000_000_160));
        assert_eq!(made(&mut it), [(400, true, 160), (far, false, 160), (far + 960, true, 160)]);
    }

    #[test]
    fn a_packet_of_seconds_is_sent_as_far_as_there_is_room() {
        let mut it = repacker("G729", "", 8000, 10);
        it.receive(&arrived(0, 0), &[0; 1400]);
        assert_eq!(made(&mut it).len(), READY_LIMIT);
        it.receive(&arrived(1, 140 * 80), &[0; 10]);
        assert_eq!(made(&mut it), [(140 * 80, false, 10)]);
        let stereo = PayloadFormat { channels: 2, ..PayloadFormat::new(96, "L16", 48_000) };
        let shape = Shape::new(&stereo, 97, Duration::from_millis(5000)).unwrap();
        let mut it = Repacker::new(shape, LegId(1), 0);
        it.receive(&arrived(0, 0), &[0; 2000]);
        // 350 samples of each channel, as many as a network carries in one piece.
        assert_eq!((made(&mut it), it.waiting.len()), (vec![(0, true, 1400)], 600));
    }

    #[test]
    fn a_marker_stays_where_it_belongs() {
        let mut it = repacker("opus", "", 48_000, 40);
        it.receive(&arrived(0, 0), &[0xf8, 1]);
        // Another configuration cannot be joined to what waits, which begins nothing.
        it.receive(&arrived(1, 960), &[0xf8, 2]);
        it.receive(&arrived(2, 1920), &[0xf8, 3]);
        it.receive(&Arrived { marker: true, ..arrived(3, 2880) }, &[0xfc, 4]);
        it.receive(&arrived(4, 3840), &[0xfc, 5]);
        assert_eq!(made(&mut it), [(0, true, 5), (1920, false, 2), (2880, true, 5)]);
    }

    #[test]
    fn no_payload_of_opus_is_too_strange() {
        let mut it = repacker("opus", "", 48_000, 40);
        let mut bytes = 0x1234_5678_u32;
        for sequence in 0..20_000 {
            let mut payload = Vec::new();
            for _ in 0..bytes % 24 {
                bytes = bytes.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                payload.push((bytes >> 24) as u8);
            }
            bytes = bytes.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if let Some(pieces) = it.shape.pieces(&payload) {
                assert!(pieces.iter().all(|piece| piece.range.end <= payload.len()));
                assert!(pieces.iter().map(|piece| piece.ticks).sum::<u32>() <= opus_frames::LONGEST);
            }
            it.receive(&arrived(sequence, u32::from(sequence) * 960), &payload);
            it.ready.clear();
        }
    }
}
