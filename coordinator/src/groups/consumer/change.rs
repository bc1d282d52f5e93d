//! One change of a consumer group: a record of `__consumer_offsets`, both ways, in Kafka's bytes.
//!
//! Key types 3 and 5 to 8 and 16. Type 4, the topics' partitions, was written by Kafka before 4.1; it is read over.

use std::sync::Arc;

use thalweg_wire::bytes::{Array, DecodeError, EncodeError, Message};
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::consumer_group_current_member_assignment_key::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentKeyView,
};
use thalweg_wire::messages::consumer_group_current_member_assignment_value::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupCurrentMemberAssignmentValueView,
    TopicPartitions, TopicPartitionsView,
};
use thalweg_wire::messages::consumer_group_member_metadata_key::{
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataKeyView,
};
use thalweg_wire::messages::consumer_group_member_metadata_value::{
    ConsumerGroupMemberMetadataValue, ConsumerGroupMemberMetadataValueView,
};
use thalweg_wire::messages::consumer_group_metadata_key::{
    ConsumerGroupMetadataKey, ConsumerGroupMetadataKeyView,
};
use thalweg_wire::messages::consumer_group_metadata_value::{
    ConsumerGroupMetadataValue, ConsumerGroupMetadataValueView,
};
use thalweg_wire::messages::consumer_group_partition_metadata_key::ConsumerGroupPartitionMetadataKeyView;
use thalweg_wire::messages::consumer_group_regular_expression_key::{
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionKeyView,
};
use thalweg_wire::messages::consumer_group_regular_expression_value::{
    ConsumerGroupRegularExpressionValue, ConsumerGroupRegularExpressionValueView,
};
use thalweg_wire::messages::consumer_group_target_assignment_member_key::{
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberKeyView,
};
use thalweg_wire::messages::consumer_group_target_assignment_member_value::{
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMemberValueView,
    TopicPartition,
};
use thalweg_wire::messages::consumer_group_target_assignment_metadata_key::{
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataKeyView,
};
use thalweg_wire::messages::consumer_group_target_assignment_metadata_value::{
    ConsumerGroupTargetAssignmentMetadataValue, ConsumerGroupTargetAssignmentMetadataValueView,
};
use thalweg_wire::messages::coordinator::{decode_key, decode_value, encode_key, encode_value};

use super::state::{Assignment, Current, Epochs, Regex, State, Subscription};
use crate::groups::step::Record;

/// One change. None is a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::groups) enum Change {
    /// The group's epoch and metadata hash; none: there is no such group.
    Epoch(Option<(i32, i64)>),
    /// What the topics were; nobody here asks.
    PartitionMetadata,
    /// What a member asks for; none: it is gone.
    Member(Arc<str>, Option<Arc<Subscription>>),
    /// The target assignment's epoch and time.
    TargetEpoch(Option<(i32, i64)>),
    /// What a member is to have.
    Target(Arc<str>, Option<Arc<Assignment>>),
    /// What a member has.
    Current(Arc<str>, Option<Arc<Current>>),
    /// What a pattern matched.
    Regex(Arc<str>, Option<Arc<Regex>>),
}

impl Change {
    /// Whether it only takes away.
    pub(in crate::groups) const fn is_tombstone(&self) -> bool {
        matches!(
            self,
            Self::Epoch(None)
                | Self::PartitionMetadata
                | Self::Member(_, None)
                | Self::TargetEpoch(None)
                | Self::Target(_, None)
                | Self::Current(_, None)
                | Self::Regex(_, None)
        )
    }

