//! Registrations: who may register what, on disk before it is acknowledged, and found again after a restart.
//!
//! The endpoint holds the bindings and computes what a REGISTER makes of them; here they become rows of the store and come
//! back from it.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use denwa_sip_core::endpoint::{Binding, Instance, RequestHandle};
use denwa_sip_core::io::{Flow, Input as SipInput, Protocol, Provided, QueryId};
use denwa_sip_core::message::UriBuf;

use super::defence::Defence;
use super::desk::Desk;
use super::invitation::whence;
use super::{Event, Output};
use crate::store::StoredBinding;
use crate::store::thread::StoreRequest;

/// What is on its way to the store, and which contacts the log has been told of.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    storing: HashMap<u64, Storing>,
    next: u64,
    told: BTreeMap<String, Vec<Box<str>>>,
}

/// A REGISTER that is answered when the store has spoken.
#[derive(Debug)]
struct Storing {
    query: QueryId,
    number: String,
    /// The store has these contacts already, from before.
    renews: bool,
}

impl Registrar {
    /// Gives the endpoint the registrations of the store. What cannot be read any more is left out.
    pub(super) fn restore(&mut self, desk: &mut Desk, defence: &mut Defence, stored: &[StoredBinding]) {
        let mut by_number: BTreeMap<&str, Vec<Binding>> = BTreeMap::new();
        for row in stored {
            if desk.is_account(&row.number)
                && let Some(binding) = binding_of(row, desk)
            {
                by_number.entry(&row.number).or_default().push(binding);
            }
        }
        for (number, bindings) in by_number {
            let told = bindings.iter().map(|binding| binding.contact.as_str().into()).collect();
            self.told.insert(number.to_owned(), told);
            defence.registered(number, &bindings, desk.now);
            desk.endpoint.load_bindings(number, bindings, desk.now);
        }
    }

    /// The endpoint wants bindings kept before it answers.
    pub(super) fn store(&mut self, desk: &mut Desk, id: QueryId, number: &str, bindings: &[Binding]) {
        self.next += 1;
        let known = self.told.get(number);
        let renews = known.is_some_and(|known| {
            let is_known = |binding: &Binding| known.iter().any(|own| **own == *binding.contact.as_str());
            known.len() == bindings.len() && bindings.iter().all(is_known)
        });
        self.storing.insert(self.next, Storing { query: id, number: number.to_owned(), renews });
        let bindings = bindings.iter().map(|binding| row_of(number, binding, desk)).collect();
        desk.put(Output::Store(StoreRequest::PutRegistrations {
            id: self.next,
            number: number.to_owned(),
            bindings,
        }));
    }

    /// The store has kept them, or has not.
    ///
    /// A telephone that is registered stays so by renewing even while the store cannot be written: what the store has of it is
    /// older, and better than to call it no more. Whoever comes anew is refused, for a restart would not know him.
    pub(super) fn stored(&mut self, desk: &mut Desk, id: u64, outcome: &Result<(), String>) {
        let Some(Storing { query, number, renews }) = self.storing.remove(&id) else { return };
        let provided = match outcome {
            Ok(()) => Provided::Stored,
            Err(_) if renews => Provided::Stored,
            Err(cause) => {
                desk.tell(Event::StoreFailed {
                    cause: format!(
                        "the registration of {number} was refused, for it could not be kept: {cause}"
                    ),
                });
                Provided::Failed
            }
        };
        desk.endpoint.handle_input(SipInput::Provided { id: query, provided }, desk.now);
    }

    /// A REGISTER whose password was right: it must be for the extension that the password belongs to.
    pub(super) fn authenticated(
        desk: &mut Desk,
        request: RequestHandle,
        asked: &str,
        username: &str,
    ) -> bool {
        asked == username && desk.endpoint.accept_registration(request, asked, desk.now).is_ok()
    }

