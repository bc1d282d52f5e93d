//! DescribeQuorum: the voters of the metadata log and how far each of them is.
//!
//! Only one question is understood, as in Kafka: partition 0 of the metadata topic, alone. Anything else is a
//! partition that is not here. A lone leader has caught up with itself at the moment it is asked.
//! Deliberately absent: followers' progress and observers, which come with replication.

use thalweg_wire::ids::{NodeId, Offset, TimestampMs};
use thalweg_wire::messages::describe_quorum_request::DescribeQuorumRequestView;
use thalweg_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use crate::controller::names::METADATA_TOPIC;
use crate::error::ErrorCode;
use crate::metadata::log::Quorum;

/// Topics and partitions of one request: there is one of which anything is known.
const ASKED_MAX: usize = 1_000;

/// The metadata log as its leader sees it.
#[derive(Clone, Copy, Debug)]
pub struct Leading {
    /// The leader.
    pub node: NodeId,
    /// Everything below is committed.
    pub high_watermark: Offset,
    /// The next offset.
    pub log_end: Offset,
    /// When it is asked.
    pub now: TimestampMs,
}

/// Answers a DescribeQuorum request of that version.
#[must_use]
pub fn describe(
    quorum: &Quorum,
    leading: &Leading,
    request: &DescribeQuorumRequestView<'_>,
    version: i16,
) -> DescribeQuorumResponse<'static> {
    let mut response = DescribeQuorumResponse::default();
    if version >= 2 {
        // Kafka has no null here.
        response.error_message = Some("".into());
    }
    let asked = request.topics.iter().map(|topic| topic.partitions.len());
    if asked.fold(request.topics.len(), usize::saturating_add) > ASKED_MAX {
        response.error_code = ErrorCode::InvalidRequest.code();
        return response;
    }
    let understood = is_understood(request);
    let partition = |index: i32| match understood {
        true => here(quorum, leading, version),
        false => elsewhere(index, version),
    };
    response.topics = request
        .topics
        .iter()
        .map(|topic| TopicData {
            topic_name: topic.topic_name.to_owned().into(),
            partitions: topic
                .partitions
                .iter()
                .map(|one| partition(one.partition_index))
                .collect(),
        })
        .collect();
    if understood && version >= 2 {
        response.nodes = nodes(quorum);
    }
    response
}

fn is_understood(request: &DescribeQuorumRequestView<'_>) -> bool {
    let mut topics = request.topics.iter();
    let (Some(topic), None) = (topics.next(), topics.next()) else {
        return false;
    };
    let mut partitions = topic.partitions.iter();
    let (Some(one), None) = (partitions.next(), partitions.next()) else {
        return false;
    };
    topic.topic_name == METADATA_TOPIC && one.partition_index == 0
}

fn elsewhere(index: i32, version: i16) -> PartitionData<'static> {
    let mut partition = PartitionData {
        partition_index: index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        ..PartitionData::default()
    };
    if version >= 2 {
        partition.error_message = Some("This server does not host this topic-partition.".into());
    }
    partition
}

fn here(quorum: &Quorum, leading: &Leading, version: i16) -> PartitionData<'static> {
    let voters = quorum.voters.iter().map(|voter| {
        let mut state = ReplicaState {
            replica_id: voter.id.0,
            log_end_offset: leading.log_end.0,
            ..ReplicaState::default()
        };
        if version >= 1 {
            state.last_fetch_timestamp = leading.now.0;
            state.last_caught_up_timestamp = leading.now.0;
        }
        if version >= 2 {
            state.replica_directory_id = voter.directory;
        }
        state
    });
    let mut partition = PartitionData {
        leader_id: leading.node.0,
        leader_epoch: quorum.epoch.0,
        high_watermark: leading.high_watermark.0,
        current_voters: voters.collect(),
        ..PartitionData::default()
    };
    if version >= 2 {
        partition.error_message = Some("".into());
    }
    partition
}

fn nodes(quorum: &Quorum) -> Vec<Node<'static>> {
    let node = |voter: &crate::metadata::log::Voter| Node {
        node_id: voter.id.0,
        listeners: voter
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.clone().into(),
                host: endpoint.host.clone().into(),
                port: endpoint.port,
            })
            .collect(),
    };
    quorum.voters.iter().map(node).collect()
}
