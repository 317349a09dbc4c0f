//! Via and Contact of requests that leave from here, once it is known by which way.

use super::ContactTemplate;
use crate::{config::SentBy, io::Protocol, message::Request};
use std::fmt::Write as _;

/// The top Via of a request of ours: `rport` always (RFC 3581 §3), `alias` on TLS (RFC 5923 §8.1).
pub(super) fn via_text(protocol: Protocol, sent_by: &SentBy, branch: &str, offers_overload: bool) -> String {
    let extra = match protocol {
        Protocol::Udp => ";rport",
        Protocol::Tls => ";alias;rport",
        Protocol::Tcp | Protocol::Ws | Protocol::Wss => ";rport",
    };
    let overload = if offers_overload { ";oc;oc-algo=\"loss\"" } else { "" };
    let mut text = String::with_capacity(128);
    // Writing to a string does not fail.
    let _ = write!(text, "SIP/2.0/{} {sent_by};branch={branch}{extra}{overload}", protocol.via_token());
    text
}

/// Our Contact in a request, or in the response to one: `sips` when that was asked for (RFC 3261 §8.1.1.8, §12.1.1).
pub(super) fn contact_text(
    contact: &ContactTemplate,
    protocol: Protocol,
    sent_by: &SentBy,
    request: &Request,
) -> String {
    if let Some(uri) = &contact.uri {
        return format!("<{uri}>{}", contact.parameters);
    }
    let is_sips = request.uri().is_ok_and(|uri| uri.is_sips());
    let user = crate::message::escape_user(&contact.user);
    let at = if user.is_empty() { "" } else { "@" };
    let scheme = if is_sips { "sips" } else { "sip" };
    let transport = match protocol {
        Protocol::Udp => String::new(),
        // A sips URI says TLS by itself; `transport=tls` is what the field understands otherwise.
        Protocol::Tls if is_sips => String::new(),
        other => format!(";transport={}", other.uri_token()),
    };
    let mut text = String::with_capacity(96);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "<{scheme}:{user}{at}{sent_by}{transport}{}>{}",
        contact.uri_parameters, contact.parameters
    );
    text
}
