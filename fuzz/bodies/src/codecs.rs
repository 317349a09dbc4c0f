//! Targets of `codecs`: every decoder, fed packets of any bytes and any length, with losses and resets in between, so that
//! state carries over; and the parser of tones.

use crate::Target;
use denwa_codecs::tone::dtmf;
use denwa_codecs::{DecodeError, Decoder, g711, g722, g726, g729, gsm, ilbc, linear, ogg, opus, wav};

/// Name and body of each.
pub const TARGETS: &[Target] = &[
    ("codec_g711", |data| {
        packets(data, |kind| Box::new(g711::Decoder::new([g711::Law::Mu, g711::Law::A][kind % 2])))
    }),
    ("codec_g722", |data| {
        packets(data, |kind| {
            Box::new(g722::Decoder::new(
                [g722::Mode::Kbit64, g722::Mode::Kbit56, g722::Mode::Kbit48][kind % 3],
            ))
        });
    }),
    ("codec_g726", |data| {
        packets(data, |kind| {
            let rates = [g726::Rate::Kbit16, g726::Rate::Kbit24, g726::Rate::Kbit32, g726::Rate::Kbit40];
            let packing = [g726::Packing::Rtp, g726::Packing::Aal2][kind / 4 % 2];
            Box::new(g726::Decoder::new(rates[kind % 4], packing))
        });
    }),
    ("codec_g729", |data| {
        packets(data, |kind| {
            Box::new(g729::Decoder::new([g729::Variant::AnnexA, g729::Variant::Main][kind % 2]))
        });
    }),
    ("codec_gsm", |data| packets(data, |_| Box::new(gsm::Decoder::new()))),
    ("codec_ilbc", |data| {
        packets(data, |kind| Box::new(ilbc::Decoder::new([ilbc::Mode::Ms20, ilbc::Mode::Ms30][kind % 2])));
    }),
    ("codec_l16", |data| {
        packets(data, |kind| Box::new(linear::Decoder::new([8_000, 16_000, 44_100][kind % 3])))
    }),
    ("codec_opus", |data| {
        packets(data, |kind| {
            let rate = opus::SAMPLE_RATES_HZ[kind % opus::SAMPLE_RATES_HZ.len()];
            match opus::Decoder::new(rate) {
                Ok(decoder) => Box::new(decoder),
                Err(error) => panic!("{rate} Hz is one of its rates: {error}"),
            }
        });
    }),
    ("codec_files", files),
    ("codec_sounds", sounds),
];

/// What stands where nothing may be written.
const UNTOUCHED: i16 = 0x5a5a;

/// The first byte chooses the decoder; then come operations: a byte that says what, one that says how long, and as many
/// bytes of payload. What is refused must leave the state that a loss leaves: a second decoder is told of losses instead.
fn packets(data: &[u8], make: impl Fn(usize) -> Box<dyn Decoder>) {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let (mut decoder, mut twin) = (make(usize::from(*kind)), make(usize::from(*kind)));
    let mut samples_so_far = 0;
    while let Some(([operation, length], after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(*length);
        match operation % 8 {
            0 => {
                let asked = length * 2;
                let (mut out, mut other) = (vec![UNTOUCHED; asked + 1], vec![UNTOUCHED; asked + 1]);
                let count = decoder.conceal(&mut out[..asked]);
                assert_eq!(count, asked / decoder.frame_samples() * decoder.frame_samples());
                assert_eq!(twin.conceal(&mut other[..asked]), count);
                assert!(
                    out[count..].iter().all(|sample| *sample == UNTOUCHED),
                    "written beyond what was concealed"
                );
                assert_eq!(out, other);
                samples_so_far += count;
                rest = after;
            }
            1 => {
                decoder.reset();
                twin.reset();
                rest = after;
            }
            _ => {
                let (payload, later) = after.split_at(length.min(after.len()));
                // Often enough room, sometimes too little.
                let room =
                    if operation % 8 == 2 { length } else { decoder.max_samples(payload.len()).max(2_000) };
                let (mut out, mut other) = (vec![UNTOUCHED; room], vec![UNTOUCHED; room]);
                let result = decoder.decode(payload, &mut out);
                let written = match result {
                    Ok(count) => {
                        assert!(
                            count <= decoder.max_samples(payload.len()),
                            "more samples than were announced"
                        );
                        assert_eq!(twin.decode(payload, &mut other), Ok(count));
                        count
                    }
                    Err(DecodeError::OutputTooSmall { needed, got }) => {
                        assert!(needed > got && got == room, "there was room");
                        0
                    }
                    Err(
                        DecodeError::PayloadLength { concealed, .. }
                        | DecodeError::PayloadContent { concealed, .. },
                    ) => {
                        assert_eq!(
                            twin.conceal(&mut other[..concealed]),
                            concealed,
                            "not a whole number of frames"
                        );
                        concealed
                    }
                    Err(error) => panic!("an error this target does not know: {error}"),
                };
                assert!(out[written..].iter().all(|sample| *sample == UNTOUCHED), "written beyond the count");
                assert_eq!(
                    out[..written],
                    other[..written],
                    "after an error the state is not what a loss leaves"
                );
                samples_so_far += written;
                rest = later;
            }
        }
        // A minute is enough.
        if samples_so_far > 1_000_000 {
            return;
        }
    }
}

/// Bytes as a WAV file, and as an Ogg file whose packets are decoded.
fn files(data: &[u8]) {
    if let Ok(sound) = wav::read(data) {
        assert!(sound.samples.len() <= data.len(), "samples out of nothing");
    }
    let Ok(mut reader) = ogg::Reader::new(std::io::Cursor::new(data)) else { return };
    let Ok(mut decoder) = opus::Decoder::new(48_000) else { return };
    for _ in 0..100 {
        let Ok(Some(packet)) = reader.read() else { return };
        let mut out = vec![0; decoder.max_samples(packet.len())];
        let _ = decoder.decode(&packet, &mut out);
    }
}

/// Text as a tone, and bytes as sound for every detector.
fn sounds(data: &[u8]) {
    use denwa_codecs::tone::{Generator, Tone, plan::Plan, progress, single};
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(tone) = text.parse::<Tone>()
    {
        let mut samples = [0; 4_000];
        let mut generator = Generator::new(&tone, 8_000);
        let count = generator.generate(&mut samples);
        assert!(count == samples.len() || generator.is_finished(), "a tone that stops without ending");
    }
    let samples: Vec<i16> = data.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    let mut sounding = None;
    dtmf::Detector::new(8_000).listen(&samples, |event| match event {
        dtmf::DtmfEvent::Begun { digit, .. } => {
            assert!(sounding.is_none(), "a digit within a digit");
            sounding = Some(digit);
        }
        dtmf::DtmfEvent::Ended { digit, .. } => assert_eq!(sounding.take(), Some(digit)),
    });
    single::Detector::new(8_000).listen(&samples, |_| {});
    progress::Detector::new(&Plan::japan(), 8_000).listen(&samples, |_| {});
    let mut noise = denwa_codecs::comfort_noise::Generator::new(1);
    noise.update(&data[..data.len().min(40)]);
    noise.generate(&mut [0; 160]);
}
