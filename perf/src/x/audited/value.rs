//! Values that prove themselves: whose they are, which one, and every byte of them.

use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes of a value before its filling.
const HEAD_BYTES: usize = 12;
/// One value in this many is large.
const LARGE_EVERY: u64 = 97;
const LARGE_BYTES: usize = 40_000;
const SMALL_BYTES_MAX: u64 = 1_600;
/// Keys of a compacted topic.
pub const KEYS: u64 = 40;

/// Which value: a stream is one writer in one partition, for one life of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub stream: u32,
    pub sequence: u64,
}

impl Mark {
    /// The value, whole.
    #[must_use]
    pub fn value(self) -> Vec<u8> {
        let mut state = (u64::from(self.stream) << 40) ^ self.sequence ^ 0x9e37_79b9_7f4a_7c15;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let filling = match next() % LARGE_EVERY {
            0 => LARGE_BYTES,
            _ => usize::try_from(next() % SMALL_BYTES_MAX).unwrap_or(0),
        };
        let mut value = Vec::with_capacity(HEAD_BYTES + filling);
        value.extend(self.stream.to_be_bytes());
        value.extend(self.sequence.to_be_bytes());
        while value.len() < HEAD_BYTES + filling {
            value.extend(next().to_be_bytes());
        }
        value.truncate(HEAD_BYTES + filling);
        value
    }

    /// The mark of a value, if each of its bytes is what it should be.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Self> {
        let mark = Self {
            stream: u32::from_be_bytes(value.get(..4)?.try_into().ok()?),
            sequence: u64::from_be_bytes(value.get(4..HEAD_BYTES)?.try_into().ok()?),
        };
        (mark.value() == value).then_some(mark)
    }

    /// Its key in a compacted topic.
    #[must_use]
    pub fn key(self) -> [u8; 2] {
        u16::try_from(self.sequence % KEYS)
            .unwrap_or(0)
            .to_be_bytes()
    }
}

/// Who writes a batch.
#[derive(Debug, Clone, Copy)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    pub transactional: bool,
    pub keyed: bool,
}

/// A batch of `count` values of a stream, from `sequence` on.
#[must_use]
pub fn batch(producer: Producer, first: Mark, count: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        transactional: producer.transactional,
        producer_id: ProducerId(producer.id),
        producer_epoch: ProducerEpoch(producer.epoch),
        base_sequence: Sequence(i32::try_from(first.sequence).unwrap_or(i32::MAX)),
        ..BatchSpec::default()
    });
    for number in 0..count {
        let mark = Mark {
            sequence: first.sequence + number,
            ..first
        };
        let key = mark.key();
        builder.push(&Record {
            timestamp: TimestampMs(now_ms()),
            key: producer.keyed.then_some(&key[..]),
            value: Some(&mark.value()),
            headers: &[],
        });
    }
    builder.finish_plain()
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_seen() {
        for sequence in 0..300 {
            let mark = Mark {
                stream: 7,
                sequence,
            };
            let mut value = mark.value();
            assert_eq!(Mark::of(&value), Some(mark));
            let at = value.len() / 2;
            value[at] ^= 1;
            assert_eq!(Mark::of(&value), None);
        }
    }
}
