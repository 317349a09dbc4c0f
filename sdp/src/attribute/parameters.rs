//! The `fmtp` parameters of the encodings telephones use: telephone-event (RFC 4733 §2.4.1), G.729 (RFC 4856 §2.1.9),
//! iLBC (RFC 3952 §5), Opus (RFC 7587 §6.1) and AMR (RFC 4867 §8). Others are read as name and value.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::error::{ErrorKind, ParseError};
use crate::fields::number;

/// The parameters of a format as `name=value` pairs, split at semicolons.
pub fn pairs(parameters: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    parameters.split(';').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (pair, None),
        }
    })
}

/// The value of one parameter; the case of its name is not minded.
#[must_use]
pub fn value<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    pairs(parameters)
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.unwrap_or(""))
}

/// A set of telephone events, 0–255.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventSet([u64; 4]);

impl EventSet {
    /// No event.
    pub const NONE: Self = Self([0; 4]);
    /// 0–9, `*`, `#`, A–D: what every sender of telephone-event has (RFC 4733 §2.5.1.1: the default of the format).
    pub const DTMF: Self = Self([0xffff, 0, 0, 0]);
    /// [`Self::DTMF`] and hook flash.
    pub const DTMF_AND_FLASH: Self = Self([0x1_ffff, 0, 0, 0]);

    /// Reads a list such as `0-15,32`. An empty list means [`Self::DTMF`] (RFC 4733 §2.4.1).
    ///
    /// # Errors
    /// An item is not a number from 0 to 255 or a range of such; the column counts within the list.
    pub fn parse(list: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "an event from 0 to 255 or a range of events";
        if list.trim().is_empty() {
            return Ok(Self::DTMF);
        }
        let mut set = Self::NONE;
        let mut offset = 0_usize;
        for item in list.split(',') {
            let fault = |kind| ParseError::at(offset, kind, EXPECTED);
            // Some write "events=0-15", or a stray semicolon.
            let bare = item.trim().trim_end_matches(';').trim_end();
            let bare = bare.strip_prefix("events=").unwrap_or(bare);
            let (first, last) = bare.split_once('-').unwrap_or((bare, bare));
            let first = number(first.trim(), 255).map_err(fault)?;
            let last = number(last.trim(), 255).map_err(fault)?;
            if last < first {
                return Err(fault(ErrorKind::OutOfRange));
            }
            for event in first..=last {
                set.insert(u8::try_from(event).unwrap_or(u8::MAX));
            }
            offset = offset.saturating_add(item.len()).saturating_add(1);
        }
        Ok(set)
    }

    /// Adds an event.
    pub fn insert(&mut self, event: u8) {
        if let Some(word) = self.0.get_mut(usize::from(event >> 6)) {
            *word |= 1_u64 << (event & 63);
        }
    }

    /// Whether the event is in the set.
    #[must_use]
    pub fn contains(&self, event: u8) -> bool {
        self.0.get(usize::from(event >> 6)).is_some_and(|word| word >> (event & 63) & 1 == 1)
    }

    /// What both contain.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a & e, b & f, c & g, d & h])
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The events, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let set = *self;
        (0..=u8::MAX).filter(move |event| set.contains(*event))
    }
}

impl Default for EventSet {
    fn default() -> Self {
        Self::DTMF
    }
}

impl fmt::Display for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut events = self.iter().peekable();
        while let Some(first) = events.next() {
            let mut last = first;
            while let Some(next) = events.next_if(|next| Some(*next) == last.checked_add(1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSet({self})")
    }
}

/// Whether Annex B of G.729 (silence compression) may be used. `yes` where nothing is said (RFC 4856 §2.1.9).
#[must_use]
pub fn g729_annex_b(parameters: &str) -> bool {
    !value(parameters, "annexb").is_some_and(|value| value.eq_ignore_ascii_case("no"))
}

/// The frame length of iLBC in milliseconds, 20 or 30. 30 where nothing is said (RFC 3952 §5).
#[must_use]
pub fn ilbc_mode(parameters: &str) -> u8 {
    if value(parameters, "mode") == Some("20") { 20 } else { 30 }
}

/// The parameters of Opus: what the sender of the description wants to receive, and what it may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opus {
    /// The highest sampling rate worth sending, hertz (8000–48000).
    pub max_playback_rate: u32,
    /// The highest sampling rate it is likely to send, hertz (8000–48000).
    pub sprop_max_capture_rate: u32,
    /// The most bits a second it wants to receive on average (6000–510000).
    pub max_average_bitrate: Option<u32>,
    /// Whether it prefers stereo.
    pub stereo: bool,
    /// Whether it is likely to send stereo.
    pub sprop_stereo: bool,
    /// Whether it wants a constant bit rate.
    pub constant_bitrate: bool,
    /// Whether it makes use of in-band error correction.
    pub in_band_fec: bool,
    /// Whether it likes discontinuous transmission.
    pub discontinuous: bool,
    /// The shortest packet it prefers, milliseconds.
    pub min_ptime: Option<u32>,
}

