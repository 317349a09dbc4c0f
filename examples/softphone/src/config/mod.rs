//! The file: accounts, sound devices, language. What is wrong in it is named with line, column and expectation.
//!
//! ```toml
//! language = "ja"
//!
//! [[accounts]]
//! uri = "sip:1001@pbx.example"
//! password_file = "/home/me/.secrets/sip"
//! name = "Ann"
//! codecs = ["G722", "PCMA"]
//! encryption = "offered"
//! ```

mod names;

pub use names::{
    CODECS, address, codec, default_codecs, name_of, resolve, resolve_literal, server, transport,
};

use crate::secret::Secret;
use crate::ui::Language;
use denwa_sdp::Codec;
use denwa_sdp::attribute::security::SrtpSuite;
use denwa_sip_core::Protocol;
use serde::Deserialize;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// What the telephone goes by.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The language of the screen; `None` is that of the system.
    pub language: Option<Language>,
    /// The sound devices.
    pub sound: SoundConfig,
    /// Whom TLS and WSS believe.
    pub tls: TlsSection,
    /// Who we are.
    pub accounts: Vec<AccountConfig>,
}

/// Whom TLS and WSS believe; the system's authorities without a word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// A file of authorities (PEM) that are believed besides the system's.
    pub authorities: Option<PathBuf>,
    /// Believe anyone: signalling is encrypted, and nobody knows with whom.
    #[serde(default)]
    pub anyone: bool,
    /// Our own certificates, ours first (PEM): to be listened on by TLS, and for servers that ask.
    pub certificate: Option<PathBuf>,
    /// The key of our own certificate (PEM).
    pub key: Option<PathBuf>,
}

/// The sound devices, by a part of their names; `None` is what the system prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundConfig {
    /// The microphone.
    pub input: Option<String>,
    /// The loudspeaker.
    pub output: Option<String>,
    /// The device that rings.
    pub ring: Option<String>,
}

/// One account.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// The user part of its address.
    pub user: String,
    /// The domain of its address, with a port if one was written.
    pub domain: String,
    /// The name that is shown.
    pub name: Option<String>,
    /// The name the password belongs to, when it is not `user`.
    pub login: Option<String>,
    /// Where the password comes from.
    pub password: Option<Secret>,
    /// Where everything is sent; `None` finds it by the domain.
    pub server: Option<String>,
    /// Further servers that the same registration is made at, each a flow of its own (RFC 5626 §4.2).
    pub further_servers: Vec<String>,
    /// How the servers are reached.
    pub transport: Protocol,
    /// Whether to register.
    pub register: bool,
    /// How long a registration is asked for.
    pub expires: Duration,
    /// The codecs, the most liked first.
    pub codecs: Vec<Codec>,
    /// SRTP with keys in the description (RFC 4568).
    pub sdes: Wanted,
    /// The suites of SRTP by SDES, the most liked first; empty: those that every telephone has.
    pub suites: Vec<SrtpSuite>,
    /// SRTP with keys by DTLS (RFC 5763).
    pub dtls: Wanted,
    /// ICE (RFC 8445).
    pub ice: Wanted,
    /// A STUN server.
    pub stun: Option<String>,
    /// A TURN server.
    pub turn: Option<Turn>,
    /// All sound goes by the TURN server.
    pub relay_only: bool,
    /// Keep the flow to the server open and be reached by it (RFC 5626).
    pub outbound: bool,
    /// How keys are pressed.
    pub keys: KeyMethod,
}

impl AccountConfig {
    /// An account that says nothing but its name.
    pub fn new(user: impl Into<String>, domain: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            domain: domain.into(),
            name: None,
            login: None,
            password: None,
            server: None,
            further_servers: Vec::new(),
            transport: Protocol::Udp,
            register: true,
            expires: Duration::from_secs(300),
            codecs: default_codecs(),
            sdes: Wanted::Off,
            suites: Vec::new(),
            dtls: Wanted::Off,
            ice: Wanted::Off,
            stun: None,
            turn: None,
            relay_only: false,
            outbound: false,
            keys: KeyMethod::Automatic,
        }
    }

    /// Its address without a scheme.
    pub fn address(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }
}

