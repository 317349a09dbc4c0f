//! The configuration file: TOML, every key with a default, every mistake with its line, column and what was expected.
//!
//! [`Config::parse`] is a pure function of the text; [`Config::load`] adds the reading. Nothing here opens a socket or
//! resolves a name: `pbx check` says what is wrong with the *file*, starting says what is wrong with the *machine*.

mod acl;
mod address;
mod document;
mod extension;
mod features;
mod network;
mod problem;
mod profile;
mod reach;
mod reveal;
mod rewrites;
mod running;
mod safety;
mod sections;
mod style;
mod trunks;
mod turn;
mod values;
mod voice;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use denwa::address::Network;
use denwa::marking::Dscp;
use denwa::port_set::PortSet;
use denwa_codecs::tone::plan::Plan;
use denwa_sip_core::auth::algorithm::Algorithm;
use zeroize::Zeroizing;

pub use acl::Acl;
pub use address::{Finding, Host, HostPort, Listen, PeerAddress, Protocol, SIP_PORT};
pub use extension::{Extension, Forward, Group, KnownBy, Strategy};
pub use features::{
    Clock, Conference, Mantela, Menu, PromptFiles, Queue, Recording, Rule, Services, TlsFiles, Voicemail,
};
pub use problem::Problem;
pub use rewrites::{Rewrite, RewritePeer};
pub use safety::{Identity, Metrics, Secrets};
pub use style::{DivertedBy, IdentityHeader, TrunkStyle};
pub use trunks::{EarlyMedia, InboundAccount, SessionTerms, Signatures, Terms, Trunk, TrunkAccount};
pub use turn::{Turn, TurnUsers};
pub(crate) use values::is_number;
pub use voice::{Codec, Encryption, Keying, Nat, Voice};

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
    pub store: Storing,
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

/// `[store]`: where registrations, extensions and call records are kept, and how well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storing {
    /// Where.
    pub url: StoreUrl,
    /// How long what is written may wait for the disk: what a power cut may cost. The end of the program costs nothing,
    /// however it comes. Zero: everything is on the disk before it is acknowledged.
    pub sync: Duration,
}

/// The place of a store.
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

impl Default for Storing {
    fn default() -> Self {
        Self { url: StoreUrl::default(), sync: Duration::from_secs(1) }
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
