//! Batches as Apache Kafka's own classes write them (`tests/golden/batches`): read, checked, and
//! where our builder can say the same, built to the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

use std::path::PathBuf;

use thalweg_wire::batch::{
    BatchBuilder, BatchError, BatchRef, BatchSpec, CheckLimits, Codec, CompressedCheck,
    ControlRecord, ControlType, Origin, Record, Records, Scratch, check_produce, control_batch,
    inflate, marker_batch, split,
};
use thalweg_wire::ids::{Epoch, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const TIME: i64 = 1_700_000_000_000;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/batches")
        .join(format!("{name}.bin"));
    std::fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

fn limits(origin: Origin) -> CheckLimits {
    CheckLimits {
        origin,
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 24,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: None,
    }
}

/// The records that `MakeBatches.java` puts into its data batches.
struct Made {
    time: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn made(index: i64) -> Made {
    Made {
        time: TIME + (index * 37) % 101,
        key: (index % 3 != 0).then(|| format!("key-{index}")),
        value: (index % 7 != 0)
            .then(|| format!("value {index}{}end", " ".repeat((index % 50) as usize))),
        headers: if index % 5 == 0 {
            vec![
                (format!("h{index}"), Some(vec![1, 2, 3])),
                ("null".into(), None),
            ]
        } else {
            Vec::new()
        },
    }
}

fn assert_records(batch: &BatchRef<'_>, codec: Codec) {
    let count = batch.header().record_count();
    let plain = inflate(codec, batch.payload(), 1 << 24, &mut Scratch::default()).unwrap();
    let mut records = Records::new(&plain, count);
    let mut index = 0;
    for record in records.by_ref() {
        let record = record.unwrap();
        let expected = made(index);
        assert_eq!(i64::from(record.offset_delta), index);
        let time = batch.header().base_timestamp().0 + record.timestamp_delta;
        assert_eq!(time, expected.time);
        assert_eq!(record.key, expected.key.as_ref().map(|key| key.as_bytes()));
        assert_eq!(
            record.value,
            expected.value.as_ref().map(|value| value.as_bytes())
        );
        let headers: Vec<_> = record
            .headers()
            .map(|header| {
                let key = String::from_utf8(header.key.to_vec()).unwrap();
                (key, header.value.map(<[u8]>::to_vec))
            })
            .collect();
        assert_eq!(headers, expected.headers);
        index += 1;
    }
    assert_eq!(index, i64::from(count));
    assert!(records.rest().is_empty());
}

#[test]
fn every_codec_is_read_and_checked() {
    let mut scratch = Scratch::default();
    for (name, codec, count) in [
        ("java-data-none", Codec::None, 100),
        ("java-data-gzip", Codec::Gzip, 100),
        ("java-data-snappy", Codec::Snappy, 100),
        ("java-data-lz4", Codec::Lz4, 100),
        ("java-data-zstd", Codec::Zstd, 100),
        ("java-large-gzip", Codec::Gzip, 2000),
        ("java-large-snappy", Codec::Snappy, 2000),
        ("java-large-lz4", Codec::Lz4, 2000),
        ("java-large-zstd", Codec::Zstd, 2000),
    ] {
        let bytes = golden(name);
        let batch = BatchRef::first(&bytes).unwrap();
        assert!(batch.crc_matches(), "{name}");
        assert_records(&batch, codec);
        let summary = check_produce(&bytes, &limits(Origin::Client), &mut scratch).unwrap();
        assert_eq!(summary.codec, codec, "{name}");
        assert_eq!(summary.record_count, count, "{name}");
        assert_eq!(summary.last_offset_delta, count - 1, "{name}");
        assert_eq!(summary.base_timestamp, TimestampMs(TIME), "{name}");
        assert_eq!(
            summary.max_timestamp,
            batch.header().max_timestamp(),
            "{name}"
        );
        assert_eq!(summary.bytes, bytes.len(), "{name}");
        assert_eq!(summary.last_sequence(), Sequence::NONE, "{name}");
    }
}

#[test]
fn our_builder_says_the_same() {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for index in 0..100 {
        let record = made(index);
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        builder.push(&Record {
            timestamp: TimestampMs(record.time),
            key: record.key.as_ref().map(|key| key.as_bytes()),
            value: record.value.as_ref().map(|value| value.as_bytes()),
            headers: &headers,
        });
    }
    assert_eq!(builder.finish().unwrap(), golden("java-data-none"));

    let mut builder = BatchBuilder::new(BatchSpec {
        transactional: true,
        producer_id: ProducerId(4711),
        producer_epoch: ProducerEpoch(3),
        base_sequence: Sequence(7),
        ..BatchSpec::default()
    });
    for (time, value) in [(TIME, b"v"), (TIME + 1, b"w")] {
        builder.push(&Record {
            timestamp: TimestampMs(time),
            key: Some(b"k"),
            value: Some(value),
            headers: &[],
        });
    }
    assert_eq!(builder.finish().unwrap(), golden("java-transactional"));
}

#[test]
fn markers_are_kafkas() {
    for (name, commit) in [("java-marker-commit", true), ("java-marker-abort", false)] {
        let producer = (ProducerId(4711), ProducerEpoch(3));
        let ours = marker_batch(producer, Epoch(9), commit, TimestampMs(TIME));
        assert_eq!(ours, golden(name), "{name}");
        let refusal = check_produce(&ours, &limits(Origin::Client), &mut Scratch::default());
        assert!(matches!(refusal, Err(BatchError::Control)), "{name}");
        let own = check_produce(&ours, &limits(Origin::Coordinator), &mut Scratch::default());
        assert!(own.unwrap().is_control(), "{name}");
    }
}

#[test]
fn control_batches_are_kafkas() {
    for name in ["java-leader-change", "java-snapshot-head"] {
        let bytes = golden(name);
        let batch = BatchRef::first(&bytes).unwrap();
        assert!(batch.header().attributes().is_control(), "{name}");
        let records: Vec<_> = Records::new(batch.payload(), batch.header().record_count())
            .map(|record| {
                let record = record.unwrap();
                let control_type = ControlType::of_key(record.key.unwrap()).unwrap();
                let value = record.value.unwrap();
                ControlRecord {
                    control_type,
                    value,
                }
            })
            .collect();
        let expected = match name {
            "java-leader-change" => vec![ControlType::LeaderChange],
            _ => vec![
                ControlType::SnapshotHeader,
                ControlType::KRaftVersion,
                ControlType::KRaftVoters,
                ControlType::SnapshotFooter,
            ],
        };
        let types: Vec<_> = records.iter().map(|record| record.control_type).collect();
        assert_eq!(types, expected, "{name}");
        let spec = BatchSpec {
            leader_epoch: batch.header().leader_epoch(),
            ..BatchSpec::default()
        };
        assert_eq!(
            control_batch(spec, TimestampMs(TIME), &records),
            bytes,
            "{name}"
        );
    }
}

#[test]
fn append_time_is_for_brokers() {
    let bytes = golden("java-append-time");
    let refusal = check_produce(&bytes, &limits(Origin::Client), &mut Scratch::default());
    assert!(matches!(refusal, Err(BatchError::AppendTime)));
}

#[test]
fn logs_are_split_into_batches() {
    let first = golden("java-data-none");
    let second = golden("java-data-lz4");
    let log = [first.as_slice(), second.as_slice(), &second[..70]].concat();
    let mut batches = split(&log);
    assert_eq!(batches.next().unwrap().unwrap().bytes(), first);
    assert_eq!(batches.next().unwrap().unwrap().bytes(), second);
    assert!(batches.next().unwrap().is_err());
    assert!(batches.next().is_none());
    assert_eq!(batches.position(), first.len() + second.len());
}
