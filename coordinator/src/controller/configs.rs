//! IncrementalAlterConfigs and AlterConfigs: what a request makes of a resource's configs.
//!
//! Resources stand or fall each for itself, and a resource with all of its changes: either every key is
//! as asked, or none. Both requests become the same list of changes; AlterConfigs also takes away what it
//! does not name. A broker's records are written even if nothing changes, as Kafka does: someone may want
//! it to look again. Deliberately absent: what values mean (`crate::configs`).

use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::messages::alter_configs_request::AlterConfigsRequestView;
use thalweg_wire::messages::alter_configs_response::{
    AlterConfigsResourceResponse as Altered, AlterConfigsResponse,
};
use thalweg_wire::messages::clear_elr_record::ClearElrRecord;
use thalweg_wire::messages::config_record::ConfigRecord;
use thalweg_wire::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequestView;
use thalweg_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse as Incremented, IncrementalAlterConfigsResponse,
};

use super::Outcome;
use super::features::ELIGIBLE_LEADER_REPLICAS;
use super::names::check_name;
use crate::configs::broker::{self, Changed};
use crate::configs::check::{check_served, check_valid};
use crate::configs::effective::BrokerConfigs;
use crate::configs::keys::{ConfigType, topic_key};
use crate::configs::value::edited;
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource};
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Resources and changes of one request, together: what one batch of the metadata log takes.
pub const CHANGES_MAX: usize = PROPOSAL_RECORDS_MAX;

const MIN_INSYNC: &str = "min.insync.replicas";

/// What becomes of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Set,
    Delete,
    Append,
    Subtract,
    Unknown(i8),
}

/// What is asked of one resource.
pub(super) struct Asked<'a> {
    kind: i8,
    pub(super) name: &'a str,
    pub(super) changes: Vec<(&'a str, Op, Option<&'a str>)>,
    /// Keys that are not named go.
    replace: bool,
}

/// Works an IncrementalAlterConfigs request.
pub fn incremental(
    image: &Image,
    broker: &BrokerConfigs,
    request: &IncrementalAlterConfigsRequestView<'_>,
) -> Outcome<IncrementalAlterConfigsResponse<'static>> {
    let op = |code| match code {
        0 => Op::Set,
        1 => Op::Delete,
        2 => Op::Append,
        3 => Op::Subtract,
        other => Op::Unknown(other),
    };
    let count = request.resources.iter().map(|one| 1 + one.configs.len());
    let fits = count.sum::<usize>() <= CHANGES_MAX;
    let asked = request.resources.iter().map(|one| Asked {
        kind: one.resource_type,
        name: one.resource_name,
        changes: one
            .configs
            .iter()
            .map(|config| (config.name, op(config.config_operation), config.value))
            .collect(),
        replace: false,
    });
    let work = Work { image, broker };
    let (verdicts, records) = work.alter(asked, fits);
    let responses = request.resources.iter().zip(verdicts);
    let responses = responses.map(|(one, verdict)| {
        let (error_code, error_message) = told(verdict);
        Incremented {
            error_code,
            error_message,
            resource_type: one.resource_type,
            resource_name: one.resource_name.to_owned().into(),
        }
    });
    Outcome {
        response: IncrementalAlterConfigsResponse {
            throttle_time_ms: 0,
            responses: responses.collect(),
        },
        records: if request.validate_only {
            Vec::new()
        } else {
            records
        },
    }
}

/// Works an AlterConfigs request.
pub fn legacy(
    image: &Image,
    broker: &BrokerConfigs,
    request: &AlterConfigsRequestView<'_>,
) -> Outcome<AlterConfigsResponse<'static>> {
    let count = request.resources.iter().map(|one| 1 + one.configs.len());
    let fits = count.sum::<usize>() <= CHANGES_MAX;
    let asked = request.resources.iter().map(|one| Asked {
        kind: one.resource_type,
        name: one.resource_name,
        changes: one
            .configs
            .iter()
            .map(|config| (config.name, Op::Set, config.value))
            .collect(),
        replace: true,
    });
    let work = Work { image, broker };
    let (verdicts, records) = work.alter(asked, fits);
    let responses = request.resources.iter().zip(verdicts);
    let responses = responses.map(|(one, verdict)| {
        let (error_code, error_message) = told(verdict);
        Altered {
            error_code,
            error_message,
            resource_type: one.resource_type,
            resource_name: one.resource_name.to_owned().into(),
        }
    });
    Outcome {
        response: AlterConfigsResponse {
            throttle_time_ms: 0,
            responses: responses.collect(),
        },
        records: if request.validate_only {
            Vec::new()
        } else {
            records
        },
    }
}

fn told(verdict: Result<(), Refusal>) -> (i16, Option<std::borrow::Cow<'static, str>>) {
    match verdict {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.code.code(), refusal.text()),
    }
}

pub(super) fn request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

