//! Benchmarks beside real peers.
#![forbid(unsafe_code)]
