//! Crashes at any operation of the disk, many times over: promises 1 to 3 on the seeded disk.
//!
//! A seed is several lives of a small node. In each, producers, readers and an administrator work
//! on a handful of partitions until the disk stops answering at a drawn operation; then the power
//! goes, what was not flushed is dropped, torn or kept, and the next life starts: with another
//! number of shards now and then, and sometimes cut within recovery itself. What it finds must
//! hold everything acknowledged and everything ever shown, at the same offsets, byte for byte.
//! Some lives end by a clean stop.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::rc::Rc;

use support::{
    Model, Node, Shop, batch_of, boot, context, each_seed, id, new_partition, read_all, small,
    summary,
};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::disk::memory::FaultPlan;
use thalweg_storage::error::{RequestError, StoreError};
use thalweg_storage::store::{Durability, Isolation, Mutation, ReadRequest, StoreConfig};
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::batch::BatchSpec;
use thalweg_wire::ids::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const LIVES: usize = 5;
const PRODUCERS: usize = 4;
/// Batches of one producer in one life.
const BATCHES: usize = 40;
/// Polls of one life: enough for the load to end where nothing cuts it.
const STEPS_MAX: u64 = 400_000;

#[derive(Default)]
struct World {
    models: BTreeMap<PartitionId, Model>,
    names: BTreeMap<PartitionId, String>,
    topics_made: u8,
    batches_made: u64,
    /// Next sequence of each producer in each partition.
    sequences: BTreeMap<(usize, PartitionId), i32>,
    /// Batches sent and not answered: they are sent again, over any number of lives.
    unanswered: BTreeMap<(usize, PartitionId), Vec<u8>>,
    /// An answer that none should have been.
    wrong: Option<String>,
    /// Appends answered as duplicates.
    duplicates: usize,
    /// Appends acknowledged in this life.
    acked: usize,
}

type Shared = Rc<RefCell<World>>;

impl World {
    fn some_partition(&self, prng: &mut Prng) -> Option<PartitionId> {
        let ids: Vec<_> = self
            .models
            .iter()
            .filter(|(_, model)| !model.deleting)
            .collect();
        (!ids.is_empty()).then(|| *support::pick(prng, &ids).0)
    }

    /// What a producer sends next: the batch that was never answered, or a new one.
    fn next_batch(&mut self, producer: usize, id: PartitionId, prng: &mut Prng) -> Vec<u8> {
        if let Some(bytes) = self.unanswered.get(&(producer, id)) {
            return bytes.clone();
        }
        self.batches_made += 1;
        let number = self.batches_made;
        let size = match prng.chance(0.1) {
            true => 6_000,
            false => 8 + prng.below(600),
        };
        let records = 1 + prng.below(4);
        let sequence = self.sequences.entry((producer, id)).or_default();
        let spec = BatchSpec {
            producer_id: ProducerId(100 + producer as i64),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(*sequence),
            ..BatchSpec::default()
        };
        *sequence += records as i32;
        let bytes = batch_of(spec, number, records, (size, 1_000 + number as i64));
        self.unanswered.insert((producer, id), bytes.clone());
        bytes
    }
}

/// Sends batches one after the other, each acknowledged or the life is over.
async fn produce(producer: usize, node: Rc<Node>, world: Shared, mut prng: Prng) {
    for _ in 0..BATCHES {
        let Some(id) = world.borrow().some_partition(&mut prng) else {
            return;
        };
        let bytes = world.borrow_mut().next_batch(producer, id, &mut prng);
        let store = Rc::clone(node.store(id));
        let Ok(permit) = store.admit(bytes.len(), &[id]).await else {
            return;
        };
        let appended = {
            let mut world = world.borrow_mut();
            let Some(model) = world.models.get_mut(&id).filter(|model| !model.deleting) else {
                continue;
            };
            match store.append(id, &bytes, &summary(&bytes), &context(1_000)) {
                Ok(appended) if appended.duplicate => {
                    world.duplicates += 1;
                    appended
                }
                Ok(appended) => {
                    model.sent(appended.base_offset, appended.end, &bytes);
                    appended
                }
                // Poisoned, or a move of the partition failed.
                Err(RequestError::Store(_)) => continue,
                Err(error) => {
                    world.wrong = Some(format!("append to {id}: {error:?}"));
                    return;
                }
            }
        };
        drop(permit);
        if store.durable(id, appended.end).await.is_ok() {
            let mut world = world.borrow_mut();
            world.acked += 1;
            world.unanswered.remove(&(producer, id));
            if let Some(model) = world.models.get_mut(&id) {
                model.acked(appended.base_offset);
            }
        }
    }
}

