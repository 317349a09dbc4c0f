//! INVITEs whose final response nobody wants any more: cancelled (RFC 3261 §9.1), or left behind by the end of their call.

use std::time::Instant;

use super::{
    ClientId, EndReason, Transactions,
    client::{Client, ClientMachine, Stage, first_via},
    client_invite::ClientInvite,
    machine::Context,
};
use crate::{
    error::Misuse,
    header::{HeaderName, Name},
    id::Id,
    message::{Method, Request},
};

/// Whether anybody still wants the final response of an INVITE.
#[derive(Debug)]
pub(super) enum Cancel {
    None,
    /// To be sent with these headers when a provisional response comes.
    Wanted(Box<[(String, String)]>),
    /// Its transaction.
    Sent(Id),
    /// Its user has left without a CANCEL, as a BYE leaves a re-INVITE behind.
    Abandoned,
}

impl Cancel {
    /// Whether a final response is waited for no longer than 64·T1.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(self, Self::Sent(_) | Self::Abandoned)
    }
}

impl Transactions {
    /// Cancels an INVITE (RFC 3261 §9.1). The CANCEL leaves with the first provisional response; before the INVITE itself
    /// has left, the transaction just ends. `headers` are added to the CANCEL, such as a Reason.
    ///
    /// # Errors
    /// [`Misuse::UnknownTransaction`], [`Misuse::Method`] for anything but an INVITE, [`Misuse::WrongState`] after a final
    /// response.
    pub fn cancel(
        &mut self,
        transaction: ClientId,
        headers: &[(Name<'_>, &str)],
        now: Instant,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let id = transaction.0;
        let client = self.clients.get_mut(id).ok_or(Misuse::UnknownTransaction)?;
        if client.method != Method::Invite {
            return Err(Misuse::Method);
        }
        let Stage::Sent(_, ClientMachine::Invite(state)) = &client.stage else {
            self.end_client(id, EndReason::Cancelled);
            return Ok(());
        };
        let is_proceeding = *state == ClientInvite::Proceeding;
        if !is_proceeding && !matches!(state, ClientInvite::Calling(_)) {
            return Err(Misuse::WrongState);
        }
        if !matches!(client.cancel, Cancel::None) {
            return Ok(());
        }
        let headers =
            headers.iter().map(|(name, value)| (name.as_str().to_owned(), (*value).to_owned())).collect();
        client.cancel = Cancel::Wanted(headers);
        // No other server is to be tried for a call that nobody wants.
        client.hops.clear();
        if is_proceeding {
            self.send_cancel(id);
        }
        Ok(())
    }

    /// Tells that nobody waits for the final response of an INVITE any more and no CANCEL is to be sent: its call has
    /// ended by a BYE. One that is proceeding ends after 64·T1, as a cancelled one does (RFC 3261 §9.1); a 2xx until then
    /// is still told. Nothing happens to other transactions.
    pub(crate) fn abandon(&mut self, transaction: ClientId, now: Instant) {
        self.advance(now);
        let id = transaction.0;
        let Some(client) = self.clients.get_mut(id).filter(|client| client.method == Method::Invite) else {
            return;
        };
        if matches!(client.cancel, Cancel::None) {
            client.cancel = Cancel::Abandoned;
            self.limit_patience(id);
        }
    }

    /// Nobody wants the final response: it is waited for 64·T1.
    fn limit_patience(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(flow) = client.flow else { return };
        let Stage::Sent(_, ClientMachine::Invite(state)) = &mut client.stage else { return };
        let mut cx = Context::new(&self.config.timers, flow.protocol.is_reliable(), false);
        *state = state.on_unwanted(&mut cx);
        let actions = cx.actions;
        self.act_for_client(id, &actions, None);
    }

    pub(super) fn wants_cancel(&self, id: Id) -> bool {
        self.clients.get(id).is_some_and(|client| matches!(client.cancel, Cancel::Wanted(_)))
    }

    /// The CANCEL of an INVITE (RFC 3261 §9.1): a transaction of its own with the INVITE's branch.
    pub(super) fn send_cancel(&mut self, id: Id) {
        let Some((request, flow)) = self.sent_request(id) else { return };
        let Some(via) = first_via(&request) else { return };
        let Ok(sequence) = request.cseq() else { return };
        let Some(client) = self.clients.get_mut(id) else { return };
        let Cancel::Wanted(headers) = std::mem::replace(&mut client.cancel, Cancel::None) else { return };
        let mut cancel = Request::builder(Method::Cancel, request.uri_text())
            .header(HeaderName::Via, via)
            .header(HeaderName::MaxForwards, 70)
            .copy(&request, HeaderName::Route)
            .copy(&request, HeaderName::From)
            .copy(&request, HeaderName::To)
            .copy(&request, HeaderName::CallId)
            .header(HeaderName::CSeq, format_args!("{} CANCEL", sequence.sequence));
        for (name, value) in &headers {
            cancel = cancel.header(name.as_str(), value);
        }
        let Ok(cancel) = cancel.finish() else { return };
        let nonce = client.nonce;
        let mut cx = Context::new(&self.config.timers, flow.protocol.is_reliable(), false);
        let machine = ClientMachine::start(false, &mut cx);
        let actions = cx.actions;
        let cancel_id = self.clients.insert(Client {
            stage: Stage::Sent(cancel.bytes().clone(), machine),
            method: Method::Cancel,
            nonce,
            flow: Some(flow),
            hop: None,
            hops: Vec::new(),
            place: 0,
            options: None,
            timers: [None; 2],
            cancel: Cancel::None,
            is_internal: true,
            is_free_to_choose: false,
        });
        self.join_carrier(cancel_id, flow);
        self.act_for_client(cancel_id, &actions, None);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.cancel = Cancel::Sent(cancel_id);
        self.limit_patience(id);
    }
}
