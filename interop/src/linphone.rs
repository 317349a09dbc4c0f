//! linphonec without a sound card: a WAV file is its microphone, a recording its loudspeaker, its standard input its keys.

use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{ChildStdin, Command},
};

use crate::hearing::Sentence;
use crate::{PATIENCE, Peer, Ports, audio};

/// How a phone is set up.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// Name of the profile's folder and of the log.
    pub name: &'a str,
    /// A codec by name and clock rate, offered besides those that it always offers (opus, PCMU, PCMA, G729).
    pub codec: (&'a str, u32),
    /// `none`, `srtp` or `dtls`.
    pub encryption: &'a str,
    /// Whether it lifts by itself.
    pub answers: bool,
    /// More for its `rc`, in its own words.
    pub more: &'a str,
}

/// A running linphonec.
#[derive(Debug)]
pub struct Phone {
    /// The process.
    pub peer: Peer,
    input: ChildStdin,
    heard: PathBuf,
    /// Of what it records.
    rate: u32,
    /// Its SIP port.
    pub sip_port: u16,
}

impl Phone {
    /// Starts a phone that says `says` (8 kHz) when it is in a call.
    ///
    /// # Panics
    /// When its profile cannot be written or it does not start.
    #[must_use]
    pub fn start(settings: &Settings<'_>, folder: &Path, ports: &mut Ports, says: &[i16]) -> Self {
        let home = folder.join(settings.name);
        // It keeps its data there and does not make the folder itself.
        fs::create_dir_all(home.join(".local/share/linphone")).expect("the scratch folder is writable");
        let (sip_port, rtp) = (ports.take(2), ports.take(20));
        let (voice, heard) = (home.join("says.wav"), home.join("heard.wav"));
        audio::write_wav(&voice, says);
        let (codec, rate) = settings.codec;
        let mut rc = format!(
            "[sip]\nbind_address=127.0.0.1\nsip_port={sip_port}\nsip_tcp_port=0\nsip_tls_port=0\nuse_ipv6=0\nguess_hostname=0\n\
             register_only_when_network_is_up=0\nauto_net_state_mon=0\nkeepalive_period=0\nmedia_encryption={}\n\
             [net]\nfirewall_policy=0\ndns_srv_enabled=0\ndns_search_enabled=0\n\
             [rtp]\nbind_address=127.0.0.1\naudio_rtp_port={rtp}-{}\n\
             [video]\nenabled=0\ncapture=0\ndisplay=0\nautomatically_initiate=0\nautomatically_accept=0\n\
             [sound]\nechocancellation=0\n\
             [misc]\nversion_check_url_root=\nlog_collection_upload_server_url=\nfile_transfer_server_url=\n",
            settings.encryption,
            rtp + 18,
        );
        // Stereo is Opus's name for itself, whatever it carries (RFC 7587 §7).
        let channels = if codec == "opus" { 2 } else { 1 };
        let _ = write!(
            rc,
            "[audio_codec_0]\nmime={codec}\nrate={rate}\nchannels={channels}\nenabled=1\n{}",
            settings.more
        );
        let file = home.join("rc");
        fs::write(&file, rc).expect("the scratch folder is writable");
        let mut command = Command::new("linphonec");
        command.arg("-c").arg(&file).args(["-d", "0"]).current_dir(&home).env("HOME", &home);
        if settings.answers {
            command.arg("-a");
        }
        // Sound libraries otherwise leave folders in the user's home.
        for variable in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, &home);
        }
        let (peer, input) = Peer::start_with_input(settings.name, folder, &mut command);
        let mut phone =
            Self { peer, input, heard, rate: if codec == "G722" { 16_000 } else { rate }, sip_port };
        phone.command("soundcard use files");
        phone.command(&format!("play {}", voice.display()));
        let heard = phone.heard.display().to_string();
        phone.command(&format!("record {heard}"));
        phone
    }

    /// Calls a URI and waits until sound can pass.
    ///
    /// # Panics
    /// When nobody lifts.
    pub fn dial(&mut self, uri: &str) {
        self.command(&format!("call {uri}"));
        self.peer.wait_for("Media streams established", PATIENCE);
    }

    /// Ends the current call.
    pub fn hang_up(&mut self) {
        self.command("terminate");
    }

    /// One command of its prompt (`answer`, `pause`, `resume`, `transfer`, …).
    ///
    /// # Panics
    /// When it has ended.
    pub fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("linphonec reads its input");
    }

    /// Waits until it has heard the whole of a sentence, which the other end repeats.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_hears(&self, label: &str, sentence: Sentence<'_>) -> audio::Verdict {
        sentence.wait_in(label, || self.heard_so_far())
    }

    /// What it has heard while the call goes on.
    #[must_use]
    pub fn heard_so_far(&self) -> Vec<i16> {
        audio::read_growing_wav(&self.heard, self.rate)
    }

    /// Ends the phone and reads what it heard.
    pub fn heard(&mut self) -> Vec<i16> {
        // A recording is whole when it was asked to end: the signal alone may come first.
        let _ = writeln!(self.input, "quit");
        let _ = self.peer.wait(PATIENCE);
        self.peer.stop();
        if self.heard.exists() { audio::read_wav(&self.heard) } else { Vec::new() }
    }
}
