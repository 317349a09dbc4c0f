//! `pbx extensions list | add | password | remove`: the extensions that live in the store.
//!
//! A running exchange notices within seconds. What the file defines is listed, and changed only in the file: the file
//! wins over the store, and the commands say so.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use serde_json::json;

use super::{failed, load};
use crate::config::{Codec, Config, Secret, is_number};
use crate::policy::directory::{Account, Defined, Directory};
use crate::secrets::KeyFile;
use crate::store::{MadeBy, Store, StoreError, StoredBinding, StoredExtension, StoredSetting, password};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every extension, from the file and from the store.
    List,
    /// Make an extension and print its password.
    Add {
        /// The number to be dialled, and the user name to register with.
        number: String,
        /// The name shown to those it calls.
        #[arg(long, default_value = "")]
        name: String,
        /// The password; a random one is made when it is left out.
        #[arg(long)]
        password: Option<String>,
        /// Its telephone challenges calls to it: the password is kept too, sealed under the key file, to answer with.
        #[arg(long)]
        challenges: bool,
    },
    /// Give an extension a new password and print it.
    Password {
        /// The extension.
        number: String,
        /// The password; a random one is made when it is left out.
        #[arg(long)]
        password: Option<String>,
        /// Its telephone challenges calls to it, as with `add`; what was said there stays.
        #[arg(long)]
        challenges: bool,
    },
    /// Set something for an extension, as its own star codes do: it comes before what the file says.
    Set {
        /// The extension.
        number: String,
        /// KEY=VALUE with a key of the file, as forward_busy=1002 or do_not_disturb=on; KEY= switches it off.
        #[arg(required = true)]
        settings: Vec<String>,
    },
    /// Leave what was set for an extension to the file again.
    Unset {
        /// The extension.
        number: String,
        /// Keys, as forward_busy.
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Remove an extension and where it is registered.
    Remove {
        /// The extension.
        number: String,
    },
}

