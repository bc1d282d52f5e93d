//! What a key means: what can be written, what holds without it, what it does, and what it takes to change
//! it. Pure.
//!
//! Deliberately absent: what topic keys do, which the coordinator knows; only their names are here, so that
//! a mistyped one finds the nearest.

use crate::facts::{self, KafkaKey, KafkaType};
use crate::kafka::{self, Treatment};
use crate::nearest;
use crate::settings::{OwnKey, own_key, own_keys};

/// What it takes for a changed value to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// The node has to be started again.
    Restart,
    /// It can be set while the node runs.
    Live,
    /// Nothing: the key has no effect.
    NoEffect,
}

/// One key explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// As it is written.
    pub key: &'static str,
    /// What can be written for it.
    pub accepts: String,
    /// What holds without it; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// What it does here.
    pub doc: String,
    /// What it takes to change it.
    pub reload: Reload,
}

/// A setting of ours of that name.
#[must_use]
pub fn own(name: &str) -> Option<Explanation> {
    let OwnKey {
        name,
        default,
        doc,
        accepts,
    } = own_key(name)?;
    Some(Explanation {
        key: name,
        accepts: accepts(),
        default: Some(default),
        doc: doc.trim().to_owned(),
        reload: Reload::Restart,
    })
}

/// A broker key of Kafka's of that name.
#[must_use]
pub fn broker(name: &str) -> Option<Explanation> {
    let key = facts::broker_key(name)?;
    let reload = match kafka::treatment(key.name) {
        Treatment::Honoured | Treatment::TopicDefault if key.dynamic => Reload::Live,
        Treatment::Instead(_) | Treatment::Refused(_) => Reload::NoEffect,
        _ => Reload::Restart,
    };
    Some(Explanation {
        key: key.name,
        accepts: accepted(key),
        default: key.default,
        doc: kafka::doc(key.name),
        reload,
    })
}

/// What can be written for a key of Kafka's: its type, and its bounds in Kafka's notation.
#[must_use]
pub fn accepted(key: &KafkaKey) -> String {
    let kind = match key.kind {
        KafkaType::Boolean => "boolean",
        KafkaType::String => "string",
        KafkaType::Int => "int",
        KafkaType::Short => "short",
        KafkaType::Long => "long",
        KafkaType::Double => "double",
        KafkaType::List => "list",
        KafkaType::Class => "class",
        KafkaType::Password => "password",
    };
    match key.bounds {
        "" | "-" => kind.to_owned(),
        bounds => format!("{kind}, {bounds}"),
    }
}

/// The key that somebody probably meant.
#[must_use]
pub fn nearest_key(name: &str) -> Option<&'static str> {
    let own = own_keys().map(|key| key.name);
    let kafka = facts::broker_keys().iter().chain(facts::topic_keys());
    nearest::nearest(name, own.chain(kafka.map(|key| key.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained() {
        for key in own_keys() {
            let told = own(key.name).unwrap();
            assert!(!told.doc.is_empty() && !told.accepts.is_empty(), "{told:?}");
        }
        for key in facts::broker_keys() {
            let told = broker(key.name).unwrap();
            assert!(!told.doc.is_empty() && !told.accepts.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn keys_say_what_it_takes_to_change_them() {
        let reload = |name| broker(name).unwrap().reload;
        assert_eq!(reload("message.max.bytes"), Reload::Live);
        assert_eq!(reload("num.network.threads"), Reload::NoEffect);
        assert_eq!(reload("node.id"), Reload::Restart);
        assert_eq!(own("shards.count").unwrap().reload, Reload::Restart);
        assert_eq!(nearest_key("shards.cuont"), Some("shards.count"));
        assert_eq!(nearest_key("retention.mss"), Some("retention.ms"));
    }
}
