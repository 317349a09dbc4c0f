//! What an agent remembers: credentials, sockets, candidates, streams and their components.

use super::check_list::{CheckList, PairId};
use super::event::StreamState;
use crate::candidate::{Candidate, CandidateKind, CandidateTransport};
use crate::random::Generator;
use crate::stun::IntegrityKey;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// A user name fragment and a password (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// 4 to 256 letters, digits, `+`, `/`.
    pub fragment: String,
    /// 22 to 256 of the same.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Credentials that came from the peer.
    #[must_use]
    pub fn new(fragment: &str, password: &str) -> Self {
        Self { fragment: fragment.to_owned(), password: password.to_owned() }
    }

    /// 48 unguessable bits to find each other by, 144 to believe each other by.
    pub(super) fn draw(generator: &mut Generator) -> Self {
        Self { fragment: generator.ice_chars(8), password: generator.ice_chars(24) }
    }

    pub(super) fn is_sound(&self) -> bool {
        let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        // Peers in the field use `-`, `_` and `=` as well; only what would confuse a user name is refused.
        let fits = |text: &str| {
            text.bytes().all(|byte| is_ice_char(byte) || matches!(byte, b'-' | b'_' | b'=' | b'.'))
        };
        (4..=256).contains(&self.fragment.len())
            && (22..=256).contains(&self.password.len())
            && fits(&self.fragment)
            && fits(&self.password)
    }
}

/// What a candidate's packets really leave by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Base {
    /// A socket of ours, by its place.
    Socket(usize),
    /// A relayed address, by its place.
    Relay(usize),
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: u32,
    pub(super) component: u16,
    pub(super) address: SocketAddr,
    pub(super) transport: CandidateTransport,
    pub(super) local_preference: u16,
    pub(super) gone: bool,
}

/// A candidate of ours.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) stream: u32,
    pub(super) candidate: Candidate,
    pub(super) address: SocketAddr,
    pub(super) base: Base,
    pub(super) foundation: u32,
    pub(super) gone: bool,
}

/// What makes foundations equal (RFC 8445 section 5.1.1.3).
pub(super) type FoundationKey = (CandidateKind, IpAddr, Option<SocketAddr>, bool);

/// A candidate of the peer.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) candidate: Candidate,
    pub(super) address: SocketAddr,
    pub(super) foundation: u32,
}

impl Remote {
    /// Whether this is that candidate, perhaps learnt in another way.
    pub(super) fn is(&self, candidate: &Candidate, address: SocketAddr) -> bool {
        self.address == address
            && self.candidate.component == candidate.component
            && self.candidate.transport == candidate.transport
    }
}

#[derive(Debug, Clone)]
pub(super) struct RemoteCredentials {
    pub(super) fragment: String,
    pub(super) key: IntegrityKey,
    pub(super) lite: bool,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) state: StreamState,
    pub(super) remote_credentials: Option<RemoteCredentials>,
    pub(super) remotes: Vec<Remote>,
    pub(super) remote_ended: bool,
    pub(super) list: CheckList,
    pub(super) early: Vec<Early>,
    pub(super) give_up_at: Option<Instant>,
    pub(super) addresses_complete: bool,
    /// When servers that have not answered are left out.
    pub(super) gather_until: Option<Instant>,
    pub(super) gathering_told: bool,
    components: Vec<Component>,
}

/// A component and the pair it has.
#[derive(Debug, Default)]
pub(super) struct Component {
    pub(super) active: Option<Active>,
    /// When the first of its pairs worked.
    pub(super) first_valid_at: Option<Instant>,
}

/// A pair that media uses.
#[derive(Debug)]
pub(super) struct Active {
    /// Its place in the check list; `None` since a restart.
    pub(super) pair: Option<PairId>,
    pub(super) local: usize,
    pub(super) remote: SocketAddr,
    /// By which consent is asked for, of the time before a restart if need be.
    pub(super) username: String,
    pub(super) key: IntegrityKey,
    pub(super) consent: super::consent::Consent,
}

/// A check that came before we knew the peer's credentials.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) fragment: String,
    pub(super) base: Base,
    pub(super) remote: SocketAddr,
    pub(super) priority: u32,
    pub(super) use_candidate: bool,
}

impl Stream {
    pub(super) fn new(components: u16) -> Self {
        Self {
            state: StreamState::New,
            remote_credentials: None,
            remotes: Vec::new(),
            remote_ended: false,
            list: CheckList::default(),
            early: Vec::new(),
            give_up_at: None,
            addresses_complete: false,
            gather_until: None,
            gathering_told: false,
            components: (0..components).map(|_| Component::default()).collect(),
        }
    }

    pub(super) fn component_count(&self) -> u16 {
        u16::try_from(self.components.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn component(&self, component: u16) -> Option<&Component> {
        self.components.get(usize::from(component.checked_sub(1)?))
    }

    pub(super) fn component_mut(&mut self, component: u16) -> Option<&mut Component> {
        self.components.get_mut(usize::from(component.checked_sub(1)?))
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    pub(super) fn keep_components(&mut self, components: u16) {
        self.components.truncate(usize::from(components));
    }

    /// Forgets the peer, but not the pairs that media uses.
    pub(super) fn restart(&mut self) {
        self.remote_credentials = None;
        self.remotes.clear();
        self.remote_ended = false;
        self.list.clear();
        self.early.clear();
        self.give_up_at = None;
        for component in &mut self.components {
            component.first_valid_at = None;
            if let Some(active) = &mut component.active {
                active.pair = None;
            }
        }
    }
}
