//! OffsetFetch: one shape for all versions.
//!
//! Versions below 8 ask for one group, later ones for several, which may belong to several shards. The node
//! takes a request apart with [`wanted`], asks a shard for each group and puts the answers together with
//! [`response`].

use std::borrow::Cow;

use thalweg_wire::ids::Offset;
use thalweg_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchRequestView,
};
use thalweg_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

/// The first version that asks for several groups.
const GROUPS_VERSION: i16 = 8;
/// The first version with an error code for a whole group.
const GROUP_ERROR_VERSION: i16 = 2;

/// What is asked of one group.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted<'a> {
    /// The group and its topics; no topics means all that have offsets.
    pub group: OffsetFetchRequestGroup<'a>,
    /// Whether offsets of open transactions are an error.
    pub require_stable: bool,
}

/// The groups that a request asks for, in its order.
#[must_use]
pub fn wanted<'a>(request: &OffsetFetchRequestView<'a>, version: i16) -> Vec<Wanted<'a>> {
    let require_stable = request.require_stable;
    let group = |group| Wanted {
        group,
        require_stable,
    };
    if version >= GROUPS_VERSION {
        return request
            .groups
            .iter()
            .map(|one| group(one.to_owned()))
            .collect();
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.iter().map(|topic| OffsetFetchRequestTopics {
            name: Cow::Borrowed(topic.name),
            partition_indexes: topic.partition_indexes.iter().collect(),
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    vec![group(OffsetFetchRequestGroup {
        group_id: Cow::Borrowed(request.group_id),
        topics,
        ..OffsetFetchRequestGroup::default()
    })]
}

/// The answer made of the groups' answers, in the order of what was wanted.
#[must_use]
pub fn response(
    version: i16,
    wanted: &[Wanted<'_>],
    groups: Vec<OffsetFetchResponseGroup<'static>>,
) -> OffsetFetchResponse<'static> {
    if version >= GROUPS_VERSION {
        return OffsetFetchResponse {
            groups,
            ..OffsetFetchResponse::default()
        };
    }
    let mut group = groups.into_iter().next().unwrap_or_default();
    if version < GROUP_ERROR_VERSION && group.error_code != 0 {
        let asked = wanted
            .first()
            .and_then(|wanted| wanted.group.topics.as_ref());
        let asked = asked.into_iter().flatten();
        group.topics = asked.map(|topic| failed(topic, group.error_code)).collect();
        group.error_code = 0;
    }
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(old_topic).collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

/// Every partition of a topic with that error.
pub(super) fn failed(
    topic: &OffsetFetchRequestTopics<'_>,
    code: i16,
) -> OffsetFetchResponseTopics<'static> {
    let partitions = topic.partition_indexes.iter();
    OffsetFetchResponseTopics {
        name: topic.name.clone().into_owned().into(),
        topic_id: topic.topic_id,
        partitions: partitions.map(|index| no_offset(*index, code)).collect(),
    }
}

/// A partition without an offset.
pub(super) fn no_offset(partition: i32, code: i16) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: Offset::NONE.0,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: code,
    }
}

fn old_topic(topic: OffsetFetchResponseTopics<'static>) -> OffsetFetchResponseTopic<'static> {
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
    }
}
