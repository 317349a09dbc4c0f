//! Chromium: a page makes an offer, applies this engine's answer, and answers this engine's offer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use denwa_sdp::{
    AgreedEncryption, Capability, Codec, DtlsRole, Encryption, EncryptionCapability, Ice, Kind,
    LocalFingerprint, LocalIce, MediaCapability, Negotiator, RtcpMux, Seed, Transport,
};

use crate::peer::{Folder, PATIENCE, Running, capture, program};

/// The page: every step is a POST, so that what happened is seen here.
const PAGE: &str = r#"<!doctype html><title>sdp</title><script>
const post = (path, body) => fetch(path, {method: 'POST', body}).then(response => response.text());
(async () => {
  try {
    const caller = new RTCPeerConnection();
    // Who may use the microphone is told the addresses of the host.
    const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
    caller.addTransceiver(microphone.getTracks()[0]); caller.addTransceiver('video'); caller.createDataChannel('x');
    await caller.setLocalDescription(await caller.createOffer());
    if (caller.iceGatheringState !== 'complete') await Promise.race([
      new Promise(done => caller.onicegatheringstatechange = () => caller.iceGatheringState === 'complete' && done()),
      new Promise(done => setTimeout(done, 5000))]);
    await caller.setRemoteDescription({type: 'answer', sdp: await post('/offer', caller.localDescription.sdp)});
    await post('/applied', caller.signalingState + ' ' + caller.getTransceivers().map(t => t.currentDirection).join(','));
    // The same again: a refresh.
    await caller.setLocalDescription(await caller.createOffer());
    await caller.setRemoteDescription({type: 'answer', sdp: await post('/again', caller.localDescription.sdp)});
    await post('/applied', caller.signalingState + ' ' + caller.getTransceivers().map(t => t.currentDirection).join(','));
    const callee = new RTCPeerConnection();
    await callee.setRemoteDescription({type: 'offer', sdp: await post('/ours', '')});
    await callee.setLocalDescription(await callee.createAnswer());
    await post('/answer', callee.localDescription.sdp);
    await post('/done', navigator.userAgent);
  } catch (error) { await post('/failed', String(error)); }
})();
</script>"#;

struct Request {
    path: String,
    body: String,
    stream: TcpStream,
}

impl Request {
    fn next(listener: &TcpListener, chromium: &mut Running) -> Self {
        let give_up = Instant::now() + PATIENCE * 2;
        listener.set_nonblocking(true).unwrap();
        loop {
            assert!(
                Instant::now() < give_up && !chromium.has_ended(),
                "Chromium did not come to the page:\n{}",
                chromium.log()
            );
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                continue;
            }
            let path = line.split(' ').nth(1).unwrap_or("").to_owned();
            let mut length = 0;
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            return Self { path, body: String::from_utf8(body).unwrap(), stream };
        }
    }

    fn respond(mut self, status: &str, kind: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    }
}

fn gateway() -> Negotiator {
    let mut capability = Capability::new([MediaCapability {
        feedback: true,
        ..MediaCapability::audio([Codec::opus(), Codec::pcma()])
    }])
    .with_encryption(EncryptionCapability::dtls(Encryption::Required, LocalFingerprint::sha256([0x5a; 32])))
    .with_ice(Ice::Full);
    capability.bundle = true;
    capability.rtcp_mux = RtcpMux::Required;
    let ice = LocalIce {
        ufrag: "denwa".into(),
        password: "denwadenwadenwadenwa1234".into(),
        candidates: vec!["1 1 UDP 2130706431 127.0.0.1 40000 typ host".into()],
        complete: true,
    };
    let transport = Transport::new(Kind::Audio, "127.0.0.1:40000".parse().unwrap()).with_ice(ice);
    Negotiator::new(capability, vec![transport], Seed([9; 32]))
}

#[test]
fn its_offer_is_answered_and_ours_too() {
    let Some(program) = program("chromium") else { return };
    let folder = Folder::new("chromium");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let mut command = Command::new(program);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"])
        .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
        .args(["--remote-debugging-port=0", "--proxy-server=direct://"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(url)
        .stdin(Stdio::null());
    let mut chromium = Running::start(&mut command, &folder, "chromium");
    let (mut answerer, mut offerer) = (gateway(), gateway());
    let mut applied = 0;
    loop {
        let request = Request::next(&listener, &mut chromium);
        match request.path.as_str() {
            "/" => request.respond("200 OK", "text/html", PAGE.as_bytes()),
            "/offer" | "/again" => {
                capture(&format!("chromium{}", request.path.replace('/', "-")), request.body.as_bytes());
                let answer =
                    answerer.answer(request.body.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
                check_answered(&answerer);
                let rejected: Vec<Kind> =
                    answerer.agreed().unwrap().rejected().map(|medium| medium.kind.clone()).collect();
                // What was refused the first time is gone the second time.
                let expected = if applied == 0 { vec![Kind::Video, Kind::Application] } else { Vec::new() };
                assert_eq!(rejected, expected);
                request.respond("200 OK", "application/sdp", &answer);
            }
            "/applied" => {
                assert_eq!(request.body, "stable sendrecv");
                applied += 1;
                request.respond("204 No Content", "text/plain", b"");
            }
            "/ours" => {
                let offer = offerer.offer().unwrap();
                request.respond("200 OK", "application/sdp", &offer);
            }
            "/answer" => {
                capture("chromium-answer", request.body.as_bytes());
                let agreed =
                    offerer.accept_answer(request.body.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
                let audio = agreed.audio().unwrap();
                assert!(audio.codec().unwrap().is("opus") && audio.rtcp_mux && audio.ice.is_some());
                let AgreedEncryption::Dtls(dtls) = &audio.encryption else { panic!("no DTLS") };
                assert_eq!(dtls.role, DtlsRole::Server, "a browser that may choose is the client");
                request.respond("204 No Content", "text/plain", b"");
            }
            "/done" => {
                println!("{}", request.body);
                assert_eq!(applied, 2);
                request.respond("204 No Content", "text/plain", b"");
                return;
            }
            "/failed" => panic!("Chromium refuses: {}", request.body),
            _ => request.respond("404 Not Found", "text/plain", b""),
        }
    }
}

fn check_answered(answerer: &Negotiator) {
    let agreed = answerer.agreed().unwrap();
    let audio = agreed.audio().unwrap();
    assert!(audio.codec().unwrap().is("opus") && audio.rtcp_mux && audio.ice.is_some());
    let AgreedEncryption::Dtls(dtls) = &audio.encryption else { panic!("no DTLS") };
    assert_eq!((dtls.role, dtls.fingerprints.len()), (DtlsRole::Client, 1));
}
