//! Directories as Apache Kafka writes them, both ways: the files of one that Kafka 4.3.0 made are
//! made again byte for byte from its batches, and it is loaded and served.
//!
//! With `THALWEG_EXPORT_DIR` set, the directory that a run of ours leaves behind is copied there,
//! for a look with `org.apache.kafka.tools.DumpLogSegments`.

#![expect(clippy::unwrap_used, reason = "a test")]

mod log_harness;

use std::path::{Path, PathBuf};

use log_harness::{Harness, summary_of};
use thalweg_storage::disk::Disk;
use thalweg_storage::disk::memory::MemoryDisk;
use thalweg_storage::files::{checkpoint, epochs, meta, producers};
use thalweg_storage::log::{
    AppendContext, EndTxn, Found, Loaded, Log, LogConfig, LogSpec, Origin, ReadSpec,
    TimestampQuery, Verification,
};
use thalweg_storage::testing::executor::block_on;
use thalweg_wire::batch::{BatchBuilder, BatchRef, BatchSpec, BatchSummary, Codec, Record, split};
use thalweg_wire::ids::{
    Epoch, NodeId, Offset, PartitionId, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    TimestampMs,
};

const DIR: &str = "log/golden-0";
const LOGS: [&str; 3] = [
    "00000000000000000000.log",
    "00000000000000000027.log",
    "00000000000000000033.log",
];
/// Records and markers in the fixture.
const END: i64 = 46;

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3.0");
    std::fs::read(root.join(name)).unwrap()
}

fn fixture_names() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-4.3.0/golden-0");
    let names = std::fs::read_dir(root).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// As the fixture's topic was configured; its producers are from the year 2023.
fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2500,
        index_interval_bytes: 200,
        producer_expiration_ms: i64::MAX,
        retention_ms: None,
        ..LogConfig::default()
    }
}

fn spec() -> LogSpec {
    LogSpec {
        id: PartitionId {
            topic: meta::decode_partition_metadata(&fixture("golden-0/partition.metadata"))
                .unwrap(),
            index: PartitionIndex(0),
        },
        dir: PathBuf::from(DIR),
        config: config(),
        now: TimestampMs(1_795_000_000_000),
    }
}

/// A disk with the fixture's files, but for those that `without` names.
async fn disk_with_fixture(without: &[&str]) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    disk.create_dir(Path::new(DIR)).await.unwrap();
    for name in fixture_names() {
        if !without.iter().any(|suffix| name.ends_with(suffix)) {
            let path = Path::new(DIR).join(&name);
            let bytes = fixture(&format!("golden-0/{name}"));
            disk.replace_file(&path, &bytes).await.unwrap();
        }
    }
    disk
}

async fn files_of(disk: &MemoryDisk, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in disk.list(dir).await.unwrap() {
        let bytes = disk.read_file(&dir.join(&entry.name)).await.unwrap();
        files.push((entry.name, bytes));
    }
    files
}

fn summary(batch: &BatchRef<'_>) -> BatchSummary {
    let header = batch.header();
    BatchSummary {
        bytes: batch.bytes().len(),
        attributes: header.attributes(),
        codec: Codec::None,
        record_count: header.record_count(),
        last_offset_delta: header.last_offset_delta(),
        base_timestamp: header.base_timestamp(),
        max_timestamp: header.max_timestamp(),
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
    }
}

#[test]
fn kafkas_batches_make_kafkas_files() {
    block_on(1, async {
        let disk = MemoryDisk::new(1);
        let mut harness = Harness::create(disk, DIR, config()).await;
        harness.log = Log::create(spec());
        for name in LOGS {
            let bytes = fixture(&format!("golden-0/{name}"));
            for batch in split(&bytes) {
                let batch = batch.unwrap();
                let context = AppendContext {
                    leader_epoch: Epoch(0),
                    now: TimestampMs(1_795_000_000_000),
                    origin: Origin::Replica,
                    verification: Verification::Waived,
                };
                let summary = summary(&batch);
                let journal = &mut harness.journal;
                harness
                    .log
                    .append(batch.bytes(), &summary, &context, journal)
                    .unwrap();
            }
        }
        assert_eq!(harness.log.view().log_end, Offset(END));
        assert_eq!(harness.log.view().last_stable, Offset(0));
        harness.stop_clean().await;
        assert_eq!(harness.log.view().last_stable, Offset(END));
        let files = files_of(&harness.disk, Path::new(DIR)).await;
        let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, fixture_names());
        for (name, bytes) in files {
            assert_eq!(bytes, fixture(&format!("golden-0/{name}")), "{name}");
        }
    });
}

