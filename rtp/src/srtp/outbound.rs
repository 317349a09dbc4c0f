//! Protecting what we send: RFC 3711 §3.3 and §3.4, RFC 7714 §8 and §9.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    cipher::{GALOIS_TAG, Position, SessionKeys},
    key::{Keying, MasterKey, Policy},
    key_derivation::{Purpose, session_keys},
    replay::ReplayWindow,
    suite::Mode,
};
use crate::{error::Misuse, packet, sequence};

/// Why a packet was not protected. It must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The key has protected as many packets as it may.
    #[error("the master key is worn out")]
    KeyWornOut,
    /// A packet with this number was protected already: another under the same would give both away.
    #[error("this packet index was used already")]
    IndexUsed,
    /// More SSRCs than the policy allows.
    #[error("too many streams")]
    TooManyStreams,
    /// It is no RTP or RTCP packet, or the buffer has no room for the tag.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// Protects the packets of one sender.
pub struct Outbound {
    master: MasterKey,
    policy: Policy,
    media: SessionKeys,
    control: SessionKeys,
    streams: Vec<Stream>,
    packets_left: u64,
    control_packets_left: u64,
}

struct Stream {
    ssrc: u32,
    sent: ReplayWindow,
    next_control_index: u32,
    /// With a derivation rate: the rounds whose keys these are.
    media: Option<(u64, SessionKeys)>,
    control: Option<(u64, SessionKeys)>,
}

impl Outbound {
    /// Starts with rollover counters of 0, as RFC 4568 §6.4 and RFC 5764 ask of new keys. The first master key counts.
    ///
    /// # Errors
    /// When the keying holds no key.
    pub fn new(keying: &Keying) -> Result<Self, Misuse> {
        let master = keying.keys.first().ok_or(Misuse::OutOfRange("there must be a master key"))?.clone();
        Ok(Self {
            media: session_keys(&master, Purpose::Media, 0),
            control: session_keys(&master, Purpose::Control, 0),
            streams: Vec::new(),
            packets_left: master.lifetime(),
            control_packets_left: master.control_lifetime(),
            policy: keying.policy,
            master,
        })
    }

    /// Takes another master key for the same streams: their rollover counters go on (RFC 3711 §8.1), as when keys
    /// change by identifier. For keys from a new offer or answer make a new [`Outbound`].
    pub fn rekey(&mut self, master: MasterKey) {
        self.media = session_keys(&master, Purpose::Media, 0);
        self.control = session_keys(&master, Purpose::Control, 0);
        for stream in &mut self.streams {
            stream.media = None;
            stream.control = None;
        }
        self.packets_left = master.lifetime();
        self.control_packets_left = master.control_lifetime();
        self.master = master;
    }

    /// Packets of RTP that may still be protected.
    #[must_use]
    pub const fn packets_left(&self) -> u64 {
        self.packets_left
    }

