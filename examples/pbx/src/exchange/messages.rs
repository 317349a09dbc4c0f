//! Short messages between telephones (RFC 3428): passed on to every telephone of an extension, or to a neighbour, and
//! answered with the best of what they answer. Nothing is kept for those that are not there.

use std::collections::BTreeMap;

use denwa_sip_core::endpoint::{Body, Outcome, OutgoingHandle, Party, Reply, RequestHandle, SendRequest};
use denwa_sip_core::message::{Request, UriBuf};
use denwa_sip_core::{HeaderName, Method, StatusCode};

use super::desk::Desk;
use super::invitation::Caller;
use super::planned::Planned;
use super::reach::{Attempt, Reach};
use super::whereabouts::{NoWay, Place};
use crate::route::Destination;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Messages {
    sent: BTreeMap<OutgoingHandle, RequestHandle>,
    /// How many answers each message still awaits, and the best so far.
    awaiting: BTreeMap<RequestHandle, (usize, Option<StatusCode>)>,
    /// Copies that go out when the way to their telephone is known.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    request: RequestHandle,
    message: Request,
    from: Caller,
    plan: Planned,
}

/// The most copies that wait for a way; a message beyond them is refused.
const MOST_HELD: usize = 1_000;

impl Messages {
    /// Passes a message of somebody who may send one.
    pub(super) fn pass(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        message: &Request,
        from: &Caller,
        number: &str,
    ) {
        let reaches = desk.find(number);
        let planned = match Reach::begin(desk, from, None, reaches.clone()) {
            Ok((_, Attempt::Ring(planned, _))) => planned,
            Ok((_, Attempt::Serve(_) | Attempt::Announce(_))) => {
                return answer(desk, request, StatusCode::NOT_ACCEPTABLE);
            }
            Err(end) => {
                let status = StatusCode::new(end.status()).unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
                return answer(desk, request, status);
            }
        };
        let only_one = matches!(reaches, Destination::Trunk { .. });
        let mut sent = 0;
        for plan in planned.into_iter().take(if only_one { 1 } else { usize::MAX }) {
            match desk.place_of(plan.peer.ip()) {
                None if self.held.len() < MOST_HELD => {
                    self.held.push(Held { request, message: message.clone(), from: from.clone(), plan });
                    sent += 1;
                }
                Some(Ok(place)) => {
                    if let Some(outgoing) = copy(desk, message, from, &plan, &place) {
                        self.sent.insert(outgoing, request);
                        sent += 1;
                    }
                }
                None | Some(Err(NoWay)) => {}
            }
        }
        if sent == 0 {
            return answer(desk, request, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        self.awaiting.insert(request, (sent, None));
    }

    /// The way to a peer became known, or that there is none.
    pub(super) fn routed(&mut self, desk: &mut Desk) {
        for held in std::mem::take(&mut self.held) {
            let Some(place) = desk.place_of(held.plan.peer.ip()) else {
                self.held.push(held);
                continue;
            };
            let sent = place.ok().and_then(|place| copy(desk, &held.message, &held.from, &held.plan, &place));
            match sent {
                Some(outgoing) => drop(self.sent.insert(outgoing, held.request)),
                None => self.settle(desk, held.request, StatusCode::TEMPORARILY_UNAVAILABLE),
            }
        }
    }

    /// A request of ours has ended; `true` when it was one of these.
    pub(super) fn completed(&mut self, desk: &mut Desk, outgoing: OutgoingHandle, outcome: &Outcome) -> bool {
        let Some(request) = self.sent.remove(&outgoing) else { return false };
        let status = match outcome {
            Outcome::Response(response) if !challenges(response.status()) => response.status(),
            _ => StatusCode::TEMPORARILY_UNAVAILABLE,
        };
        self.settle(desk, request, status);
        true
    }

    /// One of the telephones a message went to has answered with `status`.
    fn settle(&mut self, desk: &mut Desk, request: RequestHandle, status: StatusCode) {
        let Some((left, best)) = self.awaiting.get_mut(&request) else { return };
        *left = left.saturating_sub(1);
        // A message that one telephone shows has arrived.
        if best.is_none_or(|best| status.code() < best.code()) {
            *best = Some(status);
        }
        let (left, best) = (*left, best.unwrap_or(status));
        if left == 0 || best.is_success() {
            self.awaiting.remove(&request);
            answer(desk, request, best);
        }
    }
}

fn challenges(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

fn copy(
    desk: &mut Desk,
    message: &Request,
    from: &Caller,
    plan: &Planned,
    place: &Place,
) -> Option<OutgoingHandle> {
    let identity = desk.identity(&from.number, place, plan.protocol, plan.flow);
    let host =
        identity.advertised.as_ref().map_or_else(|| desk.setup.realm.clone(), |told| told.host.to_string());
    let uri = UriBuf::sip(&from.number, host).build();
    let sender = if from.name.is_empty() { Party::new(uri) } else { Party::named(from.name.clone(), uri) };
    let mut request =
        SendRequest::new(Method::Message, sender, Party::new(plan.to.clone()), plan.target.clone());
    request.request_uri = plan.request_uri.clone();
    request.routes.clone_from(&plan.routes);
    request.credentials.clone_from(&plan.credentials);
    request.local = identity;
    request.body = (!message.body().is_empty()).then(|| {
        let content_type = message.get(HeaderName::ContentType).unwrap_or("text/plain");
        Body::new(content_type, message.body_bytes())
    });
    desk.endpoint.send_request(request, desk.now).ok()
}

fn answer(desk: &mut Desk, request: RequestHandle, status: StatusCode) {
    // A sender who has gone meanwhile needs no answer.
    let _ = desk.endpoint.respond(request, &Reply::new(status), desk.now);
}
