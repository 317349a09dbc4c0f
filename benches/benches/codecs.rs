//! Every codec over speech, in multiples of real time on one core, beside what peers are installed (libraries of Debian's
//! libspandsp-dev, libbcg729-dev and libgsm1-dev, by way of `peers/speed.c`); and the mixer.
//!
//! The best of several rounds, since the machine is shared. Without `--bench` (as `cargo test` runs it) one short round.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use denwa_codecs::mix::Mixer;
use denwa_codecs::{Decoder, Encoder, g711, g722, g726, g729, gsm, ilbc};

fn main() {
    let rounds = if denwa_benches::is_measured() { 25 } else { 1 };
    let samples = speech();
    println!("{:<22} {:>12} {:>12}   (x real time)", "", "encode", "decode");
    let make = |name: &str| -> (Box<dyn Encoder>, Box<dyn Decoder>, usize) {
        match name {
            "G.729A" => (
                Box::new(g729::Encoder::new(g729::EncoderConfig { dtx: false })),
                Box::new(g729::Decoder::new(g729::Variant::AnnexA)),
                80,
            ),
            "G.729 main" => (
                Box::new(g729::Encoder::new(g729::EncoderConfig { dtx: false })),
                Box::new(g729::Decoder::new(g729::Variant::Main)),
                80,
            ),
            "G.722" => {
                (Box::new(g722::Encoder::new()), Box::new(g722::Decoder::new(g722::Mode::Kbit64)), 320)
            }
            "G.711 mu" => (
                Box::new(g711::Encoder::new(g711::Law::Mu)),
                Box::new(g711::Decoder::new(g711::Law::Mu)),
                160,
            ),
            "GSM" => (Box::new(gsm::Encoder::new()), Box::new(gsm::Decoder::new()), 160),
            "iLBC 20 ms" => (
                Box::new(ilbc::Encoder::new(ilbc::Mode::Ms20)),
                Box::new(ilbc::Decoder::new(ilbc::Mode::Ms20)),
                160,
            ),
            "iLBC 30 ms" => (
                Box::new(ilbc::Encoder::new(ilbc::Mode::Ms30)),
                Box::new(ilbc::Decoder::new(ilbc::Mode::Ms30)),
                240,
            ),
            _ => (
                Box::new(g726::Encoder::new(g726::Rate::Kbit32, g726::Packing::Rtp)),
                Box::new(g726::Decoder::new(g726::Rate::Kbit32, g726::Packing::Rtp)),
                160,
            ),
        }
    };
    for name in ["G.711 mu", "G.722", "G.726-32", "GSM", "iLBC 20 ms", "iLBC 30 ms", "G.729A", "G.729 main"] {
        // `-- G.729` measures only those.
        if !env::args().skip(1).all(|word| word.starts_with('-') || name.contains(&word)) {
            continue;
        }
        let (mut best_encode, mut best_decode) = (f64::MAX, f64::MAX);
        let mut seconds = 0.0;
        for _ in 0..rounds {
            let (mut encoder, mut decoder, frame) = make(name);
            let samples = &samples[..samples.len() / frame * frame];
            seconds = samples.len() as f64 / f64::from(encoder.sample_rate_hz());
            let bytes = encoder.max_payload_bytes(frame);
            let mut payload = vec![0; samples.len() / frame * bytes];
            let mut decoded = vec![0; decoder.max_samples(bytes)];
            let start = Instant::now();
            for (frame, payload) in samples.chunks(frame).zip(payload.chunks_mut(bytes)) {
                encoder.encode(black_box(frame), payload).unwrap();
            }
            best_encode = best_encode.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            for payload in payload.chunks(bytes) {
                decoder.decode(black_box(payload), black_box(&mut decoded)).unwrap();
            }
            best_decode = best_decode.min(start.elapsed().as_secs_f64());
        }
        println!("{name:<22} {:>12.0} {:>12.0}", seconds / best_encode, seconds / best_decode);
    }
    if env::args().skip(1).any(|word| !word.starts_with('-')) {
        return;
    }
    peers(&samples, rounds);
    mixer(rounds);
}

/// The ITU's speech if it is there, else something that keeps an encoder busy.
fn speech() -> Vec<i16> {
    let shared =
        env::var_os("DENWA_SHARED").map_or_else(|| Path::new("../../shared").to_path_buf(), Into::into);
    if let Ok(bytes) = fs::read(shared.join("g729/vectors/annex-a/SPEECH.IN")) {
        return bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    }
    println!("no speech: {} is not there; a made-up signal instead", shared.display());
    let mut state = 1u32;
    (0..240_000)
        .map(|n: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((f64::from(n) * 0.09).sin() * 6_000.0) as i16 + (state >> 21) as i16 - 1_024
        })
        .collect()
}

fn peers(samples: &[i16], rounds: usize) {
    let folder = env::temp_dir().join(format!("denwa-benches-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let input = folder.join("speech.raw");
    fs::write(&input, samples.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/speed.c");
    for (name, define, library, rate) in [
        ("G.711 mu  spandsp", "SPANDSP_G711", "spandsp", 8_000.0),
        ("G.722     spandsp", "SPANDSP_G722", "spandsp", 16_000.0),
        ("GSM       libgsm", "GSM", "gsm", 8_000.0),
        ("G.729A    bcg729", "BCG729", "bcg729", 8_000.0),
    ] {
        let program = folder.join(define);
        let built = Command::new("cc")
            .args(["-O3", "-march=native", "-w", &format!("-D{define}"), "-o"])
            .arg(&program)
            .arg(&source)
            .args([&format!("-l{library}"), "-lm"])
            .output();
        if !built.is_ok_and(|output| output.status.success()) {
            println!("{name:<22} not installed");
            continue;
        }
        let output = Command::new(&program).arg(&input).arg(rounds.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let seconds = samples.len() as f64 / rate;
        let times =
            |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).map_or(0.0, |t| seconds / t);
        println!("{name:<22} {:>12.0} {:>12.0}", times(1), times(3));
    }
    let _ = fs::remove_dir_all(&folder);
}

fn mixer(rounds: usize) {
    let mut mixer = Mixer::new(64, 160);
    let frame: Vec<i16> = (0..160).map(|n| (n * 91 % 4_000) as i16 - 2_000).collect();
    let mut out = vec![0; 160];
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..50 {
            mixer.begin();
            for member in 0..64 {
                mixer.add(member, black_box(&frame));
            }
            for member in 0..64 {
                mixer.hear(member, black_box(&mut out));
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("mixer: 64 members at 8 kHz, all speaking: {:.3} % of a core", best * 100.0);
}
