//! One dialog of a call seen from its session: descriptions exchanged, what is under way, timers.
//!
//! Ringing telephones have one each before the call is answered, the answered call has one. What may be done to it:
//! ACK (here), PRACK ([`reliable_provisional`](super::reliable_provisional)), re-INVITE and UPDATE
//! ([`modification`](super::modification), [`received`](super::received)).

use super::{
    Common,
    modification::Modification,
    offer_answer::{OfferAnswer, Side},
    received::Received,
    reliable_provisional::{Outstanding, ReliableReceiver},
    session_timer::{self, Answered, Requested, SessionTimer},
};
use crate::{
    command::{Body, Reply},
    context::{Context, Owner, request_body},
    dialog::DialogHandle,
    handle::ForkHandle,
    header::{HeaderName, MinSe, SessionExpires},
    message::{Request, Response},
    transaction::ClientId,
    transport::Target,
};
use bytes::Bytes;
use std::time::Duration;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dialog: DialogHandle,
    pub(crate) fork: ForkHandle,
    pub(super) offer_answer: OfferAnswer,
    /// A 2xx of the peer held an offer: its ACK waits for the application's answer.
    pub(super) late: Option<Late>,
    /// Our re-INVITE or UPDATE.
    pub(super) ours: Option<Box<Modification>>,
    /// The peer's re-INVITE, UPDATE or PRACK with an offer.
    pub(super) theirs: Option<Box<Received>>,
    /// Reliable provisional responses to our INVITE.
    pub(super) reliable: ReliableReceiver,
    /// One of ours whose PRACK had not come when we answered.
    pub(super) outstanding: Option<Outstanding>,
    pub(super) timer: Option<SessionTimer>,
    /// The largest Min-SE heard in this dialog (RFC 4028 §7.4).
    pub(super) largest_minimum: Option<Duration>,
    /// Our last description and the peer's, for refreshes.
    pub(super) local: Option<Body>,
    pub(super) remote: Option<Body>,
}

/// An ACK not yet sent.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) invite: ClientId,
    pub(super) sequence: u32,
}

impl Session {
    pub(crate) fn new(dialog: DialogHandle, fork: ForkHandle, offer_answer: OfferAnswer) -> Self {
        Self {
            dialog,
            fork,
            offer_answer,
            late: None,
            ours: None,
            theirs: None,
            reliable: ReliableReceiver::default(),
            outstanding: None,
            timer: None,
            largest_minimum: None,
            local: None,
            remote: None,
        }
    }

    pub(super) fn note_remote(&mut self, body: Option<&Body>) {
        // Copied: a slice would keep the whole message in memory for as long as the call lasts.
        self.remote = body
            .map(|body| Body { bytes: Bytes::copy_from_slice(&body.bytes), ..body.clone() })
            .or(self.remote.take());
    }

    pub(super) fn note_local(&mut self, body: Option<&Body>) {
        if let Some(body) = body {
            self.local = Some(body.clone());
        }
    }

    /// Sends the ACK of a 2xx.
    pub(super) fn acknowledge(
        &self,
        common: &Common,
        cx: &mut Context,
        sequence: u32,
        answer: Option<&Body>,
    ) -> Option<(Request, Target)> {
        let dialog = cx.dialogs.get(self.dialog)?;
        let target = dialog.target().ok()?;
        let ack = request_body(dialog.ack(sequence).ok()?, answer).finish().ok()?;
        let options = common.face.send_options(false);
        let _ = cx.transactions.send_ack(ack.clone(), target.clone(), options, cx.now);
        Some((ack, target))
    }

