//! Our end: a media session on sockets of this host, a tone of 1000 Hz or another, and what it heard.

use crate::servers::drivers::{Arrived, Sockets};
use crate::servers::fresh_seed;
use denwa::Seed;
use denwa::media::{Event, IceConfig, Identity, Input, MediaConfig, MediaSession, Output, Path, Wire};
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice, MediaCapability, RtcpMux};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub(crate) struct End {
    pub(crate) session: MediaSession,
    sockets: Sockets,
    local: SocketAddr,
    tone: Generator,
    beat: Instant,
    pub(crate) heard: Vec<i16>,
    pub(crate) events: Vec<Event>,
}

impl End {
    pub(crate) fn new(here: IpAddr, codec: Codec, ice: IceConfig) -> Self {
        let mut sockets = Sockets::default();
        let local = sockets.bind((here, 0).into()).unwrap();
        let identity = Identity::generate().unwrap();
        let media = MediaCapability { feedback: true, ..MediaCapability::audio([codec]) };
        let mut capability = Capability::new([media])
            .with_encryption(EncryptionCapability::dtls(Encryption::Required, identity.fingerprint()))
            .with_ice(Ice::Full);
        capability.bundle = true;
        capability.rtcp_mux = RtcpMux::Required;
        let now = Instant::now();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut config = MediaConfig::new(capability, local, local, local, unix, now);
        config.identity = Some(identity);
        config.ice = Some(ice);
        let session = MediaSession::new(config, Seed(fresh_seed()), now);
        let tone = Generator::new(&Tone::steady(&[Sine::new(1000.0, -10.0)]), 8000);
        Self { session, sockets, local, tone, beat: now, heard: Vec::new(), events: Vec::new() }
    }

    /// Says a tone of this pitch from now on.
    pub(crate) fn says(&mut self, frequency_hz: f64) {
        self.tone = Generator::new(&Tone::steady(&[Sine::new(frequency_hz, -10.0)]), 8000);
    }

    /// A few milliseconds pass.
    pub(crate) fn run(&mut self) {
        let arrived = self.sockets.next(Instant::now() + Duration::from_millis(2));
        let now = Instant::now();
        match arrived {
            Some(Arrived::Datagram(local, source, mut bytes)) => {
                self.session.receive(&mut bytes, Path { source, destination: Some(local) }, now);
            }
            Some(Arrived::Bytes(stream, mut bytes)) => self.session.receive_stream(stream, &mut bytes, now),
            Some(Arrived::Closed(stream)) => {
                self.session.handle_input(Input::StreamClosed { stream, was_open: true }, now);
            }
            Some(Arrived::Accepted(..)) | None => {}
        }
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        while self.beat <= now {
            self.beat += Duration::from_millis(20);
            let mut sound = [0; 160];
            self.tone.generate(&mut sound);
            self.session.say(&sound);
            let mut samples = [0; 160];
            self.session.hear(&mut samples, now);
            self.heard.extend(samples);
        }
        let mut buffer = [0; 4096];
        while let Some(out) = self.session.next_packet(&mut buffer, now) {
            self.sockets.send(Some(self.local), out.destination, out.stream, &buffer[..out.length]);
        }
        self.do_what_is_wanted(now);
    }

    fn do_what_is_wanted(&mut self, now: Instant) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { destination, payload, .. } => {
                    self.sockets.send(Some(self.local), destination, None, &payload);
                }
                Output::Wire(Wire::Open { stream, protocol, remote, .. }) => {
                    let input = if self.sockets.open(stream, protocol, remote) {
                        Input::StreamOpened { stream, local: self.local, remote }
                    } else {
                        Input::StreamClosed { stream, was_open: false }
                    };
                    self.session.handle_input(input, now);
                }
                Output::Wire(Wire::Send { stream, payload }) => {
                    self.sockets.send(None, self.local, Some(stream), &payload);
                }
                Output::Wire(Wire::Close { stream }) => self.sockets.close_stream(stream),
                Output::Wire(wire @ Wire::Resolve { .. }) => self.session.decline(&wire, now),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// The offer, when everything that it says is known.
    pub(crate) fn offer(&mut self) -> Vec<u8> {
        while !self.session.is_gathered() {
            self.run();
        }
        self.session.offer().unwrap().to_vec()
    }

    /// The answer, likewise.
    pub(crate) fn answer(&mut self, offer: &str) -> Vec<u8> {
        while !self.session.is_gathered() {
            self.run();
        }
        self.session
            .answer(offer.as_bytes(), Instant::now())
            .unwrap_or_else(|error| panic!("{error}\n{offer}"))
            .to_vec()
    }

    pub(crate) fn accept(&mut self, answer: &str) {
        self.session
            .accept_answer(answer.as_bytes(), Instant::now())
            .unwrap_or_else(|error| panic!("{error}\n{answer}"));
    }

    /// The path that was chosen last, and whether we relay.
    pub(crate) fn path(&self) -> (&str, bool) {
        chosen(&self.events)
    }
}

pub(crate) fn chosen(events: &[Event]) -> (&str, bool) {
    let paths = events.iter().rev().find_map(|event| match event {
        Event::PathChosen { path, relayed, .. } => Some((path.as_str(), *relayed)),
        _ => None,
    });
    paths.expect("a path")
}

/// How much of a frequency is in the samples, as a share of all there is (Goertzel's sum).
fn share(samples: &[i16], rate: f64, frequency_hz: f64) -> f64 {
    let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency_hz * index as f64 / rate;
        let sample = f64::from(*sample);
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        energy += sample * sample;
    }
    2.0 * (real * real + imaginary * imaginary) / (energy * samples.len() as f64).max(1.0)
}

/// The tone is what is heard in most of the last seconds: jitter buffers may stretch some of it.
pub(crate) fn holds_tone(samples: &[i16], rate: f64, frequency_hz: f64) -> bool {
    let piece = ((rate / 10.0) as usize).max(1);
    let last = &samples[samples.len().saturating_sub(piece * 25)..];
    let good = last.chunks_exact(piece).filter(|it| share(it, rate, frequency_hz) > 0.8).count();
    let all = last.chunks_exact(piece).count();
    all >= 20 && good * 10 >= all * 8
}
