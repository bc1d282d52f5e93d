//! What a partition's topic configures of its log, in the engine's own types.
//!
//! Names are Kafka's topic keys with the unit last. Parsing, defaults by key and validation are
//! the coordinator's; the defaults here are Kafka's own and serve tests and internal topics.

use thalweg_wire::ids::TimestampMs;

use crate::clean::Cleaning;

/// Whose clock a record's timestamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's (`CreateTime`).
    #[default]
    CreateTime,
    /// The leader's at append (`LogAppendTime`).
    LogAppendTime,
}

/// `cleanup.policy`: both may be set, and at least one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go by time and size.
    pub delete: bool,
    /// Only the newest record of a key needs to stay.
    pub compact: bool,
}

/// Settings of one partition's log. `None` means "without limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow beyond.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is rolled when its first record is older.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: a segment is rolled up to this much sooner, so that those of many partitions
    /// are not rolled at once.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment is rolled when one of its indexes has this size.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: log bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `retention.ms`.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// What compaction goes by.
    pub cleaning: Cleaning,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `producer.id.expiration.ms` (a broker key).
    pub producer_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            cleanup: CleanupPolicy {
                delete: true,
                compact: false,
            },
            cleaning: Cleaning::default(),
            timestamp_type: TimestampType::CreateTime,
            producer_expiration_ms: DAY_MS,
        }
    }
}

impl LogConfig {
    /// The instant before which a producer that wrote nothing since is forgotten.
    #[must_use]
    pub fn producer_horizon(&self, now: TimestampMs) -> TimestampMs {
        TimestampMs(now.0.saturating_sub(self.producer_expiration_ms))
    }
}
