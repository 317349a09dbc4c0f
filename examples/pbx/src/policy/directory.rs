//! The extensions of this exchange: those of the file, and those of the store that the file does not name.
//!
//! The file wins: an extension that is in both is what the file says, and [`Directory::notices`] tells so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use denwa_sip_core::auth::client::Credentials;
use denwa_sip_core::auth::secret::{Ha1Set, Secret};
use denwa_sip_core::io::{Flow, PeerIdentity};

use crate::config::{Acl, Config, Forward, Host, KnownBy, Secret as ConfigSecret, Voice, is_number};
use crate::services::wake;
use crate::store::{StoredExtension, StoredSetting};

/// Every extension, by number.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    extensions: BTreeMap<String, Account>,
    /// The numbers of those that are known by something else than a password: few or none, and asked for with every message.
    known_otherwise: Vec<String>,
    notices: Vec<String>,
}

/// One extension.
#[derive(Clone, Debug)]
pub struct Account {
    /// The number dialled, and the user name registered with.
    pub number: String,
    /// The name shown to those it calls; may be empty.
    pub name: String,
    /// What it proves itself with, in the realm of this exchange.
    pub secret: Secret,
    /// How voice travels to and from its telephones.
    pub voice: Voice,
    /// How it is known when not by its password.
    pub known_by: KnownBy,
    /// What becomes of calls to it that it does not take.
    pub forward: Forward,
    /// Whether it stands in the document that Mantela publishes.
    pub published: bool,
    /// Whether its calls are recorded.
    pub record: bool,
    /// The most calls it may have at a time.
    pub call_limit: Option<usize>,
    /// Whether it rings while it has a call.
    pub call_waiting: bool,
    /// What its mailbox asks for; empty: nothing when called by its own telephone.
    pub voicemail_pin: ConfigSecret,
    /// Where it may register and call from.
    pub allow: Acl,
    /// Whether it dials digit by digit.
    pub overlap: bool,
    /// What its telephone is answered with when it challenges a call to it.
    pub answers: Vec<Credentials>,
    /// The minute of the day at which it is to be woken, once.
    pub wake_up: Option<u16>,
    /// Where it is defined.
    pub defined: Defined,
}

/// Where an extension is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// In the configuration file.
    File,
    /// In the store.
    Store,
}

