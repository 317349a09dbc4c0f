//! A description of this side before it is text, and its writer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::address::{Connection, Host};
use crate::attribute::Attribute;
use crate::attribute::fax::Fax;
use crate::attribute::format::{Fmtp, RtpMap, static_format};
use crate::attribute::rtcp::Source;
use crate::attribute::security::Fingerprint;
use crate::direction::Direction;
use crate::origin::Origin;
use crate::profile::{Kind, Profile};
use crate::timing::Timing;
use crate::write::Builder;

use super::encryption::{LocalEncryption, write_key};
use super::matching::LocalFormat;
use super::transport::{LocalIce, LocalSource};

/// One medium of a description of this side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalMedium {
    pub(crate) kind: Kind,
    pub(crate) profile: Profile,
    /// Where this side is reached. `None`: the medium is refused or gone, and the port is 0.
    pub(crate) address: Option<SocketAddr>,
    /// The address is written as `0.0.0.0`.
    pub(crate) zero_address: bool,
    pub(crate) rtcp_port: Option<u16>,
    pub(crate) formats: Vec<LocalFormat>,
    /// Formats that are not RTP's, or are copied from a refused offer.
    pub(crate) format_names: Vec<String>,
    pub(crate) direction: Direction,
    pub(crate) packet_time: Option<Duration>,
    pub(crate) max_packet_time: Option<Duration>,
    pub(crate) mid: Option<String>,
    /// Port 0, and not refused: it lives on another medium's transport or not at all.
    pub(crate) bundle_only: bool,
    /// It shares another medium's transport, which says what there is to say of it.
    pub(crate) bundled: bool,
    pub(crate) rtcp_mux: bool,
    pub(crate) rtcp_mux_only: bool,
    pub(crate) rtcp_reduced_size: bool,
    pub(crate) feedback: Vec<(Option<u8>, String)>,
    pub(crate) extensions: Vec<(u16, Option<Direction>, String)>,
    pub(crate) encryption: LocalEncryption,
    pub(crate) ice: Option<LocalIce>,
    pub(crate) ice_mismatch: bool,
    pub(crate) source: Option<LocalSource>,
    pub(crate) fax: Vec<Fax<'static>>,
    pub(crate) attributes: Vec<String>,
    /// It tells what could be done, not what is (RFC 3264 §9): the formats are described all the same.
    pub(crate) is_capability: bool,
}

