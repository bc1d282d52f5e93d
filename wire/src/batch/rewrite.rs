//! A batch with fewer records: what the log cleaner makes of one that is in the log already.
//!
//! Everything that says where a batch belongs stays: base and last offset, leader epoch, producer, epoch,
//! sequence. The records keep their frames, byte for byte, unless the batch is given a delete horizon:
//! the time from which its tombstones may go. Kafka keeps that in the place of the base timestamp and
//! says so by a bit of the attributes (KIP-534), so the records' times are then told from there.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};

use super::header::{BATCH_HEADER_BYTES, BatchHeader, BatchRef, Codec, LOG_OVERHEAD, crc_of};
use super::inflate::{InflateError, compress};
use super::records::{RecordRef, Records};
use super::varint;
use crate::ids::TimestampMs;

/// The batch to be; see the module's head.
#[derive(Debug)]
pub struct Rewrite<'a> {
    batch: BatchRef<'a>,
    /// A delete horizon that the batch did not have.
    horizon: Option<TimestampMs>,
    payload: Vec<u8>,
    body: Vec<u8>,
    count: i32,
    max_timestamp: TimestampMs,
}

impl<'a> Rewrite<'a> {
    /// The batch without any record yet. `horizon` is one that it is given now.
    #[must_use]
    pub const fn new(batch: BatchRef<'a>, horizon: Option<TimestampMs>) -> Self {
        Self {
            batch,
            horizon,
            payload: Vec::new(),
            body: Vec::new(),
            count: 0,
            max_timestamp: TimestampMs::NONE,
        }
    }

    /// Keeps a record of the batch, as [`frames`] gave it.
    pub fn push(&mut self, frame: &[u8], record: &RecordRef<'_>) {
        let base = self.batch.header().base_timestamp().0;
        let time = base.wrapping_add(record.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(TimestampMs(time));
        self.count += 1;
        let Some(horizon) = self.horizon else {
            self.payload.extend_from_slice(frame);
            return;
        };
        // Attributes, the time anew, and everything from the offset on as it was.
        let mut length = Vec::new();
        let body_bytes = varint_bytes(frame);
        let body = frame.get(body_bytes..).unwrap_or_default();
        let (attributes, rest) = body.split_at(1.min(body.len()));
        let rest = rest.get(varint_bytes(rest)..).unwrap_or_default();
        self.body.clear();
        self.body.extend_from_slice(attributes);
        varint::write(time.wrapping_sub(horizon.0), &mut self.body);
        self.body.extend_from_slice(rest);
        varint::write(self.body.len() as i64, &mut length);
        self.payload.extend_from_slice(&length);
        self.payload.extend_from_slice(&self.body);
    }

    /// Number of records kept so far.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.count
    }

    /// The batch, compressed as it was. Without records it is Kafka's empty batch: a header that keeps
    /// offsets and the producer's sequence.
    pub fn finish(self) -> Result<Vec<u8>, InflateError> {
        let old = self.batch.header();
        let mut attributes = old.attributes();
        let codec = attributes.codec().unwrap_or(Codec::None);
        let is_empty = self.count == 0;
        let payload = match is_empty {
            true => Vec::new(),
            false => compress(codec, &self.payload)?,
        };
        if is_empty {
            attributes = attributes.without_records();
        } else if self.horizon.is_some() {
            attributes = attributes.with_horizon();
        }
        let max_timestamp = match is_empty || attributes.is_log_append_time() {
            true => old.max_timestamp(),
            false => self.max_timestamp,
        };
        let base_timestamp = match (is_empty, self.horizon) {
            (true, _) => TimestampMs::NONE,
            (false, Some(horizon)) => horizon,
            (false, None) => old.base_timestamp(),
        };
        let length = BATCH_HEADER_BYTES - LOG_OVERHEAD + payload.len();
        let mut header = BatchHeader {
            base_offset: I64::new(old.base_offset().0),
            length: I32::new(i32::try_from(length).unwrap_or(-1)),
            leader_epoch: I32::new(old.leader_epoch().0),
            magic: old.magic,
            crc: U32::new(0),
            attributes: I16::new(attributes.0),
            last_offset_delta: I32::new(old.last_offset_delta()),
            base_timestamp: I64::new(base_timestamp.0),
            max_timestamp: I64::new(max_timestamp.0),
            producer_id: I64::new(old.producer_id().0),
            producer_epoch: I16::new(old.producer_epoch().0),
            base_sequence: I32::new(old.base_sequence().0),
            record_count: I32::new(self.count),
        };
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&payload);
        header.crc.set(crc_of(&bytes));
        if let Some(head) = bytes.get_mut(..BATCH_HEADER_BYTES) {
            head.copy_from_slice(header.as_bytes());
        }
        Ok(bytes)
    }
}

