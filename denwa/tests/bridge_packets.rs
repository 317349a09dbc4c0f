//! Two legs of a bridge with one codec whose peers want packets of different lengths: frames are cut and joined, and nothing is done
//! where packets are as they are wanted. On virtual time, with the codecs themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exchange;
mod speech;

use denwa::bridge::{Command, Connection, LegId};
use denwa::media::{PayloadFormat, StreamParameters};
use denwa_codecs::registry;
use denwa_rtp::packet::Header;
use exchange::{Exchange, Heard, socket};
use speech::voice;
use std::time::Duration;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const EVENTS: u8 = 101;

/// A codec as both agree on it, under another number at each side.
#[derive(Clone, Copy, Debug)]
struct Codec {
    name: &'static str,
    clock_rate_hz: u32,
    parameters: &'static str,
}

const fn codec(name: &'static str, clock_rate_hz: u32, parameters: &'static str) -> Codec {
    Codec { name, clock_rate_hz, parameters }
}

impl Codec {
    fn is_opus(self) -> bool {
        self.name == "opus"
    }

    fn format(self, payload_type: u8) -> PayloadFormat {
        PayloadFormat {
            channels: if self.is_opus() { 2 } else { 1 },
            parameters: self.parameters.into(),
            ..PayloadFormat::new(payload_type, self.name, self.clock_rate_hz)
        }
    }

    /// A voice in packets of so many ms, and the ticks of each. Of Opus, which may not have been built in, packets of 20 ms with
    /// whatever octets.
    fn packets(self, milliseconds: usize, seconds: f64) -> (Vec<Vec<u8>>, u32) {
        if self.is_opus() {
            let length = |index: usize| [40, 300, 0, 160][index % 4];
            let packet = |index| [vec![0xf8], vec![index as u8; length(index)]].concat();
            return ((0..(seconds * 50.0) as usize).map(packet).collect(), 960);
        }
        let entry = registry::find(self.name, self.clock_rate_hz).unwrap();
        let mut encoder = entry.encoder(self.parameters).unwrap();
        let rate = encoder.sample_rate_hz() as usize;
        let samples = rate * milliseconds / 1000;
        assert_eq!(encoder.packet_samples(samples), samples, "{self:?}");
        let mut buffer = vec![0; encoder.max_payload_bytes(samples)];
        let packets = voice(rate as u32, seconds)
            .chunks_exact(samples)
            .map(|sound| {
                let length = encoder.encode(sound, &mut buffer).unwrap();
                buffer[..length].to_vec()
            })
            .collect();
        (packets, self.clock_rate_hz * milliseconds as u32 / 1000)
    }

    fn decode<'a>(self, packets: impl IntoIterator<Item = &'a [u8]>) -> Vec<i16> {
        let mut decoder =
            registry::find(self.name, self.clock_rate_hz).unwrap().decoder(self.parameters).unwrap();
        let mut sound = Vec::new();
        for packet in packets {
            let mut samples = vec![0; decoder.max_samples(packet.len())];
            let length = decoder.decode(packet, &mut samples).unwrap();
            sound.extend_from_slice(&samples[..length]);
        }
        sound
    }
}

/// One leg speaks, numbered as it says; what comes out at the other.
struct Line {
    exchange: Exchange,
    from: LegId,
    number: u8,
    heard: Vec<Heard>,
}

impl Line {
    /// A has the codec as 102, B as 97; each wants packets of so many ms, and gets no others if that is `exact`.
    fn new(format: impl Fn(u8) -> PayloadFormat, milliseconds: [u64; 2], from: LegId, exact: bool) -> Self {
        let mut exchange = Exchange::new();
        for ((leg, number), packet_time) in [(A, 102), (B, 97)].into_iter().zip(milliseconds) {
            let remote = socket(&format!("192.0.2.{}:4000", leg.0));
            let mut parameters = StreamParameters::plain(remote, &[format(number)]);
            parameters.packet_time = Duration::from_millis(packet_time);
            exchange.leg(leg, parameters);
            exchange.command(Command::KeepPacketTime { leg, wanted: exact });
        }
        exchange.join(A, Connection::Leg(B));
        let number = if from == A { 102 } else { 97 };
        Self { exchange, from, number, heard: Vec::new() }
    }

    fn send(&mut self, header: Header, payload: &[u8]) {
        let mut packet = vec![0; 12 + payload.len()];
        Header { ssrc: 7, ..header }.write(payload, &mut packet).unwrap();
        let remote = socket(&format!("192.0.2.{}:4000", self.from.0));
        self.heard.extend(self.exchange.receive(self.from, remote, &packet));
        self.pass(Duration::ZERO);
    }

