//! Check lists: pairs in the order of their priority, frozen until their like has been tried (RFC 8445 section 6.1.2 and 6.1.4).
//!
//! Nothing here sends anything: the list is asked which pair is next, and told what came of it.

use super::event::{PairFailure, PairState};
use crate::stun::TransactionId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// A pair, within its stream. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PairId(pub(super) u32);

/// Foundations of both ends.
pub(super) type Foundation = (u32, u32);

/// A candidate pair.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) id: PairId,
    pub(super) component: u16,
    /// Place among the agent's local candidates.
    pub(super) local: usize,
    /// Place among the stream's remote candidates.
    pub(super) remote: usize,
    pub(super) priority: u64,
    pub(super) foundation: Foundation,
    pub(super) state: PairState,
    pub(super) failure: Option<PairFailure>,
    /// A check by it succeeded at some time: media may use it.
    pub(super) valid: bool,
    /// The controlling end has chosen it, or (when it is not valid yet) wants to.
    pub(super) nominated: bool,
    /// The next check nominates it.
    pub(super) nominating: bool,
    /// Our candidate as the peer sees it by this pair, when that is another.
    pub(super) seen_as: Option<usize>,
    /// The transaction whose time-out counts.
    pub(super) current: Option<TransactionId>,
    pub(super) mapped: Option<SocketAddr>,
    pub(super) round_trip: Option<Duration>,
    pub(super) requests_sent: u32,
    pub(super) responses_received: u32,
    pub(super) requests_received: u32,
}

#[derive(Debug, Default)]
pub(super) struct CheckList {
    /// By priority, highest first.
    pairs: Vec<Pair>,
    triggered: VecDeque<PairId>,
    next: u32,
}

impl CheckList {
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    pub(super) fn pairs_mut(&mut self) -> &mut [Pair] {
        &mut self.pairs
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.id == id)
    }

    pub(super) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.id == id)
    }

    pub(super) fn find(&self, local: usize, remote: usize) -> Option<PairId> {
        self.pairs.iter().find(|pair| pair.local == local && pair.remote == remote).map(|pair| pair.id)
    }

    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.triggered.clear();
    }

    /// Adds a pair, frozen.
    pub(super) fn add(
        &mut self,
        component: u16,
        (local, remote): (usize, usize),
        priority: u64,
        foundation: Foundation,
    ) -> PairId {
        let id = PairId(self.next);
        self.next = self.next.wrapping_add(1);
        let pair = Pair {
            id,
            component,
            local,
            remote,
            priority,
            foundation,
            state: PairState::Frozen,
            failure: None,
            valid: false,
            nominated: false,
            nominating: false,
            seen_as: None,
            current: None,
            mapped: None,
            round_trip: None,
            requests_sent: 0,
            responses_received: 0,
            requests_received: 0,
        };
        let place = self.pairs.partition_point(|other| other.priority >= priority);
        self.pairs.insert(place, pair);
        id
    }

    /// Sorts again after priorities have changed.
    pub(super) fn sort(&mut self) {
        self.pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
    }

    /// Drops the lowest pair that nothing has been tried with. Whether there was one.
    pub(super) fn drop_lowest(&mut self) -> bool {
        let idle = |pair: &Pair| matches!(pair.state, PairState::Frozen | PairState::Waiting);
        let Some(place) = self.pairs.iter().rposition(|pair| idle(pair) && !pair.nominated) else {
            return false;
        };
        let pair = self.pairs.remove(place);
        self.triggered.retain(|id| *id != pair.id);
        true
    }

    /// Puts a pair at the end of the triggered queue, once.
    pub(super) fn trigger(&mut self, id: PairId) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }

    /// Whether any pair has this foundation and this state.
    pub(super) fn has(&self, foundation: Foundation, states: &[PairState]) -> bool {
        self.pairs.iter().any(|pair| pair.foundation == foundation && states.contains(&pair.state))
    }

    /// The next pair of the triggered queue.
    pub(super) fn take_triggered(&mut self) -> Option<PairId> {
        while let Some(id) = self.triggered.pop_front() {
            let wanted = |pair: &Pair| pair.nominating || !matches!(pair.state, PairState::NotNeeded);
            if self.get(id).is_some_and(wanted) {
                return Some(id);
            }
        }
        None
    }

    /// The highest waiting pair.
    pub(super) fn next_waiting(&self) -> Option<PairId> {
        self.pairs.iter().find(|pair| pair.state == PairState::Waiting).map(|pair| pair.id)
    }

    /// The frozen pairs, highest first.
    pub(super) fn frozen(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.state == PairState::Frozen)
    }

    /// Lets frozen pairs of a foundation wait for their turn.
    pub(super) fn unfreeze(&mut self, foundation: Foundation) {
        for pair in &mut self.pairs {
            if pair.foundation == foundation && pair.state == PairState::Frozen {
                pair.state = PairState::Waiting;
            }
        }
    }

    /// How many are waiting or being checked.
    pub(super) fn active(&self) -> usize {
        let active = |pair: &&Pair| matches!(pair.state, PairState::Waiting | PairState::InProgress);
        self.pairs.iter().filter(active).count()
    }

    /// Whether something may still come of a pair of this component, other than what is known to work.
    pub(super) fn is_pending(&self, component: u16) -> bool {
        self.pairs.iter().any(|pair| pair.component == component && is_open(pair))
    }

    /// The best pair of a component that works.
    pub(super) fn best_valid(&self, component: u16) -> Option<&Pair> {
        self.pairs
            .iter()
            .find(|pair| pair.component == component && pair.valid && pair.state == PairState::Succeeded)
    }

    /// Whether a pair better than this one may still turn out to work.
    pub(super) fn better_is_open(&self, than: &Pair) -> bool {
        self.pairs
            .iter()
            .take_while(|pair| pair.priority > than.priority)
            .any(|pair| pair.component == than.component && is_open(pair))
    }

    /// A pair of this component has been chosen: the others are not begun any more (RFC 8445 section 8.1.2). Unless the choice is
    /// final a better one may still come of those that are being checked. Gives those whose requests are not to be repeated.
    pub(super) fn settle(&mut self, component: u16, chosen: PairId, final_choice: bool) -> Vec<PairId> {
        let priority = self.get(chosen).map_or(0, |pair| pair.priority);
        let mut quiet = Vec::new();
        for pair in self.pairs.iter_mut().filter(|pair| pair.component == component && pair.id != chosen) {
            match pair.state {
                PairState::Frozen | PairState::Waiting => pair.state = PairState::NotNeeded,
                PairState::InProgress if final_choice || pair.priority < priority => {
                    pair.state = PairState::NotNeeded;
                    quiet.push(pair.id);
                }
                _ => {}
            }
        }
        let pairs = &self.pairs;
        let other = |id: &PairId| {
            *id == chosen || !pairs.iter().any(|pair| pair.id == *id && pair.component == component)
        };
        self.triggered.retain(other);
        quiet
    }
}