    /// Octets that protection adds to an RTP packet.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.tag_length(Purpose::Media).saturating_add(self.master.mki().len())
    }

    /// The rollover counter of a stream, for whoever must tell it to one who joins late.
    #[must_use]
    pub fn rollover(&self, ssrc: u32) -> Option<u32> {
        self.streams
            .iter()
            .find(|stream| stream.ssrc == ssrc)?
            .sent
            .highest()
            .map(|index| (index >> 16) as u32)
    }

    /// Protects the RTP packet in the first `length` octets of `buffer`; returns its new length.
    ///
    /// # Errors
    /// The packet must not be sent then. Its contents are of no use.
    pub fn protect(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let tag_length = self.tag_length(Purpose::Media);
        let total = length.saturating_add(tag_length).saturating_add(self.master.mki().len());
        let packet = room(buffer, total)?;
        let wrong = Misuse::OutOfRange("not an RTP packet");
        let plain = packet.get(..length).ok_or(wrong)?;
        let clear = packet::clear_length(plain).map_err(|_| wrong)?;
        let [_, _, s0, s1, _, _, _, _, i0, i1, i2, i3] = plain.first_chunk::<12>().ok_or(wrong)?;
        let ssrc = u32::from_be_bytes([*i0, *i1, *i2, *i3]);
        let sequence = u16::from_be_bytes([*s0, *s1]);
        // Only f8 looks at the header; to copy it right after it was written costs more than it seems.
        let header = match self.master.suite().mode() {
            Mode::F8 => *plain.first_chunk::<12>().ok_or(wrong)?,
            Mode::Counter | Mode::Galois | Mode::Null => [0; 12],
        };
        let packets_left = self.packets_left.checked_sub(1).ok_or(Refused::KeyWornOut)?;
        let stream = find(&mut self.streams, ssrc, &self.policy)?;
        let index =
            stream.sent.highest().map_or(u64::from(sequence), |highest| sequence::extend(highest, sequence));
        if !stream.sent.accepts(index) || index >> 48 != 0 {
            return Err(Refused::IndexUsed);
        }
        let keys = match self.policy.derivation_rate {
            0 => &self.media,
            rate => round_keys(&mut stream.media, &self.master, Purpose::Media, index, rate),
        };
        let position = Position::Media { header: &header, ssrc, index };
        if self.master.suite().mode() == Mode::Galois {
            let (head, rest) = packet.split_at_mut_checked(clear).ok_or(wrong)?;
            let (data, tail) = rest.split_at_mut_checked(length.saturating_sub(clear)).ok_or(wrong)?;
            if !keys.seal(position, head, data, tail) {
                return Err(wrong.into());
            }
            write(tail, GALOIS_TAG, self.master.mki());
        } else {
            if !self.policy.unencrypted_media
                && let Some(data) = packet.get_mut(clear..length)
            {
                keys.apply(position, data);
            }
            // The rollover counter is authenticated where the tag will stand.
            let rollover = ((index >> 16) as u32).to_be_bytes();
            authenticate(packet, keys, length, &rollover, self.master.mki(), tag_length)?;
        }
        stream.sent.insert(index);
        self.packets_left = packets_left;
        Ok(total)
    }

    /// Protects the RTCP packet in the first `length` octets of `buffer`; returns its new length.
    ///
    /// # Errors
    /// As [`Outbound::protect`].
    pub fn protect_control(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let tag_length = self.tag_length(Purpose::Control);
        let total =
            length.saturating_add(4).saturating_add(tag_length).saturating_add(self.master.mki().len());
        let packet = room(buffer, total)?;
        let wrong = Misuse::OutOfRange("not an RTCP packet");
        if length < 8 {
            return Err(wrong.into());
        }
        let header = *packet.first_chunk::<8>().ok_or(wrong)?;
        let [_, _, _, _, i0, i1, i2, i3] = header;
        let ssrc = u32::from_be_bytes([i0, i1, i2, i3]);
        let control_packets_left = self.control_packets_left.checked_sub(1).ok_or(Refused::KeyWornOut)?;
        let stream = find(&mut self.streams, ssrc, &self.policy)?;
        let index = stream.next_control_index;
        if index >> 31 != 0 {
            return Err(Refused::KeyWornOut);
        }
        let keys = match self.policy.derivation_rate {
            0 => &self.control,
            rate => round_keys(&mut stream.control, &self.master, Purpose::Control, u64::from(index), rate),
        };
        let encrypted = !self.policy.unencrypted_control && self.master.suite().mode() != Mode::Null;
        let word = index | u32::from(encrypted) << 31;
        let position = Position::Control { header: &header, ssrc, word };
        let word = word.to_be_bytes();
        if self.master.suite().mode() == Mode::Galois {
            seal_control(packet, keys, position, length, encrypted, word).ok_or(wrong)?;
            write(packet, length.saturating_add(GALOIS_TAG), &word);
            write(packet, length.saturating_add(GALOIS_TAG).saturating_add(4), self.master.mki());
        } else {
            if encrypted && let Some(data) = packet.get_mut(8..length) {
                keys.apply(position, data);
            }
            write(packet, length, &word);
            authenticate(packet, keys, length.saturating_add(4), &[], self.master.mki(), tag_length)?;
        }
        stream.next_control_index = index.saturating_add(1);
        self.control_packets_left = control_packets_left;
        Ok(total)
    }

    fn tag_length(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Media if self.policy.unauthenticated_media => 0,
            Purpose::Media => self.master.suite().tag_length(),
            Purpose::Control => self.master.suite().control_tag_length(),
        }
    }
}

