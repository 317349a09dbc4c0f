//! Help for adapters: streams known by a number to the machine and by their addresses to the network.

use crate::machine::{Output, Protocol, Transmit};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Which number a machine knows a stream by.
///
/// Insert at [`Input::StreamOpened`](crate::Input::StreamOpened) under the machine's own number (its token, when it asked for the stream), translate
/// while it is open, remove at [`Input::StreamClosed`](crate::Input::StreamClosed).
#[derive(Debug, Clone)]
pub struct StreamNames<Id> {
    table: BTreeMap<Id, (Protocol, SocketAddr, SocketAddr)>,
}

impl<Id> Default for StreamNames<Id> {
    fn default() -> Self {
        Self { table: BTreeMap::new() }
    }
}

impl<Id: Copy + Ord> StreamNames<Id> {
    /// A stream is open.
    pub fn insert(&mut self, id: Id, protocol: Protocol, local: SocketAddr, remote: SocketAddr) {
        self.table.insert(id, (protocol, local, remote));
    }

    /// The machine's number of a stream.
    #[must_use]
    pub fn id(&self, protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Option<Id> {
        self.table.iter().find(|(_, stream)| **stream == (protocol, local, remote)).map(|(id, _)| *id)
    }

    /// A stream is gone: its number, for the last time.
    pub fn remove(&mut self, protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Option<Id> {
        let id = self.id(protocol, local, remote)?;
        self.table.remove(&id);
        Some(id)
    }

    /// What sends on a stream; `None` when it is not open.
    pub fn transmit(&self, id: Id, payload: impl Into<Bytes>) -> Option<Output> {
        let (protocol, local, destination) = *self.table.get(&id)?;
        let payload = payload.into();
        Some(Output::Transmit(Transmit { source: Some(local), destination, protocol, payload }))
    }

    /// What closes a stream; `None` when it is not open.
    #[must_use]
    pub fn close(&self, id: Id) -> Option<Output> {
        let (protocol, local, remote) = *self.table.get(&id)?;
        Some(Output::CloseStream { protocol, local, remote })
    }
}
