//! The examples, run as their readers run them: against one another, over loopback, with the sound compared.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_interop::at_last;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running example, ended with the test.
struct Example {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        // Examples lie beside the folder of this test; `cargo test` builds them unless it is told to build one test only.
        let tests = std::env::current_exe().unwrap();
        let folder = tests.parent().unwrap().parent().unwrap().join("examples");
        let mut child =
            Command::new(folder.join(name)).args(arguments).stdout(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("{name}, which `cargo build -p denwa --examples` makes: {error}"),
            );
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Where it says that it listens.
    fn address(&mut self) -> String {
        let line = self.line();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        address.strip_prefix("udp:").unwrap_or(address).to_owned()
    }

    /// Everything it still says, when it has ended by itself.
    fn finish(mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn tone(pitch: f64, seconds: usize, rate: u32) -> Vec<i16> {
    let mut samples = vec![0; rate as usize * seconds];
    Generator::new(&Tone::steady(&[Sine::new(pitch, -10.0)]), rate).generate(&mut samples);
    samples
}

/// A WAV with a tone.
fn wav(name: &str, pitch: f64, seconds: usize) -> String {
    let path = file(name);
    let mut recorder =
        denwa_codecs::wav::Recorder::new(std::fs::File::create(&path).unwrap(), 8000, 1).unwrap();
    recorder.write(&tone(pitch, seconds, 8000)).unwrap();
    recorder.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

/// Whether most of the recording's middle second is this tone.
fn holds(path: &str, pitch: f64) -> Result<(), String> {
    let sound = denwa_codecs::wav::read(std::fs::File::open(path).unwrap()).unwrap();
    if sound.samples.len() < 12_000 {
        return Err(format!("{} samples in {path}", sound.samples.len()));
    }
    let middle = &sound.samples[sound.samples.len() / 2 - 2000..sound.samples.len() / 2 + 2000];
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in middle.iter().enumerate() {
        let angle = std::f64::consts::TAU * pitch * n as f64 / f64::from(sound.sample_rate_hz);
        let sample = f64::from(*sample);
        sine += sample * angle.sin();
        cosine += sample * angle.cos();
        power += sample * sample;
    }
    let share = 2.0 * (sine * sine + cosine * cosine) / (power.max(1.0) * middle.len() as f64);
    (share > 0.9).then_some(()).ok_or_else(|| format!("{pitch} Hz is {share:.2} of {path}"))
}

/// Calls this address and records what is heard.
fn call_and_record(address: &str, name: &str) -> String {
    let path = file(name).to_str().unwrap().to_owned();
    let said =
        Example::start("call_and_record", &[&format!("sip:x@{address}"), &path, "2", "udp:127.0.0.1:0"])
            .finish();
    assert!(said.contains("hung up here") || said.contains("the other side hung up"), "{said}");
    path
}

#[test]
fn a_wav_is_answered_with_and_recorded() {
    let greeting = wav("greeting.wav", 440.0, 3);
    at_last(|| {
        let mut answering = Example::start("answer_with_wav", &[&greeting, "udp:127.0.0.1:0"]);
        let address = answering.address();
        holds(&call_and_record(&address, "greeted.wav"), 440.0)
    });
}

#[test]
fn an_echo_under_load() {
    let mut echo = Example::start("echo", &["udp:127.0.0.1:0"]);
    let address = echo.address();
    let said = Example::start("load", &[&format!("sip:echo@{address}"), "5", "2", "1"]).finish();
    assert!(said.contains("10 calls in") && said.contains("answered 10"), "{said}");
    assert!(said.contains("10  hung up here"), "{said}");
}

#[test]
fn two_are_joined_and_recorded() {
    let greeting = wav("between.wav", 600.0, 5);
    at_last(|| {
        let mut callee = Example::start("answer_with_wav", &[&greeting, "udp:127.0.0.1:0"]);
        let both = file("both.wav").to_str().unwrap().to_owned();
        let to = format!("sip:x@{}", callee.address());
        let mut recorder = Example::start("recorder", &["udp:127.0.0.1:0", &to, &both]);
        let address = recorder.address();
        let through = call_and_record(&address, "through.wav");
        recorder.finish();
        holds(&through, 600.0).and_then(|()| holds(&both, 600.0))
    });
}

#[test]
fn a_click_connects_two() {
    let (short, long) = (wav("short.wav", 440.0, 2), wav("long.wav", 600.0, 9));
    let mut one = Example::start("answer_with_wav", &[&long, "udp:127.0.0.1:0"]);
    let mut other = Example::start("answer_with_wav", &[&short, "udp:127.0.0.1:0"]);
    let mut server = Example::start("click_to_call", &["127.0.0.1:0", "udp:127.0.0.1:0"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (from, to) = (one.address(), other.address());
    write!(stream, "GET /call?from=sip:a@{from}&to=sip:b@{to} HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("over: the other side hung up"),
        "{answer}"
    );
}

#[test]
fn without_any_runtime() {
    at_last(|| {
        let mut program = Example::start("blocking_udp", &["127.0.0.1:0"]);
        let address = program.address();
        let recorded = call_and_record(&address, "milliwatt.wav");
        assert_eq!(program.finish(), "the other side hung up\n");
        holds(&recorded, 1000.0)
    });
}

#[test]
fn a_voice_robot_says_a_tone() {
    at_last(robot);
}

fn robot() -> Result<(), String> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let robot = std::thread::spawn(move || {
        let (stream, _) = server.accept().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        let start: serde_json::Value =
            serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!((&start["event"], &start["format"]["sample_rate"]), (&"start".into(), &16_000.into()));
        let bytes: Vec<u8> = tone(850.0, 4, 16_000).iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for piece in bytes.chunks(6400) {
            socket.send(tungstenite::Message::binary(piece.to_vec())).unwrap();
        }
        let (mut frames, mut last) = (0, String::new());
        while let Ok(message) = socket.read() {
            match message {
                tungstenite::Message::Binary(bytes) => {
                    assert_eq!(bytes.len(), 640, "20 ms at 16 kHz");
                    frames += 1;
                }
                tungstenite::Message::Text(text) => last = text.to_string(),
                _ => {}
            }
        }
        (frames, last)
    });
    let mut bridge = Example::start("voice_robot", &["udp:127.0.0.1:0", &url]);
    let address = bridge.address();
    let recorded = call_and_record(&address, "robot.wav");
    let (frames, last) = robot.join().unwrap();
    assert_eq!(last, r#"{"event":"stop"}"#);
    holds(&recorded, 850.0)?;
    if frames < 50 { Err(format!("{frames} frames came to the robot")) } else { Ok(()) }
}
