//! Media that belong together: `group` (RFC 5888 §5), of which BUNDLE (RFC 9143) is one kind.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::error::ParseError;
use crate::fields::Fields;

/// `a=group`: the media that share something, by their `mid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// What they share: `BUNDLE`, `LS`, `FID`, …
    pub semantics: &'a str,
    list: &'a str,
}

impl<'a> Group<'a> {
    /// Reads the value of `a=group`. The list may be empty.
    ///
    /// # Errors
    /// The semantics are missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let semantics = fields.expect("the semantics of the group")?;
        Ok(Self { semantics, list: fields.remainder() })
    }

    /// The members, in order.
    pub fn members(&self) -> impl Iterator<Item = &'a str> {
        self.list.split_ascii_whitespace()
    }

    /// Whether the group is a bundle.
    #[must_use]
    pub fn is_bundle(&self) -> bool {
        self.semantics.eq_ignore_ascii_case("BUNDLE")
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.semantics)?;
        if self.list.is_empty() { Ok(()) } else { write!(f, " {}", self.list) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_may_be_empty() {
        let group = Group::parse("BUNDLE a1  v1").unwrap();
        assert!(group.is_bundle());
        assert_eq!(group.members().collect::<Vec<_>>(), ["a1", "v1"]);
        assert_eq!(Group::parse("BUNDLE").unwrap().to_string(), "BUNDLE");
        assert!(Group::parse("").is_err());
    }
}
