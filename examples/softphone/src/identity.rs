//! Who calls: an account of the file, of the command line, or the one laid over the other; and what follows from it for the
//! user agent.

use crate::arguments::AccountArguments;
use crate::config::{self, AccountConfig, Config, KeyMethod, TlsSection, Turn};
use crate::secret::Secret;
use denwa::tokio::{Certificate, Listen, Tls, TlsConfig, Trust};
use denwa::ua::{Account, Keys, Server};
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where the file is when nobody says where.
pub fn default_file() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("denwa").join("softphone.toml"))
}

/// Where what was dialled is kept.
pub fn history_file() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("denwa").join("dialled"))
}

fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|name| !name.is_empty()).map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(below_home)))
}

/// What a file says: the one named, else the usual one if it is there.
///
/// # Errors
/// It cannot be read, or something in it is wrong.
pub fn load(named: Option<&Path>) -> Result<Config, String> {
    match named {
        Some(file) if !file.exists() => {
            let file = file.display();
            Err(format!("there is no file {file}: `softphone wizard --config {file}` makes it"))
        }
        Some(file) => config::read(file).map_err(|problem| problem.to_string()),
        None => match default_file().filter(|file| file.exists()) {
            Some(file) => config::read(&file).map_err(|problem| problem.to_string()),
            None => Ok(Config::default()),
        },
    }
}

/// The account that a command is for.
///
/// # Errors
/// One sentence: no such account, or something that was said of it makes no sense.
pub fn account(arguments: &AccountArguments, config: &Config) -> Result<AccountConfig, String> {
    let of_file = match &arguments.account {
        Some(name) => Some(named(name, config)?),
        None if arguments.user.is_none() && arguments.server.is_none() => config.accounts.first(),
        None => None,
    };
    let mut account = match of_file {
        Some(account) => account.clone(),
        None => nameless(arguments),
    };
    if let Some(user) = &arguments.user {
        account.user.clone_from(user);
    }
    if let Some(server) = &arguments.server {
        account.server = Some(server.clone());
        account.further_servers.clear();
    }
    if let Some(domain) = &arguments.domain {
        account.domain.clone_from(domain);
    }
    if arguments.name.is_some() {
        account.name.clone_from(&arguments.name);
    }
    if let Some(transport) = arguments.transport {
        account.transport = transport;
    }
    account.password = secret(arguments).or(account.password);
    if !arguments.codecs.is_empty() {
        account.codecs = arguments.codecs.iter().map(|name| config::codec(name)).collect::<Result<_, _>>()?;
    }
    account.sdes = arguments.srtp.unwrap_or(account.sdes);
    if !arguments.srtp_suites.is_empty() {
        account.suites.clone_from(&arguments.srtp_suites);
    }
    account.dtls = arguments.dtls.unwrap_or(account.dtls);
    ways(arguments, &mut account)?;
    account.keys = arguments.dtmf_by.unwrap_or(account.keys);
    Ok(account)
}

/// How sound finds its way, as far as the command line says.
fn ways(arguments: &AccountArguments, account: &mut AccountConfig) -> Result<(), String> {
    account.ice = arguments.ice.unwrap_or(account.ice);
    account.relay_only |= arguments.relay_only;
    account.outbound |= arguments.outbound;
    if arguments.stun.is_some() {
        account.stun.clone_from(&arguments.stun);
    }
    if let Some(server) = &arguments.turn {
        let (Some(user), Some(password)) = (&arguments.turn_user, &arguments.turn_password) else {
            return Err(
                "a TURN server asks for a name and a password: expected --turn-user and --turn-password"
                    .to_owned(),
            );
        };
        account.turn = Some(Turn { server: server.clone(), user: user.clone(), password: password.clone() });
    }
    Ok(())
}

fn named<'c>(name: &str, config: &'c Config) -> Result<&'c AccountConfig, String> {
    let by_number = name.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let bare = name.strip_prefix("sip:").unwrap_or(name);
    let found = config.accounts.iter().find(|account| account.address() == bare || account.user == bare);
    found.or_else(|| by_number.and_then(|place| config.accounts.get(place))).ok_or_else(|| {
        let known: Vec<String> = config.accounts.iter().map(AccountConfig::address).collect();
        match known.as_slice() {
            [] => format!("there is no account `{name}`: the file has none"),
            known => format!("there is no account `{name}`: the file has {}", known.join(", ")),
        }
    })
}

