//! OffsetFetch.
//!
//! Offsets are read from the logged layer and wait for everything logged so far, so nobody sees an offset that
//! could be lost. An offset that was committed for another topic of the same name is none.
//!
//! Versions below 8 ask for one group, later ones for several, which may belong to several shards. The node
//! takes a request apart with [`wanted`], asks a shard for each group and puts the answers together with
//! [`response`].

use std::borrow::Cow;

use thalweg_wire::ids::{Offset, Uuid};
use thalweg_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchRequestView,
};
use thalweg_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use crate::error::ErrorCode;
use crate::metadata::image::Image;

use super::logged::{Committed, Logged};
use super::shard::GroupShard;
use super::step::{Answer, Caller, Scene, Step};

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;
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

impl GroupShard {
    /// OffsetFetch, of one group. A group that is not there has no offsets, which is no error.
    pub fn fetch(&mut self, caller: &Caller<'_>, wanted: &Wanted<'_>, scene: Scene<'_>) -> Step {
        let logged = self
            .groups
            .get(&*wanted.group.group_id)
            .map(|group| &group.logged);
        let group = &wanted.group;
        let consumers = logged.and_then(|logged| logged.consumer.as_ref());
        let allowed = consumers.map_or(Ok(()), |consumers| {
            consumers.may_fetch(group.member_id.as_deref(), group.member_epoch)
        });
        if let Err(code) = allowed {
            let answer = OffsetFetchResponseGroup {
                group_id: group.group_id.clone().into_owned().into(),
                topics: Vec::new(),
                error_code: code as i16,
            };
            return Step::answer(caller.asker(), Answer::Fetch(answer), true);
        }
        let reader = Reading {
            logged,
            image: scene.image,
            by_id: caller.version >= TOPIC_ID_VERSION,
            require_stable: wanted.require_stable,
        };
        let topics = match &wanted.group.topics {
            Some(topics) => reader.some(topics),
            None => reader.all(),
        };
        let answer = OffsetFetchResponseGroup {
            group_id: wanted.group.group_id.clone().into_owned().into(),
            topics,
            error_code: 0,
        };
        Step::answer(caller.asker(), Answer::Fetch(answer), true)
    }
}

/// One group's offsets, as one request sees them.
struct Reading<'a> {
    logged: Option<&'a Logged>,
    image: &'a Image,
    by_id: bool,
    require_stable: bool,
}

impl Reading<'_> {
    /// The topics asked for; unknown ones come last, as in Kafka's answers.
    fn some(
        &self,
        topics: &[OffsetFetchRequestTopics<'_>],
    ) -> Vec<OffsetFetchResponseTopics<'static>> {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for asked in topics {
            let topic = if self.by_id {
                self.image.topics.get(asked.topic_id)
            } else {
                self.image.topics.named(&asked.name)
            };
            if self.by_id && topic.is_none() {
                unknown.push(failed(asked, ErrorCode::UnknownTopicId as i16));
                continue;
            }
            let name = topic.map_or(&*asked.name, |topic| &*topic.name);
            let id = topic.map_or(Uuid::ZERO, |topic| topic.id);
            let partitions = asked.partition_indexes.iter();
            let partitions = partitions.map(|index| self.partition((name, id), *index));
            known.push(OffsetFetchResponseTopics {
                name: name.to_owned().into(),
                topic_id: asked.topic_id,
                partitions: partitions.collect(),
            });
        }
        known.append(&mut unknown);
        known
    }

    /// Every topic with offsets. By id only topics that there are can be named.
    fn all(&self) -> Vec<OffsetFetchResponseTopics<'static>> {
        let topics = self
            .logged
            .into_iter()
            .flat_map(|logged| logged.offsets.topics());
        let topics = topics.filter_map(|(name, partitions)| {
            let id = self
                .image
                .topics
                .named(name)
                .map_or(Uuid::ZERO, |topic| topic.id);
            let own = partitions
                .iter()
                .filter(|(_, committed)| committed.is_of(id));
            let answers: Vec<_> = own
                .map(|(index, _)| self.partition((name, id), *index))
                .collect();
            let named = !self.by_id || !id.is_zero();
            (named && !answers.is_empty()).then(|| OffsetFetchResponseTopics {
                name: name.to_owned().into(),
                topic_id: id,
                partitions: answers,
            })
        });
        topics.collect()
    }

    fn partition(&self, topic: (&str, Uuid), index: i32) -> OffsetFetchResponsePartitions<'static> {
        let (name, id) = topic;
        let Some(logged) = self.logged else {
            return no_offset(index, 0);
        };
        if self.require_stable && logged.is_unstable(name, index) {
            return no_offset(index, ErrorCode::UnstableOffsetCommit as i16);
        }
        match logged
            .offsets
            .get(name, index)
            .filter(|committed| committed.is_of(id))
        {
            Some(committed) => found(index, committed),
            None => no_offset(index, 0),
        }
    }
}

fn found(index: i32, committed: &Committed) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.offset,
        committed_leader_epoch: committed.leader_epoch,
        metadata: Some(committed.metadata.to_string().into()),
        error_code: 0,
    }
}
