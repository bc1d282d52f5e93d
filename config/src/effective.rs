//! What holds in the end, key by key: value, default, and who set it. Pure.
//!
//! For people who look at a configuration (`thalweg config show` and `diff`). Deliberately absent: what
//! `auto` becomes on a machine, and what was set in a running cluster: neither is known without the node.

use crate::facts::{self, KafkaType};
use crate::kafka;
use crate::merge::{Key, Values};
use crate::report::Origin;
use crate::settings::own_keys;
use crate::units::show_number;

/// One setting as it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What the value belongs to.
    pub key: Key,
    /// What holds; `None` is Kafka's null.
    pub value: Option<String>,
    /// What would hold if nobody had set it.
    pub default: Option<String>,
    /// Who set it.
    pub origin: Origin,
    /// Never to be shown.
    pub secret: bool,
}

impl Row {
    /// Whether somebody set it.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.origin != Origin::Default
    }

    /// The value for people: a bare number also with its unit, a secret not at all.
    #[must_use]
    pub fn shown(&self) -> String {
        let name = match &self.key {
            Key::Own(name) | Key::Kafka(name) => name,
            Key::Topic { key, .. } => key,
        };
        match &self.value {
            Some(_) if self.secret => "(hidden)".to_owned(),
            Some(value) => match show_number(name, value) {
                Some(with_unit) => format!("{value} ({with_unit})"),
                None => value.clone(),
            },
            None => "-".to_owned(),
        }
    }
}

/// Every setting of ours, every broker key of Kafka's, and each config that is set for a topic to come.
#[must_use]
pub fn rows(values: &Values) -> Vec<Row> {
    let own = own_keys().map(|own| {
        let key = Key::Own(own.name);
        let set = values.get(&key);
        Row {
            value: Some(set.map_or_else(|| own.default.to_owned(), |set| set.text.clone())),
            default: Some(own.default.to_owned()),
            origin: set.map_or(Origin::Default, |set| set.origin.clone()),
            secret: false,
            key,
        }
    });
    let kafka = kafka::broker_configs(values).into_iter().map(|config| Row {
        key: Key::Kafka(config.key.name),
        value: config.value,
        default: config.key.default.map(str::to_owned),
        origin: config.origin,
        secret: config.key.kind == KafkaType::Password,
    });
    let topics = values.iter().filter_map(|(key, set)| {
        let Key::Topic { key: name, .. } = key else {
            return None;
        };
        let known = facts::topic_key(name);
        Some(Row {
            key: key.clone(),
            value: Some(set.text.clone()),
            default: known.and_then(|known| known.default).map(str::to_owned),
            origin: set.origin.clone(),
            secret: false,
        })
    });
    own.chain(kafka).chain(topics).collect()
}
