//! Typed journal entries: their numbers, their layout, and both directions of the codec. Pure.
//!
//! Every entry names its place explicitly (segment and position within it), never "after the
//! last one": replaying an entry twice, or over a segment that already has its bytes, changes
//! nothing. That is what lets recovery crash and start again at any point.
//!
//! Layout, little-endian: kind (u8), flags (u8), two zero bytes, payload length (u32), payload.
//! Entries follow each other without padding inside a round's payload; the round's checksum covers them,
//! so an entry has none of its own. The payload's fields are in the order of the enum's below;
//! a partition is its topic id (16 bytes) and index (i32). Numbers are never re-used.
//!
//! The one flag, [`MORE`], says that this entry's bytes are a part only: record bytes count once
//! the last part of their batch is there, and a producer state is all its parts together.
//!
//! Deliberately absent: a "partition created" entry (the metadata log says so), names, timestamps.

use thalweg_wire::ids::{Epoch, Offset, PartitionId, PartitionIndex, Uuid};

/// Bytes before an entry's payload: kind, flags, two zero bytes, length.
pub const ENTRY_HEADER_BYTES: usize = 8;
/// Flag: bytes that belong together with these follow in the partition's next entry.
pub const MORE: u8 = 1;
/// Where the flags lie in an entry.
pub(super) const FLAGS_AT: usize = 1;
/// Bytes of a partition id in a payload.
const PARTITION_BYTES: usize = 20;
/// Bytes of a place in a payload.
const PLACE_BYTES: usize = 16;
/// Entry and payload bytes before the record bytes of an append or a carried piece.
pub const APPEND_OVERHEAD_BYTES: usize = ENTRY_HEADER_BYTES + PARTITION_BYTES + PLACE_BYTES;

/// A byte position in a partition's segments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Base offset of the segment: its identity and its file's name.
    pub segment: Offset,
    /// Byte position in the segment's `.log` file.
    pub position: u64,
}

/// One thing that happened to a shard's partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// Accepted record bytes. A batch may be cut into several of these, in order, so `bytes` begins
    /// and ends anywhere; recovery drops a batch whose last part is missing.
    Append {
        /// Whose.
        partition: PartitionId,
        /// Where the first byte lies.
        place: Place,
        /// Record batches as in the segment, offsets assigned.
        bytes: &'a [u8],
    },
    /// Bytes already accepted, journaled again because their old journal file is recycled, or
    /// because the segment block they lie in will be written again.
    Carried {
        /// Whose.
        partition: PartitionId,
        /// Where the first byte lies.
        place: Place,
        /// Bytes as in the segment.
        bytes: &'a [u8],
    },
    /// The log ends here now: all bytes at and after `place` are void.
    TruncateTo {
        /// Whose.
        partition: PartitionId,
        /// The next offset after the cut.
        offset: Offset,
        /// Where the next byte will lie.
        place: Place,
    },
    /// Records below `offset` are deleted.
    LogStart {
        /// Whose.
        partition: PartitionId,
        /// The first offset that is still there.
        offset: Offset,
    },
    /// The partition is gone: all its entries before this one are void.
    PartitionDeleted {
        /// Whose.
        partition: PartitionId,
    },
    /// Everything below `place` is durable in segments; nothing at or after it counts unless it
    /// is journaled. Written before a partition's first append after a start, too: a partition
    /// with any live entry has one of these.
    MovedTo {
        /// Whose.
        partition: PartitionId,
        /// A block boundary of the active segment.
        place: Place,
        /// The log's end when this was written: no promise about the bytes below `place`, a check
        /// for tools.
        next_offset: Offset,
    },
    /// Producer state that changed since the last snapshot, in the partition log's encoding.
    ProducerState {
        /// Whose.
        partition: PartitionId,
        /// Encoded and decoded by the partition's log.
        bytes: &'a [u8],
    },
    /// A leader epoch began.
    EpochStart {
        /// Whose.
        partition: PartitionId,
        /// The epoch.
        epoch: Epoch,
        /// First offset of that epoch.
        start_offset: Offset,
    },
    /// Rounds with smaller numbers are void: each of their entries is moved, carried or void, as
    /// the entries before this one say. Holds as soon as its own round is durable.
    Trim {
        /// The oldest round that is still alive.
        rounds_below: u64,
    },
    /// Everything is in segments, checkpoints and snapshots. Counts only as the last entry.
    CleanStop,
}

