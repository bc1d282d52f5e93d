//! Configs and features changed, at every seam: what is answered, what is written, what then holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;

use cluster::{Cluster, topic};
use thalweg_coordinator::answer::config_resources;
use thalweg_coordinator::answer::quorum::{self, Leading};
use thalweg_coordinator::configs::describe;
use thalweg_coordinator::controller::configs::{CHANGES_MAX, incremental, legacy};
use thalweg_coordinator::controller::features::update;
use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::metadata::image::Resource;
use thalweg_coordinator::metadata::record::Proposed;
use thalweg_wire::bytes::Message;
use thalweg_wire::ids::{NodeId, Offset, TimestampMs};
use thalweg_wire::messages::metadata::MetadataRecord;
use thalweg_wire::messages::{
    alter_configs_request as alter, describe_configs_request as asked,
    describe_quorum_request as voters, incremental_alter_configs_request as increment,
    list_config_resources_request as list, update_features_request as features,
};

const TOPIC: i8 = Resource::TOPIC;
const BROKER: i8 = Resource::BROKER;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource<'a>(
    kind: i8,
    name: &'a str,
    changes: &[Change<'a>],
) -> increment::AlterConfigsResource<'a> {
    increment::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: changes
            .iter()
            .map(|(name, op, value)| increment::AlterableConfig {
                name: (*name).into(),
                config_operation: *op,
                value: value.map(Into::into),
            })
            .collect(),
    }
}

fn shown(code: i16, message: Option<&str>) -> String {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => "done".to_owned(),
        Some(code) => format!("{}: {}", code.name(), message.unwrap_or("")),
        None => format!("{code}"),
    }
}

/// Sends an IncrementalAlterConfigs request; what was answered and proposed.
fn propose(
    cluster: &Cluster,
    resources: Vec<increment::AlterConfigsResource<'_>>,
    validate_only: bool,
) -> (Vec<String>, Vec<Proposed>) {
    let request = increment::IncrementalAlterConfigsRequest {
        resources,
        validate_only,
    };
    let bytes = request.to_bytes(1).unwrap();
    let view = increment::IncrementalAlterConfigsRequestView::decode(&bytes, 1).unwrap();
    let outcome = incremental(&cluster.image(), &cluster.broker, &view);
    let rows = outcome.response.responses.iter();
    let rows = rows.map(|row| shown(row.error_code, row.error_message.as_deref()));
    (rows.collect(), outcome.records)
}

/// Changes one resource and lets the change hold.
fn change(cluster: &mut Cluster, kind: i8, name: &str, changes: &[Change<'_>]) -> String {
    let (rows, records) = propose(cluster, vec![resource(kind, name, changes)], false);
    cluster.commit(&records);
    rows[0].clone()
}

fn replace(cluster: &mut Cluster, kind: i8, name: &str, set: &[(&str, Option<&str>)]) -> String {
    let request = alter::AlterConfigsRequest {
        resources: vec![alter::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: set
                .iter()
                .map(|(name, value)| alter::AlterableConfig {
                    name: (*name).into(),
                    value: value.map(Into::into),
                })
                .collect(),
        }],
        validate_only: false,
    };
    let bytes = request.to_bytes(2).unwrap();
    let view = alter::AlterConfigsRequestView::decode(&bytes, 2).unwrap();
    let outcome = legacy(&cluster.image(), &cluster.broker, &view);
    cluster.commit(&outcome.records);
    let row = &outcome.response.responses[0];
    shown(row.error_code, row.error_message.as_deref())
}

fn value(cluster: &Cluster, resource: &Resource, key: &str) -> Option<String> {
    cluster.image().config(resource, key).map(str::to_owned)
}

fn with_topic() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 1, 1)]);
    for key in [
        "log.retention.ms",
        "log.retention.bytes",
        "min.insync.replicas",
    ] {
        cluster.set(key, "1");
    }
    cluster
}

