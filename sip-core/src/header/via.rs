//! Via (RFC 3261 §20.42, RFC 3581, RFC 5923, RFC 7339).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{fmt, net::IpAddr};

use super::{HeaderName, HeaderValue, Param, Params, Scanner};
use crate::{
    error::{Liberty, ParseError, Problem},
    io::Protocol,
    message::Host,
};

/// One hop of the way back.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// How the request was sent.
    pub transport: ViaTransport<'a>,
    /// The host of `sent-by`.
    pub host: Host<'a>,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params<'a>,
}

/// The transport of a Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViaTransport<'a> {
    /// One that this crate speaks.
    Known(Protocol),
    /// Any other, such as `SCTP`.
    Other(&'a str),
}

impl fmt::Display for ViaTransport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(protocol) => f.write_str(protocol.via_token()),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Every branch made by RFC 3261 starts with this.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// The `branch` parameter.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch if it was made by the rules of RFC 3261 §8.1.1.7: unique, so that it identifies the transaction.
    #[must_use]
    pub fn rfc3261_branch(&self) -> Option<&'a str> {
        self.branch().filter(|branch| is_rfc3261(branch))
    }

    /// What a server needs of the parameters, in one pass.
    pub(crate) fn facts(&self) -> ViaFacts<'a> {
        let mut facts = ViaFacts::default();
        for Param { name, value } in self.params.iter() {
            if name.eq_ignore_ascii_case("branch") {
                facts.branch = facts.branch.or(value);
            } else if name.eq_ignore_ascii_case("rport") {
                facts.has_rport = true;
            } else if name.eq_ignore_ascii_case("received") {
                facts.has_received = true;
            } else if name.eq_ignore_ascii_case("maddr") {
                facts.maddr = facts.maddr.or(value);
            } else if name.eq_ignore_ascii_case("alias") {
                facts.has_alias = true;
            } else if name.eq_ignore_ascii_case("oc") {
                facts.has_overload = true;
            }
        }
        facts.branch = facts.branch.filter(|branch| is_rfc3261(branch));
        facts
    }

    /// The `received` parameter, with or without brackets (RFC 5118 §4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The value of `rport`; `Some(None)` if it is there without one (RFC 3581 §3).
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        let param = self.params.find("rport")?;
        Some(param.value.and_then(|value| value.parse().ok()))
    }

    /// The `maddr` parameter.
    #[must_use]
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.get("maddr")
    }

    /// The `ttl` parameter.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        self.params.get("ttl")?.parse().ok()
    }

    /// Whether `alias` is there: the sender takes requests over this connection (RFC 5923 §8.1).
    #[must_use]
    pub fn has_alias(&self) -> bool {
        self.params.has("alias")
    }

    /// The port of `sent-by`, or that of the transport.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(match self.transport {
            ViaTransport::Known(protocol) => protocol.default_port(),
            ViaTransport::Other(_) => 5060,
        })
    }
}

/// See [`Via::facts`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ViaFacts<'a> {
    /// Only one that was made by the rules of RFC 3261.
    pub(crate) branch: Option<&'a str>,
    pub(crate) maddr: Option<&'a str>,
    pub(crate) has_rport: bool,
    pub(crate) has_received: bool,
    pub(crate) has_alias: bool,
    /// The sender obeys overload control (RFC 7339 §4.1).
    pub(crate) has_overload: bool,
}

fn is_rfc3261(branch: &str) -> bool {
    branch.len() > BRANCH_COOKIE.len()
        && branch.get(..BRANCH_COOKIE.len()).is_some_and(|cookie| cookie.eq_ignore_ascii_case(BRANCH_COOKIE))
}

impl<'a> HeaderValue<'a> for Via<'a> {
    const NAME: HeaderName = HeaderName::Via;
    const IS_LIST: bool = true;

    #[inline]
    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let transport = scan_protocol(scanner, false)?;
        Self::scan_rest(scanner, transport)
    }
}

impl<'a> Via<'a> {
    /// Reads a Via of any version, so that a 505 finds its way.
    pub(crate) fn scan_any_version(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let transport = scan_protocol(scanner, true)?;
        Self::scan_rest(scanner, transport)
    }

    fn scan_rest(scanner: &mut Scanner<'a>, transport: ViaTransport<'a>) -> Result<Self, ParseError> {
        let before = scanner.position();
        scanner.skip_space();
        if scanner.position() == before {
            return Err(scanner.expected("white space before the host"));
        }
        let host = scan_host(scanner)?;
        let mut port = None;
        if scanner.eat_separator(b':') {
            port = u16::try_from(scanner.number("a port", 65_535)?).ok();
        }
        let params = Params::scan(scanner)?;
        scan_remark(scanner)?;
        Ok(Self { transport, host, port, params })
    }
}