    /// Sends the ACK that waited for an answer, and lets repeated 2xx get it again.
    pub(super) fn acknowledge_late(
        &mut self,
        common: &Common,
        cx: &mut Context,
        answer: Option<&Body>,
    ) -> bool {
        let Some(late) = self.late.take() else { return false };
        let ack = self.acknowledge(common, cx, late.sequence, answer);
        let tag = cx.dialogs.get(self.dialog).map(|dialog| dialog.id.remote_tag.clone()).unwrap_or_default();
        if let Some(client) = cx.clients.get_mut(&late.invite)
            && let Owner::Answered(aftermath) = &mut client.owner
        {
            aftermath.remember(&tag, ack);
        }
        true
    }

    /// Whether a client transaction is one of this session's.
    pub(super) fn owns(&self, client: ClientId) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.is(client)) || self.reliable.owns(client)
    }

    /// A request of this session was challenged and sent again.
    pub(super) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if let Some(ours) = &mut self.ours {
            ours.on_resent(old, new);
        }
        self.reliable.on_resent(old, new);
    }

    /// The session ends: nobody waits for its transactions any more.
    pub(super) fn forget(&mut self, common: &Common, cx: &mut Context) {
        if let Some(ours) = self.ours.take() {
            ours.forget(common, cx, self.dialog);
        }
        self.reliable.forget(cx);
        if let Some(theirs) = self.theirs.take() {
            theirs.refuse_at_the_end(cx);
        }
    }

    // -- session timers (RFC 4028)

    /// The server's side: writes the outcome of §9 into a 2xx.
    pub(super) fn with_session_timer(
        common: &Common,
        cx: &Context,
        request: &Request,
        mut reply: Reply,
    ) -> (Reply, Option<SessionTimer>) {
        let Some(policy) = &common.options.session_timer else { return (reply, None) };
        let requested = read_session_timer(request);
        let Answered::Timer { interval, refresher, require } = session_timer::answer(policy, &requested)
        else {
            return (reply, None);
        };
        let value = format!("{};refresher={}", interval.as_secs(), refresher);
        let _ = reply.headers.push(HeaderName::SessionExpires.as_str(), value);
        if require {
            let _ = reply.headers.push(HeaderName::Require.as_str(), "timer");
        }
        (reply, Some(SessionTimer::started(interval, session_timer::side(refresher, Side::Remote), cx.now)))
    }

    /// The client's side: what holds after a 2xx (§7.2).
    pub(super) fn conclude_session_timer(&mut self, common: &Common, cx: &Context, response: &Response) {
        let Some(policy) = &common.options.session_timer else { return };
        let requested = session_timer::request(policy, self.largest_minimum, self.timer.as_ref());
        let answered = read_session_timer(response);
        let answered = answered.interval.map(|interval| (interval, answered.refresher));
        self.timer = session_timer::conclude(&requested, answered, cx.now);
    }
}

/// `Session-Expires`, `Min-SE` and `Supported: timer` of a message. What cannot be read counts as absent.
pub(crate) fn read_session_timer(fields: &crate::header::Fields) -> Requested {
    let expires = fields.typed::<SessionExpires<'_>>().ok().flatten();
    let minimum = fields.typed::<MinSe<'_>>().ok().flatten();
    Requested {
        supported: fields.lists(HeaderName::Supported, "timer") || fields.lists(HeaderName::Require, "timer"),
        interval: expires.as_ref().map(|it| Duration::from_secs(u64::from(it.seconds))),
        refresher: expires.as_ref().and_then(SessionExpires::refresher),
        minimum: minimum.map(|it| Duration::from_secs(u64::from(it.seconds))),
    }
}

/// Writes `Session-Expires` and `Min-SE` of a request.
pub(crate) fn write_session_timer(
    builder: crate::message::RequestBuilder,
    requested: &Requested,
) -> crate::message::RequestBuilder {
    let value = requested.interval.map(|interval| match requested.refresher {
        Some(refresher) => format!("{};refresher={}", interval.as_secs(), refresher),
        None => interval.as_secs().to_string(),
    });
    builder
        .header_if(HeaderName::SessionExpires, value)
        .header_if(HeaderName::MinSe, requested.minimum.map(|minimum| minimum.as_secs()))
}