/// An account of the command line alone: its domain is its server.
fn nameless(arguments: &AccountArguments) -> AccountConfig {
    let domain = match arguments.server.as_deref() {
        Some(server) => match config::resolve_literal(server, 5060) {
            Some(address) if address.port() == 5060 => host(address.ip()),
            Some(address) => address.to_string(),
            None => server.to_owned(),
        },
        None => "localhost".to_owned(),
    };
    let mut account = AccountConfig::new("softphone", domain);
    account.register = arguments.server.is_some();
    account
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn secret(arguments: &AccountArguments) -> Option<Secret> {
    let text = arguments.password.clone().map(Secret::Text);
    let file = || arguments.password_file.clone().map(Secret::File);
    let variable = || arguments.password_env.clone().map(Secret::Environment);
    text.or_else(file).or_else(variable).or_else(|| arguments.password_prompt.then_some(Secret::Prompt))
}

/// The account as the user agent knows it. Its password is fetched, which may ask somebody; names of servers are looked up.
///
/// # Errors
/// One sentence.
pub fn agent_account(account: &AccountConfig) -> Result<Account, String> {
    let mut own = Account::new(&account.user, &account.domain);
    own.password = match &account.password {
        Some(secret) => Some(secret.fetch(&account.address())?),
        None => None,
    };
    own.transport = Some(account.transport);
    own.display_name.clone_from(&account.name);
    own.login.clone_from(&account.login);
    own.expires = account.expires;
    own.message_waiting = account.register;
    if account.outbound {
        own.instance = Some(instance(account));
    }
    let default_port = if account.transport.is_secure() { 5061 } else { 5060 };
    // The domain's own server is found by its address; one that is named, or another transport than the address leads to, is
    // used as it was said.
    let server = match (&account.server, account.transport) {
        (Some(server), _) => Some(server.as_str()),
        (None, Protocol::Udp) => None,
        (None, _) if !account.register => None,
        (None, _) => Some(account.domain.as_str()),
    };
    match server {
        Some(server) if server == account.domain && account.transport == Protocol::Udp => {
            if let Some(address) = config::resolve_literal(server, default_port) {
                own = own.with_server(account.transport, address);
            }
        }
        Some(server) => own.server = Some(called(server, account.transport, default_port)?),
        None => {
            if let Some(address) = config::resolve_literal(&account.domain, default_port) {
                own = own.with_server(account.transport, address);
            }
        }
    }
    for server in &account.further_servers {
        own.further_servers.push(called(server, account.transport, default_port)?);
    }
    Ok(own)
}

/// A server as it is written: its certificate has to prove the name, not whatever address the name has today.
fn called(server: &str, protocol: Protocol, default_port: u16) -> Result<Server, String> {
    let found = Server::new(protocol, config::resolve(server, default_port)?);
    Ok(match config::name_of(server) {
        Some(name) => found.named(name),
        None => found,
    })
}

/// The addresses of an account's servers, as far as they are known.
pub fn servers(account: &Account) -> impl Iterator<Item = SocketAddr> {
    account.server.iter().chain(&account.further_servers).map(|server| server.address)
}

/// A name of this device that stays the same: made from the account's address and the host's name.
fn instance(account: &AccountConfig) -> String {
    let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_else(|_| "denwa".to_owned());
    let mut state = 0xcbf2_9ce4_8422_2325_u128;
    for byte in host.trim().bytes().chain(account.address().bytes()) {
        state = (state ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let hex = format!("{state:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or("0").to_owned();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// What TLS and WSS go by; `None` believes the system's authorities.
///
/// # Errors
/// One sentence: the file of authorities cannot be read, or holds none.
pub fn tls(section: &TlsSection) -> Result<Option<Tls>, String> {
    if *section == TlsSection::default() {
        return Ok(None);
    }
    let mut config = TlsConfig::default();
    config.trust = match (&section.authorities, section.anyone) {
        (_, true) => Trust::Anyone,
        (None, false) => Trust::System,
        (Some(file), false) => {
            let failed = |error| format!("the authorities cannot be read from {}: {error}", file.display());
            Trust::SystemAnd(std::fs::read(file).map_err(failed)?)
        }
    };
    config.certificate = match (&section.certificate, &section.key) {
        (Some(chain), Some(key)) => {
            Some(Certificate::from_files(chain, key).map_err(|error| error.to_string())?)
        }
        (None, None) => None,
        _ => {
            return Err(
                "a certificate goes with its key: expected both certificate and key in [tls]".to_owned()
            );
        }
    };
    Tls::new(&config).map(Some).map_err(|error| error.to_string())
}

/// The way keys go.
pub fn keys(method: KeyMethod) -> Keys {
    match method {
        KeyMethod::Automatic => Keys::Automatic,
        KeyMethod::Events => Keys::Events,
        KeyMethod::Info => Keys::Info,
        KeyMethod::InBand => Keys::InBand,
    }
}

/// Where to listen: as told, else on every address of the servers' families.
pub fn listen(told: &[Listen], servers: &[SocketAddr]) -> Vec<Listen> {
    if !told.is_empty() {
        return told.to_vec();
    }
    let v6 = servers.iter().any(SocketAddr::is_ipv6);
    let v4 = servers.iter().any(SocketAddr::is_ipv4) || !v6;
    let mut hosts: Vec<IpAddr> = Vec::new();
    if v4 {
        hosts.push(Ipv4Addr::UNSPECIFIED.into());
    }
    if v6 {
        hosts.push(Ipv6Addr::UNSPECIFIED.into());
    }
    let both = |host: IpAddr| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| Listen { protocol, address: (host, 0).into() })
    };
    hosts.into_iter().flat_map(both).collect()
}

/// The listeners of a user agent: what is listened on, and what connections are made by besides.
pub fn listeners(listening: &[denwa::tokio::Listening], transports: &[Protocol]) -> Vec<Listener> {
    let mut all: Vec<Listener> =
        listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
    for protocol in transports {
        if !all.iter().any(|own| own.protocol == *protocol) {
            let host = listening.first().map_or(Ipv4Addr::UNSPECIFIED.into(), |own| own.address.ip());
            all.push(Listener::new(*protocol, SocketAddr::new(host, 0)));
        }
    }
    all
}
