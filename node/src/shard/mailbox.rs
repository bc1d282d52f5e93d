//! Everything that shards say to each other: one closed enum each way.
//!
//! One message per (request, shard), never per partition. All of it is `Send`: record bytes travel
//! as the shared frame plus ranges, or as slices of the tail cache. Deliberately absent: channels
//! and credits (`shard/router.rs`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_coordinator::groups::step::Marker;
use thalweg_coordinator::transactions::step::{Answer as TxnAnswer, Ask};
use thalweg_storage::log::ReadPlace;
use thalweg_storage::log::{AbortedSpan, EpochEnd, FoundOffset, LogConfig, PartitionView, Piece};
use thalweg_storage::log::{ActiveProducer, TimestampQuery, Verification};
use thalweg_storage::store::{Health, Isolation, NewPartition, PartitionSpec, StoppedLog};
use thalweg_wire::batch::BatchSummary;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{
    Epoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};

use super::parked::WatchKey;
use super::sessions::Session;
use crate::groups::route::GroupJob;
use crate::groups::table::Parcel;
use crate::metrics::Snapshot;
use crate::metrics::stages::Summary;
use crate::net::listener::Accepted;
use crate::outgoing::Carried;
use crate::quotas::ChargeJob;
use crate::request::{Frame, Request};
use crate::runtime::effects::Published;

/// A request from one shard to another. Each is answered by exactly one [`Reply`].
#[derive(Debug)]
pub enum Message {
    /// Serve this connection. Answered with `Done`.
    Connection(Accepted),
    /// Append these batches. Answered with `Appended`.
    Append(AppendJob),
    /// Read from these partitions. Answered with `Fetched`.
    Fetch(FetchJob),
    /// Where do these bytes, which a fetch was told of, lie now? Answered with `Replanned`.
    Replan {
        /// Whose they are.
        partition: PartitionId,
        /// Where the first one lies.
        place: ReadPlace,
        /// Count.
        bytes: usize,
    },
    /// Something in this file of a partition of yours is no sound batch. Answered with `Done` when it is
    /// quarantined.
    Suspect(PartitionId, Arc<Path>),
    /// Parked fetches of yours, by their slots, have these partitions to look at. Answered with `Done`.
    Wake(Vec<(u32, PartitionId)>),
    /// Questions about partitions. Answered with `Queried`, in order.
    Query(Vec<(PartitionId, Query)>),
    /// Make these partitions. Answered with `Changed`.
    Create(Vec<NewPartition>),
    /// Delete these partitions. Answered with `Changed`.
    Delete(Vec<PartitionId>),
    /// You lead these partitions in these epochs. Answered with `Changed`.
    Lead(Vec<(PartitionId, Epoch)>),
    /// The cluster as it is now. Answered with `Changed`.
    Publish(Arc<Published>),
    /// New topic settings. Answered with `Changed`.
    Configure(Vec<(PartitionId, LogConfig)>),
    /// Run this request where the coordinator is. Answered with `Answered`.
    Coordinate(Box<Request>),
    /// Files at or below these paths are gone or renamed: keep none of them open. Answered with
    /// `Changed`.
    Forget(Vec<PathBuf>),
    /// Give me this fetch session: its consumer has come to me. Answered with `Session`.
    TakeSession(i32),
    /// Make these topics if they are still missing. Answered with `Done`.
    AutoCreate(Vec<String>),
    /// Open your store with your partitions among these. Answered with `Changed`.
    Open(Arc<[PartitionSpec]>),
    /// Work on this request about groups. Answered with `Done` at once; what comes of it follows as
    /// `GroupAnswers`, since a JoinGroup may wait for minutes.
    Group(Box<GroupJob>),
    /// What became of your requests about groups. Answered with `Done`.
    GroupAnswers(Vec<Parcel>),
    /// What does this transactional id's partition say? Answered with `Transacted`.
    Transact(PartitionId, Box<Ask>),
    /// Count this on your counter. Answered with `Charged`.
    Charge(Box<ChargeJob>),
    /// Write these transaction markers. Answered with `Marked`.
    Markers(Vec<(PartitionId, Marker)>),
    /// A producer id that nobody has, from the coordinator's shard. Answered with `ProducerId`.
    FreshProducerId,
    /// Read no more requests and answer what was read. Answered with `Done`.
    Quiet,
    /// Stop your store. Answered with `Stopped`.
    Halt,
    /// All stores have stopped: your last message. Answered with `Done`.
    End,
    /// Show your counters. Answered with `Metrics`.
    Scrape,
}

impl Message {
    /// Memory that it keeps until it is answered: frames that it refers to, lists that it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Append(job) => {
                let batches: usize = job.parts.iter().map(|part| part.batch.len()).sum();
                batches + size_of_val(job.parts.as_slice())
            }
            Self::Fetch(job) => size_of_val(job.parts.as_slice()),
            Self::Wake(slots) => size_of_val(slots.as_slice()),
            Self::Query(list) => size_of_val(list.as_slice()),
            Self::Create(list) => size_of_val(list.as_slice()),
            Self::Delete(list) => size_of_val(list.as_slice()),
            Self::Lead(list) => size_of_val(list.as_slice()),
            Self::Configure(list) => size_of_val(list.as_slice()),
            Self::Coordinate(request) => request.frame.len(),
            Self::Group(job) => job.request.frame.len(),
            Self::Markers(list) => size_of_val(list.as_slice()),
            Self::AutoCreate(names) => names.iter().map(String::len).sum(),
            Self::Connection { .. }
            | Self::GroupAnswers(_)
            | Self::Transact(..)
            | Self::Charge(_)
            | Self::FreshProducerId
            | Self::Replan { .. }
            | Self::Suspect(..)
            | Self::Publish(_)
            | Self::Forget(_)
            | Self::TakeSession(_)
            | Self::Open(_)
            | Self::Quiet
            | Self::Halt
            | Self::End
            | Self::Scrape => 0,
        }
    }
}

