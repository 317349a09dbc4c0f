//! A name server of a test's own: a table of records, answered over UDP (RFC 1035), so that names lead to loopback and can
//! be made to lead elsewhere meanwhile. Left out: everything a resolver does not ask of the last server on its way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// SRV (RFC 2782): priority, weight, port, target.
    Service(u16, u16, u16, String),
    /// NAPTR (RFC 3403) with the flag `s`: order, preference, service, replacement.
    Pointer(u16, u16, String, String),
}

/// The server; ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Zone {
    records: Vec<(String, Record)>,
    asked: Vec<String>,
}

impl NameServer {
    /// A server that knows nothing yet.
    ///
    /// # Panics
    /// When the loopback has no port for it.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test without its server is no test")]
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = socket.local_addr().expect("its address");
        let (zone, ends) = (Arc::new(Mutex::new(Zone::default())), Arc::new(AtomicBool::new(false)));
        let (shared, ended) = (Arc::clone(&zone), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !ended.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let question = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = answer(&mut lock(&shared), question) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, zone, ends, thread: Some(thread) }
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A further record of a name.
    pub fn put(&self, name: &str, record: Record) {
        lock(&self.zone).records.push((name.to_ascii_lowercase(), record));
    }

    /// All records of a name go.
    pub fn remove(&self, name: &str) {
        lock(&self.zone).records.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    /// What was asked so far, as `SRV _sip._udp.example.com`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.zone).asked.clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It waits for a question; this one has no answer.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.address);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

/// Names of the length of a pointer to the question's own name.
const SAME_NAME: [u8; 2] = [0xC0, 12];

fn answer(zone: &mut Zone, question: &[u8]) -> Option<Vec<u8>> {
    let (name, end) = name_at(question, 12)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let known = |code: u16| {
        [(A, "A"), (AAAA, "AAAA"), (SRV, "SRV"), (NAPTR, "NAPTR")].into_iter().find(|(own, _)| *own == code)
    };
    let kind_name = known(kind).map_or_else(|| kind.to_string(), |(_, name)| name.to_owned());
    zone.asked.push(format!("{kind_name} {name}"));
    let of_name = || zone.records.iter().filter(|(own, _)| *own == name).map(|(_, record)| record);
    let data: Vec<Vec<u8>> = of_name().filter_map(|record| data(record, kind)).collect();
    // No such name, or none of this kind.
    let code = if of_name().next().is_none() { 3 } else { 0 };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x84, 0x80 | code, 0, 1]);
    answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question.get(12..end + 4)?);
    for data in data {
        answer.extend(SAME_NAME);
        answer.extend(kind.to_be_bytes());
        // Of the Internet; not to be kept.
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    let text = |text: &str| -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap_or_default();
        [length].into_iter().chain(text.bytes()).collect()
    };
    Some(match (record, kind) {
        (Record::Address(IpAddr::V4(address)), A) => address.octets().to_vec(),
        (Record::Address(IpAddr::V6(address)), AAAA) => address.octets().to_vec(),
        (Record::Service(priority, weight, port, target), SRV) => {
            let numbers = [*priority, *weight, *port].into_iter().flat_map(u16::to_be_bytes);
            numbers.chain(name_bytes(target)).collect()
        }
        (Record::Pointer(order, preference, service, replacement), NAPTR) => {
            let numbers = [*order, *preference].into_iter().flat_map(u16::to_be_bytes);
            let texts = [text("s"), text(service), text("")].concat();
            numbers.chain(texts).chain(name_bytes(replacement)).collect()
        }
        _ => return None,
    })
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// An uncompressed name, and where it ends.
fn name_at(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}
