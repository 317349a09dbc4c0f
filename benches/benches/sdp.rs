//! Session descriptions: parse, parse with every attribute typed, write, and answer, for a phone's offer (452 bytes) and
//! a browser's (3.7 kB). With `--features peers` other parsers run beside it. Heap allocations are printed before the times.
//!
//! `cargo bench -p denwa-benches --bench sdp --features peers`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use denwa_sdp::{
    Attribute, Capability, Codec, Description, Direction, Encryption, EncryptionCapability, Ice,
    LocalFingerprint, LocalIce, MediaCapability, Negotiator, ParseOptions, RtcpMux, Seed, Transport,
};

const PHONE: &[u8] = include_bytes!("../../sdp/tests/fixtures/bench/phone.sdp");
const BROWSER: &[u8] = include_bytes!("../../sdp/tests/fixtures/bench/browser.sdp");

/// Everything the issue counts as typed, and the rest too: every attribute's value is read.
fn typed(bytes: &[u8]) -> usize {
    let description = Description::parse(bytes).unwrap();
    let mut count = 0;
    black_box(description.origin());
    black_box(description.connection());
    black_box(description.timing());
    for attribute in description.attributes() {
        count += usize::from(!matches!(black_box(attribute.typed()), Err(_) | Ok(Attribute::Other { .. })));
    }
    for medium in description.media() {
        black_box((medium.port(), medium.kind_name(), medium.profile_name(), medium.connection()));
        black_box(medium.payload_types().fold(0, |sum: u32, number| sum + u32::from(number)));
        for attribute in medium.attributes() {
            count +=
                usize::from(!matches!(black_box(attribute.typed()), Err(_) | Ok(Attribute::Other { .. })));
        }
    }
    count
}

fn parse(criterion: &mut Criterion) {
    for (name, bytes) in [("phone", PHONE), ("browser", BROWSER)] {
        let index = allocation_counter::measure(|| drop(black_box(Description::parse(bytes))));
        let all = allocation_counter::measure(|| _ = black_box(typed(bytes)));
        println!(
            "sdp {name}: {} allocations, with every attribute typed {}",
            index.count_total, all.count_total
        );
        let mut group = criterion.benchmark_group(format!("sdp parse {name}"));
        group.bench_function("denwa, typed", |bencher| bencher.iter(|| typed(black_box(bytes))));
        group.bench_function("denwa, index only", |bencher| {
            bencher.iter(|| Description::parse(black_box(bytes)).unwrap());
        });
        group.bench_function("denwa, strict", |bencher| {
            let strict = ParseOptions { strict: true, ..ParseOptions::default() };
            bencher.iter(|| Description::parse_with(black_box(bytes), &strict).unwrap());
        });
        #[cfg(feature = "peers")]
        peers::parse(&mut group, bytes);
        group.finish();
    }
}

fn write(criterion: &mut Criterion) {
    for (name, bytes) in [("phone", PHONE), ("browser", BROWSER)] {
        let mut group = criterion.benchmark_group(format!("sdp write {name}"));
        let description = Description::parse(bytes).unwrap();
        group.bench_function("denwa, as it was read", |bencher| {
            bencher.iter(|| black_box(&description).to_bytes().to_vec());
        });
        let typed: Vec<_> = description.media().flat_map(|medium| medium.attributes()).collect();
        let typed: Vec<_> = typed.iter().filter_map(|line| line.typed().ok()).collect();
        group.bench_function("denwa, every attribute from its type", |bencher| {
            bencher.iter(|| {
                let mut out = denwa_sdp::Builder::new();
                for attribute in black_box(&typed) {
                    out.attribute(attribute);
                }
                out.into_string()
            });
        });
        #[cfg(feature = "peers")]
        peers::write(&mut group, bytes);
        group.finish();
    }
}

fn phone() -> Negotiator {
    let capability = Capability::telephone([Codec::pcma(), Codec::pcmu()])
        .with_encryption(EncryptionCapability::sdes(Encryption::Offered));
    Negotiator::new(capability, vec![Transport::audio("192.0.2.1:4000".parse().unwrap())], Seed([1; 32]))
}

