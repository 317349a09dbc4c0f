//! Chromium without a screen: a WAV file is its microphone, its keys are pressed over its debugging protocol, and what it hears is
//! recorded in the page.

use crate::{PATIENCE, Peer, audio, require};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// A browser with one tab.
pub struct Browser {
    /// The process.
    pub peer: Peer,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    last: u64,
}

impl Browser {
    /// Whether there is one here; see [`require`].
    #[must_use]
    pub fn is_here() -> bool {
        require("chromium")
    }

    /// Opens `url`. `says` (8 kHz) comes from its microphone, over and over, from when the page asks for it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn open(url: &str, folder: &Path, says: &[i16]) -> Self {
        let voice = folder.join("microphone.wav");
        audio::write_wav(&voice, says);
        let profile = folder.join("profile");
        std::fs::create_dir_all(&profile).expect("the scratch folder is writable");
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
            .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
            .args(["--autoplay-policy=no-user-gesture-required", "--proxy-server=direct://"])
            .args(["--ignore-certificate-errors", "--remote-debugging-port=0"])
            .arg(format!("--use-file-for-fake-audio-capture={}", voice.display()))
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url);
        let peer = Peer::start("chromium", folder, &mut command);
        let port = Self::port(&peer, &profile);
        let address = Self::tab(&peer, port);
        let (mut socket, _) = tungstenite::connect(address.as_str()).expect("the tab can be spoken to");
        if let MaybeTlsStream::Plain(stream) = socket.get_mut() {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        }
        Self { peer, socket, last: 0 }
    }

    /// Where its debugging protocol is.
    fn port(peer: &Peer, profile: &Path) -> u16 {
        let file = profile.join("DevToolsActivePort");
        let end = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(port) = text.lines().next().and_then(|line| line.parse().ok()) {
                return port;
            }
            assert!(Instant::now() < end, "Chromium did not start:\n{}", peer.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The address of its tab.
    fn tab(peer: &Peer, port: u16) -> String {
        use std::io::{Read as _, Write as _};
        let end = Instant::now() + PATIENCE;
        loop {
            let mut text = Vec::new();
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let head =
                    format!("GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
                let mut chunk = [0; 4096];
                let mut is_open = stream.write_all(head.as_bytes()).is_ok();
                // It does not close the connection, whatever it is asked: the answer is over when it can be read.
                while is_open && !is_whole(&text) {
                    let count = stream.read(&mut chunk).unwrap_or(0);
                    text.extend_from_slice(&chunk[..count]);
                    is_open = count > 0;
                }
            }
            let text = String::from_utf8_lossy(&text);
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let tabs: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
            let page = tabs.iter().find(|tab| tab["type"] == "page");
            if let Some(address) = page.and_then(|page| page["webSocketDebuggerUrl"].as_str()) {
                return address.to_owned();
            }
            assert!(Instant::now() < end, "Chromium has no tab: {text}\n{}", peer.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let request = json!({"id": id, "method": method, "params": parameters}).to_string();
        self.socket.send(Message::text(request)).expect("the tab listens");
        loop {
            let message =
                self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.peer.log()));
            let Message::Text(text) = message else { continue };
            let value: Value = serde_json::from_str(&text).expect("the protocol is JSON");
            if value["id"] == id {
                assert!(value["error"].is_null(), "{method}: {}", value["error"]);
                return value["result"].clone();
            }
        }
    }

    /// What an expression of JavaScript comes to; a promise is waited for.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let result = self.ask(
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}),
        );
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it does not become so in time; `state` is an expression that then says what there is instead.
    pub fn wait_for(&mut self, expression: &str, state: &str) {
        let end = Instant::now() + PATIENCE;
        while self.evaluate(&format!("Boolean({expression})")) != Value::Bool(true) {
            if Instant::now() > end {
                let state = self.evaluate(state);
                panic!("never so: {expression}; there is {state}\n{}", self.peer.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Records what is heard: `stream` is an expression for a `MediaStream`.
    pub fn record(&mut self, stream: &str) {
        self.evaluate(&format!(
            "(async () => {{ const track = ({stream}).getAudioTracks()[0]; const heard = window.denwaHeard = []; \
               const reader = new MediaStreamTrackProcessor({{track}}).readable.getReader(); window.denwaRate = 0; \
               (async () => {{ for (;;) {{ const {{value, done}} = await reader.read(); if (done) return; \
                 const piece = new Float32Array(value.numberOfFrames); value.copyTo(piece, {{planeIndex: 0, format: 'f32-planar'}}); \
                 window.denwaRate = value.sampleRate; heard.push(piece); value.close(); }} }})(); }})()"
        ));
    }

    /// What was recorded, at 8 kHz.
    ///
    /// # Panics
    /// When nothing was.
    pub fn heard(&mut self) -> Vec<i16> {
        let value = self.evaluate(
            "(() => { let count = 0; for (const piece of denwaHeard) count += piece.length; const all = new Float32Array(count); \
               let at = 0; for (const piece of denwaHeard) { all.set(piece, at); at += piece.length; } \
               const step = denwaRate / 8000; const out = new Int16Array(Math.floor(count / step)); \
               for (let i = 0; i < out.length; i++) { let sum = 0; for (let j = 0; j < step; j++) sum += all[i * step + j]; \
                 out[i] = Math.max(-1, Math.min(1, sum / step)) * 32767; } \
               const bytes = new Uint8Array(out.buffer); let text = ''; \
               for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192)); \
               return btoa(text); })()",
        );
        let bytes = base64(value.as_str().expect("a recording"));
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Closes the tab, as somebody does who has had enough.
    pub fn close(mut self) {
        let _ = self.socket.send(Message::text(json!({"id": 0, "method": "Page.close"}).to_string()));
        let _ = self.socket.flush();
        // Its tab is closed when nobody speaks for it any more.
        while self.socket.read().is_ok() {}
    }
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Whether an answer of HTTP has come as far as it says it is long.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.filter_map(|(_, value)| value.trim().parse().ok()).next();
    length.is_some_and(|length| body.len() >= length)
}
