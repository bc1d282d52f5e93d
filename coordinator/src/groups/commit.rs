//! OffsetCommit.
//!
//! Members commit within their generation; a group without members takes offsets from anybody who names no
//! generation, and is made by that. Topics go by name, from version 10 by id; either way the topic's id is
//! logged beside the offset, so that a later topic of the same name never inherits it.

use std::collections::BTreeMap;

use thalweg_wire::ids::{Offset, PartitionIndex, TimestampMs, Uuid};
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartitionView, OffsetCommitRequestTopicView, OffsetCommitRequestView,
};
use thalweg_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use crate::error::ErrorCode;
use crate::metadata::image::{Image, Topic};

use super::live::{Live, Phase};
use super::logged::Committed;
use super::record::OffsetPlace;
use super::shard::GroupShard;
use super::step::{Answer, Caller, Pending, Scene, Step};
use super::time::Moment;

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;
/// The first version that tells apart that there is no such group.
const NOT_FOUND_VERSION: i16 = 9;
/// "The broker's retention", in versions in which a client could ask for its own.
const RETENTION_DEFAULT: i64 = -1;

/// A partition that exists, to be committed.
struct Valid<'a> {
    topic: &'a Topic,
    partition: OffsetCommitRequestPartitionView<'a>,
}

impl GroupShard {
    /// OffsetCommit, by members and by those who only keep offsets here.
    pub fn commit(
        &mut self,
        caller: &Caller<'_>,
        request: &OffsetCommitRequestView<'_>,
        scene: Scene<'_>,
    ) -> Step {
        let mut answer = Answers {
            by_id: caller.version >= TOPIC_ID_VERSION,
            ..Answers::default()
        };
        let valid = sort_out(request, scene.image, &mut answer);
        if valid.is_empty() {
            return Step::answer(caller.asker(), Answer::Commit(answer.finish()), false);
        }
        let mut step = Step::new();
        let allowed = self
            .may_commit(request, caller.version)
            .and_then(|()| self.may_consumer_commit(request, caller.version, &valid));
        match allowed {
            Err(code) => {
                for one in &valid {
                    answer.add(one.topic, one.partition.partition_index, code);
                }
            }
            Ok(()) => {
                self.show_life(request, scene.now);
                for one in &valid {
                    let code = self.propose_offset(request, one, scene.now.wall, &mut step);
                    answer.add(one.topic, one.partition.partition_index, code);
                }
            }
        }
        step.replies.push(Pending {
            to: caller.asker(),
            answer: Answer::Commit(answer.finish()),
            logged: !step.records.is_empty(),
        });
        step
    }

    fn may_commit(
        &self,
        request: &OffsetCommitRequestView<'_>,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let has_generation = request.generation_id_or_member_epoch >= 0;
        match self.groups.get(request.group_id) {
            Some(group) if group.logged.consumer.is_some() => Ok(()),
            Some(group) => check(&group.live, request),
            None if has_generation && version >= NOT_FOUND_VERSION => {
                Err(ErrorCode::GroupIdNotFound)
            }
            None if has_generation => Err(ErrorCode::IllegalGeneration),
            None if self.groups.len() >= self.config.groups_max => {
                Err(ErrorCode::CoordinatorNotAvailable)
            }
            None => Ok(()),
        }
    }

