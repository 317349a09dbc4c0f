//! The file: sides, routes, media.

use crate::turn::TurnSection;
use denwa::address::{AddressPolicy, Network};
use denwa::port_set::PortSet;
use denwa::tokio::{Listen, TurnServerConfig};
use denwa_sdp::Codec;
use denwa_sip_core::Protocol;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// What the gateway goes by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Ports for media.
    pub ports: PortSet,
    /// Which of our addresses a peer is told.
    pub addresses: AddressPolicy,
    /// The networks that are joined.
    pub sides: Vec<Side>,
    /// What goes where.
    pub routes: Vec<Route>,
    /// The STUN and TURN server, when there is to be one.
    pub turn: Option<TurnServerConfig>,
}

/// One network.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its name.
    pub name: String,
    /// Calls from these addresses are its calls.
    pub from: Vec<Network>,
    /// Calls to it go there.
    pub to: Option<(Protocol, SocketAddr)>,
    /// What it can speak, the most liked first.
    pub codecs: Vec<Codec>,
    /// The name it knows us by, when it asks.
    pub user: Option<String>,
    /// The password for it.
    pub password: Option<String>,
    /// Whether to register with it.
    pub register: bool,
}

/// Calls from one side to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The side they come from.
    pub from: String,
    /// The side they go to.
    pub to: String,
    /// Only numbers that begin so.
    pub prefix: String,
    /// How many characters are cut off in front.
    pub strip: usize,
    /// What is put in front then.
    pub prepend: String,
}

