//! One call through the exchange: the caller's leg, a leg for each telephone that is tried, and the way from the INVITE to
//! the record.
//!
//! Both sides are calls of their own (a back-to-back user agent): each has its own description and its own ports, and
//! nothing of one side's addresses reaches the other. The caller's description is answered only when the codec of the
//! callee is known, so that nothing has to be converted where both have a codec in common. Changes during the call are in
//! [`modify`](super::modify).

use std::time::{Duration, Instant};

use bytes::Bytes;
use denwa::bridge::LegId;
use denwa::evidence::{Evidence, Fact, MessageHead, Side as EvidenceSide};
use denwa_sip_core::endpoint::{CallEnd, CallHandle, Event as Sip, Headers, Reply};
use denwa_sip_core::{Misuse, StatusCode};

use super::Event;
use super::attend::Attendance;
use super::callee::Fork;
use super::desk::Desk;
use super::facts;
use super::invitation::{Caller, Invitation, Origin, whence};
use super::leg::{Leg, Role};
use super::modify::Change;
use super::planned::{Journey, Planned, described};
use super::reach::{Attempt, Reach};
use super::refusing::spoken;
use super::transfer::Transfer;
use super::whereabouts::NoWay;
use crate::route::Destination;
use crate::services::Serving;
use crate::services::script::Heard;
use crate::why::{End, Side};

/// Facts kept of one call.
const MOST_FACTS: usize = 64;

/// How long an ended call may take to be acknowledged by both sides and the media before it is given up.
const ENDING: Duration = Duration::from_secs(70);

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) caller: Leg,
    pub(super) forks: Vec<Fork>,
    /// The fork that answered.
    pub(super) winner: Option<usize>,
    pub(super) stage: Stage,
    /// A change that was passed on to the other side and not answered yet.
    pub(super) change: Option<Change>,
    /// A side whose change is answered when what ICE needs said is known.
    pub(super) restarting: Option<Which>,
    /// A side is a fax machine or a modem.
    pub(super) carries_data: bool,
    /// A transfer under way.
    pub(super) transfer: Option<Transfer>,
    /// Legs that a transfer has put others in the place of, until they have ended.
    pub(super) leaving: Vec<Leg>,
    pub(super) evidence: Evidence,
    pub(super) origin: Origin,
    /// Who answered a call of the exchange's own: he is served as a caller is.
    pub(super) served: Option<Caller>,
    pub(super) journey: Journey,
    pub(super) reaches: Destination,
    /// What is tried now, and what comes next.
    pub(super) reach: Reach,
    /// The attempt that begins when the caller's offer has been read.
    pub(super) attempt: Option<Attempt>,
    /// What answers instead of a telephone.
    pub(super) service: Option<Serving>,
    /// The script of it, once it has answered.
    pub(super) attendance: Attendance,
    /// Its caller has still to be joined with the call he wants to take over.
    pub(super) takes_over: bool,
    /// A caller who was served is being connected with a number.
    pub(super) diverting: bool,
    /// The reason the caller is being told before he is refused for it.
    pub(super) refusing: Option<End>,
    /// The first fork of the present attempt, or of a transfer.
    pub(super) first: usize,
    /// Telephones to be tried once the way to them is known.
    pub(super) planned: Vec<Planned>,
    /// The fork that the caller hears.
    pub(super) heard: Option<usize>,
    /// The caller's INVITE had no offer: ours goes out with the answer.
    pub(super) offer_is_ours: bool,
    /// What the caller was answered, in a provisional response or the final one.
    pub(super) described: Option<Bytes>,
    pub(super) began: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) rang: bool,
    pub(super) deadline: Option<Instant>,
    /// Until when it rings, while the deadline is that of the first word of a neighbour.
    pub(super) rings_until: Option<Instant>,
    /// The next attempt rests until the deadline, and then rings so long.
    pub(super) rests: Option<Duration>,
    pub(super) end: Option<End>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The caller's offer is awaited; it comes with the INVITE.
    Offered,
    /// The other side is tried.
    Calling,
    /// It is up.
    Talking,
    /// It is over; both sides and the media are being told.
    Ending,
}

