//! `message-summary`: are there messages waiting? RFC 3842.

use crate::command::Body;
use std::fmt::Write as _;

/// The package's name, for `Event`.
pub const PACKAGE: &str = "message-summary";
/// Its body's type.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// How many messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Not heard yet.
    pub new: u32,
    /// Heard.
    pub old: u32,
    /// Of the new ones, urgent.
    pub new_urgent: u32,
    /// Of the old ones, urgent.
    pub old_urgent: u32,
}

/// A message summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// Whether the lamp is lit.
    pub waiting: bool,
    /// Whose messages: the address of the account.
    pub account: Option<String>,
    /// Voice messages.
    pub voice: Option<Messages>,
    /// Fax messages.
    pub fax: Option<Messages>,
    /// Text messages.
    pub text: Option<Messages>,
}

impl MessageSummary {
    /// The body of a NOTIFY.
    #[must_use]
    pub fn to_body(&self) -> Body {
        let mut out = format!("Messages-Waiting: {}\r\n", if self.waiting { "yes" } else { "no" });
        if let Some(account) = &self.account {
            let _ = write!(out, "Message-Account: {}\r\n", account.replace(['\r', '\n'], " "));
        }
        for (name, messages) in
            [("Voice-Message", self.voice), ("Fax-Message", self.fax), ("Text-Message", self.text)]
        {
            let Some(Messages { new, old, new_urgent, old_urgent }) = messages else { continue };
            let _ = write!(out, "{name}: {new}/{old} ({new_urgent}/{old_urgent})\r\n");
        }
        Body::new(CONTENT_TYPE, out)
    }

    /// Reads the body of a NOTIFY. Lines it does not know are passed over; without a status line there is no summary.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut summary = Self::default();
        let mut known = false;
        // What follows an empty line are headers of single messages.
        for line in text.lines().take_while(|line| !line.trim().is_empty()) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "messages-waiting" => {
                    known = true;
                    summary.waiting = value.eq_ignore_ascii_case("yes");
                }
                "message-account" => summary.account = Some(value.to_owned()),
                "voice-message" => summary.voice = counts(value),
                "fax-message" => summary.fax = counts(value),
                "text-message" => summary.text = counts(value),
                _ => {}
            }
        }
        known.then_some(summary)
    }
}

/// `new/old` and perhaps `(urgent new/urgent old)`.
fn counts(text: &str) -> Option<Messages> {
    let (plain, urgent) = text.split_once('(').unwrap_or((text, "0/0"));
    let pair = |text: &str| {
        let (new, old) = text.trim().trim_end_matches(')').split_once('/')?;
        Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
    };
    let (new, old) = pair(plain)?;
    let (new_urgent, old_urgent) = pair(urgent).unwrap_or((0, 0));
    Some(Messages { new, old, new_urgent, old_urgent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3842_section_5_2_is_read_and_written() {
        let text = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 2/8 (0/2)\r\n";
        let summary = MessageSummary::parse(text).unwrap();
        assert_eq!(summary.voice, Some(Messages { new: 2, old: 8, new_urgent: 0, old_urgent: 2 }));
        assert_eq!(summary.to_body().bytes, text.as_bytes());
        assert_eq!(MessageSummary::parse("Messages-Waiting: no\r\n"), Some(MessageSummary::default()));
        assert_eq!(MessageSummary::parse("Voice-Message: 1/1\r\n"), None);
        let lenient = MessageSummary::parse("messages-waiting:YES\nvoice-message: 4294967296/1\n").unwrap();
        assert_eq!((lenient.waiting, lenient.voice), (true, None));
    }
}
