//! The media driver: legs opened, configured and joined as a call does it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    time::Duration,
};

use denwa::{
    bridge::{Command, Connection, Event, LegId, LegSpec},
    media::{PayloadFormat, StreamKeys, StreamParameters},
    tokio::{MediaDriver, MediaDriverConfig},
};
use denwa_codecs::registry;
use denwa_rtp::srtp::{Keying, MasterKey, Suite};

use super::load::{Cost, G711, Phones, Relay, resident, thread_time};

/// What the two legs of each call agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// PCMU at one end, PCMA at the other.
    Converting,
    /// SRTP at one end, plain at the other.
    Protected,
    /// PCMU at one end, G.729 at the other.
    ToG729,
    /// PCMU at one end, Opus at the other.
    ToOpus,
}

pub(crate) fn relay(phones: &Phones, kind: Kind) -> Cost {
    let before = resident("self");
    let (tell, told) = mpsc::channel();
    let driver =
        MediaDriver::start(MediaDriverConfig::with_workers(1), move |event| drop(tell.send(event))).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let count = phones.calls as u64 * 2;
    for leg in 0..count {
        let spec = LegSpec {
            group: leg / 2,
            rtp: any,
            rtcp: any,
            silence_after: Duration::from_secs(30),
            cname: "bench".into(),
        };
        driver.command(Command::Open { leg: LegId(leg), spec });
    }
    let mut legs = vec![any; phones.calls * 2];
    for _ in 0..count {
        match told.recv_timeout(Duration::from_secs(10)).unwrap() {
            Event::Opened { leg, rtp, .. } => legs[leg.0 as usize] = rtp,
            other => panic!("{other:?}"),
        }
    }
    let keying = Keying::new(MasterKey::new(Suite::Aes128CmHmacSha1Tag80, &[7; 30]).unwrap());
    let theirs = match kind {
        Kind::Plain | Kind::Protected => PayloadFormat::pcmu(),
        Kind::Converting => PayloadFormat::pcma(),
        Kind::ToG729 => PayloadFormat::new(18, "G729", 8000),
        Kind::ToOpus => PayloadFormat::new(111, "opus", 48000),
    };
    let formats = [PayloadFormat::pcmu(), theirs];
    let speech = voice(&formats[1]);
    for leg in 0..count {
        let format = formats[leg as usize % 2].clone();
        let mut stream = StreamParameters::plain(phones.address(), &[format]);
        if kind == Kind::Protected && leg % 2 == 0 {
            stream.keys = Some(StreamKeys { outbound: keying.clone(), inbound: keying.clone() });
        }
        driver.command(Command::Configure { leg: LegId(leg), stream: Box::new(stream) });
    }
    for leg in (0..count).step_by(2) {
        driver.command(Command::Connect { leg: LegId(leg), to: Connection::Leg(LegId(leg + 1)) });
    }
    let used = || thread_time("denwa-media-0");
    let keying = (kind == Kind::Protected).then_some(&keying);
    let payload_types = [0, formats[1].payload_type];
    let ticks = [160, formats[1].clock_rate_hz / 50];
    let payloads = [G711, &speech];
    let mut cost = phones.talk(&Relay { legs, used: &used, keying, payload_types, ticks, payloads });
    cost.kilobytes_per_call = Some((resident("self") - before) / phones.calls as f64);
    driver.stop();
    cost
}

/// 20 ms of a tone in this codec.
fn voice(format: &PayloadFormat) -> Vec<u8> {
    let entry = registry::find(&format.name, format.clock_rate_hz).unwrap();
    let mut encoder = entry.encoder("").unwrap();
    let samples: Vec<i16> =
        (0..entry.sample_rate_hz / 50).map(|n| ((n as f64 * 0.3).sin() * 9000.0) as i16).collect();
    let mut payload = vec![0; encoder.max_payload_bytes(samples.len())];
    let length = encoder.encode(&samples, &mut payload).unwrap();
    payload.truncate(length);
    payload
}
