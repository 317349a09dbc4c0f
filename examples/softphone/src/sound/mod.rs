//! Where sound comes from and goes to: real devices (with the feature `sound`), a tone, or nothing.
//!
//! The telephone hands over and takes 20 ms at a time, 16000 samples a second; devices convert, and never make it wait.

#[cfg(feature = "sound")]
pub mod devices;

use denwa_codecs::tone::{Generator, Sine, Tone};

/// What is heard besides speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It rings there.
    RingBack,
    /// It rings here.
    Bell,
    /// It rings here, during a call.
    Waiting,
}

/// Samples a second of what is handed over.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Microphone, loudspeaker and bell.
pub trait Sound: Send {
    /// Plays what came.
    fn hear(&mut self, samples: &[i16]);

    /// Fills in what is said now.
    fn say(&mut self, samples: &mut [i16]);

    /// Plays this signal from now on, or none.
    fn signal(&mut self, signal: Option<Signal>);

    /// What has gone wrong or right since the last time it was asked for.
    fn trouble(&mut self) -> Option<Trouble> {
        None
    }
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Takes what is said.
    Microphone,
    /// Plays what is heard.
    Loudspeaker,
    /// Rings.
    Bell,
}

/// What becomes of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is none, and why.
    Missing(Part, String),
    /// It was there and is not any more, and why.
    Gone(Part, String),
    /// It is there again.
    Back(Part),
    /// This program was built without devices.
    Unbuilt,
}

/// No device: nothing is said, and what is heard is lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Sound for Nothing {
    fn hear(&mut self, _: &[i16]) {}

    fn say(&mut self, samples: &mut [i16]) {
        samples.fill(0);
    }

    fn signal(&mut self, _: Option<Signal>) {}
}

/// The devices of a program that was built without them: nothing, and it says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbuilt {
    is_told: bool,
}

impl Sound for Unbuilt {
    fn hear(&mut self, _: &[i16]) {}

    fn say(&mut self, samples: &mut [i16]) {
        samples.fill(0);
    }

    fn signal(&mut self, _: Option<Signal>) {}

    fn trouble(&mut self) -> Option<Trouble> {
        (!std::mem::replace(&mut self.is_told, true)).then_some(Trouble::Unbuilt)
    }
}

/// A tone in place of a microphone: for trying out.
#[derive(Debug)]
pub struct Humming(Generator);

impl Default for Humming {
    fn default() -> Self {
        Self(Generator::new(&Tone::steady(&[Sine::new(440.0, -12.0)]), SAMPLE_RATE_HZ))
    }
}

impl Sound for Humming {
    fn hear(&mut self, _: &[i16]) {}

    fn say(&mut self, samples: &mut [i16]) {
        self.0.generate(samples);
    }

    fn signal(&mut self, _: Option<Signal>) {}
}
