//! Layers of text to one value a key: default < file < environment < properties < `--set` < own flags. Pure.
//!
//! Every value keeps where it came from. Two places of equal rank that disagree are an error: which one won
//! would depend on the order of reading.

use std::collections::BTreeMap;

use crate::facts;
use crate::nearest::nearest;
use crate::report::{Origin, Report};
use crate::settings::{own_key, own_keys};
use crate::units::{FromText, kafka_number};

/// What a value belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// One of ours, `shards.count`.
    Own(&'static str),
    /// A broker key of Kafka's.
    Kafka(&'static str),
    /// A topic key for one topic.
    Topic {
        /// The topic's name.
        topic: String,
        /// Kafka's name of the key.
        key: &'static str,
    },
}

/// One value as somebody wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// A value and its origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// As it would be written in a file.
    pub text: String,
    /// Who set it.
    pub origin: Origin,
}

/// Every value that somebody set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values {
    pub(crate) map: BTreeMap<Key, Value>,
}

impl Values {
    /// What was set for the key, if anything.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.map.get(key)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.map.iter()
    }

    /// Takes the entry if nothing stronger is there.
    pub(crate) fn put(&mut self, entry: Entry, report: &mut Report) {
        if let Some(old) = self.map.get(&entry.key) {
            let (ours, theirs) = (entry.origin.rank(), old.origin.rank());
            if ours == theirs && old.text != entry.text && entry.origin != Origin::Set {
                let message = format!("set twice, also at {}", old.origin);
                let fix = "keep one of the two".to_owned();
                report.error(&entry.origin, &entry.key.to_string(), message, fix);
            }
            if ours < theirs {
                return;
            }
        }
        self.map.insert(
            entry.key,
            Value {
                text: entry.text,
                origin: entry.origin,
            },
        );
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own(name) | Self::Kafka(name) => f.write_str(name),
            Self::Topic { topic, key } => write!(f, "topic.\"{topic}\".{key}"),
        }
    }
}

/// One of our settings by name, or a problem with the nearest name.
pub(crate) fn own(name: &str, origin: &Origin, report: &mut Report) -> Option<Key> {
    if let Some(key) = own_key(name) {
        return Some(Key::Own(key.name));
    }
    let known = own_keys().map(|key| key.name);
    unknown(name, "unknown setting", known, (origin, report));
    None
}

/// A broker key of Kafka's by name, or a problem with the nearest name.
pub(crate) fn kafka(name: &str, origin: &Origin, report: &mut Report) -> Option<Key> {
    if let Some(key) = facts::broker_key(name) {
        return Some(Key::Kafka(key.name));
    }
    let known = facts::broker_keys().iter().map(|key| key.name);
    unknown(name, "no broker key of Kafka 4.3", known, (origin, report));
    None
}

/// A topic key of Kafka's by name, or a problem with the nearest name.
pub(crate) fn topic(topic: &str, name: &str, origin: &Origin, report: &mut Report) -> Option<Key> {
    if let Some(key) = facts::topic_key(name) {
        return Some(Key::Topic {
            topic: topic.to_owned(),
            key: key.name,
        });
    }
    let known = facts::topic_keys().iter().map(|key| key.name);
    unknown(name, "no topic key of Kafka 4.3", known, (origin, report));
    None
}

fn unknown<'a>(
    name: &str,
    what: &str,
    known: impl Iterator<Item = &'a str>,
    (origin, report): (&Origin, &mut Report),
) {
    let fix = match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it".to_owned(),
    };
    report.error(origin, name, what.to_owned(), fix);
}

/// The environment: `THALWEG__SHARDS__COUNT`, and `KAFKA_NUM_PARTITIONS` as Kafka's images map it.
pub(crate) fn environment(env: &[(String, String)], report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, text) in env {
        let origin = Origin::Env { name: name.clone() };
        let key = if let Some(rest) = name.strip_prefix("THALWEG__") {
            own(&rest.replace("__", ".").to_lowercase(), &origin, report)
        } else if let Some(rest) = name.strip_prefix("KAFKA_") {
            kafka_environment(rest, &origin, report)
        } else {
            None
        };
        if let Some(key) = key {
            entries.push(Entry {
                key,
                text: text.clone(),
                origin,
            });
        }
    }
    entries
}

