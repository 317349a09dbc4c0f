//! What strangers send to an open port: counted, dropped or told what was wrong, and nothing else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use denwa_interop::{PATIENCE, wait_until};
use interop_support::Exchange;

fn udp(exchange: &Exchange) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", exchange.sip_port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The PBX still answers a proper OPTIONS.
fn assert_answers(exchange: &mut Exchange, mark: &str) {
    assert!(exchange.peer.alive(), "{mark}: the PBX is gone\n{}", exchange.peer.log());
    let socket = udp(exchange);
    let local = socket.local_addr().unwrap();
    let request = format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{mark};rport\r\nFrom: <sip:a@{local}>;tag=1\r\n\
         To: <sip:127.0.0.1>\r\nCall-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 4096];
    // A flood may have filled the socket's buffer just before: ask again as a SIP client would.
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    let answered = (0..10).any(|_| {
        socket.send(request.as_bytes()).is_ok()
            && socket.recv(&mut buffer).is_ok_and(|count| buffer[..count].starts_with(b"SIP/2.0 "))
    });
    assert!(answered, "{mark}: no answer to OPTIONS");
}

#[test]
fn garbage_datagrams_are_dropped() {
    let mut exchange = Exchange::start("garbage", "");
    let socket = udp(&exchange);
    let mut random = 1u32;
    for size in (0..1_500).step_by(7) {
        let bytes: Vec<u8> = (0..size)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 24) as u8
            })
            .collect();
        socket.send(&bytes).unwrap();
    }
    socket.send(&vec![b'A'; 65_000]).unwrap();
    socket.send(b"\r\n\r\n").unwrap();
    assert_answers(&mut exchange, "garbage");
}

#[test]
fn a_broken_request_is_told_what_is_wrong_and_where() {
    let mut exchange = Exchange::start("broken", "");
    let socket = udp(&exchange);
    let local = socket.local_addr().unwrap();
    let request = format!(
        "INVITE sip:1001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKbroken;rport\r\nFrom: <sip:a@{local}>;tag=1\r\n\
         To: <sip:1001@127.0.0.1>\r\nCall-ID: broken\r\nCSeq: not-a-number INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send(request.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    let count = socket.recv(&mut buffer).expect("a broken request is answered");
    let answer = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let first = answer.lines().next().unwrap_or_default();
    assert!(first.starts_with("SIP/2.0 400 "), "{answer}");
    assert!(first.contains("CSeq"), "the reason does not say where: {first}");
    assert_answers(&mut exchange, "broken");
}

#[test]
fn truncations_of_a_request_break_nothing() {
    let mut exchange = Exchange::start("truncated", "");
    let socket = udp(&exchange);
    let local = socket.local_addr().unwrap();
    let request = format!(
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKcut;rport\r\nFrom: <sip:1001@127.0.0.1>;tag=1\r\n\
         To: <sip:1001@127.0.0.1>\r\nCall-ID: cut\r\nCSeq: 1 REGISTER\r\nContact: <sip:1001@{local}>\r\nContent-Length: 10\r\n\r\n0123456789"
    );
    for end in 0..request.len() {
        socket.send(&request.as_bytes()[..end]).unwrap();
    }
    assert_answers(&mut exchange, "truncated");
}

#[test]
fn a_stream_that_never_ends_a_message_is_cut_off() {
    let mut exchange = Exchange::start("endless", "");
    let mut stream = TcpStream::connect(("127.0.0.1", exchange.sip_port)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"INVITE sip:1001@127.0.0.1 SIP/2.0\r\nX-Endless: ").unwrap();
    let chunk = vec![b'a'; 16_384];
    let mut sent = 0;
    let end = Instant::now() + 2 * PATIENCE;
    let cut = loop {
        match stream.write(&chunk) {
            Ok(count) => sent += count,
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
        if sent > 64 << 20 || Instant::now() > end {
            break false;
        }
    };
    assert!(cut, "{sent} bytes of one header were taken");
    println!("cut off after {sent} bytes were written (the kernel's buffers included)");
    assert_answers(&mut exchange, "endless");
}

#[test]
fn a_huge_content_length_is_refused_without_memory() {
    let mut exchange = Exchange::start("content-length", "");
    for length in ["4294967295", "99999999999999999999", "-1", "10000000", "1x"] {
        let mut stream = TcpStream::connect(("127.0.0.1", exchange.sip_port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKbig\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b>\r\n\
             Call-ID: big\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Answered with an error, or closed, or both; never waited for.
        let closed = stream.read_to_end(&mut answer).is_ok();
        let text = String::from_utf8_lossy(&answer);
        assert!(closed || text.starts_with("SIP/2.0 4") || text.starts_with("SIP/2.0 5"), "{length}: {text}");
    }
    assert_answers(&mut exchange, "content-length");
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut exchange = Exchange::start("deaf", "");
    let mut stream = TcpStream::connect(("127.0.0.1", exchange.sip_port)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut number = 0u32;
    // Requests whose answers are never read: the PBX must not keep them all. Either it stops reading (and
    // our write blocks), or it closes the connection; it does not take everything.
    let ended = wait_until(2 * PATIENCE, || {
        for _ in 0..200 {
            number += 1;
            let request = format!(
                "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKd{number}\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:b>\r\nCall-ID: d{number}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            if stream.write_all(request.as_bytes()).is_err() {
                return true;
            }
        }
        false
    });
    assert!(ended, "{number} requests were taken from a peer that reads nothing");
    assert_answers(&mut exchange, "deaf");
}
