//! `pbx`: the exchange as a program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pbx::commands::main(std::env::args_os())
}
