//! While a flush is held, nothing shows the record: no fetch, no ListOffsets, no answer, not even
//! the answer to a duplicate. A topic that is deleted and made again is another one.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::testing::Executor;

use crate::client::{Client, Identity};
use crate::world::{self, settings};

const PLACE: (&str, i32) = ("t", 0);

#[test]
fn a_record_is_hidden_until_it_is_durable() {
    let disk = MemoryDisk::new(7);
    let mut executor = Executor::new(7);
    let handle = executor.handle();
    let node = executor.block_on(world::start(handle.clone(), disk, &settings(&[]), 2, 7));
    let scenario = async {
        let client = Client::new(&node.cores[0], 1);
        assert_eq!(client.create_topic(PLACE.0, 1).await, 0);
        let (id, epoch) = client.producer_id().await.unwrap();
        let identity = Some(Identity {
            id,
            epoch,
            sequence: 0,
        });
        node.disk.hold_flushes();
        let answered = Rc::new(Cell::new(0));
        for connection in 2..4 {
            let producer = Client::new(&node.cores[1], connection);
            let answered = Rc::clone(&answered);
            drop(handle.spawn(async move {
                let (code, base) = producer
                    .produce(PLACE, &[b"v".to_vec()], identity)
                    .await
                    .unwrap();
                assert_eq!((code, base), (0, 0));
                answered.set(answered.get() + 1);
            }));
            handle.sleep(Duration::from_millis(10)).await;
        }
        assert!(node.disk.flushes_waiting() > 0);
        assert_eq!(
            answered.get(),
            0,
            "an answer before the flush, maybe the duplicate's"
        );
        assert_eq!(client.fetch(PLACE, 0, 50).await, (0, Vec::new()));
        assert_eq!(client.end_offset(PLACE).await, 0);
        // A long poll on another shard than the partition's wakes when the flush is done.
        let woken = Rc::new(Cell::new(None));
        for (connection, core) in node.cores.iter().enumerate() {
            let consumer = Client::new(core, 10 + connection as u64);
            let (woken, handle) = (Rc::clone(&woken), handle.clone());
            let clock = handle.clone();
            drop(handle.spawn(async move {
                let (code, found) = consumer.fetch(PLACE, 0, 30_000).await;
                assert_eq!((code, found.len()), (0, 1));
                woken.set(Some(clock.now()));
            }));
        }
        handle.sleep(Duration::from_secs(1)).await;
        assert_eq!(woken.get(), None);
        let released = handle.now();
        node.disk.release_flushes();
        handle.sleep(Duration::from_secs(1)).await;
        assert_eq!(answered.get(), 2);
        let woken = woken.get().expect("the long polls were woken");
        assert!(
            woken - released < Duration::from_millis(100),
            "woken by its timer"
        );
        assert_eq!(client.end_offset(PLACE).await, 1);
    };
    executor.block_on(scenario);
}

#[test]
fn a_topic_made_again_is_another_one() {
    let disk = MemoryDisk::new(9);
    let mut executor = Executor::new(9);
    let handle = executor.handle();
    let loaded = settings(&[]);
    let node = executor.block_on(world::start(handle.clone(), disk.clone(), &loaded, 2, 9));
    executor.block_on(async {
        let client = Client::new(&node.cores[0], 1);
        assert_eq!(client.create_topic(PLACE.0, 1).await, 0);
        client
            .produce(PLACE, &[b"old".to_vec()], None)
            .await
            .unwrap();
        let waiting = Client::new(&node.cores[1], 2);
        let poll = handle.spawn(async move { waiting.fetch(PLACE, 1, 60_000).await });
        handle.sleep(Duration::from_millis(10)).await;
        let before = handle.now();
        assert_eq!(client.delete_topic(PLACE.0).await, 0);
        let (code, found) = poll.await;
        assert_eq!((code, found.len()), (3, 0));
        assert!(
            handle.now() - before < Duration::from_secs(1),
            "told by its timer"
        );
        assert_eq!(client.create_topic(PLACE.0, 1).await, 0);
        assert_eq!(client.read_all(PLACE).await, []);
        let appended = client.produce(PLACE, &[b"new".to_vec()], None).await;
        assert_eq!(appended, Some((0, 0)));
    });
    drop((node, executor));
    let mut executor = Executor::new(10);
    let disk = disk.crash(10);
    let node = executor.block_on(world::start(executor.handle(), disk, &loaded, 1, 10));
    let found = executor.block_on(Client::new(&node.cores[0], 1).read_all(PLACE));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].value, b"new");
}
