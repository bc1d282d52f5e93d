//! Requests that several tests send: one of each kind, and some of a certain size or patience.

use thalweg_wire::api::{self, ApiKey, Listener};
use thalweg_wire::bytes::Message;
use thalweg_wire::header::encode_request;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::alter_configs_request as alter;
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::describe_client_quotas_request::DescribeClientQuotasRequest;
use thalweg_wire::messages::describe_configs_request as configs;
use thalweg_wire::messages::describe_quorum_request as quorum;
use thalweg_wire::messages::describe_topic_partitions_request as describe;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::incremental_alter_configs_request as increment;
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::list_config_resources_request::ListConfigResourcesRequest;
use thalweg_wire::messages::list_offsets_request as offsets;
use thalweg_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use thalweg_wire::messages::update_features_request as features;

use super::{Topic, admin, frame, produce_request};

/// A fetch of one partition of a topic, by name.
pub(crate) fn fetch(topic: &str, max_wait_ms: i32, partition_max_bytes: i32) -> FetchRequest<'_> {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition_max_bytes,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// An ApiVersions request with so many bytes behind it, which are left alone.
pub(crate) fn padded(id: i32, bytes: usize) -> Vec<u8> {
    let mut request = b"\0\x12\0\0".to_vec();
    request.extend(id.to_be_bytes());
    request.extend(b"\xff\xff");
    request.resize(bytes, 0);
    frame(&request)
}

/// The most that the kernel keeps of one connection on its way, on both sides.
pub(crate) fn socket_buffers() -> usize {
    let max = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace()
            .last()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    max("tcp_rmem") + max("tcp_wmem")
}

/// An API and a request to it in the newest version, without its size.
fn sample<M: Message>(request: &M) -> (ApiKey, Vec<u8>) {
    let api = ApiKey::from_code(M::API_KEY.unwrap()).unwrap();
    let version = api::lookup(api.code(), Listener::Broker)
        .unwrap()
        .served
        .max;
    let frame = encode_request(request, version, 1, Some("c")).unwrap();
    (api, frame[4..].to_vec())
}

/// A valid request of each kind that is safe to mutate: none waits, none makes much.
pub(crate) fn samples(topic: &Topic, batch: &[u8]) -> Vec<(ApiKey, Vec<u8>)> {
    let name = || topic.name.clone().into();
    let mut list = vec![
        sample(&produce_request(13, topic, 0, batch, -1)),
        sample(&FetchRequest {
            max_wait_ms: 0,
            min_bytes: 0,
            topics: vec![FetchTopic {
                topic_id: topic.id,
                partitions: vec![FetchPartition::default()],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }),
        sample(&offsets::ListOffsetsRequest {
            replica_id: -1,
            topics: vec![offsets::ListOffsetsTopic {
                name: name(),
                partitions: vec![offsets::ListOffsetsPartition::default()],
            }],
            ..Default::default()
        }),
        sample(&MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name()),
                ..Default::default()
            }]),
            allow_auto_topic_creation: false,
            ..Default::default()
        }),
    ];
    list.extend(admin_samples(topic));
    list
}

fn admin_samples(topic: &Topic) -> Vec<(ApiKey, Vec<u8>)> {
    let name = || topic.name.clone().into();
    let mut list = vec![
        sample(&CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: "maybe".into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            timeout_ms: 1000,
            validate_only: true,
        }),
        sample(&DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some("no-such-topic".into()),
                topic_id: Uuid::ZERO,
            }],
            timeout_ms: 1000,
            ..Default::default()
        }),
        sample(&InitProducerIdRequest {
            transaction_timeout_ms: 1000,
            ..Default::default()
        }),
        sample(&configs::DescribeConfigsRequest {
            resources: vec![configs::DescribeConfigsResource {
                resource_type: 2,
                resource_name: name(),
                configuration_keys: Some(vec!["retention.ms".into()]),
            }],
            ..Default::default()
        }),
        sample(&describe::DescribeTopicPartitionsRequest {
            topics: vec![describe::TopicRequest { name: name() }],
            ..Default::default()
        }),
    ];
    list.extend(config_samples(topic));
    list
}

fn config_samples(topic: &Topic) -> Vec<(ApiKey, Vec<u8>)> {
    vec![
        sample(&alter::AlterConfigsRequest {
            resources: vec![alter::AlterConfigsResource {
                resource_type: 2,
                resource_name: topic.name.clone().into(),
                configs: vec![alter::AlterableConfig {
                    name: "segment.ms".into(),
                    value: Some("604800000".into()),
                }],
            }],
            validate_only: true,
        }),
        sample(&increment::IncrementalAlterConfigsRequest {
            resources: vec![increment::AlterConfigsResource {
                resource_type: 2,
                resource_name: topic.name.clone().into(),
                configs: vec![increment::AlterableConfig {
                    name: "cleanup.policy".into(),
                    config_operation: 2,
                    value: Some("delete".into()),
                }],
            }],
            validate_only: true,
        }),
        sample(&quorum::DescribeQuorumRequest {
            topics: vec![quorum::TopicData {
                topic_name: "__cluster_metadata".into(),
                partitions: vec![quorum::PartitionData { partition_index: 0 }],
            }],
        }),
        sample(&features::UpdateFeaturesRequest {
            feature_updates: vec![features::FeatureUpdateKey {
                feature: "metadata.version".into(),
                max_version_level: 30,
                ..Default::default()
            }],
            validate_only: true,
            ..Default::default()
        }),
        sample(&admin::quota(true)),
        sample(&DescribeClientQuotasRequest::default()),
        sample(&admin::election("topic", 0)),
        sample(&admin::reassignment("topic", None)),
        sample(&admin::reassignments("topic")),
        sample(&admin::to_directory("topic", "/nowhere")),
        sample(&ListConfigResourcesRequest {
            resource_types: vec![2, 4],
        }),
    ]
}
