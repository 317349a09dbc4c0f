//! The load: phones at both ends of every call, all on one socket, a paced generator and a sink that measures.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use denwa_rtp::{
    packet::{Header, HeaderMut},
    srtp::{Keying, Outbound},
};

/// How many calls, how fast, how long.
pub(crate) struct Phones {
    pub(crate) calls: usize,
    pub(crate) rate: u32,
    time: Duration,
    socket: UdpSocket,
    /// RTCP comes here, and nobody reads it.
    _control: UdpSocket,
}

/// The time over which processor time is counted.
const WINDOW: Duration = Duration::from_millis(400);

/// What a relay cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Microseconds of processor time for a packet that came out, in the cheapest window.
    pub(crate) micros: f64,
    pub(crate) delay_median: Duration,
    pub(crate) delay_99: Duration,
    /// Of what was sent.
    pub(crate) lost: f64,
    pub(crate) kilobytes_per_call: Option<f64>,
}

/// Where a relay receives both sides of each call, and how its time is told.
pub(crate) struct Relay<'a> {
    /// Two to a call, the caller's first.
    pub(crate) legs: Vec<SocketAddr>,
    /// Nanoseconds of processor time used so far.
    pub(crate) used: &'a dyn Fn() -> u64,
    /// What callers' packets are protected with.
    pub(crate) keying: Option<&'a Keying>,
    pub(crate) payload_types: [u8; 2],
    /// Ticks of each end's RTP clock in 20 ms.
    pub(crate) ticks: [u32; 2],
    /// What callers and what callees say in each packet; PCMU carries the time it was sent.
    pub(crate) payloads: [&'a [u8]; 2],
}

impl Phones {
    pub(crate) fn new(calls: usize, rate: u32, time: Duration) -> Self {
        loop {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = socket.local_addr().unwrap().port();
            let Some(above) = port.checked_add(1).filter(|above| above % 2 == 1) else { continue };
            let Ok(control) = UdpSocket::bind((Ipv4Addr::LOCALHOST, above)) else { continue };
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            return Self { calls, rate, time, socket, _control: control };
        }
    }

    /// Other phones that talk slower.
    pub(crate) fn at_rate(&self, rate: u32) -> Self {
        Self::new(self.calls, rate, self.time)
    }

