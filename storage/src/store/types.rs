//! The values that cross the facade: settings in, answers out.

use thalweg_wire::ids::{Epoch, Offset, PartitionId, ShardId};

use crate::log::{AbortedSpan, LogConfig, Piece, ReadPlace};

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Flushed to the device: survives a power cut.
    #[default]
    Flush,
    /// Written: survives the end of the process, not a power cut.
    Write,
}

/// A planted defect, which the crash tests must find. Nothing that serves sets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mutation {
    /// The engine as it is meant.
    #[default]
    None,
    /// Rounds are acknowledged when written, not when flushed.
    AckBeforeFlush,
    /// Recovery believes rounds without looking at their journal id and checksums.
    UncheckedRounds,
    /// Deleting a partition is not journaled, and recovery takes what it finds, deleted records
    /// included.
    ResurrectDeleted,
    /// Journal files are freed before the barrier of the moves that emptied them.
    RecycleBeforeBarrier,
    /// Readers are shown what was accepted, not what is durable.
    ShowBeforeDurable,
    /// A round whose write or flush failed is acknowledged all the same.
    IgnoreFailedRounds,
    /// DeleteRecords is answered before it is durable.
    AnswerDeleteEarly,
    /// What a freed journal file held of small partitions is not journaled again.
    CarryNothing,
    /// The entry that frees a journal file names one round too many.
    TrimTooMuch,
    /// New names of segments are never flushed.
    SkipDirectories,
    /// Recovery does not flush the journals that it begins.
    UnflushedJournals,
    /// Recovery does not flush the segments that it drained to.
    UnflushedDrain,
    /// Recovery writes new journals over files that still count.
    OverwriteLive,
    /// A producer's batch that came again is appended again.
    AppendDuplicates,
    /// A sealed segment is cut to whole blocks.
    CutSealed,
    /// A clean stop is declared before its files are flushed.
    CleanBeforeBarrier,
}

impl Mutation {
    /// All defects that can be planted.
    pub const PLANTED: [Self; 16] = [
        Self::AckBeforeFlush,
        Self::UncheckedRounds,
        Self::ResurrectDeleted,
        Self::RecycleBeforeBarrier,
        Self::ShowBeforeDurable,
        Self::IgnoreFailedRounds,
        Self::AnswerDeleteEarly,
        Self::CarryNothing,
        Self::TrimTooMuch,
        Self::SkipDirectories,
        Self::UnflushedJournals,
        Self::UnflushedDrain,
        Self::OverwriteLive,
        Self::AppendDuplicates,
        Self::CutSealed,
        Self::CleanBeforeBarrier,
    ];
}

/// Settings of one shard's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Which shard.
    pub shard: ShardId,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Size of a journal file: a multiple of the block, several times `round_bytes_max`.
    pub journal_file_bytes: u64,
    /// Journal files that format makes and that are always there, at least 2.
    pub journal_files_min: usize,
    /// What this shard's pool may grow to. Window memory is bounded by the same number.
    pub journal_bytes_max: u64,
    /// Payload bytes of one round at most. Larger batches are cut into several rounds.
    pub round_bytes_max: usize,
    /// A partition with this much pending is moved when its journal file is recycled; smaller ones
    /// are carried.
    pub move_bytes_min: u64,
    /// Bytes of one move write at most: whole blocks.
    pub move_write_bytes: usize,
    /// Segments' files double until they have this much, and grow by it from then on; 0 reserves
    /// nothing ahead.
    pub segment_preallocate_bytes: u64,
    /// `Write` durability: milliseconds between two flushes at most.
    pub flush_ms: i64,
    /// `Write` durability: bytes between two flushes at most.
    pub flush_bytes: u64,
    /// Memory by which one cleaning of a log tells keys apart.
    pub cleaner_bytes_max: usize,
    /// For tests of the tests.
    pub mutation: Mutation,
}

impl StoreConfig {
    /// The defaults of a node's shard. 16 MiB files: large enough that a move has work to batch,
    /// small enough that a fresh node zeroes two of them in milliseconds.
    #[must_use]
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            durability: Durability::Flush,
            journal_file_bytes: 16 << 20,
            journal_files_min: 2,
            journal_bytes_max: 256 << 20,
            round_bytes_max: 2 << 20,
            move_bytes_min: 64 << 10,
            move_write_bytes: 1 << 20,
            segment_preallocate_bytes: 4 << 20,
            flush_ms: 1_000,
            flush_bytes: 64 << 20,
            cleaner_bytes_max: 64 << 20,
            mutation: Mutation::None,
        }
    }
}

/// One partition that this shard serves, as the metadata image says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Its identity.
    pub id: PartitionId,
    /// Name of its directory in `log/`: `topic-0`.
    pub dir_name: String,
    /// Its topic's settings.
    pub config: LogConfig,
    /// The shard that owns it.
    pub shard: ShardId,
}

/// How much of a log a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A consumer: below the high watermark.
    HighWatermark,
    /// A consumer of committed transactions: below the last stable offset.
    LastStable,
    /// A follower: everything accepted.
    LogEnd,
}

/// What a fetch asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// First offset wanted.
    pub offset: Offset,
    /// Bytes at most, except for `min_one`.
    pub bytes_max: usize,
    /// The first batch is given whole, however large.
    pub min_one: bool,
    /// How much may be seen.
    pub isolation: Isolation,
}

/// What a fetch gets of one partition.
#[derive(Clone, Debug)]
pub struct ReadAnswer {
    /// Whole batches, in order.
    pub pieces: Vec<Piece>,
    /// Their bytes.
    pub bytes: usize,
    /// Where they lie; `None` if there are none.
    pub place: Option<ReadPlace>,
    /// At the moment of planning.
    pub high_watermark: Offset,
    /// At the moment of planning.
    pub last_stable: Offset,
    /// At the moment of planning.
    pub log_start: Offset,
    /// Aborted transactions in the range, for [`Isolation::LastStable`].
    pub aborted: Vec<AbortedSpan>,
}

/// A point in the order of everything accepted; see [`Store::wait`](super::Store::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// State of a shard's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything works.
    Ok,
    /// The disk is full: produce is refused until moves succeed again.
    Full,
    /// The journal failed: nothing is acknowledged until a restart.
    Poisoned(String),
}

/// What a partition begins with when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartition {
    /// Its identity.
    pub id: PartitionId,
    /// Name of its directory in `log/`.
    pub dir_name: String,
    /// Its topic's settings.
    pub config: LogConfig,
    /// The leader epoch it starts with.
    pub leader_epoch: Epoch,
}

/// A partition as a clean stop left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedLog {
    /// Name of its directory in `log/`: `topic-0`.
    pub dir_name: String,
    /// The first offset that is still there.
    pub log_start: Offset,
    /// Base offset of its first segment.
    pub first_segment: Offset,
    /// The next record's offset. Everything below is in its files, durably.
    pub log_end: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// Everything below was cleaned.
    pub cleaned_to: Offset,
}
