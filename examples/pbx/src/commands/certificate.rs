//! What the exchange shows to those who connect by TLS: the certificate of the file, or one of its own authority.
//!
//! The authority is made at the first start that needs it, in `tls/` beside the store. Telephones that are given `tls/ca.pem` know by it
//! that they talk to this exchange.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use denwa::tokio::{Certificate, ClientCertificates, Tls, TlsConfig, Trust};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::config::{Config, External, Host, Protocol, StoreUrl, Trunk};

/// What TLS needs, when anything in the file speaks it.
pub(super) fn tls(config: &Config, addresses: &[IpAddr]) -> Result<Option<Tls>, String> {
    let is_tls = |protocol: Protocol| matches!(protocol, Protocol::Tls | Protocol::Wss);
    let relays = config.turn.iter().flat_map(|turn| &turn.listen);
    let listens = config.sip.listen.iter().chain(relays).any(|listen| is_tls(listen.protocol));
    let calls = config.trunks.iter().any(Trunk::speaks_tls);
    if !listens && !calls {
        return Ok(None);
    }
    let mut tls = TlsConfig::default();
    let mut authorities = Vec::new();
    if let Some(path) = &config.tls.trust {
        authorities.extend(read(path)?);
    }
    if listens {
        tls.certificate = Some(certificate(config, addresses)?);
    }
    if config.extensions.iter().any(|extension| extension.known_by.certificate.is_some()) {
        // Telephones that have one are known by it; those without show a password as ever.
        tls.client_certificates = ClientCertificates::Welcome;
        let authority = config.tls.clients.as_ref().ok_or(
            "an extension has a `certificate`: [tls] clients must name the authority of telephones' certificates",
        )?;
        authorities.extend(read(authority)?);
    }
    tls.trust = if authorities.is_empty() { Trust::System } else { Trust::SystemAnd(authorities) };
    Tls::new(&tls).map(Some).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn certificate(config: &Config, addresses: &[IpAddr]) -> Result<Certificate, String> {
    let (chain, key) = match (&config.tls.certificate, &config.tls.key) {
        (Some(chain), Some(key)) => (chain.clone(), key.clone()),
        _ => own(config, addresses)?,
    };
    Certificate::from_files(&chain, &key).map_err(|error| error.to_string())
}

/// The exchange's own certificate, made when it is not there.
fn own(config: &Config, addresses: &[IpAddr]) -> Result<(PathBuf, PathBuf), String> {
    let folder = match &config.store.url {
        StoreUrl::Sqlite(path) => path.parent().unwrap_or(Path::new("")).join("tls"),
        StoreUrl::Memory => PathBuf::from("tls"),
    };
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if chain.exists() && key.exists() {
        return Ok((chain, key));
    }
    let failed =
        |what: &dyn std::fmt::Display| format!("cannot make a certificate in {}: {what}", folder.display());
    fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    let made = make(&config.sip.realm, names(config, addresses)).map_err(|error| failed(&error))?;
    for (path, text) in [(&folder.join("ca.pem"), &made.authority), (&chain, &made.chain), (&key, &made.key)]
    {
        let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&error))?;
    }
    Ok((chain, key))
}

struct Made {
    authority: String,
    chain: String,
    key: String,
}

/// What telephones may call this machine: its realm, its name, in the network and by mDNS, its addresses, and what routers call it.
fn names(config: &Config, addresses: &[IpAddr]) -> BTreeSet<String> {
    let mut names: Vec<String> =
        [&config.sip.realm, "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
        let host = host.trim().to_ascii_lowercase();
        names.extend((!host.contains('.')).then(|| format!("{host}.local")));
        names.push(host);
    }
    match &config.network.external {
        External::Host(Host::Name(name)) => names.push(name.clone()),
        External::Host(Host::Address(address)) => names.push(address.to_string()),
        External::Auto => {}
    }
    names.extend(addresses.iter().map(ToString::to_string));
    // What the system lets a machine be called need not be a name of DNS.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let is_host = |name: &String| !name.is_empty() && name.bytes().all(is_letter);
    names.into_iter().filter(|name| is_host(name) || name.parse::<IpAddr>().is_ok()).collect()
}

fn make(realm: &str, names: BTreeSet<String>) -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, format!("Denwa PBX {realm}"));
    let authority_key = KeyPair::generate()?;
    let root = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut own = CertificateParams::new(Vec::from_iter(names))?;
    own.distinguished_name.push(DnType::CommonName, realm);
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &issuer)?;
    Ok(Made { authority: root.pem(), chain: certificate.pem() + &root.pem(), key: key.serialize_pem() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_certificate_names_whatever_telephones_may_call_it() {
        let mut config = Config::default();
        config.sip.realm = "pbx.example".to_owned();
        config.network.external = External::Host(Host::Name("club.example".to_owned()));
        let names = names(&config, &["192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
        for name in ["pbx.example", "localhost", "127.0.0.1", "::1", "192.0.2.1", "club.example"] {
            assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{name} in {names:?}");
        }
        config.sip.realm = "not a name".to_owned();
        assert!(make(&config.sip.realm, super::names(&config, &[])).is_ok());
    }
}