    /// Where all phones are.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Talks through the relay and measures.
    pub(crate) fn talk(&self, relay: &Relay<'_>) -> Cost {
        let (stop, received) = (AtomicBool::new(false), AtomicU64::new(0));
        let epoch = Instant::now();
        let warm = self.time / 4;
        thread::scope(|scope| {
            let sink = scope.spawn(|| self.sink(epoch, warm, &stop, &received));
            let mut generator = Generator::new(relay, self.calls);
            let (mut sent, mut at_warm) = (0u64, None);
            // The machine is shared: of the windows the cheapest counts.
            let (mut window, mut cheapest) = (None, f64::INFINITY);
            while epoch.elapsed() < warm + self.time {
                if at_warm.is_none() && epoch.elapsed() >= warm {
                    at_warm = Some((received.load(Ordering::Relaxed), sent));
                }
                if epoch.elapsed() >= warm {
                    let now = ((relay.used)(), received.load(Ordering::Relaxed), Instant::now());
                    let (used, arrived, since) = *window.get_or_insert(now);
                    if now.2 - since >= WINDOW {
                        cheapest =
                            f64::min(cheapest, (now.0 - used) as f64 / (now.1 - arrived).max(1) as f64);
                        window = Some(now);
                    }
                }
                let due = (epoch.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
                while sent < due {
                    generator.send(&self.socket, epoch);
                    sent += 1;
                }
                thread::sleep(Duration::from_micros(500));
            }
            thread::sleep(Duration::from_millis(20));
            let arrived = received.load(Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
            let mut delays = sink.join().unwrap();
            delays.sort_unstable();
            let (arrived_before, sent_before) = at_warm.unwrap_or_default();
            let packets = (arrived - arrived_before).max(1);
            let nth = |share: f64| {
                let at = (delays.len() as f64 * share) as usize;
                Duration::from_nanos(delays.get(at).copied().unwrap_or(0))
            };
            Cost {
                micros: cheapest / 1000.0,
                delay_median: nth(0.5),
                delay_99: nth(0.99),
                lost: 1.0 - packets as f64 / (sent - sent_before).max(1) as f64,
                kilobytes_per_call: None,
            }
        })
    }

    /// Counts what comes, and tells the delays of what came after warming up.
    fn sink(&self, epoch: Instant, warm: Duration, stop: &AtomicBool, received: &AtomicU64) -> Vec<u64> {
        let mut buffer = [0; 2048];
        let mut delays = Vec::with_capacity(1 << 17);
        while !stop.load(Ordering::Relaxed) {
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            // Reports come to the media port where a relay takes it for theirs too.
            if length < 20 || (64..96).contains(&(buffer[1] & 0x7f)) {
                continue;
            }
            received.fetch_add(1, Ordering::Relaxed);
            if length < 172 {
                continue;
            }
            let now = epoch.elapsed().as_nanos() as u64;
            let sent = u64::from_be_bytes(buffer[12..20].try_into().unwrap());
            // Where keys or codecs change the payload there is no time to read in it.
            if let Some(delay) = now.checked_sub(sent).filter(|delay| *delay < 1_000_000_000)
                && now > warm.as_nanos() as u64
            {
                delays.push(delay);
            }
        }
        delays
    }
}

/// Streams of all legs, taken in turn.
struct Generator<'a> {
    relay: &'a Relay<'a>,
    streams: Vec<Stream>,
    next: usize,
    order: usize,
    buffer: Vec<u8>,
}

struct Stream {
    sequence: u16,
    timestamp: u32,
    out: Option<Outbound>,
}

impl<'a> Generator<'a> {
    fn new(relay: &'a Relay<'a>, calls: usize) -> Self {
        let stream = |leg: usize| Stream {
            sequence: leg as u16 >> 1,
            timestamp: leg as u32 * 1000,
            out: relay.keying.filter(|_| leg.is_multiple_of(2)).map(|keying| Outbound::new(keying).unwrap()),
        };
        // A stride that has no factor in common with the number of legs: neighbours in time are no neighbours in memory.
        let order = if calls.is_multiple_of(7) { 11 } else { 7 };
        let streams = (0..calls * 2).map(stream).collect();
        Self { relay, streams, next: 0, order, buffer: vec![0; 512] }
    }

    fn send(&mut self, socket: &UdpSocket, epoch: Instant) {
        let leg = self.next;
        self.next = (self.next + self.order) % self.streams.len();
        let stream = &mut self.streams[leg];
        stream.sequence = stream.sequence.wrapping_add(1);
        stream.timestamp = stream.timestamp.wrapping_add(self.relay.ticks[leg % 2]);
        let header = Header { ssrc: 0x1000_0000 + leg as u32, ..Header::default() };
        let mut length = header.write(self.relay.payloads[leg % 2], &mut self.buffer).unwrap();
        let mut header = HeaderMut::of(&mut self.buffer).unwrap();
        header.set_marker_and_payload_type(false, self.relay.payload_types[leg % 2]);
        header.set_sequence(stream.sequence);
        header.set_timestamp(stream.timestamp);
        if length == 172 {
            self.buffer[12..20].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_be_bytes());
        }
        if let Some(out) = &mut stream.out {
            length = out.protect(&mut self.buffer, length).unwrap();
        }
        // What does not fit into the relay's socket counts as lost.
        let _ = socket.send_to(&self.buffer[..length], self.relay.legs[leg]);
    }
}

/// Nanoseconds that a thread of this process has run.
pub(crate) fn thread_time(name: &str) -> u64 {
    tasks("/proc/self/task", |folder| {
        fs::read_to_string(format!("{folder}/comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

/// Nanoseconds that all threads of a process have run.
pub(crate) fn process_time(process: u32) -> u64 {
    tasks(&format!("/proc/{process}/task"), |_| true)
}

fn tasks(folder: &str, which: impl Fn(&str) -> bool) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()))
        .filter(|folder| which(folder))
        .filter_map(|folder| fs::read_to_string(format!("{folder}/schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Kilobytes that a process holds in memory.
pub(crate) fn resident(process: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4.096
}

/// 20 ms of PCMU or PCMA.
pub(crate) const G711: &[u8] = &[0xd5; 160];

/// A flag that ends a relay.
pub(crate) type Stop = Arc<AtomicBool>;
