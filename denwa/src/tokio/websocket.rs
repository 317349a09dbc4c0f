//! The opening handshake of WebSockets (RFC 6455 §4), with the `sip` subprotocol of RFC 7118 §4. The frames are those of
//! [`denwa_sip_core::transport::websocket`].
//!
//! Left out on purpose: extensions, cookies, redirections, proxies.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use denwa_sip_core::transport::websocket::{SUBPROTOCOL, offers_sip};
use sha1::{Digest, Sha1};
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What WebSockets are to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// What is asked for when a connection is made; some servers answer at `/ws` only. Default `/`.
    pub path: String,
    /// The web sites whose pages may connect, such as `https://example.com`; those who name none always may. Empty, as by
    /// default: pages of any site may. Who connects has to authenticate in SIP all the same.
    pub origins: Vec<String>,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self { path: "/".to_owned(), origins: Vec::new() }
    }
}

/// Octets that a request or response may have before its empty line.
const HEAD: usize = 8 << 10;

/// What the accepting side appends to the key (RFC 6455 §1.3).
const APPENDIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes a peer's handshake and answers it. What came after it is the beginning of the first frame.
///
/// # Errors
/// When it is not one for SIP; it has been answered then.
pub(super) async fn accept<S>(stream: &mut S, config: &WebSocketConfig) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (head, rest) = read_head(stream).await?;
    let answer = match judge(&Head::read(&head), config) {
        Ok(key) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
            answer_to(key)
        ),
        Err(refusal) => {
            let more =
                if refusal == UPGRADE { "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" } else { "" };
            let text = format!("HTTP/1.1 {refusal}\r\n{more}Connection: close\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await?;
            return Err(Error::new(ErrorKind::InvalidData, refusal));
        }
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    Ok(rest)
}

/// Asks a server for a WebSocket. What came after its answer is the beginning of the first frame.
///
/// # Errors
/// When it says no, or does not speak SIP.
pub(super) async fn connect<S>(stream: &mut S, host: &str, path: &str) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Error::other(error.to_string()))?;
    let key = STANDARD.encode(nonce);
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    let (head, rest) = read_head(stream).await?;
    if is_agreed(&Head::read(&head), &key) {
        Ok(rest)
    } else {
        Err(Error::new(ErrorKind::InvalidData, "the server does not agree to a WebSocket for SIP"))
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Bytes, Bytes)> {
    let mut buffer = BytesMut::with_capacity(1024);
    let mut looked: usize = 0;
    loop {
        // The empty line may have begun in what was looked at before.
        let from = looked.saturating_sub(3);
        let end = buffer.get(from..).and_then(|new| new.windows(4).position(|four| four == b"\r\n\r\n"));
        if let Some(end) = end {
            let head = buffer.split_to(from + end + 4).freeze();
            return Ok((head, buffer.freeze()));
        }
        looked = buffer.len();
        if looked >= HEAD {
            return Err(Error::new(ErrorKind::InvalidData, "a handshake without an end"));
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A request or response: its first line, and its headers by need.
struct Head<'a> {
    first: &'a str,
    rest: &'a str,
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let (first, rest) = text.split_once("\r\n").unwrap_or_default();
        Self { first, rest }
    }

    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.rest
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .filter(move |(of, _)| of.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Whether a header lists a word.
    fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
    }

    /// The value of a header that must be there once.
    fn only(&self, name: &str) -> Option<&'a str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }
}

const UPGRADE: &str = "426 Upgrade Required";

/// The key of a request that can be agreed to, or the status of the answer.
fn judge<'a>(head: &Head<'a>, config: &WebSocketConfig) -> std::result::Result<&'a str, &'static str> {
    let mut words = head.first.split(' ');
    let (method, version) = (words.next(), words.nth(1));
    if version != Some("HTTP/1.1") || words.next().is_some() {
        return Err("400 Bad Request");
    }
    if method != Some("GET") {
        return Err("405 Method Not Allowed");
    }
    let is_upgrade = head.lists("Upgrade", "websocket") && head.lists("Connection", "upgrade");
    if !is_upgrade || head.only("Sec-WebSocket-Version") != Some("13") {
        return Err(UPGRADE);
    }
    let key = head.only("Sec-WebSocket-Key").ok_or("400 Bad Request")?;
    if STANDARD.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err("400 Bad Request");
    }
    if !head.all("Sec-WebSocket-Protocol").any(offers_sip) {
        return Err("400 Bad Request: the subprotocol is sip");
    }
    let is_welcome = |origin: &str| {
        config.origins.is_empty() || config.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    };
    if !head.all("Origin").all(is_welcome) {
        return Err("403 Forbidden");
    }
    Ok(key)
}

