//! Flow tokens (RFC 5626 §5.2): an edge proxy or registrar puts into a Path or Record-Route which flow the other side is to
//! be reached by, and later knows that nobody else made it up.
//!
//! The token is a keyed hash over the flow's numbers and the numbers themselves, in letters that any user part of a URI may
//! hold. It needs no memory.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::io::{Flow, Protocol, Seed, StreamId};

/// Makes and reads flow tokens.
#[derive(Clone)]
pub struct FlowTokens {
    secret: [u8; 32],
}

/// Bytes of the hash that are kept: 80 bits, as the RFC suggests.
const TAG: usize = 10;

impl FlowTokens {
    /// Tokens under a secret. Two proxies with the same secret read each other's.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { secret: seed.0 }
    }

    /// The token of a flow: lower-case hexadecimal.
    #[must_use]
    pub fn encode(&self, flow: &Flow) -> String {
        let body = pack(flow);
        let mut bytes = self.tag(&body).to_vec();
        bytes.extend_from_slice(&body);
        crate::random::hex(&bytes)
    }

    /// The flow of a token, if it was made under this secret.
    #[must_use]
    pub fn decode(&self, token: &str) -> Option<Flow> {
        let bytes = unhex(token)?;
        let (tag, body) = bytes.split_at_checked(TAG)?;
        let good: bool = self.tag(body).ct_eq(tag).into();
        if good { unpack(body) } else { None }
    }

    fn tag(&self, body: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        // A key of any length is a key.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) {
            mac.update(body);
            let whole = mac.finalize().into_bytes();
            tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        }
        tag
    }
}

impl std::fmt::Debug for FlowTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlowTokens(…)")
    }
}

fn pack(flow: &Flow) -> Vec<u8> {
    let protocol = Protocol::ALL.iter().position(|protocol| *protocol == flow.protocol).unwrap_or(0);
    let mut out = vec![u8::try_from(protocol).unwrap_or(0)];
    for end in [flow.local, flow.remote] {
        match end.ip() {
            IpAddr::V4(address) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
        out.extend_from_slice(&end.port().to_be_bytes());
    }
    if let Some(stream) = flow.stream {
        out.extend_from_slice(&stream.to_bits().to_be_bytes());
    }
    out
}

fn unpack(bytes: &[u8]) -> Option<Flow> {
    let (&protocol, mut rest) = bytes.split_first()?;
    let protocol = *Protocol::ALL.get(usize::from(protocol))?;
    let mut end = || -> Option<SocketAddr> {
        let (&family, after) = rest.split_first()?;
        let (address, after): (IpAddr, _) = match family {
            4 => {
                let (octets, after) = after.split_first_chunk::<4>()?;
                (IpAddr::from(*octets), after)
            }
            6 => {
                let (octets, after) = after.split_first_chunk::<16>()?;
                (IpAddr::from(*octets), after)
            }
            _ => return None,
        };
        let (port, after) = after.split_first_chunk::<2>()?;
        rest = after;
        Some(SocketAddr::new(address, u16::from_be_bytes(*port)))
    };
    let (local, remote) = (end()?, end()?);
    let stream = match rest {
        [] => None,
        bits => Some(StreamId::from_bits(u64::from_be_bytes(bits.try_into().ok()?))),
    };
    Some(Flow { protocol, local, remote, stream })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > 256 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| if let [high, low] = pair { Some((digit(*high)? << 4) | digit(*low)?) } else { None })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_by_its_maker_alone() {
        let tokens = FlowTokens::new(Seed([1; 32]));
        for (protocol, local, remote, stream) in [
            (Protocol::Udp, "192.0.2.1:5060", "198.51.100.2:40000", None),
            (Protocol::Tls, "[2001:db8::1]:5061", "[2001:db8::2]:41000", Some(StreamId::accepted(7))),
        ] {
            let flow =
                Flow { protocol, local: local.parse().unwrap(), remote: remote.parse().unwrap(), stream };
            let token = tokens.encode(&flow);
            assert_eq!(tokens.decode(&token), Some(flow));
            assert_eq!(FlowTokens::new(Seed([2; 32])).decode(&token), None);
            for at in 0..token.len() {
                let mut forged = token.clone();
                let other = if &forged[at..=at] == "0" { "1" } else { "0" };
                forged.replace_range(at..=at, other);
                assert_eq!(tokens.decode(&forged), None);
            }
            assert!(crate::message::UriBuf::parse(&format!("sip:{token}@edge;lr")).is_ok());
        }
        for odd in ["", "0", "zz", "00112233445566778899", &"a".repeat(1000)] {
            assert_eq!(tokens.decode(odd), None);
        }
    }
}
