//! Which UDP ports may be opened, and a pool that deals them out.
//!
//! A [`PortSet`] is any set of ports: ranges and single ports as an operator writes them, or the set a MAP-E router
//! owns (RFC 7597, see [`PortSet::mape`]). A [`PortPool`] deals out of such a set, never outside it: single ports,
//! and pairs of an even port for RTP with the odd one above it for RTCP (RFC 3550 §11). Dealing begins at a place drawn
//! from the seed and goes round the set, so that a port rests as long as possible before it is used again.
//! Whether another program holds a port is not known here: the owner binds, keeps a refused pair, and asks for the next.

mod mape;
mod pool;

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

pub use mape::MapeError;
pub use pool::{Exhausted, PortPair, PortPool};

/// A set of ports between 1 and 65535, kept as ranges in ascending order that neither touch nor overlap.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortSet {
    ranges: Vec<RangeInclusive<u16>>,
}

impl PortSet {
    /// The set without a port.
    pub const EMPTY: Self = Self { ranges: Vec::new() };

    /// The set of all ports in `ranges`, which may overlap and come in any order. Port 0 and ranges that end before
    /// they begin are left out.
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let mut sorted: Vec<RangeInclusive<u16>> = ranges
            .into_iter()
            .map(|range| (*range.start()).max(1)..=*range.end())
            .filter(|range| !range.is_empty())
            .collect();
        sorted.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => merged.push(range),
            }
        }
        Self { ranges: merged }
    }

    /// Reads a list as configurations hold it, for instance `["20000-20999", "30000"]`.
    ///
    /// # Errors
    /// The first entry that is neither a port nor a range, with the place in the list.
    pub fn parse_list<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, ParsePortsError> {
        let mut ranges = Vec::new();
        for (entry, text) in entries.into_iter().enumerate() {
            let set: Self = text.as_ref().parse().map_err(|error: ParsePortsError| error.at_entry(entry))?;
            ranges.extend(set.ranges);
        }
        Ok(Self::from_ranges(ranges))
    }

    /// All ports of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).cloned())
    }

    /// Only the ports of both sets: what an operator asked for and what the router owns.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let pieces = self.ranges.iter().flat_map(|mine| {
            other
                .ranges
                .iter()
                .map(move |theirs| (*mine.start()).max(*theirs.start())..=(*mine.end()).min(*theirs.end()))
        });
        Self::from_ranges(pieces)
    }

    /// The ports of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let after_each = other.ranges.iter().map(|range| range.end().checked_add(1));
        let before_each = other.ranges.iter().map(|range| range.start().saturating_sub(1)).chain([u16::MAX]);
        let gaps = core::iter::once(Some(1)).chain(after_each).zip(before_each);
        let gaps = gaps.filter_map(|(first, last)| Some(first?..=last));
        self.intersection(&Self::from_ranges(gaps))
    }

    /// Whether `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let after = self.ranges.partition_point(|range| *range.start() <= port);
        after
            .checked_sub(1)
            .and_then(|index| self.ranges.get(index))
            .is_some_and(|range| range.contains(&port))
    }

    /// How many ports there are, 0 to 65535.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there is no port at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, ascending; neighbours have a gap between them.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.ranges
    }

    /// Every port, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// How many pairs of an even port and the odd one above it the set holds: the greatest number of RTP legs.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.iter().filter(|port| port % 2 == 0 && self.contains(port | 1)).count()
    }
}

/// Ranges and single ports, separated by commas or white space: `20000-20999, 30000`.
impl FromStr for PortSet {
    type Err = ParsePortsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ranges = Vec::new();
        for piece in text.split([',', ' ', '\t', '\n']).filter(|piece| !piece.is_empty()) {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            let number = |digits: &str| match digits.trim().parse::<u16>() {
                Ok(port) if port > 0 => Ok(port),
                _ => Err(ParsePortsError::new(piece, PortFault::NotAPort)),
            };
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(ParsePortsError::new(piece, PortFault::Backwards));
            }
            ranges.push(first..=last);
        }
        if ranges.is_empty() {
            return Err(ParsePortsError::new(text, PortFault::Nothing));
        }
        Ok(Self::from_ranges(ranges))
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if range.start() == range.end() {
                write!(f, "{}", range.start())?;
            } else {
                write!(f, "{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

/// Why a text is not a set of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePortsError {
    entry: Option<usize>,
    text: String,
    fault: PortFault,
}

/// What is wrong with a piece of a port list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortFault {
    /// Not a decimal number between 1 and 65535.
    NotAPort,
    /// The range ends before it begins.
    Backwards,
    /// No port is named.
    Nothing,
}

