//! One transactional id: what its newest record says.

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_wire::ids::{ProducerEpoch, ProducerId, TimestampMs};

/// The last epoch that a transaction can be begun in; one more ends it.
pub const EPOCH_LAST: i16 = i16::MAX - 1;
/// The version from which on each end of a transaction raises the epoch.
pub const RAISES_EPOCH: i16 = 2;

/// What Kafka calls a transaction's state; the numbers are those of the records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i8)]
pub enum TxnState {
    /// The id has a producer and no transaction yet.
    Empty = 0,
    /// Partitions were added.
    Ongoing = 1,
    /// Decided; markers are on their way.
    PrepareCommit = 2,
    /// Decided; markers are on their way.
    PrepareAbort = 3,
    /// All markers are written.
    CompleteCommit = 4,
    /// All markers are written.
    CompleteAbort = 5,
}

impl TxnState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The state of a record's number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i8 == code)
    }

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether it is decided and its markers are not all written.
    #[must_use]
    pub const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether an id in this state is forgotten after a while.
    #[must_use]
    pub const fn may_expire(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }
}

/// A partition of a transaction, by its topic's name as in Kafka's records.
pub type TxnPartition = (Arc<str>, i32);

/// One transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Txn {
    /// Its producer's id.
    pub producer: ProducerId,
    /// The producer's id before the last transition.
    pub previous: ProducerId,
    /// The id that the next epoch begins with, if this one's epochs are used up.
    pub next: ProducerId,
    /// Its producer's epoch.
    pub epoch: ProducerEpoch,
    /// How long a transaction may take.
    pub timeout_ms: i32,
    /// The state.
    pub state: TxnState,
    /// The partitions of the transaction; none when it is complete.
    pub partitions: BTreeSet<TxnPartition>,
    /// When the transaction began; -1 for none.
    pub started: TimestampMs,
    /// When the record was written.
    pub updated: TimestampMs,
    /// The transaction version that its client speaks.
    pub version: i16,
}

impl Txn {
    /// An id as it is before its first record.
    pub(super) fn fresh(producer: ProducerId, now: TimestampMs) -> Self {
        Self {
            producer,
            previous: ProducerId::NONE,
            next: ProducerId::NONE,
            epoch: ProducerEpoch::NONE,
            timeout_ms: 0,
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            started: TimestampMs::NONE,
            updated: now,
            version: 0,
        }
    }

    /// The same id in another state.
    pub(super) fn to(&self, state: TxnState, now: TimestampMs) -> Self {
        Self {
            state,
            previous: self.producer,
            updated: now,
            ..self.clone()
        }
    }

    /// Whether no transaction can be begun after this epoch's.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.epoch.0 >= EPOCH_LAST
    }

    /// Whether the transaction commits or committed.
    #[must_use]
    pub fn commits(&self) -> bool {
        matches!(
            self.state,
            TxnState::PrepareCommit | TxnState::CompleteCommit
        )
    }
}
