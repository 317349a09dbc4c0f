//! Unprotecting what a peer sends: RFC 3711 §3.3 and §3.4, RFC 7714 §8 and §9.
//!
//! State changes only when a packet has passed. After new keys the former ones serve for a while, since packets are
//! on the way; and the rollover counter of an SSRC that was known, or joined late, is found by trying.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    NotAuthentic,
    cipher::{GALOIS_TAG, Position, SessionKeys},
    key::{Keying, MasterKey, Policy},
    key_derivation::{Purpose, session_keys},
    replay::ReplayWindow,
    suite::Mode,
};
use crate::{packet, sequence};

/// The former keys are given up after this many packets under the new ones.
const PACKETS_OF_GRACE: u64 = 250;
/// Trials of rollover counters that may fail in a row before only the expected one is tried.
const SEARCH_BUDGET: u32 = 1000;
/// The longest packet that can be tried more than once.
const LONGEST_TRIAL: usize = 2048;

/// Unprotects the packets of one peer.
pub struct Inbound {
    current: Generation,
    former: Option<Box<Generation>>,
    search_budget: u32,
    /// A copy for trials, since a failed AEAD leaves nothing behind.
    scratch: Vec<u8>,
}

/// Everything under one keying.
struct Generation {
    keying: Keying,
    keys: Vec<Keys>,
    streams: Vec<Stream>,
    /// Rollover counters of SSRCs known under former keys, or told by the signalling.
    hints: Vec<(u32, u32)>,
    packets: u64,
}

struct Keys {
    media: SessionKeys,
    control: SessionKeys,
    packets_left: u64,
    control_packets_left: u64,
}

struct Stream {
    ssrc: u32,
    media: ReplayWindow,
    control: ReplayWindow,
    /// With a derivation rate: key number, round and keys of the last packet that passed.
    media_round: Option<Round>,
    control_round: Option<Round>,
}

/// Session keys of one round of derivation.
struct Round {
    key: usize,
    round: u64,
    keys: Box<SessionKeys>,
}

impl Inbound {
    /// Starts with rollover counters of 0.
    #[must_use]
    pub fn new(keying: &Keying) -> Self {
        Self {
            current: Generation::new(keying),
            former: None,
            search_budget: SEARCH_BUDGET,
            scratch: Vec::with_capacity(LONGEST_TRIAL),
        }
    }

    /// Takes new keys, as from a new offer or answer. Equal ones change nothing: rollover counters and replay windows
    /// go on. Under different ones streams begin anew; the former keys serve until the new ones have proved themselves.
    pub fn rekey(&mut self, keying: &Keying) {
        if *keying == self.current.keying {
            return;
        }
        let mut next = Generation::new(keying);
        next.hints = self.current.hints();
        self.former = Some(Box::new(std::mem::replace(&mut self.current, next)));
        self.search_budget = SEARCH_BUDGET;
    }

    /// What the signalling knows of a stream's rollover counter; it is tried first.
    pub fn set_rollover(&mut self, ssrc: u32, rollover: u32) {
        let limit = self.current.keying.policy.maximum_streams;
        self.current.hints.retain(|(known, _)| *known != ssrc);
        if self.current.hints.len() < limit {
            self.current.hints.push((ssrc, rollover));
        }
        self.current.streams.retain(|stream| {
            stream.ssrc != ssrc
                || stream.media.highest().is_some_and(|index| (index >> 16) as u32 == rollover)
        });
    }

    /// The rollover counter of a stream.
    #[must_use]
    pub fn rollover(&self, ssrc: u32) -> Option<u32> {
        let stream = self.current.streams.iter().find(|stream| stream.ssrc == ssrc)?;
        stream.media.highest().map(|index| (index >> 16) as u32)
    }

    /// Packets of RTP that may still come under the key with the fewest left.
    #[must_use]
    pub fn packets_left(&self) -> u64 {
        self.current.keys.iter().map(|keys| keys.packets_left).min().unwrap_or(0)
    }

