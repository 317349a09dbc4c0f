//! Test signals, and the verdict on a recording: does it hold what was sent, how late, with how many gaps?
//!
//! A signal is speech-like (gliding harmonics under a syllable envelope, with bursts of noise) and made from
//! a seed, so that two of them cannot be mistaken for each other. [`compare`] finds the reference piece by piece with
//! normalised cross-correlation, which does not mind the codec's rounding, a gain, or slips of a jitter buffer.

use std::{f64::consts::TAU, path::Path};

/// Samples a second of every signal here.
pub const RATE: u32 = 8_000;
/// A 20 ms frame in samples.
const FRAME: usize = 160;
/// The pieces in which the reference is looked for: 400 ms.
const PIECE: usize = 3_200;
/// How far a piece may lie from where the last one was found: 250 ms.
const SLACK: usize = 2_000;

/// What [`compare`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Share of the reference's active 20 ms frames that the recording lacks, 0 to 1.
    pub gaps: f64,
    /// From the start of the recording to where the start of the reference lies in it, in milliseconds; it
    /// includes the time from the recording's start to the answer. Negative when the beginning was cut off.
    pub delay_ms: f64,
    /// The earliest and the latest delay of a piece, relative to the median, in milliseconds: slips of jitter buffers.
    pub spread_ms: f64,
    /// Median correlation of the pieces, 0 to 1.
    pub correlation: f64,
}

/// A speech-like signal: half a second of silence, `seconds` of sound, half a second of silence.
#[must_use]
pub fn signal(seed: u32, seconds: u32) -> Vec<i16> {
    let mut random = Random(seed.wrapping_mul(2_654_435_761).max(1));
    let half = RATE as usize / 2;
    let mut out = vec![0; half];
    let total = (seconds * RATE) as usize;
    let (mut phase, mut position) = (0.0, 0);
    while position < total {
        // One syllable: 120–320 ms with its own pitch glide, colour and loudness.
        let length = 960 + (random.next() % 1_600) as usize;
        let (from, to) = (90.0 + random.unit() * 160.0, 90.0 + random.unit() * 160.0);
        let weights: Vec<f64> = (0..12).map(|_| random.unit()).collect();
        let noise = random.unit() * 0.25;
        let loudness = 2_500.0 + random.unit() * 4_000.0;
        for step in 0..length.min(total - position) {
            let at = step as f64 / length as f64;
            phase += (from + (to - from) * at) / f64::from(RATE);
            let voice: f64 = weights
                .iter()
                .enumerate()
                .map(|(harmonic, weight)| weight * (TAU * phase * (harmonic + 1) as f64).sin())
                .sum::<f64>()
                / 4.0;
            let envelope = 0.25 + 0.75 * (at * TAU / 2.0).sin();
            let sample = loudness * envelope * (voice + noise * (random.unit() * 2.0 - 1.0));
            out.push(sample.clamp(-32_000.0, 32_000.0) as i16);
        }
        position += length;
    }
    out.truncate(half + total);
    out.extend(vec![0; half]);
    out
}

/// A sine of `hertz` with the given peak.
#[must_use]
pub fn tone(hertz: f64, peak: f64, seconds: u32) -> Vec<i16> {
    (0..seconds * RATE)
        .map(|n| (peak * (TAU * hertz * f64::from(n) / f64::from(RATE)).sin()) as i16)
        .collect()
}

/// How much of a sound is a tone of `hertz`: 1 when it is nothing else. Pieces of 100 ms are looked at each by itself, so slips of a
/// jitter buffer do not matter.
#[must_use]
pub fn share_of_tone(sound: &[i16], hertz: f64) -> f64 {
    let (mut found, mut all) = (0.0, 0.0);
    for piece in sound.chunks_exact(RATE as usize / 10) {
        let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
        for (n, sample) in piece.iter().enumerate() {
            let (angle, sample) = (TAU * hertz * n as f64 / f64::from(RATE), f64::from(*sample));
            real += sample * angle.cos();
            imaginary += sample * angle.sin();
            power += sample * sample;
        }
        found += 2.0 * (real * real + imaginary * imaginary) / piece.len() as f64;
        all += power;
    }
    if all < 1.0 { 0.0 } else { found / all }
}

/// Writes 8 kHz mono 16-bit WAV.
///
/// # Panics
/// When the file cannot be written.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("the folder is writable");
    for sample in samples {
        writer.write_sample(*sample).expect("the folder is writable");
    }
    writer.finalize().expect("the folder is writable");
}

