//! The signalling driver: one thread that owns a machine, and everything the machine asks for.
//!
//! The loop is the one of every machine here: do what it wants done, wait for the network, the media, the program or the
//! clock, and hand that in. Waiting for names and connections happens in tasks beside it, on the same thread. This file is what
//! the program sees of it; the loop is in `running`.

use super::connect::{Means, Ready};
use super::listen::{Listen, Listening, StartError, bind_tcp};
use super::marking::mark;
use super::media::{MediaDriver, MediaDriverConfig, MediaMeans};
use super::names::{DnsConfig, Names};
use super::running::{Running, accept};
use super::stream::{FromStream, StreamLimits};
use super::streams::Streams;
use super::tls::Tls;
use super::udp::{Batching, Udp};
use super::websocket::WebSocketConfig;
use crate::bridge;
use crate::driver::{Answer, Machine};
use crate::marking::Dscp;
use denwa_sip_core::io::{Answer as DnsAnswer, QueryId, StreamFailure};
use denwa_sip_core::{Protocol, StreamId};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{LocalSet, spawn_local};

/// What a signalling driver is started with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DriverConfig {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// What connections may cost.
    pub limits: StreamLimits,
    /// TLS: needed to listen for `tls:` and `wss:`, for which it must have a certificate. Without it, connections to
    /// others believe the authorities that the system believes.
    pub tls: Option<Tls>,
    /// WebSockets.
    pub websocket: WebSocketConfig,
    /// Datagrams a call to the system.
    pub batching: Batching,
    /// Whom to ask for names.
    pub dns: DnsConfig,
    /// What datagrams and connections with SIP are marked with. A marked socket that listens on all addresses leaves the choice of
    /// its own address to the system. Default: no mark.
    pub signalling_dscp: Option<Dscp>,
    /// What RTP and RTCP are marked with. Default: no mark.
    pub media_dscp: Option<Dscp>,
    /// The media driver to start besides; without it commands for the media are answered with a failure to open.
    pub media: Option<MediaDriverConfig>,
}

impl DriverConfig {
    /// Listens on `listen`, with one media worker for each processor.
    #[must_use]
    pub fn new(listen: Vec<Listen>) -> Self {
        Self { listen, media: Some(MediaDriverConfig::default()), ..Self::default() }
    }
}

/// A running signalling driver.
pub struct SignallingDriver<C> {
    handle: DriverHandle<C>,
    listening: Vec<Listening>,
    thread: JoinHandle<()>,
}

/// A way to a running driver for the program's other threads. Clones lead to the same driver.
pub struct DriverHandle<C> {
    inbox: mpsc::UnboundedSender<Message<C>>,
}

/// The driver has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver has ended")
    }
}

impl std::error::Error for Stopped {}

impl<C> Clone for DriverHandle<C> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone() }
    }
}

impl<C> fmt::Debug for DriverHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverHandle").finish_non_exhaustive()
    }
}

impl<C> DriverHandle<C> {
    /// Hands a command to the machine. Never waits; may be called from any thread.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn command(&self, command: C) -> Result<(), Stopped> {
        self.inbox.send(Message::Command(command)).map_err(|_| Stopped)
    }

    /// Uses other certificates and authorities for connections to come. Those that stand are not touched.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn reload_tls(&self, tls: Tls) -> Result<(), Stopped> {
        self.inbox.send(Message::Tls(tls)).map_err(|_| Stopped)
    }
}

/// What comes to the driver's thread besides datagrams and time.
pub(super) enum Message<C> {
    Command(C),
    Media(bridge::Event),
    Tls(Tls),
    Accepted {
        protocol: Protocol,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        /// Its place in the queue of those that were not looked at yet.
        place: OwnedSemaphorePermit,
    },
    /// An accepted connection's handshakes are done.
    Welcomed {
        id: StreamId,
        protocol: Protocol,
        ready: Box<Ready>,
    },
    /// They failed.
    Refused {
        id: StreamId,
    },
    Connected {
        id: StreamId,
        protocol: Protocol,
        result: Result<Box<Ready>, StreamFailure>,
    },
    Stream {
        id: StreamId,
        news: FromStream,
    },
    Resolved {
        id: QueryId,
        answer: DnsAnswer,
    },
    Answered {
        question: u64,
        answer: Answer,
    },
}

