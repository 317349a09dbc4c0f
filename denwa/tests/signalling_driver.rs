//! The signalling driver with a machine that does what a line of text tells it: bytes in, bytes out, limits kept.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parrot;

use bytes::Bytes;
use denwa::bridge::{Command as MediaCommand, LegId, LegSpec};
use denwa::driver::{Ask, Output};
use denwa::tokio::{DriverConfig, Listen, Listening, SignallingDriver, StartError, StreamLimits};
use denwa_sip_core::io::{Protocol, QueryId, Question};
use denwa_sip_core::{StreamId, Transmit};
use parrot::{Order, PATIENCE, Parrot, Running};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn datagrams_come_and_go_by_the_address_they_came_to() {
    let running = Running::start(StreamLimits::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = running.address(Protocol::Udp);
    socket.send_to(b"hello", address).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(socket.recv_from(&mut buffer).unwrap(), (5, address));
    assert_eq!(running.expect("datagram"), format!("datagram of 5 at {address}"));
    // Larger than a frame of any line: it travels in pieces.
    socket.send_to(&[b'x'; 20_000], address).unwrap();
    let mut buffer = vec![0; 65_536];
    assert_eq!(socket.recv_from(&mut buffer).unwrap().0, 20_000);
    running.stop();
}

#[test]
fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
    let (tell, told) = mpsc::channel();
    let config = DriverConfig::new(vec!["udp:0.0.0.0:0".parse().unwrap()]);
    let make = |_: &[Listening], _| Parrot::default();
    let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event))).unwrap();
    let port = driver.listening()[0].address.port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for host in ["127.0.0.1", "127.0.0.9"] {
        let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
        socket.send_to(b"hello", address).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), format!("datagram of 5 at {address}"));
        assert_eq!(socket.recv_from(&mut [0; 100]).unwrap().1, address);
    }
    driver.handle().command(Order::Do(Box::new(Output::Stop))).unwrap();
    driver.join().unwrap();
}

#[test]
fn a_port_that_nobody_listens_on_is_told() {
    let running = Running::start(StreamLimits::default());
    let (_kept, nobody) = denwa_interop::nobody();
    running.order(Output::Transmit(Transmit {
        source: None,
        destination: nobody,
        protocol: Protocol::Udp,
        stream: None,
        payload: Bytes::from_static(b"anybody?"),
    }));
    running.driver.handle().command(Order::WakeMeIn(Duration::from_millis(50))).unwrap();
    assert_eq!(running.expect("unreachable"), format!("unreachable {nobody}"));
    running.stop();
}

#[test]
fn streams_are_accepted_answered_and_closed_after_the_last_word() {
    let running = Running::start(StreamLimits::default());
    let mut stream = TcpStream::connect(running.address(Protocol::Tcp)).unwrap();
    running.expect("opened");
    stream.write_all(b"hello quit").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"hello quit");
    running.expect("closed");
    running.stop();
}

#[test]
fn streams_are_opened_or_said_to_fail() {
    let running = Running::start(StreamLimits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = listener.local_addr().unwrap();
    let open = |stream, remote| Output::OpenStream {
        stream,
        protocol: Protocol::Tcp,
        local: None,
        remote,
        server_name: None,
    };
    running.order(open(StreamId::accepted(1000), remote));
    assert_eq!(running.expect("opened"), format!("opened {remote}"));
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hi").unwrap();
    let mut answer = [0; 2];
    peer.read_exact(&mut answer).unwrap();
    drop((listener, peer));
    running.expect("closed");
    running.order(open(StreamId::accepted(1001), remote));
    assert_eq!(running.expect("failed"), "failed Refused");
    running.stop();
}

#[test]
fn a_peer_that_never_reads_is_cut_off_at_the_limit() {
    let mut limits = StreamLimits::default();
    limits.unwritten_bytes = 100_000;
    limits.burst_bytes = 1 << 30;
    let running = Running::start(limits);
    let mut stream = TcpStream::connect(running.address(Protocol::Tcp)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // Its echo fills the system's buffers and then ours.
    let mut sent = 0usize;
    while stream.write_all(&[b'x'; 10_000]).is_ok() && sent < 1 << 30 {
        sent += 10_000;
    }
    assert!(sent < 1 << 30, "{sent}");
    assert_eq!(running.expect("turned away"), "turned away 127.0.0.1 StreamBacklog");
    running.expect("closed");
    running.stop();
}

#[test]
fn a_peer_that_sends_too_fast_is_cut_off_at_the_limit() {
    let mut limits = StreamLimits::default();
    limits.burst_bytes = 1_000_000;
    limits.bytes_per_second = 1000;
    let running = Running::start(limits);
    let mut stream = TcpStream::connect(running.address(Protocol::Tcp)).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        let mut read = 0;
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            read += length;
        }
        read
    });
    while stream.write_all(&[b'x'; 10_000]).is_ok() {}
    // A burst, and what a minute adds to it.
    assert!(reading.join().unwrap() <= 1_060_000);
    assert_eq!(running.expect("turned away"), "turned away 127.0.0.1 StreamRate");
    running.expect("closed");
    running.stop();
}