fn is_agreed(head: &Head<'_>, key: &str) -> bool {
    head.first.split(' ').nth(1) == Some("101")
        && head.lists("Upgrade", "websocket")
        && head.lists("Connection", "upgrade")
        && head.only("Sec-WebSocket-Accept") == Some(answer_to(key).as_str())
        && head.only("Sec-WebSocket-Protocol").is_some_and(offers_sip)
        && head.all("Sec-WebSocket-Extensions").next().is_none()
}

fn answer_to(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(APPENDIX).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /sip-ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://page.example\r\n\
        Sec-WebSocket-Protocol: xmpp, sip\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn refusal(from: &str, to: &str, config: &WebSocketConfig) -> Option<&'static str> {
        let request = REQUEST.replace(from, to);
        judge(&Head::read(request.as_bytes()), config).err()
    }

    /// RFC 6455 §1.3 and RFC 7118 §4.
    #[test]
    fn the_key_is_answered() {
        assert_eq!(answer_to("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(
            judge(&Head::read(REQUEST.as_bytes()), &WebSocketConfig::default()),
            Ok("dGhlIHNhbXBsZSBub25jZQ==")
        );
    }

    #[test]
    fn what_is_no_handshake_for_sip_is_refused() {
        let any = WebSocketConfig::default();
        assert_eq!(refusal("GET", "POST", &any), Some("405 Method Not Allowed"));
        assert_eq!(refusal("HTTP/1.1", "HTTP/1.0", &any), Some("400 Bad Request"));
        assert_eq!(refusal("WebSocket", "h2c", &any), Some("426 Upgrade Required"));
        assert_eq!(refusal("keep-alive, Upgrade", "close", &any), Some("426 Upgrade Required"));
        assert_eq!(refusal("Version: 13", "Version: 8", &any), Some("426 Upgrade Required"));
        assert_eq!(refusal("dGhl", "", &any), Some("400 Bad Request"));
        assert_eq!(refusal("xmpp, sip", "xmpp, sips", &any), Some("400 Bad Request: the subprotocol is sip"));
        assert_eq!(refusal("Host:", "sec-websocket-key: b25jZQ==\r\nHost:", &any), Some("400 Bad Request"));
        assert_eq!(refusal("GET", "\u{0}", &any), Some("405 Method Not Allowed"));
        let ours = WebSocketConfig { origins: vec!["https://page.example".to_owned()], ..any };
        assert_eq!(refusal("GET", "GET", &ours), None);
        assert_eq!(refusal("page.example", "other.example", &ours), Some("403 Forbidden"));
        assert_eq!(refusal("Origin: https://page.example\r\n", "", &ours), None);
    }

    #[test]
    fn an_answer_must_be_to_this_key_and_for_sip() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
        let agreed = |from: &str, to: &str| is_agreed(&Head::read(answer.replace(from, to).as_bytes()), key);
        assert!(agreed("", ""));
        for (from, to) in [
            ("101", "200"),
            ("s3p", "S3p"),
            ("Protocol: sip", "Protocol: xmpp"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Connection: Upgrade", "Connection: close"),
            ("Upgrade: websocket", "Sec-WebSocket-Extensions: x\r\nUpgrade: websocket"),
        ] {
            assert!(!agreed(from, to), "{to}");
        }
    }
}
