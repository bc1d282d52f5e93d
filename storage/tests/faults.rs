//! One promise a test: what a store does when the disk is full, fails, or does not answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use support::{Node, batch, boot, bytes_of, context, id, new_partition, read_all, small, summary};
use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::error::{RequestError, StoreError};
use thalweg_storage::log::{Appended, TimestampQuery};
use thalweg_storage::recover::mark_clean;
use thalweg_storage::store::{Health, Isolation, Mutation, ReadRequest, StoreConfig};
use thalweg_storage::testing::{Executor, Handle};
use thalweg_wire::batch::{BatchBuilder, BatchHeader, BatchSpec, Record};
use thalweg_wire::ids::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, TimestampMs};

fn names(topics: u8) -> BTreeMap<PartitionId, String> {
    (1..=topics)
        .map(|topic| (id(topic, 0), format!("t{topic}-0")))
        .collect()
}

/// Starts a node with `topics` partitions on one shard.
async fn start(disk: &MemoryDisk, topics: u8, handle: &Handle) -> Node {
    boot(disk, &names(topics), 1, small(), handle)
        .await
        .unwrap()
}

async fn produce(node: &Node, id: PartitionId, bytes: &[u8]) -> Result<Appended, StoreError> {
    let store = node.store(id);
    let permit = store.admit(bytes.len(), &[id]).await?;
    let appended = store
        .append(id, bytes, &summary(bytes), &context(1_000))
        .map_err(|error| match error {
            RequestError::Store(error) => error,
            RequestError::Log(error) => panic!("{error:?}"),
        })?;
    drop(permit);
    store.durable(id, appended.end).await?;
    Ok(appended)
}

fn with_executor<F: Future<Output = ()>>(seed: u64, test: impl FnOnce(MemoryDisk, Handle) -> F) {
    let mut executor = Executor::new(seed);
    let handle = executor.handle();
    executor.block_on(test(MemoryDisk::new(seed), handle));
}

#[test]
fn nothing_is_shown_while_its_flush_is_held() {
    with_executor(1, |disk, handle| async move {
        let node = start(&disk, 1, &handle).await;
        let id = id(1, 0);
        produce(&node, id, &batch(0, 3, 100, 1_000)).await.unwrap();
        disk.hold_flushes();
        let mut builder = BatchBuilder::new(BatchSpec {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(0),
            ..BatchSpec::default()
        });
        builder.push(&Record {
            timestamp: TimestampMs(2_000),
            value: Some(b"held"),
            ..Record::default()
        });
        let bytes = builder.finish_plain();
        let node = Rc::new(node);
        let (first, again) = (Rc::clone(&node), Rc::clone(&node));
        let (first_bytes, again_bytes) = (bytes.clone(), bytes);
        let first = handle.spawn(async move { produce(&first, id, &first_bytes).await });
        for _ in 0..50 {
            handle.yield_now().await;
        }
        let again = handle.spawn(async move { produce(&again, id, &again_bytes).await });
        for _ in 0..200 {
            handle.yield_now().await;
        }
        let store = node.store(id);
        let view = store.partition(id).unwrap();
        assert_eq!((view.log_end, view.high_watermark), (Offset(4), Offset(3)));
        let request = ReadRequest {
            offset: Offset(3),
            bytes_max: 1_000,
            min_one: true,
            isolation: Isolation::HighWatermark,
        };
        assert_eq!(store.read(id, request).await.unwrap().bytes, 0);
        for (query, offset) in [
            (TimestampQuery::Latest, Some(Offset(3))),
            (TimestampQuery::AtOrAfter(TimestampMs(1_500)), None),
        ] {
            let found = store
                .offset_for_timestamp(id, query, Isolation::HighWatermark)
                .await;
            assert_eq!(
                found.unwrap().map(|found| found.offset),
                offset,
                "{query:?}"
            );
        }
        assert!(disk.flushes_waiting() > 0);
        disk.release_flushes();
        let (first, again) = (first.await.unwrap(), again.await.unwrap());
        assert_eq!((first.duplicate, again.duplicate), (false, true));
        assert_eq!(
            (first.base_offset, again.base_offset),
            (Offset(3), Offset(3))
        );
        assert_eq!(store.partition(id).unwrap().high_watermark, Offset(4));
    });
}