#[test]
fn kafkas_directory_is_served() {
    block_on(1, async {
        let disk = disk_with_fixture(&[]).await;
        let mut harness = Harness::create(disk, "log/other", config()).await;
        let loaded = Log::load(&harness.disk, spec(), Found::default())
            .await
            .unwrap();
        assert_eq!((loaded.repairs.len(), loaded.strays.len()), (0, 0));
        harness.log = loaded.log;
        let view = harness.log.view();
        assert_eq!((view.log_start, view.log_end), (Offset(0), Offset(END)));
        assert_eq!(
            (view.high_watermark, view.last_stable),
            (Offset(END), Offset(END))
        );
        assert_eq!(view.leader_epoch, Epoch(0));
        assert_eq!(harness.log.producer_count(), 2);
        let mut offset = 0;
        let mut read = Vec::new();
        while offset < END {
            let (bytes, _) = harness
                .read(ReadSpec {
                    offset: Offset(offset),
                    bytes_max: 700,
                    min_one: true,
                    upper: view.high_watermark,
                })
                .await
                .unwrap();
            for batch in split(&bytes) {
                offset = batch.unwrap().header().next_offset().0;
            }
            read.extend(bytes);
        }
        let all: Vec<u8> = LOGS
            .iter()
            .flat_map(|name| fixture(&format!("golden-0/{name}")))
            .collect();
        assert_eq!(read, all);
        let aborted = harness.log.aborted(Offset(0), Offset(END));
        assert_eq!(aborted.len(), 2);
        assert_eq!(harness.log.aborted(Offset(END - 1), Offset(END)).len(), 1);
        // The tenth record's time is the first at or above it.
        let found = harness
            .search(TimestampQuery::AtOrAfter(TimestampMs(1_700_000_017_500)))
            .await;
        let (offset, timestamp) = found.unwrap();
        assert!(
            timestamp >= 1_700_000_017_500 && offset < 27,
            "{offset} {timestamp}"
        );
        let earliest = harness.search(TimestampQuery::Earliest).await;
        assert_eq!(earliest, Some((0, -1)));
        assert_eq!(
            harness.search(TimestampQuery::Latest).await,
            Some((END, -1))
        );
    });
}

#[test]
fn kafkas_indexes_and_state_are_rebuilt_from_its_batches() {
    block_on(1, async {
        let lost = ["index", ".snapshot", "leader-epoch-checkpoint"];
        let disk = disk_with_fixture(&lost).await;
        let found = Found {
            unsure_from: Some(Offset(0)),
            ..Found::default()
        };
        let Loaded { log, repairs, .. } = Log::load(&disk, spec(), found).await.unwrap();
        assert_eq!(repairs.len(), 4);
        let mut images = repairs;
        images.extend(log.stop_images());
        let mut compared = 0;
        for image in images {
            let name = image.path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(image.bytes, fixture(&format!("golden-0/{name}")), "{name}");
            compared += 1;
        }
        // Two segments' indexes, then those of the active one and the four files of a stop.
        assert_eq!(compared, 4 + 3 + 3);
    });
}

#[test]
fn rot_in_kafkas_segments_is_told() {
    block_on(1, async {
        let disk = disk_with_fixture(&[]).await;
        disk.rot(&Path::new(DIR).join(LOGS[0]), 1000, 4);
        let found = Found {
            unsure_from: Some(Offset(0)),
            ..Found::default()
        };
        // The last index entry vouches for what lies before it: without it the walk is whole.
        for name in [
            "00000000000000000000.index",
            "00000000000000000000.timeindex",
        ] {
            disk.remove(&Path::new(DIR).join(name)).await.unwrap();
        }
        assert!(Log::load(&disk, spec(), found).await.is_err());
    });
}

