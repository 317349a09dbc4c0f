//! `reg`: who is registered, and where? RFC 3680.

use super::xml::{Element, Escaped, XmlError};
use crate::command::Body;
use std::fmt::Write as _;

/// The package's name, for `Event`.
pub const PACKAGE: &str = "reg";
/// Its body's type.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegInfo {
    /// Counts up by one in each NOTIFY of a subscription.
    pub version: u32,
    /// Whether it lists everything, or only what changed.
    pub partial: bool,
    /// Each address of record.
    pub registrations: Vec<RegistrationEntry>,
}

/// One address of record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationEntry {
    /// The address.
    pub address_of_record: String,
    /// Names it within the subscription.
    pub id: String,
    /// `init`, `active` or `terminated`.
    pub state: String,
    /// Its contacts.
    pub contacts: Vec<ContactEntry>,
}

/// One contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactEntry {
    /// Names it within the subscription.
    pub id: String,
    /// `active` or `terminated`.
    pub state: String,
    /// What happened: `registered`, `created`, `refreshed`, `shortened`, `expired`, `deactivated`, `probation`,
    /// `unregistered`, `rejected`.
    pub event: String,
    /// Seconds that are left.
    pub expires: Option<u32>,
    /// The contact's address.
    pub uri: String,
}

impl RegInfo {
    /// The body of a NOTIFY.
    #[must_use]
    pub fn to_body(&self) -> Body {
        let mut out = String::from("<?xml version=\"1.0\"?>\r\n");
        let state = if self.partial { "partial" } else { "full" };
        let version = self.version;
        let _ = write!(
            out,
            "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"{state}\">\r\n"
        );
        for entry in &self.registrations {
            let (aor, id, state) =
                (Escaped(&entry.address_of_record), Escaped(&entry.id), Escaped(&entry.state));
            let _ = write!(out, "<registration aor=\"{aor}\" id=\"{id}\" state=\"{state}\">\r\n");
            for contact in &entry.contacts {
                let (id, state, event) =
                    (Escaped(&contact.id), Escaped(&contact.state), Escaped(&contact.event));
                let expires = contact.expires.map(|it| format!(" expires=\"{it}\"")).unwrap_or_default();
                let uri = Escaped(&contact.uri);
                let _ = write!(
                    out,
                    "<contact id=\"{id}\" state=\"{state}\" event=\"{event}\"{expires}>\r\n<uri>{uri}</uri>\r\n</contact>\r\n"
                );
            }
            out.push_str("</registration>\r\n");
        }
        out.push_str("</reginfo>\r\n");
        Body::new(CONTENT_TYPE, out)
    }

    /// Reads the body of a NOTIFY.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let root = Element::parse(text)?;
        if root.name != "reginfo" {
            return Err(XmlError { offset: 0, expected: "reginfo" });
        }
        let text = |element: &Element, name: &str| element.attribute(name).unwrap_or_default().to_owned();
        let contact = |element: &Element| ContactEntry {
            id: text(element, "id"),
            state: text(element, "state"),
            event: text(element, "event"),
            expires: element.attribute("expires").and_then(|it| it.parse().ok()),
            uri: element.text_of("uri").unwrap_or_default().to_owned(),
        };
        let registration = |element: &Element| RegistrationEntry {
            address_of_record: text(element, "aor"),
            id: text(element, "id"),
            state: text(element, "state"),
            contacts: element.children_of("contact").map(contact).collect(),
        };
        Ok(Self {
            version: root.attribute("version").and_then(|it| it.parse().ok()).unwrap_or(0),
            partial: root.attribute("state") == Some("partial"),
            registrations: root.children_of("registration").map(registration).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_and_read() {
        let info = RegInfo {
            version: 1,
            partial: false,
            registrations: vec![RegistrationEntry {
                address_of_record: "sip:1001@pbx.example".to_owned(),
                id: "a7".to_owned(),
                state: "active".to_owned(),
                contacts: vec![ContactEntry {
                    id: "76".to_owned(),
                    state: "active".to_owned(),
                    event: "registered".to_owned(),
                    expires: Some(300),
                    uri: "sip:1001@192.0.2.7;x=\"<&\"".to_owned(),
                }],
            }],
        };
        let text = String::from_utf8(info.to_body().bytes.to_vec()).unwrap();
        assert_eq!(RegInfo::parse(&text).unwrap(), info);
    }
}
