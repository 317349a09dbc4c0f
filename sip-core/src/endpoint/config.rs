//! What an endpoint is told once. Every bound has a default that a host of 512 MiB survives.

use crate::{
    auth::server::AuthenticatorConfig,
    config::{Listener, TransactionConfig},
    message::Method,
    registrar::RegistrarConfig,
    registration::RegistrationPolicy,
};
use std::time::Duration;

/// See the file's head.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Timers, transports and bounds of the layers below.
    pub transactions: TransactionConfig,
    /// Nonces.
    pub authenticator: AuthenticatorConfig,
    /// The registrar.
    pub registrar: RegistrarConfig,
    /// The registration client.
    pub registration: RegistrationPolicy,
    /// Bounds.
    pub limits: EndpointLimits,
    /// `Allow`: the methods the application wants to see. INVITE, ACK, CANCEL, BYE are always understood.
    pub allow: Vec<Method>,
    /// `Supported`: option tags the application adds to those the endpoint knows itself: `join` when it makes conferences
    /// of calls, `answermode` when it decides by [`AnswerMode`](crate::call::answer_mode::AnswerMode), `histinfo`, `path`.
    pub supported: Vec<String>,
    /// INFO packages that are understood (RFC 6086): announced by `Recv-Info`; an INFO with another is refused with 469.
    /// `None`: nothing is announced, and the application judges each INFO itself.
    pub info_packages: Option<Vec<String>>,
    /// `User-Agent` and `Server`; `None` keeps it to ourselves.
    pub software: Option<String>,
    /// How long the application may take to answer a request or turn it into a call.
    pub answer_within: Duration,
    /// How often one request is sent again with credentials: one for each realm on the way, and stale nonces.
    pub challenges_per_request: u8,
    /// How often a re-INVITE is sent again after 491 and the like, and an INVITE after 422.
    pub modification_attempts: u8,
    /// How long a re-INVITE may go on with provisional responses alone; then it is cancelled, for until it ends no other
    /// change can be made. 3 minutes: a peer who asks his user has the time.
    pub modification_patience: Duration,
}

impl EndpointConfig {
    /// Defaults, for sockets that are listened on.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            transactions: TransactionConfig::new(listeners),
            authenticator: AuthenticatorConfig::default(),
            registrar: RegistrarConfig::default(),
            registration: RegistrationPolicy::default(),
            limits: EndpointLimits::default(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Cancel,
                Method::Bye,
                Method::Options,
                Method::Update,
                Method::Prack,
                Method::Info,
                Method::Message,
                Method::Refer,
                Method::Notify,
                Method::Subscribe,
                Method::Register,
            ],
            supported: Vec::new(),
            info_packages: None,
            software: None,
            answer_within: Duration::from_secs(32),
            challenges_per_request: 4,
            modification_attempts: 5,
            modification_patience: Duration::from_secs(180),
        }
    }
}

/// Bounds on what peers can make an endpoint hold. The newcomer is refused with 503, and
/// [`LimitReached`](crate::event::Event::LimitReached) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Calls; about 4 KiB each.
    pub calls: usize,
    /// Dialogs, those of calls included; about 1 KiB each.
    pub dialogs: usize,
    /// Requests that await the application.
    pub requests: usize,
    /// Early dialogs of one call, or notifiers of one subscription.
    pub forks_per_call: usize,
    /// Subscriptions of either role; about 1 KiB each.
    pub subscriptions: usize,
    /// Event states published elsewhere, and as many published here.
    pub publications: usize,
    /// Addresses of record with bindings.
    pub addresses_of_record: usize,
    /// Peers whose view of our address is remembered.
    pub sightings: usize,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            calls: 20_000,
            dialogs: 50_000,
            requests: 10_000,
            forks_per_call: 16,
            subscriptions: 20_000,
            publications: 20_000,
            addresses_of_record: 100_000,
            sightings: 1024,
        }
    }
}

/// Option tags the endpoint itself speaks.
const OWN_TAGS: &[&str] = &["timer", "100rel", "replaces", "norefersub", "tdialog", "gruu", "199"];

impl EndpointConfig {
    pub(crate) fn allow_text(&self) -> String {
        self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn supported_text(&self, reliable: bool, timer: bool) -> String {
        let is_spoken = |tag: &&str| (reliable || *tag != "100rel") && (timer || *tag != "timer");
        self.tags().filter(is_spoken).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn supports(&self, tag: &str) -> bool {
        self.tags().any(|own| own.eq_ignore_ascii_case(tag))
    }

    fn tags(&self) -> impl Iterator<Item = &str> {
        OWN_TAGS.iter().copied().chain(self.supported.iter().map(String::as_str))
    }
}
