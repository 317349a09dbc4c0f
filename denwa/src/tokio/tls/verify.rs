//! Whether a server is the one that was asked for (RFC 5922 §7.3): its chain ends at somebody who is believed, and its
//! certificate names the host or domain.

use super::identity::{names, sip_domain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Who can vouch for a peer.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: Arc<RootCertStore>,
    /// Those that the operator gave, whole. A server that shows one of these very certificates is believed, though it calls
    /// itself an authority, which a server's certificate may not (RFC 5280 §4.2.1.9): `openssl req -x509` makes such ones, and
    /// many exchanges have nothing else.
    pub(super) given: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn vouch_for(
        &self,
        parsed: &ParsedCertificate<'_>,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let judged = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.store,
            intermediates,
            now,
            algorithms.all,
        );
        match judged {
            Err(error) if !is_out_of_date(&error) && self.given.iter().any(|given| given == certificate) => {
                Ok(())
            }
            judged => judged,
        }
    }
}

/// Dates are judged before anything else, so that no other error hides one.
fn is_out_of_date(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    )
}

/// Who is believed.
#[derive(Debug)]
pub(super) enum Believer {
    /// Everybody, whatever they show.
    Anyone,
    /// Those that one of these vouches for, when they are named as they were called.
    Roots { roots: Arc<Roots>, wildcards: bool },
}

#[derive(Debug)]
pub(super) struct Verifier {
    believer: Believer,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(believer: Believer, provider: &CryptoProvider) -> Self {
        Self { believer, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Believer::Roots { roots, wildcards } = &self.believer else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        roots.vouch_for(&parsed, certificate, intermediates, now, &self.algorithms)?;
        let is_named = match server_name {
            ServerName::DnsName(name) if !wildcards => is_named(certificate, name.as_ref()),
            ServerName::DnsName(name) => {
                verify_server_name(&parsed, server_name).is_ok() || is_named(certificate, name.as_ref())
            }
            _ => {
                verify_server_name(&parsed, server_name).is_ok()
                    || is_named(certificate, &server_name.to_str())
            }
        };
        if is_named {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate names a host or domain, letter by letter.
fn is_named(certificate: &CertificateDer<'_>, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('.');
    names(certificate).iter().any(|name| sip_domain(name).unwrap_or(name).eq_ignore_ascii_case(wanted))
}
