//! The one map from what went wrong inside to Kafka's codes.
//!
//! The choice decides whether a client tries again, so it is made here and nowhere else. Each
//! fault keeps its words; the cause was logged where it happened.

use thalweg_storage::error::{RequestError, StoreError};
use thalweg_storage::log::{AppendError, ReadError};
use thalweg_wire::batch::BatchError;
use thalweg_wire::error_code::ErrorCode;

use crate::shard::host::Gone;
use crate::shard::mailbox::Fault;

impl Fault {
    /// A fault with words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Gone> for Fault {
    fn from(_: Gone) -> Self {
        // The client finds another leader, or us again after the restart.
        Self::new(ErrorCode::NotLeaderOrFollower, "the node is stopping")
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Poisoned(_) | StoreError::Disk(_) | StoreError::PartitionFailed(_) => {
                ErrorCode::KafkaStorageError
            }
            // Retriable, and not one on which producers look for another leader at once.
            StoreError::Full => ErrorCode::KafkaStorageError,
            StoreError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            StoreError::UnknownPartition(_) => ErrorCode::UnknownTopicOrPartition,
            StoreError::PartitionExists(_) => ErrorCode::TopicAlreadyExists,
            StoreError::Stopping => ErrorCode::NotLeaderOrFollower,
            StoreError::Refused(_) => ErrorCode::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

/// The code of a refused append.
#[must_use]
pub fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTxnState { .. } | AppendError::Unverified { .. } => {
            ErrorCode::InvalidTxnState
        }
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::NotNext { .. } | AppendError::Exhausted | AppendError::TailMissing => {
            ErrorCode::UnknownServerError
        }
    }
}

impl From<RequestError<AppendError>> for Fault {
    fn from(error: RequestError<AppendError>) -> Self {
        match error {
            RequestError::Log(error) => Self::new(append_code(&error), format!("{error:?}")),
            RequestError::Store(error) => error.into(),
        }
    }
}

/// The code of a refused read.
#[must_use]
pub fn read_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt(_) => ErrorCode::KafkaStorageError,
        // A client that is told so can go on behind it; of a storage error it would only ask again.
        ReadError::Quarantined { .. } => ErrorCode::CorruptMessage,
    }
}

impl From<RequestError<ReadError>> for Fault {
    fn from(error: RequestError<ReadError>) -> Self {
        match error {
            RequestError::Log(error) => Self::new(read_code(&error), format!("{error:?}")),
            RequestError::Store(error) => error.into(),
        }
    }
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
