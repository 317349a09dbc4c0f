//! Connections: one task each, with limits on what a peer may make us hold.
//!
//! What comes in is handed over a piece at a time, and the next piece is read when the machine has taken the one before: a
//! peer cannot fill our memory by sending. What goes out waits in a bounded queue: a peer that does not read is cut off when
//! it is full, or when nothing went out for too long.
//!
//! Over WebSockets a piece is a message. What keeps a flow alive there is a ping, which every browser answers by itself: the
//! machine's two line breaks leave as a ping, and a pong comes in as one line break.

use bytes::{Bytes, BytesMut};
use denwa_sip_core::transport::websocket::{Decoder, Event, Opcode, Role, close_payload, encode};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

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
    /// How long the making of a connection may take, TLS and WebSocket handshakes included. Default 10 s.
    pub connect: Duration,
    /// Octets of one WebSocket message. Default 64 KiB.
    pub websocket_message_bytes: usize,
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
            websocket_message_bytes: 64 << 10,
        }
    }
}

/// What the bytes of a connection are.
#[derive(Debug)]
pub(super) enum Framing {
    /// SIP.
    Bytes,
    /// Frames; `early` came with the handshake.
    WebSocket { role: Role, early: Bytes },
}

/// What a connection's task tells the driver.
#[derive(Debug)]
pub(super) enum FromStream {
    /// Bytes came. The next ones are read when `taken` is dropped.
    Data { payload: Bytes, taken: Taken },
    /// The peer sends faster than it may; the connection is being cut off.
    TooFast,
    /// The connection is gone; this is the last word of its task.
    Closed,
}

/// Dropped when the bytes that came with it have been taken.
#[derive(Debug)]
pub(super) struct Taken(#[allow(dead_code)] tokio::sync::OwnedSemaphorePermit);

/// What waits to be written.
#[derive(Debug)]
enum Outgoing {
    Payload(Bytes),
    Pong(Bytes),
    /// A close frame with this code; nothing follows it.
    Close(u16),
}

/// The driver's end of a connection.
#[derive(Debug)]
pub(super) struct StreamHandle {
    queue: mpsc::UnboundedSender<Outgoing>,
    unwritten: Unwritten,
}

/// Octets that wait to be written, and how many may.
#[derive(Clone, Debug)]
struct Unwritten {
    octets: Rc<Cell<usize>>,
    limit: usize,
}

impl Unwritten {
    fn add(&self, length: usize) -> bool {
        let waiting = self.octets.get().saturating_add(length);
        if waiting > self.limit {
            return false;
        }
        self.octets.set(waiting);
        true
    }

    fn written(&self, length: usize) {
        self.octets.set(self.octets.get().saturating_sub(length));
    }
}

impl StreamHandle {
    /// Puts bytes into the queue. `false` when it is full: the connection must be cut off by dropping this handle's task.
    pub(super) fn send(&self, payload: Bytes) -> bool {
        if !self.unwritten.add(payload.len()) {
            return false;
        }
        // A task that has ended tells so itself.
        let _ = self.queue.send(Outgoing::Payload(payload));
        true
    }
}

/// Makes the two ends of a connection: the driver's handle, and the work of its task, which ends when the peer closes, when a
/// limit is reached, or, after everything was written, when the handle is dropped.
pub(super) fn connection<S>(
    stream: S,
    framing: Framing,
    limits: StreamLimits,
    tell: impl AsyncFn(FromStream),
) -> (StreamHandle, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite,
{
    let (queue, waiting) = mpsc::unbounded_channel();
    let unwritten = Unwritten { octets: Rc::new(Cell::new(0)), limit: limits.unwritten_bytes };
    let back = Back { queue: queue.downgrade(), unwritten: unwritten.clone() };
    let handle = StreamHandle { queue, unwritten: unwritten.clone() };
    let task = async move {
        let (reader, writer) = tokio::io::split(stream);
        let role = match &framing {
            Framing::Bytes => None,
            Framing::WebSocket { role, .. } => Some(*role),
        };
        let reader =
            Reader { reader, allowance: Allowance::new(limits.bytes_per_second, limits.burst_bytes) };
        let teller = Teller { turn: Arc::new(Semaphore::new(1)), tell: &tell };
        let read = async {
            match framing {
                Framing::Bytes => read_bytes(reader, &teller).await,
                Framing::WebSocket { role, early } => {
                    let mut decoder = Decoder::new(role, limits.websocket_message_bytes);
                    decoder.push(&early);
                    read_frames(reader, decoder, &back, &teller).await;
                }
            }
        };
        let write = write(writer, waiting, role, &unwritten, limits.write_stall);
        // Whichever ends first ends the connection: a peer that only closed its sending half has nothing to wait for.
        first_of(read, write).await;
        tell(FromStream::Closed).await;
    };
    (handle, task)
}

/// The way of the reading half to the writing half.
struct Back {
    queue: mpsc::WeakUnboundedSender<Outgoing>,
    unwritten: Unwritten,
}

impl Back {
    fn send(&self, outgoing: Outgoing, length: usize) -> bool {
        // Without the driver's handle what was queued before is the last.
        self.unwritten.add(length) && self.queue.upgrade().is_none_or(|queue| queue.send(outgoing).is_ok())
    }
}

/// Hands over one piece at a time.
struct Teller<'a, T> {
    turn: Arc<Semaphore>,
    tell: &'a T,
}

impl<T: AsyncFn(FromStream)> Teller<'_, T> {
    async fn turn(&self) -> Option<Taken> {
        Arc::clone(&self.turn).acquire_owned().await.ok().map(Taken)
    }

    async fn too_fast(&self) {
        (self.tell)(FromStream::TooFast).await;
    }

    async fn data(&self, payload: Bytes, taken: Taken) {
        (self.tell)(FromStream::Data { payload, taken }).await;
    }
}

