//! What the exchange calls people for by itself: to wake them, to connect them with whom they found busy, to let many hear
//! one, to test the way to a neighbour.
//!
//! None of it can be turned against somebody else: an extension orders for itself only, once at a time, and is called at
//! its own telephones, never over a neighbour or where its calls are forwarded to.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use super::call::Call;
use super::desk::Desk;
use super::invitation::{Caller, CallerKind};
use super::reach::Reach;
use super::{Event, Exchange, Output, Probe, Report};
use crate::config::Clock;
use crate::route::Destination;
use crate::services::{Service, Serving};
use crate::store::thread::StoreRequest;
use crate::why::End;

/// How often somebody is woken who does not answer, and how long after.
const WAKE_TRIES: u32 = 3;
const WAKE_AGAIN: Duration = Duration::from_secs(60);

/// How long a call back is promised for, and how many there may be.
const PROMISE: Duration = Duration::from_secs(1_800);
const MOST_PROMISES: usize = 1_000;

const DAY: u64 = 86_400;

/// What a call wants of the exchange beyond itself.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// Connect these two as soon as both are free; a second time: do not.
    CallBack { caller: String, callee: String },
    /// Let these extensions' telephones answer by themselves and hear what goes on in a room.
    Page { by: u64, room: String, caller: Caller, members: Vec<String> },
}

/// What a call of the exchange's own is for.
#[derive(Debug)]
enum Errand {
    WakeUp { number: String, tries: u32 },
    CallBack,
    Page { by: u64 },
    Probe { ticket: u64, trunk: String, number: String },
}

#[derive(Debug)]
struct Promise {
    caller: String,
    callee: String,
    until: Instant,
}

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Errands {
    under_way: BTreeMap<u64, Errand>,
    promises: Vec<Promise>,
    /// Who has been woken, and when: an order is kept for a moment longer, until the store has forgotten it.
    woken: HashMap<String, u64>,
    /// Who did not answer, and when he is called again.
    again: Vec<(Instant, String, u32)>,
    next_wake: Option<Instant>,
}

impl Errands {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again.iter().map(|(at, ..)| *at).chain(self.next_wake).min()
    }

    /// The orders of extensions may have changed.
    pub(super) fn plan_wakes(&mut self, desk: &Desk) {
        let (clock, unix) = (desk.setup.time_of_day, desk.unix());
        self.woken.retain(|_, at| unix.saturating_sub(*at) < 120);
        let orders = desk.directory.iter().filter_map(|account| {
            let wait = wait_for(clock, unix, account.wake_up?);
            // The minute it was done in is not there again before tomorrow.
            Some(if self.woken.contains_key(&account.number) && wait == 0 { 60 } else { wait })
        });
        self.next_wake = orders.min().and_then(|wait| desk.now.checked_add(Duration::from_secs(wait)));
    }
}

impl Exchange {
    /// The clock of the machine was set: what goes by the time of day follows it, what lasts so long does not.
    pub(super) fn clock_set(&mut self, time: SystemTime) {
        let Some(moved) = self.desk.set_clock(time) else { return };
        self.desk.tell(Event::ClockSet { seconds: moved / 1_000 });
        self.desk.put(Output::Store(StoreRequest::MoveClock(moved)));
        self.errands.plan_wakes(&self.desk);
    }

    /// What is due is done.
    pub(super) fn errands_due(&mut self) {
        let now = self.desk.now;
        let (due, later) =
            std::mem::take(&mut self.errands.again).into_iter().partition(|(at, ..)| *at <= now);
        self.errands.again = later;
        for (_, number, tries) in due {
            self.wake(number, tries);
        }
        if self.errands.next_wake.is_none_or(|at| at > now) {
            return;
        }
        let (clock, unix) = (self.desk.setup.time_of_day, self.desk.unix());
        let is_due = |account: &&crate::policy::directory::Account| {
            account.wake_up.is_some_and(|minute| wait_for(clock, unix, minute) == 0)
                && !self.errands.woken.contains_key(&account.number)
        };
        let due: Vec<String> =
            self.desk.directory.iter().filter(is_due).map(|account| account.number.clone()).collect();
        for number in due {
            self.errands.woken.insert(number.clone(), unix);
            // An order is for once.
            let (key, value) = ("wake_up".to_owned(), Some(String::new()));
            self.desk.put(Output::Store(StoreRequest::PutSetting { number: number.clone(), key, value }));
            self.wake(number, 1);
        }
        self.errands.plan_wakes(&self.desk);
    }

