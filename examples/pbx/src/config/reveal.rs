//! What the file only names: secrets in the environment, in other files or encrypted, and keys. Reading them is the one thing
//! here that touches the machine.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use denwa_sip_core::auth::passport::Signer;

use super::{Config, Secret, StoreUrl, Turn};
use crate::secrets::{KeyFile, SEALED};

impl Config {
    /// Puts in their place the secrets that are kept elsewhere (`env:NAME`, `file:PATH`) or encrypted (`sealed:…`).
    pub(super) fn reveal_secrets(&mut self) -> Result<(), (String, String)> {
        let file = self.key_file();
        let mut key = None;
        let extensions = self
            .extensions
            .iter_mut()
            .map(|extension| (format!("extension {}", extension.number), &mut extension.password));
        let of_trunks = self.trunks.iter_mut().flat_map(|trunk| {
            let account = trunk.account.as_mut().map(|account| &mut account.password);
            let inbound = trunk.inbound.as_mut().map(|inbound| &mut inbound.password);
            let pin = trunk.limits.pin.as_mut();
            let what = format!("trunk {}", trunk.name);
            account.into_iter().chain(inbound).chain(pin).map(move |secret| (what.clone(), secret))
        });
        let of_turn = self.turn.iter_mut().flat_map(Turn::secrets_mut);
        let of_turn = of_turn.map(|secret| ("[turn]".to_owned(), secret));
        for (what, secret) in extensions.chain(of_trunks).chain(of_turn) {
            let revealed = secret.resolve().and_then(|()| match secret.reveal().strip_prefix(SEALED) {
                Some(sealed) => {
                    if key.is_none() {
                        key = Some(KeyFile::open(&file)?);
                    }
                    let plain = key.as_ref().ok_or("there is no key")?.unseal(sealed)?;
                    *secret = Secret::new(plain);
                    Ok(())
                }
                None => Ok(()),
            });
            revealed.map_err(|cause| (what, cause))?;
        }
        self.read_identity().map_err(|cause| ("identity".to_owned(), cause))?;
        for trunk in &mut self.trunks {
            trunk.signatures.read_key().map_err(|cause| (format!("trunk {}", trunk.name), cause))?;
        }
        Ok(())
    }

    /// Where the key is that secrets are encrypted under: beside the store unless the file says otherwise.
    pub fn key_file(&self) -> PathBuf {
        self.secrets.key_file.clone().unwrap_or_else(|| self.beside_store("secrets.key"))
    }

    /// Decrypts what was sealed under the key file.
    ///
    /// # Errors
    /// When the key file cannot be read, or is another one.
    pub fn unseal(&self, sealed: &str) -> Result<Secret, String> {
        KeyFile::open(&self.key_file()).and_then(|key| key.unseal(sealed)).map(Secret::new)
    }

    /// Where the key is that signs callers: beside the store unless the file says otherwise.
    pub fn identity_file(&self) -> PathBuf {
        self.identity.key.clone().unwrap_or_else(|| self.beside_store("identity.pem"))
    }

    /// Reads the key that signs callers, when there is one; the first start makes it.
    pub(crate) fn read_identity(&mut self) -> Result<(), String> {
        let path = self.identity_file();
        let Some(url) = self.identity.url.clone().filter(|_| path.exists()) else { return Ok(()) };
        let failed = |what: &dyn fmt::Display| format!("the key {}: {what}", path.display());
        let pem = fs::read_to_string(&path).map_err(|error| failed(&error))?;
        let signer = Signer::from_pem(&pem, url).map_err(|error| failed(&error))?;
        self.identity.signer = Some(std::sync::Arc::new(signer));
        Ok(())
    }

    /// A file beside the store.
    pub fn beside_store(&self, name: &str) -> PathBuf {
        match &self.store.url {
            StoreUrl::Sqlite(path) => path.parent().unwrap_or(Path::new("")).join(name),
            StoreUrl::Memory => PathBuf::from(name),
        }
    }
}

impl Secret {
    /// Reads the secret from the environment or a file when it only names one.
    fn resolve(&mut self) -> Result<(), String> {
        let text = if let Some(name) = self.0.strip_prefix("env:") {
            std::env::var(name).map_err(|_| format!("the environment has no {name}"))?
        } else if let Some(path) = self.0.strip_prefix("file:") {
            fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
        } else {
            return Ok(());
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() || secret.chars().any(char::is_control) {
            return Err("expected a secret of one line that is not empty".to_owned());
        }
        *self = Self::new(secret);
        Ok(())
    }
}
