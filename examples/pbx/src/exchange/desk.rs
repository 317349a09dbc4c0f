//! What every part of the exchange works with: the endpoint below, the ports, the addresses, the tables that say which
//! call a handle belongs to, and the queue of outputs.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use denwa::bridge::{self, LegId, RecordingId};
use denwa::driver::Ask;
use denwa::media::Identity;
use denwa::port_set::PortPool;
use denwa_codecs::tone;
use denwa_sip_core::auth::identity;
use denwa_sip_core::auth::passport::Signer;
use denwa_sip_core::endpoint::{
    Algorithm, CallHandle, Endpoint, LocalIdentity, OutgoingHandle, Party, RequestHandle, SentBy,
};
use denwa_sip_core::io::{Flow, Protocol};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::attend::Conferences;
use super::errands::Wish;
use super::invitation::{Caller, CallerKind};
use super::leg::Leg;
use super::whereabouts::{NoWay, Place, Whereabouts};
use super::{Event, Output, Seed};
use crate::config;
use crate::links::Links;
use crate::policy::directory::Directory;
use crate::policy::limits::Spent;
use crate::route::{Completion, Destination, Plan};
use crate::services::prompts::{Language, Prompts};
use crate::services::script::Message;
use crate::store::milliseconds;

/// What stands for no limit of silence: more than any call lasts, and short enough to be added to a time.
const NEVER: Duration = Duration::from_secs(7 * 86_400);

/// What the configuration says, in the form that calls need.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) policy: Policy,
    pub(super) realm: String,
    /// The canonical name in RTCP, the same for every call and telling nothing.
    pub(super) cname: String,
    /// What the exchange calls itself to others, to notice calls that go in a circle.
    pub(super) name: String,
    /// Where the exchange listens.
    pub(super) listening: Vec<config::Listen>,
    /// What peers are shown who agree on keys by DTLS.
    pub(super) identity: Option<Identity>,
    /// An instant and the time of day it was.
    pub(super) clock: (Instant, SystemTime),
}

impl std::ops::Deref for Setup {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

/// What of it may change while the exchange runs.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) digest: Vec<Algorithm>,
    pub(super) plan: Plan,
    pub(super) ring: Duration,
    pub(super) silence: Duration,
    pub(super) fax: bool,
    pub(super) call_limit: u32,
    pub(super) emergency: Vec<String>,
    pub(super) blocked: Vec<String>,
    pub(super) announcements: bool,
    pub(super) music_on_hold: bool,
    pub(super) conference: config::Conference,
    pub(super) mailbox_limit: usize,
    pub(super) message_limit: Duration,
    pub(super) recording_announced: bool,
    pub(super) recording_beep: Duration,
    pub(super) announce_busy: bool,
    pub(super) tones: tone::plan::Plan,
    pub(super) language: Language,
    pub(super) time_of_day: config::Clock,
    /// Signs callers for neighbours.
    pub(super) signer: Option<Arc<Signer>>,
    pub(super) digits: Duration,
}

impl Policy {
    pub(super) fn new(file: &config::Config) -> Self {
        Self {
            digest: file.sip.digest.clone(),
            plan: Plan::new(file),
            ring: file.calls.ring,
            silence: if file.media.silence.is_zero() { NEVER } else { file.media.silence },
            fax: file.media.fax,
            call_limit: file.calls.limit,
            emergency: file.calls.emergency.clone(),
            blocked: file.calls.blocked.clone(),
            announcements: file.calls.announcements,
            music_on_hold: file.calls.music_on_hold,
            conference: file.conference.clone(),
            mailbox_limit: file.voicemail.messages,
            message_limit: file.voicemail.longest,
            recording_announced: file.recording.announced,
            recording_beep: file.recording.beep,
            announce_busy: file.calls.announce_busy,
            tones: file.calls.tones.plan(),
            language: file.prompts.language,
            time_of_day: file.clock,
            signer: file.identity.signer.clone(),
            digits: file.calls.digits,
        }
    }
}

