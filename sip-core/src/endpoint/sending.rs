//! Requests of the application, outside dialogs and inside those of calls (RFC 3261 §8.1, §12.2.1), and what
//! responses say of how peers see us (RFC 3581).

use super::Endpoint;
use crate::{
    auth::client::ChallengeRefusal,
    call::State,
    command::{Body, Headers, Party, SendRequest, Tagged},
    context::{Context, Owner, request_body, request_headers},
    error::Misuse,
    event::{Event, Outcome},
    handle::{AuthHandle, CallHandle, OutgoingHandle},
    header::{CSeq, HeaderName},
    io::Flow,
    limits::Limit,
    message::{Method, Request, RequestBuilder, Response, UriBuf},
    transaction::EndReason,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

/// A request of the application that is not completed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) call: Option<CallHandle>,
    pub(super) auth: Option<AuthHandle>,
    pub(super) sent_at: Instant,
}

impl Endpoint {
    /// Sends a request outside any dialog.
    ///
    /// # Errors
    /// [`Misuse::Method`] for methods that a dialog or a call is needed for; what the layers below refuse.
    pub fn send_request(&mut self, request: SendRequest, now: Instant) -> Result<OutgoingHandle, Misuse> {
        self.enter(now);
        if matches!(
            request.method,
            Method::Invite | Method::Ack | Method::Cancel | Method::Bye | Method::Prack | Method::Update
        ) {
            return Err(Misuse::Method);
        }
        let face = self.face(&request.local);
        let cx = &mut self.cx;
        if self.outgoing.len() >= cx.config.limits.requests {
            cx.limit(Limit::Requests);
            return Err(Misuse::Limit(Limit::Requests));
        }
        let head = Head {
            method: request.method.clone(),
            request_uri: &request.request_uri,
            from: &request.from,
            to: &request.to,
            routes: &request.routes,
            max_forwards: request.max_forwards,
            call_id: None,
        };
        let (builder, _) = head.write(cx);
        let mut builder = request_headers(builder, &request.headers);
        if request.method == Method::Options && request.headers.get(HeaderName::Accept).is_none() {
            builder = builder.header(HeaderName::Accept, "application/sdp");
        }
        let message = request_body(builder, request.body.as_ref()).finish()?;
        let options = face.send_options(request.contact);
        let auth = cx.keep_credentials(request.credentials);
        let now = cx.now;
        let handle = self.outgoing.insert_with(|_| Outgoing {
            method: request.method,
            call: None,
            auth,
            sent_at: now,
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Requests))?;
        if let Err(misuse) = cx.send(Owner::Outgoing(handle), message, request.target, options, auth, None) {
            self.outgoing.remove(handle);
            self.cx.forget_credentials(auth);
            return Err(misuse);
        }
        self.settle();
        Ok(handle)
    }

    /// Sends a request inside the dialog of a call: INFO, MESSAGE, OPTIONS, NOTIFY, REFER and the like.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] before the call has a dialog, [`Misuse::Method`] for methods
    /// that have commands of their own, [`Misuse::NotSupported`] for an INFO of a package the peer did not announce.
    pub fn request_in_dialog(
        &mut self,
        call: CallHandle,
        method: Method,
        headers: &Headers,
        body: Option<&Body>,
        now: Instant,
    ) -> Result<OutgoingHandle, Misuse> {
        self.enter(now);
        if matches!(
            method,
            Method::Invite
                | Method::Ack
                | Method::Cancel
                | Method::Bye
                | Method::Prack
                | Method::Update
                | Method::Register
        ) {
            return Err(Misuse::Method);
        }
        let cx = &mut self.cx;
        let held = self.calls.get_mut(call).ok_or(Misuse::UnknownHandle)?;
        let State::Established(established) = &held.state else { return Err(Misuse::WrongState) };
        let handle = established.session.dialog;
        let dialog = cx.dialogs.get_mut(handle).ok_or(Misuse::WrongState)?;
        if let Some(package) = headers.get(HeaderName::InfoPackage).filter(|_| method == Method::Info)
            && !dialog.takes_package(package.split(';').next().unwrap_or_default().trim())
        {
            return Err(Misuse::NotSupported("the INFO package"));
        }
        let target = dialog.target()?;
        let builder =
            dialog.request(method.clone())?.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let message = request_body(request_headers(builder, headers), body).finish()?;
        // Contact is for requests that refresh the target or make a usage (RFC 3261 table 2, RFC 6665 §3.1.1).
        let contact = matches!(method, Method::Subscribe | Method::Notify | Method::Refer | Method::Options);
        let options = held.common.face.send_options(contact);
        let now = cx.now;
        let outgoing =
            self.outgoing.insert_with(|_| Outgoing { method, call: Some(call), auth: None, sent_at: now });
        let outgoing = outgoing.ok_or(Misuse::Limit(Limit::Requests))?;
        let owner = Owner::InDialog(call, outgoing);
        if let Err(misuse) = cx.send(owner, message, target, options, held.common.auth, Some(handle)) {
            self.outgoing.remove(outgoing);
            return Err(misuse);
        }
        held.common.outgoing.push(outgoing);
        self.settle();
        Ok(outgoing)
    }