    /// Its record.
    pub(super) fn record(&self, group: &str) -> Result<Record, EncodeError> {
        let group_id = || group.to_owned().into();
        let member_id = |id: &Arc<str>| id.to_string().into();
        match self {
            Self::Epoch(value) => {
                let key = ConsumerGroupMetadataKey {
                    group_id: group_id(),
                };
                let value = value.map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue {
                    epoch,
                    metadata_hash,
                });
                pair(&key, value.as_ref())
            }
            Self::Member(id, value) => {
                let key = ConsumerGroupMemberMetadataKey {
                    group_id: group_id(),
                    member_id: member_id(id),
                };
                pair(&key, value.as_deref().map(subscription_value).as_ref())
            }
            Self::TargetEpoch(value) => {
                let key = ConsumerGroupTargetAssignmentMetadataKey {
                    group_id: group_id(),
                };
                let value = value.map(|(assignment_epoch, assignment_timestamp)| {
                    ConsumerGroupTargetAssignmentMetadataValue {
                        assignment_epoch,
                        assignment_timestamp,
                    }
                });
                pair(&key, value.as_ref())
            }
            Self::Target(id, value) => {
                let key = ConsumerGroupTargetAssignmentMemberKey {
                    group_id: group_id(),
                    member_id: member_id(id),
                };
                pair(&key, value.as_deref().map(target_value).as_ref())
            }
            Self::Current(id, value) => {
                let key = ConsumerGroupCurrentMemberAssignmentKey {
                    group_id: group_id(),
                    member_id: member_id(id),
                };
                pair(&key, value.as_deref().map(current_value).as_ref())
            }
            Self::Regex(text, value) => {
                let key = ConsumerGroupRegularExpressionKey {
                    group_id: group_id(),
                    regular_expression: text.to_string().into(),
                };
                pair(&key, value.as_deref().map(regex_value).as_ref())
            }
            Self::PartitionMetadata => unreachable!("nobody writes what is only read over"),
        }
    }
}

fn pair<K: Message, V: Message>(key: &K, value: Option<&V>) -> Result<Record, EncodeError> {
    let value = value.map(|value| encode_value(value, 0));
    Ok(Record {
        key: encode_key(key)?,
        value: value.transpose()?,
    })
}

fn subscription_value(from: &Subscription) -> ConsumerGroupMemberMetadataValue<'_> {
    ConsumerGroupMemberMetadataValue {
        instance_id: from.instance.as_deref().map(Into::into),
        rack_id: from.rack.as_deref().map(Into::into),
        client_id: (&*from.client_id).into(),
        client_host: (&*from.client_host).into(),
        subscribed_topic_names: from.topics.iter().map(|name| (&**name).into()).collect(),
        subscribed_topic_regex: Some(from.regex.as_deref().unwrap_or_default().into()),
        rebalance_timeout_ms: from.rebalance_timeout_ms,
        server_assignor: from.assignor.as_deref().map(Into::into),
        classic_member_metadata: None,
    }
}

fn target_value(from: &Assignment) -> ConsumerGroupTargetAssignmentMemberValue {
    let topics = from.iter().map(|(topic, partitions)| TopicPartition {
        topic_id: *topic,
        partitions: partitions.iter().copied().collect(),
    });
    ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: topics.collect(),
    }
}

fn current_value(from: &Current) -> ConsumerGroupCurrentMemberAssignmentValue {
    let topics = |epochs: &Epochs| {
        let topics = epochs.iter().map(|(topic, partitions)| TopicPartitions {
            topic_id: *topic,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        });
        topics.collect()
    };
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: from.epoch,
        previous_member_epoch: from.previous,
        state: match from.state {
            State::Stable => 0,
            State::Unrevoked => 1,
            State::Unreleased => 2,
            State::Unknown => 127,
        },
        assigned_partitions: topics(&from.assigned),
        partitions_pending_revocation: topics(&from.revoking),
    }
}

fn regex_value(from: &Regex) -> ConsumerGroupRegularExpressionValue<'_> {
    ConsumerGroupRegularExpressionValue {
        topics: from.topics.iter().map(|name| (&**name).into()).collect(),
        version: from.version,
        timestamp: from.timestamp,
    }
}

