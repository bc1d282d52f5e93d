//! What the store's tests share: a small world of partitions on the seeded disk, started as the
//! node starts it, and a plain model of what each partition must hold.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::error::StoreError;
use thalweg_storage::log::{AppendContext, CleanupPolicy, LogConfig, Origin, Piece, Verification};
use thalweg_storage::recover::{Recovery, Report};
use thalweg_storage::store::{
    Isolation, NewPartition, PartitionSpec, ReadRequest, Store, StoreConfig,
};
use thalweg_storage::testing::{Handle, Prng};
use thalweg_wire::batch::{BatchBuilder, BatchHeader, BatchSpec, BatchSummary, Record, split};
use thalweg_wire::ids::{Epoch, Offset, PartitionId, PartitionIndex, ShardId, TimestampMs, Uuid};

pub(crate) type Shop = Rc<Store<MemoryDisk>>;

/// Bytes of a batch that the leader may change: base offset, length, epoch, magic.
const CHANGED_BYTES: usize = 17;

/// One batch of a partition, as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) base: i64,
    pub(crate) next: i64,
    pub(crate) body: Vec<u8>,
    pub(crate) acked: bool,
}

/// What a partition must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) batches: Vec<Sent>,
    /// Records below were asked to be deleted: they may be gone.
    pub(crate) start_asked: i64,
    /// That was answered: they are not shown any more.
    pub(crate) start_acked: i64,
    /// A reader was shown everything below.
    pub(crate) shown: i64,
    pub(crate) deleting: bool,
    pub(crate) deleted: bool,
}

/// Small sizes, so that every limit is met within a few hundred operations.
pub(crate) fn small() -> StoreConfig {
    StoreConfig {
        journal_file_bytes: 64 << 10,
        journal_bytes_max: 6 * (64 << 10),
        round_bytes_max: 8 << 10,
        move_bytes_min: 8 << 10,
        move_write_bytes: 8 << 10,
        segment_preallocate_bytes: 16 << 10,
        flush_bytes: 32 << 10,
        ..StoreConfig::new(ShardId(0))
    }
}

pub(crate) fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 40 << 10,
        index_interval_bytes: 1_024,
        retention_ms: None,
        cleanup: CleanupPolicy {
            delete: true,
            compact: false,
        },
        ..LogConfig::default()
    }
}

pub(crate) fn id(topic: u8, index: i32) -> PartitionId {
    PartitionId {
        topic: Uuid([topic; 16]),
        index: PartitionIndex(index),
    }
}

pub(crate) fn new_partition(id: PartitionId, name: &str) -> NewPartition {
    NewPartition {
        id,
        dir_name: name.to_owned(),
        config: log_config(),
        leader_epoch: Epoch(1),
    }
}

pub(crate) fn shard_of(id: PartitionId, shards: u16) -> ShardId {
    ShardId((u16::from(id.topic.0[0]) + id.index.0 as u16) % shards)
}

/// A sound batch with a unique first value.
pub(crate) fn batch(number: u64, records: usize, bytes: usize, now: i64) -> Vec<u8> {
    batch_of(BatchSpec::default(), number, records, (bytes, now))
}

/// The same, of an idempotent producer perhaps; `of` is the size of a value and the first time.
pub(crate) fn batch_of(
    spec: BatchSpec,
    number: u64,
    records: usize,
    (bytes, now): (usize, i64),
) -> Vec<u8> {
    let mut builder = BatchBuilder::new(spec);
    for record in 0..records {
        let mut value = vec![(number % 251) as u8; bytes];
        value[..8].copy_from_slice(&number.to_le_bytes());
        builder.push(&Record {
            timestamp: TimestampMs(now + record as i64),
            value: Some(&value),
            ..Record::default()
        });
    }
    builder.finish_plain()
}

pub(crate) fn summary(batch: &[u8]) -> BatchSummary {
    let header = BatchHeader::of(batch).unwrap();
    BatchSummary {
        bytes: batch.len(),
        attributes: header.attributes(),
        codec: thalweg_wire::batch::Codec::None,
        record_count: header.record_count(),
        last_offset_delta: header.last_offset_delta(),
        base_timestamp: header.base_timestamp(),
        max_timestamp: header.max_timestamp(),
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
    }
}

