//! WAV files, for prompts and recordings, by the `hound` crate.
//!
//! Reading takes 8 to 32 bits and floats, mixes all channels into one and gives 16-bit samples at the file's rate;
//! writing is 16 bits, one channel or two (the two directions of a call).

use std::io::{Read, Seek, Write};

use alloc::vec::Vec;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// Not a WAV file, or one of a kind that is not read, or the file system said no.
    #[error("WAV: {0}")]
    File(#[from] hound::Error),
    /// More channels than make sense.
    #[error("WAV: {0} channels; 1 to 8 would do")]
    Channels(u16),
}

/// Samples of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// In Hz.
    pub sample_rate_hz: u32,
    /// 16-bit linear.
    pub samples: Vec<i16>,
}

/// Reads a whole file into one channel.
///
/// # Errors
/// [`WavError`].
pub fn read(from: impl Read) -> Result<Sound, WavError> {
    let mut reader = hound::WavReader::new(from)?;
    let spec = reader.spec();
    if !(1..=8).contains(&spec.channels) {
        return Err(WavError::Channels(spec.channels));
    }
    let samples: Vec<i16> = match spec.sample_format {
        hound::SampleFormat::Float => {
            let scaled = reader.samples::<f32>().map(|s| s.map(|s| (s * 32_768.0) as i16));
            scaled.collect::<Result<_, _>>()?
        }
        hound::SampleFormat::Int => {
            let bits = spec.bits_per_sample;
            let scaled = reader
                .samples::<i32>()
                .map(|s| s.map(|s| if bits <= 16 { s << (16 - bits) } else { s >> (bits - 16) } as i16));
            scaled.collect::<Result<_, _>>()?
        }
    };
    let channels = usize::from(spec.channels);
    let samples = if channels == 1 {
        samples
    } else {
        samples
            .chunks_exact(channels)
            .map(|all| (all.iter().map(|s| i32::from(*s)).sum::<i32>() / i32::from(spec.channels)) as i16)
            .collect()
    };
    Ok(Sound { sample_rate_hz: spec.sample_rate, samples })
}

/// Writes a recording as it grows. The header is right after [`Recorder::finish`], and after each [`Recorder::flush`]
/// for what was written until then, so that a crash loses seconds and not the file.
pub struct Recorder<W: Write + Seek> {
    writer: hound::WavWriter<W>,
}

impl<W: Write + Seek> core::fmt::Debug for Recorder<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorder").field("spec", &self.writer.spec()).finish()
    }
}

impl<W: Write + Seek> Recorder<W> {
    /// A recording of `channels` channels.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn new(to: W, sample_rate_hz: u32, channels: u16) -> Result<Self, WavError> {
        if !(1..=8).contains(&channels) {
            return Err(WavError::Channels(channels));
        }
        let spec = hound::WavSpec {
            channels,
            sample_rate: sample_rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        Ok(Self { writer: hound::WavWriter::new(to, spec)? })
    }

    /// Appends samples, those of several channels in turn.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        for sample in samples {
            self.writer.write_sample(*sample)?;
        }
        Ok(())
    }

    /// Makes the file whole as far as it goes.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn flush(&mut self) -> Result<(), WavError> {
        Ok(self.writer.flush()?)
    }

    /// Makes the file whole.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn finish(self) -> Result<(), WavError> {
        Ok(self.writer.finalize()?)
    }
}
