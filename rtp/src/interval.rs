//! How long until the next RTCP packet: RFC 3550 §6.3.1 and A.7, with the reduced minimum of §6.2 and the
//! trr-int of RFC 4585 §3.4 left to the session.
//!
//! Pure arithmetic; who counts as a member and when a timer fires is [`crate::session`]'s matter.

use std::time::Duration;

/// What the interval depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Participants, ourselves included.
    pub members: usize,
    /// Of these, how many sent media lately.
    pub senders: usize,
    /// Octets a second that RTCP may use in the whole session, usually 5 % of it.
    pub bandwidth_octets_per_second: f64,
    /// We are one of the senders.
    pub we_sent: bool,
    /// Mean size of RTCP packets with UDP and IP headers, in octets.
    pub average_size: f64,
    /// No RTCP packet has been sent yet: half the minimum does.
    pub initial: bool,
    /// The minimum, 5 s unless reduced.
    pub minimum: Duration,
}

/// Compensates for timer reconsideration settling below the wanted mean: e − 3/2, with e as A.7 writes it.
const COMPENSATION: f64 = 1.21828;

impl Conditions {
    /// The calculated interval Td, before it is randomised.
    #[must_use]
    pub fn deterministic(&self) -> Duration {
        let minimum = if self.initial { self.minimum / 2 } else { self.minimum };
        let mut bandwidth = self.bandwidth_octets_per_second;
        let mut sharing = self.members as f64;
        // Senders get a quarter of the bandwidth unless they are more than a quarter of the members.
        if (self.senders as f64) <= sharing * 0.25 {
            if self.we_sent {
                bandwidth *= 0.25;
                sharing = self.senders as f64;
            } else {
                bandwidth *= 0.75;
                sharing -= self.senders as f64;
            }
        }
        let seconds = self.average_size * sharing / bandwidth;
        // No bandwidth at all, or nonsense: a day is never.
        let seconds = if seconds.is_finite() { seconds.clamp(0.0, 86_400.0) } else { 86_400.0 };
        minimum.max(Duration::from_secs_f64(seconds))
    }

    /// The interval T with `random` drawn evenly from 0 to 1.
    #[must_use]
    pub fn randomised(&self, random: f64) -> Duration {
        self.deterministic().mul_f64((random.clamp(0.0, 1.0) + 0.5) / COMPENSATION)
    }
}

/// The reduced minimum of RFC 3550 §6.2: 360 s divided by the session bandwidth in kbit/s, never above 5 s.
#[must_use]
pub fn reduced_minimum(session_bandwidth_bits_per_second: u32) -> Duration {
    let kilobits = f64::from(session_bandwidth_bits_per_second.max(1)) / 1000.0;
    Duration::from_secs_f64((360.0 / kilobits).min(5.0))
}