pub(crate) fn context(now: i64) -> AppendContext {
    AppendContext {
        leader_epoch: Epoch(1),
        now: TimestampMs(now),
        origin: Origin::Client,
        verification: Verification::Waived,
    }
}

/// A started node without its sockets.
pub(crate) struct Node {
    pub(crate) stores: Vec<Shop>,
    pub(crate) report: Report,
}

impl Node {
    pub(crate) fn store(&self, id: PartitionId) -> &Shop {
        let shard = shard_of(id, self.stores.len() as u16);
        &self.stores[usize::from(shard.0)]
    }
}

/// A journal id that no start of this disk had before, and the same for the same seed: whoever
/// wrote something since then was counted.
fn fresh_id(disk: &MemoryDisk) -> Uuid {
    use thalweg_storage::disk::Disk;
    let counters = disk.counters();
    let mut prng = Prng::new(counters.writes << 32 | counters.flushes);
    let mut id = [0; 16];
    id.fill_with(|| prng.below(256) as u8);
    Uuid(id)
}

/// Recovers and opens all shards, and spawns their loops.
pub(crate) async fn boot(
    disk: &MemoryDisk,
    names: &BTreeMap<PartitionId, String>,
    shards: u16,
    config: StoreConfig,
    handle: &Handle,
) -> Result<Node, StoreError> {
    let specs: Vec<PartitionSpec> = names
        .iter()
        .map(|(id, name)| PartitionSpec {
            id: *id,
            dir_name: name.clone(),
            config: log_config(),
            shard: shard_of(*id, shards),
        })
        .collect();
    let now = TimestampMs(1_000);
    let mut recovery = Recovery::read(disk.clone(), config, shards, now, fresh_id(disk)).await?;
    recovery.metadata().await?;
    let report = recovery.finish(&specs).await?;
    let mut stores = Vec::new();
    for shard in (0..shards).map(ShardId) {
        let config = StoreConfig { shard, ..config };
        let store = Store::open(disk.clone(), config, &specs, now).await?;
        drop(handle.spawn(Rc::clone(&store).commit_loop()));
        drop(handle.spawn(Rc::clone(&store).move_loop()));
        drop(handle.spawn(Rc::clone(&store).flush_loop()));
        drop(handle.spawn(Rc::clone(&store).grow_loop()));
        stores.push(store);
    }
    Ok(Node { stores, report })
}

/// Bytes of pieces, read from wherever they lie.
pub(crate) async fn bytes_of(disk: &MemoryDisk, pieces: Vec<Piece>) -> Vec<u8> {
    use thalweg_storage::disk::{BLOCK_BYTES, Disk, File, OpenMode};
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(slice) => bytes.extend_from_slice(&slice),
            Piece::File {
                path,
                position,
                bytes: count,
                ..
            } => {
                let file = disk.open(&path, OpenMode::Read).await.unwrap();
                let from = position - position % BLOCK_BYTES as u64;
                let skip = (position - from) as usize;
                let want = (skip + count).next_multiple_of(BLOCK_BYTES);
                let part = file.read_at(from, want).await.unwrap();
                bytes.extend_from_slice(&part[skip..skip + count]);
            }
        }
    }
    bytes
}

