//! baresip 1.0 without a sound card: a WAV file is its microphone, a recording its loudspeaker, JSON over TCP its keys.

use std::{
    fmt::Write as _,
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use crate::hearing::Sentence;
use crate::{PATIENCE, Peer, Ports, audio, wait_until};

/// How a phone is set up.
#[derive(Debug, Clone)]
pub struct Account<'a> {
    /// Name of the profile's folder and of the log.
    pub name: &'a str,
    /// The user part, which is also the authentication user.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
    /// Host and port of the registrar.
    pub registrar: &'a str,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// Codecs in order, as in baresip's `audio_codecs`.
    pub codecs: &'a str,
    /// Whether it lifts by itself.
    pub answers: bool,
    /// Seconds between registrations; 0 for a phone that does not register.
    pub register_every: u32,
    /// More account parameters, each beginning with a semicolon.
    pub parameters: &'a str,
}

impl<'a> Account<'a> {
    /// Of one who registers nowhere and lifts by himself, over UDP, with PCMA alone.
    #[must_use]
    pub fn unregistered(user: &'a str, registrar: &'a str) -> Self {
        Self { register_every: 0, ..Self::registered(user, "none", registrar) }
    }

    /// Of one who registers each minute, otherwise like the [unregistered](Self::unregistered) one.
    #[must_use]
    pub fn registered(user: &'a str, password: &'a str, registrar: &'a str) -> Self {
        Self {
            name: user,
            user,
            password,
            registrar,
            transport: "udp",
            codecs: "PCMA",
            answers: true,
            register_every: 60,
            parameters: "",
        }
    }
}

/// A running baresip.
#[derive(Debug)]
pub struct Phone {
    /// The process.
    pub peer: Peer,
    folder: PathBuf,
    control: u16,
    /// Its SIP port.
    pub sip_port: u16,
}

impl Phone {
    /// Starts a phone that says `says` (8 kHz) when it is in a call.
    ///
    /// # Panics
    /// When its profile cannot be written or it does not start.
    #[must_use]
    pub fn start(account: &Account<'_>, folder: &Path, ports: &mut Ports, says: &[i16]) -> Self {
        Self::start_with(account, folder, ports, says, "")
    }