#[test]
fn a_raised_log_start_is_not_shown_while_its_flush_is_held() {
    with_executor(2, |disk, handle| async move {
        let node = Rc::new(start(&disk, 1, &handle).await);
        let id = id(1, 0);
        for number in 0..80 {
            let one = batch(number, 1, 900, 1_000);
            produce(&node, id, &one).await.unwrap();
        }
        let store = node.store(id);
        let earliest = async || {
            let found = store
                .offset_for_timestamp(id, TimestampQuery::Earliest, Isolation::HighWatermark)
                .await;
            found.unwrap().unwrap().offset
        };
        let first = async || {
            let request = ReadRequest {
                offset: Offset(0),
                bytes_max: 1_000,
                min_one: true,
                isolation: Isolation::HighWatermark,
            };
            let answer = store
                .read(id, request)
                .await
                .map_err(|error| format!("{error:?}"))?;
            assert_eq!(answer.log_start, Offset(0));
            let bytes = bytes_of(&disk, answer.pieces).await;
            let header = BatchHeader::of(&bytes).unwrap();
            Ok::<Offset, String>(header.base_offset())
        };
        disk.hold_flushes();
        // Below a segment's end, so that the segment before it may go as well.
        let deleting = Rc::clone(&node);
        let deleting = handle.spawn(async move {
            let store = deleting.store(id);
            store.delete_records(id, Offset(60)).await.unwrap()
        });
        for _ in 0..100 {
            handle.yield_now().await;
        }
        let keeping = Rc::clone(&node);
        let keeping = handle.spawn(async move {
            let store = keeping.store(id);
            store.maintain(TimestampMs(2_000)).await.unwrap();
        });
        for _ in 0..200 {
            handle.yield_now().await;
        }
        assert!(disk.flushes_waiting() > 0);
        assert_eq!(store.partition(id).unwrap().log_start, Offset(0));
        assert_eq!(earliest().await, Offset(0));
        assert_eq!(first().await, Ok(Offset(0)));
        disk.release_flushes();
        assert_eq!(deleting.await, Offset(60));
        keeping.await;
        store.maintain(TimestampMs(3_000)).await.unwrap();
        assert_eq!(store.partition(id).unwrap().log_start, Offset(60));
        assert_eq!(earliest().await, Offset(60));
        assert!(first().await.is_err());
    });
}

#[test]
fn a_failed_flush_ends_acknowledgements_and_leaves_reads() {
    for fail in [MemoryDisk::fail_flushes, MemoryDisk::fail_writes] {
        with_executor(2, |disk, handle| async move {
            let node = start(&disk, 1, &handle).await;
            let id = id(1, 0);
            produce(&node, id, &batch(0, 1, 100, 1_000)).await.unwrap();
            // The first round makes the pool grow; the fault is meant for the next round.
            handle.sleep(std::time::Duration::from_secs(1)).await;
            fail(&disk, 1);
            let refused = produce(&node, id, &batch(1, 1, 100, 1_000)).await;
            assert!(
                matches!(refused, Err(StoreError::Poisoned(_))),
                "{refused:?}"
            );
            let store = node.store(id);
            assert!(matches!(store.health(), Health::Poisoned(_)));
            let later = produce(&node, id, &batch(2, 1, 100, 1_000)).await;
            assert!(matches!(later, Err(StoreError::Poisoned(_))), "{later:?}");
            assert!(store.stop_clean(TimestampMs(0)).await.is_err());
            assert_eq!(read_all(&disk, store, id).await.unwrap().len(), 1);
            let disk = disk.crash(3);
            let node = start(&disk, 1, &handle).await;
            assert!(!node.report.clean);
            let found = read_all(&disk, node.store(id), id).await.unwrap();
            assert!(
                (1..=2).contains(&found.len()),
                "the second was never answered"
            );
            produce(&node, id, &batch(3, 1, 100, 1_000)).await.unwrap();
        });
    }
}

