//! Transfers (RFC 5589) in all three roles: who asks for one, who follows, and whose call is taken over.

use super::call::Stage;
use super::{CallId, Event, Misuse, Transfers, UserAgent};
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{
    CallHandle, Reply, RequestHandle, SubscriptionEnd, SubscriptionHandle, Transfer,
};
use denwa_sip_core::message::{Scheme, UriBuf};
use std::time::Instant;

/// Names a transfer that a peer asked for. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(pub(crate) u64);

/// A transfer that the program was asked about.
#[derive(Debug)]
pub(super) struct Asked {
    request: RequestHandle,
    pub(super) call: CallId,
    to: UriBuf,
    replaces: Option<String>,
    by: Option<String>,
}

impl UserAgent {
    // ---- who asks

    /// Asks the peer of a call to call somebody else instead: a blind transfer. [`Event::TransferProgress`] tells how that
    /// goes; when it is answered there, the call is hung up here and [`Event::Transferred`] is told, and
    /// [`Event::TransferFailed`] when it comes to nothing: the call is as before then.
    ///
    /// # Errors
    /// When there is no such call, it is not up, or the address cannot be read.
    pub fn transfer(&mut self, call: CallId, address: &str, now: Instant) -> Result<(), Misuse> {
        let account = self.calls.get(&call).ok_or(Misuse::UnknownCall)?.account;
        let to = self.address(account, address)?;
        self.send_transfer(call, Transfer::to(to), now)
    }

    /// Joins the peers of two calls, and is out of both: an attended transfer. `call`'s peer is asked to take over our place
    /// in `other`, in which the transfer was talked over. Told as [`UserAgent::transfer`] does.
    ///
    /// # Errors
    /// When there is no such call, or not both are up.
    pub fn transfer_to(&mut self, call: CallId, other: CallId, now: Instant) -> Result<(), Misuse> {
        let third = self.calls.get(&other).ok_or(Misuse::UnknownCall)?;
        let handle =
            third.handle.filter(|_| third.stage == Stage::Up && call != other).ok_or(Misuse::NotNow)?;
        let has_server = third
            .account
            .and_then(|account| self.accounts.get(&account))
            .is_some_and(|state| state.account.server.is_some());
        // Through a server its name for him; without one the address he answers at himself (RFC 5589 §7.3).
        let contact = self.endpoint.call(handle).and_then(|call| call.remote_target);
        let name = third.remote_party.clone();
        let to = if has_server { name.or(contact) } else { contact.or(name) };
        let mut transfer = Transfer::to(to.ok_or(Misuse::NotNow)?);
        transfer.replaces = Some(handle);
        self.send_transfer(call, transfer, now)
    }

    fn send_transfer(&mut self, call: CallId, mut transfer: Transfer, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get(&call).ok_or(Misuse::UnknownCall)?;
        let handle = entry.handle.filter(|_| entry.stage == Stage::Up).ok_or(Misuse::NotNow)?;
        transfer.referred_by = entry
            .account
            .and_then(|account| self.accounts.get(&account))
            .map(super::registering::AccountState::party);
        let subscription = self.endpoint.transfer(handle, &transfer, now)?;
        self.transfers.insert(subscription, call);
        self.drain(now);
        Ok(())
    }

    pub(super) fn on_transfer_progress(
        &mut self,
        subscription: SubscriptionHandle,
        status: StatusCode,
        reason: &str,
        now: Instant,
    ) {
        let Some(call) = self.transfers.get(&subscription).copied() else { return };
        if self.calls.contains_key(&call) {
            self.tell(Event::TransferProgress { call, status });
        }
        if status.is_final() {
            let why = (!status.is_success()).then(|| format!("{} {reason}", status.code()));
            self.finish_transfer(subscription, why, now);
        }
    }

    pub(super) fn on_transfer_ended(
        &mut self,
        subscription: SubscriptionHandle,
        reason: &SubscriptionEnd,
        now: Instant,
    ) {
        let why = match reason {
            // It was accepted by a peer that sends no reports.
            SubscriptionEnd::Accepted => None,
            SubscriptionEnd::Refused(response) => Some(format!(
                "the other side refused with {} {}",
                response.status().code(),
                response.reason()
            )),
            _ => Some("the other side did not say how it went".to_owned()),
        };
        self.finish_transfer(subscription, why, now);
    }

