//! Dialogs: RFC 3261 §12.
//!
//! A dialog is what two user agents agree on beneath their calls and subscriptions: ids, addresses, sequence numbers,
//! the way. Several usages may share one (RFC 5057), so dialogs live in a table of their own and end with their last
//! usage. What a usage means is its own file's affair.

pub mod farewell;
pub mod id;
pub mod route_set;
mod table;

pub use farewell::{Farewell, FarewellError, FarewellMarks};
pub use id::{DialogId, DialogIdRef};
pub use route_set::{RouteSet, Routing};
pub(crate) use table::{DialogHandle, Dialogs, Usage};

use crate::{
    call::info::announced,
    config::SentBy,
    error::{ParseError, Problem},
    header::{CSeq, HeaderName},
    io::Flow,
    message::{Method, Request, RequestBuilder, Response, UriBuf},
    transaction::{ContactTemplate, SendOptions, Transactions},
    transport::Target,
};

/// Who we are to the peer of a dialog, ready to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Face {
    pub(crate) user: String,
    pub(crate) advertised: Option<SentBy>,
    pub(crate) contact_parameters: String,
    /// Stands in the Contact instead of user and address.
    pub(crate) gruu: Option<UriBuf>,
}

impl Face {
    /// What goes with a request; its Contact is written when the flow is known.
    pub(crate) fn send_options(&self, contact: bool) -> SendOptions {
        SendOptions {
            sent_by: self.advertised.clone(),
            branch_suffix: None,
            contact: contact.then(|| self.contact()),
        }
    }

    fn contact(&self) -> ContactTemplate {
        ContactTemplate {
            user: self.user.clone(),
            parameters: self.contact_parameters.clone(),
            uri_parameters: String::new(),
            uri: self.gruu.clone(),
        }
    }

    /// The Contact of a response, for which the flow is known.
    pub(crate) fn contact_on(&self, flow: &Flow, request: &Request, transactions: &Transactions) -> String {
        transactions.contact_on(&self.contact(), self.advertised.as_ref(), flow, request)
    }
}

/// Which way requests inside a dialog take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the route set and remote target, resolved by RFC 3263.
    Target,
    /// Back on the flow the peer was last heard on: he is our neighbour.
    Flow,
}

/// One dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) id: DialogId,
    /// Our name-addr with its tag: From of our requests.
    local: Box<str>,
    /// The peer's name-addr with its tag: To of our requests.
    remote: Box<str>,
    pub(crate) remote_target: UriBuf,
    route_set: RouteSet,
    local_sequence: u32,
    remote_sequence: Option<u32>,
    pub(crate) way: Way,
    /// The flow the peer was last heard on.
    pub(crate) flow: Flow,
    pub(crate) is_confirmed: bool,
    /// Whether the Call-ID was made here.
    pub(crate) is_ours: bool,
    /// What the peer said of himself.
    pub(crate) peer_allows: PeerAllows,
    /// INFO packages he announced (RFC 6086); `None` when he did not say.
    pub(crate) peer_packages: Option<Box<str>>,
}

/// What the peer said of himself, as far as it changes what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerAllows {
    pub(crate) update: bool,
    pub(crate) timer: bool,
    pub(crate) reliable: bool,
    pub(crate) replaces: bool,
    pub(crate) norefersub: bool,
}

impl PeerAllows {
    pub(crate) fn read(&mut self, fields: &crate::header::Fields) {
        if fields.has(HeaderName::Allow) {
            self.update = fields.lists(HeaderName::Allow, "UPDATE");
        }
        if fields.has(HeaderName::Supported) {
            let update = self.update;
            *self = Self { update, ..Self::default() };
            let values = fields.get_all(HeaderName::Supported).map(str::as_bytes);
            for token in values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
                // By length first: most tokens are none of these.
                let told = match token.len() {
                    5 if token.eq_ignore_ascii_case(b"timer") => &mut self.timer,
                    6 if token.eq_ignore_ascii_case(b"100rel") => &mut self.reliable,
                    8 if token.eq_ignore_ascii_case(b"replaces") => &mut self.replaces,
                    10 if token.eq_ignore_ascii_case(b"norefersub") => &mut self.norefersub,
                    _ => continue,
                };
                *told = true;
            }
        }
    }
}

