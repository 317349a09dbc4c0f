//! Sending a branch: by which way it goes, what it says of us, and by which flow an edge proxy reaches its telephones
//! (RFC 3261 §16.6 steps 4, 7 and 10; RFC 5626 §5).

use super::{
    ForwardHandle, Proxy,
    fork::{BranchEnd, Context, LegState},
    forward::{self, OwnAddress},
    preprocess::loop_mark,
};
use crate::{
    header::NameAddr,
    io::{Flow, Protocol},
    message::{Method, Request},
    transaction::{EndReason, Located, SendOptions},
    transport::Target,
};
use std::net::SocketAddr;

impl Proxy {
    /// Finds out by which way a branch goes, or sends it at once when that is given.
    pub(super) fn start(&mut self, handle: ForwardHandle, at: usize, breadth: u16) {
        let Some(context) = self.contexts.get(handle) else { return };
        let Some(leg) = context.legs.get(at) else { return };
        let given = leg.branch.target.clone().or(context.way.map(Target::Flow));
        let outgoing = match &given {
            Some(Target::Flow(flow)) => Some(self.towards(flow)),
            Some(Target::Address { protocol, local, .. }) => {
                Some(self.own_address(*protocol, local.unwrap_or(context.flow.local)))
            }
            Some(Target::Hops(hops)) => {
                hops.first().map(|hop| self.own_address(hop.protocol, context.flow.local))
            }
            Some(Target::Uri(_)) | None => None,
        };
        if let Some(outgoing) = outgoing {
            return self.send_branch(handle, at, breadth, &outgoing, given);
        }
        let incoming = self.own_address(context.flow.protocol, context.flow.local);
        let planned = forward::to_branch(
            &context.request,
            &leg.branch,
            &context.options,
            breadth,
            (&incoming, &incoming),
        );
        let next = match (planned, &leg.branch.target) {
            (_, Some(Target::Uri(uri))) => uri.clone(),
            (Ok((_, next)), _) => next,
            (Err(_), _) => return self.fail_branch(handle, at, EndReason::Unreachable),
        };
        let id = self.transactions.locate(&next, self.now);
        self.located.insert(id, (handle, at, breadth));
    }

    /// The way of a branch is known.
    pub(super) fn on_located(
        &mut self,
        handle: ForwardHandle,
        at: usize,
        breadth: u16,
        outcome: Result<Located, EndReason>,
    ) {
        let context = self.contexts.get(handle);
        let waits = context.and_then(|it| it.legs.get(at)).is_some_and(|leg| leg.state == LegState::Locating);
        if !waits {
            // It was cancelled meanwhile.
            return;
        }
        let located = match outcome {
            Ok(located) => located,
            Err(reason) => {
                self.fail_branch(handle, at, reason);
                return self.try_to_end(handle);
            }
        };
        let Some(context) = self.contexts.get(handle) else { return };
        if context.decided {
            self.end_branch(handle, at, BranchEnd::NotTried);
            return self.try_to_end(handle);
        }
        let protocol = located.hops.first().map_or(Protocol::Udp, |hop| hop.protocol);
        let outgoing = match located.sent_by {
            Some(sent_by) => OwnAddress { sent_by, protocol, token: None },
            None => self.own_address(protocol, context.flow.local),
        };
        self.send_branch(handle, at, breadth, &outgoing, Some(Target::Hops(located.hops)));
        self.try_to_end(handle);
    }

    fn send_branch(
        &mut self,
        handle: ForwardHandle,
        at: usize,
        breadth: u16,
        outgoing: &OwnAddress,
        target: Option<Target>,
    ) {
        let Some(context) = self.contexts.get(handle) else { return };
        let Some(leg) = context.legs.get(at) else { return };
        let incoming = self.incoming(&context.request, &context.flow);
        let mut options = context.options.clone();
        options.record_route |= self.has_to_stay(context);
        let planned =
            forward::to_branch(&context.request, &leg.branch, &options, breadth, (&incoming, outgoing));
        let mark = loop_mark(&context.request, self.loop_key);
        let options = SendOptions { branch_suffix: Some(mark), ..SendOptions::default() };
        let is_invite = *context.request.method() == Method::Invite;
        let ring_for = context.options.ring_for;
        let sent = planned.ok().and_then(|(message, next)| {
            let target = target.unwrap_or(Target::Uri(next));
            self.transactions.send_request(message, target, options, self.now).ok()
        });
        let Some(client) = sent else {
            return self.fail_branch(handle, at, EndReason::Unreachable);
        };
        self.clients.insert(client, handle);
        let give_up_at = is_invite.then(|| self.now.checked_add(self.config.ringing)).flatten();
        let ring_until = ring_for.filter(|_| is_invite).and_then(|ring_for| self.now.checked_add(ring_for));
        if let Some(leg) = self.contexts.get_mut(handle).and_then(|context| context.legs.get_mut(at)) {
            leg.state = LegState::Sent { client, heard: false, cancelled: false, give_up_at, ring_until };
        }
        self.arm(handle);
    }

    fn own_address(&self, protocol: Protocol, local: SocketAddr) -> OwnAddress {
        OwnAddress { sent_by: self.transactions.sent_by(protocol, local), protocol, token: None }
    }

    /// Our address towards a telephone, with the flow it is reached by when we are its edge proxy.
    fn towards(&self, flow: &Flow) -> OwnAddress {
        let token = self.config.flow_tokens.as_ref().map(|tokens| tokens.encode(flow));
        OwnAddress { token, ..self.own_address(flow.protocol, flow.local) }
    }

    /// Our address towards whom the request came from. With one Via it came from the telephone itself (RFC 5626 §5.1).
    fn incoming(&self, request: &Request, flow: &Flow) -> OwnAddress {
        if request.vias().count() == 1 {
            self.towards(flow)
        } else {
            self.own_address(flow.protocol, flow.local)
        }
    }

    /// RFC 5626 §5.3: what follows in the dialog has to come by here, or it does not find the telephone's flow.
    fn has_to_stay(&self, context: &Context) -> bool {
        let asks = |contact: &NameAddr<'_>| contact.uri.params().has("ob");
        let request = &context.request;
        self.config.flow_tokens.is_some()
            && request.to_tag().is_none()
            && (context.way.is_some() || request.contact().ok().flatten().is_some_and(|it| asks(&it)))
    }
}
