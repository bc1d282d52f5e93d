//! DescribeConfigs: values of topics, of this broker and of all, of groups and subscriptions, each with its
//! source, its synonyms and what it does here.
//!
//! Another broker's configs are its own to tell. There are no loggers to name, so theirs is an empty list.
//! Documentation is ours, not Kafka's: it says what a key does in this engine. Deliberately absent: changes.

use std::borrow::Cow;

use thalweg_wire::bytes::Array;
use thalweg_wire::messages::describe_configs_request::{
    DescribeConfigsRequestView, DescribeConfigsResourceView,
};
use thalweg_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};

use super::effective::{BrokerConfigs, Link, Source};
use super::groups::{CLIENT_METRICS_KEYS, GROUP_KEYS, SmallKey};
use super::keys::{ConfigType, TOPIC_KEYS, TopicKey};
use super::value;
use crate::controller::names::check_name;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource};

/// Entries of one answer: every key of 15,000 topics. A request of a few bytes a resource could ask for
/// gigabytes otherwise.
pub const ENTRIES_MAX: usize = 500_000;
/// Resources of one request that are looked at.
pub const RESOURCES_MAX: usize = 50_000;
const DESCRIBED: [i8; 5] = [
    Resource::TOPIC,
    Resource::BROKER,
    Resource::BROKER_LOGGER,
    Resource::CLIENT_METRICS,
    Resource::GROUP,
];

/// Answers DescribeConfigs.
#[must_use]
pub fn describe(
    image: &Image,
    broker: &BrokerConfigs,
    request: &DescribeConfigsRequestView<'_>,
) -> DescribeConfigsResponse<'static> {
    let mut entries = 0;
    // One resource of a type that nobody describes refuses all, as in Kafka.
    let mut types = request.resources.iter().map(|r| r.resource_type);
    let stranger = types.find(|kind| !DESCRIBED.contains(kind));
    let results = request.resources.iter().enumerate().map(|(at, resource)| {
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_owned().into(),
            // Kafka has no null here.
            error_message: Some(Cow::Borrowed("")),
            ..DescribeConfigsResult::default()
        };
        if at >= RESOURCES_MAX || entries >= ENTRIES_MAX {
            result.error_code = ErrorCode::PolicyViolation.code();
            result.error_message = Some("too much for one answer, ask for the rest".into());
            return result;
        }
        let asks = Asks {
            image,
            broker,
            keys: resource.configuration_keys,
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let found = match stranger {
            None => asks.resource(&resource),
            Some(kind) => Err(refused(&format!("Unexpected resource type {kind}"))),
        };
        match found {
            Ok(configs) => {
                entries += configs.len();
                result.configs = configs;
            }
            Err(refusal) => {
                result.error_code = refusal.code.code();
                result.error_message = refusal.text().or(Some(Cow::Borrowed("")));
            }
        }
        result
    });
    DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: results.collect(),
    }
}

type Entry = DescribeConfigsResourceResult<'static>;

/// What is asked about one resource.
struct Asks<'a> {
    image: &'a Image,
    broker: &'a BrokerConfigs,
    keys: Option<Array<'a, &'a str>>,
    synonyms: bool,
    documentation: bool,
}

/// One key, before the request decides how much of it is shown.
struct Shown {
    name: Cow<'static, str>,
    kind: ConfigType,
    value: Option<String>,
    chain: Vec<Link>,
    read_only: bool,
    doc: Option<Cow<'static, str>>,
}

