//! WAV and Ogg files, and Opus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod shared;

#[cfg(feature = "wav")]
mod wav {
    use denwa_codecs::wav::{Recorder, WavError, read};
    use std::io::Cursor;

    #[test]
    fn what_is_written_is_read() {
        let samples: Vec<i16> = (0..8_000i32).map(|n| (n * 7 % 60_000 - 30_000) as i16).collect();
        let mut file = Cursor::new(Vec::new());
        let mut recorder = Recorder::new(&mut file, 8_000, 1).unwrap();
        for piece in samples.chunks(333) {
            recorder.write(piece).unwrap();
            recorder.flush().unwrap();
        }
        recorder.finish().unwrap();
        let sound = read(Cursor::new(file.into_inner())).unwrap();
        assert_eq!((sound.sample_rate_hz, sound.samples), (8_000, samples));
    }

    #[test]
    fn two_channels_are_mixed_into_one() {
        let mut file = Cursor::new(Vec::new());
        let mut recorder = Recorder::new(&mut file, 16_000, 2).unwrap();
        recorder.write(&[100, 300, -100, -300]).unwrap();
        recorder.finish().unwrap();
        assert_eq!(read(Cursor::new(file.into_inner())).unwrap().samples, [200, -200]);
    }

    #[test]
    fn damage_is_an_error() {
        assert!(matches!(read(&b"RIFFxxxxWAVE"[..]), Err(WavError::File(_))));
        assert!(matches!(Recorder::new(Cursor::new(Vec::new()), 8_000, 0), Err(WavError::Channels(0))));
    }
}

#[cfg(feature = "ogg")]
mod ogg {
    use denwa_codecs::ogg::{Head, OggError, PRE_SKIP, Reader, Recorder};
    use std::io::Cursor;

    #[test]
    fn packets_come_out_as_they_went_in() {
        let head = Head { channels: 1, pre_skip: PRE_SKIP, input_sample_rate_hz: 16_000, output_gain: -256 };
        let packets: Vec<Vec<u8>> = (0..200usize).map(|n| vec![n as u8; n * 3 + 1]).collect();
        let mut recorder = Recorder::new(Vec::new(), head, 42).unwrap();
        for packet in &packets {
            recorder.write(packet, 960).unwrap();
        }
        let file = recorder.finish().unwrap();
        let mut reader = Reader::new(Cursor::new(file)).unwrap();
        assert_eq!(reader.head(), head);
        for packet in packets {
            assert_eq!(reader.read().unwrap(), Some(packet));
        }
        assert_eq!(reader.read().unwrap(), None);
    }

    #[test]
    fn what_is_not_opus_is_told() {
        assert!(matches!(
            Reader::new(Cursor::new(b"".to_vec())),
            Err(OggError::NotOpus(_) | OggError::Container(_))
        ));
        assert!(Reader::new(Cursor::new(b"OggS and then nothing of it".to_vec())).is_err());
    }
}

#[cfg(feature = "opus")]
mod opus {
    use denwa_codecs::opus::{Config, Decoder, Encoder, SAMPLE_RATES_HZ};
    use denwa_codecs::tone::{Generator, Sine, Tone};
    use denwa_codecs::{DecodeError, Decoder as _, EncodeError, Encoder as _, level::Level};

    fn sine(rate: u32, seconds: usize) -> Vec<i16> {
        let mut samples = vec![0; rate as usize * seconds];
        Generator::new(&Tone::steady(&[Sine::new(440.0, -10.0)]), rate).generate(&mut samples);
        samples
    }