    /// What calls have wished for since this was looked at last.
    pub(super) fn errands_wished(&mut self) {
        for wish in std::mem::take(&mut self.desk.wishes) {
            match wish {
                Wish::CallBack { caller, callee } => self.promise(caller, callee),
                Wish::Page { by, room, caller, members } => {
                    for member in members {
                        self.page(by, &room, &caller, member);
                    }
                }
            }
        }
        if std::mem::take(&mut self.desk.somebody_is_free) {
            self.keep_promises();
        }
    }

    /// A call is over; what it was made for goes on or has ended.
    pub(super) fn errand_over(&mut self, call: &Call, end: &End) {
        let pages: Vec<u64> = self
            .errands
            .under_way
            .iter()
            .filter_map(|(number, errand)| {
                matches!(errand, Errand::Page { by } if *by == call.number).then_some(*number)
            })
            .collect();
        for page in pages {
            self.with_call(page, |call, desk| call.end(desk, End::Served));
        }
        match self.errands.under_way.remove(&call.number) {
            Some(Errand::WakeUp { number, tries })
                if call.talked(self.desk.now).is_none() && tries < WAKE_TRIES =>
            {
                if let Some(at) = self.desk.now.checked_add(WAKE_AGAIN) {
                    self.errands.again.push((at, number, tries + 1));
                }
            }
            Some(Errand::Probe { ticket, trunk, number }) => {
                let probe = Box::new(Probe::of(call, trunk, number, end));
                self.desk.put(Output::Answer { ticket, report: Box::new(Report::Probe(probe)) });
            }
            Some(Errand::WakeUp { .. } | Errand::CallBack | Errand::Page { .. }) | None => {}
        }
    }

    /// Tests the way to a neighbour by a call to its echo.
    pub(super) fn probe(&mut self, ticket: u64, trunk: &str, number: Option<&str>) {
        let link = self.desk.links.get(trunk);
        let number = number.or(link.and_then(|link| link.trunk.probe.as_deref()));
        let begun = match (link, number.map(str::to_owned)) {
            (None, _) => Err(format!("there is no trunk \"{trunk}\"")),
            (Some(_), None) => {
                Err(format!("the trunk \"{trunk}\" has no `probe = \"NUMBER\"`; name one by --number"))
            }
            (Some(_), Some(number)) => {
                let caller = Caller::exchange("probe", "");
                let to = Destination::Trunk { trunk: trunk.to_owned(), number: number.clone() };
                let reached = Reach::directly(&mut self.desk, &caller, to, true);
                let why =
                    |end: End| end.cause().map(|cause| cause.sentence).unwrap_or_else(|| format!("{end:?}"));
                reached
                    .map(|reached| (self.call_out(caller, &number, reached, Serving::Probe), number))
                    .map_err(why)
            }
        };
        match begun {
            Ok((call, number)) => {
                self.errands
                    .under_way
                    .insert(call, Errand::Probe { ticket, trunk: trunk.to_owned(), number });
            }
            Err(cause) => {
                let probe = Box::new(Probe::impossible(trunk, cause));
                self.desk.put(Output::Answer { ticket, report: Box::new(Report::Probe(probe)) });
            }
        }
    }

