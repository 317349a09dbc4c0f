//! The configuration file: TOML, every key with a default, every mistake with its line, column and what was expected.
//!
//! [`Config::parse`] is a pure function of the text; [`Config::load`] adds the reading. Nothing here opens a socket or
//! resolves a name: `pbx check` says what is wrong with the *file*, starting says what is wrong with the *machine*.

mod acl;
mod address;
mod document;
mod features;
mod network;
mod problem;
mod profile;
mod reveal;
mod rewrites;
mod safety;
mod sections;
mod style;
mod trunks;
mod turn;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use denwa::address::Network;
use denwa::media::KeyPath;
use denwa::port_set::PortSet;
use denwa::tokio::Dscp;
use denwa_codecs::tone::plan::Plan;
use denwa_sip_core::auth::algorithm::Algorithm;
use zeroize::Zeroizing;

pub use acl::Acl;
pub use address::{Finding, Host, HostPort, Listen, PeerAddress, Protocol, SIP_PORT};
pub use features::{
    Clock, Conference, Mantela, Menu, PromptFiles, Queue, Recording, Rule, Services, TlsFiles, Voicemail,
};
pub use problem::Problem;
pub use rewrites::{Rewrite, RewritePeer};
pub use safety::{Identity, Metrics, Secrets};
pub(crate) use sections::is_number;
pub use style::{DivertedBy, IdentityHeader, TrunkStyle};
pub use trunks::{EarlyMedia, InboundAccount, SessionTerms, Signatures, Terms, Trunk, TrunkAccount};
pub use turn::{Turn, TurnUsers};