#[cfg(test)]
impl Outbound {
    pub(super) fn set_media_keys(&mut self, keys: SessionKeys) {
        self.media = keys;
    }

    pub(super) fn set_control_keys(&mut self, keys: SessionKeys) {
        self.control = keys;
    }

    pub(super) fn set_next_control_index(&mut self, ssrc: u32, index: u32) {
        find(&mut self.streams, ssrc, &self.policy).unwrap().next_control_index = index;
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("suite", &self.master.suite()).finish_non_exhaustive()
    }
}

fn room(buffer: &mut [u8], needed: usize) -> Result<&mut [u8], Misuse> {
    let available = buffer.len();
    buffer.get_mut(..needed).ok_or(Misuse::BufferTooSmall { needed, available })
}

fn write(buffer: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(room) = buffer.get_mut(at..at.saturating_add(octets.len())) {
        room.copy_from_slice(octets);
    }
}

fn find<'a>(streams: &'a mut Vec<Stream>, ssrc: u32, policy: &Policy) -> Result<&'a mut Stream, Refused> {
    // Looked up by position, since a borrow found by `find` would outlive the branch that pushes.
    let position = match streams.iter().position(|stream| stream.ssrc == ssrc) {
        Some(position) => position,
        None if streams.len() >= policy.maximum_streams => return Err(Refused::TooManyStreams),
        None => {
            let sent = ReplayWindow::new(policy.replay_window);
            streams.push(Stream { ssrc, sent, next_control_index: 0, media: None, control: None });
            streams.len().saturating_sub(1)
        }
    };
    streams.get_mut(position).ok_or(Refused::TooManyStreams)
}

/// The keys of the round that `index` falls into.
fn round_keys<'a>(
    cached: &'a mut Option<(u64, SessionKeys)>,
    master: &MasterKey,
    purpose: Purpose,
    index: u64,
    rate: u32,
) -> &'a SessionKeys {
    let round = index.checked_div(u64::from(rate)).unwrap_or(0);
    let stale = cached.as_ref().is_none_or(|(have, _)| *have != round);
    if stale {
        *cached = None;
    }
    &cached.get_or_insert_with(|| (round, session_keys(master, purpose, round))).1
}

/// Writes MKI and tag behind the first `length` octets; `tail` is authenticated with them and not sent.
fn authenticate(
    packet: &mut [u8],
    keys: &SessionKeys,
    length: usize,
    tail: &[u8],
    mki: &[u8],
    tag_length: usize,
) -> Result<(), Misuse> {
    let wrong = Misuse::OutOfRange("no room for the tag");
    if tag_length > 0 {
        // No tag is shorter than the rollover counter, so there is room for it.
        write(packet, length, tail);
        let authenticated = packet.get(..length.saturating_add(tail.len())).ok_or(wrong)?;
        let tag = keys.mac(authenticated);
        write(packet, length.saturating_add(mki.len()), tag.get(..tag_length).ok_or(wrong)?);
    }
    write(packet, length, mki);
    Ok(())
}

fn seal_control(
    packet: &mut [u8],
    keys: &SessionKeys,
    position: Position<'_>,
    length: usize,
    encrypted: bool,
    word: [u8; 4],
) -> Option<()> {
    if encrypted {
        let (head, rest) = packet.split_first_chunk_mut::<8>()?;
        let (data, tail) = rest.split_at_mut_checked(length.checked_sub(8)?)?;
        let mut associated = [0; 12];
        write(&mut associated, 0, head);
        write(&mut associated, 8, &word);
        return keys.seal(position, &associated, data, tail).then_some(());
    }
    // Not encrypted: packet and index are associated data, and nothing is encrypted.
    write(packet, length, &word);
    let mut tag = [0; GALOIS_TAG];
    let sealed = keys.seal(position, packet.get(..length.checked_add(4)?)?, &mut [], &mut tag);
    write(packet, length, &tag);
    sealed.then_some(())
}