impl Call {
    /// Takes a call whose caller is known and whose caller's route is known; `Err` with what it is refused for.
    // The refused invitation goes back by value: it is answered at once, and no box is worth that.
    #[allow(clippy::result_large_err)]
    pub(super) fn begin(
        desk: &mut Desk,
        invitation: Invitation,
        reaches: Destination,
    ) -> Result<Self, Box<(Invitation, End)>> {
        let journey = match Journey::of(&invitation.message, &desk.setup.name) {
            Ok(journey) => journey,
            Err(end) => return Err(Box::new((invitation, end))),
        };
        let begun = Reach::begin(desk, &invitation.caller, Some(&invitation.flow), reaches.clone());
        let (reach, attempt) = match begun {
            Ok(begun) => begun,
            Err(end) if desk.setup.announcements && spoken(&end, desk).is_some() => {
                (Reach::nowhere(reaches.clone()), Attempt::Announce(end))
            }
            Err(end) => return Err(Box::new((invitation, end))),
        };
        let place = match desk.place_of(invitation.flow.remote.ip()) {
            Some(Ok(place)) => place,
            Some(Err(NoWay)) | None => {
                let to = invitation.flow.remote.ip().to_string();
                return Err(Box::new((invitation, End::NoRoute { to })));
            }
        };
        let number = desk.new_call();
        let flow = invitation.flow;
        let label = format!("{} at {}", invitation.caller.number, whence(flow.protocol, flow.remote));
        let voice = invitation.caller.voice.clone();
        let mut caller = match Leg::open(desk, number, Role::Answers, label, flow.remote, place, voice) {
            Ok(leg) => leg,
            Err(end) => return Err(Box::new((invitation, end))),
        };
        let identity = desk.identity(&invitation.dialled, &caller.place, flow.protocol, Some(flow));
        caller.identity = identity.clone();
        let options = desk.terms_of(&invitation.caller).options();
        let mut unanswerable = None;
        match desk.endpoint.accept_call(invitation.request, &identity, options, desk.now) {
            Ok(handle) => {
                desk.hold_handle(handle, number);
                caller.handle = Some(handle);
            }
            // The caller has gone already, or was refused for what his INVITE lacks: the legs wind down by themselves.
            Err(misuse) => {
                if let Misuse::Message(error) = misuse {
                    unanswerable = Some(End::Unanswerable { what: error.to_string() });
                }
                caller.close(desk);
            }
        }
        let mut evidence = Evidence::new(format!("call {number}"), MOST_FACTS, desk.now);
        let side = Some(EvidenceSide::FIRST);
        evidence.add(
            side,
            Fact::Received(MessageHead::of_request(&invitation.message, Some(&flow))),
            desk.now,
        );
        evidence.add(side, facts::told(flow.remote.ip(), &caller.place), desk.now);
        desk.tell(Event::CallBegan {
            call: number,
            caller: invitation.caller.described(&flow),
            dialled: invitation.dialled.clone(),
            reaches: described(&reaches),
        });
        let stage = if caller.handle.is_some() { Stage::Offered } else { Stage::Ending };
        let end = (stage == Stage::Ending).then(|| unanswerable.unwrap_or(End::CallerGaveUp));
        let call_id = invitation.message.call_id().unwrap_or_default().to_owned();
        let Invitation { caller: who, dialled, .. } = invitation;
        let origin = Origin { caller: who, dialled, came: Some((call_id, flow)) };
        let attempt = Some(attempt);
        Ok(Self {
            stage,
            end,
            evidence,
            attempt,
            ..Self::new(number, origin, caller, journey, (reaches, reach), desk.now)
        })
    }