/// Reads as a consumer and remembers what it was shown.
async fn consume(node: Rc<Node>, world: Shared, mut prng: Prng, handle: Handle) {
    for _ in 0..40 {
        let Some(id) = world.borrow().some_partition(&mut prng) else {
            return;
        };
        let store = node.store(id);
        let offset = store.partition(id).map_or(Offset(0), |view| view.log_start);
        let request = ReadRequest {
            offset,
            bytes_max: 1 << 20,
            min_one: true,
            isolation: Isolation::HighWatermark,
        };
        if let Ok(answer) = store.read(id, request).await
            && let Some(model) = world.borrow_mut().models.get_mut(&id)
        {
            model.shown = model.shown.max(answer.high_watermark.0);
        }
        for _ in 0..prng.below(20) {
            handle.yield_now().await;
        }
    }
}

/// Makes and deletes topics, deletes records, and lets time go on.
async fn administrate(node: Rc<Node>, world: Shared, mut prng: Prng, handle: Handle) {
    for turn in 0..12 {
        match prng.below(5) {
            0 => make_topic(&node, &world).await,
            1 if turn > 4 => delete_topic(&node, &world, &mut prng).await,
            2 => delete_records(&node, &world, &mut prng).await,
            _ => {
                for store in &node.stores {
                    let _ = store.maintain(TimestampMs(1_000 + turn)).await;
                }
            }
        }
        for _ in 0..prng.below(60) {
            handle.yield_now().await;
        }
    }
}

async fn make_topic(node: &Node, world: &Shared) {
    let (id, name) = {
        let mut world = world.borrow_mut();
        world.topics_made += 1;
        let topic = world.topics_made;
        // Names come back: a topic that is deleted and made again must not meet its predecessor.
        let id = id(topic, 0);
        let name = format!("t{}-0", topic % 6);
        if world.names.values().any(|other| *other == name) {
            return;
        }
        // The metadata record is durable before the partition is made.
        world.names.insert(id, name.clone());
        (id, name)
    };
    if node
        .store(id)
        .create_partition(new_partition(id, &name))
        .await
        .is_ok()
    {
        world.borrow_mut().models.insert(id, Model::default());
    }
}

async fn delete_topic(node: &Node, world: &Shared, prng: &mut Prng) {
    let Some(id) = world.borrow().some_partition(prng) else {
        return;
    };
    world.borrow_mut().models.get_mut(&id).unwrap().deleting = true;
    if node.store(id).delete_partition(id).await.is_ok() {
        let mut world = world.borrow_mut();
        world.models.get_mut(&id).unwrap().deleted = true;
        // A new topic of this name may come from here on, in the same life; or the next start is
        // told of the partition once more, and must find it empty.
        if prng.chance(0.5) {
            world.names.remove(&id);
        }
    }
}

