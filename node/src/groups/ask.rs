//! What a partition's groups are asked, and how that becomes a step.
//!
//! A request travels whole, as its shared frame, and is read again where its groups live; it was
//! read once before, so that a malformed one never came here. Deliberately absent: what comes of it
//! (`thalweg_coordinator::groups`).

use std::sync::Arc;

use thalweg_coordinator::groups::fetch::wanted;
use thalweg_coordinator::groups::shard::GroupShard;
use thalweg_coordinator::groups::step::{
    Answer, Caller, InTransaction, Marker, Scene, Step, Token,
};
use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Uuid};
use thalweg_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequestView;
use thalweg_wire::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumers;
use thalweg_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestView;
use thalweg_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use thalweg_wire::messages::delete_groups_request::DeleteGroupsRequestView;
use thalweg_wire::messages::delete_groups_response::DeletableGroupResult;
use thalweg_wire::messages::describe_groups_request::DescribeGroupsRequestView;
use thalweg_wire::messages::describe_groups_response::DescribedGroup;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequestView;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponse;
use thalweg_wire::messages::join_group_request::JoinGroupRequestView;
use thalweg_wire::messages::join_group_response::JoinGroupResponse;
use thalweg_wire::messages::leave_group_request::LeaveGroupRequestView;
use thalweg_wire::messages::leave_group_response::LeaveGroupResponse;
use thalweg_wire::messages::list_groups_request::ListGroupsRequestView;
use thalweg_wire::messages::offset_commit_request::OffsetCommitRequestView;
use thalweg_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use thalweg_wire::messages::offset_delete_request::OffsetDeleteRequestView;
use thalweg_wire::messages::offset_delete_response::OffsetDeleteResponse;
use thalweg_wire::messages::offset_fetch_request::OffsetFetchRequestView;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use thalweg_wire::messages::sync_group_request::SyncGroupRequestView;
use thalweg_wire::messages::sync_group_response::SyncGroupResponse;

use thalweg_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestView;
use thalweg_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use crate::request::{Refusal, Request};

/// One event of one partition.
#[derive(Debug)]
pub enum Ask {
    /// A client's request, or its part that concerns this partition.
    Request {
        /// Names it until it is answered.
        token: Token,
        /// The whole request.
        request: Box<Request>,
        /// Which of the request's groups are this partition's, where it names several.
        groups: Vec<u32>,
        /// For TxnOffsetCommit: what the log gave for the batch.
        guard: Option<u64>,
    },
    /// A transaction's marker is to be written.
    Marker {
        /// Names it until it is answered.
        token: Token,
        /// The marker.
        marker: Marker,
    },
    /// These topics are gone.
    TopicsDeleted(Arc<[(Uuid, String)]>),
}