/// Everything that a consumer sees of a partition: base offset, next offset and body of each batch.
pub(crate) async fn read_all(
    disk: &MemoryDisk,
    store: &Shop,
    id: PartitionId,
) -> Result<Vec<Sent>, String> {
    let view = store.partition(id).ok_or("no such partition")?;
    let mut offset = view.log_start;
    let mut found: Vec<Sent> = Vec::new();
    while offset < view.high_watermark {
        let request = ReadRequest {
            offset,
            bytes_max: 20_000,
            min_one: true,
            isolation: Isolation::HighWatermark,
        };
        let answer = store
            .read(id, request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let bytes = bytes_of(disk, answer.pieces).await;
        let before = offset;
        for batch in split(&bytes) {
            let batch = batch.map_err(|error| format!("{id} at {offset}: {error:?}"))?;
            if !batch.crc_matches() {
                return Err(format!("{id} at {offset}: bad checksum"));
            }
            offset = batch.header().next_offset();
            found.push(Sent {
                base: batch.header().base_offset().0,
                next: offset.0,
                body: batch.bytes()[CHANGED_BYTES..].to_vec(),
                acked: true,
            });
        }
        if offset == before {
            return Err(format!(
                "{id}: nothing at {offset} below {}",
                view.high_watermark
            ));
        }
    }
    Ok(found)
}

impl Model {
    pub(crate) fn end(&self) -> i64 {
        self.batches
            .last()
            .map_or(self.start_asked, |batch| batch.next)
    }

    /// Remembers a batch that was appended but not answered yet.
    pub(crate) fn sent(&mut self, base: Offset, next: Offset, batch: &[u8]) {
        self.batches.push(Sent {
            base: base.0,
            next: next.0,
            body: batch[CHANGED_BYTES..].to_vec(),
            acked: false,
        });
    }

    pub(crate) fn acked(&mut self, base: Offset) {
        let mut batches = self.batches.iter_mut().rev();
        batches.find(|batch| batch.base == base.0).unwrap().acked = true;
    }

    /// Compares with what a start found, and forgets what was lost and never acknowledged.
    pub(crate) fn check(
        &mut self,
        found: &[Sent],
        log_start: i64,
        log_end: i64,
    ) -> Result<(), String> {
        if log_start > self.start_asked || log_start < self.start_acked {
            return Err(format!(
                "log start {log_start}, asked {} acknowledged {}",
                self.start_asked, self.start_acked
            ));
        }
        if log_end < self.shown {
            return Err(format!(
                "shown {} but the log ends at {log_end}",
                self.shown
            ));
        }
        let bodies: BTreeSet<&[u8]> = found.iter().map(|batch| batch.body.as_slice()).collect();
        if bodies.len() < found.len() {
            return Err("a batch is there twice".to_owned());
        }
        let mut expected = self
            .batches
            .iter()
            .filter(|batch| batch.next > log_start)
            .peekable();
        for batch in found {
            let Some(sent) = expected.next() else {
                return Err(format!("a batch at {} that was never sent", batch.base));
            };
            if sent.base != batch.base || sent.next != batch.next || sent.body != batch.body {
                return Err(format!(
                    "batch at {} differs, sent at {}",
                    batch.base, sent.base
                ));
            }
        }
        let bodies: std::collections::BTreeSet<&[u8]> =
            found.iter().map(|batch| batch.body.as_slice()).collect();
        if bodies.len() < found.len() {
            return Err("a batch is there twice".to_owned());
        }
        if let Some(lost) = expected.find(|batch| batch.acked) {
            return Err(format!(
                "lost acknowledged batch at {}; the log ends at {log_end}",
                lost.base
            ));
        }
        self.batches.retain(|batch| batch.next <= log_end);
        self.start_asked = log_start;
        self.start_acked = log_start;
        self.shown = self.shown.max(log_end);
        for batch in &mut self.batches {
            batch.acked = true;
        }
        Ok(())
    }
}

/// How many seeds a test runs: `few`, or what `THALWEG_SEEDS` says.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let from = std::env::var("THALWEG_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    if let Some(seed) = from {
        return seed..seed + 1;
    }
    let count = std::env::var("THALWEG_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    0..count.unwrap_or(few)
}

/// Runs each seed, on all cores; what they gave, in no order. A seed that panics is named.
pub(crate) fn each_seed<T: Send>(few: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let seeds = seeds(few);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut given = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return given;
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(value) => given.push(value),
                Err(panic) => {
                    eprintln!("replay with THALWEG_SEED={seed}");
                    resume_unwind(panic);
                }
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let given = workers.into_iter().map(|worker| worker.join());
        given
            .flat_map(|one| one.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

pub(crate) fn pick<'a, T>(prng: &mut Prng, items: &'a [T]) -> &'a T {
    &items[prng.below(items.len())]
}
