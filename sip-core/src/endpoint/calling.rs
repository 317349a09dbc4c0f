//! Commands about calls. Each finds the call, lets its state act, and says what was wrong with the command.

use super::{Endpoint, sending::Head};
use crate::{
    call::{
        Call, Common, Outgoing, Session, State, cancelled_here,
        offer_answer::{OfferAnswer, Side},
        session_timer, write_session_timer,
    },
    command::{Body, Headers, InDialogRouting, PlaceCall, ReliableProvisional, Reply},
    context::{Context, Owner, request_body, request_headers},
    dialog::Way,
    error::Misuse,
    event::CallEnd,
    handle::{CallHandle, ForkHandle},
    header::HeaderName,
    io::Flow,
    limits::Limit,
    message::{Method, Request, StatusCode, UriBuf},
    transaction::{ClientId, SendOptions},
    transport::Target,
};
use std::{sync::Arc, time::Instant};

/// Where a call stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSnapshot {
    /// `Call-ID`.
    pub call_id: String,
    /// Whether it was placed from here.
    pub is_outgoing: bool,
    /// Whether anything was heard of the other side, be it a 100 alone.
    pub is_proceeding: bool,
    /// Whether it was answered.
    pub is_established: bool,
    /// Our tag, once there is a dialog.
    pub local_tag: Option<String>,
    /// The peer's tag, once there is a dialog.
    pub remote_tag: Option<String>,
    /// The peer's Contact, once there is a dialog.
    pub remote_target: Option<UriBuf>,
    /// The flow the peer was last heard on.
    pub flow: Option<Flow>,
}

impl Endpoint {
    /// Places a call.
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many calls; what cannot be written or sent.
    pub fn place_call(&mut self, place: PlaceCall, now: Instant) -> Result<CallHandle, Misuse> {
        self.enter(now);
        let face = Arc::new(self.face(&place.local));
        let cx = &mut self.cx;
        if self.calls.len() >= cx.config.limits.calls || cx.dialogs.len() >= cx.config.limits.dialogs {
            cx.limit(Limit::Calls);
            return Err(Misuse::Limit(Limit::Calls));
        }
        if cx.is_shutting_down {
            return Err(Misuse::WrongState);
        }
        let (request, call_id) = write_invite(cx, &place)?;
        let auth = cx.keep_credentials(place.credentials);
        let way = way_of_client(place.options.in_dialog, &place.target, &place.routes);
        let give_up_at = place.options.ring_timeout.and_then(|after| cx.now.checked_add(after));
        let mut offer_answer = OfferAnswer::new();
        let _ = offer_answer.invite(Side::Local, place.body.is_some());
        let target = place.target.clone();
        let send = face.send_options(true);
        let mut sent: Result<(), Misuse> = Ok(());
        let handle = self.calls.insert_with(|handle| {
            let invite = send_invite(cx, handle, &request, place.target, send, auth);
            let state = match invite {
                Ok(invite) => State::Outgoing(Box::new(Outgoing {
                    invite,
                    request,
                    target,
                    way,
                    offer_answer,
                    forks: Vec::new(),
                    sequence: 0,
                    next_fork: 0,
                    cancelled: None,
                    give_up_at,
                    offer: place.body,
                    largest_minimum: None,
                    intervals_refused: 0,
                    is_proceeding: false,
                })),
                Err(misuse) => {
                    sent = Err(misuse);
                    State::over(CallEnd::ShutDown)
                }
            };
            let common = Common {
                handle,
                options: place.options,
                face,
                auth,
                call_id: call_id.into(),
                requests: Vec::new(),
                outgoing: Vec::new(),
            };
            Box::new(Call { common, state })
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Calls))?;
        if let Err(misuse) = sent {
            self.calls.remove(handle);
            self.cx.forget_credentials(auth);
            return Err(misuse);
        }
        self.with_call(handle, |_, _| Ok(()))?;
        Ok(handle)
    }

    /// Sends a provisional response, 101 to 199, perhaps with early media.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when it is no unanswered call from the peer, [`Misuse::Status`].
    pub fn ring(&mut self, call: CallHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.ring_with(call, reply, false, now)
    }

    /// The same, repeated until the peer acknowledges it by PRACK (RFC 3262). A body in it counts: it is the answer, or
    /// the offer when the INVITE had none.
    ///
    /// # Errors
    /// As [`Endpoint::ring`]; [`Misuse::NotSupported`] when the peer does not know the extension,
    /// [`Misuse::OfferAnswer`] when a body is due.
    pub fn ring_reliably(&mut self, call: CallHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.ring_with(call, reply, true, now)
    }