    /// Unprotects an RTP packet in place; returns the length of the plain packet at its start.
    ///
    /// # Errors
    /// When it does not pass. Its contents are then of no use, and nothing has changed.
    #[inline]
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, NotAuthentic> {
        let header = *packet.first_chunk::<12>().ok_or(NotAuthentic)?;
        let [_, _, s0, s1, _, _, _, _, i0, i1, i2, i3] = header;
        let ssrc = u32::from_be_bytes([i0, i1, i2, i3]);
        let sequence = u16::from_be_bytes([s0, s1]);
        let known = self.current.streams.iter().position(|stream| stream.ssrc == ssrc);
        if let (Some(position), None) = (known, &self.former)
            && let Some(highest) =
                self.current.streams.get(position).and_then(|stream| stream.media.highest())
        {
            // The usual packet: one SSRC, one index, one key.
            let index = sequence::extend(highest, sequence);
            return self.current.unprotect(packet, &header, ssrc, index, Some(position));
        }
        self.search(packet, &header, ssrc, sequence)
    }

    /// Several indices or several keys may fit: each is tried on a copy.
    #[cold]
    fn search(
        &mut self,
        packet: &mut [u8],
        header: &[u8; 12],
        ssrc: u32,
        sequence: u16,
    ) -> Result<usize, NotAuthentic> {
        if packet.len() > LONGEST_TRIAL {
            return Err(NotAuthentic);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        let candidates = self.current.candidates(ssrc, sequence, self.search_budget > 0);
        let many = candidates.clone().nth(1).is_some();
        for index in candidates {
            let position = self.current.position(ssrc);
            if let Ok(length) = self.current.unprotect(packet, header, ssrc, index, position) {
                self.search_budget = SEARCH_BUDGET;
                if self.current.packets > PACKETS_OF_GRACE {
                    self.former = None;
                }
                return Ok(length);
            }
            packet.copy_from_slice(&self.scratch);
        }
        if many {
            self.search_budget = self.search_budget.saturating_sub(1);
        }
        let Some(former) = &mut self.former else { return Err(NotAuthentic) };
        let position = former.position(ssrc);
        let index = former.candidates(ssrc, sequence, false).next().ok_or(NotAuthentic)?;
        former.unprotect(packet, header, ssrc, index, position)
    }

    /// Unprotects an RTCP packet in place; returns the length of the plain packet at its start.
    ///
    /// # Errors
    /// As [`Inbound::unprotect`].
    pub fn unprotect_control(&mut self, packet: &mut [u8]) -> Result<usize, NotAuthentic> {
        let Some(former) = &mut self.former else { return self.current.unprotect_control(packet) };
        if packet.len() > LONGEST_TRIAL {
            return Err(NotAuthentic);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        self.current.unprotect_control(packet).or_else(|_| {
            packet.copy_from_slice(&self.scratch);
            former.unprotect_control(packet)
        })
    }
}

#[cfg(test)]
impl Inbound {
    pub(super) fn set_media_keys(&mut self, keys: SessionKeys) {
        self.current.keys.first_mut().unwrap().media = keys;
    }

    pub(super) fn set_control_keys(&mut self, keys: SessionKeys) {
        self.current.keys.first_mut().unwrap().control = keys;
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("keying", &self.current.keying).finish_non_exhaustive()
    }
}

impl Generation {
    fn new(keying: &Keying) -> Self {
        let keys = keying.keys.iter().map(|master| Keys {
            media: session_keys(master, Purpose::Media, 0),
            control: session_keys(master, Purpose::Control, 0),
            packets_left: master.lifetime(),
            control_packets_left: master.control_lifetime(),
        });
        Self {
            keys: keys.collect(),
            keying: keying.clone(),
            streams: Vec::new(),
            hints: Vec::new(),
            packets: 0,
        }
    }

    fn position(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    /// Where each stream stands, for the next generation.
    fn hints(&self) -> Vec<(u32, u32)> {
        let known = self
            .streams
            .iter()
            .filter_map(|stream| Some((stream.ssrc, (stream.media.highest()? >> 16) as u32)));
        known.collect()
    }

    /// The indices a packet may have, likeliest first.
    fn candidates(
        &self,
        ssrc: u32,
        sequence: u16,
        search: bool,
    ) -> impl Iterator<Item = u64> + Clone + use<> {
        let highest = self.position(ssrc).and_then(|position| self.streams.get(position)?.media.highest());
        let followed = highest.map(|highest| sequence::extend(highest, sequence));
        let hint = self.hints.iter().find(|(known, _)| *known == ssrc).map(|(_, rollover)| *rollover);
        // New keys restart at 0 by the book; peers that go on are known by the hint, a turn later at most.
        let fresh = followed.is_none();
        let first = hint.into_iter().chain([0]).filter(move |_| fresh);
        let further = hint
            .and_then(|hint| hint.checked_add(1))
            .into_iter()
            .chain(1..=u32::from(self.keying.policy.rollover_search))
            .filter(move |_| fresh && search);
        let at = move |rollover: u32| u64::from(rollover) << 16 | u64::from(sequence);
        followed.into_iter().chain(first.chain(further).map(at))
    }

    /// Which key a packet names, and where its MKI begins.
    fn select_key(&self, packet: &[u8], behind_mki: usize) -> Option<(usize, usize)> {
        let first = self.keying.keys.first()?;
        let end = packet.len().checked_sub(behind_mki)?;
        // Not only a shortcut: comparing nothing with nothing reads through a dangling pointer under a mask, which
        // processors do correctly and slowly.
        if first.mki().is_empty() {
            return Some((0, end));
        }
        let start = end.checked_sub(first.mki().len())?;
        let mki = packet.get(start..end)?;
        let key = self.keying.keys.iter().position(|key| key.mki() == mki)?;
        Some((key, start))
    }

    #[inline]
    fn unprotect(
        &mut self,
        packet: &mut [u8],
        header: &[u8; 12],
        ssrc: u32,
        index: u64,
        position: Option<usize>,
    ) -> Result<usize, NotAuthentic> {
        let policy = self.keying.policy;
        if index >> 48 != 0 || (position.is_none() && self.streams.len() >= policy.maximum_streams) {
            return Err(NotAuthentic);
        }
        let stream = position.and_then(|position| self.streams.get(position));
        if stream.is_some_and(|stream| !stream.media.accepts(index)) {
            return Err(NotAuthentic);
        }
        let clear = packet::clear_length(packet).map_err(|_| NotAuthentic)?;
        let galois = self.is_galois();
        let tag_length =
            if policy.unauthenticated_media || galois { 0 } else { self.tag_length(Purpose::Media) };
        let (key, end) = self.select_key(packet, tag_length).ok_or(NotAuthentic)?;
        let keys = self.keys.get(key).ok_or(NotAuthentic)?;
        let packets_left = keys.packets_left.checked_sub(1).ok_or(NotAuthentic)?;
        let mut fresh = None;
        let session = if policy.derivation_rate == 0 {
            &keys.media
        } else {
            let cached = stream.and_then(|stream| stream.media_round.as_ref());
            fresh = self.fresh_round(cached, key, round_of(index, policy), Purpose::Media);
            fresh.as_ref().or(cached).map_or(&keys.media, |round| &*round.keys)
        };
        let place = Position::Media { header, ssrc, index };
        let length = if galois {
            let (head, rest) = packet.split_at_mut_checked(clear).ok_or(NotAuthentic)?;
            let data = rest.get_mut(..end.checked_sub(clear).ok_or(NotAuthentic)?).ok_or(NotAuthentic)?;
            session.open(place, head, data)?;
            end.checked_sub(GALOIS_TAG).ok_or(NotAuthentic)?
        } else {
            let rollover = ((index >> 16) as u32).to_be_bytes();
            if !policy.unauthenticated_media {
                check_tag(packet, session, end, &rollover, tag_length)?;
            }
            let data = packet.get_mut(clear..end).ok_or(NotAuthentic)?;
            if !policy.unencrypted_media {
                session.apply(place, data);
            }
            end
        };
        self.passed_media(ssrc, index, position, key, packets_left, fresh)?;
        Ok(length)
    }

    /// A media packet has passed: only now anything changes.
    #[inline]
    fn passed_media(
        &mut self,
        ssrc: u32,
        index: u64,
        position: Option<usize>,
        key: usize,
        packets_left: u64,
        fresh: Option<Round>,
    ) -> Result<(), NotAuthentic> {
        let position = position.unwrap_or_else(|| self.add_stream(ssrc));
        let stream = self.streams.get_mut(position).ok_or(NotAuthentic)?;
        let newest = stream.media.highest().is_none_or(|highest| index > highest);
        stream.media.insert(index);
        if fresh.is_some() && newest {
            stream.media_round = fresh;
        }
        if let Some(keys) = self.keys.get_mut(key) {
            keys.packets_left = packets_left;
        }
        self.packets = self.packets.saturating_add(1);
        Ok(())
    }

    fn unprotect_control(&mut self, packet: &mut [u8]) -> Result<usize, NotAuthentic> {
        let policy = self.keying.policy;
        let header = *packet.first_chunk::<8>().ok_or(NotAuthentic)?;
        let [_, _, _, _, i0, i1, i2, i3] = header;
        let ssrc = u32::from_be_bytes([i0, i1, i2, i3]);
        let position = self.position(ssrc);
        if position.is_none() && self.streams.len() >= policy.maximum_streams {
            return Err(NotAuthentic);
        }
        let galois = self.is_galois();
        let tag_length = if galois { 0 } else { self.tag_length(Purpose::Control) };
        let (key, end) = self.select_key(packet, tag_length).ok_or(NotAuthentic)?;
        let word_at = end.checked_sub(4).filter(|at| *at >= 8).ok_or(NotAuthentic)?;
        let word =
            packet.get(word_at..).and_then(|rest| rest.first_chunk::<4>()).copied().ok_or(NotAuthentic)?;
        let word_value = u32::from_be_bytes(word);
        let (encrypted, index) = (word_value >> 31 == 1, u64::from(word_value & 0x7fff_ffff));
        let wanted = !policy.unencrypted_control && self.mode() != Some(Mode::Null);
        let stream = position.and_then(|position| self.streams.get(position));
        if encrypted != wanted || stream.is_some_and(|stream| !stream.control.accepts(index)) {
            return Err(NotAuthentic);
        }
        let keys = self.keys.get(key).ok_or(NotAuthentic)?;
        let packets_left = keys.control_packets_left.checked_sub(1).ok_or(NotAuthentic)?;
        let mut fresh = None;
        let session = if policy.derivation_rate == 0 {
            &keys.control
        } else {
            let cached = stream.and_then(|stream| stream.control_round.as_ref());
            fresh = self.fresh_round(cached, key, round_of(index, policy), Purpose::Control);
            fresh.as_ref().or(cached).map_or(&keys.control, |round| &*round.keys)
        };
        let place = Position::Control { header: &header, ssrc, word: word_value };
        let length = if galois {
            open_control(packet, session, place, word_at, encrypted, word)?
        } else {
            check_tag(packet, session, end, &[], tag_length)?;
            if encrypted {
                session.apply(place, packet.get_mut(8..word_at).ok_or(NotAuthentic)?);
            }
            word_at
        };
        let position = position.unwrap_or_else(|| self.add_stream(ssrc));
        let stream = self.streams.get_mut(position).ok_or(NotAuthentic)?;
        let newest = stream.control.highest().is_none_or(|highest| index > highest);
        stream.control.insert(index);
        if newest && fresh.is_some() {
            stream.control_round = fresh;
        }
        if let Some(keys) = self.keys.get_mut(key) {
            keys.control_packets_left = packets_left;
        }
        Ok(length)
    }

    fn add_stream(&mut self, ssrc: u32) -> usize {
        let window = self.keying.policy.replay_window;
        self.streams.push(Stream {
            ssrc,
            media: ReplayWindow::new(window),
            control: ReplayWindow::new(window),
            media_round: None,
            control_round: None,
        });
        self.streams.len().saturating_sub(1)
    }

    /// Keys of a round that are not the cached ones; `None` when the cached ones do.
    #[cold]
    fn fresh_round(&self, cached: Option<&Round>, key: usize, round: u64, purpose: Purpose) -> Option<Round> {
        if cached.is_some_and(|cached| (cached.key, cached.round) == (key, round)) {
            return None;
        }
        let keys = Box::new(session_keys(self.keying.keys.get(key)?, purpose, round));
        Some(Round { key, round, keys })
    }

    fn mode(&self) -> Option<Mode> {
        self.keying.keys.first().map(|key| key.suite().mode())
    }

    fn is_galois(&self) -> bool {
        self.mode() == Some(Mode::Galois)
    }

    fn tag_length(&self, purpose: Purpose) -> usize {
        let length = |key: &MasterKey| match purpose {
            Purpose::Media => key.suite().tag_length(),
            Purpose::Control => key.suite().control_tag_length(),
        };
        self.keying.keys.first().map_or(0, length)
    }
}

fn round_of(index: u64, policy: Policy) -> u64 {
    index.checked_div(u64::from(policy.derivation_rate)).unwrap_or(0)
}

/// The tag stands at the end of the packet; `end` octets and `tail` are authenticated.
#[inline]
fn check_tag(
    packet: &[u8],
    session: &SessionKeys,
    end: usize,
    tail: &[u8],
    tag_length: usize,
) -> Result<(), NotAuthentic> {
    let tag_at = packet.len().checked_sub(tag_length).ok_or(NotAuthentic)?;
    let tag = packet.get(tag_at..).ok_or(NotAuthentic)?;
    let data = packet.get(..end).ok_or(NotAuthentic)?;
    if session.mac_fits(data, tail, tag) { Ok(()) } else { Err(NotAuthentic) }
}

fn open_control(
    packet: &mut [u8],
    session: &SessionKeys,
    place: Position<'_>,
    word_at: usize,
    encrypted: bool,
    word: [u8; 4],
) -> Result<usize, NotAuthentic> {
    let length = word_at.checked_sub(GALOIS_TAG).filter(|length| *length >= 8).ok_or(NotAuthentic)?;
    if encrypted {
        let (head, rest) = packet.split_first_chunk_mut::<8>().ok_or(NotAuthentic)?;
        let [h0, h1, h2, h3, h4, h5, h6, h7] = *head;
        let [w0, w1, w2, w3] = word;
        let associated = [h0, h1, h2, h3, h4, h5, h6, h7, w0, w1, w2, w3];
        let data = rest.get_mut(..word_at.saturating_sub(8)).ok_or(NotAuthentic)?;
        session.open(place, &associated, data)?;
        return Ok(length);
    }
    // Not encrypted: the packet and the index are associated data, and the tag alone is "decrypted".
    let mut tag = [0; GALOIS_TAG];
    tag.copy_from_slice(packet.get(length..word_at).ok_or(NotAuthentic)?);
    let room = packet.get_mut(length..length.saturating_add(4)).ok_or(NotAuthentic)?;
    room.copy_from_slice(&word);
    session.open(place, packet.get(..length.saturating_add(4)).ok_or(NotAuthentic)?, &mut tag)?;
    Ok(length)
}
