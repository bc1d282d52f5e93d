//! A response as ordered pieces, and what became of a request.
//!
//! Handlers build an [`Answer`]; the connection sends its pieces in order. Record bytes are never
//! copied into a response: they travel as slices of the tail cache, or as file ranges that are
//! bound to memory or to a descriptor only when it is their turn, so that a slow reader holds none
//! of them. Deliberately absent: sockets, and how a range is bound (storage).

use std::rc::Rc;

use thalweg_storage::disk::Slice;
use thalweg_storage::read::{Bound, FileRange, ReaderId};
use thalweg_wire::ids::Uuid;
use thalweg_wire::outgoing::Stored;

use crate::shard::wait::{LocalFuture, Permit};

/// A whole response, size prefix included.
pub type Outgoing = thalweg_wire::outgoing::Outgoing<Source>;

/// Where stored bytes of a response come from.
#[derive(Clone)]
pub enum Source {
    /// A part of the tail cache.
    Memory(Slice),
    /// A range of a segment.
    Late(LateRange),
}

/// A range of a segment that is bound when it is sent.
#[derive(Clone)]
pub struct LateRange {
    /// Who binds it.
    pub binder: Rc<dyn Binder>,
    /// The topic it belongs to: a range of a topic that is gone is not sent any more, because its
    /// path may be another topic's by now.
    pub topic: Uuid,
    /// Who reads it.
    pub reader: ReaderId,
    /// Whole batches.
    pub range: FileRange,
}

/// Makes ranges ready to be sent.
pub trait Binder {
    /// Binds a range; the permit counts the memory it takes, until it is sent.
    fn bind(&self, late: &LateRange) -> LocalFuture<std::io::Result<(Bound, Permit)>>;
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(slice) => write!(f, "{} bytes of memory", slice.len()),
            Self::Late(late) => late.range.fmt(f),
        }
    }
}

impl Source {
    /// The source with its length, as a response wants it.
    #[must_use]
    pub fn stored(self) -> Stored<Self> {
        let len = match &self {
            Self::Memory(slice) => slice.len(),
            Self::Late(late) => late.range.bytes,
        };
        Stored { source: self, len }
    }
}

/// What became of one request.
pub enum Answer {
    /// A response in the order of requests.
    Respond(Outgoing),
    /// A response that holds memory of the tail cache, counted until it is sent.
    Hold(Outgoing, Permit),
    /// Nothing is sent (produce with acks=0).
    Silent,
    /// The connection is closed, after everything that is due before; the reason goes to the log.
    Close(String),
}

/// An answer on its way from the coordinator's shard: those are plain bytes.
#[derive(Debug)]
pub enum Carried {
    /// The response.
    Bytes(Vec<u8>),
    /// The connection is closed.
    Close(String),
}

impl Answer {
    /// For another shard.
    #[must_use]
    pub fn carry(self) -> Carried {
        match self {
            Self::Respond(outgoing) | Self::Hold(outgoing, _) => {
                let (bytes, pieces) = outgoing.into_parts();
                debug_assert!(
                    pieces.len() <= 1,
                    "answers of the coordinator hold no records"
                );
                Carried::Bytes(bytes)
            }
            Self::Silent => Carried::Close("the coordinator has no answer".to_owned()),
            Self::Close(reason) => Carried::Close(reason),
        }
    }
}
