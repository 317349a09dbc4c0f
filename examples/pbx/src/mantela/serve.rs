//! The document served by HTTP/1.1, one connection one answer, readable by pages of any origin.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The path by which documents are found.
const PATH: &str = "/.well-known/mantela.json";

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves what it was last given, until the program ends.
#[derive(Clone, Debug)]
pub struct Server {
    document: Arc<Mutex<String>>,
}

impl Server {
    /// Listens; clients are answered one after the other.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(address: SocketAddr, document: String) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let server = Self { document: Arc::new(Mutex::new(document)) };
        let own = server.clone();
        thread::Builder::new().name("mantela".to_owned()).spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                // A client that goes away or never asks is nobody's loss.
                let _ = own.answer(stream);
            }
        })?;
        Ok(server)
    }

    /// Serves another document from now on.
    pub fn replace(&self, document: String) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = Vec::new();
        let mut buffer = [0; 1_024];
        while request.len() < 8_192 && !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => break,
                count => request.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
        let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
        let document = self.document.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (status, body) = match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["GET" | "HEAD", PATH, ..] => ("200 OK", document),
            ["OPTIONS", ..] => ("204 No Content", String::new()),
            ["GET" | "HEAD", ..] => ("404 Not Found", String::new()),
            _ => ("405 Method Not Allowed", String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let body = if line.starts_with("HEAD") { "" } else { &body };
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())
    }
}
