//! rtpengine in the path of two media sessions, told of the call over its control protocol: plain media, SRTP at one end only,
//! and SRTP at both ends under different suites. What each end hears is compared with what the other said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa::Seed;
use denwa::media::{MediaConfig, MediaSession, Output, Path, PlayOut};
use denwa_interop::hearing::Sentence;
use denwa_interop::{PATIENCE, Peer, Ports, Scratch, audio, require};
use denwa_sdp::attribute::security::SrtpSuite;
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const PTIME: Duration = Duration::from_millis(20);

struct Engine {
    peer: Peer,
    control: UdpSocket,
    cookie: u32,
}

impl Engine {
    fn start(scratch: &Scratch, ports: &mut Ports) -> Self {
        let (listen, first) = (ports.take(1), ports.take(60));
        let mut command = Command::new("rtpengine");
        command
            .args([
                "--config-file=none",
                "--table=-1",
                "--interface=127.0.0.1",
                "--foreground",
                "--log-stderr",
            ])
            .args([format!("--listen-ng=127.0.0.1:{listen}"), format!("--port-min={first}")])
            .args([format!("--port-max={}", first + 59), "--num-threads=1".to_owned()]);
        let peer = Peer::start("rtpengine", scratch.path(), &mut command);
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        control.connect((Ipv4Addr::LOCALHOST, listen)).unwrap();
        control.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut engine = Self { peer, control, cookie: 0 };
        let alive = denwa_interop::wait_until(PATIENCE, || {
            engine.try_ask("d7:command4:pinge").is_some_and(|answer| answer.contains("pong"))
        });
        assert!(alive, "rtpengine does not answer:\n{}", engine.peer.log());
        engine
    }

    fn try_ask(&mut self, question: &str) -> Option<String> {
        self.cookie += 1;
        let cookie = format!("{}_{} ", std::process::id(), self.cookie);
        self.control.send(format!("{cookie}{question}").as_bytes()).ok()?;
        let mut buffer = [0; 8192];
        loop {
            let length = self.control.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(answer) = text.strip_prefix(&cookie) {
                return Some(answer.to_owned());
            }
        }
    }

    /// A description as rtpengine makes it for the other side.
    fn pass(&mut self, command: &str, sdp: &[u8], transport: Option<&str>) -> Vec<u8> {
        let string = |text: &str| format!("{}:{text}", text.len());
        let mut question = String::from("d");
        let mut put = |key: &str, value: &str| question += &format!("{}{}", string(key), string(value));
        put("call-id", "denwa");
        put("command", command);
        put("from-tag", "a");
        put("sdp", std::str::from_utf8(sdp).unwrap());
        if command == "answer" {
            put("to-tag", "b");
        }
        if let Some(transport) = transport {
            put("transport-protocol", transport);
        }
        question.push('e');
        self.control.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = self.try_ask(&question).unwrap_or_else(|| panic!("no answer:\n{}", self.peer.log()));
        let sdp = answer.split_once("3:sdp").map(|(_, rest)| rest).unwrap_or_else(|| panic!("{answer}"));
        let (length, rest) = sdp.split_once(':').unwrap();
        rest.as_bytes()[..length.parse::<usize>().unwrap()].to_vec()
    }
}

struct End {
    session: MediaSession,
    sockets: [UdpSocket; 2],
    heard: Vec<i16>,
}

