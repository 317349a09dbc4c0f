//! `[turn]`: the STUN and TURN server for browsers and telephones behind routers that let nothing in.

use crate::config::{ConfigError, Spanned};
use denwa::address::AddressPolicy;
use denwa::port_set::PortSet;
use denwa::tokio::{Certificate, Listen, Tls, TlsConfig, TurnServer, TurnServerConfig};
use denwa_ice::turn::server::{CredentialSource, Users};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The table as it is written; what is not there is as [`TurnServerConfig`] has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TurnSection {
    /// `udp:0.0.0.0:3478`, `tcp:…`, `tls:…`.
    listen: Vec<Spanned<String>>,
    realm: Option<String>,
    /// Of time-limited names; else `users`.
    secret: Option<Spanned<String>>,
    users: BTreeMap<String, Spanned<String>>,
    /// What is relayed; voice has the others of `[media] ports`.
    ports: Vec<Spanned<String>>,
    /// Our address beyond the router; that of `[network]` unless said here.
    external: Option<Spanned<String>>,
    /// Inner networks that are relayed to all the same.
    peers: Vec<Spanned<String>>,
    /// PEM, for `tls:`.
    certificate: Option<Spanned<PathBuf>>,
    key: Option<PathBuf>,
    allocations: Option<usize>,
    per_user: Option<usize>,
    per_address: Option<usize>,
}

type At<'a> = &'a dyn Fn(&Spanned<String>, String) -> ConfigError;

impl TurnSection {
    /// What the server is started with. The ports it relays are no longer among those of the media.
    pub(crate) fn read(
        self,
        media: &mut PortSet,
        addresses: &AddressPolicy,
        at: At<'_>,
    ) -> Result<TurnServerConfig, ConfigError> {
        let mut config = TurnServerConfig::new(self.credentials(at)?);
        for entry in &self.listen {
            config
                .listen
                .push(Listen::for_turn(entry.get_ref()).map_err(|error| at(entry, error.to_string()))?);
        }
        if !self.ports.is_empty() {
            config.ports = PortSet::EMPTY;
            for entry in &self.ports {
                let set: PortSet = entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?;
                config.ports = config.ports.union(&set);
            }
        }
        *media = media.difference(&config.ports);
        config.own_ports.clone_from(media);
        for entry in &self.peers {
            config.peers.push(entry.get_ref().parse().map_err(|error| at(entry, format!("{error}")))?);
        }
        config.external = match &self.external {
            Some(entry) => vec![
                entry
                    .get_ref()
                    .parse()
                    .map_err(|_| at(entry, format!("`{}` is not an IP address", entry.get_ref())))?,
            ],
            None => {
                let v4 = addresses.external_v4.map(IpAddr::V4);
                v4.into_iter().chain(addresses.external_v6.map(IpAddr::V6)).collect()
            }
        };
        config.realm = self.realm.unwrap_or(config.realm);
        let limits = &mut config.limits;
        limits.allocations = self.allocations.unwrap_or(limits.allocations);
        limits.per_user = self.per_user.unwrap_or(limits.per_user);
        limits.per_address = self.per_address.unwrap_or(limits.per_address);
        if let (Some(chain), Some(key)) = (&self.certificate, &self.key) {
            let place = Spanned::new(chain.span(), String::new());
            config.tls = Some(tls(chain.get_ref(), key).map_err(|sentence| at(&place, sentence))?);
        }
        Ok(config)
    }

    fn credentials(&self, at: At<'_>) -> Result<CredentialSource, ConfigError> {
        let mut words = self.secret.iter().chain(self.users.values());
        if let Some(empty) = words.find(|word| word.get_ref().is_empty()) {
            return Err(at(empty, "is empty: there are no default passwords".to_owned()));
        }
        match &self.secret {
            Some(secret) if !self.users.is_empty() => {
                Err(at(secret, "expected either a secret or users: a name is one or the other".to_owned()))
            }
            Some(secret) => Ok(CredentialSource::shared_secret(secret.get_ref())),
            // Everybody may ask for his own address, and that is all.
            None if self.users.is_empty() => Ok(CredentialSource::Nobody),
            None => {
                let users = self.users.iter().map(|(name, word)| (name.as_str(), word.get_ref().as_str()));
                Ok(CredentialSource::Users(Users::from_iter(users)))
            }
        }
    }
}

fn tls(chain: &std::path::Path, key: &std::path::Path) -> Result<Tls, String> {
    let mut config = TlsConfig::default();
    config.certificate = Some(Certificate::from_files(chain, key).map_err(|error| error.to_string())?);
    Tls::new(&config).map_err(|error| error.to_string())
}

/// Starts the server, which serves until what is returned is dropped, and prints what it does.
///
/// # Errors
/// One sentence that says what the system refused.
pub fn start(config: TurnServerConfig) -> Result<TurnServer, String> {
    let server = TurnServer::start(config, |event| println!("TURN: {event}"))
        .map_err(|error| format!("[turn] {error}"))?;
    for listening in server.listening() {
        println!("STUN and TURN on {listening}");
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn read(turn: &str) -> Result<Config, String> {
        let text = format!("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[turn]\n{turn}");
        Config::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn three_lines_are_a_server() {
        let config = read("secret = \"of the web page\"\nexternal = \"203.0.113.5\"\n").unwrap();
        let turn = config.turn.unwrap();
        assert_eq!((turn.ports.to_string(), turn.external.len()), ("50000-50999".to_owned(), 1));
        assert!(read("").unwrap().turn.is_some());
    }

    #[test]
    fn what_is_relayed_is_not_used_for_voice() {
        let config = read("users = { alice = \"pw\" }\nports = [\"20900-20999\"]\n").unwrap();
        assert_eq!(config.ports.to_string(), "20000-20899");
        assert_eq!(config.turn.unwrap().own_ports.to_string(), "20000-20899");
    }

    #[test]
    fn mistakes_have_a_place() {
        for (wrong, said) in [
            ("secret = \"\"", "line 4, column 10: is empty"),
            ("secret = \"a\"\nusers = { b = \"c\" }", "either a secret or users"),
            ("listen = [\"ws:0.0.0.0\"]", "expected udp:, tcp: or tls:"),
            ("port = [\"1\"]", "unknown field `port`"),
            ("certificate = \"none.pem\"\nkey = \"none.pem\"", "none.pem cannot be read"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