/// A TURN server and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Where.
    pub server: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// No.
    #[default]
    #[serde(alias = "none")]
    #[value(alias = "none")]
    Off,
    /// When the other side can.
    #[serde(alias = "offer")]
    #[value(alias = "offer")]
    Offered,
    /// Or no call.
    #[serde(alias = "require")]
    #[value(alias = "require")]
    Required,
}

/// How keys are pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyMethod {
    /// By telephone events when the other side takes them, else as tones.
    #[default]
    Automatic,
    /// By telephone events (RFC 4733).
    Events,
    /// By SIP INFO.
    Info,
    /// As tones in the sound.
    InBand,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 when it is the whole file.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            0 => write!(f, "{file}: {}", self.sentence),
            line => write!(f, "{file}, line {line}, column {}: {}", self.column, self.sentence),
        }
    }
}

impl std::error::Error for Problem {}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or something in it is wrong: the first such thing.
pub fn read(file: &Path) -> Result<Config, Problem> {
    let whole = |sentence: String| Problem { file: file.to_owned(), line: 0, column: 0, sentence };
    let text = std::fs::read_to_string(file).map_err(|error| whole(format!("cannot be read: {error}")))?;
    parse(&text).map_err(|(span, sentence)| match span {
        Some(span) => {
            let (line, column) = place(&text, span.start);
            Problem { file: file.to_owned(), line, column, sentence }
        }
        None => whole(sentence),
    })
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

type Fault = (Option<Range<usize>>, String);

fn parse(text: &str) -> Result<Config, Fault> {
    let file: File = toml::from_str(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        (error.span(), message)
    })?;
    let accounts = file.accounts.into_iter().map(account).collect::<Result<Vec<_>, Fault>>()?;
    Ok(Config { language: file.language.map(Into::into), sound: file.sound, tls: file.tls, accounts })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: Option<FileLanguage>,
    #[serde(default)]
    sound: SoundConfig,
    #[serde(default)]
    tls: TlsSection,
    #[serde(default)]
    accounts: Vec<AccountSection>,
}

#[derive(Clone, Copy, Deserialize)]
enum FileLanguage {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "ja")]
    Japanese,
}

