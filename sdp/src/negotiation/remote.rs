//! What the peer said, resolved: inheritance from the session, static payload types, where RTCP goes. Nothing here
//! depends on what this side can do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::{Connection, Host};
use crate::attribute::fax::Fax;
use crate::attribute::format::static_format;
use crate::attribute::security::Setup;
use crate::attribute::{Attribute, AttributeName};
use crate::direction::Direction;
use crate::error::{Leniency, ParseError};
use crate::media::Media;
use crate::profile::{Kind, Profile};
use crate::session::Description;
use crate::timing::Timing;

use super::bundle;
use super::capability::{TELEPHONE_EVENT, display_name};

/// A description of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDescription {
    /// User, session id, version, address type and host of `o=`, as written.
    pub origin: Option<RemoteOrigin>,
    /// `s=`.
    pub session_name: String,
    /// The `t=` lines that can be read.
    pub timings: Vec<Timing>,
    /// The media, in order.
    pub media: Vec<RemoteMedium>,
    /// The members of each BUNDLE group, by `mid`.
    pub bundles: Vec<Vec<String>>,
    /// What was forgiven.
    pub leniencies: Vec<Leniency>,
    /// Attributes that could not be read and were ignored.
    pub ignored: Vec<ParseError>,
}

/// The `o=` line of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteOrigin {
    /// The user, or `-`.
    pub username: String,
    /// The session id, a digit string of any length.
    pub session_id: String,
    /// The version, a digit string of any length.
    pub session_version: String,
    /// The host that made it.
    pub host: String,
}

/// One medium of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMedium {
    /// Which, from 0.
    pub slot: usize,
    /// What it is.
    pub kind: Kind,
    /// Its port; 0 when it is refused or gone, unless it is `bundle_only`.
    pub port: u16,
    /// How it is carried.
    pub profile: Profile,
    /// The formats as the `m=` line has them.
    pub format_names: Vec<String>,
    /// The payload types that mean something, in order; a dynamic one without `rtpmap` does not.
    pub formats: Vec<Format>,
    /// Where RTP goes. `None` when the address says "do not send", or there is none.
    pub rtp: Option<RemoteAddress>,
    /// Where RTCP goes when it does not share the port of RTP.
    pub rtcp: Option<RemoteAddress>,
    /// Whether the address is IPv6. `None` for a name or no address.
    pub ipv6: Option<bool>,
    /// Whether the address is a group's.
    pub multicast: bool,
    /// Whether the address is `0.0.0.0`, `::` or `….invalid` without ICE: hold in the style of RFC 2543.
    pub held_by_address: bool,
    /// What the peer says of the direction, from its own side.
    pub direction: Direction,
    /// How much sound the peer wants in a packet.
    pub packet_time: Option<Duration>,
    /// How much it takes at most.
    pub max_packet_time: Option<Duration>,
    /// `mid`.
    pub mid: Option<String>,
    /// `bundle-only`.
    pub bundle_only: bool,
    /// `rtcp-mux`.
    pub rtcp_mux: bool,
    /// `rtcp-mux-only`.
    pub rtcp_mux_only: bool,
    /// `rtcp-rsize`.
    pub rtcp_reduced_size: bool,
    /// `rtcp-fb`: payload type (`None` is all) and what follows it.
    pub feedback: Vec<(Option<u8>, String)>,
    /// `extmap`: id, direction and URI.
    pub extensions: Vec<(u16, Option<Direction>, String)>,
    /// `crypto`, as written, in order.
    pub crypto: Vec<String>,
    /// `fingerprint`: hash function and hash.
    pub fingerprints: Vec<RemoteFingerprint>,
    /// `setup`.
    pub setup: Option<Setup>,
    /// `tls-id`.
    pub tls_id: Option<String>,
    /// What it says of ICE.
    pub ice: Option<RemoteIce>,
    /// `ice-mismatch`.
    pub ice_mismatch: bool,
    /// T.38 attributes.
    pub fax: RemoteFax,
    /// `ssrc` sources with their `cname`.
    pub sources: Vec<(u32, Option<String>)>,
    /// `label`.
    pub label: Option<String>,
    /// `content`.
    pub content: Option<String>,
    /// Whether `silenceSupp:off` asks for an unbroken stream.
    pub no_silence_suppression: bool,
    /// `b=` in bits a second: `TIAS`, else `AS`.
    pub bandwidth: Option<u64>,
}

/// What a payload type of the peer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The number the peer wants to receive it with.
    pub payload_type: u8,
    /// The encoding, as written.
    pub name: String,
    /// Ticks of the RTP time stamp a second.
    pub clock_rate: u32,
    /// Channels; 1 where nothing is said.
    pub channels: u8,
    /// `fmtp`, empty for none.
    pub parameters: String,
}

