//! Configs changed while the node runs: what was changed holds for the next record, connection or look
//! at the log, without a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::time::{Duration, Instant};

use live::{Node, PATIENCE, Peer, batch, batch_of};
use thalweg_wire::batch::BatchSpec;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::incremental_alter_configs_request as alter;
use thalweg_wire::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponseView;
use thalweg_wire::messages::list_offsets_request as offsets;
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;
use thalweg_wire::messages::metadata_request as metadata;
use thalweg_wire::messages::metadata_response::MetadataResponseView;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Sets one key; the error code.
fn set(peer: &mut Peer, kind: i8, name: &str, key: &str, value: &str) -> i16 {
    let request = alter::IncrementalAlterConfigsRequest {
        resources: vec![alter::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: vec![alter::AlterableConfig {
                name: key.into(),
                config_operation: 0,
                value: Some(value.into()),
            }],
        }],
        validate_only: false,
    };
    let reply = peer.ask(&request, 1);
    let view: IncrementalAlterConfigsResponseView<'_> = reply.view();
    view.responses.iter().next().unwrap().error_code
}

fn earliest(peer: &mut Peer, topic: &str) -> i64 {
    let request = offsets::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![offsets::ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![offsets::ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp: -2,
            }],
        }],
        ..Default::default()
    };
    let reply = peer.ask(&request, 7);
    let view: ListOffsetsResponseView<'_> = reply.view();
    let topic = view.topics.iter().next().unwrap();
    topic.partitions.iter().next().unwrap().offset
}

#[test]
fn a_topics_bounds_hold_for_the_next_record() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 2);
    let large = batch_of(BatchSpec::default(), 1, &[1; 5_000]);
    assert_eq!(peer.produce(&topic, 0, &large), (0, 0));
    assert_eq!(
        set(&mut peer, TOPIC, "topic", "max.message.bytes", "2000"),
        0
    );
    let too_large = ErrorCode::MessageTooLarge.code();
    // On every shard, and for those who are connected already.
    let mut others: Vec<Peer> = (0..4).map(|_| node.connect()).collect();
    for partition in [0, 1] {
        for other in &mut others {
            assert_eq!(other.produce(&topic, partition, &large), (too_large, -1));
        }
    }
    assert_eq!(
        set(&mut peer, TOPIC, "topic", "max.message.bytes", "9000"),
        0
    );
    assert_eq!(peer.produce(&topic, 0, &large), (0, 1));
    assert_eq!(
        set(&mut peer, TOPIC, "topic", "min.insync.replicas", "2"),
        0
    );
    let not_enough = ErrorCode::NotEnoughReplicas.code();
    assert_eq!(peer.produce(&topic, 0, &large), (not_enough, -1));
    // A default of all topics, too.
    assert_eq!(set(&mut peer, BROKER, "", "message.max.bytes", "2000"), 0);
    let other = peer.create_topic("other", 1);
    assert_eq!(peer.produce(&other, 0, &large), (too_large, -1));
    assert_eq!(peer.produce(&other, 0, &batch(1)), (0, 0));
    drop((peer, others));
    node.still_serves();
}

#[test]
fn a_live_log_is_cut_by_its_new_retention() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    assert_eq!(
        set(&mut peer, TOPIC, "topic", "segment.bytes", "1048576"),
        0
    );
    let batch = batch_of(BatchSpec::default(), 1, &vec![1; 900_000]);
    for offset in 0..4 {
        assert_eq!(peer.produce(&topic, 0, &batch), (0, offset));
    }
    assert_eq!(earliest(&mut peer, "topic"), 0);
    assert_eq!(
        set(&mut peer, TOPIC, "topic", "retention.bytes", "1000000"),
        0
    );
    let since = Instant::now();
    while earliest(&mut peer, "topic") == 0 {
        assert!(since.elapsed() < PATIENCE, "nothing is deleted");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(peer.end_offset("topic", 0), 4);
    drop(peer);
    node.still_serves();
}

#[test]
fn connection_bounds_hold_for_the_next_connection() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    assert_eq!(set(&mut peer, BROKER, "1", "max.connections", "2"), 0);
    let mut second = node.connect();
    second.ping();
    assert!(node.connect().is_closed());
    assert_eq!(
        set(&mut peer, BROKER, "1", "max.connections.per.ip", "1"),
        0
    );
    assert_eq!(set(&mut peer, BROKER, "1", "max.connections", "9"), 0);
    assert!(node.connect().is_closed());
    let overrides = "max.connections.per.ip.overrides";
    assert_eq!(set(&mut peer, BROKER, "1", overrides, "127.0.0.1:8"), 0);
    node.connect().ping();
    drop((peer, second));
    node.still_serves();
}

/// Names of a Metadata request, and the codes it was answered with.
fn ask_for(peer: &mut Peer, names: &[&str], may_create: bool) -> Vec<i16> {
    let request = metadata::MetadataRequest {
        topics: Some(
            names
                .iter()
                .map(|name| metadata::MetadataRequestTopic {
                    name: Some((*name).into()),
                    ..Default::default()
                })
                .collect(),
        ),
        allow_auto_topic_creation: may_create,
        ..Default::default()
    };
    let reply = peer.ask(&request, 12);
    let view: MetadataResponseView<'_> = reply.view();
    view.topics.iter().map(|topic| topic.error_code).collect()
}

/// kafka-notes D 13: the first answer is UNKNOWN_TOPIC_OR_PARTITION, and creation goes on behind it.
#[test]
fn topics_are_made_on_first_use_once_however_many_ask() {
    let node = Node::start(&[]);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let invalid = ErrorCode::InvalidTopicException.code();
    let mut peers: Vec<Peer> = (0..6).map(|_| node.connect()).collect();
    assert_eq!(ask_for(&mut peers[0], &["unmade"], false), [unknown]);
    assert_eq!(
        ask_for(&mut peers[0], &["a b", ".."], true),
        [invalid, invalid]
    );
    assert_eq!(ask_for(&mut peers[0], &["twice", "twice"], true), [unknown]);
    for peer in &mut peers {
        let code = ask_for(peer, &["raced"], true)[0];
        assert!(code == unknown || code == 0, "{code}");
    }
    let since = Instant::now();
    while ask_for(&mut peers[1], &["raced", "twice"], false) != [0, 0] {
        assert!(since.elapsed() < PATIENCE, "it is not made");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Where its leader is known at once.
    for peer in &mut peers {
        assert_eq!(ask_for(peer, &["raced"], true), [0]);
    }
    assert_eq!(
        ask_for(&mut peers[0], &["unmade", "a b"], false),
        [unknown, invalid]
    );
    drop(peers);
    node.still_serves();
}

#[test]
fn no_topic_is_made_where_none_may_be() {
    let node = Node::start(&["auto.create.topics.enable=false"]);
    let mut peer = node.connect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for _ in 0..20 {
        assert_eq!(ask_for(&mut peer, &["topic"], true), [unknown]);
    }
    drop(peer);
    node.still_serves();
}
