//! The little of STUN (RFC 8489) that keeps a UDP flow alive (RFC 5626 §3.5.2, §4.4.2): a Binding request without
//! attributes, and its answer with XOR-MAPPED-ADDRESS.
//!
//! Left out on purpose: everything else of STUN, which has a crate of its own. What arrives at a SIP port is told from SIP by
//! its first two bits and the magic cookie (RFC 5626 §8).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];

/// Names a request in its answer.
pub(crate) type StunId = [u8; 12];

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stun {
    /// Somebody asks what its address looks like from here.
    Request(StunId),
    /// How we look from there.
    Response(StunId, Option<SocketAddr>),
    /// STUN, but nothing for a SIP port.
    Other,
}

/// Reads a datagram; `None` if it is no STUN.
pub(crate) fn read(datagram: &[u8]) -> Option<Stun> {
    let (head, attributes) = datagram.split_at_checked(20)?;
    let (&kind, rest) = head.split_first_chunk::<2>()?;
    let (&length, rest) = rest.split_first_chunk::<2>()?;
    let (&cookie, id) = rest.split_first_chunk::<4>()?;
    let id: StunId = id.try_into().ok()?;
    if kind.first().is_some_and(|first| first & 0xc0 != 0) || cookie != COOKIE {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(length));
    if length != attributes.len() || length.checked_rem(4) != Some(0) {
        return Some(Stun::Other);
    }
    Some(match kind {
        BINDING_REQUEST => Stun::Request(id),
        BINDING_SUCCESS => Stun::Response(id, mapped_address(attributes, &id)),
        _ => Stun::Other,
    })
}

fn mapped_address(mut attributes: &[u8], id: &StunId) -> Option<SocketAddr> {
    while let Some((&kind, rest)) = attributes.split_first_chunk::<2>() {
        let (&length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(length));
        let value = rest.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS {
            return decode(value, id);
        }
        attributes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn decode(value: &[u8], id: &StunId) -> Option<SocketAddr> {
    let [_, family, a, b, address @ ..] = value else { return None };
    let port = u16::from_be_bytes([*a, *b]) ^ 0x2112;
    let key = || COOKIE.iter().chain(id);
    let address = match family {
        1 => {
            let mut octets: [u8; 4] = address.try_into().ok()?;
            octets.iter_mut().zip(key()).for_each(|(octet, key)| *octet ^= key);
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        2 => {
            let mut octets: [u8; 16] = address.try_into().ok()?;
            octets.iter_mut().zip(key()).for_each(|(octet, key)| *octet ^= key);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// A Binding request.
pub(crate) fn request(id: &StunId) -> Bytes {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&BINDING_REQUEST);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(id);
    out.into()
}

/// The answer: this is how you look from here.
pub(crate) fn response(id: &StunId, mapped: SocketAddr) -> Bytes {
    let address: Vec<u8> = match mapped.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = if address.len() == 4 { 1 } else { 2 };
    let value_length = u16::try_from(address.len()).unwrap_or(0).saturating_add(4);
    let mut out = Vec::with_capacity(44);
    out.extend_from_slice(&BINDING_SUCCESS);
    out.extend_from_slice(&value_length.saturating_add(4).to_be_bytes());
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(id);
    out.extend_from_slice(&XOR_MAPPED_ADDRESS);
    out.extend_from_slice(&value_length.to_be_bytes());
    out.extend_from_slice(&[0, family]);
    out.extend_from_slice(&(mapped.port() ^ 0x2112).to_be_bytes());
    out.extend(address.iter().zip(COOKIE.iter().chain(id)).map(|(octet, key)| octet ^ key));
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answer() {
        let id = [7; 12];
        assert_eq!(read(&request(&id)), Some(Stun::Request(id)));
        for mapped in ["192.0.2.1:5060", "[2001:db8::1]:40000"] {
            let mapped = mapped.parse().unwrap();
            assert_eq!(read(&response(&id, mapped)), Some(Stun::Response(id, Some(mapped))));
        }
    }

    #[test]
    fn other_things() {
        assert_eq!(read(b"OPTIONS sip:a@b SIP/2.0\r\n"), None);
        assert_eq!(read(&request(&[0; 12])[..19]), None);
        let mut lying = request(&[0; 12]).to_vec();
        lying[3] = 200;
        assert_eq!(read(&lying), Some(Stun::Other));
        let mut cut = response(&[1; 12], "192.0.2.1:1".parse().unwrap()).to_vec();
        cut[23] = 200;
        assert_eq!(read(&cut), Some(Stun::Response([1; 12], None)));
    }
}