    fn ring_with(
        &mut self,
        call: CallHandle,
        reply: &Reply,
        reliably: bool,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Incoming(it) => it.ring(common, cx, reply, reliably),
                other => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Answers a call with 2xx. The body is the answer, or the offer when the INVITE had none.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when it is no unanswered call from the peer,
    /// [`Misuse::Status`], [`Misuse::OfferAnswer`] when the body that is due is missing.
    pub fn answer(&mut self, call: CallHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Incoming(it) => it.answer(common, cx, reply),
                other => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Refuses a call with 3xx to 6xx.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when it is no unanswered call from the peer,
    /// [`Misuse::Status`].
    pub fn refuse(&mut self, call: CallHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        if reply.status.code() < 300 {
            return Err(Misuse::Status);
        }
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Incoming(it) => {
                    (it.refuse(common, cx, reply, CallEnd::RefusedHere(reply.status)), Ok(()))
                }
                other => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Cancels a call that is not yet answered. It ends when the peer's final response is there; should he answer at
    /// the same moment, he is hung up.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when it is no unanswered call from here.
    pub fn cancel(&mut self, call: CallHandle, headers: &Headers, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Outgoing(it) => (it.cancel(common, cx, headers, cancelled_here(headers)), Ok(())),
                other => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Ends a call wherever it stands: CANCEL, BYE, or 603 to a call that is not answered.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn hang_up(&mut self, call: CallHandle, headers: &Headers, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            let reason = headers.get(HeaderName::Reason).map(str::to_owned);
            let by = super::routing::by_us();
            let end = match &call.state {
                State::Outgoing(_) => CallEnd::Cancelled { by, reason },
                State::Incoming(_) => CallEnd::RefusedHere(StatusCode::DECLINE),
                State::Established(_) | State::Over(_) => CallEnd::HungUp { by, reason },
            };
            call.hang_up(cx, headers, end, StatusCode::DECLINE);
            Ok(())
        })
    }

    /// Offers a new session by re-INVITE: hold, resume, other codecs. `None` asks the peer for an offer.
    /// [`Event::Modified`](crate::event::Event::Modified) or
    /// [`Event::OfferAborted`](crate::event::Event::OfferAborted) follows; glare is settled by itself.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] before the call is answered, [`Misuse::OfferAnswer`] when
    /// another change is under way.
    pub fn reinvite(
        &mut self,
        call: CallHandle,
        body: Option<Body>,
        headers: Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Established(mut it) => {
                    let result = it.modify(common, cx, Method::Invite, body, headers);
                    (State::Established(it), result)
                }
                other => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// The same by UPDATE (RFC 3311), which the peer has to answer at once; also before the call is answered, once
    /// its first offer is (then of the only early dialog; see [`Endpoint::update_fork`]).
    ///
    /// # Errors
    /// As [`Endpoint::reinvite`].
    pub fn update(
        &mut self,
        call: CallHandle,
        body: Option<Body>,
        headers: Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.update_session(call, None, body, headers, now)
    }

    /// [`Endpoint::update`] of one early dialog of a call that rings several telephones.
    ///
    /// # Errors
    /// As [`Endpoint::reinvite`].
    pub fn update_fork(
        &mut self,
        call: CallHandle,
        fork: ForkHandle,
        body: Option<Body>,
        headers: Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.update_session(call, Some(fork), body, headers, now)
    }

    fn update_session(
        &mut self,
        call: CallHandle,
        fork: Option<ForkHandle>,
        body: Option<Body>,
        headers: Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        self.with_session(call, fork, |session, common, cx| {
            session.modify(common, cx, Method::Update, body, headers)
        })
    }

    /// Answers the open offer of a call, in whatever message the answer is due: 2xx to re-INVITE, UPDATE or PRACK,
    /// ACK, PRACK. Gives the offer that is due when the peer's re-INVITE had none.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when nothing is open, [`Misuse::OfferAnswer`] when the body
    /// that is due is missing.
    pub fn answer_offer(
        &mut self,
        call: CallHandle,
        body: Option<Body>,
        headers: &Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.answer_offer_of(call, None, body, headers, now)
    }

    /// [`Endpoint::answer_offer`] in one early dialog of a call that rings several telephones.
    ///
    /// # Errors
    /// As [`Endpoint::answer_offer`].
    pub fn answer_offer_of(
        &mut self,
        call: CallHandle,
        fork: Option<ForkHandle>,
        body: Option<Body>,
        headers: &Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Established(mut it) => {
                    let result = it.answer_offer(common, cx, body, headers);
                    (State::Established(it), result)
                }
                State::Outgoing(mut it) => {
                    let answer = |session: &mut Session| session.answer_offer(common, cx, body, headers);
                    let result = it.fork_mut(fork).and_then(answer).map(drop);
                    (State::Outgoing(it), result)
                }
                State::Incoming(mut it) => {
                    let result = it.session.answer_offer(common, cx, body, headers).map(drop);
                    (State::Incoming(it), result)
                }
                other @ State::Over(_) => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Refuses the peer's re-INVITE or UPDATE; the session stays as it was.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when nothing can be refused, [`Misuse::Status`].
    pub fn refuse_offer(&mut self, call: CallHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        self.with_session(call, None, |session, common, cx| session.refuse_offer(common, cx, reply))
    }

    /// Acts on the session of a call: the answered one, the callee's, or that of one telephone that rings.
    fn with_session(
        &mut self,
        call: CallHandle,
        fork: Option<ForkHandle>,
        act: impl FnOnce(&mut Session, &Common, &mut Context) -> Result<(), Misuse>,
    ) -> Result<(), Misuse> {
        self.with_call(call, |call, cx| {
            call.try_step(cx, |state, common, cx| match state {
                State::Established(mut it) => {
                    let result = act(&mut it.session, common, cx);
                    (State::Established(it), result)
                }
                State::Incoming(mut it) => {
                    let result = act(&mut it.session, common, cx);
                    (State::Incoming(it), result)
                }
                State::Outgoing(mut it) => {
                    let result = it.fork_mut(fork).and_then(|session| act(session, common, cx));
                    (State::Outgoing(it), result)
                }
                other @ State::Over(_) => (other, Err(Misuse::WrongState)),
            })
        })
    }

    /// Where a call stands; `None` once it has ended.
    #[must_use]
    pub fn call(&self, call: CallHandle) -> Option<CallSnapshot> {
        let call = self.calls.get(call)?;
        let dialog = call.dialogs().first().and_then(|dialog| self.cx.dialogs.get(*dialog));
        Some(CallSnapshot {
            call_id: call.common.call_id.to_string(),
            is_outgoing: match &call.state {
                State::Outgoing(_) => true,
                State::Incoming(_) => false,
                State::Established(_) | State::Over(_) => dialog.is_some_and(|dialog| dialog.is_ours),
            },
            is_proceeding: match &call.state {
                State::Outgoing(outgoing) => outgoing.is_proceeding,
                State::Incoming(_) | State::Established(_) | State::Over(_) => true,
            },
            is_established: matches!(call.state, State::Established(_)),
            local_tag: dialog.map(|dialog| dialog.id.local_tag.to_string()),
            remote_tag: dialog.map(|dialog| dialog.id.remote_tag.to_string()),
            remote_target: dialog.map(|dialog| dialog.remote_target.clone()),
            flow: dialog.map(|dialog| dialog.flow),
        })
    }

    /// Every call, in the order of their slots.
    pub fn calls(&self) -> impl Iterator<Item = CallHandle> + '_ {
        self.calls.handles()
    }

    fn with_call(
        &mut self,
        handle: CallHandle,
        act: impl FnOnce(&mut Call, &mut Context) -> Result<(), Misuse>,
    ) -> Result<(), Misuse> {
        let call = self.calls.get_mut(handle).ok_or(Misuse::UnknownHandle)?;
        let result = act(call, &mut self.cx);
        if result.is_ok() {
            // A command may have set a deadline.
            call.step(&mut self.cx, |state, _, _| state);
        }
        self.settle();
        result
    }
}

fn send_invite(
    cx: &mut Context,
    handle: CallHandle,
    request: &Request,
    target: Target,
    options: SendOptions,
    auth: Option<crate::handle::AuthHandle>,
) -> Result<ClientId, Misuse> {
    cx.send(Owner::Invite(handle), request.clone(), target, options, auth, None)
}

fn write_invite(cx: &mut Context, place: &PlaceCall) -> Result<(Request, String), Misuse> {
    let head = Head {
        method: Method::Invite,
        request_uri: &place.request_uri,
        from: &place.from,
        to: &place.to,
        routes: &place.routes,
        max_forwards: place.options.max_forwards,
        call_id: place.call_id.as_deref(),
    };
    let (builder, call_id) = head.write(cx);
    let mut builder = cx.capabilities_of(builder, &place.options);
    if place.options.reliable_provisional == ReliableProvisional::Required {
        builder = builder.header(HeaderName::Require, "100rel");
    }
    if let Some(policy) = &place.options.session_timer {
        builder = write_session_timer(builder, &session_timer::request(policy, None, None));
    }
    let request = request_body(request_headers(builder, &place.headers), place.body.as_ref()).finish()?;
    Ok((request, call_id))
}

fn way_of_client(routing: InDialogRouting, target: &Target, routes: &[String]) -> Way {
    match (routing, target) {
        (InDialogRouting::Contact, _) => Way::Target,
        (InDialogRouting::Flow, _) => Way::Flow,
        (InDialogRouting::Automatic, Target::Uri(_)) => Way::Target,
        (InDialogRouting::Automatic, Target::Address { .. } | Target::Flow(_)) if routes.is_empty() => {
            Way::Flow
        }
        (InDialogRouting::Automatic, _) => Way::Target,
    }
}
