//! Records that a handler proposes, and the batches they become.
//!
//! A record carries the version it is written in: the lowest that holds what is set, as Kafka chooses it at
//! metadata.version 30. Deliberately absent: applying a record; that is `replay.rs`.

use thalweg_wire::batch::metadata_batch;
use thalweg_wire::bytes::EncodeError;
use thalweg_wire::ids::{Epoch, Offset, TimestampMs};
use thalweg_wire::messages::metadata::{MetadataRecord, encode_record};

/// Records of one proposal, and so of one batch: Kafka's own bound on one user operation.
pub const PROPOSAL_RECORDS_MAX: usize = 10_000;

/// A record to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// What it says.
    pub record: MetadataRecord<'static>,
    /// The version it is written in.
    pub version: i16,
}

impl Proposed {
    /// A record in that version.
    #[must_use]
    pub fn new(record: impl Into<MetadataRecord<'static>>, version: i16) -> Self {
        Self {
            record: record.into(),
            version,
        }
    }
}

/// Where a batch of the metadata log will lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The quorum's epoch.
    pub epoch: Epoch,
    /// The time of writing.
    pub timestamp: TimestampMs,
}

impl Place {
    /// The place after `records` more records.
    #[must_use]
    pub fn after(self, records: usize) -> Self {
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        Self {
            base_offset: self.base_offset.plus(records),
            ..self
        }
    }
}

/// The batch that holds the records, in order.
///
/// # Errors
/// A record that its version cannot hold.
pub fn encode_batch(records: &[Proposed], place: Place) -> Result<Vec<u8>, EncodeError> {
    let values: Result<Vec<Vec<u8>>, EncodeError> = records
        .iter()
        .map(|proposed| encode_record(&proposed.record, proposed.version))
        .collect();
    let values = values?;
    let values = values.iter().map(Vec::as_slice);
    Ok(metadata_batch(
        place.base_offset,
        place.epoch,
        place.timestamp,
        values,
    ))
}
