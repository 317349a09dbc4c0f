//! Who is served here, and what the machine tells each.

use crate::gateway::{Command, GuestId, Said, Told};
use denwa::tokio::DriverHandle;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the machine tells one guest.
pub(super) type Inbox = UnboundedReceiver<Told>;

/// All who are served.
#[derive(Clone)]
pub(super) struct Guests {
    handle: DriverHandle<Command>,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    inboxes: HashMap<GuestId, UnboundedSender<Told>>,
    last: u64,
}

impl Guests {
    pub(super) fn new(handle: DriverHandle<Command>) -> Self {
        Self { handle, book: Arc::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A map is whole between any two operations.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for somebody who comes by himself.
    pub(super) fn name(&self) -> GuestId {
        let mut book = self.book();
        book.last = book.last.wrapping_add(1);
        GuestId(GuestId::COMES | book.last)
    }

    /// Somebody is served from now on.
    pub(super) fn enter(&self, guest: GuestId) -> Inbox {
        let (sender, inbox) = unbounded_channel();
        self.book().inboxes.insert(guest, sender);
        inbox
    }

    /// What the machine tells somebody; the last word ends the service.
    pub(super) fn tell(&self, guest: GuestId, told: Told) {
        let mut book = self.book();
        let is_last = matches!(told, Told::Over { .. });
        if let Some(sender) = book.inboxes.get(&guest) {
            // Who does not listen any more has said so, or will.
            let _ = sender.send(told);
        }
        if is_last {
            book.inboxes.remove(&guest);
        }
    }

    /// Hands the machine a command. `false`: it has ended.
    pub(super) fn command(&self, command: Command) -> bool {
        self.handle.command(command).is_ok()
    }

    /// Somebody says something.
    pub(super) fn say(&self, guest: GuestId, said: Said) {
        self.command(Command::Guest { guest, said });
    }

    /// Somebody is gone.
    pub(super) fn leave(&self, guest: GuestId) {
        if self.book().inboxes.remove(&guest).is_some() {
            self.say(guest, Said::Left);
        }
    }
}

/// Says that a guest is gone when it is dropped: a closed tab ends what served it, wherever that stood.
pub(super) struct Presence {
    pub(super) guest: GuestId,
    pub(super) guests: Guests,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.guests.leave(self.guest);
    }
}
