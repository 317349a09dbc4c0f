//! From what a negotiation agreed on to what a stream is configured with.

use super::{EventFormat, KeyPath, PayloadFormat, StreamKeys, StreamParameters};
use denwa_rtp::srtp::{Keying, MasterKey, Policy, Suite};
use denwa_sdp::{ActiveMedium, AgreedCodec, AgreedEncryption, AgreedEvents, RemoteAddress, SrtpKey};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Why an agreed medium cannot be carried here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotUsable {
    /// Its keys come by DTLS, and there is no certificate.
    Dtls,
    /// Its path is found by ICE, which is not configured.
    Ice,
    /// It is protected by a suite, or with session parameters, that are not known here.
    Protection(String),
}

impl fmt::Display for NotUsable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtls => f.write_str("keys by DTLS need a certificate"),
            Self::Ice => f.write_str("paths by ICE are not configured"),
            Self::Protection(what) => write!(f, "protection by {what} is not carried"),
        }
    }
}

impl std::error::Error for NotUsable {}

impl StreamParameters {
    /// What a stream needs to know of an agreed medium. Addresses that are names come out as `None`: resolve them and set
    /// [`StreamParameters::remote_rtp`].
    ///
    /// # Errors
    /// When the medium needs what is not carried here.
    pub fn from_agreed(medium: &ActiveMedium) -> Result<Self, NotUsable> {
        let keys = match &medium.encryption {
            AgreedEncryption::None => None,
            AgreedEncryption::Sdes(sdes) => {
                let mut inbound = vec![master_key(&sdes.receive)?];
                for other in &sdes.receive_others {
                    inbound.push(master_key(other)?);
                }
                Some(StreamKeys {
                    outbound: keying(&sdes.send, vec![master_key(&sdes.send)?])?,
                    inbound: keying(&sdes.receive, inbound)?,
                })
            }
            AgreedEncryption::Dtls(_) => None,
        };
        let dtls = match &medium.encryption {
            AgreedEncryption::Dtls(dtls) => Some(dtls.into()),
            _ => None,
        };
        let remote_rtp = medium.remote_rtp.as_ref().and_then(address);
        let remote_rtcp = medium.remote_rtcp.as_ref().and_then(address).filter(|_| !medium.rtcp_mux);
        Ok(Self {
            remote_rtp,
            remote_rtcp,
            also_rtp: None,
            known_hosts: Vec::new(),
            sends: medium.direction.sends(),
            receives: medium.direction.receives(),
            send: medium.send.iter().map(format).collect(),
            receive: medium.receive.iter().map(format).collect(),
            send_events: medium.send_events.iter().map(event).collect(),
            receive_events: medium.receive_events.iter().map(event).collect(),
            packet_time: medium.send_packet_time.clamp(Duration::from_millis(10), Duration::from_millis(200)),
            key_path: KeyPath::Agreed,
            suppresses_silence: false,
            keys,
            dtls,
            ice: medium.ice.as_ref().map(Into::into),
            rtcp_mux: medium.rtcp_mux,
        })
    }
}

fn address(address: &RemoteAddress) -> Option<SocketAddr> {
    match address {
        RemoteAddress::Ip(address) => Some(*address),
        RemoteAddress::Host(..) => None,
    }
}

fn format(codec: &AgreedCodec) -> PayloadFormat {
    PayloadFormat {
        payload_type: codec.payload_type,
        name: codec.name.clone(),
        clock_rate_hz: codec.clock_rate,
        channels: codec.channels,
        parameters: codec.parameters.clone(),
    }
}

fn event(events: &AgreedEvents) -> EventFormat {
    EventFormat { payload_type: events.payload_type, clock_rate_hz: events.clock_rate }
}

fn master_key(key: &SrtpKey) -> Result<MasterKey, NotUsable> {
    let unknown = || NotUsable::Protection(key.suite.to_string());
    let suite = Suite::of_sdes_name(&key.suite.to_string()).ok_or_else(unknown)?;
    let material: Vec<u8> = key.key.iter().chain(key.salt.iter()).copied().collect();
    let mut master = MasterKey::new(suite, &material).map_err(|_| unknown())?;
    if let Some((value, octets)) = key.mki {
        let bytes = value.to_be_bytes();
        let from = bytes.len().saturating_sub(usize::from(octets));
        master = master.with_mki(bytes.get(from..).unwrap_or(&bytes)).map_err(|_| unknown())?;
    }
    if let Some(lifetime) = key.lifetime {
        master = master.with_lifetime(lifetime).map_err(|_| unknown())?;
    }
    Ok(master)
}

fn keying(key: &SrtpKey, keys: Vec<MasterKey>) -> Result<Keying, NotUsable> {
    let mut policy = Policy::default();
    if let Some(exponent) = key.key_derivation_rate {
        policy.derivation_rate = 1u32.checked_shl(exponent.into()).unwrap_or(0);
    }
    for parameter in key.parameters.split_ascii_whitespace() {
        match parameter {
            "UNENCRYPTED_SRTP" => policy.unencrypted_media = true,
            "UNENCRYPTED_SRTCP" => policy.unencrypted_control = true,
            "UNAUTHENTICATED_SRTP" => policy.unauthenticated_media = true,
            // Derivation rate and window hint are read elsewhere, or may be passed over (RFC 4568 §6.3).
            other if other.starts_with("KDR=") || other.starts_with("WSH=") => {}
            other => return Err(NotUsable::Protection(other.to_owned())),
        }
    }
    Keying::with_policy(keys, policy).map_err(|_| NotUsable::Protection(key.suite.to_string()))
}
