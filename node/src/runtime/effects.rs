//! What the coordinator proposes becomes true here: append, durable, replay, publish.
//!
//! One proposal at a time (`order`): it is computed from the image that holds the one before, its
//! records become one batch of the metadata log, and only when that is durable are they replayed.
//! Then partitions are made on their shards, the image goes to all shards, deleted partitions go;
//! the answer comes last, so that a client that was answered finds what it asked for everywhere.
//! Deliberately absent: what to propose (`thalweg_coordinator::controller`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::controller::producer_ids::Block;
use thalweg_coordinator::metadata::image::{Image, Resource, Topic};
use thalweg_coordinator::metadata::log::{LogReader, Quorum};
use thalweg_coordinator::metadata::record::{Place, Proposed, encode_batch};
use thalweg_storage::disk::Disk;
use thalweg_storage::log::{AppendContext, LogConfig, Origin, Verification};
use thalweg_storage::store::NewPartition;
use thalweg_wire::batch::{BatchSummary, CheckLimits, CompressedCheck, Scratch, check_produce};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, NodeId, PartitionId, PartitionIndex, ProducerId, ShardId, Uuid};

use super::start::LOG_DIR;
use crate::node::NodeFacts;
use crate::shard::core::ShardCore;
use crate::shard::host::Now;
use crate::shard::mailbox::{Fault, Message, Reply};
use crate::shard::wait::Budget;
use crate::topics::TopicSettings;

/// The metadata log's only partition.
pub const METADATA: PartitionId = PartitionId {
    topic: Uuid::METADATA_TOPIC,
    index: PartitionIndex(0),
};

/// The image with what only control records say: what shards see of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Topics, brokers, configs, features.
    pub image: Arc<Image>,
    /// Voters and epoch of the quorum.
    pub quorum: Quorum,
}

/// The coordinator's side of the metadata log; lives on one shard.
pub struct Coordinator {
    reader: RefCell<LogReader>,
    epoch: Epoch,
    order: Budget,
    producer_ids: RefCell<Block>,
}

impl Coordinator {
    /// On a log that `reader` has read to its end, leading in `epoch`.
    #[must_use]
    pub fn new(reader: LogReader, epoch: Epoch) -> Self {
        Self {
            reader: RefCell::new(reader),
            epoch,
            order: Budget::new(1),
            producer_ids: RefCell::default(),
        }
    }

