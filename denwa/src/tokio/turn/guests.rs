//! How many connections there are, and from whom.

use super::Counters;
use crate::tokio::StreamLimits;
use foldhash::fast::RandomState;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The connections that are open, those whose handshakes are not done included.
pub(super) struct Guests {
    of_address: Rc<RefCell<HashMap<IpAddr, usize, RandomState>>>,
    limit: u64,
    limit_of_address: usize,
    counters: Arc<Counters>,
}

/// One connection; leaves when it is dropped.
pub(super) struct Guest {
    from: IpAddr,
    of_address: Rc<RefCell<HashMap<IpAddr, usize, RandomState>>>,
    counters: Arc<Counters>,
}

impl Guests {
    pub(super) fn new(limits: &StreamLimits, counters: Arc<Counters>) -> Self {
        Self {
            of_address: Rc::default(),
            limit: limits.streams as u64,
            limit_of_address: limits.streams_per_address,
            counters,
        }
    }

    /// Takes one more from an address, if it may have one.
    pub(super) fn admit(&self, from: IpAddr) -> Option<Guest> {
        if self.counters.connections.load(Ordering::Relaxed) >= self.limit {
            return None;
        }
        let mut of_address = self.of_address.borrow_mut();
        let here = of_address.entry(from).or_default();
        if *here >= self.limit_of_address {
            return None;
        }
        *here = here.saturating_add(1);
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let (of_address, counters) = (Rc::clone(&self.of_address), Arc::clone(&self.counters));
        Some(Guest { from, of_address, counters })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        let mut of_address = self.of_address.borrow_mut();
        if let Some(here) = of_address.get_mut(&self.from) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                of_address.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_fill_the_house() {
        let limits = StreamLimits { streams: 3, streams_per_address: 2, ..StreamLimits::default() };
        let guests = Guests::new(&limits, Arc::default());
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let first = guests.admit(address(1)).unwrap();
        let _second = guests.admit(address(1)).unwrap();
        assert!(guests.admit(address(1)).is_none());
        let _third = guests.admit(address(2)).unwrap();
        assert!(guests.admit(address(3)).is_none(), "the house is full");
        drop(first);
        assert!(guests.admit(address(1)).is_some());
    }
}
