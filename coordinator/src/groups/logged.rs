//! What the records say of a group: the layer that only `replay` writes.
//!
//! Invariant: the same records in the same order give the same state, at the start and on the running node.
//! No time, no configuration and no live state has a part in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::ids::{Offset, ProducerId, Uuid};
use thalweg_wire::messages::group_metadata_value::{
    GroupMetadataValue, GroupMetadataValueView, MemberMetadata, MemberMetadataView,
};
use thalweg_wire::messages::offset_commit_value::{OffsetCommitValue, OffsetCommitValueView};

use super::consumer::ConsumerGroup;

/// What Kafka writes for "no time".
const NO_TIME: i64 = -1;

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The offset.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 is unknown.
    pub leader_epoch: i32,
    /// Whatever the client put beside it.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_timestamp: i64,
    /// When it expires, if a client of old asked for a time; else -1.
    pub expire_timestamp: i64,
    /// The topic's id; zero if the record is older than ids.
    pub topic_id: Uuid,
    /// Where its record lies.
    pub at: Offset,
}

impl Committed {
    pub(super) fn read(at: Offset, value: &OffsetCommitValueView<'_>) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into(),
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: value.expire_timestamp,
            topic_id: value.topic_id,
            at,
        }
    }

    pub(super) fn value(&self) -> OffsetCommitValue<'_> {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: (&*self.metadata).into(),
            commit_timestamp: self.commit_timestamp,
            expire_timestamp: self.expire_timestamp,
            topic_id: self.topic_id,
        }
    }

    /// Whether it was committed for that topic rather than for one of the same name before or after it.
    pub(super) fn is_of(&self, topic: Uuid) -> bool {
        self.topic_id.is_zero() || topic.is_zero() || self.topic_id == topic
    }
}

/// Offsets by topic and partition. No topic is without partitions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offsets {
    topics: BTreeMap<Box<str>, BTreeMap<i32, Committed>>,
}

impl Offsets {
    /// The offset of a partition.
    #[must_use]
    pub fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    /// The offsets of a topic.
    pub fn of_topic(&self, topic: &str) -> impl Iterator<Item = (i32, &Committed)> {
        let partitions = self.topics.get(topic).into_iter().flatten();
        partitions.map(|(partition, committed)| (*partition, committed))
    }

    /// Topics in order, each with its partitions in order.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Committed>)> {
        self.topics
            .iter()
            .map(|(topic, partitions)| (&**topic, partitions))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub(super) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        match self.topics.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, committed);
            }
            None => {
                let partitions = BTreeMap::from([(partition, committed)]);
                self.topics.insert(topic.into(), partitions);
            }
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }
}

/// A generation of a group as its leader's assignment, or its end, was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    /// Kind of its members' protocols; none if it never had members.
    pub protocol_type: Option<Arc<str>>,
    /// Its number.
    pub number: i32,
    /// The protocol that its members agreed on.
    pub protocol: Option<Arc<str>>,
    /// The member that assigned.
    pub leader: Option<Arc<str>>,
    /// Since when it is as it is; -1 if the record is older than that field.
    pub since: i64,
    /// Its members, in the record's order.
    pub members: Vec<LoggedMember>,
}

/// A member of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedMember {
    /// Its id.
    pub id: Arc<str>,
    /// The name that a static member keeps over restarts.
    pub instance: Option<Arc<str>>,
    /// Its client's id.
    pub client_id: Arc<str>,
    /// Its client's address.
    pub client_host: Arc<str>,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata for the protocol.
    pub subscription: Arc<[u8]>,
    /// What it was assigned.
    pub assignment: Arc<[u8]>,
}

impl Generation {
    pub(super) fn read(value: &GroupMetadataValueView<'_>) -> Self {
        Self {
            protocol_type: Some(value.protocol_type)
                .filter(|kind| !kind.is_empty())
                .map(Arc::from),
            number: value.generation,
            protocol: value.protocol.map(Arc::from),
            leader: value.leader.map(Arc::from),
            since: value.current_state_timestamp,
            members: value
                .members
                .iter()
                .map(|member| LoggedMember::read(&member))
                .collect(),
        }
    }

    pub(super) fn value(&self) -> GroupMetadataValue<'_> {
        GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().into(),
            generation: self.number,
            protocol: self.protocol.as_deref().map(Into::into),
            leader: self.leader.as_deref().map(Into::into),
            current_state_timestamp: self.since,
            members: self.members.iter().map(LoggedMember::value).collect(),
        }
    }
}

impl LoggedMember {
    fn read(member: &MemberMetadataView<'_>) -> Self {
        // Records of Kafka 0.10.0 and before have no time for rebalances.
        let rebalance_timeout_ms = match member.rebalance_timeout {
            -1 => member.session_timeout,
            timeout => timeout,
        };
        Self {
            id: member.member_id.into(),
            instance: member.group_instance_id.map(Arc::from),
            client_id: member.client_id.into(),
            client_host: member.client_host.into(),
            rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout,
            subscription: member.subscription.into(),
            assignment: member.assignment.into(),
        }
    }

    fn value(&self) -> MemberMetadata<'_> {
        MemberMetadata {
            member_id: (&*self.id).into(),
            group_instance_id: self.instance.as_deref().map(Into::into),
            client_id: (&*self.client_id).into(),
            client_host: (&*self.client_host).into(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: (&*self.subscription).into(),
            assignment: (&*self.assignment).into(),
        }
    }
}

/// All that the records say of one group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Logged {
    /// Its last generation; none if it only keeps offsets.
    pub generation: Option<Generation>,
    /// The consumer group of KIP-848 that it is, if it is one.
    pub consumer: Option<ConsumerGroup>,
    /// Its offsets.
    pub offsets: Offsets,
    /// Offsets that become its offsets if the producer's transaction commits.
    pub open: BTreeMap<ProducerId, Offsets>,
}

impl Logged {
    /// Whether an open transaction would set the partition's offset.
    #[must_use]
    pub fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.open
            .values()
            .any(|offsets| offsets.get(topic, partition).is_some())
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.generation.is_none()
            && self.consumer.is_none()
            && self.offsets.is_empty()
            && self.open.is_empty()
    }

    /// Its offsets, and those of open transactions.
    pub(super) fn all_offsets(&self) -> impl Iterator<Item = &Offsets> {
        std::iter::once(&self.offsets).chain(self.open.values())
    }

    pub(super) fn commit(&mut self, producer: ProducerId, place: (&str, i32), new: Committed) {
        let (topic, partition) = place;
        if producer == ProducerId::NONE {
            self.offsets.put(topic, partition, new);
        } else {
            self.open
                .entry(producer)
                .or_default()
                .put(topic, partition, new);
        }
    }

    /// A tombstone ends what open transactions would set as well.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        self.offsets.remove(topic, partition);
        for offsets in self.open.values_mut() {
            offsets.remove(topic, partition);
        }
        self.open.retain(|_, offsets| !offsets.is_empty());
    }

    /// The later record wins where both a transaction and a plain commit set an offset.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        let Some(pending) = self.open.remove(&producer) else {
            return;
        };
        if !committed {
            return;
        }
        for (topic, partitions) in pending.topics {
            for (partition, new) in partitions {
                let old = self.offsets.get(&topic, partition);
                if old.is_none_or(|old| old.at < new.at) {
                    self.offsets.put(&topic, partition, new);
                }
            }
        }
    }
}

/// The time as the field holds it.
pub(super) fn time_or_none(since: Option<i64>) -> i64 {
    since.unwrap_or(NO_TIME)
}
