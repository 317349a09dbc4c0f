//! Who calls and what he dialled, before anything rings.

use std::net::SocketAddr;

use denwa_sip_core::endpoint::RequestHandle;
use denwa_sip_core::io::{Flow, Protocol};
use denwa_sip_core::message::Request;

use super::desk::Desk;
use crate::config::{self, IdentityHeader, Voice};
use crate::links::Link;
use crate::route::Plan;

/// An INVITE from somebody who may call.
#[derive(Clone, Debug)]
pub(super) struct Invitation {
    pub(super) request: RequestHandle,
    pub(super) message: Request,
    pub(super) flow: Flow,
    pub(super) caller: Caller,
    pub(super) dialled: String,
}

/// Whose call one is.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) caller: Caller,
    pub(super) dialled: String,
    /// The Call-ID of his INVITE and how it came; `None` for a call that the exchange makes by itself.
    pub(super) came: Option<(String, Flow)>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) kind: CallerKind,
    /// The number shown to the callee.
    pub(super) number: String,
    /// The name shown to the callee; may be empty.
    pub(super) name: String,
    /// Whether its number is not to be shown.
    pub(super) withheld: bool,
    /// Whether the telephones it calls are to answer by themselves.
    pub(super) intercom: bool,
    /// How voice travels to and from it.
    pub(super) voice: Voice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallerKind {
    /// An extension that proved its password.
    Extension,
    /// A neighbour known by its address.
    Trunk(String),
    /// The exchange by itself: a wake-up call, a call back, an announcement to many, a test.
    Exchange,
}

impl Caller {
    /// The exchange itself, under a number and a name that its service is known by.
    pub(super) fn exchange(number: &str, name: &str) -> Self {
        Self {
            kind: CallerKind::Exchange,
            number: number.to_owned(),
            name: name.to_owned(),
            withheld: false,
            intercom: false,
            voice: Voice::default(),
        }
    }

    /// The extension that proved to be `number`.
    pub(super) fn extension(number: &str, desk: &Desk) -> Option<Self> {
        let account = desk.directory.get(number)?;
        Some(Self {
            kind: CallerKind::Extension,
            number: account.number.clone(),
            name: account.name.clone(),
            withheld: false,
            intercom: false,
            voice: account.voice.clone(),
        })
    }

    /// A call from a neighbour, who says himself whom he calls for.
    ///
    /// His number is shown as it has to be dialled from here, with the prefix that leads to that neighbour: whoever calls it
    /// back reaches him, over any number of hops that do the same.
    pub(super) fn trunk(link: &Link, message: &Request, plan: &Plan) -> Self {
        let from = message.from().ok();
        let number = from.as_ref().and_then(|from| from.uri.user_unescaped()).map(|user| user.into_owned());
        let style = &link.trunk.style;
        let asserted = match style.identity {
            IdentityHeader::Asserted => number_in(message, "P-Asserted-Identity"),
            IdentityHeader::RemoteParty => number_in(message, "Remote-Party-ID"),
            IdentityHeader::None | IdentityHeader::Preferred => None,
        };
        let number = asserted.or(number).map(|number| style.incoming(&number));
        let name = from.and_then(|from| from.display_name).map(|name| name.text().into_owned());
        let number =
            number.filter(|number| config::is_number(number) && number != "anonymous").map(|number| {
                let prefix = plan
                    .prefix_to(&link.trunk.name)
                    .filter(|_| link.trunk.rewrite_caller)
                    .unwrap_or_default();
                let dialled_back = format!("{prefix}{number}");
                if config::is_number(&dialled_back) { dialled_back } else { number }
            });
        Self {
            kind: CallerKind::Trunk(link.trunk.name.clone()),
            number: number.unwrap_or_else(|| "anonymous".to_owned()),
            name: name
                .map(|name| name.chars().filter(|letter| !letter.is_control()).take(64).collect())
                .unwrap_or_default(),
            withheld: is_withheld(message),
            intercom: false,
            voice: link.trunk.voice.clone(),
        }
    }

    /// `extension 1001` or `trunk lab`.
    pub(super) fn side(&self) -> String {
        match &self.kind {
            CallerKind::Extension => format!("extension {}", self.number),
            CallerKind::Trunk(name) => format!("trunk {name}"),
            CallerKind::Exchange => "exchange".to_owned(),
        }
    }

    /// For the log: `1001 "Kitchen" (extension, udp 192.0.2.1:5060)`.
    pub(super) fn described(&self, flow: &Flow) -> String {
        let kind = match &self.kind {
            CallerKind::Extension => "extension".to_owned(),
            CallerKind::Trunk(name) => format!("trunk {name}"),
            CallerKind::Exchange => "this exchange".to_owned(),
        };
        let name = if self.name.is_empty() { String::new() } else { format!(" \"{}\"", self.name) };
        format!("{}{name} ({kind}, {})", self.number, whence(flow.protocol, flow.remote))
    }
}

/// Whether a neighbour asks that its caller not be shown (RFC 3323, RFC 3325 section 7).
fn is_withheld(message: &Request) -> bool {
    let words =
        |value: &str| value.split([';', ',']).any(|word| matches!(word.trim(), "id" | "user" | "header"));
    let party = message.get("Remote-Party-ID").unwrap_or_default();
    message.get_all("Privacy").any(words) || party.contains("privacy=full") || party.contains("privacy=uri")
}

/// The number in a header that names somebody.
pub(super) fn number_in(message: &Request, header: &str) -> Option<String> {
    let value = message.get(header)?;
    let (_, rest) = value.split_once("sip:").or_else(|| value.split_once("tel:"))?;
    let user = rest.split(['@', ';', '>']).next()?;
    config::is_number(user).then(|| user.to_owned())
}

/// The number in the request line, `#` and the like unescaped; empty when there is none that can be dialled.
pub(super) fn dialled(message: &Request) -> String {
    let user = message.uri().ok().and_then(|uri| match uri.user_unescaped() {
        Some(user) => Some(user.into_owned()),
        // tel:+81312345678
        None if uri.scheme_str().eq_ignore_ascii_case("tel") => Some(uri.opaque().to_owned()),
        None => None,
    });
    // RFC 3261 section 19.1.6: parameters of a telephone number stand in the user part.
    let user = user.unwrap_or_default();
    user.split(';').next().unwrap_or_default().to_owned()
}

/// `udp 192.0.2.1:5060`
pub(super) fn whence(protocol: Protocol, remote: SocketAddr) -> String {
    // A URI calls both kinds of WebSockets the same.
    format!("{} {remote}", protocol.via_token().to_ascii_lowercase())
}
