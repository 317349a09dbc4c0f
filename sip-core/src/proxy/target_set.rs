//! Whom a request is forwarded to, and in which order: RFC 3261 §16.5, §16.6, with the `q` values of RFC 3261 §20.10.

use crate::{
    io::Flow,
    message::UriBuf,
    registrar::binding::{Binding, Instance},
    transport::Target,
};
use std::{cmp::Reverse, collections::VecDeque};

/// One target.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The new request line.
    pub uri: UriBuf,
    /// Whom it is sent to; `None`: the topmost Route or the request line, by RFC 3263.
    pub target: Option<Target>,
    /// `Route` values to be put before those that are there: a binding's Path.
    pub routes: Vec<String>,
    /// Other flows of the same device, one of them tried in its place when this one is dead (430) or silent (408): never
    /// two at once, or the telephone would ring twice (RFC 5626 §7).
    pub other_flows: Vec<Self>,
}

impl Branch {
    /// Where a URI leads.
    #[must_use]
    pub const fn to(uri: UriBuf) -> Self {
        Self { uri, target: None, routes: Vec::new(), other_flows: Vec::new() }
    }

    /// To a registered telephone, on the flow it registered over when it has no Path.
    #[must_use]
    pub fn to_binding(binding: &Binding) -> Self {
        let routes: Vec<String> = binding.path.iter().map(ToString::to_string).collect();
        let target = routes.is_empty().then_some(Target::Flow(binding.flow));
        Self { uri: binding.contact.clone(), target, routes, other_flows: Vec::new() }
    }

    /// The flow it goes over.
    pub(super) fn flow(&self) -> Option<Flow> {
        match &self.target {
            Some(Target::Flow(flow)) => Some(*flow),
            _ => None,
        }
    }
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// All at once.
    #[default]
    Parallel,
    /// One after the other.
    Sequential,
}

/// Targets in groups: all of a group at once, the groups one after the other.
#[derive(Clone, Debug, Default)]
pub struct TargetSet {
    groups: VecDeque<Vec<Branch>>,
}

impl TargetSet {
    /// One target.
    #[must_use]
    pub fn one(branch: Branch) -> Self {
        Self { groups: VecDeque::from([vec![branch]]) }
    }

    /// Several, all at once or one by one.
    #[must_use]
    pub fn of(branches: Vec<Branch>, order: Order) -> Self {
        let groups = match order {
            Order::Parallel if branches.is_empty() => VecDeque::new(),
            Order::Parallel => VecDeque::from([branches]),
            Order::Sequential => branches.into_iter().map(|branch| vec![branch]).collect(),
        };
        Self { groups }
    }

    /// The bindings of a user: those of equal `q` at once, the highest first. Several flows of one device are one target
    /// (RFC 5626 §7), the flow registered last before the others.
    #[must_use]
    pub fn by_preference<'a>(bindings: impl IntoIterator<Item = &'a Binding>) -> Self {
        let mut sorted: Vec<&Binding> = bindings.into_iter().collect();
        sorted.sort_by_key(|binding| (Reverse(binding.quality), Reverse(binding.expires_at)));
        let device = |binding: &'a Binding| match &binding.instance {
            Some(Instance { id, registration: Some(_) }) => Some(id),
            _ => None,
        };
        let mut targets: Vec<(&Binding, Branch)> = Vec::new();
        for binding in sorted {
            let branch = Branch::to_binding(binding);
            let same = targets
                .iter_mut()
                .find(|(first, _)| device(binding).is_some() && device(first) == device(binding));
            match same {
                Some((_, first)) => first.other_flows.push(branch),
                None => targets.push((binding, branch)),
            }
        }
        let mut groups: VecDeque<Vec<Branch>> = VecDeque::new();
        let mut last = None;
        for (binding, branch) in targets {
            match groups.back_mut() {
                Some(group) if last == Some(binding.quality) => group.push(branch),
                _ => groups.push_back(vec![branch]),
            }
            last = Some(binding.quality);
        }
        Self { groups }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many targets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Appends the groups of another set.
    pub fn append(&mut self, mut other: Self) {
        self.groups.append(&mut other.groups);
    }

    /// Takes the next group.
    pub(super) fn next_group(&mut self) -> Option<Vec<Branch>> {
        self.groups.pop_front()
    }

    /// Forgets what is left.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }
}
