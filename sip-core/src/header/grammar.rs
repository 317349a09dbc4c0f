//! Building blocks of RFC 3261 §25.1 as nom parsers, for the headers off the hot path.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use nom::{
    IResult, Parser,
    bytes::complete::{take_while, take_while1},
    character::complete::char,
    sequence::delimited,
};

use crate::message::class;

/// `LWS`, maybe none.
pub(crate) fn space(input: &str) -> IResult<&str, &str> {
    take_while(|c: char| u8::try_from(c).is_ok_and(|byte| class::is(byte, class::SPACE))).parse(input)
}

/// `token`.
pub(crate) fn token(input: &str) -> IResult<&str, &str> {
    take_while1(|c: char| u8::try_from(c).is_ok_and(|byte| byte.is_ascii() && class::is(byte, class::TOKEN)))
        .parse(input)
}

/// A separator with white space on both sides: `EQUAL`, `SEMI`, `COMMA`, `SLASH`.
pub(crate) fn separator<'a>(
    separator: char,
) -> impl Parser<&'a str, Output = char, Error = nom::error::Error<&'a str>> {
    delimited(space, char(separator), space)
}

/// `quoted-string`, with its quotes.
pub(crate) fn quoted(input: &str) -> IResult<&str, &str> {
    use nom::error::{Error, ErrorKind};
    let length = input.starts_with('"').then(|| super::params::quoted_length(input.as_bytes())).flatten();
    let parts = length.and_then(|length| input.split_at_checked(length));
    parts.map(|(quoted, rest)| (rest, quoted)).ok_or(nom::Err::Error(Error::new(input, ErrorKind::Escaped)))
}