impl Directory {
    /// The extensions of a configuration and a store. `file` is named in the notices.
    pub fn new(config: &Config, stored: &[StoredExtension], file: Option<&Path>) -> Self {
        let file = file.map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string());
        let mut directory = Self::default();
        for extension in stored {
            directory.add_stored(extension, config, &file);
        }
        for extension in &config.extensions {
            let number = &extension.number;
            let digests = Ha1Set::of_password(number, &config.sip.realm, extension.password.reveal());
            let account = Account {
                number: number.clone(),
                name: extension.name.clone(),
                secret: Secret::Ha1(digests),
                voice: extension.voice.clone(),
                known_by: extension.known_by.clone(),
                forward: extension.forward.clone(),
                published: extension.published,
                record: extension.record,
                call_limit: extension.call_limit,
                call_waiting: extension.call_waiting,
                voicemail_pin: extension.voicemail_pin.clone(),
                allow: extension.allow.clone(),
                overlap: extension.overlap,
                answers: extension
                    .challenges
                    .then(|| answer(number, &extension.password))
                    .into_iter()
                    .collect(),
                wake_up: None,
                defined: Defined::File,
            };
            if directory.extensions.insert(number.clone(), account).is_some() {
                directory.notices.push(format!(
                    "extension {number} is in {file} and in the store: the file wins, name, password and codecs are \
                     those of the file"
                ));
            }
            if extension.known_by != KnownBy::default() {
                directory.known_otherwise.push(number.clone());
            }
        }
        directory
    }

    /// The same with what people have set for their extensions, which comes before what the file says of them.
    #[must_use]
    pub fn with_settings(mut self, settings: &[StoredSetting]) -> Self {
        for StoredSetting { number, key, value } in settings {
            if let Some(account) = self.extensions.get_mut(number) {
                // What an older version knew and this one does not is left alone.
                let _ = account.set(key, value);
            }
        }
        self
    }

    /// The extension of a number.
    pub fn get(&self, number: &str) -> Option<&Account> {
        self.extensions.get(number)
    }

    /// The extension whose telephone this is, by where it is or what it has shown.
    pub fn known_by(&self, flow: &Flow, shown: Option<&PeerIdentity>) -> Option<&Account> {
        let remote = flow.remote;
        let is_it = |account: &&Account| {
            let KnownBy { address, certificate } = &account.known_by;
            let is_there = address.as_ref().is_some_and(|address| {
                let is_host = matches!(&address.host, Host::Address(ip) if *ip == remote.ip().to_canonical());
                // Connections come from any port.
                let is_port = flow.protocol.is_stream() || address.port == remote.port();
                address.protocol == flow.protocol && is_host && is_port
            });
            let has_shown = certificate.as_ref().is_some_and(|name| {
                shown.is_some_and(|shown| shown.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
            });
            is_there || has_shown
        };
        self.known_otherwise.iter().filter_map(|number| self.extensions.get(number)).find(is_it)
    }

    /// Every extension, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.extensions.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.extensions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.extensions.is_empty()
    }

    /// What the operator should know about how file and store were joined, a sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    fn add_stored(&mut self, extension: &StoredExtension, config: &Config, file: &str) {
        let number = &extension.number;
        if extension.realm != config.sip.realm && config.extension(number).is_none() {
            self.notices.push(format!(
                "the password of extension {number} was made for the realm \"{}\", but the realm is \"{}\" now: nobody \
                 can log in with it; make a new one with `pbx extensions password {number}`, or set the realm back",
                extension.realm, config.sip.realm
            ));
        }
        let service = config.services.listed().find(|(_, taken)| taken == number);
        if let Some((service, _)) = service {
            self.notices.push(format!(
                "extension {number} of the store has the number of the service {service}: the service answers; give it \
                 another number under [services] in {file}"
            ));
        }
        let is_sealed = !extension.sealed.is_empty();
        let answers = match is_sealed.then(|| config.unseal(&extension.sealed)).transpose() {
            Ok(password) => password.map(|password| answer(number, &password)),
            Err(error) => {
                self.notices.push(format!(
                    "the telephone of extension {number} cannot be answered when it challenges a call: {error}; \
                     `pbx extensions password {number} --challenges` gives it a new password"
                ));
                None
            }
        };
        // Digests of another realm verify for nobody, which is what is wanted: the number exists, the password is wrong.
        let account = Account {
            number: number.clone(),
            name: extension.name.clone(),
            secret: Secret::Ha1(extension.digests.clone()),
            voice: Voice { codecs: extension.codecs.clone(), ..Voice::default() },
            known_by: KnownBy::default(),
            forward: Forward::default(),
            published: true,
            record: false,
            call_limit: None,
            call_waiting: true,
            voicemail_pin: ConfigSecret::new(""),
            allow: Acl::default(),
            overlap: false,
            answers: answers.into_iter().collect(),
            wake_up: None,
            defined: Defined::Store,
        };
        self.extensions.insert(number.clone(), account);
    }
}

impl Account {
    /// The names of what can be set for an extension, as the file has them.
    pub const SETTINGS: [&'static str; 11] = [
        "do_not_disturb",
        "forward_always",
        "forward_busy",
        "forward_no_answer",
        "forward_unreachable",
        "ring_seconds",
        "record",
        "publish",
        "voicemail_pin",
        "follow_me",
        wake::KEY,
    ];

