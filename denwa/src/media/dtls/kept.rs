//! The library that is kept: rtc-dtls, DTLS 1.2 (RFC 6347) without sockets.
//!
//! Considered, by reading and not by trying: dimpl, which has DTLS 1.3 too but refuses RSA certificates by design; OpenSSL's
//! binding, which needs more than a C compiler to build. DTLS 1.3 is left out: Chromium, which offers it, was seen to take 1.2.

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
use std::collections::VecDeque;
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

/// Messages are sent again after this long, and then twice as long each time: media paths are short, and a lost handshake is
/// silence that somebody hears.
const RESEND_AFTER: Duration = Duration::from_millis(400);

/// The longest pause before messages are sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How often messages are sent again before the peer counts as silent.
const RESENDS: u8 = 10;

/// The library's own timer is set this far off: it stops for good when a message comes twice.
const NEVER: Duration = Duration::from_secs(86_400);

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
            .with_flight_interval(NEVER)
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
        let mut handshake = Handshake {
            endpoint,
            complete: false,
            taken: 0,
            flight: Vec::new(),
            resend_at: None,
            resent: 0,
            outbox: VecDeque::new(),
        };
        handshake.send_what_is_new(now);
        Ok(Box::new(handshake))
    }
}

/// The library tells associations by the peer's address. Here each has its own, and paths may change below it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)), 9);

struct Handshake {
    endpoint: Endpoint,
    complete: bool,
    taken: u16,
    /// What was sent last, to be sent again until the peer goes on.
    flight: Vec<Bytes>,
    resend_at: Option<Instant>,
    resent: u8,
    outbox: VecDeque<Bytes>,
}

impl Handshake {
    /// Sends what the library has made; says whether it was anything.
    fn send_what_is_new(&mut self, now: Instant) -> bool {
        let mut flight = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            flight.push(transmit.message.freeze());
        }
        if flight.is_empty() {
            return false;
        }
        self.outbox.extend(flight.iter().cloned());
        // Whoever has not shown yet that he is where he says is sent nothing twice.
        (self.flight, self.resent) = (flight, 0);
        self.resend_at = (!self.complete && !self.asks_for_a_cookie()).then(|| now + RESEND_AFTER);
        true
    }

    fn asks_for_a_cookie(&self) -> bool {
        self.flight.first().is_some_and(|it| it.get(13) == Some(&HELLO_VERIFY_REQUEST))
    }

    fn send_again(&mut self) -> bool {
        self.resent = self.resent.saturating_add(1);
        let may = self.resent <= RESENDS;
        if may {
            self.outbox.extend(self.flight.iter().cloned());
        }
        may
    }
}

/// The type of that message of a handshake.
const HELLO_VERIFY_REQUEST: u8 = 3;

/// The type of records that hold messages of a handshake.
const HANDSHAKE_RECORD: u8 = 22;

impl Association for Handshake {
    fn receive(&mut self, datagram: &[u8], now: Instant) -> Result<(), Failure> {
        let was_complete = self.complete;
        if !was_complete {
            self.taken = self.taken.saturating_add(1);
            if self.taken > PATIENCE {
                return Err(Failure::Broken("the handshake does not come to an end".to_owned()));
            }
        }
        let events = self.endpoint.read(now, PEER, None, BytesMut::from(datagram));
        for event in events.as_deref().unwrap_or_default() {
            match event {
                EndpointEvent::HandshakeComplete => (self.complete, self.resend_at) = (true, None),
                EndpointEvent::PeerClosed => {
                    self.send_what_is_new(now);
                    return Err(Failure::Broken("the peer ended the association".to_owned()));
                }
                // Data channels have no place here.
                _ => {}
            }
        }
        let is_new = self.send_what_is_new(now);
        events.map_err(broken)?;
        // The peer is not done, though we are: our last messages were lost (RFC 6347 §4.2.4). Or our question was.
        let repeats = !is_new && datagram.first() == Some(&HANDSHAKE_RECORD);
        if repeats && (was_complete || self.asks_for_a_cookie()) {
            self.send_again();
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.resend_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        if !self.send_again() {
            self.resend_at = None;
            return Err(Failure::NoAnswer);
        }
        let pause = RESEND_AFTER.saturating_mul(1 << self.resent.min(4)).min(LONGEST_PAUSE);
        self.resend_at = now.checked_add(pause);
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.resend_at
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
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
        self.send_what_is_new(now);
        self.resend_at = None;
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
