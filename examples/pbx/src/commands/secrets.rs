//! `pbx seal`: a secret encrypted under the key file. `pbx identity`: the key that neighbours trust our callers by.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use denwa_sip_core::auth::passport::Signer;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::{failed, load, say};
use crate::config::Config;
use crate::secrets::{KeyFile, SEALED};

/// What stands before the point of a public key on P-256 (RFC 5480).
const PUBLIC_KEY_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Reads a secret from the input and prints what may stand for it in the file.
pub(super) fn seal(file: Option<&Path>, as_json: bool) -> ExitCode {
    // Secrets that are sealed already may want a key that is not there yet: the file is read without them.
    let config = match file.map(fs::read_to_string).transpose() {
        Ok(text) => text.map(|text| Config::parse(&text)),
        Err(error) => return failed(error),
    };
    let config = match config.transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            return failed(format!("the configuration file is wrong: {first}"));
        }
    };
    let mut secret = String::new();
    if let Err(error) = std::io::stdin().read_line(&mut secret) {
        return failed(error);
    }
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return failed("expected a secret of one line on the standard input");
    }
    match KeyFile::open_or_make(&config.key_file()).and_then(|key| key.seal(secret)) {
        Ok(sealed) if as_json => say(&format!("{:#}\n", json!({ "sealed": format!("{SEALED}{sealed}") }))),
        Ok(sealed) => say(&format!("{SEALED}{sealed}\n")),
        Err(error) => return failed(error),
    }
    ExitCode::SUCCESS
}

/// Prints the public key of our signatures, and the URL they name it by.
pub(super) fn identity(file: Option<&Path>, as_json: bool) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    let Some(url) = config.identity.url.clone() else {
        return failed("`[identity] url` is not written: callers are not signed");
    };
    let public = make_identity(&config).and_then(|()| public_key(&config));
    match public {
        Ok(public) if as_json => say(&format!("{:#}\n", json!({ "url": url, "public_key": public }))),
        Ok(public) => say(&public),
        Err(error) => return failed(error),
    }
    ExitCode::SUCCESS
}

/// Makes the key that signs callers when it is wanted and not there.
pub(super) fn make_identity(config: &Config) -> Result<(), String> {
    let path = config.identity_file();
    if config.identity.url.is_none() || path.exists() {
        return Ok(());
    }
    let failed = |what: &dyn std::fmt::Display| format!("cannot make the key {}: {what}", path.display());
    let key = Signer::generate().map_err(|error| failed(&error))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = made.and_then(|mut file| file.write_all(pem("PRIVATE KEY", &key).as_bytes()));
    written.map_err(|error| failed(&error))
}

fn public_key(config: &Config) -> Result<String, String> {
    let path = config.identity_file();
    let failed = |what: &dyn std::fmt::Display| format!("the key {}: {what}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body.trim()).map_err(|error| failed(&error))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new())
        .map_err(|error| failed(&error))?;
    let mut public = PUBLIC_KEY_HEAD.to_vec();
    public.extend_from_slice(pair.public_key().as_ref());
    Ok(pem("PUBLIC KEY", &public))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
