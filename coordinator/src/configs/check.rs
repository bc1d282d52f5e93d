//! Whether a topic may have a config value: Kafka's rules, then ours.
//!
//! A value that asks for what the engine lacks is refused and not stored silently: whoever sets it
//! believes that it works. Values that ask for nothing (the defaults, which Streams sends) pass.

use std::collections::BTreeMap;

use super::keys::{Bounds, ConfigType, TopicKey, topic_key};
use crate::error::{ErrorCode, Refusal};

/// Checks the configs of one topic, together.
///
/// # Errors
/// INVALID_CONFIG and what is wrong with the first key that is.
pub fn check_topic(configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (name, value) in configs {
        let Some(key) = topic_key(name) else {
            return Err(invalid(format!("Unknown topic config name: {name}")));
        };
        check_value(key, value)?;
        if let Some(lack) = lack(name, value.trim()) {
            return Err(invalid(format!(
                "Invalid value {value} for configuration {name}: {lack}"
            )));
        }
    }
    let number = |name: &str| {
        let default = topic_key(name).map_or("", |key| key.default);
        let text = configs.get(name).map_or(default, String::as_str);
        text.trim().parse::<i64>().unwrap_or(0)
    };
    let (min, max) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    );
    if min > max {
        return Err(invalid(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

/// Checks one value by its key's type and bounds.
///
/// # Errors
/// INVALID_CONFIG in Kafka's words.
pub fn check_value(key: &TopicKey, value: &str) -> Result<(), Refusal> {
    let text = value.trim();
    let wrong = match key.kind {
        ConfigType::Boolean
            if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") =>
        {
            Some("Expected value to be either true or false".to_owned())
        }
        ConfigType::Int => number(text, key, i64::from(i32::MIN), i64::from(i32::MAX)),
        ConfigType::Long => number(text, key, i64::MIN, i64::MAX),
        ConfigType::Double => ratio(text, key),
        ConfigType::String | ConfigType::List => words(text, key),
        _ => None,
    };
    match wrong {
        None => Ok(()),
        Some(wrong) => Err(invalid(format!(
            "Invalid value {value} for configuration {}: {wrong}",
            key.name
        ))),
    }
}

fn number(text: &str, key: &TopicKey, min: i64, max: i64) -> Option<String> {
    let parsed = text
        .parse::<i64>()
        .ok()
        .filter(|number| (min..=max).contains(number));
    let Some(number) = parsed else {
        return Some(format!("Not a number of type {}", key.kind.word()));
    };
    match key.bounds {
        Bounds::Least(least) if number < least => Some(format!("Value must be at least {least}")),
        Bounds::Range(_, _, Some(also)) if number == also => None,
        Bounds::Range(least, _, _) if number < least => {
            Some(format!("Value must be at least {least}"))
        }
        Bounds::Range(_, most, _) if number > most => {
            Some(format!("Value must be no more than {most}"))
        }
        _ => None,
    }
}

fn ratio(text: &str, key: &TopicKey) -> Option<String> {
    match text.parse::<f64>() {
        Ok(number) if number < 0.0 => Some("Value must be at least 0".to_owned()),
        Ok(number) if number > 1.0 => Some("Value must be no more than 1".to_owned()),
        Ok(number) if number.is_finite() => None,
        _ => Some(format!("Not a number of type {}", key.kind.word())),
    }
}

fn words(text: &str, key: &TopicKey) -> Option<String> {
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    match key.bounds {
        Bounds::Words(known) if key.kind == ConfigType::String && !known.contains(&text) => {
            Some(format!("String must be one of: {}", known.join(", ")))
        }
        Bounds::Words(known) => {
            let mut unknown = entries.filter(|entry| !known.contains(entry));
            unknown
                .next()
                .map(|_| format!("String must be one of: {}", known.join(", ")))
        }
        Bounds::Throttled if text != "*" => {
            let pair = |entry: &str| {
                let (partition, broker) = entry.split_once(':')?;
                Some((partition.parse::<u32>().ok()?, broker.parse::<u32>().ok()?))
            };
            let mut entries = entries;
            let message = "must be the literal '*' or a list of replicas in the following format: \
                           [partitionId]:[brokerId],[partitionId]:[brokerId],...";
            entries
                .any(|entry| pair(entry).is_none())
                .then(|| message.to_owned())
        }
        _ => None,
    }
}

/// What the storage engine lacks to do what the value asks for.
fn lack(name: &str, value: &str) -> Option<&'static str> {
    match (name, value) {
        ("compression.type", "producer") => None,
        ("compression.type", _) => {
            Some("batches are stored as producers sent them, only 'producer' is supported")
        }
        ("remote.storage.enable", value) if value.eq_ignore_ascii_case("true") => {
            Some("tiered storage is not supported")
        }
        ("remote.log.copy.disable" | "remote.log.delete.on.disable", value)
            if value.eq_ignore_ascii_case("true") =>
        {
            Some("tiered storage is not supported")
        }
        (
            "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas",
            value,
        ) if !value.is_empty() => Some("replication is not throttled"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::TOPIC_KEYS;
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), String> {
        let configs = [(name.to_owned(), value.to_owned())].into();
        check_topic(&configs).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn every_default_passes() {
        for key in TOPIC_KEYS {
            assert_eq!(check(key.name, key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn refusals_are_kafkas() {
        let wrong = |name, value, words: &str| {
            let refusal = check(name, value).unwrap_err();
            assert!(
                refusal.starts_with("INVALID_CONFIG: ") && refusal.contains(words),
                "{refusal}"
            );
        };
        wrong("no.such", "1", "Unknown topic config name: no.such");
        wrong("retention.ms", "x", "Not a number of type LONG");
        wrong("retention.ms", "-2", "Value must be at least -1");
        wrong("segment.bytes", "4096", "Value must be at least 1048576");
        wrong("segment.bytes", "2147483648", "Not a number of type INT");
        wrong(
            "cleanup.policy",
            "compress",
            "String must be one of: compact, delete",
        );
        wrong("preallocate", "yes", "either true or false");
        wrong("min.cleanable.dirty.ratio", "1.5", "no more than 1");
        wrong("min.cleanable.dirty.ratio", "NaN", "Not a number");
        wrong("compression.gzip.level", "10", "no more than 9");
        wrong("compression.type", "gzip", "only 'producer' is supported");
        wrong(
            "remote.storage.enable",
            "true",
            "tiered storage is not supported",
        );
        wrong(
            "leader.replication.throttled.replicas",
            "0:x",
            "literal '*'",
        );
    }

    #[test]
    fn what_the_engine_can_do_passes() {
        for (name, value) in [
            ("cleanup.policy", "compact,delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("flush.messages", "1"),
            ("retention.ms", "-1"),
            ("compression.gzip.level", "-1"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn lags_must_not_cross() {
        let configs = [
            ("min.compaction.lag.ms", "10"),
            ("max.compaction.lag.ms", "5"),
        ];
        let configs = configs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let refusal = check_topic(&configs).unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains("conflict topic config setting")
        );
    }
}
