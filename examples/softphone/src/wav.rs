//! WAV files: played at whatever rate the telephone works at, recorded at it.

use denwa_codecs::resample::Resampler;
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::path::Path;

/// Reads a file to be said, at `rate_hz` samples a second; of several channels the first.
///
/// # Errors
/// One sentence that says what is wrong with it.
pub fn read(path: &Path, rate_hz: u32) -> Result<Vec<i16>, String> {
    let place = path.display();
    let mut reader = WavReader::open(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    let spec = reader.spec();
    if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(format!(
            "{place} has samples of {} bits: expected whole numbers of 16 bits",
            spec.bits_per_sample
        ));
    }
    let all = reader.samples::<i16>().step_by(usize::from(spec.channels.max(1)));
    let samples: Vec<i16> =
        all.collect::<Result<_, _>>().map_err(|error| format!("cannot read {place}: {error}"))?;
    if spec.sample_rate == rate_hz {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(spec.sample_rate, rate_hz).map_err(|_| {
        format!("{place} has {} samples a second, which cannot be made {rate_hz}", spec.sample_rate)
    })?;
    let mut out = vec![0; resampler.max_output(samples.len())];
    let length = resampler.convert(&samples, &mut out);
    out.truncate(length);
    Ok(out)
}

/// Writes what was heard.
///
/// # Errors
/// One sentence that says why it could not be written.
pub fn write(path: &Path, samples: &[i16], rate_hz: u32) -> Result<(), String> {
    let failed = |error| format!("cannot write {}: {error}", path.display());
    let spec =
        WavSpec { channels: 1, sample_rate: rate_hz, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(path, spec).map_err(failed)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)
}