    /// As [`Phone::start`], with more lines for its `config`.
    ///
    /// # Panics
    /// When its profile cannot be written or it does not start.
    #[must_use]
    pub fn start_with(
        account: &Account<'_>,
        folder: &Path,
        ports: &mut Ports,
        says: &[i16],
        more_config: &str,
    ) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), account, folder, ports, says, more_config)
    }

    /// As [`Phone::start_with`], with the lines of its `contacts`: the first is whom it writes to.
    ///
    /// # Panics
    /// When its profile cannot be written or it does not start.
    #[must_use]
    pub fn start_knowing(
        account: &Account<'_>,
        folder: &Path,
        ports: &mut Ports,
        says: &[i16],
        more_config: &str,
        contacts: &str,
    ) -> Self {
        Self::start_whole(Ipv4Addr::LOCALHOST.into(), account, folder, ports, says, more_config, contacts)
    }

    /// As [`Phone::start_with`], at an address of the host that this thread is on; only there it takes commands.
    ///
    /// # Panics
    /// When its profile cannot be written or it does not start.
    #[must_use]
    pub fn start_at(
        address: IpAddr,
        account: &Account<'_>,
        folder: &Path,
        ports: &mut Ports,
        says: &[i16],
        more_config: &str,
    ) -> Self {
        Self::start_whole(address, account, folder, ports, says, more_config, "")
    }

    fn start_whole(
        address: IpAddr,
        account: &Account<'_>,
        folder: &Path,
        ports: &mut Ports,
        says: &[i16],
        more_config: &str,
        contacts: &str,
    ) -> Self {
        let home = folder.join(account.name);
        let recordings = home.join("snd");
        fs::create_dir_all(&recordings).expect("the scratch folder is writable");
        let sip_port = ports.take(2); // it listens for TLS on the next one
        let control = ports.take(1);
        let rtp = ports.take(20);
        let voice = home.join("says.wav");
        audio::write_wav(&voice, says);
        let name = account.name;
        let mut wanted = vec!["g711", "g722", "g726", "gsm", "l16", "opus", "aufile", "aubridge", "sndfile"];
        for (parameter, module) in
            [("mediaenc=srtp", "srtp"), ("mediaenc=dtls_srtp", "dtls_srtp"), ("medianat=ice", "ice")]
        {
            if account.parameters.contains(parameter) {
                wanted.push(module);
            }
        }
        let rtcp_mux = if account.parameters.contains("x-rtcp_mux=yes") { "yes" } else { "no" };
        let modules: String = wanted.iter().fold(String::new(), |mut text, module| {
            let _ = writeln!(text, "module {module}.so");
            text
        });
        let config = format!(
            "poll_method epoll\nsip_listen {listen}\nnet_interface {address}\ncall_local_timeout 60\n\
             call_max_calls 4\naudio_path /usr/share/baresip\naudio_source aufile,{voice}\n\
             audio_player aubridge,null{name}\naudio_alert aubridge,alert{name}\nausrc_srate 8000\nauplay_srate 8000\n\
             ausrc_channels 1\nauplay_channels 1\naudio_txmode thread\nrtp_ports {rtp}-{rtp_end}\nrtcp_mux {rtcp_mux}\n\
             rtp_stats yes\njitter_buffer_delay 3-10\nmodule_path /usr/lib/baresip/modules\n{modules}\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             module_app debug_cmd.so\nmodule_app contact.so\nsnd_path {recordings}\n\
             ctrl_tcp_listen 127.0.0.1:{control}\nringback_disabled yes\nstatmode_default off\nmenu_bell no\n\
             {more_config}",
            listen = SocketAddr::new(address, sip_port),
            voice = voice.display(),
            recordings = recordings.display(),
            rtp_end = rtp + 18,
        );
        let mode = if account.answers { "auto" } else { "manual" };
        let line = format!(
            "<sip:{user}@{registrar};transport={transport}>;auth_user={user};auth_pass={password};regint={every};\
             answermode={mode};audio_codecs={codecs}{more}\n",
            user = account.user,
            registrar = account.registrar,
            transport = account.transport,
            password = account.password,
            codecs = account.codecs,
            every = account.register_every,
            more = account.parameters,
        );
        let desk = format!("\"desk\" <sip:desk@{};transport={}>\n", account.registrar, account.transport);
        let contacts = if contacts.is_empty() { &desk } else { contacts };
        for (file, text) in [("config", config.as_str()), ("accounts", &line), ("contacts", contacts)] {
            fs::write(home.join(file), text).expect("the scratch folder is writable");
        }
        let mut command = Command::new("baresip");
        let family = if address.is_ipv4() { "-4" } else { "-6" };
        command.args([family, "-v", "-s", "-f"]).arg(&home);
        // Sound libraries otherwise leave folders in the user's home.
        for variable in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, &home);
        }
        let peer = Peer::start(name, folder, &mut command);
        Self { peer, folder: home, control, sip_port }
    }

    /// Waits until the registrar holds one binding.
    pub fn wait_registered(&self) {
        self.peer.wait_for("[1 binding]", PATIENCE);
    }

    /// Calls a URI.
    pub fn dial(&self, uri: &str) {
        self.command("dial", uri);
    }

    /// Sends a text (MESSAGE) to the user `desk` of its registrar, the only one in its book.
    pub fn send_text(&self, text: &str) {
        self.command("contact_next", "");
        self.command("message", text);
    }

    /// Ends the current call.
    pub fn hang_up(&self) {
        self.command("hangup", "");
    }

    /// One command of its menu (`hold`, `resume`, `accept`, `sndcode`, …); what it answered.
    ///
    /// # Panics
    /// When its control port does not answer.
    pub fn command(&self, command: &str, parameters: &str) -> String {
        let mut stream = None;
        wait_until(PATIENCE, || {
            stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.control)).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap_or_else(|| panic!("baresip's control port {} is shut", self.control));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let request =
            serde_json::json!({ "command": command, "params": parameters, "token": "t" }).to_string();
        stream
            .write_all(format!("{}:{request},", request.len()).as_bytes())
            .expect("baresip reads its control port");
        let mut bytes = Vec::new();
        let mut chunk = [0; 4_096];
        loop {
            let count = match stream.read(&mut chunk) {
                // A process that was stopped for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap_or(0),
            };
            if count == 0 {
                panic!("baresip did not answer the command {command:?}");
            }
            bytes.extend_from_slice(&chunk[..count]);
            while let Some((frame, rest)) = netstring(&bytes) {
                let value: serde_json::Value = serde_json::from_slice(&frame).unwrap_or_default();
                bytes = rest;
                if value.get("response").is_some() {
                    return value.get("data").and_then(|data| data.as_str()).unwrap_or_default().to_owned();
                }
            }
        }
    }

    /// Ends the phone and reads what it heard: its longest recording (a hold begins a new one).
    pub fn heard(&mut self) -> Vec<i16> {
        self.peer.stop();
        self.recording("dec")
    }

    /// Name and sound of the recording that was begun last, while the phone runs; empty when there is none.
    #[must_use]
    pub fn newest_recording(&self) -> (PathBuf, Vec<i16>) {
        self.newest("dec")
    }

    /// What it has said itself since its last call began, while it runs.
    #[must_use]
    pub fn said(&self) -> Vec<i16> {
        self.newest("enc").1
    }

    /// Makes away with what it recorded of former calls: recordings are named by the second, and a new one is then surely that.
    pub fn forget_recordings(&self) {
        let files = fs::read_dir(self.folder.join("snd")).expect("the folder was made at the start");
        for file in files.flatten() {
            let _ = fs::remove_file(file.path());
        }
    }

    fn newest(&self, direction: &str) -> (PathBuf, Vec<i16>) {
        let files = fs::read_dir(self.folder.join("snd")).expect("the folder was made at the start");
        let ending = format!("-{direction}.wav");
        let newest = files
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.to_string_lossy().ends_with(&ending))
            .max_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
        newest.map(|path| (path.clone(), audio::read_growing_wav(&path, audio::RATE))).unwrap_or_default()
    }

    /// How many packets of voice have come to it in its call, by its own count: after a hold, which ends its recording.
    #[must_use]
    pub fn packets_received(&self) -> u32 {
        let told = self.command("audio_debug", "");
        let counts = told.split("rcvd=").skip(1);
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        counts.filter_map(|text| digits(text).parse::<u32>().ok()).sum()
    }

    /// Waits until it has heard the whole of a sentence, which the other end repeats, from now on.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_hears(&self, label: &str, sentence: Sentence<'_>) -> audio::Verdict {
        let (recording, before) = self.newest_recording();
        sentence.wait_in(label, || {
            let (newest, samples) = self.newest_recording();
            // A re-INVITE begins another one.
            let from = if newest == recording { before.len().min(samples.len()) } else { 0 };
            samples[from..].to_vec()
        })
    }

    fn recording(&self, direction: &str) -> Vec<i16> {
        let files = fs::read_dir(self.folder.join("snd")).expect("the folder was made at the start");
        files
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.to_string_lossy().ends_with(&format!("-{direction}.wav")))
            .map(|path| audio::read_wav(&path))
            .max_by_key(Vec::len)
            .unwrap_or_default()
    }
}

/// The first whole `LENGTH:BYTES,` of a buffer, and what follows it.
fn netstring(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let frame = bytes.get(colon + 1..colon + 1 + length)?.to_vec();
    Some((frame, bytes.get(colon + 2 + length..)?.to_vec()))
}
