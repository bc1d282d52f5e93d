//! The log cleaner against a plain list of records, under random operations on the seeded disk: appends
//! of every codec, tombstones, transactions of either end, cleanings that are cut short by a power cut or
//! a kill at any step, deleted records, clean stops, readers that were told of a place before.
//!
//! What must hold after each of them: what is there is what was sent; of every key the newest record
//! is, or was a tombstone; nothing that was removed comes back as the newest.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use support::{
    Node, boot, bytes_of, context, each_seed, id, log_config, new_partition, small, summary,
};
use thalweg_storage::disk::{Disk, MemoryDisk};
use thalweg_storage::log::{Cleaning, CleanupPolicy, EndTxn, LogConfig};
use thalweg_storage::recover::mark_clean;
use thalweg_storage::store::{Isolation, ReadRequest, StoreConfig};
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::batch::{
    BatchBuilder, BatchHeader, BatchSpec, Codec, Record, Records, Scratch, inflate, split,
};
use thalweg_wire::ids::{
    Epoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};

const SEEDS: u64 = 150;
const STEPS: usize = 60;
const KEYS: usize = 7;

/// A record, as sent and as found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<i64, Sent>,
    /// Records of aborted transactions.
    aborted: BTreeMap<i64, Sent>,
    start: i64,
    end: i64,
    /// Next sequence of the one producer.
    sequence: i32,
}

impl Model {
    /// The newest record of each key among `records` from `start` on; tombstones are none.
    fn newest(&self, found: &BTreeMap<i64, Sent>) -> BTreeMap<Vec<u8>, i64> {
        let mut newest = BTreeMap::new();
        for (offset, record) in found.range(self.start..) {
            match &record.value {
                Some(_) => newest.insert(record.key.clone(), *offset),
                None => newest.remove(&record.key),
            };
        }
        newest
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3 << 10,
        index_interval_bytes: 256,
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        cleaning: Cleaning {
            dirty_ratio_min: 0,
            delete_retention_ms: 400,
            file_delete_delay_ms: 1_000,
            ..Cleaning::default()
        },
        ..log_config()
    }
}

/// A key map that is full after some batches.
fn store_config(random: &mut Prng) -> StoreConfig {
    StoreConfig {
        cleaner_bytes_max: *support::pick(random, &[1, 150, 1 << 20]),
        ..small()
    }
}

fn partition() -> PartitionId {
    id(1, 0)
}

async fn start(disk: &MemoryDisk, config_of_store: StoreConfig, handle: &Handle) -> Node {
    let names = BTreeMap::from([(partition(), "t1-0".to_owned())]);
    let node = boot(disk, &names, 1, config_of_store, handle)
        .await
        .unwrap();
    let store = node.store(partition());
    store.set_config(partition(), config()).unwrap();
    node
}

struct World {
    disk: MemoryDisk,
    node: Node,
    handle: Handle,
    random: Prng,
    model: Model,
    now: i64,
    seed: u64,
}

impl World {
    async fn append(&mut self, transactional: bool) -> Vec<(i64, Sent)> {
        let codecs = [
            Codec::None,
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ];
        let codec = *support::pick(&mut self.random, &codecs);
        let mut spec = BatchSpec {
            codec,
            transactional,
            ..BatchSpec::default()
        };
        if transactional {
            spec.producer_id = ProducerId(7);
            spec.producer_epoch = ProducerEpoch(0);
            spec.base_sequence = Sequence(self.model.sequence);
        }
        let mut builder = BatchBuilder::new(spec);
        let mut records = Vec::new();
        for _ in 0..=self.random.below(5) {
            let key = vec![b'a' + self.random.below(KEYS) as u8];
            let size = self.random.below(400);
            let fill = self.random.below(256) as u8;
            let value = (self.random.below(4) > 0).then(|| vec![fill; size]);
            let timestamp = self.now + self.random.below(20) as i64;
            builder.push(&Record {
                timestamp: TimestampMs(timestamp),
                key: Some(&key),
                value: value.as_deref(),
                headers: &[],
            });
            records.push(Sent {
                key,
                value,
                timestamp,
            });
        }
        let bytes = builder.finish().unwrap();
        let mut facts = summary(&bytes);
        facts.codec = codec;
        let store = self.node.store(partition());
        let permit = store.admit(bytes.len(), &[partition()]).await.unwrap();
        let appended = store
            .append(partition(), &bytes, &facts, &context(self.now))
            .unwrap();
        drop(permit);
        store.durable(partition(), appended.end).await.unwrap();
        self.model.end = appended.end.0;
        if transactional {
            self.model.sequence += records.len() as i32;
        }
        (appended.base_offset.0..).zip(records).collect()
    }

