//! RTCP that goes out, and when: RFC 3550 §6.3 (timer reconsideration, BYE) and §6.4 (reports), RFC 4585 §3.5 for
//! feedback in a session of two, RFC 3550 §8.2 for a new SSRC.

use std::time::{Duration, Instant};

use rand_core::Rng;

use super::{ControlMode, Event, Session};
use crate::{
    error::Misuse,
    interval::Conditions,
    rtcp::{
        description::{self, item_type},
        extended::{DelaySince, Writer},
        goodbye, receiver_report,
        receiver_report::ReportBlock,
        sender_report::{self, SenderInfo},
    },
    time,
    wallclock::to_short,
};

/// Octets of IPv4 and UDP headers, which the mean size includes.
const LOWER_HEADERS: usize = 28;
/// In a crowd from this size on, BYE waits its turn (RFC 3550 §6.3.7).
const CROWD: usize = 50;
/// A participant is forgotten after this many intervals.
const INTERVALS_TO_TIME_OUT: u32 = 5;

/// The state of RFC 3550 §6.3.
#[derive(Debug, Clone)]
pub(super) struct ControlTimer {
    /// tp: the last report, or the beginning.
    last_at: Instant,
    /// tn: the next.
    next_at: Option<Instant>,
    previous_members: usize,
    average_size: f64,
    initial: bool,
    /// When the last but one report was sent: who sent media since then is a sender.
    sent_before_last_at: Instant,
    /// A BYE that waits in a crowd.
    goodbye: Option<Goodbye>,
}

#[derive(Debug, Clone)]
struct Goodbye {
    packet: Vec<u8>,
    /// Members that said BYE since, ourselves included.
    members: usize,
}

impl ControlTimer {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            last_at: now,
            next_at: None,
            previous_members: 1,
            average_size: 100.0,
            initial: true,
            sent_before_last_at: now,
            goodbye: None,
        }
    }

    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.next_at
    }

    pub(super) const fn has_sent(&self) -> bool {
        !self.initial
    }

    pub(super) fn count_size(&mut self, octets: usize) {
        self.average_size += ((octets + LOWER_HEADERS) as f64 - self.average_size) / 16.0;
    }
}

impl Session {
    pub(super) fn schedule_first(&mut self, now: Instant) {
        if self.config.control == ControlMode::Off {
            return;
        }
        let random = self.random_unit();
        self.timer.next_at = Some(time::after(now, self.conditions(now).randomised(random)));
    }

    fn conditions(&self, now: Instant) -> Conditions {
        let since = self.timer.sent_before_last_at;
        let we_sent = self.we_sent();
        Conditions {
            members: self.members.valid_count() + 1,
            senders: self.members.sender_count(since.min(now)) + usize::from(we_sent),
            bandwidth_octets_per_second: f64::from(self.config.bandwidth_bits_per_second) * 0.05 / 8.0,
            we_sent,
            average_size: self.timer.average_size,
            initial: self.timer.initial,
            minimum: self.config.minimum_interval,
        }
    }

    fn we_sent(&self) -> bool {
        self.sender.last_at().is_some_and(|at| at >= self.timer.sent_before_last_at)
    }

    /// The timer fired: RFC 3550 §6.3.6, or §6.3.7 when a BYE waits.
    pub(super) fn control_due(&mut self, now: Instant) {
        if let Some(goodbye) = &self.timer.goodbye {
            let conditions = Conditions {
                members: goodbye.members,
                senders: 0,
                we_sent: false,
                initial: true,
                ..self.conditions(now)
            };
            let random = self.random_unit();
            let wanted = time::after(self.timer.last_at, conditions.randomised(random));
            if wanted <= now {
                self.end_with_goodbye();
            } else {
                self.timer.next_at = Some(wanted);
            }
            return;
        }
        self.time_out_members(now);
        let random = self.random_unit();
        let wanted = time::after(self.timer.last_at, self.conditions(now).randomised(random));
        if wanted <= now {
            let packet = self.compose(now);
            self.transmit_control(packet);
            self.timer.sent_before_last_at = self.timer.last_at;
            self.timer.last_at = now;
            self.timer.initial = false;
            let random = self.random_unit();
            self.timer.next_at = Some(time::after(now, self.conditions(now).randomised(random)));
        } else {
            self.timer.next_at = Some(wanted);
        }
        self.timer.previous_members = self.members.valid_count() + 1;
    }

    /// Members of whom nothing was heard: RFC 3550 §6.3.5.
    fn time_out_members(&mut self, now: Instant) {
        let deterministic = Conditions { initial: false, ..self.conditions(now) }.deterministic();
        let patience = deterministic.saturating_mul(INTERVALS_TO_TIME_OUT);
        let expired = |last: Instant| now.saturating_duration_since(last) > patience;
        let gone: Vec<u32> = self
            .members
            .iter()
            .filter(|member| expired(member.last_at) && member.is_valid())
            .map(|member| member.ssrc)
            .collect();
        // The figures of the one we listen to outlive a long silence, such as a hold.
        let active = self.members.active_ssrc();
        self.members.retain(|member| active == Some(member.ssrc) || !expired(member.last_at));
        for member in self.members.iter_mut().filter(|member| expired(member.last_at)) {
            member.gone = true;
        }
        for ssrc in gone {
            self.event(Event::SourceTimedOut { ssrc });
        }
    }