fn gateway() -> Negotiator {
    let audio = MediaCapability { feedback: true, ..MediaCapability::audio([Codec::opus(), Codec::pcma()]) };
    let fingerprint = LocalFingerprint::sha256([0x5a; 32]);
    let mut capability = Capability::new([audio])
        .with_encryption(EncryptionCapability::dtls(Encryption::Required, fingerprint))
        .with_ice(Ice::Full);
    (capability.bundle, capability.rtcp_mux) = (true, RtcpMux::Offered);
    let ice = LocalIce {
        ufrag: "denwa".into(),
        password: "denwadenwadenwadenwa1234".into(),
        candidates: vec!["1 1 UDP 2130706431 192.0.2.1 4000 typ host".into()],
        complete: true,
    };
    let transport = Transport::audio("192.0.2.1:4000".parse().unwrap()).with_ice(ice);
    Negotiator::new(capability, vec![transport], Seed([1; 32]))
}

fn answer(criterion: &mut Criterion) {
    #[allow(clippy::type_complexity)] // a table of three columns, read where it stands
    let cases: [(&str, &[u8], fn() -> Negotiator); 2] =
        [("phone", PHONE, phone), ("browser", BROWSER, gateway)];
    for (name, bytes, side) in cases {
        let mut group = criterion.benchmark_group(format!("sdp answer {name}"));
        group.bench_function("denwa, a new session", |bencher| {
            bencher.iter_batched(
                side,
                |mut side| side.answer(black_box(bytes)).unwrap(),
                BatchSize::SmallInput,
            );
        });
        let mut known = side();
        known.answer(bytes).unwrap();
        assert_eq!(known.agreed().unwrap().audio().unwrap().direction, Direction::SendRecv);
        group.bench_function("denwa, a refresh", |bencher| {
            bencher.iter(|| known.answer(black_box(bytes)).unwrap());
        });
        #[cfg(feature = "peers")]
        peers::answer(&mut group, bytes);
        group.finish();
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::hint::black_box;
    use std::io::Cursor;

    use criterion::BenchmarkGroup;
    use criterion::measurement::WallTime;

    /// Each as its manual says. webrtc-sdp types every attribute; the others keep most values as text.
    pub(crate) fn parse(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &'static [u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        group.bench_function("sipx-sdp", |bencher| {
            bencher.iter(|| sipx_sdp::parse(black_box(text)).unwrap());
        });
        group.bench_function("sdp-types", |bencher| {
            bencher.iter(|| sdp_types::Session::parse(black_box(bytes)).unwrap());
        });
        group.bench_function("webrtc-sdp", |bencher| {
            bencher.iter(|| webrtc_sdp::parse_sdp(black_box(text), false).unwrap());
        });
        group.bench_function("webrtc-rs sdp", |bencher| {
            bencher.iter(|| {
                webrtc_rs_sdp::SessionDescription::unmarshal(&mut Cursor::new(black_box(bytes))).unwrap()
            });
        });
    }

    pub(crate) fn write(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &'static [u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        let sipx = sipx_sdp::parse(text).unwrap();
        group.bench_function("sipx-sdp", |bencher| bencher.iter(|| black_box(&sipx).to_string_sdp()));
        let types = sdp_types::Session::parse(bytes).unwrap();
        group.bench_function("sdp-types", |bencher| {
            bencher.iter(|| {
                let mut out = Vec::new();
                black_box(&types).write(&mut out).unwrap();
                out
            });
        });
        let mozilla = webrtc_sdp::parse_sdp(text, false).unwrap();
        group.bench_function("webrtc-sdp", |bencher| bencher.iter(|| black_box(&mozilla).to_string()));
        let pion = webrtc_rs_sdp::SessionDescription::unmarshal(&mut Cursor::new(bytes)).unwrap();
        group.bench_function("webrtc-rs sdp", |bencher| bencher.iter(|| black_box(&pion).marshal()));
    }

    /// Of the four only sipx-sdp answers.
    pub(crate) fn answer(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &'static [u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        let capabilities = sipx_sdp::Capabilities::g711("192.0.2.1".parse().unwrap(), 4000);
        group.bench_function("sipx-sdp, parse and answer and write", |bencher| {
            bencher.iter(|| {
                let offer = sipx_sdp::parse(black_box(text)).unwrap();
                sipx_sdp::answer(&offer, &capabilities).to_string_sdp()
            });
        });
    }
}

criterion_group!(benches, parse, write, answer);
criterion_main!(benches);
