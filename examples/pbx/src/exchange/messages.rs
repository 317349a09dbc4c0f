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
use crate::route::Destination;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Messages {
    sent: BTreeMap<OutgoingHandle, RequestHandle>,
    /// How many answers each message still awaits, and the best so far.
    awaiting: BTreeMap<RequestHandle, (usize, Option<StatusCode>)>,
}

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
        let reaches = desk.setup.plan.find(number, &desk.directory);
        let planned = match Reach::begin(desk, from, None, reaches.clone()) {
            Ok((_, Attempt::Ring(planned, _))) => planned,
            Ok((_, Attempt::Serve(_))) => return answer(desk, request, StatusCode::NOT_ACCEPTABLE),
            Err(end) => {
                let status = StatusCode::new(end.status()).unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
                return answer(desk, request, status);
            }
        };
        let only_one = matches!(reaches, Destination::Trunk { .. });
        let mut sent = 0;
        for plan in planned.iter().take(if only_one { 1 } else { usize::MAX }) {
            if let Some(outgoing) = copy(desk, message, from, plan) {
                self.sent.insert(outgoing, request);
                sent += 1;
            }
        }
        if sent == 0 {
            return answer(desk, request, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        self.awaiting.insert(request, (sent, None));
    }

    /// A request of ours has ended; `true` when it was one of these.
    pub(super) fn completed(&mut self, desk: &mut Desk, outgoing: OutgoingHandle, outcome: &Outcome) -> bool {
        let Some(request) = self.sent.remove(&outgoing) else { return false };
        let status = match outcome {
            Outcome::Response(response) if !challenges(response.status()) => response.status(),
            _ => StatusCode::TEMPORARILY_UNAVAILABLE,
        };
        let Some((left, best)) = self.awaiting.get_mut(&request) else { return true };
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
        true
    }
}

fn challenges(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

fn copy(desk: &mut Desk, message: &Request, from: &Caller, plan: &Planned) -> Option<OutgoingHandle> {
    let place = desk.place_of(plan.peer.ip())?.ok()?;
    let identity = desk.identity(&from.number, &place, plan.protocol, plan.flow);
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
