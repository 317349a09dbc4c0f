//! The media driver: worker threads, each with a [`MediaBridge`] and the sockets of its legs.
//!
//! A leg has its two sockets to itself, and lives on the worker its group names. Commands come in by a channel, events go
//! out by a call; no lock is taken for a packet. When legs of two workers are joined, one of them moves, sockets and all.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
mod relays;
mod worker;

use super::connect::Means;
use super::stream::StreamLimits;
use super::tls::Tls;
use super::websocket::WebSocketConfig;
use crate::Seed;
use crate::bridge::{BridgeConfig, Command, ConferenceId, Connection, Event, LegId, MediaBridge, Misuse};
use crate::marking::Dscp;
use relays::Relays;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use worker::{Post, Work};

pub(super) use worker::{bind as bind_media, failure as open_failure};

#[cfg(target_os = "linux")]
type SystemPoller = epoll::Epoll;
#[cfg(not(target_os = "linux"))]
type SystemPoller = portable::Portable;

/// What a media driver is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaDriverConfig {
    /// Threads that carry media, at least 1. Default: one for each processor, at most 8.
    pub workers: usize,
    /// Legs that may be open on each worker. Default 20 000.
    pub legs_per_worker: usize,
    /// Samples a second of conferences, recordings and everything else that is handled as sound. Default 8000.
    pub sound_rate_hz: u32,
}

impl Default for MediaDriverConfig {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        Self { workers, legs_per_worker: 20_000, sound_rate_hz: 8000 }
    }
}

impl MediaDriverConfig {
    /// As the default, with so many threads.
    #[must_use]
    pub fn with_workers(workers: usize) -> Self {
        Self { workers: workers.max(1), ..Self::default() }
    }
}

/// What a media driver's sockets and connections are made with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MediaMeans {
    /// What is sent is marked with. Default: no mark.
    pub dscp: Option<Dscp>,
    /// Which TURN servers are believed over TLS. Default: those that the system's authorities vouch for.
    pub tls: Option<Tls>,
    /// What connections to TURN servers may cost.
    pub limits: StreamLimits,
}

/// A running media driver.
pub struct MediaDriver {
    workers: Arc<Vec<Post>>,
    threads: Vec<JoinHandle<()>>,
    /// On which worker each leg lives.
    homes: Arc<Homes>,
    tell: Arc<dyn Fn(Event) + Send + Sync>,
    relays: Arc<Relays>,
}

#[derive(Default)]
struct Homes(Mutex<HashMap<LegId, usize>>);

impl Homes {
    fn lock(&self) -> MutexGuard<'_, HashMap<LegId, usize>> {
        // A map is whole between any two operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediaDriver {
    /// Starts the workers. `on_event` is called on their threads and must not wait.
    ///
    /// # Errors
    /// When the system gives no thread, no entropy or no way to wait for sockets.
    pub fn start(
        config: MediaDriverConfig,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(config, MediaMeans::default(), on_event)
    }

    /// The same, with a mark on what it sends, and authorities for connections over TLS.
    ///
    /// # Errors
    /// As [`MediaDriver::start`].
    pub fn start_with(
        config: MediaDriverConfig,
        means: MediaMeans,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let homes = Arc::new(Homes::default());
        let known = Arc::clone(&homes);
        let tell: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(move |event| {
            if let Event::Closed { leg, .. } | Event::OpenFailed { leg, .. } = &event {
                known.lock().remove(leg);
            }
            on_event(event);
        });
        let now = Instant::now();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let MediaMeans { dscp, tls, limits } = means;
        let (mut posts, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..config.workers.max(1) {
            let mut bridge_config = BridgeConfig::new(since_1970, now);
            bridge_config.legs_limit = config.legs_per_worker;
            bridge_config.sound_rate_hz = config.sound_rate_hz;
            let bridge = MediaBridge::new(bridge_config, Seed(super::entropy()?), now);
            let (post, worker) = worker::Worker::<SystemPoller>::new(bridge, dscp, Arc::clone(&tell))?;
            posts.push(post);
            workers.push(worker);
        }
        let posts = Arc::new(posts);
        let means = Means { tls, websocket: Arc::new(WebSocketConfig::default()), limits, dscp };
        let relays = Relays::new(means, &posts, Arc::clone(&homes));
        let mut threads = Vec::new();
        for (index, worker) in workers.into_iter().enumerate() {
            let worker = worker.with_relays(Arc::clone(&relays));
            let name = format!("denwa-media-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
        }
        Ok(Self { workers: posts, threads, homes, tell, relays })
    }

    /// Hands a command to the worker of its leg. Never waits.
    pub fn command(&self, command: Command) {
        let leg = command.leg();
        let home = match &command {
            Command::Open { spec, .. } => {
                let worker = usize::try_from(spec.group % self.workers.len().max(1) as u64).unwrap_or(0);
                // A name that is in use goes to the worker that has it, which refuses it.
                Some(*self.homes.lock().entry(leg).or_insert(worker))
            }
            Command::Connect { to: Connection::Leg(other), .. } => {
                self.bring_together(leg, *other);
                self.home(leg)
            }
            Command::Connect { to: Connection::Conference(ConferenceId(conference)), .. } => {
                let worker = usize::try_from(conference % self.workers.len().max(1) as u64).unwrap_or(0);
                self.move_to(leg, worker);
                self.home(leg)
            }
            _ => self.home(leg),
        };
        match home.and_then(|home| self.workers.get(home)) {
            Some(worker) => worker.send(Work::Command(command)),
            None => (self.tell)(Event::Rejected { leg, misuse: Misuse::UnknownLeg(leg) }),
        }
    }

    /// Has `other` live where `leg` lives.
    fn bring_together(&self, leg: LegId, other: LegId) {
        if let Some(here) = self.home(leg) {
            self.move_to(other, here);
        }
    }

    /// Has `leg` live on this worker.
    fn move_to(&self, leg: LegId, worker: usize) {
        let mut homes = self.homes.lock();
        let Some(from) = homes.get(&leg).copied().filter(|home| *home != worker) else { return };
        let (Some(to), Some(from)) = (self.workers.get(worker), self.workers.get(from)) else { return };
        homes.insert(leg, worker);
        // Commands that come to the new home from now on wait there for the leg.
        to.send(Work::Expect(leg));
        from.send(Work::Leave { leg, to: to.clone() });
    }

    fn home(&self, leg: LegId) -> Option<usize> {
        self.homes.lock().get(&leg).copied()
    }

    /// Ends the workers when they have done what they were told, and waits for that.
    pub fn stop(self) {
        for worker in self.workers.iter() {
            worker.send(Work::Stop);
        }
        for thread in self.threads {
            // A worker that panicked has ended as well.
            let _ = thread.join();
        }
        self.relays.stop();
    }

    /// Uses other authorities for connections to come. Those that stand are not touched.
    pub fn reload_tls(&self, tls: Tls) {
        self.relays.reload(tls);
    }
}

impl fmt::Debug for MediaDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaDriver").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}
