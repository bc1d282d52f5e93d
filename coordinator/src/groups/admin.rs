//! What administrators ask: ListGroups, DescribeGroups, DeleteGroups, OffsetDelete.

use std::collections::BTreeSet;

use thalweg_wire::ids::PartitionIndex;
use thalweg_wire::messages::delete_groups_response::DeletableGroupResult;
use thalweg_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use thalweg_wire::messages::list_groups_request::ListGroupsRequestView;
use thalweg_wire::messages::list_groups_response::ListedGroup;
use thalweg_wire::messages::offset_delete_request::{
    OffsetDeleteRequestTopicView, OffsetDeleteRequestView,
};
use thalweg_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use crate::error::ErrorCode;

use super::consumer;
use super::live::{Live, Member, Phase};
use super::logged::Logged;
use super::record::{self, OffsetPlace};
use super::shard::{Group, GroupShard};
use super::step::{Answer, Caller, Pending, Scene, Step};

/// What everybody may do with a group while there is no authorizer, as Kafka's bit field.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// Kafka's name for groups of this kind.
const TYPE: &str = "classic";
/// What a group that is not there is said to be.
const DEAD: &str = "Dead";
/// The first version in which a group that is not there is an error.
const NOT_FOUND_VERSION: i16 = 6;

impl GroupShard {
    /// ListGroups: this shard's groups.
    pub fn list(&mut self, caller: &Caller<'_>, request: &ListGroupsRequestView<'_>) -> Step {
        let filter = |texts: thalweg_wire::bytes::Array<'_, &str>| -> BTreeSet<String> {
            texts
                .iter()
                .map(|text| text.to_lowercase().trim().to_owned())
                .collect()
        };
        let states = filter(request.states_filter);
        // Kafka trims states only.
        let types: BTreeSet<String> = request.types_filter.iter().map(str::to_lowercase).collect();
        let is_wanted = |group: &Group| {
            let state = state(group).to_lowercase();
            (states.is_empty() || states.contains(&state))
                && (types.is_empty() || types.contains(kind(group)))
        };
        let groups = self.groups.iter().filter(|(_, group)| is_wanted(group));
        let groups = groups.map(|(id, group)| ListedGroup {
            group_id: id.to_string().into(),
            protocol_type: match group.logged.consumer {
                Some(_) => consumer::TYPE.into(),
                None => protocol_type(&group.live).into(),
            },
            group_state: state(group).into(),
            group_type: kind(group).into(),
        });
        Step::answer(caller.asker(), Answer::List(groups.collect()), true)
    }

    /// DescribeGroups: the groups asked for that belong to this shard; with `operations`, what the caller may do
    /// with each.
    pub fn describe(&mut self, caller: &Caller<'_>, groups: &[&str], operations: bool) -> Step {
        let groups = groups.iter().map(|id| {
            let mut described = match self.groups.get(*id) {
                Some(group) if group.logged.consumer.is_none() => described(id, &group.live),
                Some(_) => missing(id, caller.version, "is not a classic group"),
                None => missing(id, caller.version, "not found"),
            };
            if operations && described.error_code == ErrorCode::None as i16 {
                described.authorized_operations = GROUP_OPERATIONS;
            }
            described
        });
        Step::answer(caller.asker(), Answer::Describe(groups.collect()), true)
    }

    /// DeleteGroups: the groups asked for that belong to this shard.
    pub fn delete_groups(&mut self, caller: &Caller<'_>, groups: &[&str]) -> Step {
        let mut step = Step::new();
        let mut results = Vec::new();
        let mut seen = BTreeSet::new();
        for id in groups.iter().filter(|id| seen.insert(**id)) {
            let code = match self.groups.get(*id) {
                None => ErrorCode::GroupIdNotFound,
                Some(group) if !is_empty(group) => ErrorCode::NonEmptyGroup,
                Some(group) => {
                    bury(id, &group.logged, &mut step);
                    ErrorCode::None
                }
            };
            results.push(DeletableGroupResult {
                group_id: (*id).to_owned().into(),
                error_code: code as i16,
            });
        }
        step.replies.push(Pending {
            to: caller.asker(),
            answer: Answer::DeleteGroups(results),
            logged: true,
        });
        step
    }

    /// OffsetDelete.
    pub fn delete_offsets(
        &mut self,
        caller: &Caller<'_>,
        request: &OffsetDeleteRequestView<'_>,
        scene: Scene<'_>,
    ) -> Step {
        let group = match self.deletable(request.group_id) {
            Ok(group) => group,
            Err(code) => {
                let answer = Answer::DeleteOffsets(OffsetDeleteResponse::default());
                return Step::answer(caller.asker(), answer.refused(code), false);
            }
        };
        let mut step = Step::new();
        let mut topics: Vec<OffsetDeleteResponseTopic<'static>> = Vec::new();
        for asked in request.topics.iter() {
            topics.push(delete_topic(
                request.group_id,
                group,
                (&asked, scene),
                &mut step,
            ));
        }
        topics.sort_by_key(|topic| {
            let unknown = ErrorCode::UnknownTopicOrPartition as i16;
            !topic
                .partitions
                .iter()
                .any(|partition| partition.error_code == unknown)
        });
        let answer = OffsetDeleteResponse {
            topics,
            ..OffsetDeleteResponse::default()
        };
        step.replies.push(Pending {
            to: caller.asker(),
            answer: Answer::DeleteOffsets(answer),
            logged: true,
        });
        step
    }

    fn deletable(&self, id: &str) -> Result<&Group, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        // What members of other kinds want of topics is not known.
        let is_consumers = group.logged.consumer.is_some() || group.live.is_consumers();
        if !is_empty(group) && !is_consumers {
            return Err(ErrorCode::NonEmptyGroup);
        }
        Ok(group)
    }
}

