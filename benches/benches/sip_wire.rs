//! Reading, writing and exchanging SIP messages; peers beside us in the same run with `--features peers`.
//!
//! The messages are a real call's. `DENWA_BENCH_CORPUS` names a folder of other messages (one a file, any depth); all that
//! parse are measured together as `corpus`. Heap allocations are printed before the times, which are processor time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "shared/thread_time.rs"]
mod thread_time;

use std::{
    hint::black_box,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use allocation_counter::measure;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use denwa_sip_core::{
    HeaderName, Input, Message, Output, Protocol, Request, Seed, StatusCode,
    config::{Listener, TransactionConfig},
    message::ParseOptions,
    transaction::{TransactionEvent, Transactions},
};
use thread_time::ThreadTime;

/// 1.27 kB, as a desk phone sends it.
const INVITE: &str = "INVITE sip:2525@pbx.example.net SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bK1587139485;rport;alias\r\n\
Route: <sip:pbx.example.net:5060;lr>\r\n\
From: \"Kitchen\" <sip:1001@pbx.example.net>;tag=1928301774\r\n\
To: <sip:2525@pbx.example.net>\r\n\
Call-ID: 1268354187-5060-2@BJC.BGI.B.CA\r\n\
CSeq: 20 INVITE\r\n\
Contact: \"Kitchen\" <sip:1001@192.168.1.20:5060>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000B82D5EA5C>\"\r\n\
Authorization: Digest username=\"1001\", realm=\"pbx.example\", nonce=\"5f1c2b9a7e6d4c3b\", uri=\"sip:2525@pbx.example.net\", \
response=\"6629fae49393a05397450978507c4ef1\", algorithm=MD5, cnonce=\"0a4f113b\", opaque=\"5ccc069c403ebaf9\", qop=auth, nc=00000001\r\n\
Max-Forwards: 70\r\n\
User-Agent: Grandstream GXP1625 1.0.4.152\r\n\
Privacy: none\r\n\
P-Preferred-Identity: \"Kitchen\" <sip:1001@pbx.example.net>\r\n\
Supported: replaces, path, timer, 100rel\r\n\
Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE, PRACK\r\n\
Content-Type: application/sdp\r\n\
Accept: application/sdp, application/dtmf-relay\r\n\
Content-Length: 226\r\n\r\n\
v=0\r\no=1001 8000 8000 IN IP4 192.168.1.20\r\ns=SIP Call\r\nc=IN IP4 192.168.1.20\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0 8 101\r\n\
a=sendrecv\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

const OPTIONS: &str = "OPTIONS sip:100@192.0.2.2 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-524287-1---XXXXXXXXXXXXXXXX;rport\r\n\
Max-Forwards: 70\r\nContact: <sip:ping@192.0.2.1:5060>\r\nTo: <sip:100@192.0.2.2>\r\nFrom: <sip:ping@192.0.2.1>;tag=b5f6c04a\r\n\
Call-ID: YYYYYYYYYYYYYYYY@192.0.2.1\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n";

fn invite() -> Bytes {
    // The length written above is kept true here, so that the text can be edited.
    let (head, body) = INVITE.split_once("\r\n\r\n").unwrap();
    let head = head.replace("Content-Length: 226", &format!("Content-Length: {}", body.len()));
    Bytes::from(format!("{head}\r\n\r\n{body}"))
}

fn typed(message: &Message) -> usize {
    let via = message.via().unwrap();
    let from = message.from().unwrap();
    let to = message.to().unwrap();
    let cseq = message.cseq().unwrap();
    let contact = message.contact().unwrap();
    via.branch().map_or(0, str::len)
        + from.tag().map_or(0, str::len)
        + to.uri.user().map_or(0, str::len)
        + message.call_id().unwrap().len()
        + usize::try_from(cseq.sequence).unwrap()
        + contact.map_or(0, |contact| contact.uri.host_str().len())
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

/// The folder asked for, else the vectors of the RFCs if they are there.
fn corpus() -> Vec<Bytes> {
    let shared = std::env::var_os("DENWA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = std::env::var_os("DENWA_BENCH_CORPUS")
        .map_or_else(|| shared.join("vectors/sip-messages/rfc3665"), PathBuf::from);
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    paths
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .map(Bytes::from)
        .filter(|bytes| Message::parse_lenient(bytes.clone()).is_ok())
        .collect()
}

fn reading(c: &mut Criterion<ThreadTime>) {
    let options = ParseOptions::default();
    let bytes = invite();
    let indexed = measure(|| drop(black_box(Message::parse(bytes.clone(), &options))));
    let both = measure(|| {
        black_box(typed(&Message::parse(bytes.clone(), &options).unwrap()));
    });
    println!(
        "INVITE {} bytes: indexed {} allocations, typed {} allocations",
        bytes.len(),
        indexed.count_total,
        both.count_total
    );

    let mut group = c.benchmark_group("sip_read");
    group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).unwrap()));
    group.bench_function("denwa indexed", |b| {
        b.iter(|| Message::parse(black_box(bytes.clone()), &options).unwrap())
    });
    group.bench_function("denwa typed", |b| {
        b.iter(|| typed(&Message::parse(black_box(bytes.clone()), &options).unwrap()));
    });
    group.bench_function("denwa datagram to typed", |b| {
        b.iter(|| typed(&Message::parse(Bytes::copy_from_slice(black_box(&bytes)), &options).unwrap()));
    });
    #[cfg(feature = "peers")]
    peers::read(&mut group, &bytes);
    group.finish();

    let corpus = corpus();
    if corpus.is_empty() {
        println!("no corpus: the vectors are absent");
        return;
    }
    let mut group = c.benchmark_group("sip_read_corpus");
    group.throughput(Throughput::Bytes(corpus.iter().map(|bytes| u64::try_from(bytes.len()).unwrap()).sum()));
    println!("corpus of {} messages", corpus.len());
    group.bench_function("denwa indexed", |b| {
        b.iter(|| corpus.iter().filter(|bytes| Message::parse((*bytes).clone(), &options).is_ok()).count());
    });
    #[cfg(feature = "peers")]
    peers::corpus(&mut group, &corpus);
    group.finish();
}

