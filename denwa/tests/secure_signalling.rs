//! TLS, WS and WSS between two signalling drivers, and between one and a peer that does not keep to the rules.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parrot;

use bytes::Bytes;
use denwa::driver::Output;
use denwa::tokio::{
    Certificate, ClientCertificates, DriverConfig, Listening, SignallingDriver, StartError, Tls, TlsConfig,
    TlsError, Trust,
};
use denwa_sip_core::Transmit;
use denwa_sip_core::io::Protocol;
use denwa_sip_core::transport::websocket::{Decoder, Event, Opcode, Role, encode};
use parrot::{PATIENCE, Parrot, QUIET, Running, config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn certificate(&self, names: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) if name.contains(':') => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            });
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// Believes this authority alone, and shows a certificate with these names.
    fn tls(&self, names: &[&str]) -> TlsConfig {
        let mut tls = TlsConfig::default();
        tls.trust = Trust::Authorities(self.pem());
        tls.certificate = (!names.is_empty()).then(|| self.certificate(names));
        tls
    }
}

fn driver(listen: &[&str], tls: &TlsConfig) -> Running {
    let mut config = config(listen);
    config.tls = Some(Tls::new(tls).unwrap());
    Running::with(config)
}

fn open(protocol: Protocol, remote: SocketAddr, name: &str) -> Output<String> {
    Output::OpenStream { stream: QUIET, protocol, local: None, remote, server_name: Some(name.into()) }
}

fn say(protocol: Protocol, payload: &[u8]) -> Output<String> {
    Output::Transmit(Transmit {
        source: None,
        destination: SocketAddr::from(([127, 0, 0, 1], 1)),
        protocol,
        stream: Some(QUIET),
        payload: Bytes::copy_from_slice(payload),
    })
}

/// What becomes of a connection to a server with `names` that is called `name`.
fn outcome(server: &TlsConfig, client: &TlsConfig, protocol: Protocol, name: &str) -> String {
    let listen = format!("{}:127.0.0.1:0", protocol.via_token().to_ascii_lowercase());
    let server = driver(&[&listen], server);
    let client = driver(&[], client);
    let address = server.address(protocol);
    client.order(open(protocol, address, name));
    let told = client.expect("").replace(&address.to_string(), "it");
    client.stop();
    server.stop();
    told
}

#[test]
fn both_ends_prove_who_they_are_over_tls() {
    let authority = Authority::new();
    let mut tls = authority.tls(&["b.example.com", "sip:example.com"]);
    tls.client_certificates = ClientCertificates::Required;
    let server = driver(&["tls:127.0.0.1:0"], &tls);
    let client = driver(&[], &authority.tls(&["a.example.com"]));
    let address = server.address(Protocol::Tls);
    client.order(open(Protocol::Tls, address, "example.com"));
    assert_eq!(client.expect("opened"), format!("opened {address} by sip:example.com, b.example.com"));
    assert!(server.expect("opened").ends_with(" by a.example.com"));
    // More than one record of TLS; the echo comes in pieces.
    client.order(say(Protocol::Tls, &[b'x'; 40_000]));
    let mut came = 0;
    while came < 40_000 {
        came += client.expect("data of ").trim_start_matches("data of ").parse::<usize>().unwrap();
    }
    client.order(Output::CloseStream { stream: QUIET });
    client.expect("closed");
    server.expect("closed");
    client.stop();
    server.stop();
}

/// A certificate as `openssl req -x509` makes it: signed by itself, an authority, and the server's all in one.
fn signed_by_itself(name: &str, is_old: bool) -> (Vec<u8>, Certificate) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    if is_old {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem().into_bytes();
    let certificate = Certificate::from_pem(&pem, key.serialize_pem().as_bytes()).unwrap();
    (pem, certificate)
}

