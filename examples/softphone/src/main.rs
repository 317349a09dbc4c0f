//! A telephone for the command line.

fn main() {}