impl End {
    fn new(capability: Capability, ports: &mut Ports, seed: u8) -> Self {
        let port = ports.take(2);
        let address = |offset| SocketAddr::from((Ipv4Addr::LOCALHOST, port + offset));
        let sockets = [0, 1].map(|offset| {
            let socket = UdpSocket::bind(address(offset)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        let now = Instant::now();
        let since_1970 = Duration::from_secs(1_800_000_000);
        let mut config = MediaConfig::new(capability, address(0), address(1), address(0), since_1970, now);
        // What passes is judged here, not how a busy machine's pauses are bridged.
        config.play_out = PlayOut::Fixed(Duration::from_millis(200));
        Self { session: MediaSession::new(config, Seed([seed; 32]), now), sockets, heard: Vec::new() }
    }

    /// 20 ms of talk.
    fn step(&mut self, says: &[i16], now: Instant) {
        let mut buffer = [0; 2048];
        for socket in &self.sockets {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                self.session.receive(&mut buffer[..length], Path::from(from), now);
            }
        }
        self.session.say(says);
        if self.session.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.session.handle_timeout(now);
        }
        while let Some(out) = self.session.next_packet(&mut buffer, now) {
            self.sockets[0].send_to(&buffer[..out.length], out.destination).unwrap();
        }
        while let Some(output) = self.session.poll_output() {
            if let Output::Transmit { source, destination, payload } = output {
                let socket = &self.sockets[usize::from(source == self.sockets[1].local_addr().unwrap())];
                // RTCP that comes to a shut port of the peer's is no matter here.
                let _ = socket.send_to(&payload, destination);
            }
        }
        let mut samples = [0; 160];
        self.session.hear(&mut samples, now);
        self.heard.extend(samples);
    }
}

fn plain() -> Capability {
    Capability::telephone([Codec::pcma()])
}

fn secure(suite: SrtpSuite) -> Capability {
    let mut encryption = EncryptionCapability::sdes(Encryption::Required);
    encryption.sdes.as_mut().unwrap().suites = vec![suite];
    plain().with_encryption(encryption)
}

/// Both talk for some seconds through rtpengine; `transport` is what it makes of the offer.
fn talk(name: &str, capabilities: [Capability; 2], transport: &str, back: &str) {
    if !require("rtpengine") {
        return;
    }
    let (scratch, mut ports) = (Scratch::new(name), Ports::block());
    let mut engine = Engine::start(&scratch, &mut ports);
    let [first, second] = capabilities;
    let mut ends = [End::new(first, &mut ports, 1), End::new(second, &mut ports, 2)];
    let offer = ends[0].session.offer().unwrap();
    let offered = engine.pass("offer", &offer, Some(transport));
    let answer = ends[1].session.answer(&offered, Instant::now());
    let answer =
        answer.unwrap_or_else(|refusal| panic!("{refusal:?}\n{}", String::from_utf8_lossy(&offered)));
    let answered = engine.pass("answer", &answer, Some(back));
    ends[0].session.accept_answer(&answered, Instant::now()).unwrap();
    let said = [audio::signal(21, 1), audio::signal(22, 1)];
    let start = Instant::now();
    // Sound has its own pace; this is what a sound card would wait for. The sessions' time is that of the sound: when this machine
    // pauses, so does it. rtpengine keeps no such time: what it was late with is said again.
    let mut heard = [false; 2];
    for step in 0..6000 {
        std::thread::sleep(PTIME);
        let now = start + PTIME * step;
        for (end, said) in ends.iter_mut().zip(&said) {
            let from = step as usize * 160 % said.len();
            end.step(&said[from..from + 160], now);
        }
        if step % 25 == 0 {
            heard = [0, 1].map(|index| {
                heard[index] || Sentence::plain(&said[1 - index]).is_at_the_end_of(&ends[index].heard)
            });
        }
        if heard == [true; 2] {
            break;
        }
    }
    for (index, label) in ["second to first", "first to second"].into_iter().enumerate() {
        assert!(heard[index], "{name}: {label}: not heard in {} samples", ends[index].heard.len());
        Sentence::plain(&said[index]).assert_not_in(&format!("{name}: {label}"), &ends[index].heard);
        let counters = ends[index].session.report().counters;
        assert_eq!(counters.refused, 0, "{name}: rtpengine is where the description says");
    }
}

#[test]
fn plain_media_pass_rtpengine() {
    talk("rtpengine-plain", [plain(), plain()], "RTP/AVP", "RTP/AVP");
}

#[test]
fn rtpengine_ends_our_srtp_at_one_side() {
    talk("rtpengine-one-side", [secure(SrtpSuite::AesCm128HmacSha1_80), plain()], "RTP/AVP", "RTP/SAVP");
}

#[test]
fn rtpengine_re_encrypts_between_two_suites() {
    talk(
        "rtpengine-suites",
        [secure(SrtpSuite::AesCm128HmacSha1_32), secure(SrtpSuite::AeadAes256Gcm)],
        "RTP/SAVP",
        "RTP/SAVP",
    );
}