    /// Somebody left: reverse reconsideration, RFC 3550 §6.3.4.
    pub(super) fn member_left(&mut self, now: Instant) {
        if let Some(goodbye) = &mut self.timer.goodbye {
            goodbye.members += 1;
            return;
        }
        let members = self.members.valid_count() + 1;
        if members >= self.timer.previous_members {
            return;
        }
        let ratio = members as f64 / self.timer.previous_members as f64;
        if let Some(next_at) = self.timer.next_at {
            let left = next_at.saturating_duration_since(now).mul_f64(ratio);
            self.timer.next_at = Some(time::after(now, left));
        }
        let passed = now.saturating_duration_since(self.timer.last_at).mul_f64(ratio);
        self.timer.last_at = now.checked_sub(passed).unwrap_or(now);
        self.timer.previous_members = members;
    }

    /// SR or RR, SDES, and XR when wanted.
    fn compose(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.compose_report(&mut out, now);
        let ssrc = self.sender.ssrc();
        description::write(&mut out, ssrc, &[(item_type::CNAME, self.config.cname.as_bytes())]);
        if self.config.extended_reports {
            self.compose_extended(&mut out, now);
        }
        out
    }

    fn compose_report(&mut self, out: &mut Vec<u8>, now: Instant) {
        let since = self.timer.last_at;
        let blocks: Vec<ReportBlock> =
            self.members.iter_mut().filter_map(|member| report_block(member, since, now)).take(31).collect();
        let ssrc = self.sender.ssrc();
        match self.sender.timestamp_at(now).filter(|_| self.we_sent()) {
            Some(timestamp) => {
                let info = SenderInfo {
                    ntp: self.config.wall_clock.ntp(now),
                    timestamp,
                    packets: self.sender.packets() as u32,
                    octets: self.sender.payload_octets() as u32,
                };
                sender_report::write(out, ssrc, &info, &blocks);
            }
            None => receiver_report::write(out, ssrc, &blocks),
        }
    }

    fn compose_extended(&self, out: &mut Vec<u8>, now: Instant) {
        let mut writer = Writer::begin(out, self.sender.ssrc());
        if !self.we_sent() {
            writer.reference_time(self.config.wall_clock.ntp(now));
        }
        let echoes: Vec<DelaySince> = self
            .members
            .iter()
            .filter_map(|member| {
                let (last_report, at) = member.last_reference?;
                let delay = to_short(now.saturating_duration_since(at));
                Some(DelaySince { ssrc: member.ssrc, last_report, delay })
            })
            .collect();
        if !echoes.is_empty() {
            writer.delays(&echoes);
        }
        if let Some(metrics) = self.quality(None, now).voip_metrics() {
            writer.voip_metrics(&metrics);
        }
        writer.finish();
    }

    /// Feedback and other packets that need not wait for the timer when there are two participants.
    pub(super) fn send_early(&mut self, packet: Vec<u8>, now: Instant) -> Result<(), Misuse> {
        if self.ended {
            return Err(Misuse::Ended);
        }
        if self.config.control == ControlMode::Off {
            return Err(Misuse::OutOfRange("RTCP is switched off"));
        }
        let mut out = Vec::with_capacity(256);
        if self.config.control == ControlMode::Compound {
            self.compose_report(&mut out, now);
            let ssrc = self.sender.ssrc();
            description::write(&mut out, ssrc, &[(item_type::CNAME, self.config.cname.as_bytes())]);
        }
        out.extend_from_slice(&packet);
        self.transmit_control(out);
        Ok(())
    }

    /// RFC 3550 §6.3.7. Who has sent neither RTP nor RTCP leaves without a word.
    pub(super) fn say_goodbye(&mut self, reason: Option<&str>, now: Instant) {
        if self.config.control == ControlMode::Off || !(self.sent_own || self.timer.has_sent()) {
            self.end();
            return;
        }
        let mut packet = self.compose(now);
        goodbye::write(&mut packet, self.sender.ssrc(), reason);
        let crowd = self.members.valid_count() + 1 >= CROWD;
        self.timer.average_size = (packet.len() + LOWER_HEADERS) as f64;
        self.timer.goodbye = Some(Goodbye { packet, members: 1 });
        if !crowd {
            self.end_with_goodbye();
            return;
        }
        self.timer.last_at = now;
        self.timer.initial = true;
        let conditions = Conditions { members: 1, senders: 0, we_sent: false, ..self.conditions(now) };
        let random = self.random_unit();
        self.timer.next_at = Some(time::after(now, conditions.randomised(random)));
    }

    fn end_with_goodbye(&mut self) {
        if let Some(goodbye) = self.timer.goodbye.take() {
            self.transmit_control(goodbye.packet);
        }
        self.end();
    }

    fn end(&mut self) {
        self.ended = true;
        self.event(Event::Ended);
    }

    /// Someone we follow has drawn our SSRC: we leave and return under another (§8.2).
    pub(super) fn give_up_ssrc(&mut self, now: Instant) {
        let old = self.sender.ssrc();
        if self.config.control != ControlMode::Off {
            let mut packet = self.compose(now);
            goodbye::write(&mut packet, old, None);
            self.transmit_control(packet);
        }
        let mut new = self.random.next_u32();
        while new == old || self.members.get(new).is_some() {
            new = new.wrapping_add(1);
        }
        self.sender.change_ssrc(new);
        self.sent_own = false;
        self.event(Event::SsrcChanged { old, new });
    }
}

/// What we say of a source that sent since `since`.
fn report_block(member: &mut super::Member, since: Instant, now: Instant) -> Option<ReportBlock> {
    let source = member.source.as_mut().filter(|source| source.is_valid() && source.last_at() >= since)?;
    let (last_report, delay) = member.last_sender_report.map_or((0, 0), |(middle, at)| {
        (middle, to_short(now.saturating_duration_since(at).min(Duration::from_secs(0xffff))))
    });
    Some(ReportBlock {
        ssrc: source.ssrc(),
        fraction_lost: source.take_fraction_lost(),
        lost: source.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
        highest: source.extended() as u32,
        jitter: source.jitter_units(),
        last_report,
        delay,
    })
}
