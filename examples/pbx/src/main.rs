//! `pbx`: the exchange as a program.

fn main() {}
