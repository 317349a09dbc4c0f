//! `dialog`: who is on the telephone? RFC 4235; the lamps of busy lamp fields.

use super::xml::{Element, Escaped, XmlError};
use crate::command::Body;
use std::fmt::Write as _;

/// The package's name, for `Event`.
pub const PACKAGE: &str = "dialog";
/// Its body's type.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogInfo {
    /// Counts up by one in each NOTIFY of a subscription.
    pub version: u32,
    /// Whether it lists all dialogs, or only what changed.
    pub partial: bool,
    /// Whose dialogs.
    pub entity: String,
    /// The dialogs.
    pub dialogs: Vec<DialogEntry>,
}

/// One dialog of the watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogEntry {
    /// Names it within the subscription.
    pub id: String,
    /// `Call-ID`.
    pub call_id: Option<String>,
    /// The tag of the watched.
    pub local_tag: Option<String>,
    /// The tag of the other end.
    pub remote_tag: Option<String>,
    /// Whether the watched placed the call.
    pub direction: Option<Direction>,
    /// Where it stands.
    pub state: DialogState,
    /// Why it is over: `cancelled`, `rejected`, `replaced`, `local-bye`, `remote-bye`, `error`, `timeout`.
    pub event: Option<String>,
    /// The watched.
    pub local: Option<Participant>,
    /// The other end.
    pub remote: Option<Participant>,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The watched.
    Initiator,
    /// The other end.
    Recipient,
}

/// Where a dialog stands (§3.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialogState {
    /// Dialled, nothing heard.
    Trying,
    /// Something is there.
    Proceeding,
    /// It rings.
    Early,
    /// Up.
    Confirmed,
    /// Over.
    #[default]
    Terminated,
}

const STATES: [(DialogState, &str); 5] = [
    (DialogState::Trying, "trying"),
    (DialogState::Proceeding, "proceeding"),
    (DialogState::Early, "early"),
    (DialogState::Confirmed, "confirmed"),
    (DialogState::Terminated, "terminated"),
];

impl DialogState {
    /// The word in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("terminated", |(_, word)| word)
    }
}

/// An end of a dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// Display name.
    pub display: Option<String>,
    /// Address.
    pub identity: String,
    /// Where the requests of the dialog go.
    pub target: Option<String>,
}

impl DialogInfo {
    /// The body of a NOTIFY.
    #[must_use]
    pub fn to_body(&self) -> Body {
        let mut out = String::from("<?xml version=\"1.0\"?>\r\n");
        let state = if self.partial { "partial" } else { "full" };
        let _ = write!(
            out,
            "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{}\" state=\"{state}\" entity=\"{}\">\r\n",
            self.version,
            Escaped(&self.entity)
        );
        for dialog in &self.dialogs {
            dialog.write(&mut out);
        }
        out.push_str("</dialog-info>\r\n");
        Body::new(CONTENT_TYPE, out)
    }

    /// Reads the body of a NOTIFY.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let root = Element::parse(text)?;
        if root.name != "dialog-info" {
            return Err(XmlError { offset: 0, expected: "dialog-info" });
        }
        Ok(Self {
            version: root.attribute("version").and_then(|it| it.parse().ok()).unwrap_or(0),
            partial: root.attribute("state") == Some("partial"),
            entity: root.attribute("entity").unwrap_or_default().to_owned(),
            dialogs: root.children_of("dialog").map(DialogEntry::read).collect(),
        })
    }
}