/// Everything an operator can say about an exchange.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// `[sip]`
    pub sip: Sip,
    /// `[network]`
    pub network: Networks,
    /// `[media]`
    pub media: Media,
    /// `[calls]`
    pub calls: Calls,
    /// `[guard]`
    pub guard: GuardPolicy,
    /// `[store]`
    pub store: StoreUrl,
    /// `[control]`
    pub control: Control,
    /// `[[extensions]]`, in the order of the file; numbers are distinct.
    pub extensions: Vec<Extension>,
    /// `[[groups]]`, in the order of the file; numbers are distinct.
    pub groups: Vec<Group>,
    /// `[[trunks]]`, in the order of the file; names and addresses are distinct.
    pub trunks: Vec<Trunk>,
    /// `[[routes]]`, in the order of the file; prefixes are distinct.
    pub routes: Vec<Route>,
    /// `[services]`
    pub services: Services,
    /// `[tls]`
    pub tls: TlsFiles,
    /// `[turn]`; no STUN and TURN server when `None`.
    pub turn: Option<Turn>,
    /// `[mantela]`
    pub mantela: Mantela,
    /// `[conference]`
    pub conference: Conference,
    /// `[voicemail]`
    pub voicemail: Voicemail,
    /// `[recording]`
    pub recording: Recording,
    /// `[prompts]`
    pub prompts: PromptFiles,
    /// `[clock]`
    pub clock: Clock,
    /// `[[menus]]`, in the order of the file; numbers are distinct.
    pub menus: Vec<Menu>,
    /// `[[queues]]`, in the order of the file; numbers are distinct.
    pub queues: Vec<Queue>,
    /// `[[rules]]`, in the order of the file: the first that fits counts.
    pub rules: Vec<Rule>,
    /// `[[rewrites]]`, in the order of the file: each is applied to what the one before made.
    pub rewrites: Vec<Rewrite>,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[identity]`
    pub identity: Identity,
    /// `[metrics]`
    pub metrics: Metrics,
}

/// `[sip]`: where the exchange listens and what it calls itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Sip {
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Whether `listen` was written in the file. If not, an address family that this machine lacks is passed over.
    pub listen_is_default: bool,
    /// The realm of digest challenges; passwords are stored hashed with it.
    pub realm: String,
    /// The algorithms telephones may prove their password with, best first. MD5 alone unless the file says otherwise: many
    /// telephones give up when they are offered one that they do not know beside it.
    pub digest: Vec<Algorithm>,
    /// What packets with SIP are marked with; not at all unless written.
    pub dscp: Option<Dscp>,
}

/// `[network]`: what peers are told about where the exchange is.
#[derive(Clone, Debug, PartialEq)]
pub struct Networks {
    /// The address told to peers beyond `local`.
    pub external: External,
    /// Networks whose members are told the address that the route to them leaves by.
    pub local: Vec<Network>,
    /// A STUN server that tells the external address, for [`External::Auto`].
    pub stun: Option<HostPort>,
    /// The DNS servers that are asked for names; those of the system when there are none.
    pub dns: Vec<SocketAddr>,
}

/// The address of the exchange as peers beyond `local` know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// Ask `stun` when there is one, else tell each peer the address the route to it leaves by.
    Auto,
    /// A fixed address, or a name to be looked up.
    Host(Host),
}

/// `[media]`: voice.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// UDP ports for RTP and RTCP; nothing outside them is ever used. Enough for one call at least.
    pub ports: PortSet,
    /// Whether those are all that the router lets in (`map_e`).
    pub ports_are_of_router: bool,
    /// A call is ended when one side has sent no RTP for this long while it should. Zero: never.
    pub silence: Duration,
    /// Whether fax machines and modems are listened for, and given a clear channel.
    pub fax: bool,
    /// What packets of voice are marked with; not at all unless written.
    pub dscp: Option<Dscp>,
}

/// `[calls]`: how long and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    /// How long a telephone rings before the caller hears that nobody answers.
    pub ring: Duration,
    /// The most calls at a time; a further one is answered 503.
    pub limit: u32,
    /// Numbers that pass every limit, wherever they lead: 110, 118 and 119 unless the file says otherwise.
    pub emergency: Vec<String>,
    /// Callers from neighbours that are refused, by the first digits of their numbers.
    pub blocked: Vec<String>,
    /// Whether a caller is told by a voice why he is not connected, before he is refused.
    pub announcements: bool,
    /// Whether whom an extension has put on hold hears music.
    pub music_on_hold: bool,
    /// How long the next digit of somebody who dials one by one may take.
    pub digits: Duration,
    /// Whether a caller is told by a voice that somebody is busy, and may have himself called back, before he is refused.
    pub announce_busy: bool,
    /// The tones that the exchange makes itself.
    pub tones: Tones,
}

/// A country's tones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tones {
    /// 400 Hz.
    #[default]
    Japan,
    /// The precise tone plan.
    NorthAmerica,
    /// 425 Hz.
    Europe,
}

impl Tones {
    /// The tones themselves.
    pub fn plan(self) -> Plan {
        match self {
            Self::Japan => Plan::japan(),
            Self::NorthAmerica => Plan::north_america(),
            Self::Europe => Plan::europe(),
        }
    }
}

/// `[guard]`: how strangers are treated that guess passwords, scan or flood.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardPolicy {
    /// Networks that are never refused; those under `[network] local` unless the file says otherwise. Neighbours never are.
    pub exempt: Vec<Network>,
    /// Light offences (a wrong password, a call without one) within ten minutes that one address may commit.
    pub offences: u32,
    /// How long the first ban of an address lasts; each further one lasts twice as long as the one before.
    pub ban: Duration,
    /// Who may speak to the exchange at all; everybody when it is empty.
    pub allow: Acl,
    /// Who may not, whatever is allowed.
    pub deny: Acl,
}

/// `[store]`: where registrations, extensions and call records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite file; its folder is made when it is not there.
    Sqlite(PathBuf),
    /// An SQLite store that is gone when the exchange ends.
    Memory,
}

/// `[control]`: how commands speak to the running exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The local socket; beside the store when `None`, none at all when empty.
    pub socket: Option<PathBuf>,
}

/// A password that neither prints itself nor stays in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// `[[extensions]]`: a telephone's number and what it registers with.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// The number dialled, and the user name registered with.
    pub number: String,
    /// The name shown to those it calls; may be empty.
    pub name: String,
    /// The password it registers and calls with.
    pub password: Secret,
    /// How voice travels to and from it.
    pub voice: Voice,
    /// How it is known when not by its password.
    pub known_by: KnownBy,
    /// What becomes of calls to it that it does not take.
    pub forward: Forward,
    /// Whether it stands in the document that Mantela publishes.
    pub published: bool,
    /// Whether its calls are recorded.
    pub record: bool,
    /// Where it may register and call from.
    pub allow: Acl,
    /// Whether it dials digit by digit: a call to what may become a longer number waits for the next one.
    pub overlap: bool,
    /// Whether its telephone challenges calls to it, and gets an answer.
    pub challenges: bool,
    /// The most calls it may have at a time; `None`: any number.
    pub call_limit: Option<usize>,
    /// Whether it rings while it has a call.
    pub call_waiting: bool,
    /// What its mailbox asks for; empty: nothing when called by its own telephone.
    pub voicemail_pin: Secret,
}

/// How a telephone is known that cannot, or need not, show a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownBy {
    /// Its address: what comes from there is the extension's, and calls go there. A port counts on UDP when it is written.
    pub address: Option<PeerAddress>,
    /// A name in the certificate that it shows when it connects by TLS.
    pub certificate: Option<String>,
}

/// Where calls to an extension go that it does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// It is not to be disturbed: calls find it busy.
    pub do_not_disturb: bool,
    /// Every call goes there.
    pub always: Option<String>,
    /// When it is busy or declines.
    pub busy: Option<String>,
    /// When nobody answers.
    pub no_answer: Option<String>,
    /// When none of its telephones is there.
    pub unreachable: Option<String>,
    /// How long it rings before nobody has answered; as `[calls] ring_seconds` says when `None`.
    pub ring: Option<Duration>,
    /// Telephones ring one after the other, by the preference (`q`) they registered with, each for so long; all at once when
    /// `None`.
    pub by_priority: Option<Duration>,
    /// Where it is looked for, one number after the other, when its own telephones were not answered.
    pub follow_me: Vec<String>,
    /// How long each of those rings; as `[calls] ring_seconds` says when `None`.
    pub follow_me_ring: Option<Duration>,
}

/// `[[groups]]`: a number that rings several extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The number dialled.
    pub number: String,
    /// Numbers of extensions, in order.
    pub members: Vec<String>,
    /// Which of them ring, and when.
    pub strategy: Strategy,
    /// How long each ring of it lasts; as `[calls] ring_seconds` says when `None`.
    pub ring: Option<Duration>,
    /// What is called when nobody answers.
    pub no_answer: Option<String>,
}

/// How a group rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// All at once; the first to answer has the call.
    #[default]
    All,
    /// One after the other, from the first.
    Hunt,
    /// One after the other, who has been without a call longest first.
    LongestIdle,
    /// One after the other, each call beginning behind the one that the call before began with.
    RoundRobin,
    /// None rings: all telephones answer by themselves and hear the caller.
    Page,
}

/// How voice travels to and from one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Codecs offered and accepted, best first.
    pub codecs: Vec<Codec>,
    /// Whether it is encrypted.
    pub encryption: Encryption,
    /// How its keys are agreed on, where this side is called. A caller says himself.
    pub keying: Keying,
    /// Whether its way is found by ICE (RFC 8445), where the other side can.
    pub ice: bool,
    /// Whether it is certain to know one port for RTP and RTCP, as browsers are.
    pub one_port: bool,
    /// How keys of the telephone are told to it.
    pub keys: KeyPath,
    /// How much sound a packet should hold; as the other side wishes when `None`.
    pub packet_time: Option<Duration>,
    /// Whether it is where its messages come from, or where they say.
    pub nat: Nat,
}

/// How the keys of encrypted voice are agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keying {
    /// They stand in the description (RFC 4568).
    #[default]
    Sdes,
    /// By a handshake on the way of the voice (RFC 5764), as browsers do. Telephones on WebSockets always.
    Dtls,
}

/// What is believed of the addresses that a telephone tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// It is called where its REGISTER came from; voice goes where its description says and follows what comes.
    #[default]
    Auto,
    /// What it tells is true: it is called at its Contact.
    Off,
    /// What it tells is not: voice goes to the address of its signalling, too, before any has come.
    Behind,
}

/// Whether voice is encrypted (SRTP with keys in the description, RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never; an encrypted offer is refused.
    Off,
    /// When the other side offers it.
    #[default]
    Accepted,
    /// Offered to it, and taken when it can.
    Offered,
    /// Always; what is not encrypted is refused.
    Required,
}

/// A codec the exchange can carry. What both sides have passes untouched, any other becomes what the other side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
    /// G.722, wideband.
    G722,
    /// G.729 and its annexes.
    G729,
    /// GSM full rate.
    Gsm,
    /// iLBC.
    Ilbc,
    /// Opus.
    Opus,
    /// G.726 at 32 kbit/s.
    G726,
}

/// `[[routes]]`: what is dialled with `prefix` goes out by `trunk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The leading digits.
    pub prefix: String,
    /// How many leading digits are cut off before the call goes out.
    pub strip: usize,
    /// The name of the trunk.
    pub trunk: String,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("cannot read the configuration file {}: {cause}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A secret that it names is not there.
    #[error("{}: {what}: {cause}", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Whose.
        what: String,
        /// What the system said.
        cause: String,
    },
    /// Something in it is wrong.
    #[error("{}", wrong(.path, .problems))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text =
            fs::read_to_string(path).map_err(|cause| LoadError::Read { path: path.to_owned(), cause })?;
        let mut config =
            Self::parse(&text).map_err(|problems| LoadError::Wrong { path: path.to_owned(), problems })?;
        config.reveal_secrets().map_err(|(what, cause)| LoadError::Secret {
            path: path.to_owned(),
            what,
            cause,
        })?;
        Ok(config)
    }

    /// Reads and checks the text of a file; all that is wrong with it when something is.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        sections::parse(text)
    }

    /// The extension of that number in the file.
    pub fn extension(&self, number: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.number == number)
    }
}

