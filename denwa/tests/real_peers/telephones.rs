//! baresip and Linphone as telephones of an exchange: registration, letter box, messages, calls, hold, blind transfers.
//!
//! baresip 1.0 knows no Replaces: attended transfers are made with today's (`attended`).

use crate::authority::Authority;
use crate::exchange::{Exchange, PASSWORD, PATIENCE};
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{Ports, Scratch, linphone, require, wait_until};
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::Headers;

#[test]
fn baresip_over_udp() {
    everything_with_baresip(Protocol::Udp);
}

#[test]
fn baresip_over_tcp() {
    everything_with_baresip(Protocol::Tcp);
}

#[test]
fn baresip_over_tls() {
    everything_with_baresip(Protocol::Tls);
}

fn everything_with_baresip(protocol: Protocol) {
    if !require("baresip") {
        return;
    }
    let transport = protocol.uri_token();
    let scratch = Scratch::new(&format!("baresip-features-{transport}"));
    let mut ports = Ports::block();
    let authority = Authority::new();
    let (ca, own) = authority.write(scratch.path(), "phone", &["127.0.0.1"]);
    let exchange = Exchange::start(&authority);
    let registrar = exchange.address(protocol).to_string();
    let parameters = &format!(";mwi=yes;outbound=\"sip:{registrar};transport={transport}\"");
    let account = Account { transport, parameters, ..Account::registered("phone", PASSWORD, &registrar) };
    let more = format!(
        "module_app mwi.so\nsip_certificate {}\nsip_cafile {}\nsip_verify_server yes\n",
        own.display(),
        ca.display()
    );
    // Silence: it hangs up by itself when its file has been played, so this one lasts.
    let phone = Phone::start_with(&account, scratch.path(), &mut ports, &vec![0; 8000 * 300], &more);

    // It registers, with its password. Its module for the lamp hangs for ever when the registration stands before its main
    // loop has turned once; whoever answers at its control port turns.
    phone.command("about", "");
    exchange.open();
    let binding = exchange.expect_binding();
    phone.wait_registered();
    assert_eq!(binding.flow.protocol, protocol);

    // Its lamp is told of two new messages and an old one.
    phone.peer.wait_for("Voice-Message: 2/1", PATIENCE);

    // Text to it and from it.
    exchange.send_text(&binding, "the kettle boils");
    phone.peer.wait_for("the kettle boils", PATIENCE);
    phone.send_text("take it off");
    exchange.expect_text("take it off");

    // It is called; each side holds and takes back.
    let call = exchange.call(&binding);
    phone.command("hold", "");
    exchange.expect_offer(true);
    phone.command("resume", "");
    exchange.expect_offer(false);
    exchange.change(call, 5, "sendonly");
    exchange.change(call, 6, "sendrecv");

    // It passes us on, blindly.
    phone.command("transfer", "sip:somebody@127.0.0.1");
    let (refer_to, replaces) = exchange.expect_transfer();
    assert_eq!((refer_to.as_str(), replaces), ("sip:somebody@127.0.0.1", None));
    exchange.expect_end(call);

    // We pass it on, blindly: it calls whom we say.
    let call = exchange.call(&binding);
    exchange.transfer(call, exchange.uri("somebody", protocol), None);
    let other = exchange.expect_call();
    exchange.expect_transferred();
    exchange.hang_up(other);
    // It may have hung up itself by now.
    let _ = exchange.act(move |endpoint, now| endpoint.hang_up(call, &Headers::new(), now));

    // It calls.
    phone.dial(&format!("sip:desk@{};transport={transport}", exchange.address(protocol)));
    let call = exchange.expect_call();
    phone.hang_up();
    exchange.expect_end(call);
    exchange.stop();
}

/// Linphone, which registers there as `phone` and lifts by itself.
pub(crate) fn linphone_at(exchange: &Exchange, scratch: &Scratch, ports: &mut Ports) -> linphone::Phone {
    let address = exchange.address(Protocol::Udp);
    let more = format!(
        "[proxy_0]\nreg_proxy=<sip:{address};transport=udp>\nreg_identity=sip:phone@{address}\nreg_expires=60\n\
         reg_sendregister=1\npublish=0\n\
         [auth_info_0]\nusername=phone\npasswd={PASSWORD}\nrealm=exchange\n"
    );
    let settings = linphone::Settings {
        name: "phone",
        codec: ("PCMA", 8000),
        encryption: "none",
        answers: true,
        more: &more,
    };
    linphone::Phone::start(&settings, scratch.path(), ports, &vec![0; 8000 * 60])
}

#[test]
fn linphone_registers_reads_talks_and_holds() {
    if !require("linphonec") {
        return;
    }
    let scratch = Scratch::new("linphone-features");
    let mut ports = Ports::block();
    let authority = Authority::new();
    let exchange = Exchange::start(&authority);
    let mut phone = linphone_at(&exchange, &scratch, &mut ports);
    exchange.open();
    let binding = exchange.expect_binding();

    exchange.send_text(&binding, "the kettle boils");
    phone.peer.wait_for("the kettle boils", PATIENCE);

    // It is called, holds and takes back.
    let said = |phone: &linphone::Phone, what: &str, times: usize| {
        assert!(wait_until(PATIENCE, || phone.peer.log().matches(what).count() >= times), "{what}");
    };
    let call = exchange.call(&binding);
    phone.command("pause");
    exchange.expect_offer(true);
    said(&phone, "is now paused", 1);
    phone.command("resume");
    exchange.expect_offer(false);
    said(&phone, "Media streams established", 2);
    exchange.hang_up(call);

    exchange.stop();
}
