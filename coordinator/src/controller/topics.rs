//! CreateTopics, and creation on first use.
//!
//! Topics of one request stand or fall each for itself; all records go into one batch.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::ids::{NodeId, Uuid};
use thalweg_wire::messages::config_record::ConfigRecord;
use thalweg_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
    CreateTopicsRequestView,
};
use thalweg_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use thalweg_wire::messages::partition_record::PartitionRecord;
use thalweg_wire::messages::topic_record::TopicRecord;

use super::names::{METADATA_TOPIC, check_collision, check_name};
use super::{Context, Outcome, directory};
use crate::configs::check::check_topic;
use crate::configs::effective::{BrokerConfigs, Source};
use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::{Image, Resource, is_internal, raw};
use crate::metadata::placement::{placement_refusal, replicas};
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Proposed};

/// Partitions that one request may make: Kafka's bound.
pub const REQUEST_PARTITIONS_MAX: i64 = 10_000;

/// Works a CreateTopics request.
pub fn create(
    image: &Image,
    request: &CreateTopicsRequestView<'_>,
    context: &mut Context<'_>,
) -> Outcome<CreateTopicsResponse<'static>> {
    create_all(image, &request.to_owned(), context)
}

/// Works a request that names these topics without saying more: creation on first use.
pub fn create_missing(
    image: &Image,
    names: &[String],
    context: &mut Context<'_>,
) -> Outcome<CreateTopicsResponse<'static>> {
    let topics = names.iter().map(|name| {
        let mut topic = CreatableTopic {
            name: name.clone().into(),
            num_partitions: -1,
            replication_factor: -1,
            ..CreatableTopic::default()
        };
        if is_internal(name) {
            internal_topic(image, context.broker, &mut topic);
        }
        topic
    });
    let request = CreateTopicsRequest {
        topics: topics.collect(),
        ..CreateTopicsRequest::default()
    };
    create_all(image, &request, context)
}

/// Kafka's own topics have partitions, factor and configs of their own.
fn internal_topic(image: &Image, broker: &BrokerConfigs, topic: &mut CreatableTopic<'static>) {
    let prefix = match topic.name.as_ref() {
        "__consumer_offsets" => "offsets.topic.",
        "__transaction_state" => "transaction.state.log.",
        _ => "share.coordinator.state.topic.",
    };
    let number = |key: &str| broker.number(image, &format!("{prefix}{key}"));
    let partitions = number("num.partitions").and_then(|count| i32::try_from(count).ok());
    topic.num_partitions = partitions.unwrap_or(50);
    let factor = number("replication.factor").and_then(|factor| i16::try_from(factor).ok());
    topic.replication_factor = factor.unwrap_or(1);
    let segment = number("segment.bytes").unwrap_or(104_857_600).to_string();
    let mut configs = vec![
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", segment),
    ];
    let policy = if topic.name == "__share_group_state" {
        "delete"
    } else {
        "compact"
    };
    configs.push(("cleanup.policy", policy.to_owned()));
    if let Some(min) = number("min.isr") {
        configs.push(("min.insync.replicas", min.to_string()));
    }
    topic.configs = configs
        .into_iter()
        .map(|(name, value)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        })
        .collect();
}

fn create_all(
    image: &Image,
    request: &CreateTopicsRequest<'static>,
    context: &mut Context<'_>,
) -> Outcome<CreateTopicsResponse<'static>> {
    let mut work = Work {
        image,
        context,
        seen: Vec::new(),
        records: Vec::new(),
    };
    let duplicates = duplicates(request);
    let excess = excess(image, work.context.broker, request);
    let mut answered = BTreeSet::new();
    let mut topics = Vec::new();
    for topic in &request.topics {
        if !answered.insert(topic.name.as_ref()) {
            continue;
        }
        let made = if let Some(refusal) = &excess {
            Err(refusal.clone())
        } else if duplicates.contains(topic.name.as_ref()) {
            Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            ))
        } else {
            work.topic(topic)
        };
        topics.push(made.unwrap_or_else(|refusal| refused(topic.name.clone(), &refusal)));
    }
    let records = if request.validate_only {
        Vec::new()
    } else {
        work.records
    };
    Outcome {
        response: CreateTopicsResponse {
            throttle_time_ms: 0,
            topics,
        },
        records,
    }
}

fn refused(name: Cow<'static, str>, refusal: &Refusal) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name,
        error_code: refusal.code as i16,
        error_message: refusal.text(),
        ..CreatableTopicResult::default()
    }
}

