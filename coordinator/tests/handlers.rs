//! Requests and what they make of the cluster, in Kafka's codes and words.

mod cluster;

use cluster::{Cluster, topic};
use thalweg_coordinator::controller::producer_ids;
use thalweg_coordinator::controller::topics::REQUEST_PARTITIONS_MAX;
use thalweg_coordinator::controller::{Context, free, topics};
use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::metadata::image::Resource;
use thalweg_wire::ids::{NodeId, ProducerId, Uuid};
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use thalweg_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};

/// Creates one topic on a fresh cluster and gives what came of it.
fn made(wanted: CreatableTopic<'_>) -> (i16, String) {
    let mut cluster = Cluster::new();
    let answer = cluster.create(vec![wanted]);
    let result = &answer.topics[0];
    let message = result.error_message.as_deref().unwrap_or("").to_owned();
    let exists = cluster.image().topics.named(&result.name).is_some();
    assert_eq!(exists, result.error_code == 0);
    (result.error_code, message)
}

fn check(wanted: CreatableTopic<'_>, code: ErrorCode, words: &str) {
    let (found, message) = made(wanted);
    assert_eq!(found, code as i16, "{message}");
    assert!(message.contains(words), "{message}");
}

fn with_config<'a>(name: &'a str, value: Option<&'a str>) -> CreatableTopic<'a> {
    let config = CreatableTopicConfig {
        name: name.into(),
        value: value.map(Into::into),
    };
    CreatableTopic {
        configs: vec![config],
        ..topic("t", 1, 1)
    }
}

fn with_assignments(partitions: &[(i32, &[i32])]) -> CreatableTopic<'static> {
    let assignments = partitions
        .iter()
        .map(|(index, brokers)| CreatableReplicaAssignment {
            partition_index: *index,
            broker_ids: brokers.to_vec(),
        });
    CreatableTopic {
        assignments: assignments.collect(),
        ..topic("t", -1, -1)
    }
}

#[test]
fn topics_are_made_with_partitions_and_configs() {
    let mut cluster = Cluster::new();
    let answer = cluster.create(vec![CreatableTopic {
        num_partitions: 3,
        ..with_config("retention.ms", Some("1000"))
    }]);
    let result = &answer.topics[0];
    assert_eq!(
        (
            result.error_code,
            result.num_partitions,
            result.replication_factor
        ),
        (0, 3, 1)
    );
    let configs = result.configs.as_ref().unwrap();
    assert_eq!(configs.len(), 33);
    let retention = configs
        .iter()
        .find(|config| config.name == "retention.ms")
        .unwrap();
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("1000"), 1)
    );
    let image = cluster.image();
    let topic = image.topics.named("t").unwrap();
    assert_eq!(topic.id, result.topic_id);
    for partition in topic.partitions.values() {
        assert_eq!((partition.leader, partition.leader_epoch.0), (NodeId(1), 0));
        assert_eq!(partition.directories, [Uuid([7; 16])]);
    }
    assert_eq!(
        image.config(&Resource::topic("t"), "retention.ms"),
        Some("1000")
    );
}

#[test]
fn names_are_checked() {
    let wrong = ErrorCode::InvalidTopicException;
    check(
        topic("", 1, 1),
        wrong,
        "Topic name is invalid: the empty string is not allowed",
    );
    check(topic("..", 1, 1), wrong, "'.' or '..' is not allowed");
    check(
        topic("a/b", 1, 1),
        wrong,
        "other than ASCII alphanumerics, '.', '_' and '-'",
    );
    let long = "x".repeat(250);
    check(
        topic(&long, 1, 1),
        wrong,
        "is longer than the max allowed length 249",
    );
    check(
        topic("__cluster_metadata", 1, 1),
        ErrorCode::TopicAuthorizationFailed,
        "",
    );
}

#[test]
fn names_that_are_one_metric_collide() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("x.a_b", 1, 1)]);
    for other in ["x_a_b", "x.a.b", "x_a.b"] {
        let answer = cluster.create(vec![topic(other, 1, 1)]);
        let message = answer.topics[0].error_message.as_deref().unwrap();
        assert_eq!(
            message,
            format!("Topic '{other}' collides with existing topic: x.a_b")
        );
    }
    assert_eq!(
        cluster.create(vec![topic("x.a_bc", 1, 1)]).topics[0].error_code,
        0
    );
    let both = cluster.create(vec![topic("y.z", 1, 1), topic("y_z", 1, 1)]);
    assert_eq!(
        (both.topics[0].error_code, both.topics[1].error_code),
        (0, 17)
    );
}

#[test]
fn existing_and_repeated_names() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 1, 1)]);
    let again = cluster.create(vec![topic("t", 1, 1)]);
    assert_eq!(
        again.topics[0].error_code,
        ErrorCode::TopicAlreadyExists as i16
    );
    assert_eq!(
        again.topics[0].error_message.as_deref(),
        Some("Topic 't' already exists.")
    );
    let twice = cluster.create(vec![topic("u", 1, 1), topic("v", 1, 1), topic("u", 2, 1)]);
    let codes: Vec<i16> = twice.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [ErrorCode::InvalidRequest as i16, 0]);
    assert!(cluster.image().topics.named("u").is_none());
}

