//! Offsets that a group has committed: reading them, and committing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponseView;
use thalweg_wire::messages::offset_fetch_request::OffsetFetchRequest;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseView;

use super::client::Reply;
use super::failure::Failure;
use super::routing::{Call, Cluster, TopicPartition};

/// From the first version that can be asked for all offsets, to the last that asks for one group.
const OFFSET_FETCH: (i16, i16) = (2, 7);
/// To the last version that names topics.
const OFFSET_COMMIT: (i16, i16) = (2, 9);

/// What was committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Who commits: a member of the group, or nobody (tools).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) generation: i32,
    pub(crate) member: String,
    /// The name under which a static member comes back.
    pub(crate) instance: Option<String>,
}

impl Committer {
    /// Not a member: only accepted while the group has none.
    pub(crate) fn nobody() -> Self {
        Self {
            generation: -1,
            member: String::new(),
            instance: None,
        }
    }
}

/// All offsets that the group has committed.
pub(crate) fn fetch(
    cluster: &mut Cluster,
    group: &str,
) -> Result<BTreeMap<TopicPartition, Committed>, Failure> {
    let call = Call::new(ApiKey::OffsetFetch, OFFSET_FETCH);
    let request = |_version| OffsetFetchRequest {
        group_id: Cow::Borrowed(group),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    let code_of = |reply: &Reply| {
        let answer: OffsetFetchResponseView<'_> = reply.view()?;
        Ok(answer.error_code)
    };
    let reply = cluster.ask_coordinator(group, &call, request, code_of)?;
    let answer: OffsetFetchResponseView<'_> = reply.view()?;
    let doing = "reading the offsets of group";
    if answer.error_code != 0 {
        return Err(Failure::refused(doing, group, answer.error_code, None));
    }
    let mut all = BTreeMap::new();
    for topic in answer.topics.iter() {
        for part in topic.partitions.iter() {
            if part.error_code != 0 {
                return Err(Failure::refused(doing, group, part.error_code, None));
            }
            if part.committed_offset < 0 {
                continue;
            }
            let committed = Committed {
                offset: part.committed_offset,
                leader_epoch: part.committed_leader_epoch,
                metadata: part.metadata.unwrap_or_default().to_owned(),
            };
            all.insert(
                TopicPartition::new(topic.name, part.partition_index),
                committed,
            );
        }
    }
    Ok(all)
}

/// Commits; answers Kafka's code for each partition.
pub(crate) fn commit(
    cluster: &mut Cluster,
    group: &str,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, i16>, Failure> {
    let call = Call::new(ApiKey::OffsetCommit, OFFSET_COMMIT);
    let code_of = |reply: &Reply| {
        let answer: OffsetCommitResponseView<'_> = reply.view()?;
        let first = answer.topics.iter().next();
        let part = first.and_then(|topic| topic.partitions.iter().next());
        // What concerns the coordinator is the same for all partitions.
        Ok(part.map_or(0, |part| part.error_code))
    };
    let request = |_version| request_of(group, committer, offsets);
    let reply = cluster.ask_coordinator(group, &call, request, code_of)?;
    let answer: OffsetCommitResponseView<'_> = reply.view()?;
    let codes = answer.topics.iter().flat_map(|topic| {
        let parts = topic.partitions.iter();
        parts.map(move |part| {
            let partition = TopicPartition::new(topic.name, part.partition_index);
            (partition, part.error_code)
        })
    });
    Ok(codes.collect())
}

fn request_of<'a>(
    group: &'a str,
    committer: &'a Committer,
    offsets: &'a BTreeMap<TopicPartition, i64>,
) -> OffsetCommitRequest<'a> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
    for (partition, offset) in offsets {
        topics
            .entry(&partition.topic)
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(Cow::Borrowed("")),
                ..OffsetCommitRequestPartition::default()
            });
    }
    OffsetCommitRequest {
        group_id: Cow::Borrowed(group),
        generation_id_or_member_epoch: committer.generation,
        member_id: Cow::Borrowed(&committer.member),
        group_instance_id: committer.instance.as_deref().map(Cow::Borrowed),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name: Cow::Borrowed(name),
                partitions,
                ..OffsetCommitRequestTopic::default()
            })
            .collect(),
        ..OffsetCommitRequest::default()
    }
}
