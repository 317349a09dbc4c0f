//! Blocks of ports on loopback, held by a listener so that tests in other threads and processes keep away, and who listens there.
//!
//! Peers want fixed ports in their configuration, so "port 0" is not enough. The blocks lie below the range
//! from which the kernel deals out ephemeral ports (32768 on Linux), where that leaves any room.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

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
        let (lowest, highest) = range();
        let count = (highest - lowest) / BLOCK;
        let start = u16::try_from(std::process::id() % u32::from(count)).unwrap_or(0);
        for step in 0..count {
            let base = lowest + (start + step) % count * BLOCK;
            // The last port of a block is its lock: whoever listens there owns the block.
            let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, base + BLOCK - 1)) else { continue };
            if are_free(base, 40) {
                return Self { base, next: base, _guard: guard };
            }
        }
        panic!("no free block of {BLOCK} ports between {lowest} and {highest}");
    }

    /// The next `count` ports of the block that nobody else has taken meanwhile, the first one even.
    ///
    /// # Panics
    /// When the block is used up.
    pub fn take(&mut self, count: u16) -> u16 {
        loop {
            let first = self.next + self.next % 2;
            assert!(first + count < self.base + BLOCK - 1, "the block of {BLOCK} ports is used up");
            if are_free(first, count) {
                self.next = first + count;
                return first;
            }
            self.next = first + 2;
        }
    }
}

/// Where blocks may lie: not where the kernel deals out ports to whoever asks for any.
fn range() -> (u16, u16) {
    let dealt = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let dealt: Vec<u16> = dealt.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[from, to] = dealt.as_slice() else { return (FIRST, LAST) };
    let (below, above) = ((FIRST.min(from), from.min(LAST)), (to.max(FIRST), u16::MAX));
    let room = |(low, high): (u16, u16)| high.saturating_sub(low);
    let wanted = 20 * BLOCK;
    [below, above, (2_000, from.max(2_000))]
        .into_iter()
        .find(|it| room(*it) >= wanted)
        .unwrap_or((FIRST, LAST))
}

fn are_free(first: u16, count: u16) -> bool {
    (first..first + count).all(|port| {
        let at = (Ipv4Addr::LOCALHOST, port);
        UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
    })
}

/// Whether a program has bound this UDP port of loopback or of every address, by the kernel's table: whoever tries to bind it to
/// find that out may take it from the program that is about to.
#[must_use]
pub fn is_bound(port: u16) -> bool {
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|table| {
        let text = fs::read_to_string(table).unwrap_or_default();
        text.lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(1)?.rsplit(':').next())
            .any(|it| u16::from_str_radix(it, 16) == Ok(port))
    })
}

/// An address of loopback where nobody reads, and nobody else can either: datagrams for it are unreachable while the socket is
/// kept, because it takes only those that it sends to itself.
///
/// # Panics
/// When there are no sockets.
#[must_use]
pub fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = socket.local_addr().expect("its address");
    socket.connect(address).expect("loopback can be reached");
    (socket, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_port_is_seen_and_nobody_reads_where_nobody_is() {
        let mut ports = Ports::block();
        let port = ports.take(1);
        assert!(!is_bound(port));
        let _socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(is_bound(port));
        let (_kept, address) = nobody();
        let asking = UdpSocket::bind("127.0.0.1:0").unwrap();
        asking.connect(address).unwrap();
        asking.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        asking.send(b"anybody?").unwrap();
        let error = asking.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
