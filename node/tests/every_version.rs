//! Every row of the API table in every served version: a valid request to a live node gets an answer
//! that decodes exactly in that version, with the error codes that Kafka gives and never
//! UNKNOWN_SERVER_ERROR.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use live::admin;
use live::groups::{commit_request, consumer_heartbeat, fetch_request, join_request};
use live::transactions::{add_request, end_request};
use live::{Node, Peer, Topic, batch, produce_request};
use thalweg_wire::api::{self, ApiKey, Listener};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::{
    add_offsets_to_txn_request::AddOffsetsToTxnRequest,
    add_offsets_to_txn_response::AddOffsetsToTxnResponseView,
    add_partitions_to_txn_response::AddPartitionsToTxnResponseView,
    alter_client_quotas_response::AlterClientQuotasResponseView, alter_configs_request as alter,
    alter_configs_response::AlterConfigsResponseView,
    alter_partition_reassignments_response::AlterPartitionReassignmentsResponseView,
    alter_replica_log_dirs_response::AlterReplicaLogDirsResponseView,
    api_versions_request::ApiVersionsRequest, api_versions_response::ApiVersionsResponseView,
    consumer_group_describe_request::ConsumerGroupDescribeRequest,
    consumer_group_describe_response::ConsumerGroupDescribeResponseView,
    consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseView,
    create_partitions_request as partitions,
    create_partitions_response::CreatePartitionsResponseView, create_topics_request as create,
    create_topics_response::CreateTopicsResponseView, delete_groups_request::DeleteGroupsRequest,
    delete_groups_response::DeleteGroupsResponseView, delete_records_request as records,
    delete_records_response::DeleteRecordsResponseView, delete_topics_request as delete,
    delete_topics_response::DeleteTopicsResponseView, describe_client_quotas_request as quotas,
    describe_client_quotas_response::DescribeClientQuotasResponseView,
    describe_cluster_request::DescribeClusterRequest,
    describe_cluster_response::DescribeClusterResponseView, describe_configs_request as configs,
    describe_configs_response::DescribeConfigsResponseView,
    describe_groups_request::DescribeGroupsRequest,
    describe_groups_response::DescribeGroupsResponseView,
    describe_log_dirs_request::DescribeLogDirsRequest,
    describe_log_dirs_response::DescribeLogDirsResponseView,
    describe_producers_request as producers,
    describe_producers_response::DescribeProducersResponseView, describe_quorum_request as quorum,
    describe_quorum_response::DescribeQuorumResponseView,
    describe_topic_partitions_request as describe,
    describe_topic_partitions_response::DescribeTopicPartitionsResponseView,
    describe_transactions_request::DescribeTransactionsRequest,
    describe_transactions_response::DescribeTransactionsResponseView,
    elect_leaders_response::ElectLeadersResponseView, end_txn_response::EndTxnResponseView,
    fetch_request as fetch, fetch_response::FetchResponseView,
    find_coordinator_request::FindCoordinatorRequest,
    find_coordinator_response::FindCoordinatorResponseView, heartbeat_request::HeartbeatRequest,
    heartbeat_response::HeartbeatResponseView, incremental_alter_configs_request as increment,
    incremental_alter_configs_response::IncrementalAlterConfigsResponseView,
    init_producer_id_request::InitProducerIdRequest,
    init_producer_id_response::InitProducerIdResponseView,
    join_group_response::JoinGroupResponseView, leave_group_request as leave,
    leave_group_response::LeaveGroupResponseView,
    list_config_resources_request::ListConfigResourcesRequest,
    list_config_resources_response::ListConfigResourcesResponseView,
    list_groups_request::ListGroupsRequest, list_groups_response::ListGroupsResponseView,
    list_offsets_request as offsets, list_offsets_response::ListOffsetsResponseView,
    list_partition_reassignments_response::ListPartitionReassignmentsResponseView,
    list_transactions_request::ListTransactionsRequest,
    list_transactions_response::ListTransactionsResponseView, metadata_request as metadata,
    metadata_response::MetadataResponseView, offset_commit_response::OffsetCommitResponseView,
    offset_delete_request as forget, offset_delete_response::OffsetDeleteResponseView,
    offset_fetch_response::OffsetFetchResponseView, offset_for_leader_epoch_request as epochs,
    offset_for_leader_epoch_response::OffsetForLeaderEpochResponseView,
    produce_response::ProduceResponseView, sync_group_request::SyncGroupRequest,
    sync_group_response::SyncGroupResponseView, txn_offset_commit_request as pending,
    txn_offset_commit_response::TxnOffsetCommitResponseView, update_features_request as features,
    update_features_response::UpdateFeaturesResponseView, write_txn_markers_request as markers,
    write_txn_markers_response::WriteTxnMarkersResponseView,
};

