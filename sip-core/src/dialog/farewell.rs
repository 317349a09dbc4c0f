//! The BYE that ends a dialog after its user agent has forgotten it: RFC 3261 §12.2.1.1, §15.1.1.
//!
//! A program that is killed leaves its peers in calls that nobody holds any more. What it wrote down while they were up, as
//! text, is enough for its successor to end them: a [`Farewell`] is the BYE as it is to be sent, and whom to. Its number runs
//! ahead of the dialog's, which a peer takes (§12.2.2), so that not every request in the call makes another text. Nothing in it
//! is secret: no credentials, no keys, no session description.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Dialog, Face, Way};
use crate::{
    config::{Listener, SentBy},
    error::ParseError,
    header::HeaderName,
    io::{Flow, Protocol},
    message::{Method, ParseOptions, Request, UriBuf},
    transport::Target,
};
use std::{fmt, net::SocketAddr, str::FromStr};

/// What the farewells of a call depend on: as long as it is the same, so are they. Far cheaper than they are.
#[derive(Clone, Debug, Default)]
pub struct FarewellMarks(Vec<Mark>);

#[derive(Clone, Debug)]
struct Mark {
    remote_tag: Box<str>,
    remote_target: UriBuf,
    ahead: Option<u32>,
    flow: Flow,
    /// With it the routes are settled (RFC 3261 §13.2.2.4).
    is_confirmed: bool,
}

impl FarewellMarks {
    pub(crate) fn of(dialogs: &[&Dialog]) -> Self {
        let mark = |dialog: &&Dialog| Mark {
            remote_tag: dialog.id.remote_tag.clone(),
            remote_target: dialog.remote_target.clone(),
            ahead: ahead(dialog),
            flow: dialog.flow,
            is_confirmed: dialog.is_confirmed,
        };
        Self(dialogs.iter().map(mark).collect())
    }

    pub(crate) fn are_of(&self, dialogs: &[&Dialog]) -> bool {
        let is_of = |(mark, dialog): (&Mark, &&Dialog)| {
            mark.remote_tag == dialog.id.remote_tag
                && mark.remote_target.as_str() == dialog.remote_target.as_str()
                && mark.ahead == ahead(dialog)
                && mark.flow == dialog.flow
                && mark.is_confirmed == dialog.is_confirmed
        };
        self.0.len() == dialogs.len() && self.0.iter().zip(dialogs).all(is_of)
    }
}

/// The number of the BYE.
fn ahead(dialog: &Dialog) -> Option<u32> {
    let ahead = dialog.local_sequence.checked_div(AHEAD)?.checked_add(2)?.checked_mul(AHEAD)?;
    Some(ahead.min(i32::MAX.unsigned_abs()))
}

/// How far the number of the BYE runs ahead of the dialog's: as many requests in a call make one text.
const AHEAD: u32 = 1000;

/// The end of a dialog, written down beforehand. Its text is a few lines without an empty one.
#[derive(Clone, Debug, PartialEq)]
pub struct Farewell {
    bye: Request,
    to: Towards,
    /// What our Via is to tell instead of the listener's address.
    sent_by: Option<SentBy>,
}

/// Whom it is sent to.
#[derive(Clone, Debug, PartialEq)]
enum Towards {
    /// The peer's own address: he is our neighbour, and what his Contact says is not gone by.
    Neighbour { protocol: Protocol, remote: SocketAddr, local: SocketAddr },
    /// The first route, or the peer's Contact.
    Uri(UriBuf),
}

impl Farewell {
    /// That of a dialog as it stands; `None` when its peer sent what cannot be written.
    pub(crate) fn of(dialog: &Dialog, face: &Face) -> Option<Self> {
        let bye = dialog.write(Method::Bye, ahead(dialog)?).ok()?.finish().ok()?;
        let Flow { protocol, local, remote, stream } = dialog.flow;
        // A connection that the peer made cannot be made again from here; one to a name is made to that name.
        let is_made_here = match protocol {
            Protocol::Udp => true,
            Protocol::Tcp => stream.is_some_and(|stream| !stream.is_accepted()),
            _ => false,
        };
        let to = if dialog.way == Way::Flow && is_made_here {
            Towards::Neighbour { protocol, remote, local }
        } else {
            Towards::Uri(dialog.route_set.towards(&dialog.remote_target).ok()?.next_hop)
        };
        Some(Self { bye, to, sent_by: face.advertised.clone() })
    }

