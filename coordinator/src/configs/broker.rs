//! Whether broker keys may be changed while the broker runs: Kafka's rules, then ours.
//!
//! Kafka's validators answer INVALID_REQUEST, in its words and order: keys that need a restart, types and
//! bounds, keys of one broker set for all, values that contradict each other. Then a change that asks for
//! what this engine lacks is INVALID_CONFIG, as is a key that nobody knows: Kafka keeps those for plug-ins,
//! of which there are none. Deliberately absent: who may change them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::check;
use super::effective::{BrokerConfigs, BrokerValue};
use super::keys::{ConfigType, TOPIC_KEYS};
use super::value;
use crate::error::{ErrorCode, Refusal};

/// Security settings that Kafka changes for one listener only.
const PER_LISTENER: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Keys that differ from broker to broker, beside those that begin with `ssl.` and `sasl.`.
const PER_BROKER: &[&str] = &[
    "cordoned.log.dirs",
    "listener.security.protocol.map",
    "listeners",
    "principal.builder.class",
];

/// Keys of a listener that may be set for all brokers.
const LISTENER_WIDE: &[&str] = &[
    "max.connection.creation.rate",
    "max.connections",
    "num.network.threads",
];

/// Thread pools, which Kafka lets grow and shrink by half at a time.
const THREADS: &[&str] = &[
    "background.threads",
    "num.io.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// What a change makes of one broker's keys, or of those of all brokers.
pub(crate) struct Changed<'a> {
    /// Everything set for that resource afterwards.
    pub(crate) set: &'a BTreeMap<String, String>,
    /// What this request sets.
    pub(crate) news: &'a [&'a str],
    /// False for what holds for all brokers.
    pub(crate) one_broker: bool,
}

/// Checks a change of broker keys.
///
/// # Errors
/// INVALID_REQUEST in Kafka's words, INVALID_CONFIG for what the engine lacks.
pub(crate) fn check(broker: &BrokerConfigs, changed: &Changed<'_>) -> Result<(), Refusal> {
    check_names(broker, changed)?;
    for (name, text) in changed.set {
        if let Some(known) = known(broker, name) {
            value::check(base(name), known.kind, known.bounds, text).map_err(request)?;
        }
    }
    if !changed.one_broker {
        let tied = changed.set.keys().filter(|name| is_per_broker(name));
        refuse_all(
            "Cannot update these configs at default cluster level, broker id must be specified",
            tied,
        )?;
    }
    let view = View { broker, changed };
    check_log_times(&view)?;
    check_connections(&view)?;
    check_threads(&view)?;
    changed
        .news
        .iter()
        .try_for_each(|name| check_served(&view, name))
}

fn check_names(broker: &BrokerConfigs, changed: &Changed<'_>) -> Result<(), Refusal> {
    let fixed = changed.set.keys().filter(|name| {
        broker
            .values
            .get(name.as_str())
            .is_some_and(|known| !known.dynamic)
    });
    refuse_all("Cannot update these configs dynamically", fixed)?;
    let bare = changed
        .set
        .keys()
        .filter(|name| PER_LISTENER.contains(&name.as_str()));
    refuse_all(
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        bare,
    )
}

fn refuse_all<'a>(words: &str, names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(request(format!("{words}: [{}]", names.join(", ")))),
    }
}

fn request(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn config(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

/// What a listener's own setting is called for all of them: `listener.name.NAME.KEY` is `KEY`.
fn base(name: &str) -> &str {
    let of_listener = name
        .strip_prefix("listener.name.")
        .and_then(|rest| rest.split_once('.'));
    of_listener.map_or(name, |(_, key)| key)
}

fn known<'a>(broker: &'a BrokerConfigs, name: &str) -> Option<&'a BrokerValue> {
    broker.values.get(base(name))
}

fn is_per_broker(name: &str) -> bool {
    let key = base(name);
    match key == name {
        true => key.starts_with("ssl.") || key.starts_with("sasl.") || PER_BROKER.contains(&key),
        false => !LISTENER_WIDE.contains(&key),
    }
}

