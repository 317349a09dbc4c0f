//! Who is tried for a number, one attempt after the other: an extension's telephones, a group's members, and whom calls are
//! forwarded to that nobody took.
//!
//! An extension that is not to be disturbed counts as busy; one without a telephone as unreachable. Forwarding follows at
//! most a few numbers and none twice, so that two extensions that forward to each other end in the outcome of the last.

use std::collections::VecDeque;
use std::time::Duration;

use denwa::evidence::Rule;
use denwa_sip_core::endpoint::Flow;
use denwa_sip_core::message::UriBuf;

use super::desk::Desk;
use super::history::Diverted;
use super::invitation::{Caller, CallerKind};
use super::planned::{Planned, phones, trunk};
use crate::config::{Group, Strategy};
use crate::route::Destination;
use crate::services::Serving;
use crate::why::End;

/// How many numbers one call may be forwarded over.
const MOST_FORWARDS: usize = 5;

/// How many wrong PINs an extension may dial within an hour.
const MOST_GUESSES: usize = 9;

/// What stands for the own mailbox where a number to forward to is written.
const VOICEMAIL: &str = "voicemail";

/// One attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Ring these, for so long.
    Ring(Vec<Planned>, Duration),
    /// Answer with a service.
    Serve(Serving),
    /// Say why not, then refuse.
    Announce(End),
}

/// What has been tried, and what comes next.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// What is being tried.
    pub(super) current: Destination,
    /// How long it rings.
    pub(super) ring: Duration,
    seen: Vec<String>,
    /// Who comes after those that are tried now, before any forwarding.
    next: VecDeque<Next>,
    /// Who forwarded the call to what is tried.
    diverted: Option<Diverted>,
    /// Which of the ways to a neighbour is tried.
    turn: usize,
    /// It has been tried once more.
    retried: bool,
    /// The caller has shown the PIN that what he dialled needs.
    showed_pin: bool,
}

/// Who is tried next.
#[derive(Clone, Debug)]
enum Next {
    /// A member of a group.
    Member(String),
    /// Telephones of an extension that registered with a lower preference.
    Telephones(String, u16),
    /// A number where an extension is looked for.
    Elsewhere(String),
}

impl Reach {
    /// The first attempt for what was dialled; `Err` when there is none.
    pub(super) fn begin(
        desk: &mut Desk,
        caller: &Caller,
        from: Option<&Flow>,
        dialled: Destination,
    ) -> Result<(Self, Attempt), End> {
        let ring = desk.setup.ring;
        let mut reach = Self { ring, ..Self::nowhere(dialled) };
        if let Destination::Extension(number) | Destination::Group(number) = &reach.current {
            reach.seen.push(number.clone());
        }
        match reach.attempt(desk, caller, from) {
            Ok(attempt) => Ok((reach, attempt)),
            Err(end) => match reach.after(desk, caller, &end) {
                Some(attempt) => Ok((reach, attempt)),
                None => Err(end),
            },
        }
    }

    /// The first attempt to reach a number of a neighbour, by somebody who has shown the PIN it needs.
    pub(super) fn outward(
        desk: &mut Desk,
        caller: &Caller,
        trunk: String,
        number: String,
    ) -> Result<(Self, Attempt), End> {
        let ring = desk.setup.ring;
        let mut reach =
            Self { ring, showed_pin: true, ..Self::nowhere(Destination::Trunk { trunk, number }) };
        reach.attempt(desk, caller, None).map(|attempt| (reach, attempt))
    }

    /// Nothing is tried, and nothing comes next.
    pub(super) fn nowhere(dialled: Destination) -> Self {
        Self {
            current: dialled,
            ring: Duration::ZERO,
            seen: Vec::new(),
            next: VecDeque::new(),
            diverted: None,
            turn: 0,
            retried: false,
            showed_pin: false,
        }
    }

