//! How the sound of accounts finds its way and is protected: ICE with STUN and TURN servers, SRTP with keys by SDES or DTLS.
//!
//! Servers and our certificate are the same for all accounts of a telephone; whether they are used is each account's own.

use crate::config::{self, AccountConfig, Turn, Wanted};
use denwa::media::{IceConfig, Identity, TurnServer};
use denwa::ua::UserAgentConfig;
use denwa_ice::turn::client::{ParseTurnUriError, TurnUri};
use denwa_sdp::{Capability, Encryption, EncryptionCapability, Ice, RtcpMux};

/// The usual port of STUN.
const STUN_PORT: u16 = 3478;

/// What the accounts of a telephone share.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    identity: Option<Identity>,
    ice: Option<IceConfig>,
}

impl Ways {
    /// For these accounts: servers are looked up, and a certificate is made if one is wanted.
    ///
    /// # Errors
    /// One sentence: a server that cannot be found, or settings of an account that contradict each other.
    pub fn of<'a>(accounts: impl IntoIterator<Item = &'a AccountConfig>) -> Result<Self, String> {
        let (mut ways, mut ice) = (Self::default(), IceConfig::default());
        for account in accounts {
            check(account).map_err(|sentence| format!("{}: {sentence}", account.address()))?;
            if account.dtls != Wanted::Off && ways.identity.is_none() {
                let made = Identity::generate();
                ways.identity = Some(made.map_err(|error| format!("no certificate can be made: {error}"))?);
            }
            if account.ice == Wanted::Off {
                continue;
            }
            if let Some(server) = &account.stun {
                ice.stun_servers.push(config::resolve(bare(server, "stun:"), STUN_PORT)?);
            }
            if let Some(Turn { server, user, password }) = &account.turn {
                ice.turn_servers.push(turn_server(server, user, password)?);
            }
            ice.relay_only |= account.relay_only;
            ways.ice = Some(ice.clone());
        }
        Ok(ways)
    }

    /// What the media of an account can do.
    pub fn capability(&self, account: &AccountConfig) -> Capability {
        let encryption = self.encryption(account);
        let has_dtls = encryption.dtls.is_some();
        let mut capability =
            Capability::telephone(account.codecs.iter().cloned()).with_encryption(encryption);
        let ice = match account.ice {
            Wanted::Off => Ice::Off,
            Wanted::Offered => Ice::Full,
            Wanted::Required => Ice::Required,
        };
        if ice != Ice::Off || has_dtls {
            // One way to find, one association to make; whoever cannot gets two.
            capability.rtcp_mux = RtcpMux::Offered;
        }
        capability = capability.with_ice(ice);
        capability
    }

    fn encryption(&self, account: &AccountConfig) -> EncryptionCapability {
        let wanted = account.sdes.max(account.dtls);
        let policy = match wanted {
            Wanted::Off => return EncryptionCapability::none(),
            Wanted::Offered => Encryption::Offered,
            Wanted::Required => Encryption::Required,
        };
        let mut encryption = EncryptionCapability { policy, ..EncryptionCapability::none() };
        // What is required leaves no room for the other.
        if account.sdes == wanted {
            encryption.sdes = EncryptionCapability::sdes(policy).sdes;
            if let Some(sdes) = encryption.sdes.as_mut().filter(|_| !account.suites.is_empty()) {
                sdes.suites.clone_from(&account.suites);
            }
        }
        if let Some(identity) = self.identity.as_ref().filter(|_| account.dtls == wanted) {
            encryption.dtls = EncryptionCapability::dtls(policy, identity.fingerprint()).dtls;
        }
        encryption
    }

    /// Tells the user agent.
    pub fn give(self, agent: &mut UserAgentConfig) {
        (agent.ice, agent.identity) = (self.ice, self.identity);
    }
}

/// Whether an account's settings can all be followed.
///
/// # Errors
/// One sentence that says which cannot.
pub fn check(account: &AccountConfig) -> Result<(), String> {
    if account.sdes == Wanted::Required && account.dtls == Wanted::Required {
        return Err(
            "SDES and DTLS cannot both be required: expected one required and the other off".to_owned()
        );
    }
    let needs_ice = [
        (account.stun.is_some(), "a STUN server is"),
        (account.turn.is_some(), "a TURN server is"),
        (account.relay_only, "relay_only is"),
    ];
    if let Some((_, what)) = needs_ice.into_iter().find(|(is_set, _)| *is_set && account.ice == Wanted::Off) {
        return Err(format!("{what} of use with ICE alone: expected ice = \"offered\" or \"required\""));
    }
    if account.relay_only && account.turn.is_none() {
        return Err("relay_only leaves no way without a TURN server: expected turn".to_owned());
    }
    Ok(())
}