    async fn transaction(&mut self) {
        let mut written = self.append(true).await;
        if self.random.below(2) == 0 {
            written.extend(self.append(true).await);
        }
        let commit = self.random.below(2) == 0;
        let end = EndTxn {
            producer: ProducerId(7),
            epoch: ProducerEpoch(0),
            commit,
            coordinator_epoch: 0,
            raises_epoch: false,
        };
        let store = self.node.store(partition());
        let _permit = store.admit(1_000, &[partition()]).await.unwrap();
        let ended = store
            .append_end_txn(partition(), &end, &context(self.now))
            .unwrap();
        store.durable(partition(), ended.end).await.unwrap();
        self.model.end = ended.end.0;
        match commit {
            true => self.model.records.extend(written),
            false => self.model.aborted.extend(written),
        }
    }

    /// Every record that a consumer sees; those of aborted transactions if they are listed.
    async fn read(&self, isolation: Isolation) -> BTreeMap<i64, Sent> {
        let store = self.node.store(partition());
        let view = store.partition(partition()).unwrap();
        assert_eq!(view.log_end.0, self.model.end, "seed {}", self.seed);
        let mut offset = view.log_start;
        let mut found = BTreeMap::new();
        while offset < view.high_watermark {
            let request = ReadRequest {
                offset,
                bytes_max: 900,
                min_one: true,
                isolation,
            };
            let answer = store.read(partition(), request).await.unwrap();
            let listed = answer.aborted.clone();
            let bytes = bytes_of(&self.disk, answer.pieces).await;
            let before = offset;
            for batch in split(&bytes) {
                let batch = batch.unwrap();
                assert!(batch.crc_matches());
                let header = batch.header();
                let is_aborted = header.attributes().is_transactional()
                    && self.model.aborted.contains_key(&header.base_offset().0);
                if is_aborted && isolation == Isolation::LastStable {
                    let told =
                        |one: &thalweg_storage::log::AbortedSpan| one.first <= header.base_offset();
                    assert!(listed.iter().any(told), "seed {}: {offset:?}", self.seed);
                }
                if !header.attributes().is_control() && !is_aborted {
                    records_of(header, batch.payload(), &mut found);
                }
                offset = header.next_offset();
            }
            assert!(
                offset > before,
                "seed {}: nothing at {offset:?} of {view:?}",
                self.seed
            );
        }
        found
    }

    async fn check(&mut self) {
        let view = self.node.store(partition()).partition(partition()).unwrap();
        assert_eq!(view.log_start.0, self.model.start, "seed {}", self.seed);
        for isolation in [Isolation::HighWatermark, Isolation::LastStable] {
            let found = self.read(isolation).await;
            for (offset, record) in found.range(self.model.start..) {
                let sent = self.model.records.get(offset);
                assert_eq!(sent, Some(record), "seed {} at {offset}", self.seed);
            }
            let sent = self.model.newest(&self.model.records);
            assert_eq!(self.model.newest(&found), sent, "seed {}", self.seed);
        }
    }

    /// Starts on what a crash left; now and then it crashes again while it does, or while it stops.
    async fn restart(&mut self, disk: MemoryDisk) {
        self.disk = disk;
        while self.random.below(3) == 0 {
            let (disk, handle) = (self.disk.clone(), self.handle.clone());
            let (config, now) = (store_config(&mut self.random), TimestampMs(self.now));
            let started = self.handle.spawn(async move {
                // After the crash it only meets errors.
                let names = BTreeMap::from([(partition(), "t1-0".to_owned())]);
                if let Ok(node) = boot(&disk, &names, 1, config, &handle).await {
                    drop(node.store(partition()).stop_clean(now).await);
                }
            });
            for _ in 0..self.random.below(400) {
                self.handle.yield_now().await;
            }
            drop(started);
            self.disk = self.disk.crash(self.random.next_u64());
        }
        let config = store_config(&mut self.random);
        self.node = start(&self.disk, config, &self.handle).await;
    }

