//! ConsumerGroupDescribe, and the records that end a group.

use thalweg_wire::messages::consumer_group_describe_response as response;
use thalweg_wire::messages::consumer_group_describe_response::DescribedGroup;

use crate::error::ErrorCode;
use crate::groups::shard::GroupShard;
use crate::groups::step::{Answer, Caller, Scene, Step};
use crate::metadata::image::Image;

use super::assign::Assignor;
use super::change::{Change, assignment_of};
use super::draft::Draft;
use super::state::{Assignment, ConsumerGroup, ConsumerMember};

/// Kafka's name for groups of this kind, and for their protocol.
pub(in crate::groups) const TYPE: &str = "consumer";

/// A member that heartbeats itself.
const MEMBER_TYPE: i8 = 1;

impl GroupShard {
    /// ConsumerGroupDescribe: the groups asked for that belong to this shard.
    pub fn describe_consumers(
        &mut self,
        caller: &Caller<'_>,
        groups: &[&str],
        scene: Scene<'_>,
    ) -> Step {
        let groups = groups.iter().map(|id| match self.consumer_group(id) {
            Some(group) => {
                let assignor = Assignor::of(group, &self.config.consumer_assignors);
                described(id, group, assignor, scene.image)
            }
            None => {
                let what = if self.groups.contains_key(*id) {
                    "is not a consumer group"
                } else {
                    "not found"
                };
                DescribedGroup {
                    group_id: (*id).to_owned().into(),
                    error_code: ErrorCode::GroupIdNotFound as i16,
                    error_message: Some(format!("Group {id} {what}.").into()),
                    ..DescribedGroup::default()
                }
            }
        });
        Step::answer(
            caller.asker(),
            Answer::DescribeConsumers(groups.collect()),
            true,
        )
    }
}

fn described(
    id: &str,
    group: &ConsumerGroup,
    assignor: Assignor,
    image: &Image,
) -> DescribedGroup<'static> {
    let members = group
        .members
        .iter()
        .map(|(id, member)| described_member(id, group, member, image));
    DescribedGroup {
        group_id: id.to_owned().into(),
        group_state: group.phase().name().into(),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: assignor.name().into(),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

fn described_member(
    id: &str,
    group: &ConsumerGroup,
    member: &ConsumerMember,
    image: &Image,
) -> response::Member<'static> {
    let owned = |text: &str| text.to_owned().into();
    let from = &member.subscription;
    response::Member {
        member_id: owned(id),
        instance_id: from.instance.as_deref().map(owned),
        rack_id: from.rack.as_deref().map(owned),
        member_epoch: member.current.epoch,
        client_id: owned(&from.client_id),
        client_host: owned(&from.client_host),
        subscribed_topic_names: from.topics.iter().map(|name| owned(name)).collect(),
        subscribed_topic_regex: Some(owned(from.regex.as_deref().unwrap_or_default())),
        assignment: shown(&assignment_of(&member.current.assigned), image),
        target_assignment: shown(&group.target(id), image),
        member_type: MEMBER_TYPE,
    }
}

/// Topics that are gone have no name to be shown by.
fn shown(assignment: &Assignment, image: &Image) -> response::Assignment<'static> {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        Some(response::TopicPartitions {
            topic_id: *id,
            topic_name: image.topics.get(*id)?.name.to_string().into(),
            partitions: partitions.iter().copied().collect(),
        })
    });
    response::Assignment {
        topic_partitions: topics.collect(),
    }
}

/// Tombstones of all that a group has but its offsets, and of itself.
pub(in crate::groups) fn bury(id: &str, group: &ConsumerGroup, step: &mut Step) {
    let mut draft = Draft::new(id, None);
    for member in group.members.keys() {
        draft.put_last(&Change::Current(member.clone(), None));
    }
    for member in group.targets.keys() {
        draft.put_last(&Change::Target(member.clone(), None));
    }
    draft.put_last(&Change::TargetEpoch(None));
    for member in group.members.keys() {
        draft.put_last(&Change::Member(member.clone(), None));
    }
    for text in group.regexes.keys() {
        draft.put_last(&Change::Regex(text.clone(), None));
    }
    draft.put_last(&Change::Epoch(None));
    step.records.append(&mut draft.records);
}