    /// A call that is being tried, without anything tried yet.
    pub(super) fn new(
        number: u64,
        origin: Origin,
        caller: Leg,
        journey: Journey,
        (reaches, reach): (Destination, Reach),
        now: Instant,
    ) -> Self {
        Self {
            number,
            caller,
            forks: Vec::new(),
            winner: None,
            stage: Stage::Calling,
            change: None,
            restarting: None,
            carries_data: false,
            transfer: None,
            leaving: Vec::new(),
            evidence: Evidence::new(format!("call {number}"), MOST_FACTS, now),
            origin,
            served: None,
            journey,
            reaches,
            reach,
            attempt: None,
            service: None,
            attendance: Attendance::default(),
            takes_over: true,
            diverting: false,
            refusing: None,
            first: 0,
            planned: Vec::new(),
            heard: None,
            offer_is_ours: false,
            described: None,
            began: now,
            answered: None,
            rang: false,
            deadline: None,
            rings_until: None,
            rests: None,
            end: None,
        }
    }

    /// Who is at the caller's end.
    pub(super) fn caller(&self) -> &Caller {
        self.served.as_ref().unwrap_or(&self.origin.caller)
    }

    /// Whether both sides are up.
    pub(super) fn is_talking(&self) -> bool {
        self.stage == Stage::Talking
    }

    /// Whether it is over for those who look at lamps.
    pub(super) fn is_ending(&self) -> bool {
        self.stage == Stage::Ending
    }