impl LocalMedium {
    pub(crate) fn new(kind: Kind, profile: Profile) -> Self {
        Self {
            kind,
            profile,
            address: None,
            zero_address: false,
            rtcp_port: None,
            formats: Vec::new(),
            format_names: Vec::new(),
            direction: Direction::SendRecv,
            packet_time: None,
            max_packet_time: None,
            mid: None,
            bundle_only: false,
            bundled: false,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_reduced_size: false,
            feedback: Vec::new(),
            extensions: Vec::new(),
            encryption: LocalEncryption::default(),
            ice: None,
            ice_mismatch: false,
            source: None,
            fax: Vec::new(),
            attributes: Vec::new(),
            is_capability: false,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.address.is_some() || self.bundle_only
    }

    /// The address that `c=` shows.
    fn shown_address(&self) -> Option<IpAddr> {
        let address = self.address?.ip();
        Some(match (self.zero_address, address) {
            (false, address) => address,
            (true, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (true, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        })
    }

    /// What it has, for a sentence.
    pub(crate) fn names(&self) -> Vec<String> {
        let codecs = self.formats.iter().filter(|format| !format.is_telephone_event());
        let mut names: Vec<String> = codecs.map(|format| format.codec.display_name()).collect();
        if names.is_empty() {
            names.extend(self.formats.iter().map(|format| format.codec.display_name()));
        }
        let others = self.format_names.iter();
        names.extend(
            others
                .map(|name| if name.eq_ignore_ascii_case("t38") { "T.38".to_owned() } else { name.clone() }),
        );
        names
    }
}

/// What stands before the media.
pub(crate) struct Heading<'h> {
    pub(crate) username: &'h str,
    pub(crate) session_id: u64,
    pub(crate) version: u64,
    pub(crate) host: IpAddr,
    pub(crate) session_name: &'h str,
    /// The `t=` lines; without any, the session is unbounded.
    pub(crate) timings: &'h [Timing],
    /// The members of the bundle, by `mid`.
    pub(crate) bundle: &'h [String],
    pub(crate) ice_lite: bool,
}

/// The `o=` line of a description.
pub(crate) fn write_origin(heading: &Heading<'_>) -> String {
    let (session_id, session_version) = (heading.session_id.to_string(), heading.version.to_string());
    let host = Host::Ip(heading.host);
    let username: String = heading.username.chars().filter(|letter| !letter.is_whitespace()).collect();
    let username = if username.is_empty() { "-" } else { &username };
    Origin {
        username,
        session_id: &session_id,
        session_version: &session_version,
        network: "IN",
        address_type: host.address_type(),
        host,
    }
    .to_string()
}

/// Everything after `o=`. What does not change here does not change the version.
pub(crate) fn write_body(heading: &Heading<'_>, media: &[LocalMedium]) -> String {
    let mut out = Builder::new();
    let name = heading.session_name.trim();
    out.line('s', if name.is_empty() { "-" } else { name });
    let session_address = media.iter().find_map(LocalMedium::shown_address).unwrap_or(heading.host);
    out.line('c', Connection::unicast(Host::Ip(session_address)));
    let unbounded = [Timing { start: 0, stop: 0 }];
    for timing in if heading.timings.is_empty() { &unbounded } else { heading.timings } {
        out.line('t', timing);
    }
    if !heading.bundle.is_empty() {
        out.attribute_text(format_args!("group:BUNDLE {}", heading.bundle.join(" ")));
    }
    if heading.ice_lite {
        out.attribute(&Attribute::IceLite);
    }
    if media.iter().any(|medium| medium.ice.is_some()) {
        let trickles = media.iter().filter_map(|medium| medium.ice.as_ref()).any(|ice| !ice.complete);
        out.attribute(&Attribute::IceOptions(if trickles { "ice2 trickle" } else { "ice2" }));
    }
    for medium in media {
        write_medium(&mut out, medium, session_address);
    }
    out.into_string()
}

fn write_medium(out: &mut Builder, medium: &LocalMedium, session_address: IpAddr) {
    let port = if medium.bundle_only { 0 } else { medium.address.map_or(0, |address| address.port()) };
    let mut names: Vec<String> =
        medium.formats.iter().map(|format| format.payload_type.to_string()).collect();
    names.extend(medium.format_names.iter().cloned());
    if names.is_empty() {
        // RFC 8866 §5.14 wants one, whatever it is.
        names.push("0".into());
    }
    out.line('m', format_args!("{} {port} {} {}", medium.kind, medium.profile, names.join(" ")));
    if let Some(address) = medium.shown_address().filter(|address| *address != session_address) {
        out.line('c', Connection::unicast(Host::Ip(address)));
    }
    if let Some(mid) = &medium.mid {
        out.attribute(&Attribute::Mid(mid));
    }
    if medium.is_capability {
        write_formats(out, medium);
    }
    if !medium.is_live() {
        return;
    }
    if medium.bundle_only {
        out.attribute(&Attribute::BundleOnly);
    }
    write_formats(out, medium);
    if medium.profile.is_rtp() {
        if let Some(time) = medium.packet_time {
            out.attribute(&Attribute::PacketTime(time));
        }
        if let Some(time) = medium.max_packet_time {
            out.attribute(&Attribute::MaxPacketTime(time));
        }
    }
    if medium.profile.is_rtp() || medium.direction != Direction::SendRecv {
        out.attribute(&Attribute::Direction(medium.direction));
    }
    for fax in &medium.fax {
        out.attribute(&Attribute::Fax(*fax));
    }
    write_transport(out, medium);
    let of_webrtc = medium.profile.is_rtp() && medium.profile.is_dtls();
    if let Some(LocalSource { ssrc, cname }) = medium.source.as_ref().filter(|_| of_webrtc) {
        let cname = Some(cname.as_str());
        out.attribute(&Attribute::Source(Source { ssrc: *ssrc, attribute: "cname", value: cname }));
    }
    for text in &medium.attributes {
        out.attribute_text(text);
    }
}

fn write_formats(out: &mut Builder, medium: &LocalMedium) {
    for format in &medium.formats {
        let codec = &format.codec;
        let channels = codec.channels.to_string();
        out.attribute(&Attribute::RtpMap(RtpMap {
            payload_type: format.payload_type,
            encoding: static_format(format.payload_type)
                .filter(|known| known.encoding.eq_ignore_ascii_case(&codec.name))
                .map_or(&codec.name, |known| known.encoding),
            clock_rate: codec.clock_rate,
            parameters: (codec.channels > 1).then_some(channels.as_str()),
        }));
        if !format.parameters.is_empty() {
            let number = format.payload_type.to_string();
            out.attribute(&Attribute::Fmtp(Fmtp { format: &number, parameters: &format.parameters }));
        }
    }
    for (payload_type, what) in &medium.feedback {
        match payload_type {
            Some(number) => out.attribute_text(format_args!("rtcp-fb:{number} {what}")),
            None => out.attribute_text(format_args!("rtcp-fb:* {what}")),
        };
    }
    for (id, direction, uri) in &medium.extensions {
        match direction {
            Some(direction) => out.attribute_text(format_args!("extmap:{id}/{direction} {uri}")),
            None => out.attribute_text(format_args!("extmap:{id} {uri}")),
        };
    }
}

/// What belongs to the transport: said once for all that share it (RFC 9143 §7.1.3).
fn write_transport(out: &mut Builder, medium: &LocalMedium) {
    if let Some(port) = medium.rtcp_port.filter(|_| !medium.bundled) {
        out.attribute_text(format_args!("rtcp:{port}"));
    }
    if medium.rtcp_mux {
        out.attribute(&Attribute::RtcpMux);
    }
    if medium.rtcp_mux_only {
        out.attribute(&Attribute::RtcpMuxOnly);
    }
    if medium.rtcp_reduced_size {
        out.attribute(&Attribute::RtcpReducedSize);
    }
    if medium.ice_mismatch {
        out.attribute(&Attribute::IceMismatch);
    }
    if medium.bundled {
        return;
    }
    for (tag, key) in &medium.encryption.crypto {
        out.attribute_text(&*write_key(*tag, key));
    }
    if let Some((dtls, setup)) = &medium.encryption.dtls {
        for fingerprint in &dtls.fingerprints {
            let hex = fingerprint.hex();
            out.attribute(&Attribute::Fingerprint(Fingerprint { hash: &fingerprint.hash, hex: &hex }));
        }
        out.attribute(&Attribute::Setup(*setup));
    }
    if let Some(ice) = &medium.ice {
        out.attribute(&Attribute::IceUfrag(&ice.ufrag));
        out.attribute(&Attribute::IcePassword(&ice.password));
        for candidate in ice.candidate_values() {
            out.attribute_text(format_args!("candidate:{candidate}"));
        }
        if ice.complete {
            out.attribute(&Attribute::EndOfCandidates);
        }
    }
}
