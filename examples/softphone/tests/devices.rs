//! Real sound through a sound server without a card: what is played into its microphone is heard by the other side, what the
//! other side says comes out of its loudspeaker, and a server that goes away is told of.
#![cfg(all(feature = "sound", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "terminal/pty.rs"]
mod pty;
mod running;

use denwa_interop::{Peer, audio, require};
use pty::Pty;
use running::Running;
use softphone::phone::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// A sound server without a card, with these sinks; the first is the loudspeaker, the monitor of the second the microphone.
fn sound_server(name: &str, sinks: &[&str]) -> Option<(Peer, PathBuf)> {
    if !require("pulseaudio") || !require("pactl") {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("runtime")).unwrap();
    let mut command = Command::new("pulseaudio");
    command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit=no", "--use-pid-file=no"]);
    for sink in sinks {
        command.arg(format!("--load=module-null-sink sink_name={sink}"));
    }
    command
        .arg(format!(
            "--load=module-native-protocol-unix auth-anonymous=1 socket={}",
            folder.join("pulse").display()
        ))
        .env("HOME", &folder)
        .env("XDG_RUNTIME_DIR", folder.join("runtime"));
    let server = Peer::start("pulseaudio", &folder, &mut command);
    let ready = || client("pactl", &folder).arg("info").output().is_ok_and(|output| output.status.success());
    assert!(denwa_interop::wait_until(SOON, ready), "{}", server.log());
    // Every sink but the first two is a device of its own, by its name.
    let mut devices = "pcm.!default pulse\nctl.!default pulse\n".to_owned();
    for sink in sinks.iter().skip(2) {
        devices +=
            &format!("pcm.{sink} {{ type pulse device {sink} hint {{ show on description \"{sink}\" }} }}\n");
    }
    std::fs::write(folder.join(".asoundrc"), devices).unwrap();
    Some((server, folder))
}

/// What goes to a sink, in a file.
fn record(folder: &Path, sink: &str) -> (Peer, PathBuf) {
    let heard = folder.join(format!("{sink}.raw"));
    let mut command = client("parec", folder);
    command
        .arg(format!("--device={sink}.monitor"))
        .args(["--rate=8000", "--channels=1", "--format=s16le", "--raw", "--latency-msec=50"])
        .arg(&heard);
    (Peer::start(&format!("parec-{sink}"), folder, &mut command), heard)
}