#[test]
fn the_files_beside_are_read_and_written_as_kafka_does() {
    let meta = meta::MetaProperties::decode(&fixture("meta.properties")).unwrap();
    assert_eq!(meta.node_id, NodeId(1));
    assert_eq!(meta::MetaProperties::decode(&meta.encode()).unwrap(), meta);
    for name in [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
    ] {
        let lines = checkpoint::decode(&fixture(name)).unwrap();
        assert_eq!(checkpoint::encode(&lines), fixture(name), "{name}");
    }
    let shutdown = String::from_utf8(fixture("kafka_cleanshutdown")).unwrap();
    let epoch = shutdown.rsplit(':').next().unwrap().trim_end_matches('}');
    let ours = meta::encode_clean_shutdown(epoch.parse().unwrap());
    assert_eq!(ours, shutdown.as_bytes());
    let held = fixture("golden-0/leader-epoch-checkpoint");
    assert_eq!(epochs::encode(&epochs::decode(&held).unwrap()), held);
    for name in fixture_names()
        .iter()
        .filter(|name| name.ends_with(".snapshot"))
    {
        let bytes = fixture(&format!("golden-0/{name}"));
        let lines = producers::decode_snapshot(&bytes).unwrap();
        assert_eq!(
            producers::encode_snapshot(lines.into_iter()),
            bytes,
            "{name}"
        );
    }
}

/// A batch of a producer: its number of records, whether in a transaction.
fn batch_of(producer: i64, sequence: i32, codec: Codec, transactional: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        transactional,
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
        ..BatchSpec::default()
    });
    for at in 0..3 {
        let value = format!("value {sequence} {at} {}", "-".repeat(200));
        builder.push(&Record {
            timestamp: TimestampMs(1_700_000_000_000 + i64::from(sequence * 7 % 100)),
            key: Some(b"key"),
            value: Some(value.as_bytes()),
            headers: &[("name", Some(b"value"))],
        });
    }
    builder.finish().unwrap()
}

async fn append(harness: &mut Harness<MemoryDisk>, batch: &[u8]) {
    let context = AppendContext {
        leader_epoch: Epoch(2),
        now: TimestampMs(1_700_000_100_000),
        origin: Origin::Client,
        verification: Verification::Waived,
    };
    harness.prepare().await;
    let journal = &mut harness.journal;
    harness
        .log
        .append(batch, &summary_of(batch), &context, journal)
        .unwrap();
}

#[test]
fn a_clean_stop_leaves_what_kafka_reads() {
    block_on(1, async {
        let config = LogConfig {
            segment_bytes: 64 * 1024,
            index_interval_bytes: 1000,
            ..LogConfig::default()
        };
        let mut harness = Harness::create(MemoryDisk::new(1), "log/ours-0", config).await;
        let codecs = [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ];
        for round in 0..120 {
            let codec = codecs[round as usize % codecs.len()];
            append(&mut harness, &batch_of(1, round * 3, codec, false)).await;
            append(&mut harness, &batch_of(2, round * 3, Codec::None, true)).await;
            if round % 4 == 3 {
                let end = EndTxn {
                    producer: ProducerId(2),
                    epoch: ProducerEpoch(0),
                    coordinator_epoch: 1,
                    commit: round % 8 == 3,
                    raises_epoch: false,
                };
                let context = AppendContext {
                    leader_epoch: Epoch(2),
                    now: TimestampMs(1_700_000_100_000),
                    origin: Origin::Coordinator,
                    verification: Verification::Waived,
                };
                let journal = &mut harness.journal;
                harness.log.append_end_txn(&end, &context, journal).unwrap();
            }
            if round % 50 == 49 {
                harness.stop_clean().await;
                harness.start_clean().await;
            }
        }
        let end = harness.log.view().log_end;
        assert_eq!(end, Offset(120 * 6 + 30));
        harness.stop_clean().await;
        let files = files_of(&harness.disk, Path::new("log/ours-0")).await;
        let logs = files.iter().filter(|(name, _)| name.ends_with(".log"));
        let records: i64 = logs
            .flat_map(|(_, bytes)| split(bytes))
            .map(|batch| i64::from(batch.unwrap().header().record_count()))
            .sum();
        assert_eq!(records, end.0);
        if let Ok(target) = std::env::var("THALWEG_EXPORT_DIR") {
            for (name, bytes) in files {
                std::fs::write(Path::new(&target).join(name), bytes).unwrap();
            }
        }
    });
}
