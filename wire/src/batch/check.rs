//! Whether the bytes of one partition in a produce request are one sound batch.
//!
//! Order as in Kafka: what the request may hold at all, then base offset, size and CRC, then the
//! header's numbers, then every record. Compressed records are walked as they come out of the
//! codec. Where Kafka is lenient and a consumer would pay for it, this is strict; each answers
//! INVALID_RECORD unless stated:
//! - offset deltas must be 0, 1, 2, ... also in uncompressed batches (Kafka keeps those as they
//!   are, and compresses wrong compressed ones anew);
//! - bytes behind the one batch are refused, not cut off;
//! - lengths below -1 and numbers too long for their type;
//! - compressed records whose stream is not whole, or has something behind its end: Kafka stops
//!   reading at the last record and does not always see it;
//! - a batch that says "time of append": INVALID_TIMESTAMP also on topics where Kafka lets it by;
//! - a codec number nobody has: UNSUPPORTED_COMPRESSION_TYPE; a payload its codec cannot read:
//!   INVALID_RECORD. Kafka fails both with UNKNOWN_SERVER_ERROR;
//! - a transactional batch without a producer id.
//!
//! As in Kafka, a wrong largest time in the header is no error: the summary tells the right one,
//! and [`BatchSummary::stamp`] makes the log write it. Times before 1970 are times.
//!
//! What may be in a request at all is a question of its own ([`first_look`], [`check_shape`]): Kafka
//! asks it of the whole request before it looks for topics, and of a partition before it looks at
//! acks.

use super::assign::Stamp;
use super::error::{BatchError, RECORD_ERRORS_MAX, RecordError, RecordFault};
use super::header::{Attributes, BatchRef, Codec, LOG_OVERHEAD, MAGIC, SplitError};
use super::inflate::{Inflater, Scratch, StreamError, StreamSource};
use super::records::{Frame, walk_frame};
use super::varint::SliceSource;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Where a batch has its length, in every format.
const LENGTH_AT: usize = 8;
/// Where a batch has its format, in every format.
const MAGIC_AT: usize = 16;
/// Where a batch of format 2 has its attributes.
const ATTRIBUTES_AT: usize = 21;
/// Bytes behind the length that the smallest record of the oldest format has.
const LENGTH_MIN: usize = 14;

/// Who made the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A producer.
    Client,
    /// This node itself, which may write control batches and chooses offsets.
    Coordinator,
}

/// How far compressed batches are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressedCheck {
    /// Every record.
    Full,
    /// The header only: as fast as it goes, and as true as the producer is.
    Header,
}

/// How far a record's time may be from the node's, on topics that keep the producer's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampLimits {
    /// The node's time.
    pub now: TimestampMs,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
}

/// What the topic and the request allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckLimits {
    /// Who made the batch.
    pub origin: Origin,
    /// Largest batch, `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// Largest output of a codec that is walked.
    pub inflated_bytes_max: usize,
    /// True on compacted topics: a record without a key is refused.
    pub keys_required: bool,
    /// False for produce versions below 7, whose consumers may not know zstd.
    pub zstd_allowed: bool,
    /// How far compressed batches are checked.
    pub compressed: CompressedCheck,
    /// None where the time of append counts.
    pub timestamps: Option<TimestampLimits>,
}

/// What the log needs to know of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchSummary {
    /// Size of the batch.
    pub bytes: usize,
    /// Codec, transactional and control bits, as the batch has them.
    pub attributes: Attributes,
    /// The codec.
    pub codec: Codec,
    /// Number of records, at least 1.
    pub record_count: i32,
    /// Last record's offset less the first one's.
    pub last_offset_delta: i32,
    /// Time that the records' deltas count from.
    pub base_timestamp: TimestampMs,
    /// Largest time among the records; the header's claim where they were not walked.
    pub max_timestamp: TimestampMs,
    /// The producer's id, or none.
    pub producer_id: ProducerId,
    /// The producer's epoch, or none.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, or none.
    pub base_sequence: Sequence,
}

impl BatchSummary {
    /// Sequence number of the last record, or none.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 {
            return Sequence::NONE;
        }
        self.base_sequence.plus(self.last_offset_delta)
    }

    /// True if the batch has a producer id, and so a sequence.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// True if the batch is part of a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// True if consumers never see the records.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// What [`assign`](mod@super::assign) is to do with the time, with the time of append where that counts.
    #[must_use]
    pub const fn stamp(&self, log_append_time: Option<TimestampMs>) -> Stamp {
        match log_append_time {
            Some(time) => Stamp::LogAppend(time),
            None => Stamp::Create(self.max_timestamp),
        }
    }
}

