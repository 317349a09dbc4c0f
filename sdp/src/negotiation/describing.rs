//! Descriptions of this side put into bytes: `o=` whose version grows only with what changed (RFC 3264 §8), and what one can do
//! without a session (§9).

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::local::{Heading, LocalMedium, write_body, write_origin};
use super::slot::Slot;
use super::{Ice, MediaCapability, Negotiator, matching, offer};
use crate::profile::Profile;

impl Negotiator {
    /// What this side can do, as a description with every port 0 (RFC 3264 §9): the body of a response to OPTIONS, and
    /// of a 488.
    pub fn capabilities(&self) -> Bytes {
        let media: Vec<LocalMedium> = self.capability.media.iter().map(capability_medium).collect();
        let host = self.host.or_else(|| self.pool.first()?.addresses.first().map(|address| address.ip()));
        let heading = self.heading(host.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), &[]);
        let body = write_body(&heading, &media);
        Bytes::from(format!("v=0\r\no={}\r\n{body}", write_origin(&heading)))
    }

    pub(super) fn bundle_of(&self, media: &[LocalMedium]) -> Vec<String> {
        if !self.capability.bundle {
            return Vec::new();
        }
        media.iter().filter(|medium| medium.is_live()).filter_map(|medium| medium.mid.clone()).collect()
    }

    fn heading<'h>(&'h self, host: IpAddr, bundle: &'h [String]) -> Heading<'h> {
        Heading {
            username: &self.capability.username,
            session_id: self.session_id,
            version: self.version,
            host,
            session_name: &self.capability.session_name,
            timings: &self.timings,
            bundle,
            ice_lite: self.capability.ice == Ice::Lite,
        }
    }

    /// Writes a description; the version grows if it is not the last one again (RFC 3264 §8).
    pub(super) fn write(&mut self, media: &[LocalMedium], bundle: &[String]) -> Bytes {
        let own = media.iter().find_map(|medium| medium.address);
        let host = self.host.or(own.map(|address| address.ip())).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        if own.is_some() {
            self.host = Some(host);
        }
        let mut heading = self.heading(host, bundle);
        heading.ice_lite &= media.iter().any(|medium| medium.ice.is_some());
        let body = write_body(&heading, media);
        if let Some((last, whole)) = &self.last
            && *last == body
        {
            return whole.clone();
        }
        let version = self.version.saturating_add(1);
        let heading = Heading { version, ..heading };
        let whole = Bytes::from(format!("v=0\r\no={}\r\n{body}", write_origin(&heading)));
        self.version = version;
        self.last = Some((body, whole.clone()));
        whole
    }
}

/// One medium of a description of capabilities.
fn capability_medium(capability: &MediaCapability) -> LocalMedium {
    let profile = match (&capability.fax, &capability.other) {
        (Some(_), _) => Profile::Udptl,
        (None, Some(other)) => other.profile.clone(),
        (None, None) => Profile::Avp,
    };
    let mut medium = LocalMedium::new(capability.kind.clone(), profile);
    medium.is_capability = true;
    let mut slot = Slot::new(capability.kind.clone(), capability.direction);
    let mut taken = Vec::new();
    for codec in &capability.codecs {
        let number = slot.payload_type(&offer::codec_key(codec), codec.payload_type, &taken);
        if let Some(payload_type) = number {
            taken.push(payload_type);
            medium.formats.push(matching::LocalFormat {
                payload_type,
                codec: codec.clone(),
                parameters: codec.parameters.clone(),
            });
        }
    }
    if capability.fax.is_some() {
        medium.format_names.push("t38".into());
    }
    medium.format_names.extend(capability.other.iter().flat_map(|other| other.formats.iter().cloned()));
    medium
}