async fn delete_records(node: &Node, world: &Shared, prng: &mut Prng) {
    let Some(id) = world.borrow().some_partition(prng) else {
        return;
    };
    let store = node.store(id);
    let Some(view) = store.partition(id) else {
        return;
    };
    let below = view.log_start.0
        + prng.below(1 + (view.high_watermark.0 - view.log_start.0) as usize) as i64;
    {
        let mut world = world.borrow_mut();
        let model = world.models.get_mut(&id).unwrap();
        model.start_asked = model.start_asked.max(below);
    }
    if store.delete_records(id, Offset(below)).await.is_ok() {
        let mut world = world.borrow_mut();
        if let Some(model) = world.models.get_mut(&id) {
            model.start_acked = model.start_acked.max(below);
        }
    }
}

/// One life's work.
async fn live(node: Rc<Node>, world: Shared, mut prng: Prng, handle: Handle) {
    let mut tasks = Vec::new();
    for producer in 0..PRODUCERS {
        let work = produce(producer, Rc::clone(&node), Rc::clone(&world), prng.fork());
        tasks.push(handle.spawn(work));
    }
    let readers = consume(
        Rc::clone(&node),
        Rc::clone(&world),
        prng.fork(),
        handle.clone(),
    );
    tasks.push(handle.spawn(readers));
    let admin = administrate(
        Rc::clone(&node),
        Rc::clone(&world),
        prng.fork(),
        handle.clone(),
    );
    tasks.push(handle.spawn(admin));
    for task in tasks {
        task.await;
    }
}

/// Checks what a start found against the models.
async fn check(disk: &MemoryDisk, node: &Node, world: &Shared) -> Result<(), String> {
    let ids: Vec<PartitionId> = world.borrow().names.keys().copied().collect();
    for id in ids {
        let store: &Shop = node.store(id);
        let found = read_all(disk, store, id).await?;
        let view = store.partition(id).ok_or("a partition is missing")?;
        let mut world = world.borrow_mut();
        let model = world.models.entry(id).or_default();
        if model.deleted {
            if view.log_end.0 != 0 {
                return Err(format!("{id} was deleted and is back"));
            }
            world.names.remove(&id);
            continue;
        }
        if model.deleting {
            // Unanswered: it may be gone or not.
            model.deleting = false;
            if view.log_end.0 == 0 {
                *model = Model::default();
                continue;
            }
        }
        model
            .check(&found, view.log_start.0, view.log_end.0)
            .map_err(|error| format!("{id}: {error}"))?;
    }
    Ok(())
}

/// Why a life ended early.
enum Failure {
    /// The disk answered with an error, as it was told to.
    Disk,
    /// A promise is broken.
    Wrong(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Disk(_) | StoreError::Poisoned(_) | StoreError::PartitionFailed(_) => {
                Self::Disk
            }
            other => Self::Wrong(other.to_string()),
        }
    }
}

/// One start of the node, until it ends or the disk stops answering.
struct Life {
    disk: MemoryDisk,
    world: Shared,
    shards: u16,
    config: StoreConfig,
    clean: bool,
}

impl Life {
    async fn run(self, prng: Prng, handle: Handle) -> Result<(), Failure> {
        let names = self.world.borrow().names.clone();
        let node = boot(&self.disk, &names, self.shards, self.config, &handle).await?;
        check(&self.disk, &node, &self.world)
            .await
            .map_err(Failure::Wrong)?;
        let node = Rc::new(node);
        live(Rc::clone(&node), self.world, prng, handle).await;
        if self.clean {
            for store in &node.stores {
                store.stop_clean(TimestampMs(2_000)).await?;
            }
        }
        Ok(())
    }
}

/// The last look, on a disk that answers and has no faults.
fn last_look(
    seed: u64,
    disk: &MemoryDisk,
    world: &Shared,
    config: StoreConfig,
) -> Result<(), String> {
    disk.set_faults(FaultPlan::default());
    let mut executor = Executor::new(seed);
    let handle = executor.handle();
    executor.block_on(async {
        let names = world.borrow().names.clone();
        let node = boot(disk, &names, 1, config, &handle).await;
        let node = node.map_err(|error| error.to_string())?;
        check(disk, &node, world).await
    })
}