/// Takes entries in order. Whoever pushes has already changed its own state: pushing cannot fail.
pub trait EntrySink {
    /// Puts one entry into the round that goes out next.
    fn push(&mut self, entry: Entry<'_>);
}

/// Numbers of the kinds on disk.
mod kind {
    pub(super) const APPEND: u8 = 1;
    pub(super) const CARRIED: u8 = 2;
    pub(super) const TRUNCATE_TO: u8 = 3;
    pub(super) const LOG_START: u8 = 4;
    pub(super) const PARTITION_DELETED: u8 = 5;
    pub(super) const MOVED_TO: u8 = 6;
    pub(super) const PRODUCER_STATE: u8 = 7;
    pub(super) const EPOCH_START: u8 = 8;
    // 9 is reserved for the high watermark, 10 for extent references (runs of records written
    // straight to their segment): numbers kept so that their arrival changes nothing here.
    pub(super) const CLEAN_STOP: u8 = 11;
    pub(super) const TRIM: u8 = 12;
}

/// Why bytes are not an entry. Only seen when a round with a good checksum was written by a newer
/// version, or by a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryError {
    /// The payload ends early, or has bytes too many.
    Length {
        /// The entry's kind.
        kind: u8,
    },
    /// A kind this version does not know.
    Kind {
        /// The entry's kind.
        kind: u8,
    },
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length { kind } => write!(f, "journal entry of kind {kind} has a wrong length"),
            Self::Kind { kind } => write!(f, "journal entry of unknown kind {kind}"),
        }
    }
}

impl std::error::Error for EntryError {}

impl<'a> Entry<'a> {
    /// The partition it is about; `None` for entries about the journal itself.
    #[must_use]
    pub fn partition(&self) -> Option<PartitionId> {
        match *self {
            Self::Append { partition, .. }
            | Self::Carried { partition, .. }
            | Self::TruncateTo { partition, .. }
            | Self::LogStart { partition, .. }
            | Self::PartitionDeleted { partition }
            | Self::MovedTo { partition, .. }
            | Self::ProducerState { partition, .. }
            | Self::EpochStart { partition, .. } => Some(partition),
            Self::Trim { .. } | Self::CleanStop => None,
        }
    }

    /// Bytes it takes in a round.
    #[must_use]
    pub fn size(&self) -> usize {
        ENTRY_HEADER_BYTES
            + match self {
                Self::Append { bytes, .. } | Self::Carried { bytes, .. } => {
                    PARTITION_BYTES + PLACE_BYTES + bytes.len()
                }
                Self::TruncateTo { .. } | Self::MovedTo { .. } => PARTITION_BYTES + 8 + PLACE_BYTES,
                Self::LogStart { .. } => PARTITION_BYTES + 8,
                Self::PartitionDeleted { .. } => PARTITION_BYTES,
                Self::ProducerState { bytes, .. } => PARTITION_BYTES + bytes.len(),
                Self::EpochStart { .. } => PARTITION_BYTES + 4 + 8,
                Self::Trim { .. } => 8,
                Self::CleanStop => 0,
            }
    }

    /// Writes header and fixed fields with `put`, then the bytes it carries, if any.
    pub fn encode(&self, flags: u8, mut put: impl FnMut(&[u8])) {
        let mut head = Head::new(self.kind(), flags, self.size() - ENTRY_HEADER_BYTES);
        if let Some(partition) = self.partition() {
            head.put(&partition.topic.0);
            head.put(&partition.index.0.to_le_bytes());
        }
        let mut tail: &[u8] = &[];
        match *self {
            Self::Append { place, bytes, .. } | Self::Carried { place, bytes, .. } => {
                head.put_place(place);
                tail = bytes;
            }
            Self::TruncateTo { offset, place, .. } => {
                head.put(&offset.0.to_le_bytes());
                head.put_place(place);
            }
            Self::MovedTo {
                place, next_offset, ..
            } => {
                head.put(&next_offset.0.to_le_bytes());
                head.put_place(place);
            }
            Self::LogStart { offset, .. } => head.put(&offset.0.to_le_bytes()),
            Self::ProducerState { bytes, .. } => tail = bytes,
            Self::EpochStart {
                epoch,
                start_offset,
                ..
            } => {
                head.put(&epoch.0.to_le_bytes());
                head.put(&start_offset.0.to_le_bytes());
            }
            Self::Trim { rounds_below } => head.put(&rounds_below.to_le_bytes()),
            Self::PartitionDeleted { .. } | Self::CleanStop => {}
        }
        put(head.bytes());
        if !tail.is_empty() {
            put(tail);
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => kind::APPEND,
            Self::Carried { .. } => kind::CARRIED,
            Self::TruncateTo { .. } => kind::TRUNCATE_TO,
            Self::LogStart { .. } => kind::LOG_START,
            Self::PartitionDeleted { .. } => kind::PARTITION_DELETED,
            Self::MovedTo { .. } => kind::MOVED_TO,
            Self::ProducerState { .. } => kind::PRODUCER_STATE,
            Self::EpochStart { .. } => kind::EPOCH_START,
            Self::CleanStop => kind::CLEAN_STOP,
            Self::Trim { .. } => kind::TRIM,
        }
    }