/// All error codes of a shown answer, wherever they stand in it.
fn codes(shown: &str) -> Vec<i16> {
    let found = shown.match_indices("error_code: ").map(|(at, words)| {
        let rest = &shown[at + words.len()..];
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|_| panic!("{rest}"))
    });
    found.collect()
}

/// Asks, decodes the answer as this view, and shows it.
macro_rules! exchange {
    ($peer:expr, $request:expr, $version:expr, $view:ident) => {{
        let reply = $peer.ask(&$request, $version);
        format!("{:?}", reply.view::<$view>())
    }};
}

/// What the requests are about.
struct Scene {
    topic: Topic,
    /// Grows by one partition a request.
    growing: Topic,
    partitions: i32,
}

#[test]
fn every_api_answers_in_every_version() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let mut scene = Scene {
        topic: peer.create_topic("topic", 2),
        growing: peer.create_topic("growing", 1),
        partitions: 1,
    };
    assert_eq!(peer.produce(&scene.topic, 0, &batch(3)), (0, 0));
    peer.find_coordinator("group");
    let mut wrong = Vec::new();
    for api in api::on(Listener::Broker) {
        for version in api.served.min..=api.served.max {
            let shown = ask(&mut peer, api.key, version, &mut scene);
            let allowed = allowed(api.key, version);
            let codes = codes(&shown);
            if codes.iter().any(|code| !allowed.contains(code)) {
                wrong.push(format!("{} {version}: {codes:?} in {shown}", api.key));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(peer);
    node.still_serves();
}

/// Nobody is a member of the groups asked about, and groups that hold offsets have no members.
fn allowed(api: ApiKey, version: i16) -> &'static [i16] {
    const UNKNOWN_MEMBER: i16 = ErrorCode::UnknownMemberId.code();
    const MEMBER_ID_REQUIRED: i16 = ErrorCode::MemberIdRequired.code();
    const GROUP_ID_NOT_FOUND: i16 = ErrorCode::GroupIdNotFound.code();
    const ELECTION_NOT_NEEDED: i16 = ErrorCode::ElectionNotNeeded.code();
    const LOG_DIR_NOT_FOUND: i16 = ErrorCode::LogDirNotFound.code();
    match (api, version) {
        (ApiKey::JoinGroup, 4..) => &[MEMBER_ID_REQUIRED],
        (ApiKey::Heartbeat | ApiKey::SyncGroup | ApiKey::LeaveGroup, ..3) => &[UNKNOWN_MEMBER],
        (ApiKey::Heartbeat | ApiKey::SyncGroup | ApiKey::LeaveGroup, _) => &[0, UNKNOWN_MEMBER],
        (ApiKey::DescribeGroups, _) => &[0, GROUP_ID_NOT_FOUND],
        // Every partition is led by the one node, in its one directory.
        (ApiKey::ElectLeaders, _) => &[0, ELECTION_NOT_NEEDED],
        (ApiKey::AlterReplicaLogDirs, _) => &[LOG_DIR_NOT_FOUND],
        _ => &[0],
    }
}

fn ask(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    let name = || scene.topic.name.clone().into();
    match api {
        ApiKey::Produce => {
            let batch = batch(1);
            let request = produce_request(v, &scene.topic, 1, &batch, -1);
            exchange!(peer, request, v, ProduceResponseView)
        }
        ApiKey::Fetch => exchange!(peer, fetch_one(v, &scene.topic), v, FetchResponseView),
        ApiKey::ListOffsets => {
            exchange!(peer, list_one(&scene.topic), v, ListOffsetsResponseView)
        }
        ApiKey::OffsetForLeaderEpoch => {
            let view = epoch_one(&scene.topic);
            exchange!(peer, view, v, OffsetForLeaderEpochResponseView)
        }
        ApiKey::Metadata => {
            let request = metadata::MetadataRequest {
                topics: Some(vec![metadata::MetadataRequestTopic {
                    name: Some(name()),
                    ..Default::default()
                }]),
                ..Default::default()
            };
            exchange!(peer, request, v, MetadataResponseView)
        }
        ApiKey::FindCoordinator => {
            let keys = vec!["group".into()];
            let request = FindCoordinatorRequest {
                key: if v < 4 { "group".into() } else { "".into() },
                coordinator_keys: if v < 4 { vec![] } else { keys },
                ..Default::default()
            };
            exchange!(peer, request, v, FindCoordinatorResponseView)
        }
        ApiKey::ApiVersions => {
            let words = if v < 3 { "" } else { "test" };
            let request = ApiVersionsRequest {
                client_software_name: words.into(),
                client_software_version: words.into(),
            };
            exchange!(peer, request, v, ApiVersionsResponseView)
        }
        ApiKey::DescribeTopicPartitions => {
            let request = describe::DescribeTopicPartitionsRequest {
                topics: vec![describe::TopicRequest { name: name() }],
                ..Default::default()
            };
            exchange!(peer, request, v, DescribeTopicPartitionsResponseView)
        }
        _ => ask_admin(peer, api, v, scene),
    }
}

fn ask_admin(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    match api {
        ApiKey::CreateTopics => {
            exchange!(peer, create_one(v), v, CreateTopicsResponseView)
        }
        ApiKey::DeleteTopics => {
            // What CreateTopics made, one a version.
            let name = format!("made-{}", v + 1);
            let mut request = delete::DeleteTopicsRequest {
                timeout_ms: 30_000,
                ..Default::default()
            };
            if v < 6 {
                request.topic_names = vec![name.into()];
            } else {
                request.topics = vec![delete::DeleteTopicState {
                    name: Some(name.into()),
                    topic_id: Uuid::ZERO,
                }];
            }
            exchange!(peer, request, v, DeleteTopicsResponseView)
        }
        ApiKey::CreatePartitions => {
            scene.partitions += 1;
            let request = partitions::CreatePartitionsRequest {
                topics: vec![partitions::CreatePartitionsTopic {
                    name: scene.growing.name.clone().into(),
                    count: scene.partitions,
                    assignments: None,
                }],
                timeout_ms: 30_000,
                validate_only: false,
            };
            exchange!(peer, request, v, CreatePartitionsResponseView)
        }
        ApiKey::DeleteRecords => {
            let request = records::DeleteRecordsRequest {
                topics: vec![records::DeleteRecordsTopic {
                    name: scene.topic.name.clone().into(),
                    partitions: vec![records::DeleteRecordsPartition {
                        partition_index: 0,
                        offset: 1,
                    }],
                }],
                timeout_ms: 30_000,
            };
            exchange!(peer, request, v, DeleteRecordsResponseView)
        }
        _ => ask_broker(peer, api, v, scene),
    }
}

fn ask_broker(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    match api {
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: 60_000,
                ..Default::default()
            };
            exchange!(peer, request, v, InitProducerIdResponseView)
        }
        ApiKey::DescribeConfigs => {
            let resource = |kind, name: &str| configs::DescribeConfigsResource {
                resource_type: kind,
                resource_name: name.to_owned().into(),
                configuration_keys: None,
            };
            let request = configs::DescribeConfigsRequest {
                resources: vec![resource(2, &scene.topic.name), resource(4, "1")],
                ..Default::default()
            };
            exchange!(peer, request, v, DescribeConfigsResponseView)
        }
        ApiKey::DescribeLogDirs => {
            let request = DescribeLogDirsRequest { topics: None };
            exchange!(peer, request, v, DescribeLogDirsResponseView)
        }
        ApiKey::DescribeCluster => {
            let request = DescribeClusterRequest::default();
            exchange!(peer, request, v, DescribeClusterResponseView)
        }
        _ => ask_places(peer, api, v, scene),
    }
}

