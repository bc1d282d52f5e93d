//! A record to the next state: the only writer of the image, at start-up, on followers and after a proposal.
//!
//! A record that does not fit the state (a partition of no topic, a stale broker epoch) is an error and not
//! ignored: two nodes that skip differently are no longer one cluster. Deliberately absent: any decision;
//! what should happen was decided when the record was proposed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thalweg_wire::ids::{Epoch, NodeId, Offset, PartitionId, PartitionIndex, ProducerId, Uuid};
use thalweg_wire::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use thalweg_wire::messages::client_quota_record::{ClientQuotaRecord, EntityData};
use thalweg_wire::messages::config_record::ConfigRecord;
use thalweg_wire::messages::feature_level_record::FeatureLevelRecord;
use thalweg_wire::messages::metadata::MetadataRecord;
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;
use thalweg_wire::messages::partition_record::PartitionRecord;
use thalweg_wire::messages::register_broker_record::RegisterBrokerRecord;
use thalweg_wire::messages::register_controller_record::RegisterControllerRecord;
use thalweg_wire::messages::topic_record::TopicRecord;

use super::image::{Broker, Controller, Endpoint, Image, Kept, Partition, Resource, Topic, nodes};
use crate::controller::features::{METADATA_VERSION, METADATA_VERSIONS};
use crate::quotas::Entity;

/// Leader field of a change record that leaves the leader alone.
pub const LEADER_UNCHANGED: i32 = -2;

