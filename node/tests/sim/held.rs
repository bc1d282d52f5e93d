//! While the disk holds its flushes nothing of a new record is shown; afterwards all of it is, and
//! whoever waits for it is woken. A topic that is deleted and made again is another one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::store::StoreConfig;
use thalweg_storage::testing::{Executor, Handle, Prng, Task};
use thalweg_wire::ids::{ShardId, TimestampMs};

use crate::checker::{Key, Life};
use crate::client::Client;
use crate::producer::Single;
use crate::workload::{CHURNING, Desk, LASTING, Want};
use crate::world::{Birth, EPOCH_MS};

/// What is not woken by a timer goes on within this time.
const PROMPT: Duration = Duration::from_millis(100);
/// ListOffsets' names for times.
const LATEST: i64 = -1;
const MAX_TIMESTAMP: i64 = -3;

async fn desk(birth: Birth) -> Rc<Desk> {
    let node = birth.start().await.expect("an empty disk can be used");
    Rc::new(Desk {
        node,
        checker: Rc::default(),
        faults: Rc::default(),
        poisoned: Cell::new(false),
    })
}

/// Asks in every way there is for anything at or behind `end`.
async fn shows_nothing(desk: &Desk, client: &Client, key: Key, end: i64) {
    let want = Want {
        key,
        offset: end,
        bytes: 1 << 20,
        bytes_min: 1,
        wait_ms: 50,
    };
    let shown = desk.fetch(client, want).await.unwrap().unwrap();
    assert_eq!(
        (shown.high_watermark, shown.offsets.len()),
        (end, 0),
        "fetch"
    );
    let from_first = Want { offset: 0, ..want };
    let shown = desk.fetch(client, from_first).await.unwrap().unwrap();
    assert_eq!(
        (shown.high_watermark, shown.next),
        (end, end),
        "fetch from the first"
    );
    let latest = desk.list(client, key, LATEST).await.unwrap();
    assert_eq!(latest, Some(end), "ListOffsets, latest");
    let newest = desk.list(client, key, MAX_TIMESTAMP).await.unwrap();
    // As in Kafka, nothing where the newest record of all is not visible yet.
    assert!(
        newest < Some(end),
        "ListOffsets, largest timestamp: {newest:?}"
    );
    let late = desk.list(client, key, desk.node.now().0 - 1).await.unwrap();
    assert_eq!(late, Some(-1), "ListOffsets, by time");
}

/// A long poll at the end of a log, on some shard; when it found something.
fn poll(desk: &Rc<Desk>, key: Key, end: i64) -> Task<Duration> {
    let want = Want {
        key,
        offset: end,
        bytes: 1 << 20,
        bytes_min: 1,
        wait_ms: 30_000,
    };
    let desk = Rc::clone(desk);
    let handle = desk.node.handle.clone();
    handle.spawn(async move {
        let client = Client::connect(&desk.node);
        let shown = desk.fetch(&client, want).await.unwrap();
        // What it waits for may also be the end of its topic.
        assert!(shown.is_err() || shown.unwrap().next > end);
        desk.node.handle.now()
    })
}