/// Reads a 16-bit WAV, its first channel, at 8 kHz; a file whose writer was ended before it filled in the sizes
/// is read to its end. Of a file at a higher rate the samples at 8 kHz are taken, between two of its own where need be:
/// signals of ours have nothing above 4 kHz.
///
/// # Panics
/// When it is not such a file.
#[must_use]
pub fn read_wav(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    assert!(bytes.len() >= 12 && &bytes[..4] == b"RIFF", "{} is not a WAV file", path.display());
    let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (mut at, mut channels, mut rate) = (12, 1, RATE);
    while at + 8 <= bytes.len() {
        let size = u32::from(word(at + 4)) | u32::from(word(at + 6)) << 16;
        let end = at.saturating_add(8).saturating_add(size as usize);
        match &bytes[at..at + 4] {
            b"fmt " => {
                channels = usize::from(word(at + 10).max(1));
                rate = u32::from(word(at + 12)) | u32::from(word(at + 14)) << 16;
                assert_eq!((rate < RATE, word(at + 22)), (false, 16), "{}: {rate} Hz, bits", path.display());
            }
            b"data" => {
                let stop = if size == 0 || end > bytes.len() { bytes.len() } else { end };
                let samples: Vec<i16> = bytes[at + 8..stop]
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                let samples: Vec<i16> = samples.into_iter().step_by(channels).collect();
                return at_our_rate(&samples, rate);
            }
            _ => {}
        }
        at = end + (size as usize & 1);
    }
    panic!("{} has no samples", path.display());
}

/// As [`read_wav`], of a file that is being written: nothing as long as there is nothing of it. `rate` is that of a file whose head
/// is written last of all.
#[must_use]
pub fn read_growing_wav(path: &Path, rate: u32) -> Vec<i16> {
    /// Of a head as everybody writes it.
    const HEAD: usize = 44;
    let bytes = std::fs::read(path).unwrap_or_default();
    match bytes.get(HEAD..) {
        None | Some([]) => Vec::new(),
        Some(samples) if bytes.starts_with(&[0; HEAD]) => {
            let samples: Vec<i16> =
                samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
            at_our_rate(&samples, rate)
        }
        Some(_) => read_wav(path),
    }
}

fn at_our_rate(samples: &[i16], rate: u32) -> Vec<i16> {
    let step = f64::from(rate) / f64::from(RATE);
    let count = (samples.len() as f64 / step) as usize;
    let between = |place: f64| {
        let (first, share) = (place as usize, place.fract());
        let second = samples.get(first + 1).or(samples.last()).copied().unwrap_or_default();
        (f64::from(samples[first]) * (1.0 - share) + f64::from(second) * share).round() as i16
    };
    (0..count).map(|n| between(n as f64 * step)).collect()
}

/// Looks for `sent` in `received`. `None` when it is not there.
#[must_use]
pub fn compare(sent: &[i16], received: &[i16]) -> Option<Verdict> {
    let peak = sent.chunks(FRAME).map(energy).fold(0.0, f64::max);
    let active = |frame: &[i16]| energy(frame) > peak * 1e-3;
    let pieces: Vec<usize> = (0..sent.len().saturating_sub(PIECE))
        .step_by(PIECE / 2)
        .filter(|&at| {
            sent[at..at + PIECE].chunks(FRAME).filter(|frame| active(frame)).count() > PIECE / FRAME / 2
        })
        .collect();
    // The first piece that is there at all tells where to look for the others.
    let anchor = pieces.iter().find_map(|&at| {
        let (lag, quality) = search(&sent[at..at + PIECE], received, 0, received.len())?;
        (quality > 0.8).then(|| offset(lag, at))
    })?;
    let mut lag = anchor;
    let mut found = Vec::new();
    let mut lags = Vec::with_capacity(pieces.len());
    for &at in &pieces {
        let centre = usize::try_from(lag + at as i64).unwrap_or(0);
        let hit =
            search(&sent[at..at + PIECE], received, centre.saturating_sub(SLACK), centre + SLACK + PIECE);
        if let Some((place, quality)) = hit.filter(|hit| hit.1 > 0.6) {
            lag = offset(place, at);
            found.push((lag, quality));
        }
        lags.push((at, lag));
    }
    let (mut total, mut missing) = (0u32, 0u32);
    for (number, frame) in sent.chunks_exact(FRAME).enumerate().filter(|(_, frame)| active(frame)) {
        let at = number * FRAME;
        total += 1;
        // A jitter buffer may slip inside a piece: a frame is there when one of its neighbourhood's lags shows it.
        let near = lags.iter().filter(|(piece, _)| piece.abs_diff(at) <= PIECE * 2).map(|(_, lag)| *lag);
        let there = near.chain([anchor]).any(|lag| {
            usize::try_from(lag + at as i64).is_ok_and(|place| {
                received.get(place..place + FRAME).is_some_and(|other| correlation(frame, other) > 0.8)
            })
        });
        missing += u32::from(!there);
    }
    let mut order: Vec<i64> = found.iter().map(|(lag, _)| *lag).collect();
    order.sort_unstable();
    let mut qualities: Vec<f64> = found.iter().map(|(_, quality)| *quality).collect();
    qualities.sort_unstable_by(f64::total_cmp);
    let ms = 1_000.0 / f64::from(RATE);
    Some(Verdict {
        gaps: f64::from(missing) / f64::from(total.max(1)),
        delay_ms: *order.get(order.len() / 2)? as f64 * ms,
        spread_ms: (order.last()? - order.first()?) as f64 * ms,
        correlation: *qualities.get(qualities.len() / 2)?,
    })
}

