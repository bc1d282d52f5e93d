//! The words in which a log is asked and answers.
//!
//! Plain values without behaviour, but for the texts of errors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_wire::ids::{Epoch, Offset, PartitionId, ProducerEpoch, ProducerId, TimestampMs};

use super::{Log, LogConfig, Verification};
use crate::disk::Slice;
use crate::journal::entry::Place;

/// Who appends, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer: sequences and epochs are checked, offsets assigned.
    Client,
    /// The node itself (coordinators, metadata): epochs are checked, sequences are not.
    Coordinator,
    /// The leader, through replication: nothing is checked, offsets are as they came.
    Replica,
}

/// What an append needs to know beside the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendContext {
    /// Leader epoch that the stored batch carries.
    pub leader_epoch: Epoch,
    /// The shard's time of this pass.
    pub now: TimestampMs,
    /// Who appends.
    pub origin: Origin,
    /// For a batch of a transaction: whether its coordinator was asked.
    pub verification: Verification,
}

/// What an append came to. For a duplicate these are the values of the batch stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The timestamp given to the batch, where the topic asks for the leader's.
    pub log_append_time: Option<TimestampMs>,
    /// True if nothing was appended because this batch is in the log already.
    pub duplicate: bool,
    /// The answer waits until everything below this offset is durable (duplicates too).
    pub end: Offset,
    /// First offset of the log.
    pub log_start: Offset,
}

/// Why a batch was not appended.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The sequence does not follow the producer's last one.
    OutOfOrderSequence {
        /// The producer.
        producer: ProducerId,
        /// The last sequence held, -1 for none.
        last: i32,
        /// First sequence of the refused batch.
        got: i32,
    },
    /// A newer incarnation of the producer has written already.
    InvalidProducerEpoch {
        /// The producer.
        producer: ProducerId,
        /// The epoch held.
        current: ProducerEpoch,
        /// The refused epoch.
        got: ProducerEpoch,
    },
    /// A batch without the transactional flag while the producer's transaction is open.
    InvalidTxnState {
        /// The producer.
        producer: ProducerId,
    },
    /// A batch of a transaction that the coordinator was not asked about, or that ended meanwhile.
    Unverified {
        /// The producer.
        producer: ProducerId,
    },
    /// A marker of an older transaction coordinator.
    CoordinatorFenced {
        /// The producer.
        producer: ProducerId,
        /// The coordinator epoch held.
        current: i32,
        /// The refused coordinator epoch.
        got: i32,
    },
    /// A batch alone is larger than a segment may be.
    LargerThanSegment {
        /// Bytes of the batch.
        bytes: usize,
        /// `segment.bytes`.
        limit: u32,
    },
    /// A replicated batch does not continue the log.
    NotNext {
        /// The log's end.
        expected: Offset,
        /// First offset of the batch.
        got: Offset,
    },
    /// Offsets or bytes would leave the format's range.
    Exhausted,
    /// The partial last block must be supplied first ([`Log::tail_needed`]).
    TailMissing,
}

/// A transaction's end, as its coordinator asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxn {
    /// The producer.
    pub producer: ProducerId,
    /// Epoch that the marker carries.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator.
    pub coordinator_epoch: i32,
    /// Commit, or abort.
    pub commit: bool,
    /// True from transaction version 2 on: the epoch was raised for the marker, so that one of the
    /// held epoch is a retry (nothing is appended), or refused while a transaction is open.
    pub raises_epoch: bool,
}

/// The numbers that requests ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// First offset.
    pub log_start: Offset,
    /// Everything below may be shown.
    pub high_watermark: Offset,
    /// Everything below belongs to no open transaction.
    pub last_stable: Offset,
    /// Everything below was accepted, not all of it is durable.
    pub log_end: Offset,
    /// Everything below is durable here.
    pub durable_end: Offset,
    /// Latest leader epoch, -1 for none.
    pub leader_epoch: Epoch,
    /// Bytes of all segments.
    pub bytes: u64,
}

/// What a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpec {
    /// First offset wanted.
    pub offset: Offset,
    /// Bytes at most, except for `min_one`.
    pub bytes_max: usize,
    /// The first batch is given whole even if it is larger than `bytes_max`.
    pub min_one: bool,
    /// Only batches that end below this offset (high watermark, last stable or log end).
    pub upper: Offset,
}

/// Consecutive bytes of a log.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Memory(Slice),
    /// In a segment file.
    File {
        /// The segment file, relative to the data directory.
        path: Arc<Path>,
        /// Base offset of the segment: with the partition's id the key for handles and leases.
        segment: Offset,
        /// First byte in the file.
        position: u64,
        /// Count.
        bytes: usize,
    },
}