    pub(super) fn outgoing_response(
        &mut self,
        handle: OutgoingHandle,
        response: &Response,
        refusal: Option<ChallengeRefusal>,
    ) {
        if !response.status().is_final() {
            if response.status().code() > 100 {
                self.cx.event(Event::ResponseReceived { outgoing: handle, response: response.clone() });
            }
            return;
        }
        let response = Box::new(response.clone());
        let outcome = match refusal {
            Some(reason) => Outcome::NotAuthenticated { reason, response },
            None => Outcome::Response(response),
        };
        self.complete(handle, outcome);
    }

    pub(super) fn outgoing_failed(&mut self, handle: OutgoingHandle, failure: EndReason) {
        self.complete(handle, Outcome::Failed(failure));
    }

    pub(super) fn outgoing_abandoned(&mut self, handle: OutgoingHandle) {
        self.complete(handle, Outcome::DialogEnded);
    }

    fn complete(&mut self, handle: OutgoingHandle, outcome: Outcome) {
        let Some(outgoing) = self.outgoing.remove(handle) else { return };
        if let Some(call) = outgoing.call.and_then(|call| self.calls.get_mut(call)) {
            call.common.outgoing.retain(|own| *own != handle);
        }
        self.cx.forget_credentials(outgoing.auth);
        let answered = matches!(outcome, Outcome::Response(_) | Outcome::NotAuthenticated { .. });
        let round_trip = answered.then(|| self.cx.now.saturating_duration_since(outgoing.sent_at));
        self.cx.event(Event::RequestCompleted { outgoing: handle, outcome, round_trip });
    }

    /// Reads how the peer sees us from the Via he returned, and tells it when it is new.
    pub(super) fn note_sighting(&mut self, response: &Response, flow: Flow) {
        let Ok(via) = response.via() else { return };
        let told = via.host.address();
        let seen = match (via.received(), via.rport().flatten()) {
            (None, None) => return,
            (received, port) => {
                let Some(ip) = received.or(told) else { return };
                SocketAddr::new(ip, port.unwrap_or_else(|| via.port_or_default()))
            }
        };
        let differs = told != Some(seen.ip()) || via.port_or_default() != seen.port();
        if self.sightings.note(flow, seen, differs) {
            self.cx.event(Event::SeenAs { flow, address: seen });
        }
    }
}

/// The head of a request outside dialogs.
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    pub(crate) request_uri: &'a UriBuf,
    pub(crate) from: &'a Party,
    pub(crate) to: &'a Party,
    pub(crate) routes: &'a [String],
    pub(crate) max_forwards: u8,
    pub(crate) call_id: Option<&'a str>,
}

impl Head<'_> {
    /// Starts the request; its Call-ID comes with it.
    pub(crate) fn write(&self, cx: &mut Context) -> (RequestBuilder, String) {
        let tag = cx.tag();
        let call_id = match self.call_id {
            Some(call_id) => call_id.to_owned(),
            None => cx.new_call_id(),
        };
        let mut builder = Request::builder(self.method.clone(), self.request_uri);
        for route in self.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        let cseq = CSeq { sequence: 1, method: self.method.clone() };
        let builder = builder
            .header(HeaderName::MaxForwards, self.max_forwards)
            .header(HeaderName::From, Tagged(self.from, Some(&tag)))
            .header(HeaderName::To, Tagged(self.to, None))
            .header(HeaderName::CallId, &call_id)
            .header(HeaderName::CSeq, cseq)
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        (builder, call_id)
    }
}

/// How peers see us: the last view of each, of a bounded number of them.
#[derive(Debug)]
pub(super) struct Sightings {
    seen: BTreeMap<(SocketAddr, SocketAddr), SocketAddr>,
    order: VecDeque<(SocketAddr, SocketAddr)>,
    limit: usize,
}

impl Sightings {
    pub(super) const fn new(limit: usize) -> Self {
        Self { seen: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// Whether this is news: the first view of a peer that differs from what he was told, or a changed one.
    fn note(&mut self, flow: Flow, address: SocketAddr, differs: bool) -> bool {
        let key = (flow.local, flow.remote);
        match self.seen.get_mut(&key) {
            Some(known) if *known == address => false,
            Some(known) => {
                *known = address;
                true
            }
            None if !differs || self.limit == 0 => false,
            None => {
                if self.seen.len() >= self.limit
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.seen.remove(&oldest);
                }
                self.order.push_back(key);
                self.seen.insert(key, address);
                true
            }
        }
    }
}
