//! The image is what the log says: after any history, reading the log from its start gives the same state.

mod cluster;

use cluster::{Cluster, topic};
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::metadata::log::{LogError, LogReader, TRANSACTION_RECORDS_MAX};
use thalweg_coordinator::metadata::record::{Place, Proposed, encode_batch};
use thalweg_coordinator::metadata::replay::ReplayError;
use thalweg_wire::ids::{PartitionId, PartitionIndex, TimestampMs, Uuid};
use thalweg_wire::messages::abort_transaction_record::AbortTransactionRecord;
use thalweg_wire::messages::begin_transaction_record::BeginTransactionRecord;
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use thalweg_wire::messages::end_transaction_record::EndTransactionRecord;
use thalweg_wire::messages::feature_level_record::FeatureLevelRecord;
use thalweg_wire::messages::no_op_record::NoOpRecord;
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;
use thalweg_wire::messages::topic_record::TopicRecord;

/// xorshift: seeds stay good because it is ours.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn random_histories_replay_to_the_same_state() {
    for seed in 1..=30_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut cluster = Cluster::new();
        let mut ids = std::collections::BTreeSet::new();
        for step in 0..60 {
            let name = format!("t{}", random.below(8));
            match random.below(10) {
                0..=4 => {
                    let count = i32::try_from(1 + random.below(5)).unwrap();
                    let answer = cluster.create(vec![topic(&name, count, 1)]);
                    let made = answer.topics[0].error_code == 0;
                    if made {
                        let fresh = ids.insert(answer.topics[0].topic_id);
                        assert!(fresh, "seed {seed} step {step}: an id came twice");
                    }
                }
                5..=6 => drop(cluster.delete(&[&name], &[])),
                7..=8 => {
                    let count = i32::try_from(1 + random.below(9)).unwrap();
                    let topics = vec![CreatePartitionsTopic {
                        name: name.into(),
                        count,
                        assignments: None,
                    }];
                    cluster.grow(&CreatePartitionsRequest {
                        topics,
                        ..Default::default()
                    });
                }
                _ => cluster.start(),
            }
            check(&cluster.image(), seed, step);
        }
        let mut again = LogReader::new();
        again.apply(&cluster.log).unwrap();
        assert_eq!(*again.image(), *cluster.image(), "seed {seed}");
        assert_eq!(again.quorum(), cluster.reader.quorum(), "seed {seed}");
    }
}

/// What holds after every step.
fn check(image: &Image, seed: u64, step: i32) {
    for topic in image.topics.iter() {
        let indexes = topic.partitions.keys().map(|index| index.0);
        assert!(
            indexes.eq(0..i32::try_from(topic.partitions.len()).expect("few")),
            "seed {seed} step {step}"
        );
        assert_eq!(
            image.topics.get(topic.id).map(|t| &t.name),
            Some(&topic.name)
        );
        for partition in topic.partitions.values() {
            assert!(
                partition.isr.contains(&partition.leader),
                "seed {seed} step {step}"
            );
            assert_eq!(partition.replicas.len(), partition.directories.len());
        }
    }
    let configs = image.configs.keys().filter(|resource| resource.kind == 2);
    assert!(
        configs
            .into_iter()
            .all(|resource| image.topics.named(&resource.name).is_some())
    );
}

#[test]
fn a_published_image_never_changes() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("a", 2, 1), topic("b", 1, 1)]);
    let published = cluster.image();
    let copy = (*published).clone();
    cluster.delete(&["a"], &[]);
    cluster.start();
    assert_eq!(*published, copy);
    assert!(cluster.image().topics.named("a").is_none());
}

#[test]
fn what_did_not_change_is_shared() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("a", 2, 1)]);
    let before = cluster.image();
    cluster.create(vec![topic("b", 1, 1)]);
    let after = cluster.image();
    let of = |image: &Image| std::sync::Arc::as_ptr(image.topics.named("a").unwrap());
    assert_eq!(of(&before), of(&after));
}

fn named(name: &str, id: u8) -> Proposed {
    let record = TopicRecord {
        name: name.to_owned().into(),
        topic_id: Uuid([id; 16]),
    };
    Proposed::new(record, 0)
}

fn begin() -> Proposed {
    Proposed::new(BeginTransactionRecord { name: None }, 0)
}

#[test]
fn transactions_are_held_back() {
    let mut cluster = Cluster::new();
    cluster.commit(&[begin(), named("held", 9)]);
    assert!(cluster.reader.in_transaction());
    assert!(cluster.image().topics.named("held").is_none());
    cluster.commit(&[named("also", 8), Proposed::new(EndTransactionRecord {}, 0)]);
    assert!(cluster.image().topics.named("held").is_some());
    assert!(cluster.image().topics.named("also").is_some());
    assert_eq!(cluster.image().offset.plus(1), cluster.reader.next_offset());
}

