//! baresip of Debian, whose certificate is an RSA one, and a user agent of ours: DTLS-SRTP and ICE, each alone and both, with
//! RTCP beside RTP and on one port, calling and called; voice compared at both ends.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "real_peers/authority.rs"]
mod authority;
#[path = "matrix/ours.rs"]
#[allow(dead_code)]
mod ours;

use authority::Authority;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::hearing::Sentence;
use denwa_interop::{PATIENCE, Ports, Scratch, audio, require};
use denwa_sdp::{Codec, Ice, RtcpMux};
use denwa_sip_core::Protocol;
use ours::{Means, Ours, Security};

#[derive(Clone, Copy)]
struct Case {
    dtls: bool,
    ice: Option<Ice>,
    mux: bool,
    /// Whether we call.
    ours_calls: bool,
}

/// One call: what each end hears is what the other says, and it goes the way it is meant to.
fn call(case: Case) {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("secure-phones");
    let mut ports = Ports::block();
    let (theirs, ours) = (audio::signal(1, 1), audio::signal(2, 1));
    let mut parameters = String::new();
    if case.dtls {
        parameters.push_str(";mediaenc=dtls_srtp");
    }
    if case.ice.is_some() {
        parameters.push_str(";medianat=ice");
    }
    if case.mux {
        parameters.push_str(";x-rtcp_mux=yes");
    }
    let account = Account {
        answers: case.ours_calls,
        parameters: &parameters,
        ..Account::unregistered("peer", "127.0.0.1")
    };
    let phone = Phone::start(&account, scratch.path(), &mut ports, &Sentence::for_minutes(&theirs));
    phone.peer.wait_for("baresip is ready", PATIENCE);
    let means = Means {
        codecs: vec![Codec::pcma()],
        security: if case.dtls { Security::Dtls } else { Security::Plain },
        ice: case.ice,
        rtcp_mux: if case.mux { RtcpMux::Offered } else { RtcpMux::Off },
        for_browsers: false,
    };
    let mut us = Ours::start(&means, &Authority::new(), &ours);
    if case.ours_calls {
        us.call(format!("sip:peer@127.0.0.1:{}", phone.sip_port));
    } else {
        phone.dial(&us.uri(Protocol::Udp));
    }
    let label = format!("DTLS {}, ICE {:?}, one port {}", case.dtls, case.ice, case.mux);
    us.until_up(&label);
    us.until_heard(&format!("{label}: we"), Sentence::plain(&theirs));
    phone.wait_hears(&format!("{label}: baresip"), Sentence::plain(&ours));
    us.stop_after(&label, |events| {
        use denwa::media::Event;
        let told = |what: fn(&Event) -> bool| events.iter().any(|event| what(event));
        assert_eq!(told(|event| matches!(event, Event::Encrypted { .. })), case.dtls, "{label}: {events:#?}");
        assert_eq!(
            told(|event| matches!(event, Event::PathChosen { .. })),
            case.ice.is_some(),
            "{label}: {events:#?}"
        );
    });
}

const PLAIN: Case = Case { dtls: false, ice: None, mux: false, ours_calls: true };
const FULL: Option<Ice> = Some(Ice::Full);

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
    call(Case { ice: FULL, ..PLAIN });
    call(Case { ice: FULL, ours_calls: false, ..PLAIN });
}

#[test]
fn ice_and_dtls() {
    call(Case { ice: FULL, dtls: true, mux: true, ..PLAIN });
    call(Case { ice: FULL, dtls: true, ours_calls: false, ..PLAIN });
}

#[test]
fn the_lite_end() {
    call(Case { ice: Some(Ice::Lite), dtls: true, mux: true, ours_calls: false });
}