    /// The next attempt after one that came to `end`.
    pub(super) fn after(&mut self, desk: &mut Desk, caller: &Caller, end: &End) -> Option<Attempt> {
        if let Some(attempt) = self.next_in_line(desk, caller, end) {
            return Some(attempt);
        }
        if let Some(planned) = self.once_more(desk, caller, end).or_else(|| self.next_way(desk, caller, end))
        {
            return Some(Attempt::Ring(planned, self.ring));
        }
        let mut end = end.clone();
        loop {
            let (number, reason) = self.forward(desk, &end)?;
            if self.seen.contains(&number) || self.seen.len() > MOST_FORWARDS {
                return None;
            }
            self.diverted = self.seen.last().map(|from| Diverted {
                from: UriBuf::sip(from, &desk.setup.realm).build().to_string(),
                reason,
            });
            self.current = match &self.current {
                Destination::Extension(own) if number == VOICEMAIL => {
                    Destination::Served(Serving::Mailbox(own.clone()))
                }
                _ => desk.find(&number),
            };
            self.seen.push(number);
            self.ring = desk.setup.ring;
            match self.attempt(desk, caller, None) {
                Ok(attempt) => return Some(attempt),
                Err(next) => end = next,
            }
        }
    }

    /// Whoever comes next in the same place, if anybody can be called.
    fn next_in_line(&mut self, desk: &mut Desk, caller: &Caller, end: &End) -> Option<Attempt> {
        if matches!((end, self.next.front()), (End::Declined { .. }, Some(Next::Elsewhere(_)))) {
            // Who declines is not looked for elsewhere.
            self.next.clear();
        }
        while let Some(next) = self.next.pop_front() {
            let (planned, ring) = match next {
                Next::Member(number) => (undisturbed(desk, caller, None, &number), self.ring),
                Next::Telephones(number, quality) => {
                    let phones =
                        phones(desk, caller, None, &number).map(|phones| of_quality(phones, quality));
                    (phones, self.tier_ring(desk, &number))
                }
                Next::Elsewhere(number) => self.elsewhere(desk, caller, &number),
            };
            if let Ok(planned) = planned {
                return Some(Attempt::Ring(planned, ring));
            }
        }
        None
    }

    /// How long telephones of one preference ring.
    fn tier_ring(&self, desk: &Desk, number: &str) -> Duration {
        let by_priority = desk.directory.get(number).and_then(|account| account.forward.by_priority);
        by_priority.unwrap_or(self.ring)
    }

    /// Where somebody may be found who is not at his own telephones.
    fn elsewhere(
        &self,
        desk: &mut Desk,
        caller: &Caller,
        number: &str,
    ) -> (Result<Vec<Planned>, End>, Duration) {
        let own = match &self.current {
            Destination::Extension(own) => desk.directory.get(own).map(|account| account.forward.clone()),
            _ => None,
        };
        let ring = own.and_then(|forward| forward.follow_me_ring).unwrap_or(desk.setup.ring);
        let planned = match desk.find(number) {
            Destination::Extension(number) => undisturbed(desk, caller, None, &number),
            Destination::Trunk { trunk: name, number } => {
                // It goes out on behalf of whom is looked for.
                may_go_out(desk, &name, &number, false)
                    .and_then(|()| trunk(desk, None, &name, &number, None, 0))
            }
            _ => Err(End::UnknownNumber),
        };
        (planned, ring)
    }

    /// Where a call goes that came to `end` at what is being tried, and the word for why (RFC 5806).
    fn forward(&self, desk: &Desk, end: &End) -> Option<(String, &'static str)> {
        let (number, reason) = match &self.current {
            Destination::Group(group) => (desk.setup.plan.group(group)?.no_answer.clone(), "no-answer"),
            Destination::Extension(number) => {
                let forward = &desk.directory.get(number)?.forward;
                match end {
                    _ if forward.always.is_some() => (forward.always.clone(), "unconditional"),
                    // As if its star code had been dialled: on behalf of the extension.
                    End::Moved { to, .. } => (Some(to.clone()), "unconditional"),
                    End::Busy { .. } | End::Declined { .. } => (forward.busy.clone(), "user-busy"),
                    End::NoAnswer { .. } => (forward.no_answer.clone(), "no-answer"),
                    End::NotRegistered
                    | End::NoReply { .. }
                    | End::Unreachable { .. }
                    | End::NoRoute { .. } => (forward.unreachable.clone(), "unavailable"),
                    _ => (None, ""),
                }
            }
            Destination::Served(_) | Destination::Trunk { .. } | Destination::Unknown => (None, ""),
        };
        Some((number?, reason))
    }

