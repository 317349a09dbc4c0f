//! Fax machines and modems in a call: they need a channel that changes nothing.
//!
//! Between two sides with the same law of G.711 packets pass byte by byte, without a buffer, a gain or a repair; that is such
//! a channel already. Where the sides have other codecs both are asked for one law, and what the exchange would say into the
//! call is left unsaid.

use denwa::bridge::Signal;
use denwa::evidence::Fact;
use denwa_sip_core::endpoint::{Body, Headers};

use super::call::{Call, Stage, Which};
use super::desk::Desk;
use crate::config::Codec;

impl Call {
    /// A side made the tone of a machine.
    pub(super) fn data_heard(&mut self, desk: &mut Desk, which: Which, signal: Signal) {
        let what = match signal {
            Signal::FaxCalling => "a fax machine calls",
            Signal::Answer => "a fax machine or modem has answered",
        };
        self.evidence.add(which.evidence_side(), Fact::DataTone { what: what.to_owned() }, desk.now);
        if self.carries_data || self.stage != Stage::Talking {
            return;
        }
        self.carries_data = true;
        let Some(law) = self.common_law() else { return };
        for side in [Some(Which::Caller), self.winner.map(Which::Fork)].into_iter().flatten() {
            let Some(leg) = self.leg_mut(side) else { continue };
            let (Some(handle), Some(offer)) = (leg.handle, leg.only(desk, law)) else { continue };
            if desk.endpoint.reinvite(handle, Some(Body::sdp(offer)), Headers::new(), desk.now).is_err() {
                leg.negotiator.rollback();
            }
        }
    }

    /// A law that both sides may use: the one a side uses already, when there is such.
    fn common_law(&self) -> Option<Codec> {
        let other = &self.forks.get(self.winner?)?.leg;
        let theirs = other.waveform_codecs();
        let mut common = self.caller.waveform_codecs();
        common.retain(|law| theirs.contains(law));
        let is_used =
            |law: &&Codec| [&self.caller, other].iter().any(|leg| leg.codec.as_deref() == Some(law.name()));
        common.iter().find(is_used).or(common.first()).copied()
    }
}