    fn wake(&mut self, number: String, tries: u32) {
        let service = self.desk.setup.plan.number_of(Service::WakeUp);
        let caller = Caller::exchange(service.as_deref().unwrap_or("wake-up"), "Wake-up call");
        let to = Destination::Extension(number.clone());
        match Reach::directly(&mut self.desk, &caller, to, true) {
            Ok(reached) => {
                let call = self.call_out(caller, &number, reached, Serving::WakeUp);
                self.errands.under_way.insert(call, Errand::WakeUp { number, tries });
            }
            Err(_) if tries < WAKE_TRIES => {
                if let Some(at) = self.desk.now.checked_add(WAKE_AGAIN) {
                    self.errands.again.push((at, number, tries + 1));
                }
            }
            Err(_) => self.desk.tell(Event::NotWoken { number }),
        }
    }

    fn page(&mut self, by: u64, room: &str, caller: &Caller, member: String) {
        let mut caller = caller.clone();
        caller.intercom = true;
        let to = Destination::Extension(member.clone());
        // Who is not there, talks or is not to be disturbed is passed over.
        let Ok(reached) = Reach::directly(&mut self.desk, &caller, to, false) else { return };
        let call = self.call_out(caller, &member, reached, Serving::Paged(room.to_owned()));
        self.errands.under_way.insert(call, Errand::Page { by });
    }

    // -- calls back

    fn promise(&mut self, caller: String, callee: String) {
        let promises = &mut self.errands.promises;
        let is_same = |promise: &Promise| promise.caller == caller && promise.callee == callee;
        let was_there = promises.iter().any(is_same);
        promises.retain(|promise| promise.until > self.desk.now && promise.caller != caller);
        if was_there {
            return;
        }
        let until = self.desk.now.checked_add(PROMISE).filter(|_| promises.len() < MOST_PROMISES);
        promises.extend(until.map(|until| Promise { caller, callee, until }));
    }

    /// Somebody has hung up: who waited for him is called.
    fn keep_promises(&mut self) {
        let (desk, now) = (&self.desk, self.desk.now);
        let is_free = |number: &str| desk.calls_of(number) == 0;
        let (ready, waiting) = std::mem::take(&mut self.errands.promises)
            .into_iter()
            .filter(|promise| promise.until > now)
            .partition(|promise| is_free(&promise.caller) && is_free(&promise.callee));
        self.errands.promises = waiting;
        let ready: Vec<Promise> = ready;
        for Promise { caller: number, callee, .. } in ready {
            let name =
                self.desk.directory.get(&callee).map(|account| account.name.clone()).unwrap_or_default();
            let shown = Caller::exchange(&callee, &name);
            let to = Destination::Extension(number.clone());
            if let Ok(reached) = Reach::directly(&mut self.desk, &shown, to, true) {
                let call = self.call_out(shown, &number, reached, Serving::CallBack(callee));
                self.errands.under_way.insert(call, Errand::CallBack);
            }
        }
    }
}

impl Desk {
    /// Remembers whom a caller found busy, so that he may be called back.
    pub(super) fn note_busy(&mut self, caller: &Caller, end: &End) {
        if let (CallerKind::Extension, End::Busy { who }) = (&caller.kind, end)
            && self.directory.get(who).is_some()
        {
            self.found_busy.insert(caller.number.clone(), who.clone());
        }
    }
}

/// Seconds until a minute of the day comes; 0 while it lasts.
fn wait_for(clock: Clock, unix: u64, minute: u16) -> u64 {
    let (second, wanted) = (clock.second_of_day(unix), u64::from(minute) * 60);
    let wait = (wanted + DAY - second) % DAY;
    if wait > DAY - 60 { 0 } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_the_day_is_waited_for_and_lasts_a_minute() {
        let at = |hour: u64, minute: u64, second: u64| hour * 3_600 + minute * 60 + second;
        let clock = Clock::Fixed(0);
        assert_eq!(wait_for(clock, at(6, 0, 0), 7 * 60 + 30), 5_400);
        assert_eq!(wait_for(clock, at(7, 30, 0), 7 * 60 + 30), 0);
        assert_eq!(wait_for(clock, at(7, 30, 59), 7 * 60 + 30), 0);
        assert_eq!(wait_for(clock, at(7, 31, 0), 7 * 60 + 30), DAY - 60);
        assert_eq!(wait_for(clock, at(23, 59, 59), 0), 1);
    }
}
