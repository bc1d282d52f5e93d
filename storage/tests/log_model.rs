//! One log against a plain vector of batches, under random operations: appends of idempotent
//! producers, moves in any part, reads and searches at any offset, cuts at the begin, recycled
//! journals, clean stops and kills.

#![expect(clippy::unwrap_used, reason = "a test")]

mod log_harness;

use std::collections::BTreeMap;

use log_harness::{Harness, partition};
use thalweg_storage::disk::memory::MemoryDisk;
use thalweg_storage::log::{AppendError, LogConfig, ReadError, ReadSpec, TimestampQuery};
use thalweg_storage::testing::executor::block_on;
use thalweg_storage::testing::prng::Prng;
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, Record};
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const SEEDS: u64 = 150;
const STEPS: usize = 250;

/// A batch as the model remembers it.
#[derive(Clone, Debug)]
struct Stored {
    base: i64,
    last: i64,
    bytes: Vec<u8>,
    timestamps: Vec<i64>,
    producer: i64,
    /// As it was sent.
    sent: Vec<u8>,
}

struct Model {
    random: Prng,
    batches: Vec<Stored>,
    durable: i64,
    start: i64,
    producers: BTreeMap<i64, Producer>,
}

/// Next sequence, and the last batch sent with its offset.
type Producer = (i32, Option<(Vec<u8>, i64)>);

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.last + 1)
    }

    /// The whole batches that a read may give at most, and those that it must give at least.
    fn visible_from(&self, offset: i64) -> Vec<&Stored> {
        let seen = |batch: &&Stored| batch.last >= offset && batch.last < self.durable;
        self.batches.iter().filter(seen).collect()
    }

    fn batch(&mut self) -> (i64, Vec<u8>, Vec<i64>) {
        let producer = self.random.below(4) as i64;
        let sequence = self.producers.entry(producer).or_default().0;
        let codecs = [Codec::None, Codec::None, Codec::Lz4, Codec::Gzip];
        let mut builder = BatchBuilder::new(BatchSpec {
            codec: codecs[self.random.below(4)],
            producer_id: ProducerId(if producer == 0 { -1 } else { producer }),
            producer_epoch: ProducerEpoch(if producer == 0 { -1 } else { 0 }),
            base_sequence: Sequence(if producer == 0 { -1 } else { sequence }),
            ..BatchSpec::default()
        });
        let mut timestamps = Vec::new();
        let size = [10, 100, 1000, 9000][self.random.below(4)];
        for _ in 0..=self.random.below(5) {
            let timestamp = 1_700_000_000_000 + self.random.below(100_000) as i64;
            let mut value = vec![0; self.random.below(size)];
            self.random.fill(&mut value);
            timestamps.push(timestamp);
            builder.push(&Record {
                timestamp: TimestampMs(timestamp),
                value: Some(&value),
                ..Record::default()
            });
        }
        (producer, builder.finish().unwrap(), timestamps)
    }
}

async fn append(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let (producer, batch, timestamps) = model.batch();
    let appended = harness.append(&batch).await.unwrap();
    assert_eq!(appended.base_offset.0, model.end());
    assert!(!appended.duplicate);
    let count = timestamps.len() as i64;
    let mut bytes = batch.clone();
    bytes[..8].copy_from_slice(&appended.base_offset.0.to_be_bytes());
    bytes[12..16].copy_from_slice(&3_i32.to_be_bytes());
    model.batches.push(Stored {
        base: appended.base_offset.0,
        last: appended.base_offset.0 + count - 1,
        bytes,
        timestamps,
        producer,
        sent: batch.clone(),
    });
    let state = model.producers.entry(producer).or_default();
    state.0 += count as i32;
    state.1 = Some((batch, appended.base_offset.0));
}

async fn retry(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let producer = 1 + model.random.below(3) as i64;
    let Some((_, Some((batch, offset)))) = model.producers.get(&producer).cloned() else {
        return;
    };
    let appended = harness.append(&batch).await.unwrap();
    assert!(appended.duplicate, "producer {producer}");
    assert_eq!(appended.base_offset.0, offset);
    let mut gap = BatchBuilder::new(BatchSpec {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(model.producers[&producer].0 + 1),
        ..BatchSpec::default()
    });
    gap.push(&Record::default());
    let refused = harness.append(&gap.finish_plain()).await;
    assert!(matches!(
        refused,
        Err(AppendError::OutOfOrderSequence { .. })
    ));
}

async fn truncate(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let span = usize::try_from(model.end() - model.start).unwrap();
    let offset = model.end() - (model.random.below(span + 1) / 4) as i64;
    model.batches.retain(|batch| batch.last < offset);
    model.durable = model.durable.min(model.end());
    model.producers.clear();
    for batch in &model.batches {
        let state = model.producers.entry(batch.producer).or_default();
        state.0 += batch.timestamps.len() as i32;
        state.1 = Some((batch.sent.clone(), batch.base));
    }
    assert_eq!(harness.truncate(Offset(offset)).await.0, model.end());
    model.start = model.start.min(model.end());
    assert_eq!(harness.log.view().high_watermark.0, model.durable);
}

