//! Attended transfers (RFC 5589 §7 with RFC 3891) with today's baresip, PJSIP and Linphone. Each is in turn the one who is
//! passed on, the one who passes on, and the one whom somebody that was passed on calls.

use crate::authority::Authority;
use crate::exchange::{Exchange, PASSWORD, PATIENCE};
use crate::telephones::linphone_at;
use denwa_interop::{Peer, Ports, Scratch, linphone, python_with, require, wait_until};
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::{Binding, CallEnd, CallHandle, Event, Headers};
use std::io::Write;
use std::process::{ChildStdin, Command};

#[test]
fn baresip_of_today() {
    python("baresip", "baresip_phone.py");
}

#[test]
fn pjsip() {
    python("pjsua2", "pjsip_phone.py");
}

/// A telephone that lifts by itself and does what a REFER asks of it.
trait Telephone {
    /// Calls a second party while it has a call.
    fn consult(&mut self, exchange: &Exchange, whom: &str) -> CallHandle;

    /// Passes the peer of its call before last on to the peer of its last call, of so many that it has had.
    fn pass_on(&mut self, calls: usize);
}

struct Python {
    _peer: Peer,
    input: ChildStdin,
}

impl Python {
    fn order(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Telephone for Python {
    fn consult(&mut self, exchange: &Exchange, whom: &str) -> CallHandle {
        self.order(&format!("dial {whom}"));
        exchange.expect_call()
    }

    fn pass_on(&mut self, calls: usize) {
        self.order(&format!("attend {} {}", calls - 2, calls - 1));
    }
}

fn python(module: &str, script: &str) {
    let Some(python) = python_with(module) else { return };
    let scratch = Scratch::new(&format!("attended-{module}"));
    let mut ports = Ports::block();
    let exchange = Exchange::start(&Authority::new());
    exchange.open();
    let mut command = Command::new(python);
    command
        // What it imports stands beside it, and is to stand there alone.
        .arg("-B")
        .arg(format!("{}/tests/real_peers/{script}", env!("CARGO_MANIFEST_DIR")))
        .args([&exchange.address(Protocol::Udp).to_string(), "phone", PASSWORD])
        .args([ports.take(2).to_string(), ports.take(20).to_string()])
        .current_dir(scratch.path())
        .env("HOME", scratch.path());
    let (peer, input) = Peer::start_with_input(module, scratch.path(), &mut command);
    let binding = exchange.expect_binding();
    peer.wait_for("registered", PATIENCE);
    let mut telephone = Python { _peer: peer, input };
    in_every_role(&exchange, &binding, &mut telephone);
    // It has the last BYE to answer: it outlives the exchange.
    exchange.stop();
    drop(telephone);
}

impl Telephone for linphone::Phone {
    fn consult(&mut self, exchange: &Exchange, whom: &str) -> CallHandle {
        let holding = |it: &Self| it.peer.log().matches("is now paused").count();
        let before = holding(self);
        self.command("pause");
        exchange.expect_offer(true);
        assert!(wait_until(PATIENCE, || holding(self) > before), "it does not hold");
        let talking = |it: &Self| it.peer.log().matches("Media streams established").count();
        let before = talking(self);
        self.command(&format!("call {whom}"));
        let call = exchange.expect_call();
        assert!(wait_until(PATIENCE, || talking(self) > before), "it does not see that it was answered");
        call
    }

    fn pass_on(&mut self, calls: usize) {
        self.command(&format!("transfer {} --to-call {calls}", calls - 1));
    }
}

#[test]
fn linphone() {
    if !require("linphonec") {
        return;
    }
    let scratch = Scratch::new("attended-linphone");
    let mut ports = Ports::block();
    let exchange = Exchange::start(&Authority::new());
    exchange.open();
    let mut phone = linphone_at(&exchange, &scratch, &mut ports);
    let binding = exchange.expect_binding();
    in_every_role(&exchange, &binding, &mut phone);
    exchange.stop();
}

/// The exchange plays the other two: whom it calls at its own address is at its desk too.
fn in_every_role(exchange: &Exchange, binding: &Binding, phone: &mut dyn Telephone) {
    // We consult somebody, and ask the telephone to take our place in that call: it calls him with Replaces.
    let call = exchange.call(binding);
    let consulting = exchange.call_to(exchange.uri("other", Protocol::Udp), exchange.own_target());
    exchange.transfer(call, exchange.uri("other", Protocol::Udp), Some(consulting));
    let new = exchange.expect_replaced(|_| true);
    exchange.until_gone(consulting);
    exchange.expect_transferred();
    exchange.end(call);
    exchange.end(new);

    // It consults somebody, and asks us to take its place in that call.
    let call = exchange.call(binding);
    let whom = exchange.uri("other", Protocol::Udp);
    let consulted = phone.consult(exchange, whom.as_str());
    let id = exchange.act(move |endpoint, _| endpoint.call(consulted).map(|it| it.call_id)).unwrap();
    phone.pass_on(4);
    let replaces = exchange.follow_transfer();
    assert!(replaces.starts_with(&id.to_string()), "{replaces} names another call than {id}");
    let new = exchange.expect_replaced(|call| call == consulted);
    // It ends the call itself when it is told that all went well.
    exchange.until_gone(call);
    exchange.end(new);

    // Somebody to whom we were talking is replaced by us: it follows at once.
    let call = exchange.call(binding);
    let new = exchange.call_in_place_of(call, binding);
    exchange.until_gone(call);
    exchange.end(new);
}

impl Exchange {
    /// A call of ours that another takes the place of; that other.
    fn expect_replaced(&self, which: impl Fn(CallHandle) -> bool) -> CallHandle {
        self.expect(|event| match event {
            Event::CallEnded { call, reason: CallEnd::Replaced { by } } if which(*call) => Some(*by),
            _ => None,
        })
    }

    /// Hangs up, unless the telephone has, and waits until nothing is left of the call.
    fn end(&self, call: CallHandle) {
        let _ = self.act(move |endpoint, now| endpoint.hang_up(call, &Headers::new(), now));
        self.until_gone(call);
    }
}
