//! Batches made by us: by tests, by the load generator, and by the node for its own logs.
//!
//! Deliberately absent: any split of records into batches; the caller decides what is one.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};

use super::header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, Codec, LOG_OVERHEAD, MAGIC, crc_of,
};
use super::inflate::{InflateError, compress};
use super::varint;
use crate::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// The header of a batch to be.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpec {
    /// Offset of the first record; 0 towards a broker.
    pub base_offset: Offset,
    /// Epoch of the leader; -1 towards a broker.
    pub leader_epoch: Epoch,
    /// The codec.
    pub codec: Codec,
    /// True for a part of a transaction.
    pub transactional: bool,
    /// True for markers.
    pub control: bool,
    /// The time of append, where that counts.
    pub log_append_time: Option<TimestampMs>,
    /// The producer's id, or none.
    pub producer_id: ProducerId,
    /// The producer's epoch, or none.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, or none.
    pub base_sequence: Sequence,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            base_offset: Offset(0),
            leader_epoch: Epoch::UNKNOWN,
            codec: Codec::None,
            transactional: false,
            control: false,
            log_append_time: None,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence::NONE,
        }
    }
}

/// A record to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// Its time.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Gathers records into one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    spec: BatchSpec,
    payload: Vec<u8>,
    body: Vec<u8>,
    count: i32,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub const fn new(spec: BatchSpec) -> Self {
        Self {
            spec,
            payload: Vec::new(),
            body: Vec::new(),
            count: 0,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        if self.count == 0 {
            self.base_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let body = &mut self.body;
        body.clear();
        body.push(0);
        varint::write(record.timestamp.0.wrapping_sub(self.base_timestamp.0), body);
        varint::write(i64::from(self.count), body);
        write_field(record.key, body);
        write_field(record.value, body);
        varint::write(record.headers.len() as i64, body);
        for (key, value) in record.headers {
            write_field(Some(key.as_bytes()), body);
            write_field(*value, body);
        }
        varint::write(body.len() as i64, &mut self.payload);
        self.payload.extend_from_slice(body);
        self.count += 1;
    }

    /// Number of records so far.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch so far, before compression.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.payload.len()
    }

    /// The batch, compressed by the codec asked for.
    pub fn finish(self) -> Result<Vec<u8>, InflateError> {
        let payload = compress(self.spec.codec, &self.payload)?;
        Ok(self.seal(&payload))
    }

    /// The batch, uncompressed whatever codec was asked for.
    #[must_use]
    pub fn finish_plain(mut self) -> Vec<u8> {
        self.spec.codec = Codec::None;
        let payload = std::mem::take(&mut self.payload);
        self.seal(&payload)
    }

    fn seal(&self, payload: &[u8]) -> Vec<u8> {
        let spec = &self.spec;
        let mut attributes = Attributes::of_codec(spec.codec).0;
        for (is_set, bit) in [
            (spec.log_append_time.is_some(), Attributes::LOG_APPEND_TIME),
            (spec.transactional, Attributes::TRANSACTIONAL),
            (spec.control, Attributes::CONTROL),
        ] {
            attributes |= if is_set { bit } else { 0 };
        }
        let length = BATCH_HEADER_BYTES - LOG_OVERHEAD + payload.len();
        let mut header = BatchHeader {
            base_offset: I64::new(spec.base_offset.0),
            // A batch over 2 GiB cannot be said; a check refuses the negative length.
            length: I32::new(i32::try_from(length).unwrap_or(-1)),
            leader_epoch: I32::new(spec.leader_epoch.0),
            magic: MAGIC,
            crc: U32::new(0),
            attributes: I16::new(attributes),
            last_offset_delta: I32::new(self.count - 1),
            base_timestamp: I64::new(self.base_timestamp.0),
            max_timestamp: I64::new(spec.log_append_time.unwrap_or(self.max_timestamp).0),
            producer_id: I64::new(spec.producer_id.0),
            producer_epoch: I16::new(spec.producer_epoch.0),
            base_sequence: I32::new(spec.base_sequence.0),
            record_count: I32::new(self.count),
        };
        let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        batch.extend_from_slice(header.as_bytes());
        batch.extend_from_slice(payload);
        header.crc.set(crc_of(&batch));
        if let Some(head) = batch.get_mut(..BATCH_HEADER_BYTES) {
            head.copy_from_slice(header.as_bytes());
        }
        batch
    }
}

fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => varint::write(-1, out),
        Some(bytes) => {
            varint::write(bytes.len() as i64, out);
            out.extend_from_slice(bytes);
        }
    }
}

/// What a record of a control batch says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i16)]
pub enum ControlType {
    /// The producer's transaction is aborted.
    Abort = 0,
    /// The producer's transaction is committed.
    Commit = 1,
    /// Who leads the quorum since this offset.
    LeaderChange = 2,
    /// First record of a snapshot.
    SnapshotHeader = 3,
    /// Last record of a snapshot.
    SnapshotFooter = 4,
    /// The quorum's feature level.
    KRaftVersion = 5,
    /// The quorum's members.
    KRaftVoters = 6,
}

impl ControlType {
    /// The type that a control record's key names; none if a later Kafka made it.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let &[_, _, high, low, ..] = key else {
            return None;
        };
        Some(match i16::from_be_bytes([high, low]) {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            _ => return None,
        })
    }

    /// The key: its version, 0, and the type.
    #[must_use]
    pub const fn key(self) -> [u8; 4] {
        let [high, low] = (self as i16).to_be_bytes();
        [0, 0, high, low]
    }
}

/// A record of a control batch; the value comes encoded, with its version in front.
#[derive(Clone, Copy, Debug)]
pub struct ControlRecord<'a> {
    /// What it says.
    pub control_type: ControlType,
    /// Its encoded value.
    pub value: &'a [u8],
}

/// A control batch that holds these records, all of one time.
#[must_use]
pub fn control_batch(
    spec: BatchSpec,
    timestamp: TimestampMs,
    records: &[ControlRecord<'_>],
) -> Vec<u8> {
    let control = true;
    let mut builder = BatchBuilder::new(BatchSpec { control, ..spec });
    for record in records {
        builder.push(&Record {
            timestamp,
            key: Some(&record.control_type.key()),
            value: Some(record.value),
            headers: &[],
        });
    }
    builder.finish_plain()
}

/// The marker that ends a producer's transaction in one partition.
#[must_use]
pub fn marker_batch(
    producer: (ProducerId, ProducerEpoch),
    coordinator_epoch: Epoch,
    commit: bool,
    timestamp: TimestampMs,
) -> Vec<u8> {
    let spec = BatchSpec {
        transactional: true,
        producer_id: producer.0,
        producer_epoch: producer.1,
        ..BatchSpec::default()
    };
    let mut value = vec![0, 0];
    value.extend_from_slice(&coordinator_epoch.0.to_be_bytes());
    let control_type = match commit {
        true => ControlType::Commit,
        false => ControlType::Abort,
    };
    let value = &value;
    control_batch(
        spec,
        timestamp,
        &[ControlRecord {
            control_type,
            value,
        }],
    )
}

/// A batch of the metadata log: values without keys, all of one time.
#[must_use]
pub fn metadata_batch<'a>(
    base_offset: Offset,
    leader_epoch: Epoch,
    timestamp: TimestampMs,
    records: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        base_offset,
        leader_epoch,
        ..BatchSpec::default()
    });
    for record in records {
        builder.push(&Record {
            timestamp,
            value: Some(record),
            ..Record::default()
        });
    }
    builder.finish_plain()
}