#[test]
fn counts_and_factors() {
    check(
        topic("t", 0, 1),
        ErrorCode::InvalidPartitions,
        "invalid non-positive value",
    );
    check(
        topic("t", -2, 1),
        ErrorCode::InvalidPartitions,
        "invalid non-positive value",
    );
    check(
        topic("t", 1, 0),
        ErrorCode::InvalidReplicationFactor,
        "must be larger than 0, or -1",
    );
    check(
        topic("t", 1, 2),
        ErrorCode::InvalidReplicationFactor,
        "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be \
         reached because only 1 broker(s) are registered.",
    );
    check(topic("t", -1, -1), ErrorCode::None, "");
    let most = i32::try_from(REQUEST_PARTITIONS_MAX).unwrap();
    check(topic("t", most, 1), ErrorCode::None, "");
    check(
        topic("t", most + 1, 1),
        ErrorCode::PolicyViolation,
        "Excessively large number",
    );
}

#[test]
fn assignments_are_checked() {
    let wrong = ErrorCode::InvalidReplicaAssignment;
    check(
        with_assignments(&[(0, &[1]), (1, &[1])]),
        ErrorCode::None,
        "",
    );
    check(
        with_assignments(&[(0, &[1]), (0, &[1])]),
        wrong,
        "Found multiple manual partition",
    );
    check(
        with_assignments(&[(1, &[1])]),
        wrong,
        "consecutive 0-based integer sequence",
    );
    check(
        with_assignments(&[(0, &[2])]),
        wrong,
        "includes broker 2, but no such broker is registered",
    );
    check(
        with_assignments(&[(0, &[1, 1])]),
        wrong,
        "includes the broker 1 more than once",
    );
    check(
        with_assignments(&[(0, &[])]),
        wrong,
        "includes an empty replica list",
    );
    let both = CreatableTopic {
        num_partitions: 1,
        ..with_assignments(&[(0, &[1])])
    };
    check(
        both,
        ErrorCode::InvalidRequest,
        "numPartitions was not set to -1",
    );
}

#[test]
fn configs_are_checked() {
    let wrong = ErrorCode::InvalidConfig;
    check(
        with_config("cleanup.policy", Some("compact")),
        ErrorCode::None,
        "",
    );
    check(
        with_config("no.such", Some("1")),
        wrong,
        "Unknown topic config name: no.such",
    );
    check(
        with_config("retention.ms", None),
        wrong,
        "Null value not supported",
    );
    check(
        with_config("compression.type", Some("brotli")),
        wrong,
        "String must be one of",
    );
    check(
        with_config("remote.log.copy.disable", Some("true")),
        wrong,
        "tiered storage is not supported",
    );
}

#[test]
fn validate_only_changes_nothing() {
    let mut cluster = Cluster::new();
    let topics = vec![topic("t", 3, 1)];
    let request = CreateTopicsRequest {
        topics,
        validate_only: true,
        ..Default::default()
    };
    let outcome = cluster.propose_create(&request);
    assert_eq!(outcome.response.topics[0].error_code, 0);
    assert_eq!(outcome.response.topics[0].num_partitions, 3);
    assert_eq!(outcome.records, []);
}

#[test]
fn defaults_come_from_the_broker() {
    let mut cluster = Cluster::new();
    cluster.set("num.partitions", "4");
    cluster.set("log.retention.hours", "2");
    let answer = cluster.create(vec![topic("t", -1, -1)]);
    assert_eq!(answer.topics[0].num_partitions, 4);
    let config = cluster.broker.topic_config(&cluster.image(), "t");
    assert_eq!(config.retention_ms, 7_200_000);
    assert_eq!(config.segment_bytes, 1 << 30);
    assert!(config.delete && !config.compact);
}

#[test]
fn configs_from_the_file_hold_where_the_request_is_silent() {
    let mut cluster = Cluster::new();
    let configs = [("retention.ms", "5"), ("segment.bytes", "2097152")];
    let configs = configs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    cluster.broker.new_topics.insert("t".to_owned(), configs);
    cluster.create(vec![with_config("retention.ms", Some("9"))]);
    let config = cluster.broker.topic_config(&cluster.image(), "t");
    assert_eq!((config.retention_ms, config.segment_bytes), (9, 2_097_152));
}

#[test]
fn first_use_makes_internal_topics_as_kafka_does() {
    let mut cluster = Cluster::new();
    cluster.set("offsets.topic.num.partitions", "5");
    let image = cluster.image();
    let mut new_id = || Uuid([9; 16]);
    let mut context = Context {
        broker: &cluster.broker,
        new_id: &mut new_id,
        charge: &mut free,
    };
    let names = ["__consumer_offsets".to_owned()];
    let outcome = topics::create_missing(&image, &names, &mut context);
    assert_eq!(outcome.response.topics[0].error_code, 0);
    cluster.commit(&outcome.records);
    let image = cluster.image();
    assert_eq!(
        image
            .topics
            .named("__consumer_offsets")
            .unwrap()
            .partitions
            .len(),
        5
    );
    let config = cluster.broker.topic_config(&image, "__consumer_offsets");
    assert!(config.compact && !config.delete);
    assert_eq!(config.segment_bytes, 104_857_600);
}

