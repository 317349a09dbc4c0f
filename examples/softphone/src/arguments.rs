//! The command line.

use crate::config::{KeyMethod, Wanted};
use crate::ui::Language;
use clap::{Args, Parser, Subcommand};
use denwa::address::Network;
use denwa::port_set::PortSet;
use denwa::tokio::Listen;
use denwa_sdp::attribute::security::SrtpSuite;
use denwa_sip_core::Protocol;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A telephone. Without a command it opens its screen; commands do one thing, need no terminal, and tell how it went.
///
/// Exit codes: 0 all went as asked, 1 it did not come about (refused, not reached, not registered), 2 the command line or a
/// file is wrong, 3 sound was expected and none came, or a test call heard no echo.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to do; the screen without it.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The file with accounts. Default: `denwa/softphone.toml` in the folder for configuration.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Tell events as JSON, one a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// The language of the screen: en or ja. Default: that of the file, or of the system.
    #[arg(long, global = true, value_parser = language)]
    pub language: Option<Language>,
    /// Microphone and loudspeaker of the screen.
    #[arg(long, value_enum, default_value_t)]
    pub sound: SoundChoice,
    /// Where the screen's telephone listens, several times if need be.
    #[arg(long, value_name = "udp:ADDRESS:PORT")]
    pub listen: Vec<Listen>,
}

/// Microphone and loudspeaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SoundChoice {
    /// The system's devices, when this program was built with them.
    #[default]
    Devices,
    /// A tone for a microphone.
    Tone,
    /// None.
    None,
}

