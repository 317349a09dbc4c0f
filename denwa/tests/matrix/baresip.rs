//! The rows with baresip of Debian.

use crate::authority::Authority;
use crate::ours::{Means, Ours, PATIENCE, Security};
use denwa::media;
use denwa::ua::{Event, Keys};
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::hearing::Sentence;
use denwa_interop::{Ports, Scratch, audio, require};
use denwa_sdp::{Capability, Codec, Ice, RtcpMux};
use denwa_sip_core::Protocol;

/// What is done in the call, between two sentences.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    WeHold,
    ItHolds,
    WePress(Keys),
    ItPresses,
    /// A re-INVITE of ours, to this codec.
    WeChangeCodec(fn() -> Codec),
    WeTransfer,
    ItTransfers,
}

struct Row {
    transport: Protocol,
    security: Security,
    ice: bool,
    ours: fn() -> Codec,
    theirs: &'static str,
    /// How much of a sentence must come through unchanged.
    likeness: f64,
    we_call: bool,
    deed: Deed,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Protocol::Udp, Security::Plain, false, Codec::pcmu, "PCMU,PCMA",     0.97, true,  Deed::WeHold),
    row(Protocol::Udp, Security::Plain, false, Codec::pcma, "PCMA",          0.97, false, Deed::WePress(Keys::Events)),
    row(Protocol::Udp, Security::Plain, true,  Codec::gsm,  "GSM",           0.7,  true,  Deed::Nothing),
    row(Protocol::Udp, Security::Sdes,  false, Codec::pcmu, "PCMU",          0.97, false, Deed::ItHolds),
    row(Protocol::Udp, Security::Dtls,  true,  Codec::pcma, "PCMA",          0.97, true,  Deed::WePress(Keys::InBand)),
    row(Protocol::Tcp, Security::Plain, false, Codec::g722, "G722",          0.7,  true,  Deed::WePress(Keys::Info)),
    row(Protocol::Tcp, Security::Sdes,  false, Codec::pcma, "PCMA,PCMU",     0.97, true,  Deed::WeChangeCodec(Codec::pcmu)),
    row(Protocol::Tcp, Security::Dtls,  false, Codec::pcmu, "PCMU",          0.97, false, Deed::ItPresses),
    row(Protocol::Tcp, Security::Plain, false, || Codec::new("L16", 8_000), "L16/8000/1",    0.97, false, Deed::Nothing),
    row(Protocol::Tls, Security::Plain, false, Codec::pcma, "PCMA",          0.97, true,  Deed::WeTransfer),
    row(Protocol::Tls, Security::Sdes,  false, Codec::pcmu, "PCMU",          0.97, false, Deed::ItTransfers),
    row(Protocol::Tls, Security::Dtls,  true,  Codec::pcma, "PCMA",          0.97, false, Deed::WeHold),
];

#[allow(clippy::too_many_arguments)]
const fn row(
    transport: Protocol,
    security: Security,
    ice: bool,
    ours: fn() -> Codec,
    theirs: &'static str,
    likeness: f64,
    we_call: bool,
    deed: Deed,
) -> Row {
    Row { transport, security, ice, ours, theirs, likeness, we_call, deed }
}

impl Row {
    fn label(&self) -> String {
        let Self { transport, security, ice, theirs, we_call, deed, .. } = self;
        let (ice, who) = (if *ice { "ICE" } else { "no ICE" }, if *we_call { "calling" } else { "called" });
        format!("{transport} {security:?} {ice} {theirs} {who} {deed:?}")
    }

    fn means(&self) -> Means {
        let codecs = vec![(self.ours)()];
        let ice = self.ice.then_some(Ice::Full);
        Means { codecs, security: self.security, ice, rtcp_mux: RtcpMux::Offered, for_browsers: false }
    }
}

#[test]
fn every_row_with_baresip() {
    if !require("baresip") {
        return;
    }
    std::thread::scope(|scope| {
        let calls: Vec<_> = ROWS.iter().map(|row| scope.spawn(move || call(row))).collect();
        calls.into_iter().for_each(|call| call.join().unwrap());
    });
}

/// A sentence of a second, with half a second of silence around.
fn sentence(seed: u32) -> Vec<i16> {
    audio::signal(seed, 1)
}