    /// The state after everything durable.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        let reader = self.reader.borrow();
        Arc::new(Published {
            image: reader.image(),
            quorum: reader.quorum().clone(),
        })
    }

    /// A producer id of the block in hand; none when it is used up.
    pub fn take_producer_id(&self) -> Option<ProducerId> {
        self.producer_ids.borrow_mut().take()
    }

    /// A new block, whose record is durable.
    pub fn refill_producer_ids(&self, block: Block) {
        *self.producer_ids.borrow_mut() = block;
    }

    /// The epoch this node leads the metadata log in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl<D: Disk> ShardCore<D> {
    /// Computes a proposal from the newest image and makes it true; answers with what was computed
    /// once all shards know. Only on the coordinator's shard.
    pub async fn propose<R>(
        self: &Rc<Self>,
        compute: impl FnOnce(&Image, Now) -> (R, Vec<Proposed>),
    ) -> Result<R, Fault> {
        let coordinator = self.coordinator().ok_or_else(|| {
            Fault::new(
                ErrorCode::NotController,
                "this shard is not the coordinator's",
            )
        })?;
        let _turn = coordinator.order.take(1).await;
        let before = coordinator.published();
        let (answer, records) = compute(&before.image, self.host.now());
        if records.is_empty() {
            return Ok(answer);
        }
        self.write_records(&coordinator, &records).await?;
        self.publish(&before.image, coordinator.published()).await?;
        Ok(answer)
    }

    async fn write_records(
        &self,
        coordinator: &Coordinator,
        records: &[Proposed],
    ) -> Result<(), Fault> {
        let place = Place {
            base_offset: coordinator.reader.borrow().next_offset(),
            epoch: coordinator.epoch,
            timestamp: self.host.now().wall,
        };
        let batch = encode_batch(records, place).map_err(|error| {
            Fault::new(
                ErrorCode::UnknownServerError,
                format!("metadata records: {error}"),
            )
        })?;
        self.append_metadata(coordinator, &batch).await
    }

    /// Appends one batch of the metadata log, waits until it is durable and replays it.
    pub async fn append_metadata(
        &self,
        coordinator: &Coordinator,
        batch: &[u8],
    ) -> Result<(), Fault> {
        let summary = summarize(batch)?;
        let permit = self.store.admit(batch.len(), &[METADATA]).await?;
        let context = AppendContext {
            leader_epoch: coordinator.epoch,
            now: self.host.now().wall,
            origin: Origin::Coordinator,
            verification: Verification::Waived,
        };
        let appended = self.store.append(METADATA, batch, &summary, &context)?;
        drop(permit);
        let due = coordinator.reader.borrow().next_offset();
        assert_eq!(
            appended.base_offset, due,
            "the metadata log and its reader disagree"
        );
        self.store.durable(METADATA, appended.end).await?;
        let applied = coordinator.reader.borrow_mut().apply(batch);
        // What we wrote ourselves does not fit our own state: going on would part the two for good.
        applied.unwrap_or_else(|error| panic!("own metadata records do not replay: {error}"));
        Ok(())
    }

    /// Makes all shards follow the image.
    pub async fn publish(
        self: &Rc<Self>,
        before: &Image,
        published: Arc<Published>,
    ) -> Result<(), Fault> {
        let changes = Changes::between(before, &published.image, &self.node);
        // The records are durable, so what fails here is told and does not stop the rest: a shard
        // that could not make a partition (a full disk) tries again by itself.
        let created = self.each(changes.create, Message::Create).await;
        let published = self.all(|| Message::Publish(Arc::clone(&published))).await;
        let led = self.each(changes.lead, Message::Lead).await;
        let configured = self.each(changes.configure, Message::Configure).await;
        let mut outcome = created.and(published).and(led).and(configured);
        if !changes.delete.is_empty() {
            let deleted = self.each(changes.delete, Message::Delete).await;
            // A name may be used again from now on: no shard may still have the old files open.
            let forgotten = self.all(|| Message::Forget(changes.forget.clone())).await;
            outcome = outcome.and(deleted).and(forgotten);
        }
        outcome
    }

    async fn all(self: &Rc<Self>, message: impl Fn() -> Message) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for shard in 0..self.host.shards() {
            outcome = outcome.and(self.changed(ShardId(shard), message()).await);
        }
        outcome
    }

    async fn each<T>(
        self: &Rc<Self>,
        parts: BTreeMap<ShardId, Vec<T>>,
        message: impl Fn(Vec<T>) -> Message,
    ) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for (shard, list) in parts {
            outcome = outcome.and(self.changed(shard, message(list)).await);
        }
        outcome
    }

    async fn changed(self: &Rc<Self>, shard: ShardId, message: Message) -> Result<(), Fault> {
        match self.ask(shard, message).await? {
            Reply::Changed(result) => result,
            other => panic!("a change was answered with {other:?}"),
        }
    }
}

/// What a batch of our own says of itself.
pub(crate) fn summarize(batch: &[u8]) -> Result<BatchSummary, Fault> {
    let limits = CheckLimits {
        origin: thalweg_wire::batch::Origin::Coordinator,
        batch_bytes_max: usize::MAX,
        inflated_bytes_max: 0,
        keys_required: false,
        zstd_allowed: false,
        compressed: CompressedCheck::Full,
        timestamps: None,
    };
    Ok(check_produce(batch, &limits, &mut Scratch::default())?)
}

/// What shards must do to follow from one image to the next, by shard.
#[derive(Debug, Default)]
pub struct Changes {
    /// Partitions to make.
    pub create: BTreeMap<ShardId, Vec<NewPartition>>,
    /// Partitions that this node leads in a new epoch.
    pub lead: BTreeMap<ShardId, Vec<(PartitionId, Epoch)>>,
    /// New settings.
    pub configure: BTreeMap<ShardId, Vec<(PartitionId, LogConfig)>>,
    /// Partitions to delete.
    pub delete: BTreeMap<ShardId, Vec<PartitionId>>,
    /// Their directories.
    pub forget: Vec<PathBuf>,
}

