//! The keys of groups and of client metrics subscriptions.
//!
//! They are known, shown with their defaults and checked as Kafka checks them. Consumer groups obey theirs.
//! Share groups, streams groups and clients' metrics do not exist here yet, so a value other than the default
//! is refused as a topic's would be. Deliberately absent: `match` patterns of subscriptions, which are refused anyway.

use std::collections::BTreeMap;

use super::effective::BrokerConfigs;
use super::keys::{Bounds, ConfigType};
use super::value;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource};

/// A key of a group or a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmallKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Kafka's default.
    pub default: &'static str,
    /// What it may be.
    pub bounds: Bounds,
    /// The broker key that gives the default, if one does.
    pub synonym: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! keys {
    ($($name:literal $kind:ident $default:literal $bounds:expr, $synonym:expr, $doc:literal;)+) => {
        &[$(SmallKey {
            name: $name,
            kind: ConfigType::$kind,
            default: $default,
            bounds: $bounds,
            synonym: $synonym,
            doc: $doc,
        }),+]
    };
}

use Bounds::{Any, Least, Words};

/// Keys of groups, by name.
pub const GROUP_KEYS: &[SmallKey] = keys! {
    "consumer.assignment.interval.ms" Int "1000" Least(0), Some("group.consumer.assignment.interval.ms"),
        "Milliseconds between two assignments of a consumer group.";
    "consumer.heartbeat.interval.ms" Int "5000" Least(1), Some("group.consumer.heartbeat.interval.ms"),
        "Milliseconds between two heartbeats of a consumer.";
    "consumer.session.timeout.ms" Int "45000" Least(1), Some("group.consumer.session.timeout.ms"),
        "Milliseconds without a heartbeat after which a consumer is gone.";
    "share.assignment.interval.ms" Int "1000" Least(0), Some("group.share.assignment.interval.ms"),
        "Milliseconds between two assignments of a share group.";
    "share.auto.offset.reset" String "latest" Any, None,
        "Where a share group begins: latest, earliest or by_duration.";
    "share.delivery.count.limit" Int "5" Least(2), Some("group.share.delivery.count.limit"),
        "How often a share group tries to deliver a record.";
    "share.heartbeat.interval.ms" Int "5000" Least(1), Some("group.share.heartbeat.interval.ms"),
        "Milliseconds between two heartbeats of a share group's member.";
    "share.isolation.level" String "read_uncommitted" Words("read_committed, read_uncommitted"), None,
        "Whether a share group sees records of open transactions.";
    "share.partition.max.record.locks" Int "2000" Least(100), Some("group.share.partition.max.record.locks"),
        "Records of a partition that a share group may have under delivery.";
    "share.record.lock.duration.ms" Int "30000" Least(1_000), Some("group.share.record.lock.duration.ms"),
        "Milliseconds that a member of a share group has for a record.";
    "share.renew.acknowledge.enable" Boolean "true" Any, None,
        "Whether a share group's member may ask for more time.";
    "share.session.timeout.ms" Int "45000" Least(1), Some("group.share.session.timeout.ms"),
        "Milliseconds without a heartbeat after which a share group's member is gone.";
    "streams.assignment.interval.ms" Int "1000" Least(0), Some("group.streams.assignment.interval.ms"),
        "Milliseconds between two assignments of a streams group.";
    "streams.heartbeat.interval.ms" Int "5000" Least(1), Some("group.streams.heartbeat.interval.ms"),
        "Milliseconds between two heartbeats of a streams group's member.";
    "streams.initial.rebalance.delay.ms" Int "3000" Least(0), Some("group.streams.initial.rebalance.delay.ms"),
        "Milliseconds a new streams group waits for more members.";
    "streams.num.standby.replicas" Int "0" Least(0), Some("group.streams.num.standby.replicas"),
        "Standby tasks of each task of a streams group.";
    "streams.session.timeout.ms" Int "45000" Least(1), Some("group.streams.session.timeout.ms"),
        "Milliseconds without a heartbeat after which a streams group's member is gone.";
};

