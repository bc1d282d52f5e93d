//! Which partition of `__consumer_offsets` a group belongs to.
//!
//! Kafka takes the hash of the id as a Java string, so every client and tool finds the same partition.

use thalweg_wire::ids::PartitionIndex;

/// The partition that holds the group's records, of `partitions` (which is not 0).
#[must_use]
pub fn partition_of(group: &str, partitions: u32) -> PartitionIndex {
    // The absolute value of the least integer does not exist: Kafka takes 0.
    let hash = java_hash(group).checked_abs().unwrap_or(0);
    let index = hash.unsigned_abs() % partitions.max(1);
    PartitionIndex(index.cast_signed())
}

/// `String.hashCode` of Java, which counts UTF-16 units.
pub(super) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        // "polygenelubricants" hashes to the least integer, whose absolute value does not exist.
        let cases = [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("console-consumer-12345", 158_455_506),
            ("polygenelubricants", i32::MIN),
            ("\u{1F600}", 1_772_899),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        assert_eq!(partition_of("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_of("hello", 50), PartitionIndex(22));
    }
}