#[test]
fn a_certificate_that_signed_itself_is_believed_when_it_is_given() {
    let believing = |pem: &[u8]| {
        let mut tls = TlsConfig::default();
        tls.trust = Trust::Authorities(pem.to_vec());
        tls
    };
    let showing = |certificate| {
        let mut tls = TlsConfig::default();
        tls.certificate = Some(certificate);
        tls
    };
    let (pem, certificate) = signed_by_itself("b.example.com", false);
    let (other, _) = signed_by_itself("b.example.com", false);
    let server = showing(certificate);
    let outcome = |client: &[u8], name| outcome(&server, &believing(client), Protocol::Tls, name);
    assert_eq!(outcome(&pem, "b.example.com"), "opened it by b.example.com");
    assert_eq!(outcome(&pem, "c.example.com"), "failed WrongIdentity");
    // Another of the same name is another.
    assert_eq!(outcome(&other, "b.example.com"), "failed UntrustedCertificate");
    let (pem, certificate) = signed_by_itself("b.example.com", true);
    let old = self::outcome(&showing(certificate), &believing(&pem), Protocol::Tls, "b.example.com");
    assert_eq!(old, "failed UntrustedCertificate");
}

#[test]
fn a_server_is_whom_its_certificate_names() {
    let authority = Authority::new();
    let client = authority.tls(&[]);
    let server = authority.tls(&["b.example.com", "*.wild.example.com", "127.0.0.1"]);
    let outcome = |client: &TlsConfig, protocol, name| outcome(&server, client, protocol, name);
    let opened = "opened it by b.example.com, *.wild.example.com";
    assert_eq!(outcome(&client, Protocol::Tls, "B.example.com"), opened);
    assert_eq!(outcome(&client, Protocol::Tls, "127.0.0.1"), opened);
    assert_eq!(outcome(&client, Protocol::Tls, "c.example.com"), "failed WrongIdentity");
    // RFC 5922 §7.2, and the web's own rule.
    assert_eq!(outcome(&client, Protocol::Tls, "a.wild.example.com"), "failed WrongIdentity");
    assert_eq!(outcome(&client, Protocol::Wss, "a.wild.example.com"), opened);
    let mut wild = client.clone();
    wild.wildcards = true;
    assert_eq!(outcome(&wild, Protocol::Tls, "a.wild.example.com"), opened);
    let stranger = Authority::new().tls(&[]);
    assert_eq!(outcome(&stranger, Protocol::Tls, "b.example.com"), "failed UntrustedCertificate");
    let system = TlsConfig::default();
    assert_eq!(outcome(&system, Protocol::Tls, "b.example.com"), "failed UntrustedCertificate");
    let mut anyone = TlsConfig::default();
    anyone.trust = Trust::Anyone;
    assert_eq!(outcome(&anyone, Protocol::Tls, "c.example.com"), "opened it");
}

#[test]
fn who_has_to_show_a_certificate_and_has_none_gets_no_connection() {
    let authority = Authority::new();
    let mut tls = authority.tls(&["b.example.com"]);
    tls.client_certificates = ClientCertificates::Required;
    let server = driver(&["tls:127.0.0.1:0"], &tls);
    let address = server.address(Protocol::Tls);
    // With TLS 1.3 the client learns it after its own handshake is done.
    let client = driver(&[], &authority.tls(&[]));
    client.order(open(Protocol::Tls, address, "b.example.com"));
    client.expect("opened");
    client.expect("closed");
    client.stop();
    // The next one has one: whom the server hears of is the first.
    let client = driver(&[], &authority.tls(&["a.example.com"]));
    client.order(open(Protocol::Tls, address, "b.example.com"));
    assert!(server.expect("").ends_with("by a.example.com"));
    client.stop();
    server.stop();
    tls.client_certificates = ClientCertificates::Welcome;
    assert_eq!(
        outcome(&tls, &authority.tls(&[]), Protocol::Tls, "b.example.com"),
        "opened it by b.example.com"
    );
    tls.trust = Trust::Anyone;
    assert!(matches!(Tls::new(&tls), Err(TlsError::NobodyToBelieve)));
}