pub(super) fn config(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

pub(super) struct Work<'a> {
    pub(super) image: &'a Image,
    pub(super) broker: &'a BrokerConfigs,
}

/// What a resource's configs become.
pub(super) struct Becomes<'a> {
    /// All of them afterwards.
    pub(super) set: BTreeMap<String, String>,
    /// Keys that are set by this request, in its order.
    pub(super) news: Vec<&'a str>,
    /// Records to be written, in its order; deletions that nobody named come last.
    records: Vec<(String, Option<String>)>,
}

impl Work<'_> {
    fn alter<'a>(
        &self,
        asked: impl Iterator<Item = Asked<'a>>,
        fits: bool,
    ) -> (Vec<Result<(), Refusal>>, Vec<Proposed>) {
        if !fits {
            let too_many = Refusal::bare(ErrorCode::PolicyViolation);
            return (asked.map(|_| Err(too_many.clone())).collect(), Vec::new());
        }
        let asked: Vec<Asked<'a>> = asked.collect();
        let mut seen = BTreeSet::new();
        let doubles: BTreeSet<(i8, &str)> = asked
            .iter()
            .map(|one| (one.kind, one.name))
            .filter(|resource| !seen.insert(*resource))
            .collect();
        let mut records = Vec::new();
        let verdict = |one: &Asked<'a>| {
            if doubles.contains(&(one.kind, one.name)) {
                return Err(request("Each resource must appear at most once."));
            }
            let proposed = self.one(one)?;
            // A resource must not be torn apart, and all resources share a batch.
            if records.len() + proposed.len() > PROPOSAL_RECORDS_MAX {
                return Err(Refusal::bare(ErrorCode::PolicyViolation));
            }
            records.extend(proposed);
            Ok(())
        };
        let verdicts = asked.iter().map(verdict).collect();
        (verdicts, records)
    }

    fn one(&self, asked: &Asked<'_>) -> Result<Vec<Proposed>, Refusal> {
        let mut seen = BTreeSet::new();
        if !asked.changes.iter().all(|(name, ..)| seen.insert(*name)) {
            return Err(request("Error due to duplicate config keys"));
        }
        let nulls = asked.changes.iter();
        let nulls = nulls.filter(|(_, op, value)| *op != Op::Delete && value.is_none());
        let nulls: Vec<&str> = nulls.map(|(name, ..)| *name).collect();
        if !nulls.is_empty() {
            let names = nulls.join(", ");
            return Err(request(format!("Null value not supported for : {names}")));
        }
        match asked.kind {
            Resource::TOPIC => self.topic(asked),
            Resource::BROKER => self.of_broker(asked),
            Resource::BROKER_LOGGER if !asked.replace => self.logger(asked).map(|()| Vec::new()),
            Resource::CLIENT_METRICS => self.client_metrics(asked),
            Resource::GROUP => self.group(asked),
            kind => Err(request(format!("Unknown resource type {kind}"))),
        }
    }

    /// What the changes make of what is there.
    pub(super) fn becomes<'a>(
        &self,
        resource: &Resource,
        asked: &Asked<'a>,
        default: impl Fn(&str) -> Option<String>,
    ) -> Result<Becomes<'a>, Refusal> {
        let now = self.image.configs.get(resource);
        let mut becomes = Becomes {
            set: now.map(|set| (**set).clone()).unwrap_or_default(),
            news: Vec::new(),
            records: Vec::new(),
        };
        for (name, op, value) in &asked.changes {
            let old = becomes.set.get(*name);
            let value = value.unwrap_or_default();
            let new = match op {
                Op::Set => Some(value.to_owned()),
                Op::Delete => None,
                Op::Append | Op::Subtract => {
                    let list = old.cloned().or_else(|| default(name)).unwrap_or_default();
                    Some(edited(&list, *op == Op::Append, value))
                }
                Op::Unknown(code) => {
                    return Err(request(format!("Unknown operations type {code}")));
                }
            };
            if old != new.as_ref() || resource.kind == Resource::BROKER {
                becomes.records.push(((*name).to_owned(), new.clone()));
            }
            match new {
                Some(new) => {
                    becomes.news.push(name);
                    becomes.set.insert((*name).to_owned(), new);
                }
                None => {
                    becomes.set.remove(*name);
                }
            }
        }
        if asked.replace {
            let named: BTreeSet<&str> = asked.changes.iter().map(|(name, ..)| *name).collect();
            let gone = becomes.set.keys();
            let gone: Vec<String> = gone
                .filter(|name| !named.contains(name.as_str()))
                .cloned()
                .collect();
            for name in gone {
                becomes.set.remove(&name);
                becomes.records.push((name, None));
            }
        }
        Ok(becomes)
    }

    fn topic(&self, asked: &Asked<'_>) -> Result<Vec<Proposed>, Refusal> {
        let list = |name: &str| topic_key(name).filter(|key| key.kind == ConfigType::List);
        check_lists(asked, |name| list(name).is_some())?;
        let resource = Resource::topic(asked.name);
        let default = |name: &str| Some(list(name)?.default.to_owned());
        let becomes = self.becomes(&resource, asked, default)?;
        if asked.name.is_empty() {
            return Err(request("Default topic resources are not allowed."));
        }
        check_name(asked.name)?;
        check_valid(&becomes.set)?;
        if self.image.topics.named(asked.name).is_none() {
            let message = format!("The topic '{}' does not exist.", asked.name);
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        for name in &becomes.news {
            check_served(name, becomes.set.get(*name).map_or("", String::as_str))?;
        }
        Ok(self.proposed(&resource, becomes))
    }

    fn of_broker(&self, asked: &Asked<'_>) -> Result<Vec<Proposed>, Refusal> {
        let one_broker = !asked.name.is_empty();
        if one_broker {
            self.check_node(asked.name, |ours, id| {
                format!("Unexpected broker id, expected {ours}, but received {id}")
            })?;
        }
        let resource = Resource {
            kind: Resource::BROKER,
            name: asked.name.to_owned(),
        };
        for (name, op, _) in &asked.changes {
            let word = match op {
                Op::Append => "append",
                Op::Subtract => "subtract",
                _ => continue,
            };
            match self.broker.values.get(*name) {
                None => return Err(config(format!("Unknown config name: {name}"))),
                Some(known) if known.kind != ConfigType::List => {
                    return Err(config(format!(
                        "Config value {word} is not allowed for config key: {name}"
                    )));
                }
                Some(_) => {}
            }
        }
        let default = |name: &str| self.broker.values.get(name)?.default.clone();
        let mut becomes = self.becomes(&resource, asked, default)?;
        let changed = Changed {
            set: &becomes.set,
            news: &becomes.news,
            one_broker,
        };
        broker::check(self.broker, &changed)?;
        self.check_min_insync(one_broker, &becomes)?;
        // Nothing is written about a key that nobody knows and nobody set.
        let now = self.image.configs.get(&resource);
        becomes.records.retain(|(name, _)| {
            self.broker.values.contains_key(name) || now.is_some_and(|now| now.contains_key(name))
        });
        Ok(self.proposed(&resource, becomes))
    }

    /// Where eligible leader replicas are kept, the least number in sync is the cluster's or a topic's.
    fn check_min_insync(&self, one_broker: bool, becomes: &Becomes<'_>) -> Result<(), Refusal> {
        let mut touched = becomes
            .records
            .iter()
            .filter(|(name, _)| name == MIN_INSYNC);
        let elr = self.image.feature(ELIGIBLE_LEADER_REPLICAS) > 0;
        match touched.next().filter(|_| elr) {
            Some(_) if one_broker => Err(config(
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            )),
            Some((_, None)) => Err(config(
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn check_node(
        &self,
        name: &str,
        words: impl Fn(i32, &str) -> String,
    ) -> Result<(), Refusal> {
        let ours = self.broker.node.0;
        match name.parse::<i32>() {
            Err(_) => Err(request(format!(
                "Node id must be an integer, but it is: {name}"
            ))),
            Ok(id) if id != ours => Err(request(words(ours, name))),
            Ok(_) => Ok(()),
        }
    }

    pub(super) fn proposed(&self, resource: &Resource, becomes: Becomes<'_>) -> Vec<Proposed> {
        let elr = self.image.feature(ELIGIBLE_LEADER_REPLICAS) > 0;
        let clears = elr && becomes.records.iter().any(|(name, _)| name == MIN_INSYNC);
        let mut records: Vec<Proposed> = becomes
            .records
            .into_iter()
            .map(|(name, value)| config_record(resource, name, value))
            .collect();
        if clears {
            // Which replicas are eligible follows from the number: they are found anew.
            let topic_name = match resource.kind {
                Resource::TOPIC => resource.name.clone(),
                _ => String::new(),
            };
            let record = ClearElrRecord {
                topic_name: topic_name.into(),
            };
            records.push(Proposed::new(record, 0));
        }
        records
    }
}

/// Only lists can be added to and taken from.
pub(super) fn check_lists(
    asked: &Asked<'_>,
    is_list: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    for (name, op, _) in &asked.changes {
        let word = match op {
            Op::Append => "APPEND",
            Op::Subtract => "SUBTRACT",
            _ => continue,
        };
        if !is_list(name) {
            return Err(config(format!(
                "Can't {word} to key {name} because its type is not LIST."
            )));
        }
    }
    Ok(())
}

/// The record that sets or takes away one key of a resource.
pub(super) fn config_record(resource: &Resource, name: String, value: Option<String>) -> Proposed {
    let record = ConfigRecord {
        resource_type: resource.kind,
        resource_name: resource.name.clone().into(),
        name: name.into(),
        value: value.map(Into::into),
    };
    Proposed::new(record, 0)
}
