//! The library that is kept: rtc-dtls, DTLS 1.2 (RFC 6347) without sockets.
//!
//! Tried beside it: dimpl, which has DTLS 1.3 too, but takes no RSA certificates; OpenSSL's binding, which needs more than a C
//! compiler to build. DTLS 1.3 is left out: every peer that has it takes 1.2.

use super::{Association, Established, Failure, Library};
use crate::Seed;
use crate::seed::Generator;
use bytes::{Bytes, BytesMut};
use denwa_rtp::srtp::Suite;
use denwa_sdp::DtlsRole;
use rtc_crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// One certificate.
pub(super) struct Kept {
    certificate: Certificate,
    provider: Arc<dyn RTCCryptoProvider>,
}

/// The suites of SRTP, preferred first.
const PROFILES: [SrtpProtectionProfile; 4] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
];

/// Messages are sent again after this long: media paths are short, and a lost handshake is silence that somebody hears.
const RESEND_AFTER: Duration = Duration::from_millis(400);

/// What fits into a datagram on every path that carries voice.
const DATAGRAM: usize = 1200;

/// Datagrams that one handshake may take. Beyond that it is no handshake; the library would keep what it cannot use yet.
const PATIENCE: u16 = 256;

impl Kept {
    pub(super) fn generate() -> Result<Self, Failure> {
        let provider = rtc_crypto::default_provider().map_err(broken)?;
        let certificate =
            Certificate::generate_self_signed(vec!["voice".to_owned()], provider.crypto()).map_err(broken)?;
        Ok(Self { certificate, provider })
    }

    fn config(&self, role: DtlsRole, seed: [u8; 32]) -> Result<Arc<HandshakeConfig>, Failure> {
        let random = Random(Mutex::new(Generator::new(Seed(seed))));
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::new(Seeded { primitives: Arc::clone(&self.provider), random }))
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.to_vec())
            .with_extended_master_secret(ExtendedMasterSecretType::Request)
            .with_flight_interval(RESEND_AFTER)
            // The fingerprint is what vouches for a certificate; that its key is the peer's is proved either way.
            .with_insecure_skip_verify(true)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_mtu(DATAGRAM)
            .build(role == DtlsRole::Client, Some(PEER));
        config.map(Arc::new).map_err(broken)
    }
}

impl Library for Kept {
    fn certificate(&self) -> &[u8] {
        self.certificate.certificate.first().map(AsRef::as_ref).unwrap_or_default()
    }

    fn begin(&self, role: DtlsRole, seed: [u8; 32], now: Instant) -> Result<Box<dyn Association>, Failure> {
        let config = self.config(role, seed)?;
        let is_server = role == DtlsRole::Server;
        let mut endpoint = Endpoint::new(PEER, Default::default(), is_server.then(|| Arc::clone(&config)));
        if !is_server {
            endpoint.connect(now, PEER, config, None).map_err(broken)?;
        }
        Ok(Box::new(Handshake { endpoint, complete: false, taken: 0 }))
    }
}

/// The library tells associations by the peer's address. Here each has its own, and paths may change below it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)), 9);

struct Handshake {
    endpoint: Endpoint,
    complete: bool,
    taken: u16,
}

impl Association for Handshake {
    fn receive(&mut self, datagram: &[u8], now: Instant) -> Result<(), Failure> {
        if !self.complete {
            self.taken = self.taken.saturating_add(1);
            if self.taken > PATIENCE {
                return Err(Failure::Broken("the handshake does not come to an end".to_owned()));
            }
        }
        for event in self.endpoint.read(now, PEER, None, BytesMut::from(datagram)).map_err(broken)? {
            match event {
                EndpointEvent::HandshakeComplete => self.complete = true,
                EndpointEvent::PeerClosed => {
                    return Err(Failure::Broken("the peer ended the association".to_owned()));
                }
                // Data channels have no place here.
                _ => {}
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.poll_timeout().is_none() {
            return Ok(());
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Failure::NoAnswer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message.freeze())
    }

    fn established(&self) -> Option<Established> {
        let state = self.endpoint.get_connection_state(PEER).filter(|_| self.complete)?;
        let suite = Suite::of_dtls_profile(match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => 1,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32 => 2,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => 7,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => 8,
            _ => return None,
        })?;
        let length = 2 * (suite.key_length() + suite.salt_length());
        let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], length).ok()?;
        Some(Established {
            certificate: state.peer_certificates.first()?.clone(),
            suite,
            material: Zeroizing::new(material.into_bytes()),
        })
    }

    fn close(&mut self, now: Instant) {
        let _ = self.endpoint.close(now);
    }
}

/// The library's primitives with a generator of ours.
struct Seeded {
    primitives: Arc<dyn RTCCryptoProvider>,
    random: Random,
}

struct Random(Mutex<Generator>);

impl RTCRandom for Random {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        let mut generator = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in output.chunks_mut(32) {
            let drawn = generator.bytes();
            for (place, octet) in piece.iter_mut().zip(drawn) {
                *place = octet;
            }
        }
        Ok(())
    }
}

impl RTCCryptoProvider for Seeded {
    fn name(&self) -> &'static str {
        "seeded"
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.primitives.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

fn broken(error: impl fmt::Display) -> Failure {
    Failure::Broken(error.to_string())
}
