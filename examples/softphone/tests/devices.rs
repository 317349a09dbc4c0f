//! Real sound through a sound server without a card: what is played into its microphone is heard by the other side, what the
//! other side says comes out of its loudspeaker.
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

fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devices");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("runtime")).unwrap();
    folder
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
    if !require("pulseaudio") || !require("pactl") {
        return;
    }
    let folder = scratch();
    let mut server = Peer::start(
        "pulseaudio",
        &folder,
        Command::new("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit=no", "--use-pid-file=no"])
            .arg("--load=module-null-sink sink_name=speaker")
            .arg("--load=module-null-sink sink_name=mic")
            .arg(format!(
                "--load=module-native-protocol-unix auth-anonymous=1 socket={}",
                folder.join("pulse").display()
            ))
            .env("HOME", &folder)
            .env("XDG_RUNTIME_DIR", folder.join("runtime")),
    );
    let ready = || client("pactl", &folder).arg("info").output().is_ok_and(|output| output.status.success());
    assert!(denwa_interop::wait_until(SOON, ready), "{}", server.log());
    std::fs::write(folder.join(".asoundrc"), "pcm.!default pulse\nctl.!default pulse\n").unwrap();
    let said = folder.join("said.wav");
    audio::write_wav(&said, &audio::tone(1000.0, 8000.0, 30));
    let mut player = client("paplay", &folder);
    let mut player = Peer::start("paplay", &folder, player.arg("--device=mic").arg(&said));
    let heard = folder.join("heard.raw");
    let mut recorder = client("parec", &folder);
    let mut recorder = Peer::start(
        "parec",
        &folder,
        recorder
            .args(["--device=speaker.monitor", "--rate=8000", "--channels=1", "--format=s16le", "--raw"])
            .arg(&heard),
    );

    let file = folder.join("direct.toml");
    std::fs::write(&file, "language = \"en\"\n[[accounts]]\nuri = \"sip:me@localhost\"\nregister = false\n")
        .unwrap();
    let settings = [
        ("PULSE_SERVER", format!("unix:{}", folder.join("pulse").display())),
        ("PULSE_SINK", "speaker".to_owned()),
        ("PULSE_SOURCE", "mic.monitor".to_owned()),
    ];
    let arguments = ["--config", file.to_str().unwrap(), "--listen", "udp:127.0.0.1:0"];
    let mut screen = Pty::start_with(&arguments, &folder, &settings);
    screen.wait_for("udp:127.0.0.1:");
    let record = folder.join("other.wav");
    // The other side says 440 Hz.
    let line = format!(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --record {} --hangup-after 7s",
        record.display()
    );
    let mut other = Running::start(&line);
    let port = other.expect("listening on udp:127.0.0.1:");
    screen.press(&format!("sip:bob@127.0.0.1:{port}\r"));
    screen.wait_for("talking");
    assert_eq!(other.end().0, Outcome::Good);
    screen.wait_for("the other side hung up");
    recorder.stop();
    player.stop();

    let at_other = audio::read_wav(&record);
    // The sound server takes two seconds to begin with.
    let middle = at_other.get(at_other.len() * 6 / 10..at_other.len() * 9 / 10).unwrap();
    assert_tone("the other side heard the microphone", middle, 1000.0);
    let bytes = std::fs::read(&heard).unwrap();
    let here: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    // Only the part of the call.
    let loud: Vec<&[i16]> =
        here.chunks(800).filter(|piece| piece.iter().any(|sample| sample.unsigned_abs() > 1000)).collect();
    assert!(loud.len() > 30, "the loudspeaker played for {} tenths of a second", loud.len());
    let middle: Vec<i16> = loud.get(5..loud.len() - 5).unwrap().concat();
    assert_tone("the loudspeaker played the other side", &middle, 440.0);

    screen.press("\x1b[21~");
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
    server.stop();
}
