//! Chromium and a media session of ours: ICE on host, relayed by our TURN server and by coturn; DTLS-SRTP with us as client and as
//! server; a tone each way, compared at both ends. The browser is driven by a page that asks us what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../ice/tests/common/mod.rs"]
mod servers;

use denwa::Seed;
use denwa::media::{Event, IceConfig, Identity, MediaConfig, MediaSession, Output, Path, TurnServer};
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_ice::turn::server::{CredentialSource, PeerPolicy, Prefix, RelayRange, ServerConfig, Users};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice, MediaCapability, RtcpMux};
use servers::drivers::ServerDriver;
use servers::{at, fresh_seed, ip};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the page is told.
struct Scenario {
    /// Whether the page makes the offer.
    page_offers: bool,
    /// TURN server of the page, which then uses nothing else.
    relay: Option<SocketAddr>,
    codec: Codec,
}

/// The page says 440 Hz and posts what it hears.
const PAGE: &str = r#"<!doctype html><title>denwa</title><script>
const post = (path, body) => fetch(path, {method: 'POST', body}).then(answer => answer.text());
const complete = pc => pc.iceGatheringState === 'complete' ? 0 : new Promise(done => {
  pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); setTimeout(done, 6000); });
(async () => {
  try {
    const plan = JSON.parse(await post('/plan', ''));
    const pc = new RTCPeerConnection(plan.configuration);
    const sound = new AudioContext(); await sound.resume();
    const tone = new OscillatorNode(sound, {frequency: 440}); const level = new GainNode(sound, {gain: 0.3});
    const out = sound.createMediaStreamDestination(); tone.connect(level).connect(out); tone.start();
    const heard = []; let rate = 0;
    pc.ontrack = async event => {
      const player = new Audio(); player.muted = true; player.srcObject = new MediaStream([event.track]); player.play().catch(() => {});
      const reader = new MediaStreamTrackProcessor({track: event.track}).readable.getReader();
      for (;;) { const {value, done} = await reader.read(); if (done) break;
        const piece = new Float32Array(value.numberOfFrames); value.copyTo(piece, {planeIndex: 0, format: 'f32-planar'});
        rate = value.sampleRate; heard.push(piece); value.close(); } };
    // Who may use the microphone is told the addresses of the host.
    await navigator.mediaDevices.getUserMedia({audio: true});
    if (plan.offers) {
      pc.addTrack(out.stream.getTracks()[0], out.stream);
      await pc.setLocalDescription(await pc.createOffer()); await complete(pc);
      await pc.setRemoteDescription({type: 'answer', sdp: await post('/offer', pc.localDescription.sdp)});
    } else {
      await pc.setRemoteDescription({type: 'offer', sdp: await post('/ours', '')});
      pc.addTrack(out.stream.getTracks()[0], out.stream);
      await pc.setLocalDescription(await pc.createAnswer()); await complete(pc);
      await post('/answer', pc.localDescription.sdp);
    }
    const end = Date.now() + 15000;
    while (pc.connectionState !== 'connected' && Date.now() < end) await new Promise(done => setTimeout(done, 50));
    await new Promise(done => setTimeout(done, 4000));
    const all = [...(await pc.getStats()).values()]; const by = id => all.find(entry => entry.id === id) || {};
    const transport = all.find(entry => entry.type === 'transport') || {}; const pair = by(transport.selectedCandidatePairId);
    await post('/facts', JSON.stringify({state: pc.connectionState, tls: transport.tlsVersion, srtp: transport.srtpCipher,
      local: by(pair.localCandidateId).candidateType, remote: by(pair.remoteCandidateId).candidateType}));
    let count = 0; for (const piece of heard) count += piece.length;
    const samples = new Int16Array(count); let place = 0;
    for (const piece of heard) for (const sample of piece) samples[place++] = Math.max(-1, Math.min(1, sample)) * 32767;
    await post('/heard?' + rate, samples);
  } catch (error) { await post('/failed', String(error)); }
})();
</script>"#;

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

