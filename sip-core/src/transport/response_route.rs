//! What a server does to the top Via of a request, and what that says about the way back: `received` (RFC 3261 §18.2.1),
//! `rport` (RFC 3581 §4), `maddr` and the rules of §18.2.2.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use smallvec::SmallVec;

use super::flow::{Flow, ReplyPath, canonical};
use crate::{
    header::{Param, Via, ViaFacts},
    message::Host,
};

/// What has to be written into the top Via: the range of its parameters within `value`, and the new text.
/// `None` if nothing changes.
pub(crate) fn stamp(
    via: &Via<'_>,
    facts: &ViaFacts<'_>,
    value: &str,
    source: SocketAddr,
    overload: Option<u8>,
) -> Option<(Range<usize>, Stamp)> {
    let source_ip = canonical(source.ip());
    let says_so = via.host.address().is_some_and(|address| canonical(address) == source_ip);
    let overload = overload.filter(|_| facts.has_overload);
    if says_so && !facts.has_rport && !facts.has_received && overload.is_none() {
        return None;
    }
    let raw = via.params.as_str();
    // The parameters are a part of the value, so the difference of their addresses is the offset.
    let start = (raw.as_ptr() as usize).checked_sub(value.as_ptr() as usize);
    let start = start.filter(|start| value.get(*start..start.saturating_add(raw.len())) == Some(raw));
    let range = match start {
        Some(start) if !raw.is_empty() => start..start.saturating_add(raw.len()),
        // A Via without parameters: they go behind what is there.
        _ => {
            let end = value.find(',').unwrap_or(value.len());
            let end = value.get(..end).unwrap_or_default().trim_end().len();
            end..end
        }
    };
    let mut text = Stamp::default();
    for Param { name, value } in via.params.iter() {
        let is_overload =
            overload.is_some() && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("oc"));
        if name.eq_ignore_ascii_case("received") || is_overload {
            continue;
        }
        text.push(b";");
        text.push(name.as_bytes());
        if name.eq_ignore_ascii_case("rport") {
            text.push(b"=");
            text.number(source.port());
        } else if let Some(value) = value {
            text.push(b"=");
            text.push(value.as_bytes());
        }
    }
    if let Some(percent) = overload {
        text.push(b";oc=");
        text.number(u16::from(percent));
        text.push(b";oc-validity=500;oc-algo=\"loss\"");
    }
    text.push(b";received=");
    text.address(source_ip);
    Some((range, text))
}

/// A short text without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Stamp(SmallVec<[u8; 192]>);

impl Stamp {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Every request has two addresses and ports written into it; the formatting machinery would be a tenth of the work.
    fn number(&mut self, number: u16) {
        let mut started = false;
        for divisor in [10_000, 1000, 100, 10, 1] {
            let digit = u8::try_from(number.checked_div(divisor).unwrap_or(0) % 10).unwrap_or(0);
            started |= digit > 0 || divisor == 1;
            if started {
                self.0.push(b'0'.wrapping_add(digit));
            }
        }
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.push(b".");
                    }
                    self.number(u16::from(octet));
                }
            }
            IpAddr::V6(address) => self.push(address.to_string().as_bytes()),
        }
    }
}

/// Where the response to a request with this top Via goes.
pub(crate) fn reply_path(via: &Via<'_>, facts: &ViaFacts<'_>, flow: Flow) -> ReplyPath {
    let port = via.port_or_default();
    let fallback = match facts.maddr.and_then(parse_address) {
        Some(address) => SocketAddr::new(address, port),
        None if !flow.protocol.is_stream() && facts.has_rport => flow.remote,
        None => SocketAddr::new(flow.remote.ip(), port),
    };
    ReplyPath { flow, fallback }
}

/// A `maddr` that is a name is left alone: it was never seen in the field, and asking the DNS for whoever sends a
/// datagram is asking for trouble.
fn parse_address(text: &str) -> Option<IpAddr> {
    Host::parse(text, crate::error::Attitude::Lenient).ok()?.address()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Attitude, header::HeaderValue, io::Protocol};

    fn stamped(value: &str, source: &str) -> String {
        let via = Via::parse(value.split(',').next().unwrap(), Attitude::Strict);
        let via_text = value;
        let via = via.map(|_| ()).and_then(|()| {
            let mut scanner = crate::header::Scanner::new(via_text, Attitude::Strict);
            Via::scan(&mut scanner)
        });
        let via = via.unwrap();
        match stamp(&via, &via.facts(), value, source.parse().unwrap(), None) {
            None => value.to_owned(),
            Some((range, text)) => {
                let mut out = value.to_owned();
                out.replace_range(range, std::str::from_utf8(text.as_bytes()).unwrap());
                out
            }
        }
    }

    #[test]
    fn received_when_the_source_is_another() {
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "192.0.2.1:5060"),
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP host.example;branch=z9hG4bK1, SIP/2.0/UDP b", "192.0.2.1:5060"),
            "SIP/2.0/UDP host.example;branch=z9hG4bK1;received=192.0.2.1, SIP/2.0/UDP b"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP host.example , SIP/2.0/UDP b", "192.0.2.1:5060"),
            "SIP/2.0/UDP host.example;received=192.0.2.1 , SIP/2.0/UDP b"
        );
        assert_eq!(stamped("SIP/2.0/UDP [2001:db8::1]", "[2001:DB8:0::1]:5060"), "SIP/2.0/UDP [2001:db8::1]");
    }

    #[test]
    fn rport_is_filled_and_a_forged_received_replaced() {
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "192.0.2.1:9988"),
            "SIP/2.0/UDP 192.0.2.1;rport=9988;branch=z9hG4bK1;received=192.0.2.1"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;received=198.51.100.7;branch=z9hG4bK1", "192.0.2.1:9988"),
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1"
        );
    }

    #[test]
    fn the_way_back() {
        let flow = |protocol| Flow {
            protocol,
            local: "192.0.2.9:5060".parse().unwrap(),
            remote: "198.51.100.1:40000".parse().unwrap(),
            stream: None,
        };
        for (via, protocol, expected) in [
            ("SIP/2.0/UDP h;rport", Protocol::Udp, "198.51.100.1:40000"),
            ("SIP/2.0/UDP h", Protocol::Udp, "198.51.100.1:5060"),
            ("SIP/2.0/UDP h:5070", Protocol::Udp, "198.51.100.1:5070"),
            ("SIP/2.0/UDP h:5070;maddr=224.0.1.75;rport", Protocol::Udp, "224.0.1.75:5070"),
            ("SIP/2.0/TCP h:5070;rport", Protocol::Tcp, "198.51.100.1:5070"),
            ("SIP/2.0/TLS h", Protocol::Tls, "198.51.100.1:5061"),
        ] {
            let via = Via::parse(via, Attitude::Strict).unwrap();
            assert_eq!(reply_path(&via, &via.facts(), flow(protocol)).fallback, expected.parse().unwrap());
        }
    }
}