    fn voice(&mut self, sequence: u16, timestamp: u32, payload: &[u8]) {
        let payload_type = self.number;
        self.send(Header { payload_type, sequence, timestamp, ..Header::default() }, payload);
    }

    fn pass(&mut self, by: Duration) {
        self.exchange.events();
        let (played, _) = self.exchange.pass(by);
        self.heard.extend(played.into_iter().map(|(_, heard)| heard));
    }

    /// All that is heard is of the other leg's number, one behind the other, and `ticks` apart; the first one begins.
    fn assert_in_line(&self, ticks: u32, what: &str) {
        let number = if self.from == A { 97 } else { 102 };
        for (index, heard) in self.heard.iter().enumerate() {
            assert_eq!((heard.payload_type, heard.marker), (number, index == 0), "{what}, {index}");
            assert_ne!(heard.leg, self.from, "{what}");
        }
        for pair in self.heard.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{what}");
            assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), ticks, "{what}");
        }
    }
}

const CODECS: [(Codec, [u64; 2]); 20] = [
    (codec("PCMU", 8000, ""), [60, 20]),
    (codec("PCMA", 8000, ""), [30, 40]),
    (codec("G722", 8000, ""), [60, 20]),
    (codec("G726-16", 8000, ""), [60, 20]),
    (codec("G726-24", 8000, ""), [60, 20]),
    (codec("G726-32", 8000, ""), [60, 20]),
    (codec("G726-40", 8000, ""), [30, 20]),
    (codec("AAL2-G726-16", 8000, ""), [60, 20]),
    (codec("AAL2-G726-24", 8000, ""), [50, 20]),
    (codec("AAL2-G726-32", 8000, ""), [60, 20]),
    (codec("AAL2-G726-40", 8000, ""), [60, 10]),
    (codec("L16", 8000, ""), [60, 20]),
    (codec("L16", 16_000, ""), [40, 20]),
    (codec("L16", 44_100, ""), [10, 10]),
    (codec("G729", 8000, "annexb=no"), [60, 20]),
    (codec("G729", 8000, "annexb=no"), [10, 30]),
    (codec("GSM", 8000, ""), [60, 20]),
    (codec("iLBC", 8000, "mode=20"), [60, 20]),
    (codec("iLBC", 8000, "mode=30"), [60, 30]),
    (codec("iLBC", 8000, ""), [90, 30]),
];

/// Both ways: what A says in its packets comes in B's, and B's in A's, octet for octet; what is decoded is the same.
#[test]
fn each_codec_comes_as_it_is_wanted() {
    for (codec, wanted) in CODECS {
        for (from, to) in [(0, 1), (1, 0)] {
            let what = format!("{codec:?}, {} to {} ms", wanted[from], wanted[to]);
            let own = wanted[from];
            let (packets, ticks) = codec.packets(own as usize, 1.8);
            let mut line = Line::new(|number| codec.format(number), wanted, [A, B][from], true);
            for (index, payload) in packets.iter().enumerate() {
                line.voice(65_500_u16.wrapping_add(index as u16), 77 + index as u32 * ticks, payload);
                line.pass(Duration::from_millis(own));
            }
            let milliseconds = line.heard.len() as u64 * wanted[to];
            assert!(milliseconds + wanted[to] > packets.len() as u64 * own, "{what}: {milliseconds} ms came");
            line.assert_in_line(codec.clock_rate_hz * wanted[to] as u32 / 1000, &what);
            let heard = codec.decode(line.heard.iter().map(|heard| &*heard.payload));
            let said = codec.decode(packets.iter().map(Vec::as_slice));
            assert!(
                heard.len() > 8000 && said.starts_with(&heard),
                "{what}: {} of {}",
                heard.len(),
                said.len()
            );
        }
    }
}

/// Packets of three frames of Opus are cut, and those made of them are what the encoder made.
#[test]
fn opus_is_joined_at_the_one_end_and_cut_at_the_other() {
    let opus = codec("opus", 48_000, "");
    let (packets, ticks) = opus.packets(20, 1.2);
    let mut first = Line::new(|number| opus.format(number), [20, 60], A, true);
    for (index, payload) in packets.iter().enumerate() {
        first.voice(index as u16, index as u32 * ticks, payload);
    }
    assert_eq!(first.heard.len(), packets.len() / 3);
    let mut second = Line::new(|number| opus.format(number), [20, 60], B, true);
    for heard in &first.heard {
        second.voice(heard.sequence, heard.timestamp, &heard.payload);
        second.pass(Duration::from_millis(60));
    }
    second.assert_in_line(ticks, "cut");
    let cut: Vec<&Vec<u8>> = second.heard.iter().map(|heard| &heard.payload).collect();
    assert_eq!(cut, packets.iter().collect::<Vec<_>>());
}

