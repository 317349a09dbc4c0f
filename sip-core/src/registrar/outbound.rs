//! Outbound at the registrar (RFC 5626 §6): may this REGISTER have its flow kept, so that requests come back on it?

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    header::{HeaderName, NameAddr},
    message::Request,
};

/// What becomes of a wish for outbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// The device did not ask, or this registrar does not offer it.
    Unused,
    /// Its flow is kept: `Require: outbound` in the 200.
    Granted,
    /// The first hop would not keep it: 439.
    FirstHopLacksIt,
}

/// Judges a REGISTER. It came directly when it has one Via; else the first edge, the last value of `Path`, has to say
/// `ob` (§6).
pub(crate) fn judge(message: &Request, offered: bool) -> Outbound {
    let asks = offered
        && message.lists(HeaderName::Supported, "outbound")
        && message
            .list_as::<NameAddr<'_>>(HeaderName::Contact)
            .flatten()
            .any(|contact| contact.params.has("reg-id") && contact.params.has("+sip.instance"));
    if !asks {
        return Outbound::Unused;
    }
    let first_edge = message.list_as::<NameAddr<'_>>(HeaderName::Path).flatten().last();
    match first_edge {
        Some(edge) if edge.uri.params().has("ob") => Outbound::Granted,
        None if message.vias().count() == 1 => Outbound::Granted,
        _ => Outbound::FirstHopLacksIt,
    }
}