/// RFC 2543 let a remark in parentheses follow, and some devices still write one.
#[inline]
fn scan_remark(scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
    let end = scanner.position();
    if scanner.peek().is_none_or(|byte| byte == b',') {
        return Ok(());
    }
    scanner.skip_space();
    if scanner.peek() == Some(b'(') {
        scanner.forgive(scanner.position(), Liberty::TrailingText, "the end of the value")?;
        scanner.comment()?;
    } else {
        scanner.set_position(end);
    }
    Ok(())
}

/// `SIP/2.0/UDP`, with white space around the slashes if it must be.
fn scan_protocol<'a>(scanner: &mut Scanner<'a>, any_version: bool) -> Result<ViaTransport<'a>, ParseError> {
    let start = scanner.position();
    if scanner.rest().starts_with("SIP/2.0/") {
        scanner.advance(8);
    } else {
        let name = scanner.token("`SIP`")?;
        if !scanner.eat_separator(b'/') {
            return Err(scanner.expected("`/`"));
        }
        let version = scanner.token("`2.0`")?;
        if !scanner.eat_separator(b'/') {
            return Err(scanner.expected("`/`"));
        }
        if !name.eq_ignore_ascii_case("SIP") || (version != "2.0" && !any_version) {
            return Err(scanner.error_at(start, Problem::Version));
        }
    }
    scanner.skip_space();
    let token = scanner.token("a transport")?;
    Ok(Protocol::from_via_token(token).map_or(ViaTransport::Other(token), ViaTransport::Known))
}

fn scan_host<'a>(scanner: &mut Scanner<'a>) -> Result<Host<'a>, ParseError> {
    let start = scanner.position();
    if scanner.peek() != Some(b'[') {
        let length =
            scanner.rest().bytes().position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t' | b'\r'));
        let text = scanner.rest().get(..length.unwrap_or(scanner.rest().len())).unwrap_or_default();
        if memchr::memchr_iter(b':', text.as_bytes()).nth(1).is_some()
            && let Ok(address) = text.parse()
        {
            scanner.forgive(start, Liberty::UnbracketedIpv6, "an IPv6 address in brackets")?;
            scanner.advance(text.len());
            return Ok(Host::V6(address));
        }
    }
    Host::scan(scanner)
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    #[test]
    fn all_parts() {
        let via = Via::parse(
            "SIP/2.0/UDP [2001:db8::9:1]:5070;received=2001:db8::9:255;rport;branch=z9hG4bKas3-111",
            Attitude::Strict,
        )
        .unwrap();
        assert_eq!(via.transport, ViaTransport::Known(Protocol::Udp));
        assert_eq!(via.host, Host::V6("2001:db8::9:1".parse().unwrap()));
        assert_eq!((via.port, via.rport()), (Some(5070), Some(None)));
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
        assert_eq!(via.rfc3261_branch(), Some("z9hG4bKas3-111"));
    }

    #[test]
    fn space_around_the_slashes() {
        let via = Via::parse(
            "SIP  / 2.0\r\n /TCP     spindle.example.com   ;\r\n branch  =   z9hG4bK9ikj8",
            Attitude::Strict,
        )
        .unwrap();
        assert_eq!(via.transport, ViaTransport::Known(Protocol::Tcp));
        assert_eq!(via.branch(), Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn the_cookie_alone_is_no_branch_of_rfc_3261() {
        assert_eq!(
            Via::parse("SIP/2.0/UDP h;branch=z9hG4bK", Attitude::Strict).unwrap().rfc3261_branch(),
            None
        );
        assert_eq!(Via::parse("SIP/2.0/UDP h;branch=1", Attitude::Strict).unwrap().rfc3261_branch(), None);
    }

    #[test]
    fn a_remark_of_rfc_2543_is_forgiven() {
        let text = "SIP/2.0/UDP h;branch=z9hG4bK1 (Acme (1.0))";
        assert!(Via::parse(text, Attitude::Strict).is_err());
        assert_eq!(Via::parse(text, Attitude::Lenient).unwrap().to_string(), "SIP/2.0/UDP h;branch=z9hG4bK1");
    }

    #[test]
    fn foreign_versions_are_told_apart() {
        let error = Via::parse("SIP/7.0/UDP h", Attitude::Lenient).unwrap_err();
        assert_eq!(error.problem, Problem::Version);
        assert_eq!(
            Via::parse("SIP/2.0/SCTP h", Attitude::Strict).unwrap().transport,
            ViaTransport::Other("SCTP")
        );
    }
}
