//! Why somebody cannot be connected, told to the caller by a voice before he is refused, as early media (RFC 3960).

use std::time::Duration;

use denwa::bridge::{Command, Connection, Piece, Program, Source};

use super::call::{Call, Stage};
use super::desk::Desk;
use crate::why::End;

/// How long a busy tone lasts behind the words.
const BUSY_TONE: Duration = Duration::from_secs(4);

/// The prompts that tell why somebody cannot be connected; `None` for what his telephone tells him itself.
pub(super) fn spoken(end: &End, desk: &Desk) -> Option<&'static [&'static str]> {
    Some(match end {
        End::Busy { .. } if desk.setup.announce_busy => &["callback"],
        End::UnknownNumber => &["unknown-number"],
        End::NotRegistered => &["absent"],
        End::TransitNotAllowed { .. } | End::NotAllowed { .. } => &["not-allowed"],
        End::TrunkHasNoAddress { .. } | End::NoRoute { .. } => &["circuits-busy"],
        _ => return None,
    })
}

impl Call {
    /// Tells the caller why he cannot be connected, and refuses him then.
    pub(super) fn announce_refusal(&mut self, desk: &mut Desk, end: End) {
        // Our offer may not travel in a response that is not reliable; without it nothing can be heard.
        if self.offer_is_ours || self.stage != Stage::Calling {
            return self.end(desk, end);
        }
        self.planned.clear();
        self.deadline = None;
        desk.note_busy(&self.origin.caller, &end);
        self.refusing = Some(end);
        self.speak_refusal(desk);
    }

    /// The same, once the caller's ports are open.
    pub(super) fn speak_refusal(&mut self, desk: &mut Desk) {
        let Some(end) = self.refusing.clone() else { return };
        if !self.caller.is_open() {
            return;
        }
        let answer = self.caller_answer();
        let (Ok(answer), Some(handle)) = (answer, self.caller.handle) else {
            self.refusing = None;
            return self.end(desk, end);
        };
        if self.caller.configure(desk).is_err() {
            self.refusing = None;
            return self.end(desk, end);
        }
        let reply = self.progress(answer);
        let _ = desk.endpoint.ring(handle, &reply, desk.now);
        let mut pieces = desk.prompts.say(desk.setup.language, spoken(&end, desk).unwrap_or_default());
        if let End::Busy { .. } = end {
            desk.media(Command::Detect { leg: self.caller.id(), in_band_digits: true });
            let busy = desk.setup.tones.busy.clone();
            pieces.push(Piece::Tone { tone: busy, lasts: Some(BUSY_TONE) });
        }
        let to = Connection::Source(Source::Program(Program::new(pieces)));
        desk.media(Command::Connect { leg: self.caller.id(), to });
    }
}