impl DialogEntry {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "<dialog id=\"{}\"", Escaped(&self.id));
        let direction = self.direction.map(|direction| match direction {
            Direction::Initiator => "initiator".to_owned(),
            Direction::Recipient => "recipient".to_owned(),
        });
        for (name, value) in [
            ("call-id", &self.call_id),
            ("local-tag", &self.local_tag),
            ("remote-tag", &self.remote_tag),
            ("direction", &direction),
        ] {
            if let Some(value) = value {
                let _ = write!(out, " {name}=\"{}\"", Escaped(value));
            }
        }
        let event =
            self.event.as_ref().map(|event| format!(" event=\"{}\"", Escaped(event))).unwrap_or_default();
        let _ = write!(out, ">\r\n<state{event}>{}</state>\r\n", self.state.as_str());
        for (name, participant) in [("local", &self.local), ("remote", &self.remote)] {
            let Some(Participant { display, identity, target }) = participant else { continue };
            let display =
                display.as_ref().map(|it| format!(" display=\"{}\"", Escaped(it))).unwrap_or_default();
            let _ = write!(out, "<{name}>\r\n<identity{display}>{}</identity>\r\n", Escaped(identity));
            if let Some(target) = target {
                let _ = write!(out, "<target uri=\"{}\"/>\r\n", Escaped(target));
            }
            let _ = write!(out, "</{name}>\r\n");
        }
        out.push_str("</dialog>\r\n");
    }

    fn read(element: &Element) -> Self {
        let attribute = |name: &str| element.attribute(name).map(str::to_owned);
        let state = element.child("state");
        let word = state.map(|state| state.text.trim()).unwrap_or_default();
        let participant = |name: &str| {
            let element = element.child(name)?;
            let identity = element.child("identity");
            Some(Participant {
                display: identity.and_then(|it| it.attribute("display")).map(str::to_owned),
                identity: identity.map(|it| it.text.trim().to_owned()).unwrap_or_default(),
                target: element.child("target").and_then(|it| it.attribute("uri")).map(str::to_owned),
            })
        };
        Self {
            id: attribute("id").unwrap_or_default(),
            call_id: attribute("call-id"),
            local_tag: attribute("local-tag"),
            remote_tag: attribute("remote-tag"),
            direction: match element.attribute("direction") {
                Some("initiator") => Some(Direction::Initiator),
                Some("recipient") => Some(Direction::Recipient),
                _ => None,
            },
            state: STATES.iter().find(|(_, own)| *own == word).map(|(state, _)| *state).unwrap_or_default(),
            event: state.and_then(|state| state.attribute("event")).map(str::to_owned),
            local: participant("local"),
            remote: participant("remote"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_and_read() {
        let info = DialogInfo {
            version: 7,
            partial: true,
            entity: "sip:1001@pbx.example".to_owned(),
            dialogs: vec![DialogEntry {
                id: "as7d<900".to_owned(),
                call_id: Some("a84b4c76e66710".to_owned()),
                local_tag: Some("1928301774".to_owned()),
                remote_tag: None,
                direction: Some(Direction::Recipient),
                state: DialogState::Early,
                event: None,
                local: Some(Participant {
                    identity: "sip:1001@pbx.example".to_owned(),
                    ..Participant::default()
                }),
                remote: Some(Participant {
                    display: Some("Bob & \"Co\"".to_owned()),
                    identity: "sip:bob@example.com".to_owned(),
                    target: Some("sip:bob@192.0.2.4;x=1".to_owned()),
                }),
            }],
        };
        let text = String::from_utf8(info.to_body().bytes.to_vec()).unwrap();
        assert_eq!(DialogInfo::parse(&text).unwrap(), info);
        assert!(DialogInfo::parse("<presence/>").is_err());
    }

    #[test]
    fn the_rfcs_own_example_is_read() {
        let text = "<?xml version=\"1.0\"?>
            <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"2\" state=\"partial\"
              entity=\"sip:alice@example.com\">
              <dialog id=\"as7d900as8\" call-id=\"a84b4c76e66710\" local-tag=\"1928301774\" remote-tag=\"hh76a\"
                direction=\"initiator\"><state event=\"rejected\">terminated</state></dialog></dialog-info>";
        let info = DialogInfo::parse(text).unwrap();
        assert_eq!((info.version, info.partial, info.dialogs.len()), (2, true, 1));
        let dialog = &info.dialogs[0];
        assert_eq!((dialog.state, dialog.event.as_deref()), (DialogState::Terminated, Some("rejected")));
        assert_eq!(dialog.direction, Some(Direction::Initiator));
    }
}
