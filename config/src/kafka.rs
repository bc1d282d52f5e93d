//! Kafka's broker keys: which have an effect, which are settings of ours, and what we do instead of the
//! rest. Pure.
//!
//! Every one of the 343 keys has an answer here (a test walks them). A key that we lack and that somebody
//! set gives one warning; one that would promise protection we cannot give (TLS, authentication,
//! authorization) refuses the start instead.

use crate::facts::{self, KafkaKey};
use crate::limits::DATA_DIRS_MAX;
use crate::merge::{Entry, Key, Values};
use crate::report::{Origin, Report};
use crate::settings::{Kafka, own_key};

/// What becomes of a broker key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Treatment {
    /// It has the effect it has in Kafka.
    Honoured,
    /// It gives the default of the topic key it is a synonym of.
    TopicDefault,
    /// It is one of our own settings under another name.
    Ours(&'static str),
    /// It describes listeners, which `listeners.rs` reads together.
    Listeners,
    /// It has no effect; the words say what we do instead.
    Instead(&'static str),
    /// It asks for protection we lack: setting it refuses the start, with the words.
    Refused(&'static str),
}

const OURS: &[(&str, &str)] = &[
    ("node.id", "node.id"),
    ("broker.id", "node.id"),
    ("log.dirs", "node.data"),
    ("log.dir", "node.data"),
    ("controller.quorum.voters", "cluster.voters"),
];

const LISTENERS: &[&str] = &[
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "controller.listener.names",
    "security.inter.broker.protocol",
];

const NO_THREADS: &str = "one thread a core does everything; see shards.count";
const NO_TIERED: &str = "there is no tiered storage, all data is local";
const NO_CALLBACK: &str = "there are no plug-ins, quotas are those that are set";
const NO_METRICS: &str = "metrics are at /metrics on listen.admin, see metrics.detail";
const CLEANER: &str = "each shard cleans its own logs; see log.cleaner.backoff.ms, log.cleaner.dedupe.buffer.size and a topic's min.cleanable.dirty.ratio";
const NO_SHARE: &str = "there are no share groups yet";
const NO_STREAMS: &str = "there are no streams groups yet";
const NO_MIGRATION: &str =
    "a group changes its protocol only while it has no members, as with the policy disabled";
const NO_GROUPS: &str = "the consumer group coordinator has no such knob here";
const NO_REPLICATION: &str = "there is no replication yet, the node is alone";
const NO_QUORUM: &str = "the metadata quorum is this node alone, nobody is waited for";
const NO_PURGATORY: &str = "waiting requests are woken one by one, nothing has to be purged";
const FLUSHED: &str = "every acknowledged record is flushed, see storage.durability";
const TXN_FIXED: &str = "this part of transactions has Kafka's default";
const KERNEL: &str = "the kernel sizes receive buffers itself";
const NO_TLS: &str = "there is no TLS yet, data would cross the network in clear text";
const NO_SASL: &str = "there is no authentication yet, everybody would be let in";
const NO_ACL: &str = "there is no authorization yet, everybody may do everything";

/// Answers by the beginning of the name; the longest beginning that fits decides.
const BY_PREFIX: &[(&str, Treatment)] = &[
    ("add.partitions.to.txn.", Treatment::Instead(TXN_FIXED)),
    (
        "alter.config.policy.class.name",
        Treatment::Instead("there are no plug-ins, every valid config is taken"),
    ),
    (
        "alter.log.dirs.",
        Treatment::Instead("a node has one data directory, nothing moves between two"),
    ),
    ("authorizer.class.name", Treatment::Refused(NO_ACL)),
    (
        "auto.leader.rebalance.enable",
        Treatment::Instead(NO_REPLICATION),
    ),
    ("background.threads", Treatment::Instead(NO_THREADS)),
    ("broker.heartbeat.", Treatment::Instead(NO_QUORUM)),
    ("broker.session.", Treatment::Instead(NO_QUORUM)),
    (
        "client.quota.callback.class",
        Treatment::Instead(NO_CALLBACK),
    ),
    (
        "config.providers",
        Treatment::Instead("values are taken as written; use environment variables for secrets"),
    ),
    (
        "connection.failed.authentication.delay.ms",
        Treatment::Instead("there is no authentication yet"),
    ),
    (
        "connections.max.reauth.ms",
        Treatment::Instead("there is no authentication yet"),
    ),
    (
        "controlled.shutdown.enable",
        Treatment::Instead("a stop is always controlled"),
    ),
    ("controller.quorum.", Treatment::Instead(NO_QUORUM)),
    ("controller.socket.", Treatment::Instead(NO_QUORUM)),
    (
        "cordoned.log.dirs",
        Treatment::Instead("a node has one data directory"),
    ),
    (
        "create.topic.policy.class.name",
        Treatment::Instead("there are no plug-ins, every valid topic is made"),
    ),
    ("delegation.token.", Treatment::Refused(NO_SASL)),
    (
        "delete.records.purgatory.",
        Treatment::Instead(NO_PURGATORY),
    ),
    (
        "early.start.listeners",
        Treatment::Instead("all listeners open when the node is ready"),
    ),
    ("fetch.purgatory.", Treatment::Instead(NO_PURGATORY)),
    ("follower.", Treatment::Instead(NO_REPLICATION)),
    ("group.", Treatment::Instead(NO_GROUPS)),
    (
        "group.consumer.migration.policy",
        Treatment::Instead(NO_MIGRATION),
    ),
    ("group.share.", Treatment::Instead(NO_SHARE)),
    ("group.streams.", Treatment::Instead(NO_STREAMS)),
    (
        "initial.broker.registration.timeout.ms",
        Treatment::Instead(NO_QUORUM),
    ),
    ("kafka.metrics.", Treatment::Instead(NO_METRICS)),
    ("leader.", Treatment::Instead(NO_REPLICATION)),
    ("log.cleaner.", Treatment::Instead(CLEANER)),
    (
        "log.dir.failure.timeout.ms",
        Treatment::Instead("a failed device stops its journal at once"),
    ),
    ("log.flush.", Treatment::Instead(FLUSHED)),
    (
        "metadata.log.dir",
        Treatment::Instead("the metadata log lies in the data directory"),
    ),
    (
        "metadata.log.max.",
        Treatment::Instead("the metadata log is kept whole, there are no snapshots of it yet"),
    ),
    (
        "metadata.log.segment.ms",
        Treatment::Instead("the metadata log rolls by metadata.log.segment.bytes"),
    ),
    (
        "metadata.max.idle.interval.ms",
        Treatment::Instead("a lone node writes no idle metadata records"),
    ),
    (
        "metadata.max.retention.",
        Treatment::Instead("the metadata log is kept whole, there are no snapshots of it yet"),
    ),
    ("metric", Treatment::Instead(NO_METRICS)),
    ("num.io.threads", Treatment::Instead(NO_THREADS)),
    ("num.network.threads", Treatment::Instead(NO_THREADS)),
    (
        "num.recovery.threads.per.data.dir",
        Treatment::Instead(NO_THREADS),
    ),
    ("num.replica.", Treatment::Instead(NO_REPLICATION)),
    ("offsets.commit.timeout.ms", Treatment::Instead(NO_GROUPS)),
    ("offsets.load.buffer.size", Treatment::Instead(NO_GROUPS)),
    (
        "offsets.topic.compression.codec",
        Treatment::Instead("offsets are written uncompressed"),
    ),
    ("principal.builder.class", Treatment::Refused(NO_SASL)),
    (
        "process.roles",
        Treatment::Instead("a node is always broker and controller"),
    ),
    ("producer.purgatory.", Treatment::Instead(NO_PURGATORY)),
    (
        "queued.",
        Treatment::Instead("requests in flight are bounded by shards.memory"),
    ),
    ("remote.", Treatment::Instead(NO_TIERED)),
    ("replica", Treatment::Instead(NO_REPLICATION)),
    ("request.timeout.ms", Treatment::Instead(NO_REPLICATION)),
    ("sasl.", Treatment::Refused(NO_SASL)),
    (
        "security.providers",
        Treatment::Instead("there is no Java in it"),
    ),
    ("share.", Treatment::Instead(NO_SHARE)),
    ("socket.", Treatment::Instead(KERNEL)),
    ("ssl.", Treatment::Refused(NO_TLS)),
    (
        "telemetry.max.bytes",
        Treatment::Instead("clients are not asked for their metrics"),
    ),
    ("transaction.", Treatment::Instead(TXN_FIXED)),
];

/// What becomes of the key of that name.
#[must_use]
pub fn treatment(name: &str) -> Treatment {
    if let Some((_, ours)) = OURS.iter().find(|(kafka, _)| *kafka == name) {
        return Treatment::Ours(ours);
    }
    if LISTENERS.contains(&name) {
        return Treatment::Listeners;
    }
    if Kafka::KEYS.contains(&name) {
        return Treatment::Honoured;
    }
    if facts::topic_keys()
        .iter()
        .any(|key| key.synonyms.split(',').any(|other| other == name))
    {
        return Treatment::TopicDefault;
    }
    let fitting = BY_PREFIX
        .iter()
        .filter(|(prefix, _)| name.starts_with(prefix));
    let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
    longest.map_or(
        Treatment::Instead("it has no counterpart here"),
        |(_, treatment)| *treatment,
    )
}

/// What the key of that name does here, for people.
#[must_use]
pub fn doc(name: &str) -> String {
    match treatment(name) {
        Treatment::Honoured => {
            let mut docs = Kafka::DOCS.iter();
            let found = docs.find(|(key, _)| *key == name);
            found.map_or_else(String::new, |(_, doc)| doc.trim().to_owned())
        }
        Treatment::TopicDefault => {
            let mut keys = facts::topic_keys().iter();
            let found = keys.find(|key| key.synonyms.split(',').any(|other| other == name));
            let topic = found.map_or("", |key| key.name);
            format!("Default of {topic} for topics that do not set it.")
        }
        Treatment::Ours(ours) => {
            let doc = own_key(ours).map_or("", |key| key.doc.trim());
            format!("Is {ours} here: {doc}")
        }
        Treatment::Listeners => {
            "Read together with the other listener keys into [listen].".to_owned()
        }
        Treatment::Instead(words) => format!("Has no effect: {words}."),
        Treatment::Refused(words) => format!("Not supported: {words}."),
    }
}

/// Why a value of the key, other than the default, asks for what we lack; none if it has its effect.
#[must_use]
pub fn lack(name: &str) -> Option<&'static str> {
    match treatment(name) {
        Treatment::Honoured | Treatment::TopicDefault => None,
        Treatment::Ours(_) | Treatment::Listeners => Some("it is read when the node starts"),
        Treatment::Instead(words) | Treatment::Refused(words) => Some(words),
    }
}

/// Kafka's keys that are settings of ours become those; the others that somebody set are judged.
pub(crate) fn translate(values: &mut Values, report: &mut Report) {
    let set: Vec<(&'static str, String, Origin)> = values
        .iter()
        .filter_map(|(key, value)| match key {
            Key::Kafka(name) => Some((*name, value.text.clone(), value.origin.clone())),
            _ => None,
        })
        .collect();
    for (name, text, origin) in set {
        match treatment(name) {
            Treatment::Honoured | Treatment::Listeners | Treatment::TopicDefault => {}
            Treatment::Ours(ours) => {
                let known = own_key(ours).map(|key| Key::Own(key.name));
                let Some(key) = known else { continue };
                explain(name, &text, &origin, report);
                values.put(Entry { key, text, origin }, report);
            }
            Treatment::Instead(words) => {
                if !is_default(name, &text) {
                    let message = format!("has no effect: {words}");
                    report.warning(&origin, name, message, String::new());
                }
            }
            Treatment::Refused(words) => {
                if !is_default(name, &text) {
                    let fix = "remove it, and protect the port by other means".to_owned();
                    report.error(&origin, name, words.to_owned(), fix);
                }
            }
        }
    }
}

fn is_default(name: &str, text: &str) -> bool {
    facts::broker_key(name)
        .and_then(|key| key.default)
        .unwrap_or("")
        == text.trim()
}

fn explain(name: &str, text: &str, origin: &Origin, report: &mut Report) {
    let one = text.split(',').filter(|dir| !dir.trim().is_empty()).count() <= DATA_DIRS_MAX;
    if matches!(name, "log.dirs" | "log.dir") && one {
        let message = format!("is node.data here: logs lie in {text}/log, beside journal and lock");
        report.warning(origin, name, message, String::new());
    }
}

/// One broker key as DescribeConfigs shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerConfig {
    /// What Kafka says about the key.
    pub key: &'static KafkaKey,
    /// The effective value.
    pub value: Option<String>,
    /// Who set it.
    pub origin: Origin,
}

/// All broker keys with their effective values, by name.
#[must_use]
pub fn broker_configs(values: &Values) -> Vec<BrokerConfig> {
    let effective = |key: &'static KafkaKey| {
        let set = values.get(&Key::Kafka(key.name)).or_else(|| {
            let ours = OURS.iter().find(|(kafka, _)| *kafka == key.name)?;
            values.get(&Key::Own(own_key(ours.1)?.name))
        });
        let value = set.map(|value| value.text.clone());
        BrokerConfig {
            key,
            value: value.or_else(|| key.default.map(str::to_owned)),
            origin: set.map_or(Origin::Default, |value| value.origin.clone()),
        }
    };
    facts::broker_keys().iter().map(effective).collect()
}

/// What differs on a node that is its whole cluster: Kafka's factors would keep the internal topics from
/// ever being made, and its initial delay waits for members that a first trial does not have.
pub(crate) fn lone_node(values: &mut Values, report: &mut Report) {
    const VALUES: &[(&str, &str)] = &[
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    for (name, text) in VALUES {
        let origin = Origin::LoneNode;
        values.put(
            Entry {
                key: Key::Kafka(name),
                text: (*text).to_owned(),
                origin,
            },
            report,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_kafka_has_an_answer_of_its_own() {
        let fallback = treatment("no.such.key");
        for key in facts::broker_keys() {
            assert_ne!(treatment(key.name), fallback, "{}", key.name);
        }
    }

    #[test]
    fn every_key_we_name_is_one_of_kafkas() {
        let ours = OURS.iter().map(|(kafka, _)| *kafka);
        for name in ours
            .chain(LISTENERS.iter().copied())
            .chain(Kafka::KEYS.iter().copied())
        {
            assert!(facts::broker_key(name).is_some(), "{name}");
        }
        for (prefix, _) in BY_PREFIX {
            let used = facts::broker_keys()
                .iter()
                .any(|key| key.name.starts_with(prefix));
            assert!(used, "{prefix}");
        }
    }
}
