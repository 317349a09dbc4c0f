//! Date (RFC 3261 §20.17) and Timestamp (§20.38).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use nom::{
    Parser,
    bytes::complete::take_while_m_n,
    character::complete::char,
    combinator::{map_opt, opt},
    sequence::{preceded, terminated},
};

use super::{HeaderName, HeaderValue, Scanner, grammar};
use crate::error::{Liberty, ParseError};

/// A moment in GMT, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970-01-01 00:00:00 UTC; leap seconds are not counted.
    pub unix_seconds: i64,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

type Failure<'a> = nom::error::Error<&'a str>;

fn number<'a>(least: usize, most: usize) -> impl Parser<&'a str, Output = i64, Error = Failure<'a>> {
    map_opt(take_while_m_n(least, most, |c: char| c.is_ascii_digit()), |digits: &str| digits.parse().ok())
}

fn word<'a, const N: usize>(
    words: [&'static str; N],
) -> impl Parser<&'a str, Output = i64, Error = Failure<'a>> {
    map_opt(take_while_m_n(3, 3, |c: char| c.is_ascii_alphabetic()), move |text: &str| {
        let at = words.iter().position(|word| word.eq_ignore_ascii_case(text))?;
        i64::try_from(at).ok()
    })
}

impl<'a> HeaderValue<'a> for Date {
    const NAME: HeaderName = HeaderName::Date;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let weekday = terminated(word(DAYS), (char(','), grammar::space));
        let day = terminated(take_while_m_n(1, 2, |c: char| c.is_ascii_digit()), grammar::space);
        let month = terminated(word(MONTHS), grammar::space);
        let year = terminated(number(4, 4), grammar::space);
        let time = (number(2, 2), preceded(char(':'), number(2, 2)), preceded(char(':'), number(2, 2)));
        let zone = opt(preceded(grammar::space, grammar::token));
        let mut form = (grammar::space, weekday, day, month, year, time, zone);
        let start = scanner.position();
        let parsed =
            scanner.grammar(|input| form.parse(input), "a date such as Sat, 13 Nov 2010 23:29:00 GMT")?;
        let (_, _weekday, day, month, year, (hour, minute, second), zone) = parsed;
        if zone != Some("GMT") {
            scanner.forgive(
                scanner.position().saturating_sub(zone.map_or(0, str::len)),
                Liberty::DateForm,
                "GMT",
            )?;
        }
        if day.len() == 1 {
            scanner.forgive(start, Liberty::DateForm, "a day of two digits")?;
        }
        let day: i64 = day.parse().unwrap_or(0);
        let in_range = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
        if !in_range {
            return Err(
                scanner.error_at(start, crate::error::Problem::Expected("a day and time that there is"))
            );
        }
        Ok(Self { unix_seconds: to_unix(year, month, day, hour, minute, second) })
    }
}

/// Days by the usual trick of years that begin in March; months count from 0.
const fn to_unix(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> i64 {
    let year = if month < 2 { year.saturating_sub(1) } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = month.saturating_add(10) % 12;
    let day_of_year = shifted_month
        .saturating_mul(153)
        .saturating_add(2)
        .saturating_div(5)
        .saturating_add(day)
        .saturating_sub(1);
    let day_of_era = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era.saturating_div(4))
        .saturating_sub(year_of_era.saturating_div(100))
        .saturating_add(day_of_year);
    let days = era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468);
    days.saturating_mul(86_400)
        .saturating_add(hour.saturating_mul(3600))
        .saturating_add(minute.saturating_mul(60))
        .saturating_add(second)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.unix_seconds.div_euclid(86_400);
        let seconds = self.unix_seconds.rem_euclid(86_400);
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = day_of_era
            .saturating_sub(day_of_era.saturating_div(1460))
            .saturating_add(day_of_era.saturating_div(36_524))
            .saturating_sub(day_of_era.saturating_div(146_096))
            .saturating_div(365);
        let day_of_year = day_of_era.saturating_sub(
            year_of_era
                .saturating_mul(365)
                .saturating_add(year_of_era.saturating_div(4))
                .saturating_sub(year_of_era.saturating_div(100)),
        );
        let shifted_month = day_of_year.saturating_mul(5).saturating_add(2).saturating_div(153);
        let day = day_of_year
            .saturating_sub(shifted_month.saturating_mul(153).saturating_add(2).saturating_div(5))
            .saturating_add(1);
        let month = shifted_month.saturating_add(2).rem_euclid(12);
        let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(i64::from(month < 2));
        let name =
            |list: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| list.get(at).copied());
        // 1970-01-01 was a Thursday.
        let weekday = name(&DAYS, days.saturating_add(3).rem_euclid(7)).unwrap_or_default();
        let month = name(&MONTHS, month).unwrap_or_default();
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