    /// Reads the first entry of `bytes`; returns it, its flags, and what follows.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, u8, &'a [u8]), EntryError> {
        let kind = bytes.first().copied().unwrap_or(0);
        let short = EntryError::Length { kind };
        let (head, rest) = bytes.split_at_checked(ENTRY_HEADER_BYTES).ok_or(short)?;
        let length = Fields(head.get(4..).unwrap_or_default())
            .u32()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(short)?;
        let (payload, rest) = rest.split_at_checked(length).ok_or(short)?;
        let entry = match kind {
            kind::TRIM | kind::CLEAN_STOP => Self::decode_own(kind, payload),
            kind::APPEND..=kind::EPOCH_START => Self::decode_of_partition(kind, payload),
            _ => return Err(EntryError::Kind { kind }),
        };
        let flags = head.get(FLAGS_AT).copied().unwrap_or(0);
        Ok((entry.ok_or(short)?, flags, rest))
    }

    fn decode_own(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let entry = if kind == kind::TRIM {
            Self::Trim {
                rounds_below: u64::from_le_bytes(fields.array()?),
            }
        } else {
            Self::CleanStop
        };
        fields.0.is_empty().then_some(entry)
    }

    fn decode_of_partition(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let partition = PartitionId {
            topic: Uuid(fields.array()?),
            index: PartitionIndex(i32::from_le_bytes(fields.array()?)),
        };
        let entry = match kind {
            kind::APPEND => Self::Append {
                partition,
                place: fields.place()?,
                bytes: fields.rest(),
            },
            kind::CARRIED => Self::Carried {
                partition,
                place: fields.place()?,
                bytes: fields.rest(),
            },
            kind::TRUNCATE_TO => Self::TruncateTo {
                partition,
                offset: fields.offset()?,
                place: fields.place()?,
            },
            kind::LOG_START => Self::LogStart {
                partition,
                offset: fields.offset()?,
            },
            kind::PARTITION_DELETED => Self::PartitionDeleted { partition },
            kind::MOVED_TO => Self::MovedTo {
                partition,
                next_offset: fields.offset()?,
                place: fields.place()?,
            },
            kind::PRODUCER_STATE => Self::ProducerState {
                partition,
                bytes: fields.rest(),
            },
            _ => Self::EpochStart {
                partition,
                epoch: Epoch(i32::from_le_bytes(fields.array()?)),
                start_offset: fields.offset()?,
            },
        };
        fields.0.is_empty().then_some(entry)
    }
}

/// The fixed part of an entry, built on the stack.
struct Head {
    bytes: [u8; 64],
    length: usize,
}

impl Head {
    fn new(kind: u8, flags: u8, payload: usize) -> Self {
        let length = u32::try_from(payload).expect("an entry is cut to the round's size");
        let mut head = Self {
            bytes: [0; 64],
            length: 0,
        };
        head.put(&[kind, flags, 0, 0]);
        head.put(&length.to_le_bytes());
        head
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn put_place(&mut self, place: Place) {
        self.put(&place.segment.0.to_le_bytes());
        self.put(&place.position.to_le_bytes());
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What is left to read of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn offset(&mut self) -> Option<Offset> {
        self.array().map(i64::from_le_bytes).map(Offset)
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place {
            segment: self.offset()?,
            position: u64::from_le_bytes(self.array()?),
        })
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Entry<'static>> {
        let partition = PartitionId {
            topic: Uuid([7; 16]),
            index: PartitionIndex(-2),
        };
        let place = Place {
            segment: Offset(1 << 40),
            position: 4096,
        };
        vec![
            Entry::Append {
                partition,
                place,
                bytes: b"batch",
            },
            Entry::Carried {
                partition,
                place,
                bytes: b"",
            },
            Entry::TruncateTo {
                partition,
                offset: Offset(9),
                place,
            },
            Entry::LogStart {
                partition,
                offset: Offset(3),
            },
            Entry::PartitionDeleted { partition },
            Entry::MovedTo {
                partition,
                place,
                next_offset: Offset(12),
            },
            Entry::ProducerState {
                partition,
                bytes: b"state",
            },
            Entry::EpochStart {
                partition,
                epoch: Epoch(4),
                start_offset: Offset(8),
            },
            Entry::Trim { rounds_below: 77 },
            Entry::CleanStop,
        ]
    }

    #[test]
    fn every_kind_survives_the_way_there_and_back() {
        let mut bytes = Vec::new();
        for entry in samples() {
            let before = bytes.len();
            entry.encode(MORE, |part| bytes.extend_from_slice(part));
            assert_eq!(bytes.len() - before, entry.size(), "{entry:?}");
        }
        let mut rest = bytes.as_slice();
        for expected in samples() {
            let (entry, flags, after) = Entry::decode(rest).unwrap();
            assert_eq!((entry, flags), (expected, MORE));
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn cut_or_unknown_entries_are_errors() {
        for entry in samples() {
            let mut bytes = Vec::new();
            entry.encode(MORE, |part| bytes.extend_from_slice(part));
            for length in 0..bytes.len() {
                assert!(
                    Entry::decode(&bytes[..length]).is_err(),
                    "{entry:?} cut to {length}"
                );
            }
        }
        let reserved = [9, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Entry::decode(&reserved), Err(EntryError::Kind { kind: 9 }));
    }
}
