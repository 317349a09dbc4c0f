//! `presence`: is somebody there, and what is he doing? RFC 3856, with the PIDF of RFC 3863 and the activities of RFC 4480.

use super::xml::{Element, Escaped, XmlError};
use crate::command::Body;
use std::fmt::Write as _;

/// The package's name, for `Event`.
pub const PACKAGE: &str = "presence";
/// Its body's type.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

/// A presence document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whose presence: `sip:` or `pres:`.
    pub entity: String,
    /// Ways to reach him.
    pub tuples: Vec<Tuple>,
    /// Words for people.
    pub notes: Vec<String>,
}

/// A way to reach somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Names it within the document.
    pub id: String,
    /// Whether it is open; `None` when it does not say.
    pub open: Option<bool>,
    /// Its address.
    pub contact: Option<String>,
    /// Words for people.
    pub note: Option<String>,
}

/// What somebody does, as telephones show it (RPID, RFC 4480 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// He has a call.
    OnThePhone,
    /// He is not to be disturbed.
    Busy,
}

impl Activity {
    fn element(self) -> &'static str {
        match self {
            Self::OnThePhone => "on-the-phone",
            Self::Busy => "busy",
        }
    }
}

impl Presence {
    /// One way, open or closed.
    #[must_use]
    pub fn simple(entity: impl Into<String>, open: bool, note: Option<&str>) -> Self {
        let tuple =
            Tuple { id: "t1".to_owned(), open: Some(open), contact: None, note: note.map(str::to_owned) };
        Self { entity: entity.into(), tuples: vec![tuple], notes: Vec::new() }
    }

    /// The body of a NOTIFY or PUBLISH.
    #[must_use]
    pub fn to_body(&self) -> Body {
        self.to_body_with(None)
    }

    /// The same with what the person is doing.
    #[must_use]
    pub fn to_body_with(&self, activity: Option<Activity>) -> Body {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        let entity = Escaped(&self.entity);
        let more = if activity.is_some() {
            " xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\""
        } else {
            ""
        };
        let _ = write!(out, "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"{more} entity=\"{entity}\">\r\n");
        for tuple in &self.tuples {
            let _ = write!(out, "<tuple id=\"{}\">\r\n<status>", Escaped(&tuple.id));
            if let Some(open) = tuple.open {
                let _ = write!(out, "<basic>{}</basic>", if open { "open" } else { "closed" });
            }
            out.push_str("</status>\r\n");
            if let Some(contact) = &tuple.contact {
                let _ = write!(out, "<contact>{}</contact>\r\n", Escaped(contact));
            }
            if let Some(note) = &tuple.note {
                let _ = write!(out, "<note>{}</note>\r\n", Escaped(note));
            }
            out.push_str("</tuple>\r\n");
        }
        for note in &self.notes {
            let _ = write!(out, "<note>{}</note>\r\n", Escaped(note));
        }
        if let Some(activity) = activity {
            let element = activity.element();
            let _ = write!(
                out,
                "<dm:person id=\"p1\"><rpid:activities><rpid:{element}/></rpid:activities></dm:person>\r\n"
            );
        }
        out.push_str("</presence>\r\n");
        Body::new(CONTENT_TYPE, out)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let root = Element::parse(text)?;
        if root.name != "presence" {
            return Err(XmlError { offset: 0, expected: "presence" });
        }
        let tuple = |element: &Element| Tuple {
            id: element.attribute("id").unwrap_or_default().to_owned(),
            open: match element.child("status").and_then(|status| status.text_of("basic")) {
                Some("open") => Some(true),
                Some("closed") => Some(false),
                _ => None,
            },
            contact: element.text_of("contact").map(str::to_owned),
            note: element.text_of("note").map(str::to_owned),
        };
        Ok(Self {
            entity: root.attribute("entity").unwrap_or_default().to_owned(),
            tuples: root.children_of("tuple").map(tuple).collect(),
            notes: root.children_of("note").map(|note| note.text.trim().to_owned()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_and_read() {
        let mut presence = Presence::simple("sip:alice@example.com", false, Some("gone <fishing>"));
        presence.notes.push("back soon".to_owned());
        let text = String::from_utf8(presence.to_body().bytes.to_vec()).unwrap();
        assert_eq!(Presence::parse(&text).unwrap(), presence);
    }

    #[test]
    fn an_activity_is_said_beside_it_and_does_not_disturb() {
        let presence = Presence::simple("sip:alice@example.com", true, None);
        let body = presence.to_body_with(Some(Activity::OnThePhone));
        let text = String::from_utf8(body.bytes.to_vec()).unwrap();
        assert!(text.contains("<rpid:activities><rpid:on-the-phone/></rpid:activities>"), "{text}");
        assert_eq!(Presence::parse(&text).unwrap(), presence);
    }

    #[test]
    fn the_rfcs_own_example_is_read() {
        let text =
            "<impp:presence xmlns:impp=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:someone@example.com\">
            <impp:tuple id=\"sg89ae\"><impp:status><impp:basic>open</impp:basic></impp:status>
            <impp:contact priority=\"0.8\">tel:+09012345678</impp:contact></impp:tuple></impp:presence>";
        let presence = Presence::parse(text).unwrap();
        assert_eq!(presence.tuples[0].open, Some(true));
        assert_eq!(presence.tuples[0].contact.as_deref(), Some("tel:+09012345678"));
    }
}
