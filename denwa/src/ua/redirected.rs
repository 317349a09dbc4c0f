//! Following a call's callee elsewhere (RFC 3261 §8.1.3.4): 300, 301 and 302 name other addresses, and the first of them,
//! a `sip:` or `sips:` one, is called instead, as the same call. Left out: 305, which everybody abuses (RFC 3261 §21.3.4 needs trust in the
//! proxy it names), the further addresses of a 300, and remembering a 301.

use super::call::Stage;
use super::{CallId, Event, UserAgent};
use denwa_sip_core::StatusCode;
use denwa_sip_core::message::{Response, Scheme, UriBuf};
use std::time::Instant;

/// How often one call is sent elsewhere before it is given up.
const REDIRECTIONS: usize = 5;

impl UserAgent {
    /// Whether the call goes on elsewhere, as its refusal says. Nobody is sent in a circle.
    pub(super) fn follow_elsewhere(&mut self, id: CallId, response: &Response, now: Instant) -> bool {
        let Some(elsewhere) = named_in(response) else { return false };
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let (Some(account), Some(here)) = (call.account, call.callee.clone()) else { return false };
        call.been_at.push(here);
        let was_there = call.been_at.iter().any(|been| been.as_uri() == elsewhere.as_uri());
        if call.ended_here || was_there || call.been_at.len() > REDIRECTIONS {
            return false;
        }
        // The next callee is offered a session of its own.
        self.let_go(id, now);
        let Some(call) = self.calls.get_mut(&id) else { return false };
        call.media = None;
        call.handle = None;
        call.stage = Stage::Locating;
        call.port_attempts = 0;
        call.media_route = None;
        self.tell(Event::Redirected { call: id, to: elsewhere.to_string() });
        self.set_out(id, account, elsewhere, now);
        true
    }
}

fn named_in(response: &Response) -> Option<UriBuf> {
    let moved = [StatusCode::MULTIPLE_CHOICES, StatusCode::MOVED_PERMANENTLY, StatusCode::MOVED_TEMPORARILY];
    if !moved.contains(&response.status()) {
        return None;
    }
    let contact = response.contact().ok()??;
    // Without the headers of a request that an address may name (RFC 3261 §19.1.5): they are a stranger's.
    matches!(contact.uri.scheme(), Scheme::Sip | Scheme::Sips).then(|| contact.uri.for_request())
}
