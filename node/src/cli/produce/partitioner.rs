//! Which partition a record goes to. Pure.
//!
//! Keyed records go where Java's default partitioner puts them, so that all producers of a topic
//! agree. Records without a key stay with one partition for a batch and then go on to the next.

/// How partitions are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Partitioner {
    /// By the key's murmur2 hash, as Java's default; without a key, a partition a batch
    #[default]
    Murmur2,
    /// By the key's CRC-32, as librdkafka's default; without a key, a partition a batch
    Crc32,
    /// One after the other, whatever the key
    RoundRobin,
}

/// The chooser's state.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    partitioner: Partitioner,
    partitions: u32,
    next: u32,
}

impl Choice {
    /// For a topic with so many partitions, at least 1. `start` is where keyless records begin.
    pub(crate) fn new(partitioner: Partitioner, partitions: u32, start: u32) -> Self {
        let partitions = partitions.max(1);
        Self {
            partitioner,
            partitions,
            next: start % partitions,
        }
    }

    /// Whether the topic has this partition.
    pub(crate) fn has(&self, partition: i32) -> bool {
        u32::try_from(partition).is_ok_and(|partition| partition < self.partitions)
    }

    /// The partition of a record.
    pub(crate) fn of(&mut self, key: Option<&[u8]>) -> i32 {
        let index = match (self.partitioner, key) {
            (Partitioner::Murmur2, Some(key)) => (murmur2(key) & 0x7fff_ffff) % self.partitions,
            (Partitioner::Crc32, Some(key)) => crc32(key) % self.partitions,
            (Partitioner::RoundRobin, _) => {
                let next = self.next;
                self.batch_sent();
                next
            }
            (_, None) => self.next,
        };
        i32::try_from(index).unwrap_or(0)
    }

    /// A batch went out: records without a key go on to the next partition.
    pub(crate) fn batch_sent(&mut self) {
        self.next = (self.next + 1) % self.partitions;
    }
}

/// Murmur2 with 32 bits and the seed of Kafka's Java client.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// CRC-32 of IEEE 802.3, bit by bit: keys are short.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = crc >> 1 ^ (low * 0xedb8_8320);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_that_of_kafkas_java_client() {
        // The values of Kafka's own test of Utils.murmur2.
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn keyless_records_stay_for_a_batch() {
        let mut choice = Choice::new(Partitioner::Murmur2, 3, 5);
        assert_eq!((choice.of(None), choice.of(None)), (2, 2));
        choice.batch_sent();
        assert_eq!(choice.of(None), 0);
        assert_eq!(choice.of(Some(b"abc")), 479_470_107 % 3);
        let mut choice = Choice::new(Partitioner::RoundRobin, 2, 0);
        let chosen: Vec<i32> = (0..4).map(|_| choice.of(Some(b"k"))).collect();
        assert_eq!(chosen, [0, 1, 0, 1]);
        assert!(choice.has(1) && !choice.has(2) && !choice.has(-1));
        assert_eq!(Choice::new(Partitioner::Crc32, 0, 9).of(Some(b"k")), 0);
    }
}
