//! What a program can do with calls: place, answer, refuse, hold, press keys, speak, hang up.

use super::call::Stage;
use super::placing::Question;
use super::{AccountId, CallId, Ending, Misuse, UserAgent};
use crate::driver::Ask;
use crate::evidence::Evidence;
use crate::media::MediaSession;
use denwa_sdp::State;
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Body, Reply};
use denwa_sip_core::message::UriBuf;
use std::time::Instant;

impl UserAgent {
    /// Calls `address` (`sip:200@pbx.example`, or `200` for a number at the account's domain) from an account.
    ///
    /// # Errors
    /// When the address cannot be read, or there are too many calls.
    pub fn call(&mut self, account: AccountId, address: &str, now: Instant) -> Result<CallId, Misuse> {
        let now = self.advance(now);
        let state = self.accounts.get(&account).ok_or(Misuse::UnknownAccount)?;
        if self.calls.len() >= self.config.calls_limit {
            return Err(Misuse::TooManyCalls);
        }
        let text = match address {
            with_scheme if with_scheme.contains(':') => with_scheme.to_owned(),
            with_host if with_host.contains('@') => format!("sip:{with_host}"),
            number => format!("sip:{number}@{}", state.account.domain),
        };
        let callee = UriBuf::parse(&text).map_err(|error| Misuse::BadAddress(error.to_string()))?;
        let server = state.account.server;
        let id = self.new_call(Some(account), true, now);
        let uri = callee.clone();
        if let Some(call) = self.calls.get_mut(&id) {
            call.callee = Some(callee);
        }
        match server {
            Some(server) => self.ask(id, Question::Route(server.address), Ask::Route(server.address)),
            None => self.locate(id, &uri, now),
        }
        self.drain(now);
        Ok(id)
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

    /// Presses keys in a call: `0`–`9`, `*`, `#`, `A`–`D`.
    ///
    /// # Errors
    /// When there is no such call, or the peer takes no telephone events.
    pub fn press(&mut self, call: CallId, digits: &str, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        entry.media.as_mut().ok_or(Misuse::NotNow)?.press(digits, now)?;
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

    /// What is known of a call so far.
    pub fn evidence(&self, call: CallId) -> Option<&Evidence> {
        self.calls.get(&call).map(|call| &call.evidence)
    }
}