/// A question of the exchange itself to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// By which way packets to this peer leave.
    Route(IpAddr),
    /// By which way packets to this address of a description leave; for the leg named.
    MediaRoute(LegId, IpAddr),
    /// Which addresses the name under `external` has.
    External,
    /// By which way packets to the external address leave.
    Outer,
    /// Which addresses the STUN server has.
    StunServer,
    /// By which way packets to the STUN server leave.
    StunRoute(SocketAddr),
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) setup: Setup,
    pub(super) directory: Directory,
    pub(super) links: Links,
    pub(super) endpoint: Endpoint,
    pub(super) places: Whereabouts,
    pub(super) ports: PortPool,
    pub(super) now: Instant,
    outbox: VecDeque<Output>,
    handles: HashMap<CallHandle, u64>,
    legs: HashMap<LegId, u64>,
    /// Requests that were passed on, by what they were passed on as.
    pub(super) passing: HashMap<OutgoingHandle, RequestHandle>,
    next_leg: u64,
    next_call: u64,
    first_call: u64,
    asked: HashMap<u64, Asked>,
    routes_asked: HashSet<IpAddr>,
    next_question: u64,
    /// What can be said.
    pub(super) prompts: Arc<Prompts>,
    /// The messages in every mailbox.
    pub(super) mailboxes: BTreeMap<String, Vec<Message>>,
    /// Who is in which conference.
    pub(super) conferences: Conferences,
    next_recording: u64,
    /// Which call waits in which parking slot.
    pub(super) parked: BTreeMap<String, u64>,
    /// The extensions (`1001`) and trunks (`trunk lab`) that each call uses.
    pub(super) lines: BTreeMap<u64, Vec<String>>,
    /// What has gone out by each trunk.
    pub(super) spent: Spent,
    /// When each extension's last call ended, for groups that call who has been idle longest.
    pub(super) idle_since: HashMap<String, Instant>,
    /// Who waits in each queue, the first first.
    pub(super) queues: HashMap<String, Vec<u64>>,
    /// Whom each extension found busy last.
    pub(super) found_busy: HashMap<String, String>,
    /// What calls want of the exchange.
    pub(super) wishes: Vec<Wish>,
    /// An extension's call has ended since this was looked at.
    pub(super) somebody_is_free: bool,
    /// Since the lamps were looked at: something happened to a call; something else happened that they show.
    pub(super) calls_moved: bool,
    pub(super) lamps_moved: bool,
    /// How often each group has been called, for those that take turns.
    turns: HashMap<String, usize>,
    random: ChaCha20Rng,
}

