//! Connections to TURN servers over TCP and TLS for the legs of all workers: one thread beside them, begun with the first
//! connection, which makes and carries them as the signalling driver does its own.

use super::Homes;
use super::worker::{Post, Work};
use crate::bridge::LegId;
use crate::media::Wire;
use crate::tokio::connect::{self, Means, Ready};
use crate::tokio::stream::{self, FromStream, StreamHandle, Taken};
use crate::tokio::tls::Tls;
use bytes::Bytes;
use denwa_ice::{Protocol as IceProtocol, StreamId};
use denwa_sip_core::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet, spawn_local};

/// A way to the connections, for every worker.
pub(super) struct Relays {
    state: Mutex<State>,
    /// Not kept alive by what the workers hold themselves.
    workers: Weak<Vec<Post>>,
    homes: Arc<Homes>,
}

struct State {
    means: Means,
    thread: Option<(mpsc::UnboundedSender<Message>, JoinHandle<()>)>,
}

/// What became of a connection.
pub(super) enum StreamNews {
    Opened {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Data {
        payload: Bytes,
        /// The next bytes are read when this is dropped.
        _taken: Taken,
    },
    Closed {
        was_open: bool,
    },
}

/// Connections have numbers of their own in each leg.
type Key = (LegId, StreamId);

enum Message {
    Wire { leg: LegId, wire: Wire },
    Forget(LegId),
    Tls(Tls),
    Connected { key: Key, ready: Option<Box<Ready>> },
    News { key: Key, news: FromStream },
    Stop,
}

impl Relays {
    pub(super) fn new(means: Means, workers: &Arc<Vec<Post>>, homes: Arc<Homes>) -> Arc<Self> {
        let state = Mutex::new(State { means, thread: None });
        Arc::new(Self { state, workers: Arc::downgrade(workers), homes })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a leg wants; what becomes of it comes to the leg's worker.
    pub(super) fn perform(self: &Arc<Self>, leg: LegId, wire: Wire) {
        let mut state = self.lock();
        if state.thread.is_none() {
            let begun = Thread::start(state.means.clone(), Arc::downgrade(self));
            state.thread = begun.ok();
        }
        match (&state.thread, wire) {
            (Some((thread, _)), wire) => drop(thread.send(Message::Wire { leg, wire })),
            (None, Wire::Open { stream, .. }) => {
                drop(state);
                self.tell((leg, stream), StreamNews::Closed { was_open: false });
            }
            (None, _) => {}
        }
    }

    /// The leg is closed, and its connections with it.
    pub(super) fn forget(&self, leg: LegId) {
        self.send(Message::Forget(leg));
    }

    /// Connections to come are made with this.
    pub(super) fn reload(&self, tls: Tls) {
        self.lock().means.tls = Some(tls.clone());
        self.send(Message::Tls(tls));
    }

    fn send(&self, message: Message) {
        if let Some((thread, _)) = &self.lock().thread {
            let _ = thread.send(message);
        }
    }

    /// Lets the connections write what waits, and ends.
    pub(super) fn stop(&self) {
        let thread = self.lock().thread.take();
        if let Some((messages, thread)) = thread {
            let _ = messages.send(Message::Stop);
            // One that panicked has ended as well.
            let _ = thread.join();
        }
    }

    /// Tells the worker where the leg lives now. A leg that moves takes its home along before it leaves, under the same lock.
    fn tell(&self, (leg, stream): Key, news: StreamNews) {
        let homes = self.homes.lock();
        let Some(workers) = self.workers.upgrade() else { return };
        if let Some(worker) = homes.get(&leg).and_then(|home| workers.get(*home)) {
            worker.send(Work::Stream { leg, stream, news });
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.send(Message::Stop);
    }
}

/// What the thread holds.
struct Thread {
    means: Means,
    relays: Weak<Relays>,
    inbox: mpsc::UnboundedSender<Message>,
    opening: BTreeSet<Key>,
    open: BTreeMap<Key, (StreamHandle, AbortHandle)>,
    /// Connections whose tasks have not ended.
    tasks: usize,
}

impl Thread {
    fn start(
        means: Means,
        relays: Weak<Relays>,
    ) -> io::Result<(mpsc::UnboundedSender<Message>, JoinHandle<()>)> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let own = inbox.clone();
        let thread = std::thread::Builder::new().name("denwa-media-streams".to_owned()).spawn(move || {
            let (opening, open) = (BTreeSet::new(), BTreeMap::new());
            let thread = Self { means, relays, inbox: own, opening, open, tasks: 0 };
            runtime.block_on(LocalSet::new().run_until(thread.run(messages)));
        })?;
        Ok((inbox, thread))
    }

    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Wire { leg, wire } => self.perform(leg, wire),
                Message::Forget(leg) => {
                    self.opening.retain(|(of, _)| *of != leg);
                    self.open.retain(|(of, _), _| *of != leg);
                }
                Message::Tls(tls) => self.means.tls = Some(tls),
                Message::Connected { key, ready } => self.connected(key, ready),
                Message::News { key, news } => self.hear(key, news),
                Message::Stop => break,
            }
        }
        // Without their handles the tasks end when everything is written.
        self.open.clear();
        let mut patience = pin!(tokio::time::sleep(LAST_WORDS));
        while self.tasks > 0 {
            let message = poll_fn(|cx| match messages.poll_recv(cx) {
                Poll::Pending if patience.as_mut().poll(cx).is_ready() => Poll::Ready(None),
                other => other,
            });
            match message.await {
                Some(Message::News { news: FromStream::Closed, .. }) => self.task_ended(),
                Some(_) => {}
                None => return,
            }
        }
    }

    fn perform(&mut self, leg: LegId, wire: Wire) {
        match wire {
            Wire::Open { stream, protocol, local, remote, server_name } => {
                let key = (leg, stream);
                let full = self.open.len().saturating_add(self.opening.len()) >= self.means.limits.streams;
                let protocol = match protocol {
                    IceProtocol::Tcp => Some(Protocol::Tcp),
                    IceProtocol::Tls => Some(Protocol::Tls),
                    // DTLS to a server.
                    _ => None,
                };
                let Some(protocol) = protocol.filter(|_| !full) else {
                    return self.tell(key, StreamNews::Closed { was_open: false });
                };
                self.opening.insert(key);
                let (inbox, means) = (self.inbox.clone(), self.means.made_for(protocol));
                let name = server_name.map(Into::into);
                spawn_local(async move {
                    let ready = connect::connect(means, protocol, local, remote, name).await;
                    let ready = ready.ok().map(Box::new);
                    let _ = inbox.send(Message::Connected { key, ready });
                });
            }
            Wire::Send { stream, payload } => {
                let key = (leg, stream);
                let cut_off = self.open.get(&key).is_some_and(|(handle, _)| !handle.send(payload));
                if cut_off && let Some((_, task)) = self.open.remove(&key) {
                    task.abort();
                    self.task_ended();
                    self.tell(key, StreamNews::Closed { was_open: true });
                }
            }
            Wire::Close { stream } => {
                self.opening.remove(&(leg, stream));
                self.open.remove(&(leg, stream));
            }
            // Names are not asked for here.
            Wire::Resolve { .. } => {}
        }
    }

    fn connected(&mut self, key: Key, ready: Option<Box<Ready>>) {
        if !self.opening.remove(&key) {
            return;
        }
        let ends = ready.and_then(|ready| {
            let tcp = ready.link.tcp();
            let ends = tcp.local_addr().ok().zip(tcp.peer_addr().ok())?;
            Some((ready, ends))
        });
        let Some((ready, (local, remote))) = ends else {
            return self.tell(key, StreamNews::Closed { was_open: false });
        };
        let Ready { link, framing, .. } = *ready;
        // Sound does not wait for more of it.
        let _ = link.tcp().set_nodelay(true);
        let inbox = self.inbox.clone();
        let tell = async move |news| {
            let _ = inbox.send(Message::News { key, news });
        };
        let (handle, work) = stream::connection(link, framing, self.means.limits, tell);
        self.tasks = self.tasks.saturating_add(1);
        self.open.insert(key, (handle, spawn_local(work).abort_handle()));
        self.tell(key, StreamNews::Opened { local, remote });
    }

    fn hear(&mut self, key: Key, news: FromStream) {
        match news {
            FromStream::Data { payload, taken } if self.open.contains_key(&key) => {
                self.tell(key, StreamNews::Data { payload, _taken: taken });
            }
            FromStream::Data { .. } => {}
            // It is being cut off, and that is told then.
            FromStream::TooFast => {}
            FromStream::Closed => {
                self.task_ended();
                if self.open.remove(&key).is_some() {
                    self.tell(key, StreamNews::Closed { was_open: true });
                }
            }
        }
    }

    fn task_ended(&mut self) {
        self.tasks = self.tasks.saturating_sub(1);
    }

    fn tell(&self, key: Key, news: StreamNews) {
        if let Some(relays) = self.relays.upgrade() {
            relays.tell(key, news);
        }
    }
}

/// How long connections may take to write what waits when the driver ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
