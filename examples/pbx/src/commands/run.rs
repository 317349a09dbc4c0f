//! `pbx run`: the store opened, the sockets bound, the exchange started on the drivers, and its end awaited.
//!
//! Three threads beside the media's: this one waits for signals, one carries all signalling, one the store. What the
//! exchange tells becomes lines of the log here.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

use denwa::farewell::{Journal, Left};
use denwa::media::Identity;
use denwa::tokio::{
    DriverConfig, DriverHandle, Listen, MediaDriverConfig, SignallingDriver, TurnServer, entropy,
    own_addresses,
};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::{ControlDesk, Reloader};
use super::{certificate, failed, load, say, turn, welcome};
use crate::cabinet::{self, Cabinet, CabinetConfig};
use crate::config::{Config, Secret, StoreUrl};
use crate::control::{self, Control, Switchboard};
use crate::exchange::{Command, Event, Exchange, ExchangeConfig, Report, Seed, Told, Weight};
use crate::mantela::{Server, document};
use crate::policy::directory::Directory;
use crate::services::prompts::Prompts;
use crate::store::thread::{People, StoreAnswer, StoreRequest, StoreThread};
use crate::store::{Claim, MadeBy, Store, StoredBinding, StoredExtension, password};

/// The extensions that an exchange without any makes for itself.
const FIRST_EXTENSIONS: [&str; 5] = ["1001", "1002", "1003", "1004", "1005"];

