//! Keys of the telephone: by telephone events (RFC 4733), by INFO requests, or as tones in the sound.

use super::call::Stage;
use super::watching::Errand;
use super::{CallId, Misuse, UserAgent};
use denwa_sip_core::Method;
use denwa_sip_core::endpoint::Body;
use std::time::Instant;

/// By which way keys are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Keys {
    /// By telephone events when they were agreed on, else as tones where the codec carries the waveform, else by INFO.
    #[default]
    Automatic,
    /// As telephone events (RFC 4733).
    Events,
    /// By INFO requests with `application/dtmf-relay`, one key after the other.
    Info,
    /// As tones in the sound.
    InBand,
}

/// Codecs that carry tones well enough to be recognised.
const WAVEFORM: [&str; 5] = ["PCMU", "PCMA", "G722", "L16", "opus"];

/// How long a key in an INFO request is said to be pressed, in milliseconds.
const PRESSED_MS: u32 = 160;

impl UserAgent {
    /// Presses keys in a call, by the way the configuration says: `0`–`9`, `*`, `#`, `A`–`D`.
    ///
    /// # Errors
    /// When there is no such call, it has no media yet, or the peer does not take them by that way.
    pub fn press(&mut self, call: CallId, digits: &str, now: Instant) -> Result<(), Misuse> {
        self.press_by(call, digits, self.config.keys, now)
    }

    /// Presses keys in a call by a way of the caller's choice.
    ///
    /// # Errors
    /// As [`UserAgent::press`].
    pub fn press_by(&mut self, call: CallId, digits: &str, by: Keys, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.calls.get_mut(&call).ok_or(Misuse::UnknownCall)?;
        let media = entry.media.as_mut().ok_or(Misuse::NotNow)?;
        let by = match by {
            Keys::Automatic => {
                let agreed = media.parameters();
                let carries_tones = agreed.and_then(|agreed| agreed.send.first()).is_some_and(|format| {
                    WAVEFORM.iter().any(|codec| codec.eq_ignore_ascii_case(&format.name))
                });
                match agreed {
                    Some(agreed) if !agreed.send_events.is_empty() => Keys::Events,
                    _ if carries_tones => Keys::InBand,
                    _ => Keys::Info,
                }
            }
            by => by,
        };
        match by {
            Keys::Info => {
                if entry.stage != Stage::Up {
                    return Err(Misuse::NotNow);
                }
                if let Some(other) = digits.chars().find(|digit| !KEYS.contains(*digit)) {
                    return Err(crate::media::Misuse::NotADigit(other).into());
                }
                if entry.info_keys.len().saturating_add(digits.len()) > KEYS_LIMIT {
                    return Err(crate::media::Misuse::TooManyDigits.into());
                }
                entry.info_keys.extend(digits.chars());
                self.send_key(call, now);
            }
            Keys::InBand => media.press_in_band(digits)?,
            Keys::Events | Keys::Automatic => media.press(digits, now)?,
        }
        self.drain(now);
        Ok(())
    }

    /// Sends the next key by INFO, when the one before was answered.
    fn send_key(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.awaits_info) else { return };
        let (Some(handle), Some(key)) = (call.handle, call.info_keys.pop_front()) else { return };
        let text = format!("Signal={key}\r\nDuration={PRESSED_MS}\r\n");
        let body = Body::new("application/dtmf-relay", text.into_bytes());
        match self.endpoint.request_in_dialog(handle, Method::Info, &Self::no_headers(), Some(&body), now) {
            Ok(outgoing) => {
                call.awaits_info = true;
                self.errands.insert(outgoing, Errand::Key(id));
            }
            // The call is ending.
            Err(_) => call.info_keys.clear(),
        }
    }

    pub(super) fn on_key_answered(&mut self, id: CallId, now: Instant) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.awaits_info = false;
            self.send_key(id, now);
        }
    }
}

const KEYS: &str = "0123456789*#ABCD";

/// Keys that may wait to be sent.
const KEYS_LIMIT: usize = 64;