fn ask_places(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    let topic = scene.topic.name.as_str();
    match api {
        ApiKey::AlterReplicaLogDirs => {
            let request = admin::to_directory(topic, "/nowhere");
            exchange!(peer, request, v, AlterReplicaLogDirsResponseView)
        }
        ApiKey::ElectLeaders => {
            exchange!(peer, admin::election(topic, 0), v, ElectLeadersResponseView)
        }
        ApiKey::AlterPartitionReassignments => {
            let request = admin::reassignment(topic, Some(vec![1]));
            exchange!(peer, request, v, AlterPartitionReassignmentsResponseView)
        }
        ApiKey::ListPartitionReassignments => {
            let request = admin::reassignments(topic);
            exchange!(peer, request, v, ListPartitionReassignmentsResponseView)
        }
        ApiKey::DescribeClientQuotas => {
            let request = quotas::DescribeClientQuotasRequest::default();
            exchange!(peer, request, v, DescribeClientQuotasResponseView)
        }
        ApiKey::AlterClientQuotas => {
            exchange!(peer, admin::quota(false), v, AlterClientQuotasResponseView)
        }
        _ => ask_groups(peer, api, v, scene),
    }
}

fn ask_groups(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    let group = || "group".into();
    match api {
        ApiKey::OffsetCommit => {
            let request = commit_request(v, ("group", ("", -1)), (&scene.topic, 0), 2);
            exchange!(peer, request, v, OffsetCommitResponseView)
        }
        ApiKey::OffsetFetch => {
            let request = fetch_request(v, "group", (&scene.topic, 0));
            exchange!(peer, request, v, OffsetFetchResponseView)
        }
        ApiKey::JoinGroup => {
            let name = format!("joined-{v}");
            exchange!(peer, join_request(&name, "", v), v, JoinGroupResponseView)
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest {
                group_id: group(),
                member_id: "nobody".into(),
                generation_id: 1,
                protocol_type: (v >= 5).then(|| "consumer".into()),
                protocol_name: (v >= 5).then(|| "range".into()),
                ..Default::default()
            };
            exchange!(peer, request, v, SyncGroupResponseView)
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest {
                group_id: group(),
                member_id: "nobody".into(),
                generation_id: 1,
                ..Default::default()
            };
            exchange!(peer, request, v, HeartbeatResponseView)
        }
        ApiKey::LeaveGroup => {
            let mut request = leave::LeaveGroupRequest {
                group_id: group(),
                ..Default::default()
            };
            if v < 3 {
                request.member_id = "nobody".into();
            } else {
                request.members = vec![leave::MemberIdentity {
                    member_id: "nobody".into(),
                    ..Default::default()
                }];
            }
            exchange!(peer, request, v, LeaveGroupResponseView)
        }
        _ => ask_about_groups(peer, api, v, scene),
    }
}

