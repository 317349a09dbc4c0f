//! What a link does to packets: latency, jitter, loss, disorder, duplication, a rate with a queue, a largest packet.
//!
//! Loss is independent or comes in bursts (Gilbert–Elliott). Jitter alone keeps the order of packets, as a queue
//! does; disorder is asked for by [`Link::reorder`]. A [`Link`] is the description, a [`LinkState`] one direction of
//! a link in use.

use crate::random::Random;
use std::time::Duration;

/// How a link behaves, each direction by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Time from one end to the other.
    pub latency: Duration,
    /// Added to the latency, anything from nothing to this, evenly spread.
    pub jitter: Duration,
    /// Which packets are lost.
    pub loss: Loss,
    /// Share of packets (0 to 1) that are held back by [`reorder_by`](Self::reorder_by) and let others pass.
    pub reorder: f64,
    /// How long a packet that is held back waits in addition.
    pub reorder_by: Duration,
    /// Share of packets (0 to 1) that arrive twice.
    pub duplicate: f64,
    /// Bits per second; `None`: any number.
    pub rate: Option<u64>,
    /// Bytes that may wait for their turn when there is a [`rate`](Self::rate); more are dropped.
    pub queue_bytes: u64,
    /// Largest packet in bytes, headers included; larger ones are treated as `oversize` says. `None`: any size.
    pub mtu: Option<usize>,
    /// What happens to a packet larger than [`mtu`](Self::mtu).
    pub oversize: Oversize,
}

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability.
    Random(f64),
    /// In bursts: a link is in a good or a bad state, each packet may change the state and is lost with
    /// the probability of the state.
    GilbertElliott {
        /// From good to bad, per packet.
        to_bad: f64,
        /// From bad to good, per packet.
        to_good: f64,
        /// Lost in the good state.
        loss_good: f64,
        /// Lost in the bad state.
        loss_bad: f64,
    },
    /// All: the link is cut.
    All,
}

/// What happens to a packet larger than the link allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// It goes through in pieces, each of which can be lost.
    Fragment,
    /// It is dropped, and the sender is told.
    Refuse,
    /// It is dropped, and nobody is told: the black hole that real networks have.
    Swallow,
}

impl Default for Link {
    /// Ten milliseconds, and nothing else: a good line.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: Loss::None,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            duplicate: 0.0,
            rate: None,
            queue_bytes: 256 * 1024,
            mtu: None,
            oversize: Oversize::Fragment,
        }
    }
}

impl Link {
    /// A link without any delay or fault.
    #[must_use]
    pub fn perfect() -> Self {
        Self { latency: Duration::ZERO, ..Self::default() }
    }

    /// A good line with this latency.
    #[must_use]
    pub fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// The same, with each packet lost with this probability.
    #[must_use]
    pub fn lossy(mut self, probability: f64) -> Self {
        self.loss = Loss::Random(probability);
        self
    }

    /// A bad line: 20 ms and up to 30 ms more, the given share lost, 2 % held back, 1 % doubled.
    #[must_use]
    pub fn bad(loss: f64) -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
            loss: Loss::Random(loss),
            reorder: 0.02,
            reorder_by: Duration::from_millis(40),
            duplicate: 0.01,
            ..Self::default()
        }
    }
}

/// What became of a packet on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time, and once more when there is a second time.
    Arrives(Duration, Option<Duration>),
    /// Lost on the way.
    Lost,
    /// No room in the queue.
    QueueFull,
    /// Larger than the link allows.
    TooBig(Oversize),
}

/// One direction of a link in use.
#[derive(Debug, Clone)]
pub struct LinkState {
    link: Link,
    random: Random,
    bad: bool,
    last_arrival: Duration,
    free_at: Duration,
}

impl LinkState {
    /// A link that has carried nothing yet.
    #[must_use]
    pub const fn new(link: Link, random: Random) -> Self {
        Self { link, random, bad: false, last_arrival: Duration::ZERO, free_at: Duration::ZERO }
    }