fn turn_server(text: &str, user: &str, password: &str) -> Result<TurnServer, String> {
    let uri: TurnUri = text.parse().map_err(|error: ParseTurnUriError| error.to_string())?;
    let address = config::resolve(&uri.host, uri.port)?;
    Ok(TurnServer::new(uri.at(address.ip()), user, password))
}

/// A server as its name and port, where a URI was written.
fn bare<'t>(server: &'t str, scheme: &str) -> &'t str {
    server.strip_prefix(scheme).unwrap_or(server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use denwa_ice::Protocol;

    fn account() -> AccountConfig {
        AccountConfig::new("ann", "pbx.example")
    }

    #[test]
    fn off_offered_and_required_reach_the_descriptions() {
        for (wanted, ice, policy) in [
            (Wanted::Off, Ice::Off, Encryption::None),
            (Wanted::Offered, Ice::Full, Encryption::Offered),
            (Wanted::Required, Ice::Required, Encryption::Required),
        ] {
            let account = AccountConfig { ice: wanted, dtls: wanted, ..account() };
            let ways = Ways::of([&account]).unwrap();
            let capability = ways.capability(&account);
            assert_eq!((capability.ice, capability.encryption.policy), (ice, policy));
            assert_eq!(capability.encryption.dtls.is_some(), wanted != Wanted::Off);
            assert!(capability.encryption.sdes.is_none());
            let mut agent = UserAgentConfig::new(Vec::new());
            ways.give(&mut agent);
            assert_eq!(
                (agent.ice.is_some(), agent.identity.is_some()),
                (wanted != Wanted::Off, wanted != Wanted::Off)
            );
        }
    }

    #[test]
    fn what_is_required_stands_alone_and_what_is_offered_stands_together() {
        let both = AccountConfig { sdes: Wanted::Offered, dtls: Wanted::Offered, ..account() };
        let encryption = Ways::of([&both]).unwrap().capability(&both).encryption;
        assert!(encryption.sdes.is_some() && encryption.dtls.is_some());
        let one = AccountConfig { sdes: Wanted::Offered, dtls: Wanted::Required, ..account() };
        let encryption = Ways::of([&one]).unwrap().capability(&one).encryption;
        assert!(encryption.sdes.is_none() && encryption.dtls.is_some());
    }

    #[test]
    fn turn_servers_are_reached_over_udp_tcp_and_tls() {
        let read = |text: &str| turn_server(text, "u", "p").map(|turn| turn.server);
        let at = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        for (text, address, protocol, name) in [
            ("192.0.2.2", "192.0.2.2:3478", Protocol::Udp, None),
            ("turn:192.0.2.2:99?transport=udp", "192.0.2.2:99", Protocol::Udp, None),
            ("turn:192.0.2.2?transport=tcp", "192.0.2.2:3478", Protocol::Tcp, None),
            ("turns:192.0.2.2", "192.0.2.2:5349", Protocol::Tls, Some("192.0.2.2")),
            (
                "turns:[2001:db8::2]:443?transport=tcp",
                "[2001:db8::2]:443",
                Protocol::Tls,
                Some("2001:db8::2"),
            ),
        ] {
            let server = read(text).unwrap();
            assert_eq!((server.address, server.protocol), (at(address), protocol), "{text}");
            assert_eq!(server.name.as_deref(), name, "{text}");
        }
        assert!(read("turns:192.0.2.2?transport=udp").unwrap_err().contains("is no TURN server"));
    }

    #[test]
    fn servers_of_all_accounts_are_known() {
        let turn = Turn { server: "turn:192.0.2.2".into(), user: "u".into(), password: "p".into() };
        let ann = AccountConfig { ice: Wanted::Offered, stun: Some("192.0.2.1:3479".into()), ..account() };
        let bob = AccountConfig { ice: Wanted::Required, turn: Some(turn), ..account() };
        let ice = Ways::of([&ann, &bob]).unwrap().ice.unwrap();
        assert_eq!(ice.stun_servers, [std::net::SocketAddr::from(([192, 0, 2, 1], 3479))]);
        assert_eq!(ice.turn_servers.len(), 1);
        assert!(!ice.relay_only);
    }

    #[test]
    fn contradictions_are_told() {
        let turn = Turn { server: "192.0.2.2".into(), user: "u".into(), password: "p".into() };
        for (account, said) in [
            (AccountConfig { sdes: Wanted::Required, dtls: Wanted::Required, ..account() }, "cannot both"),
            (AccountConfig { stun: Some("192.0.2.1".into()), ..account() }, "with ICE alone"),
            (AccountConfig { turn: Some(turn), ..account() }, "with ICE alone"),
            (AccountConfig { relay_only: true, ice: Wanted::Offered, ..account() }, "TURN server"),
        ] {
            let sentence = Ways::of([&account]).unwrap_err();
            assert!(sentence.starts_with("ann@pbx.example: ") && sentence.contains(said), "{sentence}");
        }
    }
}
