//! Who is compared: a server in one configuration, under one promise of durability.

use serde::{Deserialize, Serialize};

use crate::x::server::Kind;

/// What an acknowledgement has to mean. Like is compared with like only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Durability {
    /// On the device: `--durability flush` against Kafka's `flush.messages=1`.
    Flush,
    /// Written: `--durability write` against Kafka's default.
    Write,
}

/// One configuration of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Subject {
    Kafka,
    KafkaTuned,
    #[serde(rename = "thalweg-1")]
    Thalweg1,
    #[serde(rename = "thalweg-2")]
    Thalweg2,
}

/// A-B-B-A: what drifts with time hits both sides alike.
pub(super) const ORDER: [Subject; 4] = [
    Subject::Kafka,
    Subject::Thalweg1,
    Subject::Thalweg2,
    Subject::KafkaTuned,
];

/// Each side as it comes, on two cores: the quick form has no time for more, because a Java machine
/// needs seconds of warm-up in every row before its figures mean anything.
pub(super) const AS_THEY_COME: [Subject; 2] = [Subject::Kafka, Subject::Thalweg2];

/// Both sides look for old segments this often, so that a short soak sees it happen.
const RETENTION_CHECK: &str = "log.retention.check.interval.ms=5000";

impl Durability {
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Write => "write",
        }
    }
}

impl Subject {
    #[must_use]
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Kafka | Self::KafkaTuned => Kind::Kafka,
            Self::Thalweg1 | Self::Thalweg2 => Kind::Thalweg,
        }
    }

    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka, defaults",
            Self::KafkaTuned => "Kafka, tuned",
            Self::Thalweg1 => "Thalweg, 1 shard",
            Self::Thalweg2 => "Thalweg, 2 shards",
        }
    }

    /// Further command-line words for Thalweg, further properties for Kafka.
    pub(super) fn extra(self, durability: Durability) -> Vec<String> {
        let mut words: Vec<String> = match self {
            Self::Thalweg1 | Self::Thalweg2 => {
                let shards = if self == Self::Thalweg1 { "1" } else { "2" };
                return [
                    "--shards",
                    shards,
                    "--durability",
                    durability.name(),
                    "--set",
                    RETENTION_CHECK,
                ]
                .map(str::to_owned)
                .to_vec();
            }
            Self::Kafka => Vec::new(),
            Self::KafkaTuned => [
                "num.network.threads=2",
                "num.io.threads=4",
                "socket.send.buffer.bytes=1048576",
                "socket.receive.buffer.bytes=1048576",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        words.push(RETENTION_CHECK.to_owned());
        if durability == Durability::Flush {
            words.push("log.flush.interval.messages=1".to_owned());
        }
        words
    }

    /// The Java machine's options where they differ from Kafka's own start script.
    pub(super) fn java(self) -> Vec<String> {
        match self {
            Self::KafkaTuned => ["-Xms4g", "-Xmx4g", "-XX:+UseParallelGC"]
                .map(str::to_owned)
                .to_vec(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_equal_on_both_sides() {
        for subject in ORDER {
            let flush = subject.extra(Durability::Flush);
            let write = subject.extra(Durability::Write);
            match subject.kind() {
                Kind::Kafka => {
                    let word = "log.flush.interval.messages=1".to_owned();
                    assert!(flush.contains(&word) && !write.contains(&word));
                }
                Kind::Thalweg => {
                    assert!(flush.contains(&"flush".to_owned()));
                    assert!(write.contains(&"write".to_owned()));
                }
            }
        }
    }

    #[test]
    fn the_order_mirrors_the_sides() {
        let kinds = ORDER.map(Subject::kind);
        let mut mirrored = kinds;
        mirrored.reverse();
        assert_eq!(kinds, mirrored);
    }
}
