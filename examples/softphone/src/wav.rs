//! WAV files: 16 bits, one channel, 8000 samples a second.

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::path::Path;

/// Samples a second of the files this telephone plays and records.
pub const SAMPLE_RATE_HZ: u32 = 8000;

/// Reads a file to be said.
///
/// # Errors
/// One sentence that says what is wrong with it.
pub fn read(path: &Path) -> Result<Vec<i16>, String> {
    let place = path.display();
    let mut reader = WavReader::open(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    let spec = reader.spec();
    if spec.sample_rate != SAMPLE_RATE_HZ {
        return Err(format!("{place} has {} samples a second: expected {SAMPLE_RATE_HZ}", spec.sample_rate));
    }
    if spec.channels != 1 {
        return Err(format!("{place} has {} channels: expected one", spec.channels));
    }
    if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(format!(
            "{place} has samples of {} bits: expected whole numbers of 16 bits",
            spec.bits_per_sample
        ));
    }
    reader.samples::<i16>().collect::<Result<_, _>>().map_err(|error| format!("cannot read {place}: {error}"))
}

/// Writes what was heard.
///
/// # Errors
/// One sentence that says why it could not be written.
pub fn write(path: &Path, samples: &[i16]) -> Result<(), String> {
    let failed = |error| format!("cannot write {}: {error}", path.display());
    let spec = WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).map_err(failed)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)
}