impl Asks<'_> {
    fn resource(&self, resource: &DescribeConfigsResourceView<'_>) -> Result<Vec<Entry>, Refusal> {
        let name = resource.resource_name;
        match resource.resource_type {
            Resource::TOPIC => self.topic(name),
            Resource::BROKER if name.is_empty() => Ok(self.all_brokers()),
            Resource::BROKER => self.this_broker(name),
            Resource::BROKER_LOGGER => self.loggers(name),
            Resource::CLIENT_METRICS if name.is_empty() => Err(refused(
                "Client metrics subscription name must not be empty",
            )),
            Resource::CLIENT_METRICS => {
                let resource = of_kind(Resource::CLIENT_METRICS, name);
                Ok(self.small(&resource, CLIENT_METRICS_KEYS, Source::ClientMetrics))
            }
            Resource::GROUP if name.is_empty() => Err(refused("Group name must not be empty")),
            Resource::GROUP => {
                let resource = of_kind(Resource::GROUP, name);
                Ok(self.small(&resource, GROUP_KEYS, Source::Group))
            }
            kind => Err(refused(&format!("Unexpected resource type {kind}"))),
        }
    }

    fn wants(&self, name: &str) -> bool {
        match &self.keys {
            Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == name),
            _ => true,
        }
    }

    fn entry(&self, shown: Shown) -> Entry {
        let sensitive = matches!(shown.kind, ConfigType::Password | ConfigType::Unknown);
        let visible = |value: Option<String>| value.filter(|_| !sensitive).map(Cow::Owned);
        let first = shown.chain.first();
        let config_source = first.map_or(Source::Default, |link| link.source) as i8;
        let synonyms = match self.synonyms {
            true => shown.chain,
            false => Vec::new(),
        };
        let synonyms = synonyms.into_iter().map(|link| DescribeConfigsSynonym {
            name: link.name.into(),
            value: visible(link.value),
            source: link.source as i8,
        });
        Entry {
            synonyms: synonyms.collect(),
            name: shown.name,
            value: visible(shown.value),
            config_source,
            is_sensitive: sensitive,
            read_only: shown.read_only,
            config_type: shown.kind as i8,
            documentation: shown.doc.filter(|_| self.documentation),
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<Entry>, Refusal> {
        check_name(name)?;
        if self.image.topics.named(name).is_none() {
            return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
        }
        let resource = Resource::topic(name);
        let keys = TOPIC_KEYS.iter().filter(|key| self.wants(key.name));
        Ok(keys.map(|key| self.topic_key(&resource, key)).collect())
    }

    fn topic_key(&self, resource: &Resource, key: &TopicKey) -> Entry {
        let (value, _) = self.broker.topic_value(self.image, &resource.name, key);
        let value = value::canonical(key.kind, &value);
        let own = self.image.config(resource, key.name).map(|_| Link {
            name: key.name.to_owned(),
            value: Some(value.clone()),
            source: Source::Topic,
        });
        let synonym = key.synonyms.first().map(|(name, _)| *name);
        let rest = synonym.map(|name| self.broker.shown_chain(self.image, name));
        self.entry(Shown {
            name: key.name.into(),
            kind: key.kind,
            value: Some(value),
            chain: own.into_iter().chain(rest.into_iter().flatten()).collect(),
            read_only: false,
            doc: Some(key.doc.into()),
        })
    }

    fn this_broker(&self, name: &str) -> Result<Vec<Entry>, Refusal> {
        let ours = self.broker.node;
        let id = broker_id(name)?;
        if id != ours.0 {
            return Err(refused(&format!(
                "Unexpected broker id, expected {ours} or empty string, but received {name}"
            )));
        }
        let keys = self.broker.values.iter();
        let keys = keys.filter(|(name, _)| self.wants(name));
        let entries = keys.map(|(name, known)| {
            let first = self
                .broker
                .broker_chain(self.image, name)
                .into_iter()
                .next();
            let value = first.and_then(|link| link.value);
            self.entry(Shown {
                name: name.clone().into(),
                kind: known.kind,
                value: value.map(|value| value::canonical(known.kind, &value)),
                chain: self.broker.shown_chain(self.image, name),
                read_only: !known.dynamic,
                doc: Some(known.doc.clone().into()),
            })
        });
        Ok(entries.collect())
    }

    /// What was set for all brokers, and nothing else.
    fn all_brokers(&self) -> Vec<Entry> {
        let Some(set) = self.image.configs.get(&Resource::broker_default()) else {
            return Vec::new();
        };
        let set = set.iter().filter(|(name, _)| self.wants(name));
        let entries = set.map(|(name, value)| {
            let known = self.broker.values.get(name);
            let link = Link {
                name: name.clone(),
                value: Some(value.clone()),
                source: Source::DynamicDefault,
            };
            self.entry(Shown {
                name: name.clone().into(),
                kind: known.map_or(ConfigType::Unknown, |known| known.kind),
                value: Some(value.clone()),
                chain: vec![link],
                read_only: known.is_none_or(|known| !known.dynamic),
                doc: known.map(|known| known.doc.clone().into()),
            })
        });
        entries.collect()
    }

    fn loggers(&self, name: &str) -> Result<Vec<Entry>, Refusal> {
        if name.is_empty() {
            return Err(refused("Broker id must not be empty"));
        }
        let ours = self.broker.node;
        match broker_id(name)? == ours.0 {
            true => Ok(Vec::new()),
            false => Err(refused(&format!(
                "Unexpected broker id, expected {ours} but received {name}"
            ))),
        }
    }

    fn small(&self, resource: &Resource, keys: &[SmallKey], source: Source) -> Vec<Entry> {
        let keys = keys.iter().filter(|key| self.wants(key.name));
        let entries = keys.map(|key| {
            let value = self.broker.small_value(self.image, resource, key);
            let value = value::canonical(key.kind, &value);
            let set = self.image.config(resource, key.name).is_some();
            let own = |source| Link {
                name: key.name.to_owned(),
                value: Some(value.clone()),
                source,
            };
            let mut chain: Vec<Link> = set.then(|| own(source)).into_iter().collect();
            match key.synonym {
                Some(name) => chain.extend(self.broker.shown_chain(self.image, name)),
                None if source == Source::Group && !set => chain.push(own(Source::Default)),
                None => {}
            }
            self.entry(Shown {
                name: key.name.into(),
                kind: key.kind,
                value: Some(value),
                chain,
                read_only: false,
                doc: Some(key.doc.into()),
            })
        });
        entries.collect()
    }
}

fn of_kind(kind: i8, name: &str) -> Resource {
    Resource {
        kind,
        name: name.to_owned(),
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn broker_id(name: &str) -> Result<i32, Refusal> {
    let id = name.parse::<i32>().ok();
    id.ok_or_else(|| refused(&format!("Broker id must be an integer, but it is: {name}")))
}