fn is_open(pair: &Pair) -> bool {
    matches!(pair.state, PairState::Frozen | PairState::Waiting | PairState::InProgress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_kept_by_priority_and_the_lowest_idle_one_goes_first() {
        let mut list = CheckList::default();
        for (place, priority) in [5, 9, 7].into_iter().enumerate() {
            list.add(1, (0, place), priority, (0, place as u32));
        }
        let order = |list: &CheckList| list.pairs().iter().map(|pair| pair.priority).collect::<Vec<_>>();
        assert_eq!(order(&list), [9, 7, 5]);
        let lowest = list.pairs()[2].id;
        list.get_mut(lowest).unwrap().state = PairState::InProgress;
        assert!(list.drop_lowest());
        assert_eq!(order(&list), [9, 5]);
        assert!(list.drop_lowest());
        assert!(!list.drop_lowest());
    }

    proptest! {
        /// Whatever is done to a list: it stays sorted, the triggered queue holds each pair once and only pairs that are there, and after a
        /// choice nothing of that component waits any more.
        #[test]
        fn the_list_stays_in_order(steps in prop::collection::vec((0_u8..6, 1_u16..3, 0_u64..50), 1..80)) {
            let mut list = CheckList::default();
            for (step, component, number) in steps {
                let some = list.pairs().get(number as usize % list.len().max(1)).map(|pair| pair.id);
                match (step, some) {
                    (0 | 1, _) => {
                        list.add(component, (list.len(), 0), number, (number as u32 % 5, 0));
                    }
                    (2, Some(id)) => list.trigger(id),
                    (3, _) => list.unfreeze((number as u32 % 5, 0)),
                    (4, _) => {
                        list.drop_lowest();
                    }
                    (_, Some(id)) => {
                        let component = list.get(id).unwrap().component;
                        list.get_mut(id).unwrap().state = PairState::Succeeded;
                        list.settle(component, id, number % 2 == 0);
                        let waits = |pair: &Pair| matches!(pair.state, PairState::Frozen | PairState::Waiting);
                        prop_assert!(!list.pairs().iter().any(|pair| pair.component == component && waits(pair)));
                    }
                    (_, None) => {}
                }
                prop_assert!(list.pairs().is_sorted_by(|a, b| a.priority >= b.priority));
                for (place, id) in list.triggered.iter().enumerate() {
                    prop_assert!(list.get(*id).is_some());
                    prop_assert!(!list.triggered.iter().skip(place + 1).any(|other| other == id));
                }
            }
        }
    }
}