/// Runs a seed; says what went wrong, and how many appends were acknowledged.
fn run(seed: u64, mutation: Mutation) -> Result<usize, String> {
    let mut prng = Prng::new(seed);
    let faulty = prng.chance(0.3);
    let plan = FaultPlan {
        write_error: if faulty { 0.002 } else { 0.0 },
        flush_error: if faulty { 0.002 } else { 0.0 },
        ..FaultPlan::default()
    };
    let mut disk = MemoryDisk::with_faults(seed, plan);
    let durability = match prng.chance(0.2) {
        true => Durability::Write,
        false => Durability::Flush,
    };
    let config = StoreConfig {
        durability,
        mutation,
        ..small()
    };
    let world = Shared::default();
    for topic in 1..=3 {
        let mut world = world.borrow_mut();
        world.topics_made = topic;
        world.names.insert(id(topic, 0), format!("t{topic}-0"));
        world.models.insert(id(topic, 0), Model::default());
    }
    let mut acked = 0;
    for number in 0..LIVES {
        let mut executor = Executor::new(prng.next_u64());
        let handle = executor.handle();
        let shards = 1 + prng.below(2) as u16;
        if prng.chance(0.8) {
            let cut = if prng.chance(0.2) { 60 } else { 900 };
            disk.freeze_at(disk.operations() + 5 + prng.below(cut) as u64);
        }
        let clean = prng.chance(0.5);
        let life_prng = prng.fork();
        let life = Life {
            disk: disk.clone(),
            world: Rc::clone(&world),
            shards,
            config,
            clean,
        };
        let done = executor.run(life.run(life_prng, handle), STEPS_MAX);
        drop(executor);
        if let Some(error) = world.borrow_mut().wrong.take() {
            return Err(format!("life {number}: {error}"));
        }
        match done {
            Some(Err(Failure::Wrong(error))) => return Err(format!("life {number}: {error}")),
            // A fault that was drawn, or the cut: this life is over, the next one counts.
            Some(Err(Failure::Disk) | Ok(())) | None => {}
        }
        acked += std::mem::take(&mut world.borrow_mut().acked);
        disk = match durability {
            Durability::Flush => disk.crash(prng.next_u64()),
            // Only the process ends: what was written stays.
            Durability::Write => {
                disk.freeze_at(u64::MAX);
                disk
            }
        };
    }
    last_look(seed, &disk, &world, config)?;
    Ok(acked)
}

#[test]
fn nothing_acknowledged_or_shown_is_lost() {
    let acked = each_seed(60, |seed| match run(seed, Mutation::None) {
        Ok(count) => count,
        Err(error) => panic!("seed {seed}: {error}"),
    });
    let (seeds, sum) = (acked.len(), acked.iter().sum::<usize>());
    eprintln!(
        "{seeds} seeds, {} lives and crashes, {sum} appends acknowledged",
        seeds * LIVES
    );
    assert!(seeds < 10 || sum > 1_000, "only {sum} acknowledged");
}

/// Seeds searched for a planted defect; the search ends with the first that shows it.
const PLANTED_SEEDS: u64 = 1_000;

/// The first seed that shows a planted defect, and how. A panic of the engine shows it as well.
fn found(mutation: Mutation) -> Option<(u64, String)> {
    (0..PLANTED_SEEDS).find_map(|seed| {
        let outcome = catch_unwind(|| run(seed, mutation));
        match outcome {
            Ok(result) => result.err(),
            Err(_) => Some("a panic".to_owned()),
        }
        .map(|how| (seed, how))
    })
}

#[test]
fn every_planted_defect_is_found() {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let searches = Mutation::PLANTED.map(|mutation| (mutation, found(mutation)));
    set_hook(hook);
    let mut missed = Vec::new();
    for (mutation, found) in searches {
        match found {
            Some((seed, how)) => eprintln!("{mutation:?}: seed {seed}: {how}"),
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
