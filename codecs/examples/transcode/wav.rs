//! WAV as far as this program needs it, so that it builds without the crate's `wav` feature: linear of 8 to 64 bits, floats,
//! and companded; several channels become one.

use denwa_codecs::g711::Law;
use denwa_codecs::resample::Resampler;

/// How samples stand in a file.
#[derive(Clone, Copy)]
struct Format {
    /// 1 is linear, 3 floats, 6 A-law, 7 mu-law.
    kind: u16,
    channels: usize,
    rate: u32,
    bytes: usize,
}

/// The samples of a file at `rate`.
pub(super) fn read(bytes: &[u8], rate: u32) -> Result<Vec<i16>, String> {
    let (Some(b"RIFF" | b"RF64"), Some(b"WAVE")) = (bytes.get(..4), bytes.get(8..12)) else {
        return Err("no WAV file".into());
    };
    let (mut rest, mut format) = (&bytes[12..], None);
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = &after[..size.min(after.len())];
        match &head[..4] {
            b"fmt " if body.len() >= 16 => {
                let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
                let is_extensible = word(0) == 0xfffe && body.len() >= 26;
                format = Some(Format {
                    kind: if is_extensible { word(24) } else { word(0) },
                    channels: usize::from(word(2)),
                    rate: u32::from(word(4)) | u32::from(word(6)) << 16,
                    bytes: usize::from(word(14).div_ceil(8)),
                });
            }
            b"data" => {
                let format = format.ok_or("a WAV file whose samples come before their format")?;
                return convert(&samples(body, format)?, format.rate, rate);
            }
            _ => {}
        }
        rest = after.get(size + size % 2..).unwrap_or_default();
    }
    Err("a WAV file without samples".into())
}

fn samples(body: &[u8], format: Format) -> Result<Vec<i16>, String> {
    let Format { kind, channels, bytes, .. } = format;
    let one: fn(&[u8]) -> i16 = match (kind, bytes) {
        (1, 1) => |s| i16::from(s[0].wrapping_sub(128).cast_signed()) << 8,
        // The two most significant bytes come last.
        (1, 2..=8) => |s| i16::from_le_bytes([s[s.len() - 2], s[s.len() - 1]]),
        (3, 4) => |s| (f32::from_le_bytes([s[0], s[1], s[2], s[3]]) * 32_768.0).round() as i16,
        (3, 8) => |s| s.try_into().map_or(0, |s| (f64::from_le_bytes(s) * 32_768.0).round() as i16),
        (6, 1) => |s| Law::A.decode(s[0]),
        (7, 1) => |s| Law::Mu.decode(s[0]),
        _ => return Err(format!("a WAV file of kind {kind} with {} bits", bytes * 8)),
    };
    if channels == 0 {
        return Err("a WAV file without channels".into());
    }
    let mixed = body.chunks_exact(bytes * channels).map(|all| {
        let sum: i32 = all.chunks_exact(bytes).map(|sample| i32::from(one(sample))).sum();
        (sum / channels as i32) as i16
    });
    Ok(mixed.collect())
}

/// To another rate, as long as before and not late.
fn convert(samples: &[i16], from: u32, to: u32) -> Result<Vec<i16>, String> {
    if from == to {
        return Ok(samples.to_vec());
    }
    let mut resampler = Resampler::new(from, to).map_err(|error| error.to_string())?;
    let late = resampler.delay_seconds() * f64::from(to);
    // So much silence in front that what is cut off afterwards is a whole number of samples, if there is such a number.
    let delayed = |silence: usize| late + silence as f64 * f64::from(to) / f64::from(from);
    let astray = |silence: usize| (delayed(silence) - delayed(silence).round()).abs();
    let silence = (0..1_000).min_by(|a, b| (astray(*a) + 1e-9).total_cmp(&astray(*b))).unwrap_or(0);
    let mut padded = vec![0; silence];
    padded.extend_from_slice(samples);
    padded.resize(padded.len() + (late * f64::from(from) / f64::from(to)).ceil() as usize, 0);
    let mut out = vec![0; resampler.max_output(padded.len())];
    let count = resampler.convert(&padded, &mut out);
    out.truncate(count);
    out.drain(..(delayed(silence).round() as usize).min(count));
    Ok(out)
}

/// One channel of 16 bits.
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
