//! When an offer or an answer may travel: the six patterns of RFC 6337 table 1 (RFC 3261 §13–14, RFC 3262 §5,
//! RFC 3311 §5, RFC 6141) and the rules of its §4.3 for messages that cross.
//!
//! One value for each dialog: forks of one INVITE have exchanges of their own. Nothing here reads a body; `sdp` owns
//! what an offer says, this file owns when it counts as one. Each method is told of one message and from which side
//! it went, so that one table serves both directions: an `Err` on a message from here means "not yet", on one from
//! there it is the status to refuse it with. `early-session` bodies (RFC 3959) are left out.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We did.
    Local,
    /// The peer did.
    Remote,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// The message an offer or answer travelled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// An INVITE, first or later.
    Invite,
    /// A provisional response sent reliably (RFC 3262).
    Reliable,
    /// A provisional response not sent reliably: only ever a preview of the answer.
    Provisional,
    /// A 2xx response to an INVITE.
    Success,
    /// The ACK of a 2xx response.
    Ack,
    /// A PRACK.
    Prack,
    /// The 2xx response to a PRACK.
    PrackSuccess,
    /// An UPDATE.
    Update,
    /// The 2xx response to an UPDATE.
    UpdateSuccess,
}

/// What a session description in a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// There is none, and none was due.
    Nothing,
    /// An offer: the receiver owes an answer.
    Offer,
    /// The answer: the exchange is complete.
    Answer,
    /// The answer that will come reliably later; media may flow by it.
    Preview,
    /// A description where none has a meaning; it is not to be looked at (RFC 6337 §3.1.1).
    Ignored,
    /// An answer was due and did not come. The exchange is void.
    AnswerMissing,
    /// An offer was due and did not come.
    OfferMissing,
}

/// Why a message must not be sent now, or with which status it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// An INVITE of ours is under way (RFC 6337 §4.3 UAC-II, UAS-IcI, UAS-IcU): refused with 491.
    OwnInvite,
    /// An INVITE of the peer is under way (UAS-IsI, UAS-IsU): refused with 500 and `Retry-After`.
    PeerInvite,
    /// An UPDATE of ours is under way (UAC-UU, UAC-UI, UAS-UcU, UAS-UcI): refused with 491.
    OwnUpdate,
    /// An UPDATE of the peer is under way (UAS-UsU, UAS-UsI): refused with 500 and `Retry-After`.
    PeerUpdate,
    /// The first exchange is not complete: only then may UPDATE carry an offer (RFC 3311 §5.1).
    NotEstablished,
    /// A message that belongs to no INVITE under way. Our own mistake, or a peer's that is answered 481.
    NoInvite,
    /// The first reliable response to an INVITE without an offer has to hold one (RFC 3261 §13.2.1).
    OfferDue,
    /// The message has to hold the answer to an open offer.
    AnswerDue,
}

impl Conflict {
    /// The status a peer's request is refused with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::OwnInvite | Self::OwnUpdate => 491,
            Self::PeerInvite | Self::PeerUpdate => 500,
            Self::NotEstablished => 491,
            Self::NoInvite => 481,
            Self::OfferDue | Self::AnswerDue => 400,
        }
    }
}

/// Offers and answers of one dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferAnswer {
    open: Option<OpenOffer>,
    invite: Option<Invite>,
    update: Option<Side>,
    established: bool,
}

/// An offer that awaits its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOffer {
    /// Who offered.
    pub from: Side,
    /// In which message.
    pub carrier: Carrier,
}

/// An INVITE under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Invite {
    from: Side,
    carried_offer: bool,
    /// A reliable response has held a description: no other one will count.
    described: bool,
    /// A reliable response with an offer or answer awaits the end of its PRACK transaction.
    prack_pending: bool,
    /// The 2xx held an offer: the ACK belongs to the exchange.
    ack_pending: bool,
    /// An exchange was completed since it was sent (RFC 6141 §3.3).
    changed: bool,
}

impl OfferAnswer {
    /// Nothing exchanged yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The open offer.
    #[must_use]
    pub fn open(&self) -> Option<OpenOffer> {
        self.open
    }

    /// Whether an exchange was ever completed.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the peer's offer awaits our answer.
    #[must_use]
    pub fn owes_answer(&self) -> bool {
        self.open.is_some_and(|offer| offer.from == Side::Remote)
    }

