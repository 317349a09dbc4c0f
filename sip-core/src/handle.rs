//! Handles: small names for what an endpoint holds. Each is used once.

use crate::arena::handle;

handle! {
    /// A call, from `place_call` or `accept_call` to [`CallEnded`](crate::event::Event::CallEnded).
    pub CallHandle
}
handle! {
    /// A request from somebody else that awaits the application, to
    /// [`RequestEnded`](crate::event::Event::RequestEnded).
    pub RequestHandle
}
handle! {
    /// A request sent from here, to [`RequestCompleted`](crate::event::Event::RequestCompleted).
    pub OutgoingHandle
}
handle! {
    /// A registration with a registrar elsewhere, to
    /// [`RegistrationEnded`](crate::event::Event::RegistrationEnded).
    pub RegistrationHandle
}
handle! {
    /// A subscription of either role, or what a REFER made, to
    /// [`SubscriptionEnded`](crate::event::Event::SubscriptionEnded).
    pub SubscriptionHandle
}
handle! {
    /// Event state published from here, to [`PublicationEnded`](crate::event::Event::PublicationEnded).
    pub PublicationHandle
}
handle! {
    /// Credentials and what challenges taught, held by a call or registration.
    pub(crate) AuthHandle
}

/// One dialog of a call: an INVITE that was forked rings several telephones, each in a dialog of its own. Numbered
/// from 0 in each call; a call that came in has only number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ForkHandle(pub u16);
