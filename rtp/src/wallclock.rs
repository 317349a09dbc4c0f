//! The wall clock that sender reports carry, RFC 3550 §4: NTP time from a monotone instant and one anchor.
//!
//! Seconds are counted from 1900 in 32 bits and wrap in February 2036, which no reader here minds: only
//! differences and the middle 32 bits are ever used.

use std::time::{Duration, Instant};

/// Seconds from 1900 to 1970.
const UNIX_EPOCH_IN_NTP_SECONDS: u64 = 2_208_988_800;

/// NTP time: 32 bits of seconds, 32 bits of fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the time since 1970.
    #[must_use]
    pub const fn from_unix(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP_SECONDS) & 0xffff_ffff;
        let fraction = ((since_1970.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as LSR carries them: 16 bits of seconds, 16 bits of fraction.
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// One moment on both clocks. Given once, so that no machine here ever asks the system for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The moment on the monotone clock.
    pub at: Instant,
    /// The same moment as time since 1970.
    pub since_1970: Duration,
}

impl WallClock {
    /// NTP time at `now`; before the anchor too.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> NtpTime {
        let forward = now.saturating_duration_since(self.at);
        let back = self.at.saturating_duration_since(now);
        NtpTime::from_unix(self.since_1970.saturating_add(forward).saturating_sub(back))
    }
}

/// A duration in units of 1/65536 s, as DLSR and DLRR carry it; as many as fit.
#[must_use]
pub fn to_short(duration: Duration) -> u32 {
    let whole = duration.as_secs().min(0xffff) << 16;
    let fraction = (u64::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    (whole | fraction) as u32
}

/// The duration of `units` of 1/65536 s.
#[must_use]
pub fn from_short(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

/// Round-trip time, RFC 3550 §6.4.1: when the report arrived, what it said of the last report and the delay since.
///
/// `None` when the peer never had a report of ours, or when clocks and delays do not add up.
#[must_use]
pub fn round_trip(arrival: NtpTime, last_report: u32, delay_since: u32) -> Option<Duration> {
    if last_report == 0 {
        return None;
    }
    let round_trip = arrival.middle().wrapping_sub(delay_since).wrapping_sub(last_report);
    // A negative result is a peer that rounds its delay up, or lies.
    (round_trip < 0x8000_0000).then(|| from_short(round_trip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3550_figure_2_round_trip() {
        let arrival = NtpTime(0xb44d_b710_8000_0000);
        assert_eq!(arrival.middle(), 0xb710_8000);
        assert_eq!(NtpTime(0xb44d_b705_2000_0000).middle(), 0xb705_2000);
        let round_trip = round_trip(arrival, 0xb705_2000, 0x0005_4000).unwrap();
        assert_eq!(round_trip, Duration::from_millis(6125));
    }

    #[test]
    fn rfc3550_ntp_epochs() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0, 0x83aa_7e80_0000_0000);
        assert_eq!(NtpTime::from_unix(Duration::ZERO).middle(), 0x7e80_0000);
        assert_eq!(NtpTime::from_unix(Duration::from_secs(2_085_978_496)).0, 0, "era 1 begins");
        assert_eq!(NtpTime::from_unix(Duration::new(816_003_205, 125_000_000)).0, 0xb44d_b705_2000_0000);
    }

    #[test]
    fn nonsense_is_no_round_trip() {
        assert_eq!(round_trip(NtpTime(0), 0, 5), None);
        assert_eq!(round_trip(NtpTime(1 << 16), 5, 0), None);
    }

    #[test]
    fn short_durations() {
        assert_eq!(to_short(Duration::from_millis(5250)), 0x0005_4000);
        assert_eq!(from_short(0x0006_2000), Duration::from_millis(6125));
        assert_eq!(to_short(Duration::from_secs(1 << 40)), 0xffff_0000);
    }
}
