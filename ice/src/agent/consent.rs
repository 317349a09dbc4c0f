//! Consent and keep-alives: a pair is used for as long as the peer says so (RFC 7675, RFC 8445 section 11).

use super::checker::Tag;
use super::config::AgentConfig;
use super::event::AgentEvent;
use super::gathering::indication;
use super::{Agent, MediaStream};
use crate::random::Generator;
use crate::stun::{Class, Timing};
use std::time::{Duration, Instant};

/// How a pair stands with its peer.
#[derive(Debug)]
pub(super) struct Consent {
    /// `None`: lost.
    next_at: Option<Instant>,
    /// `None`: not asked for, or lost.
    expires_at: Option<Instant>,
    lost: bool,
}

impl Consent {
    pub(super) fn begin(config: &AgentConfig, generator: &mut Generator, now: Instant) -> Self {
        if config.lite {
            // A lite end asks for nothing, and its peer keeps the pair alive.
            return Self { next_at: None, expires_at: None, lost: false };
        }
        let first =
            if config.consent { spread(config.consent_interval, generator) } else { config.keep_alive };
        let expires_at = config.consent.then(|| now.checked_add(config.consent_lifetime)).flatten();
        Self { next_at: now.checked_add(first), expires_at, lost: false }
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        [self.next_at, self.expires_at].into_iter().flatten().min()
    }

    fn lose(&mut self) {
        (self.next_at, self.expires_at, self.lost) = (None, None, true);
    }
}

/// Between 0.8 and 1.2 of the mean, so that nothing falls into step (RFC 7675 section 5.1).
fn spread(mean: Duration, generator: &mut Generator) -> Duration {
    let share = u32::try_from(generator.below(401)).unwrap_or(0).saturating_add(800);
    mean.saturating_mul(share) / 1000
}

impl Agent {
    /// Asks where it is time to ask, and gives up where nobody has answered.
    pub(super) fn check_consent(&mut self, now: Instant) {
        for number in self.stream_numbers() {
            let count = self.streams.get(&number).map_or(0, super::Stream::component_count);
            for component in 1..=count {
                self.check_consent_of(number, component, now);
            }
        }
    }

    fn check_consent_of(&mut self, number: u32, component: u16, now: Instant) {
        let Some(active) = (self.streams.get_mut(&number))
            .and_then(|stream| stream.component_mut(component))
            .and_then(|component| component.active.as_mut())
        else {
            return;
        };
        if active.consent.expires_at.is_some_and(|at| at <= now) {
            return self.lose_consent(number, component);
        }
        if active.consent.next_at.is_none_or(|at| at > now) {
            return;
        }
        let pause = if self.config.consent {
            spread(self.config.consent_interval, &mut self.generator)
        } else {
            self.config.keep_alive
        };
        active.consent.next_at = now.checked_add(pause.max(Duration::from_millis(1)));
        let (local, remote) = (active.local, active.remote);
        let (username, key) = (active.username.clone(), active.key.clone());
        let Some(local) = self.locals.get(local) else { return };
        let (base, reliable) = (local.base, local.candidate.transport.is_tcp());
        let id = self.transaction_id();
        if !self.config.consent {
            let payload = indication(id);
            return self.transmit_by(base, remote, &payload);
        }
        let priority = self.reflexive_priority(base);
        let request = self.write_check(id, &username, priority, false, &key);
        // Never sent again: the next question is a new one.
        let timing =
            Timing { requests: 1, retransmission: self.config.consent_lifetime, ..self.config.check_timing };
        let tag = Tag::Consent { stream: number, component, base, key };
        self.transactions.begin(id, tag, (request.clone(), remote), (reliable, timing), now);
        self.transmit_by(base, remote, &request);
    }

    pub(super) fn consent_answered(
        &mut self,
        number: u32,
        component: u16,
        granted: bool,
        class: Class,
        now: Instant,
    ) {
        if !granted {
            return self.lose_consent(number, component);
        }
        let lifetime = self.config.consent_lifetime;
        let active = (self.streams.get_mut(&number))
            .and_then(|stream| stream.component_mut(component))
            .and_then(|component| component.active.as_mut());
        if let Some(active) = active.filter(|active| !active.consent.lost && class == Class::Success) {
            active.consent.expires_at = now.checked_add(lifetime);
        }
    }

    fn lose_consent(&mut self, number: u32, component: u16) {
        let active = (self.streams.get_mut(&number))
            .and_then(|stream| stream.component_mut(component))
            .and_then(|component| component.active.as_mut());
        let Some(active) = active.filter(|active| !active.consent.lost) else { return };
        active.consent.lose();
        self.transactions.forget(|tag| {
            matches!(tag, Tag::Consent { stream, component: of, .. } if *stream == number && *of == component)
        });
        self.event(AgentEvent::ConsentLost { stream: MediaStream(number), component });
        self.update_state(number);
    }
}
