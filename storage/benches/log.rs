//! One partition's log without any disk: an append with its journal entry, the plan of a fetch from
//! memory, a look into the index; and a whole round of the store on the seeded disk, from append
//! to durable.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::journal::entry::{Entry, EntrySink};
use thalweg_storage::log::{
    AppendContext, Log, LogConfig, LogSpec, Origin, ReadSpec, Verification,
};
use thalweg_storage::recover::Recovery;
use thalweg_storage::segment::index::{IndexEntry, OffsetIndex};
use thalweg_storage::store::{NewPartition, Store, StoreConfig};
use thalweg_storage::testing::Executor;
use thalweg_wire::batch::{
    BatchBuilder, BatchSpec, BatchSummary, CheckLimits, CompressedCheck, Origin as From, Record,
    Scratch, check_produce,
};
use thalweg_wire::ids::{Epoch, Offset, PartitionId, PartitionIndex, ShardId, TimestampMs, Uuid};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Appends to one log before a fresh one: few enough that its memory stays small.
const APPENDS: usize = 256;

/// Takes entries as a journal would, and forgets them.
struct Forget;

impl EntrySink for Forget {
    fn push(&mut self, entry: Entry<'_>) {
        black_box(&entry);
    }
}

fn partition(index: i32) -> PartitionId {
    PartitionId {
        topic: Uuid([7; 16]),
        index: PartitionIndex(index),
    }
}

fn context() -> AppendContext {
    AppendContext {
        leader_epoch: Epoch(1),
        now: NOW,
        origin: Origin::Client,
        verification: Verification::Waived,
    }
}

fn batch(records: usize) -> (Vec<u8>, BatchSummary) {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for _ in 0..records {
        builder.push(&Record {
            timestamp: NOW,
            value: Some(&[7; 1024]),
            ..Record::default()
        });
    }
    let bytes = builder.finish_plain();
    let limits = CheckLimits {
        origin: From::Client,
        batch_bytes_max: 2 << 20,
        inflated_bytes_max: 2 << 20,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: None,
    };
    let summary = check_produce(&bytes, &limits, &mut Scratch::default()).expect("sound");
    (bytes, summary)
}

fn log() -> Log {
    let mut log = Log::create(LogSpec {
        id: partition(0),
        dir: PathBuf::from("bench-0"),
        config: LogConfig::default(),
        now: NOW,
    });
    log.start_epoch(Epoch(1), &mut Forget);
    log
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append to a log");
    for records in [1, 16] {
        let (bytes, summary) = batch(records);
        group.throughput(Throughput::Elements(APPENDS as u64));
        let name = format!("{APPENDS} batches of {records} KiB");
        group.bench_function(name, |bencher| {
            let run = |mut log: Log| {
                for _ in 0..APPENDS {
                    let done = log.append(black_box(&bytes), &summary, &context(), &mut Forget);
                    assert!(done.is_ok(), "{done:?}");
                }
                log
            };
            bencher.iter_batched(log, run, BatchSize::LargeInput);
        });
    }
}

fn fetch_plan(criterion: &mut Criterion) {
    let (mut log, (bytes, summary)) = (log(), batch(1));
    for _ in 0..APPENDS {
        let done = log.append(&bytes, &summary, &context(), &mut Forget);
        assert!(done.is_ok(), "{done:?}");
    }
    let end = Offset(APPENDS as i64);
    log.on_durable(end);
    let mut offset = 0;
    criterion.bench_function("plan a fetch of 16 KiB from memory", |bencher| {
        bencher.iter(|| {
            offset = (offset + 15) % (APPENDS as i64 - 16);
            let spec = ReadSpec {
                offset: Offset(offset),
                bytes_max: 16 << 10,
                min_one: true,
                upper: end,
            };
            black_box(log.read(spec).is_ok())
        });
    });
}

fn index_lookup(criterion: &mut Criterion) {
    // As many entries as a segment of 1 GiB has.
    let entries = 1 << 18;
    let mut index = OffsetIndex::new(Offset(0));
    for entry in 1..=entries {
        let (offset, position) = (Offset(entry * 4), (entry * 4096) as u64);
        index.push(IndexEntry { offset, position }, Offset(entry * 4 - 3));
    }
    let mut offset = 1;
    criterion.bench_function("look into an index of 262,144 entries", |bencher| {
        bencher.iter(|| {
            offset = (offset * 48_271) % (entries * 4);
            black_box(index.floor(Offset(offset)))
        });
    });
}

/// Partitions and journal as the node has them; the disk is memory, so this is CPU only.
fn round(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a round of the store");
    // The seeded disk keeps all that was ever written: short, or it fills the memory.
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    for partitions in [1, 100] {
        let mut executor = Executor::new(1);
        let handle = executor.handle();
        let store = executor.block_on(async move {
            let disk = MemoryDisk::new(1);
            let config = StoreConfig::new(ShardId(0));
            let mut recovery = Recovery::read(disk.clone(), config, 1, NOW, Uuid([1; 16]))
                .await
                .expect("empty");
            recovery.metadata().await.expect("empty");
            recovery.finish(&[]).await.expect("empty");
            let store = Store::open(disk, config, &[], NOW).await.expect("a store");
            drop(handle.spawn(Rc::clone(&store).commit_loop()));
            drop(handle.spawn(Rc::clone(&store).move_loop()));
            drop(handle.spawn(Rc::clone(&store).flush_loop()));
            drop(handle.spawn(Rc::clone(&store).grow_loop()));
            for index in 0..partitions {
                let new = NewPartition {
                    id: partition(index),
                    dir_name: format!("bench-{index}"),
                    config: LogConfig::default(),
                    leader_epoch: Epoch(1),
                };
                store.create_partition(new).await.expect("a partition");
            }
            store
        });
        let (bytes, summary) = batch(1);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(
            format!("{partitions} batches of 1 KiB, to durable"),
            |bencher| {
                bencher.iter(|| {
                    let mut ends = BTreeMap::new();
                    executor.block_on(async {
                        for index in 0..partitions {
                            let id = partition(index);
                            let done = store.append(id, &bytes, &summary, &context());
                            ends.insert(index, done.expect("room").end);
                        }
                        for (index, end) in &ends {
                            store
                                .durable(partition(*index), *end)
                                .await
                                .expect("durable");
                        }
                    });
                });
            },
        );
    }
}

criterion_group!(benches, append, fetch_plan, index_lookup, round);
criterion_main!(benches);
