//! Connections: one task each, with limits on what a peer may make us hold.
//!
//! What comes in is handed over a piece at a time, and the next piece is read when the machine has taken the one before: a
//! peer cannot fill our memory by sending. What goes out waits in a bounded queue: a peer that does not read is cut off when
//! it is full, or when nothing went out for too long.

use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// What a connection may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Connections at a time, in both directions. Default 4096.
    pub streams: usize,
    /// Accepted connections from one address at a time. Default 256.
    pub streams_per_address: usize,
    /// Octets that may wait to be written; when a peer does not read, the connection is cut off there. Default 256 KiB.
    pub unwritten_bytes: usize,
    /// How long a write may stand still before the connection is cut off. Default 20 s.
    pub write_stall: Duration,
    /// Octets a second that a peer may send for long; faster than this it is cut off. Default 1 MiB.
    pub bytes_per_second: usize,
    /// Octets that a peer may send at once above that. Default 4 MiB.
    pub burst_bytes: usize,
    /// How long the making of a connection may take. Default 10 s.
    pub connect: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 4096,
            streams_per_address: 256,
            unwritten_bytes: 256 << 10,
            write_stall: Duration::from_secs(20),
            bytes_per_second: 1 << 20,
            burst_bytes: 4 << 20,
            connect: Duration::from_secs(10),
        }
    }
}

/// What a connection's task tells the driver.
#[derive(Debug)]
pub(super) enum FromStream {
    /// Bytes came. The next ones are read when `taken` is dropped.
    Data { payload: Bytes, taken: Taken },
    /// The connection is gone; this is the last word of its task.
    Closed,
}

/// Dropped when the bytes that came with it have been taken.
#[derive(Debug)]
pub(super) struct Taken(#[allow(dead_code)] tokio::sync::OwnedSemaphorePermit);

/// The driver's end of a connection.
#[derive(Debug)]
pub(super) struct StreamHandle {
    queue: mpsc::UnboundedSender<Bytes>,
    unwritten: Rc<Cell<usize>>,
    limit: usize,
}

impl StreamHandle {
    /// Puts bytes into the queue. `false` when it is full: the connection must be cut off by dropping this handle's task.
    pub(super) fn send(&self, payload: Bytes) -> bool {
        let waiting = self.unwritten.get().saturating_add(payload.len());
        if waiting > self.limit {
            return false;
        }
        self.unwritten.set(waiting);
        // A task that has ended tells so itself.
        let _ = self.queue.send(payload);
        true
    }
}

/// Makes the two ends of a connection: the driver's handle, and the work of its task, which ends when the peer closes, when a
/// limit is reached, or, after everything was written, when the handle is dropped.
pub(super) fn connection<S>(
    stream: S,
    limits: StreamLimits,
    tell: impl AsyncFn(FromStream),
) -> (StreamHandle, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite,
{
    let (queue, waiting) = mpsc::unbounded_channel();
    let unwritten = Rc::new(Cell::new(0));
    let handle = StreamHandle { queue, unwritten: Rc::clone(&unwritten), limit: limits.unwritten_bytes };
    let task = async move {
        let (reader, writer) = tokio::io::split(stream);
        let read = read(reader, limits, &tell);
        let write = write(writer, waiting, &unwritten, limits);
        // Whichever ends first ends the connection: a peer that only closed its sending half has nothing to wait for.
        first_of(read, write).await;
        tell(FromStream::Closed).await;
    };
    (handle, task)
}

async fn read(mut reader: impl AsyncRead + Unpin, limits: StreamLimits, tell: &impl AsyncFn(FromStream)) {
    let turn = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let mut allowance = Allowance::new(limits.bytes_per_second, limits.burst_bytes);
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        let Ok(permit) = std::sync::Arc::clone(&turn).acquire_owned().await else { return };
        buffer.reserve(PIECE);
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) if !allowance.take(length, Instant::now()) => return,
            Ok(_) => tell(FromStream::Data { payload: buffer.split().freeze(), taken: Taken(permit) }).await,
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::UnboundedReceiver<Bytes>,
    unwritten: &Cell<usize>,
    limits: StreamLimits,
) {
    while let Some(payload) = waiting.recv().await {
        let length = payload.len();
        match tokio::time::timeout(limits.write_stall, writer.write_all(&payload)).await {
            Ok(Ok(())) => unwritten.set(unwritten.get().saturating_sub(length)),
            _ => return,
        }
    }
    // The handle is gone and the queue is empty: a proper end.
    let _ = tokio::time::timeout(limits.write_stall, writer.shutdown()).await;
}

/// Octets read at a time.
const PIECE: usize = 16 << 10;

/// How much may still be received: a measure that fills with time.
struct Allowance {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Option<Instant>,
}

impl Allowance {
    fn new(per_second: usize, burst: usize) -> Self {
        let burst = burst as f64;
        Self { per_second: per_second as f64, burst, left: burst, at: None }
    }

    fn take(&mut self, length: usize, now: Instant) -> bool {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.left = (self.left + since.as_secs_f64() * self.per_second).min(self.burst) - length as f64;
        self.left >= 0.0
    }
}

/// Ends when either does.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_fills_with_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(1000, 4000);
        assert!(allowance.take(4000, start));
        assert!(!allowance.take(1, start));
        let mut allowance = Allowance::new(1000, 4000);
        assert!(allowance.take(4000, start));
        assert!(allowance.take(1000, start + Duration::from_secs(1)));
        assert!(!allowance.take(1001, start + Duration::from_secs(2)));
    }
}
