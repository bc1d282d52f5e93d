//! One request as handlers see it: the received frame, its head, where it came from.
//!
//! The frame is immutable and shared: a request to partitions of several shards sends references
//! to it, never copies. Views borrow from it. A handler either answers or refuses; a refusal closes
//! the connection with its reason in one log line. Deliberately absent: what to do (dispatch).

use std::net::SocketAddr;
use std::ops::{Deref, Range};
use std::sync::Arc;

use thalweg_wire::api::{self, ApiKey};
use thalweg_wire::bytes::{DecodeError, Message, View};
use thalweg_wire::header::{RequestHeaderView, ResponseHead};
use thalweg_wire::outgoing::{OutgoingError, Stored};

use crate::outgoing::{Answer, Outgoing, Source};
use crate::shard::host::Now;

/// A received frame without its size prefix. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Vec<u8>>);

impl Frame {
    /// Takes over received bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }

    /// Where in the frame a part borrowed from it lies.
    #[must_use]
    pub fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.as_ptr().addr());
        debug_assert!(start + part.len() <= self.len(), "a part of another frame");
        start..start + part.len()
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The listener a connection came in by; which APIs it serves follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Clients.
    Kafka,
    /// Other brokers.
    Internal,
    /// Controllers.
    Controller,
}

impl Listener {
    /// Which column of the API table it serves.
    #[must_use]
    pub fn column(self) -> api::Listener {
        match self {
            Self::Kafka | Self::Internal => api::Listener::Broker,
            Self::Controller => api::Listener::Controller,
        }
    }

    /// Its name in the metadata image and in log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "PLAINTEXT",
            Self::Internal => "INTERNAL",
            Self::Controller => "CONTROLLER",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the connection, unique in this run of the node.
    pub connection: u64,
    /// By which listener.
    pub listener: Listener,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The address it dialled.
    pub local: SocketAddr,
}

/// Why a request gets no answer and its connection is closed.
#[derive(Debug)]
pub enum Refusal {
    /// The frame is not what its head says.
    Malformed(DecodeError),
    /// This listener does not serve the API, or not in this version.
    Unsupported {
        /// The key as received.
        key: i16,
        /// The version as received.
        version: i16,
    },
    /// The answer could not be written: a defect of the handler.
    Answer(OutgoingError),
    /// A produce with acks=0 failed: closing is the only way to tell.
    Unacknowledged(String),
    /// It asks for more than one request may.
    TooMuch(&'static str),
    /// The node is stopping.
    Stopping,
    /// A group gave an answer to another question than this API asks: a defect.
    WrongAnswer(ApiKey),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(cause) => write!(f, "malformed request: {cause}"),
            Self::Unsupported { key, version } => match ApiKey::from_code(*key) {
                Some(api) => write!(f, "{api} version {version} is not served here"),
                None => write!(f, "unknown api key {key}"),
            },
            Self::Answer(cause) => write!(f, "the answer could not be written: {cause}"),
            Self::Unacknowledged(reason) => write!(f, "a produce with acks=0 failed: {reason}"),
            Self::TooMuch(what) => write!(f, "a request asks for more {what} than it may"),
            Self::Stopping => write!(f, "the node is stopping"),
            Self::WrongAnswer(api) => write!(f, "{api} got an answer to another question"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(cause) => Some(cause),
            Self::Answer(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(cause: DecodeError) -> Self {
        Self::Malformed(cause)
    }
}

impl From<OutgoingError> for Refusal {
    fn from(cause: OutgoingError) -> Self {
        Self::Answer(cause)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole frame.
    pub frame: Frame,
    /// Where it came from.
    pub origin: Origin,
    /// Which API.
    pub api: ApiKey,
    /// Version of the body.
    pub version: i16,
    /// When it was whole.
    pub received: Now,
    correlation_id: i32,
    client_id: Option<Range<usize>>,
    body: Range<usize>,
}

impl Request {
    /// Reads the head. The version is not checked here: ApiVersions has a rule of its own.
    pub fn decode(frame: Frame, origin: Origin, received: Now) -> Result<Self, Refusal> {
        let (head, body) = RequestHeaderView::decode(&frame)?;
        let unsupported = Refusal::Unsupported {
            key: head.api_key,
            version: head.version,
        };
        let api = api::lookup(head.api_key, origin.listener.column()).ok_or(unsupported)?;
        let client_id = head.client_id.map(|id| frame.range_of(id.as_bytes()));
        let body = frame.range_of(body);
        Ok(Self {
            api: api.key,
            version: head.version,
            correlation_id: head.correlation_id,
            client_id,
            body,
            frame,
            origin,
            received,
        })
    }

    /// Who the client says it is.
    #[must_use]
    pub fn client_id(&self) -> &str {
        let range = self.client_id.clone().unwrap_or_default();
        let bytes = self.frame.get(range).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The body as a checked view that borrows the frame.
    pub fn view<'a, V: View<'a>>(&'a self) -> Result<V, Refusal> {
        let body = self.frame.get(self.body.clone()).unwrap_or_default();
        Ok(V::decode(body, self.version)?)
    }

    /// The same request without its frame: it can be answered, and not be read any more.
    #[must_use]
    pub fn without_frame(self) -> Self {
        Self {
            frame: Frame::new(Vec::new()),
            client_id: None,
            body: 0..0,
            ..self
        }
    }

    /// The same request, to be answered in another version (ApiVersions' own rule).
    #[must_use]
    pub fn in_version(&self, version: i16) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }

    /// The head of the answer.
    #[must_use]
    pub fn head(&self) -> ResponseHead {
        ResponseHead {
            api_key: self.api.code(),
            version: self.version,
            correlation_id: self.correlation_id,
        }
    }

    /// The answer from a message.
    pub fn respond<M: Message>(&self, body: &M) -> Result<Answer, Refusal> {
        Ok(Answer::Respond(Outgoing::plain(self.head(), body)?))
    }

    /// What it takes to answer once the frame is gone.
    #[must_use]
    pub fn stub(&self) -> Stub {
        Stub {
            api: self.api,
            head: self.head(),
        }
    }

    /// A response from a message with outlined records; `stored` gives their pieces by token.
    pub fn outgoing_with<M: Message>(
        &self,
        body: &M,
        mut stored: impl FnMut(u32) -> Vec<Stored<Source>>,
    ) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::response(self.head(), body, |splice| {
            stored(splice.token)
        })?)
    }
}

/// What is left of a request that waits without its frame.
#[derive(Clone, Copy, Debug)]
pub struct Stub {
    api: ApiKey,
    head: ResponseHead,
}

impl Stub {
    /// Which API.
    #[must_use]
    pub fn api(&self) -> ApiKey {
        self.api
    }

    /// The answer from a message.
    pub fn respond<M: Message>(&self, body: &M) -> Result<Answer, Refusal> {
        Ok(Answer::Respond(Outgoing::plain(self.head, body)?))
    }
}