    #[test]
    fn a_sine_goes_through_at_every_rate() {
        for rate in SAMPLE_RATES_HZ {
            let mut encoder = Encoder::new(Config { sample_rate_hz: rate, ..Config::default() }).unwrap();
            let mut decoder = Decoder::new(rate).unwrap();
            let (mut payload, mut out) = (vec![0; 1_275], vec![0; decoder.max_samples(1)]);
            let mut heard = Vec::new();
            for frame in sine(rate, 1).chunks(rate as usize / 50) {
                let bytes = encoder.encode(frame, &mut payload).unwrap();
                let count = decoder.decode(&payload[..bytes], &mut out).unwrap();
                assert_eq!(count, frame.len());
                heard.extend_from_slice(&out[..count]);
            }
            let level = Level::of(&heard[rate as usize / 2..]).dbm0();
            assert!((level + 10.0).abs() < 1.0, "{rate}: {level}");
        }
    }

    #[test]
    fn a_lost_packet_comes_back_from_the_next() {
        let Some(folder) = super::shared::folder("codec-vectors/stl/g722") else { return };
        let speech = super::shared::samples(&folder.join("inpsp.bin"));
        let config = Config {
            sample_rate_hz: 16_000,
            expected_loss_percent: 20,
            bitrate: Some(24_000),
            ..Config::default()
        };
        let mut encoder = Encoder::new(config).unwrap();
        let packets: Vec<Vec<u8>> = speech
            .chunks_exact(320)
            .map(|frame| {
                let mut payload = vec![0; 1_275];
                let bytes = encoder.encode(frame, &mut payload).unwrap();
                payload.truncate(bytes);
                payload
            })
            .collect();
        let mut whole = Decoder::new(16_000).unwrap();
        let (mut truth, mut out) = (Vec::new(), vec![0; 1_920]);
        for packet in &packets {
            let count = whole.decode(packet, &mut out).unwrap();
            truth.extend_from_slice(&out[..count]);
        }
        // Every fifth packet is lost: once concealed, once recovered.
        let mut error = [0.0f64; 2];
        for (recover, error) in [false, true].into_iter().zip(&mut error) {
            let mut decoder = Decoder::new(16_000).unwrap();
            for (index, packet) in packets.iter().enumerate() {
                let count = if index % 5 == 4 && index + 1 < packets.len() {
                    let frame = &mut out[..320];
                    if recover { decoder.recover(&packets[index + 1], frame) } else { decoder.conceal(frame) }
                } else {
                    decoder.decode(packet, &mut out).unwrap()
                };
                assert_eq!(count, 320);
                let truth = &truth[index * 320..index * 320 + 320];
                *error +=
                    truth.iter().zip(&out).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
            }
        }
        assert!(error[1] < error[0] * 0.7, "recovered {:.0}, concealed {:.0}", error[1], error[0]);
    }

    #[test]
    fn silence_is_not_sent_when_asked_for() {
        let mut encoder =
            Encoder::new(Config { discontinuous: true, sample_rate_hz: 16_000, ..Config::default() })
                .unwrap();
        let mut payload = vec![0; 1_275];
        let sent = (0..200).filter(|_| encoder.encode(&[0; 320], &mut payload).unwrap() > 0).count();
        assert!(sent < 40, "{sent} of 200 packets of silence were sent");
    }

    #[test]
    fn what_is_not_opus_is_concealed() {
        let mut decoder = Decoder::new(48_000).unwrap();
        let mut out = vec![0; 5_760];
        // Code 3 with no frame count.
        let error = decoder.decode(&[0x03], &mut out).unwrap_err();
        assert!(matches!(error, DecodeError::PayloadContent { concealed: 960, .. }), "{error}");
        assert_eq!(
            decoder.decode(&[0x03], &mut out[..10]),
            Err(DecodeError::OutputTooSmall { needed: 5_760, got: 10 })
        );
        let mut encoder = Encoder::new(Config::default()).unwrap();
        assert!(matches!(encoder.encode(&[0; 100], &mut [0; 1_275]), Err(EncodeError::PartialFrame { .. })));
        assert!(Encoder::new(Config { sample_rate_hz: 11_025, ..Config::default() }).is_err());
        assert!(Encoder::new(Config { bitrate: Some(1), ..Config::default() }).is_err());
    }
}
