//! What clients are told, from one image.

mod cluster;

use cluster::{Cluster, topic};
use thalweg_coordinator::answer::{Viewpoint, cluster as answer_cluster, coordinator};
use thalweg_coordinator::answer::{metadata, topic_partitions};
use thalweg_coordinator::configs::describe;
use thalweg_coordinator::controller::features::announce;
use thalweg_coordinator::error::ErrorCode;
use thalweg_wire::bytes::Message;
use thalweg_wire::ids::{NodeId, Uuid};
use thalweg_wire::messages::api_versions_response::ApiVersionsResponse;
use thalweg_wire::messages::describe_cluster_request::{
    DescribeClusterRequest, DescribeClusterRequestView,
};
use thalweg_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsRequestView, DescribeConfigsResource,
};
use thalweg_wire::messages::describe_configs_response::DescribeConfigsResult;
use thalweg_wire::messages::describe_topic_partitions_request::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsRequestView, TopicRequest,
};
use thalweg_wire::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponse;
use thalweg_wire::messages::find_coordinator_request::{
    FindCoordinatorRequest, FindCoordinatorRequestView,
};
use thalweg_wire::messages::metadata_request::{
    MetadataRequest, MetadataRequestTopic, MetadataRequestView,
};

fn viewpoint() -> Viewpoint<'static> {
    let cluster_id = "MkU3OEVBNTcwNTJENDM2Qk";
    Viewpoint {
        cluster_id,
        node: NodeId(1),
        listener: "PLAINTEXT",
        own_address: None,
    }
}

fn ask(cluster: &Cluster, request: &MetadataRequest<'_>, version: i16) -> metadata::Answer {
    let bytes = request.to_bytes(version).expect("encodes");
    let view = MetadataRequestView::decode(&bytes, version).expect("decodes");
    let answer = metadata::metadata(&cluster.image(), &viewpoint(), &view, version);
    answer
        .response
        .to_bytes(version)
        .expect("the answer fits its version");
    answer
}

fn named(name: &str) -> MetadataRequest<'_> {
    let asked = MetadataRequestTopic {
        name: Some(name.into()),
        ..Default::default()
    };
    MetadataRequest {
        topics: Some(vec![asked]),
        ..Default::default()
    }
}

fn two_topics() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("a", 3, 1), topic("b", 1, 1)]);
    cluster
}

#[test]
fn metadata_by_name_by_id_and_all() {
    let cluster = two_topics();
    let id = cluster.image().topics.named("a").unwrap().id;
    let all = ask(
        &cluster,
        &MetadataRequest {
            topics: None,
            ..Default::default()
        },
        13,
    );
    assert_eq!(all.response.topics.len(), 2);
    assert_eq!(all.response.controller_id, 1);
    let broker = &all.response.brokers[0];
    assert_eq!(
        (broker.node_id, broker.host.as_ref(), broker.port),
        (1, "localhost", 29092)
    );
    let none = ask(
        &cluster,
        &MetadataRequest {
            topics: Some(vec![]),
            ..Default::default()
        },
        13,
    );
    assert_eq!(none.response.topics.len(), 0);
    let old = ask(
        &cluster,
        &MetadataRequest {
            topics: Some(vec![]),
            ..Default::default()
        },
        0,
    );
    assert_eq!(old.response.topics.len(), 2);
    let one = ask(&cluster, &named("a"), 13).response;
    assert_eq!(
        (one.topics[0].topic_id, one.topics[0].partitions.len()),
        (id, 3)
    );
    let by_id = MetadataRequestTopic {
        topic_id: id,
        name: None,
    };
    let by_id = MetadataRequest {
        topics: Some(vec![by_id]),
        ..Default::default()
    };
    assert_eq!(
        ask(&cluster, &by_id, 12).response.topics[0].name.as_deref(),
        Some("a")
    );
    let code = ask(&cluster, &by_id, 10).response.topics[0].error_code;
    assert_eq!(code, ErrorCode::InvalidRequest as i16);
    let unknown = MetadataRequestTopic {
        topic_id: Uuid([9; 16]),
        name: None,
    };
    let unknown = MetadataRequest {
        topics: Some(vec![unknown]),
        ..Default::default()
    };
    let answer = ask(&cluster, &unknown, 12);
    assert_eq!(
        answer.response.topics[0].error_code,
        ErrorCode::UnknownTopicId as i16
    );
    assert!(answer.missing.is_empty(), "an id never creates");
}

