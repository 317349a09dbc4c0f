//! The web server: a page that calls with one click, and voice robots, on a thread of their own.
//!
//! ```text
//! guests   who is served here, and what the machine tells each
//! visits   a call by HTTP: an offer is posted, an answer comes back (in the manner of WHIP, RFC 9725)
//! robots   WebSockets to robots that are called, and from those that call
//! page     the page itself, embedded
//! relay    what the page is told of the TURN server
//! ```

mod guests;
mod page;
mod relay;
mod robots;
mod visits;

pub(crate) use relay::Relay;

use crate::config::{Config, Kind};
use crate::gateway::{Command, GuestId, Told};
use axum::Router;
use denwa::tokio::{DriverHandle, Tls};
use guests::Guests;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 1000;

/// How long somebody may take to greet us by TLS.
const GREETING: Duration = Duration::from_secs(10);

/// What every request is served with.
#[derive(Clone)]
struct Shared {
    guests: Guests,
    sides: Arc<Vec<Served>>,
    relay: Option<Arc<Relay>>,
}

/// What is known of a side here.
#[derive(Clone, Debug)]
struct Served {
    name: String,
    kind: Kind,
    /// The number that the page calls.
    call: Option<String>,
    sample_rate_hz: u32,
}

/// Where somebody has connected to, and from where.
#[derive(Clone, Copy, Debug)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
}

/// Opens the server's socket.
///
/// # Errors
/// One sentence.
pub(crate) fn bind(config: &Config) -> Result<Option<TcpListener>, String> {
    let Some(web) = &config.web else { return Ok(None) };
    let listener = TcpListener::bind(web.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| format!("cannot serve web pages on {}: {error}", web.listen))?;
    Ok(Some(listener))
}

/// Serves until the machine has ended.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(
    config: &Config,
    listener: Option<TcpListener>,
    tls: Option<Tls>,
    relay: Option<Relay>,
    handle: DriverHandle<Command>,
    told: UnboundedReceiver<(GuestId, Told)>,
) -> std::io::Result<()> {
    let sides = config.sides.iter().map(|side| Served {
        name: side.name.clone(),
        kind: side.kind,
        call: side.call.clone(),
        sample_rate_hz: side.robot().map_or(16_000, |robot| robot.sample_rate_hz),
    });
    let shared =
        Shared { guests: Guests::new(handle), sides: Arc::new(sides.collect()), relay: relay.map(Arc::new) };
    let over_tls = config.web.as_ref().is_some_and(|web| web.tls);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("gateway-web".to_owned()).spawn(move || {
        let work = async move {
            let serving = serve(listener, tls.clone().filter(|_| over_tls), shared.clone());
            tokio::select! {
                () = tell(told, shared, tls) => {}
                () = serving => {}
            }
        };
        tokio::task::LocalSet::new().block_on(&runtime, work);
    })?;
    Ok(())
}

/// Hands on what the machine tells; robots that it calls are connected to.
async fn tell(mut told: UnboundedReceiver<(GuestId, Told)>, shared: Shared, tls: Option<Tls>) {
    while let Some((guest, told)) = told.recv().await {
        match told {
            Told::Call { url, from, to, sample_rate_hz } => {
                let inbox = shared.guests.enter(guest);
                let call = robots::Call { guest, from, to, sample_rate_hz };
                tokio::task::spawn_local(robots::connect(
                    call,
                    url,
                    tls.clone(),
                    inbox,
                    shared.guests.clone(),
                ));
            }
            told => shared.guests.tell(guest, told),
        }
    }
}

async fn serve(listener: Option<TcpListener>, tls: Option<Tls>, shared: Shared) {
    let listener = listener.and_then(|listener| tokio::net::TcpListener::from_std(listener).ok());
    let Some(listener) = listener else { return std::future::pending().await };
    let router = page::routes().merge(visits::routes()).merge(robots::routes()).with_state(shared);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of descriptors, most likely: others may be closed meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (router, tls) = (router.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            // Whoever sends nonsense is served no longer; what else went wrong is his to find out.
            let _ = welcome(stream, remote, router, tls).await;
            drop(permit);
        });
    }
}

async fn welcome(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    tls: Option<Tls>,
) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let ends = Ends { local: stream.local_addr()?, remote };
    let router = router.layer(axum::Extension(ends));
    match tls {
        Some(tls) => {
            let stream = tokio::time::timeout(GREETING, tls.accept(stream)).await??;
            converse(stream, router).await?;
        }
        None => converse(stream, router).await?,
    }
    Ok(())
}

async fn converse<S>(stream: S, router: Router) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(GREETING);
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades().await
}
