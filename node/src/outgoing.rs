//! A response as ordered pieces, and what became of a request.
//!
//! Handlers build an [`Answer`]; the connection sends its pieces in order. Record bytes are never
//! copied into a response: an answer names stretches of logs, with slices of the tail cache and file
//! ranges as they were found, and holds the slices only while nobody else wants the memory
//! ([`Lending`]). A stretch whose slices were given back is planned anew when it is its turn: what
//! was in memory may come from the segment by then. Deliberately absent: sockets (`net/`), the
//! order of sending (`sending.rs`), how a range is bound (storage).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;

use thalweg_storage::disk::Slice;
use thalweg_storage::log::Piece;
use thalweg_storage::log::ReadPlace;
use thalweg_storage::read::{Bound, FileRange, ReaderId};
use thalweg_wire::ids::PartitionId;
use thalweg_wire::outgoing::Stored;

use crate::shard::wait::{Budget, LocalFuture, Permit, race};

/// A whole response, size prefix included.
pub type Outgoing = thalweg_wire::outgoing::Outgoing<Source>;

/// Consecutive bytes of one partition's log.
pub struct Stretch {
    /// Who finds and binds them.
    pub binder: Rc<dyn Binder>,
    /// Who reads them.
    pub reader: ReaderId,
    /// Whose they are.
    pub partition: PartitionId,
    /// Where the first one lies.
    pub place: ReadPlace,
    /// Whole batches.
    pub bytes: usize,
}

/// Finds stretches and makes ranges ready to be sent.
pub trait Binder {
    /// Where the bytes lie now; waits for room in the lent memory.
    fn replan(&self, stretch: &Rc<Stretch>) -> LocalFuture<io::Result<Planned>>;
    /// Binds a file range of a stretch; the permit counts the memory it takes, until it is sent.
    fn bind(
        &self,
        stretch: &Rc<Stretch>,
        range: &FileRange,
    ) -> LocalFuture<io::Result<(Bound, Permit)>>;
}

/// Memory that answers of one shard may hold. Whoever finds nothing left waits, and those who hold
/// memory for a socket that takes nothing give it back then.
#[derive(Clone)]
pub struct Lending {
    /// Slices of the tail cache.
    pub tail: Budget,
    /// Ranges read from segments. Apart from `tail`, whose holders wait for this one.
    pub read: Budget,
}

impl Lending {
    /// So many bytes of each.
    #[must_use]
    pub fn new(tail_bytes_max: usize, read_bytes_max: usize) -> Self {
        Self {
            tail: Budget::new(tail_bytes_max),
            read: Budget::new(read_bytes_max),
        }
    }

    /// True if somebody waits for memory.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.tail.is_wanted() || self.read.is_wanted()
    }

    /// Resolves when somebody begins to wait for memory, after this call.
    pub fn claimed(&self) -> impl Future<Output = ()> + 'static {
        let (tail, read) = (self.tail.claimed(), self.read.claimed());
        async move {
            race(tail, read).await;
        }
    }
}

/// Where the bytes of a stretch lie, from the first one that is still to be sent.
#[derive(Default)]
pub struct Planned {
    pieces: VecDeque<Bit>,
    permits: Vec<Permit>,
}

enum Bit {
    Memory(Slice),
    /// Whole batches, of which the first bytes may be sent already.
    File(FileRange, usize),
}

