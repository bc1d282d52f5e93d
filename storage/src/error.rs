//! What can go wrong for a whole shard, with its cause.
//!
//! Errors of one request (an offset out of range, a sequence out of order) are the log's own
//! enums; these are about the journal, the disk and the shard's state. The node maps each to a
//! Kafka code in one place.

use std::path::PathBuf;
use std::rc::Rc;

use thalweg_wire::ids::PartitionId;

use crate::disk::DiskError;

/// Why a shard could not do what it was asked.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The journal failed once: nothing is acknowledged any more, reads go on (promise 5).
    Poisoned(Rc<DiskError>),
    /// No room in the journal's window because the disk is full. Retriable; recovers by itself.
    Full,
    /// More bytes at once than the window could ever hold.
    TooLarge {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that the window may hold.
        limit: u64,
    },
    /// Not a partition of this shard, or deleted meanwhile.
    UnknownPartition(PartitionId),
    /// There is such a partition already.
    PartitionExists(PartitionId),
    /// The partition's segment file failed a move; its journaled data is safe and readable.
    PartitionFailed(PartitionId),
    /// The shard is stopping.
    Stopping,
    /// An operation outside of the journal failed.
    Disk(Rc<DiskError>),
    /// The data directory is not in a state that can be served.
    Refused(Refusal),
}

/// Why a data directory is not served. Told to the operator; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A round that was durable is unreadable: rot, not a torn end.
    Rot {
        /// The journal's directory.
        journal: PathBuf,
        /// The first unreadable round.
        round: u64,
        /// The newest sound round after it, whose header vouches for it.
        vouched_by: u64,
    },
    /// A checksum is right and the content makes no sense: another version, or a defect.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that journal or checkpoints vouch for are not sound batches.
    Corrupt {
        /// The segment file's directory.
        dir: PathBuf,
        /// Base offset of the segment.
        segment: i64,
        /// Byte position.
        position: u64,
    },
}

/// Why one request about one partition got no answer: the log's own reason, or the shard's.
#[derive(Debug)]
pub enum RequestError<E> {
    /// The partition's log refuses it.
    Log(E),
    /// The shard cannot do it, or does not serve the partition.
    Store(StoreError),
}

impl<E> From<StoreError> for RequestError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rot {
                journal,
                round,
                vouched_by,
            } => write!(
                f,
                "{}: round {round} was durable and is unreadable now (round {vouched_by} after it is sound); \
                 this is damage, not a torn end, and acknowledged records would be lost by going on",
                journal.display()
            ),
            Self::Malformed { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Corrupt {
                dir,
                segment,
                position,
            } => write!(
                f,
                "{}: segment {segment:020} holds no sound batch at byte {position}",
                dir.display()
            ),
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Poisoned(cause) => {
                write!(f, "the journal failed and takes nothing more: {cause}")
            }
            Self::Full => f.write_str("the disk is full"),
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "{bytes} bytes at once; the journal's window holds {limit}"
                )
            }
            Self::UnknownPartition(id) => write!(f, "no partition {id} here"),
            Self::PartitionExists(id) => write!(f, "partition {id} is here already"),
            Self::PartitionFailed(id) => write!(f, "partition {id} cannot be written any more"),
            Self::Stopping => f.write_str("the shard is stopping"),
            Self::Disk(cause) => cause.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Poisoned(cause) | Self::Disk(cause) => Some(&**cause),
            _ => None,
        }
    }
}

impl From<DiskError> for StoreError {
    fn from(cause: DiskError) -> Self {
        Self::Disk(Rc::new(cause))
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