impl<C: Send + 'static> SignallingDriver<C> {
    /// Opens what is to be listened on, makes the machine on a thread of its own, and runs it until it says
    /// [`crate::driver::Output::Stop`]. `make` is given what is being listened on; `on_event` is called on the driver's thread with what the
    /// machine tells, and must not wait: what takes long belongs on another thread, which answers by a command.
    ///
    /// # Errors
    /// Names the address that cannot be listened on.
    pub fn start<M, E>(
        config: DriverConfig,
        make: impl FnOnce(&[Listening], Instant) -> M + Send + 'static,
        on_event: E,
    ) -> Result<Self, StartError>
    where
        M: Machine<Command = C>,
        E: FnMut(M::Event) + Send + 'static,
    {
        let mut sockets = Vec::new();
        let mut listeners = Vec::new();
        let mut listening = Vec::new();
        for listen in &config.listen {
            let failed = |error| StartError::Listen { listen: *listen, error };
            let address = match listen.protocol {
                Protocol::Udp => {
                    let socket = Udp::bind(listen.address).map_err(failed)?;
                    let address = socket.local_addr().map_err(failed)?;
                    sockets.push(socket);
                    address
                }
                protocol => {
                    if protocol.is_secure() && !config.tls.as_ref().is_some_and(Tls::can_listen) {
                        return Err(StartError::NoCertificate(*listen));
                    }
                    let listener = bind_tcp(listen.address).map_err(failed)?;
                    let address = listener.local_addr().map_err(failed)?;
                    listeners.push((protocol, listener));
                    address
                }
            };
            listening.push(Listening { protocol: listen.protocol, address });
        }
        let (inbox, messages) = mpsc::unbounded_channel();
        let media = config
            .media
            .clone()
            .map(|media| {
                let inbox = inbox.clone();
                let (dscp, tls, limits) = (config.media_dscp, config.tls.clone(), config.limits);
                MediaDriver::start_with(media, MediaMeans { dscp, tls, limits }, move |event| {
                    drop(inbox.send(Message::Media(event)))
                })
            })
            .transpose()
            .map_err(StartError::Thread)?;
        let handle = DriverHandle { inbox: inbox.clone() };
        let told = listening.clone();
        let (dscp, media_dscp) = (config.signalling_dscp, config.media_dscp);
        let means =
            Means { tls: config.tls, websocket: Arc::new(config.websocket), limits: config.limits, dscp };
        let names = Names::new(config.dns);
        let batching = config.batching;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("denwa-signalling".to_owned())
            .spawn(move || {
                let work = async move {
                    let machine = make(&told, Instant::now());
                    let udp = sockets
                        .into_iter()
                        .map(|socket| Ok(Udp::new(socket)?.batched(batching).marked(dscp)));
                    let Ok(udp) = udp.collect::<std::io::Result<Vec<_>>>() else { return };
                    for (protocol, listener) in listeners {
                        // What it accepts has its mark.
                        mark(&listener, dscp);
                        spawn_local(accept(protocol, listener, inbox.clone()));
                    }
                    let streams = Streams::new(means);
                    Running::new(machine, on_event, udp, (inbox, messages), media, names, streams)
                        .marked(media_dscp)
                        .run()
                        .await;
                };
                runtime.block_on(LocalSet::new().run_until(work));
            })
            .map_err(StartError::Thread)?;
        Ok(Self { handle, listening, thread })
    }

    /// What is being listened on.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// A way to the machine for other threads.
    #[must_use]
    pub fn handle(&self) -> DriverHandle<C> {
        self.handle.clone()
    }

    /// Waits until the machine has said [`crate::driver::Output::Stop`].
    ///
    /// # Errors
    /// When the driver's thread panicked.
    pub fn join(self) -> Result<(), Stopped> {
        self.thread.join().map_err(|_| Stopped)
    }
}

impl<C> fmt::Debug for SignallingDriver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignallingDriver").field("listening", &self.listening).finish_non_exhaustive()
    }
}