impl Dialog {
    /// The server's side, from the request that made it (§12.1.1).
    pub(crate) fn of_server(
        request: &Request,
        local_tag: &str,
        flow: Flow,
        way: Way,
    ) -> Result<Self, ParseError> {
        let remote_target =
            target_of(request)?.ok_or(ParseError::new(0, Problem::Missing(HeaderName::Contact)))?;
        let to = request.get(HeaderName::To).unwrap_or_default();
        let local =
            if request.to_tag().is_some() { to.into() } else { format!("{to};tag={local_tag}").into() };
        let mut peer_allows = PeerAllows::default();
        peer_allows.read(request);
        let peer_packages = announced(request);
        Ok(Self {
            id: DialogId {
                call_id: request.call_id()?.into(),
                local_tag: local_tag.into(),
                remote_tag: request.tag_of(HeaderName::From).unwrap_or_default().into(),
            },
            local,
            remote: request.get(HeaderName::From).unwrap_or_default().into(),
            remote_target,
            route_set: RouteSet::of_server(
                values(request, HeaderName::RecordRoute).iter().map(AsRef::as_ref),
            ),
            local_sequence: 0,
            remote_sequence: Some(request.cseq()?.sequence),
            way,
            flow,
            is_confirmed: false,
            is_ours: false,
            peer_allows,
            peer_packages,
        })
    }

    /// The client's side, from the request that was sent and a response that makes it (§12.1.2).
    pub(crate) fn of_client(
        request: &Request,
        response: &Response,
        flow: Flow,
        way: Way,
    ) -> Result<Self, ParseError> {
        let remote_target = match target_of(response)? {
            Some(target) => target,
            None => request.uri()?.to_owned(),
        };
        let mut peer_allows = PeerAllows::default();
        peer_allows.read(response);
        let peer_packages = announced(response);
        Ok(Self {
            id: DialogId {
                call_id: request.call_id()?.into(),
                local_tag: request.tag_of(HeaderName::From).unwrap_or_default().into(),
                remote_tag: response.to_tag().unwrap_or_default().into(),
            },
            local: request.get(HeaderName::From).unwrap_or_default().into(),
            remote: response.get(HeaderName::To).unwrap_or_default().into(),
            remote_target,
            route_set: RouteSet::of_client(
                values(response, HeaderName::RecordRoute).iter().map(AsRef::as_ref),
            ),
            local_sequence: response.cseq()?.sequence,
            remote_sequence: None,
            way,
            flow,
            is_confirmed: response.status().is_success(),
            is_ours: true,
            peer_allows,
            peer_packages,
        })
    }

    /// The subscriber's side, from a NOTIFY that came before the 2xx or from another notifier (RFC 6665 §4.4.1).
    pub(crate) fn of_notify(notify: &Request, flow: Flow, subscribe: &Request) -> Result<Self, ParseError> {
        let remote_target =
            target_of(notify)?.ok_or(ParseError::new(0, Problem::Missing(HeaderName::Contact)))?;
        let way = if notify.vias().count() == 1 && !notify.has(HeaderName::RecordRoute) {
            Way::Flow
        } else {
            Way::Target
        };
        let mut peer_allows = PeerAllows::default();
        peer_allows.read(notify);
        let peer_packages = announced(notify);
        Ok(Self {
            id: DialogId {
                call_id: notify.call_id()?.into(),
                local_tag: notify.to_tag().unwrap_or_default().into(),
                remote_tag: notify.tag_of(HeaderName::From).unwrap_or_default().into(),
            },
            local: notify.get(HeaderName::To).unwrap_or_default().into(),
            remote: notify.get(HeaderName::From).unwrap_or_default().into(),
            remote_target,
            route_set: RouteSet::of_server(values(notify, HeaderName::RecordRoute).iter().map(AsRef::as_ref)),
            local_sequence: subscribe.cseq()?.sequence,
            remote_sequence: Some(notify.cseq()?.sequence),
            way,
            flow,
            is_confirmed: true,
            is_ours: true,
            peer_allows,
            peer_packages,
        })
    }

    /// What a 2xx changes in a dialog that its provisional responses made: the route set is computed again
    /// (§13.2.2.4), the target refreshed.
    pub(crate) fn confirm_by(&mut self, response: &Response, flow: Flow) -> Result<(), ParseError> {
        self.route_set =
            RouteSet::of_client(values(response, HeaderName::RecordRoute).iter().map(AsRef::as_ref));
        self.is_confirmed = true;
        self.heard(response, flow)
    }

    /// Whether any proxy put itself on the route.
    pub(crate) fn has_routes(&self) -> bool {
        !self.route_set.is_empty()
    }