/// A KAFKA_ variable that names no key is a warning: the prefix is Kafka's, and its scripts, images and
/// Kubernetes put other things under it.
fn kafka_environment(rest: &str, origin: &Origin, report: &mut Report) -> Option<Key> {
    const NOT_CONFIG: &[&str] = &[
        "OPTS", "HEAP", "JMX", "LOG4J", "JVM", "GC", "VERSION", "HOME",
    ];
    let first = rest.split('_').next().unwrap_or(rest);
    if NOT_CONFIG.contains(&first) || rest.ends_with("_OPTS") {
        return None;
    }
    // The order matters: three underscores are a dash, two are one underscore, one is a dot.
    let name = rest
        .replace("___", "-")
        .replace("__", "\u{0}")
        .replace('_', ".");
    let name = name.replace('\u{0}', "_").to_lowercase();
    if let Some(key) = facts::broker_key(&name) {
        return Some(Key::Kafka(key.name));
    }
    let near = nearest(&name, facts::broker_keys().iter().map(|key| key.name));
    let fix = near.map_or_else(String::new, |near| format!("did you mean {near}?"));
    report.warning(
        origin,
        &name,
        "no broker key of Kafka 4.3, ignored".to_owned(),
        fix,
    );
    None
}

/// `--set KEY=VALUE`: one of our keys, a broker key of Kafka's, or `topic.NAME.KEY`.
pub(crate) fn assignments(set: &[String], report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    for assignment in set {
        let Some((name, text)) = assignment.split_once('=') else {
            let fix = format!("--set {assignment}=VALUE");
            report.error(&Origin::Set, assignment, "no value given".to_owned(), fix);
            continue;
        };
        if let Some(key) = assigned_key(name.trim(), report) {
            entries.push(Entry {
                key,
                text: text.trim().to_owned(),
                origin: Origin::Set,
            });
        }
    }
    entries
}

fn assigned_key(name: &str, report: &mut Report) -> Option<Key> {
    if let Some(rest) = name.strip_prefix("topic.") {
        // A topic's name may hold dots itself: the longest known key at the end wins.
        let mut known = facts::topic_keys().iter().filter_map(|key| {
            let topic = rest.strip_suffix(key.name)?.strip_suffix('.')?;
            (!topic.is_empty()).then_some((topic.len(), topic.trim_matches('"'), key.name))
        });
        let first = known.next();
        let best = known.fold(first, |best, next| best.min(Some(next)));
        if let Some((_, topic, key)) = best {
            return Some(Key::Topic {
                topic: topic.to_owned(),
                key,
            });
        }
    }
    let bare = name.strip_prefix("kafka.").unwrap_or(name);
    let bare = bare.trim_matches('"');
    if own_key(name).is_none() && facts::broker_key(bare).is_some() {
        return kafka(bare, &Origin::Set, report);
    }
    own(name, &Origin::Set, report)
}

/// Reads typed values out of the merged text; what it cannot read goes into the report.
pub(crate) struct Reader<'a> {
    pub(crate) values: &'a Values,
    pub(crate) report: &'a mut Report,
}

impl Reader<'_> {
    /// The value of one of our settings.
    pub(crate) fn own<T: FromText>(&mut self, name: &'static str) -> Option<T> {
        let default = own_key(name).map_or("", |key| key.default);
        self.read(&Key::Own(name), default)
    }

    /// The value of one of Kafka's keys.
    pub(crate) fn kafka<T: FromText>(&mut self, name: &'static str) -> Option<T> {
        let default = facts::broker_key(name)
            .and_then(|key| key.default)
            .unwrap_or("");
        self.read(&Key::Kafka(name), default)
    }

    fn read<T: FromText>(&mut self, key: &Key, default: &str) -> Option<T> {
        let value = self.values.get(key);
        let text = value.map_or(default, |value| value.text.as_str());
        match T::from_text(text) {
            Ok(parsed) => Some(parsed),
            Err(wanted) => {
                // Kafka's keys are checked against its own types before; once is enough.
                if matches!(key, Key::Own(_)) {
                    let origin = value.map_or(Origin::Default, |value| value.origin.clone());
                    let fix = format!("write {wanted}");
                    self.report.error(
                        &origin,
                        &key.to_string(),
                        format!("cannot read {text:?}"),
                        fix,
                    );
                }
                None
            }
        }
    }

    /// Topic configs by topic.
    pub(crate) fn topics(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut topics: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (key, value) in self.values.iter() {
            if let Key::Topic { topic, key } = key {
                let configs = topics.entry(topic.clone()).or_default();
                configs.insert((*key).to_owned(), value.text.clone());
            }
        }
        topics
    }
}