    /// When [`on_deadline`](Self::on_deadline) is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.attended_at()).min()
    }

    /// Whether nothing more will be heard of it; then [`record`](Self::record) is due.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Ending
            && self.caller.is_over()
            && self.forks.iter().all(|fork| fork.leg.is_over())
            && self.leaving.iter().all(Leg::is_over)
    }

    /// Something the endpoint said about one of its calls.
    pub(super) fn on_sip(&mut self, desk: &mut Desk, handle: CallHandle, event: Sip) {
        let Some(which) = self.which(handle) else { return };
        match event {
            Sip::CallEnded { reason, .. } => {
                desk.drop_handle(handle);
                match which {
                    Which::Caller => self.caller_ended(desk, reason),
                    Which::Fork(index) => self.fork_ended(desk, index, reason),
                    Which::Leaving(index) => {
                        if let Some(leg) = self.leaving.get_mut(index) {
                            leg.handle = None;
                        }
                    }
                }
            }
            // After its end only the ends of its legs matter.
            _ if self.stage == Stage::Ending => {}
            Sip::OfferReceived { body, .. } if self.stage == Stage::Offered => {
                self.offer_received(desk, &body.bytes)
            }
            Sip::OfferRequested { .. } if self.stage == Stage::Offered => {
                self.offer_is_ours = true;
                self.reach(desk);
            }
            Sip::OfferReceived { body, .. } => self.change_offered(desk, which, &body.bytes),
            Sip::OfferRequested { .. } => self.change_requested(desk, which),
            Sip::OfferAborted { reason, .. } => self.change_aborted(desk, which, &reason),
            Sip::AnswerReceived { body, preview, .. } => match which {
                Which::Fork(index) if self.is_tried(index) => {
                    self.fork_described(desk, index, &body.bytes, preview);
                }
                Which::Caller if self.stage == Stage::Talking && !self.is_configured(which) => {
                    self.late_answer(desk, &body.bytes);
                }
                which => self.change_answered(desk, which, &body.bytes),
            },
            Sip::CallProgress { response, .. } => {
                if let Which::Fork(index) = which {
                    self.fork_progressed(desk, index, &response);
                }
            }
            Sip::CallAnswered { response, .. } => {
                if let Which::Fork(index) = which {
                    self.fork_answered(desk, index, &response);
                }
            }
            Sip::DialogRequest { request, message, .. } => self.pass_request(desk, which, request, &message),
            _ => {}
        }
    }

    /// The way to a peer became known.
    pub(super) fn on_route(&mut self, desk: &mut Desk) {
        if self.is_reaching() && self.rests.is_none() {
            self.try_planned(desk);
        }
    }

    /// A deadline has come.
    pub(super) fn on_deadline(&mut self, desk: &mut Desk) {
        if self.attendance.wake_at.take_if(|at| *at <= desk.now).is_some() && self.stage != Stage::Ending {
            self.hear(desk, Heard::Time);
        }
        self.beep(desk);
        if self.deadline.is_none_or(|deadline| deadline > desk.now) {
            return;
        }
        self.deadline = None;
        if let Some(ring) = self.rests.take().filter(|_| self.is_reaching()) {
            self.deadline = desk.now.checked_add(ring);
            return self.try_planned(desk);
        }
        match self.stage {
            Stage::Calling | Stage::Talking if self.is_reaching() && self.rings_until.is_some() => {
                let rings_until = self.rings_until.take();
                let last = self.forks.last();
                let handle = last.and_then(|fork| fork.leg.handle);
                if handle.and_then(|handle| desk.endpoint.call(handle)).is_some_and(|call| call.is_proceeding)
                {
                    // A 100 is a word: it is on its way there.
                    self.deadline = rings_until;
                    return;
                }
                let to = last.map(|fork| whence(fork.plan.protocol, fork.plan.peer)).unwrap_or_default();
                self.attempt_failed(desk, End::NoReply { to });
            }
            Stage::Calling => {
                let after = self.reach.ring;
                self.attempt_failed(desk, End::NoAnswer { after });
            }
            Stage::Ending => {
                // One of the layers below never said its last word. Nothing may hold a call for ever.
                for leg in self.legs_mut() {
                    if let Some(handle) = leg.handle.take() {
                        desk.drop_handle(handle);
                    }
                    leg.closed(desk);
                }
            }
            Stage::Talking if self.diverting => {
                let after = self.reach.ring;
                self.attempt_failed(desk, End::NoAnswer { after });
            }
            Stage::Talking if self.transfer.is_some() => {
                self.transfer_failed(desk, End::NoAnswer { after: desk.setup.ring });
            }
            Stage::Offered | Stage::Talking => {}
        }
    }

    /// Ends the call, for this reason unless there was one before.
    pub(super) fn end(&mut self, desk: &mut Desk, end: End) {
        if self.stage == Stage::Ending {
            return;
        }
        self.stage = Stage::Ending;
        self.deadline = desk.now.checked_add(ENDING);
        self.unattended(desk);
        self.planned.clear();
        desk.note_busy(&self.origin.caller, &end);
        let reason = reason_header(&end);
        if let Some(handle) = self.caller.handle {
            // A handle whose end is under way already refuses the command; its end comes as an event all the same.
            let _ = if self.answered.is_some() {
                desk.endpoint.hang_up(handle, &reason, desk.now)
            } else {
                desk.endpoint.refuse(handle, &refusal(&end), desk.now)
            };
        }
        for fork in &self.forks {
            if let Some(handle) = fork.leg.handle {
                let _ = desk.endpoint.hang_up(handle, &reason, desk.now);
            }
        }
        self.end = Some(end);
        for leg in self.legs_mut() {
            leg.close(desk);
        }
    }

    // -- who is who

    pub(super) fn leg_mut(&mut self, which: Which) -> Option<&mut Leg> {
        match which {
            Which::Caller => Some(&mut self.caller),
            Which::Fork(index) => self.forks.get_mut(index).map(|fork| &mut fork.leg),
            Which::Leaving(index) => self.leaving.get_mut(index),
        }
    }

    /// The leg that is joined to this one.
    pub(super) fn other(&self, which: Which) -> Option<Which> {
        match which {
            Which::Caller => self.winner.map(Which::Fork),
            Which::Fork(index) => (self.winner == Some(index)).then_some(Which::Caller),
            Which::Leaving(_) => None,
        }
    }

    pub(super) fn legs_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        let forks = self.forks.iter_mut().map(|fork| &mut fork.leg);
        std::iter::once(&mut self.caller).chain(forks).chain(&mut self.leaving)
    }

    /// Whether telephones are being tried, for the call or for a transfer.
    pub(super) fn is_reaching(&self) -> bool {
        let goes_on = self.transfer.is_some() || self.diverting;
        self.stage == Stage::Calling && self.refusing.is_none() || self.stage == Stage::Talking && goes_on
    }

    /// Whether this telephone is being tried.
    pub(super) fn is_tried(&self, index: usize) -> bool {
        self.is_reaching() && index >= self.first
    }

    pub(super) fn is_configured(&mut self, which: Which) -> bool {
        self.leg_mut(which).is_some_and(|leg| leg.codec.is_some())
    }

    pub(super) fn which(&self, handle: CallHandle) -> Option<Which> {
        if self.caller.handle == Some(handle) {
            return Some(Which::Caller);
        }
        let fork = self.forks.iter().position(|fork| fork.leg.handle == Some(handle)).map(Which::Fork);
        fork.or_else(|| self.leaving.iter().position(|leg| leg.handle == Some(handle)).map(Which::Leaving))
    }

    pub(super) fn which_leg(&self, leg: LegId) -> Option<Which> {
        if self.caller.id() == leg {
            return Some(Which::Caller);
        }
        let fork = self.forks.iter().position(|fork| fork.leg.id() == leg).map(Which::Fork);
        fork.or_else(|| self.leaving.iter().position(|own| own.id() == leg).map(Which::Leaving))
    }
}

