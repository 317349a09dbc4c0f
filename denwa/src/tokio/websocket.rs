//! The opening handshake of WebSockets (RFC 6455 §4) by tungstenite, and what RFC 7118 §4 asks of it: the `sip` subprotocol.
//! The frames are those of [`denwa_sip_core::transport::websocket`].
//!
//! Left out on purpose: extensions, cookies, redirections, proxies.

use bytes::{Bytes, BytesMut};
use denwa_sip_core::transport::websocket::{SUBPROTOCOL, offers_sip};
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::{client, derive_accept_key, machine::TryParse, server};
use tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};

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

/// Takes a peer's handshake and answers it. What came after it is the beginning of the first frame.
///
/// # Errors
/// When it is not one for SIP; it has been answered then.
pub(super) async fn accept<S>(stream: &mut S, config: &WebSocketConfig) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (head, rest) = read_head(stream).await?;
    match judge(&head, config) {
        Ok(response) => {
            stream.write_all(&wire(&response)?).await?;
            stream.flush().await?;
            Ok(rest)
        }
        Err(refusal) => {
            stream.write_all(&refusal.wire()?).await?;
            stream.shutdown().await?;
            Err(Error::new(ErrorKind::InvalidData, refusal.1))
        }
    }
}

/// Asks a server for a WebSocket. What came after its answer is the beginning of the first frame.
///
/// # Errors
/// When it says no, or does not speak SIP.
pub(super) async fn connect<S>(stream: &mut S, host: &str, path: &str) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = client::Request::builder()
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, client::generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .body(())
        .map_err(Error::other)?;
    let (text, key) = client::generate_request(request).map_err(Error::other)?;
    stream.write_all(&text).await?;
    stream.flush().await?;
    let (head, rest) = read_head(stream).await?;
    if is_agreed(&head, &key) {
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

fn wire<T>(response: &tungstenite::http::Response<T>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    server::write_response(&mut text, response).map_err(Error::other)?;
    Ok(text)
}

/// Why a handshake is not agreed to: the answer's status and what it tells a human.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

impl Refusal {
    /// What the library has to say of a request.
    fn of(error: &tungstenite::Error) -> Self {
        use tungstenite::Error::Protocol;
        match error {
            Protocol(ProtocolError::WrongHttpMethod) => {
                Self(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is asked for by GET")
            }
            Protocol(
                ProtocolError::MissingConnectionUpgradeHeader
                | ProtocolError::MissingUpgradeWebSocketHeader
                | ProtocolError::MissingSecWebSocketVersionHeader,
            ) => Self(StatusCode::UPGRADE_REQUIRED, "here are WebSockets of version 13 only"),
            _ => Self(StatusCode::BAD_REQUEST, "no handshake of WebSockets"),
        }
    }

    fn wire(&self) -> Result<Vec<u8>> {
        let mut response = tungstenite::http::Response::new(());
        *response.status_mut() = self.0;
        let headers = response.headers_mut();
        if self.0 == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.1.len()));
        let mut text = wire(&response)?;
        text.extend_from_slice(self.1.as_bytes());
        Ok(text)
    }
}