/// Keys of client metrics subscriptions, by name.
pub const CLIENT_METRICS_KEYS: &[SmallKey] = keys! {
    "interval.ms" Int "300000" Any, None, "Milliseconds between two pushes of a client's metrics.";
    "match" List "" Any, None, "Which clients are asked for metrics.";
    "metrics" List "" Any, None, "Which metrics they are asked for.";
};

/// Milliseconds between pushes: least and most.
const INTERVAL_MS: (i64, i64) = (100, 3_600_000);

impl BrokerConfigs {
    /// The value of a group's key that counts, or its default.
    pub(crate) fn small_value(&self, image: &Image, resource: &Resource, key: &SmallKey) -> String {
        let own = image.config(resource, key.name).map(str::to_owned);
        own.unwrap_or_else(|| self.small_default(image, key))
    }

    fn small_default(&self, image: &Image, key: &SmallKey) -> String {
        let first = key.synonym.and_then(|name| {
            let chain = self.broker_chain(image, name);
            chain.into_iter().next()?.value
        });
        first.unwrap_or_else(|| key.default.to_owned())
    }
}

/// Checks the configs of a group, `news` being those that this request sets.
///
/// # Errors
/// Kafka's code and words; INVALID_CONFIG for what is lacking.
pub(crate) fn check_group(
    (image, broker): (&Image, &BrokerConfigs),
    set: &BTreeMap<String, String>,
    news: &[&str],
) -> Result<(), Refusal> {
    let config = |words| Refusal::new(ErrorCode::InvalidConfig, words);
    let find = |name: &str| GROUP_KEYS.iter().find(|key| key.name == name);
    if let Some(name) = set.keys().find(|name| find(name).is_none()) {
        return Err(config(format!("Unknown group config name: {name}")));
    }
    for (name, text) in set {
        if let Some(key) = find(name) {
            value::check(name, key.kind, key.bounds, text).map_err(config)?;
        }
    }
    for name in set.keys() {
        let number = set
            .get(name)
            .and_then(|text| text.trim().parse::<i64>().ok());
        if let Some(number) = number {
            check_range((image, broker), name, number).map_err(config)?;
        }
    }
    check_session((image, broker), set).map_err(config)?;
    for name in news.iter().filter(|name| !name.starts_with("consumer.")) {
        let (Some(key), Some(text)) = (find(name), set.get(*name)) else {
            continue;
        };
        let shown = value::canonical(key.kind, text);
        if shown != value::canonical(key.kind, &broker.small_default(image, key)) {
            let lack = "groups of this protocol are not supported yet";
            return Err(config(value::invalid(name, text, lack)));
        }
    }
    Ok(())
}

