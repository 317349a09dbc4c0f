//! The table of participants: who sent media, who reports, who said what last. Its size is limited.
//!
//! A linear table: telephony has one or two participants, and a limit of a few dozen.

use std::time::{Duration, Instant};

use crate::{
    rtcp::{extended::VoipMetrics, receiver_report::ReportBlock},
    source::Source,
};

/// A participant; what each packet needs stands in front.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Member {
    pub(super) ssrc: u32,
    /// Timed out, and only remembered for its figures.
    pub(super) gone: bool,
    /// RTCP from it has been believed.
    pub(super) spoke: bool,
    /// Media or control.
    pub(super) last_at: Instant,
    /// Its media, when it has sent any.
    pub(super) source: Option<Source>,
    pub(super) cname: Option<Box<[u8]>>,
    /// Middle bits of its last sender report, and when that came.
    pub(super) last_sender_report: Option<(u32, Instant)>,
    /// The same of its last reference time (XR).
    pub(super) last_reference: Option<(u32, Instant)>,
    /// What it says of us.
    pub(super) report: Option<RemoteReport>,
}

/// What a peer said of our stream, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteReport {
    /// Who says so.
    pub from: u32,
    /// What it says.
    pub block: ReportBlock,
    /// Round-trip time measured with it, or with an earlier one.
    pub round_trip: Option<Duration>,
    /// What it last said of how we sound, by XR.
    pub metrics: Option<VoipMetrics>,
    /// When it came.
    pub at: Instant,
}

impl Member {
    fn new(ssrc: u32, now: Instant) -> Self {
        Self {
            ssrc,
            source: None,
            cname: None,
            spoke: false,
            last_at: now,
            gone: false,
            last_sender_report: None,
            last_reference: None,
            report: None,
        }
    }

    /// Counts as a member in RFC 3550's sense.
    pub(super) fn is_valid(&self) -> bool {
        !self.gone && (self.spoke || self.is_source())
    }

    pub(super) fn is_source(&self) -> bool {
        self.source.as_ref().is_some_and(Source::is_valid)
    }
}

/// All participants but ourselves.
#[derive(Debug)]
pub(super) struct Members {
    members: Vec<Member>,
    /// The SSRC that is listened to, and where in the table it was last.
    active: Option<(u32, usize)>,
    maximum: usize,
}

impl Members {
    pub(super) const fn new(maximum: usize) -> Self {
        Self { members: Vec::new(), active: None, maximum }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    pub(super) fn get(&self, ssrc: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.ssrc == ssrc)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut Member> {
        let index = match self.active {
            Some((active, index)) if active == ssrc => index,
            _ => self.members.iter().position(|member| member.ssrc == ssrc)?,
        };
        self.members.get_mut(index)
    }

    pub(super) fn is_active(&self, ssrc: u32) -> bool {
        self.active.is_some_and(|(active, _)| active == ssrc)
    }

    /// Makes room for `ssrc` and remembers it; `false` when there is none: members that were never valid give way,
    /// others do not.
    pub(super) fn admit(&mut self, ssrc: u32, now: Instant) -> bool {
        if self.get(ssrc).is_some() {
            return true;
        }
        if self.members.len() >= self.maximum {
            let oldest = self
                .members
                .iter()
                .enumerate()
                .filter(|(_, member)| !member.is_valid() && !self.is_active(member.ssrc))
                .min_by_key(|(_, member)| member.last_at)
                .map(|(index, _)| index);
            let Some(oldest) = oldest else { return false };
            self.members.remove(oldest);
            self.find_active();
        }
        // Nearly all sessions have one: room for four, which is what a list takes of itself, would be three too many.
        self.members.reserve_exact(1);
        self.members.push(Member::new(ssrc, now));
        true
    }

    pub(super) fn active(&self) -> Option<&Member> {
        self.active.and_then(|(_, index)| self.members.get(index))
    }

    pub(super) fn active_ssrc(&self) -> Option<u32> {
        self.active.map(|(ssrc, _)| ssrc)
    }

    pub(super) fn activate(&mut self, ssrc: u32) {
        self.active = Some((ssrc, 0));
        self.find_active();
    }

    /// Keeps those for whom `keep` holds.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Member) -> bool) {
        self.members.retain(keep);
        self.find_active();
    }

    /// Members in RFC 3550's sense, without ourselves.
    pub(super) fn valid_count(&self) -> usize {
        self.members.iter().filter(|member| member.is_valid()).count()
    }

    /// Those who sent media since `since`.
    pub(super) fn sender_count(&self, since: Instant) -> usize {
        let sent = |member: &&Member| {
            member.source.as_ref().is_some_and(|source| source.is_valid() && source.last_at() >= since)
        };
        self.members.iter().filter(sent).count()
    }

    fn find_active(&mut self) {
        self.active = self
            .active
            .and_then(|(ssrc, _)| Some((ssrc, self.members.iter().position(|member| member.ssrc == ssrc)?)));
    }
}
