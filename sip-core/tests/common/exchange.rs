//! The usual turns of an exchange: send, hear, answer, see the end.

use super::{B, Bench, address, own_request};
use denwa_sip_core::{
    Method, Protocol, Request, StatusCode,
    transaction::{ClientId, EndReason, SendOptions, ServerId, TransactionEvent},
    transport::Target,
};

pub(crate) const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport";

pub(crate) fn new_request(bench: &mut Bench) -> (ServerId, Request) {
    match bench.event() {
        TransactionEvent::Request { transaction, request, .. } => (transaction, request),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn to_b() -> Target {
    Target::address(Protocol::Udp, address(B))
}

pub(crate) fn send(bench: &mut Bench, method: Method, target: Target) -> ClientId {
    let id =
        bench.layer.send_request(own_request(method), target, SendOptions::default(), bench.now).unwrap();
    bench.drain();
    id
}

pub(crate) fn respond(bench: &mut Bench, id: ServerId, request: &Request, status: u16) {
    let response = request.response(StatusCode::new(status).unwrap()).to_tag("tb").finish().unwrap();
    bench.layer.respond(id, &response, bench.now).unwrap();
    bench.drain();
}

pub(crate) fn response_status(bench: &mut Bench) -> u16 {
    match bench.event() {
        TransactionEvent::Response { response, .. } => response.status().code(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ended(bench: &mut Bench) -> EndReason {
    match bench.event() {
        TransactionEvent::ClientEnded { reason, .. } | TransactionEvent::ServerEnded { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}
