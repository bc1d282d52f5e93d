//! Random operations against plain vectors of batches: on a disk without faults, every answer of
//! the store is the vector's, at every moment and after every kind of restart.
//!
//! A seed is some lives on one directory, each with its own number of shards, ended by a clean stop
//! or by the end of the process. Operations come one after the other; the loops run beside them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use support::{
    Model, Node, batch, boot, bytes_of, context, each_seed, id, log_config, new_partition, pick,
    read_all, small, summary,
};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::log::{LogConfig, TimestampQuery};
use thalweg_storage::store::{Durability, Isolation, ReadRequest, StoreConfig};
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::batch::split;
use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

const LIVES: usize = 4;
const OPERATIONS: usize = 160;
/// Polls of a life: far more than any needs.
const STEPS_MAX: u64 = 5_000_000;
/// Bytes that retention leaves a partition, where a life uses it: about two segments.
const RETENTION_BYTES: u64 = 80 << 10;

struct World {
    disk: MemoryDisk,
    prng: Prng,
    models: BTreeMap<PartitionId, Model>,
    names: BTreeMap<PartitionId, String>,
    batches_made: u64,
    topics_made: u8,
    now: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            disk: MemoryDisk::new(seed),
            prng: Prng::new(seed),
            models: BTreeMap::new(),
            names: BTreeMap::new(),
            batches_made: 0,
            topics_made: 0,
            now: 10_000,
        }
    }

    fn some(&mut self) -> Option<PartitionId> {
        let ids: Vec<_> = self.models.keys().copied().collect();
        (!ids.is_empty()).then(|| *pick(&mut self.prng, &ids))
    }

    async fn operate(&mut self, node: &Node, handle: &Handle) -> Result<(), String> {
        match self.prng.below(20) {
            0 if self.models.len() < 5 => self.create(node).await,
            1 if self.models.len() > 2 => self.delete(node).await,
            2 => self.delete_records(node).await,
            3 => self.maintain(node).await,
            4..=6 => self.read(node).await,
            7 => self.search(node).await,
            8 => {
                for _ in 0..self.prng.below(200) {
                    handle.yield_now().await;
                }
                Ok(())
            }
            _ => self.append(node).await,
        }
    }

    async fn create(&mut self, node: &Node) -> Result<(), String> {
        self.topics_made += 1;
        let id = id(self.topics_made, 0);
        let free = (0..6).map(|n| format!("t{n}-0"));
        let mut free = free.filter(|name| !self.names.values().any(|taken| taken == name));
        let name = free.next().ok_or("no name is free")?;
        let made = node
            .store(id)
            .create_partition(new_partition(id, &name))
            .await;
        made.map_err(|error| error.to_string())?;
        self.names.insert(id, name);
        self.models.insert(id, Model::default());
        Ok(())
    }

    async fn delete(&mut self, node: &Node) -> Result<(), String> {
        let Some(id) = self.some() else { return Ok(()) };
        let deleted = node.store(id).delete_partition(id).await;
        deleted.map_err(|error| error.to_string())?;
        self.names.remove(&id);
        self.models.remove(&id);
        Ok(())
    }

    async fn append(&mut self, node: &Node) -> Result<(), String> {
        let Some(id) = self.some() else { return Ok(()) };
        self.batches_made += 1;
        self.now += 10;
        let size = match self.prng.below(12) {
            // Larger than a round: it goes out in parts.
            0 => 9_000 + self.prng.below(4_000),
            1 => 4_096 - 80,
            _ => 8 + self.prng.below(900),
        };
        let records = 1 + self.prng.below(3);
        let bytes = batch(self.batches_made, records, size, self.now);
        let store = node.store(id);
        let permit = store
            .admit(bytes.len(), &[id])
            .await
            .map_err(|error| error.to_string())?;
        let appended = store
            .append(id, &bytes, &summary(&bytes), &context(self.now))
            .map_err(|error| format!("{error:?}"))?;
        drop(permit);
        let model = self.models.get_mut(&id).ok_or("no model")?;
        if appended.base_offset.0 != model.end() {
            return Err(format!(
                "{id}: offset {} for {}",
                appended.base_offset,
                model.end()
            ));
        }
        model.sent(appended.base_offset, appended.end, &bytes);
        // Some appends are left to be waited for by nobody.
        if self.prng.chance(0.8) {
            store
                .durable(id, appended.end)
                .await
                .map_err(|error| error.to_string())?;
            model.acked(appended.base_offset);
        }
        Ok(())
    }

    async fn delete_records(&mut self, node: &Node) -> Result<(), String> {
        let Some(id) = self.some() else { return Ok(()) };
        let view = node.store(id).partition(id).ok_or("gone")?;
        let records = (view.high_watermark.0 - view.log_start.0) as usize;
        let below = view.log_start.0 + self.prng.below(records + 1) as i64;
        let start = node.store(id).delete_records(id, Offset(below)).await;
        if start.map_err(|error| format!("{error:?}"))? != Offset(below) {
            return Err(format!("{id}: records below {below} are not deleted"));
        }
        let model = self.models.get_mut(&id).ok_or("no model")?;
        (model.start_asked, model.start_acked) = (below, below);
        Ok(())
    }

    /// Retention may take whole segments, oldest first, and never below its limit.
    async fn maintain(&mut self, node: &Node) -> Result<(), String> {
        self.now += 1_000;
        let limited = self.some().filter(|_| self.prng.chance(0.5));
        if let Some(id) = limited {
            let config = LogConfig {
                retention_bytes: Some(RETENTION_BYTES),
                ..log_config()
            };
            let set = node.store(id).set_config(id, config);
            set.map_err(|error| error.to_string())?;
        }
        for store in &node.stores {
            let done = store.maintain(TimestampMs(self.now)).await;
            done.map_err(|error| error.to_string())?;
        }
        for (id, model) in &mut self.models {
            let view = node.store(*id).partition(*id).ok_or("gone")?;
            if view.log_start.0 != model.start_acked {
                let is_begin = model.batches.iter().any(|one| one.base == view.log_start.0)
                    || view.log_start.0 == model.end();
                let left = view.bytes;
                if view.log_start.0 < model.start_acked || !is_begin || left < RETENTION_BYTES {
                    return Err(format!(
                        "{id}: retention to {} leaves {left}",
                        view.log_start
                    ));
                }
                (model.start_asked, model.start_acked) = (view.log_start.0, view.log_start.0);
            }
        }
        Ok(())
    }

    async fn read(&mut self, node: &Node) -> Result<(), String> {
        let Some(id) = self.some() else { return Ok(()) };
        let view = node.store(id).partition(id).ok_or("gone")?;
        let records = (view.high_watermark.0 - view.log_start.0) as usize;
        let request = ReadRequest {
            offset: view.log_start.plus(self.prng.below(records + 1) as i64),
            bytes_max: self.prng.below(30_000),
            min_one: self.prng.chance(0.7),
            isolation: Isolation::HighWatermark,
        };
        let answer = node.store(id).read(id, request).await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let bytes = bytes_of(&self.disk, answer.pieces).await;
        let limit = request.bytes_max;
        let mut sizes = 0;
        let model = &self.models[&id];
        let mut sent = model
            .batches
            .iter()
            .filter(|one| one.next > request.offset.0);
        for found in split(&bytes) {
            let found = found.map_err(|error| format!("{id}: {error:?}"))?;
            let expected = sent.next().ok_or("more than was sent")?;
            if found.header().base_offset().0 != expected.base || !found.crc_matches() {
                return Err(format!(
                    "{id}: {} for {}",
                    found.header().base_offset(),
                    expected.base
                ));
            }
            sizes += found.bytes().len();
            if sizes > limit && !(request.min_one && sizes == found.bytes().len()) {
                return Err(format!("{id}: {sizes} bytes, asked for {limit}"));
            }
        }
        let empty_is_right = records == 0 || request.offset >= view.high_watermark;
        if bytes.is_empty() && request.min_one && !empty_is_right {
            return Err(format!(
                "{id}: nothing at {} below {}",
                request.offset, view.high_watermark
            ));
        }
        Ok(())
    }

    /// The first record at or after a time: batches were made in the order of their times.
    async fn search(&mut self, node: &Node) -> Result<(), String> {
        let Some(id) = self.some() else { return Ok(()) };
        let view = node.store(id).partition(id).ok_or("gone")?;
        let time = TimestampMs(10_000 + self.prng.below((self.now - 9_990) as usize) as i64);
        let query = TimestampQuery::AtOrAfter(time);
        let found = node
            .store(id)
            .offset_for_timestamp(id, query, Isolation::HighWatermark)
            .await;
        let found = found.map_err(|error| format!("{error:?}"))?;
        let all = read_all(&self.disk, node.store(id), id).await?;
        let shown = all.iter().filter(|one| one.next > view.log_start.0);
        // A batch's body begins with its attributes' end; its times are those it was made with.
        let expected = shown
            .flat_map(|one| {
                let base = i64::from_be_bytes(one.body[10..18].try_into().unwrap());
                (0..one.next - one.base).map(move |n| (base + n, one.base + n))
            })
            .filter(|(_, offset)| (view.log_start.0..view.high_watermark.0).contains(offset))
            .find(|(at, _)| *at >= time.0);
        let found = found.map(|found| (found.timestamp.0, found.offset.0));
        if found != expected {
            return Err(format!("{id}: {found:?} for {expected:?} at {time}"));
        }
        Ok(())
    }

    /// What every partition shows is what was sent.
    async fn compare(&mut self, node: &Node, acked_only: bool) -> Result<(), String> {
        let ids: Vec<_> = self.models.keys().copied().collect();
        for id in ids {
            let store = node.store(id);
            if !acked_only {
                let waited = store.wait(store.ticket()).await;
                waited.map_err(|error| error.to_string())?;
            }
            let found = read_all(&self.disk, store, id).await?;
            let view = store.partition(id).ok_or("gone")?;
            let model = self.models.get_mut(&id).ok_or("no model")?;
            model
                .check(&found, view.log_start.0, view.log_end.0)
                .map_err(|error| format!("{id}: {error}"))?;
        }
        Ok(())
    }
}

