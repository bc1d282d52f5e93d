//! Power cuts in the middle of produce: what was acknowledged is there, once, where it was said.
//!
//! Several producers write to several partitions of a node of two shards, some of them idempotent;
//! the run is cut after a number of steps that the seed draws, the disk keeps any part of what was
//! not flushed, and the node starts again. Checked after each start, and at the end once more:
//! each acknowledged record is at its offset, unchanged; no value is there twice among those of one
//! idempotent producer; offsets have no gaps and are never used for something else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::testing::{Executor, Prng};

use crate::client::{Client, Identity};
use crate::world::{self, settings};

const TOPIC: &str = "t";
const PARTITIONS: i32 = 3;
const PRODUCERS: u64 = 4;
const POWER_CUTS: usize = 3;
const STEPS_MAX: usize = 30_000;

/// What the node said, and what consumers saw: true for ever.
#[derive(Default)]
struct Ledger {
    acked: BTreeMap<(i32, i64), Vec<u8>>,
    seen: BTreeMap<(i32, i64), Vec<u8>>,
    next_value: u64,
}

impl Ledger {
    fn value(&mut self, producer: u64) -> Vec<u8> {
        self.next_value += 1;
        format!("{producer}:{}", self.next_value).into_bytes()
    }
}

async fn produce_for_ever(client: Client, producer: u64, seed: u64, ledger: Rc<RefCell<Ledger>>) {
    let mut prng = Prng::new(seed ^ producer);
    let idempotent = producer.is_multiple_of(2);
    let id = if idempotent {
        client.producer_id().await
    } else {
        None
    };
    let mut sequences = [0; PARTITIONS as usize];
    loop {
        let partition = prng.below(PARTITIONS as usize);
        let count = 1 + prng.below(3);
        let values: Vec<Vec<u8>> = (0..count)
            .map(|_| ledger.borrow_mut().value(producer))
            .collect();
        let identity = id.map(|(id, epoch)| Identity {
            id,
            epoch,
            sequence: sequences[partition],
        });
        let place = (TOPIC, i32::try_from(partition).unwrap());
        // An idempotent producer sends everything twice: the second time is a duplicate.
        for _ in 0..=usize::from(idempotent) {
            let Some((code, base)) = client.produce(place, &values, identity).await else {
                return;
            };
            assert_eq!(code, 0, "seed {seed}: produce");
            let mut ledger = ledger.borrow_mut();
            for (value, offset) in values.iter().zip(base..) {
                let before = ledger.acked.insert((place.1, offset), value.clone());
                assert!(
                    before.is_none_or(|before| before == *value),
                    "seed {seed}: offset {offset} of partition {partition} was acknowledged twice"
                );
            }
        }
        sequences[partition] += i32::try_from(count).unwrap();
    }
}

async fn check(client: &Client, ledger: &RefCell<Ledger>, seed: u64) {
    for partition in 0..PARTITIONS {
        let stored = client.read_all((TOPIC, partition)).await;
        let mut ledger = ledger.borrow_mut();
        let mut idempotent = BTreeSet::new();
        for (at, record) in stored.iter().enumerate() {
            assert_eq!(
                record.offset, at as i64,
                "seed {seed}: a gap in partition {partition}"
            );
            let text = String::from_utf8(record.value.clone()).unwrap();
            let producer: u64 = text.split(':').next().unwrap().parse().unwrap();
            if producer.is_multiple_of(2) {
                assert!(
                    idempotent.insert(text.clone()),
                    "seed {seed}: {text} is there twice"
                );
            }
            let before = ledger
                .seen
                .insert((partition, record.offset), record.value.clone());
            assert!(
                before.is_none_or(|before| before == record.value),
                "seed {seed}: offset {at} of partition {partition} was shown with another value"
            );
        }
        for ((_, offset), value) in ledger.acked.range((partition, 0)..(partition + 1, 0)) {
            let found = usize::try_from(*offset).ok().and_then(|at| stored.get(at));
            assert_eq!(
                found.map(|record| &record.value),
                Some(value),
                "seed {seed}: offset {offset} of partition {partition} was acknowledged"
            );
        }
    }
}

fn run(seed: u64) -> usize {
    let mut prng = Prng::new(seed);
    let loaded = settings(&[]);
    let mut disk = MemoryDisk::new(seed);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    for round in 0..=POWER_CUTS {
        // A changed number of shards is nothing special.
        let shards = 1 + u16::try_from(prng.below(2)).unwrap();
        let mut executor = Executor::new(prng.next_u64());
        let handle = executor.handle();
        let started = world::start(
            handle.clone(),
            disk.clone(),
            &loaded,
            shards,
            seed + round as u64,
        );
        let node = executor.block_on(started);
        let first = Client::new(&node.cores[0], 0);
        let prepared = {
            let ledger = Rc::clone(&ledger);
            async move {
                let code = first.create_topic(TOPIC, PARTITIONS).await;
                assert!(matches!(code, 0 | 36), "seed {seed}: create: {code}");
                check(&first, &ledger, seed).await;
            }
        };
        executor.block_on(prepared);
        if round == POWER_CUTS {
            break;
        }
        for producer in 0..PRODUCERS {
            let core = &node.cores[producer as usize % node.cores.len()];
            let number = round as u64 * PRODUCERS + producer;
            let client = Client::new(core, number + 1);
            let ledger = Rc::clone(&ledger);
            drop(executor.spawn(produce_for_ever(client, number, seed, ledger)));
        }
        let steps = 100 + prng.below(STEPS_MAX) as u64;
        let forever = async move { handle.sleep(Duration::from_secs(1_000_000)).await };
        executor.run(forever, steps);
        drop(node);
        drop(executor);
        disk = disk.crash(prng.next_u64());
    }
    ledger.borrow().acked.len()
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    let first: u64 = std::env::var("SIM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let acked: usize = (first..first + seeds).map(run).sum();
    assert!(
        acked > 100,
        "the simulation acknowledged {acked} records, too few to say anything"
    );
}
