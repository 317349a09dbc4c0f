//! Offer and answer (RFC 3264, RFC 6337): a machine without a clock that knows who has to speak next.
//!
//! What one side can do is declared once ([`Capability`]); descriptions are derived from it. What was agreed is a
//! value ([`Agreed`]), and so is the refusal ([`Mismatch`]). The `o=` version grows only when something changed.

mod accept;
mod agreed;
mod answer;
mod bundle;
mod capability;
mod describing;
mod encryption;
mod local;
mod matching;
mod mismatch;
mod offer;
mod remote;
mod settle;
mod slot;
mod transport;
mod wishes;

use std::net::IpAddr;

use bytes::Bytes;
use rand_core::{Rng as _, SeedableRng as _};

use crate::direction::Direction;
use crate::parse::ParseOptions;
use crate::profile::{Kind, Profile};
use crate::session::Description;
use crate::timing::Timing;

use local::LocalMedium;
use slot::Slot;

pub use agreed::{
    ActiveMedium, Agreed, AgreedCodec, AgreedDtls, AgreedEncryption, AgreedEvents, AgreedFax, AgreedIce,
    AgreedMedium, AgreedSdes, DtlsRole, Hold, Role, SrtpKey,
};
pub use capability::{
    AnswerCodecs, BestEffort, Capability, Codec, DtlsCapability, Encryption, EncryptionCapability,
    FaxCapability, FaxErrorCorrection, Ice, KeyExchange, LocalFingerprint, MediaCapability, OtherCapability,
    ParameterRule, Preference, RtcpMux, SdesCapability,
};
pub use mismatch::{
    AnswerError, MediumMismatch, Mismatch, Misuse, NegotiationError, OfferError, Parties, Refuser, Rule,
};
pub use remote::{
    Format, RemoteAddress, RemoteDescription, RemoteFax, RemoteFingerprint, RemoteIce, RemoteMedium,
    RemoteOrigin,
};
pub use slot::HoldStyle;
pub use transport::{LocalIce, LocalSource, Transport};

/// Where the randomness of session ids and SDES keys comes from. It must not be guessable.
#[derive(Clone, Copy)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    /// It predicts keys, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Who has to speak next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody: there is nothing yet, or everything is agreed.
    Stable,
    /// The peer, to answer an offer of this side.
    HaveLocalOffer,
    /// This side, to answer an offer of the peer.
    HaveRemoteOffer,
}

/// One side of a session's negotiation.
#[derive(Debug)]
pub struct Negotiator {
    capability: Capability,
    /// Transports no medium has yet.
    pool: Vec<Transport>,
    random: rand_chacha::ChaCha20Rng,
    session_id: u64,
    version: u64,
    /// The host in `o=`, from the first description on.
    host: Option<IpAddr>,
    /// Everything after `o=` of the description that was sent last, and the whole of it.
    last: Option<(String, Bytes)>,
    slots: Vec<Slot>,
    /// The `t=` lines of the peer's latest offer: an answer has the same (RFC 3264 §6), and what comes after it too.
    timings: Vec<Timing>,
    /// How this side holds: media to come are held too.
    hold: Option<(HoldStyle, Direction)>,
    /// The next `mid` of our own: none is used twice, whatever becomes of the medium (RFC 8829 §5.2.2).
    next_mid: u32,
    agreed: Option<Agreed>,
    remote: Option<RemoteDescription>,
    exchange: Exchange,
}

/// An exchange under way.
#[derive(Debug)]
enum Exchange {
    None,
    Offered { media: Vec<LocalMedium>, saved: Saved },
    Received { offer: Box<RemoteDescription>, saved: Saved },
}

/// What an exchange that fails is undone with.
#[derive(Debug)]
struct Saved {
    slots: Vec<Slot>,
    pool: Vec<Transport>,
    remote: Option<RemoteDescription>,
}

impl Negotiator {
    /// A side with these capabilities. Each transport serves one medium of its kind, in the order given.
    #[must_use]
    pub fn new(capability: Capability, transports: Vec<Transport>, seed: Seed) -> Self {
        let mut random = rand_chacha::ChaCha20Rng::from_seed(seed.0);
        // 31 bits: some old phones keep the number in a signed word.
        let session_id = u64::from(random.next_u32() >> 1);
        Self {
            capability,
            pool: transports,
            random,
            session_id,
            version: 0,
            host: None,
            last: None,
            slots: Vec::new(),
            timings: Vec::new(),
            hold: None,
            next_mid: 0,
            agreed: None,
            remote: None,
            exchange: Exchange::None,
        }
    }