/// The values that would hold after the change.
struct View<'a> {
    broker: &'a BrokerConfigs,
    changed: &'a Changed<'a>,
}

impl<'a> View<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        let now = || {
            let known = self.broker.values.get(name)?;
            known.set.as_deref().or(known.default.as_deref())
        };
        let new = self.changed.set.get(name).map(String::as_str);
        new.or_else(now)
    }

    /// The number if this resource sets it.
    fn new_number(&self, name: &str) -> Option<i64> {
        self.changed.set.get(name)?.trim().parse().ok()
    }
}

fn check_log_times(view: &View<'_>) -> Result<(), Refusal> {
    if view.new_number("log.roll.ms").is_some_and(|ms| ms < 1) {
        let words = "requirement failed: log.roll.ms must be greater than or equal to 1";
        return Err(request(words.to_owned()));
    }
    if view
        .new_number("log.roll.jitter.ms")
        .is_some_and(|ms| ms < 0)
    {
        let words = "requirement failed: log.roll.jitter.ms must be greater than or equal to 0";
        return Err(request(words.to_owned()));
    }
    if view.new_number("log.retention.ms") == Some(0) {
        let words = "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or \
                     equal to 1";
        return Err(request(words.to_owned()));
    }
    Ok(())
}

fn check_connections(view: &View<'_>) -> Result<(), Refusal> {
    const OVERRIDES: &str = "max.connections.per.ip.overrides";
    let overrides = view.text(OVERRIDES).unwrap_or_default();
    if view.new_number("max.connections.per.ip") == Some(0) && overrides.trim().is_empty() {
        let words = "requirement failed: max.connections.per.ip can be set to zero only if \
                     max.connections.per.ip.overrides property is set.";
        return Err(request(words.to_owned()));
    }
    if view.changed.set.contains_key(OVERRIDES) {
        parse_overrides(overrides)?;
    }
    for name in ["max.connections", "max.connection.creation.rate"] {
        if let Some(number) = view.new_number(name).filter(|number| *number <= 0) {
            return Err(dynamic(&format!("Invalid {name} {number}")));
        }
    }
    Ok(())
}

