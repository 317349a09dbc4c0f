//! Watching others (RFC 6665): presence, the state of their lines, messages that wait; and text messages (RFC 3428).

use super::{AccountId, Event, Misuse, UserAgent};
use denwa_sip_core::endpoint::{
    Body, Outcome, OutgoingHandle, Party, Reply, RequestHandle, SendRequest, Subscribe, SubscriptionEnd,
    SubscriptionHandle,
};
use denwa_sip_core::io::Flow;
use denwa_sip_core::message::Request;
use denwa_sip_core::subscription::dialog_info::{self, DialogInfo};
use denwa_sip_core::subscription::message_summary::{self, MessageSummary};
use denwa_sip_core::subscription::presence::{self, Presence};
use denwa_sip_core::{HeaderName, Method, StatusCode};
use std::time::{Duration, Instant};

/// Names something that is watched. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub(crate) u64);

/// Names a message that was sent. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub(crate) u64);

/// What can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Watched {
    /// Whether somebody is there (RFC 3856).
    Presence,
    /// Whether somebody's line rings or is busy (RFC 4235): the lamps of a desk telephone.
    Dialogs,
    /// Whether messages wait in a mailbox (RFC 3842).
    Messages,
}

#[derive(Debug)]
pub(super) struct Watch {
    account: AccountId,
    what: Watched,
    subscription: SubscriptionHandle,
}

/// What a request outside of calls was for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    Message(MessageId),
    /// A key of this call.
    Key(super::CallId),
    /// How does the peer of this call, that is to be placed, see us?
    Acquaintance(super::CallId),
}

impl UserAgent {
    /// Watches somebody, until [`UserAgent::unwatch`]: [`Event::Presence`], [`Event::Dialogs`] or
    /// [`Event::MessagesWaiting`] tell what is to be seen, [`Event::WatchEnded`] that it cannot be watched any more.
    ///
    /// # Errors
    /// When there is no such account, or the address cannot be read.
    pub fn watch(
        &mut self,
        account: AccountId,
        address: &str,
        what: Watched,
        now: Instant,
    ) -> Result<WatchId, Misuse> {
        let now = self.advance(now);
        let uri = self.address(Some(account), address)?;
        let state = self.accounts.get(&account).ok_or(Misuse::UnknownAccount)?;
        let (event, accept) = match what {
            Watched::Presence => (presence::PACKAGE, presence::CONTENT_TYPE),
            Watched::Dialogs => (dialog_info::PACKAGE, dialog_info::CONTENT_TYPE),
            Watched::Messages => (message_summary::PACKAGE, message_summary::CONTENT_TYPE),
        };
        let target = state.target(&uri);
        let mut subscribe = Subscribe::new(event, state.party(), Party::new(uri), target);
        subscribe.local.user.clone_from(&state.account.user);
        subscribe.accept = accept.to_owned();
        subscribe.credentials = state.credentials();
        subscribe.routes = state.flows.service_route().to_vec();
        let subscription = self.endpoint.subscribe(subscribe, now)?;
        let id = WatchId(self.next_watch);
        self.next_watch = self.next_watch.wrapping_add(1);
        self.watches.insert(id, Watch { account, what, subscription });
        self.drain(now);
        Ok(id)
    }

    /// Watches no longer. [`Event::WatchEnded`] follows.
    ///
    /// # Errors
    /// When nothing of this name is watched.
    pub fn unwatch(&mut self, watch: WatchId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let entry = self.watches.get(&watch).ok_or(Misuse::UnknownWatch)?;
        self.endpoint.unsubscribe(entry.subscription, now)?;
        self.drain(now);
        Ok(())
    }

    fn watch_of(&self, subscription: SubscriptionHandle) -> Option<WatchId> {
        self.watches.iter().find(|(_, watch)| watch.subscription == subscription).map(|(id, _)| *id)
    }

