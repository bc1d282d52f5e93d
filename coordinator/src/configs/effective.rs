//! The value that counts, and the chain it comes from: topic, broker, all brokers, file, default.

use std::collections::BTreeMap;

use thalweg_wire::batch::{Codec, Compression};
use thalweg_wire::ids::NodeId;

use super::keys::{Bounds, ConfigType, TOPIC_KEYS, TopicKey, topic_key};
use crate::metadata::image::{Image, Resource};

/// Where a value comes from; the numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i8)]
pub enum Source {
    /// Set for the topic.
    Topic = 1,
    /// Set for this broker while it runs.
    DynamicBroker = 2,
    /// Set for all brokers while they run.
    DynamicDefault = 3,
    /// Set where this broker was started.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// Set for the client metrics subscription.
    ClientMetrics = 7,
    /// Set for the group.
    Group = 8,
}

/// One broker key of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerValue {
    /// Its type.
    pub kind: ConfigType,
    /// What was set where the node was started, if anything.
    pub set: Option<String>,
    /// Kafka's default, if there is one.
    pub default: Option<String>,
    /// True when Kafka can change it while it runs.
    pub dynamic: bool,
    /// What a value may be.
    pub bounds: Bounds,
    /// Why a value other than the default asks for what this engine lacks, if it does.
    pub lack: Option<&'static str>,
    /// What it does here.
    pub doc: String,
}

impl Default for BrokerValue {
    fn default() -> Self {
        Self {
            kind: ConfigType::String,
            set: None,
            default: None,
            dynamic: false,
            bounds: Bounds::Any,
            lack: None,
            doc: String::new(),
        }
    }
}

/// This node's broker keys; the node fills them from its settings when it starts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BrokerConfigs {
    /// This node.
    pub node: NodeId,
    /// By Kafka's name.
    pub values: BTreeMap<String, BrokerValue>,
    /// Configs that a topic of that name gets when it is created, if the request does not set them.
    pub new_topics: BTreeMap<String, BTreeMap<String, String>>,
}

/// One link of the chain that a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The key that was set.
    pub name: String,
    /// Its value, in the unit of the key asked for.
    pub value: Option<String>,
    /// Where.
    pub source: Source,
}

impl BrokerConfigs {
    /// The chain of a topic key, strongest first; the first link's value counts.
    #[must_use]
    pub fn topic_chain(&self, image: &Image, topic: &str, key: &TopicKey) -> Vec<Link> {
        let mut chain = Vec::new();
        if let Some(value) = image.config(&Resource::topic(topic), key.name) {
            chain.push(Link {
                name: key.name.to_owned(),
                value: Some(value.to_owned()),
                source: Source::Topic,
            });
        }
        for (name, factor) in key.synonyms {
            let links = self.broker_chain(image, name);
            chain.extend(
                links
                    .into_iter()
                    .filter(|link| link.value.is_some())
                    .map(|link| Link {
                        value: link.value.map(|value| scaled(&value, *factor)),
                        ..link
                    }),
            );
        }
        chain
    }

    /// The synonyms that DescribeConfigs shows of a broker key and those that say the same, strongest
    /// first: of each source in turn, and nothing before the first that has the key's own name, as Kafka
    /// does it.
    #[must_use]
    pub fn shown_chain(&self, image: &Image, own: &str) -> Vec<Link> {
        let names = broker_synonyms(own);
        let mut chain: Vec<Link> = names
            .iter()
            .flat_map(|name| self.broker_chain(image, name))
            .collect();
        chain.sort_by_key(|link| link.source);
        let begin = chain.iter().position(|link| link.name == own);
        let begin = begin.unwrap_or(chain.len());
        chain.split_off(begin)
    }

    /// The chain of a broker key, strongest first.
    #[must_use]
    pub fn broker_chain(&self, image: &Image, name: &str) -> Vec<Link> {
        let known = self.values.get(name);
        let dynamic = |resource: &Resource| image.config(resource, name).map(str::to_owned);
        let links = [
            (dynamic(&Resource::broker(self.node)), Source::DynamicBroker),
            (dynamic(&Resource::broker_default()), Source::DynamicDefault),
            (
                known.and_then(|known| known.set.clone()),
                Source::StaticBroker,
            ),
            (
                known.and_then(|known| known.default.clone()),
                Source::Default,
            ),
        ];
        let links = links.into_iter().filter(|(value, _)| value.is_some());
        links
            .map(|(value, source)| Link {
                name: name.to_owned(),
                value,
                source,
            })
            .collect()
    }

    /// The value of a topic key that counts.
    #[must_use]
    pub fn topic_value(&self, image: &Image, topic: &str, key: &TopicKey) -> (String, Source) {
        let first = self.topic_chain(image, topic, key).into_iter().next();
        let found = first.and_then(|link| Some((link.value?, link.source)));
        found.unwrap_or_else(|| (key.default.to_owned(), Source::Default))
    }