fn samples(file: &Path) -> Vec<i16> {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// The tenths of a second in which there is sound.
fn loud(samples: &[i16]) -> Vec<&[i16]> {
    samples.chunks(800).filter(|piece| piece.iter().any(|sample| sample.unsigned_abs() > 1000)).collect()
}

/// The screen of a telephone that is called directly, with sound by that server.
fn screen(folder: &Path, more: &str) -> (Pty, String) {
    let file = folder.join("direct.toml");
    let text =
        format!("language = \"en\"\n{more}[[accounts]]\nuri = \"sip:me@localhost\"\nregister = false\n");
    std::fs::write(&file, text).unwrap();
    let settings = [
        ("PULSE_SERVER", format!("unix:{}", folder.join("pulse").display())),
        ("PULSE_SINK", "speaker".to_owned()),
        ("PULSE_SOURCE", "mic.monitor".to_owned()),
    ];
    let arguments = ["--config", file.to_str().unwrap(), "--listen", "udp:127.0.0.1:0"];
    let screen = Pty::start_with(&arguments, folder, &settings);
    let text = screen.wait_for("udp:127.0.0.1:");
    let port =
        text.split("udp:127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    (screen, port)
}

/// A program that talks to the sound server of `folder`.
fn client(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("PULSE_SERVER", format!("unix:{}", folder.join("pulse").display()));
    command
}

/// In most tenths of a second there is this tone and hardly anything else. (Clocks meet here, and a busy machine comes late:
/// now and then a piece is dropped or missing.)
fn assert_tone(what: &str, samples: &[i16], hertz: f64) {
    let pieces: Vec<f64> =
        samples.as_chunks::<800>().0.iter().map(|piece| audio::tone_share(piece, hertz).0).collect();
    let good = pieces.iter().filter(|share| **share > 0.8).count();
    assert!(
        good * 10 >= pieces.len() * 6 && good > 10,
        "{what}: {good} of {} pieces: {pieces:.2?}",
        pieces.len()
    );
}

#[test]
fn a_tone_goes_through_real_devices_both_ways() {
    let Some((mut server, folder)) = sound_server("devices", &["speaker", "mic"]) else { return };
    let said = folder.join("said.wav");
    audio::write_wav(&said, &audio::tone(1000.0, 8000.0, 120));
    let mut player = client("paplay", &folder);
    let mut player = Peer::start("paplay", &folder, player.arg("--device=mic").arg(&said));
    let (mut recorder, heard) = record(&folder, "speaker");
    let (mut screen, _) = screen(&folder, "");
    let recorded = folder.join("other.wav");
    // The other side says 440 Hz.
    let line = format!(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --record {}",
        recorded.display()
    );
    let mut other = Running::start(&line);
    let port = other.expect("listening on udp:127.0.0.1:");
    screen.press(&format!("sip:bob@127.0.0.1:{port}\r"));
    screen.wait_for("talking");
    // The sound server takes two seconds to begin with, or more: what counts is that it plays.
    let plays = || loud(&samples(&heard)).len() > 60;
    assert!(denwa_interop::wait_until(SOON * 3, plays), "{} samples", samples(&heard).len());
    screen.press("\x1b");
    assert_eq!(other.end().0, Outcome::Good);
    screen.wait_for("hung up here");
    recorder.stop();
    player.stop();

    let at_other = audio::read_wav(&recorded);
    let middle = at_other.get(at_other.len() * 6 / 10..at_other.len() * 9 / 10).unwrap();
    assert_tone("the other side heard the microphone", middle, 1000.0);
    // Only the part of the call.
    let here = samples(&heard);
    let loud = loud(&here);
    let middle: Vec<i16> = loud.get(5..loud.len() - 5).unwrap().concat();
    assert_tone("the loudspeaker played the other side", &middle, 440.0);

    // The server goes away in a call: the screen says so and goes on.
    let mut other = Running::start("softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1");
    let port = other.expect("listening on udp:");
    screen.press(&format!("sip:bob@{port}\r"));
    screen.wait_for("talking");
    server.kill();
    screen.wait_for("has gone away");
    screen.press("\x1b[15~");
    screen.wait_for("muted");
    screen.press("\x1b");
    screen.wait_for("No calls.");
    other.end();
    screen.press("\x1b[21~");
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
}

#[test]
fn the_bell_rings_on_another_device() {
    let Some((_server, folder)) = sound_server("bell", &["speaker", "mic", "bell"]) else { return };
    let (mut screen, port) = screen(&folder, "[sound]\nring = \"bell\"\n");
    let ((_of_bell, bell), (_of_speaker, speaker)) = (record(&folder, "bell"), record(&folder, "speaker"));
    let line = format!("softphone call sip:me@127.0.0.1:{port} --user ann --listen udp:127.0.0.1:0");
    let caller = Running::start(&line);
    screen.wait_for("Incoming call");
    // Long enough that it is no accident: a second of ringing.
    let rings = || loud(&samples(&bell)).len() > 10;
    assert!(denwa_interop::wait_until(SOON, rings), "no bell in {} samples", samples(&bell).len());
    let at_bell = samples(&bell);
    let ringing = loud(&at_bell);
    let share = |piece: &[i16]| audio::tone_share(piece, 880.0).0 + audio::tone_share(piece, 1_108.0).0;
    let good = ringing.iter().filter(|piece| share(piece) > 0.8).count();
    assert!(good * 2 > ringing.len(), "{good} of {} tenths of a second are the bell's", ringing.len());
    assert!(loud(&samples(&speaker)).is_empty(), "the loudspeaker is for speech");
    screen.press("\x1b");
    assert_eq!(caller.end().0, Outcome::Failed, "declined");
    screen.press("\x1b[21~");
    assert_eq!(screen.exit_code(), Some(0));
}
