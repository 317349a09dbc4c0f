//! Converts between samples and a codec's bits, either way, by file name:
//!
//! ```text
//! cargo run -p denwa-codecs --example transcode -- --codec CODEC [--dtx] IN OUT
//! ```
//!
//! `.raw`, `.in`, `.pst`, `.out`, `.bin` are 16-bit little-endian samples at the codec's rate; `.wav` is WAV of any kind and
//! rate, and is written with 16 bits at the codec's; `.bit` is the ITU serial format of G.729 (or plain frames for the
//! other codecs); `.g729`, `.g722`, `.ilbc`, `.gsm`, `.g726`, `.al`, `.ul` are packed payloads. Erased frames (serial frames
//! that say so, iLBC's empty ones, those that no encoder makes) are concealed. From samples to samples goes there and back.
//!
//! CODEC is `g729` (main-body decoder), `g729a`, `pcma`, `pcmu`, `g722`, `g722-56`, `g722-48`, `ilbc20`, `ilbc30`, `gsm`,
//! `g726-16` to `g726-40`, `aal2-g726-16` to `-40`, `l16`; with the feature `opus`, `opus` (whose packets are preceded by
//! their length, as no file format is asked for here). `--dtx` turns Annex B on; a packed file does not tell where frames
//! begin that differ in length, so what was encoded so can be decoded from `.bit` alone. Encoding with `g729` makes Annex
//! A's bits, which any G.729 decoder reads. What is left over at the end of a file and makes no frame is told and left out.

mod codec;
mod wav;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use codec::Codec;

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

fn run(mut arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let usage = "usage: transcode --codec CODEC [--dtx] IN OUT";
    let (mut codec, mut dtx, mut files) = (None, false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--codec" => codec = Some(arguments.next().ok_or(usage)?),
            "--dtx" => dtx = true,
            _ if argument.starts_with("--") => return Err(format!("{argument} is not known; {usage}")),
            _ => files.push(argument),
        }
    }
    let (Some(codec), [from, to]) = (codec, &files[..]) else { return Err(usage.into()) };
    let mut codec = Codec::named(&codec, dtx)?;
    let (from_kind, to_kind) = (Kind::of(from)?, Kind::of(to)?);
    let bytes = fs::read(from).map_err(|error| format!("{from}: {error}"))?;
    let serial = from_kind == Kind::Serial;
    let samples = match from_kind {
        Kind::Samples => Some(words(&bytes).into_iter().map(u16::cast_signed).collect()),
        Kind::Wav => Some(wav::read(&bytes, codec.sample_rate_hz).map_err(|what| format!("{from}: {what}"))?),
        Kind::Packed | Kind::Serial => None,
    };
    let (out, sentence) = match (samples, to_kind) {
        (Some(samples), Kind::Packed | Kind::Serial) => codec.encode(&samples, to_kind == Kind::Serial)?,
        (None, Kind::Samples | Kind::Wav) => {
            let decoded = codec.decode(&bytes, serial).map_err(|what| format!("{from}: {what}"))?;
            written(decoded, to_kind, codec.sample_rate_hz)
        }
        (Some(samples), Kind::Samples | Kind::Wav) => {
            // There and back again, to hear what the codec does.
            let (bits, _) = codec.encode(&samples, codec.is_g729())?;
            let decoded = codec.decode(&bits, codec.is_g729())?;
            written(decoded, to_kind, codec.sample_rate_hz)
        }
        (None, Kind::Packed | Kind::Serial) => codec.repack(&bytes, serial, to_kind == Kind::Serial)?,
    };
    fs::write(to, out).map_err(|error| format!("{to}: {error}"))?;
    Ok(format!("{from} -> {to}: {sentence}"))
}

fn written((samples, sentence): (Vec<i16>, String), kind: Kind, rate: u32) -> (Vec<u8>, String) {
    let out = if kind == Kind::Wav { wav::write(&samples, rate) } else { as_bytes(&samples) };
    (out, sentence)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Samples,
    Wav,
    Packed,
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
            "g729" | "g722" | "ilbc" | "gsm" | "g726" | "al" | "ul" | "l16" | "opus" => Ok(Self::Packed),
            _ => Err(format!(
                "{file}: what is it? .raw .in .pst .out .bin .wav .bit .g729 .g722 .ilbc .gsm .g726 .al .ul are known"
            )),
        }
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

fn as_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
