//! baresip of Debian, whose certificate is an RSA one, and a user agent of ours: DTLS-SRTP and ICE, each alone and both, with
//! RTCP beside RTP and on one port, calling and called; voice compared at both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../ice/tests/common/mod.rs"]
mod servers;

use denwa::Seed;
use denwa::media::{self, IceConfig, Identity, PlayOut};
use denwa::tokio::{DriverConfig, Listening, SignallingDriver};
use denwa::ua::{Account as OurAccount, Command, Event, UserAgent, UserAgentConfig};
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{Ports, Scratch, audio, require};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice, RtcpMux};
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use servers::{fresh_seed, ip};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Act = Box<dyn FnOnce(&mut UserAgent, Instant) + Send>;

#[derive(Clone, Copy)]
struct Case {
    dtls: bool,
    ice: bool,
    lite: bool,
    mux: bool,
    /// Whether we call.
    ours_calls: bool,
}

/// One call: what each end heard is what the other said, and it went the way it was meant to.
fn call(case: Case) {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("secure-phones");
    let mut ports = Ports::block();
    let (theirs, ours) = (audio::signal(1, 6), audio::signal(2, 6));
    let mut parameters = String::new();
    if case.dtls {
        parameters.push_str(";mediaenc=dtls_srtp");
    }
    if case.ice {
        parameters.push_str(";medianat=ice");
    }
    if case.mux {
        parameters.push_str(";x-rtcp_mux=yes");
    }
    let account = Account {
        name: "peer",
        user: "peer",
        password: "none",
        registrar: "127.0.0.1",
        transport: "udp",
        codecs: "PCMA",
        answers: case.ours_calls,
        register_every: 0,
        parameters: &parameters,
    };
    // It hangs up when it has nothing more to say.
    let says = [theirs.as_slice(), &vec![0; 8000 * 20]].concat();
    let mut phone = Phone::start(&account, scratch.path(), &mut ports, &says);
    phone.peer.wait_for("baresip is ready", Duration::from_secs(10));

    let mut capability = Capability::telephone([Codec::pcma()]);
    capability.rtcp_mux = if case.mux { RtcpMux::Offered } else { RtcpMux::Off };
    let identity = case.dtls.then(|| Identity::generate().unwrap());
    if let Some(identity) = &identity {
        let dtls = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
        capability = capability.with_encryption(dtls);
    }
    let mut ice = None;
    if case.ice {
        capability = capability.with_ice(if case.lite { Ice::Lite } else { Ice::Full });
        let mut config = if case.lite { IceConfig::lite() } else { IceConfig::default() };
        config.address = Some(ip("127.0.0.1"));
        ice = Some(config);
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let make = move |listening: &[Listening], now: Instant| {
        let listeners = listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
        let mut config = UserAgentConfig::new(listeners);
        config.capability = capability;
        config.play_out = PlayOut::Fixed(Duration::from_millis(300));
        config.since_1970 = since_1970;
        config.ice = ice;
        config.identity = identity;
        UserAgent::new(config, Seed(fresh_seed()), now)
    };
    let mut config = DriverConfig::new(vec!["udp:127.0.0.1:0".parse().unwrap()]);
    config.media = None;
    let (tell, told) = mpsc::channel();
    let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event))).unwrap();
    let here = driver.listening().iter().find(|it| it.protocol == Protocol::Udp).unwrap().address;
    let act = |act: Act| {
        driver.handle().command(Command::new(act)).unwrap();
    };
    let peer = format!("sip:peer@127.0.0.1:{}", phone.sip_port);
    act(Box::new(move |agent, now| {
        let account = agent.add_account(OurAccount::new("denwa", "127.0.0.1"));
        if case.ours_calls {
            agent.call(account, &peer, now).unwrap();
        }
    }));
    if !case.ours_calls {
        phone.dial(&format!("sip:denwa@{here}"));
    }
    let (mut said, mut heard, mut events) = (0, Vec::new(), Vec::new());
    let give_up = Instant::now() + Duration::from_secs(60);
    while said < ours.len() + 8000 {
        assert!(Instant::now() < give_up, "{events:?}\n{}", phone.peer.log());
        let left = give_up.saturating_duration_since(Instant::now());
        let event = told.recv_timeout(left).unwrap_or_else(|_| panic!("{events:?}\n{}", phone.peer.log()));
        match event {
            Event::Incoming { call, .. } => act(Box::new(move |agent, now| agent.answer(call, now).unwrap())),
            Event::Sound { call, samples } => {
                let piece: Vec<i16> =
                    (said..said + samples.len()).map(|place| ours.get(place).copied().unwrap_or(0)).collect();
                heard.extend(samples);
                // Nothing is lost while the path is looked for.
                let secure = events.iter().any(|it| matches!(it, media::Event::Encrypted { .. }));
                let routed = events.iter().any(|it| matches!(it, media::Event::PathChosen { .. }));
                if (secure || !case.dtls) && (routed || !case.ice) {
                    said += piece.len();
                    act(Box::new(move |agent, _| agent.say(call, &piece).unwrap_or_default()));
                }
            }
            Event::Media { event, .. } => events.push(event),
            Event::Ended { .. } => panic!("the call ended early: {event:?} {events:?}\n{}", phone.peer.log()),
            _ => {}
        }
    }
    let report = events.iter().rev().find_map(|event| match event {
        media::Event::Report(report) => Some(report.clone()),
        _ => None,
    });
    println!("{:?}", report);
    act(Box::new(|agent, now| agent.shut_down(now)));
    let there = phone.heard();
    let log = phone.peer.log();
    for (whose, sent, received) in [("baresip", &ours, &there), ("ours", &theirs, &heard)] {
        let verdict = audio::compare(sent, received);
        // A wrong key or way lets nothing through; threads that wait for a busy processor cost some of it.
        let good = verdict.is_some_and(|it| it.gaps < 0.2 && it.correlation > 0.9);
        assert!(good, "{whose}: {verdict:?} {events:?}\n{log}");
    }
}

const PLAIN: Case = Case { dtls: false, ice: false, lite: false, mux: false, ours_calls: true };

#[test]
fn dtls_calling() {
    call(Case { dtls: true, ..PLAIN });
}

#[test]
fn dtls_called() {
    call(Case { dtls: true, ours_calls: false, ..PLAIN });
}

#[test]
fn dtls_on_one_port() {
    call(Case { dtls: true, mux: true, ..PLAIN });
    call(Case { dtls: true, mux: true, ours_calls: false, ..PLAIN });
}

#[test]
fn ice_calling_and_called() {
    call(Case { ice: true, ..PLAIN });
    call(Case { ice: true, ours_calls: false, ..PLAIN });
}

#[test]
fn ice_and_dtls() {
    call(Case { ice: true, dtls: true, mux: true, ..PLAIN });
    call(Case { ice: true, dtls: true, ours_calls: false, ..PLAIN });
}

#[test]
fn the_lite_end() {
    call(Case { ice: true, lite: true, dtls: true, mux: true, ours_calls: false });
}
