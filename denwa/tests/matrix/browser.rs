//! The rows with Chromium: JsSIP in a page, over WSS, DTLS-SRTP and ICE as browsers do nothing else.

use crate::authority::Authority;
use crate::ours::{Means, Ours, PATIENCE, Security};
use denwa::media;
use denwa::ua::{CallId, Event, Keys};
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use denwa_interop::web::{self, Request};
use denwa_interop::{Peer, Scratch, audio, jssip, require, wait_until};
use denwa_sdp::{Codec, Ice, RtcpMux};
use denwa_sip_core::Protocol;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// What is done in the call.
#[derive(Clone, Copy, Debug)]
enum Deed {
    // The rows of browsers that hold are those with Opus.
    #[cfg_attr(not(feature = "opus"), expect(dead_code))]
    PageHolds,
    WeHold,
    PagePresses(&'static str),
    WePress(Keys),
    WeChangeCodec(fn() -> Codec),
    PageTransfers,
    WeTransfer,
}

/// A codec, and what is done in a call on it.
type Row = (fn() -> Codec, Deed);

const ROWS: &[Row] = &[
    #[cfg(feature = "opus")]
    (Codec::opus, Deed::PageHolds),
    #[cfg(feature = "opus")]
    (Codec::opus, Deed::PagePresses("RFC2833")),
    (Codec::g722, Deed::WeHold),
    (Codec::pcmu, Deed::PagePresses("INFO")),
    (Codec::pcma, Deed::WePress(Keys::Info)),
    (Codec::pcmu, Deed::WePress(Keys::InBand)),
    (Codec::pcma, Deed::WeChangeCodec(Codec::pcmu)),
    (Codec::pcmu, Deed::PageTransfers),
    (Codec::pcma, Deed::WeTransfer),
];

const OURS_HZ: f64 = 1000.0;
const PAGE_HZ: f64 = 440.0;
const THIRD_HZ: f64 = 700.0;

#[test]
fn every_row_with_chromium() {
    let (true, Some(modules)) = (require("chromium"), web::modules("jssip")) else { return };
    let scratch = Scratch::new("matrix-browser");
    let page = Page::start(scratch.path(), jssip::script(&modules));
    page.until("ready");
    let authority = Authority::new();
    for (codec, deed) in ROWS {
        call(&page, &authority, codec(), *deed);
    }
}

fn call(page: &Page, authority: &Authority, codec: Codec, deed: Deed) {
    let label = format!("Chromium over WSS, {}, {deed:?}", codec.name);
    let means = Means {
        codecs: vec![codec],
        security: Security::Dtls,
        ice: Some(Ice::Full),
        rtcp_mux: RtcpMux::Required,
        for_browsers: true,
    };
    let start = |hertz| Ours::start(&means, authority, &audio::tone(hertz, 8000.0, 1));
    let mut us = start(OURS_HZ);
    page.order(
        &serde_json::json!({"deed": "connect", "url": format!("wss://{}/", us.address(Protocol::Wss))}),
    );
    page.until("connected");
    page.order(
        &serde_json::json!({"deed": "call", "to": format!("sip:denwa@{}", us.address(Protocol::Wss))}),
    );
    let call = us.until_up(&label);
    page.until("confirmed");
    both_hear(page, &us, &label, OURS_HZ);
    match deed {
        Deed::PageHolds => {
            page.order(&serde_json::json!({"deed": "hold"}));
            until_direction(&mut us, &label, false);
            page.until("held");
            page.order(&serde_json::json!({"deed": "unhold"}));
            until_direction(&mut us, &label, true);
            page.until("unheld");
        }
        Deed::WeHold => {
            us.act(move |agent, now| agent.hold(call, now)).unwrap();
            until_direction(&mut us, &label, false);
            page.until("hold by remote");
            us.act(move |agent, now| agent.resume(call, now)).unwrap();
            until_direction(&mut us, &label, true);
            page.until("unhold by remote");
        }
        Deed::PagePresses(how) => {
            page.order(&serde_json::json!({"deed": "press", "keys": "159#", "how": how}));
            assert_eq!(us.until_keys(&label, 4), "159#", "{label}");
        }
        Deed::WePress(keys) => {
            page.forget();
            let press = || us.act(move |agent, now| agent.press_by(call, "159#", keys, now)).unwrap();
            if keys == Keys::InBand {
                // Tones into which a busy machine puts a hole are other keys: they are pressed again.
                let heard = (0..6).any(|_| {
                    press();
                    page.hears(PATIENCE / 6, |samples, rate| keys_in(samples, rate).contains("159#"))
                });
                assert!(heard, "{label}: the keys were not heard");
            } else {
                press();
                ["key 1", "key 5", "key 9", "key #"].into_iter().for_each(|key| page.until(key));
            }
        }
        Deed::WeChangeCodec(codec) => change_codec(&mut us, &means, call, codec(), &label),
        Deed::PageTransfers => {
            let mut third = start(THIRD_HZ);
            let to = third.uri(Protocol::Udp);
            page.order(&serde_json::json!({"deed": "refer", "to": to}));
            us.expect(&label, |event| matches!(event, Event::Transferring { .. }).then_some(()));
            third.until_up(&label);
            us.until_hears(&format!("{label}: we, the third"), |heard| holds(heard, audio::RATE, THIRD_HZ));
            third.until_hears(&format!("{label}: the third, us"), |heard| holds(heard, audio::RATE, OURS_HZ));
            third.stop(&label);
            return us.stop(&label);
        }
        Deed::WeTransfer => {
            // A page has one way to everybody: we are its proxy, and whom it is sent to.
            let to = format!("sip:other@{}", us.address(Protocol::Wss));
            us.act(move |agent, now| agent.transfer(call, &to, now)).unwrap();
            us.expect(&label, |event| matches!(event, Event::Transferred { .. }).then_some(()));
            page.until("confirmed");
        }
    }
    both_hear(page, &us, &format!("{label}: at last"), OURS_HZ);
    us.stop(&label);
    page.until("ended");
    println!("{label}: heard at both ends");
}

fn change_codec(us: &mut Ours, means: &Means, call: CallId, codec: Codec, label: &str) {
    let means = Means { codecs: vec![codec.clone()], ..means.clone() };
    us.act(move |agent, now| {
        let identity = agent.config().identity.clone().unwrap();
        agent.change_codecs(call, means.capability(&identity), now)
    })
    .unwrap();
    let changed = us.until_media(label, |event| match event {
        media::Event::CodecChanged { codec } => Some(codec.clone()),
        _ => None,
    });
    assert!(changed.starts_with(&*codec.name), "{label}: {changed}");
}

fn both_hear(page: &Page, us: &Ours, label: &str, ours: f64) {
    page.forget();
    us.until_hears(&format!("{label}: we"), |heard| holds(heard, audio::RATE, PAGE_HZ));
    page.until_hears(&format!("{label}: the page"), |heard, rate| holds(heard, rate, ours));
}

fn until_direction(us: &mut Ours, label: &str, both: bool) {
    us.until_media(label, |event| match event {
        media::Event::DirectionChanged { sends, receives } => ((*sends && *receives) == both).then_some(()),
        _ => None,
    });
}

/// Whether the last second and a half is this tone, but for what jitter buffers stretch.
fn holds(samples: &[i16], rate: u32, hertz: f64) -> bool {
    let piece = rate as usize / 10;
    let Some(last) = samples.len().checked_sub(piece * 15).map(|start| &samples[start..]) else {
        return false;
    };
    // The judge knows one rate: a tone at another is one of another pitch.
    let hertz = hertz * f64::from(audio::RATE) / f64::from(rate);
    last.chunks_exact(piece).filter(|piece| audio::tone_share(piece, hertz).0 > 0.8).count() >= 12
}

fn keys_in(samples: &[i16], rate: u32) -> String {
    let mut keys = String::new();
    Detector::new(rate).listen(samples, |event| {
        if let DtmfEvent::Begun { digit, .. } = event {
            keys.push(digit);
        }
    });
    keys
}

/// A page in a browser, told what to do and telling what happens.
struct Page {
    _browser: Peer,
    orders: mpsc::Sender<String>,
    told: mpsc::Receiver<String>,
    heard: mpsc::Receiver<(u32, Vec<i16>)>,
}

impl Page {
    fn start(folder: &std::path::Path, bundle: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (orders, next) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let (hear, heard) = mpsc::channel();
        let clerk = Arc::new(Clerk { bundle, next: Mutex::new(next), tell, hear });
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let clerk = Arc::clone(&clerk);
                std::thread::spawn(move || clerk.serve(stream));
            }
        });
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
            .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
            .args(["--autoplay-policy=no-user-gesture-required", "--proxy-server=direct://"])
            // The certificate is of an authority of the test's own.
            .args(["--ignore-certificate-errors", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg(url);
        let browser = Peer::start("chromium", folder, &mut command);
        Self { _browser: browser, orders, told, heard }
    }

    fn order(&self, order: &serde_json::Value) {
        self.orders.send(order.to_string()).unwrap();
    }

    /// Until the page tells this; whatever else it tells meanwhile is passed over, but for failures.
    fn until(&self, what: &str) {
        loop {
            let told =
                self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the page never told {what:?}"));
            if told == what {
                return;
            }
            assert!(!told.starts_with("failed") && !told.starts_with("disconnected"), "{told}, for {what:?}");
        }
    }

    /// What was heard before does not count.
    fn forget(&self) {
        self.order(&serde_json::json!({"deed": "forget"}));
    }

    fn until_hears(&self, label: &str, what: impl Fn(&[i16], u32) -> bool) {
        assert!(self.hears(PATIENCE, what), "{label}: not heard");
    }

    fn hears(&self, limit: Duration, what: impl Fn(&[i16], u32) -> bool) -> bool {
        wait_until(limit, || {
            self.order(&serde_json::json!({"deed": "heard"}));
            let (rate, samples) = self.heard.recv_timeout(PATIENCE).expect("the page answers");
            rate > 0 && what(&samples, rate)
        })
    }
}

/// Serves the page.
struct Clerk {
    bundle: String,
    next: Mutex<mpsc::Receiver<String>>,
    tell: mpsc::Sender<String>,
    hear: mpsc::Sender<(u32, Vec<i16>)>,
}

impl Clerk {
    fn serve(&self, stream: TcpStream) {
        let Some(request) = Request::read(stream) else { return };
        let (path, query) = request.parts();
        let (kind, answer) = match path {
            "/" => ("text/html", include_str!("page.html").to_owned()),
            "/bundle.js" => ("text/javascript", self.bundle.clone()),
            "/next" => {
                let Ok(order) = self.next.lock().unwrap().recv() else { return };
                ("application/json", order)
            }
            "/told" => {
                let _ = self.tell.send(String::from_utf8_lossy(&request.body).into_owned());
                ("text/plain", String::new())
            }
            "/heard" => {
                let _ = self.hear.send((query.parse().unwrap_or(0), request.samples()));
                ("text/plain", String::new())
            }
            _ => ("text/plain", String::new()),
        };
        request.respond(kind, answer.as_bytes());
    }
}