#[test]
fn topics_keep_what_is_set_until_it_is_taken_away() {
    let mut cluster = with_topic();
    let t = Resource::topic("t");
    let retention = |value| ("retention.ms", SET, Some(value));
    assert_eq!(
        change(&mut cluster, TOPIC, "t", &[retention("1000")]),
        "done"
    );
    assert_eq!(value(&cluster, &t, "retention.ms").as_deref(), Some("1000"));
    let config = cluster.broker.topic_config(&cluster.image(), "t");
    assert_eq!(config.retention_ms, 1000);
    let policy = |op, value| ("cleanup.policy", op, Some(value));
    assert_eq!(
        change(&mut cluster, TOPIC, "t", &[policy(APPEND, "compact")]),
        "done"
    );
    assert_eq!(
        value(&cluster, &t, "cleanup.policy").as_deref(),
        Some("delete,compact")
    );
    assert_eq!(
        change(&mut cluster, TOPIC, "t", &[policy(SUBTRACT, "delete")]),
        "done"
    );
    assert_eq!(
        value(&cluster, &t, "cleanup.policy").as_deref(),
        Some("compact")
    );
    assert_eq!(
        change(
            &mut cluster,
            TOPIC,
            "t",
            &[("cleanup.policy", DELETE, None)]
        ),
        "done"
    );
    assert_eq!(value(&cluster, &t, "cleanup.policy"), None);
    // One wrong key, and nothing of the resource changes.
    let both = [retention("5"), ("segment.bytes", SET, Some("1"))];
    assert!(change(&mut cluster, TOPIC, "t", &both).starts_with("INVALID_CONFIG: "));
    assert_eq!(value(&cluster, &t, "retention.ms").as_deref(), Some("1000"));
    assert_eq!(
        replace(&mut cluster, TOPIC, "t", &[("segment.ms", Some("60000"))]),
        "done"
    );
    assert_eq!(value(&cluster, &t, "retention.ms"), None);
    assert_eq!(value(&cluster, &t, "segment.ms").as_deref(), Some("60000"));
}

