//! The journal's window at its smallest: whatever waits for room gets it, however few files there
//! are and however long flushes take.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use support::{Node, batch, boot, context, id, small, summary};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::error::StoreError;
use thalweg_storage::store::StoreConfig;
use thalweg_storage::testing::Executor;
use thalweg_wire::ids::PartitionId;

/// Polls of one run.
const STEPS_MAX: u64 = 2_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn names(topics: u8) -> BTreeMap<PartitionId, String> {
    (1..=topics)
        .map(|topic| (id(topic, 0), format!("t{topic}-0")))
        .collect()
}

async fn produce(node: &Node, id: PartitionId, bytes: &[u8]) -> Result<(), StoreError> {
    let store = node.store(id);
    let permit = store.admit(bytes.len(), &[id]).await?;
    let appended = store
        .append(id, bytes, &summary(bytes), &context(1_000))
        .unwrap();
    drop(permit);
    store.durable(id, appended.end).await
}

/// Commits of `size` bytes by four producers; `held` of them meet a disk that does not flush.
fn commits(config: StoreConfig, count: i64, size: usize, held: bool) {
    let mut executor = Executor::new(7);
    let handle = executor.handle();
    let clock = handle.clone();
    let ran = executor.run(
        async move {
            let disk = MemoryDisk::new(7);
            let node = boot(&disk, &names(4), 1, config, &handle).await.unwrap();
            let node = Rc::new(node);
            if held {
                disk.hold_flushes();
            }
            let mut tasks = Vec::new();
            for number in 0..count {
                let node = Rc::clone(&node);
                tasks.push(handle.spawn(async move {
                    let bytes = batch(number as u64, 1, size, 1_000);
                    let topic = (number % 4) as u8 + 1;
                    produce(&node, id(topic, 0), &bytes).await.unwrap();
                }));
            }
            if held {
                for _ in 0..5_000 {
                    handle.yield_now().await;
                }
                disk.release_flushes();
            }
            for (number, task) in tasks.into_iter().enumerate() {
                while task.try_take().is_none() {
                    // Virtual time: a node that spins instead of waiting is ended by the step limit.
                    let counters = node.store(id(1, 0)).counters();
                    assert!(
                        clock.now() < PATIENCE,
                        "commit {number} waits: {counters:?}"
                    );
                    clock.sleep(Duration::from_millis(10)).await;
                }
            }
        },
        STEPS_MAX,
    );
    assert!(ran.is_some(), "it does not end");
}

#[test]
fn two_files_are_enough_for_any_number_of_commits() {
    for round_bytes_max in [64 << 10, 16 << 10] {
        let config = StoreConfig {
            journal_file_bytes: 256 << 10,
            journal_bytes_max: 2 * (256 << 10),
            round_bytes_max,
            ..small()
        };
        commits(config, 200, 4_000, false);
    }
}

#[test]
fn commits_that_meet_held_flushes_go_on_after_the_release() {
    for files in [2, 4] {
        for round_bytes_max in [64 << 10, 16 << 10] {
            let config = StoreConfig {
                journal_file_bytes: 256 << 10,
                journal_bytes_max: files * (256 << 10),
                round_bytes_max,
                ..small()
            };
            commits(config, 600, 4_000, true);
        }
    }
}

#[test]
fn the_largest_batch_that_is_not_refused_finds_room() {
    let config = StoreConfig {
        journal_file_bytes: 64 << 10,
        journal_bytes_max: 2 * (64 << 10),
        round_bytes_max: 16 << 10,
        ..small()
    };
    let mut executor = Executor::new(9);
    let handle = executor.handle();
    let ran = executor.run(
        async move {
            let disk = MemoryDisk::new(9);
            let node = boot(&disk, &names(2), 1, config, &handle).await.unwrap();
            let store = node.store(id(1, 0));
            let refused = store.admit(1 << 20, &[id(1, 0)]).await;
            let Err(StoreError::TooLarge { limit, .. }) = refused else {
                panic!("{refused:?}");
            };
            // Room for the batch's own framing.
            let size = limit as usize - 1_024;
            for number in 0..40 {
                let task = {
                    let bytes = batch(number, 1, size, 1_000);
                    let small = batch(number, 1, 3_000, 1_000);
                    async {
                        let (bytes, small) = (bytes, small);
                        produce(&node, id(2, 0), &small).await.unwrap();
                        produce(&node, id(1, 0), &bytes).await.unwrap();
                    }
                };
                task.await;
            }
        },
        STEPS_MAX,
    );
    assert!(ran.is_some(), "it does not end");
}