impl From<FileLanguage> for Language {
    fn from(language: FileLanguage) -> Self {
        match language {
            FileLanguage::English => Self::English,
            FileLanguage::Japanese => Self::Japanese,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountSection {
    uri: Spanned<String>,
    name: Option<String>,
    login: Option<String>,
    password: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    password_env: Option<Spanned<String>>,
    password_prompt: Option<Spanned<bool>>,
    server: Option<Spanned<String>>,
    further_servers: Option<Vec<Spanned<String>>>,
    transport: Option<Spanned<String>>,
    register: Option<bool>,
    expires: Option<Spanned<u64>>,
    codecs: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    encryption: Wanted,
    sdes: Option<Wanted>,
    dtls: Option<Wanted>,
    #[serde(default)]
    ice: Wanted,
    stun: Option<String>,
    turn: Option<Spanned<String>>,
    turn_user: Option<String>,
    turn_password: Option<String>,
    #[serde(default)]
    relay_only: bool,
    #[serde(default)]
    outbound: bool,
    #[serde(default)]
    dtmf: KeyMethod,
}

fn account(section: AccountSection) -> Result<AccountConfig, Fault> {
    let at = |span: Range<usize>, sentence: String| (Some(span), sentence);
    let (user, domain, uri_transport) =
        address(section.uri.get_ref()).map_err(|sentence| at(section.uri.span(), sentence))?;
    let mut account = AccountConfig::new(user, domain);
    let mut secrets: Vec<(Range<usize>, Secret)> = Vec::new();
    if let Some(text) = section.password {
        secrets.push((text.span(), Secret::Text(text.into_inner())));
    }
    if let Some(file) = section.password_file {
        secrets.push((file.span(), Secret::File(file.into_inner())));
    }
    if let Some(name) = section.password_env {
        secrets.push((name.span(), Secret::Environment(name.into_inner())));
    }
    if let Some(prompt) = section.password_prompt
        && *prompt.get_ref()
    {
        secrets.push((prompt.span(), Secret::Prompt));
    }
    if let Some((span, _)) = secrets.get(1) {
        let sentence = "there is a password already: expected one of password, password_file, password_env, password_prompt";
        return Err(at(span.clone(), sentence.to_owned()));
    }
    account.password = secrets.pop().map(|(_, secret)| secret);
    account.transport = match section.transport {
        Some(text) => transport(text.get_ref()).map_err(|sentence| at(text.span(), sentence))?,
        None => match uri_transport {
            Some(text) => transport(&text).map_err(|sentence| at(section.uri.span(), sentence))?,
            None => Protocol::Udp,
        },
    };
    if let Some(text) = section.server {
        account.server = Some(server(text.get_ref()).map_err(|sentence| at(text.span(), sentence))?);
    }
    for text in section.further_servers.unwrap_or_default() {
        if account.server.is_none() {
            let sentence = "a further server stands beside the first: expected `server` too";
            return Err(at(text.span(), sentence.to_owned()));
        }
        if !section.outbound {
            let sentence = "a further server is a further flow (RFC 5626): expected `outbound = true` too";
            return Err(at(text.span(), sentence.to_owned()));
        }
        let further = server(text.get_ref()).map_err(|sentence| at(text.span(), sentence))?;
        if account.server.iter().chain(&account.further_servers).any(|known| *known == further) {
            let sentence = format!("`{further}` is named twice: expected another server for a further flow");
            return Err(at(text.span(), sentence));
        }
        account.further_servers.push(further);
    }
    if let Some(list) = section.codecs {
        if list.get_ref().is_empty() {
            return Err(at(list.span(), format!("no codec: expected at least one of {}", CODECS.join(", "))));
        }
        let read =
            |name: &Spanned<String>| codec(name.get_ref()).map_err(|sentence| at(name.span(), sentence));
        account.codecs = list.get_ref().iter().map(read).collect::<Result<_, _>>()?;
    }
    if let Some(expires) = section.expires {
        if !(60..=86_400).contains(expires.get_ref()) {
            let sentence = format!("{} is out of range: expected 60 to 86400 seconds", expires.get_ref());
            return Err(at(expires.span(), sentence));
        }
        account.expires = Duration::from_secs(*expires.get_ref());
    }
    if let Some(server) = section.turn {
        let (Some(user), Some(password)) = (section.turn_user, section.turn_password) else {
            let sentence =
                "a TURN server asks for a name and a password: expected turn_user and turn_password";
            return Err(at(server.span(), sentence.to_owned()));
        };
        account.turn = Some(Turn { server: server.into_inner(), user, password });
    }
    account.sdes = section.sdes.unwrap_or(section.encryption);
    account.dtls = section.dtls.unwrap_or_default();
    account.register = section.register.unwrap_or(true);
    (account.name, account.login) = (section.name, section.login);
    (account.ice, account.stun, account.outbound) = (section.ice, section.stun, section.outbound);
    account.relay_only = section.relay_only;
    crate::ways::check(&account).map_err(|sentence| at(section.uri.span(), sentence))?;
    account.keys = section.dtmf;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, usize, String) {
        let (span, sentence) = parse(text).unwrap_err();
        let (line, column) = place(text, span.unwrap().start);
        (line, column, sentence)
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = r#"
            language = "ja"
            [sound]
            ring = "HDMI"
            [[accounts]]
            uri = "sip:1001@pbx.example;transport=tcp"
            password = "secret"
            name = "安"
            codecs = ["PCMU", "pcma"]
            encryption = "offered"
            dtmf = "info"
            expires = 120
            [[accounts]]
            uri = "bob@192.0.2.1:5070"
            password_env = "BOB"
            sdes = "required"
            register = false
            server = "proxy.example"
            outbound = true
            further_servers = ["proxy2.example:5070"]
        "#;
        let config = parse(text).unwrap();
        assert_eq!(config.language, Some(Language::Japanese));
        assert_eq!(config.sound.ring.as_deref(), Some("HDMI"));
        let [ann, bob] = config.accounts.as_slice() else { panic!() };
        assert_eq!((ann.address().as_str(), ann.transport), ("1001@pbx.example", Protocol::Tcp));
        assert_eq!(ann.password, Some(Secret::Text("secret".into())));
        assert_eq!((ann.sdes, ann.keys), (Wanted::Offered, KeyMethod::Info));
        assert_eq!(ann.codecs.iter().map(|codec| &*codec.name).collect::<Vec<_>>(), ["PCMU", "PCMA"]);
        assert_eq!(ann.expires, Duration::from_secs(120));
        assert_eq!(
            (bob.domain.as_str(), bob.register, bob.sdes),
            ("192.0.2.1:5070", false, Wanted::Required)
        );
        assert_eq!(bob.password, Some(Secret::Environment("BOB".into())));
        assert_eq!(bob.further_servers, ["proxy2.example:5070"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let account = "[[accounts]]\nuri = \"sip:a@b\"\n";
        for (text, line, column, said) in [
            ("[[accounts]]\nname = \"x\"\n".to_owned(), 1, 1, "missing field `uri`"),
            ("[[accounts]]\nuri = \"a b\"\n".to_owned(), 2, 7, "expected sip:user@domain"),
            (format!("{account}codecs = [\"PCMA\", \"X\"]\n"), 3, 19, "not a codec of this telephone"),
            (format!("{account}codecs = []\n"), 3, 10, "expected at least one of opus"),
            (format!("{account}colour = 1\n"), 3, 1, "unknown field `colour`, expected one of `uri`"),
            (format!("{account}encryption = \"maybe\"\n"), 3, 14, "unknown variant `maybe`, expected one of"),
            (format!("{account}transport = \"pigeon\"\n"), 3, 13, "expected udp, tcp"),
            (format!("{account}expires = 5\n"), 3, 11, "expected 60 to 86400 seconds"),
            (
                format!("{account}password = \"a\"\npassword_env = \"B\"\n"),
                4,
                16,
                "there is a password already",
            ),
            (format!("{account}server = \"a b\"\n"), 3, 10, "expected a name or an address"),
            (format!("{account}server = \"a:0\"\n"), 3, 10, "with :port if need be"),
            (format!("{account}further_servers = [\"b\"]\n"), 3, 20, "expected `server` too"),
            (format!("{account}server = \"a\"\nfurther_servers = [\"b\"]\n"), 4, 20, "`outbound = true` too"),
            (
                format!("{account}server = \"a\"\noutbound = true\nfurther_servers = [\"b\", \"a\"]\n"),
                5,
                25,
                "`a` is named twice",
            ),
            (format!("{account}turn = \"t\"\n"), 3, 8, "expected turn_user and turn_password"),
            (format!("{account}name = 5\n"), 3, 8, "expected a string"),
            ("language = \"fr\"\n".to_owned(), 1, 12, "expected `en` or `ja`"),
            ("[[accounts]\n".to_owned(), 1, 12, "expected"),
        ] {
            let found = fault(&text);
            assert_eq!((found.0, found.1), (line, column), "{text}: {}", found.2);
            assert!(found.2.contains(said), "{text}: {}", found.2);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let problem = read(Path::new("no-such.toml")).unwrap_err();
        assert!(problem.to_string().starts_with("no-such.toml: cannot be read: "), "{problem}");
    }

    #[test]
    fn servers_are_found() {
        let is =
            |server: &str, address: &str| assert_eq!(resolve(server, 5060), Ok(address.parse().unwrap()));
        is("127.0.0.1", "127.0.0.1:5060");
        is("127.0.0.1:5070", "127.0.0.1:5070");
        is("[::1]", "[::1]:5060");
        is("::1", "[::1]:5060");
        is("[::1]:5070", "[::1]:5070");
        assert!(resolve("a:b", 5060).unwrap_err().contains("not a port"));
    }
}