fn ask_about_groups(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    match api {
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest {
                groups: vec!["group".into(), "not there".into()],
                ..Default::default()
            };
            exchange!(peer, request, v, DescribeGroupsResponseView)
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = consumer_heartbeat("consumers", "member", &scene.topic);
            exchange!(peer, request, v, ConsumerGroupHeartbeatResponseView)
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest {
                group_ids: vec!["consumers".into()],
                include_authorized_operations: true,
            };
            exchange!(peer, request, v, ConsumerGroupDescribeResponseView)
        }
        ApiKey::ListGroups => {
            let request = ListGroupsRequest::default();
            exchange!(peer, request, v, ListGroupsResponseView)
        }
        ApiKey::DeleteGroups => {
            let name = format!("deleted-{v}");
            peer.find_coordinator(&name);
            peer.commit((&name, ("", -1)), (&scene.topic, 0), 1);
            let request = DeleteGroupsRequest {
                groups_names: vec![name.into()],
            };
            exchange!(peer, request, v, DeleteGroupsResponseView)
        }
        ApiKey::OffsetDelete => {
            peer.commit(("forgetful", ("", -1)), (&scene.topic, 0), 1);
            let request = forget::OffsetDeleteRequest {
                group_id: "forgetful".into(),
                topics: vec![forget::OffsetDeleteRequestTopic {
                    name: scene.topic.name.clone().into(),
                    partitions: vec![forget::OffsetDeleteRequestPartition { partition_index: 0 }],
                }],
            };
            exchange!(peer, request, v, OffsetDeleteResponseView)
        }
        _ => ask_transactions(peer, api, v, scene),
    }
}

