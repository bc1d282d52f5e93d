//! The 61 bytes in front of every batch, read in place, and the cut of bytes into batches.
//!
//! The CRC covers everything behind itself: base offset, length, leader epoch and magic can be
//! changed without computing it again. Deliberately absent: any check of the payload.

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes of a batch in front of its records.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes that a batch's length field does not count: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The one format served.
pub const MAGIC: i8 = 2;
/// Where the bytes that the CRC covers begin.
pub(super) const CRC_COVERS_FROM: usize = 21;

/// A batch's header as it lies in memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    pub(super) base_offset: I64,
    pub(super) length: I32,
    pub(super) leader_epoch: I32,
    pub(super) magic: i8,
    pub(super) crc: U32,
    pub(super) attributes: I16,
    pub(super) last_offset_delta: I32,
    pub(super) base_timestamp: I64,
    pub(super) max_timestamp: I64,
    pub(super) producer_id: I64,
    pub(super) producer_epoch: I16,
    pub(super) base_sequence: I32,
    pub(super) record_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == BATCH_HEADER_BYTES);

impl BatchHeader {
    /// The header at the start of `bytes`, if they are long enough; nothing is checked.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<&Self> {
        Some(Self::ref_from_prefix(bytes).ok()?.0)
    }

    /// Offset of the first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(self.base_offset.get())
    }

    /// Offset of the last record, as the batch claims.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta()))
    }

    /// The offset after the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// What the length field says: all bytes behind it.
    #[must_use]
    pub fn length(&self) -> i32 {
        self.length.get()
    }

    /// Epoch of the leader that appended the batch.
    #[must_use]
    pub fn leader_epoch(&self) -> Epoch {
        Epoch(self.leader_epoch.get())
    }

    /// Format of the batch.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The CRC-32C that the batch carries.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// Codec, time type, transactional and control bits.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }

    /// Last record's offset less the first one's.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// Time that the records' deltas count from.
    #[must_use]
    pub fn base_timestamp(&self) -> TimestampMs {
        TimestampMs(self.base_timestamp.get())
    }

    /// The time from which the batch's tombstones may go, if the cleaner has set one.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        let is_set = self.attributes().has_delete_horizon();
        is_set.then(|| self.base_timestamp())
    }

    /// Largest time of the batch, or the time of append.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs(self.max_timestamp.get())
    }

    /// The producer's id, or none.
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(self.producer_id.get())
    }

    /// The producer's epoch, or none.
    #[must_use]
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(self.producer_epoch.get())
    }

    /// Sequence number of the first record, or none.
    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        Sequence(self.base_sequence.get())
    }

    /// Number of records, as the batch claims.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count.get()
    }
}

/// How the records of a batch are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in blocks, framed as the Java library does, or one bare block.
    Snappy,
    /// The LZ4 frame format with independent blocks.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

/// The attributes field of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;
    const CODEC: i16 = 0x07;

    /// The codec, or its number when Kafka has none by it.
    pub const fn codec(self) -> Result<Codec, u8> {
        match self.0 & Self::CODEC {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            5 => Err(5),
            6 => Err(6),
            _ => Err(7),
        }
    }

    pub(super) const fn of_codec(codec: Codec) -> Self {
        Self(match codec {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        })
    }

    pub(super) const fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | Self::of_codec(codec).0)
    }

    /// True if the records' time is the time of append.
    #[must_use]
    pub const fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// True if the batch is part of a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// True if the base timestamp is the time from which the batch's tombstones may go (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(super) const fn with_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    /// Of a batch whose records all went.
    pub(super) const fn without_records(self) -> Self {
        Self(self.0 & !(Self::DELETE_HORIZON | Self::CODEC))
    }

    /// True if the records are markers that consumers never see.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// One whole batch: a header that fits, magic 2, and all bytes that its length counts.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    header: &'a BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchRef<'a> {
    /// The batch at the start of `bytes`; what follows it is left alone.
    pub fn first(bytes: &'a [u8]) -> Result<Self, SplitError> {
        // Magic lies at the same place in every format, so that it can be told from rot.
        let head = bytes.get(..CRC_COVERS_FROM - 4);
        let Some([.., magic]) = head else {
            return Err(SplitError::Truncated);
        };
        let magic = magic.cast_signed();
        if !(0..=MAGIC).contains(&magic) {
            return Err(SplitError::Magic(magic));
        }
        let length = length_of(bytes);
        if magic != MAGIC {
            return Err(SplitError::OldFormat(magic));
        }
        let whole = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD))
            .filter(|whole| *whole >= BATCH_HEADER_BYTES)
            .ok_or(SplitError::Length(length))?;
        let bytes = bytes.get(..whole).ok_or(SplitError::Truncated)?;
        let header = BatchHeader::of(bytes).ok_or(SplitError::Truncated)?;
        Ok(Self { header, bytes })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &'a BatchHeader {
        self.header
    }

    /// The whole batch.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or(&[])
    }

    /// True if the bytes match the CRC that the batch carries.
    #[must_use]
    pub fn crc_matches(&self) -> bool {
        crc_of(self.bytes) == self.header.crc()
    }
}

/// CRC-32C of what the batch's CRC covers.
pub(super) fn crc_of(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(CRC_COVERS_FROM..).unwrap_or(&[]))
}

fn length_of(bytes: &[u8]) -> i32 {
    match bytes.get(8..12) {
        Some(&[a, b, c, d]) => i32::from_be_bytes([a, b, c, d]),
        _ => -1,
    }
}

/// Why bytes are no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitError {
    /// The bytes end before the batch does.
    Truncated,
    /// The length field cannot be.
    Length(i32),
    /// Message format 0 or 1.
    OldFormat(i8),
    /// No format of Kafka's.
    Magic(i8),
}

impl std::fmt::Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => write!(f, "the bytes end before the batch does"),
            Self::Length(length) => write!(f, "a batch cannot have the length {length}"),
            Self::OldFormat(magic) => write!(f, "message format {magic} is not served, only 2"),
            Self::Magic(magic) => write!(f, "{magic} is no message format"),
        }
    }
}

impl std::error::Error for SplitError {}

/// Cuts bytes into batches. The first error is the last item; [`Batches::position`] then says
/// where the good bytes end.
#[must_use]
pub const fn split(bytes: &[u8]) -> Batches<'_> {
    Batches {
        bytes,
        position: 0,
        ended: false,
    }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    ended: bool,
}

impl Batches<'_> {
    /// Where the next batch begins, which is also how many bytes the batches so far have.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchRef<'a>, SplitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..).unwrap_or(&[]);
        if self.ended || rest.is_empty() {
            return None;
        }
        let batch = BatchRef::first(rest);
        match &batch {
            Ok(batch) => self.position += batch.bytes.len(),
            Err(_) => self.ended = true,
        }
        Some(batch)
    }
}
