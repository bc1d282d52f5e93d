//! One shard's logic: its partitions, what it knows of the node, how it serves messages.
//!
//! Generic over the disk and written against [`Host`], so that it runs on glommio and on the
//! simulator alike. Invariants: a message is begun in the order in which it arrived from its
//! sender; appends of one sender reach the store in that order (a turnstile per sender), whatever
//! waits in between. Deliberately absent: sockets, channels, threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use thalweg_coordinator::metadata::image::{Image, Topic};
use thalweg_coordinator::quotas::counters::Counters;
use thalweg_coordinator::quotas::table::QuotaTable;
use thalweg_storage::disk::Disk;
use thalweg_storage::log::LogConfig;
use thalweg_storage::read::SegmentReader;
use thalweg_storage::store::{NewPartition, Store};
use thalweg_wire::batch::Scratch;
use thalweg_wire::ids::{Epoch, NodeId, PartitionId, ShardId};

use super::catalog::Catalog;
use super::host::{Gone, Host, PendingReply, Queue};
use super::lending::{BINDING_BYTES_MAX, HELD_BYTES_MAX};
use super::mailbox::{Fault, Message, Reply, Scrape};
use super::parked::{REMEMBERED_BYTES_MAX, Slots, Wakes, WatchKey, Watches};
use super::pulse::{Pulse, Sleep};
use super::sessions::{CACHED_PARTITIONS_MAX, Sessions};
use super::wait::{Budget, LocalFuture, Turnstile};
use crate::dispatch;
use crate::groups::route;
use crate::groups::table::GroupTable;
use crate::handlers;
use crate::metrics::{Metrics, Snapshot};
use crate::node::NodeFacts;
use crate::outgoing::Lending;
use crate::quotas::Meter;
use crate::request::Listener;
use crate::runtime::effects::{Changes, Coordinator, Published};
use crate::runtime::logs::RateLimit;
use crate::topics::TopicSettings;
use crate::transactions;
use crate::transactions::machine::TxnTable;

/// Segments that a shard keeps open for reading: two descriptors each.
const OPEN_SEGMENTS_MAX: usize = 1024;

/// One shard.
pub struct ShardCore<D: Disk> {
    /// The world around it.
    pub host: Rc<dyn Host>,
    /// Its partitions.
    pub store: Rc<Store<D>>,
    /// Its counters.
    pub metrics: Rc<Metrics>,
    /// What never changes.
    pub node: Arc<NodeFacts>,
    /// Where batches are inflated to be checked.
    pub scratch: RefCell<Scratch>,
    /// Its parked fetches.
    pub slots: Slots,
    /// Its fetch sessions.
    pub sessions: RefCell<Sessions>,
    /// Its groups.
    pub groups: Rc<GroupTable>,
    /// Its transactional ids.
    pub txns: Rc<TxnTable>,
    /// Counters of client quotas whose home this shard is.
    pub counters: RefCell<Counters>,
    /// The time of the request that is worked on now.
    pub meter: Meter,
    /// Keeps lines that clients can provoke from flooding the log.
    pub complaints: RateLimit,
    /// Memory that answers hold until they are sent.
    pub lending: Lending,
    /// What fetches that wait for records remember of what they asked for.
    pub remembered: Budget,
    /// Keeps the executor awake while requests are worked on.
    pub pulse: Pulse,
    /// A partition of the image could not be made.
    incomplete: Cell<bool>,
    pub(super) reader: SegmentReader<D>,
    catalog: RefCell<Catalog>,
    coordinator: RefCell<Option<Rc<Coordinator>>>,
    watches: RefCell<Watches>,
    wakes: Wakes,
    /// The order of appends, by the shard they come from.
    lanes: Vec<Turnstile>,
}

