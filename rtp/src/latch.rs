//! Following the true sender: to which address we send, and from which we listen (symmetric RTP, RFC 4961, and what
//! RFC 7362 says of latching), without handing the call to whoever sprays our port (RTPbleed).
//!
//! Addresses have ranks: the *signalled* address, its *host*, a host *known* otherwise (where the signalling came
//! from), a *stranger*. A latch only ever climbs; at equal rank it moves only when the present address has fallen
//! silent within the learning window. Strangers are learned in that window alone, after N packets in a row over a
//! minimum span; packets that SRTP has authenticated suffice at once. Later moves need either authentication or
//! the continuation of the very stream (SSRC and sequence number, which one who does not hear it cannot guess).
//! Everything learned or refused is evidence. ICE replaces all of this: then the policy is [`Policy::Open`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{sequence::distance, time};

/// What may be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The signalled address, its host, known hosts, and strangers within the window.
    #[default]
    Follow,
    /// The signalled address, its host and known hosts.
    KnownHosts,
    /// Only the signalled address.
    Signalled,
    /// Any address, at once, and we send where we are told: another protocol (ICE) vouches for the path.
    Open,
}

/// How the true sender is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What may be learned.
    pub policy: Policy,
    /// Hosts that are known besides the signalled one, such as where the peer's signalling comes from.
    pub known_hosts: Vec<IpAddr>,
    /// Strangers are learned this long after the latch was armed (answer, re-INVITE), and equals may take over.
    pub window: Duration,
    /// Packets in a row, of one SSRC and with successive numbers, before a stranger is followed.
    pub consecutive_packets: u8,
    /// The same for another port of the signalled or a known host.
    pub consecutive_packets_of_host: u8,
    /// These packets must be spread over at least this time: a burst is no voice.
    pub minimum_span: Duration,
    /// An address that has been silent for this long may be given up for an equal one.
    pub silence: Duration,
    /// Addresses watched at the same time.
    pub maximum_candidates: usize,
    /// Moves between two armings. When they are used up the latch stays where it is.
    pub maximum_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::Follow,
            known_hosts: Vec::new(),
            window: Duration::from_secs(10),
            consecutive_packets: 4,
            consecutive_packets_of_host: 2,
            minimum_span: Duration::from_millis(30),
            silence: Duration::from_secs(1),
            maximum_candidates: 8,
            maximum_moves: 8,
        }
    }
}

/// How well an address is supported. Later ones are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Nothing but its packets speaks for it.
    Stranger,
    /// Another port of a host known otherwise.
    KnownHost,
    /// Another port of the signalled host.
    SignalledHost,
    /// The signalled address itself.
    Signalled,
}

/// What speaks for a move, beyond the rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ground {
    /// It is the signalled address.
    AsSignalled,
    /// Packets in a row from there.
    ConsecutivePackets,
    /// A packet that SRTP authenticated.
    Authenticated,
    /// The stream that fell silent elsewhere goes on from there.
    Continuation,
    /// The policy is open.
    OpenPolicy,
}

/// One move, with the packet that decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// Where the latch stood before.
    pub from: Option<SocketAddr>,
    /// Where it stands now.
    pub to: SocketAddr,
    /// How well the new address is supported.
    pub rank: Rank,
    /// Why it moved.
    pub ground: Ground,
    /// When.
    pub at: Instant,
    /// SSRC of the deciding packet.
    pub ssrc: u32,
    /// Sequence number of the deciding packet.
    pub sequence: u16,
    /// Another address was sending at the time.
    pub contested: bool,
}

/// Why a packet was not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Not enough packets yet to follow it.
    Learning,
    /// The latch stands on a better or equal address.
    AnotherIsFollowed,
    /// Strangers are not learned any more.
    WindowClosed,
    /// The policy does not know this address.
    Policy,
    /// Too many moves since the latch was armed.
    MovesUsedUp,
}

/// What is to be done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It comes from whom we follow.
    Accept,
    /// It does now: the latch has moved.
    Moved(Learned),
    /// It is not listened to.
    Refuse(Refusal),
}

/// A move that a packet entitles to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    sample: Sample,
    rank: Rank,
    ground: Ground,
}