#[test]
fn topics_are_deleted_by_name_and_id() {
    let mut cluster = Cluster::new();
    cluster.create(vec![with_config("retention.ms", Some("1"))]);
    cluster.create(vec![topic("u", 1, 1)]);
    let id = cluster.image().topics.named("u").unwrap().id;
    let answer = cluster.delete(&["t", "no"], &[id, Uuid([5; 16])]);
    let codes: Vec<i16> = answer.responses.iter().map(|one| one.error_code).collect();
    let unknown = [
        ErrorCode::UnknownTopicOrPartition as i16,
        ErrorCode::UnknownTopicId as i16,
    ];
    assert_eq!(codes, [0, unknown[0], 0, unknown[1]]);
    assert_eq!(answer.responses[2].name.as_deref(), Some("u"));
    assert!(cluster.image().topics.is_empty());
    assert_eq!(
        cluster
            .image()
            .config(&Resource::topic("t"), "retention.ms"),
        None
    );
}

#[test]
fn a_name_made_again_has_another_id() {
    let mut cluster = Cluster::new();
    let first = cluster.create(vec![topic("t", 1, 1)]).topics[0].topic_id;
    cluster.delete(&["t"], &[]);
    let second = cluster.create(vec![topic("t", 1, 1)]).topics[0].topic_id;
    assert_ne!(first, second);
    assert!(cluster.image().topics.get(first).is_none());
}

#[test]
fn deletion_asked_twice_or_switched_off() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 1, 1)]);
    let id = cluster.image().topics.named("t").unwrap().id;
    let twice = cluster.delete(&["t", "t"], &[]);
    assert_eq!(twice.responses.len(), 1);
    assert_eq!(
        twice.responses[0].error_message.as_deref(),
        Some("Duplicate topic name.")
    );
    cluster.set("delete.topic.enable", "false");
    let off = cluster.delete(&["t"], &[]);
    assert_eq!(
        off.responses[0].error_code,
        ErrorCode::TopicDeletionDisabled as i16
    );
    cluster.set("delete.topic.enable", "true");
    let both = cluster.delete(&["t"], &[id]);
    let codes: Vec<i16> = both.responses.iter().map(|one| one.error_code).collect();
    assert_eq!(
        codes,
        [0, ErrorCode::InvalidRequest as i16],
        "one topic goes once"
    );
}

fn grown(count: i32, assignments: Option<Vec<Vec<i32>>>) -> (i16, String, usize) {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 2, 1)]);
    let assignments = assignments.map(|list| {
        let one = |broker_ids| CreatePartitionsAssignment { broker_ids };
        list.into_iter().map(one).collect()
    });
    let topics = vec![CreatePartitionsTopic {
        name: "t".into(),
        count,
        assignments,
    }];
    let answer = cluster.grow(&CreatePartitionsRequest {
        topics,
        ..Default::default()
    });
    let message = answer.results[0]
        .error_message
        .as_deref()
        .unwrap_or("")
        .to_owned();
    let have = cluster
        .image()
        .topics
        .named("t")
        .expect("it exists")
        .partitions
        .len();
    (answer.results[0].error_code, message, have)
}

#[test]
fn partitions_are_added_and_never_taken() {
    assert_eq!(grown(5, None), (0, String::new(), 5));
    assert_eq!(grown(3, Some(vec![vec![1]])), (0, String::new(), 3));
    let wrong = ErrorCode::InvalidPartitions as i16;
    assert_eq!(
        grown(2, None),
        (wrong, "Topic already has 2 partition(s).".to_owned(), 2)
    );
    let fewer = "The topic t currently has 2 partition(s); 1 would not be an increase.";
    assert_eq!(grown(1, None), (wrong, fewer.to_owned(), 2));
    let (code, message, _) = grown(4, Some(vec![vec![1]]));
    assert_eq!(code, ErrorCode::InvalidReplicaAssignment as i16);
    assert!(
        message.contains("only 1 assignment(s) were specified"),
        "{message}"
    );
    let (code, _, have) = grown(10_003, None);
    assert_eq!((code, have), (ErrorCode::PolicyViolation as i16, 2));
}

#[test]
fn producer_ids_come_in_blocks_and_never_twice() {
    let mut cluster = Cluster::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let outcome = producer_ids::allocate(&cluster.image(), NodeId(1)).unwrap();
        cluster.commit(&outcome.records);
        let mut block = outcome.response;
        while let Some(id) = block.take() {
            assert!(seen.insert(id));
        }
    }
    assert_eq!(seen.len(), 3_000);
    assert_eq!(cluster.image().next_producer_id, ProducerId(3_000));
    assert!(producer_ids::allocate(&cluster.image(), NodeId(9)).is_err());
}