impl<D: Disk> ShardCore<D> {
    /// A shard on an open store.
    pub fn new(host: Rc<dyn Host>, store: Rc<Store<D>>, disk: D, node: Arc<NodeFacts>) -> Rc<Self> {
        let slots_max = node
            .settings
            .kafka
            .max_incremental_fetch_session_cache_slots;
        let slots_max = usize::try_from(slots_max).unwrap_or(0) / usize::from(node.shards.max(1));
        let sleeper = Rc::clone(&host);
        let sleep: Sleep = Box::new(move |duration| sleeper.sleep(duration));
        let core = Rc::new(Self {
            lanes: (0..host.shards()).map(|_| Turnstile::default()).collect(),
            sessions: RefCell::new(Sessions::new(
                host.shard(),
                slots_max,
                CACHED_PARTITIONS_MAX,
            )),
            reader: SegmentReader::new(disk, OPEN_SEGMENTS_MAX),
            host,
            store,
            metrics: Rc::default(),
            node,
            scratch: RefCell::default(),
            slots: Slots::default(),
            groups: Rc::default(),
            txns: Rc::default(),
            counters: RefCell::default(),
            meter: Meter::default(),
            complaints: RateLimit::default(),
            lending: Lending::new(HELD_BYTES_MAX, BINDING_BYTES_MAX),
            remembered: Budget::new(REMEMBERED_BYTES_MAX),
            pulse: Pulse::new(sleep),
            incomplete: Cell::new(false),
            catalog: RefCell::default(),
            coordinator: RefCell::default(),
            watches: RefCell::default(),
            wakes: Wakes::default(),
        });
        let weak = Rc::downgrade(&core);
        core.store
            .set_visible_hook(Box::new(move |partition, visible| {
                if let Some(core) = weak.upgrade() {
                    core.moved(partition);
                    route::moved(&core, partition, visible);
                    transactions::route::moved(&core, partition, visible);
                }
            }));
        core
    }