fn ask_transactions(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    let id = format!("{api}-{v}");
    match api {
        ApiKey::AddPartitionsToTxn => {
            let who = peer.begin(&id);
            let request = add_request(v, &who, &scene.topic);
            exchange!(peer, request, v, AddPartitionsToTxnResponseView)
        }
        ApiKey::AddOffsetsToTxn => {
            let who = peer.begin(&id);
            let request = AddOffsetsToTxnRequest {
                transactional_id: id.into(),
                producer_id: who.producer,
                producer_epoch: who.epoch,
                group_id: "group".into(),
            };
            exchange!(peer, request, v, AddOffsetsToTxnResponseView)
        }
        ApiKey::EndTxn => {
            let who = peer.begin(&id);
            peer.ask(&add_request(3, &who, &scene.topic), 3);
            exchange!(peer, end_request(&who, true), v, EndTxnResponseView)
        }
        ApiKey::WriteTxnMarkers => {
            let request = markers::WriteTxnMarkersRequest {
                markers: vec![markers::WritableTxnMarker {
                    producer_id: 77,
                    producer_epoch: v,
                    topics: vec![markers::WritableTxnMarkerTopic {
                        name: scene.topic.name.as_str().into(),
                        partition_indexes: vec![1],
                    }],
                    transaction_version: i8::from(v == 2) * 2,
                    ..Default::default()
                }],
            };
            exchange!(peer, request, v, WriteTxnMarkersResponseView)
        }
        ApiKey::TxnOffsetCommit => {
            let who = peer.begin(&id);
            let add = AddOffsetsToTxnRequest {
                transactional_id: id.clone().into(),
                producer_id: who.producer,
                producer_epoch: who.epoch,
                group_id: "copied".into(),
            };
            peer.ask(&add, 4);
            let request = pending::TxnOffsetCommitRequest {
                transactional_id: id.into(),
                group_id: "copied".into(),
                producer_id: who.producer,
                producer_epoch: who.epoch,
                generation_id: -1,
                topics: vec![pending::TxnOffsetCommitRequestTopic {
                    name: scene.topic.name.as_str().into(),
                    partitions: vec![pending::TxnOffsetCommitRequestPartition::default()],
                }],
                ..Default::default()
            };
            exchange!(peer, request, v, TxnOffsetCommitResponseView)
        }
        _ => ask_about_transactions(peer, api, v, scene),
    }
}

