//! SIP messages as text.

use std::net::SocketAddr;

/// A SIP message as text.
#[derive(Clone, Debug)]
pub struct Message {
    pub first_line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    pub(super) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let first_line = lines.next().unwrap().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { first_line, headers, body: body.to_owned() }
    }

    /// Everything, for looking into it.
    pub fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{}\n{headers}\n{}", self.first_line, self.body)
    }

    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.first_line.strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().unwrap())
    }

    /// The method of a request, or of a response's request.
    pub fn method(&self) -> String {
        if self.status() == 0 {
            return self.first_line.split(' ').next().unwrap().to_owned();
        }
        self.header("CSeq").split(' ').nth(1).unwrap().to_owned()
    }

    /// Where RTP is to be sent, by the description.
    pub fn rtp(&self) -> SocketAddr {
        let address = self.line("c=").split(' ').nth(2).unwrap().to_owned();
        let port: u16 = self.line("m=audio ").split(' ').next().unwrap().parse().unwrap();
        SocketAddr::new(address.parse().unwrap(), port)
    }

    /// What follows a prefix on the first line of the body that has it.
    pub fn line(&self, prefix: &str) -> &str {
        self.body
            .lines()
            .find_map(|line| line.strip_prefix(prefix))
            .unwrap_or_else(|| panic!("no {prefix} in {self:?}"))
    }

    /// Whether the body has a line.
    pub fn has_line(&self, line: &str) -> bool {
        self.body.lines().any(|own| own == line)
    }

    pub(super) fn contact_uri(&self) -> String {
        uri(self.header("Contact"))
    }
}

fn uri(name_addr: &str) -> String {
    let inner = name_addr.split_once('<').map_or(name_addr, |(_, rest)| rest.split('>').next().unwrap());
    inner.to_owned()
}
