//! What a topic's configuration means to the node: limits of the check, settings of the log.
//!
//! Pure: from the coordinator's effective values to the types of `wire` and `storage`. A value that
//! a field can't hold is brought to the field's nearest end; values were checked when they were set.

use thalweg_coordinator::configs::effective::TopicConfig;
use thalweg_storage::log::{Cleaning, CleanupPolicy, LogConfig, TimestampType};
use thalweg_wire::batch::{
    CheckLimits, Codec, CompressedCheck, Compression, Origin, TimestampLimits,
};
use thalweg_wire::ids::TimestampMs;

/// Output of a codec that one batch may unfold to, in multiples of the largest batch: real data
/// compresses up to some 20 times, a bomb some thousand times.
const INFLATE_FACTOR_MAX: usize = 64;

/// What a produce request needs to know of its node, beside the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRules {
    /// How far compressed batches are checked.
    pub compressed: CompressedCheck,
}

/// One topic, ready to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// The configuration as the coordinator gives it.
    pub config: TopicConfig,
    /// For the storage engine.
    pub log: LogConfig,
    rules: CheckRules,
}

impl TopicSettings {
    /// From the effective values.
    #[must_use]
    pub fn new(config: TopicConfig, rules: CheckRules) -> Self {
        Self {
            config,
            log: log_config(&config),
            rules,
        }
    }

    /// What a batch that came in `codec` has to be compressed with anew, if it has to.
    #[must_use]
    pub fn compression_anew(&self, codec: Codec) -> Option<Compression> {
        self.config
            .compression
            .filter(|wanted| wanted.codec != codec)
    }

    /// The limits of a batch that a client sends now.
    #[must_use]
    pub fn limits(&self, now: TimestampMs, zstd_allowed: bool) -> CheckLimits {
        let config = &self.config;
        let batch_bytes_max = usize::try_from(config.max_message_bytes).unwrap_or(0);
        CheckLimits {
            origin: Origin::Client,
            batch_bytes_max,
            inflated_bytes_max: batch_bytes_max.saturating_mul(INFLATE_FACTOR_MAX),
            keys_required: config.compact,
            zstd_allowed,
            compressed: self.rules.compressed,
            timestamps: (!config.log_append_time).then_some(TimestampLimits {
                now,
                before_max_ms: config.timestamp_before_max_ms,
                after_max_ms: config.timestamp_after_max_ms,
            }),
        }
    }
}

fn log_config(config: &TopicConfig) -> LogConfig {
    let clamp = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
    LogConfig {
        segment_bytes: clamp(config.segment_bytes),
        // Only sealed segments are cleaned: one that must be, soon, is rolled in time.
        segment_ms: match config.compact {
            true => config.segment_ms.min(config.compaction_lag_max_ms.max(1)),
            false => config.segment_ms,
        },
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: clamp(config.segment_index_bytes),
        index_interval_bytes: clamp(config.index_interval_bytes),
        retention_ms: (config.retention_ms >= 0).then_some(config.retention_ms),
        retention_bytes: u64::try_from(config.retention_bytes).ok(),
        cleanup: CleanupPolicy {
            delete: config.delete,
            compact: config.compact,
        },
        cleaning: Cleaning {
            dirty_ratio_min: config.dirty_ratio_min,
            lag_min_ms: config.compaction_lag_min_ms,
            lag_max_ms: config.compaction_lag_max_ms,
            delete_retention_ms: config.delete_retention_ms,
            file_delete_delay_ms: config.file_delete_delay_ms,
        },
        timestamp_type: if config.log_append_time {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        producer_expiration_ms: config.producer_expiration_ms,
    }
}