impl Format {
    /// Whether it is telephone events. RFC 3264 §10.1 itself misspells the name; both are understood.
    #[must_use]
    pub fn is_telephone_event(&self) -> bool {
        is_telephone_event(&self.name)
    }

    /// Its name in a sentence.
    pub(crate) fn display_name(&self) -> String {
        display_name(&self.name, self.clock_rate)
    }
}

pub(crate) fn is_telephone_event(name: &str) -> bool {
    name.eq_ignore_ascii_case(TELEPHONE_EVENT) || name.eq_ignore_ascii_case("telephone-events")
}

/// An address the peer gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// An address and a port.
    Ip(SocketAddr),
    /// A name, to be resolved, and a port.
    Host(String, u16),
}

impl RemoteAddress {
    fn new(host: Host<'_>, port: u16) -> Self {
        match host {
            Host::Ip(address) => Self::Ip(SocketAddr::new(address, port)),
            Host::Name(name) => Self::Host(name.to_owned(), port),
        }
    }

    /// The address, unless it is a name.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Host(..) => None,
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Host(_, port) => *port,
        }
    }
}

/// The hash of the peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFingerprint {
    /// The hash function, in lower case.
    pub hash: String,
    /// The hash.
    pub bytes: Vec<u8>,
}

/// The peer's end of ICE for one medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteIce {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub password: String,
    /// The candidates, as `a=candidate` writes them, without that name.
    pub candidates: Vec<String>,
    /// Whether there will be no more.
    pub end_of_candidates: bool,
    /// Whether the peer is a lite end.
    pub lite: bool,
    /// `ice-options`.
    pub options: Vec<String>,
    /// `remote-candidates`, as written.
    pub remote_candidates: Option<String>,
    /// Whether RTP's address is one of the candidates, as RFC 8839 §4.2.5 wants it.
    pub default_is_candidate: bool,
}

/// T.38 attributes of the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteFax {
    /// The version.
    pub version: Option<u32>,
    /// Bits a second.
    pub max_bit_rate: Option<u32>,
    /// Whether fill bits may be left out.
    pub fill_bit_removal: bool,
    /// MMR transcoding.
    pub transcoding_mmr: bool,
    /// JBIG transcoding.
    pub transcoding_jbig: bool,
    /// `transferredTCF` or `localTCF`.
    pub rate_management: Option<String>,
    /// Bytes it can hold.
    pub max_buffer: Option<u32>,
    /// Bytes of the largest datagram it takes.
    pub max_datagram: Option<u32>,
    /// The error correction word.
    pub error_correction: Option<String>,
}

impl RemoteDescription {
    /// Resolves a description.
    #[must_use]
    pub fn read(description: &Description<'_>) -> Self {
        let origin = description.origin().map(|origin| RemoteOrigin {
            username: origin.username.to_owned(),
            session_id: origin.session_id.to_owned(),
            session_version: origin.session_version.to_owned(),
            host: origin.host.to_string(),
        });
        let bundles = description
            .groups()
            .filter(|group| group.is_bundle())
            .map(|group| group.members().map(str::to_owned).collect())
            .collect();
        let mut ignored = Vec::new();
        ignored.extend(description.attributes().filter_map(|line| line.typed().err()));
        let media = description.media().map(|medium| RemoteMedium::read(&medium, &mut ignored)).collect();
        let mut all = Self {
            origin,
            session_name: description.session_name().unwrap_or("").to_owned(),
            timings: description.timings().collect(),
            media,
            bundles,
            leniencies: description.leniencies().to_vec(),
            ignored,
        };
        bundle::share_tagged_transport(&mut all);
        all
    }
}

impl RemoteMedium {
    fn read(media: &Media<'_>, ignored: &mut Vec<ParseError>) -> Self {
        let connection = media.connection();
        let host = connection.map(|connection| connection.host);
        let port = media.port();
        let ice = read_ice(media, host, port);
        let unspecified = connection.is_some_and(|connection| connection.is_unspecified());
        let rtp = host.filter(|_| !unspecified && port != 0).map(|host| RemoteAddress::new(host, port));
        let mut medium = Self {
            slot: media.slot(),
            kind: media.kind(),
            port,
            profile: media.profile(),
            format_names: media.formats().map(str::to_owned).collect(),
            formats: read_formats(media),
            rtcp: rtp.as_ref().and_then(|_| read_rtcp(media, host?, port)),
            rtp,
            ipv6: host.and_then(|host| host.ip()).map(|address| address.is_ipv6()),
            multicast: connection.is_some_and(|connection| connection.is_multicast()),
            held_by_address: unspecified && ice.is_none(),
            direction: media.direction(),
            packet_time: media.packet_time(),
            max_packet_time: media.max_packet_time(),
            mid: media.mid().map(str::to_owned),
            bundle_only: false,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_reduced_size: false,
            feedback: Vec::new(),
            extensions: Vec::new(),
            crypto: Vec::new(),
            fingerprints: Vec::new(),
            setup: None,
            tls_id: None,
            ice,
            ice_mismatch: false,
            fax: RemoteFax::default(),
            sources: Vec::new(),
            label: None,
            content: None,
            no_silence_suppression: false,
            bandwidth: read_bandwidth(media),
        };
        for line in media.attributes() {
            match line.typed() {
                Ok(attribute) => medium.take(attribute),
                Err(error) => ignored.push(error),
            }
        }
        medium.inherit(media);
        medium
    }