/// Bytes of the variable-length number that `bytes` begin with.
fn varint_bytes(bytes: &[u8]) -> usize {
    let more = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    (more + 1).min(bytes.len())
}

/// The records of an uncompressed payload, each with the bytes of its frame. Ends at the first that is
/// malformed: compare their number with what the header says.
pub fn frames(payload: &[u8], count: i32) -> impl Iterator<Item = (&[u8], RecordRef<'_>)> {
    let mut records = Records::new(payload, count);
    std::iter::from_fn(move || {
        let before = records.rest();
        let record = records.next()?.ok()?;
        let frame = before.get(..before.len() - records.rest().len())?;
        Some((frame, record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::build::{BatchBuilder, BatchSpec, Record};
    use crate::batch::inflate::{Scratch, inflate};
    use crate::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence};

    fn batch(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchSpec {
            base_offset: Offset(100),
            leader_epoch: Epoch(3),
            codec,
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(2),
            base_sequence: Sequence(40),
            ..BatchSpec::default()
        });
        for (key, value, time) in [
            ("a", Some("1"), 500),
            ("b", None, 900),
            ("c", Some("3"), 700),
        ] {
            builder.push(&Record {
                timestamp: TimestampMs(time),
                key: Some(key.as_bytes()),
                value: value.map(str::as_bytes),
                headers: &[("h", Some(b"v"))],
            });
        }
        builder.finish().unwrap()
    }

    fn rewritten(codec: Codec, keep: &str, horizon: Option<i64>) -> Vec<u8> {
        let bytes = batch(codec);
        let old = BatchRef::first(&bytes).unwrap();
        let payload = inflate(codec, old.payload(), 1 << 20, &mut Scratch::default()).unwrap();
        let mut new = Rewrite::new(old, horizon.map(TimestampMs));
        for (frame, record) in frames(&payload, old.header().record_count()) {
            if keep.as_bytes().contains(&record.key.unwrap()[0]) {
                new.push(frame, &record);
            }
        }
        new.finish().unwrap()
    }

    #[test]
    fn kept_records_keep_offset_and_time_whatever_the_codec_and_horizon() {
        for codec in [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ] {
            for horizon in [None, Some(1_000_000)] {
                let bytes = rewritten(codec, "bc", horizon);
                let new = BatchRef::first(&bytes).unwrap();
                let header = new.header();
                assert!(new.crc_matches() && new.bytes().len() == bytes.len());
                assert_eq!(
                    (header.base_offset(), header.last_offset()),
                    (Offset(100), Offset(102))
                );
                assert_eq!(
                    (header.base_sequence(), header.record_count()),
                    (Sequence(40), 2)
                );
                assert_eq!(
                    (header.max_timestamp(), header.leader_epoch()),
                    (TimestampMs(900), Epoch(3))
                );
                assert_eq!(header.delete_horizon(), horizon.map(TimestampMs));
                let payload =
                    inflate(codec, new.payload(), 1 << 20, &mut Scratch::default()).unwrap();
                let base = header.base_timestamp().0;
                let told: Vec<_> = frames(&payload, 2)
                    .map(|(_, r)| {
                        (
                            r.key,
                            r.offset_delta,
                            base + r.timestamp_delta,
                            r.header_count(),
                        )
                    })
                    .collect();
                assert_eq!(
                    told,
                    [(Some(&b"b"[..]), 1, 900, 1), (Some(&b"c"[..]), 2, 700, 1)]
                );
            }
        }
    }

    #[test]
    fn an_empty_batch_keeps_its_offsets_and_its_producer() {
        let bytes = rewritten(Codec::Zstd, "", Some(77));
        let new = BatchRef::first(&bytes).unwrap();
        let header = new.header();
        assert!(new.crc_matches() && new.payload().is_empty());
        assert_eq!(
            (header.base_offset(), header.last_offset()),
            (Offset(100), Offset(102))
        );
        assert_eq!(
            (header.producer_id(), header.record_count()),
            (ProducerId(9), 0)
        );
        assert_eq!(header.attributes().codec(), Ok(Codec::None));
        assert_eq!(header.delete_horizon(), None);
        assert_eq!(header.max_timestamp(), TimestampMs(900));
    }
}