/// How alike `received` is to `sent` in its loudness, 10 ms by 10 ms, at the delay where they fit best: 1 when it is the same, about 0
/// for another signal. For codecs that keep no waveform, and players that stretch what they play a little.
#[must_use]
pub fn likeness(sent: &[i16], received: &[i16]) -> f64 {
    let loudness = |signal: &[i16]| -> Vec<f64> {
        let energy =
            |frame: &[i16]| frame.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / FRAME as f64;
        signal.chunks_exact(FRAME / 2).map(|frame| (energy(frame) + 100.0).ln()).collect()
    };
    // Longer than a syllable and shorter than what a player slips by: each stretch is looked for by itself.
    const STRETCH: usize = 100;
    let (sent, received) = (loudness(sent), loudness(received));
    let stretches: Vec<f64> = sent
        .chunks_exact(STRETCH)
        .map(|stretch| {
            received.windows(STRETCH).map(|window| loudness_correlation(stretch, window)).fold(0.0, f64::max)
        })
        .collect();
    let mut sorted = stretches;
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn loudness_correlation(one: &[f64], other: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left, right) = (mean(one), mean(other));
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other) {
        both += (a - left) * (b - right);
        first += (a - left).powi(2);
        second += (b - right).powi(2);
    }
    if first < 1e-9 || second < 1e-9 { 0.0 } else { both / (first * second).sqrt() }
}

/// Asserts that `received` holds `sent` with at most one frame in a hundred missing, and not `other`; prints the delay.
///
/// # Panics
/// When it does not.
pub fn assert_heard(label: &str, sent: &[i16], received: &[i16], other: Option<&[i16]>) -> Verdict {
    let Some(verdict) = compare(sent, received) else {
        panic!(
            "{label}: the recording of {} ms does not hold what was sent",
            received.len() * 1000 / RATE as usize
        );
    };
    println!(
        "{label}: delay {:.0} ms, gaps {:.2} %, spread {:.0} ms, correlation {:.3}",
        verdict.delay_ms,
        verdict.gaps * 100.0,
        verdict.spread_ms,
        verdict.correlation
    );
    assert!(verdict.gaps <= 0.01, "{label}: {:.2} % of what was sent is missing", verdict.gaps * 100.0);
    assert!(verdict.correlation > 0.95, "{label}: distorted, correlation {:.3}", verdict.correlation);
    if let Some(other) = other {
        let wrong = compare(other, received).is_some_and(|wrong| wrong.gaps < 0.5);
        assert!(!wrong, "{label}: the recording holds the other end's signal");
    }
    verdict
}

/// The share of a recording's power at `hertz`, 0 to 1, and its level in dB relative to full scale.
#[must_use]
pub fn tone_share(samples: &[i16], hertz: f64) -> (f64, f64) {
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (value, angle) = (f64::from(*sample), TAU * hertz * n as f64 / f64::from(RATE));
        real += value * angle.cos();
        imaginary += value * angle.sin();
        power += value * value;
    }
    let count = samples.len().max(1) as f64;
    let at_tone = 2.0 * (real * real + imaginary * imaginary) / count;
    let mean = power / count;
    (at_tone / power.max(1.0), 10.0 * (mean.max(1e-9) / (32_768.0 * 32_768.0 / 2.0)).log10())
}