    /// Sets something; an empty value switches it off.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let forward = &mut self.forward;
        let number = || match value {
            "" => Ok(None),
            number if is_number(number) => Ok(Some(number.to_owned())),
            other => Err(format!("\"{other}\" is not a number to dial")),
        };
        match key {
            "do_not_disturb" => forward.do_not_disturb = flag(value)?,
            "record" => self.record = flag(value)?,
            "publish" => self.published = flag(value)?,
            "voicemail_pin" if value.bytes().all(|byte| byte.is_ascii_digit()) && value.len() <= 32 => {
                self.voicemail_pin = ConfigSecret::new(value);
            }
            "voicemail_pin" => return Err("expected at most 32 digits".to_owned()),
            "forward_always" => forward.always = number()?,
            "forward_busy" => forward.busy = number()?,
            "forward_no_answer" => forward.no_answer = number()?,
            "forward_unreachable" => forward.unreachable = number()?,
            "follow_me" => {
                let numbers = value.split(',').map(str::trim).filter(|number| !number.is_empty());
                let numbers: Vec<String> = numbers.map(str::to_owned).collect();
                if let Some(wrong) = numbers.iter().find(|number| !is_number(number)) {
                    return Err(format!("\"{wrong}\" is not a number to dial"));
                }
                forward.follow_me = numbers;
            }
            wake::KEY if value.is_empty() => self.wake_up = None,
            wake::KEY => match wake::minute_of_day(value) {
                Some(minute) => self.wake_up = Some(minute),
                None => return Err(format!("\"{value}\" is no time of day, expected as 07:30")),
            },
            "ring_seconds" if value.is_empty() => forward.ring = None,
            "ring_seconds" => match value.parse() {
                Ok(seconds @ 1..=3_600) => forward.ring = Some(Duration::from_secs(seconds)),
                _ => return Err(format!("\"{value}\" is not a number of seconds from 1 to 3600")),
            },
            other => {
                let known = Self::SETTINGS.join(", ");
                return Err(format!("\"{other}\" cannot be set, expected one of {known}"));
            }
        }
        Ok(())
    }
}

/// The telephone names a realm of its own: only the password itself can answer that.
fn answer(number: &str, password: &ConfigSecret) -> Credentials {
    Credentials { realm: None, username: number.to_owned(), secret: Secret::password(password.reveal()) }
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" | "" => Ok(false),
        other => Err(format!("\"{other}\" is neither \"on\" nor \"off\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use denwa_sip_core::auth::algorithm::Hash;

    use super::*;
    use crate::config;
    use crate::store::MadeBy;

    fn stored(number: &str, realm: &str) -> StoredExtension {
        let password = config::Secret::new("stored");
        StoredExtension::new(number, "Store", realm, &password, MadeBy::Command, SystemTime::UNIX_EPOCH)
    }

    fn config(more: &str) -> Config {
        Config::parse(&format!(
            "[[extensions]]\nnumber = \"1\"\nname = \"File\"\npassword = \"file\"\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn the_file_wins_and_says_so() {
        let config = config("");
        let stored = [stored("1", "pbx.example"), stored("2", "pbx.example")];
        let directory = Directory::new(&config, &stored, Some(Path::new("pbx.toml")));
        let of = |number: &str| directory.get(number).map(|account| (account.name.as_str(), account.defined));
        assert_eq!(of("1"), Some(("File", Defined::File)));
        assert_eq!(of("2"), Some(("Store", Defined::Store)));
        assert_eq!(of("3"), None);
        let expected = "extension 1 is in pbx.toml and in the store: the file wins, name, password and codecs are those \
                        of the file";
        assert_eq!(directory.notices(), [expected]);
        let ha1 = directory.get("1").unwrap().secret.ha1(Hash::Sha256, "1", "pbx.example").unwrap();
        let expected = Hash::Sha256.colon_joined(&[b"1", b"pbx.example", b"file"]);
        assert_eq!(ha1, expected);
    }

    #[test]
    fn a_password_for_another_realm_is_told() {
        let directory = Directory::new(&config(""), &[stored("2", "old")], None);
        assert!(
            directory.notices()[0]
                .contains("was made for the realm \"old\", but the realm is \"pbx.example\" now")
        );
    }

    #[test]
    fn a_service_hides_an_extension_of_the_store_and_says_so() {
        let directory =
            Directory::new(&config("[services]\necho = \"7\"\n"), &[stored("7", "pbx.example")], None);
        assert!(directory.notices()[0].contains("has the number of the service echo: the service answers"));
    }
}
