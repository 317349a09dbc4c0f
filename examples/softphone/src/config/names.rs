//! What is written as a word: codecs, transports, addresses, servers.

use denwa_sdp::Codec;
use denwa_sip_core::Protocol;
use std::net::SocketAddr;

/// The codecs of an account that names none.
pub fn default_codecs() -> Vec<Codec> {
    vec![Codec::pcma(), Codec::pcmu()]
}

/// The names of codecs this telephone has.
pub const CODECS: &[&str] = &["opus", "G722", "PCMA", "PCMU", "G729", "G726-32", "iLBC", "GSM", "L16"];

/// Reads the name of a codec, a common one or one as in descriptions: `AAL2-G726-16`, `L16/44100`.
///
/// # Errors
/// A sentence that names those there are.
pub fn codec(name: &str) -> Result<Codec, String> {
    use denwa_codecs::registry;
    let name = name.trim();
    let common = Codec::by_name(name).filter(|codec| registry::find(&codec.name, codec.clock_rate).is_some());
    let described = || {
        let (encoding, rate) = name.split_once('/').unwrap_or((name, "8000"));
        let entry = registry::find(encoding, rate.parse().ok()?)?;
        let codec = Codec::new(entry.name, entry.clock_rate_hz);
        Some(match entry.static_payload_type {
            Some(payload_type) => codec.at(payload_type),
            None => codec,
        })
    };
    common.or_else(described).ok_or_else(|| {
        format!("`{name}` is not a codec of this telephone: expected one of {}", CODECS.join(", "))
    })
}

/// Reads a transport.
///
/// # Errors
/// A sentence that names those there are.
pub fn transport(text: &str) -> Result<Protocol, String> {
    match Protocol::from_uri_token(text, false) {
        Some(protocol @ (Protocol::Udp | Protocol::Tcp | Protocol::Tls | Protocol::Ws | Protocol::Wss)) => {
            Ok(protocol)
        }
        _ => {
            Err(format!("`{text}` is not a transport this telephone has: expected udp, tcp, tls, ws or wss"))
        }
    }
}

/// Reads where a server is: a name or an address, with a port if need be.
///
/// # Errors
/// A sentence that says what was expected.
pub fn server(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let is_bad = text.trim().is_empty()
        || text.contains([' ', '/', '@'])
        || port.is_some_and(|(_, port)| !port.parse::<u16>().is_ok_and(|port| port > 0));
    if is_bad {
        let expected = "is not a server: expected a name or an address, with :port if need be";
        return Err(format!("`{text}` {expected}"));
    }
    Ok(text.to_owned())
}

/// User, domain and transport of `sip:1001@pbx.example:5060;transport=tcp`; the scheme may be left out.
///
/// # Errors
/// A sentence that says what was expected.
pub fn address(text: &str) -> Result<(String, String, Option<String>), String> {
    const EXPECTED: &str = "is not an address: expected sip:user@domain";
    let fault = || format!("`{text}` {EXPECTED}");
    let rest = text.trim();
    let rest = rest.strip_prefix("sip:").or_else(|| rest.strip_prefix("sips:")).unwrap_or(rest);
    let (user, host) = rest.split_once('@').ok_or_else(fault)?;
    let (domain, parameters) = host.split_once(';').unwrap_or((host, ""));
    let bad = |part: &str| {
        part.is_empty() || part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"@/".contains(c))
    };
    if bad(user) || bad(domain) {
        return Err(fault());
    }
    let transport = parameters.split(';').find_map(|parameter| parameter.strip_prefix("transport="));
    Ok((user.to_owned(), domain.to_owned(), transport.map(str::to_owned)))
}

/// Where a server is that was written as an address.
pub fn resolve_literal(server: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = server.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    bare.parse().ok().map(|address| SocketAddr::new(address, default_port))
}

/// The name of a server that is not written as an address.
pub fn name_of(server: &str) -> Option<&str> {
    let is_name = resolve_literal(server, 1).is_none();
    is_name.then(|| server.rsplit_once(':').map_or(server, |(host, _)| host))
}

/// Where a server is: an address, or the first that its name has.
///
/// # Errors
/// One sentence.
pub fn resolve(server: &str, default_port: u16) -> Result<SocketAddr, String> {
    use std::net::ToSocketAddrs;
    if let Some(address) = resolve_literal(server, default_port) {
        return Ok(address);
    }
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => {
            (host, port.parse().map_err(|_| format!("`{port}` is not a port: expected 1 to 65535"))?)
        }
        None => (server, default_port),
    };
    let mut found =
        (host, port).to_socket_addrs().map_err(|error| format!("{host} has no address: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}