#[test]
fn refusals_are_kafkas_and_reach_the_resource_alone() {
    let mut cluster = with_topic();
    let mut topic = |name: &str, changes: &[Change<'_>]| change(&mut cluster, TOPIC, name, changes);
    let set = |name, value| (name, SET, Some(value));
    assert_eq!(
        topic("t", &[set("nosuch", "1")]),
        "INVALID_CONFIG: Unknown topic config name: nosuch"
    );
    assert_eq!(topic("t", &[("nosuch", DELETE, None)]), "done");
    assert_eq!(
        topic("t", &[("retention.ms", APPEND, Some("5"))]),
        "INVALID_CONFIG: Can't APPEND to key retention.ms because its type is not LIST."
    );
    assert_eq!(
        topic("t", &[("retention.ms", 7, Some("5"))]),
        "INVALID_REQUEST: Unknown operations type 7"
    );
    assert_eq!(
        topic("t", &[set("retention.ms", "5"), set("retention.ms", "6")]),
        "INVALID_REQUEST: Error due to duplicate config keys"
    );
    assert_eq!(
        topic(
            "t",
            &[("retention.ms", SET, None), ("segment.ms", SET, None)]
        ),
        "INVALID_REQUEST: Null value not supported for : retention.ms, segment.ms"
    );
    assert_eq!(
        topic("", &[]),
        "INVALID_REQUEST: Default topic resources are not allowed."
    );
    assert_eq!(
        topic("no", &[]),
        "UNKNOWN_TOPIC_OR_PARTITION: The topic 'no' does not exist."
    );
    assert!(topic("a b", &[]).starts_with("INVALID_TOPIC_EXCEPTION: "));
    let long = "9".repeat(32_767);
    assert!(topic("t", &[("cleanup.policy", APPEND, Some(&long))]).contains("more than 32767"));
    let good = resource(TOPIC, "t", &[set("retention.ms", "5")]);
    let (rows, records) = propose(&cluster, vec![resource(3, "t", &[]), good.clone()], false);
    assert_eq!(rows, ["INVALID_REQUEST: Unknown resource type 3", "done"]);
    assert_eq!(records.len(), 1);
    let (rows, records) = propose(&cluster, vec![good.clone(), good.clone()], false);
    assert!(
        rows.iter()
            .all(|row| row.contains("Each resource must appear at most once."))
    );
    assert!(records.is_empty());
    let (rows, records) = propose(&cluster, vec![good], true);
    assert_eq!(
        (rows[0].as_str(), records.len()),
        ("done", 0),
        "only validated"
    );
}

#[test]
fn a_request_has_its_limit() {
    let cluster = with_topic();
    let names: Vec<String> = (0..CHANGES_MAX)
        .map(|number| format!("k{number}"))
        .collect();
    let changes: Vec<Change<'_>> = names
        .iter()
        .map(|name| (name.as_str(), DELETE, None))
        .collect();
    let (rows, _) = propose(&cluster, vec![resource(TOPIC, "t", &changes[1..])], false);
    assert_eq!(rows, ["done"]);
    let (rows, records) = propose(&cluster, vec![resource(TOPIC, "t", &changes)], false);
    assert_eq!((rows[0].as_str(), records.len()), ("POLICY_VIOLATION: ", 0));
}

#[test]
fn brokers_take_dynamic_keys_of_their_own_and_of_all() {
    let mut cluster = with_topic();
    let retention = |value| ("log.retention.ms", SET, Some(value));
    assert_eq!(
        change(&mut cluster, BROKER, "1", &[retention("7000")]),
        "done"
    );
    assert_eq!(
        change(&mut cluster, BROKER, "", &[retention("9000")]),
        "done"
    );
    let config = |cluster: &Cluster| {
        cluster
            .broker
            .topic_config(&cluster.image(), "t")
            .retention_ms
    };
    assert_eq!(config(&cluster), 7000, "its own is stronger");
    assert_eq!(
        change(
            &mut cluster,
            BROKER,
            "1",
            &[("log.retention.ms", DELETE, None)]
        ),
        "done"
    );
    assert_eq!(config(&cluster), 9000);
    // Written again although nothing changes: brokers look again.
    let (_, records) = propose(
        &cluster,
        vec![resource(BROKER, "", &[retention("9000")])],
        false,
    );
    assert_eq!(records.len(), 1);
}

#[test]
fn a_broker_speaks_for_itself_and_takes_what_it_knows() {
    let mut cluster = with_topic();
    assert_eq!(
        change(&mut cluster, BROKER, "2", &[]),
        "INVALID_REQUEST: Unexpected broker id, expected 1, but received 2"
    );
    assert_eq!(
        change(&mut cluster, BROKER, "x", &[]),
        "INVALID_REQUEST: Node id must be an integer, but it is: x"
    );
    assert_eq!(
        change(
            &mut cluster,
            BROKER,
            "",
            &[("log.retention.ms", APPEND, Some("1"))]
        ),
        "INVALID_CONFIG: Config value append is not allowed for config key: log.retention.ms"
    );
    assert!(
        change(&mut cluster, BROKER, "", &[("nosuch", SET, Some("1"))])
            .starts_with("INVALID_CONFIG")
    );
    let (rows, records) = propose(
        &cluster,
        vec![resource(BROKER, "", &[("nosuch", DELETE, None)])],
        false,
    );
    assert_eq!((rows[0].as_str(), records.len()), ("done", 0));
    assert_eq!(
        replace(
            &mut cluster,
            BROKER,
            "1",
            &[("log.retention.ms", Some("5"))]
        ),
        "done"
    );
    assert_eq!(replace(&mut cluster, BROKER, "1", &[]), "done");
    assert_eq!(
        value(&cluster, &Resource::broker(NodeId(1)), "log.retention.ms"),
        None
    );
}

#[test]
fn eligible_replicas_fix_where_the_least_in_sync_is_set() {
    let mut cluster = with_topic();
    let min = |op, value| [("min.insync.replicas", op, value)];
    assert_eq!(
        change(&mut cluster, BROKER, "1", &min(SET, Some("1"))),
        "INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled."
    );
    let removed =
        "INVALID_CONFIG: Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
    assert_eq!(
        change(&mut cluster, BROKER, "", &min(DELETE, None)),
        removed
    );
    assert_eq!(replace(&mut cluster, BROKER, "", &[]), removed);
    for (kind, name) in [(BROKER, ""), (TOPIC, "t")] {
        let (rows, records) = propose(
            &cluster,
            vec![resource(kind, name, &min(SET, Some("2")))],
            false,
        );
        assert_eq!(rows, ["done"]);
        let MetadataRecord::ClearElr(clear) = &records[1].record else {
            panic!("{records:?}");
        };
        assert_eq!(clear.topic_name, name);
        cluster.commit(&records);
    }
    assert_eq!(
        raise(&mut cluster, "eligible.leader.replicas.version", 0, 2),
        "done"
    );
    assert_eq!(
        change(&mut cluster, BROKER, "1", &min(SET, Some("1"))),
        "done"
    );
    assert_eq!(change(&mut cluster, BROKER, "", &min(DELETE, None)), "done");
    // Back to it: the cluster gets a value, the broker loses its own.
    assert_eq!(
        raise(&mut cluster, "eligible.leader.replicas.version", 1, 1),
        "done"
    );
    let all = Resource::broker_default();
    assert_eq!(
        value(&cluster, &all, "min.insync.replicas").as_deref(),
        Some("1")
    );
    assert_eq!(
        value(
            &cluster,
            &Resource::broker(NodeId(1)),
            "min.insync.replicas"
        ),
        None
    );
}

fn raise(cluster: &mut Cluster, feature: &str, level: i16, how: i8) -> String {
    let request = features::UpdateFeaturesRequest {
        feature_updates: vec![features::FeatureUpdateKey {
            feature: feature.into(),
            max_version_level: level,
            upgrade_type: how,
            ..Default::default()
        }],
        ..Default::default()
    };
    let bytes = request.to_bytes(2).unwrap();
    let view = features::UpdateFeaturesRequestView::decode(&bytes, 2).unwrap();
    let (image, quorum) = (cluster.image(), cluster.reader.quorum().clone());
    let outcome = update((&image, &quorum), &cluster.broker, &view, 2);
    cluster.commit(&outcome.records);
    let words = shown(
        outcome.response.error_code,
        outcome.response.error_message.as_deref(),
    );
    let (_, why) = words
        .split_once("following feature had an error: ")
        .unwrap_or(("", &words));
    why.to_owned()
}

#[test]
fn features_move_by_kafkas_rules() {
    let mut cluster = Cluster::new();
    let mut raise = |name: &str, level, how| raise(&mut cluster, name, level, how);
    let wrong = |level: i16, name: &str, why: &str| {
        format!("Invalid update version {level} for feature {name}. {why}")
    };
    let metadata = "metadata.version";
    assert_eq!(raise(metadata, 30, 1), "done");
    assert_eq!(
        raise(metadata, 31, 1),
        wrong(
            31,
            metadata,
            "Local controller 1 only supports versions 22-30"
        )
    );
    assert_eq!(
        raise(metadata, 29, 2),
        "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade \
         because it might delete metadata information."
    );
    assert!(
        raise(metadata, 29, 3)
            .ends_with("Unsafe metadata downgrade is not supported in this version.")
    );
    assert!(raise(metadata, 29, 1).contains("without setting the upgrade type"));
    assert_eq!(
        raise(metadata, -1, 1),
        wrong(-1, metadata, "A feature version cannot be less than 0.")
    );
    assert_eq!(
        raise("no", 1, 1),
        wrong(1, "no", "Local controller 1 does not support this feature.")
    );
    assert_eq!(raise("no", 0, 2), wrong(0, "no", "Feature no not found."));
    let elr = "eligible.leader.replicas.version";
    assert_eq!(
        raise(elr, 1, 9),
        wrong(
            1,
            elr,
            "The controller does not support the given upgrade type."
        )
    );
    assert_eq!(raise(elr, 0, 2), "done");
    assert_eq!(
        raise(elr, 1, 2),
        wrong(1, elr, "Can't downgrade to a newer version.")
    );
    assert_eq!(raise("kraft.version", 1, 1), "done");
    assert_eq!(
        raise("kraft.version", 0, 2),
        wrong(
            0,
            "kraft.version",
            "Can't downgrade the version of this feature."
        )
    );
    assert_eq!(cluster.image().feature(elr), 0);
}

#[test]
fn resources_are_listed_by_kind() {
    let cluster = with_topic();
    let ask = |kinds: &[i8], version: i16| {
        let request = list::ListConfigResourcesRequest {
            resource_types: kinds.to_vec(),
        };
        let bytes = request.to_bytes(version).unwrap();
        let view = list::ListConfigResourcesRequestView::decode(&bytes, version).unwrap();
        let answer = config_resources::list(&cluster.image(), &view, version);
        let rows = answer.config_resources.iter();
        let rows = rows.map(|row| format!("{}/{}", row.resource_type, row.resource_name));
        (answer.error_code, rows.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(ask(&[], 1), (0, "2/t 4/1 8/1".to_owned()));
    assert_eq!(ask(&[4, 32], 1), (0, "4/1".to_owned()));
    assert_eq!(ask(&[2, 3], 1), (35, String::new()));
    assert_eq!(ask(&[], 0), (0, String::new()));
}

#[test]
fn the_quorum_is_this_node() {
    let cluster = Cluster::new();
    let leading = Leading {
        node: NodeId(1),
        high_watermark: Offset(7),
        log_end: Offset(8),
        now: TimestampMs(9),
    };
    let ask = |topics: &[(&str, &[i32])], version| {
        let request = voters::DescribeQuorumRequest {
            topics: topics
                .iter()
                .map(|(name, list)| voters::TopicData {
                    topic_name: (*name).into(),
                    partitions: list
                        .iter()
                        .map(|index| voters::PartitionData {
                            partition_index: *index,
                        })
                        .collect(),
                })
                .collect(),
        };
        let bytes = request.to_bytes(version).unwrap();
        let view = voters::DescribeQuorumRequestView::decode(&bytes, version).unwrap();
        let answer = quorum::describe(cluster.reader.quorum(), &leading, &view, version);
        answer.to_bytes(version).unwrap();
        answer
    };
    for version in 0..=2 {
        let answer = ask(&[("__cluster_metadata", &[0])], version);
        let one = &answer.topics[0].partitions[0];
        assert_eq!(
            (one.error_code, one.leader_id, one.high_watermark),
            (0, 1, 7)
        );
        assert_eq!(one.current_voters[0].log_end_offset, 8);
        assert_eq!(answer.nodes.len(), usize::from(version == 2));
    }
    for wrong in [
        [("__cluster_metadata", &[1][..])],
        [("t", &[0][..])],
        [("__cluster_metadata", &[0, 0][..])],
    ] {
        let answer = ask(&wrong, 2);
        assert!(
            answer.topics[0]
                .partitions
                .iter()
                .all(|one| one.error_code == 3)
        );
    }
    let many = vec![0; 1_000];
    assert_eq!(ask(&[("t", &many)], 2).error_code, 42);
}

#[test]
fn a_description_has_its_limit() {
    let cluster = with_topic();
    let ask = |count: usize| {
        let one = asked::DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configuration_keys: None,
        };
        let request = asked::DescribeConfigsRequest {
            resources: vec![one; count],
            ..Default::default()
        };
        let bytes = request.to_bytes(4).unwrap();
        let view = asked::DescribeConfigsRequestView::decode(&bytes, 4).unwrap();
        describe::describe(&cluster.image(), &cluster.broker, &view).results
    };
    let full = describe::ENTRIES_MAX.div_ceil(33);
    let results = ask(full + 2);
    let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
    assert!(codes[..full].iter().all(|code| *code == 0));
    let policy = ErrorCode::PolicyViolation.code();
    assert_eq!(codes[full..], [policy, policy]);
}

#[test]
fn other_resources_are_described_as_far_as_they_go() {
    let cluster = with_topic();
    let ask = |kind, name: &str| {
        let request = asked::DescribeConfigsRequest {
            resources: vec![asked::DescribeConfigsResource {
                resource_type: kind,
                resource_name: name.into(),
                configuration_keys: None,
            }],
            include_documentation: true,
            ..Default::default()
        };
        let bytes = request.to_bytes(4).unwrap();
        let view = asked::DescribeConfigsRequestView::decode(&bytes, 4).unwrap();
        let mut answer = describe::describe(&cluster.image(), &cluster.broker, &view);
        let result = answer.results.remove(0);
        let documented = result.configs.iter().all(|one| one.documentation.is_some());
        assert!(documented, "{kind}");
        (
            shown(result.error_code, result.error_message.as_deref()),
            result.configs.len(),
        )
    };
    let refused = |words: &str| (format!("INVALID_REQUEST: {words}"), 0);
    assert_eq!(ask(Resource::GROUP, "g"), ("done".to_owned(), 17));
    assert_eq!(
        ask(Resource::GROUP, ""),
        refused("Group name must not be empty")
    );
    assert_eq!(ask(Resource::CLIENT_METRICS, "m"), ("done".to_owned(), 3));
    assert_eq!(
        ask(Resource::CLIENT_METRICS, ""),
        refused("Client metrics subscription name must not be empty")
    );
    assert_eq!(ask(Resource::BROKER_LOGGER, "1"), ("done".to_owned(), 0));
    assert_eq!(
        ask(Resource::BROKER_LOGGER, ""),
        refused("Broker id must not be empty")
    );
    assert_eq!(
        ask(Resource::BROKER_LOGGER, "2"),
        refused("Unexpected broker id, expected 1 but received 2")
    );
}

#[test]
fn loggers_groups_and_subscriptions_are_changed_as_far_as_they_go() {
    let mut cluster = with_topic();
    let mut one =
        |kind, name: &str, changes: &[Change<'_>]| change(&mut cluster, kind, name, changes);
    let logger = Resource::BROKER_LOGGER;
    assert_eq!(
        one(logger, "1", &[("kafka", SET, Some("INFO"))]),
        "INVALID_CONFIG: Logger kafka does not exist!"
    );
    assert_eq!(
        one(logger, "1", &[("kafka", APPEND, Some("INFO"))]),
        "INVALID_REQUEST: APPEND operation is not allowed for the BROKER_LOGGER resource"
    );
    assert_eq!(
        one(logger, "2", &[]),
        "INVALID_REQUEST: Unexpected node id. Expected 1, but received 2"
    );
    let session = |value| [("consumer.session.timeout.ms", SET, Some(value))];
    assert_eq!(one(Resource::GROUP, "g", &session("45000")), "done");
    assert_eq!(one(Resource::GROUP, "g", &session("50000")), "done");
    let share = [("share.session.timeout.ms", SET, Some("50000"))];
    assert!(one(Resource::GROUP, "g", &share).starts_with("INVALID_CONFIG"));
    assert!(one(Resource::GROUP, "", &[]).contains("Default group resources are not allowed."));
    assert!(one(Resource::CLIENT_METRICS, "", &[]).contains("Subscription name can't be empty"));
    assert_eq!(
        replace(&mut cluster, Resource::BROKER_LOGGER, "1", &[]),
        "INVALID_REQUEST: Unknown resource type 8"
    );
}