    /// The bindings of a number have changed: the log hears what is new and what is gone.
    pub(super) fn changed(&mut self, desk: &mut Desk, number: &str, bindings: &[Binding]) {
        let before = self.told.remove(number).unwrap_or_default();
        desk.lamps_moved |= before.is_empty() != bindings.is_empty();
        for contact in &before {
            if !bindings.iter().any(|binding| binding.contact.as_str() == &**contact) {
                let contact = contact.to_string();
                desk.tell(Event::Unregistered { number: number.to_owned(), contact, expired: false });
            }
        }
        // The newest is the one this REGISTER was about; it comes last or was replaced in its place.
        let newest = bindings.iter().max_by_key(|binding| binding.expires_at);
        for binding in bindings {
            let again = before.iter().any(|contact| **contact == *binding.contact.as_str());
            let is_newest = newest.is_some_and(|newest| newest.contact == binding.contact);
            if !again || is_newest {
                desk.tell(Event::Registered {
                    number: number.to_owned(),
                    contact: binding.contact.as_str().to_owned(),
                    from: whence(binding.flow.protocol, binding.flow.remote),
                    expires_in: binding.remaining(desk.now),
                    user_agent: binding.user_agent.to_string(),
                    again,
                });
            }
        }
        if !bindings.is_empty() {
            let told = bindings.iter().map(|binding| binding.contact.as_str().into()).collect();
            self.told.insert(number.to_owned(), told);
        }
    }

    /// A binding ran out.
    pub(super) fn expired(&mut self, desk: &mut Desk, number: &str, contact: &UriBuf) {
        if let Some(told) = self.told.get_mut(number) {
            told.retain(|known| **known != *contact.as_str());
            if told.is_empty() {
                self.told.remove(number);
            }
        }
        desk.lamps_moved = true;
        let contact = contact.as_str().to_owned();
        desk.tell(Event::Unregistered { number: number.to_owned(), contact, expired: true });
    }

    /// Extensions that are there no more lose their registrations.
    pub(super) fn forget_strangers(&mut self, desk: &mut Desk) {
        let gone: Vec<String> = self.told.keys().filter(|number| !desk.is_account(number)).cloned().collect();
        for number in gone {
            self.told.remove(&number);
            desk.endpoint.load_bindings(&number, Vec::new(), desk.now);
        }
    }
}

fn row_of(number: &str, binding: &Binding, desk: &Desk) -> StoredBinding {
    let instance = binding.instance.as_ref();
    StoredBinding {
        number: number.to_owned(),
        contact: binding.contact.as_str().to_owned(),
        parameters: binding.parameters.to_string(),
        q: binding.quality,
        expires_at: desk.time_of_day(binding.expires_at),
        call_id: binding.call_id.to_string(),
        cseq: binding.sequence,
        path: binding.path.join(", "),
        protocol: binding.flow.protocol.via_token().to_owned(),
        local: binding.flow.local,
        remote: binding.flow.remote,
        user_agent: binding.user_agent.to_string(),
        instance: instance.map(|instance| instance.id.to_string()).unwrap_or_default(),
        reg_id: instance.and_then(|instance| instance.registration).unwrap_or(0),
    }
}

fn binding_of(row: &StoredBinding, desk: &Desk) -> Option<Binding> {
    let expires_at: Instant = desk.instant_of(row.expires_at);
    Some(Binding {
        contact: UriBuf::parse(&row.contact).ok()?,
        parameters: row.parameters.as_str().into(),
        quality: row.q,
        expires_at,
        call_id: row.call_id.as_str().into(),
        sequence: row.cseq,
        path: paths(&row.path).map(Into::into).collect(),
        // A connection does not outlive the program: the telephone is called at its contact then.
        flow: Flow {
            protocol: Protocol::from_via_token(&row.protocol)?,
            local: row.local,
            remote: row.remote,
            stream: None,
        },
        user_agent: row.user_agent.as_str().into(),
        instance: (!row.instance.is_empty()).then(|| Instance {
            id: row.instance.as_str().into(),
            registration: (row.reg_id != 0).then_some(row.reg_id),
        }),
    })
}

/// Path values are name-addrs in angle brackets; commas inside them separate nothing.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |letter: char| {
        match letter {
            '<' => depth = depth.saturating_add(1),
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[test]
    fn paths_are_separated_by_commas_outside_brackets() {
        let text = "<sip:a;x=1,2;lr>, <sip:b;lr>";
        assert_eq!(paths(text).collect::<Vec<_>>(), ["<sip:a;x=1,2;lr>", "<sip:b;lr>"]);
        assert_eq!(paths("").count(), 0);
    }
}