    /// Tries what is current now.
    fn attempt(&mut self, desk: &mut Desk, caller: &Caller, from: Option<&Flow>) -> Result<Attempt, End> {
        match self.current.clone() {
            Destination::Unknown => Err(End::UnknownNumber),
            Destination::Served(serving) => Ok(Attempt::Serve(serving)),
            Destination::Extension(number) => {
                let forward =
                    desk.directory.get(&number).map(|account| account.forward.clone()).unwrap_or_default();
                if forward.always.is_some() {
                    return Err(End::Busy { who: number });
                }
                self.ring = forward.ring.unwrap_or(desk.setup.ring);
                let found = undisturbed(desk, caller, from, &number);
                if !matches!(found, Err(End::Busy { .. })) {
                    self.next = forward.follow_me.iter().cloned().map(Next::Elsewhere).collect();
                }
                let Some(each) = forward.by_priority else { return Ok(Attempt::Ring(found?, self.ring)) };
                Ok(Attempt::Ring(self.best_first(&number, found?), each))
            }
            Destination::Group(number) => {
                let group = desk.setup.plan.group(&number).cloned().ok_or(End::UnknownNumber)?;
                self.ring = group.ring.unwrap_or(desk.setup.ring);
                self.members(desk, caller, from, group)
            }
            Destination::Trunk { trunk: name, number } => {
                // Forwarded calls go out on behalf of the extension that forwards, which may dial out.
                let on_behalf = self.diverted.is_none().then_some(caller);
                if needs_pin(desk, &name, &number) && !self.showed_pin {
                    return ask_for_pin(desk, on_behalf, name, number);
                }
                may_go_out(desk, &name, &number, self.showed_pin)?;
                self.turn = 0;
                let planned = trunk(desk, on_behalf, &name, &number, self.diverted.clone(), 0)?;
                Ok(Attempt::Ring(planned, self.ring))
            }
        }
    }

    /// The same neighbour once more, when it is one that may only have been too busy to look.
    fn once_more(&mut self, desk: &Desk, caller: &Caller, end: &End) -> Option<Vec<Planned>> {
        let Destination::Trunk { trunk: name, number } = &self.current else { return None };
        let rest = desk.links.get(name)?.trunk.terms.retry?;
        let is_worth_it = matches!(end, End::Busy { .. } | End::Refused { status: 500, .. });
        if !is_worth_it || std::mem::replace(&mut self.retried, true) {
            return None;
        }
        let on_behalf = self.diverted.is_none().then_some(caller);
        let mut planned = trunk(desk, on_behalf, name, number, self.diverted.clone(), self.turn).ok()?;
        planned.iter_mut().for_each(|plan| plan.rest = Some(rest));
        Some(planned)
    }

    /// The next way to the neighbour that is tried, when nothing was heard of it by this one.
    fn next_way(&mut self, desk: &Desk, caller: &Caller, end: &End) -> Option<Vec<Planned>> {
        let Destination::Trunk { trunk: name, number } = &self.current else { return None };
        let is_dead = match end {
            End::NoReply { .. } | End::Unreachable { .. } | End::NoRoute { .. } => true,
            // RFC 3263 section 4.3: a server that says so is as good as none.
            End::Refused { status, .. } => matches!(status, 408 | 502..=504),
            _ => false,
        };
        if !is_dead {
            return None;
        }
        self.turn += 1;
        let on_behalf = self.diverted.is_none().then_some(caller);
        trunk(desk, on_behalf, name, number, self.diverted.clone(), self.turn).ok()
    }

    /// The telephones that prefer calls most; the others come after them.
    fn best_first(&mut self, number: &str, phones: Vec<Planned>) -> Vec<Planned> {
        let mut qualities: Vec<u16> = phones.iter().map(|phone| phone.quality).collect();
        qualities.sort_unstable();
        qualities.dedup();
        let best = qualities.pop().unwrap_or_default();
        for quality in qualities {
            self.next.push_front(Next::Telephones(number.to_owned(), quality));
        }
        of_quality(phones, best)
    }