impl Opus {
    /// Reads the parameters; what cannot be read or is out of range has its default.
    #[must_use]
    pub fn parse(parameters: &str) -> Self {
        let rate = |name| {
            let rate = value(parameters, name).and_then(|value| number(value, 48_000).ok());
            rate.filter(|rate| *rate >= 8_000).unwrap_or(48_000)
        };
        let flag = |name| value(parameters, name) == Some("1");
        Self {
            max_playback_rate: rate("maxplaybackrate"),
            sprop_max_capture_rate: rate("sprop-maxcapturerate"),
            max_average_bitrate: value(parameters, "maxaveragebitrate")
                .and_then(|value| number(value, 510_000).ok())
                .filter(|rate| *rate >= 6_000),
            stereo: flag("stereo"),
            sprop_stereo: flag("sprop-stereo"),
            constant_bitrate: flag("cbr"),
            in_band_fec: flag("useinbandfec"),
            discontinuous: flag("usedtx"),
            min_ptime: value(parameters, "minptime").and_then(|value| number(value, 120).ok()),
        }
    }
}

/// The parameters of AMR and AMR-WB that both ends have to agree on; the codec itself is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amr {
    /// Octet-aligned rather than bandwidth-efficient packing.
    pub octet_align: bool,
    /// Frame checksums; implies octet alignment.
    pub crc: bool,
    /// Robust sorting; implies octet alignment.
    pub robust_sorting: bool,
    /// Whether interleaving is used; implies octet alignment.
    pub interleaving: bool,
    /// The modes that may be used, a bit each; all where nothing is said.
    pub mode_set: u16,
}

impl Amr {
    /// Reads the parameters; what cannot be read has its default.
    #[must_use]
    pub fn parse(parameters: &str) -> Self {
        let flag = |name| value(parameters, name) == Some("1");
        let (crc, robust_sorting) = (flag("crc"), flag("robust-sorting"));
        let interleaving = value(parameters, "interleaving").is_some();
        let modes = value(parameters, "mode-set").map(|list| {
            list.split(',')
                .filter_map(|mode| number(mode.trim(), 8).ok())
                .fold(0_u16, |set, mode| set | 1_u16.checked_shl(mode).unwrap_or(0))
        });
        Self {
            octet_align: flag("octet-align") || crc || robust_sorting || interleaving,
            crc,
            robust_sorting,
            interleaving,
            mode_set: modes.unwrap_or(0x1ff),
        }
    }

    /// Whether the two can talk: RFC 4867 §8.3.1 has the packing decided by the offer, and modes in common.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        self.octet_align == other.octet_align
            && self.crc == other.crc
            && self.robust_sorting == other.robust_sorting
            && self.interleaving == other.interleaving
            && self.mode_set & other.mode_set != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_lists_are_sets() {
        assert_eq!(EventSet::parse("0-15").unwrap(), EventSet::DTMF);
        assert_eq!(EventSet::parse("").unwrap(), EventSet::DTMF);
        assert_eq!(EventSet::parse("0-16").unwrap(), EventSet::DTMF_AND_FLASH);
        assert_eq!(EventSet::parse(" 0-11, 66,70 ").unwrap().to_string(), "0-11,66,70");
        assert_eq!(EventSet::parse("255,254,0").unwrap().to_string(), "0,254-255");
        assert_eq!(EventSet::parse("events=0-11").unwrap().to_string(), "0-11");
        let both = EventSet::DTMF.and(EventSet::parse("10-20").unwrap());
        assert_eq!(both.to_string(), "10-15");
        for (list, column) in [("256", 1), ("0-15,9-3", 6), ("0-15,x", 6), ("-1", 1)] {
            assert_eq!(EventSet::parse(list).unwrap_err().column, column, "{list}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_rfcs() {
        assert!(g729_annex_b(""));
        assert!(g729_annex_b("annexb=yes"));
        assert!(!g729_annex_b("annexb = no"));
        assert!(!g729_annex_b("x=1;ANNEXB=NO"));
        assert_eq!(ilbc_mode(""), 30);
        assert_eq!(ilbc_mode("mode=20"), 20);
        let opus = Opus::parse("minptime=10;useinbandfec=1; maxaveragebitrate=1");
        assert!(opus.in_band_fec && !opus.stereo);
        assert_eq!((opus.max_playback_rate, opus.max_average_bitrate), (48_000, None));
        assert_eq!(opus.min_ptime, Some(10));
        let amr = Amr::parse("mode-set=0,2,5,7; octet-align=1");
        assert_eq!((amr.mode_set, amr.octet_align), (0b1010_0101, true));
        assert!(!amr.is_compatible(&Amr::parse("")));
        assert!(Amr::parse("crc=1").octet_align);
    }
}
