//! What goes into a [`super::shard::GroupShard`] and what comes out.
//!
//! A step belongs to the shard that made it and must come back to it, by `accepted` or `refused`, before
//! anything but a heartbeat is asked of that shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId};
use thalweg_wire::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumers;
use thalweg_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use thalweg_wire::messages::delete_groups_response::DeletableGroupResult;
use thalweg_wire::messages::describe_groups_response::DescribedGroup;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponse;
use thalweg_wire::messages::join_group_response::JoinGroupResponse;
use thalweg_wire::messages::leave_group_response::LeaveGroupResponse;
use thalweg_wire::messages::list_groups_response::ListedGroup;
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponse;
use thalweg_wire::messages::offset_delete_response::OffsetDeleteResponse;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use thalweg_wire::messages::sync_group_response::SyncGroupResponse;
use thalweg_wire::messages::txn_offset_commit_response::TxnOffsetCommitResponse;

use crate::error::ErrorCode;
use crate::metadata::image::Image;

use super::expire::Walk;
use super::live::MemberNews;
use super::time::Moment;

/// Names one request that waits for its answer. The node chooses it; each gets exactly one reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The request.
    pub token: Token,
    /// The request's version.
    pub version: i16,
    /// The client id of the request's header; empty if null.
    pub client_id: &'a str,
    /// The client's address as Kafka writes it: a slash, then the address (`/127.0.0.1`).
    pub client_host: &'a str,
}

/// When it is asked, and what topics there are.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The time.
    pub now: Moment,
    /// Topics by id and name.
    pub image: &'a Image,
}

impl Caller<'_> {
    pub(super) fn asker(&self) -> Asker {
        Asker {
            token: self.token,
            version: self.version,
        }
    }
}

/// Who waits for an answer, and in which version of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asker {
    pub(super) token: Token,
    pub(super) version: i16,
}

/// A record of `__consumer_offsets`. No value: a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The key's bytes.
    pub key: Vec<u8>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
}

/// What a request or a deadline comes to: records to be appended as one batch, and what follows from that.
#[must_use = "a step belongs to `accepted` or `refused`"]
#[derive(Debug)]
pub struct Step {
    pub(super) records: Vec<Record>,
    pub(super) replies: Vec<Pending>,
    pub(super) then: Then,
    pub(super) transaction: Option<InTransaction>,
    pub(super) marker: Option<Marker>,
}

/// Records that count only once a producer's transaction commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InTransaction {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// What the log gave to show that the transaction's coordinator was asked, if it had to be.
    pub guard: Option<u64>,
}

/// The end of a producer's transaction in this partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The producer.
    pub producer: ProducerId,
    /// The marker's epoch.
    pub epoch: ProducerEpoch,
    /// Epoch of the transaction's coordinator.
    pub coordinator_epoch: i32,
    /// Commit, or abort.
    pub commit: bool,
    /// Whether the epoch was raised for the marker.
    pub raises_epoch: bool,
}

/// A reply of which it is not known yet where the log will end.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) to: Asker,
    pub(super) answer: Answer,
    /// Whether it waits for everything logged so far, the step's own records included.
    pub(super) logged: bool,
}

/// What changes in the live state once the log has taken the records or refused them.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing does.
    Nothing,
    /// A group was made for this request; if the log refuses it, it never was.
    Created(Arc<str>),
    /// A generation's assignment is given to its members; if the log refuses it, they are to join again.
    Assigned(Arc<str>, BTreeMap<Arc<str>, Arc<[u8]>>),
    /// A walk through the groups goes on; if the log refuses its tombstones, later.
    Swept(Box<Walk>),
    /// A restarted static member takes the place of the one that it was.
    Replaced(Box<Replaced>),
}

/// A static member under a new id, as it will be.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) group: Arc<str>,
    pub(super) old: Arc<str>,
    pub(super) new: Arc<str>,
    pub(super) news: MemberNews,
}

impl Step {
    pub(super) fn new() -> Self {
        Self {
            records: Vec::new(),
            replies: Vec::new(),
            then: Then::Nothing,
            transaction: None,
            marker: None,
        }
    }

    /// A step that is nothing but an answer. `logged`: it waits for everything logged so far.
    pub(super) fn answer(to: Asker, answer: Answer, logged: bool) -> Self {
        let mut step = Self::new();
        step.replies.push(Pending { to, answer, logged });
        step
    }

    /// What is to be appended, in order, as one batch. May be empty.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The transaction that the records are part of.
    #[must_use]
    pub const fn transaction(&self) -> Option<InTransaction> {
        self.transaction
    }

    /// A marker that is to be written instead of records.
    #[must_use]
    pub const fn marker(&self) -> Option<Marker> {
        self.marker
    }
}

/// An answer to be given as soon as the high watermark has reached `after`.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply<A = Answer> {
    /// The request.
    pub to: Token,
    /// Its answer.
    pub answer: A,
    /// The first offset that need *not* be committed before the answer is given; 0: give it at once.
    pub after: Offset,
}