/// Checks Kafka's keys by Kafka's own types and bounds, and writes numbers as Kafka does.
pub(crate) fn canonical_kafka(values: &mut Values, report: &mut Report) {
    for (key, value) in &mut values.map {
        let fact = match key {
            Key::Kafka(name) => facts::broker_key(name),
            Key::Topic { key, .. } => facts::topic_key(key),
            Key::Own(_) => None,
        };
        let Some(fact) = fact else { continue };
        if let Some(number) = kafka_number(fact.name, &value.text) {
            value.text = number;
        }
        if let Err(wanted) = fact.check(&value.text) {
            let message = format!("cannot read {:?}", value.text);
            report.error(&value.origin, fact.name, message, format!("write {wanted}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str, text: &str) -> (Vec<Entry>, Report) {
        let mut report = Report::default();
        let env = [(name.to_owned(), text.to_owned())];
        (environment(&env, &mut report), report)
    }

    #[test]
    fn environment_names() {
        assert_eq!(
            env("THALWEG__SHARDS__COUNT", "2").0[0].key,
            Key::Own("shards.count")
        );
        let key = &env("KAFKA_LOG_RETENTION_MS", "1").0[0].key;
        assert_eq!(*key, Key::Kafka("log.retention.ms"));
        assert!(env("THALWEG__SHARDS__CUONT", "2").1.has_errors());
        let (entries, report) = env("KAFKA_SERVICE_HOST", "10.0.0.1");
        assert!(entries.is_empty() && !report.has_errors());
        assert_eq!(report.problems.len(), 1);
        assert_eq!(env("KAFKA_HEAP_OPTS", "-Xmx1G").1, Report::default());
    }

    #[test]
    fn set_takes_all_three_kinds_of_keys() {
        let mut report = Report::default();
        let set = [
            "shards.count=3",
            "num.partitions=4",
            "topic.a.b.retention.ms=5",
        ];
        let entries = assignments(&set.map(str::to_owned), &mut report);
        let keys: Vec<String> = entries.iter().map(|entry| entry.key.to_string()).collect();
        assert_eq!(
            keys,
            [
                "shards.count",
                "num.partitions",
                "topic.\"a.b\".retention.ms"
            ]
        );
        assert_eq!(report, Report::default());
        // `local.retention.ms` ends in another key's name: the longer key wins.
        let set = ["topic.a.local.retention.ms=5".to_owned()];
        let entries = assignments(&set, &mut report);
        assert_eq!(entries[0].key.to_string(), "topic.\"a\".local.retention.ms");
    }

    #[test]
    fn the_stronger_layer_wins_in_any_order() {
        let entry = |text: &str, origin| Entry {
            key: Key::Own("node.id"),
            text: text.to_owned(),
            origin,
        };
        let mut report = Report::default();
        let mut values = Values::default();
        values.put(entry("3", Origin::Set), &mut report);
        values.put(
            entry(
                "2",
                Origin::Env {
                    name: "X".to_owned(),
                },
            ),
            &mut report,
        );
        assert_eq!(values.get(&Key::Own("node.id")).unwrap().text, "3");
        assert_eq!(report, Report::default());
        let line = |line| Origin::File {
            path: "t".to_owned(),
            line,
        };
        let mut values = Values::default();
        values.put(entry("1", line(1)), &mut report);
        values.put(entry("2", line(2)), &mut report);
        assert!(report.has_errors());
    }
}
