//! `softphone`: register, call and answer from the command line.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    softphone::run::run(&softphone::arguments::Arguments::parse())
}
