//! The program: reads its file, runs the machine, ends it properly on an interrupt.

use crate::config::Config;
use crate::gateway::{Command, Event, Gateway};
use crate::turn;
use clap::{Parser, Subcommand};
use denwa::Seed;
use denwa::tokio::{DriverConfig, DriverHandle, Listening, SignallingDriver, entropy};
use denwa_sip_core::config::Listener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Joins SIP networks by the file it is given.
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
    /// Say what is wrong with a file, or nothing.
    Check {
        /// The file.
        config: PathBuf,
    },
}

/// Does what the command line asks.
pub fn run(arguments: &Arguments) -> ExitCode {
    let result = match &arguments.command {
        Action::Check { config } => read(config).map(drop),
        Action::Run { config } => read(config).and_then(|mut config| {
            // It serves as long as this lives.
            let _turn = config.turn.take().map(turn::start).transpose()?;
            let running = start(config, |event| {
                if let Event::Line(line) = event {
                    println!("{line}");
                }
            })?;
            end_on_interrupt(running.handle());
            running.join().map_err(|stopped| stopped.to_string())
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

fn read(path: &Path) -> Result<Config, String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    Config::parse(&text).map_err(|error| format!("{place}: {error}"))
}

/// Starts a gateway.
///
/// # Errors
/// One sentence that says what the system refused.
pub fn start(
    config: Config,
    on_event: impl FnMut(Event) + Send + 'static,
) -> Result<SignallingDriver<Command>, String> {
    let seed = Seed(entropy().map_err(|error| format!("the system gives no entropy: {error}"))?);
    let driver_config = DriverConfig::new(config.listen.clone());
    let make = move |listening: &[Listening], now: Instant| {
        let listeners = listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
        Gateway::new(config, listeners, seed, now)
    };
    let driver = SignallingDriver::start(driver_config, make, on_event).map_err(|error| error.to_string())?;
    Ok(driver)
}

fn end_on_interrupt(handle: DriverHandle<Command>) {
    let waiting = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            if interrupted().await {
                // One that has ended needs no interrupt.
                let _ = handle.command(Command::Stop);
            }
        });
    };
    // Without this thread an interrupt ends the process as the system does.
    let _ = std::thread::Builder::new().name("gateway-signals".to_owned()).spawn(waiting);
}

#[cfg(unix)]
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return false;
    };
    std::future::poll_fn(|cx| {
        if interrupt.poll_recv(cx).is_ready() || terminate.poll_recv(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    true
}

#[cfg(not(unix))]
async fn interrupted() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
