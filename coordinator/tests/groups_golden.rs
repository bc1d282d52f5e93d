//! Our records of `__consumer_offsets` against those that the classes in Apache Kafka 4.3.0's jars make of the
//! same groups and offsets.
//!
//! `golden/groups.tsv` holds them: what it is, the key's bytes, the value's bytes or `-`.

mod group_world;

use std::fmt::Write as _;

use group_world::World;

use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::step::Record;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};

const GOLDEN: &str = include_str!("golden/groups.tsv");
const MEMBER: &str = "client-00000000-0000-4000-8000-000000000001";

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("text takes everything");
    }
    text
}

fn line(name: &str, record: &Record) -> String {
    let value = record.value.as_deref().map_or("-".to_owned(), hex);
    format!("{name}\t{}\t{value}", hex(&record.key))
}

fn commit(world: &mut World, version: i16, epoch: i32, metadata: Option<&'static str>) {
    let partition = OffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 42,
        committed_leader_epoch: epoch,
        committed_metadata: metadata.map(Into::into),
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t1".into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        retention_time_ms: if version == 4 { 3_600_000 } else { -1 },
        ..OffsetCommitRequest::default()
    };
    world.commit(version, &request);
}

/// A member joins, is assigned everything and leaves.
fn live(world: &mut World) {
    let subscription = b"\0\x01\0\0\0\x01\0\x02t1\xff\xff\xff\xff\0\0\0\0";
    let join = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: subscription[..].into(),
        }],
        ..JoinGroupRequest::default()
    };
    world.join(3, &join);
    world.pass(0);
    let sync = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: MEMBER.into(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: MEMBER.into(),
            assignment: b"all"[..].into(),
        }],
        ..SyncGroupRequest::default()
    };
    world.sync(4, &sync);
    let leave = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![MemberIdentity {
            member_id: MEMBER.into(),
            ..MemberIdentity::default()
        }],
        ..LeaveGroupRequest::default()
    };
    world.leave(5, &leave);
}

#[test]
fn records_are_byte_for_byte_kafkas() {
    let config = GroupConfig {
        initial_rebalance_delay_ms: 0,
        ..GroupConfig::default()
    };
    let mut world = World::new(config);
    live(&mut world);
    commit(&mut world, 9, 7, Some("note"));
    commit(&mut world, 9, -1, None);
    commit(&mut world, 4, -1, Some("note"));
    world.delete_groups(&["g"]);
    let names = [
        "new group",
        "generation",
        "empty generation",
        "offset",
        "offset without epoch",
        "offset that expires",
        "offset tombstone",
        "group tombstone",
    ];
    assert_eq!(world.log.len(), names.len());
    let ours = names.iter().zip(&world.log);
    let mut ours: Vec<String> = ours
        .map(|(name, entry)| line(name, &entry.record))
        .collect();
    let mut theirs: Vec<&str> = GOLDEN.lines().collect();
    ours.sort();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn records_of_every_version_are_read() {
    // The same offset as Kafka wrote it over the years, and under the key type of 0.8.
    let cases: [(&[u8], &[u8]); 5] = [
        (
            b"\0\0\0\x01g\0\x02t1\0\0\0\x03",
            b"\0\0\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0\0\0\x07",
        ),
        (
            b"\0\x01\0\x01g\0\x02t1\0\0\0\x03",
            b"\0\0\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0\0\0\x07",
        ),
        (
            b"\0\x01\0\x01g\0\x02t1\0\0\0\x03",
            b"\0\x01\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09",
        ),
        (
            b"\0\x01\0\x01g\0\x02t1\0\0\0\x03",
            b"\0\x02\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0\0\0\x07",
        ),
        (
            b"\0\x01\0\x01g\0\x02t1\0\0\0\x03",
            b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x05\0\0\0\0\0\0\0\0\0\x07",
        ),
    ];
    for (key, value) in cases {
        let mut shard = World::new(GroupConfig::default()).shard;
        let none = thalweg_wire::ids::ProducerId::NONE;
        let at = thalweg_wire::ids::Offset(0);
        shard
            .replay(at, none, key, Some(value))
            .expect("a record of Kafka's");
        let logged = shard.logged_group("g").expect("the group");
        let committed = logged.offsets.get("t1", 3).expect("the offset");
        assert_eq!((committed.offset, committed.commit_timestamp), (42, 7));
        shard.replay(at, none, key, None).expect("a tombstone");
        assert!(
            shard
                .logged_group("g")
                .expect("the group")
                .offsets
                .is_empty()
        );
    }
}

#[test]
fn records_that_cannot_be_read_change_nothing_and_those_of_others_are_passed_over() {
    let mut shard = World::new(GroupConfig::default()).shard;
    let none = thalweg_wire::ids::ProducerId::NONE;
    let at = thalweg_wire::ids::Offset(0);
    let bad: [(&[u8], Option<&[u8]>); 5] = [
        (b"", None),
        (b"\0", None),
        (b"\0\x01\0\x01g", None),
        (b"\0\x02\0\x01g", Some(b"\0\x63")),
        (b"\0\x02\0\x01g", Some(b"\0\x03\x7f\xff")),
    ];
    for (key, value) in bad {
        assert!(shard.replay(at, none, key, value).is_err(), "{key:?}");
    }
    shard
        .replay(at, none, b"\0\x0banything", Some(b"\0\0"))
        .expect("passed over");
    assert_eq!(shard.group_ids().count(), 0);
}