    pub(super) fn on_notified(&mut self, subscription: SubscriptionHandle, message: &Request) {
        let Some(id) = self.watch_of(subscription) else { return };
        let Some(watch) = self.watches.get(&id) else { return };
        // A NOTIFY without a body says only that the subscription stands.
        let Ok(text) = str::from_utf8(message.body()) else { return };
        let account = watch.account;
        let event = match watch.what {
            Watched::Presence => {
                Presence::parse(text).ok().map(|presence| Event::Presence { watch: id, presence })
            }
            Watched::Dialogs => {
                DialogInfo::parse(text).ok().map(|dialogs| Event::Dialogs { watch: id, dialogs })
            }
            Watched::Messages => {
                MessageSummary::parse(text).map(|summary| Event::MessagesWaiting { account, summary })
            }
        };
        self.outputs.extend(event.map(crate::driver::Output::Event));
    }

    pub(super) fn on_watch_ended(&mut self, subscription: SubscriptionHandle, reason: &SubscriptionEnd) {
        let Some(id) = self.watch_of(subscription) else { return };
        if let Some(watch) = self.watches.remove(&id)
            && let Some(state) = self.accounts.get_mut(&watch.account)
            && state.mailbox == Some(id)
        {
            state.mailbox = None;
        }
        let why = match reason {
            SubscriptionEnd::Unsubscribed | SubscriptionEnd::ShutDown => None,
            SubscriptionEnd::Refused(response) => {
                Some(format!("refused with {} {}", response.status().code(), response.reason()))
            }
            SubscriptionEnd::Failed(reason) => Some(super::call::words(*reason)),
            SubscriptionEnd::NeverNotified => Some("nothing was ever told".to_owned()),
            SubscriptionEnd::NotAuthenticated(_) => Some("the password was not taken".to_owned()),
            SubscriptionEnd::Terminated { reason: Some(reason) } => Some(format!("ended there: {reason}")),
            _ => Some("ended there".to_owned()),
        };
        self.tell(Event::WatchEnded { watch: id, why });
    }

    /// Sees to the account's mailbox once it is registered, if that is wanted.
    pub(super) fn watch_mailbox(&mut self, account: AccountId, now: Instant) {
        let Some(state) = self.accounts.get(&account) else { return };
        if !state.account.message_waiting || state.mailbox.is_some() {
            return;
        }
        let address = state.account.uri().to_string();
        // One that cannot be watched is no harm.
        let watch = self.watch(account, &address, Watched::Messages, now).ok();
        if let Some(state) = self.accounts.get_mut(&account) {
            state.mailbox = watch;
        }
    }

    /// A NOTIFY outside of any subscription: some servers tell of messages unasked (RFC 3842 §3.1 has been read so).
    pub(super) fn on_unasked_notify(&mut self, message: &Request, flow: &Flow) -> StatusCode {
        let is_mailbox = message.get(HeaderName::Event).is_some_and(|event| {
            event.split(';').next().is_some_and(|package| package.trim() == message_summary::PACKAGE)
        });
        let account = self.account_for(message, flow).filter(|account| {
            self.accounts.get(account).is_some_and(|state| state.is_served_by(flow.remote.ip()))
        });
        let summary = str::from_utf8(message.body()).ok().and_then(MessageSummary::parse);
        match (account, summary) {
            (Some(account), Some(summary)) if is_mailbox => {
                self.tell(Event::MessagesWaiting { account, summary });
                StatusCode::OK
            }
            _ => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        }
    }

    // ---- messages

