//! Converts between samples and a codec's bits, either way, by file name:
//!
//! ```text
//! cargo run -p denwa-codecs --example transcode -- --codec CODEC [--dtx] IN OUT
//! ```
//!
//! `.raw`, `.in`, `.pst`, `.out`, `.bin` are 16-bit little-endian samples at the codec's rate, `.wav` is WAV, `.bit` is the
//! ITU serial format of G.729 (or plain frames for the other codecs), and `.g729`, `.g722`, `.ilbc`, `.gsm`, `.g726`, `.al`,
//! `.ul` are packed payloads. Erased frames (a serial frame that says so) are concealed.
//!
//! CODEC is `g729` (main-body decoder), `g729a`, `pcma`, `pcmu`, `g722`, `g722-56`, `g722-48`, `ilbc20`, `ilbc30`, `gsm`,
//! `g726-16` to `g726-40`, `aal2-g726-16` to `-40`, `l16`; with the feature `opus`, `opus` (whose packets are preceded by
//! their length, as no file format is asked for here). `--dtx` turns Annex B on. Encoding with `g729` makes Annex A's bits,
//! which any G.729 decoder reads.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use denwa_codecs::g729::serial::{self, SerialFrame};
use denwa_codecs::g729::{self, Variant};
use denwa_codecs::{Decoder, Encoder, g711, g722, g726, gsm, ilbc, linear};

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(sentence) => {
            println!("{sentence}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("transcode: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let usage = "usage: transcode --codec CODEC [--dtx] IN OUT";
    let (mut codec, mut dtx, mut files) = (None, false, Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--codec" => codec = Some(arguments.next().ok_or(usage)?),
            "--dtx" => dtx = true,
            _ if argument.starts_with("--") => return Err(format!("{argument} is not known; {usage}")),
            _ => files.push(argument),
        }
    }
    let (Some(codec), [from, to]) = (codec, &files[..]) else { return Err(usage.into()) };
    let codec = Codec::named(&codec, dtx)?;
    let bytes = fs::read(from).map_err(|error| format!("{from}: {error}"))?;
    let (from_kind, to_kind) = (Kind::of(from)?, Kind::of(to)?);
    let samples = match from_kind {
        Kind::Samples => Some(words(&bytes).into_iter().map(u16::cast_signed).collect()),
        Kind::Wav => Some(wav::read(&bytes, codec.sample_rate_hz)?),
        Kind::Bits | Kind::Serial => None,
    };
    let (out, sentence) = match (samples, to_kind) {
        (Some(samples), Kind::Bits | Kind::Serial) => codec.encode(&samples, to_kind == Kind::Serial)?,
        (None, Kind::Samples | Kind::Wav) => {
            let samples = codec.decode(&bytes, from_kind == Kind::Serial)?;
            let out = if to_kind == Kind::Wav {
                wav::write(&samples, codec.sample_rate_hz)
            } else {
                as_bytes(&samples)
            };
            (out, format!("{} samples", samples.len()))
        }
        (Some(samples), Kind::Samples | Kind::Wav) => {
            // Samples to samples: there and back again, to hear what the codec does.
            let (bits, _) = codec.encode(&samples, codec.is_g729)?;
            let samples = Codec::named(&codec.name, dtx)?.decode(&bits, codec.is_g729)?;
            let out = if to_kind == Kind::Wav {
                wav::write(&samples, codec.sample_rate_hz)
            } else {
                as_bytes(&samples)
            };
            (out, format!("{} samples, encoded and decoded", samples.len()))
        }
        (None, Kind::Bits | Kind::Serial) => {
            codec.repack(&bytes, from_kind == Kind::Serial, to_kind == Kind::Serial)?
        }
    };
    fs::write(to, out).map_err(|error| format!("{to}: {error}"))?;
    Ok(format!("{from} -> {to}: {sentence}"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Samples,
    Wav,
    Bits,
    Serial,
}

impl Kind {
    fn of(file: &str) -> Result<Self, String> {
        let extension =
            Path::new(file).extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "raw" | "in" | "inp" | "pst" | "out" | "bin" => Ok(Self::Samples),
            "wav" => Ok(Self::Wav),
            "bit" => Ok(Self::Serial),
            "g729" | "g722" | "ilbc" | "gsm" | "g726" | "al" | "ul" | "l16" | "opus" => Ok(Self::Bits),
            _ => Err(format!(
                "{file}: what is it? .raw .in .pst .out .bin .wav .bit .g729 .g722 .ilbc .gsm .g726 .al .ul are known"
            )),
        }
    }
}

struct Codec {
    name: String,
    is_g729: bool,
    dtx: bool,
    variant: Variant,
    sample_rate_hz: u32,
    /// Samples and bytes of what is coded at once.
    frame: (usize, usize),
    encoder: Box<dyn Encoder>,
    decoder: std::cell::RefCell<Box<dyn Decoder>>,
}

impl Codec {
    fn named(name: &str, dtx: bool) -> Result<Self, String> {
        let name = name.to_ascii_lowercase();
        let rate_of = |rate: &str| match rate {
            "16" => Some(g726::Rate::Kbit16),
            "24" => Some(g726::Rate::Kbit24),
            "32" => Some(g726::Rate::Kbit32),
            "40" => Some(g726::Rate::Kbit40),
            _ => None,
        };
        let packing = if name.starts_with("aal2-") { g726::Packing::Aal2 } else { g726::Packing::Rtp };
        let g726_rate = name.trim_start_matches("aal2-").strip_prefix("g726-").and_then(rate_of);
        type Pair = (Box<dyn Encoder>, Box<dyn Decoder>);
        let (frame, (encoder, decoder)): ((usize, usize), Pair) = match (name.as_str(), g726_rate) {
            ("g729" | "g729a", _) => {
                let variant = if name == "g729" { Variant::Main } else { Variant::AnnexA };
                let encoder = g729::Encoder::new(g729::EncoderConfig { dtx });
                ((80, 10), (Box::new(encoder), Box::new(g729::Decoder::new(variant))))
            }
            ("pcma" | "pcmu", _) => {
                let law = if name == "pcma" { g711::Law::A } else { g711::Law::Mu };
                ((160, 160), (Box::new(g711::Encoder::new(law)), Box::new(g711::Decoder::new(law))))
            }
            ("g722" | "g722-56" | "g722-48", _) => {
                let mode = match name.as_str() {
                    "g722" => g722::Mode::Kbit64,
                    "g722-56" => g722::Mode::Kbit56,
                    _ => g722::Mode::Kbit48,
                };
                ((320, 160), (Box::new(g722::Encoder::new()), Box::new(g722::Decoder::new(mode))))
            }
            ("ilbc20", _) => {
                let mode = ilbc::Mode::Ms20;
                ((160, 38), (Box::new(ilbc::Encoder::new(mode)), Box::new(ilbc::Decoder::new(mode))))
            }
            ("ilbc30", _) => {
                let mode = ilbc::Mode::Ms30;
                ((240, 50), (Box::new(ilbc::Encoder::new(mode)), Box::new(ilbc::Decoder::new(mode))))
            }
            ("gsm", _) => ((160, 33), (Box::new(gsm::Encoder::new()), Box::new(gsm::Decoder::new()))),
            ("l16", _) => {
                ((160, 320), (Box::new(linear::Encoder::new(8_000)), Box::new(linear::Decoder::new(8_000))))
            }
            (_, Some(rate)) => {
                let bytes = 20 * rate.bits() as usize;
                let pair: Pair = (
                    Box::new(g726::Encoder::new(rate, packing)),
                    Box::new(g726::Decoder::new(rate, packing)),
                );
                ((160, bytes), pair)
            }
            #[cfg(feature = "opus")]
            ("opus", _) => {
                use denwa_codecs::opus;
                let config = opus::Config { discontinuous: dtx, ..opus::Config::default() };
                let encoder = opus::Encoder::new(config).map_err(|error| error.to_string())?;
                let decoder = opus::Decoder::new(48_000).map_err(|error| error.to_string())?;
                ((960, 0), (Box::new(encoder), Box::new(decoder)))
            }
            _ => return Err(format!("codec {name} is not known")),
        };
        if dtx && !name.starts_with("g729") && name != "opus" {
            return Err(format!("{name} has no discontinuous transmission"));
        }
        Ok(Self {
            is_g729: name.starts_with("g729"),
            variant: if name == "g729" { Variant::Main } else { Variant::AnnexA },
            name,
            dtx,
            sample_rate_hz: encoder.sample_rate_hz(),
            frame,
            encoder,
            decoder: decoder.into(),
        })
    }

    /// Whole frames only: what is left over at the end is not coded, as the ITU's programs do.
    fn encode(&self, samples: &[i16], serial: bool) -> Result<(Vec<u8>, String), String> {
        let fresh = Self::named(&self.name, self.dtx)?;
        let mut encoder = fresh.encoder;
        let group = if self.frame.0.is_multiple_of(encoder.frame_samples()) {
            self.frame.0
        } else {
            encoder.frame_samples()
        };
        let (mut out, mut frames, mut silent) = (Vec::new(), 0, 0);
        let mut serial_words = Vec::new();
        for frame in samples.chunks(group) {
            // Codecs without long frames also take the rest.
            let whole = frame.len() / encoder.frame_samples() * encoder.frame_samples();
            if whole == 0 {
                break;
            }
            if self.name == "opus" && whole < group {
                break;
            }
            let mut payload = vec![0; encoder.max_payload_bytes(whole)];
            let bytes = encoder.encode(&frame[..whole], &mut payload).map_err(|error| error.to_string())?;
            frames += 1;
            silent += usize::from(bytes == 0);
            if serial && self.is_g729 {
                serial::write(&payload[..bytes], true, &mut serial_words);
            } else {
                if self.name == "opus" {
                    out.extend_from_slice(&(bytes as u16).to_be_bytes());
                }
                out.extend_from_slice(&payload[..bytes]);
            }
        }
        out.extend(serial_words.iter().flat_map(|word| word.to_le_bytes()));
        let not_sent = if silent > 0 { format!(", {silent} not sent") } else { String::new() };
        Ok((out, format!("{frames} frames{not_sent}")))
    }

    fn decode(&self, bytes: &[u8], serial: bool) -> Result<Vec<i16>, String> {
        if serial && self.is_g729 {
            let mut decoder = g729::Decoder::new(self.variant);
            let mut samples = Vec::new();
            for frame in serial::read(&words(bytes)) {
                let mut out = [0; 80];
                decoder.decode_frame(&frame, &mut out);
                samples.extend_from_slice(&out);
            }
            return Ok(samples);
        }
        let mut decoder = self.decoder.borrow_mut();
        let mut samples = Vec::new();
        for (index, payload) in self.payloads(bytes)?.into_iter().enumerate() {
            let mut out = vec![0; decoder.max_samples(payload.len()).max(self.frame.0)];
            let count = if payload.is_empty() {
                decoder.conceal(&mut out[..self.frame.0])
            } else {
                decoder.decode(payload, &mut out).map_err(|error| format!("frame {index}: {error}"))?
            };
            samples.extend_from_slice(&out[..count]);
        }
        Ok(samples)
    }

    /// A file of packed payloads, cut into them.
    fn payloads<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, String> {
        if self.name != "opus" {
            return Ok(bytes.chunks(self.frame.1).collect());
        }
        let (mut rest, mut payloads) = (bytes, Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (payload, after) = after.split_at_checked(length).ok_or("the file ends within a packet")?;
            payloads.push(payload);
            rest = after;
        }
        Ok(payloads)
    }

    /// G.729's two formats into each other.
    fn repack(&self, bytes: &[u8], from_serial: bool, to_serial: bool) -> Result<(Vec<u8>, String), String> {
        if !self.is_g729 || from_serial == to_serial {
            return Err("there is nothing to convert between these two".into());
        }
        let mut out = Vec::new();
        if from_serial {
            let (mut packed, mut left_out) = (0, 0);
            for frame in serial::read(&words(bytes)) {
                match frame {
                    SerialFrame::Speech(payload) => out.extend_from_slice(&payload),
                    SerialFrame::Silence(payload) => out.extend_from_slice(&payload),
                    _ => {
                        left_out += 1;
                        continue;
                    }
                }
                packed += 1;
            }
            return Ok((
                out,
                format!("{packed} frames, {left_out} erased or not sent and so not in the packed file"),
            ));
        }
        let mut serial_words = Vec::new();
        for payload in bytes.chunks(10) {
            serial::write(payload, true, &mut serial_words);
        }
        out.extend(serial_words.iter().flat_map(|word| word.to_le_bytes()));
        Ok((out, format!("{} frames", bytes.len().div_ceil(10))))
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

fn as_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// WAV as far as this program needs it, so that it builds without the crate's `wav` feature.
mod wav {
    use denwa_codecs::resample::Resampler;

    pub(super) fn read(bytes: &[u8], rate: u32) -> Result<Vec<i16>, String> {
        let (Some(b"RIFF"), Some(b"WAVE")) = (bytes.get(..4), bytes.get(8..12)) else {
            return Err("no WAV file".into());
        };
        let (mut rest, mut format) = (&bytes[12..], None);
        while let Some((head, after)) = rest.split_first_chunk::<8>() {
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let body = &after[..size.min(after.len())];
            match &head[..4] {
                b"fmt " if body.len() >= 16 => {
                    let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
                    format = Some((
                        word(0),
                        usize::from(word(2)),
                        u32::from(word(4)) | u32::from(word(6)) << 16,
                        word(14),
                    ));
                }
                b"data" => {
                    let Some((1 | 0xfffe, channels @ 1.., file_rate, 16)) = format else {
                        return Err("a WAV file that is not 16-bit linear".into());
                    };
                    let samples: Vec<i16> =
                        super::words(body).chunks(channels).map(|all| all[0].cast_signed()).collect();
                    return convert(&samples, file_rate, rate);
                }
                _ => {}
            }
            rest = after.get(size + size % 2..).unwrap_or_default();
        }
        Err("a WAV file without samples".into())
    }

    fn convert(samples: &[i16], from: u32, to: u32) -> Result<Vec<i16>, String> {
        let mut resampler = Resampler::new(from, to).map_err(|error| error.to_string())?;
        let mut out = vec![0; resampler.max_output(samples.len())];
        let count = resampler.convert(samples, &mut out);
        out.truncate(count);
        Ok(out)
    }

    pub(super) fn write(samples: &[i16], rate: u32) -> Vec<u8> {
        let size = samples.len() as u32 * 2;
        let mut out = Vec::from(*b"RIFF");
        out.extend_from_slice(&(36 + size).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&rate.to_le_bytes());
        out.extend_from_slice(&(rate * 2).to_le_bytes());
        out.extend_from_slice(b"\x02\0\x10\0data");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend(super::as_bytes(samples));
        out
    }
}
