//! Transactions in one log against a plain list, under random operations: open, written to, ended by
//! markers of either kind, retried markers, refused ones; through rolls, moves, recycled journals,
//! cuts at the begin, clean stops and kills. What must hold after each step: the last stable offset,
//! the aborted transactions of any range, the producers.

#![expect(clippy::unwrap_used, reason = "a test")]

mod log_harness;

use std::collections::BTreeMap;

use log_harness::{Harness, partition, summary_of};
use thalweg_storage::disk::memory::MemoryDisk;
use thalweg_storage::log::{
    AppendContext, AppendError, Appended, EndTxn, LogConfig, Origin, Verification,
};
use thalweg_storage::testing::executor::block_on;
use thalweg_storage::testing::prng::Prng;
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::ids::{Epoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const SEEDS: u64 = 60;
const STEPS: usize = 250;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Producer {
    epoch: i16,
    next: i32,
    open: Option<i64>,
    marked: bool,
}

/// Producer, first, marker, last stable after it.
type Aborted = (i64, i64, i64, i64);

struct Model {
    random: Prng,
    producers: BTreeMap<i64, Producer>,
    aborted: Vec<Aborted>,
    /// First offset and marker of every ended transaction.
    ended: Vec<(i64, i64)>,
    durable: i64,
}

impl Model {
    fn first_open(&self) -> Option<i64> {
        self.producers.values().filter_map(|p| p.open).min()
    }

    fn last_stable(&self) -> i64 {
        let unshown = self.ended.iter().filter(|(_, at)| *at >= self.durable);
        let unshown = unshown.map(|(first, _)| *first).min();
        let limits = [self.first_open(), unshown, Some(self.durable)];
        limits.into_iter().flatten().min().unwrap()
    }
}

fn context(harness: &Harness<MemoryDisk>, verification: Verification) -> AppendContext {
    AppendContext {
        leader_epoch: Epoch(3),
        now: harness.now,
        origin: Origin::Client,
        verification,
    }
}

fn batch(id: i64, producer: Producer, transactional: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(producer.epoch),
        base_sequence: Sequence(producer.next),
        transactional,
        ..BatchSpec::default()
    });
    builder.push(&Record {
        timestamp: TimestampMs(1_700_000_000_000),
        value: Some(&[7; 900]),
        ..Record::default()
    });
    builder.finish_plain()
}

async fn put(
    harness: &mut Harness<MemoryDisk>,
    bytes: &[u8],
    verification: Verification,
) -> Result<Appended, AppendError> {
    harness.prepare().await;
    let context = context(harness, verification);
    let summary = summary_of(bytes);
    let log = &mut harness.log;
    log.append(bytes, &summary, &context, &mut harness.journal)
}

async fn write(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let id = model.random.below(5) as i64;
    let mut producer = model.producers.get(&id).copied().unwrap_or_default();
    let bytes = batch(id, producer, true);
    let end = harness.log.view().log_end.0;
    if producer.open.is_none() {
        let refused = put(harness, &bytes, Verification::Missing).await;
        let producer = ProducerId(id);
        assert_eq!(refused, Err(AppendError::Unverified { producer }));
    }
    let asked = (
        ProducerId(id),
        ProducerEpoch(producer.epoch),
        Sequence(producer.next),
    );
    let guard = harness.log.begin_verification(asked, harness.now);
    assert_eq!(guard.is_some(), producer.open.is_none());
    let verification = guard.map_or(Verification::Missing, Verification::Guard);
    let appended = put(harness, &bytes, verification).await.unwrap();
    assert_eq!(appended.base_offset.0, end);
    producer.next += 1;
    producer.open.get_or_insert(end);
    model.producers.insert(id, producer);
    let plain = put(harness, &batch(id, producer, false), Verification::Missing).await;
    assert!(matches!(plain, Err(AppendError::InvalidTxnState { .. })));
}

