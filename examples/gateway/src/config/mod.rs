//! The file: sides, routes, media, and everything else the gateway goes by. What is wrong with it is said with line, column
//! and what was expected.

mod error;
mod rules;
mod sections;
mod side;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use side::{
    Dtmf, Encryption, HoldStyle, IceMode, IdentityHeader, KeyExchange, Kind, Numbers, Place, Reliable, Robot,
    SessionTimer, Side, Target, User,
};

use denwa::address::{AddressPolicy, Network};
use denwa::port_set::PortSet;
use denwa::tokio::{Dscp, Listen, TurnServerConfig};
use error::Reader;
pub(crate) use sections::Spanned;
use sections::{File, MediaSection, NetworkSection, RouteSection};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What the gateway goes by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen for SIP.
    pub listen: Vec<Listen>,
    /// What is asked for passwords in the name of.
    pub realm: String,
    /// Ports for media.
    pub ports: PortSet,
    /// What SIP is marked with.
    pub signalling_dscp: Option<Dscp>,
    /// What media are marked with.
    pub media_dscp: Option<Dscp>,
    /// Which of our addresses a peer is told.
    pub addresses: AddressPolicy,
    /// The servers that are asked for names; those of the system when there are none.
    pub dns: Vec<SocketAddr>,
    /// Certificates.
    pub tls: Option<TlsFiles>,
    /// The page, and robots that call.
    pub web: Option<Web>,
    /// How much is let in.
    pub limits: Limits,
    /// The networks that are joined.
    pub sides: Vec<Side>,
    /// What goes where.
    pub routes: Vec<Route>,
    /// Where calls are written down, for the next start to end those that a killed run left behind.
    pub journal: Option<PathBuf>,
    /// The STUN and TURN server, when there is to be one.
    pub turn: Option<TurnServerConfig>,
}

/// Where certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate and its chain, and the key, as PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Authorities that are believed instead of the system's, as PEM.
    pub authorities: Option<PathBuf>,
}

/// The web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether over TLS.
    pub tls: bool,
}

/// How much is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time.
    pub calls: usize,
    /// New calls a second.
    pub calls_per_second: u32,
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

impl Config {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let reader = Reader::new(text);
        let file: File = reader.document()?;
        let ports = ports(&reader, &file.media)?;
        let mut config = Self {
            listen: listen(&reader, &file, ports.1.as_ref())?,
            realm: file.sip.realm,
            ports: ports.0,
            signalling_dscp: dscp(&reader, file.sip.dscp.as_ref())?,
            media_dscp: dscp(&reader, file.media.dscp.as_ref())?,
            addresses: addresses(&reader, &file.network)?,
            dns: file
                .network
                .dns
                .iter()
                .map(|entry| name_server(&reader, entry))
                .collect::<Result<_, _>>()?,
            tls: file.tls.map(|section| TlsFiles {
                own: section.certificate.zip(section.key),
                authorities: section.authorities,
            }),
            web: None,
            limits: Limits { calls: file.limits.calls, calls_per_second: file.limits.calls_per_second },
            sides: Vec::new(),
            routes: Vec::new(),
            journal: file.sip.journal,
            turn: None,
        };
        if let Some(section) = &file.web {
            config.web = Some(Web { listen: reader.parsed(&section.listen)?, tls: section.tls });
        }
        // What media must not take.
        config.ports = without(&config.ports, config.listen.iter().map(|own| own.address.port()));
        if let Some(section) = file.turn {
            let at = |place: &Spanned<String>, sentence: String| reader.at(place, sentence);
            config.turn = Some(section.read(&mut config.ports, &config.addresses, &at)?);
        }
        if config.ports.pairs() == 0 {
            return Err(
                reader.at(&file.media.place(), "there is no pair of an even and an odd port for media in it")
            );
        }
        for section in &file.sides {
            let name = section.name.get_ref();
            if config.side(name).is_some() {
                return Err(reader.at(&section.name, format!("there are two sides called `{name}`")));
            }
            config.sides.push(side::read(&reader, section, &config)?);
        }
        for (side, section) in config.sides.iter().zip(&file.sides) {
            if let (Some(other), Some(place)) = (&side.registers_users_of, &section.register_users_of)
                && config.side(other).is_none_or(|other| other.users.is_empty())
            {
                return Err(reader.at(place, format!("there is no side called `{other}` that has users")));
            }
        }
        for section in &file.routes {
            let route = config.route(&reader, section)?;
            config.routes.push(route);
        }
        Ok(config)
    }

    /// The side of this name.
    pub fn side(&self, name: &str) -> Option<&Side> {
        self.sides.iter().find(|side| side.name == name)
    }

    fn route(&self, reader: &Reader<'_>, section: &RouteSection) -> Result<Route, ConfigError> {
        for end in [&section.from, &section.to] {
            if self.side(end.get_ref()).is_none() {
                return Err(reader.at(end, format!("there is no side called `{}`", end.get_ref())));
            }
        }
        let to = section.to.get_ref();
        if self.side(to).is_some_and(|side| side.place == Place::Nowhere) {
            return Err(reader.at(&section.to, format!("the side `{to}` has no `to` and no `users`")));
        }
        Ok(Route {
            from: section.from.get_ref().clone(),
            to: to.clone(),
            prefix: section.prefix.clone(),
            strip: section.strip,
            prepend: section.prepend.clone(),
        })
    }
}

