//! A certificate authority of the test's own, and what a stack of ours believes and shows.

use denwa::tokio::{Certificate, TlsConfig, Trust};

pub(crate) struct Authority(denwa_interop::authority::Authority);

impl std::ops::Deref for Authority {
    type Target = denwa_interop::authority::Authority;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self(denwa_interop::authority::Authority::new())
    }

    /// Believes this authority alone, and shows a certificate with these names.
    pub(crate) fn tls(&self, names: &[&str]) -> TlsConfig {
        let own = self.identity(names);
        let mut tls = TlsConfig::default();
        tls.trust = Trust::Authorities(self.pem().into_bytes());
        tls.certificate =
            Some(Certificate::from_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap());
        tls
    }
}