/// What a first look at the batches of a partition shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstLook {
    /// Nothing that concerns the whole request.
    Plain,
    /// The first batch belongs to a transaction.
    Transactional,
}

/// Looks at the first batch of a partition, before anything else of the request: a size or a format
/// that cannot be makes Kafka refuse the whole request (`ByteBufferLogInputStream.nextBatchSize`,
/// asked by `RequestUtils.hasTransactionalRecords`). A batch that is not whole is no batch there.
pub fn first_look(bytes: &[u8]) -> Result<FirstLook, SplitError> {
    let Some(batch) = framed(bytes)? else {
        return Ok(FirstLook::Plain);
    };
    let attributes = match batch.get(ATTRIBUTES_AT..ATTRIBUTES_AT + 2) {
        Some(&[high, low]) if batch.get(MAGIC_AT) == Some(&MAGIC.cast_unsigned()) => {
            Attributes(i16::from_be_bytes([high, low]))
        }
        _ => Attributes::default(),
    };
    Ok(match attributes.is_transactional() {
        true => FirstLook::Transactional,
        false => FirstLook::Plain,
    })
}

/// The bytes of the batch in front, if they are all there; an error if no batch can have them.
fn framed(bytes: &[u8]) -> Result<Option<&[u8]>, SplitError> {
    let Some(&[a, b, c, d]) = bytes.get(LENGTH_AT..LOG_OVERHEAD) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([a, b, c, d]);
    let whole = usize::try_from(length).ok();
    let whole = whole.filter(|length| *length >= LENGTH_MIN);
    let whole = whole.ok_or(SplitError::Length(length))?;
    let Some(magic) = bytes.get(MAGIC_AT).map(|byte| byte.cast_signed()) else {
        return Ok(None);
    };
    if !(0..=MAGIC).contains(&magic) {
        return Err(SplitError::Magic(magic));
    }
    Ok(bytes.get(..whole.saturating_add(LOG_OVERHEAD)))
}

/// Whether `bytes` are one batch of a kind that the request may hold, sound or not
/// (`ProduceRequest.validateRecords`); the batch.
pub fn check_shape(bytes: &[u8], zstd_allowed: bool) -> Result<BatchRef<'_>, BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::Empty);
    }
    let batch = BatchRef::first(bytes).map_err(BatchError::Split)?;
    if batch.header().attributes().codec() == Ok(Codec::Zstd) && !zstd_allowed {
        return Err(BatchError::ZstdTooEarly);
    }
    let trailing = bytes.get(batch.bytes().len()..).unwrap_or_default();
    if !trailing.is_empty() {
        framed(trailing).map_err(BatchError::Split)?;
        return Err(BatchError::Trailing(trailing.len()));
    }
    Ok(batch)
}

/// Checks that `bytes` are one sound batch.
pub fn check_produce(
    bytes: &[u8],
    limits: &CheckLimits,
    scratch: &mut Scratch,
) -> Result<BatchSummary, BatchError> {
    let batch = check_shape(bytes, limits.zstd_allowed)?;
    let mut summary = check_header(&batch, limits)?;
    let walk = Walk::new(&batch, limits);
    let walked = if summary.codec == Codec::None {
        walk.plain(batch.payload())?
    } else if limits.compressed == CompressedCheck::Full {
        walk.compressed(&batch, summary.codec, scratch)?
    } else {
        walk.header_only(&summary)?;
        return Ok(summary);
    };
    summary.max_timestamp = walked;
    Ok(summary)
}