/// What the latch needs to know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where it came from.
    pub from: SocketAddr,
    /// SSRC.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// SRTP has authenticated it.
    pub authenticated: bool,
}

/// Everything the latch knows, for a report to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What the session description said.
    pub signalled: Option<SocketAddr>,
    /// Where we send now.
    pub destination: Option<SocketAddr>,
    /// The moves since the latch was made, oldest first; the latest [`Config::maximum_moves`] of them.
    pub learned: Vec<Learned>,
    /// Packets not listened to.
    pub refused: u64,
    /// The last of them: from where, when and why.
    pub last_refused: Option<(SocketAddr, Instant, Refusal)>,
    /// When the window for strangers closes, or has closed.
    pub window_closes_at: Instant,
}

/// The latch of one media stream; what each packet needs stands in front.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Latch {
    current: Option<Current>,
    signalled: Option<SocketAddr>,
    config: Config,
    candidates: Vec<Candidate>,
    /// Addresses left since arming: nobody goes back to one while the present one lives.
    abandoned: Vec<SocketAddr>,
    moves: usize,
    armed_at: Instant,
    history: Vec<Learned>,
    refused: u64,
    last_refused: Option<(SocketAddr, Instant, Refusal)>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    address: SocketAddr,
    rank: Rank,
    ssrc: u32,
    sequence: u16,
    last_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    count: u8,
    first_at: Instant,
    last_at: Instant,
    /// Whether its first packet went on where the followed stream had stopped.
    continues: bool,
}

impl Latch {
    /// A latch armed at `now`. We send to `signalled` until packets teach otherwise.
    #[must_use]
    pub const fn new(config: Config, signalled: Option<SocketAddr>, now: Instant) -> Self {
        Self {
            config,
            signalled,
            current: None,
            candidates: Vec::new(),
            abandoned: Vec::new(),
            moves: 0,
            armed_at: now,
            history: Vec::new(),
            refused: 0,
            last_refused: None,
        }
    }

    /// The signalling spoke again (answer, re-INVITE): a new window opens. An address that was signalled before and
    /// is signalled still keeps what was learned under it until something better comes; a new one starts afresh.
    pub fn arm(&mut self, signalled: Option<SocketAddr>, now: Instant) {
        if signalled != self.signalled {
            self.current = None;
        }
        self.signalled = signalled;
        self.candidates.clear();
        self.abandoned.clear();
        self.moves = 0;
        self.armed_at = now;
    }

    /// Adds a host the signalling vouches for.
    pub fn know_host(&mut self, host: IpAddr) {
        if !self.config.known_hosts.contains(&host)
            && self.config.known_hosts.len() < self.config.maximum_candidates
        {
            self.config.known_hosts.push(host);
        }
    }

