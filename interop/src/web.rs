//! A web server of a test: requests of a page read, and answered; and where the libraries of pages are installed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Where a package for pages is installed: `DENWA_NODE_MODULES`. Says so when it is not.
///
/// # Panics
/// When it is not and `DENWA_REQUIRE_PEERS=1`.
#[must_use]
pub fn modules(package: &str) -> Option<PathBuf> {
    let found = std::env::var_os("DENWA_NODE_MODULES").map(PathBuf::from);
    let found = found.filter(|folder| folder.join(package).is_dir());
    if found.is_none() {
        let required = std::env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "DENWA_NODE_MODULES names no folder with {package} and DENWA_REQUIRE_PEERS=1");
        println!("DENWA_NODE_MODULES names no folder with {package}: this test proves nothing here");
    }
    found
}

/// Answers every request on a port of loopback until the test's process ends.
///
/// # Panics
/// When there is no port.
pub fn serve(answer: impl Fn(Request) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(request) = Request::read(stream) {
                answer(request);
            }
        }
    });
    address
}

/// A request of a page, to be answered once.
#[derive(Debug)]
pub struct Request {
    /// What is asked for, with the query.
    pub path: String,
    /// What came with it.
    pub body: Vec<u8>,
    stream: TcpStream,
}

impl Request {
    /// Reads one; `None` when none comes.
    #[must_use]
    pub fn read(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { path, body, stream })
    }

    /// The path without the query, and the query.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.path.split_once('?').unwrap_or((&self.path, ""))
    }

    /// The samples that the page recorded, as 16 bits each.
    #[must_use]
    pub fn samples(&self) -> Vec<i16> {
        self.body.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Answers it with a body of this kind.
    pub fn respond(mut self, kind: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // The browser may be gone.
        let _ = self.stream.write_all(&[head.as_bytes(), body].concat());
    }
}
