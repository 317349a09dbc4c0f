//! Keeping flows alive, and noticing when they are dead (RFC 5626 §3.5, §4.4; RFC 6223): two line breaks on streams, STUN on
//! UDP. With the default interval a dead stream is found within a minute.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{StreamEnd, TransactionEvent, Transactions, event::DeadlineKey};
use crate::{
    deadline::DeadlineId,
    error::Misuse,
    id::Id,
    io::{Flow, Transmit},
    limits::Limit,
    transport::stun::{self, Stun, StunId},
};

/// One flow that is kept alive.
#[derive(Debug)]
pub(super) struct KeepAlive {
    flow: Flow,
    interval: Duration,
    state: State,
    deadline: Option<DeadlineId>,
    /// How we looked from there the last time.
    mapped: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next one is sent when the deadline comes.
    Resting,
    /// Sent; the answer is awaited. `sent` counts the tries over UDP.
    Asked { id: StunId, sent: u8 },
}

/// How long a stream may take to answer two line breaks (RFC 5626 §4.4.1).
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The first wait for a STUN answer; it doubles. After six tries in 31.5 s the flow is dead, as RFC 8489's Rc and RTO say
/// about.
const STUN_WITHIN: Duration = Duration::from_millis(500);
const STUN_TRIES: u8 = 6;

impl Transactions {
    /// Keeps a flow alive from now on, or changes the interval: every 80 to 100 % of it something is sent (§4.4.1).
    ///
    /// A stream that does not answer is closed ([`TransactionEvent::StreamClosed`]); a UDP flow that does not is told
    /// ([`TransactionEvent::FlowFailed`]) and no longer kept.
    ///
    /// # Errors
    /// [`Misuse::UnknownStream`] if the flow's stream is gone, [`Misuse::Limit`] when there is no room.
    pub fn keep_alive(&mut self, flow: Flow, interval: Duration, now: Instant) -> Result<(), Misuse> {
        self.advance(now);
        if !self.is_flow_alive(&flow) {
            return Err(Misuse::UnknownStream);
        }
        let interval = interval.max(Duration::from_secs(1));
        let id = match self.keep_alive_index.get(&flow) {
            Some(id) => *id,
            None => {
                if self.keep_alives.len() >= self.config.limits.streams {
                    return Err(Misuse::Limit(Limit::Streams));
                }
                let fresh = KeepAlive { flow, interval, state: State::Resting, deadline: None, mapped: None };
                let id = self.keep_alives.insert(fresh);
                self.keep_alive_index.insert(flow, id);
                id
            }
        };
        if let Some(kept) = self.keep_alives.get_mut(id) {
            kept.interval = interval;
        }
        self.rest(id);
        Ok(())
    }

    /// Stops keeping a flow alive.
    pub fn let_go(&mut self, flow: &Flow) {
        let Some(id) = self.keep_alive_index.remove(flow) else { return };
        if let Some(deadline) = self.keep_alives.remove(id).and_then(|kept| kept.deadline) {
            self.deadlines.cancel(deadline);
        }
    }

    /// Waits for the next turn: one of five steps from 80 to 100 %, so that thousands of flows do not send as one and the
    /// deadlines still fall into few queues.
    fn rest(&mut self, id: Id) {
        let step = self.random.below(5);
        let Some(kept) = self.keep_alives.get_mut(id) else { return };
        kept.state = State::Resting;
        let after = kept.interval.saturating_mul(step.saturating_add(16)) / 20;
        self.arm_keep_alive(id, after);
    }

    fn arm_keep_alive(&mut self, id: Id, after: Duration) {
        let deadline = self.deadlines.arm(after, DeadlineKey::KeepAlive(id), self.now);
        let Some(kept) = self.keep_alives.get_mut(id) else { return };
        if let Some(old) = kept.deadline.replace(deadline) {
            self.deadlines.cancel(old);
        }
    }

    pub(super) fn on_keep_alive_deadline(&mut self, id: Id) {
        let Some(kept) = self.keep_alives.get_mut(id) else { return };
        kept.deadline = None;
        let flow = kept.flow;
        match (kept.state, flow.stream) {
            (State::Resting, Some(stream)) => {
                kept.state = State::Asked { id: [0; 12], sent: 1 };
                self.send_on_stream(stream, Bytes::from_static(b"\r\n\r\n"));
                self.arm_keep_alive(id, PONG_WITHIN);
            }
            (State::Asked { .. }, Some(stream)) => {
                self.let_go(&flow);
                self.drop_stream(stream, StreamEnd::NoAnswer);
            }
            (State::Resting, None) => {
                let stun_id = self.random.bytes();
                self.ask_stun(id, flow, stun_id, 1);
            }
            (State::Asked { id: stun_id, sent }, None) if sent < STUN_TRIES => {
                self.ask_stun(id, flow, stun_id, sent.saturating_add(1));
            }
            (State::Asked { .. }, None) => {
                self.let_go(&flow);
                self.outbox.event(TransactionEvent::FlowFailed { flow });
            }
        }
    }

    fn ask_stun(&mut self, id: Id, flow: Flow, stun_id: StunId, sent: u8) {
        if let Some(kept) = self.keep_alives.get_mut(id) {
            kept.state = State::Asked { id: stun_id, sent };
        }
        self.send_datagram(flow, stun::request(&stun_id));
        let doublings = u32::from(sent.saturating_sub(1)).min(8);
        self.arm_keep_alive(id, STUN_WITHIN.saturating_mul(1_u32.wrapping_shl(doublings)));
    }

    fn send_datagram(&mut self, flow: Flow, payload: Bytes) {
        self.outbox.transmit(Transmit {
            source: Some(flow.local),
            destination: flow.remote,
            protocol: flow.protocol,
            stream: None,
            payload,
        });
    }

    /// STUN came to a SIP port.
    pub(super) fn on_stun(&mut self, flow: Flow, message: Stun) {
        match message {
            Stun::Request(id) => self.send_datagram(flow, stun::response(&id, flow.remote)),
            Stun::Response(stun_id, mapped) => {
                let Some(id) = self.keep_alive_index.get(&flow).copied() else { return };
                let Some(kept) = self.keep_alives.get_mut(id) else { return };
                let is_answer = matches!(kept.state, State::Asked { id, .. } if id == stun_id);
                if !is_answer {
                    return;
                }
                let before = std::mem::replace(&mut kept.mapped, mapped);
                self.rest(id);
                // A NAT that gave the flow another address has forgotten the registration's (§4.4.2).
                if let (Some(before), Some(after)) = (before, mapped)
                    && before != after
                {
                    self.let_go(&flow);
                    self.outbox.event(TransactionEvent::FlowFailed { flow });
                } else if let (None, Some(address)) = (before, mapped) {
                    self.outbox.event(TransactionEvent::SeenAs { flow, address });
                }
            }
            Stun::Other => {}
        }
    }

    /// Anything that comes over a stream shows that it lives.
    pub(super) fn stream_lives(&mut self, flow: &Flow) {
        let Some(id) = self.keep_alive_index.get(flow).copied() else { return };
        if self.keep_alives.get(id).is_some_and(|kept| kept.state != State::Resting) {
            self.rest(id);
        }
    }
}
