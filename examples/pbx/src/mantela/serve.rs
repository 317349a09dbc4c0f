//! The document served by HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::{Page, serve};

/// The path by which documents are found.
const PATH: &str = "/.well-known/mantela.json";

/// Serves what it was last given, until the program ends.
#[derive(Clone, Debug)]
pub struct Server {
    document: Arc<Mutex<String>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(address: SocketAddr, document: String) -> io::Result<Self> {
        let server = Self { document: Arc::new(Mutex::new(document)) };
        let own = server.clone();
        serve(address, "mantela", move |path| {
            (path == PATH).then(|| Page {
                content_type: "application/json",
                body: own.document.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            })
        })?;
        Ok(server)
    }

    /// Serves another document from now on.
    pub fn replace(&self, document: String) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }
}
