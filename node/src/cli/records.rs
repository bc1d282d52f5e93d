//! Fetched or stored bytes to records. Pure.
//!
//! A batch at the end that is cut off is left for the next fetch; anything else that is no batch,
//! or whose checksum differs, is told.

use std::collections::BTreeSet;
use std::fmt;

use thalweg_wire::batch::{
    BatchHeader, BatchRef, ControlType, InflateError, Malformed, Records, Scratch, SplitError,
    inflate, split,
};

/// A batch may inflate to this; larger ones come from no producer.
pub(crate) const INFLATED_BYTES_MAX: usize = 1 << 30;

/// One record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    /// The time is that of the append, not the producer's.
    pub(crate) append_time: bool,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Why bytes are not records.
#[derive(Debug)]
pub(crate) enum BadBatch {
    Split(SplitError),
    /// The checksum differs.
    Crc(i64),
    /// A codec that Kafka does not have.
    Codec(i64, u8),
    Inflate(i64, InflateError),
    Record(i64, Malformed),
}

impl fmt::Display for BadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split(error) => write!(f, "no batch: {error}"),
            Self::Crc(base) => write!(f, "the checksum of the batch at offset {base} differs"),
            Self::Codec(base, codec) => {
                write!(
                    f,
                    "the batch at offset {base} has the unknown codec {codec}"
                )
            }
            Self::Inflate(base, error) => {
                write!(f, "the batch at offset {base} cannot be inflated: {error}")
            }
            Self::Record(base, error) => {
                write!(f, "the batch at offset {base} has a bad record: {error}")
            }
        }
    }
}

/// One batch's records, all of them.
pub(crate) fn records_of(
    batch: &BatchRef<'_>,
    (topic, partition): (&str, i32),
    scratch: &mut Scratch,
) -> Result<Vec<Record>, BadBatch> {
    let header = batch.header();
    let base = header.base_offset().0;
    let codec = header.attributes().codec();
    let codec = codec.map_err(|codec| BadBatch::Codec(base, codec))?;
    let payload = inflate(codec, batch.payload(), INFLATED_BYTES_MAX, scratch)
        .map_err(|error| BadBatch::Inflate(base, error))?;
    let append_time = header.attributes().is_log_append_time();
    let mut records = Vec::new();
    for record in Records::new(&payload, header.record_count()) {
        let record = record.map_err(|error| BadBatch::Record(base, error))?;
        records.push(Record {
            topic: topic.to_owned(),
            partition,
            offset: base + i64::from(record.offset_delta),
            timestamp: match append_time {
                true => header.max_timestamp().0,
                false => header
                    .base_timestamp()
                    .0
                    .saturating_add(record.timestamp_delta),
            },
            append_time,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers()
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        });
    }
    Ok(records)
}

/// Transactions whose records a reader of committed ones does not see, in the order of their first
/// offsets, as an answer to Fetch lists them.
#[derive(Debug, Default)]
pub(crate) struct Aborted {
    /// Producer and first offset, the next one last.
    ahead: Vec<(i64, i64)>,
    open: BTreeSet<i64>,
}

impl Aborted {
    pub(crate) fn new(mut listed: Vec<(i64, i64)>) -> Self {
        listed.sort_by_key(|(_, first)| std::cmp::Reverse(*first));
        Self {
            ahead: listed,
            open: BTreeSet::new(),
        }
    }

    /// Whether the batch is part of an aborted transaction. Batches come in their order.
    fn hides(&mut self, batch: &BatchRef<'_>) -> bool {
        let header = batch.header();
        while let Some((producer, _)) = self
            .ahead
            .pop_if(|(_, first)| *first <= header.last_offset().0)
        {
            self.open.insert(producer);
        }
        let producer = header.producer_id().0;
        if header.attributes().is_control() {
            if marker_of(batch) == Some(ControlType::Abort) {
                self.open.remove(&producer);
            }
            return true;
        }
        header.attributes().is_transactional() && self.open.contains(&producer)
    }
}

