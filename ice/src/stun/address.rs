//! Addresses in attributes, plain and hidden from meddling NATs (RFC 8489 sections 14.1 and 14.2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::attribute::Family;
use super::message::{MAGIC_COOKIE, TransactionId};
use super::writer::Writer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PORT_MASK: u16 = (MAGIC_COOKIE >> 16) as u16;

pub(super) fn decode(value: &[u8]) -> Option<SocketAddr> {
    let ([_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([*p0, *p1]);
    let address = match Family::from_code(*family)? {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
    };
    Some(SocketAddr::new(address, port))
}

pub(super) fn encode(address: SocketAddr, to: &mut Writer<'_>) {
    let [p0, p1] = address.port().to_be_bytes();
    to.bytes(&[0, Family::of(address).code(), p0, p1]);
    match address.ip() {
        IpAddr::V4(v4) => to.bytes(&v4.octets()),
        IpAddr::V6(v6) => to.bytes(&v6.octets()),
    }
}

pub(super) fn decode_xored(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    decode(value).map(|address| mask(address, id))
}

pub(super) fn encode_xored(address: SocketAddr, to: &mut Writer<'_>) {
    let id = to.id();
    encode(mask(address, id), to);
}

/// Hides an address, or shows it again.
fn mask(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() ^ MAGIC_COOKIE)),
        IpAddr::V6(v6) => {
            let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = id.0;
            let [c0, c1, c2, c3] = MAGIC_COOKIE.to_be_bytes();
            let mask = [c0, c1, c2, c3, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11];
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, address.port() ^ PORT_MASK)
}