fn call(row: &Row) {
    let label = row.label();
    let voices = [sentence(1), sentence(2), sentence(3)];
    let [ours, theirs, third] = [0, 1, 2].map(|it| Sentence { said: &voices[it], likeness: row.likeness });
    let scratch = Scratch::new("matrix");
    let authority = Authority::new();
    let mut us = Ours::start(&row.means(), &authority, ours.said);
    let mut ports = Ports::block();
    let mut parameters = String::new();
    parameters.push_str(match row.security {
        Security::Plain => "",
        Security::Sdes => ";mediaenc=srtp-mand",
        Security::Dtls => ";mediaenc=dtls_srtp",
    });
    if row.ice {
        parameters.push_str(";medianat=ice");
    }
    let transport = row.transport.via_token().to_ascii_lowercase();
    let account = Account {
        transport: &transport,
        codecs: row.theirs,
        answers: row.we_call,
        parameters: &parameters,
        ..Account::unregistered("peer", "127.0.0.1")
    };
    let (ca, own) = authority.write(scratch.path(), "peer", &["127.0.0.1"]);
    let tls =
        format!("sip_certificate {}\nsip_cafile {}\nsip_verify_server yes\n", own.display(), ca.display());
    let phone =
        Phone::start_with(&account, scratch.path(), &mut ports, &Sentence::for_minutes(theirs.said), &tls);
    phone.peer.wait_for("baresip is ready", PATIENCE);
    if row.we_call {
        // It listens for TLS on the port after that for UDP and TCP.
        let port = phone.sip_port + u16::from(row.transport == Protocol::Tls);
        us.call(format!("sip:peer@127.0.0.1:{port};transport={transport}"));
    } else {
        phone.dial(&us.uri(row.transport));
    }
    let call = us.until_up(&label);
    phone.peer.wait_for("Call established", PATIENCE);
    us.until_heard(&format!("{label}: we, at first"), theirs);
    phone.wait_hears(&format!("{label}: baresip, at first"), ours);

    let third_party = match row.deed {
        Deed::WeTransfer | Deed::ItTransfers => Some(Ours::start(&row.means(), &authority, third.said)),
        _ => None,
    };
    match row.deed {
        Deed::Nothing => {}
        Deed::WeHold => {
            us.act(move |agent, now| agent.hold(call, now)).unwrap();
            until_direction(&mut us, &label, false);
            us.act(move |agent, now| agent.resume(call, now)).unwrap();
            until_direction(&mut us, &label, true);
        }
        Deed::ItHolds => {
            phone.command("hold", "");
            until_direction(&mut us, &label, false);
            phone.command("resume", "");
            until_direction(&mut us, &label, true);
        }
        Deed::WePress(keys) => {
            let press = || us.act(move |agent, now| agent.press_by(call, "159#", keys, now)).unwrap();
            match keys {
                Keys::InBand => it_hears_keys(&phone, &label, press),
                _ => {
                    press();
                    let how = if keys == Keys::Info { "received DTMF:" } else { "received event:" };
                    for key in ['1', '5', '9', '#'] {
                        phone.peer.wait_for(&format!("{how} '{key}'"), PATIENCE);
                    }
                }
            }
        }
        Deed::ItPresses => {
            for key in ["1", "5", "9", "#"] {
                phone.command("sndcode", key);
                assert_eq!(us.until_keys(&label, 1), key, "{label}");
            }
        }
        Deed::WeChangeCodec(codec) => {
            let means = Means { codecs: vec![codec()], ..row.means() };
            us.act(move |agent, now| {
                let mut capability = Capability::telephone(means.codecs.clone());
                let sdes = denwa_sdp::EncryptionCapability::sdes(denwa_sdp::Encryption::Required);
                capability = capability.with_encryption(sdes);
                agent.change_codecs(call, capability, now)
            })
            .unwrap();
            let changed = us.until_media(&label, |event| match event {
                media::Event::CodecChanged { codec } => Some(codec.clone()),
                _ => None,
            });
            assert!(changed.starts_with(&codec().name.to_string()), "{label}: {changed}");
        }
        Deed::WeTransfer => {
            let to = third_party.as_ref().unwrap().uri(row.transport);
            us.act(move |agent, now| agent.transfer(call, &to, now)).unwrap();
            us.expect(&label, |event| matches!(event, Event::Transferred { .. }).then_some(()));
        }
        Deed::ItTransfers => {
            phone.command("transfer", &third_party.as_ref().unwrap().uri(row.transport));
            us.expect(&label, |event| matches!(event, Event::Transferring { .. }).then_some(()));
        }
    }

    match (row.deed, third_party) {
        (Deed::WeTransfer, Some(mut third_party)) => {
            third_party.until_up(&label);
            third_party.until_heard(&format!("{label}: the third"), theirs);
            phone.wait_hears(&format!("{label}: baresip, transferred"), third);
            third_party.stop(&label);
        }
        (Deed::ItTransfers, Some(mut third_party)) => {
            us.until_up(&label);
            third_party.until_up(&label);
            third_party.until_heard(&format!("{label}: the third"), ours);
            us.until_heard(&format!("{label}: we, transferred"), third);
            third_party.stop(&label);
        }
        _ => {
            us.until_heard(&format!("{label}: we, at last"), theirs);
            // Its recorder ends with a hold; the rows with Chromium have both ends hear after one.
            if !matches!(row.deed, Deed::WeHold | Deed::ItHolds) {
                phone.wait_hears(&format!("{label}: baresip, at last"), ours);
            }
        }
    }
    us.stop(&label);
}

/// Until media flow both ways, or do not any more.
fn until_direction(us: &mut Ours, label: &str, both: bool) {
    us.until_media(label, |event| match event {
        media::Event::DirectionChanged { sends, receives } => ((*sends && *receives) == both).then_some(()),
        _ => None,
    });
}

/// Tones into which a busy machine puts a hole are other keys: they are pressed again.
fn it_hears_keys(phone: &Phone, label: &str, press: impl Fn()) {
    let hears = || {
        let (_, samples) = phone.newest_recording();
        let mut keys = String::new();
        let mut detector = Detector::new(audio::RATE);
        detector.listen(&samples, |event| {
            if let DtmfEvent::Begun { digit, .. } = event {
                keys.push(digit);
            }
        });
        keys.contains("159#")
    };
    let heard = (0..6).any(|_| {
        press();
        denwa_interop::wait_until(PATIENCE / 6, hears)
    });
    assert!(heard, "{label}: baresip did not hear the keys");
}
