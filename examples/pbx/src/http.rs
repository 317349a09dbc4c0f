//! A small HTTP/1.1 server for what the operator wants to be seen: one connection, one answer, readable by pages of any origin.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request.
const LONGEST: usize = 8_192;

/// What is served at a path: its type and itself.
#[derive(Clone, Debug)]
pub struct Page {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// Listens from now on, on a thread of this name; clients are answered one after the other with what `page` has for their path.
///
/// # Errors
/// What the system says.
pub fn serve(
    address: SocketAddr,
    name: &str,
    page: impl Fn(&str) -> Option<Page> + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let work = move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            // A client that goes away or never asks is nobody's loss.
            let _ = answer(stream, &page);
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn answer(mut stream: TcpStream, page: &impl Fn(&str) -> Option<Page>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1_024];
    while request.len() < LONGEST && !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            count => request.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let none = Page { content_type: "text/plain", body: String::new() };
    let (status, page) = match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["GET" | "HEAD", path, ..] => match page(path.split('?').next().unwrap_or_default()) {
            Some(page) => ("200 OK", page),
            None => ("404 Not Found", none),
        },
        ["OPTIONS", ..] => ("204 No Content", none),
        _ => ("405 Method Not Allowed", none),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\n\
         Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n",
        page.content_type,
        page.body.len()
    );
    let body = if line.starts_with("HEAD") { "" } else { &page.body };
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}
