//! Batches, built once and patched in place.
//!
//! All records of a run have the same size, so a batch of n records is a header and the first n
//! records of one template. What differs from batch to batch has a fixed width and a known place:
//! sequence, time, keys, stamps; and the checksum over all of it.
//!
//! A value is a stamp and then filler that does not compress to nothing. Made without a random
//! source of the machine, so that two runs send the same bytes.

use thalweg_wire::batch::build::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::batch::header::{BATCH_HEADER_BYTES, Codec, LOG_OVERHEAD};
use thalweg_wire::batch::inflate::compress;
use thalweg_wire::batch::records::Records;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::keys::{KEY_BYTES, key_bytes};
use super::stamp::{STAMP_BYTES, Stamp};
use crate::BenchError;

/// Where a batch's fields lie, from its start.
mod field {
    pub(super) const LENGTH: usize = 8;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const RECORD_COUNT: usize = 57;
}

/// What a template is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) record_bytes: usize,
    pub(super) records_max: usize,
    pub(super) keyed: bool,
    pub(super) codec: Codec,
    /// None for a producer that is not idempotent.
    pub(super) identity: Option<(i64, i16)>,
}

/// A batch's own values: its first record's stamp, and what each record adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill<'a> {
    pub(super) base_sequence: Option<i32>,
    pub(super) timestamp_ms: i64,
    /// Of the first record; the sequence counts on, the time is each record's own.
    pub(super) first: Stamp,
    pub(super) dues: &'a [Due],
}

/// A record to be sent: when it was meant to be, and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) intended_ns: u64,
    pub(super) key: u32,
}

/// Where a record lies in the template's payload.
#[derive(Clone, Copy, Debug)]
struct RecordPlace {
    key: usize,
    value: usize,
    end: usize,
}

/// The largest batch of a producer; smaller ones are its beginnings.
#[derive(Debug)]
pub(super) struct Template {
    shape: Shape,
    batch: Vec<u8>,
    places: Vec<RecordPlace>,
    /// Uncompressed, for the codecs.
    scratch: Vec<u8>,
}

impl Template {
    pub(super) fn new(shape: Shape) -> Self {
        let mut spec = BatchSpec::default();
        if let Some((id, epoch)) = shape.identity {
            spec.producer_id = ProducerId(id);
            spec.producer_epoch = ProducerEpoch(epoch);
            spec.base_sequence = Sequence(0);
        }
        let value = filler(shape.record_bytes);
        let key = key_bytes(0);
        let mut builder = BatchBuilder::new(spec);
        for _ in 0..shape.records_max {
            builder.push(&Record {
                timestamp: TimestampMs(0),
                key: shape.keyed.then_some(key.as_slice()),
                value: Some(&value),
                ..Record::default()
            });
        }
        let batch = builder.finish_plain();
        let payload = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
        let at =
            |part: &[u8]| BATCH_HEADER_BYTES + (part.as_ptr().addr() - payload.as_ptr().addr());
        let mut records = Records::new(payload, shape.records_max as i32);
        let mut places = Vec::with_capacity(shape.records_max);
        while let Some(Ok(record)) = records.next() {
            places.push(RecordPlace {
                key: record.key.map_or(0, at),
                value: record.value.map_or(0, at),
                end: at(records.rest()),
            });
        }
        Self {
            shape,
            batch,
            places,
            scratch: Vec::new(),
        }
    }

    /// Bytes of a plain batch of so many records.
    pub(super) fn bytes(&self, records: usize) -> usize {
        let last = records
            .checked_sub(1)
            .and_then(|last| self.places.get(last));
        last.map_or(BATCH_HEADER_BYTES, |place| place.end)
    }

    /// True if a batch keeps its bytes' places, so that it can be patched when it is used again.
    pub(super) fn is_patched(&self) -> bool {
        self.shape.codec == Codec::None
    }

    /// Appends a batch of as many records as there are dues; it still has to be patched.
    pub(super) fn append(&self, records: usize, out: &mut Vec<u8>) {
        let at = out.len();
        let bytes = self.bytes(records);
        out.extend_from_slice(self.batch.get(..bytes).unwrap_or_default());
        let Some(batch) = out.get_mut(at..) else {
            return;
        };
        put(
            batch,
            field::LENGTH,
            ((bytes - LOG_OVERHEAD) as i32).to_be_bytes(),
        );
        let count = records as i32;
        put(batch, field::LAST_OFFSET_DELTA, (count - 1).to_be_bytes());
        put(batch, field::RECORD_COUNT, count.to_be_bytes());
    }

    /// Writes what is a batch's own into its place, and the checksum.
    pub(super) fn patch(&self, batch: &mut [u8], fill: &Fill<'_>) {
        if let Some(sequence) = fill.base_sequence {
            put(batch, field::BASE_SEQUENCE, sequence.to_be_bytes());
        }
        put(
            batch,
            field::BASE_TIMESTAMP,
            fill.timestamp_ms.to_be_bytes(),
        );
        put(batch, field::MAX_TIMESTAMP, fill.timestamp_ms.to_be_bytes());
        let mut stamp = fill.first;
        for (due, place) in fill.dues.iter().zip(&self.places) {
            stamp.intended_ns = due.intended_ns;
            put::<STAMP_BYTES>(batch, place.value, stamp.to_bytes());
            stamp.sequence = stamp.sequence.wrapping_add(1);
            if self.shape.keyed {
                put::<KEY_BYTES>(batch, place.key, key_bytes(due.key));
            }
        }
        let crc = crc32c::crc32c(batch.get(field::ATTRIBUTES..).unwrap_or_default());
        put(batch, field::CRC, crc.to_be_bytes());
    }