fn start(url: &str) -> Option<Chromium> {
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
    let child = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
        .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
        .args(["--autoplay-policy=no-user-gesture-required", "--proxy-server=direct://"])
        .args(["--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Some(Chromium { child, folder })
}

struct Request {
    path: String,
    body: Vec<u8>,
    stream: TcpStream,
}

impl Request {
    fn read(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { path, body, stream })
    }

    fn respond(mut self, kind: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = self.stream.write_all(&[head.as_bytes(), body].concat());
    }
}

/// Our end: one socket, a tone of 1000 Hz, what was heard.
struct End {
    session: MediaSession,
    socket: UdpSocket,
    local: SocketAddr,
    tone: Generator,
    beat: Instant,
    heard: Vec<i16>,
    events: Vec<Event>,
}

impl End {
    fn new(codec: Codec, ice: IceConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let local = socket.local_addr().unwrap();
        let identity = Identity::generate().unwrap();
        let media = MediaCapability { feedback: true, ..MediaCapability::audio([codec]) };
        let mut capability = Capability::new([media])
            .with_encryption(EncryptionCapability::dtls(Encryption::Required, identity.fingerprint()))
            .with_ice(Ice::Full);
        capability.bundle = true;
        capability.rtcp_mux = RtcpMux::Required;
        let now = Instant::now();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut config = MediaConfig::new(capability, local, local, local, unix, now);
        config.identity = Some(identity);
        config.ice = Some(ice);
        let session = MediaSession::new(config, Seed(fresh_seed()), now);
        let tone = Generator::new(&Tone::steady(&[Sine::new(1000.0, -10.0)]), 8000);
        Self { session, socket, local, tone, beat: now, heard: Vec::new(), events: Vec::new() }
    }

    /// A few milliseconds pass.
    fn run(&mut self) {
        let mut buffer = [0; 4096];
        if let Ok((length, source)) = self.socket.recv_from(&mut buffer) {
            let path = Path { source, destination: Some(self.local) };
            self.session.receive(&mut buffer[..length], path, Instant::now());
        }
        let now = Instant::now();
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        while self.beat <= now {
            self.beat += Duration::from_millis(20);
            let mut sound = [0; 160];
            self.tone.generate(&mut sound);
            self.session.say(&sound);
            let mut samples = [0; 160];
            self.session.hear(&mut samples, now);
            self.heard.extend(samples);
        }
        while let Some(out) = self.session.next_packet(&mut buffer, now) {
            let _ = self.socket.send_to(&buffer[..out.length], out.destination);
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { destination, payload, .. } => {
                    let _ = self.socket.send_to(&payload, destination);
                }
                Output::Wire(wire) => self.session.decline(&wire, now),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

/// How much of a frequency is in the samples, as a share of all there is (Goertzel's sum).
fn share(samples: &[i16], rate: f64, frequency_hz: f64) -> f64 {
    let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency_hz * index as f64 / rate;
        let sample = f64::from(*sample);
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        energy += sample * sample;
    }
    2.0 * (real * real + imaginary * imaginary) / (energy * samples.len() as f64).max(1.0)
}

/// The tone is what is heard in most of the last seconds: jitter buffers may stretch some of it.
fn assert_tone(samples: &[i16], rate: f64, frequency_hz: f64, whose: &str) {
    let piece = (rate / 10.0) as usize;
    let last = &samples[samples.len().saturating_sub(piece * 25)..];
    let good = last.chunks_exact(piece).filter(|it| share(it, rate, frequency_hz) > 0.8).count();
    let all = last.chunks_exact(piece).count();
    assert!(all >= 20 && good * 10 >= all * 8, "{whose}: {good} of {all} pieces are {frequency_hz} Hz");
}

fn call(scenario: &Scenario, ice: IceConfig) -> Option<(serde_json::Value, Vec<Event>)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut chromium = start(&format!("http://{}/", listener.local_addr().unwrap()))?;
    let mut end = End::new(scenario.codec.clone(), ice);
    let give_up = Instant::now() + Duration::from_secs(60);
    let mut facts = serde_json::Value::Null;
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
        match request.path.split('?').next().unwrap() {
            "/" => request.respond("text/html", PAGE.as_bytes()),
            "/plan" => {
                let mut configuration = serde_json::json!({});
                if let Some(server) = scenario.relay {
                    let server = serde_json::json!({"urls": format!("turn:{server}?transport=udp"), "username": "alice", "credential": "secret"});
                    configuration =
                        serde_json::json!({"iceServers": [server], "iceTransportPolicy": "relay"});
                }
                let plan =
                    serde_json::json!({"offers": scenario.page_offers, "configuration": configuration});
                request.respond("application/json", plan.to_string().as_bytes());
            }
            "/offer" => {
                let answer = end
                    .session
                    .answer(text.as_bytes(), Instant::now())
                    .unwrap_or_else(|e| panic!("{e}\n{text}"));
                request.respond("application/sdp", &answer);
            }
            "/ours" => {
                while !end.session.is_gathered() {
                    end.run();
                }
                request.respond("application/sdp", &end.session.offer().unwrap());
            }
            "/answer" => {
                end.session
                    .accept_answer(text.as_bytes(), Instant::now())
                    .unwrap_or_else(|e| panic!("{e}\n{text}"));
                request.respond("text/plain", b"");
            }
            "/facts" => {
                facts = serde_json::from_str(&text).unwrap();
                request.respond("text/plain", b"");
            }
            "/heard" => {
                let rate: f64 = request.path.split('?').nth(1).unwrap().parse().unwrap();
                let samples: Vec<i16> =
                    request.body.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                request.respond("text/plain", b"");
                println!("{facts} {:?}", end.session.report());
                assert_eq!(facts["state"], "connected", "{:?}", end.events);
                assert_tone(&samples, rate, 1000.0, "the browser");
                assert_tone(&end.heard, 8000.0, 440.0, "we");
                return Some((facts, end.events));
            }
            "/failed" => panic!("the page: {text}"),
            _ => request.respond("text/plain", b""),
        }
    }
}

fn chosen(events: &[Event]) -> (&str, bool) {
    events
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::PathChosen { path, relayed, .. } => Some((path.as_str(), *relayed)),
            _ => None,
        })
        .expect("a path")
}

