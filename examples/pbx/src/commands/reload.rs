//! The configuration read anew while the exchange runs: by SIGHUP or `pbx reload`, and the extensions when the store changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use denwa::tokio::{DriverHandle, TurnServer};

use crate::config::{Config, Turn, TurnUsers};
use crate::control::Desk;
use crate::exchange::{Command, Question, Wanted};
use crate::mantela::{Server, document};
use crate::policy::directory::Directory;
use crate::store::thread::People;

/// What the configuration and the store say at present, and the way to the exchange that goes by it.
pub(super) struct Reloader {
    mantela: Option<Server>,
    turn: Option<Arc<TurnServer>>,
    handle: DriverHandle<Command>,
    file: Option<PathBuf>,
    present: Mutex<Present>,
}

struct Present {
    config: Config,
    people: People,
}

impl Reloader {
    pub(super) fn new(
        mantela: Option<Server>,
        turn: Option<Arc<TurnServer>>,
        handle: DriverHandle<Command>,
        file: Option<PathBuf>,
        config: Config,
        people: People,
    ) -> Self {
        Self { mantela, turn, handle, file, present: Mutex::new(Present { config, people }) }
    }

    /// Reads the file anew. What only a restart can change stays as it was, and is named.
    pub(super) fn reload(&self) -> Result<Vec<String>, String> {
        let Some(file) = &self.file else {
            return Err("it runs without a file: there is nothing to be read anew".to_owned());
        };
        let mut config = Config::load(file).map_err(|error| error.to_string())?;
        let mut present = self.present();
        let mut notices = keep(&mut config, &present.config);
        // Certificates are renewed in their place: they are read anew whatever the file says.
        match super::certificate::tls(&config, &[]) {
            Ok(Some(tls)) => {
                if let Some(turn) = &self.turn {
                    turn.reload_tls(tls.clone());
                }
                let _ = self.handle.reload_tls(tls);
            }
            Ok(None) => {}
            Err(error) => notices.push(format!("the certificate stays as it was: {error}")),
        }
        if let (Some(turn), Some(config)) = (&self.turn, &config.turn) {
            turn.replace_credentials(super::turn::credentials(config));
        }
        let directory = self.directory(&config, &present.people);
        present.config = config.clone();
        // When it has ended by itself there is nothing to be told.
        let _ = self.handle.command(Command::Reload(Box::new(config), directory));
        Ok(notices)
    }

    /// The extensions in the store have changed.
    pub(super) fn people_changed(&self, people: People) {
        let mut present = self.present();
        let directory = self.directory(&present.config, &people);
        present.people = people;
        let _ = self.handle.command(Command::Directory(directory));
    }

    fn directory(&self, config: &Config, people: &People) -> Directory {
        let directory = Directory::new(config, &people.extensions, self.file.as_deref());
        for notice in directory.notices() {
            tracing::warn!("{notice}");
        }
        let directory = directory.with_settings(&people.settings);
        if let Some(mantela) = &self.mantela {
            mantela.replace(document(config, &directory).to_string());
        }
        directory
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts back what cannot change while the exchange runs; a sentence for each that was to change.
fn keep(config: &mut Config, before: &Config) -> Vec<String> {
    let mut notices = Vec::new();
    let mut restart = |key: &str| notices.push(format!("`{key}` takes effect only after a restart"));
    if config.sip.listen != before.sip.listen {
        restart("sip.listen");
    }
    if config.sip.realm != before.sip.realm {
        restart("sip.realm");
    }
    if config.sip.dscp != before.sip.dscp {
        restart("sip.dscp");
    }
    if config.media.dscp != before.media.dscp {
        restart("media.dscp");
    }
    if config.network.dns != before.network.dns {
        restart("network.dns");
    }
    if config.media.ports != before.media.ports {
        restart("media.ports");
    }
    if config.store != before.store {
        restart("store");
    }
    if config.metrics != before.metrics {
        restart("metrics.listen");
    }
    if config.mantela.listen != before.mantela.listen {
        restart("mantela.listen");
    }
    if config.turn.as_ref().map(without_users) != before.turn.as_ref().map(without_users) {
        restart("turn");
    }
    if config.control != before.control {
        restart("control.socket");
    }
    config.sip.listen.clone_from(&before.sip.listen);
    config.sip.realm.clone_from(&before.sip.realm);
    (config.sip.dscp, config.media.dscp) = (before.sip.dscp, before.media.dscp);
    config.network.dns.clone_from(&before.network.dns);
    config.media.ports.clone_from(&before.media.ports);
    config.store = before.store.clone();
    config.turn = before.turn.as_ref().map(|turn| {
        // Who may use it can change while it runs.
        let users = config.turn.take().map(|turn| turn.users);
        Turn { users: users.unwrap_or_default(), ..turn.clone() }
    });
    config.control = before.control.clone();
    notices
}

fn without_users(turn: &Turn) -> Turn {
    Turn { users: TurnUsers::Nobody, ..turn.clone() }
}

/// What connections of the control socket reach.
pub(super) struct ControlDesk {
    pub(super) handle: DriverHandle<Command>,
    pub(super) reloader: Arc<Reloader>,
}

impl Desk for ControlDesk {
    // A driver that has ended answers nothing; whoever asked is told so when his patience ends.
    fn ask(&self, ticket: u64, question: Question) {
        let _ = self.handle.command(Command::Ask(ticket, question));
    }

    fn trace(&self, ticket: u64, wanted: Wanted) {
        let _ = self.handle.command(Command::Trace(ticket, Some(wanted)));
    }

    fn end_trace(&self, ticket: u64) {
        let _ = self.handle.command(Command::Trace(ticket, None));
    }

    fn reload(&self) -> Result<Vec<String>, String> {
        let done = self.reloader.reload();
        log(&done);
        done
    }
}

/// Tells the log what came of reading the file anew.
pub(super) fn log(done: &Result<Vec<String>, String>) {
    match done {
        Ok(notices) => notices.iter().for_each(|notice| tracing::warn!("{notice}")),
        Err(error) => {
            tracing::warn!("the configuration stays as it was: {error}; mend that, then `pbx reload`")
        }
    }
}
