//! A REGISTER on its way through the registrar: read, computed, stored, answered (RFC 3261 §10.3).

use super::{Endpoint, requests::Stage};
use crate::{
    command::{Headers, Reply, Route},
    context::Query,
    dialog::values,
    error::{Attitude, Misuse},
    event::{Event, RequestEnd},
    handle::RequestHandle,
    header::{self, HeaderName, HeaderValue as _, NameAddr},
    io::{Flow, Lookup, Provided},
    limits::Limit,
    message::{Method, Request, StatusCode, Uri},
    registrar::{
        RecordHandle,
        binding::{
            self, Binding, Change, ContactUpdate, Contacts, Instance, Registration, RegistrationRefusal,
        },
        gruu::{self, Gruus},
        outbound::{self, Outbound},
    },
    subscription::reg::{ContactEntry, RegInfo, RegistrationEntry},
    transport::Target,
};
use std::{sync::Arc, time::Instant};

impl Endpoint {
    /// Lets a REGISTER change the bindings of an address of record, in whatever canonical form the application keeps
    /// them. It is answered when the store has the outcome; [`Event::BindingsChanged`] follows.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when the request has ended, [`Misuse::Method`] when it is no REGISTER.
    pub fn accept_registration(
        &mut self,
        request: RequestHandle,
        address_of_record: &str,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let pending = self.requests.get_mut(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() != Method::Register {
            return Err(Misuse::Method);
        }
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        let known = self.registrar.find(address_of_record).is_some();
        if !known && self.registrar.len() >= self.cx.config.limits.addresses_of_record {
            self.cx.limit(Limit::AddressesOfRecord);
            let _ = self.send_reply(request, &Reply::new(StatusCode::SERVICE_UNAVAILABLE));
            self.end_request(request, RequestEnd::Answered(StatusCode::SERVICE_UNAVAILABLE));
            self.settle();
            return Ok(());
        }
        let record =
            self.registrar.enter(address_of_record).ok_or(Misuse::Limit(Limit::AddressesOfRecord))?;
        pending.stage = Stage::Queued { address_of_record: address_of_record.into() };
        if let Some(record) = self.registrar.get_mut(record) {
            record.queue_up(request);
        }
        self.register_next(record);
        self.settle();
        Ok(())
    }

    /// The bindings of an address of record that have not run out, best first.
    #[must_use]
    pub fn bindings(&self, address_of_record: &str) -> Vec<&Binding> {
        let record = self.registrar.find(address_of_record).and_then(|handle| self.registrar.get(handle));
        let mut alive: Vec<&Binding> = record
            .map_or(&[][..], |record| &*record.bindings)
            .iter()
            .filter(|binding| binding.expires_at > self.cx.now)
            .collect();
        alive.sort_by_key(|binding| std::cmp::Reverse(binding.quality));
        alive
    }

    /// What the `reg` event package says of an address of record (RFC 3680): the body of a NOTIFY to whoever watches it.
    /// `version` counts up by one in each NOTIFY of one subscription.
    #[must_use]
    pub fn registration_info(&self, address_of_record: &str, version: u32) -> RegInfo {
        let now = self.cx.now;
        let bindings = self.bindings(address_of_record);
        let contact = |binding: &&Binding| ContactEntry {
            id: crate::random::hex(&gruu::mark(binding.contact.as_str())),
            state: "active".to_owned(),
            event: "registered".to_owned(),
            expires: u32::try_from(binding.remaining(now).as_secs()).ok(),
            uri: binding.contact.to_string(),
        };
        let state = if bindings.is_empty() { "init" } else { "active" };
        let registration = RegistrationEntry {
            address_of_record: address_of_record.to_owned(),
            id: crate::random::hex(&gruu::mark(address_of_record)),
            state: state.to_owned(),
            contacts: bindings.iter().map(contact).collect(),
        };
        RegInfo { version, partial: false, registrations: vec![registration] }
    }

    /// Every address of record that has bindings.
    pub fn registered(&self) -> impl Iterator<Item = &str> {
        self.registrar.names()
    }

    /// Puts in what the store kept over a restart, or what another node of an exchange registered. Replaces what is
    /// held of this address of record; an empty list removes it.
    pub fn load_bindings(&mut self, address_of_record: &str, bindings: Vec<Binding>, now: Instant) {
        self.enter(now);
        if let Some(handle) = self.registrar.enter(address_of_record) {
            self.put(handle, bindings);
        }
        self.settle();
    }

    /// Takes up the next REGISTER that waits for its turn.
    fn register_next(&mut self, record: RecordHandle) {
        loop {
            let Some(held) = self.registrar.get_mut(record) else { return };
            if held.is_storing() {
                return;
            }
            let Some(request) = held.next_turn() else {
                self.registrar.tidy(record);
                return;
            };
            let name: Arc<str> = (*held.address_of_record).into();
            let bindings = held.bindings.clone();
            let Some(pending) = self.requests.get_mut(request) else { continue };
            let policy = self.cx.config.registrar.expiry;
            let wish = outbound::judge(&pending.message, self.cx.config.registrar.outbound);
            let outcome = match read(&pending.message, pending.flow) {
                Ok(_) if wish == Outbound::FirstHopLacksIt => {
                    Err((Reply::new(StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT), None))
                }
                Ok(registration) => {
                    binding::apply(&bindings, &registration, &policy, self.cx.now).map_err(refusal_reply)
                }
                Err(reply) => Err((*reply, None)),
            };
            match outcome {
                Ok(change) if change.changed => {
                    let lookup = Lookup::StoreBindings {
                        address_of_record: name.clone(),
                        bindings: change.bindings.clone().into(),
                    };
                    pending.stage = Stage::Storing { address_of_record: name, change: Box::new(change) };
                    if let Some(held) = self.registrar.get_mut(record) {
                        held.store(request);
                    }
                    self.cx.ask(Query::StoreBindings(request), lookup);
                    return;
                }
                Ok(_) => {
                    pending.stage = Stage::Open;
                    self.answer_registration(request, &name, &bindings);
                    self.end_request(request, RequestEnd::Registered);
                }
                Err((reply, refusal)) => {
                    pending.stage = Stage::Open;
                    let _ = self.send_reply(request, &reply);
                    let end = match refusal {
                        Some(refusal) => RequestEnd::RegistrationRefused(refusal),
                        None => RequestEnd::Answered(reply.status),
                    };
                    self.end_request(request, end);
                }
            }
        }
    }

    /// The store's word on an outcome.
    pub(crate) fn bindings_stored(&mut self, request: RequestHandle, provided: &Provided) {
        let Some(pending) = self.requests.get_mut(request) else { return };
        let Stage::Storing { address_of_record, change } = std::mem::replace(&mut pending.stage, Stage::Open)
        else {
            return;
        };
        let record = self.registrar.find(&address_of_record);
        if let Some(held) = record.and_then(|record| self.registrar.get_mut(record)) {
            held.stored();
        }
        if matches!(provided, Provided::Stored) {
            let Change { bindings, .. } = *change;
            if let Some(record) = record {
                self.put(record, bindings.clone());
            }
            self.answer_registration(request, &address_of_record, &bindings);
            self.end_request(request, RequestEnd::Registered);
            let address_of_record = address_of_record.to_string();
            self.cx.event(Event::BindingsChanged { address_of_record, bindings });
        } else {
            // Nothing changed (§10.3 step 7).
            let _ = self.send_reply(request, &Reply::new(StatusCode::SERVER_INTERNAL_ERROR));
            self.end_request(request, RequestEnd::StoreFailed);
        }
        if let Some(record) = record {
            self.register_next(record);
        }
    }

    fn answer_registration(&mut self, request: RequestHandle, address_of_record: &str, bindings: &[Binding]) {
        let now = self.cx.now;
        let mut reply = Reply::new(StatusCode::OK);
        let Some(pending) = self.requests.get(request) else { return };
        let policy = &self.cx.config.registrar;
        let wish = outbound::judge(&pending.message, policy.outbound);
        let names = (policy.gruu && pending.message.lists(HeaderName::Supported, "gruu"))
            .then(|| address_of_record.to_owned());
        if wish == Outbound::Granted {
            let _ = reply.headers.push(HeaderName::Require.as_str(), "outbound");
            if let Some(timer) = policy.flow_timer {
                let _ = reply.headers.push(HeaderName::FlowTimer.as_str(), timer.as_secs());
            }
        }
        // RFC 3327 §5.3: what was stored is told.
        let path = values(&pending.message, HeaderName::Path);
        for binding in bindings.iter().filter(|binding| binding.expires_at > now) {
            let gruus = names.as_deref().and_then(|name| self.gruus_of(name, binding)).unwrap_or_default();
            let _ = reply.headers.push(HeaderName::Contact.as_str(), contact_text(binding, &gruus, now));
        }
        for hop in path {
            let _ = reply.headers.push(HeaderName::Path.as_str(), hop);
        }
        let _ = self.send_reply(request, &reply);
    }

    /// The parameters that grant a device its GRUUs (RFC 5627 §5.3).
    fn gruus_of(&mut self, address_of_record: &str, binding: &Binding) -> Option<String> {
        let instance = &binding.instance.as_ref()?.id;
        let public = Gruus::public(address_of_record, instance)?;
        let random = &mut self.cx.random;
        let temporary = self.gruus.temporary(random, address_of_record, instance, &binding.call_id)?;
        Some(format!(";pub-gruu=\"{public}\";temp-gruu=\"{temporary}\""))
    }

    /// The bindings a request line leads to that is a GRUU granted here: those of one device, the newest flow first
    /// (RFC 5627 §6.1). `None`: it is none of ours, or the device is not registered any more.
    #[must_use]
    pub fn bindings_of_gruu(&self, uri: &Uri<'_>) -> Option<Vec<&Binding>> {
        let meaning = self.gruus.read(uri)?;
        let fits = |binding: &&Binding| {
            binding
                .instance
                .as_ref()
                .is_some_and(|it| gruu::bare(&it.id).eq_ignore_ascii_case(&meaning.instance))
                && meaning.call.is_none_or(|call| gruu::mark(&binding.call_id) == call)
        };
        let mut found: Vec<&Binding> =
            self.bindings(&meaning.address_of_record).into_iter().filter(fits).collect();
        found.sort_by_key(|binding| std::cmp::Reverse(binding.expires_at));
        (!found.is_empty()).then_some(found)
    }

    fn put(&mut self, handle: RecordHandle, bindings: Vec<Binding>) {
        let Some(record) = self.registrar.get_mut(handle) else { return };
        let before = std::mem::replace(&mut record.bindings, bindings.into());
        self.registrar.reschedule(handle);
        self.registrar.forget_flows(handle, &before);
        self.registrar.note_flows(handle);
        self.registrar.tidy(handle);
    }

    /// How a registered telephone is reached: on the flow it registered over while that stands, else by its Contact;
    /// over the Path it came by, if there was one.
    #[must_use]
    pub fn route_to(&self, binding: &Binding) -> Route {
        let routes: Vec<String> = binding.path.iter().map(ToString::to_string).collect();
        let target = if !routes.is_empty() {
            let first = NameAddr::parse(routes.first().map_or("", String::as_str), Attitude::Lenient);
            Target::Uri(first.map_or_else(|_| binding.contact.clone(), |first| first.uri.to_owned()))
        } else if self.cx.transactions.is_flow_alive(&binding.flow) {
            Target::Flow(binding.flow)
        } else {
            Target::Uri(binding.contact.clone())
        };
        Route { request_uri: binding.contact.clone(), routes, target }
    }

    /// A flow is gone: so are the bindings of devices that asked for outbound (RFC 5626 §6); of others the Contact
    /// remains. For the application: a request over it was answered 430, or not at all.
    pub fn prune_flow(&mut self, flow: &Flow, now: Instant) {
        self.enter(now);
        self.flow_gone(flow);
        self.settle();
    }

    pub(crate) fn flow_gone(&mut self, flow: &Flow) {
        for handle in self.registrar.take_flow(flow) {
            let Some(record) = self.registrar.get_mut(handle) else { continue };
            let name = record.address_of_record.clone();
            let is_gone = |binding: &Binding| binding.flow == *flow && binding.is_bound_to_flow();
            let (dead, alive): (Vec<_>, Vec<_>) =
                std::mem::take(&mut record.bindings).into_iter().partition(is_gone);
            self.put(handle, alive);
            for binding in dead {
                let address_of_record = name.to_string();
                self.cx.event(Event::BindingExpired { address_of_record, contact: binding.contact });
            }
        }
    }

    /// Bindings of a record have run out.
    pub(crate) fn bindings_due(&mut self, handle: RecordHandle) {
        let now = self.cx.now;
        let Some(record) = self.registrar.get_mut(handle) else { return };
        let name = record.address_of_record.clone();
        let all = record.bindings.clone();
        let (alive, dead): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.expires_at > now);
        self.put(handle, alive);
        for binding in dead {
            let address_of_record = name.to_string();
            self.cx.event(Event::BindingExpired { address_of_record, contact: binding.contact });
        }
    }
}

