//! A certificate authority of a test's own.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When there is no entropy.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with these names, which may be addresses.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn identity(&self, names: &[&str]) -> Identity {
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

    /// Writes `ca.pem`, and `<name>.pem` with certificate and key, into a folder; the paths of the two.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let own = self.identity(names);
        let (ca, both) = (folder.join("ca.pem"), folder.join(format!("{name}.pem")));
        fs::write(&ca, self.0.pem()).unwrap();
        fs::write(&both, format!("{}{}", own.certificate, own.key)).unwrap();
        (ca, both)
    }
}
