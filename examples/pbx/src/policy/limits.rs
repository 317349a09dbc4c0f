//! Limits against toll fraud: how much may go out by a trunk, and when. Emergency calls pass every one of them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::hours::Hours;
use crate::config::{Clock, Secret};

/// What may go out by a trunk; `None` limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkLimits {
    /// Calls at a time, both directions.
    pub calls: Option<usize>,
    /// Calls begun within an hour.
    pub calls_an_hour: Option<usize>,
    /// Minutes talked within a day.
    pub minutes_a_day: Option<u64>,
    /// When nothing goes out.
    pub quiet: Option<Hours>,
    /// Numbers that are not called at all, by their first digits.
    pub barred: Vec<String>,
    /// Numbers that are called only after a PIN, by their first digits.
    pub pin_for: Vec<String>,
    /// The PIN.
    pub pin: Option<Secret>,
}

impl TrunkLimits {
    /// The PIN that a number needs.
    pub fn pin_for(&self, number: &str) -> Option<&Secret> {
        let needs = self.pin_for.iter().any(|digits| number.starts_with(digits.as_str()));
        self.pin.as_ref().filter(|_| needs)
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What has gone out by each trunk.
#[derive(Debug, Default)]
pub struct Spent {
    trunks: HashMap<String, Account>,
    /// When each extension dialled a wrong PIN.
    guesses: HashMap<String, VecDeque<Instant>>,
}

#[derive(Debug, Default)]
struct Account {
    begun: VecDeque<Instant>,
    talked: VecDeque<(Instant, Duration)>,
}

impl Spent {
    /// An extension has dialled a wrong PIN.
    pub fn guessed(&mut self, number: &str, now: Instant) {
        self.guesses.entry(number.to_owned()).or_default().push_back(now);
    }

    /// How many wrong PINs it has dialled within an hour.
    pub fn guesses(&mut self, number: &str, now: Instant) -> usize {
        let Some(guesses) = self.guesses.get_mut(number) else { return 0 };
        guesses.retain(|at| now.saturating_duration_since(*at) < HOUR);
        let count = guesses.len();
        if count == 0 {
            self.guesses.remove(number);
        }
        count
    }

    /// Why a call may not go out by a trunk, in one sentence; it counts as begun when it may.
    ///
    /// # Errors
    /// The limit that was reached.
    pub fn begin(
        &mut self,
        trunk: &str,
        number: &str,
        limits: &TrunkLimits,
        (clock, unix): (Clock, u64),
        now: Instant,
    ) -> Result<(), String> {
        if limits.quiet.as_ref().is_some_and(|quiet| quiet.contain(clock, unix)) {
            return Err(format!("nothing goes out by the trunk {trunk} in its quiet hours"));
        }
        if let Some(barred) = limits.barred.iter().find(|barred| number.starts_with(barred.as_str())) {
            return Err(format!("numbers that begin with {barred} are barred for the trunk {trunk}"));
        }
        let account = self.trunks.entry(trunk.to_owned()).or_default();
        account.forget(now);
        if let Some(most) = limits.calls_an_hour.filter(|most| account.begun.len() >= *most) {
            return Err(format!(
                "{most} calls have gone out by the trunk {trunk} within an hour, as many as may"
            ));
        }
        let talked: Duration = account.talked.iter().map(|(_, talked)| *talked).sum();
        if let Some(most) = limits.minutes_a_day.filter(|most| talked.as_secs() / 60 >= *most) {
            return Err(format!(
                "{most} minutes were talked by the trunk {trunk} within a day, as many as may"
            ));
        }
        account.begun.push_back(now);
        Ok(())
    }

    /// A call by a trunk is over.
    pub fn talked(&mut self, trunk: &str, talked: Duration, now: Instant) {
        let account = self.trunks.entry(trunk.to_owned()).or_default();
        account.forget(now);
        account.talked.push_back((now, talked));
    }
}

impl Account {
    fn forget(&mut self, now: Instant) {
        let is_old = |at: Instant, after: Duration| now.saturating_duration_since(at) >= after;
        while self.begun.front().is_some_and(|at| is_old(*at, HOUR)) {
            self.begun.pop_front();
        }
        while self.talked.front().is_some_and(|(at, _)| is_old(*at, DAY)) {
            self.talked.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_kept_and_forgiven() {
        let mut spent = Spent::default();
        let start = Instant::now();
        let limits = TrunkLimits {
            calls_an_hour: Some(2),
            minutes_a_day: Some(10),
            barred: vec!["0990".to_owned()],
            ..TrunkLimits::default()
        };
        let begin =
            |spent: &mut Spent, number, now| spent.begin("lab", number, &limits, (Clock::Fixed(0), 0), now);
        assert!(begin(&mut spent, "0990123", start).unwrap_err().contains("barred"));
        assert_eq!(begin(&mut spent, "1", start), Ok(()));
        assert_eq!(begin(&mut spent, "1", start), Ok(()));
        assert!(begin(&mut spent, "1", start).unwrap_err().starts_with("2 calls"));
        let later = start + HOUR;
        spent.talked("lab", Duration::from_secs(601), later);
        assert!(begin(&mut spent, "1", later).unwrap_err().starts_with("10 minutes"));
        assert_eq!(begin(&mut spent, "1", later + DAY), Ok(()));
    }
}