#[test]
fn one_id_makes_it_a_request_by_id() {
    let cluster = two_topics();
    let id = cluster.image().topics.named("a").unwrap().id;
    let row = |topic_id, name: &'static str| MetadataRequestTopic {
        topic_id,
        name: Some(name.into()),
    };
    let request = MetadataRequest {
        topics: Some(vec![
            row(Uuid::ZERO, "b"),
            row(id, "b"),
            row(id, "other"),
            row(Uuid::ZERO, "new"),
            row(Uuid([9; 16]), "a"),
        ]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let answer = ask(&cluster, &request, 12);
    let rows = answer.response.topics.iter();
    let rows: Vec<_> = rows
        .map(|topic| (topic.name.as_deref(), topic.error_code))
        .collect();
    let unknown = ErrorCode::UnknownTopicId as i16;
    assert_eq!(rows, [(Some("a"), 0), (None, unknown)]);
    assert!(answer.missing.is_empty(), "names beside ids mean nothing");
    // Earlier versions refuse all of it, names included.
    let early = ask(&cluster, &request, 11).response;
    assert_eq!((early.topics.len(), early.brokers.len()), (5, 0));
    assert_eq!((early.cluster_id, early.controller_id), (None, -1));
    let refused = ErrorCode::InvalidRequest as i16;
    let mut topics = early.topics.iter();
    assert!(topics.all(|topic| topic.error_code == refused));
}

#[test]
fn missing_topics_are_named_for_creation() {
    let cluster = two_topics();
    let check = |request: &MetadataRequest<'_>, code: ErrorCode, missing: &[&str]| {
        let answer = ask(&cluster, request, 13);
        assert_eq!(answer.response.topics[0].error_code, code as i16);
        assert_eq!(answer.missing, missing);
    };
    check(&named("new"), ErrorCode::UnknownTopicOrPartition, &["new"]);
    let no = MetadataRequest {
        allow_auto_topic_creation: false,
        ..named("new")
    };
    check(&no, ErrorCode::UnknownTopicOrPartition, &[]);
    check(&named("a/b"), ErrorCode::InvalidTopicException, &[]);
}

#[test]
fn every_version_of_metadata_encodes() {
    let cluster = two_topics();
    for version in 0..=13 {
        let request = named("a");
        ask(&cluster, &request, version);
    }
}

#[test]
fn the_connection_decides_the_address() {
    let cluster = two_topics();
    let bytes = named("a").to_bytes(12).unwrap();
    let view = MetadataRequestView::decode(&bytes, 12).unwrap();
    let own = Viewpoint {
        own_address: Some(("10.0.0.5", 9092)),
        ..viewpoint()
    };
    let answer = metadata::metadata(&cluster.image(), &own, &view, 12).response;
    assert_eq!(
        (answer.brokers[0].host.as_ref(), answer.brokers[0].port),
        ("10.0.0.5", 9092)
    );
    let other = Viewpoint {
        listener: "OTHER",
        ..viewpoint()
    };
    let answer = metadata::metadata(&cluster.image(), &other, &view, 12).response;
    assert!(answer.brokers.is_empty());
    let code = answer.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::ListenerNotFound as i16);
}

fn page(
    cluster: &Cluster,
    names: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse<'static> {
    let topics = names
        .iter()
        .map(|name| TopicRequest {
            name: (*name).into(),
        })
        .collect();
    let cursor = cursor.map(|(name, index)| Cursor {
        topic_name: name.into(),
        partition_index: index,
    });
    let request = DescribeTopicPartitionsRequest {
        topics,
        response_partition_limit: limit,
        cursor,
    };
    let bytes = request.to_bytes(0).expect("encodes");
    let view = DescribeTopicPartitionsRequestView::decode(&bytes, 0).expect("decodes");
    let answer = topic_partitions::describe(&cluster.image(), &viewpoint(), &view, 2_000);
    answer.expect("the cursor is sound")
}

#[test]
fn topic_partitions_come_page_by_page() {
    let cluster = two_topics();
    let (mut cursor, mut seen, mut pages) = (None::<(String, i32)>, Vec::new(), 0);
    loop {
        let from = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
        let answer = page(&cluster, &[], 2, from);
        pages += 1;
        for topic in &answer.topics {
            let name = topic.name.as_deref().unwrap();
            seen.extend(
                topic
                    .partitions
                    .iter()
                    .map(|p| format!("{name}-{}", p.partition_index)),
            );
        }
        match answer.next_cursor {
            Some(next) => cursor = Some((next.topic_name.to_string(), next.partition_index)),
            None => break,
        }
    }
    assert_eq!(seen, ["a-0", "a-1", "a-2", "b-0"]);
    assert_eq!(pages, 2);
    let unknown = page(&cluster, &["zz", "a"], 2_000, None);
    let codes: Vec<i16> = unknown
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition as i16]);
    let least = page(&cluster, &[], 0, None);
    assert_eq!(least.topics[0].partitions.len(), 1, "a page makes progress");
}

