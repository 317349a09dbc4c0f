//! Benchmarks beside real peers.
#![forbid(unsafe_code)]

/// Whether figures are wanted: `cargo bench` says `--bench`, and `cargo test`, which only asks that a bench runs, says nothing.
#[must_use]
pub fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