/// `ADDRESS:COUNT,...` of `max.connections.per.ip.overrides`.
///
/// # Errors
/// INVALID_REQUEST in Kafka's words; INVALID_CONFIG for host names, which are not looked up here.
pub fn parse_overrides(text: &str) -> Result<BTreeMap<IpAddr, u32>, Refusal> {
    let mut overrides = BTreeMap::new();
    for entry in value::entries(text) {
        let Some((host, count)) = entry.rsplit_once(':') else {
            return Err(request(format!(
                "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, \
                 length {}",
                entry.chars().count()
            )));
        };
        let (host, count) = (host.trim(), count.trim());
        let Ok(count) = count.parse::<u32>() else {
            return Err(request(format!("For input string: \"{count}\"")));
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
        if !host.chars().all(legal) {
            let words = "max.connections.per.ip.overrides contains invalid addresses";
            return Err(request(format!("{words} : {host}")));
        }
        let Ok(address) = host.parse::<IpAddr>() else {
            let lack = "host names are not looked up, write addresses";
            return Err(config(value::invalid(
                "max.connections.per.ip.overrides",
                text,
                lack,
            )));
        };
        overrides.insert(address.to_canonical(), count);
    }
    Ok(overrides)
}

fn check_threads(view: &View<'_>) -> Result<(), Refusal> {
    for name in THREADS {
        let Some(new) = view.new_number(name) else {
            continue;
        };
        let known = view.broker.values.get(*name);
        let now = known.and_then(|known| known.set.as_deref().or(known.default.as_deref()));
        let Some(now) = now.and_then(|now| now.trim().parse::<i64>().ok()) else {
            continue;
        };
        let failed = format!("Dynamic thread count update validation failed for {name}={new}");
        if new < now / 2 {
            return Err(dynamic(&format!(
                "{failed}, value should be at least half the current value {now}"
            )));
        }
        if new > now.saturating_mul(2) {
            return Err(dynamic(&format!(
                "{failed}, value should not be greater than double the current value {now}"
            )));
        }
    }
    Ok(())
}

/// Kafka wraps what a running part of it objects to.
fn dynamic(words: &str) -> Refusal {
    request(format!(
        "Invalid value org.apache.kafka.common.config.ConfigException: {words} for configuration Invalid \
         dynamic configuration"
    ))
}

/// Whether the engine does what a valid value asks for.
fn check_served(view: &View<'_>, name: &str) -> Result<(), Refusal> {
    let Some(text) = view.changed.set.get(name) else {
        return Ok(());
    };
    let refused = |lack: &str| Err(config(value::invalid(name, text, lack)));
    let Some(known) = view.broker.values.get(name) else {
        let lack = match known(view.broker, name) {
            Some(_) => "all listeners have the same settings here",
            None => "it is no broker key of Kafka 4.3, and there are no plug-ins",
        };
        return refused(lack);
    };
    let shown = value::canonical(known.kind, text);
    let same = |now: &Option<String>| {
        let now = now.as_deref().map(|now| value::canonical(known.kind, now));
        now.unwrap_or_default() == shown
    };
    let nothing_new = same(&known.default) || (known.set.is_some() && same(&known.set));
    match known.lack {
        Some(lack) if !nothing_new && known.kind == ConfigType::Password => {
            // A secret belongs into no message.
            Err(config(format!(
                "Invalid value for configuration {name}: {lack}"
            )))
        }
        Some(lack) if !nothing_new => refused(lack),
        _ => {
            let topic = TOPIC_KEYS
                .iter()
                .find(|key| key.synonyms.iter().any(|(synonym, _)| *synonym == name));
            match topic.and_then(|key| check::lack(key.name, shown.trim())) {
                Some(lack) => refused(lack),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Bounds;
    use super::*;

    fn key(kind: ConfigType, default: &str, bounds: &'static str) -> BrokerValue {
        BrokerValue {
            kind,
            default: Some(default.to_owned()),
            dynamic: true,
            bounds: Bounds::parse(bounds),
            ..BrokerValue::default()
        }
    }

    fn broker() -> BrokerConfigs {
        let int = |default, bounds| key(ConfigType::Int, default, bounds);
        let many = "2147483647";
        let values = [
            ("max.connections", int(many, "[0,...]")),
            ("max.connections.per.ip", int(many, "[0,...]")),
            (
                "max.connections.per.ip.overrides",
                key(ConfigType::String, "", ""),
            ),
            ("log.retention.ms", key(ConfigType::Long, "-", "")),
            ("log.roll.ms", key(ConfigType::Long, "-", "")),
            (
                "compression.type",
                key(ConfigType::String, "producer", "[gzip, producer]"),
            ),
            (
                "num.io.threads",
                BrokerValue {
                    lack: Some("no threads"),
                    ..int("8", "[1,...]")
                },
            ),
            (
                "num.partitions",
                BrokerValue {
                    dynamic: false,
                    ..int("1", "[1,...]")
                },
            ),
            (
                "log.dirs",
                BrokerValue {
                    dynamic: false,
                    ..key(ConfigType::List, "", "")
                },
            ),
            (
                "listeners",
                BrokerValue {
                    lack: Some("see [listen]"),
                    ..key(ConfigType::List, "", "")
                },
            ),
            (
                "ssl.keystore.password",
                BrokerValue {
                    lack: Some("no TLS"),
                    ..key(ConfigType::Password, "", "")
                },
            ),
            (
                "sasl.jaas.config",
                BrokerValue {
                    lack: Some("no SASL"),
                    ..key(ConfigType::Password, "", "")
                },
            ),
        ];
        BrokerConfigs {
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..BrokerConfigs::default()
        }
    }

    fn outcome(one_broker: bool, set: &[(&str, &str)]) -> String {
        let all: BTreeMap<String, String> = set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let news: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
        let changed = Changed {
            set: &all,
            news: &news,
            one_broker,
        };
        check(&broker(), &changed)
            .map_or_else(|refusal| refusal.to_string(), |()| "taken".to_owned())
    }

    #[test]
    fn kafkas_refusals_in_kafkas_order() {
        let one = |name, value| outcome(true, &[(name, value)]);
        assert_eq!(
            outcome(true, &[("num.partitions", "3"), ("log.dirs", "x")]),
            "INVALID_REQUEST: Cannot update these configs dynamically: [log.dirs, num.partitions]"
        );
        assert_eq!(
            one("log.retention.ms", "x"),
            "INVALID_REQUEST: Invalid value x for configuration log.retention.ms: Not a number of type LONG"
        );
        assert!(
            one("log.retention.ms", "0")
                .contains("must be unlimited (-1) or, greater than or equal to 1")
        );
        assert!(
            one("log.roll.ms", "0").ends_with("log.roll.ms must be greater than or equal to 1")
        );
        assert!(
            one("max.connections", "0").contains("ConfigException: Invalid max.connections 0 for")
        );
        assert!(
            one("num.io.threads", "64").contains("not be greater than double the current value 8")
        );
        assert!(one("num.io.threads", "3").contains("at least half the current value 8"));
        assert!(one("max.connections.per.ip", "0").contains("can be set to zero only if"));
        assert!(
            one("ssl.keystore.password", "x")
                .contains("using the listener prefix: [ssl.keystore.password]")
        );
        for name in [
            "listeners",
            "sasl.jaas.config",
            "listener.name.x.ssl.keystore.password",
        ] {
            let refused = outcome(false, &[(name, "x")]);
            assert!(
                refused.contains("broker id must be specified"),
                "{name}: {refused}"
            );
        }
    }

    #[test]
    fn what_the_engine_lacks_is_refused_unless_it_asks_for_nothing() {
        let one = |name, value| outcome(true, &[(name, value)]);
        assert_eq!(one("num.io.threads", "8"), "taken");
        assert_eq!(
            one("num.io.threads", "9"),
            "INVALID_CONFIG: Invalid value 9 for configuration num.io.threads: no threads"
        );
        assert_eq!(one("compression.type", "gzip"), "taken");
        assert!(one("no.such", "1").contains("no broker key of Kafka 4.3"));
        assert!(one("listener.name.x.max.connections", "5").contains("the same settings"));
        let secret = one("sasl.jaas.config", "hunter2");
        assert!(
            secret.starts_with("INVALID_CONFIG") && !secret.contains("hunter2"),
            "{secret}"
        );
        assert_eq!(one("log.retention.ms", "5"), "taken");
        assert_eq!(one("max.connections", "5"), "taken");
    }

    #[test]
    fn overrides_name_addresses() {
        let read = |text: &str| parse_overrides(text).map_err(|refusal| refusal.to_string());
        let all = read("127.0.0.1:5, ::1:7").unwrap();
        assert_eq!(all.get(&"::1".parse::<IpAddr>().unwrap()), Some(&7));
        assert_eq!(all.len(), 2);
        assert!(
            read("junk")
                .unwrap_err()
                .ends_with("begin 0, end -1, length 4")
        );
        assert!(
            read("127.0.0.1:x")
                .unwrap_err()
                .contains("For input string: \"x\"")
        );
        assert!(
            read("no host:5")
                .unwrap_err()
                .contains("invalid addresses : no host")
        );
        assert!(
            read("localhost:5")
                .unwrap_err()
                .starts_with("INVALID_CONFIG")
        );
        let both = [
            ("max.connections.per.ip", "0"),
            ("max.connections.per.ip.overrides", "127.0.0.1:5"),
        ];
        assert_eq!(outcome(true, &both), "taken");
    }
}
