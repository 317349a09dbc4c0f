//! The command line: what each command prints and how it exits.
//!
//! Exit codes: 0 when it was done, 1 when it was not, 2 when the command itself was not understood.

mod certificate;
mod check;
mod clock;
mod extensions;
mod history;
mod mantela;
mod metrics;
mod probe;
mod reload;
mod run;
mod running;
mod secrets;
mod turn;
mod welcome;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, LoadError};

/// A telephone exchange: registrar, back-to-back user agent, media relay.
#[derive(Debug, Parser)]
#[command(name = "pbx", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    /// The configuration file; without one every setting has its default.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, or a filter as `pbx=debug`.
    #[arg(long, value_name = "FILTER", global = true, env = "PBX_LOG")]
    log: Option<String>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exchange (what happens without a command, too).
    Run,
    /// Say what is wrong with a configuration file, line and column, and what was expected.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// List the calls that are going on, and those that have ended, the newest first.
    Calls {
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Say how a call goes, or why it ended as it did, and what happened in it.
    Why {
        /// The call's number, as the log and `pbx calls` show it.
        call: i64,
    },
    /// List the telephones that are registered.
    Phones,
    /// Say how the running exchange is.
    Status,
    /// List the neighbours and how they are.
    Trunks,
    /// Call a neighbour's echo and say whether sound passes there and back, how late and how much of it.
    Probe(probe::ProbeArguments),
    /// Say who was refused what: the report of attacks.
    Attacks,
    /// End a call that is going on.
    Hangup {
        /// The call's number, as `pbx calls` shows it.
        call: u64,
    },
    /// Have the running exchange read its configuration anew, without dropping calls.
    Reload,
    /// Write signalling and voice of the running exchange to a capture (pcap), bounded in size.
    Trace(running::TraceArguments),
    /// Mantela: what this exchange publishes of itself, and the way to others' telephones.
    Mantela {
        #[command(subcommand)]
        command: mantela::Command,
    },
    /// Read a secret (one line) and print what may stand for it in the file: encrypted under the key file, which is made when
    /// it is not there.
    Seal,
    /// Print the public key that neighbours believe our signed callers by, which is made when it is not there.
    Identity,
    /// Write what a shell needs to complete this program's commands.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// List extensions, and make, change and remove those that are not in the file.
    Extensions {
        #[command(subcommand)]
        command: extensions::Command,
    },
}

/// Does what the arguments (the program's name first) say.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too; printing them fails only when nobody reads.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    start_log(arguments.log.as_deref());
    let file = arguments.config.as_deref();
    let json = arguments.json;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(file),
        Command::Check { file } => check::check(&file, json),
        Command::Calls { limit } => history::calls(file, limit, json),
        Command::Why { call } => history::why(file, call, json),
        Command::Phones => history::phones(file, json),
        Command::Status => running::status(file, json),
        Command::Probe(arguments) => probe::probe(file, &arguments, json),
        Command::Trunks => running::trunks(file, json),
        Command::Attacks => running::attacks(file, json),
        Command::Hangup { call } => running::hang_up(file, call, json),
        Command::Reload => running::reload(file, json),
        Command::Trace(arguments) => running::trace(file, &arguments),
        Command::Mantela { command } => mantela::run(command, file, json),
        Command::Seal => secrets::seal(file, json),
        Command::Identity => secrets::identity(file, json),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "pbx", &mut io::stdout());
            ExitCode::SUCCESS
        }
        Command::Extensions { command } => extensions::run(command, file, json),
    }
}

/// The configuration of a file, or the defaults.
fn load(file: Option<&Path>) -> Result<Config, LoadError> {
    file.map_or_else(|| Ok(Config::default()), Config::load)
}

/// Prints to the standard output; nobody who stopped reading is told.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The log goes to the error output, one line a fact.
fn start_log(filter: Option<&str>) {
    let filter = filter.unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // It is set once for the process; a second time (in tests) keeps the first.
    let _ = log.try_init();
}

/// Says what went wrong on the error output, and exits with 1.
fn failed(error: impl Display) -> ExitCode {
    eprintln!("pbx: {error}");
    ExitCode::FAILURE
}