fn writing(c: &mut Criterion<ThreadTime>) {
    let Message::Request(request) = Message::parse_lenient(invite()).unwrap() else { panic!("a response") };
    let mut group = c.benchmark_group("sip_write");
    let mut buffer = Vec::with_capacity(2048);
    group.bench_function("denwa untouched", |b| {
        b.iter(|| {
            buffer.clear();
            buffer.extend_from_slice(black_box(&request).bytes());
            buffer.len()
        });
    });
    group.bench_function("denwa forwarded (Via added, Route popped, URI and hops changed)", |b| {
        b.iter(|| {
            black_box(&request)
                .edit()
                .uri("sip:2525@192.0.2.9:5060")
                .prepend(
                    HeaderName::Via,
                    "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK00000001a1b2c3d4e5f6a7b8c9d0",
                )
                .pop_first(HeaderName::Route)
                .set(HeaderName::MaxForwards, 69)
                .finish()
                .unwrap()
        });
    });
    group.bench_function("denwa response", |b| {
        b.iter(|| black_box(&request).response(StatusCode::OK).to_tag("a1b2c3d4").finish().unwrap());
    });
    #[cfg(feature = "peers")]
    peers::write(&mut group, request.bytes());
    group.finish();
}

fn layer() -> (Transactions, SocketAddr, SocketAddr, Instant) {
    let local: SocketAddr = "192.0.2.2:5060".parse().unwrap();
    let remote: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let now = Instant::now();
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, local)]);
    config.limits.server_transactions = usize::MAX;
    (Transactions::new(config, Seed([7; 32]), now), local, remote, now)
}

/// Distinct requests, their texts made before the clock runs.
fn requests(count: usize, from: usize) -> Vec<Bytes> {
    (from..from + count)
        .map(|number| {
            Bytes::from(
                OPTIONS
                    .replace("XXXXXXXXXXXXXXXX", &format!("{number:016x}"))
                    .replace("YYYYYYYYYYYYYYYY", &format!("{number:016x}")),
            )
        })
        .collect()
}

/// Datagram in, matched, 200 built, written.
fn exchange(
    layer: &mut Transactions,
    local: SocketAddr,
    remote: SocketAddr,
    payload: &[u8],
    now: Instant,
) -> usize {
    layer.handle_input(Input::Datagram { local, remote, payload }, now);
    let mut sent = 0;
    while let Some(output) = layer.poll_output() {
        match output {
            Output::Event(TransactionEvent::Request { transaction, request, .. }) => {
                let response = answer(&request);
                layer.respond(transaction, &response, now).unwrap();
            }
            Output::Transmit(transmit) => sent += transmit.payload.len(),
            _ => {}
        }
    }
    sent
}