#[test]
fn a_new_certificate_is_for_connections_to_come() {
    let authority = Authority::new();
    let server = driver(&["tls:127.0.0.1:0"], &authority.tls(&["old.example.com"]));
    let address = server.address(Protocol::Tls);
    let before = driver(&[], &authority.tls(&[]));
    before.order(open(Protocol::Tls, address, "old.example.com"));
    before.expect("opened");
    let next = Authority::new();
    server.driver.handle().reload_tls(Tls::new(&next.tls(&["new.example.com"])).unwrap()).unwrap();
    let after = driver(&[], &next.tls(&[]));
    after.order(open(Protocol::Tls, address, "new.example.com"));
    after.expect("opened");
    before.order(say(Protocol::Tls, b"still here"));
    assert_eq!(before.expect("data"), "data of 10");
    after.stop();
    before.stop();
    server.stop();
}

#[test]
fn what_does_not_hold_together_is_said_before_the_start() {
    let refused = |config: DriverConfig| {
        SignallingDriver::start(config, |_: &[Listening], _| Parrot::default(), drop).unwrap_err()
    };
    let error = refused(config(&["wss:127.0.0.1:4443"]));
    assert!(matches!(error, StartError::NoCertificate(_)));
    assert_eq!(error.to_string(), "cannot listen on wss:127.0.0.1:4443: TLS needs a certificate and its key");
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::default().self_signed(&one).unwrap().pem();
    let mut tls = TlsConfig::default();
    tls.certificate =
        Some(Certificate::from_pem(certificate.as_bytes(), other.serialize_pem().as_bytes()).unwrap());
    assert!(matches!(Tls::new(&tls), Err(TlsError::WrongKey)));
    assert!(matches!(Certificate::from_pem(certificate.as_bytes(), b""), Err(TlsError::NoKey)));
    assert!(matches!(
        Certificate::from_pem(b"", one.serialize_pem().as_bytes()),
        Err(TlsError::NoCertificate)
    ));
    let error = Certificate::from_files("/nowhere/chain.pem".as_ref(), "/nowhere/key.pem".as_ref());
    assert!(error.unwrap_err().to_string().starts_with("/nowhere/chain.pem cannot be read"));
}

#[test]
fn a_peer_that_speaks_no_tls_fails_and_one_that_says_nothing_does_not_stay() {
    let authority = Authority::new();
    let mut config = config(&["tls:127.0.0.1:0"]);
    config.tls = Some(Tls::new(&authority.tls(&["b.example.com"])).unwrap());
    config.limits.connect = Duration::from_millis(200);
    config.limits.streams_per_address = 2;
    let server = Running::with(config);
    let address = server.address(Protocol::Tls);
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"OPTIONS sip:b SIP/2.0\r\n\r\n").unwrap();
    // An alert, and the end.
    let _ = plain.read_to_end(&mut Vec::new());
    // These two take the whole share of their address until they are given up.
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut silent in silent {
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(silent.read(&mut [0; 10]).unwrap_or(0), 0);
    }
    let client = driver(&[], &authority.tls(&[]));
    client.order(open(Protocol::Tls, address, "b.example.com"));
    client.expect("opened");
    // The machine has heard of nobody but this one.
    assert!(server.expect("").starts_with("opened"));
    client.stop();
    server.stop();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = driver(&[], &authority.tls(&[]));
    client.order(open(Protocol::Tls, listener.local_addr().unwrap(), "b.example.com"));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").unwrap();
    assert_eq!(client.expect("failed"), "failed TlsHandshake");
    client.stop();
}

#[test]
fn messages_go_over_ws_and_wss() {
    let authority = Authority::new();
    let server = driver(&["ws:127.0.0.1:0", "wss:127.0.0.1:0"], &authority.tls(&["b.example.com"]));
    for protocol in [Protocol::Ws, Protocol::Wss] {
        let client = driver(&[], &authority.tls(&[]));
        client.order(open(protocol, server.address(protocol), "b.example.com"));
        let opened = client.expect("opened");
        assert_eq!(opened.ends_with(" by b.example.com"), protocol == Protocol::Wss, "{opened}");
        for length in [1, 125, 126, 20_000, 60_000] {
            client.order(say(protocol, &vec![b'x'; length]));
            // One message is one piece, whatever its size.
            assert_eq!(server.expect("data"), format!("data of {length}"));
            assert_eq!(client.expect("data"), format!("data of {length}"));
        }
        // Two line breaks are a ping, and its answer is one line break.
        client.order(say(protocol, b"\r\n\r\n"));
        assert_eq!(client.expect("data"), "data of 2");
        client.stop();
    }
    server.stop();
}