pub(super) fn run(file: Option<&Path>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    match start(config, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

/// What is known before anything listens.
struct Prepared {
    config: Config,
    file: Option<PathBuf>,
    claim: Claim,
    store: Store,
    people: People,
    directory: Directory,
    made: Vec<(String, Secret)>,
    registrations: Vec<StoredBinding>,
    first_call: u64,
}

fn start(mut config: Config, file: Option<&Path>) -> Result<(), String> {
    super::secrets::make_identity(&config)?;
    config.read_identity()?;
    let prepared = prepare(config, file)?;
    // From here on a Ctrl-C is an end in good order.
    let no_thread = |error: io::Error| format!("cannot start a thread: {error}");
    let signals = Signals::new().map_err(no_thread)?;
    let Running { driver, store, cabinet, reloader, control, claim } = launch(prepared)?;
    signals.watch(driver.handle(), reloader).map_err(no_thread)?;
    let ended = driver.join();
    drop(control);
    // The exchange has let go of the queue: the store writes what is left in it, and ends.
    drop(store);
    drop(cabinet);
    drop(claim);
    ended.map_err(|_| {
        "the exchange has died of a mistake in this program; what it printed before says where".to_owned()
    })
}

fn prepare(config: Config, file: Option<&Path>) -> Result<Prepared, String> {
    let claim = Claim::of(&config.store.url).map_err(|error| error.to_string())?;
    let mut store = Store::open(&config.store.url).map_err(|error| error.to_string())?;
    let mut stored = store.extensions().map_err(|error| error.to_string())?;
    let mut made = Vec::new();
    if config.extensions.is_empty() && stored.is_empty() && store.is_new() {
        (stored, made) = first_extensions(&config)?;
        store.put_extensions(&stored).map_err(|error| error.to_string())?;
    }
    let people =
        People { extensions: stored, settings: store.settings().map_err(|error| error.to_string())? };
    let directory = Directory::new(&config, &people.extensions, file).with_settings(&people.settings);
    let registrations = store.registrations(SystemTime::now()).map_err(|error| error.to_string())?;
    let last_call = store.last_call().map_err(|error| error.to_string())?;
    let first_call = u64::try_from(last_call).unwrap_or(0).saturating_add(1);
    Ok(Prepared {
        config,
        file: file.map(Path::to_owned),
        claim,
        store,
        people,
        directory,
        made,
        registrations,
        first_call,
    })
}

type Made = (Vec<StoredExtension>, Vec<(String, Secret)>);

fn first_extensions(config: &Config) -> Result<Made, String> {
    let mut made = Made::default();
    for number in FIRST_EXTENSIONS {
        let secret =
            password::random().map_err(|error| format!("the system gives no random numbers: {error}"))?;
        let now = SystemTime::now();
        made.0.push(StoredExtension::new(number, "", &config.sip.realm, &secret, MadeBy::FirstRun, now));
        made.1.push((number.to_owned(), secret));
    }
    Ok(made)
}

fn launch(prepared: Prepared) -> Result<Running, String> {
    let Prepared { config, file, claim, store, people, directory, made, registrations, first_call } =
        prepared;
    let seed = entropy().map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let listen = usable(&config);
    let mut driver_config = DriverConfig::new(listen);
    driver_config.media = Some(MediaDriverConfig::default());
    driver_config.dns.servers.clone_from(&config.network.dns);
    driver_config.signalling_dscp = config.sip.dscp;
    driver_config.media_dscp = config.media.dscp;
    driver_config.tls = certificate::tls(&config, &own_addresses())?;
    let turn = turn::start(&config, driver_config.tls.as_ref())?.map(Arc::new);
    let text = welcome::text(&welcome::Facts {
        config: &config,
        directory: &directory,
        made: &made,
        registrations: &registrations,
        addresses: &own_addresses(),
    });
    let notices = directory.notices().to_vec();
    let identity = Identity::generate().map_err(|error| format!("no certificate for DTLS: {error}"))?;
    let machine_config = config.clone();
    let prompts = prompts(&config)?;
    let (to_store, queue) = std::sync::mpsc::channel::<StoreRequest>();
    let (to_cabinet, cabinet_queue) = std::sync::mpsc::channel::<cabinet::Request>();
    let switchboard = Arc::new(Switchboard::default());
    let (journal, left) = journal(&config)?.unzip();
    let driver = SignallingDriver::start(
        driver_config,
        move |listening: &[Listen], now: Instant| {
            let config = ExchangeConfig {
                file: machine_config,
                directory,
                registrations,
                listening: listening.to_vec(),
                identity: Some(identity),
                first_call,
                time: SystemTime::now(),
            };
            let mut exchange = Exchange::new(config, Seed(seed), now);
            if let Some(left) = left {
                exchange.keep_farewells(left);
            }
            exchange
        },
        {
            let queues = Queues {
                to_store,
                to_cabinet,
                journal,
                switchboard: Arc::clone(&switchboard),
                turn: turn.clone(),
            };
            move |told| queues.tell(told)
        },
    )
    .map_err(|error| error.to_string())?;
    let handle = driver.handle();
    let (control, metrics) = (control::path_of(&config), config.metrics.listen);
    let sync = config.store.sync;
    if let Some(prompts) = prompts {
        let _ = handle.command(Command::Prompts(Arc::new(prompts)));
    }
    let answers = handle.clone();
    let cabinet = Cabinet::start(cabinet_config(&config), cabinet_queue, move |answer| {
        let _ = answers.command(Command::Cabinet(answer));
    })
    .map_err(|error| format!("cannot start a thread: {error}"))?;
    let mantela = serve_mantela(&config, &people, file.as_deref())?;
    let reloader = Arc::new(Reloader::new(mantela, turn, handle.clone(), file, config, people));
    let answers = Answers { handle: handle.clone(), reloader: Arc::clone(&reloader) };
    let store = StoreThread::start(store, queue, sync, move |answer| answers.pass(answer))
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let desk = Arc::new(ControlDesk { handle, reloader: Arc::clone(&reloader) });
    if let Some(address) = metrics {
        super::metrics::start(address, desk.clone(), Arc::clone(&switchboard))?;
        tracing::info!("metrics are served at http://{address}/metrics");
    }
    let control = control.and_then(|path| match Control::start(&path, desk, switchboard) {
        Ok(control) => Some(control),
        Err(error) => {
            tracing::warn!("commands cannot speak to this exchange: {}: {error}", path.display());
            None
        }
    });
    say(&text);
    for notice in notices {
        tracing::warn!("{notice}");
    }
    for listening in driver.listening() {
        tracing::info!("listening on {listening}");
    }
    Ok(Running { driver, store, cabinet, reloader, control, claim })
}

/// The exchange and the store, running.
struct Running {
    driver: SignallingDriver<Command>,
    store: StoreThread,
    cabinet: Cabinet,
    reloader: Arc<Reloader>,
    control: Option<Control>,
    claim: Claim,
}

/// Where goes what the exchange tells.
struct Queues {
    to_store: Sender<StoreRequest>,
    to_cabinet: Sender<cabinet::Request>,
    journal: Option<Journal>,
    switchboard: Arc<Switchboard>,
    turn: Option<Arc<TurnServer>>,
}

impl Queues {
    fn tell(&self, told: Told) {
        match told {
            // The threads of store and cabinet end only after this one has dropped its ends of their queues.
            Told::Store(request) => drop(self.to_store.send(request)),
            Told::Cabinet(request) => drop(self.to_cabinet.send(request)),
            Told::Note(note) => self.journal.iter().for_each(|journal| journal.note(note.clone())),
            // A command that no longer waits misses nothing.
            Told::Answer(ticket, mut report) => {
                if let Report::Status(status) = report.as_mut() {
                    status.turn = self.turn.as_deref().map(turn::report);
                }
                self.switchboard.pass(ticket, control::Answer::Report(report));
            }
            Told::Traced(ticket, packet) => {
                self.switchboard.pass(ticket, control::Answer::Packet(packet));
            }
            // That a call has ended is told once its record is on disk: what the log says, the store knows.
            Told::Event(Event::CallEnded { .. }) => {}
            Told::Event(event) => log(&event),
        }
    }
}

/// The journal of calls, beside a store that stays, and what a former run left in it.
fn journal(config: &Config) -> Result<Option<(Journal, Vec<Left>)>, String> {
    if matches!(config.store.url, StoreUrl::Memory) {
        return Ok(None);
    }
    let path = config.beside_store("calls.journal");
    let failed = |sentence| tracing::warn!("{sentence}: calls are not written down");
    let opened = Journal::open(&path, failed);
    opened.map(Some).map_err(|error| format!("{} cannot be used: {error}", path.display()))
}

/// The operator's prompts, when there is a folder of them.
fn prompts(config: &Config) -> Result<Option<Prompts>, String> {
    config.prompts.folder.as_deref().map(Prompts::with_own).transpose()
}

/// The Mantela document, served where the file says.
fn serve_mantela(config: &Config, people: &People, file: Option<&Path>) -> Result<Option<Server>, String> {
    let Some(address) = config.mantela.listen else { return Ok(None) };
    let directory = Directory::new(config, &people.extensions, file).with_settings(&people.settings);
    let document = document(config, &directory).to_string();
    let server = Server::start(address, document)
        .map_err(|error| format!("cannot serve Mantela at {address}: {error}"))?;
    tracing::info!("Mantela is served at http://{address}/.well-known/mantela.json");
    Ok(Some(server))
}

/// Where sounds are kept: beside the store unless the file says otherwise.
fn cabinet_config(config: &Config) -> CabinetConfig {
    let beside = match &config.store.url {
        StoreUrl::Sqlite(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        StoreUrl::Memory => PathBuf::new(),
    };
    CabinetConfig {
        folder: config.voicemail.folder.clone().unwrap_or(beside),
        recordings: config.recording.folder.clone(),
        quota: config.recording.quota_megabytes.saturating_mul(1_000_000),
        hook: config.voicemail.hook.clone(),
    }
}

fn log(event: &Event) {
    match event.weight() {
        Weight::Detail => tracing::debug!("{event}"),
        Weight::News => tracing::info!("{event}"),
        Weight::Warning => tracing::warn!("{event}"),
    }
}

/// The store's answers, on their way to the exchange.
struct Answers {
    handle: DriverHandle<Command>,
    reloader: Arc<Reloader>,
}

impl Answers {
    fn pass(&self, answer: StoreAnswer) {
        match answer {
            StoreAnswer::People(people) => self.reloader.people_changed(people),
            StoreAnswer::CallKept(record) => {
                log(&Event::CallEnded { call: u64::try_from(record.call).unwrap_or(0), record });
            }
            // An answer that comes after the end answers nobody.
            answer => drop(self.handle.command(Command::Stored(answer))),
        }
    }
}

/// Where to listen: by default only on the families of addresses that this machine has.
fn usable(config: &Config) -> Vec<Listen> {
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let wanted = |listen: &&Listen| !config.sip.listen_is_default || listen.address.is_ipv4() || has_ipv6;
    config.sip.listen.iter().filter(wanted).copied().collect()
}

/// How often it is looked whether somebody has set the clock of the machine, or it slept.
const CLOCK_GLANCE: Duration = Duration::from_secs(5);

/// Whether the clock went otherwise than time did.
fn was_set(before: (Instant, SystemTime), now: (Instant, SystemTime)) -> bool {
    let expected = before.1 + now.0.saturating_duration_since(before.0);
    let apart = expected.duration_since(now.1).unwrap_or_else(|early| early.duration());
    apart >= Duration::from_secs(1)
}

/// SIGINT, SIGTERM, SIGHUP and SIGUSR1, noticed from the moment this is made.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    report: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let report = signal(SignalKind::user_defined1())?;
        let reload = signal(SignalKind::hangup())?;
        drop(guard);
        Ok(Self { runtime, interrupt, terminate, report, reload })
    }

    /// Ends the exchange at the first signal to end, and the program at once at the second; SIGUSR1 asks for a report, SIGHUP
    /// has the file read anew.
    fn watch(mut self, handle: DriverHandle<Command>, reloader: Arc<Reloader>) -> io::Result<()> {
        let work = move || {
            self.wait(&handle, &reloader);
            tracing::info!("ending: calls are hung up; once more ends at once");
            // When it has ended by itself the program is on its way out already.
            let _ = handle.command(Command::ShutDown);
            self.wait(&handle, &reloader);
            std::process::exit(1);
        };
        thread::Builder::new().name("signals".to_owned()).spawn(work).map(drop)
    }

    /// Waits for a signal to end, and does what the others ask for.
    fn wait(&mut self, handle: &DriverHandle<Command>, reloader: &Reloader) {
        let Self { runtime, interrupt, terminate, report, reload } = self;
        runtime.block_on(async {
            let mut glance = tokio::time::interval(CLOCK_GLANCE);
            let mut clock = (Instant::now(), SystemTime::now());
            loop {
                tokio::select! {
                    _ = glance.tick() => {
                        let now = (Instant::now(), SystemTime::now());
                        if was_set(clock, now) {
                            let _ = handle.command(Command::Clock(now.1));
                            clock = now;
                        }
                    }
                    _ = interrupt.recv() => return,
                    _ = terminate.recv() => return,
                    _ = report.recv() => drop(handle.command(Command::Report)),
                    _ = reload.recv() => super::reload::log(&reloader.reload()),
                }
            }
        });
    }
}