pub(super) fn run(command: Command, file: Option<&Path>, as_json: bool) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    let is_list = matches!(command, Command::List);
    let done = Store::open(&config.store.url).map_err(|error| error.to_string()).and_then(|store| {
        let mut work = Work { store, config, file };
        match command {
            Command::List => work.list(as_json),
            Command::Set { number, settings } => work.set(&number, &settings),
            Command::Unset { number, keys } => work.unset(&number, &keys),
            Command::Add { number, name, password, challenges } => {
                work.add(&number, &name, password, challenges)
            }
            Command::Password { number, password, challenges } => {
                work.password(&number, password, challenges)
            }
            Command::Remove { number } => work.remove(&number),
        }
    });
    match done {
        Ok(text) if as_json && !is_list => {
            super::say(&format!("{:#}\n", json!({ "done": text.trim_end() })));
            ExitCode::SUCCESS
        }
        Ok(text) => {
            super::say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

struct Work<'a> {
    store: Store,
    config: Config,
    file: Option<&'a Path>,
}

impl Work<'_> {
    fn list(&mut self, as_json: bool) -> Result<String, String> {
        let stored = self.store.extensions().map_err(text)?;
        let registrations = self.store.registrations(SystemTime::now()).map_err(text)?;
        let settings = self.store.settings().map_err(text)?;
        let directory = Directory::new(&self.config, &stored, self.file).with_settings(&settings);
        if as_json {
            let extensions: Vec<_> =
                directory.iter().map(|account| account_json(account, &registrations)).collect();
            return Ok(format!(
                "{:#}\n",
                json!({ "extensions": extensions, "notices": directory.notices() })
            ));
        }
        let mut list = String::new();
        for account in directory.iter() {
            let codecs: Vec<&str> = account.voice.codecs.iter().map(|codec| Codec::name(*codec)).collect();
            let phones: Vec<String> = registrations
                .iter()
                .filter(|binding| binding.number == account.number)
                .map(|binding| format!("{} {}", binding.protocol.to_ascii_lowercase(), binding.remote))
                .collect();
            let phones = if phones.is_empty() {
                "not registered".to_owned()
            } else {
                format!("at {}", phones.join(", "))
            };
            let defined = match account.defined {
                Defined::File => "file",
                Defined::Store => "store",
            };
            let line = format!(
                "{:<8} {:<20} {:<6} {:<10} {phones}",
                account.number,
                account.name,
                defined,
                codecs.join(",")
            );
            list += line.trim_end();
            list.push('\n');
            let set = settings.iter().filter(|setting| setting.number == account.number);
            for StoredSetting { key, value, .. } in set {
                list += &format!("         set: {key}={value}\n");
            }
        }
        for notice in directory.notices() {
            list += &format!("note: {notice}\n");
        }
        Ok(list)
    }

    fn add(
        &mut self,
        number: &str,
        name: &str,
        given: Option<String>,
        challenges: bool,
    ) -> Result<String, String> {
        if !is_number(number) {
            return Err(format!(
                "\"{number}\" is not a number to dial, expected digits, letters and * # + . _ -"
            ));
        }
        if let Some((service, _)) = self.config.services.listed().find(|(_, taken)| *taken == number) {
            return Err(format!("{number} is the service {service} already"));
        }
        if self.store.extension(number).map_err(text)?.is_some() {
            return Err(format!(
                "extension {number} is there already; `pbx extensions password` gives it a new password"
            ));
        }
        self.put(number, name, given, challenges, "is made")
    }

    fn password(&mut self, number: &str, given: Option<String>, challenges: bool) -> Result<String, String> {
        let (name, challenged) = match self.store.extension(number).map_err(text)? {
            Some(extension) => (extension.name, !extension.sealed.is_empty()),
            None if self.config.extension(number).is_some() => {
                return Err(format!(
                    "extension {number} is in {}: change its password there",
                    self.file_name()
                ));
            }
            None => return Err(format!("there is no extension {number}; `pbx extensions add` makes one")),
        };
        self.put(number, &name, given, challenges || challenged, "has a new password")
    }

    fn set(&mut self, number: &str, settings: &[String]) -> Result<String, String> {
        let stored = self.store.extensions().map_err(text)?;
        let directory = Directory::new(&self.config, &stored, self.file);
        let mut account =
            directory.get(number).cloned().ok_or_else(|| format!("there is no extension {number}"))?;
        let mut pairs = Vec::new();
        for setting in settings {
            let pair = setting.split_once('=').ok_or_else(|| {
                format!("\"{setting}\" sets nothing, expected KEY=VALUE as forward_busy=1002")
            })?;
            account.set(pair.0, pair.1)?;
            pairs.push(pair);
        }
        for (key, value) in pairs {
            self.store.put_setting(number, key, Some(value)).map_err(text)?;
        }
        Ok(format!("Extension {number}: {} is set.\n", settings.join(", ")))
    }

    fn unset(&mut self, number: &str, keys: &[String]) -> Result<String, String> {
        for key in keys {
            self.store.put_setting(number, key, None).map_err(text)?;
        }
        Ok(format!("Extension {number}: {} is as the file says again.\n", keys.join(", ")))
    }

    fn remove(&mut self, number: &str) -> Result<String, String> {
        let removed = self.store.remove_extension(number).map_err(text)?;
        let in_file = self.config.extension(number).is_some();
        match (removed, in_file) {
            (true, false) => Ok(format!("Extension {number} is removed.\n")),
            (true, true) => Ok(format!(
                "Extension {number} is removed from the store; it is in {} too, which wins: it goes on.\n",
                self.file_name()
            )),
            (false, true) => Err(format!("extension {number} is in {}: remove it there", self.file_name())),
            (false, false) => Err(format!("there is no extension {number}")),
        }
    }

    fn put(
        &mut self,
        number: &str,
        name: &str,
        given: Option<String>,
        challenges: bool,
        what: &str,
    ) -> Result<String, String> {
        let secret = match given {
            Some(given) if given.is_empty() || given.chars().any(char::is_control) => {
                return Err("expected a password that is not empty, without control characters".to_owned());
            }
            Some(given) => Secret::new(given),
            None => password::random().map_err(text)?,
        };
        let realm = &self.config.sip.realm;
        let mut extension =
            StoredExtension::new(number, name, realm, &secret, MadeBy::Command, SystemTime::now());
        if challenges {
            let key = KeyFile::open_or_make(&self.config.key_file())?;
            extension.sealed = key.seal(secret.reveal())?;
        }
        self.store.put_extensions(&[extension]).map_err(text)?;
        let mut done = format!(
            "Extension {number} {what}.\n    user      {number}\n    password  {}\n",
            secret.reveal()
        );
        if self.config.extension(number).is_some() {
            done += &format!(
                "Extension {number} is in {} too, and the file wins: this does nothing until it is removed there.\n",
                self.file_name()
            );
        }
        Ok(done)
    }

    fn file_name(&self) -> String {
        self.file.map_or_else(|| "the file".to_owned(), |path| path.display().to_string())
    }
}

fn account_json(account: &Account, registrations: &[StoredBinding]) -> serde_json::Value {
    let forward = &account.forward;
    let phones: Vec<String> = registrations
        .iter()
        .filter(|binding| binding.number == account.number)
        .map(|binding| format!("{}:{}", binding.protocol.to_ascii_lowercase(), binding.remote))
        .collect();
    json!({
        "number": account.number,
        "name": account.name,
        "defined": match account.defined { Defined::File => "file", Defined::Store => "store" },
        "codecs": account.voice.codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>(),
        "phones": phones,
        "challenges": !account.answers.is_empty(),
        "do_not_disturb": forward.do_not_disturb,
        "forward_always": forward.always,
        "forward_busy": forward.busy,
        "forward_no_answer": forward.no_answer,
        "forward_unreachable": forward.unreachable,
    })
}

fn text(error: impl Into<CommandError>) -> String {
    match error.into() {
        CommandError::Store(error) => error.to_string(),
        CommandError::Entropy(error) => format!("the system gives no random numbers: {error}"),
    }
}

enum CommandError {
    Store(StoreError),
    Entropy(getrandom::Error),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<getrandom::Error> for CommandError {
    fn from(error: getrandom::Error) -> Self {
        Self::Entropy(error)
    }
}