/// Works a client's request; a step for everything but what this API is not for.
pub fn step(
    shard: &mut GroupShard,
    (token, request, groups, guard): (Token, &Request, &[u32], Option<u64>),
    scene: Scene<'_>,
) -> Result<Step, Refusal> {
    let host = format!("/{}", request.origin.peer.ip().to_canonical());
    let caller = Caller {
        token,
        version: request.version,
        client_id: request.client_id(),
        client_host: &host,
    };
    let now = scene.now;
    Ok(match request.api {
        ApiKey::OffsetCommit => shard.commit(
            &caller,
            &request.view::<OffsetCommitRequestView<'_>>()?,
            scene,
        ),
        ApiKey::TxnOffsetCommit => {
            let asked: TxnOffsetCommitRequestView<'_> = request.view()?;
            let transaction = InTransaction {
                producer: ProducerId(asked.producer_id),
                epoch: ProducerEpoch(asked.producer_epoch),
                guard,
            };
            shard.commit_in_transaction(&caller, &asked, transaction, scene)
        }
        ApiKey::OffsetFetch => {
            let asked: OffsetFetchRequestView<'_> = request.view()?;
            let at = groups.first().copied().unwrap_or(0);
            let wanted = wanted(&asked, request.version).into_iter().nth(at as usize);
            shard.fetch(&caller, &wanted.ok_or(Refusal::Stopping)?, scene)
        }
        ApiKey::JoinGroup => shard.join(&caller, &request.view::<JoinGroupRequestView<'_>>()?, now),
        ApiKey::Heartbeat => {
            shard.heartbeat(&caller, &request.view::<HeartbeatRequestView<'_>>()?, now)
        }
        ApiKey::LeaveGroup => {
            shard.leave(&caller, &request.view::<LeaveGroupRequestView<'_>>()?, now)
        }
        ApiKey::ConsumerGroupHeartbeat => shard.consumer_heartbeat(
            &caller,
            &request.view::<ConsumerGroupHeartbeatRequestView<'_>>()?,
            scene,
        ),
        ApiKey::ConsumerGroupDescribe => {
            let asked: ConsumerGroupDescribeRequestView<'_> = request.view()?;
            shard.describe_consumers(&caller, &chosen(asked.group_ids.iter(), groups), scene)
        }
        ApiKey::SyncGroup => shard.sync(&caller, &request.view::<SyncGroupRequestView<'_>>()?, now),
        ApiKey::DescribeGroups => {
            let asked: DescribeGroupsRequestView<'_> = request.view()?;
            let operations = asked.include_authorized_operations;
            shard.describe(&caller, &chosen(asked.groups.iter(), groups), operations)
        }
        ApiKey::ListGroups => shard.list(&caller, &request.view::<ListGroupsRequestView<'_>>()?),
        ApiKey::DeleteGroups => {
            let asked: DeleteGroupsRequestView<'_> = request.view()?;
            shard.delete_groups(&caller, &chosen(asked.groups_names.iter(), groups))
        }
        ApiKey::OffsetDelete => shard.delete_offsets(
            &caller,
            &request.view::<OffsetDeleteRequestView<'_>>()?,
            scene,
        ),
        other => {
            return Err(Refusal::Unsupported {
                key: other.code(),
                version: request.version,
            });
        }
    })
}

/// The names at these places of a list.
fn chosen<'a>(all: impl Iterator<Item = &'a str>, places: &[u32]) -> Vec<&'a str> {
    let all: Vec<&str> = all.collect();
    let places = places.iter();
    places
        .filter_map(|at| all.get(*at as usize).copied())
        .collect()
}

/// The answer to a request (or to its part with these groups) that refuses all of it.
pub fn refused(request: &Request, groups: &[u32], code: ErrorCode) -> Result<Answer, Refusal> {
    let shape = match request.api {
        ApiKey::OffsetCommit => Answer::Commit(commit_shape(&request.view()?)),
        ApiKey::TxnOffsetCommit => Answer::TxnCommit(txn_commit_shape(&request.view()?)),
        ApiKey::OffsetFetch => {
            let asked: OffsetFetchRequestView<'_> = request.view()?;
            let at = groups.first().copied().unwrap_or(0) as usize;
            let wanted = wanted(&asked, request.version).into_iter().nth(at);
            let group = wanted.map(|wanted| wanted.group.group_id.into_owned());
            Answer::Fetch(OffsetFetchResponseGroup {
                group_id: group.unwrap_or_default().into(),
                ..OffsetFetchResponseGroup::default()
            })
        }
        ApiKey::JoinGroup => Answer::Join(JoinGroupResponse::default()),
        ApiKey::Heartbeat => Answer::Heartbeat(HeartbeatResponse::default()),
        ApiKey::LeaveGroup => Answer::Leave(LeaveGroupResponse::default()),
        ApiKey::SyncGroup => Answer::Sync(SyncGroupResponse::default()),
        ApiKey::DescribeGroups => {
            let asked: DescribeGroupsRequestView<'_> = request.view()?;
            let names = chosen(asked.groups.iter(), groups).into_iter();
            let rows = names.map(|name| DescribedGroup {
                group_id: name.to_owned().into(),
                ..DescribedGroup::default()
            });
            Answer::Describe(rows.collect())
        }
        ApiKey::ConsumerGroupHeartbeat => {
            Answer::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse::default())
        }
        ApiKey::ConsumerGroupDescribe => {
            let asked: ConsumerGroupDescribeRequestView<'_> = request.view()?;
            let names = chosen(asked.group_ids.iter(), groups).into_iter();
            let rows = names.map(|name| DescribedConsumers {
                group_id: name.to_owned().into(),
                ..DescribedConsumers::default()
            });
            Answer::DescribeConsumers(rows.collect())
        }
        ApiKey::DeleteGroups => {
            let asked: DeleteGroupsRequestView<'_> = request.view()?;
            let names = chosen(asked.groups_names.iter(), groups).into_iter();
            let rows = names.map(|name| DeletableGroupResult {
                group_id: name.to_owned().into(),
                ..DeletableGroupResult::default()
            });
            Answer::DeleteGroups(rows.collect())
        }
        ApiKey::OffsetDelete => Answer::DeleteOffsets(OffsetDeleteResponse::default()),
        _ => Answer::List(Vec::new()),
    };
    Ok(shape.refused(code))
}

fn txn_commit_shape(asked: &TxnOffsetCommitRequestView<'_>) -> TxnOffsetCommitResponse<'static> {
    let topics = asked.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        TxnOffsetCommitResponseTopic {
            name: topic.name.to_owned().into(),
            partitions: partitions
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: 0,
                })
                .collect(),
        }
    });
    TxnOffsetCommitResponse {
        topics: topics.collect(),
        ..TxnOffsetCommitResponse::default()
    }
}

fn commit_shape(asked: &OffsetCommitRequestView<'_>) -> OffsetCommitResponse<'static> {
    let topics = asked.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.to_owned().into(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                ..OffsetCommitResponsePartition::default()
            })
            .collect(),
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    }
}