fn marker_of(batch: &BatchRef<'_>) -> Option<ControlType> {
    let mut records = Records::new(batch.payload(), batch.header().record_count());
    ControlType::of_key(records.next()?.ok()?.key?)
}

/// What fetched bytes come to.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) records: Vec<Record>,
    /// Where the next fetch goes on, if there was any whole batch.
    pub(crate) next: Option<i64>,
}

/// The records at and after `from` in fetched bytes, without markers and what `aborted` hides.
pub(crate) fn fetched(
    bytes: &[u8],
    place: (&str, i32),
    from: i64,
    mut aborted: Aborted,
) -> Result<Fetched, BadBatch> {
    let mut all = Fetched::default();
    let mut scratch = Scratch::default();
    for batch in split(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(SplitError::Truncated) => break,
            Err(error) => return Err(BadBatch::Split(error)),
        };
        if !batch.crc_matches() {
            return Err(BadBatch::Crc(batch.header().base_offset().0));
        }
        all.next = Some(next_of(batch.header()));
        if aborted.hides(&batch) {
            continue;
        }
        let records = records_of(&batch, place, &mut scratch)?;
        all.records
            .extend(records.into_iter().filter(|record| record.offset >= from));
    }
    Ok(all)
}

fn next_of(header: &BatchHeader) -> i64 {
    header.next_offset().0
}

#[cfg(test)]
mod tests {
    use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, marker_batch};
    use thalweg_wire::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

    use super::*;

    fn batch(base: i64, producer: Option<i64>, values: &[&str]) -> Vec<u8> {
        let mut spec = BatchSpec {
            base_offset: Offset(base),
            codec: Codec::Lz4,
            ..BatchSpec::default()
        };
        if let Some(id) = producer {
            spec.producer_id = ProducerId(id);
            spec.producer_epoch = ProducerEpoch(0);
            spec.base_sequence = Sequence(0);
            spec.transactional = true;
        }
        let mut builder = BatchBuilder::new(spec);
        for value in values {
            builder.push(&thalweg_wire::batch::Record {
                timestamp: TimestampMs(5),
                value: Some(value.as_bytes()),
                ..Default::default()
            });
        }
        builder.finish().unwrap()
    }

    fn marker(base: i64, producer: i64, commit: bool) -> Vec<u8> {
        let by = (ProducerId(producer), ProducerEpoch(0));
        let mut bytes = marker_batch(by, Epoch(0), commit, TimestampMs(5));
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes
    }

    fn values(fetched: &Fetched) -> Vec<String> {
        let records = fetched.records.iter();
        records
            .map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn records_begin_where_asked_and_a_cut_batch_waits() {
        let mut bytes = batch(10, None, &["a", "b", "c"]);
        let second = batch(13, None, &["d"]);
        bytes.extend_from_slice(&second[..second.len() - 1]);
        let all = fetched(&bytes, ("t", 0), 11, Aborted::default()).unwrap();
        assert_eq!(values(&all), ["b", "c"]);
        assert_eq!((all.next, all.records[0].offset), (Some(13), 11));
        bytes[70] ^= 1;
        let error = fetched(&bytes, ("t", 0), 0, Aborted::default()).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }

    #[test]
    fn aborted_transactions_and_markers_are_hidden() {
        let mut bytes = batch(0, Some(1), &["gone"]);
        bytes.extend(batch(1, Some(2), &["kept"]));
        bytes.extend(marker(2, 1, false));
        bytes.extend(batch(3, Some(1), &["later"]));
        bytes.extend(marker(4, 2, true));
        let aborted = || Aborted::new(vec![(1, 0)]);
        let all = fetched(&bytes, ("t", 0), 0, aborted()).unwrap();
        assert_eq!(values(&all), ["kept", "later"]);
        assert_eq!(all.next, Some(5));
        let all = fetched(&bytes, ("t", 0), 0, Aborted::default()).unwrap();
        assert_eq!(values(&all), ["gone", "kept", "later"]);
    }
}
