//! Hours of the week, as the file writes them: `mon-fri 09:00-17:30`, several with commas between.

use std::str::FromStr;

use crate::config::Clock;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Some hours of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours(Vec<Span>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    days: (u64, u64),
    /// Minutes of the day; the end may lie before the beginning: it is the next day's then.
    from: u64,
    to: u64,
}

impl Hours {
    /// Whether a time, in seconds since 1970, lies within them.
    pub fn contain(&self, clock: Clock, unix: u64) -> bool {
        let (day, minute) = (clock.day_of_week(unix), clock.second_of_day(unix) / 60);
        self.0.iter().any(|span| span.contains(day, minute))
    }
}

impl Span {
    fn contains(self, day: u64, minute: u64) -> bool {
        let has = |day: u64| {
            let (first, last) = self.days;
            if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
        };
        if self.from <= self.to {
            return has(day) && (self.from..self.to).contains(&minute);
        }
        has(day) && minute >= self.from || has((day + 6) % 7) && minute < self.to
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = |text: &str| -> Option<Span> {
            let (days, hours) = match text.trim().split_once(' ') {
                Some((days, hours)) => (days, hours),
                None => ("mon-sun", text.trim()),
            };
            let day = |name: &str| DAYS.iter().position(|day| *day == name).map(|day| day as u64);
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (from, to) = hours.split_once('-')?;
            let minute = |text: &str| -> Option<u64> {
                let (hour, minute) = text.trim().split_once(':')?;
                let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
                (hour * 60 + minute <= 1_440 && minute < 60).then_some(hour * 60 + minute)
            };
            Some(Span { days: (day(first)?, day(last)?), from: minute(from)?, to: minute(to)? })
        };
        let spans: Option<Vec<Span>> = text.split(',').map(span).collect();
        spans.map(Hours).ok_or_else(|| {
            format!("\"{text}\" are no hours, expected as \"mon-fri 09:00-17:30\" or \"22:00-06:00\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_days_and_over_midnight() {
        let clock = Clock::Fixed(0);
        let monday = (0..7).map(|day| day * 86_400).find(|unix| clock.day_of_week(*unix) == 0).unwrap();
        let at = |day: u64, hour: u64| monday + day * 86_400 + hour * 3_600;
        let office: Hours = "mon-fri 09:00-17:30, sat 10:00-12:00".parse().unwrap();
        assert!(office.contain(clock, at(0, 9)) && office.contain(clock, at(5, 11)));
        assert!(!office.contain(clock, at(0, 8)) && !office.contain(clock, at(6, 11)));
        let night: Hours = "fri 22:00-06:00".parse().unwrap();
        assert!(night.contain(clock, at(4, 23)) && night.contain(clock, at(5, 3)));
        assert!(!night.contain(clock, at(4, 3)) && !night.contain(clock, at(5, 23)));
        for wrong in ["", "moon 09:00-10:00", "09:00", "09:00-25:00", "mon-fri 9-10"] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}
