//! Commands about published event state, both roles (RFC 3903).

use super::{Endpoint, requests::Stage};
use crate::{
    command::{Body, Headers, Publish, Reply},
    context::Timer,
    error::{Attitude, Misuse},
    event::{Event, RequestEnd},
    handle::{PublicationHandle, RequestHandle},
    header::{self, HeaderName, HeaderValue as _},
    limits::Limit,
    message::{Method, Request, StatusCode},
    publication::{
        Publication,
        compositor::{EventState, StateHandle},
    },
    registrar::binding::{RegistrationRefusal, granted},
};
use std::time::Instant;

impl Endpoint {
    /// Publishes event state, and keeps it published until [`Endpoint::unpublish`].
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many, [`Misuse::WrongState`] without a body.
    pub fn publish(&mut self, mut publish: Publish, now: Instant) -> Result<PublicationHandle, Misuse> {
        self.enter(now);
        let face = self.face(&publish.local);
        let cx = &mut self.cx;
        if self.publications.len() >= cx.config.limits.publications {
            cx.limit(Limit::Publications);
            return Err(Misuse::Limit(Limit::Publications));
        }
        if publish.body.is_none() {
            return Err(Misuse::WrongState);
        }
        let auth = cx.keep_credentials(std::mem::take(&mut publish.credentials));
        let (call_id, tag) = (cx.new_call_id(), cx.tag());
        let handle = self
            .publications
            .insert_with(|handle| Box::new(Publication::new(handle, publish, face, auth, call_id, tag)))
            .ok_or(Misuse::Limit(Limit::Publications))?;
        if let Some(publication) = self.publications.get_mut(handle) {
            publication.start(&mut self.cx);
        }
        self.settle();
        Ok(handle)
    }

    /// Publishes another state in place of the one before.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn publish_again(
        &mut self,
        publication: PublicationHandle,
        body: Body,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let held = self.publications.get_mut(publication).ok_or(Misuse::UnknownHandle)?;
        held.change(&mut self.cx, body);
        self.settle();
        Ok(())
    }

    /// Withdraws it. [`Event::PublicationEnded`] follows.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn unpublish(&mut self, publication: PublicationHandle, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        let held = self.publications.get_mut(publication).ok_or(Misuse::UnknownHandle)?;
        held.leave(&mut self.cx);
        self.settle();
        Ok(())
    }

    /// Lets a PUBLISH change what is known of a resource, in whatever canonical form the application keeps it. It is
    /// answered at once; [`Event::PublicationChanged`] tells what changed. Times are granted as the registrar's.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when the request has ended, [`Misuse::Method`] when it is no PUBLISH.
    pub fn accept_publication(
        &mut self,
        request: RequestHandle,
        resource: &str,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() != Method::Publish {
            return Err(Misuse::Method);
        }
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        let message = pending.message.clone();
        let reply = self.compose(&message, resource).unwrap_or_else(|refusal| *refusal);
        let _ = self.send_reply(request, &reply);
        self.end_request(request, RequestEnd::Answered(reply.status));
        self.settle();
        Ok(())
    }

    /// What is published of a resource in one package now.
    pub fn published<'a>(&'a self, resource: &'a str, package: &'a str) -> impl Iterator<Item = &'a Body> {
        self.compositor.of(resource, package).map(|state| &state.body)
    }

    /// §6: the steps of a compositor, in its order.
    fn compose(&mut self, message: &Request, resource: &str) -> Result<Reply, Box<Reply>> {
        let refuse = |code| Box::new(Reply::new(code));
        let event = message.get(HeaderName::Event).unwrap_or_default();
        let Ok(event) = header::Event::parse(event, Attitude::Lenient) else {
            return Err(refuse(StatusCode::BAD_EVENT));
        };
        let package = event.package.to_owned();
        let tags: Vec<&str> = message.get_all(HeaderName::SipIfMatch).map(str::trim).collect();
        let known = match tags.as_slice() {
            [] => None,
            [tag] => Some(
                self.compositor
                    .find(tag, resource, &package)
                    .ok_or_else(|| refuse(StatusCode::CONDITIONAL_REQUEST_FAILED))?,
            ),
            _ => return Err(refuse(StatusCode::BAD_REQUEST)),
        };
        let wished = message.expires().map_err(|_| refuse(StatusCode::BAD_REQUEST))?;
        let granted = granted(wished, &self.cx.config.registrar.expiry).map_err(|refusal| {
            let RegistrationRefusal::TooBrief { minimum } = refusal else {
                return refuse(StatusCode::BAD_REQUEST);
            };
            let headers = Headers::new().with(HeaderName::MinExpires.as_str(), minimum).unwrap_or_default();
            Box::new(Reply::new(StatusCode::INTERVAL_TOO_BRIEF).with_headers(headers))
        })?;
        let bytes = message.body_bytes();
        let content_type = message.get(HeaderName::ContentType).unwrap_or("application/octet-stream");
        // Copied: a slice would keep the whole message in memory.
        let body =
            (!bytes.is_empty()).then(|| Body::new(content_type, bytes::Bytes::copy_from_slice(&bytes)));
        let Some(granted) = granted else {
            return Ok(self.withdraw_state(known));
        };
        let expires_at = self.cx.now.checked_add(granted).unwrap_or(self.cx.now);
        let tag = self.cx.tag();
        let (handle, told) = match (known, body) {
            (Some(handle), body) => {
                self.compositor.renew(handle, tag.clone(), body.clone(), expires_at);
                (handle, body)
            }
            (None, None) => return Err(refuse(StatusCode::BAD_REQUEST)),
            (None, Some(body)) => {
                if self.compositor.len() >= self.cx.config.limits.publications {
                    self.cx.limit(Limit::Publications);
                    return Err(refuse(StatusCode::SERVICE_UNAVAILABLE));
                }
                let (resource, package) = (resource.into(), package.as_str().into());
                let state = EventState {
                    resource,
                    package,
                    tag: tag.as_str().into(),
                    body: body.clone(),
                    expires_at,
                };
                let handle = self.compositor.insert(state);
                (handle.ok_or_else(|| refuse(StatusCode::SERVICE_UNAVAILABLE))?, Some(body))
            }
        };
        self.cx.deadlines.set(Timer::EventState(handle), Some(expires_at));
        if told.is_some() {
            self.cx.event(Event::PublicationChanged { resource: resource.to_owned(), package, body: told });
        }
        let headers = Headers::new()
            .with(HeaderName::SipEtag.as_str(), tag)
            .and_then(|headers| headers.with(HeaderName::Expires.as_str(), granted.as_secs()));
        Ok(Reply::new(StatusCode::OK).with_headers(headers.unwrap_or_default()))
    }

    fn withdraw_state(&mut self, known: Option<StateHandle>) -> Reply {
        if let Some(handle) = known {
            self.forget_state(handle);
        }
        // A first PUBLISH that lasts no time at all changes nothing.
        let headers = Headers::new().with(HeaderName::Expires.as_str(), 0);
        Reply::new(StatusCode::OK).with_headers(headers.unwrap_or_default())
    }

    /// A published state ran out or was withdrawn.
    pub(super) fn forget_state(&mut self, handle: StateHandle) {
        self.cx.deadlines.set(Timer::EventState(handle), None);
        let Some(state) = self.compositor.remove(handle) else { return };
        let (resource, package) = (state.resource.into_string(), state.package.into_string());
        self.cx.event(Event::PublicationChanged { resource, package, body: None });
    }
}