/// A record that does not fit the state it meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// A record about a topic that does not exist.
    UnknownTopic(Uuid),
    /// A topic whose name or id exists already.
    TopicExists(String),
    /// A change of a partition that does not exist.
    UnknownPartition(PartitionId),
    /// A change of a broker that is not registered, or registered with another epoch.
    UnknownBroker(NodeId, i64),
    /// The log was written by a Kafka this build does not understand.
    MetadataVersion(i16),
    /// Transaction records are the log reader's.
    TransactionRecord,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTopic(id) => {
                write!(f, "a record names topic id {id}, which does not exist")
            }
            Self::TopicExists(name) => write!(f, "a record creates topic {name:?} again"),
            Self::UnknownPartition(id) => {
                write!(f, "a record changes partition {id}, which does not exist")
            }
            Self::UnknownBroker(id, epoch) => {
                write!(
                    f,
                    "a record names broker {id} with epoch {epoch}, which is not registered"
                )
            }
            Self::MetadataVersion(level) => {
                let (min, max) = METADATA_VERSIONS;
                write!(
                    f,
                    "metadata.version {level} is outside of {min} to {max}, which this build knows"
                )
            }
            Self::TransactionRecord => f.write_str("a transaction record inside of a transaction"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Applies the record at `offset`.
///
/// # Errors
/// The record does not fit; the image may be half changed and must not be published.
pub fn replay(
    image: &mut Image,
    offset: Offset,
    epoch: Epoch,
    record: &MetadataRecord<'static>,
) -> Result<(), ReplayError> {
    match record {
        MetadataRecord::RegisterBroker(record) => register_broker(image, record),
        MetadataRecord::UnregisterBroker(record) => {
            broker(image, record.broker_id, record.broker_epoch)?;
            Arc::make_mut(&mut image.brokers).remove(&NodeId(record.broker_id));
        }
        MetadataRecord::Topic(record) => topic(image, record)?,
        MetadataRecord::Partition(record) => partition(image, record)?,
        MetadataRecord::Config(record) => config(image, record),
        MetadataRecord::PartitionChange(record) => partition_change(image, record)?,
        MetadataRecord::FenceBroker(record) => {
            broker(image, record.id, record.epoch)?.fenced = true
        }
        MetadataRecord::UnfenceBroker(record) => {
            broker(image, record.id, record.epoch)?.fenced = false;
        }
        MetadataRecord::RemoveTopic(record) => remove_topic(image, record.topic_id)?,
        MetadataRecord::FeatureLevel(record) => feature_level(image, record)?,
        MetadataRecord::ClientQuota(record) => client_quota(image, record),
        MetadataRecord::ProducerIds(record) => {
            image.next_producer_id = ProducerId(record.next_producer_id);
        }
        MetadataRecord::BrokerRegistrationChange(record) => registration_change(image, record)?,
        MetadataRecord::RegisterController(record) => register_controller(image, record),
        MetadataRecord::ClearElr(record) => clear_elr(image, &record.topic_name)?,
        MetadataRecord::BeginTransaction(_)
        | MetadataRecord::EndTransaction(_)
        | MetadataRecord::AbortTransaction(_) => return Err(ReplayError::TransactionRecord),
        // Nothing happens, and ZooKeeper has been gone since 4.0.
        MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
        other => keep(image, other),
    }
    (image.offset, image.epoch) = (offset, epoch);
    Ok(())
}

/// What a broker's registration and a controller's have in common, field by field the same.
macro_rules! endpoints {
    ($record:expr) => {
        $record
            .end_points
            .iter()
            .map(|endpoint| Endpoint {
                name: endpoint.name.to_string(),
                host: endpoint.host.to_string(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol,
            })
            .collect()
    };
}

macro_rules! features {
    ($record:expr) => {
        $record
            .features
            .iter()
            .map(|feature| {
                let range = (feature.min_supported_version, feature.max_supported_version);
                (feature.name.to_string(), range)
            })
            .collect()
    };
}

fn register_broker(image: &mut Image, record: &RegisterBrokerRecord<'_>) {
    let broker = Broker {
        id: NodeId(record.broker_id),
        epoch: record.broker_epoch,
        incarnation: record.incarnation_id,
        endpoints: endpoints!(record),
        features: features!(record),
        rack: record.rack.as_deref().map(str::to_owned),
        fenced: record.fenced,
        in_controlled_shutdown: record.in_controlled_shutdown,
        log_dirs: record.log_dirs.clone(),
        cordoned_log_dirs: record.cordoned_log_dirs.clone().unwrap_or_default(),
    };
    Arc::make_mut(&mut image.brokers).insert(broker.id, Arc::new(broker));
}

fn register_controller(image: &mut Image, record: &RegisterControllerRecord<'_>) {
    let controller = Controller {
        id: NodeId(record.controller_id),
        incarnation: record.incarnation_id,
        endpoints: endpoints!(record),
        features: features!(record),
    };
    Arc::make_mut(&mut image.controllers).insert(controller.id, Arc::new(controller));
}

fn broker(image: &mut Image, id: i32, epoch: i64) -> Result<&mut Broker, ReplayError> {
    let unknown = ReplayError::UnknownBroker(NodeId(id), epoch);
    match Arc::make_mut(&mut image.brokers).get_mut(&NodeId(id)) {
        Some(broker) if broker.epoch == epoch => Ok(Arc::make_mut(broker)),
        _ => Err(unknown),
    }
}

fn registration_change(
    image: &mut Image,
    record: &BrokerRegistrationChangeRecord,
) -> Result<(), ReplayError> {
    let broker = broker(image, record.broker_id, record.broker_epoch)?;
    match record.fenced {
        1 => broker.fenced = true,
        -1 => broker.fenced = false,
        _ => {}
    }
    if record.in_controlled_shutdown == 1 {
        broker.in_controlled_shutdown = true;
    }
    if !record.log_dirs.is_empty() {
        broker.log_dirs.clone_from(&record.log_dirs);
    }
    if let Some(cordoned) = &record.cordoned_log_dirs {
        broker.cordoned_log_dirs.clone_from(cordoned);
    }
    Ok(())
}

fn topic(image: &mut Image, record: &TopicRecord<'_>) -> Result<(), ReplayError> {
    let name: Arc<str> = Arc::from(record.name.as_ref());
    let topics = &mut image.topics;
    if topics.by_name.contains_key(&name) || topics.by_id.contains_key(&record.topic_id) {
        return Err(ReplayError::TopicExists(name.to_string()));
    }
    let id = record.topic_id;
    let topic = Topic {
        id,
        name: Arc::clone(&name),
        partitions: BTreeMap::new(),
    };
    Arc::make_mut(&mut topics.by_name).insert(name, id);
    Arc::make_mut(&mut topics.by_id).insert(id, Arc::new(topic));
    Ok(())
}

fn topic_mut(image: &mut Image, id: Uuid) -> Result<&mut Topic, ReplayError> {
    let topic = Arc::make_mut(&mut image.topics.by_id).get_mut(&id);
    topic
        .map(Arc::make_mut)
        .ok_or(ReplayError::UnknownTopic(id))
}

fn partition(image: &mut Image, record: &PartitionRecord) -> Result<(), ReplayError> {
    let topic = topic_mut(image, record.topic_id)?;
    let replicas = nodes(&record.replicas);
    let mut directories = record.directories.clone();
    directories.resize(replicas.len(), Uuid::ZERO);
    let partition = Partition {
        replicas,
        directories,
        isr: nodes(&record.isr),
        removing: nodes(&record.removing_replicas),
        adding: nodes(&record.adding_replicas),
        eligible: nodes(record.eligible_leader_replicas.as_deref().unwrap_or(&[])),
        last_known_eligible: nodes(record.last_known_elr.as_deref().unwrap_or(&[])),
        leader: NodeId(record.leader),
        leader_epoch: Epoch(record.leader_epoch),
        partition_epoch: record.partition_epoch,
        leader_recovery_state: record.leader_recovery_state,
    };
    topic
        .partitions
        .insert(PartitionIndex(record.partition_id), Arc::new(partition));
    Ok(())
}

fn partition_change(image: &mut Image, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
    let index = PartitionIndex(record.partition_id);
    let id = PartitionId {
        topic: record.topic_id,
        index,
    };
    let topic = topic_mut(image, record.topic_id)?;
    let partition = topic
        .partitions
        .get_mut(&index)
        .ok_or(ReplayError::UnknownPartition(id))?;
    let partition = Arc::make_mut(partition);
    if record.leader != LEADER_UNCHANGED {
        partition.leader = NodeId(record.leader);
        partition.leader_epoch = Epoch(partition.leader_epoch.0.saturating_add(1));
    }
    if let Some(replicas) = &record.replicas {
        let replicas = nodes(replicas);
        partition.directories = carried_directories(partition, &replicas);
        partition.replicas = replicas;
    }
    if let Some(directories) = &record.directories {
        partition.directories.clone_from(directories);
    }
    let lists = [
        (&record.isr, &mut partition.isr),
        (&record.removing_replicas, &mut partition.removing),
        (&record.adding_replicas, &mut partition.adding),
        (&record.eligible_leader_replicas, &mut partition.eligible),
        (&record.last_known_elr, &mut partition.last_known_eligible),
    ];
    for (new, list) in lists {
        if let Some(new) = new {
            *list = nodes(new);
        }
    }
    if record.leader_recovery_state != -1 {
        partition.leader_recovery_state = record.leader_recovery_state;
    }
    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
    Ok(())
}

/// A replica that stays keeps its directory, a new one has none assigned yet.
fn carried_directories(partition: &Partition, replicas: &[NodeId]) -> Vec<Uuid> {
    let old = partition.replicas.iter().zip(&partition.directories);
    let old: BTreeMap<NodeId, Uuid> = old.map(|(node, directory)| (*node, *directory)).collect();
    replicas
        .iter()
        .map(|node| old.get(node).copied().unwrap_or(Uuid::ZERO))
        .collect()
}

fn remove_topic(image: &mut Image, id: Uuid) -> Result<(), ReplayError> {
    let topics = &mut image.topics;
    let topic = Arc::make_mut(&mut topics.by_id)
        .remove(&id)
        .ok_or(ReplayError::UnknownTopic(id))?;
    Arc::make_mut(&mut topics.by_name).remove(&topic.name);
    let resource = Resource::topic(&topic.name);
    if image.configs.contains_key(&resource) {
        Arc::make_mut(&mut image.configs).remove(&resource);
    }
    Ok(())
}

fn config(image: &mut Image, record: &ConfigRecord<'_>) {
    let resource = Resource {
        kind: record.resource_type,
        name: record.resource_name.to_string(),
    };
    let configs = Arc::make_mut(&mut image.configs);
    let entries = Arc::make_mut(configs.entry(resource.clone()).or_default());
    match &record.value {
        Some(value) => entries.insert(record.name.to_string(), value.to_string()),
        None => entries.remove(record.name.as_ref()),
    };
    if entries.is_empty() {
        configs.remove(&resource);
    }
}

fn client_quota(image: &mut Image, record: &ClientQuotaRecord<'_>) {
    let part = |part: &EntityData<'_>| {
        let name = part.entity_name.as_deref().map(str::to_owned);
        (part.entity_type.to_string(), name)
    };
    let entity: Entity = record.entity.iter().map(part).collect();
    let quotas = Arc::make_mut(&mut image.quotas);
    let values = Arc::make_mut(quotas.entry(entity.clone()).or_default());
    if record.remove {
        values.remove(record.key.as_ref());
    } else {
        values.insert(record.key.to_string(), record.value);
    }
    if values.is_empty() {
        quotas.remove(&entity);
    }
}

fn feature_level(image: &mut Image, record: &FeatureLevelRecord<'_>) -> Result<(), ReplayError> {
    let (min, max) = METADATA_VERSIONS;
    if record.name == METADATA_VERSION && !(min..=max).contains(&record.feature_level) {
        return Err(ReplayError::MetadataVersion(record.feature_level));
    }
    let features = Arc::make_mut(&mut image.features);
    match record.feature_level {
        0 => features.remove(record.name.as_ref()),
        level => features.insert(record.name.to_string(), level),
    };
    Ok(())
}

/// Empties the eligible replicas of one topic, or of all when the name is empty.
fn clear_elr(image: &mut Image, name: &str) -> Result<(), ReplayError> {
    let ids: Vec<Uuid> = image
        .topics
        .iter()
        .filter(|topic| name.is_empty() || *topic.name == *name)
        .map(|topic| topic.id)
        .collect();
    for id in ids {
        for partition in topic_mut(image, id)?.partitions.values_mut() {
            if !partition.eligible.is_empty() || !partition.last_known_eligible.is_empty() {
                let partition = Arc::make_mut(partition);
                partition.eligible.clear();
                partition.last_known_eligible.clear();
                partition.partition_epoch = partition.partition_epoch.saturating_add(1);
            }
        }
    }
    Ok(())
}

fn keep(image: &mut Image, record: &MetadataRecord<'static>) {
    let kept = Arc::make_mut(&mut image.kept);
    let key = match record {
        MetadataRecord::AccessControlEntry(acl) => Kept::Acl(acl.id),
        MetadataRecord::UserScramCredential(scram) => {
            Kept::Scram(scram.name.to_string(), scram.mechanism)
        }
        MetadataRecord::DelegationToken(token) => Kept::Token(token.token_id.to_string()),
        MetadataRecord::RemoveAccessControlEntry(acl) => {
            kept.remove(&Kept::Acl(acl.id));
            return;
        }
        MetadataRecord::RemoveUserScramCredential(scram) => {
            kept.remove(&Kept::Scram(scram.name.to_string(), scram.mechanism));
            return;
        }
        MetadataRecord::RemoveDelegationToken(token) => {
            kept.remove(&Kept::Token(token.token_id.to_string()));
            return;
        }
        _ => return,
    };
    kept.insert(key, record.clone());
}
