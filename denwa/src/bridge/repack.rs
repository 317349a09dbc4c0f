//! Packets of one codec cut and joined anew, frame by frame, for a peer that wants them of another length than they come in
//! (`ptime` of RFC 4566 §6). What the frames say is not touched, so nothing is lost by it.
//!
//! A frame is what a codec cannot do with a part of: an octet or some for codecs of samples (RFC 3551 §4.3), 10 to 30 ms for the
//! others (§4.5, RFC 3952), what the first octet says for Opus (RFC 6716 §3). A frame that is longer than a packet is to be goes
//! as it is: cutting it takes an encoder.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::LegId;
use crate::media::{Arrived, PayloadFormat};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Fits a packet of 1500 octets with whatever protects and tunnels it.
const LARGEST_PAYLOAD: usize = 1400;
/// Packets this far behind are late ones; those farther begin anew.
const LATE: i16 = 100;
/// Of Opus, in ticks of 48 kHz: 120 ms.
const LONGEST_OPUS: u32 = 5760;

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
        let asked =
            u64::try_from(packet_time.as_millis()).ok()?.checked_mul(u64::from(format.clock_rate_hz))?;
        let asked = u32::try_from(asked.checked_div(1000)?).ok()?;
        let room = u32::try_from(LARGEST_PAYLOAD.checked_div(octets)?).ok()?;
        let most = if frames == Frames::Opus { LONGEST_OPUS } else { room.saturating_mul(ticks) };
        let whole = asked.min(most).checked_div(ticks)?.max(1).saturating_mul(ticks);
        Some(Self { payload_type: format.payload_type, into, frames, wanted: whole })
    }

    /// Whether a payload holds what is wanted, or nothing can be done about it.
    fn fits(&self, payload: &[u8]) -> bool {
        if let Frames::Octets { octets, ticks } = self.frames {
            let whole = (payload.len() as u64).saturating_mul(u64::from(ticks));
            return whole == u64::from(self.wanted).saturating_mul(octets as u64);
        }
        let Some(pieces) = self.pieces(payload) else { return true };
        let ticks = pieces.iter().fold(0_u32, |sum, piece| sum.saturating_add(piece.ticks));
        ticks == self.wanted || pieces.len() == 1 && ticks > self.wanted
    }

    /// The frames of a payload; `None` when it is none of this codec.
    fn pieces(&self, payload: &[u8]) -> Option<Vec<Piece>> {
        match self.frames {
            Frames::Octets { octets, ticks } => {
                // Codecs of samples are cut where the packet is full, and not octet by octet.
                let step =
                    if octets < 32 { octets.checked_mul(per_packet(self.wanted, ticks))? } else { octets };
                let step_ticks = if octets < 32 { self.wanted } else { ticks };
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
            Frames::Opus => opus(payload),
        }
    }
}

