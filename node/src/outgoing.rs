//! A response as ordered pieces, and what became of a request.
//!
//! Handlers build an [`Answer`]; the connection sends its pieces in order. Record bytes are never
//! copied into a response: they travel as slices of the tail cache or as file ranges. Everything
//! here is `Send`, since an answer may come from another shard. Deliberately absent: sockets.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use thalweg_storage::disk::Slice;
use thalweg_wire::outgoing::Stored;

/// A whole response, size prefix included.
pub type Outgoing = thalweg_wire::outgoing::Outgoing<Source>;

/// Where stored bytes of a response come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A part of the tail cache, or of a direct read.
    Memory(Slice),
    /// A verified, resident range of a file that is sent by the kernel.
    File(FilePiece),
}

/// A range of a file.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// Buffered descriptor of the segment.
    pub file: Arc<OwnedFd>,
    /// First byte.
    pub position: u64,
    /// How many bytes.
    pub bytes: usize,
}

impl Source {
    /// The source with its length, as a response wants it.
    #[must_use]
    pub fn stored(self) -> Stored<Self> {
        let len = match &self {
            Self::Memory(slice) => slice.len(),
            Self::File(piece) => piece.bytes,
        };
        Stored { source: self, len }
    }
}

/// What became of one request.
#[derive(Debug)]
pub enum Answer {
    /// A response in the order of requests.
    Respond(Outgoing),
    /// Nothing is sent (produce with acks=0).
    Silent,
    /// The connection is closed, after everything that is due before; the reason goes to the log.
    Close(String),
}
