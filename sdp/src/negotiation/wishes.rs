//! What the application wants of the next description (RFC 3264 §8): hold and resume, directions, addresses, media that come,
//! change and go, new keys. Nothing is written here: the next offer or answer says it.

use super::{HoldStyle, Misuse, Negotiator, Transport};
use crate::direction::Direction;
use crate::profile::Kind;

impl Negotiator {
    /// Holds every medium, from the next description on: `direction` is `SendOnly` (music may be played) or
    /// `Inactive`.
    pub fn hold(&mut self, style: HoldStyle, direction: Direction) {
        self.hold = Some((style, direction.and(Direction::SendOnly)));
        for slot in &mut self.slots {
            slot.hold = self.hold;
        }
    }

    /// Ends the hold, from the next description on.
    pub fn resume(&mut self) {
        self.hold = None;
        for slot in &mut self.slots {
            slot.hold = None;
        }
    }

    /// Whether this side holds.
    pub fn is_holding(&self) -> bool {
        self.hold.is_some()
    }

    /// What this side wants of one medium, from the next description on.
    ///
    /// # Errors
    /// There is no such medium.
    pub fn set_direction(&mut self, slot: usize, direction: Direction) -> Result<(), Misuse> {
        self.slots.get_mut(slot).ok_or(Misuse::NoSuchMedium)?.direction = direction;
        Ok(())
    }

    /// Gives a medium another address, other candidates, or an ICE restart, from the next description on.
    ///
    /// # Errors
    /// There is no such medium.
    pub fn set_transport(&mut self, slot: usize, transport: Transport) -> Result<(), Misuse> {
        self.slots.get_mut(slot).ok_or(Misuse::NoSuchMedium)?.transport = Some(transport);
        Ok(())
    }

    /// Replaces the transports that no medium has yet, as when more has been learnt about them before the first description.
    pub fn set_free_transports(&mut self, transports: Vec<Transport>) {
        self.pool = transports;
    }

    /// Adds a transport for media to come.
    pub fn add_transport(&mut self, transport: Transport) {
        self.pool.push(transport);
    }

    /// Adds a medium to the next offer, in the place of one of its kind that is gone, or after the last (RFC 3264
    /// §8.1). It has the first capability of its kind that is not used up. Says which place.
    ///
    /// # Errors
    /// The capability has no medium of this kind.
    pub fn add_medium(&mut self, transport: Transport) -> Result<usize, Misuse> {
        let kind = transport.kind.clone();
        if self.slots.is_empty() {
            self.open_first_slots()?;
        }
        let of_kind = || self.capability.media.iter().enumerate().filter(|(_, medium)| medium.kind == kind);
        let used = |place: usize| {
            self.slots.iter().filter(|slot| slot.wanted && slot.capability == Some(place)).count()
        };
        let free = of_kind().find(|(place, medium)| used(*place) < medium.streams);
        let (place, medium) = free.or_else(|| of_kind().next()).ok_or(Misuse::NoSuchKind)?;
        let mut slot = self.new_slot(kind.clone(), medium.direction);
        slot.capability = Some(place);
        slot.transport = Some(transport);
        let gone = self.slots.iter().position(|slot| !slot.wanted && slot.kind == kind);
        match gone.and_then(|place| Some((place, self.slots.get_mut(place)?))) {
            Some((place, old)) => {
                *old = slot;
                Ok(place)
            }
            None => {
                self.slots.push(slot);
                Ok(self.slots.len().saturating_sub(1))
            }
        }
    }

    /// Makes a medium one of another kind in the same place, as a call does that turns from speech to fax.
    ///
    /// # Errors
    /// There is no such medium, or the capability has none of this kind.
    pub fn change_medium(&mut self, slot: usize, kind: Kind) -> Result<(), Misuse> {
        let direction = self.capability.of_kind(&kind).ok_or(Misuse::NoSuchKind)?.direction;
        let transport = self.take_transport(&kind);
        let mut new = self.new_slot(kind, direction);
        let place = self.slots.get_mut(slot).ok_or(Misuse::NoSuchMedium)?;
        let old = place.transport.take();
        if transport.is_some() {
            self.pool.extend(old);
            new.transport = transport;
        } else {
            new.transport = old;
        }
        *place = new;
        Ok(())
    }

    /// Takes a medium out of the next description; its place stays, with port 0.
    ///
    /// # Errors
    /// There is no such medium.
    pub fn remove_medium(&mut self, slot: usize) -> Result<(), Misuse> {
        self.slots.get_mut(slot).ok_or(Misuse::NoSuchMedium)?.wanted = false;
        Ok(())
    }

    /// Changes the SDES keys of every medium, from the next description on.
    pub fn change_keys(&mut self) {
        for slot in &mut self.slots {
            slot.forget_keys();
        }
    }
}
