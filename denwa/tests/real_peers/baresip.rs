//! baresip over TLS, in both directions, each checking the other's certificate, with sound.

use crate::agent::{Agent, PATIENCE};
use crate::authority::Authority;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{Ports, Scratch, audio, require};
use denwa_sip_core::Protocol;

#[test]
fn calls_over_tls_in_both_directions() {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("baresip-tls");
    let mut ports = Ports::block();
    let authority = Authority::new();
    let (ca, own) = authority.write(scratch.path(), "phone", &["127.0.0.1"]);
    let agent = Agent::start(&authority);
    let says = audio::signal(1, 3);
    let account = Account { transport: "tls", ..Account::unregistered("phone", "127.0.0.1") };
    let more =
        format!("sip_certificate {}\nsip_cafile {}\nsip_verify_server yes\n", own.display(), ca.display());
    let mut phone = Phone::start_with(&account, scratch.path(), &mut ports, &says, &more);
    phone.peer.wait_for("baresip is ready", PATIENCE);

    // It calls; what it says comes back to it.
    phone.dial(&format!("sip:desk@{};transport=tls", agent.address(Protocol::Tls)));
    // It hangs up when it has said everything.
    assert_eq!(agent.until_ended(), "the other side hung up");

    // We call.
    let account = agent.account("desk", "127.0.0.1", None);
    // It listens for TLS on the port after that for UDP.
    let call = agent.call(account, format!("sip:phone@127.0.0.1:{};transport=tls", phone.sip_port + 1));
    agent.until_answered(call);
    agent.hang_up(call);
    assert_eq!(agent.until_ended(), "hung up here");
    phone.peer.wait_for("session closed", PATIENCE);
    agent.stop();
    // The echo goes through the test's own thread, which may be late: how whole it is, is for other tests to judge.
    let loud = phone.heard().iter().filter(|sample| sample.unsigned_abs() > 1000).count();
    assert!(loud > 4000, "{loud} samples of the echo are loud");
}

#[test]
fn a_phone_whose_certificate_nobody_vouches_for_is_not_called() {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("baresip-stranger");
    let mut ports = Ports::block();
    let (_, own) = Authority::new().write(scratch.path(), "phone", &["127.0.0.1"]);
    let agent = Agent::start(&Authority::new());
    let account = Account { transport: "tls", ..Account::unregistered("phone", "127.0.0.1") };
    let more = format!("sip_certificate {}\n", own.display());
    let phone = Phone::start_with(&account, scratch.path(), &mut ports, &[0; 8000], &more);
    phone.peer.wait_for("baresip is ready", PATIENCE);
    let account = agent.account("desk", "127.0.0.1", None);
    agent.call(account, format!("sip:phone@127.0.0.1:{};transport=tls", phone.sip_port + 1));
    let ended = agent.until_ended();
    assert!(ended.starts_with("not reached"), "{ended}");
    agent.stop();
}
