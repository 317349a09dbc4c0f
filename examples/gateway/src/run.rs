//! The program: reads its file, runs the machine, ends it properly on an interrupt.

use crate::config::{Config, KeyExchange, TlsFiles};
use crate::gateway::{Command, Event, Gateway};
use crate::turn;
use crate::web::{self, Relay};
use clap::{Parser, Subcommand};
use denwa::Seed;
use denwa::farewell::{Journal, Left};
use denwa::media::Identity;
use denwa::tokio::{
    Certificate, DriverConfig, DriverHandle, Listening, SignallingDriver, Tls, TlsConfig, Trust, TurnServer,
    entropy, on_interrupt,
};
use denwa_sip_core::config::Listener;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Joins SIP networks, browsers and voice robots by the file it is given; `gateway.toml` beside its source shows every setting.
///
/// Exit codes: 0 it ended as asked, or nothing is wrong with the file; 1 it could not run, or the file is wrong; 2 the command
/// line is wrong.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Action,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run until interrupted.
    Run {
        /// The file.
        config: PathBuf,
    },
    /// Say what is wrong with a file, line and column, and what was expected.
    Check {
        /// The file.
        config: PathBuf,
    },
}

/// Does what the command line asks.
pub fn run(arguments: &Arguments) -> ExitCode {
    let result = match &arguments.command {
        Action::Check { config: path } => read(path).map(|config| {
            println!("{}: nothing is wrong with it. {}", path.display(), summary(&config));
        }),
        Action::Run { config } => read(config).and_then(|mut config| {
            // Where the system keeps the state of a service.
            let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
            config.journal = config.journal.or_else(|| state.map(|state| state.join("calls")));
            let running = start(config, |event| {
                if let Event::Line(line) = event {
                    println!("{line}");
                }
            })?;
            for own in running.listening() {
                println!("listening on {own}");
            }
            if let Some(page) = running.page() {
                println!("page on {page}");
            }
            let handle = running.handle();
            // One that has ended needs no interrupt; without signals the system ends the process.
            let _ = on_interrupt(move || {
                let _ = handle.command(Command::Stop);
            });
            running.join()
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("gateway: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// What passes by this file, in one sentence.
fn summary(config: &Config) -> String {
    let sides: Vec<&str> = config.sides.iter().map(|side| side.name.as_str()).collect();
    match (sides.as_slice(), config.routes.is_empty()) {
        ([], _) => "It joins nothing yet: it has no [[sides]].".to_owned(),
        (_, true) => format!("Nothing passes between {} yet: it has no [[routes]].", sides.join(", ")),
        (_, false) => format!("It joins {}.", sides.join(", ")),
    }
}

fn read(path: &Path) -> Result<Config, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    Config::parse(&text).map_err(|error| format!("{place}: {error}"))
}

/// A running gateway.
pub struct Running {
    driver: SignallingDriver<Command>,
    page: Option<SocketAddr>,
    /// Serves for as long as it lives.
    _turn: Option<TurnServer>,
}

impl Running {
    /// Where it listens for SIP.
    pub fn listening(&self) -> &[Listening] {
        self.driver.listening()
    }

    /// Where its page is.
    pub fn page(&self) -> Option<SocketAddr> {
        self.page
    }

    /// A way to the machine for other threads.
    pub fn handle(&self) -> DriverHandle<Command> {
        self.driver.handle()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn join(self) -> Result<(), String> {
        self.driver.join().map_err(|stopped| stopped.to_string())
    }
}

/// Starts a gateway.
///
/// # Errors
/// One sentence that says what the system refused.
pub fn start(
    mut config: Config,
    mut on_event: impl FnMut(Event) + Send + 'static,
) -> Result<Running, String> {
    let identity = config.sides.iter().any(|side| side.keys.contains(&KeyExchange::Dtls));
    let identity = identity.then(Identity::generate).transpose().map_err(|error| error.to_string())?;
    let seed = Seed(entropy().map_err(|error| format!("the system gives no entropy: {error}"))?);
    let relay = config.turn.take();
    let credentials = relay.as_ref().map(|turn| turn.credentials.clone());
    let turn = relay.map(turn::start).transpose()?;
    let relay =
        turn.as_ref().zip(credentials).map(|(turn, credentials)| Relay::new(turn.listening(), credentials));
    let mut driver_config = DriverConfig::new(config.listen.clone());
    driver_config.dns.servers = config.dns.clone();
    (driver_config.signalling_dscp, driver_config.media_dscp) = (config.signalling_dscp, config.media_dscp);
    if let Some(media) = &mut driver_config.media {
        // Robots hear as much as they ask for.
        let rates = config.sides.iter().filter_map(|side| side.robot()).map(|robot| robot.sample_rate_hz);
        media.sound_rate_hz = rates.max().map_or(8000, |rate| rate.min(16_000));
    }
    let tls = config.tls.as_ref().map(certificates).transpose()?;
    driver_config.tls = tls.clone();
    let listener = web::bind(&config)?;
    let page = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let web_config = config.clone();
    let (journal, left) = journal(config.journal.as_deref())?.unzip();
    let make = move |listening: &[Listening], now: Instant| {
        let listeners = listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
        let mut gateway = Gateway::new(config, listeners, identity, seed, now);
        if let Some(left) = left {
            gateway.keep_farewells(left, now);
        }
        gateway
    };
    let (to_guests, told) = tokio::sync::mpsc::unbounded_channel();
    let on_event = move |event| match event {
        // Without a web server there is nobody to be told.
        Event::Guest { guest, told } => drop(to_guests.send((guest, told))),
        Event::Note(note) => journal.iter().for_each(|journal| journal.note(note.clone())),
        event => on_event(event),
    };
    let driver = SignallingDriver::start(driver_config, make, on_event).map_err(|error| error.to_string())?;
    web::start(&web_config, listener, tls, relay, driver.handle(), told)
        .map_err(|error| format!("no thread for web pages: {error}"))?;
    Ok(Running { driver, page, _turn: turn })
}

/// The journal, and what a former run left in it.
fn journal(path: Option<&Path>) -> Result<Option<(Journal, Vec<Left>)>, String> {
    let Some(path) = path else { return Ok(None) };
    let opened = Journal::open(path, |sentence| eprintln!("gateway: {sentence}; calls are not written down"));
    let place = path.display();
    opened.map(Some).map_err(|error| format!("the journal {place} cannot be used: {error}"))
}

fn certificates(files: &TlsFiles) -> Result<Tls, String> {
    let mut config = TlsConfig::default();
    if let Some((chain, key)) = &files.own {
        config.certificate = Some(Certificate::from_files(chain, key).map_err(|error| error.to_string())?);
    }
    if let Some(path) = &files.authorities {
        let pem =
            std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        config.trust = Trust::Authorities(pem);
    }
    Tls::new(&config).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_joins_nothing_says_so() {
        let said = |more: &str| {
            summary(&Config::parse(&format!("[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n{more}")).unwrap())
        };
        assert!(said("").contains("no [[sides]]"));
        let sides = "[[sides]]\nname = \"a\"\nto = \"udp:127.0.0.1:1\"\n[[sides]]\nname = \"b\"\nto = \"udp:127.0.0.1:2\"\n";
        assert_eq!(said(sides), "Nothing passes between a, b yet: it has no [[routes]].");
        assert_eq!(said(&format!("{sides}[[routes]]\nfrom = \"a\"\nto = \"b\"\n")), "It joins a, b.");
    }
}
