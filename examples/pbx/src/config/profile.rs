//! What the neighbours that people have are like, so that a trunk to one of them needs an address and a password only.

use std::time::Duration;

use denwa_sip_core::endpoint::ReliableProvisional;

use super::Codec;
use super::style::{DivertedBy, IdentityHeader};
use super::trunks::{EarlyMedia, SessionTerms};

/// What counts for a trunk where the file says nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profile {
    pub(super) identity: IdentityHeader,
    pub(super) diverted_by: DivertedBy,
    pub(super) codecs: Vec<Codec>,
    pub(super) reliable: ReliableProvisional,
    pub(super) session: SessionTerms,
    pub(super) early_media: EarlyMedia,
    pub(super) transit: bool,
    pub(super) rewrite_caller: bool,
    pub(super) user_phone: bool,
    /// From shows the account's user, for it takes calls of nobody else.
    pub(super) from_account: bool,
    /// Whether we register when there is an account.
    pub(super) register: bool,
    pub(super) register_seconds: u64,
    /// The line itself proves who calls.
    pub(super) needs_no_password: bool,
    /// Numbers are asked for at its name, not at its address.
    pub(super) by_name: bool,
    /// After busy or 500 it is tried once more, so much later.
    pub(super) retry: Option<Duration>,
}

impl Default for Profile {
    /// A neighbour of whom nothing is known but that it speaks SIP.
    fn default() -> Self {
        Self {
            identity: IdentityHeader::None,
            diverted_by: DivertedBy::Diversion,
            codecs: Codec::DEFAULT.to_vec(),
            reliable: ReliableProvisional::Supported,
            session: SessionTerms::Accepted,
            early_media: EarlyMedia::Heard,
            transit: true,
            rewrite_caller: true,
            user_phone: false,
            from_account: false,
            register: false,
            register_seconds: 600,
            needs_no_password: false,
            by_name: false,
            retry: None,
        }
    }
}

impl Profile {
    /// The profiles there are.
    pub(super) const NAMES: [&'static str; 6] =
        ["denwa", "asterisk", "mikopbx", "freeswitch", "provider", "hikari"];

    pub(super) fn named(name: &str) -> Option<Self> {
        let plain = Self::default();
        Some(match name {
            // Another exchange of this kind: nothing needs to be told twice.
            "denwa" => {
                Self { identity: IdentityHeader::Asserted, diverted_by: DivertedBy::HistoryInfo, ..plain }
            }
            // chan_pjsip: Remote-Party-ID is what `trust_id_inbound` reads first, and what its quick-starts allow is
            // "g722,alaw,ulaw,ilbc,gsm". MikoPBX is Asterisk with a web console.
            "asterisk" | "mikopbx" => Self {
                identity: IdentityHeader::RemoteParty,
                codecs: vec![Codec::G722, Codec::Pcma, Codec::Pcmu, Codec::Ilbc, Codec::Gsm],
                ..plain
            },
            "freeswitch" => Self {
                identity: IdentityHeader::RemoteParty,
                codecs: vec![Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma],
                ..plain
            },
            // A telephone company that sells numbers: nobody else's calls go over our bill, and callers are not found by
            // a prefix.
            "provider" => Self {
                identity: IdentityHeader::Asserted,
                transit: false,
                rewrite_caller: false,
                from_account: true,
                register: true,
                by_name: true,
                ..plain
            },
            // NTT Hikari Denwa, on the line itself: no password, one codec, sessions of five minutes.
            "hikari" => Self {
                identity: IdentityHeader::None,
                diverted_by: DivertedBy::Nothing,
                codecs: vec![Codec::Pcmu],
                session: SessionTerms::AtLeast(Duration::from_secs(300)),
                transit: false,
                rewrite_caller: false,
                from_account: true,
                register: true,
                register_seconds: 3_600,
                needs_no_password: true,
                // TTC JJ-90.24.
                retry: Some(Duration::from_secs(8)),
                ..plain
            },
            _ => return None,
        })
    }
}