/// When a request was sent, by the sender's clock, and how long the answer was delayed; both in seconds as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// Digits with an optional fraction.
    pub time: &'a str,
    /// The server's delay.
    pub delay: Option<&'a str>,
}

impl<'a> HeaderValue<'a> for Timestamp<'a> {
    const NAME: HeaderName = HeaderName::Timestamp;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        let time = scan_decimal(scanner)?.ok_or_else(|| scanner.expected("a time in seconds"))?;
        if time.starts_with('.') {
            scanner.forgive(start, Liberty::NumberForm, "a digit before the point")?;
        }
        let end = scanner.position();
        scanner.skip_space();
        let delay = scan_decimal(scanner)?;
        if delay.is_some() && !scanner.whole().as_bytes().get(end).is_some_and(u8::is_ascii_whitespace) {
            scanner.forgive(end, Liberty::ListSeparator, "white space before the delay")?;
        }
        Ok(Self { time, delay })
    }
}

fn scan_decimal<'a>(scanner: &mut Scanner<'a>) -> Result<Option<&'a str>, ParseError> {
    let start = scanner.position();
    let whole = scanner.run(crate::message::class::DIGIT);
    let has_point = scanner.eat(b'.');
    let fraction = scanner.run(crate::message::class::DIGIT);
    match (whole.is_empty(), has_point && !fraction.is_empty()) {
        (true, false) if !has_point => Ok(None),
        // `.5` is what the delay may look like.
        (true, true) | (false, _) => Ok(Some(scanner.since(start))),
        (true, false) => Err(scanner.expected("digits")),
    }
}

impl fmt::Display for Timestamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.time)?;
        match self.delay {
            Some(delay) => write!(f, " {delay}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    #[test]
    fn dates_there_and_back() {
        for (text, seconds) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Sun, 22 Nov 2026 05:00:00 GMT", 1_795_323_600),
            ("Fri, 31 Dec 1999 23:59:59 GMT", 946_684_799),
        ] {
            let date = Date::parse(text, Attitude::Strict).unwrap();
            assert_eq!((date.unix_seconds, date.to_string().as_str()), (seconds, text));
        }
        assert!(Date::parse("Fri, 01 Jan 2010 16:00:00 EST", Attitude::Strict).is_err());
        assert!(Date::parse("Fri, 01 Jan 2010 16:00:00 EST", Attitude::Lenient).is_ok());
        assert!(Date::parse("Fri, 32 Jan 2010 16:00:00 GMT", Attitude::Lenient).is_err());
        assert!(Date::parse("Fri 01 Jan 2010", Attitude::Lenient).is_err());
        assert!(Date::parse("Fri, 1 Jan 2010 16:00:00 GMT", Attitude::Strict).is_err());
        assert_eq!(
            Date::parse("Fri, 1 Jan 2010 16:00:00 GMT", Attitude::Lenient).unwrap().to_string(),
            "Fri, 01 Jan 2010 16:00:00 GMT"
        );
    }

    #[test]
    fn timestamps() {
        assert_eq!(
            Timestamp::parse("54.21 .5", Attitude::Strict).unwrap(),
            Timestamp { time: "54.21", delay: Some(".5") }
        );
        assert_eq!(Timestamp::parse("54", Attitude::Strict).unwrap().to_string(), "54");
        assert!(Timestamp::parse("x", Attitude::Strict).is_err());
        assert!(Timestamp::parse(".5", Attitude::Strict).is_err());
        assert_eq!(Timestamp::parse(".5", Attitude::Lenient).unwrap().time, ".5");
    }
}
