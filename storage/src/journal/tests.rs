//! The journal alone on the seeded disk: what was acknowledged is read back after any crash.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_wire::ids::{Offset, PartitionId, PartitionIndex, ShardId, Uuid};

use super::entry::{Entry, EntrySink, Place};
use super::pool::FileIndex;
use super::replay::{Replayed, Wanted, entries, replay, sound_rounds};
use super::writer::{Journal, JournalStart, journal_dir, zeroed_file};
use crate::disk::memory::FaultPlan;
use crate::disk::{Disk, File, MemoryDisk, OpenMode};
use crate::error::StoreError;
use crate::store::{Durability, Mutation, StoreConfig};
use crate::testing::{Executor, Prng};

const FILE_BYTES: u64 = 32 << 10;
const ID: Uuid = Uuid([0xA1; 16]);
const PARTITION: PartitionId = PartitionId {
    topic: Uuid([1; 16]),
    index: PartitionIndex(0),
};

fn config(durability: Durability, mutation: Mutation) -> StoreConfig {
    StoreConfig {
        durability,
        journal_file_bytes: FILE_BYTES,
        journal_bytes_max: 4 * FILE_BYTES,
        round_bytes_max: 6_000,
        flush_bytes: 20_000,
        mutation,
        ..StoreConfig::new(ShardId(0))
    }
}

async fn fresh(disk: &MemoryDisk, config: StoreConfig) -> Journal<MemoryDisk> {
    let dir = journal_dir(config.shard);
    disk.create_dir(&dir).await.unwrap();
    for parent in dir.ancestors().skip(1) {
        disk.sync_dir(parent).await.unwrap();
    }
    let files = vec![FileIndex(0), FileIndex(1)];
    for file in &files {
        let path = dir.join(file.name());
        zeroed_file(disk, &path, FILE_BYTES).await.unwrap();
    }
    let start = JournalStart {
        dir,
        id: ID,
        newest: 0,
        checksum: 0,
        live: Vec::new(),
        files,
    };
    Journal::open(disk.clone(), config, start).await.unwrap()
}

async fn read_back(disk: &MemoryDisk, mutation: Mutation) -> Option<Replayed> {
    let dir = journal_dir(ShardId(0));
    let wanted = Wanted {
        journal: ID,
        shard: ShardId(0),
        first: 1,
        mutation,
    };
    let mut rounds = Vec::new();
    for entry in disk.list(&dir).await.unwrap() {
        let index = FileIndex::parse(&entry.name).unwrap();
        let file = disk
            .open(&dir.join(&entry.name), OpenMode::Read)
            .await
            .unwrap();
        let bytes = usize::try_from(file.length().await.unwrap()).unwrap();
        let content = file.read_at(0, bytes).await.unwrap();
        rounds.extend(sound_rounds(index, &content, &wanted));
    }
    replay(rounds, &wanted).ok()
}

/// Positions acknowledged so far, with the round they were acknowledged by at the latest.
type Acked = Rc<RefCell<BTreeMap<u64, u64>>>;

fn append_at(position: u64, bytes: &[u8]) -> Entry<'_> {
    Entry::Append {
        partition: PARTITION,
        place: Place {
            segment: Offset(0),
            position,
        },
        bytes,
    }
}

/// Eight producers that wait for each append, and a recycler that voids what was acknowledged.
async fn load(
    journal: Rc<Journal<MemoryDisk>>,
    seed: u64,
    acked: Acked,
    handle: crate::testing::Handle,
) {
    let mut tasks = Vec::new();
    for producer in 0..8_u64 {
        let (journal, acked, mut prng) = (
            Rc::clone(&journal),
            Rc::clone(&acked),
            Prng::new(seed ^ producer << 32),
        );
        tasks.push(handle.spawn(async move {
            for count in 0..30 {
                let position = producer << 32 | count;
                let bytes = vec![count as u8; 1 + prng.below(9_000)];
                let round = journal.push(|queue| {
                    queue.begin_group();
                    queue.push(append_at(position, &bytes));
                    queue.end_group();
                    queue.newest()
                });
                if journal.wait(round).await.is_err() {
                    return;
                }
                acked.borrow_mut().insert(position, round);
            }
        }));
    }
    let recycler = Rc::clone(&journal);
    let _running = handle.spawn(async move {
        loop {
            let end = recycler.until_room(|| {
                let stopped = recycler.poisoned().is_some();
                let end = recycler.pool().victim_end();
                (stopped || end.is_some()).then_some(end)
            });
            let Some(rounds_below) = end.await else {
                return;
            };
            let round = recycler.push(|queue| {
                queue.push(Entry::Trim { rounds_below });
                queue.newest()
            });
            if recycler.wait_flushed(round).await.is_err() {
                return;
            }
            recycler.recycle(rounds_below);
        }
    });
    for task in tasks {
        task.await;
    }
}

