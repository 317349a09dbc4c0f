//! Blocks of ports on loopback, held by a listener so that tests in other threads and processes keep away.
//!
//! Peers want fixed ports in their configuration, so "port 0" is not enough. The blocks lie below the range
//! from which the kernel deals out ephemeral ports (32768 on Linux).

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// How many ports a block has.
const BLOCK: u16 = 500;
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// A block of 500 ports that belongs to one test until it is dropped.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    next: u16,
    _guard: TcpListener,
}

impl Ports {
    /// Takes the first free block, starting at a place that depends on the process.
    ///
    /// # Panics
    /// When every block is taken.
    #[must_use]
    pub fn block() -> Self {
        let count = (LAST - FIRST) / BLOCK;
        let start = u16::try_from(std::process::id() % u32::from(count)).unwrap_or(0);
        for step in 0..count {
            let base = FIRST + (start + step) % count * BLOCK;
            // The last port of a block is its lock: whoever listens there owns the block.
            let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, base + BLOCK - 1)) else { continue };
            let free = (base..base + 40).all(|port| {
                UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                    && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            });
            if free {
                return Self { base, next: base, _guard: guard };
            }
        }
        panic!("no free block of {BLOCK} ports between {FIRST} and {LAST}");
    }

    /// The next `count` ports of the block, the first one even.
    ///
    /// # Panics
    /// When the block is used up.
    pub fn take(&mut self, count: u16) -> u16 {
        let first = self.next + self.next % 2;
        assert!(first + count < self.base + BLOCK - 1, "the block of {BLOCK} ports is used up");
        self.next = first + count;
        first
    }
}
