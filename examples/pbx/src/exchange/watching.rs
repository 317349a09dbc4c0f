//! Lamps: who is on the telephone (RFC 4235), who is there (RFC 3863), whose mailbox holds messages (RFC 3842).
//!
//! A telephone that has proved its password subscribes to an extension's state (RFC 6665) and is told it at once, and whenever it has
//! changed. Anybody of the house may watch everybody's line; a mailbox only its owner.

use std::collections::{BTreeMap, HashMap};

use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{
    AcceptSubscription, Body, Flow, Headers, Reply, RequestHandle, SubscriptionHandle, SubscriptionState,
};
use denwa_sip_core::message::Request;
use denwa_sip_core::subscription::dialog_info::{self, DialogEntry, DialogInfo, DialogState, Direction};
use denwa_sip_core::subscription::message_summary::{self, MessageSummary, Messages};
use denwa_sip_core::subscription::presence::{self, Activity, Presence};

use super::Exchange;
use super::admission::may_come_so;
use super::call::Call;
use super::desk::Desk;
use super::invitation::{CallerKind, dialled};
use super::whereabouts::NoWay;

/// Requests that may wait for the way to their sender.
const MOST_WAITING: usize = 1_000;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Package {
    Dialog,
    Presence,
    Messages,
}

/// What a watcher was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lamp {
    Lines(Vec<Line>),
    Present { open: bool, note: &'static str, activity: Option<Activity> },
    Messages { new: u32, old: u32 },
}

/// One call of the watched.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    call: u64,
    state: DialogState,
    calls: bool,
    other: String,
}

#[derive(Debug)]
struct Watcher {
    package: Package,
    number: String,
    told: Lamp,
    version: u32,
}

/// The subscriptions to lamps.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// Those who are answered once the way to them is known.
    waiting: Vec<(RequestHandle, Request, Flow, String)>,
    watchers: HashMap<SubscriptionHandle, Watcher>,
    /// The calls of every extension, as the watchers were told them.
    lines: BTreeMap<String, Vec<Line>>,
}

impl Exchange {
    /// A telephone that proved its password wants to watch something.
    pub(super) fn watch(&mut self, request: RequestHandle, message: &Request, flow: &Flow, username: &str) {
        let refuse = |desk: &mut Desk, status| {
            // A request that has ended needs no answer.
            let _ = desk.endpoint.respond(request, &Reply::new(status), desk.now);
        };
        // A neighbour's password lets nobody look at the lamps here, nor does one from where it may not come.
        if self.desk.directory.get(username).is_none() || !may_come_so(&self.desk, username, flow) {
            return refuse(&mut self.desk, StatusCode::FORBIDDEN);
        }
        let event = message.get("Event").unwrap_or_default();
        let package = match event.split(';').next().unwrap_or_default().trim() {
            name if name.eq_ignore_ascii_case(dialog_info::PACKAGE) => Package::Dialog,
            name if name.eq_ignore_ascii_case(presence::PACKAGE) => Package::Presence,
            name if name.eq_ignore_ascii_case(message_summary::PACKAGE) => Package::Messages,
            _ => return refuse(&mut self.desk, StatusCode::BAD_EVENT),
        };
        let number = dialled(message);
        // Telephones subscribe to their own mailbox by whatever name the server has for it.
        let number = if package == Package::Messages { username.to_owned() } else { number };
        if self.desk.directory.get(&number).is_none() {
            return refuse(&mut self.desk, StatusCode::NOT_FOUND);
        }
        let place = match self.desk.place_of(flow.remote.ip()) {
            Some(Ok(place)) => place,
            None if self.watching.waiting.len() < MOST_WAITING => {
                return self.watching.waiting.push((request, message.clone(), *flow, username.to_owned()));
            }
            None | Some(Err(NoWay)) => return refuse(&mut self.desk, StatusCode::TEMPORARILY_UNAVAILABLE),
        };
        let told = self.lamp(package, &number, &self.lines());
        let local = self.desk.identity(&number, &place, flow.protocol, Some(*flow));
        let body = Some(body(&told, &number, &self.desk.setup.realm, 0));
        let accept = AcceptSubscription { local, body, ..AcceptSubscription::default() };
        let now = self.desk.now;
        if let Ok(handle) = self.desk.endpoint.accept_subscription(request, accept, now) {
            self.watching.watchers.insert(handle, Watcher { package, number, told, version: 1 });
            self.desk.lamps_moved = true;
        }
    }

    /// The way to a peer became known.
    pub(super) fn watch_waiting(&mut self) {
        for (request, message, flow, username) in std::mem::take(&mut self.watching.waiting) {
            self.watch(request, &message, &flow, &username);
        }
    }

    /// A subscription is over.
    pub(super) fn unwatched(&mut self, subscription: SubscriptionHandle) {
        self.watching.watchers.remove(&subscription);
    }