/// Runs the load, cut after `operations`; gives what was lost of what was acknowledged, or, if the
/// load ended before, after how many.
fn lost_after_crash(seed: u64, operations: u64, config: StoreConfig) -> Result<usize, u64> {
    let disk = MemoryDisk::new(seed);
    let mut executor = Executor::new(seed);
    let acked: Acked = Rc::default();
    let before = {
        let (disk, acked, handle) = (disk.clone(), Rc::clone(&acked), executor.handle());
        executor.run(
            async move {
                let journal = Rc::new(fresh(&disk, config).await);
                disk.freeze_at(disk.operations() + operations);
                let (commit, flush, grow) = (
                    Rc::clone(&journal),
                    Rc::clone(&journal),
                    Rc::clone(&journal),
                );
                let _commit = handle.spawn(async move { commit.run(|_| {}).await });
                let _flush = handle.spawn(async move { flush.run_flush().await });
                let _grow = handle.spawn(async move { grow.run_grow().await });
                load(journal, seed, acked, handle).await;
                disk.operations()
            },
            60_000,
        )
    };
    if before.is_some_and(|ran| ran < operations) {
        return Err(before.unwrap_or(0));
    }
    drop(executor);
    let disk = if config.durability == Durability::Flush {
        disk.crash(seed)
    } else {
        disk
    };
    if config.durability == Durability::Write {
        disk.freeze_at(u64::MAX);
    }
    let replayed = Executor::new(seed).block_on(read_back(&disk, config.mutation));
    let Some(replayed) = replayed else {
        // Rot, where no byte was rotted: something counted as durable that was not.
        return Ok(usize::MAX);
    };
    let mut found = BTreeMap::new();
    for round in &replayed.rounds {
        for entry in entries(round) {
            if let (Entry::Append { place, .. }, 0) = entry.unwrap() {
                found.insert(place.position, round.header.round);
            }
        }
    }
    let oldest = replayed
        .rounds
        .first()
        .map_or(0, |round| round.header.round);
    let acked = acked.borrow();
    let missing = acked.iter().filter(|(position, round)| {
        // A long batch begins in an older round than the one it was acknowledged by.
        **round >= oldest + 4
            && !found
                .keys()
                .any(|part| part >= position && part & !0xffff_ffff == **position & !0xffff_ffff)
    });
    Ok(missing.count() + usize::from(replayed.newest < acked.values().copied().max().unwrap_or(0)))
}

#[test]
fn nothing_acknowledged_is_lost_at_any_cut() {
    for durability in [Durability::Flush, Durability::Write] {
        for seed in 0..60 {
            let operations = seed * 13 % 400;
            let lost = lost_after_crash(seed, operations, config(durability, Mutation::None));
            assert!(
                matches!(lost, Ok(0) | Err(_)),
                "seed {seed} {durability:?} lost {lost:?}"
            );
        }
    }
}

#[test]
fn an_ack_before_the_flush_is_found() {
    let config = config(Durability::Flush, Mutation::AckBeforeFlush);
    let found = (0..60)
        .any(|seed| lost_after_crash(seed, seed * 13 % 400, config).is_ok_and(|lost| lost > 0));
    assert!(found);
}

#[test]
fn a_failed_write_or_flush_poisons_for_good() {
    for fail in [MemoryDisk::fail_writes, MemoryDisk::fail_flushes] {
        let mut executor = Executor::new(3);
        let handle = executor.handle();
        executor.block_on(async move {
            let disk = MemoryDisk::with_faults(3, FaultPlan::default());
            let journal = Rc::new(fresh(&disk, config(Durability::Flush, Mutation::None)).await);
            let commit = Rc::clone(&journal);
            let running = handle.spawn(async move { commit.run(|_| {}).await });
            let push = |position| {
                journal.push(|queue| {
                    queue.push(append_at(position, b"x"));
                    queue.newest()
                })
            };
            journal.wait(push(0)).await.unwrap();
            fail(&disk, 1);
            let (first, second) = (push(1), push(2));
            assert!(matches!(
                journal.wait(first).await,
                Err(StoreError::Poisoned(_))
            ));
            assert!(matches!(
                journal.wait(second).await,
                Err(StoreError::Poisoned(_))
            ));
            assert!(matches!(
                journal.wait(push(3)).await,
                Err(StoreError::Poisoned(_))
            ));
            running.await;
            assert_eq!(journal.counters().rounds_acknowledged, 1);
        });
    }
}

#[test]
fn nothing_is_acknowledged_while_a_flush_is_held() {
    let mut executor = Executor::new(5);
    let handle = executor.handle();
    executor.block_on(async move {
        let disk = MemoryDisk::new(5);
        let journal = Rc::new(fresh(&disk, config(Durability::Flush, Mutation::None)).await);
        let commit = Rc::clone(&journal);
        let _running = handle.spawn(async move { commit.run(|_| {}).await });
        disk.hold_flushes();
        let round = journal.push(|queue| {
            queue.push(append_at(0, b"x"));
            queue.newest()
        });
        let waiter = Rc::clone(&journal);
        let done = Rc::new(RefCell::new(false));
        let seen = Rc::clone(&done);
        let waiting = handle.spawn(async move {
            waiter.wait(round).await.unwrap();
            *seen.borrow_mut() = true;
        });
        for _ in 0..100 {
            handle.yield_now().await;
        }
        assert!(!*done.borrow());
        disk.release_flushes();
        waiting.await;
    });
}
