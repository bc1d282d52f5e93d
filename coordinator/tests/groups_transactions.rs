//! Offsets of transactions, as far as the log's records and markers say: they count when the marker has come.

mod group_world;

use group_world::{Logged, World};

use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::step::{Answer, Record};
use thalweg_wire::ids::{Offset, ProducerId};
use thalweg_wire::messages::coordinator::{encode_key, encode_value};
use thalweg_wire::messages::offset_commit_key::OffsetCommitKey;
use thalweg_wire::messages::offset_commit_value::OffsetCommitValue;
use thalweg_wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use thalweg_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};

const PLAIN: ProducerId = ProducerId::NONE;
const ONE: ProducerId = ProducerId(1);
const TWO: ProducerId = ProducerId(2);

/// Logs an offset of `t1`'s partition 0, within the producer's transaction if there is a producer.
fn log(world: &mut World, producer: ProducerId, offset: i64) {
    let key = OffsetCommitKey {
        group: "g".into(),
        topic: "t1".into(),
        partition: 0,
    };
    let value = OffsetCommitValue {
        offset,
        commit_timestamp: 1_000_000,
        ..OffsetCommitValue::default()
    };
    let record = Record {
        key: encode_key(&key).expect("a key"),
        value: Some(encode_value(&value, 3).expect("a value")),
    };
    let at = Offset(i64::try_from(world.log.len()).expect("a short log"));
    let replayed = world
        .shard
        .replay(at, producer, &record.key, record.value.as_deref());
    replayed.expect("a record");
    world.log.push(Logged { producer, record });
}

/// The offset of `t1`'s partition 0 as it is read.
fn read(world: &mut World, require_stable: bool) -> (i64, ErrorCode) {
    let request = OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: "t1".into(),
            partition_indexes: vec![0],
        }]),
        require_stable,
        ..OffsetFetchRequest::default()
    };
    let token = world.fetch(7, &request);
    let Some(Answer::Fetch(answer)) = world.answer(token) else {
        panic!("an answer");
    };
    let one = &answer.topics[0].partitions[0];
    let code = ErrorCode::from_code(one.error_code).expect("Kafka's");
    (one.committed_offset, code)
}

fn world() -> World {
    World::new(GroupConfig::default())
}

#[test]
fn an_open_transaction_is_not_read_and_is_told_of() {
    let mut world = world();
    log(&mut world, PLAIN, 5);
    log(&mut world, ONE, 6);
    assert_eq!(read(&mut world, false), (5, ErrorCode::None));
    assert_eq!(
        read(&mut world, true),
        (-1, ErrorCode::UnstableOffsetCommit)
    );
    world.shard.end_transaction(ONE, true);
    assert_eq!(read(&mut world, true), (6, ErrorCode::None));
}

#[test]
fn an_aborted_transaction_leaves_nothing() {
    let mut world = world();
    log(&mut world, PLAIN, 5);
    log(&mut world, ONE, 6);
    world.shard.end_transaction(ONE, false);
    assert_eq!(read(&mut world, true), (5, ErrorCode::None));
    // A marker that comes again, or of a producer that has nothing here, changes nothing.
    world.shard.end_transaction(ONE, true);
    world.shard.end_transaction(TWO, true);
    assert_eq!(read(&mut world, true), (5, ErrorCode::None));
}

#[test]
fn the_later_record_wins_not_the_later_marker() {
    let mut world = world();
    log(&mut world, ONE, 6);
    log(&mut world, TWO, 7);
    log(&mut world, PLAIN, 8);
    world.shard.end_transaction(TWO, true);
    world.shard.end_transaction(ONE, true);
    assert_eq!(read(&mut world, true), (8, ErrorCode::None));
}

#[test]
fn a_deleted_offset_does_not_come_back_with_its_transaction() {
    let mut world = world();
    log(&mut world, ONE, 6);
    let request = OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "t1".into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    world.delete_offsets(0, &request);
    assert_eq!(world.log.len(), 2, "a tombstone for what is pending alone");
    world.shard.end_transaction(ONE, true);
    assert_eq!(read(&mut world, true), (-1, ErrorCode::None));
}

#[test]
fn a_group_with_an_open_transaction_does_not_expire() {
    let mut world = world();
    log(&mut world, PLAIN, 5);
    log(&mut world, ONE, 6);
    world.pass(8 * 24 * 3_600 * 1_000);
    assert_eq!(world.shard.group_ids().count(), 1);
    world.shard.end_transaction(ONE, false);
    world.pass(600_000);
    assert_eq!(world.shard.group_ids().count(), 0);
}
