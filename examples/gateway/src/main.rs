//! A gateway between SIP networks.

fn main() {}
