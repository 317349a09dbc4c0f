//! URIs that own their text, and making them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use super::{
    class,
    host::Host,
    uri::{HostKind, Parts, Scheme, Uri},
    uri_compare,
};
use crate::error::{Attitude, ParseError};

/// An owned URI. Cloning costs a reference count.
#[derive(Clone)]
pub struct UriBuf {
    pub(super) text: Arc<str>,
    pub(super) parts: Parts,
}

impl UriBuf {
    /// Reads a URI, leniently.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, Attitude::Lenient)
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse_with(text: &str, attitude: Attitude) -> Result<Self, ParseError> {
        Uri::parse(text, attitude).map(|uri| uri.to_owned())
    }

    /// Starts a `sip:` URI. An empty user means none.
    pub fn sip(user: &str, host: impl fmt::Display) -> UriBuilder {
        UriBuilder::new("sip", user, host)
    }

    /// Starts a `sips:` URI. An empty user means none.
    pub fn sips(user: &str, host: impl fmt::Display) -> UriBuilder {
        UriBuilder::new("sips", user, host)
    }

    /// `sip:user@address:port`; an empty user means none.
    #[must_use]
    pub fn at_address(user: &str, address: SocketAddr) -> Self {
        Self::sip(user, Host::from(address.ip())).port(address.port()).build()
    }

    /// To read.
    #[must_use]
    pub fn as_uri(&self) -> Uri<'_> {
        Uri { text: &self.text, parts: self.parts }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URI with `;name=value` (or `;name`) in place of a parameter of that name.
    #[must_use]
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Self {
        let without = self.without_param(name);
        let uri = without.as_uri();
        let (before, headers) =
            uri.text.split_at_checked(usize::from(uri.parts.params_end)).unwrap_or((uri.text, ""));
        let mut text = format!("{before};{}", uri_compare::escape(name, class::URI_PARAM));
        if let Some(value) = value {
            text.push('=');
            text.push_str(&uri_compare::escape(value, class::URI_PARAM));
        }
        text.push_str(headers);
        Self::parse(&text).unwrap_or(without)
    }

    /// The URI without parameters of this name.
    #[must_use]
    pub fn without_param(&self, name: &str) -> Self {
        let uri = self.as_uri();
        if !uri.params().has(name) {
            return self.clone();
        }
        let params_start = usize::from(uri.parts.params_end).saturating_sub(uri.params().as_str().len());
        let mut text = self.text.get(..params_start).unwrap_or_default().to_owned();
        for param in uri.params().iter().filter(|param| !param.name.eq_ignore_ascii_case(name)) {
            text.push(';');
            text.push_str(param.name);
            if let Some(value) = param.value {
                text.push('=');
                text.push_str(value);
            }
        }
        text.push_str(self.text.get(usize::from(uri.parts.params_end)..).unwrap_or_default());
        Self::parse(&text).unwrap_or_else(|_| self.clone())
    }
}

impl FromStr for UriBuf {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// As [`Uri`]'s.
impl PartialEq for UriBuf {
    fn eq(&self, other: &Self) -> bool {
        self.as_uri() == other.as_uri()
    }
}

impl fmt::Display for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Puts a `sip:` or `sips:` URI together; what must be escaped is escaped.
#[derive(Debug, Clone)]
pub struct UriBuilder {
    text: String,
    headers: String,
}

impl UriBuilder {
    fn new(scheme: &str, user: &str, host: impl fmt::Display) -> Self {
        let mut text = format!("{scheme}:");
        if !user.is_empty() {
            text.push_str(&uri_compare::escape(user, class::USER));
            text.push('@');
        }
        // An IPv6 address given as text gets the brackets it needs.
        let host = host.to_string();
        if host.parse::<Ipv6Addr>().is_ok() {
            text.push('[');
            text.push_str(&host);
            text.push(']');
        } else {
            text.extend(
                host.chars().filter(|&c| {
                    c.is_ascii_graphic() && !matches!(c, '<' | '>' | ';' | '?' | '@' | '"' | ',')
                }),
            );
        }
        Self { text, headers: String::new() }
    }

    /// Adds the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.text.push_str(&format!(":{port}"));
        self
    }

    /// Adds `;name=value`.
    #[must_use]
    pub fn param(mut self, name: &str, value: impl fmt::Display) -> Self {
        let name = uri_compare::escape(name, class::URI_PARAM);
        let value = value.to_string();
        let value = uri_compare::escape(&value, class::URI_PARAM);
        self.text.push_str(&format!(";{name}={value}"));
        self
    }

    /// Adds `;name`.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.text.push(';');
        self.text.push_str(&uri_compare::escape(name, class::URI_PARAM));
        self
    }

    /// Adds a header, as in a Refer-To with `Replaces`.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(if self.headers.is_empty() { '?' } else { '&' });
        self.headers.push_str(&uri_compare::escape(name, class::URI_HEADER));
        self.headers.push('=');
        self.headers.push_str(&uri_compare::escape(&value.to_string(), class::URI_HEADER));
        self
    }

    /// The URI. A host that is none makes `sip:invalid.invalid`.
    #[must_use]
    pub fn build(self) -> UriBuf {
        let text = self.text + &self.headers;
        UriBuf::parse(&text).unwrap_or_else(|_| UriBuf {
            text: "sip:invalid.invalid".into(),
            parts: Parts {
                scheme: Scheme::Sip,
                scheme_end: 3,
                user_end: 0,
                has_user: false,
                host_start: 4,
                host_end: 19,
                host: HostKind::Name,
                port: None,
                params_end: 19,
            },
        })
    }
}