/// Kafka's name for the group's state.
fn state(group: &Group) -> &'static str {
    let consumers = group.logged.consumer.as_ref();
    consumers.map_or(group.live.phase.name(), |consumers| {
        consumers.phase().name()
    })
}

fn kind(group: &Group) -> &'static str {
    match group.logged.consumer {
        Some(_) => consumer::TYPE,
        None => TYPE,
    }
}

/// Whether nobody is in it.
pub(super) fn is_empty(group: &Group) -> bool {
    let consumers = group.logged.consumer.as_ref();
    consumers.map_or(group.live.phase == Phase::Empty, |consumers| {
        consumers.members.is_empty()
    })
}

/// Whether a member wants that topic.
pub(super) fn wants(group: &Group, topic: &str) -> bool {
    match &group.logged.consumer {
        Some(consumers) => consumers.wants(topic),
        None => group.live.wants(topic),
    }
}

fn protocol_type(live: &Live) -> String {
    live.protocol_type.as_deref().unwrap_or_default().to_owned()
}

fn described(id: &str, live: &Live) -> DescribedGroup<'static> {
    // What members say to each other is shown once they have agreed.
    let protocol = live
        .protocol
        .as_deref()
        .filter(|_| live.phase == Phase::Stable);
    DescribedGroup {
        group_id: id.to_owned().into(),
        group_state: live.phase.name().into(),
        protocol_type: protocol_type(live).into(),
        protocol_data: protocol.unwrap_or_default().to_owned().into(),
        members: live
            .members()
            .map(|member| described_member(member, protocol))
            .collect(),
        ..DescribedGroup::default()
    }
}

fn described_member(member: &Member, protocol: Option<&str>) -> DescribedGroupMember<'static> {
    let metadata = protocol.and_then(|protocol| member.metadata(protocol));
    DescribedGroupMember {
        member_id: member.id.to_string().into(),
        group_instance_id: member
            .instance
            .as_deref()
            .map(|name| name.to_owned().into()),
        client_id: member.client_id.to_string().into(),
        client_host: member.client_host.to_string().into(),
        member_metadata: metadata
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
            .into(),
        member_assignment: member.assignment.to_vec().into(),
    }
}

fn missing(id: &str, version: i16, what: &str) -> DescribedGroup<'static> {
    let mut group = DescribedGroup {
        group_id: id.to_owned().into(),
        group_state: DEAD.into(),
        ..DescribedGroup::default()
    };
    if version >= NOT_FOUND_VERSION {
        group.error_code = ErrorCode::GroupIdNotFound as i16;
        group.error_message = Some(format!("Group {id} {what}.").into());
    }
    group
}

/// Tombstones of all that a group has, and of itself.
fn bury(id: &str, logged: &Logged, step: &mut Step) {
    let mut places = BTreeSet::new();
    for offsets in logged.all_offsets() {
        for (topic, partitions) in offsets.topics() {
            places.extend(partitions.keys().map(|partition| (topic, *partition)));
        }
    }
    for (topic, partition) in places {
        push_tombstone(id, (topic, partition), step);
    }
    push_group_tombstones(id, logged, step);
}

/// The tombstone of one offset.
pub(super) fn push_tombstone(group: &str, place: (&str, i32), step: &mut Step) {
    let (topic, partition) = place;
    let place = OffsetPlace {
        group,
        topic,
        partition,
    };
    step.records.push(
        place
            .tombstone()
            .expect("texts that were logged fit into records"),
    );
}

/// The tombstones of a group without offsets.
pub(super) fn push_group_tombstones(id: &str, logged: &Logged, step: &mut Step) {
    if let Some(group) = &logged.consumer {
        consumer::bury(id, group, step);
        return;
    }
    step.records
        .push(record::group(id, None).expect("an id that was logged fits into a record"));
}

fn delete_topic(
    id: &str,
    group: &Group,
    asked: (&OffsetDeleteRequestTopicView<'_>, Scene<'_>),
    step: &mut Step,
) -> OffsetDeleteResponseTopic<'static> {
    let (asked, scene) = asked;
    let (logged, name) = (&group.logged, asked.name);
    let topic = scene.image.topics.named(name);
    let wanted = wants(group, name);
    let mut partitions = Vec::new();
    for partition in asked.partitions.iter() {
        let index = partition.partition_index;
        let exists = topic.is_some_and(|topic| topic.partition(PartitionIndex(index)).is_some());
        let code = if !exists {
            ErrorCode::UnknownTopicOrPartition
        } else if wanted {
            ErrorCode::GroupSubscribedToTopic
        } else {
            if logged.offsets.get(name, index).is_some() || logged.is_unstable(name, index) {
                push_tombstone(id, (name, index), step);
            }
            ErrorCode::None
        };
        partitions.push(OffsetDeleteResponsePartition {
            partition_index: index,
            error_code: code as i16,
        });
    }
    // What does not exist comes first in Kafka's answer.
    partitions.sort_by_key(|one| one.error_code != ErrorCode::UnknownTopicOrPartition as i16);
    OffsetDeleteResponseTopic {
        name: name.to_owned().into(),
        partitions,
    }
}
