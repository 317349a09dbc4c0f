//! `[secrets]`, `[identity]`, `[metrics]`: a key for what must be kept in the open, a key that signs callers, and figures for
//! whoever watches over the exchange.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use denwa_sip_core::auth::passport::Signer;

use super::document::Section;
use super::problem::Problems;

/// `[secrets]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The key of `sealed:…`; `secrets.key` beside the store when `None`.
    pub key_file: Option<PathBuf>,
}

/// `[identity]`: how callers are signed for neighbours (RFC 8224).
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The URL by which our signatures name our key; nothing is signed without one.
    pub url: Option<String>,
    /// Our private key; made at `identity.pem` beside the store when `None`.
    pub key: Option<PathBuf>,
    /// The key with its URL, once it has been read.
    pub signer: Option<Arc<Signer>>,
}

/// A key that was read changes nothing of what the file says.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (&self.url, &self.key) == (&other.url, &other.key)
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where figures are served by HTTP; nowhere when `None`.
    pub listen: Option<SocketAddr>,
}

pub(super) fn secrets(mut section: Section<'_>, problems: &mut Problems) -> Secrets {
    let key_file = section.text("key_file", problems).filter(|text| !text.value.is_empty());
    section.finish(problems);
    Secrets { key_file: key_file.map(|text| text.value.into()) }
}

pub(super) fn identity(mut section: Section<'_>, problems: &mut Problems) -> Identity {
    let url = section.text("url", problems).filter(|text| !text.value.is_empty());
    if let Some(text) = &url
        && (text
            .value
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control() || "<>\"".contains(letter)))
    {
        problems.add(&text.span, &text.key, "expected a URL as https://pbx.example/identity.pem");
    }
    let key = section.text("key", problems).filter(|text| !text.value.is_empty());
    section.finish(problems);
    Identity { url: url.map(|text| text.value), key: key.map(|text| text.value.into()), signer: None }
}

pub(super) fn metrics(mut section: Section<'_>, problems: &mut Problems) -> Metrics {
    let listen = section.text("listen", problems).filter(|text| !text.value.is_empty()).and_then(|text| {
        let wrong = |_| problems.add(&text.span, &text.key, "expected ADDRESS:PORT as 127.0.0.1:9110");
        text.value.parse().map_err(wrong).ok()
    });
    section.finish(problems);
    Metrics { listen }
}