    /// Everything the storage engine needs to know about a topic.
    #[must_use]
    pub fn topic_config(&self, image: &Image, topic: &str) -> TopicConfig {
        let text = |name: &str| match topic_key(name) {
            Some(key) => self.topic_value(image, topic, key).0,
            None => String::new(),
        };
        // Values were checked when they were set; one that cannot be read falls back to Kafka's default.
        let number = |name: &str| {
            let default = topic_key(name)
                .and_then(|key| key.default.parse().ok())
                .unwrap_or(0);
            text(name).trim().parse::<i64>().unwrap_or(default)
        };
        let policy = text("cleanup.policy");
        let policy = |word: &str| policy.split(',').any(|entry| entry.trim() == word);
        TopicConfig {
            delete: policy("delete"),
            compact: policy("compact"),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
            segment_bytes: number("segment.bytes"),
            segment_ms: number("segment.ms"),
            segment_jitter_ms: number("segment.jitter.ms"),
            segment_index_bytes: number("segment.index.bytes"),
            index_interval_bytes: number("index.interval.bytes"),
            file_delete_delay_ms: number("file.delete.delay.ms"),
            max_message_bytes: number("max.message.bytes"),
            log_append_time: text("message.timestamp.type").trim() == "LogAppendTime",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            min_insync_replicas: number("min.insync.replicas"),
            delete_retention_ms: number("delete.retention.ms"),
            dirty_ratio_min: text("min.cleanable.dirty.ratio")
                .trim()
                .parse()
                .map_or(500_000, millionths),
            compaction_lag_min_ms: number("min.compaction.lag.ms"),
            compaction_lag_max_ms: number("max.compaction.lag.ms"),
            producer_expiration_ms: self
                .number(image, "producer.id.expiration.ms")
                .unwrap_or(PRODUCER_EXPIRATION_MS),
            compression: compression(&text("compression.type"), number),
        }
    }

    /// A broker key's value that counts, with Kafka's default behind it.
    #[must_use]
    pub fn text(&self, image: &Image, name: &str) -> Option<String> {
        self.broker_chain(image, name).into_iter().next()?.value
    }

    /// A broker key that counts as a number, with Kafka's default behind it.
    #[must_use]
    pub fn number(&self, image: &Image, name: &str) -> Option<i64> {
        self.text(image, name)?.trim().parse().ok()
    }

    /// All values a topic has, by key: what CreateTopics answers.
    pub(crate) fn topic_values<'a>(
        &'a self,
        image: &'a Image,
        topic: &'a str,
    ) -> impl Iterator<Item = (&'static TopicKey, String, Source)> + 'a {
        TOPIC_KEYS.iter().map(move |key| {
            let (value, source) = self.topic_value(image, topic, key);
            (key, value, source)
        })
    }
}

/// What a `compression.type` asks for; `number` reads the key of a codec's level.
fn compression(name: &str, number: impl Fn(&str) -> i64) -> Option<Compression> {
    let codec = match name.trim() {
        "uncompressed" => Codec::None,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => return None,
    };
    let level = |key: &str| i32::try_from(number(key)).ok();
    let level = match codec {
        Codec::Gzip => level("compression.gzip.level"),
        Codec::Lz4 => level("compression.lz4.level"),
        Codec::Zstd => level("compression.zstd.level"),
        Codec::None | Codec::Snappy => None,
    };
    let standard = Compression::standard(codec);
    Some(Compression {
        level: level.unwrap_or(standard.level),
        ..standard
    })
}

/// A share from 0 to 1 in millionths.
fn millionths(share: f64) -> u32 {
    let text = format!("{:.0}", (share * 1e6).clamp(0.0, 1e6));
    text.parse().unwrap_or(1_000_000)
}

/// Kafka's `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

/// The broker keys that say the same in other units, a key's own name first where Kafka has it first.
fn broker_synonyms(name: &str) -> Vec<&str> {
    const FAMILIES: &[&[&str]] = &[
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
    ];
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    match FAMILIES.iter().find(|family| family.contains(&name)) {
        Some(family) => family.to_vec(),
        None => vec![name],
    }
}

/// Hours and minutes of a broker key become the milliseconds of the topic key; negative means no bound.
fn scaled(value: &str, factor: i64) -> String {
    match value.trim().parse::<i64>() {
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

/// A topic's configs as the storage engine reads them, in the units of Kafka's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicConfig {
    /// Old segments are deleted.
    pub delete: bool,
    /// Old values of a key are removed.
    pub compact: bool,
    /// `retention.ms`; -1 is no bound.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 is no bound.
    pub retention_bytes: i64,
    /// `segment.bytes`
    pub segment_bytes: i64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`
    pub segment_index_bytes: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: i64,
    /// `message.timestamp.type` is LogAppendTime.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i64,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`, in millionths
    pub dirty_ratio_min: u32,
    /// `min.compaction.lag.ms`
    pub compaction_lag_min_ms: i64,
    /// `max.compaction.lag.ms`
    pub compaction_lag_max_ms: i64,
    /// The broker's `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// What batches are stored in (`compression.type` and its level); None as producers sent them.
    pub compression: Option<Compression>,
}
