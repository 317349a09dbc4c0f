//! Who lets a telephone answer by itself: `Answer-Mode` and `Priv-Answer-Mode` (RFC 5373), for intercoms and doors.
//!
//! The header asks; whether the called telephone does so is his owner's rule, an [`AutoAnswer`]. With `require` the
//! caller would rather be refused (403) than have it otherwise.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    command::Headers,
    error::Misuse,
    header::{Fields, HeaderName, Params},
    message::{Request, StatusCode},
};

/// What a caller asks for, or what a telephone did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMode {
    /// Without anybody lifting a receiver; else only by a human being.
    pub automatic: bool,
    /// Not otherwise.
    pub require: bool,
    /// `Priv-Answer-Mode`: who may override the owner's wishes asks so.
    pub privileged: bool,
}

/// What the owner of a telephone allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoAnswer {
    /// This caller may have it answered by itself.
    pub allowed: bool,
    /// He may also against the owner's wish of the moment.
    pub privileged: bool,
}

/// What is to be done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// It rings as always.
    ByHand,
    /// It is answered at once; the 2xx says so.
    ByItself {
        /// For the 2xx.
        mode: AnswerMode,
    },
    /// It is refused with this.
    Refused(StatusCode),
}

impl AnswerMode {
    /// Answered by itself.
    pub const AUTOMATIC: Self = Self { automatic: true, require: false, privileged: false };
    /// Answered by a human being only.
    pub const MANUAL: Self = Self { automatic: false, require: false, privileged: false };

    /// Reads a message; the privileged header comes first (§4.1).
    #[must_use]
    pub fn read(message: &Fields) -> Option<Self> {
        [(HeaderName::PrivAnswerMode, true), (HeaderName::AnswerMode, false)].into_iter().find_map(
            |(name, privileged)| {
                let value = message.get(name)?;
                let end = value.find(';').unwrap_or(value.len());
                let (mode, params) = value.split_at_checked(end)?;
                let automatic = if mode.trim().eq_ignore_ascii_case("Auto") {
                    true
                } else if mode.trim().eq_ignore_ascii_case("Manual") {
                    false
                } else {
                    // An unknown mode is as none (§4.3).
                    return None;
                };
                Some(Self { automatic, require: Params::from_raw(params).has("require"), privileged })
            },
        )
    }

    /// Writes it, with the `Require: answermode` that `require` needs in requests.
    ///
    /// # Errors
    /// Never in practice; as [`Headers::push`].
    pub fn write(self, headers: &mut Headers) -> Result<(), Misuse> {
        let name = if self.privileged { HeaderName::PrivAnswerMode } else { HeaderName::AnswerMode };
        let mode = if self.automatic { "Auto" } else { "Manual" };
        let require = if self.require { ";require" } else { "" };
        headers.push(name.as_str(), format!("{mode}{require}"))?;
        if self.require {
            headers.push(HeaderName::Require.as_str(), "answermode")?;
        }
        Ok(())
    }
}

impl AutoAnswer {
    /// Judges a call (§4.3).
    #[must_use]
    pub fn judge(self, invite: &Request) -> Answering {
        let Some(mode) = AnswerMode::read(invite) else { return Answering::ByHand };
        let may = if mode.privileged { self.privileged } else { self.allowed };
        match (mode.automatic, may) {
            (false, _) => Answering::ByHand,
            (true, true) => Answering::ByItself { mode: AnswerMode { require: false, ..mode } },
            (true, false) if mode.require => Answering::Refused(StatusCode::FORBIDDEN),
            (true, false) => Answering::ByHand,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;

    fn judged(header: &str, value: &str, allowed: bool, privileged: bool) -> Answering {
        let invite = Request::builder(Method::Invite, "sip:door@pbx").header(header, value).finish().unwrap();
        AutoAnswer { allowed, privileged }.judge(&invite)
    }

    #[test]
    fn rfc_5373_the_owner_decides_and_require_is_refused_rather_than_ignored() {
        let by_itself = Answering::ByItself { mode: AnswerMode::AUTOMATIC };
        assert_eq!(judged("Answer-Mode", "Auto", true, false), by_itself);
        assert_eq!(judged("Answer-Mode", "auto ;require", true, false), by_itself);
        assert_eq!(judged("Answer-Mode", "Auto", false, true), Answering::ByHand);
        assert_eq!(
            judged("Answer-Mode", "Auto;require", false, false),
            Answering::Refused(StatusCode::FORBIDDEN)
        );
        assert_eq!(judged("Answer-Mode", "Manual;require", true, true), Answering::ByHand);
        assert_eq!(judged("Answer-Mode", "Sometimes", true, true), Answering::ByHand);
        assert_eq!(judged("Subject", "Auto", true, true), Answering::ByHand);
        let privileged = AnswerMode { privileged: true, ..AnswerMode::AUTOMATIC };
        assert_eq!(judged("Priv-Answer-Mode", "Auto", false, true), Answering::ByItself { mode: privileged });
        assert_eq!(judged("Priv-Answer-Mode", "Auto", true, false), Answering::ByHand);
    }

    #[test]
    fn what_is_written_is_read() {
        for mode in [AnswerMode::MANUAL, AnswerMode { require: true, privileged: true, automatic: true }] {
            let mut headers = Headers::new();
            mode.write(&mut headers).unwrap();
            let mut builder = Request::builder(Method::Invite, "sip:b@c");
            for (name, value) in headers.iter() {
                builder = builder.header(name, value);
            }
            let request = builder.finish().unwrap();
            assert_eq!(AnswerMode::read(&request), Some(mode));
            assert_eq!(request.lists(HeaderName::Require, "answermode"), mode.require);
        }
    }
}