impl Changes {
    /// From `old` to `new`, for the partitions of this node.
    #[must_use]
    pub fn between(old: &Image, new: &Image, node: &NodeFacts) -> Self {
        let mut changes = Self::default();
        let configs = ChangedConfigs::between(old, new);
        for topic in new.topics.iter() {
            let before = old.topics.get(topic.id);
            let same_topic = before.is_some_and(|before| Arc::ptr_eq(before, topic));
            let same_configs = !configs.touch(topic);
            if same_topic && same_configs {
                continue;
            }
            let config = log_config(new, node, topic);
            let configured = match before {
                Some(before) if !same_configs => log_config(old, node, before) != config,
                _ => false,
            };
            changes.topic(before.map(Arc::as_ref), topic, node, (config, configured));
        }
        for topic in old
            .topics
            .iter()
            .filter(|topic| new.topics.get(topic.id).is_none())
        {
            for id in partitions_here(topic, node.id) {
                let shard = node.owner(id);
                changes.delete.entry(shard).or_default().push(id);
                let dir = Path::new(LOG_DIR).join(dir_name(topic, id.index));
                changes.forget.push(dir);
            }
        }
        changes
    }

    fn topic(
        &mut self,
        before: Option<&Topic>,
        topic: &Topic,
        node: &NodeFacts,
        (config, configured): (LogConfig, bool),
    ) {
        for id in partitions_here(topic, node.id) {
            let shard = node.owner(id);
            let Some(partition) = topic.partition(id.index) else {
                continue;
            };
            match before.and_then(|before| before.partition(id.index)) {
                None => self.create.entry(shard).or_default().push(NewPartition {
                    id,
                    dir_name: dir_name(topic, id.index),
                    config,
                    leader_epoch: partition.leader_epoch,
                }),
                Some(was) if was.leader_epoch < partition.leader_epoch => {
                    self.lead
                        .entry(shard)
                        .or_default()
                        .push((id, partition.leader_epoch));
                }
                Some(_) => {}
            }
            if configured {
                self.configure.entry(shard).or_default().push((id, config));
            }
        }
    }
}

/// Whose configs differ between two images: few topics of many, as a rule.
struct ChangedConfigs {
    /// A broker's have changed, which all topics may inherit.
    all: bool,
    topics: BTreeSet<String>,
}

impl ChangedConfigs {
    fn between(old: &Image, new: &Image) -> Self {
        let mut changed = Self {
            all: false,
            topics: BTreeSet::new(),
        };
        if Arc::ptr_eq(&old.configs, &new.configs) {
            return changed;
        }
        let same =
            |resource: &Resource| match (old.configs.get(resource), new.configs.get(resource)) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                _ => false,
            };
        let all = old.configs.keys().chain(new.configs.keys());
        for resource in all.filter(|resource| !same(resource)) {
            match resource.kind {
                Resource::TOPIC => {
                    changed.topics.insert(resource.name.clone());
                }
                Resource::BROKER => changed.all = true,
                _ => {}
            }
        }
        changed
    }

    fn touch(&self, topic: &Topic) -> bool {
        self.all || self.topics.contains(&*topic.name)
    }
}

/// Partitions of a topic that have a replica on this node.
pub fn partitions_here(topic: &Topic, node: NodeId) -> impl Iterator<Item = PartitionId> + '_ {
    topic
        .partitions
        .iter()
        .filter(move |(_, partition)| partition.replicas.contains(&node))
        .map(|(index, _)| PartitionId {
            topic: topic.id,
            index: *index,
        })
}

/// The settings of a topic's logs.
#[must_use]
pub fn log_config(image: &Image, node: &NodeFacts, topic: &Topic) -> LogConfig {
    let config = node.broker_configs.topic_config(image, &topic.name);
    TopicSettings::new(config, node.rules).log
}

/// Kafka's name of a partition's directory.
#[must_use]
pub fn dir_name(topic: &Topic, index: PartitionIndex) -> String {
    format!("{}-{index}", topic.name)
}