async fn read(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let offset =
        model.start - 1 + model.random.below((model.end() - model.start + 3) as usize) as i64;
    let spec = ReadSpec {
        offset: Offset(offset),
        bytes_max: [0, 100, 5000, 60_000][model.random.below(4)],
        min_one: model.random.chance(0.7),
        upper: harness.log.view().high_watermark,
    };
    let result = harness.read(spec).await;
    if offset < model.start || offset > model.end() {
        assert!(
            matches!(result, Err(ReadError::OutOfRange { .. })),
            "{offset}"
        );
        return;
    }
    let (bytes, _) = result.unwrap();
    let visible = model.visible_from(offset);
    let mut rest = bytes.as_slice();
    let mut count = 0;
    for batch in &visible {
        let Some(after) = rest.strip_prefix(batch.bytes.as_slice()) else {
            break;
        };
        rest = after;
        count += 1;
    }
    assert!(
        rest.is_empty(),
        "whole batches from {offset} on, not {} bytes more",
        rest.len()
    );
    if let Some(first) = visible.first() {
        let fits = first.bytes.len() <= spec.bytes_max;
        assert_eq!(
            count > 0,
            fits || spec.min_one,
            "{spec:?} {}",
            first.bytes.len()
        );
        assert!(bytes.len() <= spec.bytes_max || count == 1);
    }
}

async fn search(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    let records = model
        .batches
        .iter()
        .flat_map(|b| (b.base..).zip(b.timestamps.iter().copied()));
    let records: Vec<(i64, i64)> = records
        .filter(|(offset, _)| *offset >= model.start)
        .collect();
    let target = 1_700_000_000_000 + model.random.below(110_000) as i64;
    let expected = records.iter().find(|(_, timestamp)| *timestamp >= target);
    let expected = expected
        .copied()
        .filter(|(offset, _)| *offset < model.durable);
    let found = harness
        .search(TimestampQuery::AtOrAfter(TimestampMs(target)))
        .await;
    assert_eq!(found, expected, "{target}");
}

async fn step(model: &mut Model, harness: &mut Harness<MemoryDisk>) {
    match model.random.below(100) {
        0..45 => append(model, harness).await,
        45..50 => retry(model, harness).await,
        50..65 => read(model, harness).await,
        65..70 => search(model, harness).await,
        70..80 => {
            let pick = model.random.below(model.batches.len() + 1);
            let end = pick
                .checked_sub(1)
                .map_or(0, |at| model.batches[at].last + 1);
            model.durable = model.durable.max(end);
            harness.log.on_durable(Offset(model.durable));
            assert_eq!(harness.log.view().high_watermark.0, model.durable.max(0));
        }
        80..90 => {
            let blocks = model.random.below(20) as u64;
            harness.move_some(blocks, false).await;
        }
        90..93 => harness.recycle(),
        93..95 => {
            let span = (model.durable - model.start) as usize;
            model.start += model.random.below(span / 3 + 1) as i64;
            let asked = Offset(model.start);
            let start = harness
                .log
                .delete_records(asked, &mut harness.journal)
                .unwrap();
            assert_eq!(start, asked);
            harness.retain().await;
        }
        95 => truncate(model, harness).await,
        96 => {
            harness.stop_clean().await;
            model.durable = model.end();
            harness.start_clean().await;
        }
        97..99 => {
            model.durable = model.end();
            harness.start_after_kill().await;
        }
        _ => {
            let bytes = harness.log.view().bytes;
            harness.config.retention_bytes = Some(bytes * 2 / 3);
            harness.log.set_config(harness.config);
            harness.retain().await;
            harness.config.retention_bytes = None;
            harness.log.set_config(harness.config);
            model.start = harness.log.view().log_start.0;
        }
    }
    assert_eq!(harness.log.view().log_end.0, model.end());
    assert_eq!(harness.log.view().log_start.0, model.start);
}

#[test]
fn a_log_is_a_vector_of_batches() {
    for seed in 0..SEEDS {
        block_on(seed, async {
            let config = LogConfig {
                segment_bytes: 64 * 1024,
                index_interval_bytes: if seed % 2 == 0 { 4096 } else { 256 },
                segment_index_bytes: if seed % 3 == 0 { 400 } else { 1 << 20 },
                retention_ms: None,
                ..LogConfig::default()
            };
            let disk = MemoryDisk::new(seed);
            let mut harness = Harness::create(disk, "log/model-0", config).await;
            assert_eq!(harness.log.id(), partition());
            let mut model = Model {
                random: Prng::new(seed),
                batches: Vec::new(),
                durable: 0,
                start: 0,
                producers: BTreeMap::new(),
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
            eprintln!("seed {} step {}", self.seed, self.at);
        }
    }
}
