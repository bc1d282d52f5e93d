//! The field's integers as types: an offset is not an epoch, a producer id is not a length.
//!
//! Every id of the protocol that crosses a function boundary in this project is one of these.
//! Surprising arithmetic is written once, here: wrapping sequences, the "none" values.
//! Deliberately absent: conversions between different ids.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Position of a record in a partition, counted in records from 0. `-1` is "none".
    Offset(i64)
);
id!(
    /// Leader epoch of a partition, or the quorum's epoch in the metadata log. `-1` is "unknown".
    Epoch(i32)
);
id!(
    /// A node (broker or controller). `-1` is "none".
    NodeId(i32)
);
id!(
    /// Index of a partition within its topic, from 0.
    PartitionIndex(i32)
);
id!(
    /// Identity of an idempotent or transactional producer. `-1` is "none".
    ProducerId(i64)
);
id!(
    /// Incarnation of a producer id. `-1` is "none".
    ProducerEpoch(i16)
);
id!(
    /// Sequence number of a record within a producer and partition, 0 to 2^31-1, then 0 again.
    Sequence(i32)
);
id!(
    /// Milliseconds since the Unix epoch. `-1` is "none".
    TimestampMs(i64)
);
id!(
    /// Index of a shard within the node, from 0.
    ShardId(u16)
);

impl Offset {
    /// No offset.
    pub const NONE: Self = Self(-1);

    /// The offset `records` further on.
    #[must_use]
    pub const fn plus(self, records: i64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

impl Epoch {
    /// The client does not know the epoch, or does not want it checked.
    pub const UNKNOWN: Self = Self(-1);
}

impl ProducerId {
    /// The batch is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// The batch is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl Sequence {
    /// The batch is not idempotent.
    pub const NONE: Self = Self(-1);

    /// The sequence `records` further on; after 2^31-1 comes 0, as Kafka counts.
    #[must_use]
    pub const fn plus(self, records: i32) -> Self {
        let sum = self.0 as i64 + records as i64;
        Self((sum & 0x7fff_ffff) as i32)
    }
}

impl TimestampMs {
    /// No timestamp.
    pub const NONE: Self = Self(-1);
}

/// A 16-byte id as Kafka writes it: topic ids, directory ids, incarnations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// "None", or "not assigned".
    pub const ZERO: Self = Self([0; 16]);
    /// Topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// True for "none".
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Reads Kafka's text form: URL-safe base64 without padding, 22 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('=');
        if text.len() != 22 {
            return None;
        }
        let mut bytes = [0_u8; 16];
        let mut bits: u32 = 0;
        let mut count = 0;
        let mut at = 0;
        for symbol in text.bytes() {
            bits = (bits << 6) | u32::from(base64_value(symbol)?);
            count += 6;
            if count >= 8 {
                count -= 8;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = (bits >> count).to_be_bytes()[3];
                }
                at += 1;
            }
        }
        Some(Self(bytes))
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64_value(symbol: u8) -> Option<u8> {
    BASE64
        .iter()
        .position(|s| *s == symbol)
        .and_then(|at| u8::try_from(at).ok())
}

impl fmt::Display for Uuid {
    /// Kafka's text form: URL-safe base64 without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for step in 0..22 {
            // 22 symbols hold 132 bits: the last symbol is filled up with four zero bits.
            let shift = 122_i32 - 6 * step;
            let bits = if shift >= 0 {
                value >> shift
            } else {
                value << -shift
            };
            let index = usize::try_from(bits & 0x3f).unwrap_or(0);
            let symbol = BASE64.get(index).copied().unwrap_or(b'A');
            fmt::Write::write_char(f, char::from(symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition, by the topic's id: a topic that is deleted and made again is another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId {
    /// The topic's id.
    pub topic: Uuid,
    /// The partition's index.
    pub index: PartitionIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        // Uuid.ONE_UUID and METADATA_TOPIC_ID as Kafka prints them.
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(
            Uuid::parse("AAAAAAAAAAAAAAAAAAAAAQ"),
            Some(Uuid::METADATA_TOPIC)
        );
        let id = Uuid([0xfb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        assert_eq!(Uuid::parse("short"), None);
    }

    #[test]
    fn sequence_wraps_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(5).plus(3), Sequence(8));
    }
}
