//! The answer of a Fetch: what was found, as message and pieces.
//!
//! Tail slices that an answer holds count against the shard's budget until they are sent or given
//! back; file ranges hold nothing, since they are bound when it is their turn. Deliberately absent:
//! reading.

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::read::ReaderId;
use thalweg_wire::bytes::Records;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, NodeId, PartitionId};
use thalweg_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use thalweg_wire::outgoing::Stored;

use super::k01_fetch::{BY_ID, leaders};
use crate::outgoing::{Answer, Binder, Planned, Source, Stretch, kept_bytes};
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Fault, FetchedPart};
use crate::shard::sessions::{PartitionKey, TopicKey};

/// The first version that tells the new leader.
const LEADER: i16 = 12;
/// The first version that tells where the new leader is.
const ENDPOINTS: i16 = 16;

/// Bytes that a quota counts for an answer and for a partition with records, apart from those.
const ANSWER_BYTES: usize = 24;
const PARTITION_BYTES: usize = 64;

/// One partition of the answer.
pub(super) struct Found {
    pub(super) key: PartitionKey,
    pub(super) partition: Option<PartitionId>,
    pub(super) part: FetchedPart,
    pub(super) leader: Option<(NodeId, Epoch)>,
}

impl Found {
    /// A partition whose shard has not answered yet; if it never does, the node is stopping.
    pub(super) fn waiting(key: PartitionKey, partition: PartitionId) -> Self {
        Self {
            partition: Some(partition),
            ..Self::failed(key, ErrorCode::NotLeaderOrFollower, None)
        }
    }

    pub(super) fn failed(
        key: PartitionKey,
        code: ErrorCode,
        leader: Option<(NodeId, Epoch)>,
    ) -> Self {
        Self {
            key,
            partition: None,
            part: FetchedPart::failed(Fault::new(code, String::new())),
            leader,
        }
    }

    /// True for what is answered at once.
    pub(super) fn is_notable(&self) -> bool {
        self.part.error != ErrorCode::None || self.part.diverging.is_some()
    }
}

/// Bytes of the answer, as the quota counts them: records, and about what their partitions take.
pub(super) fn answer_bytes(found: &[Found]) -> usize {
    let told = found.iter().filter(|found| found.part.bytes > 0);
    let partitions = told.map(|found| found.part.bytes + PARTITION_BYTES);
    partitions.fold(ANSWER_BYTES, usize::saturating_add)
}

/// The answer to a client that is throttled: it gets nothing, and has to ask again.
pub(super) fn throttled(
    request: &Request,
    session_id: i32,
    millis: i32,
) -> Result<Answer, Refusal> {
    request.respond(&FetchResponse {
        throttle_time_ms: millis,
        session_id,
        ..FetchResponse::default()
    })
}

/// Builds the answer.
pub(super) fn respond<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    session_id: i32,
    found: Vec<Found>,
) -> Result<Answer, Refusal> {
    let body = FetchResponse {
        session_id,
        responses: topics(request.version, &found),
        node_endpoints: endpoints(core, request, &found),
        ..FetchResponse::default()
    };
    let reader = ReaderId(request.origin.connection);
    let binder: Rc<dyn Binder> = Rc::new(Rc::clone(core));
    let mut records: Vec<Option<Stored<Source>>> = found
        .into_iter()
        .map(|found| hold(core, &binder, reader, found))
        .collect();
    let outgoing = request.outgoing_with(&body, |token| {
        let records = records.get_mut(token as usize).and_then(Option::take);
        records.into_iter().collect()
    })?;
    Ok(Answer::Respond(outgoing))
}

/// One partition's records: with their slices if there is room for them, else to be looked for when
/// it is their turn.
fn hold<D: Disk>(
    core: &ShardCore<D>,
    binder: &Rc<dyn Binder>,
    reader: ReaderId,
    found: Found,
) -> Option<Stored<Source>> {
    let stretch = Stretch {
        binder: Rc::clone(binder),
        reader,
        partition: found.partition?,
        place: found.part.place?,
        bytes: found.part.bytes,
    };
    let kept = kept_bytes(&found.part.pieces);
    let permit = core.lending.tail.try_take(kept);
    let planned = permit.map(|permit| Planned::new(found.part.pieces, Some(permit)));
    Some(Source::new(stretch, planned).stored())
}

fn topics(version: i16, found: &[Found]) -> Vec<FetchableTopicResponse<'static>> {
    let mut topics: Vec<(&TopicKey, FetchableTopicResponse<'static>)> = Vec::new();
    for (token, found) in found.iter().enumerate() {
        let key = &found.key.topic;
        if topics.last().is_none_or(|(last, _)| *last != key) {
            let topic = match key {
                TopicKey::Id(id) if version >= BY_ID => FetchableTopicResponse {
                    topic_id: *id,
                    ..FetchableTopicResponse::default()
                },
                TopicKey::Name(name) => FetchableTopicResponse {
                    topic: name.to_string().into(),
                    ..FetchableTopicResponse::default()
                },
                TopicKey::Id(_) => FetchableTopicResponse::default(),
            };
            topics.push((key, topic));
        }
        if let Some((_, topic)) = topics.last_mut() {
            topic.partitions.push(partition(version, token, found));
        }
    }
    topics.into_iter().map(|(_, topic)| topic).collect()
}

fn partition(version: i16, token: usize, found: &Found) -> PartitionData<'static> {
    let part = &found.part;
    let aborted = part.aborted.as_ref().map(|spans| {
        let listed = spans.iter().map(|span| AbortedTransaction {
            producer_id: span.producer.0,
            first_offset: span.first.0,
        });
        listed.collect()
    });
    PartitionData {
        partition_index: found.key.index,
        error_code: part.error.code(),
        high_watermark: part.high_watermark.0,
        last_stable_offset: part.last_stable.0,
        log_start_offset: part.log_start.0,
        diverging_epoch: match part.diverging {
            Some(end) => EpochEndOffset {
                epoch: end.epoch.0,
                end_offset: end.end.0,
            },
            None => EpochEndOffset::default(),
        },
        current_leader: match found.leader.filter(|_| version >= LEADER) {
            Some((node, epoch)) => LeaderIdAndEpoch {
                leader_id: node.0,
                leader_epoch: epoch.0,
            },
            None => LeaderIdAndEpoch::default(),
        },
        aborted_transactions: aborted,
        records: Records::Outline {
            len: part.bytes,
            token: u32::try_from(token).unwrap_or(u32::MAX),
        },
        ..PartitionData::default()
    }
}

fn endpoints<D: Disk>(
    core: &ShardCore<D>,
    request: &Request,
    found: &[Found],
) -> Vec<NodeEndpoint<'static>> {
    if request.version < ENDPOINTS {
        return Vec::new();
    }
    let endpoint = |node: NodeId| {
        let (host, port, rack) = core.endpoint_of(node, request.origin.listener)?;
        Some(NodeEndpoint {
            node_id: node.0,
            host: host.into(),
            port,
            rack: rack.map(Into::into),
        })
    };
    leaders(found).into_iter().filter_map(endpoint).collect()
}