/// Reads a record of that key type: the group and the change. None if it is of another kind.
pub(in crate::groups) fn read<'a>(
    kind: i16,
    key: &'a [u8],
    value: Option<&'a [u8]>,
) -> Result<Option<(&'a str, Change)>, DecodeError> {
    Ok(Some(match kind {
        3 => {
            let key: ConsumerGroupMetadataKeyView<'_> = decode_key(key)?;
            let value = value.map(decode_value::<ConsumerGroupMetadataValueView>);
            let value = value
                .transpose()?
                .map(|(view, _)| (view.epoch, view.metadata_hash));
            (key.group_id, Change::Epoch(value))
        }
        4 => {
            let key: ConsumerGroupPartitionMetadataKeyView<'_> = decode_key(key)?;
            (key.group_id, Change::PartitionMetadata)
        }
        5 => {
            let key: ConsumerGroupMemberMetadataKeyView<'_> = decode_key(key)?;
            let value = value.map(decode_value::<ConsumerGroupMemberMetadataValueView<'_>>);
            let value = value.transpose()?.map(|(view, _)| read_subscription(&view));
            (
                key.group_id,
                Change::Member(key.member_id.into(), value.map(Arc::new)),
            )
        }
        6 => {
            let key: ConsumerGroupTargetAssignmentMetadataKeyView<'_> = decode_key(key)?;
            let value = value.map(decode_value::<ConsumerGroupTargetAssignmentMetadataValueView>);
            let value = value.transpose()?;
            let value = value.map(|(view, _)| (view.assignment_epoch, view.assignment_timestamp));
            (key.group_id, Change::TargetEpoch(value))
        }
        7 => {
            let key: ConsumerGroupTargetAssignmentMemberKeyView<'_> = decode_key(key)?;
            let value = value.map(decode_value::<ConsumerGroupTargetAssignmentMemberValueView<'_>>);
            let value = value.transpose()?.map(|(view, _)| {
                let topics = view.topic_partitions.iter();
                Arc::new(
                    topics
                        .map(|one| (one.topic_id, one.partitions.iter().collect()))
                        .collect(),
                )
            });
            (key.group_id, Change::Target(key.member_id.into(), value))
        }
        8 => {
            let key: ConsumerGroupCurrentMemberAssignmentKeyView<'_> = decode_key(key)?;
            let value =
                value.map(decode_value::<ConsumerGroupCurrentMemberAssignmentValueView<'_>>);
            let value = value
                .transpose()?
                .map(|(view, _)| Arc::new(read_current(&view)));
            (key.group_id, Change::Current(key.member_id.into(), value))
        }
        16 => {
            let key: ConsumerGroupRegularExpressionKeyView<'_> = decode_key(key)?;
            let value = value.map(decode_value::<ConsumerGroupRegularExpressionValueView<'_>>);
            let value = value.transpose()?.map(|(view, _)| {
                Arc::new(Regex {
                    topics: view.topics.iter().map(Arc::from).collect(),
                    version: view.version,
                    timestamp: view.timestamp,
                })
            });
            (
                key.group_id,
                Change::Regex(key.regular_expression.into(), value),
            )
        }
        _ => return Ok(None),
    }))
}

fn read_subscription(view: &ConsumerGroupMemberMetadataValueView<'_>) -> Subscription {
    let regex = view.subscribed_topic_regex.filter(|text| !text.is_empty());
    Subscription {
        instance: view.instance_id.map(Arc::from),
        rack: view.rack_id.map(Arc::from),
        client_id: view.client_id.into(),
        client_host: view.client_host.into(),
        topics: view.subscribed_topic_names.iter().map(Arc::from).collect(),
        regex: regex.map(Arc::from),
        rebalance_timeout_ms: view.rebalance_timeout_ms,
        assignor: view.server_assignor.map(Arc::from),
    }
}

fn read_current(view: &ConsumerGroupCurrentMemberAssignmentValueView<'_>) -> Current {
    let topics = |list: &Array<'_, TopicPartitionsView<'_>>| -> Epochs {
        list.iter()
            .map(|one| (one.topic_id, read_epochs(&one, view.member_epoch)))
            .collect()
    };
    Current {
        epoch: view.member_epoch,
        previous: view.previous_member_epoch,
        state: match view.state {
            0 => State::Stable,
            1 => State::Unrevoked,
            2 => State::Unreleased,
            _ => State::Unknown,
        },
        assigned: topics(&view.assigned_partitions),
        revoking: topics(&view.partitions_pending_revocation),
    }
}

/// Records of Kafka before 4.3 do not say since when a member has a partition: since its epoch, as far as is known.
fn read_epochs(one: &TopicPartitionsView<'_>, known: i32) -> std::collections::BTreeMap<i32, i32> {
    let mut epochs = one.assignment_epochs.as_ref().map(Array::iter);
    let mut next = || epochs.as_mut().and_then(Iterator::next).unwrap_or(known);
    let partitions = one.partitions.iter();
    partitions.map(|partition| (partition, next())).collect()
}

/// The ids of a list of topics.
pub(super) fn assignment_of(epochs: &Epochs) -> Assignment {
    let topics = epochs.iter();
    topics
        .map(|(topic, partitions): (&Uuid, _)| (*topic, partitions.keys().copied().collect()))
        .collect()
}