async fn held(birth: Birth) {
    let desk = desk(birth).await;
    let (client, other) = (Client::connect(&desk.node), Client::connect(&desk.node));
    desk.create(&client, LASTING[0]).await.unwrap();
    let keys = desk.all_partitions();
    for (number, key) in (0..).zip(&keys) {
        let first = Single::new(&desk, *key, number, 0);
        assert_eq!(first.send(&client).await, Some(0));
    }
    // Records sent from here on are later than everything before.
    desk.node.handle.sleep(Duration::from_secs(2)).await;
    desk.node.disk.hold_flushes();
    let mut waiting = Vec::new();
    for (number, key) in (0..).zip(&keys) {
        let ended = desk.checker.borrow().partition(*key).unwrap().shown;
        let second = Rc::new(Single::new(
            &desk,
            *key,
            number,
            i32::try_from(ended).unwrap(),
        ));
        waiting.push((*key, ended, second.begin(&client), second.begin(&other)));
    }
    desk.node.handle.sleep(Duration::from_secs(1)).await;
    assert!(
        desk.node.disk.flushes_waiting() > 0,
        "nothing waits for the disk"
    );
    let third = Client::connect(&desk.node);
    for (key, ended, original, duplicate) in &waiting {
        assert!(
            original.try_take().is_none(),
            "acknowledged while the flush is held"
        );
        assert!(
            duplicate.try_take().is_none(),
            "a duplicate is answered while the flush is held"
        );
        shows_nothing(&desk, &third, *key, *ended).await;
    }
    let polls: Vec<_> = waiting
        .iter()
        .map(|(key, ended, ..)| poll(&desk, *key, *ended))
        .collect();
    desk.node.handle.sleep(Duration::from_secs(1)).await;
    assert!(polls.iter().all(|poll| poll.try_take().is_none()));
    let released = desk.node.handle.now();
    desk.node.disk.release_flushes();
    for poll in polls {
        assert!(
            poll.await - released < PROMPT,
            "a long poll was woken by its timer"
        );
    }
    for (key, ended, original, duplicate) in waiting {
        assert_eq!(original.await, Some(ended));
        assert_eq!(duplicate.await, Some(ended), "the duplicate's answer");
        let want = Want {
            key,
            offset: ended,
            bytes: 1 << 20,
            bytes_min: 1,
            wait_ms: 0,
        };
        let shown = desk.fetch(&third, want).await.unwrap().unwrap();
        assert!(shown.next > ended && shown.high_watermark == shown.next);
    }
    assert_eq!(desk.checker.borrow().violation(), None);
}

fn birth(seed: u64, handle: Handle, disk: MemoryDisk) -> Birth {
    Birth {
        handle,
        disk,
        shards: u16::try_from(1 + seed % 3).unwrap(),
        store: StoreConfig {
            journal_file_bytes: 256 << 10,
            journal_bytes_max: 1 << 20,
            round_bytes_max: 32 << 10,
            ..StoreConfig::new(ShardId(0))
        },
        born: TimestampMs(EPOCH_MS),
        dice: Rc::new(RefCell::new(Prng::new(seed))),
    }
}

#[test]
fn nothing_is_shown_while_its_flush_is_held() {
    for seed in 0..6 {
        let mut executor = Executor::new(seed);
        let birth = birth(seed, executor.handle(), MemoryDisk::new(seed));
        executor.block_on(held(birth));
    }
}

async fn made_again(birth: Birth) -> Rc<Desk> {
    let desk = desk(birth).await;
    let client = Client::connect(&desk.node);
    let mut ids = Vec::new();
    for producer in 0..2 {
        desk.create(&client, CHURNING[0]).await.unwrap();
        let keys = desk.all_partitions();
        for key in &keys {
            let only = Single::new(&desk, *key, producer, 0);
            assert_eq!(
                only.send(&client).await,
                Some(0),
                "the first record is at offset 0"
            );
        }
        ids.push(keys[0].0);
        if producer == 0 {
            let waiting = poll(
                &desk,
                keys[0],
                desk.checker.borrow().partition(keys[0]).unwrap().shown,
            );
            desk.node.handle.sleep(Duration::from_millis(10)).await;
            let deleted = desk.node.handle.now();
            desk.delete(&client, CHURNING[0]).await.unwrap();
            assert_eq!(desk.checker.borrow().life(keys[0].0), Life::Gone);
            assert!(
                waiting.await - deleted < PROMPT,
                "a long poll outlived its topic"
            );
        }
    }
    assert_ne!(ids[0], ids[1]);
    desk
}

#[test]
fn a_topic_made_again_is_another_one() {
    for seed in 0..6 {
        let disk = MemoryDisk::new(seed);
        let mut executor = Executor::new(seed);
        let desk = executor.block_on(made_again(birth(seed, executor.handle(), disk.clone())));
        let checker = Rc::clone(&desk.checker);
        drop((desk, executor));
        let mut executor = Executor::new(seed);
        let birth = birth(seed + 1, executor.handle(), disk.crash(seed));
        executor.block_on(async {
            let node = birth.start().await.expect("a start after a crash");
            let desk = Desk {
                node,
                checker,
                faults: Rc::default(),
                poisoned: Cell::new(false),
            };
            let client = Client::connect(&desk.node);
            desk.find_topics(&client).await.unwrap();
            desk.audit(&client).await.unwrap();
            assert_eq!(desk.checker.borrow().violation(), None);
        });
    }
}