    fn finish_transfer(&mut self, subscription: SubscriptionHandle, why: Option<String>, now: Instant) {
        let Some(call) = self.transfers.remove(&subscription) else { return };
        let Some(entry) = self.calls.get_mut(&call) else { return };
        match why {
            Some(why) => self.tell(Event::TransferFailed { call, why }),
            None => {
                entry.ended_here = true;
                let handle = entry.handle;
                self.tell(Event::Transferred { call });
                if let Some(handle) = handle {
                    // It may be ending already: the other side may be quicker.
                    let _ = self.endpoint.hang_up(handle, &Self::no_headers(), now);
                }
            }
        }
    }

    // ---- who follows

    pub(super) fn on_transfer_requested(
        &mut self,
        call: Option<CallHandle>,
        request: RequestHandle,
        to: UriBuf,
        replaces: Option<String>,
        by: Option<String>,
        now: Instant,
    ) {
        let call = call.and_then(|call| self.by_handle.get(&call).copied());
        // Only whom we talk with may send us on.
        let Some(call) = call.filter(|_| self.config.transfers != Transfers::Refuse) else {
            let _ = self.endpoint.respond(request, &Reply::new(StatusCode::DECLINE), now);
            return;
        };
        if matches!(to.as_uri().scheme(), Scheme::Other) {
            let reply = Reply::new(StatusCode::UNSUPPORTED_URI_SCHEME)
                .with_reason("Refer-To has to be a sip, sips or tel URI");
            let _ = self.endpoint.respond(request, &reply, now);
            return;
        }
        let id = TransferId(self.next_transfer);
        self.next_transfer = self.next_transfer.wrapping_add(1);
        let text = to.to_string();
        self.asked_transfers.insert(id, Asked { request, call, to, replaces, by: by.clone() });
        match self.config.transfers {
            Transfers::Ask => self.tell(Event::TransferAsked { call, transfer: id, to: text, by }),
            // What cannot be followed was answered.
            Transfers::Follow | Transfers::Refuse => drop(self.follow_transfer(id, now)),
        }
    }

    /// Does what the peer asked for: calls whom he named. [`Event::Transferring`] names the new call; how it goes is reported
    /// to the peer, who hangs up the old one.
    ///
    /// # Errors
    /// When there is no such transfer any more, there are too many calls, or no account to call from; the peer is told then.
    pub fn follow_transfer(&mut self, transfer: TransferId, now: Instant) -> Result<CallId, Misuse> {
        let now = self.advance(now);
        let asked = self.asked_transfers.remove(&transfer).ok_or(Misuse::UnknownTransfer)?;
        if self.calls.len() >= self.config.calls_limit {
            let _ = self.endpoint.respond(asked.request, &Reply::new(StatusCode::BUSY_HERE), now);
            self.drain(now);
            return Err(Misuse::TooManyCalls);
        }
        let account = self.calls.get(&asked.call).and_then(|call| call.account);
        let Some(account) = account.or_else(|| self.accounts.keys().next().copied()) else {
            // Whoever has no name calls nobody.
            let _ = self.endpoint.respond(asked.request, &Reply::new(StatusCode::DECLINE), now);
            self.drain(now);
            return Err(Misuse::UnknownAccount);
        };
        let local = self.local_identity(asked.call);
        let reports_to = self.endpoint.accept_transfer(asked.request, &local, now)?;
        let to = asked.to.to_string();
        let new = self.new_call(Some(account), true, now);
        if let Some(call) = self.calls.get_mut(&new) {
            call.reports_to = reports_to;
            call.replaces = asked.replaces;
            call.referred_by = asked.by;
        }
        self.tell(Event::Transferring { call: asked.call, new, to });
        self.set_out(new, account, asked.to, now);
        self.drain(now);
        Ok(new)
    }

    /// Refuses what the peer asked for.
    ///
    /// # Errors
    /// When there is no such transfer any more.
    pub fn refuse_transfer(&mut self, transfer: TransferId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let asked = self.asked_transfers.remove(&transfer).ok_or(Misuse::UnknownTransfer)?;
        self.endpoint.respond(asked.request, &Reply::new(StatusCode::DECLINE), now)?;
        self.drain(now);
        Ok(())
    }

    /// The call that a peer was to be connected to could not even be placed.
    pub(super) fn report_unplaced(&mut self, reports_to: Option<SubscriptionHandle>, now: Instant) {
        if let Some(reports_to) = reports_to {
            // Who asked may be gone.
            let _ = self.endpoint.report_transfer(reports_to, StatusCode::SERVICE_UNAVAILABLE, None, now);
        }
    }
}