#[test]
fn a_full_disk_refuses_produce_and_recovers_by_itself() {
    with_executor(3, |disk, handle| async move {
        let node = start(&disk, 3, &handle).await;
        disk.set_capacity(Some(600 << 10));
        let mut sent = [0; 3];
        let mut number = 0;
        let refused = loop {
            let topic = number % 3;
            let bytes = batch(number, 1, 3_000, 1_000);
            match produce(&node, id(topic as u8 + 1, 0), &bytes).await {
                Ok(_) => sent[topic as usize] += 1,
                Err(error) => break error,
            }
            number += 1;
            assert!(number < 2_000, "never refused");
        };
        assert!(matches!(refused, StoreError::Full), "{refused:?}");
        let store = Rc::clone(node.store(id(1, 0)));
        assert_eq!(store.health(), Health::Full);
        // Everything acknowledged is still read, and a delete still works.
        for (topic, sent) in (1..=3).zip(sent) {
            assert_eq!(
                read_all(&disk, &store, id(topic, 0)).await.unwrap().len(),
                sent
            );
        }
        store.delete_partition(id(1, 0)).await.unwrap();
        // What that frees may be used up by moves that waited: somebody else makes room as well.
        disk.set_capacity(Some(700 << 10));
        // The client tries again, as the error asks it to; nobody tells the store that there is room.
        let last = batch(9_999, 1, 3_000, 1_000);
        for now in 0.. {
            store.maintain(TimestampMs(2_000 + now)).await.unwrap();
            match produce(&node, id(2, 0), &last).await {
                Ok(_) => break,
                Err(error) => assert!(now < 500, "still refused: {error:?}"),
            }
            for _ in 0..20 {
                handle.yield_now().await;
            }
        }
        disk.set_capacity(None);
        store.maintain(TimestampMs(3_000)).await.unwrap();
        for number in 0..100 {
            produce(&node, id(3, 0), &batch(number, 1, 3_000, 1_000))
                .await
                .unwrap();
        }
        assert_eq!(store.health(), Health::Ok);
        assert_eq!(
            read_all(&disk, &store, id(2, 0)).await.unwrap().len(),
            sent[1] + 1
        );
        assert_eq!(
            read_all(&disk, &store, id(3, 0)).await.unwrap().len(),
            sent[2] + 100
        );
    });
}