/// A member must be able to heartbeat within its session.
fn check_session(
    (image, broker): (&Image, &BrokerConfigs),
    set: &BTreeMap<String, String>,
) -> Result<(), String> {
    let number = |name: &str| -> Option<i64> {
        let key = GROUP_KEYS.iter().find(|key| key.name == name)?;
        let text = set.get(name).cloned();
        let text = text.unwrap_or_else(|| broker.small_default(image, key));
        text.trim().parse().ok()
    };
    let session = number("consumer.session.timeout.ms");
    let interval = number("consumer.heartbeat.interval.ms");
    match (session, interval) {
        (Some(session), Some(interval)) if session <= interval => Err(
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Sessions and heartbeats stay within what the broker allows: `consumer.session.timeout.ms` within
/// `group.consumer.min.session.timeout.ms` and `.max.`.
fn check_range(
    (image, broker): (&Image, &BrokerConfigs),
    name: &str,
    number: i64,
) -> Result<(), String> {
    let Some((protocol, rest)) = name.split_once('.') else {
        return Ok(());
    };
    let bound = |end: &str| {
        let key = format!("group.{protocol}.{end}.{rest}");
        Some((broker.number(image, &key)?, key))
    };
    if let Some((_, key)) = bound("min").filter(|(least, _)| number < *least) {
        return Err(format!("{name} must be greater than or equal to {key}"));
    }
    if let Some((_, key)) = bound("max").filter(|(most, _)| number > *most) {
        return Err(format!("{name} must be less than or equal to {key}"));
    }
    Ok(())
}

/// Checks the configs of a client metrics subscription, `news` being those that this request sets.
///
/// # Errors
/// Kafka's code and words; INVALID_CONFIG for what is lacking.
pub(crate) fn check_client_metrics(
    set: &BTreeMap<String, String>,
    news: &[&str],
) -> Result<(), Refusal> {
    let request = |words| Refusal::new(ErrorCode::InvalidRequest, words);
    let find = |name: &str| CLIENT_METRICS_KEYS.iter().find(|key| key.name == name);
    if let Some(name) = set.keys().find(|name| find(name).is_none()) {
        return Err(request(format!(
            "Unknown client metrics configuration: {name}"
        )));
    }
    if let Some(text) = set.get("interval.ms") {
        let (least, most) = INTERVAL_MS;
        let number = text.trim().parse::<i64>().ok();
        if number.is_none_or(|number| !(least..=most).contains(&number)) {
            return Err(request(format!(
                "Invalid value {text} for interval.ms, interval must be between {least} and {most} (1 hour)"
            )));
        }
    }
    for name in news {
        let (Some(key), Some(text)) = (find(name), set.get(*name)) else {
            continue;
        };
        if value::canonical(key.kind, text) != key.default {
            let lack = "clients are not asked for their metrics";
            let words = value::invalid(name, text, lack);
            return Err(Refusal::new(ErrorCode::InvalidConfig, words));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, text: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), text.to_owned())].into()
    }

    #[test]
    fn groups_are_checked_as_kafka_does() {
        let mut broker = BrokerConfigs::default();
        for (name, number) in [
            ("group.consumer.min.session.timeout.ms", "45000"),
            ("group.consumer.max.session.timeout.ms", "60000"),
        ] {
            let value = super::super::effective::BrokerValue {
                default: Some(number.to_owned()),
                ..Default::default()
            };
            broker.values.insert(name.to_owned(), value);
        }
        let image = Image::default();
        let one = |name: &str, text: &str| {
            let checked = check_group((&image, &broker), &set(name, text), &[name]);
            checked.map_or_else(|refusal| refusal.to_string(), |()| "taken".to_owned())
        };
        assert_eq!(
            one("nosuch", "5"),
            "INVALID_CONFIG: Unknown group config name: nosuch"
        );
        let session = |text: &str| one("consumer.session.timeout.ms", text);
        assert!(
            session("5")
                .ends_with("greater than or equal to group.consumer.min.session.timeout.ms")
        );
        assert!(
            session("500000")
                .ends_with("less than or equal to group.consumer.max.session.timeout.ms")
        );
        assert!(session("x").ends_with("Not a number of type INT"));
        assert_eq!(session("45000"), "taken");
        assert_eq!(session("50000"), "taken");
        assert!(
            one("consumer.heartbeat.interval.ms", "45000")
                .ends_with("must be greater than consumer.heartbeat.interval.ms")
        );
        assert!(one("share.session.timeout.ms", "50000").ends_with("not supported yet"));
    }

    #[test]
    fn subscriptions_are_checked_as_kafka_does() {
        let one = |name: &str, text: &str| {
            let checked = check_client_metrics(&set(name, text), &[name]);
            checked.map_or_else(|refusal| refusal.to_string(), |()| "taken".to_owned())
        };
        assert_eq!(
            one("nosuch", "1"),
            "INVALID_REQUEST: Unknown client metrics configuration: nosuch"
        );
        assert_eq!(
            one("interval.ms", "1"),
            "INVALID_REQUEST: Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        );
        assert_eq!(one("interval.ms", "300000"), "taken");
        assert!(one("match", "client_id=x").starts_with("INVALID_CONFIG"));
    }

    #[test]
    fn keys_are_in_order() {
        for list in [GROUP_KEYS, CLIENT_METRICS_KEYS] {
            assert!(list.is_sorted_by_key(|key| key.name));
        }
        assert_eq!((GROUP_KEYS.len(), CLIENT_METRICS_KEYS.len()), (17, 3));
    }
}
