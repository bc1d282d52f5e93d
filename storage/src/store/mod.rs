//! One shard's storage as the node sees it: a journal, and the logs of the shard's partitions.
//!
//! Single-threaded: a [`Store`] lives in an `Rc` on its shard, its state behind one `RefCell` that
//! is never borrowed across an await. It has no executor: the node spawns [`Store::commit_loop`]
//! (the latency class), [`Store::move_loop`], [`Store::flush_loop`] and [`Store::grow_loop`]
//! (background), and calls [`Store::maintain`] about once a second with the time.
//!
//! The way of a produce: `admit` (waits for room, and loads partial tail blocks) -> `append` for
//! each batch (synchronous; offsets are final, nothing is visible) -> `durable` (waits for the
//! round's flush) -> answer. Whatever an answer names waits the same way, a duplicate's too.
//!
//! Deliberately absent: names of topics, clocks, the network, replication.

use std::rc::Rc;

use thalweg_wire::batch::BatchSummary;
use thalweg_wire::ids::{Epoch, Offset, PartitionId, TimestampMs};

use crate::counters::Counters;
use crate::disk::Disk;
use crate::error::{RequestError, StoreError};
use crate::log::{
    AppendContext, AppendError, Appended, EndTxn, EpochEnd, FoundOffset, LogConfig, PartitionView,
    ReadError, TimestampQuery,
};

mod types;

pub use types::{
    Durability, Health, Isolation, NewPartition, PartitionSpec, ReadAnswer, ReadRequest,
    StoreConfig, Ticket,
};

/// Room in the journal's window for bytes about to be appended; given back when dropped.
#[derive(Debug)]
pub struct Permit {}

/// One shard's storage; see the module's head.
pub struct Store<D: Disk> {
    /// (Skeleton.)
    pub disk: D,
}

/// Called with a partition whose high watermark moved.
pub type VisibleHook = Box<dyn Fn(PartitionId, Offset)>;

#[expect(unused_variables, reason = "signatures first; bodies follow")]
impl<D: Disk> Store<D> {
    /// Opens a shard's journal and its partitions' logs, after [`Recovery`](crate::recover::Recovery)
    /// has finished. Partitions of other shards in `specs` are skipped.
    pub async fn open(
        disk: D,
        config: StoreConfig,
        specs: &[PartitionSpec],
        now: TimestampMs,
    ) -> Result<Rc<Self>, StoreError> {
        unimplemented!()
    }

    /// Settings it runs with.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        unimplemented!()
    }

    /// Calls `hook` whenever a partition's high watermark moved (long polls wake by it). It runs
    /// outside of any borrow and may call the store.
    pub fn set_visible_hook(&self, hook: VisibleHook) {
        unimplemented!()
    }

    /// The numbers of a partition; `None` if this shard does not serve it.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<PartitionView> {
        unimplemented!()
    }

    /// All partitions, in the order of their ids.
    #[must_use]
    pub fn partitions(&self) -> Vec<(PartitionId, PartitionView)> {
        unimplemented!()
    }

    /// Makes a partition: its directory, an empty log, its first epoch. Durable when it returns.
    pub async fn create_partition(&self, new: NewPartition) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a partition. When it returns, its end is durable, its directory has Kafka's
    /// `-delete` name, and waiters on it got an error; the files go in steps by `maintain`.
    pub async fn delete_partition(&self, id: PartitionId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Takes new topic settings; they hold from the next append on.
    pub fn set_config(&self, id: PartitionId, config: LogConfig) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// This node leads the partition from here on, in this epoch.
    pub fn start_epoch(&self, id: PartitionId, epoch: Epoch) -> Result<Ticket, StoreError> {
        unimplemented!()
    }

    /// Waits, first come first served, until the window has room for `bytes` (the sum of a
    /// request's batches), and until every partition of `ids` is ready to be appended to. Unknown
    /// ids are skipped: `append` will name them. Keep the permit until the appends are made.
    pub async fn admit(&self, bytes: usize, ids: &[PartitionId]) -> Result<Permit, StoreError> {
        unimplemented!()
    }

    /// Appends one checked batch. Its offsets are final; it is visible once durable.
    pub fn append(
        &self,
        id: PartitionId,
        batch: &[u8],
        summary: &BatchSummary,
        context: &AppendContext,
    ) -> Result<Appended, RequestError<AppendError>> {
        unimplemented!()
    }

    /// Appends the marker that ends a transaction.
    pub fn append_end_txn(
        &self,
        id: PartitionId,
        end: &EndTxn,
        context: &AppendContext,
    ) -> Result<Appended, RequestError<AppendError>> {
        unimplemented!()
    }

    /// Waits until everything of the partition below `end` may be acknowledged.
    pub async fn durable(&self, id: PartitionId, end: Offset) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// The point after everything accepted so far, of all partitions.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        unimplemented!()
    }

    /// Waits until everything up to the ticket may be acknowledged.
    pub async fn wait(&self, ticket: Ticket) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes the records below `offset` (-1: below the high watermark); the new log start, when
    /// that is durable.
    pub async fn delete_records(
        &self,
        id: PartitionId,
        offset: Offset,
    ) -> Result<Offset, RequestError<ReadError>> {
        unimplemented!()
    }

    /// Plans a fetch and says where its bytes lie.
    pub async fn read(
        &self,
        id: PartitionId,
        request: ReadRequest,
    ) -> Result<ReadAnswer, RequestError<ReadError>> {
        unimplemented!()
    }

    /// Finds an offset by time among what the isolation shows.
    pub async fn offset_for_timestamp(
        &self,
        id: PartitionId,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, RequestError<ReadError>> {
        unimplemented!()
    }

    /// Where a leader epoch ended.
    #[must_use]
    pub fn end_offset_for_epoch(&self, id: PartitionId, epoch: Epoch) -> Option<EpochEnd> {
        unimplemented!()
    }

    /// The shard's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }

    /// The shard's state.
    #[must_use]
    pub fn health(&self) -> Health {
        unimplemented!()
    }

    /// Writes rounds until the store is stopped or poisoned. Spawn once, in the latency class.
    pub async fn commit_loop(self: Rc<Self>) {
        unimplemented!()
    }

    /// Moves records to segments and recycles journal files. Spawn once, in the background.
    pub async fn move_loop(self: Rc<Self>) {
        unimplemented!()
    }

    /// Flushes beside the rounds with [`Durability::Write`]; ends at once with `Flush`. Spawn once.
    pub async fn flush_loop(self: Rc<Self>) {
        unimplemented!()
    }

    /// Grows the journal's pool while there is demand. Spawn once, in the background.
    pub async fn grow_loop(self: Rc<Self>) {
        unimplemented!()
    }

    /// About once a second, with the time: retention, files of deleted partitions in steps, expiry
    /// of producers, the flush interval of `Write`, another try after a full disk.
    pub async fn maintain(&self, now: TimestampMs) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Stops: nothing is accepted any more, everything goes to segments, checkpoints and snapshots
    /// are written, and the clean-stop entry is durable when it returns. The loops end.
    pub async fn stop_clean(&self, now: TimestampMs) -> Result<(), StoreError> {
        unimplemented!()
    }
}