/// Whole batches, in order, as pieces. Empty if nothing is visible from the offset on.
#[derive(Clone, Debug, Default)]
pub struct ReadPlan {
    /// The pieces.
    pub pieces: Vec<Piece>,
    /// Their bytes.
    pub bytes: usize,
    /// Where the first of them lies; `None` if there is none.
    pub place: Option<ReadPlace>,
}

/// A place that is still understood after the log cleaner put another segment there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlace {
    /// The place.
    pub place: Place,
    /// Of the segment.
    pub generation: u64,
}

/// Why an offset cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Below the log's start or above its end.
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// First offset.
        log_start: Offset,
        /// Log end.
        log_end: Offset,
    },
    /// A segment holds something else than batches at a position where one must begin.
    Corrupt(Place),
    /// The records at the offset fail their checksum; `next` is the first one behind them.
    Quarantined {
        /// Where they lie.
        place: Place,
        /// The first sound offset behind them.
        next: Offset,
    },
}

/// An aborted transaction, as a fetch answer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedSpan {
    /// The producer.
    pub producer: ProducerId,
    /// First offset of the transaction.
    pub first: Offset,
}

/// Which offset a client looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// First offset (`-2`; `-4` too, without tiered storage).
    Earliest,
    /// The upper bound itself (`-1`).
    Latest,
    /// The record with the largest timestamp (`-3`).
    Max,
    /// The first record with this timestamp or a later one.
    AtOrAfter(TimestampMs),
}

/// Where a record of a time lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Its timestamp; -1 for `Earliest` and `Latest`.
    pub timestamp: TimestampMs,
    /// Its offset.
    pub offset: Offset,
    /// Leader epoch of its batch; -1 for unknown.
    pub epoch: Epoch,
}

/// A segment with bytes that its file does not hold yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSegment {
    /// Base offset.
    pub segment: Offset,
    /// The segment file.
    pub path: Arc<Path>,
    /// The file holds everything below: a multiple of the block.
    pub moved: u64,
    /// End of the bytes accepted.
    pub end: u64,
    /// End of the bytes that are durable in the journal.
    pub durable: u64,
    /// Offset after the last record below `end`.
    pub next: Offset,
    /// True if no byte will be added: the last, partial block may be moved. The file is then cut
    /// to `end`, also if nothing was left to move: a truncation may have left more in it.
    pub sealed: bool,
}

/// A small file as it is to be written, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileImage {
    /// Path relative to the data directory.
    pub path: PathBuf,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A partial last block that lies only in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailRead {
    /// The segment file.
    pub path: Arc<Path>,
    /// Where the block begins, with its segment.
    pub place: Place,
    /// Bytes used in it, fewer than a block.
    pub bytes: usize,
}

/// What recovery found out about a partition before its log is loaded. After a clean stop all of
/// it is empty, and nothing but the last batches' headers is read.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Where the log ends: known from the journals. `None`: the last whole, sound batch of the
    /// last segment ends it.
    pub end: Option<Place>,
    /// Bytes of the end's block, from the block's begin to `end`, if the file does not hold them.
    pub tail: Vec<u8>,
    /// Segments from this base offset on were written since the last clean stop: their indexes are
    /// checked and rebuilt, their batches' checksums verified from the last index entry on.
    pub unsure_from: Option<Offset>,
    /// The lowest end that an entry cut the log to. Indexes of that segment are made anew: their
    /// files may still tell of what was behind the cut.
    pub cut: Option<(Place, Offset)>,
    /// Newest log start among the entries.
    pub log_start: Option<Offset>,
    /// Leader epochs that began, in order.
    pub epochs: Vec<(Epoch, Offset)>,
    /// The newest producer-state entry.
    pub state: Option<Vec<u8>>,
    /// Bytes of segments that the journals hold, in order and without a gap up to the end of each
    /// segment: they are taken from here, not from the files, and their checksums are not computed
    /// again.
    pub held: Vec<(Place, Slice)>,
}

/// A log that was loaded, and what its directory still needs.
#[derive(Debug)]
pub struct Loaded {
    /// The log.
    pub log: Log,
    /// Files to write (rebuilt indexes): before the repair barrier.
    pub repairs: Vec<FileImage>,
    /// Files that belong to nothing any more.
    pub strays: Vec<PathBuf>,
}

/// Which partition, where, how.
#[derive(Clone, Debug)]
pub struct LogSpec {
    /// Its identity.
    pub id: PartitionId,
    /// Its directory, relative to the data directory: `log/topic-0`.
    pub dir: PathBuf,
    /// Its topic's settings.
    pub config: LogConfig,
    /// The time.
    pub now: TimestampMs,
}

/// Why a log could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The disk refused.
    Disk(crate::disk::DiskError),
    /// Bytes that the journals vouch for are not sound batches: rot, not a torn tail.
    Corrupt(Place),
}

/// What retention may take, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RetainPlan {
    /// Number of segments.
    pub segments: usize,
}