#[test]
fn chromium_calls_us_and_we_call_it() {
    for page_offers in [true, false] {
        let scenario = Scenario { page_offers, relay: None, codec: Codec::pcmu() };
        let Some((facts, events)) = call(&scenario, IceConfig::default()) else { return };
        assert_eq!((&facts["local"], &facts["remote"]), (&"host".into(), &"host".into()), "{facts}");
        assert!(!chosen(&events).1);
        assert!(events.iter().any(|event| matches!(event, Event::Encrypted { .. })));
    }
}

#[test]
fn chromium_talks_to_the_lite_end() {
    let scenario = Scenario { page_offers: true, relay: None, codec: Codec::pcmu() };
    call(&scenario, IceConfig::lite());
}

fn our_turn_server() -> ServerDriver {
    let users = Users::from_iter([("alice", "secret")]);
    let relay =
        RelayRange { local: ip("127.0.0.1"), external: ip("127.0.0.1"), ports: vec![51_000..=51_099] };
    let mut config = ServerConfig::new("denwa.example", CredentialSource::Users(users), vec![relay]);
    config.peers = PeerPolicy { allowed: vec![Prefix::new(ip("127.0.0.0"), 8)], ..PeerPolicy::default() };
    ServerDriver::start(config, at("127.0.0.1:0"), &[])
}

#[test]
fn chromium_comes_only_by_our_turn_server() {
    let server = our_turn_server();
    let scenario = Scenario { page_offers: true, relay: Some(server.address), codec: Codec::pcmu() };
    let Some((facts, events)) = call(&scenario, IceConfig::default()) else { return };
    assert_eq!(facts["local"], "relay", "{facts}");
    let (path, _) = chosen(&events);
    assert!(path.contains("127.0.0.1:510"), "{path}");
}

#[test]
fn we_come_only_by_our_turn_server() {
    let server = our_turn_server();
    let mut ice = IceConfig::default();
    ice.relay_only = true;
    ice.turn_servers = vec![TurnServer::udp(server.address, "alice", "secret")];
    let scenario = Scenario { page_offers: false, relay: None, codec: Codec::pcmu() };
    let Some((facts, events)) = call(&scenario, ice) else { return };
    assert_eq!(facts["remote"], "relay", "{facts}");
    assert!(chosen(&events).1);
}
