//! DescribeConfigs, for topics and for this broker.
//!
//! Another broker's configs are its own to tell. Deliberately absent: loggers, client metrics and groups,
//! which have no configs here yet, and documentation texts.

use thalweg_wire::bytes::Array;
use thalweg_wire::messages::describe_configs_request::{
    DescribeConfigsRequestView, DescribeConfigsResourceView,
};
use thalweg_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};

use super::effective::{BrokerConfigs, Link, Source};
use super::keys::{ConfigType, TOPIC_KEYS};
use crate::controller::names::check_name;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource};

/// Answers DescribeConfigs.
#[must_use]
pub fn describe(
    image: &Image,
    broker: &BrokerConfigs,
    request: &DescribeConfigsRequestView<'_>,
) -> DescribeConfigsResponse<'static> {
    let results = request.resources.iter().map(|resource| {
        let described = one(image, broker, &resource, request.include_synonyms);
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_owned().into(),
            ..DescribeConfigsResult::default()
        };
        match described {
            Ok(configs) => result.configs = configs,
            Err(refusal) => {
                result.error_code = refusal.code as i16;
                result.error_message = refusal.text();
            }
        }
        result
    });
    DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: results.collect(),
    }
}

type Entries = Vec<DescribeConfigsResourceResult<'static>>;

fn one(
    image: &Image,
    broker: &BrokerConfigs,
    resource: &DescribeConfigsResourceView<'_>,
    synonyms: bool,
) -> Result<Entries, Refusal> {
    let wanted = Wanted {
        keys: resource.configuration_keys,
        synonyms,
    };
    match resource.resource_type {
        Resource::TOPIC => topic(image, broker, resource.resource_name, wanted),
        Resource::BROKER => of_broker(image, broker, resource.resource_name, wanted),
        kind => {
            let message = format!("Unsupported resource type: {kind}");
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
    }
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    keys: Option<Array<'a, &'a str>>,
    synonyms: bool,
}

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        match &self.keys {
            Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == name),
            _ => true,
        }
    }

    fn entry(
        &self,
        name: &str,
        kind: ConfigType,
        chain: Vec<Link>,
    ) -> DescribeConfigsResourceResult<'static> {
        let sensitive = kind == ConfigType::Password;
        let shown = |value: Option<String>| match sensitive {
            true => None,
            false => value.map(Into::into),
        };
        let first = chain.first();
        let value = first.and_then(|link| link.value.clone());
        let config_source = first.map_or(Source::Default, |link| link.source) as i8;
        let synonym = |link: Link| DescribeConfigsSynonym {
            name: link.name.into(),
            value: shown(link.value),
            source: link.source as i8,
        };
        let synonyms = match self.synonyms {
            true => chain.into_iter().map(synonym).collect(),
            false => Vec::new(),
        };
        DescribeConfigsResourceResult {
            name: name.to_owned().into(),
            value: shown(value),
            config_source,
            is_sensitive: sensitive,
            synonyms,
            config_type: kind as i8,
            ..DescribeConfigsResourceResult::default()
        }
    }
}

fn topic(
    image: &Image,
    broker: &BrokerConfigs,
    name: &str,
    wanted: Wanted<'_>,
) -> Result<Entries, Refusal> {
    check_name(name)?;
    if image.topics.named(name).is_none() {
        return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
    }
    let keys = TOPIC_KEYS.iter().filter(|key| wanted.has(key.name));
    let entries = keys.map(|key| {
        let mut entry = wanted.entry(key.name, key.kind, broker.topic_chain(image, name, key));
        if entry.value.is_none() {
            entry.value = Some(key.default.into());
        }
        entry
    });
    Ok(entries.collect())
}

fn of_broker(
    image: &Image,
    broker: &BrokerConfigs,
    name: &str,
    wanted: Wanted<'_>,
) -> Result<Entries, Refusal> {
    if name.is_empty() {
        return Ok(all_brokers(image, broker, wanted));
    }
    let refused = |message| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    match name.parse::<i32>() {
        Err(_) => return refused(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id != broker.node.0 => {
            let ours = broker.node;
            return refused(format!(
                "Unexpected broker id, expected {ours} or empty string, but received {id}"
            ));
        }
        Ok(_) => {}
    }
    let keys = broker.values.iter().filter(|(name, _)| wanted.has(name));
    let entries = keys.map(|(name, value)| {
        let mut entry = wanted.entry(name, value.kind, broker.broker_chain(image, name));
        entry.read_only = !value.dynamic;
        entry
    });
    Ok(entries.collect())
}

/// What was set for all brokers, and nothing else.
fn all_brokers(image: &Image, broker: &BrokerConfigs, wanted: Wanted<'_>) -> Entries {
    let Some(set) = image.configs.get(&Resource::broker_default()) else {
        return Vec::new();
    };
    let set = set.iter().filter(|(name, _)| wanted.has(name));
    let entries = set.map(|(name, value)| {
        let kind = broker
            .values
            .get(name)
            .map_or(ConfigType::String, |known| known.kind);
        let link = Link {
            name: name.clone(),
            value: Some(value.clone()),
            source: Source::DynamicDefault,
        };
        wanted.entry(name, kind, vec![link])
    });
    entries.collect()
}