/// A browser by hand.
struct Browser {
    stream: TcpStream,
    decoder: Decoder,
}

impl Browser {
    fn connect(address: SocketAddr, subprotocol: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nOrigin: http://page.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        );
        // The handshake comes in pieces.
        for piece in request.as_bytes().chunks(50) {
            stream.write_all(piece).unwrap();
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (Self { stream, decoder: Decoder::new(Role::Client, 1 << 20) }, String::from_utf8(head).unwrap())
    }

    fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        self.stream.write_all(&encode(opcode, payload, Some([1, 2, 3, 4]))).unwrap();
    }

    fn hear(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.next() {
                return Some(event.unwrap());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).unwrap_or(0) {
                0 => return None,
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }
}

#[test]
fn a_browser_pings_and_says_good_bye() {
    let running = Running::with(config(&["ws:127.0.0.1:0"]));
    let (mut browser, head) = Browser::connect(running.address(Protocol::Ws), "sip");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: sip\r\n"), "{head}");
    browser.say(Opcode::Ping, b"there?");
    assert_eq!(browser.hear(), Some(Event::Pong(Bytes::from_static(b"there?"))));
    browser.say(Opcode::Binary, b"\xff\xfe");
    assert_eq!(browser.hear(), Some(Event::Message(Bytes::from_static(b"\xff\xfe"))));
    browser.say(Opcode::Close, &[]);
    assert_eq!(browser.hear(), Some(Event::Close(Some(1000))));
    assert_eq!(browser.hear(), None);
    running.expect("closed");
    // The machine closes after its last word.
    let (mut browser, _) = Browser::connect(running.address(Protocol::Ws), "sip");
    browser.say(Opcode::Text, b"quit");
    assert_eq!(browser.hear(), Some(Event::Message(Bytes::from_static(b"quit"))));
    assert_eq!(browser.hear(), Some(Event::Close(Some(1000))));
    assert_eq!(browser.hear(), None);
    running.stop();
}

#[test]
fn a_browser_that_breaks_the_rules_is_told_which_and_cut_off() {
    let mut config = config(&["ws:127.0.0.1:0"]);
    config.limits.websocket_message_bytes = 1000;
    config.websocket.origins = vec!["http://page.example".to_owned()];
    let running = Running::with(config);
    let address = running.address(Protocol::Ws);
    let (_, head) = Browser::connect(address, "xmpp");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let (mut browser, _) = Browser::connect(address, "sip");
    browser.say(Opcode::Text, &[b'x'; 1001]);
    assert_eq!(browser.hear(), Some(Event::Close(Some(1009))));
    running.expect("closed");
    let (mut browser, _) = Browser::connect(address, "sip");
    browser.stream.write_all(&encode(Opcode::Text, b"no mask", None)).unwrap();
    assert_eq!(browser.hear(), Some(Event::Close(Some(1002))));
    running.expect("closed");
    let mut page = TcpStream::connect(address).unwrap();
    page.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let mut endless = TcpStream::connect(address).unwrap();
    while endless.write_all(&[b'x'; 1000]).is_ok() {}
    running.stop();
}

#[test]
fn a_server_that_does_not_agree_is_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut request = vec![0; 2000];
        let length = peer.read(&mut request).unwrap();
        tell.send(String::from_utf8(request[..length].to_vec()).unwrap()).unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let mut config = config(&[]);
    config.websocket.path = "/ws".to_owned();
    let running = Running::with(config);
    running.order(open(Protocol::Ws, address, "b.example.com"));
    assert_eq!(running.expect("failed"), "failed WebSocketHandshake");
    let request = heard.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with("GET /ws HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Host: b.example.com:{}\r\n", address.port())), "{request}");
    server.join().unwrap();
    running.stop();
}