    /// `Call-ID` of the dialog.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.bye.call_id().unwrap_or_default()
    }

    /// Where requests of this dialog go, as the peer's Contact says.
    #[must_use]
    pub fn request_uri(&self) -> &str {
        self.bye.uri_text()
    }

    pub(crate) fn bye(&self) -> &Request {
        &self.bye
    }

    pub(crate) fn sent_by(&self) -> Option<&SentBy> {
        self.sent_by.as_ref()
    }

    /// Whom to send it to, from one of these addresses.
    pub(crate) fn target(&self, listeners: &[Listener]) -> Target {
        match &self.to {
            Towards::Uri(uri) => Target::Uri(uri.clone()),
            Towards::Neighbour { protocol, remote, local } => {
                let is_ours = |own: &Listener| {
                    own.protocol == *protocol
                        && own.local.port() == local.port()
                        && (own.local.ip() == local.ip() || own.local.ip().is_unspecified())
                };
                let local = listeners.iter().any(is_ours).then_some(*local);
                Target::Address { protocol: *protocol, remote: *remote, local }
            }
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Towards::Neighbour { protocol, remote, local } => writeln!(f, "to {protocol} {remote} {local}")?,
            Towards::Uri(uri) => writeln!(f, "to {uri}")?,
        }
        if let Some(sent_by) = &self.sent_by {
            writeln!(f, "as {sent_by}")?;
        }
        let text = String::from_utf8_lossy(self.bye.bytes());
        text.lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Why a text is no farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FarewellError {
    /// It does not begin with whom to send it to.
    Towards,
    /// What follows is no BYE of a dialog.
    Bye,
    /// What follows is no request.
    Request(ParseError),
}

impl fmt::Display for FarewellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Towards => f.write_str("it does not begin with whom to send it to"),
            Self::Bye => f.write_str("it holds no BYE of a dialog"),
            Self::Request(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FarewellError {}

impl FromStr for Farewell {
    type Err = FarewellError;

    fn from_str(text: &str) -> Result<Self, FarewellError> {
        let (first, mut rest) = text.split_once('\n').ok_or(FarewellError::Towards)?;
        let to = towards(first.trim_end()).ok_or(FarewellError::Towards)?;
        let mut sent_by = None;
        if let Some((name, after)) = rest.strip_prefix("as ").and_then(|rest| rest.split_once('\n')) {
            sent_by = Some(read_sent_by(name.trim_end()).ok_or(FarewellError::Towards)?);
            rest = after;
        }
        let mut message = String::with_capacity(rest.len().saturating_add(32));
        for line in rest.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            message.push_str(line);
            message.push_str("\r\n");
        }
        message.push_str("\r\n");
        let bye = Request::parse(message.into(), &ParseOptions::default()).map_err(FarewellError::Request)?;
        let is_whole = *bye.method() == Method::Bye
            && bye.uri().is_ok()
            && bye.call_id().is_ok_and(|it| !it.is_empty())
            && bye.from().is_ok()
            && bye.to().is_ok()
            && bye.cseq().is_ok_and(|it| it.method == Method::Bye)
            && !bye.has(HeaderName::Via);
        if is_whole { Ok(Self { bye, to, sent_by }) } else { Err(FarewellError::Bye) }
    }
}

fn towards(line: &str) -> Option<Towards> {
    let rest = line.strip_prefix("to ")?;
    let mut words = rest.split(' ');
    let protocol = words.next().and_then(Protocol::from_via_token);
    match (protocol, words.next(), words.next(), words.next()) {
        (Some(protocol), Some(remote), Some(local), None) => {
            let (remote, local) = (remote.parse().ok()?, local.parse().ok()?);
            Some(Towards::Neighbour { protocol, remote, local })
        }
        (None, None, None, None) => UriBuf::parse(rest).ok().map(Towards::Uri),
        _ => None,
    }
}

/// A host with or without a port; IPv6 in brackets.
fn read_sent_by(text: &str) -> Option<SentBy> {
    let after_host = text.rfind(']').map_or(0, |at| at.saturating_add(1));
    let tail = text.get(after_host..)?;
    if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return None;
    }
    match tail.rsplit_once(':') {
        None => Some(SentBy { host: text.into(), port: None }),
        Some((_, port)) => {
            let host = text.get(..text.len().checked_sub(port.len().checked_add(1)?)?)?;
            Some(SentBy { host: host.into(), port: Some(port.parse().ok()?) })
        }
    }
}