fn answer(request: &Request) -> denwa_sip_core::Response {
    request.response(StatusCode::OK).to_tag("a1b2c3d4").finish().unwrap()
}

fn exchanging(c: &mut Criterion<ThreadTime>) {
    const COUNT: usize = 10_000;
    let (mut warm, local, remote, now) = layer();
    for payload in requests(COUNT, 0) {
        exchange(&mut warm, local, remote, &payload, now);
    }
    // Tables that have grown once do not grow again: what is counted is the exchange.
    warm.handle_timeout(now + Duration::from_secs(60));
    while warm.poll_output().is_some() {}
    let texts = requests(1000, COUNT);
    let later = now + Duration::from_secs(61);
    let cost = measure(|| {
        for payload in &texts {
            exchange(&mut warm, local, remote, payload, later);
        }
    });
    println!("server exchange: {:.2} allocations", cost.count_total as f64 / 1000.0);
    let texts = requests(COUNT, 0);
    let mut kept = None;
    let memory = measure(|| {
        let (mut layer, local, remote, now) = layer();
        for payload in &texts {
            exchange(&mut layer, local, remote, payload, now);
        }
        kept = Some(layer);
    });
    println!(
        "kept per open server transaction: {} bytes",
        memory.bytes_current / i64::try_from(COUNT).unwrap()
    );
    drop(kept);

    let mut group = c.benchmark_group("sip_exchange");
    group.throughput(Throughput::Elements(u64::try_from(COUNT).unwrap()));
    group.sample_size(20);
    group.bench_function("denwa server, 10,000 OPTIONS, all open", |b| {
        b.iter_batched_ref(
            layer,
            |(layer, local, remote, now)| {
                texts.iter().map(|payload| exchange(layer, *local, *remote, payload, *now)).sum::<usize>()
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("denwa server, 10,000 OPTIONS, timer J included", |b| {
        b.iter_batched_ref(
            layer,
            |(layer, local, remote, now)| {
                let sent: usize =
                    texts.iter().map(|payload| exchange(layer, *local, *remote, payload, *now)).sum();
                layer.handle_timeout(*now + Duration::from_secs(60));
                while layer.poll_output().is_some() {}
                sent
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

#[cfg(feature = "peers")]
mod peers {
    use super::*;
    use criterion::BenchmarkGroup;

    pub(super) fn read(group: &mut BenchmarkGroup<'_, ThreadTime>, bytes: &Bytes) {
        let limits = sipx_sip::Limits::default();
        group.bench_function("sipx-sip", |b| {
            b.iter(|| sipx_sip::parse_datagram(black_box(bytes.clone()), &limits).unwrap());
        });
        group.bench_function("rsip", |b| {
            b.iter(|| rsip::SipMessage::try_from(black_box(&bytes[..])).unwrap())
        });
    }

    pub(super) fn corpus(group: &mut BenchmarkGroup<'_, ThreadTime>, corpus: &[Bytes]) {
        let limits = sipx_sip::Limits::default();
        group.bench_function("sipx-sip", |b| {
            let parsed = |bytes: &&Bytes| sipx_sip::parse_datagram((*bytes).clone(), &limits).is_ok();
            b.iter(|| corpus.iter().filter(parsed).count());
        });
        group.bench_function("rsip", |b| {
            b.iter(|| corpus.iter().filter(|bytes| rsip::SipMessage::try_from(&bytes[..]).is_ok()).count());
        });
    }

    pub(super) fn write(group: &mut BenchmarkGroup<'_, ThreadTime>, bytes: &Bytes) {
        let message = sipx_sip::parse_datagram(bytes.clone(), &sipx_sip::Limits::default()).unwrap();
        let mut buffer = Vec::with_capacity(2048);
        group.bench_function("sipx-sip (as parsed, into a buffer)", |b| {
            b.iter(|| {
                buffer.clear();
                black_box(&message).write_to(&mut buffer);
                buffer.len()
            });
        });
        let message = rsip::SipMessage::try_from(&bytes[..]).unwrap();
        group.bench_function("rsip (clone included)", |b| {
            b.iter(|| Vec::<u8>::from(black_box(&message).clone()))
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = reading, writing, exchanging
}
criterion_main!(benches);