impl ParsePortsError {
    fn new(text: &str, fault: PortFault) -> Self {
        Self { entry: None, text: text.to_owned(), fault }
    }

    fn at_entry(self, entry: usize) -> Self {
        Self { entry: Some(entry), ..self }
    }

    /// The place in the list, counted from 0, when a list was read.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        self.entry
    }

    /// The piece that could not be read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> PortFault {
        self.fault
    }
}

impl fmt::Display for ParsePortsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.fault {
            PortFault::NotAPort => {
                write!(
                    f,
                    "`{text}` is not a port: expected a number from 1 to 65535, or two with `-` between"
                )
            }
            PortFault::Backwards => write!(f, "`{text}` ends before it begins"),
            PortFault::Nothing => write!(f, "`{text}` names no port"),
        }
    }
}

impl std::error::Error for ParsePortsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_as_an_operator_writes_it() {
        let set = PortSet::parse_list(["20000-20003", "30000", "20002-20005"]).unwrap();
        assert_eq!(set.to_string(), "20000-20005, 30000");
        assert_eq!((set.len(), set.pairs()), (7, 3));
        assert!(set.contains(20005) && set.contains(30000) && !set.contains(20006) && !set.contains(19999));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = PortSet::parse_list(["20000-20999", "300000"]).unwrap_err();
        assert_eq!((error.entry(), error.text(), error.fault()), (Some(1), "300000", PortFault::NotAPort));
        assert_eq!("9-8".parse::<PortSet>().unwrap_err().fault(), PortFault::Backwards);
        assert_eq!("0".parse::<PortSet>().unwrap_err().fault(), PortFault::NotAPort);
        assert_eq!(" , ".parse::<PortSet>().unwrap_err().fault(), PortFault::Nothing);
    }

    #[test]
    fn the_last_port_is_a_port() {
        let set: PortSet = "65534-65535 1".parse().unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 65534, 65535]);
        assert_eq!(set.pairs(), 1);
    }

    proptest! {
        #[test]
        fn sets_agree_with_the_ports_they_hold(a in ranges(), b in ranges(), probe in 0u16..) {
            let in_any = |list: &[RangeInclusive<u16>]| probe > 0 && list.iter().any(|range| range.contains(&probe));
            let (left, right) = (PortSet::from_ranges(a.clone()), PortSet::from_ranges(b.clone()));
            prop_assert_eq!(left.contains(probe), in_any(&a));
            prop_assert_eq!(left.union(&right).contains(probe), in_any(&a) || in_any(&b));
            prop_assert_eq!(left.intersection(&right).contains(probe), in_any(&a) && in_any(&b));
            prop_assert_eq!(left.len(), left.iter().count());
            if !left.is_empty() {
                prop_assert_eq!(left.to_string().parse::<PortSet>().unwrap(), left);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_away_is_gone_and_nothing_else(mine in ranges(), theirs in ranges()) {
            let (mine, theirs) = (PortSet::from_ranges(mine), PortSet::from_ranges(theirs));
            let left = mine.difference(&theirs);
            for port in 1..=1000 {
                prop_assert_eq!(left.contains(port), mine.contains(port) && !theirs.contains(port));
            }
            prop_assert!(PortSet::from_ranges([1..=u16::MAX]).difference(&mine).intersection(&mine).is_empty());
        }
    }

    fn ranges() -> impl Strategy<Value = Vec<RangeInclusive<u16>>> {
        proptest::collection::vec(
            (0u16.., 0u16..400).prop_map(|(first, more)| first..=first.saturating_add(more)),
            0..6,
        )
    }
}