/// One of the legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The caller, or who has taken its place by a transfer.
    Caller,
    /// A telephone that was tried; the one that answered among them.
    Fork(usize),
    /// One that a transfer has put another in the place of.
    Leaving(usize),
}

impl Which {
    pub(super) fn side(self) -> Side {
        match self {
            Self::Caller | Self::Leaving(_) => Side::Caller,
            Self::Fork(_) => Side::Callee,
        }
    }

    pub(super) fn evidence_side(self) -> Option<EvidenceSide> {
        match self {
            Self::Caller => Some(EvidenceSide::FIRST),
            Self::Fork(index) => fork_side(index),
            Self::Leaving(_) => None,
        }
    }
}

pub(super) fn fork_side(index: usize) -> Option<EvidenceSide> {
    Some(EvidenceSide(u16::try_from(index).unwrap_or(u16::MAX - 1) + 1))
}

/// The final response that tells a caller why.
pub(super) fn refusal(end: &End) -> Reply {
    let status = StatusCode::new(end.status()).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
    let mut headers = reason_header(end);
    if let End::MediaRefused { warning: Some(warning), .. } = end {
        // The sentence is ours, and its quotes are escaped: nothing in it can be refused.
        let _ = headers.push("Warning", warning);
    }
    Reply::new(status).with_headers(headers)
}

/// RFC 3326: why, for the side that did not cause it.
fn reason_header(end: &End) -> Headers {
    let mut headers = Headers::new();
    let cause = match end {
        End::NoAnswer { .. } => Some((19, "No answer")),
        End::NotRegistered => Some((20, "Subscriber absent")),
        End::Silent { .. } => Some((102, "No voice packets")),
        End::ShutDown => Some((41, "The exchange is shut down")),
        _ => None,
    };
    if let Some((cause, text)) = cause {
        let _ = headers.push("Reason", format!("Q.850;cause={cause};text=\"{text}\""));
    }
    headers
}

pub(super) fn media_refused(error: &denwa_sdp::NegotiationError, whose: Side) -> End {
    End::MediaRefused { sentence: error.to_string(), warning: error.warning("pbx"), whose }
}

pub(super) fn no_session(side: Side) -> End {
    End::MediaRefused {
        sentence: format!("{side} described no voice that could be used"),
        warning: None,
        whose: side,
    }
}

pub(super) fn vanished(side: Side, reason: &CallEnd) -> End {
    match reason {
        CallEnd::ShutDown => End::ShutDown,
        CallEnd::HungUp { .. } => End::HungUp(side),
        reason => End::PeerVanished { side, what: facts::ended(reason) },
    }
}
