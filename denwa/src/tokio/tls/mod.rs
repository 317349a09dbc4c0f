//! TLS with rustls: whom to believe, what to show, and the sentence when that does not hold together.
//!
//! [`TlsConfig`] says it in files and words, [`Tls`] is it made ready; clones of a `Tls` share it. A running driver takes a
//! new one by [`super::DriverHandle::reload_tls`]: connections that stand are not touched. TLS 1.2 and 1.3. Revocation
//! lists are left out.

mod identity;
mod verify;

pub(super) use identity::names;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verify::{Believer, Roots, Verifier};

/// What TLS is to be like. The default can connect and believes the authorities that the system believes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// What is shown to peers: needed to listen, and shown to servers that ask for it.
    pub certificate: Option<Certificate>,
    /// Which authorities are believed.
    pub trust: Trust,
    /// Whether peers that connect are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// Whether `*.example.com` in a SIP server's certificate stands for `a.example.com`. RFC 5922 §7.2 forbids it and some
    /// providers rely on it. For WebSockets it always does, as on the web.
    pub wildcards: bool,
}

/// Which authorities are believed when they vouch for a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Those that the system believes.
    #[default]
    System,
    /// Those in these certificates (PEM), and nobody else. A server whose certificate signed itself is believed when its very
    /// certificate is among them and names it.
    Authorities(Vec<u8>),
    /// Those of the system, and those in these certificates (PEM), as with [`Trust::Authorities`].
    SystemAnd(Vec<u8>),
    /// Nobody is asked to prove anything: the line is encrypted, and nobody knows who is at its other end.
    Anyone,
}

/// Whether peers that connect are asked for a certificate. One that is shown must be good in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// No.
    #[default]
    NotAsked,
    /// Yes, and they may have none.
    Welcome,
    /// Yes, and without one there is no connection.
    Required,
}

/// A chain of certificates, the own one first, and its key.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads a chain and a key in PEM (PKCS #8, PKCS #1 or SEC 1).
    ///
    /// # Errors
    /// When one of them is not there, or not PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => TlsError::NoKey,
            error => TlsError::Pem(error.to_string()),
        })?;
        Ok(Self { chain: certificates(chain)?, key })
    }

    /// Reads them from files.
    ///
    /// # Errors
    /// Names the file that cannot be read, or says what is wrong within.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| TlsError::File { path: path.to_owned(), error })
        };
        Self::from_pem(&read(chain)?, &read(key)?)
    }
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem(error.to_string()))?;
    if found.is_empty() { Err(TlsError::NoCertificate) } else { Ok(found) }
}

/// TLS made ready. Clones share it.
#[derive(Clone)]
pub struct Tls {
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) sip_client: Arc<ClientConfig>,
    pub(super) web_client: Arc<ClientConfig>,
    /// Whether the other end of a connection that was made here proved who it is.
    pub(super) believes: bool,
}

impl Tls {
    /// Makes it ready. Reads the system's authorities when they are believed.
    ///
    /// # Errors
    /// Says what does not fit together.
    pub fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = match &config.trust {
            Trust::Anyone => None,
            Trust::System => Some((system_roots(), Vec::new())),
            Trust::Authorities(pem) => Some((RootCertStore::empty(), certificates(pem)?)),
            Trust::SystemAnd(pem) => Some((system_roots(), certificates(pem)?)),
        };
        let roots = roots.map(|(store, given)| roots_of(store, given)).transpose()?;
        let client = |wildcards| {
            let believer =
                roots.clone().map_or(Believer::Anyone, |roots| Believer::Roots { roots, wildcards });
            client(config, &provider, Arc::new(Verifier::new(believer, &provider)))
        };
        Ok(Self {
            server: config
                .certificate
                .as_ref()
                .map(|own| server(config, own, roots.as_ref().map(|roots| &roots.store), &provider))
                .transpose()?,
            sip_client: client(config.wildcards)?,
            web_client: client(true)?,
            believes: roots.is_some(),
        })
    }

    /// Greets a peer that connected: what comes back carries what is read and written in clear. For servers of a program's own,
    /// such as one for web pages.
    ///
    /// # Errors
    /// When there is no certificate to show, or the peer's handshake failed.
    pub async fn accept(
        &self,
        stream: ::tokio::net::TcpStream,
    ) -> std::io::Result<impl ::tokio::io::AsyncRead + ::tokio::io::AsyncWrite + Unpin + Send + 'static> {
        let server = self.server.clone().ok_or_else(|| std::io::Error::other("there is no certificate"))?;
        tokio_rustls::TlsAcceptor::from(server).accept(stream).await
    }

    /// Greets a server of the web that was connected to, which must prove `name`.
    ///
    /// # Errors
    /// When it does not, or its handshake failed.
    pub async fn connect(
        &self,
        name: &str,
        stream: ::tokio::net::TcpStream,
    ) -> std::io::Result<impl ::tokio::io::AsyncRead + ::tokio::io::AsyncWrite + Unpin + Send + 'static> {
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        tokio_rustls::TlsConnector::from(Arc::clone(&self.web_client)).connect(name, stream).await
    }

    /// Whether peers can connect: it has a certificate to show.
    #[must_use]
    pub fn can_listen(&self) -> bool {
        self.server.is_some()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("can_listen", &self.can_listen()).finish_non_exhaustive()
    }
}

/// A certificate of the system that cannot be read is one that vouches for nobody.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(mut store: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<Arc<Roots>, TlsError> {
    for certificate in &given {
        store.add(certificate.clone())?;
    }
    Ok(Arc::new(Roots { store: Arc::new(store), given }))
}

fn client(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(Arc::new(match &config.certificate {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => builder.with_no_client_auth(),
    }))
}

fn server(
    config: &TlsConfig,
    own: &Certificate,
    roots: Option<&Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let clients = match (config.client_certificates, roots) {
        (ClientCertificates::NotAsked, _) => None,
        (_, None) => return Err(TlsError::NobodyToBelieve),
        (asked, Some(roots)) => {
            let clients =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
            let clients = match asked {
                ClientCertificates::Required => clients,
                _ => clients.allow_unauthenticated(),
            };
            Some(clients.build().map_err(|error| TlsError::Rustls(error.to_string()))?)
        }
    };
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_single_cert(own.chain.clone(), own.key.clone_key())?))
}

/// Why TLS is not ready. The text is one sentence for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no certificate in what should hold one.
    NoCertificate,
    /// There is no private key in what should hold one.
    NoKey,
    /// It is not PEM.
    Pem(String),
    /// The key is not that of the certificate.
    WrongKey,
    /// Clients are to show certificates, and no authority is believed that could vouch for them.
    NobodyToBelieve,
    /// What the TLS library has against it.
    Rustls(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::WrongKey,
            error => Self::Rustls(error.to_string()),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::NoCertificate => {
                f.write_str("there is no certificate in it: expected PEM with CERTIFICATE")
            }
            Self::NoKey => f.write_str("there is no private key in it: expected PEM with PRIVATE KEY"),
            Self::Pem(error) => write!(f, "this is not PEM: {error}"),
            Self::WrongKey => f.write_str("the private key does not belong to the certificate"),
            Self::NobodyToBelieve => f.write_str(
                "clients are asked for certificates, and no authority is believed to vouch for them",
            ),
            Self::Rustls(error) => write!(f, "the certificate or key cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            _ => None,
        }
    }
}