    /// The cluster as this shard knows it.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.catalog.borrow().published)
    }

    /// The newest image of this shard.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.catalog.borrow().published.image)
    }

    /// What a topic's configuration means, computed once per image.
    #[must_use]
    pub fn topic_settings(&self, topic: &Topic) -> Rc<TopicSettings> {
        let mut catalog = self.catalog.borrow_mut();
        if let Some(settings) = catalog.settings.get(&topic.id) {
            return Rc::clone(settings);
        }
        let config = self
            .node
            .broker_configs
            .topic_config(&catalog.published.image, &topic.name);
        let settings = Rc::new(TopicSettings::new(config, self.node.rules));
        catalog.settings.insert(topic.id, Rc::clone(&settings));
        settings
    }

    /// The client quotas; none when none is set.
    #[must_use]
    pub fn quotas(&self) -> Option<Rc<QuotaTable>> {
        self.catalog.borrow().quotas.clone()
    }

    /// True if there may be a topic whose batches are stored in a codec of its own.
    #[must_use]
    pub fn recompresses(&self) -> bool {
        self.catalog.borrow().recompresses
    }

    /// Where a client of `listener` reaches a broker: host, port, rack.
    #[must_use]
    pub fn endpoint_of(
        &self,
        node: NodeId,
        listener: Listener,
    ) -> Option<(String, i32, Option<String>)> {
        let image = self.image();
        let broker = image.brokers.get(&node)?;
        let endpoint = broker.endpoint(listener.name())?;
        Some((
            endpoint.host.clone(),
            i32::from(endpoint.port),
            broker.rack.clone(),
        ))
    }

    /// The shard that owns a partition.
    #[must_use]
    pub fn owner(&self, partition: PartitionId) -> ShardId {
        self.node.owner(partition)
    }

    /// The coordinator, if this is its shard.
    #[must_use]
    pub fn coordinator(&self) -> Option<Rc<Coordinator>> {
        self.coordinator.borrow().clone()
    }

    /// This is the coordinator's shard.
    pub fn set_coordinator(&self, coordinator: Coordinator) {
        *self.coordinator.borrow_mut() = Some(Rc::new(coordinator));
    }

    /// Begins a message from another shard. The order of calls is the order of arrival.
    pub fn serve(self: &Rc<Self>, from: ShardId, message: Message) -> LocalFuture<Reply> {
        let core = Rc::clone(self);
        let busy = self.pulse.begin();
        match message {
            Message::Group(job) => {
                route::serve(self, from, *job);
                Box::pin(std::future::ready(Reply::Done))
            }
            Message::Append(job) => {
                let lane = self.lanes.get(usize::from(from.0));
                let turn = lane.map(Turnstile::turn);
                Box::pin(async move {
                    if let Some(turn) = &turn {
                        turn.arrive().await;
                    }
                    let begun = core.begin_append(&job).await;
                    drop(turn);
                    let appended = core.finish_append(begun, job.durable).await;
                    drop(busy);
                    Reply::Appended(appended)
                })
            }
            other => Box::pin(async move {
                let reply = core.serve_unordered(other).await;
                drop(busy);
                reply
            }),
        }
    }

    async fn serve_unordered(self: Rc<Self>, message: Message) -> Reply {
        match message {
            Message::Connection(accepted) => {
                self.host.adopt(accepted);
                Reply::Done
            }
            Message::Append(job) => {
                let begun = self.begin_append(&job).await;
                Reply::Appended(self.finish_append(begun, job.durable).await)
            }
            Message::Charge(job) => Reply::Charged(self.charge_here(*job)),
            Message::Fetch(job) => Reply::Fetched(self.fetch_here(job).await),
            Message::Replan {
                partition,
                place,
                bytes,
            } => Reply::Replanned(self.store.replan(partition, place, bytes)),
            Message::Suspect(partition, path) => self.suspect(partition, &path).await,
            Message::Wake(slots) => {
                for (slot, partition) in slots {
                    self.slots.wake(slot, partition);
                }
                Reply::Done
            }
            Message::Query(questions) => Reply::Queried(self.query_here(questions).await),
            Message::Coordinate(request) => {
                // Boxed: what the coordinator runs may ask shards, this one included.
                Reply::Answered(Box::pin(dispatch::coordinated(&self, &request)).await)
            }
            Message::TakeSession(id) => {
                Reply::Session(self.sessions.borrow_mut().give(id).map(Box::new))
            }
            Message::Forget(dirs) => {
                dirs.iter().for_each(|dir| self.reader.forget(dir));
                Reply::Changed(Ok(()))
            }
            message @ (Message::Create(_)
            | Message::Delete(_)
            | Message::Lead(_)
            | Message::Configure(_)) => Reply::Changed(self.change(message).await),
            Message::Publish(published) => {
                let fresh = self
                    .catalog
                    .borrow()
                    .next(published, &self.node.broker_configs);
                let before = self.catalog.replace(fresh);
                route::follow(&self, &before.published.image);
                transactions::route::follow(&self, &before.published.image);
                Reply::Changed(Ok(()))
            }
            Message::AutoCreate(names) => {
                Box::pin(handlers::k03_metadata::create(&self, names)).await;
                Reply::Done
            }
            message @ (Message::Transact(..) | Message::Markers(_) | Message::FreshProducerId) => {
                Box::pin(transactions::route::serve_message(&self, message)).await
            }
            Message::GroupAnswers(parcels) => {
                self.groups.answered(parcels);
                Reply::Done
            }
            // What opens and ends a shard is for whoever holds this core; jobs of groups come from
            // other shards alone.
            Message::Group(_)
            | Message::Open(_)
            | Message::Quiet
            | Message::Halt
            | Message::End => Reply::Done,
            Message::Scrape => Reply::Metrics(Box::new(self.scrape())),
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape {
            snapshot: self.snapshot(),
            stages: self.metrics.stages.summaries(),
            health: self.store.health(),
        }
    }

    async fn change(self: &Rc<Self>, message: Message) -> Result<(), Fault> {
        match message {
            Message::Create(list) => self.create(list).await,
            Message::Delete(list) => self.delete(list).await,
            Message::Lead(list) => self.lead(list).await,
            Message::Configure(list) => self.configure(list),
            _ => Ok(()),
        }
    }

    /// Asks a shard, which may be this one.
    pub async fn ask(self: &Rc<Self>, shard: ShardId, message: Message) -> Result<Reply, Gone> {
        if shard == self.host.shard() {
            return Ok(Rc::clone(self).serve_unordered(message).await);
        }
        self.host.send(shard, message).await?.await
    }

    /// Begins to ask a shard, which may be this one: when it returns, the message is on its way.
    pub async fn begin_ask(self: &Rc<Self>, shard: ShardId, message: Message) -> PendingReply {
        if shard == self.host.shard() {
            let core = Rc::clone(self);
            return Box::pin(async move { Ok(core.serve_unordered(message).await) });
        }
        match self.host.send(shard, message).await {
            Ok(pending) => pending,
            Err(gone) => Box::pin(std::future::ready(Err(gone))),
        }
    }

    async fn create(&self, list: Vec<NewPartition>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for partition in list {
            outcome = outcome.and(self.create_one(partition).await);
        }
        outcome
    }

    async fn create_one(&self, new: NewPartition) -> Result<(), Fault> {
        let id = new.id;
        if let Err(error) = self.store.create_partition(new).await {
            tracing::error!(shard = self.host.shard().0, %id, %error, "a partition can't be made");
            self.incomplete.set(true);
            return Err(error.into());
        }
        Ok(())
    }

    /// Makes partitions that the image has and that could not be made before. Called now and then.
    pub async fn heal(self: &Rc<Self>) {
        if !self.incomplete.take() {
            return;
        }
        let image = self.image();
        let changes = Changes::between(&Image::default(), &image, &self.node);
        let own = changes
            .create
            .into_iter()
            .filter(|(shard, _)| *shard == self.host.shard());
        for new in own.flat_map(|(_, list)| list) {
            let id = new.id;
            if self.store.partition(id).is_some() || self.create_one(new).await.is_err() {
                continue;
            }
            if self.image().topics.get(id.topic).is_none() {
                // Deleted meanwhile: whoever did so found nothing to delete here.
                if let Err(error) = self.store.delete_partition(id).await {
                    tracing::warn!(shard = self.host.shard().0, %id, %error, "not deleted");
                }
            }
        }
    }

    async fn delete(self: &Rc<Self>, list: Vec<PartitionId>) -> Result<(), Fault> {
        for partition in list {
            self.store.delete_partition(partition).await?;
            // Whoever waits for its records looks again and finds it gone.
            let keys = self.watches.borrow_mut().gone(partition);
            self.wake_all(keys, partition);
        }
        Ok(())
    }

    async fn lead(&self, list: Vec<(PartitionId, Epoch)>) -> Result<(), Fault> {
        let mut last = None;
        for (partition, epoch) in list {
            last = Some(self.store.start_epoch(partition, epoch)?);
        }
        match last {
            Some(ticket) => Ok(self.store.wait(ticket).await?),
            None => Ok(()),
        }
    }

    fn configure(&self, list: Vec<(PartitionId, LogConfig)>) -> Result<(), Fault> {
        for (partition, config) in list {
            self.store.set_config(partition, config)?;
        }
        Ok(())
    }

    /// Leaves a watch for a parked fetch.
    pub(super) fn watch(&self, key: WatchKey, partitions: Vec<PartitionId>) {
        self.watches.borrow_mut().watch(key, partitions);
    }

    /// A partition's high watermark moved: whoever watches it looks again.
    fn moved(self: &Rc<Self>, partition: PartitionId) {
        let keys = self.watches.borrow_mut().moved(partition);
        self.wake_all(keys, partition);
    }

    fn wake_all(self: &Rc<Self>, keys: Vec<WatchKey>, partition: PartitionId) {
        for key in keys {
            self.wake(key, partition);
        }
    }

    /// Wakes a parked fetch, wherever it is, for a partition that moved.
    pub(super) fn wake(self: &Rc<Self>, key: WatchKey, partition: PartitionId) {
        if key.shard == self.host.shard() {
            self.slots.wake(key.slot, partition);
        } else if self.wakes.add(key, partition) {
            let core = Rc::clone(self);
            let sender = async move {
                while let Some(slots) = core.wakes.next(key.shard) {
                    if core.ask(key.shard, Message::Wake(slots)).await.is_err() {
                        return;
                    }
                }
            };
            self.host.spawn(Queue::Network, Box::pin(sender));
        }
    }

    /// This shard's numbers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Snapshot {
            held_bytes: count(self.lending.tail.used() + self.lending.read.used()),
            parked: count(self.slots.used()),
            sessions: count(self.sessions.borrow().len()),
            connections: self.metrics.connections.get(),
            storage: self.store.counters(),
            reads: self.reader.counters(),
            ..self.metrics.snapshot()
        }
    }
}
