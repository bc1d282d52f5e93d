//! The cluster's metadata as of one offset of the metadata log.
//!
//! An image is a value: handlers and shards read it, only `replay.rs` changes one, and a published image
//! never changes. Clones share everything that did not change: topics, partitions, brokers and whole maps
//! are behind `Arc`. Deliberately absent: anything that is not in the log (liveness, high watermarks,
//! the cluster id).

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::ids::{Epoch, NodeId, Offset, PartitionId, PartitionIndex, ProducerId, Uuid};
use thalweg_wire::messages::metadata::MetadataRecord;

use crate::quotas::{Entity, Values};

/// No broker leads the partition.
pub const LEADER_NONE: NodeId = NodeId(-1);

/// State of the cluster after the record at `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The last record applied; -1 before the first.
    pub offset: Offset,
    /// The quorum's epoch of that record.
    pub epoch: Epoch,
    /// Topics by id and name.
    pub topics: Topics,
    /// Registered brokers.
    pub brokers: Arc<BTreeMap<NodeId, Arc<Broker>>>,
    /// Registered controllers.
    pub controllers: Arc<BTreeMap<NodeId, Arc<Controller>>>,
    /// Finalized feature levels; `metadata.version` is one of them.
    pub features: Arc<BTreeMap<String, i16>>,
    /// Dynamic configs, by resource.
    pub configs: Arc<BTreeMap<Resource, Arc<BTreeMap<String, String>>>>,
    /// The first producer id that no block holds yet.
    pub next_producer_id: ProducerId,
    /// Client quotas, by what they are set for.
    pub quotas: Arc<BTreeMap<Entity, Arc<Values>>>,
    /// State that this node keeps for others but has no use for: credentials, ACLs, tokens.
    pub kept: Arc<BTreeMap<Kept, MetadataRecord<'static>>>,
}

/// Key of a record that is only kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kept {
    /// An ACL, by its id.
    Acl(Uuid),
    /// A user's credential for a mechanism.
    Scram(String, i8),
    /// A delegation token, by its id.
    Token(String),
}

/// What a dynamic config belongs to. The numbers are Kafka's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Resource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub kind: i8,
    /// Its name; empty for the default of all brokers.
    pub name: String,
}

impl Resource {
    /// Resource type of topics.
    pub const TOPIC: i8 = 2;
    /// Resource type of brokers.
    pub const BROKER: i8 = 4;
    /// Resource type of brokers' loggers, whose levels are in no log.
    pub const BROKER_LOGGER: i8 = 8;
    /// Resource type of client metrics subscriptions.
    pub const CLIENT_METRICS: i8 = 16;
    /// Resource type of groups.
    pub const GROUP: i8 = 32;

    /// A topic's.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self {
            kind: Self::TOPIC,
            name: name.to_owned(),
        }
    }

    /// A broker's.
    #[must_use]
    pub fn broker(id: NodeId) -> Self {
        Self {
            kind: Self::BROKER,
            name: id.to_string(),
        }
    }

    /// The one that holds for all brokers.
    #[must_use]
    pub fn broker_default() -> Self {
        Self {
            kind: Self::BROKER,
            name: String::new(),
        }
    }
}

/// Topics by id; names lead to ids.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Topics {
    pub(crate) by_id: Arc<BTreeMap<Uuid, Arc<Topic>>>,
    pub(crate) by_name: Arc<BTreeMap<Arc<str>, Uuid>>,
}

impl Topics {
    /// The topic of that id.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// All topics, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// Topics from that name on, by name.
    pub fn from_name(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        let range = self
            .by_name
            .range::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded));
        range.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Number of topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its id, never used again.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, 0 to n-1.
    pub partitions: BTreeMap<PartitionIndex, Arc<Partition>>,
}

impl Topic {
    /// The partition of that index.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<Partition>> {
        self.partitions.get(&index)
    }

    /// Kafka's internal topics: clients hide them from listings.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

/// True for the names that Kafka keeps for its own topics.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}

/// A partition's registration.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Partition {
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log directory on each of them, in the same order.
    pub directories: Vec<Uuid>,
    /// Replicas that are in sync.
    pub isr: Vec<NodeId>,
    /// Replicas about to go.
    pub removing: Vec<NodeId>,
    /// Replicas about to come.
    pub adding: Vec<NodeId>,
    /// Replicas outside of the ISR that hold every committed record.
    pub eligible: Vec<NodeId>,
    /// The last known members of that set.
    pub last_known_eligible: Vec<NodeId>,
    /// The leader, or [`LEADER_NONE`].
    pub leader: NodeId,
    /// Raised whenever the leader is set, be it to the same.
    pub leader_epoch: Epoch,
    /// Raised with every change.
    pub partition_epoch: i32,
    /// 0 recovered, 1 recovering after an unclean election.
    pub leader_recovery_state: i8,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: NodeId,
    /// Offset of its registration.
    pub epoch: i64,
    /// New at each of its starts.
    pub incarnation: Uuid,
    /// Where it listens, by listener name.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels it supports.
    pub features: BTreeMap<String, (i16, i16)>,
    /// Its rack.
    pub rack: Option<String>,
    /// True while it may not lead.
    pub fenced: bool,
    /// True while it hands over its leaderships.
    pub in_controlled_shutdown: bool,
    /// Its log directories.
    pub log_dirs: Vec<Uuid>,
    /// Those of them that get no new partitions.
    pub cordoned_log_dirs: Vec<Uuid>,
}

impl Broker {
    /// The address on that listener.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.name == listener)
    }

    /// True when it can lead partitions.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// A registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its id.
    pub id: NodeId,
    /// New at each of its starts.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels it supports.
    pub features: BTreeMap<String, (i16, i16)>,
}

/// An address under a listener's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Kafka's number of the protocol; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            offset: Offset::NONE,
            epoch: Epoch(0),
            topics: Topics::default(),
            brokers: Arc::default(),
            controllers: Arc::default(),
            features: Arc::default(),
            configs: Arc::default(),
            next_producer_id: ProducerId(0),
            quotas: Arc::default(),
            kept: Arc::default(),
        }
    }
}

impl Image {
    /// The partition of that id.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&Arc<Partition>> {
        self.topics.get(id.topic)?.partition(id.index)
    }

    /// All partitions, by topic name and index.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Arc<Topic>, &Arc<Partition>)> {
        self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |(index, partition)| {
                (
                    PartitionId {
                        topic: topic.id,
                        index: *index,
                    },
                    topic,
                    partition,
                )
            })
        })
    }

    /// The dynamic config of a resource.
    #[must_use]
    pub fn config(&self, resource: &Resource, key: &str) -> Option<&str> {
        self.configs.get(resource)?.get(key).map(String::as_str)
    }

    /// The finalized level of a feature; 0 when it is not finalized.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Brokers that may lead, by id.
    pub fn active_brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values().filter(|broker| broker.is_active())
    }
}

/// Ids as the protocol writes them.
pub(crate) fn raw(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

/// Ids as we write them.
pub(crate) fn nodes(raw: &[i32]) -> Vec<NodeId> {
    raw.iter().copied().map(NodeId).collect()
}