fn check_header(batch: &BatchRef<'_>, limits: &CheckLimits) -> Result<BatchSummary, BatchError> {
    let header = batch.header();
    let bytes = batch.bytes().len();
    let is_client = limits.origin == Origin::Client;
    let attributes = header.attributes();
    let codec = attributes.codec().map_err(BatchError::UnknownCodec)?;
    if is_client && header.base_offset() != Offset(0) {
        return Err(BatchError::BaseOffset(header.base_offset()));
    }
    if bytes > limits.batch_bytes_max {
        let max = limits.batch_bytes_max;
        return Err(BatchError::TooLarge { bytes, max });
    }
    let computed = super::header::crc_of(batch.bytes());
    if computed != header.crc() {
        let carried = header.crc();
        return Err(BatchError::Crc { carried, computed });
    }
    let records = header.record_count();
    let last_offset_delta = header.last_offset_delta();
    if records <= 0 || records - 1 != last_offset_delta {
        return Err(BatchError::Count {
            records,
            last_offset_delta,
        });
    }
    if is_client && attributes.is_control() {
        return Err(BatchError::Control);
    }
    let has_producer = header.producer_id() >= ProducerId(0);
    if is_client && has_producer && header.base_sequence() < Sequence(0) {
        return Err(BatchError::Sequence(header.base_sequence()));
    }
    if attributes.is_transactional() && !has_producer {
        return Err(BatchError::NoProducer);
    }
    if is_client && attributes.is_log_append_time() {
        return Err(BatchError::AppendTime);
    }
    Ok(BatchSummary {
        bytes,
        attributes,
        codec,
        record_count: records,
        last_offset_delta,
        base_timestamp: header.base_timestamp(),
        max_timestamp: header.max_timestamp(),
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
    })
}

/// What a walk over records checks and gathers.
struct Walk<'a> {
    limits: &'a CheckLimits,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    errors: Vec<RecordError>,
}

impl<'a> Walk<'a> {
    fn new(batch: &BatchRef<'_>, limits: &'a CheckLimits) -> Self {
        Self {
            limits,
            count: batch.header().record_count(),
            base_timestamp: batch.header().base_timestamp().0,
            max_timestamp: TimestampMs::NONE.0,
            errors: Vec::new(),
        }
    }

    fn plain(mut self, payload: &[u8]) -> Result<TimestampMs, BatchError> {
        let mut source = SliceSource::new(payload);
        for index in 0..self.count {
            let frame =
                walk_frame(&mut source).map_err(|cause| BatchError::Record { index, cause })?;
            self.take(index, frame)?;
        }
        if !source.rest().is_empty() {
            return Err(BatchError::RecordsTrailing);
        }
        self.finish()
    }

    fn compressed(
        mut self,
        batch: &BatchRef<'_>,
        codec: Codec,
        scratch: &mut Scratch,
    ) -> Result<TimestampMs, BatchError> {
        let cap = self.limits.inflated_bytes_max;
        let inflater =
            Inflater::new(codec, batch.payload(), cap, scratch).map_err(BatchError::Inflate)?;
        let mut source = StreamSource::new(inflater);
        for index in 0..self.count {
            let frame = walk_frame(&mut source).map_err(|cause| match cause {
                StreamError::Malformed(cause) => BatchError::Record { index, cause },
                StreamError::Inflate(cause) => BatchError::Inflate(cause),
            })?;
            self.take(index, frame)?;
        }
        if !source.is_at_end().map_err(BatchError::Inflate)? {
            return Err(BatchError::RecordsTrailing);
        }
        self.finish()
    }

    fn header_only(&self, summary: &BatchSummary) -> Result<(), BatchError> {
        match self.is_out_of_range(summary.max_timestamp.0) {
            true => Err(BatchError::MaxTimestamp(summary.max_timestamp)),
            false => Ok(()),
        }
    }

    #[inline]
    fn take(&mut self, index: i32, frame: Frame) -> Result<(), BatchError> {
        if frame.offset_delta != index {
            let delta = frame.offset_delta;
            return Err(BatchError::OffsetDelta { index, delta });
        }
        let time = self.base_timestamp.wrapping_add(frame.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(time);
        if self.limits.keys_required && !frame.has_key {
            self.refuse(index, RecordFault::NoKey);
        } else if self.is_out_of_range(time) {
            self.refuse(index, RecordFault::Timestamp(TimestampMs(time)));
        }
        Ok(())
    }

    fn refuse(&mut self, index: i32, fault: RecordFault) {
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { index, fault });
        }
    }

    #[inline]
    fn is_out_of_range(&self, time: i64) -> bool {
        let Some(limits) = &self.limits.timestamps else {
            return false;
        };
        if time == TimestampMs::NONE.0 {
            return false;
        }
        // Sums wrap, as Kafka's do: what lies beyond all times is thereby too late.
        let age = limits.now.0.wrapping_sub(time);
        age > limits.before_max_ms || age.wrapping_neg() > limits.after_max_ms
    }

    fn finish(self) -> Result<TimestampMs, BatchError> {
        if self.errors.is_empty() {
            Ok(TimestampMs(self.max_timestamp))
        } else {
            Err(BatchError::Records(self.errors))
        }
    }
}
