//! What Apache Kafka 4.3.0 knows by name: its 343 broker keys and 33 topic keys, with type, default and
//! bounds, as `facts/KafkaKeys.java` read them from the release's jars. Pure.
//!
//! Deliberately absent: what we do with a key; that is `kafka.rs`.

use std::sync::LazyLock;

/// A key's type, in Kafka's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KafkaType {
    /// true or false
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A fraction.
    Double,
    /// Entries separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Never shown.
    Password,
}

/// One key of Kafka's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KafkaKey {
    /// As people write it.
    pub name: &'static str,
    /// Its type.
    pub kind: KafkaType,
    /// Kafka's default; `None` is Kafka's null, or that there is none.
    pub default: Option<&'static str>,
    /// Bounds in Kafka's notation: `[1,...]`, `[a, b]`, or nothing.
    pub bounds: &'static str,
    /// True when Kafka can change it without a restart.
    pub dynamic: bool,
    /// For a topic key: the broker keys that give its default, strongest first.
    pub synonyms: &'static str,
}

static FACTS: LazyLock<(Vec<KafkaKey>, Vec<KafkaKey>)> = LazyLock::new(|| {
    let (mut broker, mut topic) = (Vec::new(), Vec::new());
    for line in include_str!("../facts/kafka-4.3.0.tsv").lines() {
        let fields: Vec<&'static str> = line.split('\t').collect();
        if let [scope, name, kind, default, bounds, mode, synonyms] = fields[..] {
            let default = (!matches!(default, "-" | "!")).then_some(default);
            let dynamic = mode == "dynamic";
            let key = KafkaKey {
                name,
                kind: kind_of(kind),
                default,
                bounds,
                dynamic,
                synonyms,
            };
            let list = if scope == "topic" {
                &mut topic
            } else {
                &mut broker
            };
            list.push(key);
        }
    }
    (broker, topic)
});

fn kind_of(word: &str) -> KafkaType {
    match word {
        "boolean" => KafkaType::Boolean,
        "int" => KafkaType::Int,
        "short" => KafkaType::Short,
        "long" => KafkaType::Long,
        "double" => KafkaType::Double,
        "list" => KafkaType::List,
        "class" => KafkaType::Class,
        "password" => KafkaType::Password,
        _ => KafkaType::String,
    }
}

/// Every broker key of Kafka 4.3.0, by name.
#[must_use]
pub fn broker_keys() -> &'static [KafkaKey] {
    &FACTS.0
}

/// Every topic key of Kafka 4.3.0, by name.
#[must_use]
pub fn topic_keys() -> &'static [KafkaKey] {
    &FACTS.1
}

/// The broker key of that name.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static KafkaKey> {
    let at = FACTS.0.binary_search_by(|key| key.name.cmp(name)).ok()?;
    FACTS.0.get(at)
}

/// The topic key of that name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static KafkaKey> {
    let at = FACTS.1.binary_search_by(|key| key.name.cmp(name)).ok()?;
    FACTS.1.get(at)
}

impl KafkaKey {
    /// Refuses what Kafka would refuse, saying what it wants.
    ///
    /// # Errors
    /// The words for "expected ...".
    pub fn check(&self, text: &str) -> Result<(), String> {
        let text = text.trim();
        match self.kind {
            KafkaType::Boolean if !matches!(text, "true" | "false") => {
                Err("true or false".to_owned())
            }
            KafkaType::Int => self.check_number(text, i64::from(i32::MIN), i64::from(i32::MAX)),
            KafkaType::Short => self.check_number(text, i64::from(i16::MIN), i64::from(i16::MAX)),
            KafkaType::Long => self.check_number(text, i64::MIN, i64::MAX),
            KafkaType::Double if text.parse::<f64>().is_err() => Err("a number".to_owned()),
            KafkaType::String => self.check_word(text),
            KafkaType::List => text
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .try_for_each(|entry| self.check_word(entry)),
            _ => Ok(()),
        }
    }

    fn check_number(&self, text: &str, min: i64, max: i64) -> Result<(), String> {
        let (low, high) = self.range();
        let (min, max) = (low.unwrap_or(min).max(min), high.unwrap_or(max).min(max));
        let also = self
            .bounds
            .rsplit_once(" or ")
            .and_then(|(_, word)| word.parse().ok());
        match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) || also == Some(number) => Ok(()),
            _ => Err(format!("a whole number from {min} to {max}")),
        }
    }

    /// The ends of `[1,...,9]`, where given.
    fn range(&self) -> (Option<i64>, Option<i64>) {
        let inner = self
            .bounds
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'));
        let Some((low, high)) = inner.and_then(|(inner, _)| inner.split_once(",...")) else {
            return (None, None);
        };
        (low.parse().ok(), high.trim_start_matches(',').parse().ok())
    }

    fn check_word(&self, word: &str) -> Result<(), String> {
        let Some(words) = self
            .bounds
            .split_once('[')
            .and_then(|(_, rest)| rest.strip_suffix(']'))
        else {
            return Ok(());
        };
        let fold = self.bounds.starts_with("(case insensitive)");
        if words.contains("partitionId")
            || words
                .split(", ")
                .any(|known| known == word || (fold && known.eq_ignore_ascii_case(word)))
        {
            return Ok(());
        }
        Err(format!("one of {words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_and_in_order() {
        assert_eq!(broker_keys().len(), 343);
        assert_eq!(topic_keys().len(), 33);
        for list in [broker_keys(), topic_keys()] {
            assert!(list.is_sorted_by_key(|key| key.name));
        }
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for key in broker_keys().iter().chain(topic_keys()) {
            if let Some(default) = key.default {
                assert_eq!(key.check(default), Ok(()), "{}", key.name);
            }
        }
    }

    #[test]
    fn bounds_are_kafkas() {
        let check = |name, text| broker_key(name).unwrap().check(text).is_ok();
        assert!(check("compression.gzip.level", "-1"));
        assert!(check("compression.gzip.level", "9"));
        assert!(!check("compression.gzip.level", "0"));
        assert!(!check("num.partitions", "0"));
        assert!(!check("num.partitions", "2147483648"));
        assert!(check("log.cleanup.policy", "compact,delete"));
        assert!(!check("log.cleanup.policy", "compress"));
        assert!(check("group.consumer.migration.policy", "UPGRADE"));
        assert!(!check("auto.create.topics.enable", "yes"));
    }
}
