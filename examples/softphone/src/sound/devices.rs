//! The system's devices through cpal: a thread of its own opens them, converts rates, and opens them again when they have
//! gone away.
//!
//! Between the devices' clocks and the telephone's stand two short queues. What is too much for them is dropped from the
//! front, so that nothing is ever late for long; what is missing is silence.

use super::{Part, SAMPLE_RATE_HZ, Signal, Sound, Trouble};
use crate::config::SoundConfig;
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, FromSample, SampleFormat, SizedSample, Stream, StreamConfig, SupportedBufferSize,
    SupportedStreamConfig,
};
use denwa_codecs::resample::Resampler;
use denwa_codecs::tone::plan::Plan;
use denwa_codecs::tone::{Generator, Sine, Tone};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Samples between two clocks.
#[derive(Debug)]
struct Queue {
    samples: Mutex<VecDeque<i16>>,
    most: usize,
}

impl Queue {
    fn of(most_ms: usize) -> Arc<Self> {
        let most = SAMPLE_RATE_HZ as usize / 1000 * most_ms;
        Arc::new(Self { samples: Mutex::new(VecDeque::with_capacity(most * 2)), most })
    }

    fn push(&self, new: &[i16]) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.extend(new);
        let surplus = samples.len().saturating_sub(self.most);
        samples.drain(..surplus);
    }

    /// Fills with what is there; how much that was.
    fn pop(&self, out: &mut [i16]) -> usize {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let length = samples.len().min(out.len());
        for (place, sample) in out.iter_mut().zip(samples.drain(..length)) {
            *place = sample;
        }
        length
    }

    fn length(&self) -> usize {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What waits to be played at most.
const HEARD_MS: usize = 160;

/// What waits to be said at most.
const SAID_MS: usize = 100;

/// What has to be there before playing begins again after it ran dry.
const REFILL_MS: usize = 40;

/// Devices that have gone away are looked for so often.
const RETRY: Duration = Duration::from_secs(2);

/// Microphone, loudspeaker and bell of the system.
pub struct Devices {
    heard: Arc<Queue>,
    said: Arc<Queue>,
    signal: Arc<AtomicU8>,
    troubles: Receiver<Trouble>,
    /// The thread ends when this is gone.
    _alive: Arc<()>,
}

impl Devices {
    /// Starts the thread; devices come when they can be opened.
    pub fn open(wanted: &SoundConfig) -> Self {
        let (heard, said) = (Queue::of(HEARD_MS), Queue::of(SAID_MS));
        let signal = Arc::new(AtomicU8::new(0));
        let (tell, troubles) = mpsc::channel();
        let alive = Arc::new(());
        let shared = Shared { heard: heard.clone(), said: said.clone(), signal: signal.clone() };
        let (wanted, wanted_by) = (wanted.clone(), Arc::downgrade(&alive));
        let run = move || serve(&wanted, &shared, &wanted_by, &tell);
        // Without the thread there is no sound, and the screen works all the same.
        let _ = std::thread::Builder::new().name("softphone-sound".to_owned()).spawn(run);
        Self { heard, said, signal, troubles, _alive: alive }
    }
}

impl Sound for Devices {
    fn hear(&mut self, samples: &[i16]) {
        self.heard.push(samples);
    }

    fn say(&mut self, samples: &mut [i16]) {
        let length = self.said.pop(samples);
        samples.iter_mut().skip(length).for_each(|sample| *sample = 0);
    }

    fn signal(&mut self, signal: Option<Signal>) {
        let number = match signal {
            None => 0,
            Some(Signal::RingBack) => 1,
            Some(Signal::Bell) => 2,
            Some(Signal::Waiting) => 3,
        };
        self.signal.store(number, Ordering::Relaxed);
    }

    fn trouble(&mut self) -> Option<Trouble> {
        self.troubles.try_recv().ok()
    }
}

/// What the streams share with the telephone.
#[derive(Clone)]
struct Shared {
    heard: Arc<Queue>,
    said: Arc<Queue>,
    signal: Arc<AtomicU8>,
}

/// A stream that runs, and how often it has.
struct Running {
    _stream: Stream,
    beats: Arc<AtomicU32>,
    /// As many as were counted last.
    counted: u32,
    /// How often in a row there were no more than before.
    missed: u32,
}

impl Running {
    /// Whether it has not run for a while: some devices die without a word.
    fn has_stopped(&mut self) -> bool {
        let beats = self.beats.load(Ordering::Relaxed);
        let stands = std::mem::replace(&mut self.counted, beats) == beats;
        self.missed = if stands { self.missed.saturating_add(1) } else { 0 };
        self.missed > 1
    }
}

/// Which streams are open, and by which names they are told of.
#[derive(Default)]
struct Open {
    input: Option<Running>,
    output: Option<Running>,
    ring: Option<Running>,
    /// What was told last of each, so that it is told once.
    said: [Option<Trouble>; 3],
}

/// Opens what is not open, again and again, until nobody wants sound any more.
fn serve(wanted: &SoundConfig, shared: &Shared, wanted_by: &Weak<()>, tell: &Sender<Trouble>) {
    let host = cpal::default_host();
    let (breaks, broken) = mpsc::channel::<(Part, String)>();
    let mut open = Open::default();
    while wanted_by.strong_count() > 0 {
        if open.input.is_none() {
            let found = find(host.input_devices().ok(), host.default_input_device(), wanted.input.as_deref());
            let stream = found.and_then(|device| input(&device, shared.said.clone(), breaks.clone()));
            open.input = note(stream, Part::Microphone, &mut open.said, tell);
        }
        if open.output.is_none() {
            let found =
                find(host.output_devices().ok(), host.default_output_device(), wanted.output.as_deref());
            let voice = Voice::new(shared, wanted.ring.is_none());
            let stream = found.and_then(|device| output(&device, voice, Part::Loudspeaker, breaks.clone()));
            open.output = note(stream, Part::Loudspeaker, &mut open.said, tell);
        }
        if let (None, Some(name)) = (&open.ring, wanted.ring.as_deref()) {
            let found = find(host.output_devices().ok(), None, Some(name));
            let stream =
                found.and_then(|device| output(&device, Voice::bell(shared), Part::Bell, breaks.clone()));
            open.ring = note(stream, Part::Bell, &mut open.said, tell);
        }
        match broken.recv_timeout(RETRY) {
            Ok((which, why)) => open.lose(which, &why, tell),
            Err(RecvTimeoutError::Timeout) => {
                for which in [Part::Microphone, Part::Loudspeaker, Part::Bell] {
                    if open.place(which).as_mut().is_some_and(Running::has_stopped) {
                        open.lose(which, "it stands still", tell);
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Open {
    fn place(&mut self, which: Part) -> &mut Option<Running> {
        match which {
            Part::Microphone => &mut self.input,
            Part::Loudspeaker => &mut self.output,
            Part::Bell => &mut self.ring,
        }
    }

    /// A stream is gone: it is closed and told of.
    fn lose(&mut self, which: Part, why: &str, tell: &Sender<Trouble>) {
        let Some(stream) = self.place(which).take() else { return };
        let trouble = Trouble::Gone(which, why.to_owned());
        self.said[which as usize] = Some(trouble.clone());
        let _ = tell.send(trouble);
        // Closing a dead device can take for ever.
        let _ = std::thread::Builder::new().name("softphone-burial".to_owned()).spawn(move || drop(stream));
    }
}

/// Tells what became of a stream, when that is news.
fn note(
    stream: Result<Running, String>,
    which: Part,
    said: &mut [Option<Trouble>; 3],
    tell: &Sender<Trouble>,
) -> Option<Running> {
    let before = &mut said[which as usize];
    match stream {
        Ok(stream) => {
            if before.take().is_some() {
                let _ = tell.send(Trouble::Back(which));
            }
            Some(stream)
        }
        Err(why) => {
            if before.is_none() {
                let trouble = Trouble::Missing(which, why);
                *before = Some(trouble.clone());
                let _ = tell.send(trouble);
            }
            None
        }
    }
}

/// The device whose name has this in it, or the one the system prefers.
fn find(
    all: Option<impl Iterator<Item = Device>>,
    preferred: Option<Device>,
    name: Option<&str>,
) -> Result<Device, String> {
    let Some(name) = name else { return preferred.ok_or_else(|| "the system has none".to_owned()) };
    let lower = name.to_lowercase();
    let has = |device: &Device| {
        let of = device.description().map(|description| description.to_string()).unwrap_or_default();
        let id = device.id().map(|id| id.to_string()).unwrap_or_default();
        of.to_lowercase().contains(&lower) || id.to_lowercase().contains(&lower)
    };
    all.and_then(|mut all| all.find(has)).ok_or_else(|| format!("no device has `{name}` in its name"))
}

/// What a stream says when it breaks; that it follows another device, or was late, is no break.
fn breaks_with(which: Part, breaks: Sender<(Part, String)>) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| {
        use cpal::ErrorKind::{DeviceNotAvailable, HostUnavailable, PermissionDenied, StreamInvalidated};
        let kind = error.kind();
        if matches!(kind, DeviceNotAvailable | HostUnavailable | PermissionDenied | StreamInvalidated) {
            let _ = breaks.send((which, error.to_string()));
        }
    }
}

/// The configuration with pieces of 20 ms, as near to that as the device allows: long pieces are late, and come at once.
fn in_short_pieces(supported: &SupportedStreamConfig) -> StreamConfig {
    let mut config = supported.config();
    if let SupportedBufferSize::Range { min, max } = supported.buffer_size()
        && min <= max
    {
        config.buffer_size = BufferSize::Fixed((config.sample_rate / 50).clamp(*min, *max));
    }
    config
}

/// A count of a stream's runs, for the stream and for who watches it.
fn heart() -> (Arc<AtomicU32>, Arc<AtomicU32>) {
    let beats = Arc::new(AtomicU32::new(0));
    (beats.clone(), beats)
}

fn input(device: &Device, said: Arc<Queue>, breaks: Sender<(Part, String)>) -> Result<Running, String> {
    let supported = device.default_input_config().map_err(|error| error.to_string())?;
    let (format, config) = (supported.sample_format(), in_short_pieces(&supported));
    match format {
        SampleFormat::F32 => input_of::<f32>(device, config, said, breaks),
        SampleFormat::I16 => input_of::<i16>(device, config, said, breaks),
        SampleFormat::I32 => input_of::<i32>(device, config, said, breaks),
        SampleFormat::U16 => input_of::<u16>(device, config, said, breaks),
        SampleFormat::U8 => input_of::<u8>(device, config, said, breaks),
        other => Err(format!("its samples are {other}, which are not understood here")),
    }
}

fn input_of<T: SizedSample + Send + 'static>(
    device: &Device,
    config: StreamConfig,
    said: Arc<Queue>,
    breaks: Sender<(Part, String)>,
) -> Result<Running, String>
where
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels).max(1);
    let mut resampler =
        Resampler::new(config.sample_rate, SAMPLE_RATE_HZ).map_err(|error| error.to_string())?;
    let (mut taken, mut converted) = (Vec::new(), Vec::new());
    let (beats, beat) = heart();
    let take = move |data: &[T], _: &cpal::InputCallbackInfo| {
        beat.fetch_add(1, Ordering::Relaxed);
        taken.clear();
        taken.extend(
            data.iter().step_by(channels).map(|sample| <i16 as FromSample<T>>::from_sample_(*sample)),
        );
        converted.resize(resampler.max_output(taken.len()), 0);
        let length = resampler.convert(&taken, &mut converted);
        said.push(converted.get(..length).unwrap_or(&[]));
    };
    let stream = device
        .build_input_stream(config, take, breaks_with(Part::Microphone, breaks), None)
        .map_err(|error| error.to_string())?;
    stream.play().map_err(|error| error.to_string())?;
    Ok(Running { _stream: stream, beats, counted: 0, missed: 0 })
}

fn output(
    device: &Device,
    voice: Voice,
    which: Part,
    breaks: Sender<(Part, String)>,
) -> Result<Running, String> {
    let supported = device.default_output_config().map_err(|error| error.to_string())?;
    let (format, config) = (supported.sample_format(), in_short_pieces(&supported));
    match format {
        SampleFormat::F32 => output_of::<f32>(device, config, voice, which, breaks),
        SampleFormat::I16 => output_of::<i16>(device, config, voice, which, breaks),
        SampleFormat::I32 => output_of::<i32>(device, config, voice, which, breaks),
        SampleFormat::U16 => output_of::<u16>(device, config, voice, which, breaks),
        SampleFormat::U8 => output_of::<u8>(device, config, voice, which, breaks),
        other => Err(format!("its samples are {other}, which are not understood here")),
    }
}

fn output_of<T: SizedSample + FromSample<i16> + Send + 'static>(
    device: &Device,
    config: StreamConfig,
    mut voice: Voice,
    which: Part,
    breaks: Sender<(Part, String)>,
) -> Result<Running, String> {
    let channels = usize::from(config.channels).max(1);
    let mut resampler =
        Resampler::new(SAMPLE_RATE_HZ, config.sample_rate).map_err(|error| error.to_string())?;
    let mut ready: VecDeque<i16> = VecDeque::new();
    let mut piece = vec![0; SAMPLE_RATE_HZ as usize / 100];
    let mut converted = vec![0; resampler.max_output(piece.len())];
    let (beats, beat) = heart();
    let give = move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
        beat.fetch_add(1, Ordering::Relaxed);
        for frame in data.chunks_mut(channels) {
            if ready.is_empty() {
                voice.fill(&mut piece);
                let length = resampler.convert(&piece, &mut converted);
                ready.extend(converted.iter().take(length));
            }
            let sample = T::from_sample_(ready.pop_front().unwrap_or(0));
            frame.fill(sample);
        }
    };
    let stream = device
        .build_output_stream(config, give, breaks_with(which, breaks), None)
        .map_err(|error| error.to_string())?;
    stream.play().map_err(|error| error.to_string())?;
    Ok(Running { _stream: stream, beats, counted: 0, missed: 0 })
}

/// What a device plays: speech and signals, or the bell alone.
struct Voice {
    heard: Option<Arc<Queue>>,
    signal: Arc<AtomicU8>,
    rings: bool,
    /// It ran dry, and is to fill up first.
    dry: bool,
    playing: u8,
    generator: Option<Generator>,
    mixed: Vec<i16>,
}

impl Voice {
    fn new(shared: &Shared, rings: bool) -> Self {
        Self {
            heard: Some(shared.heard.clone()),
            signal: shared.signal.clone(),
            rings,
            dry: true,
            playing: 0,
            generator: None,
            mixed: Vec::new(),
        }
    }

    fn bell(shared: &Shared) -> Self {
        Self { heard: None, ..Self::new(shared, true) }
    }

    fn fill(&mut self, out: &mut [i16]) {
        out.fill(0);
        if let Some(heard) = &self.heard {
            self.dry = self.dry && heard.length() < SAMPLE_RATE_HZ as usize / 1000 * REFILL_MS;
            if !self.dry {
                self.dry = heard.pop(out) < out.len();
            }
        }
        let wanted = self.signal.load(Ordering::Relaxed);
        if wanted != self.playing {
            self.playing = wanted;
            self.generator = self.tone(wanted).map(|tone| Generator::new(&tone, SAMPLE_RATE_HZ));
        }
        if let Some(generator) = &mut self.generator {
            self.mixed.resize(out.len(), 0);
            generator.generate(&mut self.mixed);
            for (place, sample) in out.iter_mut().zip(&self.mixed) {
                *place = place.saturating_add(*sample);
            }
        }
    }

    fn tone(&self, signal: u8) -> Option<Tone> {
        match signal {
            1 if self.heard.is_some() => Some(Plan::japan().ring_back),
            2 if self.rings => {
                Some(Tone::interrupted(&[Sine::new(880.0, -12.0), Sine::new(1_108.0, -12.0)], 1_000, 2_000))
            }
            3 if self.heard.is_some() => Some(Plan::japan().call_waiting),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_drop_what_is_old_and_say_what_is_missing() {
        let queue = Queue::of(10);
        queue.push(&(0..300).collect::<Vec<i16>>());
        assert_eq!(queue.length(), 160);
        let mut out = [0; 200];
        assert_eq!(queue.pop(&mut out), 160);
        assert_eq!((out[0], out[159], out[160]), (140, 299, 0));
    }

    #[test]
    fn a_loudspeaker_that_ran_dry_fills_up_first_and_rings_meanwhile() {
        let shared = Shared { heard: Queue::of(160), said: Queue::of(100), signal: Arc::default() };
        let mut voice = Voice::new(&shared, true);
        let mut out = [0; 160];
        shared.heard.push(&[1000; 320]);
        voice.fill(&mut out);
        assert_eq!(out, [0; 160], "20 ms are too few to begin with");
        shared.heard.push(&[1000; 320]);
        for _ in 0..4 {
            voice.fill(&mut out);
            assert_eq!(out, [1000; 160]);
        }
        voice.fill(&mut out);
        assert_eq!(out, [0; 160]);
        shared.signal.store(2, Ordering::Relaxed);
        voice.fill(&mut out);
        assert!(out.iter().any(|sample| sample.unsigned_abs() > 1000));
        let mut bell = Voice::bell(&shared);
        bell.fill(&mut out);
        assert!(out.iter().any(|sample| sample.unsigned_abs() > 1000));
    }
}
