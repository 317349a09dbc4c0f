//! `gateway`: joins SIP networks by the file it is given.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::run::run(&gateway::run::Arguments::parse())
}
