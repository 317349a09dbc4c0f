//! INFO: packages (RFC 6086), and digits as telephones send them without any package.
//!
//! `application/dtmf-relay` and `application/dtmf` were never standardized; they are what is spoken.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    command::{Body, Reply},
    header::{Fields, HeaderName},
    message::{Request, StatusCode},
};
use std::time::Duration;

/// A digit sent by INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// `0`–`9`, `*`, `#`, `A`–`D`, or `!` for a hook flash.
    pub symbol: char,
    /// How long it was pressed.
    pub duration: Duration,
}

impl Digit {
    /// How long a digit lasts of which nothing is said.
    pub const USUAL: Duration = Duration::from_millis(250);

    /// The body of an INFO, in the form that most telephones understand.
    #[must_use]
    pub fn to_body(self) -> Body {
        let Self { symbol, duration } = self;
        let millis = duration.as_millis();
        Body::new("application/dtmf-relay", format!("Signal={symbol}\r\nDuration={millis}\r\n"))
    }

    /// Reads an INFO of either form; `None` when it is about something else.
    #[must_use]
    pub fn read(info: &Request) -> Option<Self> {
        let content_type = info.get(HeaderName::ContentType)?.split(';').next()?.trim();
        let text = core::str::from_utf8(info.body()).ok()?;
        let (symbol, duration) = if content_type.eq_ignore_ascii_case("application/dtmf-relay") {
            let field = |name: &str| {
                text.lines()
                    .filter_map(|line| line.split_once(['=', ':']))
                    .find_map(|(own, value)| own.trim().eq_ignore_ascii_case(name).then_some(value.trim()))
            };
            (field("Signal")?, field("Duration").and_then(|it| it.parse().ok()).map(Duration::from_millis))
        } else if content_type.eq_ignore_ascii_case("application/dtmf") {
            (text.trim(), None)
        } else {
            return None;
        };
        let symbol = match symbol {
            // Event codes of RFC 4733, as some write them.
            "10" => '*',
            "11" => '#',
            "16" => '!',
            other => other.chars().next().filter(|_| other.chars().count() == 1)?.to_ascii_uppercase(),
        };
        let known = symbol.is_ascii_digit() || matches!(symbol, '*' | '#' | 'A'..='D' | '!');
        let duration = duration.unwrap_or(Self::USUAL).min(Duration::from_secs(60));
        known.then_some(Self { symbol, duration })
    }
}

/// The refusal of an INFO whose package is not understood (§4.2.2): 469, with those that are.
pub(crate) fn refusal(info: &Request, understood: Option<&[String]>) -> Option<Reply> {
    let package = info.get(HeaderName::InfoPackage)?.split(';').next().unwrap_or_default().trim();
    let understood = understood?;
    if understood.iter().any(|own| own.eq_ignore_ascii_case(package)) {
        return None;
    }
    let mut reply = Reply::new(StatusCode::BAD_INFO_PACKAGE);
    let _ = reply.headers.push(HeaderName::RecvInfo.as_str(), announcement(understood));
    Some(reply)
}

/// `Recv-Info`: the packages, or `nil` for none at all (§5.2.3).
pub(crate) fn announcement(understood: &[String]) -> String {
    if understood.is_empty() { "nil".to_owned() } else { understood.join(", ") }
}

/// The packages a peer announced, lower case; `None` when he did not say.
pub(crate) fn announced(fields: &Fields) -> Option<Box<str>> {
    fields.has(HeaderName::RecvInfo).then(|| {
        let packages: Vec<String> = fields
            .tokens(HeaderName::RecvInfo)
            .map(str::to_ascii_lowercase)
            .filter(|it| it != "nil")
            .collect();
        packages.join(",").into_boxed_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;

    fn info(content_type: &str, body: &str) -> Request {
        Request::builder(Method::Info, "sip:b@c").body(content_type, body.to_owned()).finish().unwrap()
    }

    #[test]
    fn digits_by_info_in_the_forms_that_are_spoken() {
        let digit = |symbol, millis| Some(Digit { symbol, duration: Duration::from_millis(millis) });
        assert_eq!(
            Digit::read(&info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n")),
            digit('5', 160)
        );
        assert_eq!(Digit::read(&info("application/dtmf-relay", "Signal= *\nDuration= 100")), digit('*', 100));
        assert_eq!(Digit::read(&info("application/dtmf-relay", "Signal=11\r\n")), digit('#', 250));
        assert_eq!(Digit::read(&info("application/dtmf", "d")), digit('D', 250));
        assert_eq!(Digit::read(&info("application/dtmf-relay", "Signal=x")), None);
        assert_eq!(Digit::read(&info("application/dtmf-relay", "Duration=160")), None);
        assert_eq!(Digit::read(&info("text/plain", "5")), None);
        let own = Digit { symbol: '#', duration: Duration::from_millis(200) };
        let body = own.to_body();
        let text = core::str::from_utf8(&body.bytes).unwrap();
        assert_eq!(Digit::read(&info(&body.content_type, text)), Some(own));
    }
}