/// What the telephone can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register, stay registered, and withdraw the registration at the end.
    Register {
        /// Who.
        #[command(flatten)]
        account: AccountArguments,
        /// How long to stay, for instance `10s` or `5m`; without it until interrupted. `0s` ends as soon as registered.
        #[arg(long = "for", value_parser = duration, value_name = "TIME")]
        stay: Option<Duration>,
        /// Write what was done, and how it went, as JSON.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Call somebody.
    Call {
        /// `sip:200@pbx.example`, `200@pbx.example`, or just `200` at the server.
        address: String,
        /// Who.
        #[command(flatten)]
        account: AccountArguments,
        /// What is said, heard and done during the call.
        #[command(flatten)]
        talk: TalkArguments,
        /// Register before calling.
        #[arg(long)]
        register: bool,
    },
    /// Wait for calls and answer them.
    Answer {
        /// Who; registers when a server is named.
        #[command(flatten)]
        account: AccountArguments,
        /// What is said, heard and done during the call.
        #[command(flatten)]
        talk: TalkArguments,
        /// How many calls to take before ending; without it until interrupted.
        #[arg(long)]
        calls: Option<u32>,
        /// Let it ring for so long before answering.
        #[arg(long, value_parser = duration, default_value = "0s", value_name = "TIME")]
        ring: Duration,
    },
    /// Send a text message.
    Message {
        /// To whom, as for `call`.
        address: String,
        /// What.
        text: String,
        /// Who.
        #[command(flatten)]
        account: AccountArguments,
        /// Register before sending.
        #[arg(long)]
        register: bool,
        /// Write what was done, and how it went, as JSON.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Call an echo and say in one sentence whether voice passes both ways, how late, and how well.
    Test {
        /// The number of the echo, as for `call`.
        address: String,
        /// Who.
        #[command(flatten)]
        account: AccountArguments,
        /// Register before calling.
        #[arg(long)]
        register: bool,
        /// How long to listen: 3 seconds or more.
        #[arg(long = "for", value_parser = duration, default_value = "8s", value_name = "TIME")]
        lasts: Duration,
        /// Write what was done, and how it went, as JSON.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Ask for an account and write it to the file.
    Wizard,
    /// Read the file and say what is in it, or what is wrong with it.
    Check,
}

/// Who we are, and by which way we speak. What is said here goes before what the file says.
#[derive(Clone, Debug, Default, Args)]
pub struct AccountArguments {
    /// The account of the file: its address or its number, from 1. Default: the first, unless a user or server is named.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
    /// The user part of our address. Default: softphone.
    #[arg(long)]
    pub user: Option<String>,
    /// The password for it. Other users of this computer can read it in the list of processes.
    #[arg(long)]
    pub password: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// The variable of the environment that holds the password.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["password", "password_file"])]
    pub password_env: Option<String>,
    /// Ask for the password.
    #[arg(long, conflicts_with_all = ["password", "password_file", "password_env"])]
    pub password_prompt: bool,
    /// The server: a name, an address, with a port if it is not 5060.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// The domain of our address, when it is not the server.
    #[arg(long)]
    pub domain: Option<String>,
    /// The name shown to the other side.
    #[arg(long)]
    pub name: Option<String>,
    /// How the server is reached: udp, tcp, tls, ws or wss.
    #[arg(long, value_parser = crate::config::transport)]
    pub transport: Option<Protocol>,
    /// Where to listen, several times if need be. Default: on a port the system chooses, on all addresses.
    #[arg(long = "listen", id = "account_listen", value_name = "udp:ADDRESS:PORT")]
    pub listen: Vec<Listen>,
    /// UDP ports for sound, for instance 20000-20999. Default: the system chooses.
    #[arg(long)]
    pub ports: Option<PortSet>,
    /// The codecs, the most liked first, of opus, G722, PCMA, PCMU, G729, G726-32, iLBC, GSM, L16. Default: PCMA,PCMU.
    #[arg(long, value_delimiter = ',')]
    pub codecs: Vec<String>,
    /// Protect sound by SRTP with keys in the description (SDES): off, offer or require.
    #[arg(long)]
    pub srtp: Option<Wanted>,
    /// The suites of SRTP by SDES, the most liked first. Default: AES_CM_128_HMAC_SHA1_80 and its like with short tags.
    #[arg(long, value_delimiter = ',', value_parser = suite)]
    pub srtp_suites: Vec<SrtpSuite>,
    /// Protect sound by SRTP with keys by DTLS: off, offer or require.
    #[arg(long)]
    pub dtls: Option<Wanted>,
    /// Find the way of sound by ICE: off, offer or require.
    #[arg(long)]
    pub ice: Option<Wanted>,
    /// A STUN server for ICE, as HOST or HOST:PORT.
    #[arg(long, value_name = "SERVER")]
    pub stun: Option<String>,
    /// A TURN server for ICE: HOST or HOST:PORT over UDP, turn:HOST:PORT?transport=tcp, or turns:HOST:PORT over TLS.
    #[arg(long, value_name = "SERVER")]
    pub turn: Option<String>,
    /// Our name at the TURN server.
    #[arg(long, value_name = "NAME")]
    pub turn_user: Option<String>,
    /// Our password at the TURN server.
    #[arg(long, value_name = "PASSWORD")]
    pub turn_password: Option<String>,
    /// Let all sound go by the TURN server, so that the other side never learns an address of ours.
    #[arg(long)]
    pub relay_only: bool,
    /// Keep the flow to the server open and be reached by it (RFC 5626).
    #[arg(long)]
    pub outbound: bool,
    /// How keys are pressed.
    #[arg(long)]
    pub dtmf_by: Option<KeyMethod>,
    /// The address that peers beyond the local networks are told.
    #[arg(long)]
    pub external: Option<IpAddr>,
    /// A network whose hosts are told our own address. Default: the private networks.
    #[arg(long, value_name = "NETWORK")]
    pub local: Vec<Network>,
}

/// What happens during a call.
#[derive(Clone, Debug, Args)]
pub struct TalkArguments {
    /// A WAV file to say. Without it a tone of 440 Hz is said.
    #[arg(long)]
    pub play: Option<PathBuf>,
    /// A WAV file to write what is heard to.
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// Hang up so long after the answer, for instance `10s`; without it when the other side does.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub hangup_after: Option<Duration>,
    /// Hang up when the file to say is at its end.
    #[arg(long)]
    pub hangup_at_end: bool,
    /// Keys to press after the answer: 0-9, *, #, A-D.
    #[arg(long = "dtmf", alias = "digits", value_name = "KEYS", value_parser = keys)]
    pub digits: Option<String>,
    /// Fail with code 3 when no sound is heard.
    #[arg(long)]
    pub expect_audio: bool,
    /// Samples a second of what is said and recorded: 8000, 16000 or 48000.
    #[arg(long, default_value = "8000", value_parser = rate, value_name = "HZ")]
    pub rate: u32,
    /// Write what was done, and how it went, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `250ms`, `10s`, `5m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a time: expected 250ms, 10s or 5m"))?;
    let seconds = match unit.trim() {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        other => return Err(format!("`{other}` is not a unit of time: expected ms, s or m")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is out of range"))
}

fn keys(text: &str) -> Result<String, String> {
    match text.chars().find(|key| !key.is_ascii_digit() && !"*#ABCDabcd".contains(*key)) {
        Some(other) => Err(format!("`{other}` is not a key: expected 0-9, *, #, A-D")),
        None => Ok(text.to_owned()),
    }
}

fn suite(text: &str) -> Result<SrtpSuite, String> {
    SrtpSuite::parse(text).ok_or_else(|| {
        format!("`{text}` is not a suite of SRTP: expected AES_CM_128_HMAC_SHA1_80 or its like")
    })
}

fn rate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(rate @ (8_000 | 16_000 | 48_000)) => Ok(rate),
        _ => Err(format!("`{text}` is not a rate of this telephone: expected 8000, 16000 or 48000")),
    }
}

fn language(text: &str) -> Result<Language, String> {
    match text {
        "en" => Ok(Language::English),
        "ja" => Ok(Language::Japanese),
        _ => Err(format!("`{text}` is not a language of the screen: expected en or ja")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("soon").is_err() && duration("3h").is_err() && duration("").is_err());
    }

    #[test]
    fn keys_are_those_of_a_telephone() {
        assert_eq!(keys("12#A"), Ok("12#A".to_owned()));
        assert_eq!(keys("12x").unwrap_err(), "`x` is not a key: expected 0-9, *, #, A-D");
    }

    #[test]
    fn the_call_of_the_readme_is_understood() {
        let line = "softphone call sip:186@127.0.0.1 --user 1001 --password P --server 127.0.0.1 --hangup-after 3s --expect-audio";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Call { address, account, talk, .. }) = arguments.command else { panic!() };
        assert_eq!((address.as_str(), account.user.as_deref()), ("sip:186@127.0.0.1", Some("1001")));
        assert_eq!(talk.hangup_after, Some(Duration::from_secs(3)));
        assert!(talk.expect_audio);
    }
}
