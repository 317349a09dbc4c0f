//! What a flood of strangers has the exchange hold: counted, on virtual time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use denwa_sip_core::io::Input as SipInput;
use pbx::exchange::{Exchange, Input, Seed};

use crate::{config, seconds};

/// What strangers may send together: at once, and in a second.
const ADMITTED: [usize; 2] = [4_000, 2_000];
/// How long a challenge is kept, in seconds.
const KEPT: usize = 5;

/// Somebody who was never heard of asks for something that takes a password.
fn request(which: u32) -> (SocketAddr, String) {
    // So many networks that no ban of one says anything of the others.
    let address = IpAddr::from(Ipv4Addr::from(0x0b00_0000 + which * 257));
    let (method, more) = match which % 2 {
        0 => ("INVITE", format!("Contact: <sip:{address}>\r\n")),
        _ => {
            let made_up =
                "Digest username=\"1001\", realm=\"pbx.example\", nonce=\"x\", uri=\"sip:x\", response=\"0\"";
            ("REGISTER", format!("Authorization: {made_up}\r\n"))
        }
    };
    let text = format!(
        "{method} sip:1001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address}:5060;branch=z9hG4bK{which}\r\n\
         From: <sip:x@{address}>;tag={which}\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: {which}@{address}\r\nCSeq: 1 {method}\r\n\
         Max-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
    );
    (SocketAddr::new(address, 5060), text)
}

fn say_nothing(exchange: &mut Exchange) -> usize {
    std::iter::from_fn(|| exchange.poll_output()).count()
}

#[test]
fn what_strangers_have_the_exchange_hold_is_bounded_and_given_back() {
    let began = Instant::now();
    let mut exchange = Exchange::new(config("", Vec::new()), Seed([7; 32]), began);
    let idle = exchange.counts().sip;
    let local = SocketAddr::from(([192, 0, 2, 1], 5060));
    let (mut now, mut sent, mut most) = (began, 0, 0);
    while now < began + seconds(9) {
        now += Duration::from_millis(10);
        while exchange.poll_timeout().is_some_and(|deadline| deadline <= now) {
            exchange.handle_timeout(now);
            say_nothing(&mut exchange);
        }
        for _ in 0..25 {
            let (remote, text) = request(sent);
            sent += 1;
            let input = SipInput::Datagram { local, remote, payload: text.as_bytes() };
            exchange.handle_input(Input::Sip(input), now);
            say_nothing(&mut exchange);
        }
        most = most.max(exchange.counts().sip.server_transactions);
    }
    let [at_once, a_second] = ADMITTED;
    assert!(most > at_once + a_second, "the flood was a flood: {most}");
    assert!(most <= a_second * KEPT + at_once, "{most} transactions were held, of {sent} requests");
    while now < began + seconds(9 + KEPT as u64 + 1) {
        now = exchange.poll_timeout().map_or(now + seconds(1), |deadline| deadline.max(now));
        exchange.handle_timeout(now);
        say_nothing(&mut exchange);
    }
    assert_eq!(exchange.counts().sip, idle, "nothing of it is left");
}
