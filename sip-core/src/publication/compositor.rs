//! The compositor's table: what publishers made known, under entity tags that are made here (RFC 3903 §6).
//!
//! A tag names one state of one publisher and is good for one request: each change and each refresh makes a new one.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    arena::{Arena, handle},
    command::Body,
};
use std::{collections::BTreeMap, time::Instant};

handle! {
    /// What one publisher made known.
    pub(crate) StateHandle
}

/// Every published state.
#[derive(Debug)]
pub(crate) struct Compositor {
    states: Arena<StateHandle, EventState>,
    by_tag: BTreeMap<Box<str>, StateHandle>,
}

/// One published state.
#[derive(Debug)]
pub(crate) struct EventState {
    pub(crate) resource: Box<str>,
    pub(crate) package: Box<str>,
    pub(crate) tag: Box<str>,
    pub(crate) body: Body,
    pub(crate) expires_at: Instant,
}

impl Compositor {
    pub(crate) const fn new() -> Self {
        Self { states: Arena::new(), by_tag: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The state a conditional request is about: of this resource and package.
    pub(crate) fn find(&self, tag: &str, resource: &str, package: &str) -> Option<StateHandle> {
        let handle = *self.by_tag.get(tag)?;
        let state = self.states.get(handle)?;
        (*state.resource == *resource && state.package.eq_ignore_ascii_case(package)).then_some(handle)
    }

    pub(crate) fn insert(&mut self, state: EventState) -> Option<StateHandle> {
        let tag = state.tag.clone();
        let handle = self.states.insert_with(|_| state)?;
        self.by_tag.insert(tag, handle);
        Some(handle)
    }

    /// A refresh or a change: a new tag, perhaps a new body.
    pub(crate) fn renew(
        &mut self,
        handle: StateHandle,
        tag: String,
        body: Option<Body>,
        expires_at: Instant,
    ) {
        let Some(state) = self.states.get_mut(handle) else { return };
        self.by_tag.remove(&state.tag);
        state.tag = tag.into();
        state.expires_at = expires_at;
        state.body = body.unwrap_or_else(|| state.body.clone());
        self.by_tag.insert(state.tag.clone(), handle);
    }

    pub(crate) fn remove(&mut self, handle: StateHandle) -> Option<EventState> {
        let state = self.states.remove(handle)?;
        self.by_tag.remove(&state.tag);
        Some(state)
    }

    /// What is published of a resource in one package.
    pub(crate) fn of<'a>(
        &'a self,
        resource: &'a str,
        package: &'a str,
    ) -> impl Iterator<Item = &'a EventState> {
        self.states
            .iter()
            .map(|(_, state)| state)
            .filter(move |state| *state.resource == *resource && state.package.eq_ignore_ascii_case(package))
    }
}