    async fn stop_clean(&mut self) {
        let mut stopped = Vec::new();
        for store in &self.node.stores {
            stopped.extend(store.stop_clean(TimestampMs(self.now)).await.unwrap());
        }
        mark_clean(&self.disk, &stopped, 1).await.unwrap();
        for entry in self.disk.list("log/t1-0".as_ref()).await.unwrap() {
            assert!(!entry.name.contains("-0"), "not Kafka's: {}", entry.name);
        }
        let disk = self.disk.crash(self.random.next_u64());
        self.restart(disk).await;
    }

    /// Somebody who was told of a place before a cleaning still gets those bytes after it.
    async fn clean_beside_a_reader(&mut self) {
        let store = Rc::clone(self.node.store(partition()));
        let request = ReadRequest {
            offset: Offset(self.model.start),
            bytes_max: 700,
            min_one: true,
            isolation: Isolation::HighWatermark,
        };
        let answer = store.read(partition(), request).await.unwrap();
        let told = bytes_of(&self.disk, answer.pieces).await;
        store.clean(TimestampMs(self.now)).await;
        if let Some(place) = answer.place {
            let again = store.replan(partition(), place, answer.bytes).unwrap();
            assert_eq!(
                bytes_of(&self.disk, again).await,
                told,
                "seed {}",
                self.seed
            );
        }
    }

    async fn cut_cleaning_short(&mut self) {
        let store = Rc::clone(self.node.store(partition()));
        let now = TimestampMs(self.now);
        let cleaning = self.handle.spawn(async move { store.clean(now).await });
        for _ in 0..self.random.below(150) {
            self.handle.yield_now().await;
        }
        drop(cleaning);
        let seed = self.random.next_u64();
        let disk = match self.random.below(2) {
            0 => self.disk.crash(seed),
            _ => self.disk.kill(seed),
        };
        self.restart(disk).await;
    }

    async fn delete_records(&mut self) {
        let span = (self.model.end - self.model.start) / 4;
        let offset = self.model.start + self.random.below(span.max(1) as usize) as i64;
        let store = self.node.store(partition());
        let start = store
            .delete_records(partition(), Offset(offset))
            .await
            .unwrap();
        self.model.start = start.0;
    }

    async fn step(&mut self) {
        self.now += self.random.below(200) as i64;
        match self.random.below(12) {
            0..6 => {
                let written = self.append(false).await;
                self.model.records.extend(written);
            }
            6 => self.transaction().await,
            7 => self.clean_beside_a_reader().await,
            8 => self.cut_cleaning_short().await,
            9 => {
                let store = self.node.store(partition());
                store.maintain(TimestampMs(self.now)).await.unwrap();
            }
            10 if self.random.below(3) == 0 => self.delete_records().await,
            11 if self.random.below(3) == 0 => self.stop_clean().await,
            _ => {
                let store = self.node.store(partition());
                store.clean(TimestampMs(self.now)).await;
            }
        }
        self.check().await;
    }
}

fn records_of(header: &BatchHeader, payload: &[u8], found: &mut BTreeMap<i64, Sent>) {
    let codec = header.attributes().codec().unwrap();
    let payload = match header.record_count() {
        0 => Vec::new(),
        _ => inflate(codec, payload, 1 << 20, &mut Scratch::default()).unwrap(),
    };
    for record in Records::new(&payload, header.record_count()) {
        let record = record.unwrap();
        let offset = header.base_offset().0 + i64::from(record.offset_delta);
        let sent = Sent {
            key: record.key.unwrap().to_vec(),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: header.base_timestamp().0 + record.timestamp_delta,
        };
        assert!(found.insert(offset, sent).is_none());
    }
}

async fn world(disk: MemoryDisk, handle: Handle, seed: u64) -> World {
    let mut random = Prng::new(seed);
    let names = BTreeMap::new();
    let store = store_config(&mut random);
    let node = boot(&disk, &names, 1, store, &handle).await.unwrap();
    let mut new = new_partition(partition(), "t1-0");
    new.config = config();
    new.leader_epoch = Epoch(1);
    node.store(partition()).create_partition(new).await.unwrap();
    World {
        disk,
        node,
        handle,
        random,
        model: Model::default(),
        now: 10_000,
        seed,
    }
}