    fn members(
        &mut self,
        desk: &mut Desk,
        caller: &Caller,
        from: Option<&Flow>,
        group: Group,
    ) -> Result<Attempt, End> {
        if group.strategy == Strategy::All {
            let mut planned = Vec::new();
            let mut last = End::NotRegistered;
            for member in &group.members {
                match undisturbed(desk, caller, from, member) {
                    Ok(phones) => planned.extend(phones),
                    Err(end) => last = end,
                }
            }
            return if planned.is_empty() { Err(last) } else { Ok(Attempt::Ring(planned, self.ring)) };
        }
        let mut members: VecDeque<String> = group.members.iter().cloned().collect();
        if group.strategy == Strategy::LongestIdle {
            // Who has had no call since the start has been idle longest of all.
            members.make_contiguous().sort_by_key(|member| desk.idle_since.get(member).copied());
        }
        if group.strategy == Strategy::RoundRobin {
            let turn = desk.next_turn(&group.number) % group.members.len().max(1);
            members.rotate_left(turn);
        }
        while let Some(member) = members.pop_front() {
            if let Ok(planned) = undisturbed(desk, caller, from, &member) {
                self.next = members.into_iter().map(Next::Member).collect();
                return Ok(Attempt::Ring(planned, self.ring));
            }
        }
        Err(End::NotRegistered)
    }
}

/// Whether a number is called only after a PIN; emergency numbers never.
fn needs_pin(desk: &Desk, trunk: &str, number: &str) -> bool {
    let is_emergency = desk.setup.emergency.iter().any(|emergency| emergency == number);
    !is_emergency && desk.links.get(trunk).is_some_and(|link| link.trunk.limits.pin_for(number).is_some())
}

fn nobody_to_ask(number: &str) -> End {
    let limit = format!("{number} needs a PIN, and there is nobody to ask for it");
    End::NotAllowed { limit, rule: Rule::Pin }
}

/// The caller is asked for the PIN, when he is an extension of this exchange and has not guessed too often.
fn ask_for_pin(
    desk: &mut Desk,
    caller: Option<&Caller>,
    trunk: String,
    number: String,
) -> Result<Attempt, End> {
    let Some(caller) = caller.filter(|caller| caller.kind == CallerKind::Extension) else {
        return Err(nobody_to_ask(&number));
    };
    if desk.spent.guesses(&caller.number, desk.now) >= MOST_GUESSES {
        let limit = format!("{} has dialled {MOST_GUESSES} wrong PINs within an hour", caller.number);
        return Err(End::NotAllowed { limit, rule: Rule::Pin });
    }
    Ok(Attempt::Serve(Serving::Pin { trunk, number }))
}

fn of_quality(mut phones: Vec<Planned>, quality: u16) -> Vec<Planned> {
    phones.retain(|phone| phone.quality == quality);
    phones
}

/// Whether a call may go out by a trunk now; emergency calls always may.
pub(super) fn may_go_out(desk: &mut Desk, trunk: &str, number: &str, showed_pin: bool) -> Result<(), End> {
    let Some(limits) = desk.links.get(trunk).map(|link| link.trunk.limits.clone()) else { return Ok(()) };
    if desk.setup.emergency.iter().any(|emergency| emergency == number) {
        return Ok(());
    }
    if limits.pin_for(number).is_some() && !showed_pin {
        return Err(nobody_to_ask(number));
    }
    if let Some(limit) = limits.calls.filter(|most| desk.calls_of(&format!("trunk {trunk}")) >= *most) {
        let limit = format!("there are {limit} calls by the trunk {trunk} already, as many as may be");
        return Err(End::NotAllowed { limit, rule: Rule::Calls });
    }
    let (clock, unix, now) = (desk.setup.time_of_day, desk.unix(), desk.now);
    let begun = desk.spent.begin(trunk, number, &limits, (clock, unix), now);
    begun.map_err(|limit| End::NotAllowed { limit, rule: Rule::Toll })
}

/// The telephones of an extension, unless it is not to be disturbed.
pub(super) fn undisturbed(
    desk: &Desk,
    caller: &Caller,
    from: Option<&Flow>,
    number: &str,
) -> Result<Vec<Planned>, End> {
    let disturbs = desk.directory.get(number).is_some_and(|account| account.forward.do_not_disturb);
    let calls = desk.calls_of(number);
    let is_full = desk.directory.get(number).is_some_and(|account| {
        account.call_limit.is_some_and(|limit| calls >= limit) || !account.call_waiting && calls > 0
    });
    if disturbs || is_full {
        return Err(End::Busy { who: number.to_owned() });
    }
    phones(desk, caller, from, number)
}
