//! The screen with registrars that this test plays itself: one that answers nonsense, a flood, and one with flows (RFC 5626).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "terminal/pty.rs"]
mod pty;

use pty::Pty;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const F9: &str = "\x1b[20~";

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The screen with these accounts.
fn screen(name: &str, language: &str, accounts: &str) -> Pty {
    let folder = scratch(name);
    let file = folder.join("softphone.toml");
    std::fs::write(&file, format!("language = \"{language}\"\n{accounts}")).unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--sound", "tone", "--listen", "udp:127.0.0.1:0"];
    Pty::start(&arguments, &folder)
}

/// A socket whose datagrams `answer` is given, with a way to answer; it lives as long as the test.
fn server(mut answer: impl FnMut(&[u8], SocketAddr, &UdpSocket) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            answer(&bytes[..length], from, &socket);
        }
    });
    address
}

/// A response to `request`, with more headers.
fn response(request: &str, status: &str, more: &str) -> String {
    let line =
        |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let same = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(line).join("\r\n");
    format!("SIP/2.0 {status}\r\n{same}\r\n{more}Content-Length: 0\r\n\r\n")
}

fn contact(request: &str) -> String {
    request.lines().find(|line| line.starts_with("Contact:")).unwrap_or_default().to_owned()
}

#[test]
fn nonsense_and_a_flood_leave_it_responsive() {
    let (tell, asked) = mpsc::channel();
    // One account is answered with nonsense alone and refused in the end, the other registers and has voice mail.
    let server = server(move |bytes, from, socket| {
        let request = String::from_utf8_lossy(bytes).into_owned();
        if !request.starts_with("REGISTER") {
            return;
        }
        let _ = tell.send(from);
        for nonsense in
            ["\0\u{ff}\r\n", "SIP/2.0 OK", "SIP/2.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n"]
        {
            socket.send_to(nonsense.as_bytes(), from).unwrap();
        }
        if !request.contains("sip:good@") {
            socket.send_to(response(&request, "699 What", "").as_bytes(), from).unwrap();
            return;
        }
        let more = format!("{}\r\nExpires: 300\r\n", contact(&request));
        socket.send_to(response(&request, "200 OK", &more).as_bytes(), from).unwrap();
        let here = socket.local_addr().unwrap();
        let body = "Messages-Waiting: yes\r\nVoice-Message: 2/1 (0/0)\r\n";
        let notify = format!(
            "NOTIFY sip:good@{from} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKmail\r\nMax-Forwards: 70\r\n\
             From: <sip:good@{here}>;tag=mail\r\nTo: <sip:good@{here}>\r\nCall-ID: mail@{here}\r\nCSeq: 1 NOTIFY\r\n\
             Event: message-summary\r\nSubscription-State: active\r\nContact: <sip:{here}>\r\n\
             Content-Type: application/simple-message-summary\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.send_to(notify.as_bytes(), from).unwrap();
    });
    let accounts =
        format!("[[accounts]]\nuri = \"sip:bad@{server}\"\n[[accounts]]\nuri = \"sip:good@{server}\"\n");
    let mut screen = screen("nonsense", "en", &accounts);
    screen.wait_for("not registered:");
    screen.wait_for("registration: 699 What");
    screen.wait_for(&format!("good@{server}  registered"));
    screen.wait_for("voice mail 2/1");
    let target = asked.recv_timeout(PATIENCE).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..3_000 {
        let datagram = match number % 3 {
            0 => format!(
                "OPTIONS sip:x@{target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{number}\r\n\r\n"
            ),
            1 => format!("INVITE sip:x SIP/2.0\r\nFrom: \u{1b}[31m{number}\r\n\r\n"),
            _ => "\u{0}".repeat(number % 1_200),
        };
        // What the system drops is dropped.
        let _ = socket.send_to(datagram.as_bytes(), target);
    }
    screen.press(F9);
    screen.wait_for("DO NOT DISTURB");
    screen.press("\x03");
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
}

#[test]
fn causes_and_remedies_are_japanese_on_a_japanese_screen() {
    let server = server(|bytes, from, socket| {
        let request = String::from_utf8_lossy(bytes).into_owned();
        if request.starts_with("REGISTER") {
            socket.send_to(response(&request, "404 Not Found", "").as_bytes(), from).unwrap();
        }
    });
    let mut screen = screen("japanese", "ja", &format!("[[accounts]]\nuri = \"sip:ann@{server}\"\n"));
    // Wide characters stand in two cells, the second of which a terminal's text shows as nothing.
    screen.wait_for("登録できません");
    screen.wait_for("アカウントがありません");
    screen.wait_for("ユーザー名とドメイン");
    screen.press("\x03");
    assert_eq!(screen.exit_code(), Some(0));
}

#[test]
fn a_flow_is_asked_for_and_kept_alive() {
    let (tell, seen) = mpsc::channel();
    let server = server(move |bytes, from, socket| {
        // A Binding request is how a flow over UDP is kept alive (RFC 5626 §4.4.2).
        if bytes.starts_with(&[0, 1]) {
            let _ = tell.send("Binding".to_owned());
            return;
        }
        let request = String::from_utf8_lossy(bytes).into_owned();
        if request.starts_with("REGISTER") {
            let more =
                format!("{}\r\nExpires: 300\r\nRequire: outbound\r\nFlow-Timer: 3\r\n", contact(&request));
            socket.send_to(response(&request, "200 OK", &more).as_bytes(), from).unwrap();
            let _ = tell.send(request);
        }
    });
    let account = format!("[[accounts]]\nuri = \"sip:ann@{server}\"\noutbound = true\n");
    let mut screen = screen("flows", "en", &account);
    screen.wait_for(&format!("ann@{server}  registered"));
    let request = seen.recv_timeout(PATIENCE).unwrap();
    let contact = contact(&request);
    assert!(contact.contains("+sip.instance=\"<urn:uuid:") && contact.contains("reg-id=1"), "{request}");
    let supported: String = request.lines().filter(|line| line.starts_with("Supported:")).collect();
    assert!(supported.contains("outbound") && supported.contains("path"), "{supported}");
    while seen.recv_timeout(PATIENCE).unwrap() != "Binding" {}
    screen.press("\x03");
    assert_eq!(screen.exit_code(), Some(0));
}

/// One registration by two servers (RFC 5626 §4.2): each sees the same device on another flow.
#[test]
fn further_servers_are_further_flows() {
    let (tell, seen) = mpsc::channel();
    let registrar = |number: usize| {
        let tell = tell.clone();
        server(move |bytes, from, socket| {
            let request = String::from_utf8_lossy(bytes).into_owned();
            if request.starts_with("REGISTER") {
                let more = format!("{}\r\nExpires: 300\r\nRequire: outbound\r\n", contact(&request));
                socket.send_to(response(&request, "200 OK", &more).as_bytes(), from).unwrap();
                let _ = tell.send((number, contact(&request)));
            }
        })
    };
    let (first, second) = (registrar(0), registrar(1));
    let account = format!(
        "[[accounts]]\nuri = \"sip:ann@{first}\"\noutbound = true\nserver = \"{first}\"\nfurther_servers = [\"{second}\"]\n"
    );
    let mut screen = screen("two-flows", "en", &account);
    screen.wait_for(&format!("ann@{first}  registered"));
    let mut contacts = [seen.recv_timeout(PATIENCE).unwrap(), seen.recv_timeout(PATIENCE).unwrap()];
    contacts.sort();
    let instance = |contact: &str| contact.split("urn:uuid:").nth(1).unwrap()[..36].to_owned();
    assert_eq!(instance(&contacts[0].1), instance(&contacts[1].1));
    for (place, (server, contact)) in contacts.iter().enumerate() {
        assert!(*server == place && contact.contains(&format!("reg-id={}", place + 1)), "{contacts:#?}");
    }
    screen.press("\x03");
    assert_eq!(screen.exit_code(), Some(0));
}