impl Desk {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        setup: Setup,
        directory: Directory,
        links: Links,
        endpoint: Endpoint,
        places: Whereabouts,
        ports: PortPool,
        first_call: u64,
        seed: &Seed,
        now: Instant,
    ) -> Self {
        Self {
            setup,
            directory,
            links,
            endpoint,
            places,
            ports,
            now,
            outbox: VecDeque::new(),
            handles: HashMap::new(),
            legs: HashMap::new(),
            passing: HashMap::new(),
            next_leg: 1,
            next_call: first_call.max(1),
            first_call: first_call.max(1),
            asked: HashMap::new(),
            routes_asked: HashSet::new(),
            next_question: 1,
            prompts: Arc::default(),
            mailboxes: BTreeMap::new(),
            conferences: Conferences::default(),
            next_recording: 1,
            parked: BTreeMap::new(),
            lines: BTreeMap::new(),
            spent: Spent::default(),
            idle_since: HashMap::new(),
            queues: HashMap::new(),
            found_busy: HashMap::new(),
            wishes: Vec::new(),
            somebody_is_free: false,
            calls_moved: false,
            lamps_moved: false,
            turns: HashMap::new(),
            random: ChaCha20Rng::from_seed(seed.0),
        }
    }

    // -- outputs

    pub(super) fn put(&mut self, output: Output) {
        self.outbox.push_back(output);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outbox.push_back(Output::Event(event));
    }

    pub(super) fn media(&mut self, command: bridge::Command) {
        self.outbox.push_back(Output::Media(command));
    }

    pub(super) fn next_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    // -- names

    pub(super) fn new_call(&mut self) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        call
    }

    /// What a caller may use of SIP's extensions.
    pub(super) fn terms_of(&self, caller: &Caller) -> config::Terms {
        match &caller.kind {
            CallerKind::Trunk(name) => self.links.get(name).map(|link| link.trunk.terms).unwrap_or_default(),
            CallerKind::Extension | CallerKind::Exchange => config::Terms::default(),
        }
    }

    /// The value of Identity (RFC 8224) for a call; `None` when nothing is signed here.
    pub(super) fn signature(&self, from: &Party, to: &Party) -> Option<String> {
        let signer = self.setup.signer.as_deref()?;
        identity::sign(signer, &from.uri.as_uri(), &to.uri.as_uri(), self.unix()).ok()
    }

    /// Whether somebody may register as this: an extension, or a neighbour that registers with us.
    pub(super) fn is_account(&self, user: &str) -> bool {
        self.directory.get(user).is_some() || self.links.by_user(user).is_some()
    }

    /// Whether more digits may follow these.
    pub(super) fn completion(&self, dialled: &str) -> Completion {
        if self.setup.emergency.iter().any(|number| number == dialled) {
            // Nobody waits for help because a longer number begins so.
            return Completion::Complete;
        }
        self.setup.plan.completion(dialled, &self.directory)
    }

    /// What a number reaches now.
    pub(super) fn find(&self, dialled: &str) -> Destination {
        self.setup.plan.find_at(dialled, &self.directory, self.setup.time_of_day, self.unix())
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self) -> u64 {
        let time = self.time_of_day(self.now);
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// How many calls an extension or a trunk has now.
    pub(super) fn calls_of(&self, line: &str) -> usize {
        self.lines.values().filter(|lines| lines.iter().any(|own| own == line)).count()
    }

    /// How many calls there have been since the start.
    pub(super) fn calls_ever(&self) -> u64 {
        self.next_call.saturating_sub(self.first_call)
    }

    pub(super) fn new_leg(&mut self, call: u64) -> LegId {
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        self.legs.insert(leg, call);
        leg
    }

    pub(super) fn new_recording(&mut self) -> RecordingId {
        let recording = RecordingId(self.next_recording);
        self.next_recording += 1;
        recording
    }

    pub(super) fn forget_leg(&mut self, leg: LegId) {
        self.legs.remove(&leg);
    }

    /// A leg with its handle belongs to another call from now on.
    pub(super) fn rehome(&mut self, leg: &Leg, call: u64) {
        self.legs.insert(leg.id(), call);
        if let Some(handle) = leg.handle {
            self.handles.insert(handle, call);
        }
    }

    pub(super) fn call_of_leg(&self, leg: LegId) -> Option<u64> {
        self.legs.get(&leg).copied()
    }

    pub(super) fn hold_handle(&mut self, handle: CallHandle, call: u64) {
        self.handles.insert(handle, call);
    }

    pub(super) fn drop_handle(&mut self, handle: CallHandle) {
        self.handles.remove(&handle);
    }

    pub(super) fn call_of(&self, handle: CallHandle) -> Option<u64> {
        self.handles.get(&handle).copied()
    }

    /// Whose turn it is in a group; the next one's the next time.
    pub(super) fn next_turn(&mut self, group: &str) -> usize {
        let turn = self.turns.entry(group.to_owned()).or_default();
        *turn = turn.wrapping_add(1);
        turn.wrapping_sub(1)
    }

    pub(super) fn negotiator_seed(&mut self) -> denwa_sdp::Seed {
        denwa_sdp::Seed(self.random_bytes())
    }

    pub(super) fn random_bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    // -- time

    /// The time of day of an instant.
    pub(super) fn time_of_day(&self, at: Instant) -> SystemTime {
        let (instant, time) = self.setup.clock;
        match at.checked_duration_since(instant) {
            Some(since) => time + since,
            None => time.checked_sub(instant.saturating_duration_since(at)).unwrap_or(time),
        }
    }

    /// The time of day is this now. By how many milliseconds that is another than was thought, when it is to be noticed.
    pub(super) fn set_clock(&mut self, time: SystemTime) -> Option<i64> {
        let thought = self.time_of_day(self.now);
        let moved = milliseconds(time).saturating_sub(milliseconds(thought));
        if moved.unsigned_abs() < 1_000 {
            return None;
        }
        self.setup.clock = (self.now, time);
        Some(moved)
    }

    /// The instant of a time of day; now for the past.
    pub(super) fn instant_of(&self, time: SystemTime) -> Instant {
        let remaining = time.duration_since(self.time_of_day(self.now)).unwrap_or_default();
        self.now.checked_add(remaining).unwrap_or(self.now)
    }

    // -- addresses

    /// What a peer is told; `None` when the route to him is being asked for.
    pub(super) fn place_of(&mut self, peer: IpAddr) -> Option<Result<Place, NoWay>> {
        let place = self.places.of(peer, self.now);
        if place.is_none() {
            let peer = peer.to_canonical();
            if self.routes_asked.insert(peer) {
                self.ask_route(Asked::Route(peer), SocketAddr::new(peer, config::SIP_PORT));
            }
        }
        place
    }

    pub(super) fn ask_route(&mut self, asked: Asked, destination: SocketAddr) {
        let question = self.question(asked);
        self.put(Output::Ask { question, what: Ask::Route(destination) });
    }

    pub(super) fn ask_addresses(&mut self, asked: Asked, host: &str) {
        let question = self.question(asked);
        self.put(Output::Ask { question, what: Ask::Addresses(host.to_owned()) });
    }

    /// What was asked by that number; `None` when it was answered already.
    pub(super) fn answered(&mut self, question: u64) -> Option<Asked> {
        let asked = self.asked.remove(&question)?;
        if let Asked::Route(peer) = &asked {
            self.routes_asked.remove(peer);
        }
        Some(asked)
    }

    /// Who we are to a peer: the Contact's user, and the address and port that lead here from him.
    pub(super) fn identity(
        &self,
        user: &str,
        place: &Place,
        protocol: Protocol,
        flow: Option<Flow>,
    ) -> LocalIdentity {
        let port = place
            .sip_port
            .or(flow.map(|flow| flow.local.port()))
            .unwrap_or_else(|| self.listening_port(protocol, place));
        LocalIdentity {
            user: user.to_owned(),
            advertised: Some(SentBy::from_address(SocketAddr::new(
                self.listening_ip(place, protocol, flow),
                port,
            ))),
            ..LocalIdentity::default()
        }
    }

    /// The address to tell a peer for signalling. The one that packets to him leave by may be one where nobody listens: the
    /// file may name others of a machine with several.
    fn listening_ip(&self, place: &Place, protocol: Protocol, flow: Option<Flow>) -> IpAddr {
        let is_like = |ip: &IpAddr| !ip.is_unspecified() && ip.is_ipv4() == place.told.is_ipv4();
        let fits = |listen: &&config::Listen| listen.protocol == protocol && serves(listen, place);
        if place.told != place.way.local || self.setup.listening.iter().any(|listen| fits(&listen)) {
            return place.told;
        }
        let came_to = flow.map(|flow| flow.local.ip()).filter(is_like);
        let own = self.setup.listening.iter().filter(|listen| listen.protocol == protocol);
        came_to.or_else(|| own.map(|listen| listen.address.ip()).find(is_like)).unwrap_or(place.told)
    }

    /// Whether a socket of ours has this address.
    pub(super) fn listens_at(&self, protocol: Protocol, local: SocketAddr) -> bool {
        self.setup.listening.iter().any(|listen| {
            let own = listen.address;
            let anywhere = own.ip().is_unspecified() && own.is_ipv4() == local.is_ipv4();
            listen.protocol == protocol && own.port() == local.port() && (own.ip() == local.ip() || anywhere)
        })
    }

    fn listening_port(&self, protocol: Protocol, place: &Place) -> u16 {
        let own = || self.setup.listening.iter().filter(|listen| listen.protocol == protocol);
        let here = own().find(|listen| serves(listen, place));
        // Otherwise that of an address which he is told in the place of the one that packets to him leave by.
        let there = || own().find(|listen| listen.address.is_ipv4() == place.told.is_ipv4());
        here.or_else(there).map_or(config::SIP_PORT, |listen| listen.address.port())
    }

    fn question(&mut self, asked: Asked) -> u64 {
        let question = self.next_question;
        self.next_question += 1;
        self.asked.insert(question, asked);
        question
    }
}

/// Whether what comes to the address that packets to a peer leave by is heard there.
fn serves(listen: &config::Listen, place: &Place) -> bool {
    let (own, local) = (listen.address.ip(), place.way.local);
    own == local || own.is_unspecified() && own.is_ipv4() == local.is_ipv4()
}