/// The answer to a [`Message`].
#[derive(Debug)]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// Appended, part by part.
    Appended(Vec<AppendResult>),
    /// Read, part by part.
    Fetched(Vec<FetchedPart>),
    /// The pieces, or none if the bytes are gone.
    Replanned(Option<Vec<Piece>>),
    /// Answers, in order.
    Queried(Vec<Result<QueryAnswer, Fault>>),
    /// A change of partitions came to this.
    Changed(Result<(), Fault>),
    /// The shard has stopped; what it left of each partition.
    Stopped(Result<Vec<StoppedLog>, Fault>),
    /// What became of the request.
    Answered(Carried),
    /// What the transactional id's partition says.
    Transacted(Result<TxnAnswer, ErrorCode>),
    /// What became of each marker.
    Marked(Vec<ErrorCode>),
    /// Milliseconds that the client is to wait.
    Charged(u64),
    /// A producer id.
    ProducerId(Result<ProducerId, Fault>),
    /// The session, if it is still there.
    Session(Option<Box<Session>>),
    /// The counters.
    Metrics(Box<Scrape>),
}

/// What a shard shows of itself.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// Its counters.
    pub snapshot: Snapshot,
    /// Where its requests' time went.
    pub stages: Vec<Summary>,
    /// State of its storage.
    pub health: Health,
}

/// Why a request got no answer for one partition, ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Words for the client and the log.
    pub message: String,
}

/// The part of a produce request that one shard owns.
#[derive(Debug)]
pub struct AppendJob {
    /// The request's frame, which holds the batches.
    pub frame: Frame,
    /// False for acks=0: the reply does not wait for the disk.
    pub durable: bool,
    /// The batches, in the order of the request.
    pub parts: Vec<AppendPart>,
}

/// One checked batch for one partition.
#[derive(Debug)]
pub struct AppendPart {
    /// The partition.
    pub partition: PartitionId,
    /// Where the batch lies in the frame.
    pub batch: Range<usize>,
    /// The batch compressed anew, which counts instead.
    pub anew: Option<Frame>,
    /// What the check found.
    pub summary: BatchSummary,
    /// Leader epoch that the batch is stored with.
    pub leader_epoch: Epoch,
    /// Whether its transaction's coordinator was asked.
    pub verification: Verification,
}

/// What became of one batch.
pub type AppendResult = Result<AppendedPart, Fault>;

/// One appended batch, as the producer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedPart {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The leader's time, where the topic asks for it.
    pub log_append_time: Option<TimestampMs>,
    /// First offset of the log.
    pub log_start: Offset,
}

/// The part of a fetch that one shard owns.
#[derive(Clone, Debug)]
pub struct FetchJob {
    /// Who to wake when there is more, if what is read is less than `bytes_min`.
    pub watch: Option<WatchKey>,
    /// What the whole request wants at least.
    pub bytes_min: usize,
    /// What the whole request may get at most.
    pub bytes_max: usize,
    /// How much may be seen.
    pub isolation: Isolation,
    /// The partitions, in the order of the request.
    pub parts: Vec<FetchPart>,
}

/// One partition of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPart {
    /// The partition.
    pub partition: PartitionId,
    /// First offset wanted.
    pub offset: Offset,
    /// Bytes at most.
    pub bytes_max: usize,
    /// Epoch of the last batch the reader has, or unknown: checked for divergence.
    pub last_fetched_epoch: Epoch,
}

/// What a fetch found in one partition.
#[derive(Debug)]
pub struct FetchedPart {
    /// `None`, or why nothing is there.
    pub error: ErrorCode,
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
    /// Aborted transactions in the range; `None` for who reads uncommitted records too.
    pub aborted: Option<Vec<AbortedSpan>>,
    /// Where the reader's log leaves ours.
    pub diverging: Option<EpochEnd>,
}

/// A question about one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Its numbers.
    View,
    /// An offset by time or name.
    Offset(TimestampQuery, Isolation),
    /// Where an epoch ended.
    EpochEnd(Epoch),
    /// Must a transaction's coordinator be asked before this producer's batch is appended?
    Verify((ProducerId, ProducerEpoch, Sequence)),
    /// Its producers.
    Producers,
    /// Delete the records below (-1: below the high watermark).
    DeleteRecords(Offset),
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// To `View`.
    View(PartitionView),
    /// To `Offset`; `None` if no record is that late.
    Offset(Option<FoundOffset>),
    /// To `EpochEnd`.
    EpochEnd(EpochEnd),
    /// To `Verify`: the guard to show, if it must be.
    Verify(Option<u64>),
    /// To `Producers`.
    Producers(Vec<ActiveProducer>),
    /// To `DeleteRecords`: the new log start.
    LogStart(Offset),
}