    /// One attribute of the medium itself.
    fn take(&mut self, attribute: Attribute<'_>) {
        match attribute {
            Attribute::BundleOnly => self.bundle_only = true,
            Attribute::RtcpMux => self.rtcp_mux = true,
            Attribute::RtcpMuxOnly => (self.rtcp_mux, self.rtcp_mux_only) = (true, true),
            Attribute::RtcpReducedSize => self.rtcp_reduced_size = true,
            Attribute::RtcpFeedback(feedback) => {
                let text = format!("{} {}", feedback.kind, feedback.parameter).trim_end().to_owned();
                self.feedback.push((feedback.payload_type, text));
            }
            Attribute::ExtensionMap(map) => self.extensions.push((map.id, map.direction, map.uri.to_owned())),
            Attribute::Crypto(crypto) => self.crypto.push(crypto.to_string()),
            Attribute::Fingerprint(fingerprint) if fingerprint.is_usable() => {
                self.fingerprints.push(RemoteFingerprint {
                    hash: fingerprint.hash.to_ascii_lowercase(),
                    bytes: fingerprint.bytes().collect(),
                });
            }
            Attribute::Setup(setup) => self.setup = Some(setup),
            Attribute::TlsId(id) => self.tls_id = Some(id.to_owned()),
            Attribute::IceMismatch => self.ice_mismatch = true,
            Attribute::Fax(fax) => self.fax.take(fax),
            Attribute::Source(source) => {
                let cname = (source.attribute == "cname").then(|| source.value.unwrap_or("").to_owned());
                match self.sources.iter_mut().find(|(ssrc, _)| *ssrc == source.ssrc) {
                    Some((_, known)) => *known = known.take().or(cname),
                    None => self.sources.push((source.ssrc, cname)),
                }
            }
            Attribute::Label(label) => self.label = Some(label.to_owned()),
            Attribute::Content(content) => self.content = Some(content.to_owned()),
            Attribute::SilenceSuppression(suppression) => self.no_silence_suppression = !suppression.enabled,
            _ => {}
        }
    }

    /// What the session says where the medium says nothing.
    fn inherit(&mut self, media: &Media<'_>) {
        let session = media.session_attributes();
        if self.fingerprints.is_empty() {
            for line in session.clone().named(AttributeName::Fingerprint) {
                if let Ok(attribute) = line.typed() {
                    self.take(attribute);
                }
            }
        }
        if self.setup.is_none()
            && let Some(attribute) = session.clone().first(AttributeName::Setup)
        {
            self.take(attribute);
        }
        if self.tls_id.is_none()
            && let Some(attribute) = session.clone().first(AttributeName::TlsId)
        {
            self.take(attribute);
        }
        if self.crypto.is_empty() {
            // RFC 4568 allows `crypto` in media only; some phones put it once before them.
            for line in session.clone().named(AttributeName::Crypto) {
                if let Ok(attribute) = line.typed() {
                    self.take(attribute);
                }
            }
        }
        self.rtcp_mux |= session.has(AttributeName::RtcpMux);
    }

    /// Whether the medium is on offer, or accepted.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.port != 0 || self.bundle_only
    }

    /// What it has, for a sentence: the names of codecs, `T.38`, or the formats.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.profile.is_rtp() {
            let codecs = self.formats.iter().filter(|format| !format.is_telephone_event());
            let mut names: Vec<String> = codecs.map(Format::display_name).collect();
            if names.is_empty() {
                names.extend(self.formats.iter().map(Format::display_name));
            }
            return names;
        }
        let names = self.format_names.iter();
        names
            .map(|name| if name.eq_ignore_ascii_case("t38") { "T.38".into() } else { name.clone() })
            .collect()
    }
}