    /// Another policy from now on.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.config.policy = policy;
    }

    /// Where to send: the followed address, else the signalled one.
    #[must_use]
    pub const fn destination(&self) -> Option<SocketAddr> {
        match &self.current {
            Some(current) => Some(current.address),
            None => self.signalled,
        }
    }

    pub(crate) const fn has_destination(&self) -> bool {
        self.current.is_some() || self.signalled.is_some()
    }

    /// The address that is followed, when packets have come.
    #[must_use]
    pub fn followed(&self) -> Option<SocketAddr> {
        self.current.map(|current| current.address)
    }

    /// Whether control packets from `address` may be believed: it is the followed address or its host, or nothing is
    /// followed yet and it is the signalled host or a known one.
    #[must_use]
    pub fn trusts_control_from(&self, address: SocketAddr) -> bool {
        match (&self.current, self.config.policy) {
            (_, Policy::Open) => true,
            (Some(current), _) => current.address.ip() == address.ip(),
            (None, _) => self.rank(address) > Rank::Stranger,
        }
    }

    /// What was learned, and what was refused.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence {
            signalled: self.signalled,
            destination: self.destination(),
            learned: self.history.clone(),
            refused: self.refused,
            last_refused: self.last_refused,
            window_closes_at: self.window_closes_at(),
        }
    }

    /// Judges a valid packet (parsed, of a payload type that was agreed on, and authentic when keys are there).
    pub fn judge(&mut self, sample: Sample, now: Instant) -> Verdict {
        if self.accepts_followed(&sample.from, sample.ssrc, sample.sequence, now) {
            return Verdict::Accept;
        }
        match self.judge_other(sample, now) {
            Ok(step) => Verdict::Moved(self.follow(step, now)),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    /// The usual packet: from the address that is followed.
    #[inline]
    pub(crate) fn accepts_followed(
        &mut self,
        from: &SocketAddr,
        ssrc: u32,
        sequence: u16,
        now: Instant,
    ) -> bool {
        match &mut self.current {
            Some(current) if current.address == *from => {
                current.last_at = now;
                if current.ssrc != ssrc || distance(current.sequence, sequence) > 0 {
                    current.ssrc = ssrc;
                    current.sequence = sequence;
                }
                true
            }
            _ => false,
        }
    }

    /// A packet from elsewhere: the step it entitles to, which [`Latch::follow`] takes once nothing else speaks against it.
    #[cold]
    #[inline(never)]
    pub(crate) fn judge_other(&mut self, sample: Sample, now: Instant) -> Result<Step, Refusal> {
        let rank = self.rank(sample.from);
        match self.ground(sample, rank, now) {
            Ok(ground) => Ok(Step { sample, rank, ground }),
            Err(refusal) => {
                self.refused = self.refused.wrapping_add(1);
                self.last_refused = Some((sample.from, now, refusal));
                Err(refusal)
            }
        }
    }

    fn rank(&self, address: SocketAddr) -> Rank {
        let host = address.ip();
        if self.signalled == Some(address) {
            Rank::Signalled
        } else if self.signalled.is_some_and(|signalled| signalled.ip() == host) {
            Rank::SignalledHost
        } else if self.config.known_hosts.contains(&host) {
            Rank::KnownHost
        } else {
            Rank::Stranger
        }
    }

    /// Why this packet may move the latch, or why not.
    fn ground(&mut self, sample: Sample, rank: Rank, now: Instant) -> Result<Ground, Refusal> {
        match self.config.policy {
            Policy::Open => return Ok(Ground::OpenPolicy),
            Policy::Signalled if rank != Rank::Signalled => return Err(Refusal::Policy),
            Policy::KnownHosts if rank == Rank::Stranger => return Err(Refusal::Policy),
            Policy::Follow | Policy::KnownHosts | Policy::Signalled => {}
        }
        let in_window = now < self.window_closes_at();
        let alive = |current: &Current| now.saturating_duration_since(current.last_at) < self.config.silence;
        let followed_lives = self.current.as_ref().is_some_and(alive);
        let climbs = self.current.is_none_or(|current| rank > current.rank);
        // Climbing is bounded by the number of ranks; every other move is counted.
        if !climbs && self.moves >= self.config.maximum_moves {
            return Err(Refusal::MovesUsedUp);
        }
        if sample.authenticated {
            return self.authenticated_ground(sample, climbs, followed_lives);
        }
        if rank == Rank::Signalled && climbs {
            return Ok(Ground::AsSignalled);
        }
        let same_rank = self.current.is_some_and(|current| rank == current.rank);
        let (learnable, refusal) = if climbs {
            (in_window || rank > Rank::Stranger, Refusal::WindowClosed)
        } else if in_window && same_rank {
            (!followed_lives, Refusal::AnotherIsFollowed)
        } else {
            (false, Refusal::AnotherIsFollowed)
        };
        let needed = match rank {
            Rank::Stranger => self.config.consecutive_packets,
            Rank::KnownHost | Rank::SignalledHost | Rank::Signalled => {
                self.config.consecutive_packets_of_host
            }
        };
        let candidate = self.watch(sample, now);
        let continues = candidate.is_some_and(|candidate| candidate.continues) && !followed_lives;
        if !learnable && !continues {
            return Err(refusal);
        }
        let needed = if learnable { needed } else { self.config.consecutive_packets };
        let span = |candidate: Candidate| candidate.last_at.saturating_duration_since(candidate.first_at);
        // The span is asked of strangers, and of continuations; a host vouched for needs only its packets in a row.
        let spread = !learnable || rank == Rank::Stranger;
        match candidate {
            Some(candidate)
                if candidate.count >= needed && (!spread || span(candidate) >= self.config.minimum_span) =>
            {
                Ok(if learnable { Ground::ConsecutivePackets } else { Ground::Continuation })
            }
            _ => Err(Refusal::Learning),
        }
    }

    /// An authentic packet proves its sender, not its path: one who copies packets from the wire could move us to
    /// and fro. So only the newest packet moves, and an address once left is taken again only after silence.
    fn authenticated_ground(
        &self,
        sample: Sample,
        climbs: bool,
        followed_lives: bool,
    ) -> Result<Ground, Refusal> {
        let newest = self.current.is_none_or(|current| {
            current.ssrc != sample.ssrc || distance(current.sequence, sample.sequence) > 0
        });
        let returning = self.abandoned.contains(&sample.from);
        if climbs || (newest && (!returning || !followed_lives)) {
            Ok(Ground::Authenticated)
        } else {
            Err(Refusal::AnotherIsFollowed)
        }
    }

    /// Counts the packets in a row of each address. `None` when too many are watched already.
    fn watch(&mut self, sample: Sample, now: Instant) -> Option<Candidate> {
        let continues = self.continues(sample, now);
        let silence = self.config.silence;
        let fresh = Candidate {
            address: sample.from,
            ssrc: sample.ssrc,
            sequence: sample.sequence,
            count: 1,
            first_at: now,
            last_at: now,
            continues,
        };
        if let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.address == sample.from)
        {
            let in_row = candidate.ssrc == sample.ssrc && distance(candidate.sequence, sample.sequence) == 1;
            *candidate = if in_row {
                Candidate {
                    sequence: sample.sequence,
                    count: candidate.count.saturating_add(1),
                    last_at: now,
                    continues: candidate.continues || continues,
                    ..*candidate
                }
            } else {
                fresh
            };
            return Some(*candidate);
        }
        if self.candidates.len() >= self.config.maximum_candidates {
            self.candidates.retain(|candidate| now.saturating_duration_since(candidate.last_at) < silence);
        }
        if self.candidates.len() >= self.config.maximum_candidates {
            return None;
        }
        self.candidates.push(fresh);
        Some(fresh)
    }

    /// Whether the packet goes on where the followed stream stopped: same SSRC, and a number that time explains.
    fn continues(&self, sample: Sample, now: Instant) -> bool {
        let Some(current) = self.current else { return false };
        let silent = now.saturating_duration_since(current.last_at);
        // At most 200 packets a second, and half a second of them to spare.
        let possible = time::units(silent, 200).saturating_add(100).min(3000);
        let ahead = distance(current.sequence, sample.sequence);
        current.ssrc == sample.ssrc && ahead > 0 && u64::from(ahead.unsigned_abs()) <= possible
    }

    pub(crate) fn follow(&mut self, step: Step, now: Instant) -> Learned {
        let Step { sample, rank, ground } = step;
        let silence = self.config.silence;
        let recent = |at: Instant| now.saturating_duration_since(at) < silence;
        let contested = self.current.is_some_and(|current| recent(current.last_at))
            || self.candidates.iter().any(|other| other.address != sample.from && recent(other.last_at));
        let learned = Learned {
            from: self.current.map(|current| current.address),
            to: sample.from,
            rank,
            ground,
            at: now,
            ssrc: sample.ssrc,
            sequence: sample.sequence,
            contested,
        };
        if let Some(left) = self.current {
            if rank <= left.rank {
                self.moves = self.moves.saturating_add(1);
            }
            if !self.abandoned.contains(&left.address) && self.abandoned.len() < self.config.maximum_moves {
                self.abandoned.push(left.address);
            }
        }
        self.current = Some(Current {
            address: sample.from,
            rank,
            ssrc: sample.ssrc,
            sequence: sample.sequence,
            last_at: now,
        });
        self.candidates.retain(|candidate| candidate.address != sample.from);
        if self.history.len() >= self.config.maximum_moves.max(1) {
            self.history.remove(0);
        }
        self.history.push(learned);
        learned
    }

    fn window_closes_at(&self) -> Instant {
        time::after(self.armed_at, self.config.window)
    }
}