#[test]
fn aborted_transactions_leave_nothing() {
    let mut cluster = Cluster::new();
    let abort = Proposed::new(AbortTransactionRecord { reason: None }, 0);
    cluster.commit(&[begin(), named("gone", 9), abort, named("stays", 7)]);
    assert!(cluster.image().topics.named("gone").is_none());
    assert!(cluster.image().topics.named("stays").is_some());
    // A node that stopped in the middle of one aborts it when it starts.
    cluster.commit(&[begin(), named("cut", 6)]);
    cluster.start();
    assert!(!cluster.reader.in_transaction());
    assert!(cluster.image().topics.named("cut").is_none());
}

#[test]
fn idle_records_only_move_the_offset() {
    let mut cluster = Cluster::new();
    let before = cluster.image();
    cluster.commit(&[Proposed::new(NoOpRecord {}, 0)]);
    assert_eq!(cluster.image().offset, before.offset.plus(1));
    assert_eq!(cluster.image().brokers, before.brokers);
}

fn check_refused(records: &[Proposed], refused: impl Fn(&LogError) -> bool) {
    let mut cluster = Cluster::new();
    let place = Place {
        base_offset: cluster.reader.next_offset(),
        epoch: cluster.reader.quorum().epoch,
        timestamp: TimestampMs(0),
    };
    let batch = encode_batch(records, place);
    let error = cluster
        .reader
        .apply(&batch.expect("encodes"))
        .expect_err("does not fit");
    assert!(refused(&error), "{error}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let level = |level| {
        let name = "metadata.version".into();
        Proposed::new(
            FeatureLevelRecord {
                name,
                feature_level: level,
            },
            0,
        )
    };
    check_refused(&[level(31)], |e| {
        matches!(e, LogError::Replay(_, ReplayError::MetadataVersion(31)))
    });
    check_refused(&[level(21)], |e| {
        matches!(e, LogError::Replay(_, ReplayError::MetadataVersion(21)))
    });
    let twice = [named("a", 1), named("a", 2)];
    check_refused(&twice, |e| {
        matches!(e, LogError::Replay(_, ReplayError::TopicExists(_)))
    });
    check_refused(&[begin(), begin()], |e| {
        matches!(e, LogError::Transaction(..))
    });
    let end = Proposed::new(EndTransactionRecord {}, 0);
    check_refused(&[end], |e| matches!(e, LogError::Transaction(..)));
    let change = PartitionChangeRecord {
        topic_id: Uuid([3; 16]),
        ..Default::default()
    };
    let change = Proposed::new(change, 0);
    check_refused(&[change], |e| {
        matches!(e, LogError::Replay(_, ReplayError::UnknownTopic(_)))
    });
    let change = PartitionChangeRecord {
        topic_id: Uuid([3; 16]),
        partition_id: 5,
        ..Default::default()
    };
    let id = PartitionId {
        topic: Uuid([3; 16]),
        index: PartitionIndex(5),
    };
    check_refused(
        &[named("a", 3), Proposed::new(change, 0)],
        |e| matches!(e, LogError::Replay(_, ReplayError::UnknownPartition(found)) if *found == id),
    );
}

#[test]
fn a_transaction_has_a_bound() {
    let check = |records: usize, fits: bool| {
        let mut cluster = Cluster::new();
        let mut all = vec![begin()];
        all.extend((0..records).map(|_| Proposed::new(NoOpRecord {}, 0)));
        let place = Place {
            base_offset: cluster.reader.next_offset(),
            epoch: cluster.reader.quorum().epoch,
            timestamp: TimestampMs(0),
        };
        let applied = cluster.reader.apply(&encode_batch(&all, place).unwrap());
        assert_eq!(applied.is_ok(), fits, "{applied:?}");
    };
    check(TRANSACTION_RECORDS_MAX, true);
    check(TRANSACTION_RECORDS_MAX + 1, false);
}

#[test]
fn damaged_bytes_are_errors_and_never_panics() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("a", 3, 1)]);
    let log = cluster.log.clone();
    for at in 0..log.len() {
        let mut bytes = log.clone();
        bytes[at] ^= 0x41;
        let _ = LogReader::new().apply(&bytes);
        let _ = LogReader::new().apply(&log[..at]);
    }
    let mut gap = LogReader::new();
    let second = thalweg_wire::batch::split(&log)
        .next()
        .unwrap()
        .unwrap()
        .bytes()
        .len();
    assert!(matches!(
        gap.apply(&log[second..]),
        Err(LogError::Gap { .. })
    ));
    let mut flipped = log.clone();
    flipped[70] ^= 1;
    assert!(matches!(
        LogReader::new().apply(&flipped),
        Err(LogError::Checksum(_))
    ));
}
