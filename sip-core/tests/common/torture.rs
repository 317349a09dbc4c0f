//! What the torture tests ask of each message.

#![allow(dead_code)]

use bytes::Bytes;
use denwa_sip_core::{
    Attitude, HeaderName, Message, Protocol,
    config::{Listener, TransactionConfig},
    header::{Contacts, NameAddr},
    message::ParseOptions,
    transaction::TransactionEvent,
};

use crate::common::{A, B, Bench, address};

/// Reads strictly, headers included.
pub(crate) fn strictly(bytes: &Bytes) -> Result<Message, denwa_sip_core::ParseError> {
    let message = Message::parse(bytes.clone(), &ParseOptions::strict())?;
    message.validate(Attitude::Strict)?;
    Ok(message)
}

/// A valid message: accepted by both attitudes, kept byte for byte by an edit that is taken back, and written anew in
/// strict form it means the same.
pub(crate) fn valid(bytes: &Bytes) -> Message {
    let message = strictly(bytes).unwrap();
    let lenient = Message::parse_lenient(bytes.clone()).unwrap();
    assert_eq!(lenient.validate(Attitude::Lenient).unwrap(), [], "nothing had to be forgiven");
    keeps_what_is_not_touched(&message);
    means_the_same(&message);
    message
}

fn keeps_what_is_not_touched(message: &Message) {
    let edited = match message {
        Message::Request(request) => {
            let edited = request.edit().prepend("X-Test", "1").finish().unwrap();
            Message::Request(edited.edit().remove("X-Test").finish().unwrap())
        }
        Message::Response(response) => {
            let edited = response.edit().prepend("X-Test", "1").finish().unwrap();
            Message::Response(edited.edit().remove("X-Test").finish().unwrap())
        }
    };
    // White space behind a value is the one thing that may go.
    let lines = |message: &Message| {
        let text = String::from_utf8_lossy(&message.bytes()[..message.bytes().len() - message.body().len()])
            .into_owned();
        text.split("\r\n").map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(lines(&edited), lines(message));
    assert_eq!(edited.body(), message.body());
}

fn means_the_same(message: &Message) {
    let anew = message.normalized().unwrap();
    let bytes = anew.bytes().clone();
    let anew =
        strictly(&bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!(anew.body(), message.body());
    assert_eq!(facts(&anew), facts(message));
    // Once in strict form, it stays as it is.
    assert_eq!(anew.normalized().unwrap().bytes(), anew.bytes());
}

/// What a message says, by the typed headers.
fn facts(message: &Message) -> Vec<String> {
    let mut facts = match message {
        Message::Request(request) => {
            vec![
                request.method().to_string(),
                request.uri().unwrap().for_request().as_uri().to_strict().to_string(),
            ]
        }
        Message::Response(response) => vec![response.status().to_string(), response.reason().to_owned()],
    };
    let address = |address: NameAddr<'_>| {
        let params: Vec<String> = address
            .params
            .iter()
            .map(|param| format!("{}={:?}", param.name.to_lowercase(), param.value))
            .collect();
        let name = address.display_name.map(|name| {
            // A control character, escaped or not, is never written.
            name.text().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
        });
        format!("{:?} {} {params:?}", name.filter(|name| !name.is_empty()), address.uri.to_strict())
    };
    facts.extend(message.vias().map(|via| {
        let via = via.unwrap();
        let params: Vec<String> =
            via.params.iter().map(|param| format!("{}={:?}", param.name, param.value)).collect();
        format!("{} {} {:?} {params:?}", via.transport, via.host, via.port)
    }));
    facts.extend([message.from(), message.to()].map(|who| address(who.unwrap())));
    facts.push(message.call_id().unwrap().to_owned());
    facts.push(message.cseq().unwrap().to_string());
    match message.contacts().unwrap() {
        Contacts::Wildcard => facts.push("*".into()),
        Contacts::List(list) => facts.extend(list.into_iter().map(address)),
    }
    facts.extend(message.routes().map(|route| address(route.unwrap())));
    facts.push(format!("{:?} {:?}", message.max_forwards().unwrap(), message.expires().unwrap()));
    for header in message.headers() {
        if let denwa_sip_core::header::Name::Other(name) = header.name {
            facts.push(format!("{name}: {}", header.value.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    facts.push(
        message.get(HeaderName::Subject).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
    );
    facts
}

/// A layer that reads by an attitude.
pub(crate) fn layer(attitude: Attitude) -> Bench {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(B))]);
    config.parse.attitude = attitude;
    Bench::with(config)
}

/// What a server makes of a datagram: the status it answers by itself, or `None` and whether the layer above sees it.
pub(crate) fn served(bytes: &Bytes, attitude: Attitude) -> (Option<u16>, bool) {
    let mut b = layer(attitude);
    b.datagram(A, bytes);
    let status = b.statuses_sent().first().copied();
    let seen = b
        .events
        .iter()
        .any(|event| matches!(event, TransactionEvent::Request { .. } | TransactionEvent::Response { .. }));
    (status, seen)
}

/// An invalid request: refused strictly, with this status; and leniently it breaks nothing.
pub(crate) fn invalid(bytes: &Bytes, status: u16) {
    let error = strictly(bytes).unwrap_err();
    assert_eq!(error.status().code(), status, "{error}");
    assert!(error.offset <= bytes.len());
    assert_eq!(served(bytes, Attitude::Strict), (Some(status), false));
    served(bytes, Attitude::Lenient);
}

/// An invalid response: dropped.
#[allow(dead_code, reason = "RFC 5118 has no such message")]
pub(crate) fn dropped(bytes: &Bytes) {
    strictly(bytes).unwrap_err();
    for attitude in [Attitude::Strict, Attitude::Lenient] {
        assert_eq!(served(bytes, attitude), (None, false));
    }
}

/// Invalid, but what is meant is plain: the lenient attitude takes it, says so, and writes it in strict form.
pub(crate) fn understood(bytes: &Bytes) -> Message {
    let message = Message::parse_lenient(bytes.clone()).unwrap();
    assert_ne!(message.validate(Attitude::Lenient).unwrap(), []);
    let anew = message.normalized().unwrap();
    strictly(anew.bytes()).unwrap();
    assert_eq!(facts(&anew), facts(&message));
    message
}