async fn life(mut world: World, config: StoreConfig, handle: Handle) -> Result<World, String> {
    let shards = 1 + world.prng.below(3) as u16;
    let names = world.names.clone();
    let disk = world.disk.clone();
    let node = boot(&disk, &names, shards, config, &handle).await;
    let node = node.map_err(|error| error.to_string())?;
    world.compare(&node, true).await?;
    for operation in 0..OPERATIONS {
        let done = world.operate(&node, &handle).await;
        done.map_err(|error| format!("operation {operation}: {error}"))?;
    }
    world.compare(&node, false).await?;
    if world.prng.chance(0.5) {
        for store in &node.stores {
            let stopped = store.stop_clean(TimestampMs(world.now)).await;
            stopped.map_err(|error| format!("stop: {error}"))?;
        }
        let names = world.names.clone();
        let node = boot(&disk, &names, shards, config, &handle).await;
        let node = node.map_err(|error| error.to_string())?;
        if !node.report.clean || node.report.moved_bytes > 0 {
            return Err(format!("not a clean start: {:?}", node.report));
        }
        world.compare(&node, true).await?;
    }
    Ok(world)
}

#[test]
fn a_node_is_its_partitions_vectors() {
    each_seed(25, |seed| {
        let mut world = World::new(seed);
        let durability = match world.prng.chance(0.5) {
            true => Durability::Flush,
            false => Durability::Write,
        };
        let config = StoreConfig {
            durability,
            ..small()
        };
        for number in 0..LIVES {
            let mut executor = Executor::new(world.prng.next_u64());
            let handle = executor.handle();
            let ended = executor.run(life(world, config, handle), STEPS_MAX);
            world = match ended {
                Some(Ok(world)) => world,
                Some(Err(error)) => panic!("seed {seed} life {number} {durability:?}: {error}"),
                None => panic!("seed {seed} life {number} {durability:?}: nothing goes on"),
            };
        }
        assert!(world.batches_made > 100);
    });
}
