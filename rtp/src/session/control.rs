//! RTCP that came in: RFC 3550 §6.4–6.7 as a receiver, XR and feedback.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Action, DropReason, Event, Path, RemoteReport, Session};
use crate::{
    rtcp::{
        Compound, ControlPacket, Raw,
        extended::{self, Block, Extended},
        feedback::Feedback,
        goodbye::Goodbye,
        packet_type,
        receiver_report::ReportBlock,
    },
    wallclock::round_trip,
};

impl Session {
    #[inline(never)]
    pub(super) fn receive_control(
        &mut self,
        datagram: &mut [u8],
        path: Path,
        now: Instant,
    ) -> Action<'static> {
        match self.read_control(datagram, path, now) {
            Ok(()) => Action::Control,
            Err(reason) => self.dropped(reason),
        }
    }

    fn read_control(&mut self, datagram: &mut [u8], path: Path, now: Instant) -> Result<(), DropReason> {
        if self.ended {
            return Err(DropReason::Ended);
        }
        let received = datagram.len();
        let (length, authenticated) = self.unprotect_control(datagram)?;
        let plain = datagram.get(..length).unwrap_or(&[]);
        let compound = Compound::parse(plain).map_err(DropReason::MalformedControl)?;
        let trusted = self.latch.trusts_control_from(path.source);
        if !trusted && !authenticated {
            return Err(DropReason::StrangeControl);
        }
        if compound.sender_ssrc() == Some(self.sender.ssrc()) {
            self.own_ssrc_in_control(compound, now);
            return Err(DropReason::Loop);
        }
        if trusted && self.config.remote_control.is_some() && self.latch.followed() != Some(path.source) {
            self.control_destination = Some(path.source);
        }
        self.timer.count_size(received);
        for raw in compound.packets() {
            // One packet whose body lies does not spoil the others.
            match raw.read() {
                Ok(packet) => self.control_packet(packet, now),
                Err(_) => self.counters.malformed_control = self.counters.malformed_control.wrapping_add(1),
            }
        }
        self.counters.control = self.counters.control.wrapping_add(1);
        Ok(())
    }

    /// Our own SSRC in control: with our own name it is our packet that comes back; with another it is somebody else
    /// (RFC 3550 §8.2).
    fn own_ssrc_in_control(&mut self, compound: Compound<'_>, now: Instant) {
        let ours = self.sender.ssrc();
        let foreign = |raw: Raw<'_>| match raw.read() {
            Ok(ControlPacket::Description(description)) => description.chunks().any(|chunk| {
                chunk.ssrc == ours && chunk.cname().is_some_and(|name| name != self.config.cname.as_bytes())
            }),
            _ => false,
        };
        if compound.packets().any(foreign) {
            self.give_up_ssrc(now);
        }
    }

    fn control_packet(&mut self, packet: ControlPacket<'_>, now: Instant) {
        match packet {
            ControlPacket::SenderReport(report) => {
                if let Some(member) = self.spoke(report.ssrc, now) {
                    member.last_sender_report = Some((report.info.ntp.middle(), now));
                }
                self.reports(report.ssrc, report.blocks(), now);
            }
            ControlPacket::ReceiverReport(report) => {
                self.spoke(report.ssrc, now);
                self.reports(report.ssrc, report.blocks(), now);
            }
            ControlPacket::Description(description) => {
                for chunk in description.chunks() {
                    let cname = chunk.cname();
                    if let Some(member) = self.spoke(chunk.ssrc, now)
                        && let Some(cname) = cname
                        && member.cname.as_deref() != Some(cname)
                    {
                        member.cname = Some(cname.into());
                    }
                }
            }
            ControlPacket::Goodbye(goodbye) => self.goodbye(goodbye, now),
            ControlPacket::Application(application) => self.event(Event::ApplicationReceived {
                ssrc: application.ssrc,
                subtype: application.subtype,
                name: application.name,
                data: Bytes::copy_from_slice(application.data),
            }),
            ControlPacket::TransportFeedback(feedback) => {
                self.feedback(packet_type::TRANSPORT_FEEDBACK, feedback, now)
            }
            ControlPacket::PayloadFeedback(feedback) => {
                self.feedback(packet_type::PAYLOAD_FEEDBACK, feedback, now)
            }
            ControlPacket::Extended(extended) => self.extended(extended, now),
            ControlPacket::Unknown(_) => {}
        }
    }

    /// Remembers that `ssrc` takes part.
    fn spoke(&mut self, ssrc: u32, now: Instant) -> Option<&mut super::Member> {
        if ssrc == self.sender.ssrc() {
            return None;
        }
        let member = self.member(ssrc, now)?;
        member.spoke = true;
        member.last_at = now;
        member.gone = false;
        Some(member)
    }

    fn reports(&mut self, from: u32, blocks: impl Iterator<Item = ReportBlock>, now: Instant) {
        let ours = self.sender.ssrc();
        let arrival = self.config.wall_clock.ntp(now);
        for block in blocks.filter(|block| block.ssrc == ours) {
            let measured =
                round_trip(arrival, block.last_report, block.delay).filter(|time| plausible(*time));
            let Some(member) = self.members.get_mut(from) else { continue };
            let round_trip = measured.or(member.report.and_then(|report| report.round_trip));
            let metrics = member.report.and_then(|report| report.metrics);
            member.report = Some(RemoteReport { from, block, round_trip, metrics, at: now });
            self.event(Event::ReportReceived { from, report: block, round_trip: measured });
        }
    }

    fn goodbye(&mut self, goodbye: Goodbye<'_>, now: Instant) {
        let reason = goodbye.reason.map(printable);
        for ssrc in goodbye.sources() {
            let known = self.members.get(ssrc).is_some_and(super::Member::is_valid);
            self.members.retain(|member| member.ssrc != ssrc);
            if known {
                self.event(Event::SourceLeft { ssrc, reason: reason.clone() });
            }
        }
        self.member_left(now);
    }

    fn feedback(&mut self, packet_type: u8, feedback: Feedback<'_>, now: Instant) {
        self.spoke(feedback.sender, now);
        self.event(Event::FeedbackReceived {
            packet_type,
            format: feedback.format,
            sender: feedback.sender,
            media: feedback.media,
            information: Bytes::copy_from_slice(feedback.information),
        });
    }

    fn extended(&mut self, extended: Extended<'_>, now: Instant) {
        let from = extended.ssrc;
        if self.spoke(from, now).is_none() {
            return;
        }
        for block in extended.blocks() {
            match block {
                Block::ReferenceTime(time) => {
                    if let Some(member) = self.members.get_mut(from) {
                        member.last_reference = Some((time.middle(), now));
                    }
                }
                Block::DelaySince(contents) => self.delays(from, contents, now),
                Block::VoipMetrics(metrics) => {
                    if metrics.ssrc == self.sender.ssrc() {
                        if let Some(report) =
                            self.members.get_mut(from).and_then(|member| member.report.as_mut())
                        {
                            report.metrics = Some(metrics);
                        }
                        self.event(Event::VoipMetricsReceived { from, metrics });
                    }
                }
                Block::Statistics(_) | Block::Other { .. } => {}
            }
        }
    }

    /// The echo of our reference time measures the round trip even while we send nothing.
    fn delays(&mut self, from: u32, contents: &[u8], now: Instant) {
        let ours = self.sender.ssrc();
        let arrival = self.config.wall_clock.ntp(now);
        for delay in extended::delays(contents).filter(|delay| delay.ssrc == ours) {
            let measured =
                round_trip(arrival, delay.last_report, delay.delay).filter(|time| plausible(*time));
            let Some(member) = self.members.get_mut(from) else { continue };
            if let (Some(_), Some(report)) = (measured, &mut member.report) {
                report.round_trip = measured;
                continue;
            }
            if measured.is_some() {
                let block = ReportBlock { ssrc: ours, ..ReportBlock::default() };
                member.report =
                    Some(RemoteReport { from, block, round_trip: measured, metrics: None, at: now });
            }
        }
    }
}

/// A round trip over a minute is a broken clock, or a lie.
fn plausible(round_trip: Duration) -> bool {
    round_trip < Duration::from_secs(60)
}

/// A peer's text without what could confuse a terminal or a log.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
