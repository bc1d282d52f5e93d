//! The 33 topic keys of Kafka 4.3: type, default, bounds and the broker keys their default comes from.
//!
//! The facts are Kafka's: a test compares them with what its jars say, in `config/facts/kafka-4.3.0.tsv`.
//! Deliberately absent: keys marked internal by Kafka.

/// A config's type; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i8)]
pub enum ConfigType {
    /// true or false
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Entries separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// Never shown.
    Password = 9,
}

impl ConfigType {
    /// Kafka's word for it, as it stands in error messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bounds {
    /// Whatever the type holds.
    Any,
    /// At least.
    Least(i64),
    /// Between the two, or the third.
    Range(i64, i64, Option<i64>),
    /// A fraction from 0 to 1.
    Ratio,
    /// One of these words; a list may hold several.
    Words(&'static [&'static str]),
    /// `PARTITION:BROKER,...` or `*`.
    Throttled,
}

/// A topic key.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TopicKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Kafka's default.
    pub default: &'static str,
    /// What it may be.
    pub bounds: Bounds,
    /// Broker keys that give its default, strongest first, each with the factor between the units.
    pub synonyms: &'static [(&'static str, i64)],
}

macro_rules! keys {
    ($($name:literal $kind:ident $default:literal $bounds:expr, $synonyms:expr;)+) => {
        &[$(TopicKey {
            name: $name,
            kind: ConfigType::$kind,
            default: $default,
            bounds: $bounds,
            synonyms: &$synonyms,
        }),+]
    };
}

use Bounds::{Any, Least, Range, Ratio, Throttled, Words};

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const HOUR_MS: i64 = 3_600_000;

/// All of them, by name.
pub const TOPIC_KEYS: &[TopicKey] = keys! {
    "cleanup.policy" List "delete" Words(&["compact", "delete"]), [("log.cleanup.policy", 1)];
    "compression.gzip.level" Int "-1" Range(1, 9, Some(-1)), [("compression.gzip.level", 1)];
    "compression.lz4.level" Int "9" Range(1, 17, None), [("compression.lz4.level", 1)];
    "compression.type" String "producer" Words(CODECS), [("compression.type", 1)];
    "compression.zstd.level" Int "3" Range(-131_072, 22, None), [("compression.zstd.level", 1)];
    "delete.retention.ms" Long "86400000" Least(0), [("log.cleaner.delete.retention.ms", 1)];
    "file.delete.delay.ms" Long "60000" Least(0), [("log.segment.delete.delay.ms", 1)];
    "flush.messages" Long "9223372036854775807" Least(1), [("log.flush.interval.messages", 1)];
    "flush.ms" Long "9223372036854775807" Least(0),
        [("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)];
    "follower.replication.throttled.replicas" List "" Throttled, [];
    "index.interval.bytes" Int "4096" Least(0), [("log.index.interval.bytes", 1)];
    "leader.replication.throttled.replicas" List "" Throttled, [];
    "local.retention.bytes" Long "-2" Least(-2), [("log.local.retention.bytes", 1)];
    "local.retention.ms" Long "-2" Least(-2), [("log.local.retention.ms", 1)];
    "max.compaction.lag.ms" Long "9223372036854775807" Least(1),
        [("log.cleaner.max.compaction.lag.ms", 1)];
    "max.message.bytes" Int "1048588" Least(0), [("message.max.bytes", 1)];
    "message.timestamp.after.max.ms" Long "3600000" Least(0),
        [("log.message.timestamp.after.max.ms", 1)];
    "message.timestamp.before.max.ms" Long "9223372036854775807" Least(0),
        [("log.message.timestamp.before.max.ms", 1)];
    "message.timestamp.type" String "CreateTime" Words(&["CreateTime", "LogAppendTime"]),
        [("log.message.timestamp.type", 1)];
    "min.cleanable.dirty.ratio" Double "0.5" Ratio, [("log.cleaner.min.cleanable.ratio", 1)];
    "min.compaction.lag.ms" Long "0" Least(0), [("log.cleaner.min.compaction.lag.ms", 1)];
    "min.insync.replicas" Int "1" Least(1), [("min.insync.replicas", 1)];
    "preallocate" Boolean "false" Any, [("log.preallocate", 1)];
    "remote.log.copy.disable" Boolean "false" Any, [];
    "remote.log.delete.on.disable" Boolean "false" Any, [];
    "remote.storage.enable" Boolean "false" Any, [];
    "retention.bytes" Long "-1" Any, [("log.retention.bytes", 1)];
    "retention.ms" Long "604800000" Least(-1),
        [("log.retention.ms", 1), ("log.retention.minutes", 60_000), ("log.retention.hours", HOUR_MS)];
    "segment.bytes" Int "1073741824" Least(1_048_576), [("log.segment.bytes", 1)];
    "segment.index.bytes" Int "10485760" Least(4), [("log.index.size.max.bytes", 1)];
    "segment.jitter.ms" Long "0" Least(0),
        [("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)];
    "segment.ms" Long "604800000" Least(1), [("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)];
    "unclean.leader.election.enable" Boolean "false" Any, [("unclean.leader.election.enable", 1)];
};

/// The key of that name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    let at = TOPIC_KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    TOPIC_KEYS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_33_in_order() {
        assert_eq!(TOPIC_KEYS.len(), 33);
        assert!(TOPIC_KEYS.is_sorted_by_key(|key| key.name));
        assert!(topic_key("retention.ms").is_some());
        assert!(topic_key("retention").is_none());
    }
}