    /// Whether the peer takes INFO of a package: he announced it (RFC 6086 §4.2.1).
    pub(crate) fn takes_package(&self, package: &str) -> bool {
        let announced = self.peer_packages.as_deref().unwrap_or_default();
        announced.split(',').any(|own| own.eq_ignore_ascii_case(package))
    }

    /// A message that refreshes the target arrived: a 2xx, a reliable provisional response, a request that was accepted
    /// (§12.2.1.2, §12.2.2, RFC 6141 §4).
    pub(crate) fn heard(&mut self, fields: &crate::header::Fields, flow: Flow) -> Result<(), ParseError> {
        self.refresh_target(fields)?;
        self.heard_of_peer(fields, flow);
        Ok(())
    }

    /// The peer's Contact.
    pub(crate) fn refresh_target(&mut self, fields: &crate::header::Fields) -> Result<(), ParseError> {
        if let Some(target) = target_of(fields)? {
            self.remote_target = target;
        }
        Ok(())
    }

    /// What any message tells of the peer. The target stays: an unreliable provisional response does not refresh it, nor
    /// does a request before it is accepted (RFC 6141 §4.6, §4.7).
    pub(crate) fn heard_of_peer(&mut self, fields: &crate::header::Fields, flow: Flow) {
        self.peer_allows.read(fields);
        self.peer_packages = announced(fields).or(self.peer_packages.take());
        self.flow = flow;
    }

    /// Takes in the sequence number of a request from the peer (§12.2.2).
    ///
    /// # Errors
    /// The last number, when this one is not higher.
    pub(crate) fn advance_remote(&mut self, sequence: u32) -> Result<(), u32> {
        match self.remote_sequence {
            Some(last) if sequence <= last => Err(last),
            _ => {
                self.remote_sequence = Some(sequence);
                Ok(())
            }
        }
    }

    /// Our next request (§12.2.1.1), without Contact, which is written when its flow is known.
    pub(crate) fn request(&mut self, method: Method) -> Result<RequestBuilder, ParseError> {
        self.local_sequence = self.local_sequence.checked_add(1).filter(|it| *it < 1 << 31).unwrap_or(1);
        self.write(method, self.local_sequence)
    }

    /// The ACK of a 2xx to our INVITE with this number (§13.2.2.4).
    pub(crate) fn ack(&self, sequence: u32) -> Result<RequestBuilder, ParseError> {
        self.write(Method::Ack, sequence)
    }

    /// A request that was challenged or refused for a moment is sent again: its new number.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.local_sequence = self.local_sequence.saturating_add(1);
        self.local_sequence
    }

    /// The highest number a request of ours has had.
    pub(crate) const fn last_sequence(&self) -> u32 {
        self.local_sequence
    }

    /// Goes on behind a number that may have been used in this dialog before it was made anew.
    pub(crate) fn go_on_after(&mut self, sequence: u32) {
        self.local_sequence = self.local_sequence.max(sequence);
    }

    /// Whom a request is sent to.
    pub(crate) fn target(&self) -> Result<Target, ParseError> {
        match self.way {
            Way::Flow => Ok(Target::Flow(self.flow)),
            Way::Target => Ok(Target::Uri(self.route_set.towards(&self.remote_target)?.next_hop)),
        }
    }

    fn write(&self, method: Method, sequence: u32) -> Result<RequestBuilder, ParseError> {
        let routing = self.route_set.towards(&self.remote_target)?;
        let cseq = CSeq { sequence, method: method.clone() };
        let mut builder = Request::builder(method, &routing.request_uri);
        for route in &routing.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        Ok(builder
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::From, &self.local)
            .header(HeaderName::To, &self.remote)
            .header(HeaderName::CallId, &self.id.call_id)
            .header(HeaderName::CSeq, cseq))
    }
}

/// The Contact a dialog-making or target-refreshing message has.
fn target_of(fields: &crate::header::Fields) -> Result<Option<UriBuf>, ParseError> {
    Ok(fields.contact()?.map(|contact| contact.uri.to_owned()))
}

/// Each value of a comma list of name-addrs as it was written.
pub(crate) fn values(fields: &crate::header::Fields, name: HeaderName) -> Vec<Box<str>> {
    fields
        .list_as::<crate::header::NameAddr<'_>>(name)
        .filter_map(|value| value.ok())
        .map(|value| value.to_string().into_boxed_str())
        .collect()
}