fn ask_about_transactions(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    let id = format!("{api}-{v}");
    match api {
        ApiKey::DescribeProducers => {
            let request = producers::DescribeProducersRequest {
                topics: vec![producers::TopicRequest {
                    name: scene.topic.name.as_str().into(),
                    partition_indexes: vec![0],
                }],
            };
            exchange!(peer, request, v, DescribeProducersResponseView)
        }
        ApiKey::DescribeTransactions => {
            peer.begin(&id);
            let request = DescribeTransactionsRequest {
                transactional_ids: vec![id.into()],
            };
            exchange!(peer, request, v, DescribeTransactionsResponseView)
        }
        ApiKey::ListTransactions => {
            let request = ListTransactionsRequest::default();
            exchange!(peer, request, v, ListTransactionsResponseView)
        }
        _ => ask_cluster(peer, api, v, scene),
    }
}

fn ask_cluster(peer: &mut Peer, api: ApiKey, v: i16, scene: &mut Scene) -> String {
    match api {
        ApiKey::AlterConfigs => {
            let request = alter::AlterConfigsRequest {
                resources: vec![alter::AlterConfigsResource {
                    resource_type: 2,
                    resource_name: scene.topic.name.clone().into(),
                    configs: vec![alter::AlterableConfig {
                        name: "retention.ms".into(),
                        value: Some("7200000".into()),
                    }],
                }],
                validate_only: false,
            };
            exchange!(peer, request, v, AlterConfigsResponseView)
        }
        ApiKey::IncrementalAlterConfigs => {
            let request = increment::IncrementalAlterConfigsRequest {
                resources: vec![increment::AlterConfigsResource {
                    resource_type: 4,
                    resource_name: "".into(),
                    configs: vec![increment::AlterableConfig {
                        name: "log.retention.ms".into(),
                        config_operation: 0,
                        value: Some("7200000".into()),
                    }],
                }],
                validate_only: false,
            };
            exchange!(peer, request, v, IncrementalAlterConfigsResponseView)
        }
        ApiKey::DescribeQuorum => {
            let request = quorum::DescribeQuorumRequest {
                topics: vec![quorum::TopicData {
                    topic_name: "__cluster_metadata".into(),
                    partitions: vec![quorum::PartitionData { partition_index: 0 }],
                }],
            };
            exchange!(peer, request, v, DescribeQuorumResponseView)
        }
        ApiKey::UpdateFeatures => {
            let request = features::UpdateFeaturesRequest {
                feature_updates: vec![features::FeatureUpdateKey {
                    feature: "metadata.version".into(),
                    max_version_level: 30,
                    ..Default::default()
                }],
                ..Default::default()
            };
            exchange!(peer, request, v, UpdateFeaturesResponseView)
        }
        ApiKey::ListConfigResources => {
            let request = ListConfigResourcesRequest::default();
            exchange!(peer, request, v, ListConfigResourcesResponseView)
        }
        other => panic!("{other} is served, but this test has no request for it"),
    }
}

fn fetch_one(version: i16, topic: &Topic) -> fetch::FetchRequest<'_> {
    let by_id = version >= 13;
    fetch::FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        topics: vec![fetch::FetchTopic {
            topic: if by_id {
                "".into()
            } else {
                topic.name.as_str().into()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partitions: vec![fetch::FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn list_one(topic: &Topic) -> offsets::ListOffsetsRequest<'_> {
    offsets::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![offsets::ListOffsetsTopic {
            name: topic.name.as_str().into(),
            partitions: vec![offsets::ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp: -1,
            }],
        }],
        ..Default::default()
    }
}

fn epoch_one(topic: &Topic) -> epochs::OffsetForLeaderEpochRequest<'_> {
    epochs::OffsetForLeaderEpochRequest {
        replica_id: -2,
        topics: vec![epochs::OffsetForLeaderTopic {
            topic: topic.name.as_str().into(),
            partitions: vec![epochs::OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: 0,
            }],
        }],
    }
}

fn create_one(version: i16) -> create::CreateTopicsRequest<'static> {
    create::CreateTopicsRequest {
        topics: vec![create::CreatableTopic {
            name: format!("made-{version}").into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![create::CreatableTopicConfig {
                name: "retention.ms".into(),
                value: Some("3600000".into()),
            }],
            ..Default::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    }
}
