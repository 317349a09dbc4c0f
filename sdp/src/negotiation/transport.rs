//! Where one side can be reached: the address and port of each medium, and what ICE knows of it.

use std::net::SocketAddr;

use crate::profile::Kind;

/// The local transport of one medium: what the peer is told, whatever the socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// For which kind of media.
    pub kind: Kind,
    /// The address of RTP, at most one for each family; the first is offered.
    pub addresses: Vec<SocketAddr>,
    /// The port of RTCP, when it is not the next one.
    pub rtcp_port: Option<u16>,
    /// What ICE needs. Without it the medium has no ICE.
    pub ice: Option<LocalIce>,
    /// The RTP source that sends from here.
    pub source: Option<LocalSource>,
}

impl Transport {
    /// One address for a kind of media.
    #[must_use]
    pub fn new(kind: Kind, address: SocketAddr) -> Self {
        Self { kind, addresses: vec![address], rtcp_port: None, ice: None, source: None }
    }

    /// One address for audio.
    #[must_use]
    pub fn audio(address: SocketAddr) -> Self {
        Self::new(Kind::Audio, address)
    }

    /// The same with ICE. The address of this transport is to be that of one of its candidates: a peer that finds it among none
    /// takes it for a meddling gateway, answers `ice-mismatch` and goes without ICE (RFC 8839 §4.2.5).
    #[must_use]
    pub fn with_ice(mut self, ice: LocalIce) -> Self {
        self.ice = Some(ice);
        self
    }

    /// The same with its RTP source.
    #[must_use]
    pub fn with_source(mut self, source: LocalSource) -> Self {
        self.source = Some(source);
        self
    }

    /// The address of a family (`true`: IPv6).
    pub(crate) fn of_family(&self, ipv6: bool) -> Option<SocketAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == ipv6)
    }
}

/// The RTP source of one medium (RFC 5576 §4.1). Peers of WebRTC may wait to be told of it before they hear anything (RFC 8829 §5.2.1),
/// so descriptions whose keys come by DTLS do; telephones, to whom it says nothing new, are spared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSource {
    /// The source identifier that it begins to send with.
    pub ssrc: u32,
    /// Its canonical name, as RTCP tells it (RFC 7022).
    pub cname: String,
}

/// The local end of ICE for one medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIce {
    /// The user name fragment, 4–256 characters.
    pub ufrag: String,
    /// The password, 22–256 characters.
    pub password: String,
    /// The candidates as `a=candidate` writes them, with or without that name before.
    pub candidates: Vec<String>,
    /// Whether there will be no more. If not, the description says `trickle`.
    pub complete: bool,
}

impl LocalIce {
    /// These credentials, and all the candidates there will be.
    #[must_use]
    pub fn new(
        ufrag: impl Into<String>,
        password: impl Into<String>,
        candidates: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let candidates = candidates.into_iter().map(Into::into).collect();
        Self { ufrag: ufrag.into(), password: password.into(), candidates, complete: true }
    }

    /// The values of the candidates, without the name of the attribute.
    pub(crate) fn candidate_values(&self) -> impl Iterator<Item = &str> {
        self.candidates.iter().map(|text| {
            let bare = text.strip_prefix("a=").unwrap_or(text);
            bare.strip_prefix("candidate:").unwrap_or(bare)
        })
    }
}