impl Default for Sip {
    fn default() -> Self {
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let listen = [Protocol::Udp, Protocol::Tcp]
            .into_iter()
            .flat_map(|protocol| any.map(|ip| Listen { protocol, address: SocketAddr::new(ip, SIP_PORT) }))
            .collect();
        Self {
            listen,
            listen_is_default: true,
            realm: "pbx.example".to_owned(),
            digest: vec![Algorithm::Md5],
            dscp: None,
        }
    }
}

impl Default for Networks {
    fn default() -> Self {
        Self { external: External::Auto, local: Network::PRIVATE.to_vec(), stun: None, dns: Vec::new() }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            ports: PortSet::from_ranges([20000..=20999]),
            ports_are_of_router: false,
            silence: Duration::from_secs(30),
            fax: true,
            dscp: None,
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ring: Duration::from_secs(60),
            limit: 500,
            emergency: ["110", "118", "119"].map(str::to_owned).to_vec(),
            blocked: Vec::new(),
            announcements: true,
            music_on_hold: true,
            digits: Duration::from_secs(5),
            announce_busy: false,
            tones: Tones::default(),
        }
    }
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            exempt: Networks::default().local,
            offences: 10,
            ban: Duration::from_secs(300),
            allow: Acl::default(),
            deny: Acl::default(),
        }
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            codecs: Codec::DEFAULT.to_vec(),
            encryption: Encryption::default(),
            keying: Keying::default(),
            ice: false,
            one_port: false,
            keys: KeyPath::Agreed,
            packet_time: None,
            nat: Nat::default(),
        }
    }
}

