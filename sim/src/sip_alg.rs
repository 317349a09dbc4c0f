//! Application-level gateways: routers that rewrite the addresses inside SIP, well or badly.
//!
//! To be put behind a [`Nat`](crate::nat::Nat) on the same host. The text is not parsed as SIP, which is how such boxes
//! come to be the trouble that they are.

use crate::middlebox::{Middlebox, Passage, Verdict};
use crate::packet::{Body, Packet};
use bytes::Bytes;
use std::net::SocketAddr;

/// How well the box does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skill {
    /// Address and port of headers, address of the description, and the length that follows from it.
    Decent,
    /// The same, and the old `Content-Length`.
    ForgetsLength,
    /// Addresses everywhere, ports nowhere.
    ForgetsPorts,
    /// Only the description; `Contact` keeps the address behind the router.
    OnlyDescription,
}

/// A box that rewrites what leaves for, or comes from, a signalling port.
#[derive(Debug, Clone)]
pub struct SipAlg {
    skill: Skill,
    port: u16,
}

impl SipAlg {
    /// A box that watches `port` (5060 in life).
    #[must_use]
    pub const fn new(skill: Skill, port: u16) -> Self {
        Self { skill, port }
    }

    fn rewrite(&self, text: &str, internal: SocketAddr, external: SocketAddr) -> String {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let (from, to) = (internal.ip().to_string(), external.ip().to_string());
        let head = match self.skill {
            Skill::OnlyDescription => head.to_owned(),
            Skill::ForgetsPorts => head.replace(&from, &to),
            Skill::Decent | Skill::ForgetsLength => {
                let with_ports = head.replace(&internal.to_string(), &external.to_string());
                with_ports.replace(&from, &to)
            }
        };
        let new_body = body.replace(&from, &to);
        let head = if self.skill == Skill::ForgetsLength { head } else { with_length(&head, new_body.len()) };
        format!("{head}\r\n\r\n{new_body}")
    }
}

fn with_length(head: &str, length: usize) -> String {
    let line = |line: &str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("l") {
            format!("{name}: {length}")
        } else {
            line.to_owned()
        }
    };
    head.split("\r\n").map(line).collect::<Vec<_>>().join("\r\n")
}

impl Middlebox for SipAlg {
    fn after_routing(&mut self, packet: &mut Packet, _passage: Passage) -> Verdict {
        let Some(internal) = packet.translated_from else { return Verdict::Pass };
        if packet.destination.port() != self.port && internal.port() != self.port {
            return Verdict::Pass;
        }
        if let Body::Datagram(payload) = &mut packet.body
            && let Ok(text) = std::str::from_utf8(payload)
            && text.contains("SIP/2.0")
        {
            let rewritten = self.rewrite(text, internal, packet.source);
            *payload = Bytes::from(rewritten);
        }
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_skill_leaves_its_own_trace() {
        let message = "INVITE sip:b@x SIP/2.0\r\nContact: <sip:a@10.0.0.1:5060>\r\nContent-Length: 24\r\n\r\nc=IN IP4 10.0.0.1 abcd\r\n";
        let rewrite = |skill| {
            let (internal, external) = (([10, 0, 0, 1], 5060).into(), ([203, 0, 113, 77], 61_000).into());
            SipAlg::new(skill, 5060).rewrite(message, internal, external)
        };
        let decent = rewrite(Skill::Decent);
        assert!(decent.contains("a@203.0.113.77:61000>") && decent.contains("Content-Length: 28"));
        assert!(rewrite(Skill::ForgetsLength).contains("Content-Length: 24"));
        assert!(rewrite(Skill::ForgetsPorts).contains("a@203.0.113.77:5060>"));
        let only = rewrite(Skill::OnlyDescription);
        assert!(only.contains("a@10.0.0.1:5060>") && only.contains("IP4 203.0.113.77"));
    }
}