/// How many frames a packet holds.
fn per_packet(wanted: u32, ticks: u32) -> usize {
    wanted.checked_div(ticks).map_or(1, |count| count as usize).max(1)
}

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
    pub(super) fn wants(&self, payload: &[u8]) -> bool {
        !self.waiting.is_empty() || !self.shape.fits(payload)
    }

    /// The source begins anew, or passes this by for a while.
    pub(super) fn interrupt(&mut self) {
        self.expected = None;
        self.waiting.clear();
        self.ends.clear();
        self.waiting_ticks = 0;
    }

    /// Takes a packet. Packets that go out are fetched with [`Repacker::send`].
    pub(super) fn receive(&mut self, arrived: &Arrived, payload: &[u8]) {
        // What is none of the codec ends here, as it would at the other end.
        let Some(pieces) = self.shape.pieces(payload) else { return };
        match self.expected.filter(|expected| expected.ssrc == arrived.ssrc) {
            Some(expected) => {
                let ahead = arrived.sequence.wrapping_sub(expected.sequence).cast_signed();
                if (-LATE..0).contains(&ahead) {
                    return; // What comes after it is on its way.
                }
                let gap = arrived.timestamp.wrapping_sub(expected.timestamp).cast_signed();
                if gap != 0 {
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
        self.begins |= arrived.marker;
        let configuration = payload.first().copied().unwrap_or_default() & !3;
        if self.shape.frames == Frames::Opus && self.configuration != configuration {
            self.flush();
            self.configuration = configuration;
        }
        let mut ticks = 0_u32;
        for piece in pieces {
            ticks = ticks.saturating_add(piece.ticks);
            self.take(payload.get(piece.range).unwrap_or_default(), piece.ticks, piece.ends);
        }
        self.expected = Some(Expected {
            ssrc: arrived.ssrc,
            sequence: arrived.sequence.wrapping_add(1),
            timestamp: arrived.timestamp.wrapping_add(ticks),
        });
    }

    fn take(&mut self, frame: &[u8], ticks: u32, ends: bool) {
        let room = self.shape.wanted.saturating_sub(self.waiting_ticks);
        let splits = matches!(self.shape.frames, Frames::Octets { octets, .. } if octets < 32);
        if splits && ticks > room && room > 0 {
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
        if ends || self.waiting_ticks >= self.shape.wanted {
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
            Frames::Opus => opus_payload(self.configuration, &self.waiting, &self.ends),
            Frames::Octets { .. } | Frames::G729 => self.waiting.clone(),
        };
        let marker = std::mem::take(&mut self.begins);
        self.ready.push_back(Packet { timestamp: self.timestamp, marker, payload });
        self.timestamp = self.timestamp.wrapping_add(std::mem::take(&mut self.waiting_ticks));
        self.waiting.clear();
        self.ends.clear();
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

// ---- Opus, RFC 6716 §3

/// Ticks of 48 kHz that a frame of this configuration lasts (§3.1, table 2).
fn opus_ticks(first: u8) -> u32 {
    let configuration = first >> 3;
    match (configuration, configuration & 3) {
        (0..=11, 0) | (12..=15, 0 | 2) | (16..=31, 2) => 480,
        (0..=11, 1) | (12..=15, _) | (16..=31, 3) => 960,
        (0..=11, 2) => 1920,
        (0..=11, _) => 2880,
        (_, 0) => 120,
        (_, _) => 240,
    }
}

/// The frames of a packet (§3.2); `None` when it breaks a rule.
fn opus(payload: &[u8]) -> Option<Vec<Piece>> {
    let (first, ticks) = (*payload.first()?, opus_ticks(*payload.first()?));
    let piece = |range: Range<usize>| Piece { range, ticks, ends: false };
    let end = payload.len();
    match first & 3 {
        0 => Some(vec![piece(1..end)]),
        1 => {
            let both = end.checked_sub(1).filter(|both| both.is_multiple_of(2))?;
            let middle = both.checked_div(2)?.checked_add(1)?;
            Some(vec![piece(1..middle), piece(middle..end)])
        }
        2 => {
            let (length, at) = opus_length(payload, 1)?;
            let middle = at.checked_add(length).filter(|middle| *middle <= end)?;
            Some(vec![piece(at..middle), piece(middle..end)])
        }
        _ => {
            let head = *payload.get(1)?;
            let count = usize::from(head & 0x3f);
            if count == 0 || ticks.checked_mul(u32::from(head & 0x3f))? > LONGEST_OPUS {
                return None;
            }
            let (mut at, mut padding) = (2_usize, 0_usize);
            if head & 0x40 != 0 {
                loop {
                    let octet = *payload.get(at)?;
                    at = at.checked_add(1)?;
                    padding = padding.checked_add(usize::from(octet.min(254)))?;
                    if octet != 255 {
                        break;
                    }
                }
            }
            let end = end.checked_sub(padding)?;
            let mut lengths = Vec::with_capacity(count);
            if head & 0x80 == 0 {
                let each = end.checked_sub(at)?.checked_div(count)?;
                lengths.resize(count, each);
                if each.checked_mul(count)? != end.checked_sub(at)? {
                    return None;
                }
            } else {
                for _ in 1..count {
                    let (length, next) = opus_length(payload, at)?;
                    lengths.push(length);
                    at = next;
                }
                let told = lengths.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length))?;
                lengths.push(end.checked_sub(at)?.checked_sub(told)?);
            }
            let mut pieces = Vec::with_capacity(count);
            for length in lengths {
                let next = at.checked_add(length).filter(|next| *next <= end)?;
                pieces.push(piece(at..next));
                at = next;
            }
            Some(pieces)
        }
    }
}

/// The length of a frame, in one octet or two (§3.2.1), and where what follows it begins.
fn opus_length(payload: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*payload.get(at)?);
    if first < 252 {
        return Some((first, at.checked_add(1)?));
    }
    let second = usize::from(*payload.get(at.checked_add(1)?)?);
    Some((second.checked_mul(4)?.checked_add(first)?, at.checked_add(2)?))
}

/// A packet of these frames, which lie one behind the other and end there.
fn opus_payload(configuration: u8, frames: &[u8], ends: &[usize]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(frames.len().saturating_add(ends.len().saturating_mul(2)));
    if ends.len() == 1 {
        payload.push(configuration);
    } else {
        // Code 3 with a length before each frame but the last.
        payload.push(configuration | 3);
        payload.push(0x80 | u8::try_from(ends.len()).unwrap_or(48));
        let (mut start, last) = (0_usize, ends.len().saturating_sub(1));
        for end in ends.iter().take(last) {
            let length = end.saturating_sub(start);
            match u8::try_from(length).ok().filter(|length| *length < 252) {
                Some(length) => payload.push(length),
                None => {
                    // At most 1275 octets, so that the second one fits.
                    let low = 252 | (length & 3);
                    payload.push(u8::try_from(low).unwrap_or(252));
                    payload.push(u8::try_from(length.saturating_sub(low) / 4).unwrap_or(255));
                }
            }
            start = *end;
        }
    }
    payload.extend_from_slice(frames);
    payload
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
        assert!(!it.wants(&joined), "it is as long as is wanted");
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
        assert_eq!(opus(&joined).unwrap().iter().map(|it| it.range.len()).collect::<Vec<_>>(), [700, 9]);
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
            if let Some(pieces) = opus(&payload) {
                assert!(pieces.iter().all(|piece| piece.range.end <= payload.len()));
                assert!(pieces.iter().map(|piece| piece.ticks).sum::<u32>() <= LONGEST_OPUS);
            }
            it.receive(&arrived(sequence, u32::from(sequence) * 960), &payload);
            it.ready.clear();
        }
    }
}