/// Where `piece` fits best in `received[from..to]`, and how well.
fn search(piece: &[i16], received: &[i16], from: usize, to: usize) -> Option<(usize, f64)> {
    let window = received.get(from..to.min(received.len()))?;
    let own: f64 = energy(piece);
    let (piece, window): (Vec<f32>, Vec<f32>) = (waves(piece), waves(window));
    let mut power: f64 = window.iter().take(piece.len()).map(|it| f64::from(*it).powi(2)).sum();
    let mut best: Option<(usize, f64)> = None;
    for (at, candidate) in window.windows(piece.len()).enumerate() {
        let quality =
            if power < 0.5 || own < 0.5 { 0.0 } else { product(&piece, candidate) / (own * power).sqrt() };
        if best.is_none_or(|(_, so_far)| quality > so_far) {
            best = Some((from + at, quality));
        }
        let next = window.get(at + piece.len()).copied().unwrap_or_default();
        power += f64::from(next).powi(2) - f64::from(candidate[0]).powi(2);
    }
    best
}

fn waves(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|sample| f32::from(*sample)).collect()
}

/// The sum of the products, in lanes that a processor takes at once.
fn product(left: &[f32], right: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    for (a, b) in left.chunks_exact(LANES).zip(right.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest = left.len() - left.len() % LANES;
    let tail: f32 = left[rest..].iter().zip(&right[rest..]).map(|(a, b)| a * b).sum();
    f64::from(sums.iter().sum::<f32>() + tail)
}

fn correlation(left: &[i16], right: &[i16]) -> f64 {
    let (mut product, mut one, mut two) = (0i64, 0i64, 0i64);
    for (a, b) in left.iter().zip(right) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        product += a * b;
        one += a * a;
        two += b * b;
    }
    if one == 0 || two == 0 { 0.0 } else { product as f64 / ((one as f64) * (two as f64)).sqrt() }
}

fn energy(frame: &[i16]) -> f64 {
    frame.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}

fn offset(place: usize, at: usize) -> i64 {
    place as i64 - at as i64
}

/// A small generator: test signals need no unguessable numbers.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn unit(&mut self) -> f64 {
        f64::from(self.next()) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_tells_one_signal_from_another() {
        let (one, other) = (signal(5, 6), signal(6, 6));
        let quieter: Vec<i16> = vec![0; 3000].into_iter().chain(one.iter().map(|it| it / 3)).collect();
        assert!(likeness(&one, &quieter) > 0.95);
        assert!(likeness(&one, &other) < 0.8, "{}", likeness(&one, &other));
        assert!(likeness(&one, &[]) < 0.01);
    }

    #[test]
    fn a_tone_is_told_from_another() {
        let (low, high) = (tone(520.0, 6_000.0, 1), tone(1_800.0, 6_000.0, 1));
        assert!(share_of_tone(&low, 520.0) > 0.99 && share_of_tone(&low, 1_800.0) < 0.01);
        let both: Vec<i16> = low.iter().zip(&high).map(|(one, other)| one / 2 + other / 2).collect();
        assert!((share_of_tone(&both, 520.0) - 0.5).abs() < 0.02);
        assert_eq!(share_of_tone(&[0; 8_000], 520.0), 0.0);
    }

    #[test]
    fn a_delayed_copy_is_found() {
        let sent = signal(1, 3);
        let mut received = vec![0; 777];
        received.extend(sent.iter().map(|sample| sample / 2));
        let verdict = compare(&sent, &received).unwrap();
        assert_eq!(verdict.gaps, 0.0);
        assert!((verdict.delay_ms - 97.1).abs() < 0.2, "{verdict:?}");
    }

    #[test]
    fn another_signal_is_not_found() {
        let verdict = compare(&signal(1, 3), &signal(2, 3));
        assert!(verdict.is_none_or(|verdict| verdict.gaps > 0.5), "{verdict:?}");
    }

    #[test]
    fn a_hole_is_counted() {
        let sent = signal(1, 3);
        let mut received = sent.clone();
        received[8_000..8_000 + 10 * FRAME].fill(0);
        let verdict = compare(&sent, &received).unwrap();
        assert!((0.05..0.08).contains(&verdict.gaps), "{verdict:?}");
    }

    #[test]
    fn a_slip_is_no_gap() {
        let sent = signal(1, 3);
        let mut received = sent[..12_000].to_vec();
        received.extend(&sent[11_840..]);
        let verdict = compare(&sent, &received).unwrap();
        assert!(verdict.gaps <= 0.01 && verdict.spread_ms >= 20.0, "{verdict:?}");
    }
}