    /// Sends a text message (RFC 3428): [`Event::MessageDelivered`] or [`Event::MessageFailed`] tells what became of it.
    ///
    /// # Errors
    /// When there is no such account, the address cannot be read, or the text is longer than 1300 octets, which is what a
    /// message outside of a call may hold (RFC 3428 §8).
    pub fn send_message(
        &mut self,
        account: AccountId,
        address: &str,
        text: &str,
        now: Instant,
    ) -> Result<MessageId, Misuse> {
        let now = self.advance(now);
        if text.len() > MESSAGE_LIMIT {
            return Err(Misuse::TooLong);
        }
        let uri = self.address(Some(account), address)?;
        let state = self.accounts.get(&account).ok_or(Misuse::UnknownAccount)?;
        let target = state.target(&uri);
        let mut request = SendRequest::new(Method::Message, state.party(), Party::new(uri), target);
        request.body = Some(Body::new("text/plain;charset=utf-8", text.as_bytes().to_vec()));
        request.credentials = state.credentials();
        request.routes = state.flows.service_route().to_vec();
        let outgoing = self.endpoint.send_request(request, now)?;
        let id = MessageId(self.next_message);
        self.next_message = self.next_message.wrapping_add(1);
        self.errands.insert(outgoing, Errand::Message(id));
        self.drain(now);
        Ok(id)
    }

    pub(super) fn on_message(&mut self, request: RequestHandle, message: &Request, now: Instant) {
        let kind = message.get(HeaderName::ContentType).unwrap_or("text/plain").to_ascii_lowercase();
        let is_text = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/plain");
        let text = str::from_utf8(message.body()).ok().filter(|_| is_text).map(str::to_owned);
        let mut reply =
            Reply::new(if text.is_some() { StatusCode::OK } else { StatusCode::UNSUPPORTED_MEDIA_TYPE });
        match text {
            Some(text) => {
                let from = message.from().map(|from| from.uri.to_string()).unwrap_or_default();
                self.tell(Event::Message { from, text });
            }
            None => {
                if let Ok(headers) = Self::no_headers().with("Accept", "text/plain") {
                    reply = reply.with_headers(headers);
                }
            }
        }
        let _ = self.endpoint.respond(request, &reply, now);
    }

    // ---- what became of requests

    pub(super) fn on_completed(&mut self, outgoing: OutgoingHandle, outcome: &Outcome, now: Instant) {
        let Some(errand) = self.errands.remove(&outgoing) else { return };
        let why = match outcome {
            Outcome::Response(response) if response.status().is_success() => None,
            Outcome::Response(response) => {
                Some(format!("refused with {} {}", response.status().code(), response.reason()))
            }
            Outcome::Failed(reason) => Some(super::call::words(*reason)),
            Outcome::NotAuthenticated { .. } => Some("the password was not taken".to_owned()),
            _ => Some("the call ended before".to_owned()),
        };
        match errand {
            Errand::Message(message) => self.tell(match why {
                None => Event::MessageDelivered { message },
                Some(why) => Event::MessageFailed { message, why },
            }),
            Errand::Key(call) => self.on_key_answered(call, now),
            Errand::Acquaintance(call) => self.on_acquainted(call, now),
        }
    }

    /// Asks the peer of a call that is to be placed for a sign of life: its answer says under which address it sees us.
    pub(super) fn get_acquainted(&mut self, id: super::CallId, now: Instant) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Some(state) = call.account.and_then(|account| self.accounts.get(&account)) else { return false };
        let (Some(callee), Some(peer)) = (call.callee.clone(), call.peer) else { return false };
        if !self.config.asks_how_seen || state.account.server.is_some() || self.met.contains(&peer.ip()) {
            return false;
        }
        let target = state.target(&callee);
        let request = SendRequest::new(Method::Options, state.party(), Party::new(callee), target);
        let Ok(outgoing) = self.endpoint.send_request(request, now) else { return false };
        call.patience = Some(now + ACQUAINTANCE_TAKES);
        self.errands.insert(outgoing, Errand::Acquaintance(id));
        if self.met.len() < super::SIGHTINGS_LIMIT {
            self.met.insert(peer.ip());
        }
        true
    }
}

/// Octets in a message outside of a call.
const MESSAGE_LIMIT: usize = 1300;

/// How long a call waits to know how its peer sees us.
const ACQUAINTANCE_TAKES: Duration = Duration::from_millis(800);
