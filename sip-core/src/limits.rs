//! Every bound that a peer can meet in the wire layers, with its default and why it is that large.
//!
//! The defaults are such that a host with 512 MB survives all of them being reached at once. Reaching one is
//! reported (`LimitReached`), the newcomer is refused, and what was there before stays.

/// Bounds of a single message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageLimits {
    /// Bytes of a whole message, body included. Default 65,536; a datagram cannot be longer.
    pub message_bytes: usize,
    /// Bytes from the start line to the empty line. Default and most: 65,535, since the index keeps 16-bit offsets.
    pub head_bytes: usize,
    /// Header lines. Default 256.
    pub headers: usize,
    /// Parameters of one header value or URI. Default 64.
    pub params: usize,
    /// Values in all headers of one name together (Vias, Routes, Contacts). Default 128.
    pub values: usize,
    /// Parts of a multipart body, nested ones included. Default 32.
    pub parts: usize,
    /// Depth of multipart bodies in multipart bodies, and of comments in comments. Default 4.
    pub nesting: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            message_bytes: 65_536,
            head_bytes: 65_535,
            headers: 256,
            params: 64,
            values: 128,
            parts: 32,
            nesting: 4,
        }
    }
}

/// The bounds that reading header values and bodies needs: small, since each message carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueLimits {
    pub(crate) headers: u16,
    pub(crate) params: u16,
    pub(crate) values: u16,
    pub(crate) parts: u16,
    pub(crate) nesting: u16,
}

impl MessageLimits {
    pub(crate) fn for_values(&self) -> ValueLimits {
        let narrow = |limit: usize| u16::try_from(limit).unwrap_or(u16::MAX);
        ValueLimits {
            headers: narrow(self.headers),
            params: narrow(self.params),
            values: narrow(self.values),
            parts: narrow(self.parts),
            nesting: narrow(self.nesting),
        }
    }
}

/// Which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`MessageLimits::message_bytes`].
    MessageBytes,
    /// [`MessageLimits::head_bytes`].
    HeadBytes,
    /// [`MessageLimits::headers`].
    Headers,
    /// [`MessageLimits::params`].
    Params,
    /// [`MessageLimits::values`].
    Values,
    /// [`MessageLimits::parts`].
    Parts,
    /// [`MessageLimits::nesting`].
    Nesting,
    /// Open server transactions.
    ServerTransactions,
    /// Open client transactions.
    ClientTransactions,
    /// Open streams.
    Streams,
    /// Streams of one address.
    StreamsPerAddress,
    /// Bytes waiting for a stream that is still being opened.
    StreamBacklog,
    /// Bytes a second that one peer may send on a stream for long.
    StreamRate,
    /// Time a peer may take to finish a message on a stream.
    UnfinishedMessage,
    /// Open questions to the driver.
    Queries,
    /// Calls, or dialogs.
    Calls,
    /// Early dialogs of one call.
    Forks,
    /// Subscriptions.
    Subscriptions,
    /// Published event states.
    Publications,
    /// Requests that await the application.
    Requests,
    /// Addresses of record with bindings.
    AddressesOfRecord,
    /// Nonces whose counts are remembered.
    Nonces,
}

impl Limit {
    /// The limit in words, as a reason phrase or a log line shows it.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::MessageBytes => "message bytes",
            Self::HeadBytes => "header bytes",
            Self::Headers => "header lines",
            Self::Params => "parameters",
            Self::Values => "values of one header",
            Self::Parts => "body parts",
            Self::Nesting => "nesting",
            Self::ServerTransactions => "server transactions",
            Self::ClientTransactions => "client transactions",
            Self::Streams => "streams",
            Self::StreamsPerAddress => "streams of one address",
            Self::StreamBacklog => "bytes waiting for a stream",
            Self::StreamRate => "bytes a second on a stream",
            Self::UnfinishedMessage => "time for an unfinished message",
            Self::Queries => "open questions",
            Self::Calls => "calls",
            Self::Forks => "early dialogs of one call",
            Self::Subscriptions => "subscriptions",
            Self::Publications => "published event states",
            Self::Requests => "requests that await an answer",
            Self::AddressesOfRecord => "addresses of record",
            Self::Nonces => "remembered nonces",
        }
    }
}

/// Bounds of the transport and transaction layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireLimits {
    /// Server transactions, finished ones that still absorb repeats included. Default 100,000 (some 70 MB).
    pub server_transactions: usize,
    /// Client transactions. Default 100,000.
    pub client_transactions: usize,
    /// Streams, those being opened included. Default 20,000.
    pub streams: usize,
    /// Streams that one address may have opened to us. Default 256.
    pub streams_per_address: usize,
    /// Bytes that wait for a stream being opened. Default 262,144 a stream.
    pub stream_backlog_bytes: usize,
    /// How long a peer may take to finish a message on a stream. Default 30 s.
    pub unfinished_message: std::time::Duration,
    /// How long a stream may take to open. Default 10 s.
    pub stream_opening: std::time::Duration,
    /// Questions to the driver that are open at one time. Default 10,000.
    pub queries: usize,
    /// How long the driver may take to answer a question. Default 15 s.
    pub query: std::time::Duration,
    /// Hosts that are tried for one request (RFC 3263 §4.3). Default 8.
    pub hops: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            server_transactions: 100_000,
            client_transactions: 100_000,
            streams: 20_000,
            streams_per_address: 256,
            stream_backlog_bytes: 262_144,
            unfinished_message: std::time::Duration::from_secs(30),
            stream_opening: std::time::Duration::from_secs(10),
            queries: 10_000,
            query: std::time::Duration::from_secs(15),
            hops: 8,
        }
    }
}