    /// Tells every watcher what has changed for him.
    pub(super) fn tell_watchers(&mut self) {
        let moved = std::mem::take(&mut self.desk.lamps_moved);
        let calls_moved = std::mem::take(&mut self.desk.calls_moved);
        if self.watching.watchers.is_empty() || !(moved || calls_moved) {
            return;
        }
        // Most of what happens to a call moves no lamp, and there may be a lamp for every telephone.
        let lines = self.lines();
        if !moved && lines == self.watching.lines {
            return;
        }
        let mut watchers = std::mem::take(&mut self.watching.watchers);
        for (handle, watcher) in &mut watchers {
            let lamp = self.lamp(watcher.package, &watcher.number, &lines);
            if lamp == watcher.told {
                continue;
            }
            // A call that is gone is told as terminated once.
            let mut shown = lamp.clone();
            if let (Lamp::Lines(now), Lamp::Lines(before)) = (&mut shown, &watcher.told) {
                let gone = before.iter().filter(|line| !now.iter().any(|own| own.call == line.call));
                let gone: Vec<Line> =
                    gone.map(|line| Line { state: DialogState::Terminated, ..line.clone() }).collect();
                now.extend(gone);
            }
            let body = body(&shown, &watcher.number, &self.desk.setup.realm, watcher.version);
            watcher.version = watcher.version.wrapping_add(1);
            watcher.told = lamp;
            // One that has ended meanwhile says so by an event.
            let _ = self.desk.endpoint.notify(
                *handle,
                SubscriptionState::Active,
                Some(body),
                Headers::new(),
                self.desk.now,
            );
        }
        self.watching.watchers = watchers;
        self.watching.lines = lines;
    }

    /// The calls of every extension.
    fn lines(&self) -> BTreeMap<String, Vec<Line>> {
        let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for call in self.calls.values().filter(|call| !call.is_ending()) {
            for (number, line) in lines_of(call) {
                lines.entry(number).or_default().push(line);
            }
        }
        lines
    }

    fn lamp(&self, package: Package, number: &str, lines: &BTreeMap<String, Vec<Line>>) -> Lamp {
        match package {
            Package::Dialog => Lamp::Lines(lines.get(number).cloned().unwrap_or_default()),
            Package::Presence => {
                let disturbed = self.desk.directory.get(number).is_some_and(|own| own.forward.do_not_disturb);
                let is_there = !self.desk.endpoint.bindings(number).is_empty();
                let (open, note, activity) = match (is_there, disturbed, lines.contains_key(number)) {
                    (false, ..) => (false, "Not registered", None),
                    (true, true, _) => (false, "Do not disturb", Some(Activity::Busy)),
                    (true, false, true) => (true, "On the phone", Some(Activity::OnThePhone)),
                    (true, false, false) => (true, "Ready", None),
                };
                Lamp::Present { open, note, activity }
            }
            Package::Messages => {
                let all = self.desk.mailboxes.get(number).map(Vec::as_slice).unwrap_or_default();
                let count = |new| {
                    let some = all.iter().filter(|message| message.is_new == new).count();
                    u32::try_from(some).unwrap_or(u32::MAX)
                };
                Lamp::Messages { new: count(true), old: count(false) }
            }
        }
    }
}

/// What one call means for the lines of this exchange's extensions.
fn lines_of(call: &Call) -> Vec<(String, Line)> {
    let caller = &call.origin.caller;
    let answered = call.is_talking();
    let state = if answered { DialogState::Confirmed } else { DialogState::Early };
    let mut lines = Vec::new();
    if caller.kind == CallerKind::Extension {
        let line = Line { call: call.number, state, calls: true, other: call.origin.dialled.clone() };
        lines.push((caller.number.clone(), line));
    }
    let winner = call.winner;
    for (index, fork) in call.forks.iter().enumerate() {
        let rings = winner.is_none() && fork.outcome.is_none() && fork.leg.handle.is_some();
        if fork.plan.is_trunk || !(rings || winner == Some(index)) {
            continue;
        }
        let state = if winner.is_some() { DialogState::Confirmed } else { DialogState::Early };
        let line = Line { call: call.number, state, calls: false, other: caller.number.clone() };
        if !lines.iter().any(|(number, own)| *number == fork.plan.who && *own == line) {
            lines.push((fork.plan.who.clone(), line));
        }
    }
    lines
}

fn body(lamp: &Lamp, number: &str, realm: &str, version: u32) -> Body {
    let entity = format!("sip:{number}@{realm}");
    match lamp {
        Lamp::Lines(lines) => {
            let entry = |line: &Line| DialogEntry {
                id: line.call.to_string(),
                direction: Some(if line.calls { Direction::Initiator } else { Direction::Recipient }),
                state: line.state,
                local: Some(dialog_info::Participant { identity: entity.clone(), ..Default::default() }),
                remote: Some(dialog_info::Participant {
                    identity: format!("sip:{}@{realm}", line.other),
                    ..Default::default()
                }),
                ..DialogEntry::default()
            };
            let dialogs = lines.iter().map(entry).collect();
            DialogInfo { version, partial: false, entity: entity.clone(), dialogs }.to_body()
        }
        Lamp::Present { open, note, activity } => {
            Presence::simple(entity, *open, Some(note)).to_body_with(*activity)
        }
        Lamp::Messages { new, old } => MessageSummary {
            waiting: *new > 0,
            account: Some(entity),
            voice: Some(Messages { new: *new, old: *old, ..Messages::default() }),
            ..MessageSummary::default()
        }
        .to_body(),
    }
}