/// A REGISTER leaves the registrar before its time.
pub(super) fn leave(endpoint: &mut Endpoint, request: RequestHandle, address_of_record: &Arc<str>) {
    let Some(record) = endpoint.registrar.find(address_of_record) else { return };
    if let Some(held) = endpoint.registrar.get_mut(record) {
        held.leave(request);
    }
    endpoint.register_next(record);
}

/// Reads a REGISTER.
fn read(message: &Request, flow: Flow) -> Result<Registration<'_>, Box<Reply>> {
    let bad = |what: &str| {
        Box::new(Reply::new(StatusCode::BAD_REQUEST).with_reason(format!("Bad Request: {what}")))
    };
    let contacts = match message.contacts().map_err(|error| bad(&error.to_string()))? {
        header::Contacts::Wildcard => Contacts::Wildcard,
        header::Contacts::List(list) => Contacts::List(list.iter().map(update).collect()),
    };
    let cseq = message.cseq().map_err(|error| bad(&error.to_string()))?;
    Ok(Registration {
        call_id: message.call_id().map_err(|error| bad(&error.to_string()))?,
        sequence: cseq.sequence,
        expires: message.expires().ok().flatten(),
        contacts,
        path: message.get_all(HeaderName::Path).collect(),
        user_agent: message.get(HeaderName::UserAgent).unwrap_or_default(),
        flow,
    })
}