/// What comes next of a stretch.
pub(crate) enum NextBit<'a> {
    Memory(&'a Slice),
    File(&'a FileRange, usize),
}

impl Planned {
    /// From the log's plan; the permit counts the memory in it.
    #[must_use]
    pub fn new(pieces: Vec<Piece>, permit: Option<Permit>) -> Self {
        let rests = pieces.iter().enumerate().map(|(at, piece)| match piece {
            Piece::Memory(_) => Vec::new(),
            Piece::File { .. } => rest(&pieces, at + 1),
        });
        let rests: Vec<Vec<Slice>> = rests.collect();
        let bits = pieces
            .into_iter()
            .zip(rests)
            .map(|(piece, rest)| match piece {
                Piece::Memory(slice) => Bit::Memory(slice),
                Piece::File {
                    path,
                    position,
                    bytes,
                    ..
                } => Bit::File(
                    FileRange {
                        path,
                        position,
                        bytes,
                        rest,
                    },
                    0,
                ),
            });
        let pieces: VecDeque<Bit> = bits.collect();
        let mut planned = Self {
            pieces,
            permits: Vec::new(),
        };
        if planned.holds_memory() {
            planned.permits.extend(permit);
        }
        planned
    }

    /// True if it keeps slices from being freed.
    pub(crate) fn holds_memory(&self) -> bool {
        let in_memory = |bit: &Bit| matches!(bit, Bit::Memory(_));
        self.pieces.iter().any(in_memory)
    }

    pub(crate) fn bits(&self) -> impl Iterator<Item = NextBit<'_>> {
        self.pieces.iter().map(|bit| match bit {
            Bit::Memory(slice) => NextBit::Memory(slice),
            Bit::File(range, sent) => NextBit::File(range, *sent),
        })
    }

    /// So many bytes were sent.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let Some(front) = self.pieces.front_mut() else {
                debug_assert!(false, "more was sent than is there");
                return;
            };
            let (len, here) = match front {
                Bit::Memory(slice) => (slice.len(), left.min(slice.len())),
                Bit::File(range, sent) => (range.bytes - *sent, left.min(range.bytes - *sent)),
            };
            left -= here;
            match front {
                _ if here == len => drop(self.pieces.pop_front()),
                Bit::Memory(slice) => *slice = slice.sub(here..len),
                Bit::File(_, sent) => *sent += here,
            }
        }
    }

    /// The file range in front was read into memory.
    pub(crate) fn bound(&mut self, parts: Vec<Slice>, permit: Permit) {
        let Some(Bit::File(_, sent)) = self.pieces.pop_front() else {
            debug_assert!(false, "no range was to be bound");
            return;
        };
        for part in parts.into_iter().rev() {
            self.pieces.push_front(Bit::Memory(part));
        }
        self.permits.push(permit);
        self.advance(sent);
    }
}

/// The memory that follows from piece `at` on: a batch whose last block was not moved yet ends
/// there.
fn rest(pieces: &[Piece], at: usize) -> Vec<Slice> {
    let following = pieces.iter().skip(at).map_while(|piece| match piece {
        Piece::Memory(slice) => Some(slice.clone()),
        Piece::File { .. } => None,
    });
    following.collect()
}

/// Memory that pieces keep from being freed: whole chunks, however little of them is sent.
#[must_use]
pub fn kept_bytes(pieces: &[Piece]) -> usize {
    let kept = |piece: &Piece| match piece {
        Piece::Memory(slice) => slice.kept_bytes(),
        Piece::File { .. } => 0,
    };
    pieces.iter().map(kept).sum()
}

/// The records of one partition in an answer.
pub struct Source {
    stretch: Rc<Stretch>,
    planned: RefCell<Option<Planned>>,
}

impl Source {
    /// Source as they were found; `None`: to be looked for when it is their turn.
    #[must_use]
    pub fn new(stretch: Stretch, planned: Option<Planned>) -> Self {
        Self {
            stretch: Rc::new(stretch),
            planned: RefCell::new(planned),
        }
    }

    /// With their length, as a response wants them.
    #[must_use]
    pub fn stored(self) -> Stored<Self> {
        let len = self.stretch.bytes;
        Stored { source: self, len }
    }

    /// True if they keep slices from being freed.
    pub(crate) fn holds_memory(&self) -> bool {
        let planned = self.planned.borrow();
        planned.as_ref().is_some_and(Planned::holds_memory)
    }

    /// Gives slices back: the memory is wanted by others.
    pub(crate) fn shed(&self) {
        self.planned
            .borrow_mut()
            .take_if(|planned| planned.holds_memory());
    }

    pub(crate) fn into_parts(self) -> (Rc<Stretch>, Option<Planned>) {
        (self.stretch, self.planned.into_inner())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stretch {
            partition,
            place,
            bytes,
            ..
        } = &*self.stretch;
        write!(f, "{bytes} bytes of {partition} at {place:?}")
    }
}

/// What became of one request.
pub enum Answer {
    /// A response in the order of requests.
    Respond(Outgoing),
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
            Self::Respond(outgoing) => {
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

    /// Bytes of its own that it keeps in memory until they are sent.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        match self {
            Self::Respond(outgoing) => outgoing.bytes().len(),
            Self::Silent | Self::Close(_) => 0,
        }
    }

    fn records(&self) -> impl Iterator<Item = &Source> {
        let outgoing = match self {
            Self::Respond(outgoing) => Some(outgoing),
            Self::Silent | Self::Close(_) => None,
        };
        let pieces = outgoing.into_iter().flat_map(|outgoing| outgoing.pieces());
        pieces.filter_map(|piece| match piece {
            thalweg_wire::outgoing::Piece::Stored(stored) => Some(&stored.source),
            thalweg_wire::outgoing::Piece::Bytes(_) => None,
        })
    }

    /// True if it keeps slices from being freed.
    #[must_use]
    pub fn holds_memory(&self) -> bool {
        self.records().any(Source::holds_memory)
    }

    /// Gives slices back: the memory is wanted by others.
    pub fn shed(&self) {
        self.records().for_each(Source::shed);
    }
}