#[test]
fn both_channels_of_l16_stay_together() {
    let stereo = |number| PayloadFormat { channels: 2, ..PayloadFormat::new(number, "L16", 16_000) };
    let mut line = Line::new(stereo, [10, 20], A, true);
    let payload = |first: u8| (0..640).map(|at| first.wrapping_add((at / 4) as u8)).collect::<Vec<u8>>();
    for (index, first) in (0..).zip([1, 101, 201]) {
        line.voice(index, u32::from(index) * 160, &payload(first));
    }
    line.voice(3, 480, &payload(45));
    assert_eq!(line.heard.iter().map(|heard| heard.payload.len()).collect::<Vec<_>>(), [1280; 2]);
    line.assert_in_line(320, "stereo");
    let heard: Vec<u8> = line.heard.iter().flat_map(|heard| heard.payload.clone()).collect();
    assert_eq!(heard, [1, 101, 201, 45].map(payload).concat());
}

/// Whatever the network does to packets that are as long as is wanted, it comes out as if nobody had asked for anything: lost,
/// late, doubled, silence with its descriptions, keepalives, pauses and jumps.
#[test]
fn what_is_as_it_is_wanted_is_not_touched() {
    let opus_silence = [0xf8_u8];
    for (codec, silence) in [
        (codec("G729", 8000, ""), &[1_u8, 2][..]),
        (codec("G722", 8000, ""), &[]),
        (codec("iLBC", 8000, "mode=20"), &[]),
        (codec("opus", 48_000, ""), &opus_silence),
    ] {
        let (packets, ticks) = codec.packets(20, 0.4);
        let heard = [true, false].map(|exact| {
            let mut line = Line::new(|number| codec.format(number), [20, 20], A, exact);
            let order: [u16; 12] = [0, 1, 3, 2, 2, 4, 7, 8, 9, 900, 901, 40_000];
            for (index, sequence) in order.into_iter().enumerate() {
                line.voice(sequence, 5 + u32::from(sequence) * ticks, &packets[index]);
                if index % 4 == 3 {
                    line.voice(sequence + 1, 5 + u32::from(sequence + 1) * ticks, silence);
                }
                line.pass(Duration::from_millis(17));
            }
            line.heard
        });
        assert!(heard[0].len() > 8, "{codec:?}");
        assert_eq!(heard[0], heard[1], "{codec:?}");
    }
}

/// A key is told in packets of one timestamp, whoever goes on to speak meanwhile.
#[test]
fn a_key_stays_one_key_between_packets_that_are_cut() {
    let codec = codec("G722", 8000, "");
    let (packets, ticks) = codec.packets(60, 1.2);
    let mut line = Line::new(|number| codec.format(number), [60, 20], A, true);
    let mut sequence = 0;
    for (index, payload) in packets.iter().enumerate() {
        line.voice(sequence, index as u32 * ticks, payload);
        sequence += 1;
        for part in 0..3_u16 {
            if (5..8).contains(&index) {
                let said = (index as u16 - 5) * 3 + part;
                let duration = ((said + 1) * 160).to_be_bytes();
                let payload = [5, if said > 5 { 0x8a } else { 10 }, duration[0], duration[1]];
                let timestamp = 5 * ticks;
                let header = Header { payload_type: EVENTS, sequence, timestamp, ..Header::default() };
                line.send(header, &payload);
                sequence += 1;
            }
            line.pass(Duration::from_millis(20));
        }
    }
    let keys: Vec<&Heard> = line.heard.iter().filter(|heard| heard.payload_type == EVENTS).collect();
    assert_eq!(keys.len(), 9);
    assert!(keys.iter().all(|key| key.timestamp == keys[0].timestamp), "{keys:#?}");
    for pair in line.heard.windows(2) {
        // What was said meanwhile is missed, and what comes next is never behind.
        assert!((1..3).contains(&pair[1].sequence.wrapping_sub(pair[0].sequence)));
    }
    let voice: Vec<&Heard> = line.heard.iter().filter(|heard| heard.payload_type != EVENTS).collect();
    assert!(voice.iter().all(|heard| heard.payload.len() == 160));
    // Six packets before the key and those from 100 ms behind it on.
    assert_eq!(voice.len(), (6 + 10) * 3);
    let restarts = voice.iter().filter(|heard| heard.marker).count();
    assert_eq!(restarts, 2, "at the beginning and behind the key");
}
