//! Whether a topic may have its configs: Kafka's rules, then ours.
//!
//! A value that asks for what the engine lacks is refused and not stored silently: whoever sets it
//! believes that it works. Values that ask for nothing (the defaults, which Streams sends) pass. What is
//! set already, by a Kafka that wrote the directory, is left alone until somebody changes it.

use std::collections::BTreeMap;

use super::keys::topic_key;
use super::value;
use crate::error::{ErrorCode, Refusal};

/// Checks the configs of a new topic.
///
/// # Errors
/// INVALID_CONFIG and what is wrong with the first key that is.
pub fn check_topic(configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    check_valid(configs)?;
    configs
        .iter()
        .try_for_each(|(name, value)| check_served(name, value))
}

/// Checks the configs of one topic, together, by Kafka's rules.
///
/// # Errors
/// INVALID_CONFIG in Kafka's words.
pub(crate) fn check_valid(configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if let Some(name) = configs.keys().find(|name| topic_key(name).is_none()) {
        return Err(invalid(format!("Unknown topic config name: {name}")));
    }
    for (name, value) in configs {
        if let Some(key) = topic_key(name) {
            value::check(name, key.kind, key.bounds, value).map_err(invalid)?;
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
    if configs
        .get("remote.storage.enable")
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    {
        return Err(invalid(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with \
             remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks that the engine does what a valid value of a topic key asks for.
///
/// # Errors
/// INVALID_CONFIG and what is lacking.
pub(crate) fn check_served(name: &str, value: &str) -> Result<(), Refusal> {
    match lack(name, value.trim()) {
        None => Ok(()),
        Some(lack) => Err(invalid(value::invalid(name, value, lack))),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

/// What the storage engine lacks to do what the value asks for.
pub(crate) fn lack(name: &str, value: &str) -> Option<&'static str> {
    match (name, value) {
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
        wrong(
            "retention.ms",
            "x",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        );
        wrong("segment.bytes", "4096", "Value must be at least 1048576");
        wrong("compression.type", "brotli", "String must be one of");
        wrong(
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker.",
        );
        wrong("remote.log.copy.disable", "true", "tiered storage");
        wrong(
            "leader.replication.throttled.replicas",
            "0:1",
            "not throttled",
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