impl Route {
    /// The number that goes out for `number`; `None` when the route is not for it.
    pub fn rewrite(&self, number: &str) -> Option<String> {
        if !number.starts_with(&self.prefix) {
            return None;
        }
        let rest: String = number.chars().skip(self.strip).collect();
        Some(format!("{}{rest}", self.prepend))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sip: SipSection,
    #[serde(default)]
    media: MediaSection,
    #[serde(default)]
    network: NetworkSection,
    #[serde(default)]
    sides: Vec<SideSection>,
    #[serde(default)]
    routes: Vec<RouteSection>,
    turn: Option<TurnSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SipSection {
    listen: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MediaSection {
    ports: Vec<Spanned<String>>,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self { ports: vec![Spanned::new(0..0, "20000-20999".to_owned())] }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkSection {
    external: Option<Spanned<String>>,
    local: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SideSection {
    name: Spanned<String>,
    #[serde(default)]
    from: Vec<Spanned<String>>,
    to: Option<Spanned<String>>,
    #[serde(default)]
    codecs: Vec<Spanned<String>>,
    user: Option<String>,
    password: Option<String>,
    #[serde(default)]
    register: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteSection {
    from: Spanned<String>,
    to: Spanned<String>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    strip: usize,
    #[serde(default)]
    prepend: String,
}

pub(crate) type Spanned<T> = toml::Spanned<T>;

/// What is wrong with a file: where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1; 0 when it is about the whole.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub sentence: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.sentence);
        }
        write!(f, "line {}, column {}: {}", self.line, self.column, self.sentence)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |offset: usize, sentence: String| {
            let before = text.get(..offset).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            ConfigError { line, column, sentence }
        };
        let at = |spanned: &Spanned<String>, sentence: String| wrong(spanned.span().start, sentence);
        let file: File = toml::from_str(text).map_err(|error| {
            wrong(error.span().map_or(0, |span| span.start), error.message().trim().to_owned())
        })?;
        let mut listen: Vec<Listen> = Vec::new();
        for entry in &file.sip.listen {
            let parsed: Listen = entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?;
            if !matches!(parsed.protocol, Protocol::Udp | Protocol::Tcp) {
                return Err(at(entry, format!("`{}`: expected udp: or tcp:", entry.get_ref())));
            }
            listen.push(parsed);
        }
        let mut ports = PortSet::EMPTY;
        for entry in &file.media.ports {
            let set: PortSet = entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?;
            ports = ports.union(&set);
        }
        let addresses = addresses(&file.network, &at)?;
        let mut sides: Vec<Side> = Vec::new();
        for section in &file.sides {
            if sides.iter().any(|side| side.name == *section.name.get_ref()) {
                return Err(at(
                    &section.name,
                    format!("there are two sides called `{}`", section.name.get_ref()),
                ));
            }
            sides.push(side(section, &at)?);
        }
        let mut routes = Vec::new();
        for section in file.routes {
            for end in [&section.from, &section.to] {
                if !sides.iter().any(|side| side.name == *end.get_ref()) {
                    return Err(at(end, format!("there is no side called `{}`", end.get_ref())));
                }
            }
            if sides.iter().any(|side| side.name == *section.to.get_ref() && side.to.is_none()) {
                return Err(at(&section.to, format!("the side `{}` has no `to`", section.to.get_ref())));
            }
            routes.push(Route {
                from: section.from.into_inner(),
                to: section.to.into_inner(),
                prefix: section.prefix,
                strip: section.strip,
                prepend: section.prepend,
            });
        }
        let turn = file.turn.map(|section| section.read(&mut ports, &addresses, &at)).transpose()?;
        Ok(Self { listen, ports, addresses, sides, routes, turn })
    }
}

fn addresses(
    section: &NetworkSection,
    at: &impl Fn(&Spanned<String>, String) -> ConfigError,
) -> Result<AddressPolicy, ConfigError> {
    let mut policy = AddressPolicy::default();
    match &section.local {
        None => policy.local = Network::PRIVATE.to_vec(),
        Some(local) => {
            for entry in local {
                policy.local.push(entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?);
            }
        }
    }
    if let Some(external) = &section.external {
        match external.get_ref().parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => policy.external_v4 = Some(address),
            Ok(IpAddr::V6(address)) => policy.external_v6 = Some(address),
            Err(_) => return Err(at(external, format!("`{}` is not an IP address", external.get_ref()))),
        }
    }
    Ok(policy)
}

fn side(
    section: &SideSection,
    at: &impl Fn(&Spanned<String>, String) -> ConfigError,
) -> Result<Side, ConfigError> {
    let mut from = Vec::new();
    for entry in &section.from {
        from.push(entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?);
    }
    let to = match &section.to {
        None => None,
        Some(entry) => {
            let place: Listen = entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?;
            Some((place.protocol, place.address))
        }
    };
    let mut codecs = Vec::new();
    for entry in &section.codecs {
        match Codec::by_name(entry.get_ref()) {
            Some(codec) => codecs.push(codec),
            None => return Err(at(entry, format!("`{}` is not a codec known here", entry.get_ref()))),
        }
    }
    if codecs.is_empty() {
        codecs = vec![Codec::pcma(), Codec::pcmu()];
    }
    Ok(Side {
        name: section.name.get_ref().clone(),
        from,
        to,
        codecs,
        user: section.user.clone(),
        password: section.password.clone(),
        register: section.register,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]

[[sides]]
name = "inside"
from = ["192.168.0.0/16"]

[[sides]]
name = "line"
from = ["203.0.113.5"]
to = "udp:203.0.113.5:5060"
codecs = ["PCMU"]
user = "0312345678"
password = "secret"
register = true

[[routes]]
from = "inside"
to = "line"
prefix = "9"
strip = 1
"#;

    #[test]
    fn a_file_as_one_writes_it() {
        let config = Config::parse(FILE).unwrap();
        assert_eq!(config.sides.len(), 2);
        assert_eq!(config.ports.to_string(), "20000-20999");
        assert_eq!(config.routes[0].rewrite("90312"), Some("0312".to_owned()));
        assert_eq!(config.routes[0].rewrite("80312"), None);
    }

    #[test]
    fn mistakes_have_a_place() {
        let error = |from: &str, to: &str| Config::parse(&FILE.replace(from, to)).unwrap_err();
        let listen = error("udp:127.0.0.1:5060", "127.0.0.1:5060");
        assert_eq!((listen.line, listen.column), (3, 11), "{listen}");
        let unknown = error("strip = 1", "stripp = 1");
        assert!(unknown.to_string().contains("line 22") && unknown.sentence.contains("stripp"), "{unknown}");
        let side = error("to = \"line\"", "to = \"lime\"");
        assert_eq!(side.sentence, "there is no side called `lime`");
        let codec = error("\"PCMU\"", "\"PCMX\"");
        assert_eq!(codec.sentence, "`PCMX` is not a codec known here");
        assert!(error("strip = 1", "strip = \"x\"").line == 22);
        assert!(error("[sip]", "[sip").line >= 1);
    }
}
