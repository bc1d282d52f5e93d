//! TxnOffsetCommit: offsets that count once the producer's transaction commits, and the markers that decide it.
//!
//! Whoever commits within a transaction need not be a member: producers before version 3 of the request do not say
//! who they are, and a group that nobody is a member of takes offsets from anybody. Who says it is a member is
//! checked as in OffsetCommit.

use thalweg_wire::ids::{Offset, PartitionIndex, TimestampMs};
use thalweg_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartitionView, TxnOffsetCommitRequestView,
};
use thalweg_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::commit::is_longer;
use super::live::Phase;
use super::logged::Committed;
use super::record::OffsetPlace;
use super::shard::GroupShard;
use super::step::{Answer, Asker, Caller, InTransaction, Marker, Pending, Scene, Step, Token};
use crate::error::ErrorCode;
use crate::metadata::image::Topic;

/// What a client of old, or one that is no member, says.
const NO_GENERATION: i32 = -1;

impl GroupShard {
    /// TxnOffsetCommit. `guard` is what the log gave for the batch.
    pub fn commit_in_transaction(
        &mut self,
        caller: &Caller<'_>,
        request: &TxnOffsetCommitRequestView<'_>,
        transaction: InTransaction,
        scene: Scene<'_>,
    ) -> Step {
        let allowed = self.may_commit_in_transaction(request);
        let mut step = Step::new();
        let mut topics = Vec::new();
        for asked in request.topics.iter() {
            let topic = scene.image.topics.named(asked.name).map(|topic| &**topic);
            let rows = asked.partitions.iter().map(|partition| {
                let index = PartitionIndex(partition.partition_index);
                let known = topic.filter(|topic| topic.partition(index).is_some());
                let code = match (known, allowed) {
                    (None, _) => ErrorCode::UnknownTopicOrPartition,
                    (Some(_), Err(code)) => code,
                    (Some(topic), Ok(())) => {
                        let place = (request.group_id, topic);
                        self.propose_pending(place, &partition, scene.now.wall, &mut step)
                    }
                };
                TxnOffsetCommitResponsePartition {
                    partition_index: index.0,
                    error_code: code as i16,
                }
            });
            topics.push(TxnOffsetCommitResponseTopic {
                name: asked.name.to_owned().into(),
                partitions: rows.collect(),
            });
        }
        step.transaction = Some(transaction);
        step.replies.push(Pending {
            to: caller.asker(),
            answer: Answer::TxnCommit(TxnOffsetCommitResponse {
                topics,
                ..TxnOffsetCommitResponse::default()
            }),
            logged: !step.records.is_empty(),
        });
        step
    }

    /// A marker of this partition; every commit of the transaction counts from then on, or none.
    pub fn mark(&mut self, token: Token, marker: Marker) -> Step {
        let mut step = Step::answer(
            Asker { token, version: 0 },
            Answer::Marked(ErrorCode::None),
            true,
        );
        step.marker = Some(marker);
        step
    }

    fn may_commit_in_transaction(
        &self,
        request: &TxnOffsetCommitRequestView<'_>,
    ) -> Result<(), ErrorCode> {
        let generation = request.generation_id;
        let is_stranger = request.member_id.is_empty()
            && request.group_instance_id.is_none()
            && generation == NO_GENERATION;
        let Some(group) = self.groups.get(request.group_id) else {
            return match generation {
                0.. => Err(ErrorCode::IllegalGeneration),
                _ if self.groups.len() >= self.config.groups_max => {
                    Err(ErrorCode::CoordinatorNotAvailable)
                }
                _ => Ok(()),
            };
        };
        if let Some(consumers) = &group.logged.consumer {
            if generation < 0 && consumers.members.is_empty() {
                return Ok(());
            }
            let known = consumers.may_fetch(Some(request.member_id), generation);
            // Transactional producers do not know of stale epochs.
            return known.map_err(|code| match code {
                ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
                other => other,
            });
        }
        let live = &group.live;
        if generation < 0 && live.phase == Phase::Empty {
            return Ok(());
        }
        if !is_stranger {
            live.check(request.member_id, request.group_instance_id)?;
            if generation != live.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        }
        match live.phase == Phase::Completing {
            true => Err(ErrorCode::RebalanceInProgress),
            false => Ok(()),
        }
    }

    fn propose_pending(
        &self,
        (group, topic): (&str, &Topic),
        partition: &TxnOffsetCommitRequestPartitionView<'_>,
        now: TimestampMs,
        step: &mut Step,
    ) -> ErrorCode {
        let metadata = partition.committed_metadata.unwrap_or_default();
        if is_longer(metadata, self.config.offset_metadata_max) {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        let committed = Committed {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: metadata.into(),
            commit_timestamp: now.0,
            expire_timestamp: -1,
            topic_id: topic.id,
            at: Offset::NONE,
        };
        let place = OffsetPlace {
            group,
            topic: &topic.name,
            partition: partition.partition_index,
        };
        let record = place.offset(&committed.value());
        step.records
            .push(record.expect("texts of requests fit into records"));
        ErrorCode::None
    }
}
