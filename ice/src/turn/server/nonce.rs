//! Nonces that nobody has to remember: the time and the client's address, signed.
//!
//! A nonce is the security-feature cookie of RFC 8489 section 9.2, a time in hexadecimal seconds, and twelve bytes of
//! HMAC-SHA256 over time and client address by a key that only this server has. Strangers cost no memory.

use crate::random::Generator;
use crate::stun::credentials::{NONCE_COOKIE, PASSWORD_ALGORITHMS_BIT, USERNAME_ANONYMITY_BIT};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

#[derive(Debug, Clone)]
pub(super) struct Nonces {
    mac: Hmac<Sha256>,
    began: Instant,
    lifetime: Duration,
    cookie: String,
}

impl Nonces {
    pub(super) fn new(generator: &mut Generator, lifetime: Duration, hashes: bool, now: Instant) -> Self {
        let mut key = [0; 64];
        generator.fill(&mut key);
        let bits = PASSWORD_ALGORITHMS_BIT | if hashes { USERNAME_ANONYMITY_BIT } else { 0 };
        let [_, b0, b1, b2] = bits.to_be_bytes();
        let cookie = format!("{NONCE_COOKIE}{}", STANDARD.encode([b0, b1, b2]));
        Self { mac: Hmac::new(&key.into()), began: now, lifetime, cookie }
    }

    /// A nonce for this client, now.
    pub(super) fn make(&self, client: SocketAddr, now: Instant) -> String {
        let seconds = self.seconds(now);
        format!("{}{seconds:08x}{}", self.cookie, STANDARD.encode(self.sign(client, seconds)))
    }

    /// Whether a nonce was made here for this client, not long ago.
    pub(super) fn holds(&self, nonce: &str, client: SocketAddr, now: Instant) -> bool {
        let Some((time, code)) =
            nonce.strip_prefix(self.cookie.as_str()).and_then(|rest| rest.split_at_checked(8))
        else {
            return false;
        };
        let Ok(made) = u32::from_str_radix(time, 16) else { return false };
        let expected = STANDARD.encode(self.sign(client, made));
        let age = self.seconds(now).saturating_sub(made);
        bool::from(expected.as_bytes().ct_eq(code.as_bytes())) && u64::from(age) <= self.lifetime.as_secs()
    }

    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX)
    }

    fn sign(&self, client: SocketAddr, seconds: u32) -> [u8; 12] {
        let mut mac = self.mac.clone();
        mac.update(&seconds.to_be_bytes());
        mac.update(&client.port().to_be_bytes());
        match client.ip() {
            IpAddr::V4(v4) => mac.update(&v4.octets()),
            IpAddr::V6(v6) => mac.update(&v6.octets()),
        }
        let whole = mac.finalize().into_bytes();
        let mut code = [0; 12];
        code.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time_only() {
        let now = Instant::now();
        let nonces = Nonces::new(&mut Generator::new(Seed([1; 32])), Duration::from_secs(600), true, now);
        let (client, other) = ("192.0.2.1:5".parse().unwrap(), "192.0.2.1:6".parse().unwrap());
        let nonce = nonces.make(client, now);
        assert!(nonce.starts_with("obMatJos2AAAD"), "{nonce}");
        assert!(nonces.holds(&nonce, client, now + Duration::from_secs(600)));
        assert!(!nonces.holds(&nonce, client, now + Duration::from_secs(601)));
        assert!(!nonces.holds(&nonce, other, now));
        assert!(!nonces.holds("obMatJos2AAAD", client, now));
        assert!(!nonces.holds("", client, now));
    }
}