impl Voice {
    /// The same for a telephone on this transport: those on WebSockets are browsers, which know but one way.
    #[must_use]
    pub fn over(&self, protocol: Protocol) -> Self {
        let is_browser =
            matches!(protocol, Protocol::Ws | Protocol::Wss) && self.encryption != Encryption::Off;
        if !is_browser {
            return self.clone();
        }
        Self {
            encryption: Encryption::Required,
            keying: Keying::Dtls,
            ice: true,
            one_port: true,
            ..self.clone()
        }
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sqlite(PathBuf::from("pbx-data/pbx.db"))
    }
}

impl Secret {
    /// Keeps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The password itself, for hashing or for the one time it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 8] =
        [Self::Pcma, Self::Pcmu, Self::G722, Self::G729, Self::Gsm, Self::Ilbc, Self::Opus, Self::G726];

    /// Those that every telephone has, in the order they are offered when the file says nothing.
    pub const DEFAULT: [Self; 2] = [Self::Pcma, Self::Pcmu];

    /// The name of RFC 3551 and its like, as the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::Gsm => "GSM",
            Self::Ilbc => "iLBC",
            Self::Opus => "opus",
            Self::G726 => "G726-32",
        }
    }

    /// The codec of a name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Memory => formatter.write_str("sqlite::memory:"),
        }
    }
}

fn wrong(path: &Path, problems: &[Problem]) -> String {
    let mut lines = problems.iter().map(|problem| format!("{}: {problem}", path.display()));
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |text, line| text + "\n" + &line)
}

#[cfg(test)]
mod tests;
