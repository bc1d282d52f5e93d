//! The 33 topic keys of Kafka 4.3: type, default, bounds, the broker keys their default comes from, and
//! what they do here.
//!
//! The facts are Kafka's: a test compares them with what its jars say, in `config/facts/kafka-4.3.0.tsv`.
//! The explanations are our own. Deliberately absent: keys marked internal by Kafka.

/// A config's type; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i8)]
pub enum ConfigType {
    /// A key that is not Kafka's; never shown.
    Unknown = 0,
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
            Self::Unknown => "UNKNOWN",
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bounds {
    /// Whatever the type holds.
    Any,
    /// At least.
    Least(i64),
    /// Between the two, or the third.
    Range(i64, i64, Option<i64>),
    /// One of these words, as Kafka lists them: `a, b`; a list may hold several.
    Words(&'static str),
    /// `PARTITION:BROKER,...` or `*`.
    Throttled,
}

impl Bounds {
    /// Reads Kafka's own notation: `[1,...]`, `[1,...,9] or -1`, `[a, b]`. Rules that it has only for keys
    /// nobody can change while a broker runs are left out.
    #[must_use]
    pub fn parse(notation: &'static str) -> Self {
        let Some((inner, rest)) = notation
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        else {
            return Self::Any;
        };
        if inner == "partitionId" {
            return Self::Throttled;
        }
        let Some((least, most)) = inner.split_once(",...") else {
            return Self::Words(inner);
        };
        let number = |text: &str| text.trim_start_matches(',').parse::<i64>().ok();
        let also = rest.strip_prefix(" or ").and_then(number);
        match (number(least), number(most)) {
            (Some(least), Some(most)) => Self::Range(least, most, also),
            (Some(least), None) => Self::Least(least),
            _ => Self::Any,
        }
    }
}

/// A topic key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// What it does here.
    pub doc: &'static str,
}

macro_rules! keys {
    ($($name:literal $kind:ident $default:literal $bounds:expr, $synonyms:expr, $doc:literal;)+) => {
        &[$(TopicKey {
            name: $name,
            kind: ConfigType::$kind,
            default: $default,
            bounds: $bounds,
            synonyms: &$synonyms,
            doc: $doc,
        }),+]
    };
}

use Bounds::{Any, Least, Range, Throttled, Words};

const CODECS: &str = "uncompressed, zstd, lz4, snappy, gzip, producer";
const HOUR_MS: i64 = 3_600_000;

/// All of them, by name.
pub const TOPIC_KEYS: &[TopicKey] = keys! {
    "cleanup.policy" List "delete" Words("compact, delete"), [("log.cleanup.policy", 1)],
        "What becomes of old records: delete removes whole segments by time and size; compact keeps the newest record of each key.";
    "compression.gzip.level" Int "-1" Range(1, 9, Some(-1)), [("compression.gzip.level", 1)],
        "Level of gzip where compression.type is gzip and a batch came in another codec.";
    "compression.lz4.level" Int "9" Range(1, 17, None), [("compression.lz4.level", 1)],
        "Has no effect: where compression.type is lz4, batches that came in another codec are made at the one fast level.";
    "compression.type" String "producer" Words(CODECS), [("compression.type", 1)],
        "Codec of stored batches; producer keeps each as it was sent.";
    "compression.zstd.level" Int "3" Range(-131_072, 22, None), [("compression.zstd.level", 1)],
        "Level of zstd where compression.type is zstd and a batch came in another codec.";
    "delete.retention.ms" Long "86400000" Least(0), [("log.cleaner.delete.retention.ms", 1)],
        "Milliseconds that a compacted topic keeps the marks of deleted keys.";
    "file.delete.delay.ms" Long "60000" Least(0), [("log.segment.delete.delay.ms", 1)],
        "Milliseconds that the files of segments which compaction has replaced stay; files of segments below the log start go at once.";
    "flush.messages" Long "9223372036854775807" Least(1), [("log.flush.interval.messages", 1)],
        "Records after which Kafka would flush. Here everything acknowledged is flushed already, unless storage.durability says otherwise.";
    "flush.ms" Long "9223372036854775807" Least(0),
        [("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
        "Milliseconds after which Kafka would flush. Here everything acknowledged is flushed already, unless storage.durability says otherwise.";
    "follower.replication.throttled.replicas" List "" Throttled, [],
        "Replicas whose followers are throttled. There is no replication yet, so it must stay empty.";
    "index.interval.bytes" Int "4096" Least(0), [("log.index.interval.bytes", 1)],
        "Bytes of log between two entries of the offset index.";
    "leader.replication.throttled.replicas" List "" Throttled, [],
        "Replicas whose leaders are throttled. There is no replication yet, so it must stay empty.";
    "local.retention.bytes" Long "-2" Least(-2), [("log.local.retention.bytes", 1)],
        "Bytes kept locally beside tiered storage, which there is none of.";
    "local.retention.ms" Long "-2" Least(-2), [("log.local.retention.ms", 1)],
        "Milliseconds kept locally beside tiered storage, which there is none of.";
    "max.compaction.lag.ms" Long "9223372036854775807" Least(1),
        [("log.cleaner.max.compaction.lag.ms", 1)],
        "Milliseconds after which a record of a compacted topic must be compacted.";
    "max.message.bytes" Int "1048588" Least(0), [("message.max.bytes", 1)],
        "Bytes of the largest record batch a producer may send.";
    "message.timestamp.after.max.ms" Long "3600000" Least(0),
        [("log.message.timestamp.after.max.ms", 1)],
        "Milliseconds that a record's timestamp may lie ahead of the broker's clock.";
    "message.timestamp.before.max.ms" Long "9223372036854775807" Least(0),
        [("log.message.timestamp.before.max.ms", 1)],
        "Milliseconds that a record's timestamp may lie behind the broker's clock.";
    "message.timestamp.type" String "CreateTime" Words("CreateTime, LogAppendTime"),
        [("log.message.timestamp.type", 1)],
        "Whose clock stamps records: CreateTime is the producer's, LogAppendTime the broker's.";
    "min.cleanable.dirty.ratio" Double "0.5" Range(0, 1, None), [("log.cleaner.min.cleanable.ratio", 1)],
        "Share of a compacted log that must be uncompacted before it is compacted again.";
    "min.compaction.lag.ms" Long "0" Least(0), [("log.cleaner.min.compaction.lag.ms", 1)],
        "Milliseconds during which a record of a compacted topic is left alone.";
    "min.insync.replicas" Int "1" Least(1), [("min.insync.replicas", 1)],
        "Replicas that must be in sync, the leader included, before acks=all is accepted.";
    "preallocate" Boolean "false" Any, [("log.preallocate", 1)],
        "Whether segment files reserve their space ahead; see storage.preallocate, which decides it here.";
    "remote.log.copy.disable" Boolean "false" Any, [],
        "Stops copies to tiered storage, which there is none of.";
    "remote.log.delete.on.disable" Boolean "false" Any, [],
        "Deletes what lies in tiered storage, which there is none of.";
    "remote.storage.enable" Boolean "false" Any, [],
        "Moves old segments to tiered storage, which there is none of.";
    "retention.bytes" Long "-1" Any, [("log.retention.bytes", 1)],
        "Bytes that a partition keeps before its oldest segments are deleted; -1 is no bound.";
    "retention.ms" Long "604800000" Least(-1),
        [("log.retention.ms", 1), ("log.retention.minutes", 60_000), ("log.retention.hours", HOUR_MS)],
        "Milliseconds that records are kept before their segments are deleted; -1 is no bound.";
    "segment.bytes" Int "1073741824" Least(1_048_576), [("log.segment.bytes", 1)],
        "Bytes at which a segment file is closed and the next begun.";
    "segment.index.bytes" Int "10485760" Least(4), [("log.index.size.max.bytes", 1)],
        "Bytes of the largest offset index; a full one closes its segment.";
    "segment.jitter.ms" Long "0" Least(0),
        [("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)],
        "Largest random share of segment.ms that is taken off, so that segments do not all close at once.";
    "segment.ms" Long "604800000" Least(1), [("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)],
        "Milliseconds after which a segment that is not full is closed all the same.";
    "unclean.leader.election.enable" Boolean "false" Any, [("unclean.leader.election.enable", 1)],
        "Whether a replica that lacks records may lead when no other can. A partition with one replica never needs it.";
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
