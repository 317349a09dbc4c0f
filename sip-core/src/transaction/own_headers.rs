//! Via and Contact of requests that leave from here, once it is known by which way.

use super::{ContactTemplate, SendOptions, key::Branch};
use crate::{
    error::BuildError,
    header::HeaderName,
    io::{Flow, Protocol},
    message::Request,
    transport::{Listeners, OwnName},
};
use bytes::Bytes;

/// A request of the layer above as it leaves on a flow: with our Via on top, and with our Contact where one is wanted.
pub(super) fn complete(
    request: &Request,
    options: Option<&SendOptions>,
    branch: &Branch<'_>,
    flow: &Flow,
    listeners: &Listeners,
    offers_overload: bool,
) -> Result<Bytes, BuildError> {
    let own = own_name(options, flow, listeners);
    let via = via_text(flow.protocol, own, branch, offers_overload);
    let mut edit = request.edit().prepend(HeaderName::Via, via);
    if let Some(contact) = options.and_then(|options| options.contact.as_ref()) {
        edit = edit.set(HeaderName::Contact, contact_text(contact, flow.protocol, own, request));
    }
    Ok(edit.finish()?.bytes().clone())
}

/// What stands for us in the Via of a request that leaves on this flow.
pub(super) fn own_name<'a>(
    options: Option<&'a SendOptions>,
    flow: &Flow,
    listeners: &'a Listeners,
) -> OwnName<'a> {
    match options.and_then(|options| options.sent_by.as_ref()) {
        Some(sent_by) => OwnName::Told(sent_by),
        None => listeners.own_name(flow.protocol, flow.local),
    }
}

/// The top Via of a request of ours: `rport` always (RFC 3581 §3), `alias` on TLS (RFC 5923 §8.1).
fn via_text(protocol: Protocol, own: OwnName<'_>, branch: &Branch<'_>, offers_overload: bool) -> String {
    let mut text = String::with_capacity(128);
    text.push_str("SIP/2.0/");
    text.push_str(protocol.via_token());
    text.push(' ');
    own.push_to(&mut text);
    text.push_str(";branch=");
    branch.push_to(&mut text);
    text.push_str(match protocol {
        Protocol::Udp | Protocol::Tcp | Protocol::Ws | Protocol::Wss => ";rport",
        Protocol::Tls => ";alias;rport",
    });
    if offers_overload {
        text.push_str(";oc;oc-algo=\"loss\"");
    }
    text
}

/// Our Contact in a request, or in the response to one: `sips` when that was asked for (RFC 3261 §8.1.1.8, §12.1.1).
pub(super) fn contact_text(
    contact: &ContactTemplate,
    protocol: Protocol,
    own: OwnName<'_>,
    request: &Request,
) -> String {
    if let Some(uri) = &contact.uri {
        return format!("<{uri}>{}", contact.parameters);
    }
    let is_sips = request.uri_text().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    let mut text = String::with_capacity(96);
    text.push_str(if is_sips { "<sips:" } else { "<sip:" });
    let user = crate::message::escape_user(&contact.user);
    if !user.is_empty() {
        text.push_str(&user);
        text.push('@');
    }
    own.push_to(&mut text);
    match protocol {
        Protocol::Udp => {}
        // A sips URI says TLS by itself; `transport=tls` is what the field understands otherwise.
        Protocol::Tls if is_sips => {}
        other => {
            text.push_str(";transport=");
            text.push_str(other.uri_token());
        }
    }
    text.push_str(&contact.uri_parameters);
    text.push('>');
    text.push_str(&contact.parameters);
    text
}