impl RemoteFax {
    fn take(&mut self, fax: Fax<'_>) {
        match fax {
            Fax::Version(version) => self.version = Some(version),
            Fax::MaxBitRate(rate) => self.max_bit_rate = Some(rate),
            Fax::FillBitRemoval(flag) => self.fill_bit_removal = flag,
            Fax::TranscodingMmr(flag) => self.transcoding_mmr = flag,
            Fax::TranscodingJbig(flag) => self.transcoding_jbig = flag,
            Fax::RateManagement(word) => self.rate_management = Some(word.to_owned()),
            Fax::MaxBuffer(bytes) => self.max_buffer = Some(bytes),
            Fax::MaxDatagram(bytes) => self.max_datagram = Some(bytes),
            Fax::ErrorCorrection(word) => self.error_correction = Some(word.to_owned()),
            _ => {}
        }
    }
}

/// The payload types that mean something: by `rtpmap`, else by the static table.
fn read_formats(media: &Media<'_>) -> Vec<Format> {
    // Read once: a peer that lists many of each must not cost their product.
    let maps: Vec<_> = media.rtpmaps().collect();
    let fmtps: Vec<_> = media.fmtps().collect();
    let mut formats: Vec<Format> = Vec::new();
    for payload_type in media.payload_types() {
        if formats.iter().any(|format| format.payload_type == payload_type) {
            continue;
        }
        let map = maps.iter().find(|map| map.payload_type == payload_type);
        let (name, clock_rate, channels) = match (map, static_format(payload_type)) {
            (Some(map), _) => {
                // RFC 3551 §4.5.2 gives G.722 a clock of 8000; some write what it samples at.
                let g722 = map.encoding.eq_ignore_ascii_case("G722") && map.clock_rate == 16_000;
                (map.encoding, if g722 { 8_000 } else { map.clock_rate }, map.channels())
            }
            (None, Some(known)) => (known.encoding, known.clock_rate, known.channels),
            (None, None) => continue,
        };
        let own = fmtps.iter().filter(|fmtp| fmtp.payload_type() == Some(payload_type));
        let parameters: Vec<&str> = own.map(|fmtp| fmtp.parameters).collect();
        formats.push(Format {
            payload_type,
            name: name.to_owned(),
            clock_rate,
            channels,
            parameters: parameters.join(";"),
        });
    }
    formats
}

/// Where RTCP goes: `a=rtcp`, else the port after RTP's.
fn read_rtcp(media: &Media<'_>, host: Host<'_>, port: u16) -> Option<RemoteAddress> {
    match media.attributes().first(AttributeName::Rtcp) {
        Some(Attribute::Rtcp(rtcp)) => {
            let host = rtcp.connection().filter(|own| !own.is_unspecified()).map_or(host, |own| own.host);
            Some(RemoteAddress::new(host, rtcp.port))
        }
        _ => Some(RemoteAddress::new(host, port.checked_add(1)?)),
    }
}

fn read_bandwidth(media: &Media<'_>) -> Option<u64> {
    let of = |kind| media.bandwidths().find(|bandwidth| bandwidth.kind == kind);
    of("TIAS").or_else(|| of("AS")).and_then(|bandwidth| bandwidth.bits_per_second())
}

fn read_ice(media: &Media<'_>, host: Option<Host<'_>>, port: u16) -> Option<RemoteIce> {
    let Some(Attribute::IceUfrag(ufrag)) = media.inherited(AttributeName::IceUfrag) else { return None };
    let Some(Attribute::IcePassword(password)) = media.inherited(AttributeName::IcePwd) else { return None };
    let lines = || media.attributes().named(AttributeName::Candidate);
    let parsed = || lines().filter_map(|line| line.typed().ok());
    let default = (host.and_then(|host| host.ip()), port);
    let among = parsed().any(|attribute| match attribute {
        Attribute::Candidate(candidate) => (candidate.host().ip(), candidate.port()) == default,
        _ => false,
    });
    let options = match media.inherited(AttributeName::IceOptions) {
        Some(Attribute::IceOptions(options)) => options.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    // Nothing to compare with: a name, the "discard" address of trickle ICE, or no candidate so far.
    let undecided =
        default.0.is_none_or(|address| is_unspecified(&address)) || port == 9 || parsed().next().is_none();
    Some(RemoteIce {
        ufrag: ufrag.to_owned(),
        password: password.to_owned(),
        candidates: lines()
            .filter(|line| line.typed().is_ok())
            .filter_map(|line| line.value().map(str::to_owned))
            .collect(),
        end_of_candidates: media.inherits(AttributeName::EndOfCandidates),
        lite: media.inherits(AttributeName::IceLite),
        options,
        remote_candidates: match media.attributes().first(AttributeName::RemoteCandidates) {
            Some(Attribute::RemoteCandidates(list)) => Some(list.to_string()),
            _ => None,
        },
        default_is_candidate: among || undecided,
    })
}

fn is_unspecified(address: &IpAddr) -> bool {
    Connection::unicast(Host::Ip(*address)).is_unspecified()
}
