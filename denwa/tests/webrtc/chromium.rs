//! Chromium on a page that asks us what to do, and the web server that answers it.

use crate::end::{End, holds_tone};
use denwa::media::{Event, IceConfig};
use denwa_interop::web::Request;
use denwa_sdp::Codec;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the page is told, and where everything is.
pub(crate) struct Scenario {
    /// Whether the page makes the offer.
    pub(crate) page_offers: bool,
    /// The page's `RTCConfiguration`.
    pub(crate) configuration: Value,
    pub(crate) codec: Codec,
    /// Our address.
    pub(crate) here: IpAddr,
    /// What the page is reached by, when it is not the listening socket itself.
    pub(crate) page: Option<SocketAddr>,
    /// The network namespace that the browser lives in.
    pub(crate) namespace: Option<String>,
}

impl Scenario {
    /// On loopback.
    pub(crate) fn new(page_offers: bool, configuration: Value) -> Self {
        let here = IpAddr::from([127, 0, 0, 1]);
        Self { page_offers, configuration, codec: Codec::pcmu(), here, page: None, namespace: None }
    }
}

/// A configuration that has the page come by this TURN server and by nothing else.
pub(crate) fn only_by(url: &str, user: &str, password: &str) -> Value {
    let server = json!({ "urls": url, "username": user, "credential": password });
    json!({ "iceServers": [server], "iceTransportPolicy": "relay" })
}

/// The page says 440 Hz and posts what it hears.
const PAGE: &str = include_str!("page.html");

/// The browser, ended with its owner.
struct Chromium {
    child: Child,
    folder: PathBuf,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn start(url: &str, namespace: Option<&str>) -> Option<Chromium> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
        .into_iter()
        .find(|it| std::path::Path::new(it).is_file());
    let Some(program) = found else {
        assert!(std::env::var("DENWA_REQUIRE_PEERS").as_deref() != Ok("1"), "chromium is not installed");
        println!("chromium is not installed: passed over");
        return None;
    };
    let name =
        format!("denwa-browser-{}-{}", std::process::id(), url.rsplit(':').next().unwrap().trim_matches('/'));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(namespace.map_or(program, |_| "ip"));
    if let Some(namespace) = namespace {
        command.args(["netns", "exec", namespace, program]);
    }
    let child = command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
        .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
        .args(["--autoplay-policy=no-user-gesture-required", "--proxy-server=direct://"])
        .args(["--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        // Who has no name on this host is to have a microphone all the same.
        .arg(format!("--unsafely-treat-insecure-origin-as-secure={}", url.trim_end_matches('/')))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Some(Chromium { child, folder })
}

/// A call; what the page tells of it, and what our session did.
pub(crate) fn call(scenario: &Scenario, ice: IceConfig) -> Option<(Value, Vec<Event>)> {
    // Several browsers at once have no time left for sound on a small machine.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let port = scenario.page.map_or(0, |page| page.port());
    let listener = TcpListener::bind((scenario.here, port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let page = scenario.page.unwrap_or_else(|| listener.local_addr().unwrap());
    let mut chromium = start(&format!("http://{page}/"), scenario.namespace.as_deref())?;
    let mut end = End::new(scenario.here, scenario.codec.clone(), ice);
    let give_up = Instant::now() + Duration::from_secs(180);
    let mut facts = Value::Null;
    loop {
        end.run();
        let log = || std::fs::read_to_string(chromium.folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < give_up, "{:?}\n{facts}\n{:#?}\n{}", end.events, end.session.pairs(), log());
        if let Ok(Some(status)) = chromium.child.try_wait() {
            panic!("Chromium has ended: {status}\n{}", log());
        }
        let Some(request) = listener.accept().ok().and_then(|(stream, _)| Request::read(stream)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let (path, query) = request.parts();
        match path {
            "/" => request.respond("text/html", PAGE.as_bytes()),
            "/plan" => {
                let plan = json!({ "offers": scenario.page_offers, "configuration": scenario.configuration });
                request.respond("application/json", plan.to_string().as_bytes());
            }
            "/offer" => {
                let answer = end.answer(&text);
                request.respond("application/sdp", &answer);
            }
            "/ours" => {
                let offer = end.offer();
                request.respond("application/sdp", &offer);
            }
            "/answer" => {
                end.accept(&text);
                request.respond("text/plain", b"");
            }
            "/facts" => {
                facts = serde_json::from_str(&text).unwrap();
                request.respond("text/plain", b"");
            }
            "/heard" => {
                let rate: f64 = query.parse().unwrap();
                let samples = request.samples();
                assert_eq!(facts["state"], "connected", "{:?}", end.events);
                let both = holds_tone(&samples, rate, 1000.0) && holds_tone(&end.heard, 8000.0, 440.0);
                request.respond("text/plain", if both { b"enough" } else { b"more" });
                if both {
                    println!("{facts} {:?}", end.session.report());
                    return Some((facts, end.events));
                }
            }
            "/failed" => panic!("the page: {text}"),
            _ => request.respond("text/plain", b""),
        }
    }
}