    /// Whether our next reliable response to the peer's INVITE has to hold an offer.
    #[must_use]
    pub fn owes_offer(&self) -> bool {
        self.invite
            .as_ref()
            .is_some_and(|invite| invite.from == Side::Remote && !invite.carried_offer && !invite.described)
    }

    /// Whether an exchange was completed within the INVITE under way.
    #[must_use]
    pub fn has_changed_within_invite(&self) -> bool {
        self.invite.as_ref().is_some_and(|invite| invite.changed)
    }

    /// A peer who sent his answer in an unreliable provisional response and left it out of the 2xx meant that one.
    pub fn take_preview(&mut self) {
        self.established = true;
    }

    /// An INVITE, first or later.
    pub fn invite(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        if let Some(invite) = &self.invite {
            return Err(conflict_with_invite(invite.from));
        }
        self.check_update()?;
        self.check_open()?;
        self.invite = Some(Invite {
            from,
            carried_offer: body,
            described: false,
            prack_pending: false,
            ack_pending: false,
            changed: false,
        });
        Ok(self.offer_if(body, from, Carrier::Invite))
    }

    /// A provisional response not sent reliably.
    #[must_use]
    pub fn provisional(&self, from: Side, body: bool) -> Meaning {
        let awaited = OpenOffer { from: from.opposite(), carrier: Carrier::Invite };
        match body {
            false => Meaning::Nothing,
            true if self.open == Some(awaited) => Meaning::Preview,
            true => Meaning::Ignored,
        }
    }

    /// A provisional response sent reliably.
    pub fn reliable(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        let open = self.open;
        let invite = self.invite_of(from.opposite())?;
        let first_word = !invite.described;
        if !body {
            return if invite.carried_offer || !first_word {
                Ok(Meaning::Nothing)
            } else {
                Err(Conflict::OfferDue)
            };
        }
        if !first_word {
            return Ok(Meaning::Ignored);
        }
        invite.described = true;
        invite.prack_pending = true;
        let by_inviter = OpenOffer { from: from.opposite(), carrier: Carrier::Invite };
        if open == Some(by_inviter) {
            Ok(self.answered())
        } else {
            Ok(self.offer_if(true, from, Carrier::Reliable))
        }
    }

    /// A PRACK. `for_description` says whether the response it acknowledges held an offer or answer.
    pub fn prack(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        let open = self.open;
        self.invite_of(from)?;
        if open == Some(OpenOffer { from: from.opposite(), carrier: Carrier::Reliable }) {
            return if body { Ok(self.answered()) } else { self.missing_answer(from) };
        }
        match (body, open) {
            (false, _) => Ok(Meaning::Nothing),
            (true, None) if self.established => Ok(self.offer_if(true, from, Carrier::Prack)),
            // A PRACK cannot be refused for its offer (RFC 6337 §4.2): the UPDATE it crosses will be.
            (true, Some(OpenOffer { carrier: Carrier::Update, .. })) => {
                Ok(self.offer_if(true, from, Carrier::Prack))
            }
            (true, _) if from == Side::Local => Err(Conflict::NotEstablished),
            (true, _) => Ok(Meaning::Ignored),
        }
    }

    /// The final response to a PRACK.
    pub fn prack_final(&mut self, from: Side, success: bool, body: bool) -> Result<Meaning, Conflict> {
        let open = self.open;
        self.invite_of(from.opposite())?.prack_pending = false;
        if open != Some(OpenOffer { from: from.opposite(), carrier: Carrier::Prack }) {
            return Ok(if body { Meaning::Ignored } else { Meaning::Nothing });
        }
        self.offer_ends(from, success, body)
    }

    /// A 2xx response to an INVITE.
    pub fn success(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        let open = self.open;
        let invite = self.invite_of(from.opposite())?;
        if open == Some(OpenOffer { from: from.opposite(), carrier: Carrier::Invite }) {
            if !body {
                return self.missing_answer(from).inspect(|_| self.invite = None);
            }
            self.invite = None;
            return Ok(self.answered());
        }
        if !invite.carried_offer && !invite.described {
            if !body {
                if from == Side::Local {
                    return Err(Conflict::OfferDue);
                }
                self.invite = None;
                return Ok(Meaning::OfferMissing);
            }
            invite.ack_pending = true;
            invite.described = true;
            return Ok(self.offer_if(true, from, Carrier::Success));
        }
        self.invite = None;
        // An offer still open now travelled in a reliable response or PRACK that was never answered.
        self.open = self.open.filter(|offer| offer.carrier == Carrier::Update);
        Ok(if body { Meaning::Ignored } else { Meaning::Nothing })
    }