/// The answer that agrees to a request, or why it cannot be agreed to.
fn judge(head: &[u8], config: &WebSocketConfig) -> std::result::Result<server::Response, Refusal> {
    let parsed = server::Request::try_parse(head).map_err(|error| Refusal::of(&error))?;
    let no_handshake = Refusal(StatusCode::BAD_REQUEST, "no handshake of WebSockets");
    let Some((_, request)) = parsed else { return Err(no_handshake) };
    let mut response = server::create_response(&request).map_err(|error| Refusal::of(&error))?;
    let headers = request.headers();
    // The library looks at the first of a name. Of these there is one, and the key is of sixteen octets.
    let is_once = |name| headers.get_all(name).iter().count() == 1;
    if !is_once(header::SEC_WEBSOCKET_VERSION) || !is_once(header::SEC_WEBSOCKET_KEY) || !has_key(headers) {
        return Err(no_handshake);
    }
    if !texts(headers, header::SEC_WEBSOCKET_PROTOCOL).any(offers_sip) {
        return Err(Refusal(StatusCode::BAD_REQUEST, "the subprotocol is sip"));
    }
    let is_welcome = |origin: &str| {
        config.origins.is_empty() || config.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    };
    // What is no text is nobody's origin.
    if headers.get_all(header::ORIGIN).iter().any(|origin| !origin.to_str().is_ok_and(is_welcome)) {
        return Err(Refusal(StatusCode::FORBIDDEN, "pages of this site may not connect"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// Sixteen octets in base64 are 22 characters and two of padding (RFC 6455 §4.1).
fn has_key(headers: &HeaderMap) -> bool {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&[][..], HeaderValue::as_bytes);
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    digits.len() == 22
        && digits.iter().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
}

/// The values of a header that are text.
fn texts(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// Whether a server's answer makes a WebSocket for SIP of the connection (RFC 6455 §4.1).
fn is_agreed(head: &[u8], key: &str) -> bool {
    let Ok(Some((_, response))) = client::Response::try_parse(head) else { return false };
    let headers = response.headers();
    let only = |name: header::HeaderName| {
        let mut all = texts(headers, name);
        all.next().filter(|_| all.next().is_none())
    };
    let upgrades = |text: &str| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && only(header::UPGRADE).is_some_and(|what| what.eq_ignore_ascii_case("websocket"))
        && texts(headers, header::CONNECTION).any(upgrades)
        && only(header::SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str())
        && only(header::SEC_WEBSOCKET_PROTOCOL).is_some_and(offers_sip)
        && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /sip-ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://page.example\r\n\
        Sec-WebSocket-Protocol: xmpp, sip\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn refusal(from: &str, to: &str, config: &WebSocketConfig) -> Option<u16> {
        let request = REQUEST.replace(from, to);
        judge(request.as_bytes(), config).err().map(|refusal| refusal.0.as_u16())
    }

    /// RFC 6455 §1.3 and RFC 7118 §4.
    #[test]
    fn the_key_is_answered() {
        let answer = judge(REQUEST.as_bytes(), &WebSocketConfig::default()).unwrap();
        let text = String::from_utf8(wire(&answer).unwrap()).unwrap().to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 101 switching protocols\r\n"), "{text}");
        assert!(text.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{text}");
        assert!(text.contains("\r\nsec-websocket-protocol: sip\r\n"), "{text}");
    }

    /// The reason goes to whoever asked, in words.
    #[test]
    fn a_refusal_says_why() {
        let request = REQUEST.replace("xmpp, sip", "xmpp");
        let refusal = judge(request.as_bytes(), &WebSocketConfig::default()).unwrap_err();
        let text = String::from_utf8(refusal.wire().unwrap()).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nthe subprotocol is sip"), "{text}");
        let old = REQUEST.replace("Version: 13", "Version: 8");
        let refusal = judge(old.as_bytes(), &WebSocketConfig::default()).unwrap_err();
        let text = String::from_utf8(refusal.wire().unwrap()).unwrap();
        assert!(text.contains("sec-websocket-version: 13\r\n"), "{text}");
    }

    #[test]
    fn what_is_no_handshake_for_sip_is_refused() {
        let any = WebSocketConfig::default();
        assert_eq!(refusal("GET", "POST", &any), Some(405));
        assert_eq!(refusal("HTTP/1.1", "HTTP/1.0", &any), Some(400));
        assert_eq!(refusal("WebSocket", "h2c", &any), Some(426));
        assert_eq!(refusal("keep-alive, Upgrade", "close", &any), Some(426));
        assert_eq!(refusal("Version: 13", "Version: 8", &any), Some(426));
        assert_eq!(refusal("dGhl", "", &any), Some(400));
        assert_eq!(refusal("xmpp, sip", "xmpp, sips", &any), Some(400));
        assert_eq!(refusal("Host:", "sec-websocket-key: b25jZQ==\r\nHost:", &any), Some(400));
        assert_eq!(refusal("GET", "\u{0}", &any), Some(400));
        let ours = WebSocketConfig { origins: vec!["https://page.example".to_owned()], ..any };
        assert_eq!(refusal("GET", "GET", &ours), None);
        assert_eq!(refusal("page.example", "other.example", &ours), Some(403));
        assert_eq!(refusal("Origin: https://page.example\r\n", "", &ours), None);
    }

    #[test]
    fn an_answer_must_be_to_this_key_and_for_sip() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
        let agreed = |from: &str, to: &str| is_agreed(answer.replace(from, to).as_bytes(), key);
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