fn duplicates<'a>(request: &'a CreateTopicsRequest<'_>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let names = request.topics.iter().map(|topic| topic.name.as_ref());
    names.filter(|name| !seen.insert(*name)).collect()
}

fn excess(
    image: &Image,
    broker: &BrokerConfigs,
    request: &CreateTopicsRequest<'_>,
) -> Option<Refusal> {
    let counts = request
        .topics
        .iter()
        .map(|topic| match topic.num_partitions {
            -1 if topic.assignments.is_empty() => default_partitions(image, broker).into(),
            -1 => i64::try_from(topic.assignments.len()).unwrap_or(i64::MAX),
            count => i64::from(count.max(0)),
        });
    let sum = counts.fold(0_i64, i64::saturating_add);
    (sum > REQUEST_PARTITIONS_MAX).then(too_many)
}

fn too_many() -> Refusal {
    let message = "Excessively large number of partitions per request.";
    Refusal::new(ErrorCode::PolicyViolation, message)
}

fn default_partitions(image: &Image, broker: &BrokerConfigs) -> i32 {
    let count = broker.number(image, "num.partitions");
    count
        .and_then(|count| i32::try_from(count).ok())
        .unwrap_or(1)
}

struct Work<'a, 'c> {
    image: &'a Image,
    context: &'a mut Context<'c>,
    /// Names made by this request, unified: they collide with each other too.
    seen: Vec<(String, String)>,
    records: Vec<Proposed>,
}

impl Work<'_, '_> {
    fn topic(
        &mut self,
        topic: &CreatableTopic<'static>,
    ) -> Result<CreatableTopicResult<'static>, Refusal> {
        let name = topic.name.as_ref();
        self.check_new(name)?;
        let mut all = self
            .context
            .broker
            .new_topics
            .get(name)
            .cloned()
            .unwrap_or_default();
        all.extend(configs(&topic.configs)?);
        let configs = all;
        check_topic(&configs)?;
        let id = (self.context.new_id)();
        let placed = self.place(topic, id)?;
        // A topic, its configs and its partitions must not be torn apart, so they must fit together.
        let size = 1 + configs.len() + placed.len();
        if self.records.len() + size > PROPOSAL_RECORDS_MAX + configs.len() + 1 {
            return Err(too_many());
        }
        (self.context.charge)(placed.len())?;
        self.seen.push((name.replace('.', "_"), name.to_owned()));
        let record = TopicRecord {
            name: topic.name.clone(),
            topic_id: id,
        };
        self.records.push(Proposed::new(record, 0));
        for (key, value) in &configs {
            self.records.push(config_record(name, key, value));
        }
        let count = i32::try_from(placed.len()).unwrap_or(i32::MAX);
        let factor = placed.first().map_or(0, Vec::len);
        for (index, replicas) in (0..).zip(placed) {
            self.records
                .push(partition_record(self.image, (id, index), &replicas));
        }
        Ok(CreatableTopicResult {
            name: topic.name.clone(),
            topic_id: id,
            error_message: None,
            num_partitions: count,
            replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
            configs: Some(answered_configs(
                self.image,
                self.context.broker,
                name,
                &configs,
            )),
            ..CreatableTopicResult::default()
        })
    }

    fn check_new(&self, name: &str) -> Result<(), Refusal> {
        if name == METADATA_TOPIC {
            return Err(Refusal::new(
                ErrorCode::TopicAuthorizationFailed,
                "Authorization failed.",
            ));
        }
        check_name(name)?;
        if self.image.topics.named(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        check_collision(self.image, name)?;
        let unified = name.replace('.', "_");
        if let Some((_, other)) = self.seen.iter().find(|(seen, _)| *seen == unified) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        Ok(())
    }

    /// Replicas of each partition.
    fn place(&self, topic: &CreatableTopic<'_>, id: Uuid) -> Result<Vec<Vec<NodeId>>, Refusal> {
        if !topic.assignments.is_empty() {
            let refused = |what: &str| {
                let message = format!(
                    "A manual partition assignment was specified, but {what} was not set to -1."
                );
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            };
            if topic.replication_factor != -1 {
                return refused("replication factor");
            }
            if topic.num_partitions != -1 {
                return refused("numPartitions");
            }
            return assigned(self.image, &topic.assignments);
        }
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        let count = match topic.num_partitions {
            -1 => default_partitions(self.image, self.context.broker),
            count => count,
        };
        let factor = match topic.replication_factor {
            -1 => self
                .context
                .broker
                .number(self.image, "default.replication.factor")
                .unwrap_or(1),
            factor => i64::from(factor),
        };
        let factor = usize::try_from(factor).unwrap_or(1);
        check_factor(self.image, factor)?;
        Ok((0..count)
            .map(|index| replicas(self.image, id, index, factor))
            .collect())
    }
}