async fn end(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let id = model.random.below(5) as i64;
    let Some(mut producer) = model.producers.get(&id).copied() else {
        return;
    };
    let commit = model.random.below(2) == 0;
    let raises_epoch = model.random.below(4) != 0;
    let marker = EndTxn {
        producer: ProducerId(id),
        epoch: ProducerEpoch(producer.epoch + i16::from(raises_epoch)),
        coordinator_epoch: 1,
        commit,
        raises_epoch,
    };
    harness.prepare().await;
    let context = context(harness, Verification::Waived);
    let at = harness.log.view().log_end.0;
    let asked = (marker.producer, marker.epoch, Sequence(0));
    let guard = harness.log.begin_verification(asked, harness.now);
    let log = &mut harness.log;
    let appended = log.append_end_txn(&marker, &context, &mut harness.journal);
    assert_eq!(
        (appended.unwrap().duplicate, log.view().log_end.0),
        (false, at + 1)
    );
    if raises_epoch {
        (producer.epoch, producer.next) = (marker.epoch.0, 0);
    }
    producer.marked = true;
    let open = producer.open.take();
    model.producers.insert(id, producer);
    if let Some(first) = open {
        model.ended.push((first, at));
        let stable = model.first_open().unwrap_or(at + 1);
        if !commit {
            model.aborted.push((id, first, at, stable));
        }
    }
    // A batch that was on its way while the transaction ended.
    let late = guard.map_or(Verification::Missing, Verification::Guard);
    let refused = put(harness, &batch(id, producer, true), late).await;
    assert!(matches!(refused, Err(AppendError::Unverified { .. })));
    if raises_epoch {
        harness.prepare().await;
        let log = &mut harness.log;
        let again = log.append_end_txn(&marker, &context, &mut harness.journal);
        assert!(again.unwrap().duplicate);
        let stale = EndTxn {
            epoch: ProducerEpoch(marker.epoch.0 - 1),
            ..marker
        };
        let refused = log.append_end_txn(&stale, &context, &mut harness.journal);
        assert!(matches!(
            refused,
            Err(AppendError::InvalidProducerEpoch { .. })
        ));
    }
    let zombie = EndTxn {
        epoch: ProducerEpoch(marker.epoch.0 + 1),
        coordinator_epoch: 0,
        ..marker
    };
    let log = &mut harness.log;
    let refused = log.append_end_txn(&zombie, &context, &mut harness.journal);
    assert!(matches!(
        refused,
        Err(AppendError::CoordinatorFenced { .. })
    ));
}

fn check(model: &mut Model, harness: &Harness<MemoryDisk>) {
    let view = harness.log.view();
    let start = view.log_start.0;
    assert_eq!(view.last_stable.0, model.last_stable().max(start));
    let span = (view.log_end.0 - start) as usize + 1;
    let from = start + model.random.below(span) as i64;
    let upper = from + model.random.below(span) as i64;
    let listed: Vec<Aborted> = harness
        .log
        .aborted_txns(Offset(from), Offset(upper))
        .iter()
        .map(|t| (t.producer.0, t.first.0, t.last.0, t.last_stable.0))
        .collect();
    let due = |t: &&Aborted| t.2 >= from && t.1 < upper;
    let expected: Vec<Aborted> = model.aborted.iter().filter(due).copied().collect();
    assert_eq!(listed, expected, "{from}..{upper}");
    let known = harness.log.active_producers().into_iter().map(|active| {
        let producer = Producer {
            epoch: active.epoch.0,
            next: active.last_sequence.0 + 1,
            open: active.txn_first.map(|first| first.0),
            marked: active.coordinator_epoch == 1,
        };
        (active.producer.0, producer)
    });
    assert_eq!(known.collect::<BTreeMap<_, _>>(), model.producers);
}

async fn step(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    match model.random.below(100) {
        0..45 => write(model, harness).await,
        45..65 => end(model, harness).await,
        65..78 => {
            let left = (harness.log.view().log_end.0 - model.durable) as usize;
            model.durable += model.random.below(left + 1) as i64;
            harness.log.on_durable(Offset(model.durable));
            model.durable = model.durable.max(harness.log.view().high_watermark.0);
        }
        78..88 => {
            let blocks = model.random.below(20) as u64;
            harness.move_some(blocks, false).await;
        }
        88..91 => harness.recycle(),
        91..93 => {
            let view = harness.log.view();
            let span = (model.durable - view.log_start.0) as usize;
            let asked = view.log_start.0 + model.random.below(span / 3 + 1) as i64;
            let cut = harness
                .log
                .delete_records(Offset(asked), &mut harness.journal);
            cut.unwrap();
            harness.retain().await;
        }
        93..95 => {
            harness.stop_clean().await;
            harness.start_clean().await;
            model.durable = harness.log.view().log_end.0;
        }
        95..98 => {
            harness.start_after_kill().await;
            model.durable = harness.log.view().log_end.0;
        }
        _ => harness.retain().await,
    }
    check(model, harness);
}

#[test]
fn transactions_of_a_log_are_a_list() {
    for seed in 0..SEEDS {
        block_on(seed, async {
            let config = LogConfig {
                segment_bytes: 32 * 1024,
                index_interval_bytes: if seed % 2 == 0 { 4096 } else { 256 },
                retention_ms: None,
                ..LogConfig::default()
            };
            let disk = MemoryDisk::new(seed);
            let mut harness = Harness::create(disk, "log/txn-0", config).await;
            assert_eq!(harness.log.id(), partition());
            let mut model = Model {
                random: Prng::new(seed),
                producers: BTreeMap::new(),
                aborted: Vec::new(),
                ended: Vec::new(),
                durable: 0,
            };
            for at in 0..STEPS {
                let _story = Story { seed, at };
                step(&mut model, &mut harness).await;
            }
        });
    }
}

/// Says where a run failed.
struct Story {
    seed: u64,
    at: usize,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, step {}", self.seed, self.at);
        }
    }
}