    /// The ACK of a 2xx response.
    pub fn ack(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        if self.open != Some(OpenOffer { from: from.opposite(), carrier: Carrier::Success }) {
            return Ok(if body { Meaning::Ignored } else { Meaning::Nothing });
        }
        if !body {
            return self.missing_answer(from).inspect(|_| self.invite = None);
        }
        self.invite = None;
        Ok(self.answered())
    }

    /// A final response to an INVITE other than 2xx, or its end without any. Offers that travelled in it are void and
    /// the session is as before (RFC 3261 §14.1, RFC 6141 §3): whose offer was aborted is returned.
    pub fn invite_failed(&mut self) -> Option<OpenOffer> {
        self.invite = None;
        self.open.take_if(|offer| offer.carrier != Carrier::Update)
    }

    /// An UPDATE.
    pub fn update(&mut self, from: Side, body: bool) -> Result<Meaning, Conflict> {
        self.check_update()?;
        if body {
            if let Some(invite) = &self.invite
                && (self.open.is_some() || invite.prack_pending || invite.ack_pending)
            {
                return Err(conflict_with_invite(invite.from));
            }
            self.check_open()?;
            if !self.established {
                return Err(Conflict::NotEstablished);
            }
        }
        self.update = Some(from);
        Ok(self.offer_if(body, from, Carrier::Update))
    }

    /// The final response to an UPDATE, or its end without any (`success` is false then).
    pub fn update_final(&mut self, from: Side, success: bool, body: bool) -> Result<Meaning, Conflict> {
        let offered = self.open == Some(OpenOffer { from: from.opposite(), carrier: Carrier::Update });
        if offered && success && !body && from == Side::Local {
            return Err(Conflict::AnswerDue);
        }
        self.update = None;
        if !offered {
            return Ok(if body { Meaning::Ignored } else { Meaning::Nothing });
        }
        self.offer_ends(from, success, body)
    }

    /// What the final response to the request that held the open offer makes of it.
    fn offer_ends(&mut self, from: Side, success: bool, body: bool) -> Result<Meaning, Conflict> {
        match (success, body) {
            (true, true) => Ok(self.answered()),
            (true, false) => self.missing_answer(from),
            (false, _) => {
                self.open = None;
                Ok(Meaning::Nothing)
            }
        }
    }

    fn offer_if(&mut self, body: bool, from: Side, carrier: Carrier) -> Meaning {
        if !body {
            return Meaning::Nothing;
        }
        self.open = Some(OpenOffer { from, carrier });
        Meaning::Offer
    }

    fn answered(&mut self) -> Meaning {
        self.open = None;
        self.established = true;
        if let Some(invite) = &mut self.invite {
            invite.changed = true;
        }
        Meaning::Answer
    }

    fn missing_answer(&mut self, from: Side) -> Result<Meaning, Conflict> {
        if from == Side::Local {
            return Err(Conflict::AnswerDue);
        }
        self.open = None;
        Ok(Meaning::AnswerMissing)
    }

    fn invite_of(&mut self, inviter: Side) -> Result<&mut Invite, Conflict> {
        self.invite.as_mut().filter(|invite| invite.from == inviter).ok_or(Conflict::NoInvite)
    }

    fn check_update(&self) -> Result<(), Conflict> {
        match self.update {
            None => Ok(()),
            Some(Side::Local) => Err(Conflict::OwnUpdate),
            Some(Side::Remote) => Err(Conflict::PeerUpdate),
        }
    }

    fn check_open(&self) -> Result<(), Conflict> {
        match self.open {
            None => Ok(()),
            Some(offer) => Err(conflict_with_invite(offer.from)),
        }
    }
}

fn conflict_with_invite(from: Side) -> Conflict {
    match from {
        Side::Local => Conflict::OwnInvite,
        Side::Remote => Conflict::PeerInvite,
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
#[path = "offer_answer_tests.rs"]
mod tests;