    /// Appends a compressed batch, which is built anew each time.
    pub(super) fn append_compressed(
        &mut self,
        fill: &Fill<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), BenchError> {
        let mut plain = std::mem::take(&mut self.scratch);
        plain.clear();
        self.append(fill.dues.len(), &mut plain);
        self.patch(&mut plain, fill);
        let payload = plain.get(BATCH_HEADER_BYTES..).unwrap_or_default();
        let packed = compress(self.shape.codec, payload)
            .map_err(|error| BenchError::Protocol(format!("compressing: {error:?}")))?;
        let at = out.len();
        out.extend_from_slice(plain.get(..BATCH_HEADER_BYTES).unwrap_or_default());
        out.extend_from_slice(&packed);
        self.scratch = plain;
        if let Some(batch) = out.get_mut(at..) {
            let length = (batch.len() - LOG_OVERHEAD) as i32;
            put(batch, field::LENGTH, length.to_be_bytes());
            put(
                batch,
                field::ATTRIBUTES,
                codec_bits(self.shape.codec).to_be_bytes(),
            );
            let crc = crc32c::crc32c(batch.get(field::ATTRIBUTES..).unwrap_or_default());
            put(batch, field::CRC, crc.to_be_bytes());
        }
        Ok(())
    }
}

fn put<const N: usize>(batch: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = batch.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

const fn codec_bits(codec: Codec) -> i16 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

/// Half of the bits are chance: text-like, so that codecs have something to do.
fn filler(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        b'a' + ((state >> 60) as u8)
    };
    (0..bytes).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::batch::header::BatchRef;
    use thalweg_wire::batch::inflate::{Scratch, inflate};

    const FIRST: Stamp = Stamp {
        intended_ns: 0,
        run: 9,
        producer: 3,
        sequence: 8,
    };

    fn dues(count: u32) -> Vec<Due> {
        (0..count)
            .map(|index| Due {
                intended_ns: 1_000 + u64::from(index),
                key: index,
            })
            .collect()
    }

    fn template(codec: Codec, keyed: bool) -> Template {
        Template::new(Shape {
            record_bytes: 100,
            records_max: 200,
            keyed,
            codec,
            identity: Some((77, 1)),
        })
    }

    fn fill(dues: &[Due]) -> Fill<'_> {
        Fill {
            base_sequence: Some(8),
            timestamp_ms: 1_700_000_000_000,
            first: FIRST,
            dues,
        }
    }

    fn check(batch: &[u8], payload: &[u8], count: i32, keyed: bool) {
        let batch = BatchRef::first(batch).unwrap();
        assert!(batch.crc_matches());
        let header = batch.header();
        assert_eq!(header.record_count(), count);
        assert_eq!(header.last_offset_delta(), count - 1);
        assert_eq!(header.producer_id(), ProducerId(77));
        assert_eq!(header.base_sequence(), Sequence(8));
        assert_eq!(header.max_timestamp(), TimestampMs(1_700_000_000_000));
        let mut records = Records::new(payload, count);
        for index in 0..count as u32 {
            let record = records.next().unwrap().unwrap();
            assert_eq!(record.offset_delta, index as i32);
            let value = record.value.unwrap();
            assert_eq!(value.len(), 100);
            let expected = Stamp {
                intended_ns: 1_000 + u64::from(index),
                sequence: 8 + index,
                ..FIRST
            };
            assert_eq!(Stamp::of(value), Some(expected));
            let key = key_bytes(index);
            assert_eq!(record.key, keyed.then_some(key.as_slice()));
        }
        assert!(records.rest().is_empty());
    }

    #[test]
    fn a_beginning_of_the_template_is_a_batch() {
        // Record 64 is the first whose offset takes two bytes.
        for (count, keyed) in [(1, false), (64, true), (65, false), (200, true)] {
            let template = template(Codec::None, keyed);
            let mut batch = b"head".to_vec();
            template.append(count, &mut batch);
            let dues = dues(count as u32);
            template.patch(&mut batch[4..], &fill(&dues));
            let payload = &batch[4 + BATCH_HEADER_BYTES..];
            check(&batch[4..], payload, count as i32, keyed);
            // Used again, only the values change.
            template.patch(&mut batch[4..], &fill(&dues));
            check(
                &batch[4..],
                &batch[4 + BATCH_HEADER_BYTES..],
                count as i32,
                keyed,
            );
        }
    }

    #[test]
    fn every_codec_carries_the_same() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut template = template(codec, true);
            let dues = dues(65);
            let mut batch = Vec::new();
            template
                .append_compressed(&fill(&dues), &mut batch)
                .unwrap();
            assert_eq!(
                BatchRef::first(&batch)
                    .unwrap()
                    .header()
                    .attributes()
                    .codec(),
                Ok(codec)
            );
            let packed = &batch[BATCH_HEADER_BYTES..];
            let payload = inflate(codec, packed, 1 << 20, &mut Scratch::default()).unwrap();
            check(&batch, &payload, 65, true);
        }
    }
}
