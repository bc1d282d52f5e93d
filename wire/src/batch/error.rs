//! Why a batch is refused, and which error of Kafka's that is.

use std::fmt;

use super::header::SplitError;
use super::inflate::InflateError;
use super::varint::Malformed;
use crate::error_code::ErrorCode;
use crate::ids::{Offset, Sequence, TimestampMs};

/// Records named in one refusal; a hostile batch may have millions of bad ones.
pub const RECORD_ERRORS_MAX: usize = 1_000;

/// What one record is refused for, where Kafka names the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// No key, on a compacted topic.
    NoKey,
    /// Its time is too far from the node's.
    Timestamp(TimestampMs),
}

/// One refused record, for the answer's `record_errors`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Which record of the batch, from 0.
    pub index: i32,
    /// Why.
    pub fault: RecordFault,
}

impl RecordError {
    const fn is_timestamp(&self) -> bool {
        matches!(self.fault, RecordFault::Timestamp(_))
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            RecordFault::NoKey => write!(f, "a record of a compacted topic needs a key"),
            RecordFault::Timestamp(time) => write!(f, "timestamp {time} is out of range"),
        }
    }
}

/// Why a batch is refused.
#[derive(Debug)]
pub enum BatchError {
    /// Not one whole batch of format 2, or not even that.
    Split(SplitError),
    /// Nothing at all.
    Empty,
    /// Bytes follow the batch.
    Trailing(usize),
    /// The producer chose offsets.
    BaseOffset(Offset),
    /// Larger than the topic allows.
    TooLarge {
        /// The batch's size.
        bytes: usize,
        /// The topic's limit.
        max: usize,
    },
    /// The bytes are not those that the producer sent.
    Crc {
        /// What the batch carries.
        carried: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A codec that Kafka has no number for.
    UnknownCodec(u8),
    /// zstd in a request too old for it.
    ZstdTooEarly,
    /// The header's record count and offsets do not fit each other.
    Count {
        /// Number of records claimed.
        records: i32,
        /// Last offset delta claimed.
        last_offset_delta: i32,
    },
    /// Only the node writes control batches.
    Control,
    /// A producer id without a sequence.
    Sequence(Sequence),
    /// Transactional, and no producer id.
    NoProducer,
    /// Only the node says "time of append".
    AppendTime,
    /// Without walking the records: the header's largest time is out of range.
    MaxTimestamp(TimestampMs),
    /// A record's bytes are broken.
    Record {
        /// Which one, from 0.
        index: i32,
        /// How.
        cause: Malformed,
    },
    /// A record has another offset than its place in the batch gives it.
    OffsetDelta {
        /// Which one, from 0.
        index: i32,
        /// What it has.
        delta: i32,
    },
    /// Bytes follow the last record.
    RecordsTrailing,
    /// The codec cannot read the records.
    Inflate(InflateError),
    /// Single records are refused: the first [`RECORD_ERRORS_MAX`] of them.
    Records(Vec<RecordError>),
}

impl BatchError {
    /// Kafka's name for this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Crc { .. } | Self::Split(SplitError::Length(_) | SplitError::Magic(_)) => {
                ErrorCode::CorruptMessage
            }
            Self::TooLarge { .. } | Self::Inflate(InflateError::OverCap(_)) => {
                ErrorCode::MessageTooLarge
            }
            Self::AppendTime | Self::MaxTimestamp(_) => ErrorCode::InvalidTimestamp,
            Self::UnknownCodec(_) | Self::ZstdTooEarly => ErrorCode::UnsupportedCompressionType,
            Self::Records(errors) if errors.iter().any(RecordError::is_timestamp) => {
                ErrorCode::InvalidTimestamp
            }
            _ => ErrorCode::InvalidRecord,
        }
    }

    /// The records to name in the answer; empty if the batch is refused as a whole.
    #[must_use]
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::Records(errors) => errors,
            _ => &[],
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split(cause) => cause.fmt(f),
            Self::Empty => write!(f, "a partition needs exactly one batch and got none"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes follow the one batch allowed"),
            Self::BaseOffset(offset) => write!(f, "the base offset is {offset} and must be 0"),
            Self::TooLarge { bytes, max } => {
                write!(
                    f,
                    "the batch has {bytes} bytes, more than the {max} allowed"
                )
            }
            Self::Crc { carried, computed } => {
                write!(
                    f,
                    "the batch carries CRC {carried:#x}, its bytes give {computed:#x}"
                )
            }
            Self::UnknownCodec(number) => write!(f, "{number} is no compression codec"),
            Self::ZstdTooEarly => write!(f, "zstd needs Produce version 7"),
            Self::Count {
                records,
                last_offset_delta,
            } => write!(
                f,
                "a batch cannot have {records} records and last offset delta {last_offset_delta}"
            ),
            Self::Control => write!(f, "clients may not write control batches"),
            Self::Sequence(sequence) => {
                write!(
                    f,
                    "a batch with a producer id cannot have the sequence {sequence}"
                )
            }
            Self::NoProducer => write!(f, "a transactional batch needs a producer id"),
            Self::AppendTime => write!(f, "clients may not set the time of append"),
            Self::MaxTimestamp(time) => write!(f, "the largest timestamp {time} is out of range"),
            Self::Record { index, cause } => write!(f, "record {index}: {cause}"),
            Self::OffsetDelta { index, delta } => {
                write!(f, "record {index} has the offset delta {delta}")
            }
            Self::RecordsTrailing => write!(f, "bytes follow the last record"),
            Self::Inflate(cause) => cause.fmt(f),
            Self::Records(errors) => match errors.first() {
                Some(first) => write!(f, "record {}: {first}", first.index),
                None => write!(f, "records were refused"),
            },
        }
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Split(cause) => Some(cause),
            Self::Record { cause, .. } => Some(cause),
            Self::Inflate(cause) => Some(cause),
            _ => None,
        }
    }
}
