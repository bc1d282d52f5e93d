//! One shard's logic: its partitions, what it knows of the node, how it serves messages.
//!
//! Generic over the disk and written against [`Host`], so that it runs on glommio and on the
//! simulator alike. Invariants: a message is begun in the order in which it arrived from its
//! sender; appends of one sender reach the store in that order (a turnstile per sender), whatever
//! waits in between. Deliberately absent: sockets, channels, threads.

use std::cell::RefCell;
use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::store::Store;
use thalweg_wire::ids::{PartitionId, ShardId};

use super::host::{Gone, Host, Queue};
use super::mailbox::{Fault, Message, Query, QueryAnswer, Reply};
use super::parked::{Slots, Wakes, WatchKey, Watches};
use super::wait::{LocalFuture, Turnstile};
use crate::dispatch;
use crate::metrics::{Metrics, Snapshot};

/// One shard.
pub struct ShardCore<D: Disk> {
    /// The world around it.
    pub host: Rc<dyn Host>,
    /// Its partitions.
    pub store: Rc<Store<D>>,
    /// Its counters.
    pub metrics: Rc<Metrics>,
    /// Its parked fetches.
    pub slots: Slots,
    watches: RefCell<Watches>,
    wakes: Wakes,
    /// The order of appends, by the shard they come from.
    lanes: Vec<Turnstile>,
}

impl<D: Disk> ShardCore<D> {
    /// A shard on an open store.
    pub fn new(host: Rc<dyn Host>, store: Rc<Store<D>>, metrics: Rc<Metrics>) -> Rc<Self> {
        let core = Rc::new(Self {
            lanes: (0..host.shards()).map(|_| Turnstile::default()).collect(),
            host,
            store,
            metrics,
            slots: Slots::default(),
            watches: RefCell::default(),
            wakes: Wakes::default(),
        });
        let weak = Rc::downgrade(&core);
        core.store.set_visible_hook(Box::new(move |partition, _| {
            if let Some(core) = weak.upgrade() {
                core.moved(partition);
            }
        }));
        core
    }

    /// Begins a message from another shard. The order of calls is the order of arrival.
    pub fn serve(self: &Rc<Self>, from: ShardId, message: Message) -> LocalFuture<Reply> {
        let core = Rc::clone(self);
        match message {
            Message::Append(job) => {
                let lane = self.lanes.get(usize::from(from.0));
                let turn = lane.map(Turnstile::turn);
                Box::pin(async move {
                    if let Some(turn) = &turn {
                        turn.arrive().await;
                    }
                    let begun = core.begin_append(&job).await;
                    drop(turn);
                    Reply::Appended(core.finish_append(begun, job.durable).await)
                })
            }
            other => Box::pin(async move { core.serve_unordered(other).await }),
        }
    }

    async fn serve_unordered(self: Rc<Self>, message: Message) -> Reply {
        match message {
            Message::Connection { socket, listener } => {
                self.host.adopt(socket, listener);
                Reply::Done
            }
            Message::Append(job) => {
                let begun = self.begin_append(&job).await;
                Reply::Appended(self.finish_append(begun, job.durable).await)
            }
            Message::Fetch(job) => Reply::Fetched(self.fetch_here(job).await),
            Message::Wake(slots) => {
                for slot in slots {
                    self.slots.wake(slot);
                }
                Reply::Done
            }
            Message::Query(questions) => Reply::Queried(self.query_here(questions).await),
            Message::Coordinate(request) => {
                Reply::Answered(dispatch::coordinated(&self, &request).await)
            }
            Message::Scrape => Reply::Metrics(Box::new(self.snapshot())),
            _ => Reply::Done,
        }
    }

    /// Asks a shard, which may be this one.
    pub async fn ask(self: &Rc<Self>, shard: ShardId, message: Message) -> Result<Reply, Gone> {
        if shard == self.host.shard() {
            return Ok(Rc::clone(self).serve_unordered(message).await);
        }
        self.host.send(shard, message).await?.await
    }

    /// Answers questions about partitions of this shard.
    pub async fn query_here(
        &self,
        questions: Vec<(PartitionId, Query)>,
    ) -> Vec<Result<QueryAnswer, Fault>> {
        let mut answers = Vec::with_capacity(questions.len());
        for (partition, question) in questions {
            answers.push(self.answer(partition, question).await);
        }
        answers
    }

    async fn answer(&self, id: PartitionId, question: Query) -> Result<QueryAnswer, Fault> {
        let unknown = || Fault::from(thalweg_storage::error::StoreError::UnknownPartition(id));
        match question {
            Query::View => {
                let view = self.store.partition(id).ok_or_else(unknown)?;
                Ok(QueryAnswer::View(view))
            }
            Query::Offset(query, isolation) => {
                let found = self
                    .store
                    .offset_for_timestamp(id, query, isolation)
                    .await?;
                Ok(QueryAnswer::Offset(found))
            }
            Query::EpochEnd(epoch) => {
                let end = self
                    .store
                    .end_offset_for_epoch(id, epoch)
                    .ok_or_else(unknown)?;
                Ok(QueryAnswer::EpochEnd(end))
            }
            Query::DeleteRecords(offset) => {
                let start = self.store.delete_records(id, offset).await?;
                Ok(QueryAnswer::LogStart(start))
            }
        }
    }

    /// Leaves a watch for a parked fetch.
    pub(super) fn watch(&self, key: WatchKey, partitions: Vec<PartitionId>) {
        self.watches.borrow_mut().watch(key, partitions);
    }

    /// A partition's high watermark moved: whoever watches it looks again.
    fn moved(self: &Rc<Self>, partition: PartitionId) {
        let keys = self.watches.borrow_mut().moved(partition);
        for key in keys {
            self.wake(key);
        }
    }

    /// Wakes a parked fetch, wherever it is.
    pub(super) fn wake(self: &Rc<Self>, key: WatchKey) {
        if key.shard == self.host.shard() {
            self.slots.wake(key.slot);
        } else if self.wakes.add(key) {
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
        self.metrics.snapshot(self.store.counters())
    }
}
