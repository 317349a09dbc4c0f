//! Calls that outlive the program: what is written down to end them, and how its successor does (RFC 3261 §12.2.1.1, §15.1.1).

use super::{Endpoint, sending::Outgoing};
use crate::{
    auth::client::Credentials,
    call::State,
    command::Headers,
    context::Owner,
    dialog::{Dialog, Farewell, FarewellMarks},
    error::Misuse,
    handle::{CallHandle, OutgoingHandle},
    header::{HeaderName, Name},
    limits::Limit,
    message::Method,
    transaction::SendOptions,
};
use std::time::Instant;

impl Endpoint {
    /// What a program that may be killed writes down of a call to have it ended at its next start: nothing before we may send
    /// BYE, then one for each dialog. It changes with the peer's Contact, and seldom else.
    #[must_use]
    pub fn farewells(&self, call: CallHandle) -> Vec<Farewell> {
        let Some(of) = self.calls.get(call) else { return Vec::new() };
        let dialogs = self.dialogs_to_part(call);
        dialogs.into_iter().filter_map(|dialog| Farewell::of(dialog, &of.common.face)).collect()
    }

    /// The same, with what they depend on; `None` when that is as it was `before`.
    #[must_use]
    pub fn farewells_since(
        &self,
        call: CallHandle,
        before: &FarewellMarks,
    ) -> Option<(FarewellMarks, Vec<Farewell>)> {
        let dialogs = self.dialogs_to_part(call);
        (!before.are_of(&dialogs)).then(|| (FarewellMarks::of(&dialogs), self.farewells(call)))
    }

    fn dialogs_to_part(&self, call: CallHandle) -> Vec<&Dialog> {
        // Whoever is called may refuse, and not end by BYE, what he has not answered (§15).
        let call = self.calls.get(call).filter(|call| !matches!(call.state, State::Incoming(_)));
        let dialogs = call.map(|call| call.dialogs()).unwrap_or_default().into_iter();
        let has_tag = |dialog: &&Dialog| !dialog.id.remote_tag.is_empty();
        dialogs.filter_map(|dialog| self.cx.dialogs.get(dialog)).filter(has_tag).collect()
    }

    /// Ends a dialog that a former program left behind. [`Event::RequestCompleted`](crate::event::Event::RequestCompleted)
    /// tells how it went: any 2xx and 481 mean that the peer holds it no more.
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many requests under way; what cannot be written or sent.
    pub fn bid_farewell(
        &mut self,
        farewell: &Farewell,
        headers: &Headers,
        credentials: Vec<Credentials>,
        now: Instant,
    ) -> Result<OutgoingHandle, Misuse> {
        self.enter(now);
        let cx = &mut self.cx;
        if self.outgoing.len() >= cx.config.limits.requests {
            cx.limit(Limit::Requests);
            return Err(Misuse::Limit(Limit::Requests));
        }
        let mut bye = farewell.bye().edit();
        if let Some(software) = &cx.config.software {
            bye = bye.append(HeaderName::UserAgent, software);
        }
        for (name, value) in headers.iter() {
            bye = bye.append(Name::from(name), value);
        }
        let bye = bye.finish()?;
        let options = SendOptions { sent_by: farewell.sent_by().cloned(), ..SendOptions::default() };
        let target = farewell.target(&cx.config.transactions.listeners);
        let auth = cx.keep_credentials(credentials);
        let sent_at = cx.now;
        let outgoing = Outgoing { method: Method::Bye, call: None, auth, sent_at };
        let handle = self.outgoing.insert_with(|_| outgoing).ok_or(Misuse::Limit(Limit::Requests))?;
        if let Err(misuse) = cx.send(Owner::Outgoing(handle), bye, target, options, auth, None) {
            self.outgoing.remove(handle);
            self.cx.forget_credentials(auth);
            return Err(misuse);
        }
        self.settle();
        Ok(handle)
    }
}
