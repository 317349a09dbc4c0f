//! Bursts and gaps of loss, RFC 3611 §4.7.2: what came in clusters hurts more than what came alone.
//!
//! Fed with the numbers of what was lost or came too late to be played, in about increasing order; what was received costs
//! nothing here. A loss with at least 16 packets received on both sides of it belongs to a gap.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

/// Gmin: so many packets received in a row end a burst.
pub const MINIMUM_GAP: u8 = 16;

/// Bursts and gaps of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bursts {
    /// Losses near each other, the last of which was the last of all.
    run: Option<Run>,
    bursts: u64,
    /// Packets within bursts, and those of them that were lost.
    burst_packets: u64,
    burst_lost: u64,
    /// Lost within gaps.
    gap_lost: u64,
    /// Losses without a packet received between them, each such row counted once.
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    lost: u64,
}

/// What the bursts came to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Bursts so far.
    pub bursts: u64,
    /// Lost or discarded within bursts, as a fraction of the packets there, 0–1.
    pub burst_density: f64,
    /// The same between bursts.
    pub gap_density: f64,
    /// Mean length of a burst.
    pub burst_duration: Duration,
    /// Mean length of what lies between bursts.
    pub gap_duration: Duration,
    /// BurstR of G.107: how much longer rows of losses are than independent loss would make them; 1 when it is.
    pub burst_ratio: f64,
}

impl Bursts {
    /// `count` packets from `number` on were lost, or came too late.
    pub fn lost(&mut self, number: u64, count: u64) {
        let Some(last) = count.checked_sub(1).map(|more| number.saturating_add(more)) else { return };
        match &mut self.run {
            Some(run) if number <= run.last.saturating_add(u64::from(MINIMUM_GAP)) => {
                if number > run.last.saturating_add(1) {
                    self.rows = self.rows.wrapping_add(1);
                }
                run.first = run.first.min(number);
                run.last = run.last.max(last);
                run.lost = run.lost.saturating_add(count);
            }
            _ => {
                self.close();
                self.rows = self.rows.wrapping_add(1);
                self.run = Some(Run { first: number, last, lost: count });
            }
        }
    }

    /// At least a gap's worth of packets has passed.
    fn close(&mut self) {
        let Some(run) = self.run.take() else { return };
        if run.lost == 1 {
            self.gap_lost = self.gap_lost.wrapping_add(1);
            return;
        }
        self.bursts = self.bursts.wrapping_add(1);
        let length = run.last.saturating_sub(run.first).saturating_add(1);
        self.burst_packets = self.burst_packets.wrapping_add(length);
        self.burst_lost = self.burst_lost.wrapping_add(run.lost.min(length));
    }

    /// The figures, of `expected` packets of `frame` each. What follows a report is taken to be received.
    #[must_use]
    pub fn figures(mut self, expected: u64, frame: Duration) -> Figures {
        self.close();
        let gap_packets = expected.saturating_sub(self.burst_packets);
        let fraction = |part: u64, whole: u64| {
            if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) }
        };
        // As in Appendix A.2, gaps are counted by the bursts that end them.
        let mean = |packets: u64| {
            frame.mul_f64(packets as f64 / self.bursts.max(1) as f64).min(Duration::from_secs(86_400))
        };
        let lost = self.burst_lost.saturating_add(self.gap_lost);
        let row = if self.rows == 0 { 1.0 } else { lost as f64 / self.rows as f64 };
        Figures {
            bursts: self.bursts,
            burst_density: fraction(self.burst_lost, self.burst_packets),
            gap_density: fraction(self.gap_lost, gap_packets),
            burst_duration: mean(self.burst_packets),
            gap_duration: mean(gap_packets),
            burst_ratio: (row * (1.0 - fraction(lost, expected))).clamp(1.0, 8.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Figures {
        let mut bursts = Bursts::default();
        for (number, kind) in pattern.bytes().enumerate() {
            if kind != b'1' {
                bursts.lost(number as u64, 1);
            }
        }
        bursts.figures(pattern.len() as u64, Duration::from_millis(10))
    }

    #[test]
    fn rfc3611_4_7_2_example() {
        // The RFC's own pattern: a burst of twelve packets between two gaps of 23 and 29, 10 ms each.
        let gap = |after: usize, lost: char, before: usize| {
            format!("{}{lost}{}", "1".repeat(after), "1".repeat(before))
        };
        let pattern = format!("{}X111X1011110{}", gap(4, '0', 18), gap(18, 'X', 10));
        let figures = of(&pattern);
        assert_eq!(figures.bursts, 1);
        assert_eq!(figures.burst_duration, Duration::from_millis(120));
        assert_eq!(figures.gap_duration, Duration::from_millis(520));
        assert!((figures.burst_density - 4.0 / 12.0).abs() < 1e-9);
        assert!((figures.gap_density - 2.0 / 52.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_alone_is_no_burst_and_no_loss_is_a_gap() {
        let clean = of(&"1".repeat(100));
        assert_eq!((clean.bursts, clean.gap_density, clean.burst_density), (0, 0.0, 0.0));
        assert_eq!((clean.gap_duration, clean.burst_ratio), (Duration::from_secs(1), 1.0));
        let alone = of(&format!("{0}0{0}0{0}", "1".repeat(16)));
        assert_eq!((alone.bursts, alone.burst_density), (0, 0.0));
        assert!((alone.gap_density - 2.0 / 50.0).abs() < 1e-9);
        let near = of(&format!("{}0{}0{}", "1".repeat(16), "1".repeat(15), "1".repeat(16)));
        assert_eq!((near.bursts, near.burst_duration), (1, Duration::from_millis(170)));
    }

    #[test]
    fn rows_of_losses_raise_the_burst_ratio() {
        let rows = of(&"1111111111111111111100001111111111111111".repeat(5));
        assert!((rows.burst_ratio - 4.0 * 0.9).abs() < 1e-9, "{}", rows.burst_ratio);
        let mut whole = Bursts::default();
        whole.lost(10, 3000);
        let figures = whole.figures(3010, Duration::from_millis(20));
        assert_eq!((figures.bursts, figures.burst_density), (1, 1.0));
        assert_eq!(figures.burst_duration, Duration::from_secs(60));
    }

    #[test]
    fn what_is_told_late_is_counted() {
        let mut bursts = Bursts::default();
        bursts.lost(100, 1);
        bursts.lost(95, 1);
        let figures = bursts.figures(200, Duration::from_millis(20));
        assert_eq!((figures.bursts, figures.burst_duration), (1, Duration::from_millis(120)));
        bursts.lost(100, 0);
        assert_eq!(bursts.figures(200, Duration::from_millis(20)), figures);
    }
}
