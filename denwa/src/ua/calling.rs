//! What a program can do with calls: place, answer, refuse, hold, press keys, speak, hang up.

use super::call::Stage;
use super::placing::Question;
use super::{AccountId, CallId, Ending, Misuse, UserAgent};
use crate::driver::Ask;
use crate::evidence::Evidence;
use crate::media::{MediaSession, StreamReport};
use denwa_sdp::{Capability, State};
use denwa_sip_core::endpoint::{Body, Reply};
use denwa_sip_core::message::UriBuf;
use denwa_sip_core::{Protocol, StatusCode};
use std::time::Instant;

impl UserAgent {
    /// Calls `address` (`sip:200@pbx.example`, or `200` for a number at the account's domain) from an account.
    ///
    /// # Errors
    /// When the address cannot be read, or there are too many calls.
    pub fn call(&mut self, account: AccountId, address: &str, now: Instant) -> Result<CallId, Misuse> {
        let now = self.advance(now);
        if !self.accounts.contains_key(&account) {
            return Err(Misuse::UnknownAccount);
        }
        if self.calls.len() >= self.config.calls_limit {
            return Err(Misuse::TooManyCalls);
        }
        let callee = self.address(Some(account), address)?;
        let id = self.new_call(Some(account), true, now);
        self.set_out(id, account, callee, now);
        self.drain(now);
        Ok(id)
    }

    /// An address as people write it: with or without `sip:`, or a number at the account's domain.
    pub(super) fn address(&self, account: Option<AccountId>, address: &str) -> Result<UriBuf, Misuse> {
        let text = match address {
            with_scheme if with_scheme.contains(':') => with_scheme.to_owned(),
            with_host if with_host.contains('@') => format!("sip:{with_host}"),
            number => {
                let state = account.and_then(|account| self.accounts.get(&account));
                let account = &state.ok_or(Misuse::UnknownAccount)?.account;
                let transport = match account.transport {
                    Some(Protocol::Tcp) if account.server.is_none() => ";transport=tcp",
                    Some(Protocol::Tls) if account.server.is_none() => ";transport=tls",
                    _ => "",
                };
                format!("sip:{number}@{}{transport}", account.domain)
            }
        };
        UriBuf::parse(&text).map_err(|error| Misuse::BadAddress(error.to_string()))
    }

    /// Finds the way to whom a new call is for.
    pub(super) fn set_out(&mut self, id: CallId, account: AccountId, callee: UriBuf, now: Instant) {
        let server = self.accounts.get(&account).and_then(|state| state.server());
        if let Some(call) = self.calls.get_mut(&id) {
            call.callee = Some(callee.clone());
            call.remote_party = Some(callee.clone());
        }
        match server {
            Some(server) => self.ask(id, Question::Route(server.address), Ask::Route(server.address)),
            None => self.locate(id, &callee, now),
        }
    }

    /// Answers a call that came in.
    ///
    /// # Errors
    /// When there is no such call, or it is not waiting for an answer.
    pub fn answer(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        if entry.is_outgoing || entry.stage != Stage::Calling || entry.ports.is_some() {
            return Err(Misuse::NotNow);
        }
        let local = entry.local_host();
        self.open_ports(call, local, now);
        self.drain(now);
        Ok(())
    }

    /// Refuses a call that came in, for instance with 486 or 603.
    ///
    /// # Errors
    /// When there is no such call, or it was answered.
    pub fn refuse(&mut self, call: CallId, status: StatusCode, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        let handle = entry.handle.filter(|_| !entry.is_outgoing).ok_or(Misuse::NotNow)?;
        self.endpoint.refuse(handle, &Reply::new(status), now)?;
        self.drain(now);
        Ok(())
    }

    /// Sends a caller elsewhere (302): the exchange, or his telephone, calls there instead.
    ///
    /// # Errors
    /// When there is no such call, it was answered, or the address cannot be read.
    pub fn deflect(&mut self, call: CallId, address: &str, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get(&call).ok_or(Misuse::UnknownCall)?;
        let handle = entry.handle.filter(|_| !entry.is_outgoing).ok_or(Misuse::NotNow)?;
        let to = self.address(entry.account, address)?;
        let contact = Self::no_headers().with("Contact", format!("<{to}>"))?;
        let reply = Reply::new(StatusCode::MOVED_TEMPORARILY).with_headers(contact);
        self.endpoint.refuse(handle, &reply, now)?;
        self.drain(now);
        Ok(())
    }

    /// Ends a call, whatever its state.
    ///
    /// # Errors
    /// When there is no such call.
    pub fn hang_up(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        entry.ended_here = true;
        match entry.handle {
            Some(handle) => self.endpoint.hang_up(handle, &Self::no_headers(), now)?,
            None => self.end(call, Ending::CancelledHere, now),
        }
        self.drain(now);
        Ok(())
    }

    /// Puts the peer on hold: it is to be silent.
    ///
    /// # Errors
    /// When there is no such call, or it is not up, or a change is under way.
    pub fn hold(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        self.change(call, MediaSession::hold, now)
    }

    /// Takes the peer off hold.
    ///
    /// # Errors
    /// As [`UserAgent::hold`].
    pub fn resume(&mut self, call: CallId, now: Instant) -> Result<(), Misuse> {
        self.change(call, MediaSession::resume, now)
    }

    /// Changes what we can do (codecs, encryption) in a call, and offers it to the peer.
    ///
    /// # Errors
    /// As [`UserAgent::hold`].
    pub fn change_codecs(
        &mut self,
        call: CallId,
        capability: Capability,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.change(call, |media| media.set_capability(capability), now)
    }

    fn change(
        &mut self,
        call: CallId,
        what: impl FnOnce(&mut MediaSession),
        now: Instant,
    ) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        let (Some(handle), Some(media)) =
            (entry.handle.filter(|_| entry.stage == Stage::Up), &mut entry.media)
        else {
            return Err(Misuse::NotNow);
        };
        if media.state() != State::Stable {
            return Err(Misuse::NotNow);
        }
        what(media);
        let offer = media.offer().map_err(|_| Misuse::NotNow)?;
        self.endpoint.reinvite(handle, Some(Body::sdp(offer)), Self::no_headers(), now)?;
        self.drain(now);
        Ok(())
    }

    /// Says something in a call: as many samples as there are, at the rate of the configuration.
    ///
    /// # Errors
    /// When there is no such call, or it has no media yet.
    pub fn say(&mut self, call: CallId, samples: &[i16]) -> Result<(), Misuse> {
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        entry.media.as_mut().ok_or(Misuse::NotNow)?.say(samples);
        Ok(())
    }

    /// While muted, silence is sent in place of what is said.
    ///
    /// # Errors
    /// When there is no such call, or it has no media yet.
    pub fn mute(&mut self, call: CallId, muted: bool) -> Result<(), Misuse> {
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        entry.media.as_mut().ok_or(Misuse::NotNow)?.mute(muted);
        Ok(())
    }

    /// The figures of a call's media so far; `None` when there is no such call, or it has no media yet.
    pub fn report(&self, call: CallId) -> Option<StreamReport> {
        self.calls.get(&call)?.media.as_ref().map(MediaSession::report)
    }

    /// What is known of a call so far.
    #[must_use]
    pub fn evidence(&self, call: CallId) -> Option<&Evidence> {
        self.calls.get(&call).map(|call| &call.evidence)
    }
}
