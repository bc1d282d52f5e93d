//! Requests of administration that several tests send.

use thalweg_wire::messages::alter_client_quotas_request as quotas;
use thalweg_wire::messages::alter_partition_reassignments_request as reassign;
use thalweg_wire::messages::alter_replica_log_dirs_request as dirs;
use thalweg_wire::messages::elect_leaders_request as elect;
use thalweg_wire::messages::list_partition_reassignments_request as reassigned;

/// One quota of one client id.
pub(crate) fn quota(validate_only: bool) -> quotas::AlterClientQuotasRequest<'static> {
    quotas::AlterClientQuotasRequest {
        entries: vec![quotas::EntryData {
            entity: vec![quotas::EntityData {
                entity_type: "client-id".into(),
                entity_name: Some("somebody".into()),
            }],
            ops: vec![quotas::OpData {
                key: "producer_byte_rate".into(),
                value: 1_000_000.0,
                remove: false,
            }],
        }],
        validate_only,
    }
}

/// The first partition of a topic to these brokers, or an end of its move.
pub(crate) fn reassignment(
    topic: &str,
    replicas: Option<Vec<i32>>,
) -> reassign::AlterPartitionReassignmentsRequest<'_> {
    reassign::AlterPartitionReassignmentsRequest {
        topics: vec![reassign::ReassignableTopic {
            name: topic.into(),
            partitions: vec![reassign::ReassignablePartition {
                partition_index: 0,
                replicas,
            }],
        }],
        ..Default::default()
    }
}

/// What is being moved of the first partition of a topic.
pub(crate) fn reassignments(topic: &str) -> reassigned::ListPartitionReassignmentsRequest<'_> {
    reassigned::ListPartitionReassignmentsRequest {
        topics: Some(vec![reassigned::ListPartitionReassignmentsTopics {
            name: topic.into(),
            partition_indexes: vec![0],
        }]),
        ..Default::default()
    }
}

/// A leader for the first partition of a topic.
pub(crate) fn election(topic: &str, election_type: i8) -> elect::ElectLeadersRequest<'_> {
    elect::ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![elect::TopicPartitions {
            topic: topic.into(),
            partitions: vec![0],
        }]),
        ..Default::default()
    }
}

/// The first partition of a topic to that directory.
pub(crate) fn to_directory<'a>(
    topic: &'a str,
    path: &'a str,
) -> dirs::AlterReplicaLogDirsRequest<'a> {
    dirs::AlterReplicaLogDirsRequest {
        dirs: vec![dirs::AlterReplicaLogDir {
            path: path.into(),
            topics: vec![dirs::AlterReplicaLogDirTopic {
                name: topic.into(),
                partitions: vec![0],
            }],
        }],
    }
}
