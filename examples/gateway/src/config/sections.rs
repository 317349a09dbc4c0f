//! The tables of the file as TOML has them. What they mean is said beside.

use crate::turn::TurnSection;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) type Spanned<T> = toml::Spanned<T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) sip: SipSection,
    #[serde(default)]
    pub(super) media: MediaSection,
    #[serde(default)]
    pub(super) network: NetworkSection,
    pub(super) tls: Option<TlsSection>,
    pub(super) web: Option<WebSection>,
    pub(super) turn: Option<TurnSection>,
    #[serde(default)]
    pub(super) limits: LimitsSection,
    #[serde(default)]
    pub(super) sides: Vec<SideSection>,
    #[serde(default)]
    pub(super) routes: Vec<RouteSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SipSection {
    pub(super) listen: Vec<Spanned<String>>,
    #[serde(default = "realm")]
    pub(super) realm: String,
    pub(super) dscp: Option<Spanned<u8>>,
    pub(super) journal: Option<PathBuf>,
}

fn realm() -> String {
    "gateway".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MediaSection {
    pub(super) ports: Vec<Spanned<String>>,
    pub(super) map_e: Option<Spanned<MapE>>,
    pub(super) dscp: Option<Spanned<u8>>,
}

/// Where the ports of a MAP-E router come from (RFC 7597).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MapE {
    pub(super) psid: u16,
    pub(super) psid_len: u8,
    pub(super) offset: u8,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self { ports: vec![Spanned::new(0..0, "20000-20999".to_owned())], map_e: None, dscp: None }
    }
}

impl MediaSection {
    /// Nobody said which ports.
    pub(super) fn is_default(&self) -> bool {
        self.ports.first().is_none_or(|first| first.span() == (0..0))
    }

    /// Where a mistake with all of it is shown.
    pub(super) fn place(&self) -> Spanned<()> {
        let ports = self.ports.first().map(Spanned::span).filter(|span| *span != (0..0));
        Spanned::new(ports.or_else(|| self.map_e.as_ref().map(Spanned::span)).unwrap_or(0..0), ())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkSection {
    pub(super) external: Option<Spanned<String>>,
    pub(super) external_v6: Option<Spanned<String>>,
    pub(super) local: Option<Vec<Spanned<String>>>,
    pub(super) dns: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) authorities: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebSection {
    pub(super) listen: Spanned<String>,
    #[serde(default)]
    pub(super) tls: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    pub(super) calls: usize,
    pub(super) calls_per_second: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self { calls: 1000, calls_per_second: 50 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SideSection {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) kind: Option<Spanned<String>>,
    // Who is on it, and where.
    #[serde(default)]
    pub(super) from: Vec<Spanned<String>>,
    pub(super) to: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) users: BTreeMap<String, Spanned<String>>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    #[serde(default)]
    pub(super) register: bool,
    pub(super) register_users_of: Option<Spanned<String>>,
    pub(super) domain: Option<String>,
    pub(super) calls: Option<usize>,
    pub(super) calls_per_second: Option<u32>,
    // Media.
    #[serde(default)]
    pub(super) codecs: Vec<Spanned<String>>,
    pub(super) ptime: Option<Spanned<u16>>,
    pub(super) encryption: Option<Spanned<String>>,
    pub(super) keys: Option<Vec<Spanned<String>>>,
    pub(super) ice: Option<Spanned<String>>,
    pub(super) rtcp_mux: Option<bool>,
    pub(super) bundle: Option<bool>,
    pub(super) feedback: Option<bool>,
    pub(super) dtmf: Option<Spanned<String>>,
    pub(super) relay: Option<Spanned<RelaySection>>,
    // Signalling.
    pub(super) offer: Option<Spanned<String>>,
    pub(super) reliable: Option<Spanned<String>>,
    pub(super) session_timer: Option<Spanned<u64>>,
    pub(super) hold: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) trusted: bool,
    pub(super) identity: Option<Spanned<String>>,
    pub(super) numbers: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) pass: Vec<String>,
    #[serde(default)]
    pub(super) stop: Vec<String>,
    pub(super) profile: Option<Spanned<String>>,
    pub(super) request: Option<Spanned<String>>,
    pub(super) address: Option<Spanned<String>>,
    pub(super) ring: Option<Spanned<String>>,
    pub(super) retry: Option<Spanned<u64>>,
    pub(super) number_in: Option<Spanned<String>>,
    pub(super) expires: Option<Spanned<u64>>,
    // What a stubborn peer needs.
    #[serde(default)]
    pub(super) rules: Vec<RuleSection>,
    #[serde(default)]
    pub(super) called: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) called_examples: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) callers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) callers_examples: Vec<Spanned<String>>,
    // A page.
    pub(super) call: Option<String>,
    // Robots.
    pub(super) sample_rate: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelaySection {
    pub(super) server: Spanned<String>,
    pub(super) user: String,
    pub(super) password: String,
}

/// A rule of `denwa::rules`, key by key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSection {
    pub(super) on: Spanned<String>,
    pub(super) at: Spanned<String>,
    #[serde(default)]
    pub(super) messages: Vec<Spanned<String>>,
    pub(super) find: Option<Spanned<String>>,
    pub(super) put: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) remove: bool,
    #[serde(default)]
    pub(super) examples: Vec<Spanned<(String, String)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSection {
    pub(super) from: Spanned<String>,
    pub(super) to: Spanned<String>,
    #[serde(default)]
    pub(super) prefix: String,
    #[serde(default)]
    pub(super) strip: usize,
    #[serde(default)]
    pub(super) prepend: String,
}