struct Reader<R> {
    reader: R,
    allowance: Allowance,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads on; `false` at the end, after an error, or when the peer sends too fast, which is told.
    async fn read<T: AsyncFn(FromStream)>(&mut self, buffer: &mut BytesMut, teller: &Teller<'_, T>) -> bool {
        buffer.reserve(PIECE);
        match self.reader.read_buf(buffer).await {
            Ok(0) | Err(_) => false,
            Ok(length) if self.allowance.take(length, Instant::now()) => true,
            Ok(_) => {
                teller.too_fast().await;
                false
            }
        }
    }
}

async fn read_bytes<R, T>(mut reader: Reader<R>, teller: &Teller<'_, T>)
where
    R: AsyncRead + Unpin,
    T: AsyncFn(FromStream),
{
    let mut buffer = BytesMut::with_capacity(PIECE);
    while let Some(taken) = teller.turn().await {
        if !reader.read(&mut buffer, teller).await {
            return;
        }
        teller.data(buffer.split().freeze(), taken).await;
    }
}

async fn read_frames<R, T>(mut reader: Reader<R>, mut decoder: Decoder, back: &Back, teller: &Teller<'_, T>)
where
    R: AsyncRead + Unpin,
    T: AsyncFn(FromStream),
{
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        while let Some(next) = decoder.next() {
            let payload = match next {
                Ok(Event::Message(payload)) => payload,
                Ok(Event::Pong(_)) => Bytes::from_static(b"\r\n"),
                Ok(Event::Ping(payload)) => {
                    let length = payload.len();
                    if !back.send(Outgoing::Pong(payload), length) {
                        return;
                    }
                    continue;
                }
                Ok(Event::Close(_)) => return say_close(back, 1000).await,
                Err(error) => return say_close(back, error.close_code()).await,
            };
            let Some(taken) = teller.turn().await else { return };
            teller.data(payload, taken).await;
        }
        if !reader.read(&mut buffer, teller).await {
            return;
        }
        decoder.push(&buffer);
        buffer.clear();
    }
}

/// Has a close frame written, after which the writing half ends the connection.
async fn say_close(back: &Back, code: u16) {
    if back.send(Outgoing::Close(code), 0) {
        std::future::pending().await
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut waiting: mpsc::UnboundedReceiver<Outgoing>,
    role: Option<Role>,
    unwritten: &Unwritten,
    stall: Duration,
) {
    let closing = |code| role.and_then(|role| frame(role, Opcode::Close, &close_payload(code)));
    let mut last_words = closing(1000);
    while let Some(outgoing) = waiting.recv().await {
        let (length, wire) = match (outgoing, role) {
            (Outgoing::Payload(payload), None) => (payload.len(), Some(payload)),
            (Outgoing::Payload(payload), Some(role)) => (payload.len(), message(role, &payload)),
            (Outgoing::Pong(payload), Some(role)) => (payload.len(), frame(role, Opcode::Pong, &payload)),
            (Outgoing::Close(code), _) => {
                last_words = closing(code);
                break;
            }
            // Only the reader of frames sends pongs.
            (Outgoing::Pong(_), None) => continue,
        };
        let Some(wire) = wire else { return };
        match tokio::time::timeout(stall, write_all(&mut writer, &wire)).await {
            Ok(Ok(())) => unwritten.written(length),
            _ => return,
        }
    }
    // The handle is gone and the queue is empty: a proper end.
    let end = async {
        if let Some(last_words) = last_words {
            write_all(&mut writer, &last_words).await?;
        }
        writer.shutdown().await
    };
    let _ = tokio::time::timeout(stall, end).await;
}

async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, wire: &[u8]) -> std::io::Result<()> {
    writer.write_all(wire).await?;
    // TLS keeps what the socket did not take.
    writer.flush().await
}

/// A message of the machine's as a frame.
fn message(role: Role, payload: &[u8]) -> Option<Bytes> {
    match payload {
        b"\r\n\r\n" => frame(role, Opcode::Ping, b""),
        payload if std::str::from_utf8(payload).is_ok() => frame(role, Opcode::Text, payload),
        payload => frame(role, Opcode::Binary, payload),
    }
}

/// `None` when the system has no entropy for a mask, which ends the connection.
fn frame(role: Role, opcode: Opcode, payload: &[u8]) -> Option<Bytes> {
    let mask = match role {
        Role::Server => None,
        Role::Client => {
            let mut mask = [0; 4];
            getrandom::fill(&mut mask).ok()?;
            Some(mask)
        }
    };
    Some(encode(opcode, payload, mask))
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
