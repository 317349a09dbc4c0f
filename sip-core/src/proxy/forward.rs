//! What changes on the way through: RFC 3261 §16.6.

use super::{Branch, ForwardOptions, makes_dialog};
use crate::{
    config::SentBy,
    dialog::values,
    error::{Attitude, BuildError},
    header::{HeaderName, HeaderValue as _, NameAddr},
    io::Protocol,
    message::{Method, Request, UriBuf},
};

/// Our address towards one side, for Record-Route and Path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnAddress {
    pub(super) sent_by: SentBy,
    pub(super) protocol: Protocol,
    /// Which flow a telephone on this side is reached by (RFC 5626 §5.2).
    pub(super) token: Option<String>,
}

impl OwnAddress {
    fn route(&self) -> String {
        self.route_with("")
    }

    fn route_with(&self, more: &str) -> String {
        let transport = match self.protocol {
            Protocol::Udp => String::new(),
            other => format!(";transport={}", other.uri_token()),
        };
        let (user, at) = self.token.as_ref().map_or(("", ""), |token| (token.as_str(), "@"));
        format!("<sip:{user}{at}{}{transport};lr{more}>", self.sent_by)
    }
}

/// The request as it goes to one branch, and the URI that decides where to when the branch does not.
pub(super) fn to_branch(
    request: &Request,
    branch: &Branch,
    options: &ForwardOptions,
    breadth: u16,
    sides: (&OwnAddress, &OwnAddress),
) -> Result<(Request, UriBuf), BuildError> {
    let mut edit = request
        .edit()
        .uri(branch.uri.as_uri().for_request())
        .set(HeaderName::MaxForwards, hops_left(request))
        .set("Max-Breadth", breadth);
    for route in branch.routes.iter().rev() {
        edit = edit.prepend(HeaderName::Route, route);
    }
    let (incoming, outgoing) = sides;
    if options.record_route && makes_dialog(request.method()) {
        edit = edit.prepend(HeaderName::RecordRoute, incoming.route());
        if incoming != outgoing {
            // RFC 5658 §4: one for each side, the one of the next hop on top.
            edit = edit.prepend(HeaderName::RecordRoute, outgoing.route());
        }
    }
    if options.path && *request.method() == Method::Register {
        // The first hop of a telephone says so, and by which flow it is reached (RFC 5626 §5.1).
        let more = if incoming.token.is_some() { ";ob" } else { "" };
        edit = edit.prepend(HeaderName::Path, incoming.route_with(more));
    }
    for (name, value) in options.headers.iter() {
        edit = edit.append(name, value);
    }
    let message = edit.finish()?;
    after_routing(message)
}

/// An ACK passes as it is, but for `Max-Forwards`.
pub(super) fn plainly(request: &Request) -> Option<(Request, UriBuf)> {
    let message = request.edit().set(HeaderName::MaxForwards, hops_left(request)).finish().ok()?;
    after_routing(message).ok()
}

/// Step 6: a first Route without `lr` is a strict router, which wants the request line. And where the request goes.
fn after_routing(message: Request) -> Result<(Request, UriBuf), BuildError> {
    let top = message.routes().next().and_then(Result::ok);
    let Some(top) = top else {
        let next = message.uri().map_err(|_| BuildError::RequestUri)?.to_owned();
        return Ok((message, next));
    };
    let next = top.uri.to_owned();
    if top.is_loose_route() {
        return Ok((message, next));
    }
    let target = message.uri_text().to_owned();
    let line = next.as_uri().for_request();
    let message = message
        .edit()
        .pop_first(HeaderName::Route)
        .append(HeaderName::Route, format!("<{target}>"))
        .uri(line)
        .finish()?;
    Ok((message, next))
}

/// Step 3: one less, 70 when it was not there.
fn hops_left(request: &Request) -> u8 {
    request.max_forwards().ok().flatten().map_or(70, |hops| hops.saturating_sub(1))
}

/// Each Route as it was written.
pub(super) fn routes(request: &Request) -> Vec<String> {
    values(request, HeaderName::Route)
        .iter()
        .filter(|value| NameAddr::parse(value, Attitude::Lenient).is_ok())
        .map(ToString::to_string)
        .collect()
}
