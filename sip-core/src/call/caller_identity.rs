//! Who calls, and how much of it may be told: P-Asserted-Identity, P-Preferred-Identity (RFC 3325), Privacy (RFC 3323),
//! Diversion (RFC 5806), History-Info (RFC 7044).
//!
//! An identity that somebody untrusted asserts is no identity: it is not read. What a caller does not want told is taken
//! out before it leaves for those who are not trusted; within a domain of trust it travels on with his wish.

use crate::{
    command::{Headers, Party, PlaceCall},
    dialog::values,
    error::Misuse,
    header::{Fields, HeaderName, NameAddr},
    message::{Request, StatusCode, UriBuf},
};

/// Who a request says it is from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallerIdentity {
    /// `P-Asserted-Identity`: at most one `sip:` and one `tel:`; empty unless the sender is trusted.
    pub asserted: Vec<Party>,
    /// `P-Preferred-Identity`: what the caller would like to be called by.
    pub preferred: Vec<Party>,
    /// What he does not want told.
    pub privacy: Privacy,
}

/// The values of `Privacy` (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// `id`: the asserted identity is not told to those who are not trusted.
    pub identity: bool,
    /// `header`: nothing that tells of him in headers.
    pub header: bool,
    /// `user`: the caller could not make his own From anonymous; it is done for him.
    pub user: bool,
    /// `session`: nothing that tells of him in session descriptions.
    pub session: bool,
    /// `history`: nothing of the way the call came.
    pub history: bool,
    /// `critical`: rather refuse the call than tell.
    pub critical: bool,
    /// `none`: the caller says that everything may be told.
    pub none: bool,
}

impl Privacy {
    /// Reads `Privacy`. Its values are separated by semicolons, or commas where somebody got it wrong.
    #[must_use]
    pub fn read(message: &Fields) -> Self {
        let mut privacy = Self::default();
        for value in message.get_all(HeaderName::Privacy).flat_map(|value| value.split([';', ','])) {
            match value.trim().to_ascii_lowercase().as_str() {
                "id" => privacy.identity = true,
                "header" => privacy.header = true,
                "user" => privacy.user = true,
                "session" => privacy.session = true,
                "history" => privacy.history = true,
                "critical" => privacy.critical = true,
                "none" => privacy.none = true,
                _ => {}
            }
        }
        privacy
    }

    /// Whether the caller's name and number are to be kept back from those who are not trusted.
    #[must_use]
    pub const fn hides_caller(&self) -> bool {
        !self.none && (self.identity || self.user || self.header)
    }
}

impl CallerIdentity {
    /// Reads a request. `trusted`: it came from within the domain of trust (RFC 3325 §5).
    #[must_use]
    pub fn read(request: &Request, trusted: bool) -> Self {
        let parties = |name| {
            request
                .list_as::<NameAddr<'_>>(name)
                .flatten()
                .take(2)
                .map(|address| Party {
                    display_name: address.display_name.map(|name| name.text().into_owned()),
                    uri: address.uri.to_owned(),
                })
                .collect::<Vec<_>>()
        };
        Self {
            asserted: if trusted { parties(HeaderName::PAssertedIdentity) } else { Vec::new() },
            preferred: parties(HeaderName::PPreferredIdentity),
            privacy: Privacy::read(request),
        }
    }
}

/// Writes who calls into a call that is placed.
///
/// To those who are trusted the identity goes along with the caller's wish; to others only what he lets be told, his
/// From made anonymous when he asked for that (RFC 3323 §4.1, RFC 3325 §7).
///
/// # Errors
/// [`Misuse::Build`] when the identity cannot be written; [`Misuse::Status`] when the caller would rather have no call
/// (`critical`) than be told, and the peer is not trusted with a `history` or `session` that only the application can hide.
pub fn tell(place: &mut PlaceCall, identity: &CallerIdentity, trusted: bool) -> Result<(), Misuse> {
    let privacy = identity.privacy;
    if trusted {
        for party in &identity.asserted {
            let value = crate::command::Tagged(party, None).to_string();
            place.headers.push(HeaderName::PAssertedIdentity.as_str(), value)?;
        }
        if privacy.hides_caller() {
            place.headers.push(HeaderName::Privacy.as_str(), "id")?;
        }
        return Ok(());
    }
    if privacy.hides_caller() {
        place.from = anonymous();
        place.local.user = "anonymous".to_owned();
        let hidden = ["P-Asserted-Identity", "P-Preferred-Identity", "Referred-By", "Call-Info", "Subject"];
        place.headers = without(&place.headers, &hidden)?;
    }
    if privacy.history || privacy.header {
        place.headers = without(&place.headers, &["History-Info", "Diversion"])?;
    }
    Ok(())
}

/// RFC 3323 §4.1.1.3.
#[must_use]
pub fn anonymous() -> Party {
    let uri = UriBuf::sip("anonymous", "anonymous.invalid").build();
    Party::named("Anonymous", uri)
}

fn without(headers: &Headers, names: &[&str]) -> Result<Headers, Misuse> {
    let mut kept = Headers::new();
    for (name, value) in headers.iter() {
        if !names.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            kept.push(name, value)?;
        }
    }
    Ok(kept)
}

/// A `Diversion` value: who sent the call on, and why (RFC 5806 §5).
#[must_use]
pub fn diversion(by: &UriBuf, reason: &str, counter: u32) -> String {
    let reason: String = reason.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '-').collect();
    format!("<{by}>;reason={reason};counter={counter}")
}

/// How often a call was sent on already: the sum of the counters of `Diversion`, each at least one.
#[must_use]
pub fn diversions(message: &Fields) -> u32 {
    message
        .list_as::<NameAddr<'_>>(HeaderName::Diversion)
        .flatten()
        .map(|value| value.params.number("counter").unwrap_or(1).max(1))
        .fold(0, u32::saturating_add)
}

/// The `History-Info` values of a request that is sent on to another target (RFC 7044 §9): those that came, the one
/// for the old target if it was missing (with why it was left, if it answered `status`), and the new one, its index one
/// deeper: `branch` counts the targets that are tried for this request, from 1.
#[must_use]
pub fn history(
    request: &Request,
    target: &UriBuf,
    status: Option<StatusCode>,
    kind: Target,
    branch: u32,
) -> Vec<String> {
    let mut entries: Vec<String> =
        values(request, HeaderName::HistoryInfo).into_iter().map(String::from).collect();
    let last = request
        .list_as::<NameAddr<'_>>(HeaderName::HistoryInfo)
        .flatten()
        .last()
        .and_then(|entry| entry.params.get("index").map(str::to_owned));
    let parent = match last {
        Some(index) => index,
        None => {
            let reason =
                status.map(|status| format!("?Reason=SIP%3Bcause%3D{}", status.code())).unwrap_or_default();
            entries.push(format!("<{}{reason}>;index=1", request.uri_text()));
            "1".to_owned()
        }
    };
    let kind = match kind {
        Target::Retargeted => format!(";mp={parent}"),
        Target::Contact => format!(";rc={parent}"),
        Target::Unchanged => format!(";np={parent}"),
    };
    entries.push(format!("<{target}>;index={parent}.{branch}{kind}"));
    entries
}

/// How a new target came about (RFC 7044 §10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `mp`: another user.
    Retargeted,
    /// `rc`: a contact of the same user.
    Contact,
    /// `np`: the same, only sent on.
    Unchanged,
}