#[test]
fn clusters_are_described_to_those_who_ask_brokers() {
    let cluster = two_topics();
    let ask = |endpoint_type| {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..Default::default()
        };
        let bytes = request.to_bytes(1).unwrap();
        let view = DescribeClusterRequestView::decode(&bytes, 1).unwrap();
        answer_cluster::describe(&cluster.image(), &viewpoint(), &view)
    };
    assert_eq!((ask(1).error_code, ask(1).brokers.len()), (0, 1));
    assert_eq!(ask(2).error_code, 114);
    assert_eq!(ask(3).error_code, 115);
}

#[test]
fn a_group_s_coordinator_is_looked_for_before_its_topic_is_there() {
    for version in 0..=6 {
        let keys = if version < 4 {
            vec![]
        } else {
            vec!["g".into()]
        };
        let key = if version < 4 { "g".into() } else { "".into() };
        let request = FindCoordinatorRequest {
            key,
            coordinator_keys: keys,
            ..Default::default()
        };
        let bytes = request.to_bytes(version).unwrap();
        let view = FindCoordinatorRequestView::decode(&bytes, version).unwrap();
        let found = coordinator::find(&two_topics().image(), &viewpoint(), &view, version);
        assert_eq!(found.missing, Some("__consumer_offsets"));
        let answer = found.response;
        answer.to_bytes(version).unwrap();
        let code = answer
            .coordinators
            .first()
            .map_or(answer.error_code, |one| one.error_code);
        assert_eq!(code, ErrorCode::CoordinatorNotAvailable as i16);
    }
}

fn configs(
    cluster: &Cluster,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult<'static> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        ..Default::default()
    };
    let bytes = request.to_bytes(4).expect("encodes");
    let view = DescribeConfigsRequestView::decode(&bytes, 4).expect("decodes");
    let mut answer = describe::describe(&cluster.image(), &cluster.broker, &view);
    answer.results.remove(0)
}

#[test]
fn topic_configs_show_where_they_come_from() {
    let mut cluster = two_topics();
    cluster.set("log.retention.ms", "180000");
    cluster.set("min.insync.replicas", "2");
    let all = configs(&cluster, 2, "a", None);
    assert_eq!((all.error_code, all.configs.len()), (0, 33));
    let one = |key| configs(&cluster, 2, "a", Some(&[key])).configs.remove(0);
    let retention = one("retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("180000"), 4)
    );
    // Where eligible leader replicas are kept the cluster's own value is a dynamic one.
    let min = one("min.insync.replicas");
    assert_eq!((min.value.as_deref(), min.config_source), (Some("1"), 3));
    let sources: Vec<i8> = min.synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(sources, [3, 4]);
    let segment = one("segment.bytes");
    assert_eq!(
        (segment.value.as_deref(), segment.config_source),
        (Some("1073741824"), 5)
    );
    assert_eq!(configs(&cluster, 2, "no", None).error_code, 3);
    assert_eq!(configs(&cluster, 2, "a/b", None).error_code, 17);
}

#[test]
fn broker_configs_are_this_brokers() {
    let mut cluster = two_topics();
    cluster.set("num.partitions", "4");
    let one = configs(&cluster, 4, "1", Some(&["num.partitions"]));
    let entry = &one.configs[0];
    assert_eq!(
        (entry.value.as_deref(), entry.config_source),
        (Some("4"), 4)
    );
    let all = configs(&cluster, 4, "", None);
    assert_eq!(all.configs.len(), 1, "only what was set for all brokers");
    assert_eq!(all.configs[0].name, "min.insync.replicas");
    let other = configs(&cluster, 4, "2", None);
    assert_eq!(other.error_code, ErrorCode::InvalidRequest as i16);
    assert!(
        other
            .error_message
            .unwrap()
            .contains("expected 1 or empty string, but received 2")
    );
    assert_eq!(
        configs(&cluster, 4, "x", None).error_code,
        ErrorCode::InvalidRequest as i16
    );
    assert_eq!(
        configs(&cluster, 99, "x", None).error_code,
        ErrorCode::InvalidRequest as i16
    );
}

#[test]
fn features_are_those_whose_apis_are_served() {
    let cluster = Cluster::new();
    let mut answer = ApiVersionsResponse::default();
    announce(&cluster.image(), cluster.reader.quorum(), 4, &mut answer);
    let shown: Vec<String> = answer
        .finalized_features
        .iter()
        .map(|feature| format!("{}={}", feature.name, feature.max_version_level))
        .collect();
    let wanted = [
        "eligible.leader.replicas.version=1",
        "group.version=1",
        "metadata.version=30",
        "transaction.version=2",
        "kraft.version=1",
    ];
    assert_eq!(shown, wanted);
    assert_eq!(answer.finalized_features_epoch, cluster.image().offset.0);
    assert_eq!(answer.supported_features.len(), 5);
    announce(&cluster.image(), cluster.reader.quorum(), 3, &mut answer);
    assert_eq!(
        answer.supported_features.len(),
        1,
        "old Java clients fail on a minimum of 0"
    );
}
