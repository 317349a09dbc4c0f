//! `refer`: how the call a REFER asked for is going. RFC 3515 §2.4.4, with the sipfrag of RFC 3420.

use crate::{command::Body, message::StatusCode};

/// The package's name, for `Event`.
pub const PACKAGE: &str = "refer";
/// Its body's type.
pub const CONTENT_TYPE: &str = "message/sipfrag;version=2.0";

/// The body that tells a status.
#[must_use]
pub fn body(status: StatusCode, reason: Option<&str>) -> Body {
    let reason: String = reason.unwrap_or(status.reason()).chars().filter(|it| !it.is_control()).collect();
    Body::new(CONTENT_TYPE, format!("SIP/2.0 {} {reason}\r\n", status.code()))
}

/// The status a body tells.
#[must_use]
pub fn parse(text: &str) -> Option<(StatusCode, String)> {
    let line = text.lines().next()?;
    let mut words = line.trim().splitn(3, ' ');
    let version = words.next()?;
    if !version.get(..4)?.eq_ignore_ascii_case("SIP/") {
        return None;
    }
    let status = StatusCode::new(words.next()?.parse().ok()?)?;
    Some((status, words.next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_and_read() {
        let body = body(StatusCode::RINGING, None);
        assert_eq!(body.bytes, "SIP/2.0 180 Ringing\r\n");
        assert_eq!(
            parse("SIP/2.0 180 Ringing\r\nTo: x\r\n"),
            Some((StatusCode::RINGING, "Ringing".to_owned()))
        );
        assert_eq!(parse("SIP/2.0 200\r\n"), Some((StatusCode::OK, String::new())));
        for nonsense in
            ["", "180 Ringing", "SIP/2.0", "SIP/2.0 x", "SIP/2.0 99999 x", "INVITE sip:a@b SIP/2.0"]
        {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