    /// Members of the consumer protocol commit in their epoch, all of a request or nothing.
    fn may_consumer_commit(
        &self,
        request: &OffsetCommitRequestView<'_>,
        version: i16,
        valid: &[Valid<'_>],
    ) -> Result<(), ErrorCode> {
        let group = self.groups.get(request.group_id);
        let Some(group) = group.and_then(|group| group.logged.consumer.as_ref()) else {
            return Ok(());
        };
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && group.members.is_empty() {
            return Ok(());
        }
        if !group.members.contains_key(request.member_id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if version < NOT_FOUND_VERSION {
            return Err(ErrorCode::UnsupportedVersion);
        }
        valid.iter().try_for_each(|one| {
            let place = (one.topic.id, one.partition.partition_index);
            group.may_commit((request.member_id, epoch), place)
        })
    }

    /// A commit is a sign of life like a heartbeat.
    fn show_life(&mut self, request: &OffsetCommitRequestView<'_>, now: Moment) {
        if let Some(mut work) = self.work(request.group_id, now)
            && matches!(work.live.phase, Phase::Stable | Phase::Preparing { .. })
        {
            work.allow_session(request.member_id);
        }
    }

    fn propose_offset(
        &self,
        request: &OffsetCommitRequestView<'_>,
        one: &Valid<'_>,
        now: TimestampMs,
        step: &mut Step,
    ) -> ErrorCode {
        let metadata = one.partition.committed_metadata.unwrap_or_default();
        if is_longer(metadata, self.config.offset_metadata_max) {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        let expire_timestamp = match request.retention_time_ms {
            RETENTION_DEFAULT => -1,
            retention => now.0.saturating_add(retention),
        };
        let committed = Committed {
            offset: one.partition.committed_offset,
            leader_epoch: one.partition.committed_leader_epoch,
            metadata: metadata.into(),
            commit_timestamp: now.0,
            expire_timestamp,
            topic_id: one.topic.id,
            at: Offset::NONE,
        };
        let place = OffsetPlace {
            group: request.group_id,
            topic: &one.topic.name,
            partition: one.partition.partition_index,
        };
        let record = place.offset(&committed.value());
        step.records
            .push(record.expect("texts of requests fit into records"));
        ErrorCode::None
    }
}

fn check(live: &Live, request: &OffsetCommitRequestView<'_>) -> Result<(), ErrorCode> {
    let generation = request.generation_id_or_member_epoch;
    if generation < 0 && live.phase == Phase::Empty {
        return Ok(());
    }
    let instance = request.group_instance_id;
    if generation < 0 && request.member_id.is_empty() && instance.is_none() {
        return Err(ErrorCode::UnknownMemberId);
    }
    live.check(request.member_id, instance)?;
    if generation != live.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    if live.phase == Phase::Completing {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// Partitions that exist; the others are answered at once.
fn sort_out<'a>(
    request: &OffsetCommitRequestView<'a>,
    image: &'a Image,
    answer: &mut Answers,
) -> Vec<Valid<'a>> {
    let mut valid = Vec::new();
    for asked in request.topics.iter() {
        let (topic, code) = find(&asked, answer.by_id, image);
        for partition in asked.partitions.iter() {
            let index = PartitionIndex(partition.partition_index);
            match topic.filter(|topic| topic.partition(index).is_some()) {
                Some(topic) => valid.push(Valid { topic, partition }),
                None => answer.add_unknown(&asked, index.0, code),
            }
        }
    }
    valid
}

fn find<'a>(
    asked: &OffsetCommitRequestTopicView<'_>,
    by_id: bool,
    image: &'a Image,
) -> (Option<&'a Topic>, ErrorCode) {
    if !by_id {
        let topic = image.topics.named(asked.name);
        return (
            topic.map(|topic| &**topic),
            ErrorCode::UnknownTopicOrPartition,
        );
    }
    match image.topics.get(asked.topic_id) {
        Some(topic) => (Some(&**topic), ErrorCode::UnknownTopicOrPartition),
        None => (None, ErrorCode::UnknownTopicId),
    }
}

/// Kafka counts UTF-16 units, of which no text has more than bytes.
pub(super) fn is_longer(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}

/// The answer, a topic at a time; refusals that need no coordinator come first.
#[derive(Default)]
struct Answers {
    by_id: bool,
    topics: Vec<OffsetCommitResponseTopic<'static>>,
    places: BTreeMap<(Uuid, String), usize>,
}

impl Answers {
    fn add(&mut self, topic: &Topic, partition: i32, code: ErrorCode) {
        self.put(topic.id, &topic.name, (partition, code));
    }

    fn add_unknown(
        &mut self,
        asked: &OffsetCommitRequestTopicView<'_>,
        partition: i32,
        code: ErrorCode,
    ) {
        self.put(asked.topic_id, asked.name, (partition, code));
    }

    fn put(&mut self, id: Uuid, name: &str, outcome: (i32, ErrorCode)) {
        let topics = &mut self.topics;
        let key = if self.by_id {
            (id, String::new())
        } else {
            (Uuid::ZERO, name.to_owned())
        };
        let place = self.places.entry(key).or_insert_with(|| {
            topics.push(OffsetCommitResponseTopic {
                name: name.to_owned().into(),
                topic_id: id,
                partitions: Vec::new(),
            });
            topics.len() - 1
        });
        topics[*place]
            .partitions
            .push(OffsetCommitResponsePartition {
                partition_index: outcome.0,
                error_code: outcome.1 as i16,
            });
    }

    fn finish(self) -> OffsetCommitResponse<'static> {
        OffsetCommitResponse {
            topics: self.topics,
            ..OffsetCommitResponse::default()
        }
    }
}