#[test]
fn a_batch_beyond_the_window_is_refused_at_once() {
    with_executor(4, |disk, handle| async move {
        let node = start(&disk, 1, &handle).await;
        let limit = small().journal_bytes_max;
        let refused = node
            .store(id(1, 0))
            .admit(limit as usize, &[id(1, 0)])
            .await;
        assert!(
            matches!(refused, Err(StoreError::TooLarge { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn producers_wait_in_turn_for_room_and_permits_come_back() {
    with_executor(5, |disk, handle| async move {
        let node = start(&disk, 1, &handle).await;
        let store = Rc::clone(node.store(id(1, 0)));
        let mut permits = Vec::new();
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        disk.hold_flushes();
        for _ in 0..2 {
            permits.push(store.admit(24 << 10, &[]).await.unwrap());
        }
        let mut waiting = Vec::new();
        for (number, bytes) in [(0, 60 << 10), (1, 1_000), (2, 60 << 10)] {
            let (store, order) = (Rc::clone(&store), Rc::clone(&order));
            waiting.push(handle.spawn(async move {
                drop(store.admit(bytes, &[]).await.unwrap());
                order.borrow_mut().push(number);
            }));
            for _ in 0..30 {
                handle.yield_now().await;
            }
        }
        assert!(order.borrow().is_empty(), "the small one does not overtake");
        permits.clear();
        disk.release_flushes();
        for one in waiting {
            one.await;
        }
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert!(store.counters().admissions_delayed >= 3);
    });
}

/// Files in `log/` itself, with their content, but for the notice.
async fn files_for_kafka(disk: &MemoryDisk) -> Vec<(String, String)> {
    use thalweg_storage::disk::Disk;
    let dir = std::path::Path::new("log");
    let mut files = Vec::new();
    for entry in disk.list(dir).await.unwrap() {
        if entry.is_dir || entry.name.ends_with(".txt") {
            continue;
        }
        let bytes = disk.read_file(&dir.join(&entry.name)).await.unwrap();
        files.push((entry.name, String::from_utf8(bytes).unwrap()));
    }
    files
}

#[test]
fn after_a_clean_stop_the_files_are_all_and_the_journal_nothing() {
    with_executor(6, |disk, handle| async move {
        use thalweg_storage::disk::Disk;
        let node = start(&disk, 2, &handle).await;
        let mut bytes = 0;
        for number in 0..60 {
            let one = batch(number, 2, 700, 1_000);
            bytes += one.len() as u64;
            produce(&node, id(1, 0), &one).await.unwrap();
        }
        let store = Rc::clone(node.store(id(1, 0)));
        store.delete_records(id(1, 0), Offset(5)).await.unwrap();
        let stopped = store.stop_clean(TimestampMs(2_000)).await.unwrap();
        mark_clean(&disk, &stopped, 12).await.unwrap();
        let refused = produce(&node, id(1, 0), &batch(99, 1, 10, 1_000)).await;
        assert!(matches!(refused, Err(StoreError::Stopping)), "{refused:?}");
        let entries = disk.list(std::path::Path::new("log/t1-0")).await.unwrap();
        let logs = entries.iter().filter(|entry| entry.name.ends_with(".log"));
        assert_eq!(logs.map(|entry| entry.bytes).sum::<u64>(), bytes);
        let files = files_for_kafka(&disk).await;
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            files,
            [
                file(".kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":12}"),
                file("log-start-offset-checkpoint", "0\n1\nt1 0 5\n"),
                file(
                    "recovery-point-offset-checkpoint",
                    "0\n2\nt1 0 120\nt2 0 0\n"
                ),
                file("replication-offset-checkpoint", "0\n2\nt1 0 120\nt2 0 0\n"),
            ]
        );
        let disk = disk.crash(6);
        let node = start(&disk, 2, &handle).await;
        let files = files_for_kafka(&disk).await;
        assert!(
            files.iter().all(|(name, _)| !name.starts_with('.')),
            "{files:?}"
        );
        assert!(
            node.report.clean && node.report.moved_bytes == 0,
            "{:?}",
            node.report
        );
        let view = node.store(id(1, 0)).partition(id(1, 0)).unwrap();
        assert_eq!((view.log_start, view.log_end), (Offset(5), Offset(120)));
        // The last block of the file is continued, not torn.
        produce(&node, id(1, 0), &batch(99, 1, 10, 1_000))
            .await
            .unwrap();
        let disk = disk.crash(7);
        let node = start(&disk, 2, &handle).await;
        let found = read_all(&disk, node.store(id(1, 0)), id(1, 0))
            .await
            .unwrap();
        assert_eq!(found.last().unwrap().base, 120);
        assert!(!node.report.clean);
    });
}

#[test]
fn rot_in_a_durable_round_is_refused_and_named() {
    with_executor(8, |disk, handle| async move {
        let node = start(&disk, 1, &handle).await;
        for number in 0..5 {
            produce(&node, id(1, 0), &batch(number, 1, 100, 1_000))
                .await
                .unwrap();
        }
        let disk = disk.crash(8);
        disk.rot(
            std::path::Path::new("journal/0/0000.journal"),
            4_096 + 100,
            0x40,
        );
        let refused = boot(&disk, &names(1), 1, small(), &handle).await;
        let refused = refused.map(|_| ()).unwrap_err().to_string();
        assert!(
            refused.contains("round 2 was durable and is unreadable"),
            "{refused}"
        );
    });
}

#[test]
fn a_partition_is_made_once_and_deleted_once() {
    with_executor(9, |disk, handle| async move {
        let node = start(&disk, 0, &handle).await;
        let store = &node.stores[0];
        let one = id(2, 0);
        store
            .create_partition(new_partition(one, "a-0"))
            .await
            .unwrap();
        let again = store.create_partition(new_partition(one, "a-0")).await;
        assert!(
            matches!(again, Err(StoreError::PartitionExists(_))),
            "{again:?}"
        );
        produce(&node, one, &batch(1, 1, 10, 1_000)).await.unwrap();
        store.delete_partition(one).await.unwrap();
        let gone = store.delete_partition(one).await;
        assert!(
            matches!(gone, Err(StoreError::UnknownPartition(_))),
            "{gone:?}"
        );
        let next = id(3, 0);
        store
            .create_partition(new_partition(next, "a-0"))
            .await
            .unwrap();
        assert_eq!(store.partition(next).unwrap().log_end, Offset(0));
        let waits = store.durable(one, Offset(1)).await;
        assert!(
            matches!(waits, Err(StoreError::UnknownPartition(_))),
            "{waits:?}"
        );
    });
}

#[test]
fn the_planted_defects_are_off_by_default() {
    assert_eq!(
        StoreConfig::new(thalweg_wire::ids::ShardId(0)).mutation,
        Mutation::None
    );
}

/// What Apache Kafka does to a directory between two runs of ours, as far as storage sees it.
mod kafka_between {
    use super::*;
    use std::path::Path;
    use thalweg_storage::disk::Disk;

    const LOG: &str = "log/t1-0/00000000000000000000.log";
    const START: &str = "log/log-start-offset-checkpoint";

    /// A stopped node's directory with 5 records, the first of which is deleted.
    async fn stopped(disk: &MemoryDisk, handle: &Handle) {
        let node = start(disk, 1, handle).await;
        for number in 0..5 {
            let one = batch(number, 1, 100, 1_000);
            produce(&node, id(1, 0), &one).await.unwrap();
        }
        let store = Rc::clone(node.store(id(1, 0)));
        store.delete_records(id(1, 0), Offset(1)).await.unwrap();
        let stopped = store.stop_clean(TimestampMs(2_000)).await.unwrap();
        mark_clean(disk, &stopped, 12).await.unwrap();
    }

    async fn bounds(disk: &MemoryDisk, handle: &Handle) -> (i64, i64) {
        let node = start(disk, 1, handle).await;
        let view = node.store(id(1, 0)).partition(id(1, 0)).unwrap();
        (view.log_start.0, view.log_end.0)
    }

    #[test]
    fn what_it_appended_and_deleted_counts() {
        with_executor(21, |disk, handle| async move {
            stopped(&disk, &handle).await;
            let mut log = disk.read_file(Path::new(LOG)).await.unwrap();
            let mut one = batch(5, 1, 100, 1_000);
            one[..8].copy_from_slice(&5_i64.to_be_bytes());
            log.extend_from_slice(&one);
            disk.replace_file(Path::new(LOG), &log).await.unwrap();
            let text = b"0\n1\nt1 0 3\n";
            disk.replace_file(Path::new(START), text).await.unwrap();
            disk.sync_dir(Path::new("log")).await.unwrap();
            assert_eq!(bounds(&disk, &handle).await, (3, 6));
            // From the journal now: the file would say too little if Kafka wrote none.
            let disk = disk.crash(1);
            disk.remove(Path::new(START)).await.unwrap();
            assert_eq!(bounds(&disk, &handle).await, (3, 6));
        });
    }

    #[test]
    fn a_log_start_that_may_be_stale_is_not_believed() {
        with_executor(22, |disk, handle| async move {
            stopped(&disk, &handle).await;
            let text = b"0\n1\nt1 0 3\n";
            disk.replace_file(Path::new(START), text).await.unwrap();
            disk.remove(Path::new("log/.kafka_cleanshutdown"))
                .await
                .unwrap();
            assert_eq!(bounds(&disk, &handle).await, (1, 5));
        });
    }

    #[test]
    fn a_directory_without_journals_tells_its_log_starts() {
        with_executor(23, |disk, handle| async move {
            stopped(&disk, &handle).await;
            disk.remove(Path::new("journal/manifest")).await.unwrap();
            for entry in disk.list(Path::new("journal/0")).await.unwrap() {
                let path = Path::new("journal/0").join(&entry.name);
                disk.remove(&path).await.unwrap();
            }
            disk.sync_dir(Path::new("journal")).await.unwrap();
            disk.sync_dir(Path::new("journal/0")).await.unwrap();
            assert_eq!(bounds(&disk, &handle).await, (1, 5));
            let disk = disk.crash(2);
            assert_eq!(bounds(&disk, &handle).await, (1, 5));
        });
    }

    #[test]
    fn a_checkpoint_that_cannot_be_read_is_refused() {
        with_executor(24, |disk, handle| async move {
            stopped(&disk, &handle).await;
            disk.replace_file(Path::new(START), b"0\n1\nt1 x\n")
                .await
                .unwrap();
            let refused = boot(&disk, &names(2), 1, small(), &handle).await;
            let refused = refused.map(|_| ()).unwrap_err().to_string();
            assert!(refused.contains("log-start-offset-checkpoint"), "{refused}");
        });
    }
}