/// Refuses a factor that the registered brokers cannot reach.
pub(super) fn check_factor(image: &Image, factor: usize) -> Result<(), Refusal> {
    match placement_refusal(image, factor) {
        None => Ok(()),
        Some(why) => {
            let message = format!("Unable to replicate the partition {factor} time(s): {why}");
            Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message))
        }
    }
}

fn assigned(
    image: &Image,
    assignments: &[CreatableReplicaAssignment],
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut placed: BTreeMap<i32, Vec<NodeId>> = BTreeMap::new();
    let mut factor = None;
    for assignment in assignments {
        let index = assignment.partition_index;
        if placed.contains_key(&index) {
            return refused(format!(
                "Found multiple manual partition assignments for partition {index}"
            ));
        }
        let replicas = check_assignment(image, &assignment.broker_ids, factor)?;
        factor = Some(replicas.len());
        if !replicas
            .iter()
            .any(|node| image.brokers.get(node).is_some_and(|b| b.is_active()))
        {
            return refused(format!(
                "All brokers specified in the manual partition assignment for partition {index} are \
                 fenced or in controlled shutdown."
            ));
        }
        placed.insert(index, replicas);
    }
    if !placed.keys().copied().eq((0..).take(placed.len())) {
        return refused("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(placed.into_values().collect())
}

/// Checks the replicas that a request names for one partition.
pub(super) fn check_assignment(
    image: &Image,
    brokers: &[i32],
    factor: Option<usize>,
) -> Result<Vec<NodeId>, Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    if brokers.is_empty() {
        return refused(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for id in brokers {
        if !image.brokers.contains_key(&NodeId(*id)) {
            return refused(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if !seen.insert(id) {
            return refused(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    if let Some(factor) = factor.filter(|factor| *factor != brokers.len()) {
        return refused(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not \
             consistent with previous partitions, which have {factor} replica(s).",
            brokers.len()
        ));
    }
    Ok(brokers.iter().copied().map(NodeId).collect())
}

fn configs(list: &[CreatableTopicConfig<'_>]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut configs = BTreeMap::new();
    for config in list {
        let Some(value) = &config.value else {
            let message = format!(
                "Null value not supported for topic configs: {}",
                config.name
            );
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        };
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(configs)
}

fn config_record(topic: &str, name: &str, value: &str) -> Proposed {
    let record = ConfigRecord {
        resource_type: Resource::TOPIC,
        resource_name: topic.to_owned().into(),
        name: name.to_owned().into(),
        value: Some(value.to_owned().into()),
    };
    Proposed::new(record, 0)
}

/// A new partition: every active replica is in sync, for there is nothing yet to be behind with.
pub(super) fn partition_record(
    image: &Image,
    (topic, index): (Uuid, i32),
    replicas: &[NodeId],
) -> Proposed {
    let active = |node: &&NodeId| {
        image
            .brokers
            .get(*node)
            .is_some_and(|broker| broker.is_active())
    };
    let isr: Vec<NodeId> = replicas.iter().filter(active).copied().collect();
    let record = PartitionRecord {
        partition_id: index,
        topic_id: topic,
        replicas: raw(replicas),
        leader: isr.first().map_or(-1, |node| node.0),
        isr: raw(&isr),
        leader_epoch: 0,
        partition_epoch: 0,
        directories: replicas
            .iter()
            .map(|node| directory(image, *node))
            .collect(),
        ..PartitionRecord::default()
    };
    Proposed::new(record, 2)
}

fn answered_configs(
    image: &Image,
    broker: &BrokerConfigs,
    topic: &str,
    configs: &BTreeMap<String, String>,
) -> Vec<CreatableTopicConfigs<'static>> {
    let values = broker
        .topic_values(image, topic)
        .map(|(key, value, source)| {
            let own = configs.get(key.name).cloned();
            let config_source = own.as_ref().map_or(source, |_| Source::Topic) as i8;
            CreatableTopicConfigs {
                name: key.name.into(),
                value: Some(own.unwrap_or(value).into()),
                read_only: false,
                config_source,
                is_sensitive: false,
            }
        });
    values.collect()
}
