//! A response as ordered pieces, and what became of a request.
//!
//! Handlers build an [`Answer`]; the connection sends its pieces in order. Record bytes are never
//! copied into a response: they travel as slices of the tail cache or as file ranges. Everything
//! here is `Send`, since an answer may come from another shard. Deliberately absent: sockets.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use thalweg_storage::disk::Slice;

/// One piece of a response.
#[derive(Clone, Debug)]
pub enum OutPiece {
    /// Bytes made for this response: head, message fields.
    Bytes(Vec<u8>),
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

impl OutPiece {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Memory(slice) => slice.len(),
            Self::File(piece) => piece.bytes,
        }
    }

    /// True if there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A whole response, size prefix included.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The pieces in the order of the wire.
    pub pieces: Vec<OutPiece>,
}

impl Outgoing {
    /// A response that is one run of bytes.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self {
            pieces: vec![OutPiece::Bytes(bytes)],
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(OutPiece::len).sum()
    }

    /// True if there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(OutPiece::is_empty)
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