    /// Another side in the same state, for the second and later dialogs of a forked INVITE. Keys it makes from now on
    /// are its own.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let saved = |saved: &Saved| Saved {
            slots: saved.slots.clone(),
            pool: saved.pool.clone(),
            remote: saved.remote.clone(),
        };
        Self {
            capability: self.capability.clone(),
            pool: self.pool.clone(),
            random: rand_chacha::ChaCha20Rng::from_seed(seed),
            session_id: self.session_id,
            version: self.version,
            host: self.host,
            last: self.last.clone(),
            slots: self.slots.clone(),
            timings: self.timings.clone(),
            hold: self.hold,
            next_mid: self.next_mid,
            agreed: self.agreed.clone(),
            remote: self.remote.clone(),
            exchange: match &self.exchange {
                Exchange::None => Exchange::None,
                Exchange::Offered { media, saved: old } => {
                    Exchange::Offered { media: media.clone(), saved: saved(old) }
                }
                Exchange::Received { offer, saved: old } => {
                    Exchange::Received { offer: offer.clone(), saved: saved(old) }
                }
            },
        }
    }

    /// Who has to speak next.
    pub fn state(&self) -> State {
        match self.exchange {
            Exchange::None => State::Stable,
            Exchange::Offered { .. } => State::HaveLocalOffer,
            Exchange::Received { .. } => State::HaveRemoteOffer,
        }
    }

    /// What was agreed last; it holds until the next exchange is complete.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// What the peer described last, an offer that waits for its answer included.
    pub fn remote(&self) -> Option<&RemoteDescription> {
        match &self.exchange {
            Exchange::Received { offer, .. } => Some(offer),
            _ => self.remote.as_ref(),
        }
    }

    /// The description this side sent last.
    pub fn local(&self) -> Option<&Bytes> {
        self.last.as_ref().map(|(_, body)| body)
    }

    /// What this side can do.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// Changes what this side can do, from the next description on: also between [`Self::receive_offer`] and
    /// [`Self::make_answer`].
    pub fn set_capability(&mut self, capability: Capability) {
        self.capability = capability;
    }

    // ---- offers of this side

    /// Makes an offer: the first one, a later one, or the late one in a response. The version is that of the last
    /// description if nothing changed since.
    ///
    /// # Errors
    /// An exchange is under way, or a medium has no transport.
    pub fn offer(&mut self) -> Result<Bytes, Misuse> {
        self.expect_stable()?;
        let saved = self.save();
        match self.build_offer() {
            Ok(media) => {
                let bundle = self.bundle_of(&media);
                let body = self.write(&media, &bundle);
                self.exchange = Exchange::Offered { media, saved };
                Ok(body)
            }
            Err(misuse) => {
                self.restore(saved);
                Err(misuse)
            }
        }
    }

    /// Reads the answer to the offer.
    ///
    /// # Errors
    /// It cannot be read (the offer then still waits for an answer), or no medium is left (the offer is rolled back).
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<&Agreed, AnswerError> {
        if !matches!(self.exchange, Exchange::Offered { .. }) {
            return Err(Misuse::NoLocalOffer.into());
        }
        let answer = self.read(answer)?;
        let Exchange::Offered { media, saved } = std::mem::replace(&mut self.exchange, Exchange::None) else {
            return Err(Misuse::NoLocalOffer.into());
        };
        match self.read_answer(&media, &answer) {
            Ok(agreed) => {
                self.remote = Some(answer);
                Ok(self.agreed.insert(agreed))
            }
            Err(mismatch) => {
                self.restore(saved);
                Err(mismatch.into())
            }
        }
    }

    /// The offer was refused with a failure response: rolls it back and says why, as far as the body of the response
    /// (the peer's capabilities, RFC 3264 §9) and the text of its `Warning` header tell.
    ///
    /// # Errors
    /// There is no offer of this side.
    pub fn refused(&mut self, body: Option<&[u8]>, warning: Option<&str>) -> Result<Mismatch, Misuse> {
        let Exchange::Offered { media, .. } = &self.exchange else { return Err(Misuse::NoLocalOffer) };
        let capabilities = body.and_then(|body| self.read(body).ok());
        let mismatch = accept::refused(media, capabilities.as_ref(), warning);
        self.rollback();
        Ok(mismatch)
    }

    // ---- offers of the peer

    /// Answers an offer: [`Self::receive_offer`] and [`Self::make_answer`] in one.
    ///
    /// # Errors
    /// The offer cannot be read, there is no session, or an exchange is under way. Nothing has changed then.
    pub fn answer(&mut self, offer: &[u8]) -> Result<Bytes, OfferError> {
        self.receive_offer(offer)?;
        self.make_answer().inspect_err(|_| self.rollback())
    }

    /// Reads an offer, so that its contents can be looked at before it is answered.
    ///
    /// # Errors
    /// It cannot be read, or an exchange is under way.
    pub fn receive_offer(&mut self, offer: &[u8]) -> Result<&RemoteDescription, OfferError> {
        self.expect_stable()?;
        let offer = Box::new(self.read(offer)?);
        let saved = self.save();
        self.exchange = Exchange::Received { offer, saved };
        match &self.exchange {
            Exchange::Received { offer, .. } => Ok(offer),
            _ => Err(Misuse::NoRemoteOffer.into()),
        }
    }

    /// Answers the offer that was read.
    ///
    /// # Errors
    /// There is none, or there is no session; then the offer still waits: change the capability and try again, decline
    /// it, or roll it back.
    pub fn make_answer(&mut self) -> Result<Bytes, OfferError> {
        let Exchange::Received { offer, .. } = &self.exchange else {
            return Err(Misuse::NoRemoteOffer.into());
        };
        let offer = offer.clone();
        let before = self.save();
        match self.build_answer(&offer) {
            Ok((media, agreed, bundle)) => {
                self.timings.clone_from(&offer.timings);
                let body = self.write(&media, &bundle);
                self.exchange = Exchange::None;
                self.remote = Some(*offer);
                self.agreed = Some(agreed);
                Ok(body)
            }
            Err(mismatch) => {
                self.restore_slots(before);
                Err(mismatch.into())
            }
        }
    }

    /// Answers the offer that was read by refusing every medium, where an answer has to be given (RFC 6337 §3.1).
    ///
    /// # Errors
    /// There is none.
    pub fn decline(&mut self) -> Result<Bytes, Misuse> {
        let Exchange::Received { offer, .. } = &self.exchange else { return Err(Misuse::NoRemoteOffer) };
        let offer = offer.clone();
        let media: Vec<LocalMedium> = offer.media.iter().map(answer::refusal).collect();
        let refused =
            offer.media.iter().map(|medium| AgreedMedium::Rejected(self.mismatch(medium, Rule::Declined)));
        let agreed = Agreed { role: Role::Answerer, media: refused.collect() };
        for medium in &offer.media {
            match self.slots.get_mut(medium.slot) {
                Some(_) => self.close_slot(medium.slot),
                None => {
                    let mut slot = self.new_slot(medium.kind.clone(), Direction::SendRecv);
                    slot.wanted = false;
                    slot.last = Some((medium.profile.clone(), medium.format_names.clone()));
                    self.slots.push(slot);
                }
            }
        }
        self.timings.clone_from(&offer.timings);
        let body = self.write(&media, &[]);
        self.exchange = Exchange::None;
        self.remote = Some(*offer);
        self.agreed = Some(agreed);
        Ok(body)
    }

    /// Undoes an exchange that came to nothing: a crossed offer, a failure response, a refusal. What was agreed before
    /// holds again; the version of a description that was sent stays used.
    pub fn rollback(&mut self) {
        match std::mem::replace(&mut self.exchange, Exchange::None) {
            Exchange::None => {}
            Exchange::Offered { saved, .. } | Exchange::Received { saved, .. } => self.restore(saved),
        }
    }

    // ---- inside

    fn expect_stable(&self) -> Result<(), Misuse> {
        match self.exchange {
            Exchange::None => Ok(()),
            Exchange::Offered { .. } => Err(Misuse::LocalOfferPending),
            Exchange::Received { .. } => Err(Misuse::RemoteOfferPending),
        }
    }

    fn read(&self, body: &[u8]) -> Result<RemoteDescription, crate::error::ParseError> {
        let options = ParseOptions { limits: self.capability.limits, ..ParseOptions::default() };
        Ok(RemoteDescription::read(&Description::parse_with(body, &options)?))
    }

    fn save(&self) -> Saved {
        Saved { slots: self.slots.clone(), pool: self.pool.clone(), remote: self.remote.clone() }
    }

    fn restore(&mut self, saved: Saved) {
        self.exchange = Exchange::None;
        self.remote.clone_from(&saved.remote);
        self.restore_slots(saved);
    }

    fn restore_slots(&mut self, saved: Saved) {
        (self.slots, self.pool) = (saved.slots, saved.pool);
    }

    /// The medium of a slot, if it is in use.
    fn agreed_active(&self, slot: usize) -> Option<&ActiveMedium> {
        self.agreed.as_ref()?.media.get(slot)?.active()
    }

    fn take_transport(&mut self, kind: &Kind) -> Option<Transport> {
        let place = self.pool.iter().position(|transport| transport.kind == *kind)?;
        Some(self.pool.remove(place))
    }

    /// A medium is refused or gone: its transport is free.
    fn close_slot(&mut self, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.wanted = false;
        slot.dtls_role = None;
        slot.forget_keys();
        if let Some(transport) = slot.transport.take().filter(|_| !slot.is_plain_alternative) {
            let shared = self.slots.iter().any(|other| other.transport.as_ref() == Some(&transport));
            if !shared {
                self.pool.push(transport);
            }
        }
    }

    fn new_slot(&self, kind: Kind, direction: Direction) -> Slot {
        let mut slot = Slot::new(kind, direction);
        slot.hold = self.hold;
        slot
    }

    /// The capability of a slot: the one it was opened with, else the first of its kind whose transport fits what is
    /// in use.
    fn capability_for(&self, slot: &Slot, profile: Option<&Profile>) -> Option<&MediaCapability> {
        let fits = |medium: &&MediaCapability| {
            medium.kind == slot.kind
                && match profile {
                    Some(Profile::Udptl) => medium.fax.is_some(),
                    Some(profile) if profile.is_rtp() => medium.fax.is_none() && medium.other.is_none(),
                    _ => true,
                }
        };
        let own = slot.capability.and_then(|place| self.capability.media.get(place));
        own.filter(fits).or_else(|| self.capability.media.iter().find(fits))
    }
}
