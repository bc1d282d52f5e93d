//! Values: the send time, the producer and its sequence, then filler that does not compress to
//! nothing. Made without a random source of the machine, so that two runs send the same bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use thalweg_wire::batch::build::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::batch::header::Codec;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::BenchError;

/// Above the bits of a sequence; a producer's number and its sequence share eight bytes.
const SEQUENCE_BITS: u32 = 40;

/// Builds batches of one producer.
#[derive(Debug)]
pub(super) struct Payload {
    value: Vec<u8>,
    codec: Codec,
    producer: u64,
    /// None for a producer that is not idempotent.
    identity: Option<(i64, i16)>,
}

/// What a value says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) intended_ns: u64,
    pub(super) producer: u64,
    pub(super) sequence: u64,
}

/// One record's stamp within a batch to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) intended_ns: u64,
    pub(super) sequence: u64,
}

impl Payload {
    pub(super) fn new(
        record_bytes: usize,
        codec: Codec,
        producer: usize,
        identity: Option<(i64, i16)>,
    ) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let value = (0..record_bytes)
            .map(|_| {
                // Half of the bits: text-like, so that codecs have something to do.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                b'a' + ((state >> 60) as u8)
            })
            .collect();
        Self {
            value,
            codec,
            producer: producer as u64,
            identity,
        }
    }

    pub(super) fn batch(
        &mut self,
        base_sequence: i32,
        dues: &[Due],
    ) -> Result<Vec<u8>, BenchError> {
        let mut spec = BatchSpec {
            codec: self.codec,
            ..BatchSpec::default()
        };
        if let Some((id, epoch)) = self.identity {
            spec.producer_id = ProducerId(id);
            spec.producer_epoch = ProducerEpoch(epoch);
            spec.base_sequence = Sequence(base_sequence);
        }
        let timestamp = TimestampMs(wall_clock_ms());
        let mut builder = BatchBuilder::new(spec);
        for due in dues {
            let tag = self.producer << SEQUENCE_BITS | due.sequence;
            if let Some((head, _)) = self.value.split_first_chunk_mut::<16>() {
                head[..8].copy_from_slice(&due.intended_ns.to_be_bytes());
                head[8..].copy_from_slice(&tag.to_be_bytes());
            }
            builder.push(&Record {
                timestamp,
                value: Some(&self.value),
                ..Record::default()
            });
        }
        if self.codec == Codec::None {
            return Ok(builder.finish_plain());
        }
        builder
            .finish()
            .map_err(|error| BenchError::Wrong(format!("compressing: {error:?}")))
    }
}

pub(super) fn stamp(value: &[u8]) -> Option<Stamp> {
    let (time, rest) = value.split_first_chunk::<8>()?;
    let (tag, _) = rest.split_first_chunk::<8>()?;
    let tag = u64::from_be_bytes(*tag);
    Some(Stamp {
        intended_ns: u64::from_be_bytes(*time),
        producer: tag >> SEQUENCE_BITS,
        sequence: tag & ((1 << SEQUENCE_BITS) - 1),
    })
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::batch::header::BatchRef;
    use thalweg_wire::batch::records::Records;

    #[test]
    fn a_batch_carries_its_stamps() {
        let mut payload = Payload::new(100, Codec::None, 3, Some((77, 1)));
        let dues = [
            Due {
                intended_ns: 5,
                sequence: 8,
            },
            Due {
                intended_ns: 6,
                sequence: 9,
            },
        ];
        let bytes = payload.batch(8, &dues).unwrap();
        let batch = BatchRef::first(&bytes).unwrap();
        assert!(batch.crc_matches());
        assert_eq!(batch.header().producer_id(), ProducerId(77));
        let stamps: Vec<_> = Records::new(batch.payload(), 2)
            .map(|record| stamp(record.unwrap().value.unwrap()).unwrap())
            .collect();
        assert_eq!(
            stamps[1],
            Stamp {
                intended_ns: 6,
                producer: 3,
                sequence: 9
            }
        );
    }
}
