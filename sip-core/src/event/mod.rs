//! What an endpoint tells its application: facts in the past tense, each with its reason.
//!
//! Every handle ends with exactly one terminal event: [`Event::RequestEnded`], [`Event::CallEnded`],
//! [`Event::RequestCompleted`], [`Event::RegistrationEnded`].

mod ends;
mod refusal;

pub use ends::{By, CallEnd, OfferAbort, Outcome, RegistrationFailure, RequestEnd};
pub use refusal::Refusal;
pub(crate) use refusal::first_line;

use crate::{
    auth::{algorithm::Algorithm, server::AuthenticationFailure},
    call::offer_answer::Carrier,
    command::Body,
    config::SentBy,
    handle::{
        CallHandle, ForkHandle, OutgoingHandle, PublicationHandle, RegistrationHandle, RequestHandle,
        SubscriptionHandle,
    },
    io::{Flow, PeerIdentity},
    limits::Limit,
    message::{Request, Response, StatusCode, UriBuf},
    publication::PublicationFailure,
    registrar::binding::Binding,
    resolve::ResolveFailure,
    subscription::{SubscriptionEnd, SubscriptionState},
    transaction::{EndReason, LocateId, Located, StreamEnd},
};
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A fact.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    // -- requests from others
    /// A request that belongs to nothing here. The application decides what becomes of it.
    Incoming {
        /// Its handle.
        request: RequestHandle,
        /// The request.
        message: Request,
        /// Where it came from.
        flow: Flow,
        /// Who the other end of a TLS connection proved to be.
        peer_identity: Option<Arc<PeerIdentity>>,
    },
    /// The credentials of a request asked for by `authenticate` are right.
    Authenticated {
        /// The request; still to be answered.
        request: RequestHandle,
        /// The realm.
        realm: String,
        /// The user.
        username: String,
        /// The algorithm he used.
        algorithm: Algorithm,
    },
    /// Credentials were wrong; the request was challenged again. What a guard counts.
    AuthenticationFailed {
        /// The request, which ends with this.
        request: RequestHandle,
        /// Where it came from.
        flow: Flow,
        /// The realm.
        realm: String,
        /// The name that was tried.
        username: String,
        /// What was wrong.
        reason: AuthenticationFailure,
    },
    /// Nothing more will be heard of this request.
    RequestEnded {
        /// The request.
        request: RequestHandle,
        /// How it ended.
        reason: RequestEnd,
    },

    // -- the registrar
    /// The bindings of a user changed, and the store has them.
    BindingsChanged {
        /// Address of record.
        address_of_record: String,
        /// All of his bindings now.
        bindings: Vec<Binding>,
    },
    /// A binding ran out, or the connection of a device that asked for outbound closed (RFC 5626).
    BindingExpired {
        /// Address of record.
        address_of_record: String,
        /// Its Contact.
        contact: UriBuf,
    },

    // -- calls
    /// A provisional response, 101 to 199, to the INVITE of a call from here.
    CallProgress {
        /// The call.
        call: CallHandle,
        /// Which telephone of those it was forked to.
        fork: ForkHandle,
        /// The response.
        response: Response,
    },
    /// One of them answered. The others, should they answer too, are hung up by the endpoint.
    CallAnswered {
        /// The call.
        call: CallHandle,
        /// Which.
        fork: ForkHandle,
        /// The 2xx.
        response: Response,
    },
    /// The peer acknowledged a provisional response that was sent reliably (RFC 3262).
    ProvisionalConfirmed {
        /// The call.
        call: CallHandle,
    },
    /// The peer acknowledged our 2xx: both sides know that the call is up.
    CallConfirmed {
        /// The call.
        call: CallHandle,
    },
    /// The peer wants a change: a re-INVITE or UPDATE came. An [`OfferReceived`](Self::OfferReceived) or
    /// [`OfferRequested`](Self::OfferRequested) follows, unless it is a mere refresh, which is answered here.
    ModifyReceived {
        /// The call.
        call: CallHandle,
        /// The request.
        message: Request,
    },
    /// The peer offers a session; `answer` or `answer_offer` is due, or a refusal.
    OfferReceived {
        /// The call.
        call: CallHandle,
        /// In which dialog of it.
        fork: ForkHandle,
        /// In which message.
        carrier: Carrier,
        /// The offer.
        body: Body,
    },
    /// The peer answered our offer.
    AnswerReceived {
        /// The call.
        call: CallHandle,
        /// In which dialog of it.
        fork: ForkHandle,
        /// In which message.
        carrier: Carrier,
        /// The answer.
        body: Body,
        /// It came in an unreliable provisional response: media may flow by it, and the answer proper will follow.
        preview: bool,
    },
    /// An INVITE without offer came: the 2xx (or the first reliable provisional response) must hold ours.
    OfferRequested {
        /// The call.
        call: CallHandle,
    },
    /// An open offer is void; the session is as it was before it.
    OfferAborted {
        /// The call.
        call: CallHandle,
        /// Why.
        reason: OfferAbort,
    },
    /// The peer accepted our re-INVITE or UPDATE. An answer in it was told before.
    Modified {
        /// The call.
        call: CallHandle,
        /// The 2xx.
        response: Response,
    },
    /// A request inside the dialog that the endpoint leaves to the application: INFO, MESSAGE, OPTIONS, REFER, others.
    DialogRequest {
        /// The call.
        call: CallHandle,
        /// To be answered by `respond`.
        request: RequestHandle,
        /// The request.
        message: Request,
    },
    /// The call is over. Always the last event of a call.
    CallEnded {
        /// The call.
        call: CallHandle,
        /// Why.
        reason: CallEnd,
    },

    // -- requests from here
    /// A provisional response.
    ResponseReceived {
        /// The request.
        outgoing: OutgoingHandle,
        /// The response.
        response: Response,
    },
    /// Nothing more will be heard of this request.
    RequestCompleted {
        /// The request.
        outgoing: OutgoingHandle,
        /// How it ended.
        outcome: Outcome,
        /// From the first sending to this, when there was a response.
        round_trip: Option<Duration>,
    },
    /// How a peer sees us: `received` and `rport` of our Via. Told when it differs from what this peer was told.
    SeenAs {
        /// The flow.
        flow: Flow,
        /// Our address, as this peer sees it.
        address: SocketAddr,
    },
    /// A response came back with another host or port in our Via than the request was sent with: something on the way
    /// writes in messages, as the "SIP ALG" of some routers does. Told with each such response, before what it means.
    ViaAltered {
        /// The call whose request it was, if it was a call's.
        call: Option<CallHandle>,
        /// The flow the request left on.
        flow: Flow,
        /// What the request named.
        sent: SentBy,
        /// What the response names.
        returned: SentBy,
    },
    /// The answer to [`Endpoint::locate`](crate::endpoint::Endpoint::locate).
    Located {
        /// The question.
        id: LocateId,
        /// The ways, the best one first; or why there is none.
        outcome: Result<Located, ResolveFailure>,
    },

    // -- the registration client
    /// The registrar has us.
    Registered {
        /// The registration.
        registration: RegistrationHandle,
        /// For how long.
        expires_in: Duration,
        /// The registrar's answer.
        response: Response,
        /// `Service-Route` values to be used as routes for requests (RFC 3608).
        service_route: Vec<String>,
        /// Addresses of this very device, when it asked for them (RFC 5627).
        gruu: Option<Gruu>,
    },
    /// An attempt failed.
    RegistrationFailed {
        /// The registration.
        registration: RegistrationHandle,
        /// Why.
        reason: RegistrationFailure,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The registration is over: as asked for, or for good reason.
    RegistrationEnded {
        /// The registration.
        registration: RegistrationHandle,
        /// `None`: it was withdrawn as asked.
        reason: Option<RegistrationFailure>,
    },

    // -- event state
    /// The compositor took our PUBLISH (RFC 3903).
    Published {
        /// The publication.
        publication: PublicationHandle,
        /// For how long.
        expires_in: Duration,
        /// The 2xx.
        response: Response,
    },
    /// An attempt failed.
    PublicationFailed {
        /// The publication.
        publication: PublicationHandle,
        /// Why.
        reason: PublicationFailure,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// A publication is over. Always its last event.
    PublicationEnded {
        /// The publication.
        publication: PublicationHandle,
        /// `None`: it was withdrawn as asked.
        reason: Option<PublicationFailure>,
    },
    /// What somebody published of a resource here changed.
    PublicationChanged {
        /// The resource, as the application named it.
        resource: String,
        /// The event package.
        package: String,
        /// The state; `None`: withdrawn, or run out.
        body: Option<Body>,
    },

    // -- subscriptions
    /// The notifier took our SUBSCRIBE; its NOTIFY follows.
    Subscribed {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// For how long.
        expires_in: Duration,
        /// The 2xx.
        response: Response,
    },
    /// A NOTIFY came, and was answered.
    Notified {
        /// The subscription, or the transfer that REFER began.
        subscription: SubscriptionHandle,
        /// Which notifier of those a SUBSCRIBE was forked to.
        fork: ForkHandle,
        /// What it says of the subscription.
        state: SubscriptionState,
        /// The NOTIFY, whose body is the package's.
        message: Request,
    },
    /// A subscription that is kept was lost, and will be made anew.
    SubscriptionLost {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// Why.
        reason: SubscriptionEnd,
        /// When.
        retry_in: Duration,
    },
    /// The subscriber refreshed a subscription to us.
    SubscriptionRefreshed {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// For how long.
        expires_in: Duration,
    },
    /// A subscription of either role is over. Always its last event.
    SubscriptionEnded {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// Why.
        reason: SubscriptionEnd,
    },

    // -- transfers
    /// The peer asks us to call somebody else (RFC 3515): `accept_transfer`, or `respond` with a refusal.
    TransferRequested {
        /// The call it came in; `None` outside of calls.
        call: Option<CallHandle>,
        /// To be accepted or answered.
        request: RequestHandle,
        /// Whom to call.
        refer_to: UriBuf,
        /// The call that the new one is to replace, as the value of `Replaces` (RFC 3891).
        replaces: Option<String>,
        /// Who asks (RFC 3892).
        referred_by: Option<String>,
        /// The request.
        message: Request,
    },
    /// The peer took our REFER.
    TransferAccepted {
        /// The transfer.
        transfer: SubscriptionHandle,
        /// The 2xx.
        response: Response,
    },
    /// The peer tells how the call we asked him for is going.
    TransferProgress {
        /// The transfer.
        transfer: SubscriptionHandle,
        /// The status that call has got to.
        status: StatusCode,
        /// Its reason phrase.
        reason: String,
    },

    // -- evidence
    /// What came, whole, before anything was done with it: told only when
    /// [asked for](crate::config::TransactionConfig::tell_received). What leaves is in
    /// [`Output::Transmit`](crate::io::Output::Transmit).
    Received {
        /// Where it came from.
        flow: Flow,
        /// One message, or what claims to be one.
        bytes: Bytes,
    },
    /// The endpoint refused or dropped something by itself.
    Refused {
        /// Where it came from.
        flow: Flow,
        /// What was sent back; `None`: nothing.
        status: Option<StatusCode>,
        /// By which rule.
        rule: Refusal,
        /// The first line of what was refused, shortened.
        first_line: String,
    },
    /// One server of several did not serve, and the next one is tried (RFC 3263 §4.3).
    FailedOver {
        /// The one that failed.
        from: SocketAddr,
        /// The one that is tried now.
        to: SocketAddr,
        /// Why.
        reason: EndReason,
    },
    /// A response of ours could not be sent.
    ResponseUndelivered {
        /// The call it was for, if it was for one.
        call: Option<CallHandle>,
        /// Why.
        reason: EndReason,
    },
    /// A connection is gone; telephones registered over it cannot be reached by it.
    FlowClosed {
        /// The flow.
        flow: Flow,
        /// Why.
        reason: StreamEnd,
    },
    /// A bound of the configuration was met.
    LimitReached {
        /// Which.
        limit: Limit,
    },
    /// Everything has ended after `shut_down`.
    ShutDown,
}

impl Event {
    /// The call it is about, if it is about one.
    #[must_use]
    pub const fn call(&self) -> Option<CallHandle> {
        match self {
            Self::CallProgress { call, .. }
            | Self::CallAnswered { call, .. }
            | Self::ProvisionalConfirmed { call, .. }
            | Self::CallConfirmed { call }
            | Self::ModifyReceived { call, .. }
            | Self::OfferReceived { call, .. }
            | Self::AnswerReceived { call, .. }
            | Self::OfferRequested { call }
            | Self::OfferAborted { call, .. }
            | Self::Modified { call, .. }
            | Self::DialogRequest { call, .. }
            | Self::CallEnded { call, .. } => Some(*call),
            Self::TransferRequested { call, .. } | Self::ResponseUndelivered { call, .. } => *call,
            _ => None,
        }
    }
}

/// Globally routable URIs of one device (RFC 5627).
#[derive(Clone, Debug, PartialEq)]
pub struct Gruu {
    /// The public one, which names the user.
    pub public: UriBuf,
    /// A temporary one, which tells nothing of him.
    pub temporary: Option<UriBuf>,
}