/// The answer to one request, or to the part of it that concerns one shard or one group.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// To JoinGroup.
    Join(JoinGroupResponse<'static>),
    /// To SyncGroup.
    Sync(SyncGroupResponse<'static>),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse<'static>),
    /// The shard's share of the answer to ConsumerGroupDescribe.
    DescribeConsumers(Vec<DescribedConsumers<'static>>),
    /// To LeaveGroup.
    Leave(LeaveGroupResponse<'static>),
    /// To OffsetCommit.
    Commit(OffsetCommitResponse<'static>),
    /// To TxnOffsetCommit.
    TxnCommit(TxnOffsetCommitResponse<'static>),
    /// To a marker.
    Marked(ErrorCode),
    /// To one group of an OffsetFetch.
    Fetch(OffsetFetchResponseGroup<'static>),
    /// To OffsetDelete.
    DeleteOffsets(OffsetDeleteResponse<'static>),
    /// The shard's share of the answer to ListGroups.
    List(Vec<ListedGroup<'static>>),
    /// The shard's share of the answer to DescribeGroups.
    Describe(Vec<DescribedGroup<'static>>),
    /// The shard's share of the answer to DeleteGroups.
    DeleteGroups(Vec<DeletableGroupResult<'static>>),
}

impl Answer {
    /// The same request's answer when it cannot be given: everything in it is refused with that code.
    #[must_use]
    pub fn refused(self, code: ErrorCode) -> Self {
        let refused = code;
        let code = code as i16;
        match self {
            Self::Join(_) => Self::Join(JoinGroupResponse {
                error_code: code,
                ..JoinGroupResponse::default()
            }),
            Self::Sync(_) => Self::Sync(SyncGroupResponse {
                error_code: code,
                ..SyncGroupResponse::default()
            }),
            Self::Heartbeat(_) => Self::Heartbeat(HeartbeatResponse {
                error_code: code,
                ..HeartbeatResponse::default()
            }),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..ConsumerGroupHeartbeatResponse::default()
            }),
            Self::DescribeConsumers(groups) => {
                let groups = groups.into_iter().map(|group| DescribedConsumers {
                    group_id: group.group_id,
                    error_code: code,
                    ..DescribedConsumers::default()
                });
                Self::DescribeConsumers(groups.collect())
            }
            Self::Leave(_) => Self::Leave(LeaveGroupResponse {
                error_code: code,
                ..LeaveGroupResponse::default()
            }),
            Self::Commit(answer) => Self::Commit(refused_commit(answer, code)),
            Self::TxnCommit(answer) => Self::TxnCommit(refused_txn_commit(answer, code)),
            Self::Marked(_) => Self::Marked(refused),
            Self::Fetch(answer) => Self::Fetch(OffsetFetchResponseGroup {
                group_id: answer.group_id,
                topics: Vec::new(),
                error_code: code,
            }),
            Self::DeleteOffsets(_) => Self::DeleteOffsets(OffsetDeleteResponse {
                error_code: code,
                ..OffsetDeleteResponse::default()
            }),
            Self::List(_) => Self::List(Vec::new()),
            Self::Describe(groups) => Self::Describe(refused_describe(groups, code)),
            Self::DeleteGroups(groups) => Self::DeleteGroups(refused_delete(groups, code)),
        }
    }
}

impl Pending {
    /// The answer as its version has it.
    pub(super) fn finish(self, after: Offset) -> Reply {
        let version = self.to.version;
        let answer = match self.answer {
            Answer::Join(answer) => Answer::Join(in_version(answer, version)),
            other => other,
        };
        Reply {
            to: self.to.token,
            answer,
            after: if self.logged { after } else { Offset(0) },
        }
    }
}

/// Up to version 6 no protocol is an empty name, later it is null.
fn in_version(answer: JoinGroupResponse<'static>, version: i16) -> JoinGroupResponse<'static> {
    let name = answer.protocol_name.filter(|name| !name.is_empty());
    let protocol_name = if version < 7 {
        Some(name.unwrap_or_default())
    } else {
        name
    };
    JoinGroupResponse {
        protocol_name,
        ..answer
    }
}

fn refused_commit(
    mut answer: OffsetCommitResponse<'static>,
    code: i16,
) -> OffsetCommitResponse<'static> {
    for partition in answer
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
    {
        partition.error_code = code;
    }
    answer
}

fn refused_txn_commit(
    mut answer: TxnOffsetCommitResponse<'static>,
    code: i16,
) -> TxnOffsetCommitResponse<'static> {
    let topics = answer.topics.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        partition.error_code = code;
    }
    answer
}

fn refused_describe(
    groups: Vec<DescribedGroup<'static>>,
    code: i16,
) -> Vec<DescribedGroup<'static>> {
    let refused = groups.into_iter().map(|group| DescribedGroup {
        group_id: group.group_id,
        error_code: code,
        ..DescribedGroup::default()
    });
    refused.collect()
}

fn refused_delete(
    groups: Vec<DeletableGroupResult<'static>>,
    code: i16,
) -> Vec<DeletableGroupResult<'static>> {
    let refused = groups.into_iter().map(|group| DeletableGroupResult {
        error_code: code,
        ..group
    });
    refused.collect()
}
