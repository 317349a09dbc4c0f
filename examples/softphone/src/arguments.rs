//! The command line.

use clap::{Args, Parser, Subcommand};
use denwa::address::Network;
use denwa::port_set::PortSet;
use denwa::tokio::Listen;
use denwa_sdp::attribute::security::SrtpSuite;
use denwa_sip_core::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A telephone for the command line: it plays a WAV file and records another.
///
/// Exit codes: 0 all went as asked, 1 it did not come about (refused, not reached, not registered), 2 the command line or a
/// file is wrong, 3 sound was expected and none came.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
}

/// Who we are, and by which way we speak.
#[derive(Clone, Debug, Args)]
pub struct AccountArguments {
    /// The user part of our address.
    #[arg(long, default_value = "softphone")]
    pub user: String,
    /// The password for it.
    #[arg(long)]
    pub password: Option<String>,
    /// The server: a name, an address, with a port if it is not 5060.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// The domain of our address, when it is not the server.
    #[arg(long)]
    pub domain: Option<String>,
    /// The name shown to the other side.
    #[arg(long)]
    pub name: Option<String>,
    /// How the server is reached: udp or tcp.
    #[arg(long, value_parser = transport, default_value = "udp")]
    pub transport: Protocol,
    /// Where to listen, several times if need be. Default: UDP and TCP on a port the system chooses, on all addresses.
    #[arg(long, value_name = "udp:ADDRESS:PORT")]
    pub listen: Vec<Listen>,
    /// UDP ports for sound, for instance 20000-20999. Default: the system chooses.
    #[arg(long)]
    pub ports: Option<PortSet>,
    /// The codecs, the most liked first: PCMA, PCMU, G722, G729, iLBC, GSM, G726, L16, opus.
    #[arg(long, value_delimiter = ',', default_value = "PCMA,PCMU")]
    pub codecs: Vec<String>,
    /// Protect sound by SRTP with keys in the description (SDES): off, offer or require.
    #[arg(long, default_value = "off")]
    pub srtp: Srtp,
    /// The suites of SRTP, the most liked first.
    #[arg(long, value_delimiter = ',', value_parser = suite,
        default_value = "AES_CM_128_HMAC_SHA1_80,AES_CM_128_HMAC_SHA1_32")]
    pub srtp_suites: Vec<SrtpSuite>,
    /// The address that peers beyond the local networks are told.
    #[arg(long)]
    pub external: Option<IpAddr>,
    /// A network whose hosts are told our own address. Default: the private networks.
    #[arg(long, value_name = "NETWORK")]
    pub local: Vec<Network>,
}

/// Whether sound is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Srtp {
    /// Plain RTP.
    #[default]
    Off,
    /// SRTP when the other side can.
    Offer,
    /// SRTP or no call.
    Require,
}

/// What happens during a call.
#[derive(Clone, Debug, Args)]
pub struct TalkArguments {
    /// A WAV file to say: 8000 samples a second, one channel. Without it a tone of 440 Hz is said.
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
    #[arg(long)]
    pub digits: Option<String>,
    /// Fail with code 3 when no sound is heard.
    #[arg(long)]
    pub expect_audio: bool,
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

fn suite(text: &str) -> Result<SrtpSuite, String> {
    SrtpSuite::parse(text).ok_or_else(|| {
        format!("`{text}` is not a suite of SRTP: expected AES_CM_128_HMAC_SHA1_80 or its like")
    })
}

fn transport(text: &str) -> Result<Protocol, String> {
    match Protocol::from_uri_token(text, false) {
        Some(protocol @ (Protocol::Udp | Protocol::Tcp)) => Ok(protocol),
        _ => Err(format!("`{text}` is not a transport this telephone has: expected udp or tcp")),
    }
}

/// A server as it was written: a socket address, or the name that leads to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerText {
    /// An address.
    Address(SocketAddr),
    /// A name, with its port if one was written.
    Name(String),
}

impl ServerText {
    /// Reads `192.0.2.1`, `192.0.2.1:5060`, `[2001:db8::1]:5060`, `pbx.example`.
    pub fn parse(text: &str) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::Address(address);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, 5060)),
            Err(_) => Self::Name(text.to_owned()),
        }
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
    fn servers_are_read() {
        let address = |text: &str| ServerText::Address(text.parse().unwrap());
        assert_eq!(ServerText::parse("127.0.0.1"), address("127.0.0.1:5060"));
        assert_eq!(ServerText::parse("127.0.0.1:5070"), address("127.0.0.1:5070"));
        assert_eq!(ServerText::parse("[2001:db8::1]"), address("[2001:db8::1]:5060"));
        assert_eq!(ServerText::parse("2001:db8::1"), address("[2001:db8::1]:5060"));
        assert_eq!(ServerText::parse("pbx.example"), ServerText::Name("pbx.example".into()));
    }

    #[test]
    fn the_call_of_the_readme_is_understood() {
        let line = "softphone call sip:186@127.0.0.1 --user 1001 --password P --server 127.0.0.1 --hangup-after 3s --expect-audio";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Call { address, account, talk, .. } = arguments.command else { panic!() };
        assert_eq!((address.as_str(), account.user.as_str()), ("sip:186@127.0.0.1", "1001"));
        assert_eq!(talk.hangup_after, Some(Duration::from_secs(3)));
        assert!(talk.expect_audio);
    }
}
