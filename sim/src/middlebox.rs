//! Boxes in the middle: what a host that forwards does to packets on their way.
//!
//! A box sees each packet twice: before the route is looked up (where destinations are translated) and after (where
//! sources are translated and filters sit). Several boxes on one host work one after another, in the order in which
//! they were added. Write your own by implementing [`Middlebox`].

use crate::machine::UnreachableReason;
use crate::packet::Packet;
use std::time::Duration;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is dropped, for the reason that stands in the trace.
    Drop(&'static str),
    /// It is dropped and its sender is told.
    Reject(UnreachableReason),
}

/// Where a packet is in a box. Interfaces are counted from 0 in the order in which they were attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Where it came in; `None`: it began on this host.
    pub ingress: Option<usize>,
    /// Where it will go out; `None` before the route is known, or when it is for this host.
    pub egress: Option<usize>,
    /// Virtual time since the network began.
    pub now: Duration,
}

/// A box in the middle.
pub trait Middlebox {
    /// A packet came in, or begins here.
    fn before_routing(&mut self, _packet: &mut Packet, _passage: Passage) -> Verdict {
        Verdict::Pass
    }

    /// A packet is about to leave.
    fn after_routing(&mut self, _packet: &mut Packet, _passage: Passage) -> Verdict {
        Verdict::Pass
    }
}