fn run<F: Future<Output = ()>>(seed: u64, test: impl FnOnce(MemoryDisk, Handle) -> F) {
    let mut executor = Executor::new(seed);
    let handle = executor.handle();
    executor.block_on(test(MemoryDisk::new(seed), handle));
}

#[test]
fn the_newest_of_each_key_survives_everything() {
    each_seed(SEEDS, |seed| {
        run(seed, |disk, handle| async move {
            let mut world = world(disk, handle, seed).await;
            for _ in 0..STEPS {
                world.step().await;
            }
        });
    });
}

#[test]
fn a_cleaned_log_is_small_and_tombstones_go_in_their_time() {
    run(1, |disk, handle| async move {
        let mut world = world(disk, handle, 1).await;
        let store_config = small();
        let disk = world.disk.crash(1);
        world.disk = disk;
        world.node = start(&world.disk, store_config, &world.handle).await;
        for _ in 0..200 {
            let written = world.append(false).await;
            world.model.records.extend(written);
        }
        let before = world.read(Isolation::HighWatermark).await.len();
        let store = Rc::clone(world.node.store(partition()));
        let bytes = store.partition(partition()).unwrap().bytes;
        assert!(store.clean(TimestampMs(world.now)).await);
        assert!(
            !store.clean(TimestampMs(world.now)).await,
            "nothing is dirty"
        );
        let found = world.read(Isolation::HighWatermark).await;
        let after = store.partition(partition()).unwrap().bytes;
        assert!(found.len() < before / 8, "{} of {before}", found.len());
        assert!(after < bytes / 5, "{after} of {bytes}");
        let tombstones = |found: &BTreeMap<i64, Sent>, upto: i64| {
            found
                .range(..upto)
                .filter(|(_, r)| r.value.is_none())
                .count()
        };
        let end = world.model.end;
        let kept = tombstones(&found, end);
        assert!(kept > 0, "tombstones stay at first");
        // The next cleaning after delete.retention.ms takes them.
        world.now += 1_000;
        for _ in 0..40 {
            let written = world.append(false).await;
            world.model.records.extend(written);
        }
        assert!(store.clean(TimestampMs(world.now)).await);
        let found = world.read(Isolation::HighWatermark).await;
        assert!(tombstones(&found, end) < kept);
        world.check().await;
        let counters = store.counters();
        assert!(counters.cleaned_bytes > 2 * counters.cleaned_bytes_kept);
        // Files of before go after file.delete.delay.ms.
        let files = world.disk.list("log/t1-0".as_ref()).await.unwrap().len();
        store
            .maintain(TimestampMs(world.now + 2_000))
            .await
            .unwrap();
        let left = world.disk.list("log/t1-0".as_ref()).await.unwrap().len();
        assert!(left < files / 3, "{left} of {files}");
        world.check().await;
        world.stop_clean().await;
        world.check().await;
        let store = world.node.store(partition());
        assert!(
            !store.clean(TimestampMs(world.now)).await,
            "the checkpoint says how far it was"
        );
    });
}

#[test]
fn a_rotten_batch_ends_the_cleaning_and_is_not_copied() {
    run(2, |disk, handle| async move {
        let mut world = world(disk, handle, 2).await;
        for _ in 0..60 {
            let written = world.append(false).await;
            world.model.records.extend(written);
        }
        world.stop_clean().await;
        let names = world.disk.list("log/t1-0".as_ref()).await.unwrap();
        let first = names
            .iter()
            .find(|entry| entry.name.ends_with(".log"))
            .unwrap();
        let path = format!("log/t1-0/{}", first.name);
        world.disk.rot(path.as_ref(), 100, 0x10);
        let store = world.node.store(partition());
        let before = store.partition(partition()).unwrap().bytes;
        assert!(store.clean(TimestampMs(world.now)).await);
        assert_eq!(store.partition(partition()).unwrap().bytes, before);
        assert!(
            !store.clean(TimestampMs(world.now)).await,
            "not again at once"
        );
        let names_after = world.disk.list("log/t1-0".as_ref()).await.unwrap();
        assert_eq!(names.len(), names_after.len());
    });
}
