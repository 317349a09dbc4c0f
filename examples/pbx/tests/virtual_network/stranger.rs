//! A stranger who sends the same thing again and again, and counts what comes back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use denwa_sim::{Input, Machine, Output, Transmit};

pub(crate) struct Stranger {
    own: SocketAddr,
    server: SocketAddr,
    make: fn(u32) -> String,
    every: Duration,
    next: Option<Instant>,
    left: u32,
    sent: u32,
    pub(crate) replies: u32,
    outputs: Vec<Output>,
}

impl Stranger {
    pub(crate) fn new(
        own: SocketAddr,
        server: SocketAddr,
        times: u32,
        every: Duration,
        make: fn(u32) -> String,
        now: Instant,
    ) -> Self {
        let bind = Output::Bind { protocol: denwa_sim::Protocol::Udp, local: own };
        Self {
            own,
            server,
            make,
            every,
            next: Some(now),
            left: times,
            sent: 0,
            replies: 0,
            outputs: vec![bind],
        }
    }
}

impl Machine for Stranger {
    fn handle_input(&mut self, input: Input<'_>, _: Instant) {
        if let Input::Datagram { .. } = input {
            self.replies += 1;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.left -= 1;
        self.next = (self.left > 0).then(|| now + self.every);
        let text = (self.make)(self.sent);
        self.sent += 1;
        self.outputs.push(Output::Transmit(Transmit::datagram(
            Some(self.own),
            self.server,
            text.into_bytes(),
        )));
    }

    fn poll_output(&mut self) -> Option<Output> {
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

pub(crate) fn request(method: &str, number: u32, headers: &str) -> String {
    format!(
        "{method} sip:1002@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:7000;branch=z9hG4bK{method}{number}\r\n\
         From: <sip:1001@x>;tag=s\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: {method}{number}\r\nCSeq: 1 {method}\r\n\
         Max-Forwards: 70\r\nContact: <sip:1001@192.0.2.2:7000>\r\n{headers}Content-Length: 0\r\n\r\n"
    )
}
