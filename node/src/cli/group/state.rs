//! What a group is and who its members are: DescribeGroups, and ConsumerGroupDescribe for groups of
//! the newer protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use thalweg_wire::messages::consumer_group_describe_response::{
    AssignmentView, ConsumerGroupDescribeResponseView,
};
use thalweg_wire::messages::consumer_protocol_assignment::ConsumerProtocolAssignmentView;
use thalweg_wire::messages::describe_groups_request::DescribeGroupsRequest;
use thalweg_wire::messages::describe_groups_response::DescribeGroupsResponseView;

use super::super::client::Reply;
use super::super::failure::Failure;
use super::super::routing::{Call, Cluster, TopicPartition};
use super::report::{Assigned, Member};

const DESCRIBE_GROUPS: (i16, i16) = (0, 6);
const CONSUMER_GROUP_DESCRIBE: (i16, i16) = (0, 1);
/// The newest layout of assignments that is understood; younger ones begin like it.
const ASSIGNMENT_MAX: i16 = 3;
const DOING: &str = "describing group";

/// A group, without its offsets.
#[derive(Debug)]
pub(super) struct State {
    pub(super) state: String,
    pub(super) kind: &'static str,
    pub(super) protocol_type: String,
    pub(super) assignor: Option<String>,
    pub(super) members: Vec<Member>,
}

impl State {
    /// Nobody would notice a change: the group has no members.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty() && matches!(self.state.as_str(), "Empty" | "Dead")
    }

    /// Who each partition is assigned to.
    pub(super) fn owners(&self) -> BTreeMap<TopicPartition, &Member> {
        let mut owners = BTreeMap::new();
        for member in &self.members {
            for topic in &member.assignment {
                for partition in &topic.partitions {
                    owners.insert(TopicPartition::new(&topic.topic, *partition), member);
                }
            }
        }
        owners
    }
}

/// Asks the coordinator; none if there is no such group.
pub(super) fn look(cluster: &mut Cluster, group: &str) -> Result<Option<State>, Failure> {
    match classic(cluster, group)? {
        Some(state) => Ok(Some(state)),
        None => consumer(cluster, group),
    }
}

/// The same; a missing group is a failure.
pub(super) fn need(cluster: &mut Cluster, group: &str) -> Result<State, Failure> {
    let missing = ErrorCode::GroupIdNotFound.code();
    look(cluster, group)?.ok_or_else(|| Failure::refused(DOING, group, missing, None))
}

/// The same for a change that needs a group without members; a missing group has none.
pub(super) fn need_idle(cluster: &mut Cluster, group: &str, doing: &str) -> Result<(), Failure> {
    match look(cluster, group)? {
        Some(state) if !state.is_idle() => {
            let code = ErrorCode::NonEmptyGroup.code();
            Err(Failure::refused(doing, group, code, None))
        }
        _ => Ok(()),
    }
}

fn classic(cluster: &mut Cluster, group: &str) -> Result<Option<State>, Failure> {
    let call = Call::new(ApiKey::DescribeGroups, DESCRIBE_GROUPS);
    let request = |_version| DescribeGroupsRequest {
        groups: vec![Cow::Borrowed(group)],
        ..DescribeGroupsRequest::default()
    };
    let code_of = |reply: &Reply| {
        let answer: DescribeGroupsResponseView<'_> = reply.view()?;
        let first = answer.groups.iter().next();
        Ok(first.map_or(0, |group| group.error_code))
    };
    let reply = cluster.ask_coordinator(group, &call, request, code_of)?;
    let answer: DescribeGroupsResponseView<'_> = reply.view()?;
    let Some(found) = answer.groups.iter().next() else {
        return Err(Failure::protocol(
            "the coordinator",
            "no group in the answer",
        ));
    };
    let missing = found.error_code == ErrorCode::GroupIdNotFound.code();
    // Before version 6, a group that is not there is "dead".
    if missing || (found.error_code == 0 && found.group_state == "Dead") {
        return Ok(None);
    }
    if found.error_code != 0 {
        let (code, message) = (found.error_code, found.error_message);
        return Err(Failure::refused(DOING, group, code, message));
    }
    let members = found.members.iter().map(|member| Member {
        member: member.member_id.to_owned(),
        instance: member.group_instance_id.map(str::to_owned),
        client: member.client_id.to_owned(),
        host: member.client_host.trim_start_matches('/').to_owned(),
        assignment: assignment(member.member_assignment),
    });
    Ok(Some(State {
        state: found.group_state.to_owned(),
        kind: "classic",
        protocol_type: found.protocol_type.to_owned(),
        assignor: Some(found.protocol_data.to_owned()).filter(|name| !name.is_empty()),
        members: members.collect(),
    }))
}

/// The assignment of a classic consumer; members of other kinds (Connect) have none that we know.
fn assignment(bytes: &[u8]) -> Vec<Assigned> {
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return Vec::new();
    };
    let version = i16::from_be_bytes(*version).clamp(0, ASSIGNMENT_MAX);
    let Ok(view) = ConsumerProtocolAssignmentView::decode(body, version) else {
        return Vec::new();
    };
    let topics = view.assigned_partitions.iter().map(|topic| Assigned {
        topic: topic.topic.to_owned(),
        partitions: topic.partitions.iter().collect(),
    });
    topics.collect()
}

fn consumer(cluster: &mut Cluster, group: &str) -> Result<Option<State>, Failure> {
    let api = ApiKey::ConsumerGroupDescribe;
    if !cluster.any().announced().contains_key(&api.code()) {
        return Ok(None);
    }
    let call = Call::new(api, CONSUMER_GROUP_DESCRIBE);
    let request = |_version| ConsumerGroupDescribeRequest {
        group_ids: vec![Cow::Borrowed(group)],
        ..ConsumerGroupDescribeRequest::default()
    };
    let code_of = |reply: &Reply| {
        let answer: ConsumerGroupDescribeResponseView<'_> = reply.view()?;
        let first = answer.groups.iter().next();
        Ok(first.map_or(0, |group| group.error_code))
    };
    let reply = cluster.ask_coordinator(group, &call, request, code_of)?;
    let answer: ConsumerGroupDescribeResponseView<'_> = reply.view()?;
    let Some(found) = answer.groups.iter().next() else {
        return Err(Failure::protocol(
            "the coordinator",
            "no group in the answer",
        ));
    };
    if found.error_code == ErrorCode::GroupIdNotFound.code() {
        return Ok(None);
    }
    if found.error_code != 0 {
        let (code, message) = (found.error_code, found.error_message);
        return Err(Failure::refused(DOING, group, code, message));
    }
    let members = found.members.iter().map(|member| Member {
        member: member.member_id.to_owned(),
        instance: member.instance_id.map(str::to_owned),
        client: member.client_id.to_owned(),
        host: member.client_host.trim_start_matches('/').to_owned(),
        assignment: newer_assignment(&member.assignment),
    });
    Ok(Some(State {
        state: found.group_state.to_owned(),
        kind: "consumer",
        protocol_type: "consumer".to_owned(),
        assignor: Some(found.assignor_name.to_owned()).filter(|name| !name.is_empty()),
        members: members.collect(),
    }))
}

fn newer_assignment(assignment: &AssignmentView<'_>) -> Vec<Assigned> {
    let topics = assignment.topic_partitions.iter().map(|topic| Assigned {
        topic: topic.topic_name.to_owned(),
        partitions: topic.partitions.iter().collect(),
    });
    topics.collect()
}
