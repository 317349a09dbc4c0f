//! A certificate authority of the test's own.

use denwa::tokio::{Certificate, TlsConfig, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            });
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// Believes this authority alone, and shows a certificate with these names.
    pub(crate) fn tls(&self, names: &[&str]) -> TlsConfig {
        let own = self.identity(names);
        let mut tls = TlsConfig::default();
        tls.trust = Trust::Authorities(self.0.pem().into_bytes());
        tls.certificate =
            Some(Certificate::from_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap());
        tls
    }

    #[allow(dead_code)] // Not each test writes it.
    /// Writes `ca.pem`, and `<name>.pem` with certificate and key, into a folder; the paths of the two.
    pub(crate) fn write(&self, folder: &Path, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let own = self.identity(names);
        let (ca, both) = (folder.join("ca.pem"), folder.join(format!("{name}.pem")));
        fs::write(&ca, self.0.pem()).unwrap();
        fs::write(&both, format!("{}{}", own.certificate, own.key)).unwrap();
        (ca, both)
    }
}