    /// The description.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Changes the behaviour from now on; what is under way arrives as before.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Puts a packet of `bytes` (headers included) on the link at `now`.
    pub fn carry(&mut self, bytes: usize, now: Duration) -> Fate {
        let pieces = match self.link.mtu {
            Some(mtu) if bytes > mtu => match self.link.oversize {
                Oversize::Fragment => bytes.div_ceil(mtu.max(1)),
                other => return Fate::TooBig(other),
            },
            _ => 1,
        };
        let mut departed = now;
        if let Some(rate) = self.link.rate {
            let rate = rate.max(1);
            let start = self.free_at.max(now);
            let waiting = (start - now).as_nanos() * u128::from(rate) / 8_000_000_000;
            if waiting + bytes as u128 > u128::from(self.link.queue_bytes) {
                return Fate::QueueFull;
            }
            let nanos = bytes as u128 * 8_000_000_000 / u128::from(rate);
            departed = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.free_at = departed;
        }
        // Every piece is drawn for, also after the first loss, so that the state of bursts moves on.
        let lost = (0..pieces).filter(|_| self.loses()).count() > 0;
        let first = self.arrival(departed);
        let second = self.random.chance(self.link.duplicate).then(|| self.arrival(departed));
        if lost { Fate::Lost } else { Fate::Arrives(first, second) }
    }

    fn arrival(&mut self, departed: Duration) -> Duration {
        let jitter = u64::try_from(self.link.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = if jitter == 0 { 0 } else { self.random.below(jitter + 1) };
        let arrival = departed + self.link.latency + Duration::from_nanos(jitter);
        if self.random.chance(self.link.reorder) {
            return arrival + self.link.reorder_by;
        }
        let arrival = arrival.max(self.last_arrival);
        self.last_arrival = arrival;
        arrival
    }

    fn loses(&mut self) -> bool {
        match self.link.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Random(probability) => self.random.chance(probability),
            Loss::GilbertElliott { to_bad, to_good, loss_good, loss_bad } => {
                let turn = if self.bad { to_good } else { to_bad };
                if self.random.chance(turn) {
                    self.bad = !self.bad;
                }
                self.random.chance(if self.bad { loss_bad } else { loss_good })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(link: Link, count: u32) -> (Vec<Duration>, usize) {
        let mut state = LinkState::new(link, Random::new(5));
        let mut arrivals = Vec::new();
        let mut lost = 0;
        for index in 0..count {
            match state.carry(200, Duration::from_millis(20) * index) {
                Fate::Arrives(first, second) => {
                    arrivals.push(first);
                    arrivals.extend(second);
                }
                _ => lost += 1,
            }
        }
        (arrivals, lost)
    }

    #[test]
    fn a_good_line_delays_and_does_nothing_else() {
        let (arrivals, lost) = run(Link::default(), 3);
        assert_eq!(lost, 0);
        assert_eq!(arrivals, [10, 30, 50].map(Duration::from_millis));
    }

    #[test]
    fn jitter_alone_keeps_the_order_and_reordering_does_not() {
        let jitter = Link { jitter: Duration::from_millis(100), ..Link::default() };
        assert!(run(jitter, 500).0.is_sorted());
        let disorder = Link { reorder: 0.1, reorder_by: Duration::from_millis(50), ..Link::default() };
        assert!(!run(disorder, 500).0.is_sorted());
    }

    #[test]
    fn losses_and_doubles_come_out_as_asked() {
        let (_, lost) = run(Link::default().lossy(0.3), 10_000);
        assert!((2_800..3_200).contains(&lost), "{lost}");
        let (arrivals, _) = run(Link { duplicate: 0.1, ..Link::default() }, 10_000);
        assert!((10_800..11_200).contains(&arrivals.len()), "{}", arrivals.len());
        let burst = Loss::GilbertElliott { to_bad: 0.01, to_good: 0.1, loss_good: 0.0, loss_bad: 1.0 };
        let (_, lost) = run(Link { loss: burst, ..Link::default() }, 100_000);
        assert!((7_500..10_700).contains(&lost), "one in eleven, in bursts of ten: {lost}");
    }

    #[test]
    fn a_rate_spaces_packets_and_a_full_queue_drops() {
        let link = Link { rate: Some(80_000), queue_bytes: 1000, ..Link::perfect() };
        let mut state = LinkState::new(link, Random::new(1));
        let fates: Vec<_> = (0..3).map(|_| state.carry(500, Duration::ZERO)).collect();
        assert_eq!(fates[0], Fate::Arrives(Duration::from_millis(50), None));
        assert_eq!(fates[1], Fate::Arrives(Duration::from_millis(100), None));
        assert_eq!(fates[2], Fate::QueueFull);
    }

    #[test]
    fn a_packet_that_is_too_big_is_treated_as_asked() {
        let link = Link { mtu: Some(1280), oversize: Oversize::Refuse, ..Link::default() };
        let mut state = LinkState::new(link, Random::new(1));
        assert_eq!(state.carry(1281, Duration::ZERO), Fate::TooBig(Oversize::Refuse));
        assert!(matches!(state.carry(1280, Duration::ZERO), Fate::Arrives(..)));
    }
}