fn update<'a>(contact: &NameAddr<'a>) -> ContactUpdate<'a> {
    let mut parameters = String::new();
    for param in contact.params.iter() {
        // `pub-gruu` and `temp-gruu` are the registrar's to say (RFC 5627 §5.1).
        let own = ["expires", "q", "pub-gruu", "temp-gruu"];
        if own.iter().any(|own| param.name.eq_ignore_ascii_case(own)) {
            continue;
        }
        parameters.push(';');
        parameters.push_str(param.name);
        if let Some(value) = param.value {
            parameters.push('=');
            parameters.push_str(value);
        }
    }
    let instance = contact
        .params
        .unquoted("+sip.instance")
        .map(|id| Instance { id: id.as_ref().into(), registration: contact.params.number("reg-id") });
    ContactUpdate {
        uri: contact.uri,
        parameters,
        expires: contact.expires(),
        quality: contact.q_thousandths(),
        instance,
    }
}

fn contact_text(binding: &Binding, gruus: &str, now: Instant) -> String {
    // Rounded up: a telephone that asked for 300 s is told 300 though the store took a moment.
    let seconds = binding.remaining(now).as_millis().div_ceil(1000);
    let quality = match binding.quality {
        1000 => String::new(),
        thousandths => format!(";q=0.{thousandths:03}"),
    };
    format!("<{}>{}{gruus}{quality};expires={seconds}", binding.contact, binding.parameters)
}

fn refusal_reply(refusal: RegistrationRefusal) -> (Reply, Option<RegistrationRefusal>) {
    let reply = match refusal {
        RegistrationRefusal::TooBrief { minimum } => {
            let headers = Headers::new().with(HeaderName::MinExpires.as_str(), minimum).unwrap_or_default();
            Reply::new(StatusCode::INTERVAL_TOO_BRIEF).with_headers(headers)
        }
        RegistrationRefusal::BadWildcard => {
            Reply::new(StatusCode::BAD_REQUEST).with_reason("Bad Request: Contact * needs Expires: 0")
        }
        RegistrationRefusal::OutOfOrder => {
            Reply::new(StatusCode::SERVER_INTERNAL_ERROR).with_reason("CSeq Out of Order")
        }
        RegistrationRefusal::TooManyBindings { .. } => {
            Reply::new(StatusCode::FORBIDDEN).with_reason("Too Many Contacts")
        }
    };
    (reply, Some(refusal))
}
