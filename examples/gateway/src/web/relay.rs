//! What the page is told of the STUN and TURN server beside it: where it is, and a name and password that hold for an hour.

use denwa::tokio::Listening;
use denwa_ice::turn::server::{CredentialSource, time_limited_password};
use denwa_sip_core::Protocol;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long what the page is told is good for; a call that goes on keeps its allocation.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// The server.
#[derive(Debug)]
pub(crate) struct Relay {
    places: Vec<(Protocol, u16)>,
    credentials: CredentialSource,
}

impl Relay {
    pub(crate) fn new(listening: &[Listening], credentials: CredentialSource) -> Self {
        let mut places: Vec<_> = listening.iter().map(|own| (own.protocol, own.address.port())).collect();
        places.sort_by_key(|(protocol, port)| (*protocol as u8, *port));
        places.dedup();
        Self { places, credentials }
    }

    /// As `RTCPeerConnection` takes it; the page puts its own host in the place of `HOST`. Fixed users are told to nobody: then
    /// the page only asks for its own address.
    pub(super) fn to_json(&self) -> String {
        let secret = match &self.credentials {
            CredentialSource::SharedSecret(secret) => Some(secret),
            _ => None,
        };
        let urls: Vec<String> = self
            .places
            .iter()
            .filter_map(|(protocol, port)| match (protocol, secret) {
                (Protocol::Udp, None) => Some(format!("\"stun:HOST:{port}\"")),
                (Protocol::Udp, _) => Some(format!("\"turn:HOST:{port}?transport=udp\"")),
                (Protocol::Tcp, Some(_)) => Some(format!("\"turn:HOST:{port}?transport=tcp\"")),
                (Protocol::Tls, Some(_)) => Some(format!("\"turns:HOST:{port}?transport=tcp\"")),
                _ => None,
            })
            .collect();
        if urls.is_empty() {
            return String::new();
        }
        let urls = urls.join(",");
        let Some(secret) = secret else { return format!("{{\"urls\":[{urls}]}}") };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}:page", (now + GOOD_FOR).as_secs());
        let password = time_limited_password(secret, &name);
        format!("{{\"urls\":[{urls}],\"username\":\"{name}\",\"credential\":\"{password}\"}}")
    }
}