#[test]
fn a_flood_of_connections_is_turned_away_and_told_once() {
    let mut limits = StreamLimits::default();
    limits.streams = 2;
    let running = Running::start(limits);
    let address = running.address(Protocol::Tcp);
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    (0..2).for_each(|_| drop(running.expect("opened")));
    // More than the queue of those that wait to be looked at: all of them are closed, one after the other.
    for mut flood in (0..100).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>() {
        assert_eq!(flood.read(&mut [0; 10]).unwrap_or(0), 0, "closed");
    }
    assert_eq!(running.expect("turned away"), "turned away 127.0.0.1 Streams");
    drop(held);
    (0..2).for_each(|_| assert_eq!(running.told.recv_timeout(PATIENCE).unwrap(), "closed", "told once"));
    running.stop();
}

#[test]
fn one_address_cannot_have_all_the_connections() {
    let mut limits = StreamLimits::default();
    limits.streams_per_address = 3;
    let running = Running::start(limits);
    let address = running.address(Protocol::Tcp);
    let mut held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..3 {
        running.expect("opened");
    }
    let mut one_more = TcpStream::connect(address).unwrap();
    assert_eq!(one_more.read(&mut [0; 10]).unwrap_or(0), 0, "closed at once");
    assert_eq!(running.expect("turned away"), "turned away 127.0.0.1 StreamsPerAddress");
    held.pop();
    running.expect("closed");
    let mut again = TcpStream::connect(address).unwrap();
    running.expect("opened");
    again.write_all(b"hi").unwrap();
    again.read_exact(&mut [0; 2]).unwrap();
    running.stop();
}

#[test]
fn names_routes_and_time() {
    let running = Running::start(StreamLimits::default());
    running.order(Output::Resolve { id: QueryId(1), question: Question::Addresses("localhost".into()) });
    assert!(running.expect("resolved").contains("Addresses"));
    running.order(Output::Resolve {
        id: QueryId(2),
        question: Question::Addresses("no.such.host.invalid".into()),
    });
    assert_eq!(running.expect("resolved"), "resolved NotFound");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 5060));
    running.order(Output::Route { id: QueryId(3), destination: loopback });
    assert_eq!(running.expect("routed"), "routed Some(127.0.0.1)");
    running.order(Output::Ask { question: 7, what: Ask::Route(loopback) });
    assert!(running.expect("answer 7").contains("127.0.0.1"));
    running.order(Output::Ask { question: 8, what: Ask::Addresses("127.0.0.1".into()) });
    assert!(running.expect("answer 8").contains("127.0.0.1"));
    running.driver.handle().command(Order::WakeMeIn(Duration::from_millis(1))).unwrap();
    running.expect("woken");
    running.stop();
}

#[test]
fn media_are_opened_and_closed_before_the_driver_ends() {
    let running = Running::start(StreamLimits::default());
    let any = "127.0.0.1:0".parse().unwrap();
    let spec = LegSpec { group: 5, rtp: any, rtcp: any, silence_after: PATIENCE, cname: "leg".into() };
    running.order(Output::Media(MediaCommand::Open { leg: LegId(1), spec }));
    running.expect("media Opened");
    running.order(Output::Media(MediaCommand::Close { leg: LegId(1) }));
    running.expect("media Closed");
    running.stop();
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = Listen { protocol: Protocol::Udp, address: taken.local_addr().unwrap() };
    let make = |_: &[Listening], _| Parrot::default();
    let error = SignallingDriver::start(DriverConfig::new(vec![listen]), make, drop).unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert_eq!(error.to_string(), format!("cannot listen on {listen}: another program uses this port"));
}