/// The ports for media, and those of a MAP-E router, which signalling has to keep to as well.
fn ports(reader: &Reader<'_>, section: &MediaSection) -> Result<(PortSet, Option<PortSet>), ConfigError> {
    let mut asked = PortSet::EMPTY;
    for entry in &section.ports {
        asked = asked.union(&reader.parsed(entry)?);
    }
    let Some(map_e) = &section.map_e else { return Ok((asked, None)) };
    let bits = map_e.get_ref();
    let owned =
        PortSet::mape(bits.offset, bits.psid_len, bits.psid).map_err(|error| reader.at(map_e, error))?;
    let ports = if section.is_default() { owned.clone() } else { asked.intersection(&owned) };
    Ok((ports, Some(owned)))
}

fn listen(reader: &Reader<'_>, file: &File, owned: Option<&PortSet>) -> Result<Vec<Listen>, ConfigError> {
    let mut listen: Vec<Listen> = Vec::new();
    for entry in &file.sip.listen {
        let mut place: Listen = reader.parsed(entry)?;
        if place.protocol.is_secure() && file.tls.as_ref().is_none_or(|tls| tls.certificate.is_none()) {
            let sentence = format!("`{}` needs [tls] with certificate and key", entry.get_ref());
            return Err(reader.at(entry, sentence));
        }
        if let Some(owned) = owned {
            let port = place.address.port();
            let first = owned.iter().find(|port| listen.iter().all(|own| own.address.port() != *port));
            match (port, first) {
                // Left to us: the first that the router passes.
                (0, Some(first)) => place.address.set_port(first),
                (port, Some(first)) if !owned.contains(port) => {
                    let sentence = format!(
                        "port {port} is not one of the {} that map_e passes; {first} is, and so are {}",
                        owned.len(),
                        owned.to_string().replace(',', ", ")
                    );
                    return Err(reader.at(entry, sentence));
                }
                _ => {}
            }
        }
        listen.push(place);
    }
    Ok(listen)
}

/// What packets are marked with.
fn dscp(reader: &Reader<'_>, entry: Option<&Spanned<u8>>) -> Result<Option<Dscp>, ConfigError> {
    let Some(entry) = entry else { return Ok(None) };
    let value = *entry.get_ref();
    let dscp =
        Dscp::new(value).ok_or_else(|| reader.at(entry, format!("{value} is no mark: expected 0 to 63")))?;
    Ok(Some(dscp))
}

fn without(ports: &PortSet, taken: impl Iterator<Item = u16>) -> PortSet {
    let taken: Vec<u16> = taken.collect();
    PortSet::from_ranges(ports.iter().filter(|port| !taken.contains(port)).map(|port| port..=port))
}

fn name_server(reader: &Reader<'_>, entry: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
    const DNS_PORT: u16 = 53;
    let text = entry.get_ref();
    let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    text.parse().or_else(|_| alone()).map_err(|_| {
        reader.at(entry, format!("`{text}` is no name server: expected 192.0.2.53 or [2001:db8::53]:53"))
    })
}

fn addresses(reader: &Reader<'_>, section: &NetworkSection) -> Result<AddressPolicy, ConfigError> {
    let mut policy = AddressPolicy::default();
    match &section.local {
        None => policy.local = Network::PRIVATE.to_vec(),
        Some(local) => {
            for entry in local {
                policy.local.push(reader.parsed(entry)?);
            }
        }
    }
    for entry in section.external.iter().chain(&section.external_v6) {
        match entry.get_ref().parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => policy.external_v4 = Some(address),
            Ok(IpAddr::V6(address)) => policy.external_v6 = Some(address),
            Err(_) => return Err(reader.at(entry, format!("`{}` is not an IP address", entry.get_ref()))),
        }
    }
    Ok(policy)
}
