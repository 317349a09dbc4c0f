//! The neteq crate at its default settings (but 8 kHz). It reads the system's clock by itself, so it runs in a child
//! process whose clock is the trace's: a small preloaded C library, made here with the system's compiler.

use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader, codec::AudioDecoder};

use super::{
    score::{self, Packet, Player, Score},
    trace,
    voice::Voice,
};

const CLOCK: &str = "DENWA_VIRTUAL_CLOCK";

struct Crate(NetEq, Arc<Mutex<HashSet<usize>>>);

struct Marked(Arc<Mutex<HashSet<usize>>>);

impl AudioDecoder for Marked {
    fn sample_rate(&self) -> u32 {
        8000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let (frame, samples) = Voice::decode(encoded);
        self.0.lock().unwrap().insert(frame);
        Ok(samples.map(|sample| f32::from(sample) / 32768.0).collect())
    }
}

impl Crate {
    fn new() -> Self {
        let mut neteq = NetEq::new(NetEqConfig { sample_rate: 8000, ..NetEqConfig::default() }).unwrap();
        let decoded = Arc::new(Mutex::new(HashSet::new()));
        neteq.register_decoder(0, Box::new(Marked(Arc::clone(&decoded))));
        Self(neteq, decoded)
    }
}

impl Player for Crate {
    fn arrive(&mut self, packet: &Packet, _: Instant) {
        let header = RtpHeader::new(packet.sequence, packet.frame as u32 * 160, 1, 0, packet.marker);
        let _ = self.0.insert_packet(AudioPacket::new(header, packet.payload.clone(), 8000, 1, 20));
    }

    fn pull(&mut self, out: &mut [i16; 80], _: Instant) -> usize {
        let Ok(frame) = self.0.get_audio() else {
            out.fill(0);
            return out.len();
        };
        for (sample, heard) in out.iter_mut().zip(&frame.samples) {
            let exact = heard * 32768.0;
            *sample = exact.round() as i16;
            // What is not one of the voice's samples must not look like one.
            if exact.fract() != 0.0 {
                *sample &= !0xff;
            }
        }
        if format!("{:?}", frame.speech_type) == "Expand" { out.len() } else { 0 }
    }

    fn decoded(&self, frame: usize) -> bool {
        self.1.lock().unwrap().contains(&frame)
    }

    fn scaled(&self) -> u64 {
        let lifetime = self.0.get_statistics().lifetime;
        lifetime.inserted_samples_for_deceleration + lifetime.removed_samples_for_acceleration
    }
}

/// In the child: plays every trace and prints the scores.
pub(crate) fn runs_as_child() -> bool {
    let Some(path) = env::var_os(CLOCK) else { return false };
    let file = File::options().write(true).open(path).unwrap();
    let set = |now: Duration| {
        file.write_all_at(&(now.as_nanos() as u64).to_ne_bytes(), 0).unwrap();
    };
    let traces = trace::all();
    let voice = Voice::new(traces.iter().map(|trace| trace.frames).max().unwrap());
    for trace in &traces {
        set(Duration::ZERO);
        let score = score::play(trace, &voice, &mut Crate::new(), &set);
        println!("{} {} {} {} {}", score.delay, score.delay_95, score.late, score.concealed, score.scaled);
    }
    true
}

/// The score over the trace of this number, when a compiler is there to make the clock.
pub(crate) fn play(index: usize) -> Option<Score> {
    static SCORES: OnceLock<Vec<Score>> = OnceLock::new();
    SCORES
        .get_or_init(|| {
            all().unwrap_or_else(|| {
                println!("(no C compiler to make the virtual clock: the neteq crate is left out)");
                Vec::new()
            })
        })
        .get(index)
        .copied()
}

fn all() -> Option<Vec<Score>> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (library, clock) = (folder.join("libvirtual_clock.so"), folder.join("virtual_clock"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/jitter/virtual_clock.c");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let made =
        Command::new(compiler).args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).status();
    if !made.is_ok_and(|status| status.success()) {
        return None;
    }
    fs::write(&clock, [0; 8]).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .env("LD_PRELOAD", &library)
        .env(CLOCK, &clock)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let score = |line: &str| {
        let values: Vec<f64> = line.split(' ').map(|value| value.parse().unwrap()).collect();
        Score {
            delay: values[0],
            delay_95: values[1],
            late: values[2],
            concealed: values[3],
            scaled: values[4],
        }
    };
    Some(text.lines().map(score).collect())
}
