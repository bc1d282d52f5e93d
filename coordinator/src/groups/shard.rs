//! The groups of one partition of `__consumer_offsets`: the face that the node sees.
//!
//! The module's head says in which order the calls come.

use std::fmt;

use thalweg_wire::ids::{Offset, ProducerId, TimestampMs, Uuid};
use thalweg_wire::messages::heartbeat_request::HeartbeatRequestView;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponse;
use thalweg_wire::messages::join_group_request::JoinGroupRequestView;
use thalweg_wire::messages::join_group_response::JoinGroupResponse;
use thalweg_wire::messages::leave_group_request::LeaveGroupRequestView;
use thalweg_wire::messages::leave_group_response::LeaveGroupResponse;
use thalweg_wire::messages::list_groups_request::ListGroupsRequestView;
use thalweg_wire::messages::offset_commit_request::OffsetCommitRequestView;
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponse;
use thalweg_wire::messages::offset_delete_request::OffsetDeleteRequestView;
use thalweg_wire::messages::offset_delete_response::OffsetDeleteResponse;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use thalweg_wire::messages::sync_group_request::SyncGroupRequestView;
use thalweg_wire::messages::sync_group_response::SyncGroupResponse;

use crate::error::ErrorCode;

use super::config::GroupConfig;
use super::fetch::Wanted;
use super::record::{ReplayError, read};
use super::step::{Answer, Caller, Pending, Reply, Scene, Step, Then, Token};

/// Gives random ids, of which member ids are made.
pub type IdSource = Box<dyn FnMut() -> Uuid>;

/// The groups of one partition, and their offsets.
pub struct GroupShard {
    config: GroupConfig,
    ids: IdSource,
    /// The first offset that the log has not given out yet.
    log_end: Offset,
}

impl fmt::Debug for GroupShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupShard")
            .field("log_end", &self.log_end)
            .finish_non_exhaustive()
    }
}

/// The life of a shard.
impl GroupShard {
    /// A shard that knows no groups yet. `ids` gives random ids.
    #[must_use]
    pub fn new(config: GroupConfig, ids: IdSource) -> Self {
        Self {
            config,
            ids,
            log_end: Offset(0),
        }
    }

    /// Applies a record at the start, in the order of the log. `producer` is that of its batch if the batch is
    /// transactional, else none. Control batches go to [`Self::end_transaction`] instead.
    ///
    /// # Errors
    /// A record that cannot be read; nothing has changed.
    pub fn replay(
        &mut self,
        at: Offset,
        producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ReplayError> {
        let entry = read(key, value)?;
        self.log_end = at.plus(1);
        Ok(())
    }

    /// Applies the marker that ends a producer's transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, committed: bool) {}

    /// Everything below the high watermark has been replayed: the groups come to life, every member is given
    /// one session timeout to show up. `end` is the log's end.
    pub fn loaded(&mut self, end: Offset, now: TimestampMs) {
        self.log_end = end;
    }

    /// This node is not (or no longer) the coordinator of these groups: everybody who waits is told so.
    #[must_use]
    pub fn unload(self) -> Vec<Reply> {
        Vec::new()
    }

    /// The broker's configuration has changed.
    pub fn configure(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// The log has taken the step's records, the first of them at `base` (which does not matter if there are
    /// none): applies them and gives the replies.
    pub fn accepted(&mut self, step: Step, base: Offset, now: TimestampMs) -> Vec<Reply> {
        step.replies
            .into_iter()
            .map(|pending| self.reply(pending))
            .collect()
    }

    /// The log has refused the step's records, and none of them will ever be in it. `code` is what a producer
    /// would have been told (`KAFKA_STORAGE_ERROR`, `NOT_LEADER_OR_FOLLOWER`, ...).
    pub fn refused(&mut self, step: Step, code: ErrorCode, now: TimestampMs) -> Vec<Reply> {
        let code = coordinator_code(code);
        let replies = step.replies.into_iter().map(|pending| Reply {
            to: pending.to,
            answer: if pending.logged {
                pending.answer.refused(code)
            } else {
                pending.answer
            },
            after: Offset(0),
        });
        replies.collect()
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<TimestampMs> {
        None
    }

    /// Does the next thing that is due; to be called until it gives nothing.
    pub fn tick(&mut self, now: TimestampMs) -> Option<Step> {
        None
    }

    fn reply(&self, pending: Pending) -> Reply {
        Reply {
            to: pending.to,
            answer: pending.answer,
            after: if pending.logged {
                self.log_end
            } else {
                Offset(0)
            },
        }
    }
}

/// What a client of the coordinator is told when the log refuses a record, as Kafka translates it.
#[must_use]
pub fn coordinator_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}

/// What members ask.
impl GroupShard {
    /// JoinGroup. The answer may come with a later step.
    pub fn join(
        &mut self,
        caller: &Caller<'_>,
        request: &JoinGroupRequestView<'_>,
        now: TimestampMs,
    ) -> Step {
        not_yet(caller.token, Answer::Join(JoinGroupResponse::default()))
    }

    /// SyncGroup. The answer may come with a later step.
    pub fn sync(
        &mut self,
        caller: &Caller<'_>,
        request: &SyncGroupRequestView<'_>,
        now: TimestampMs,
    ) -> Step {
        not_yet(caller.token, Answer::Sync(SyncGroupResponse::default()))
    }

    /// Heartbeat.
    pub fn heartbeat(
        &mut self,
        caller: &Caller<'_>,
        request: &HeartbeatRequestView<'_>,
        now: TimestampMs,
    ) -> Step {
        not_yet(
            caller.token,
            Answer::Heartbeat(HeartbeatResponse::default()),
        )
    }

    /// LeaveGroup, of one member or several.
    pub fn leave(
        &mut self,
        caller: &Caller<'_>,
        request: &LeaveGroupRequestView<'_>,
        now: TimestampMs,
    ) -> Step {
        not_yet(caller.token, Answer::Leave(LeaveGroupResponse::default()))
    }

    /// OffsetCommit, by members and by those who only keep offsets here.
    pub fn commit(
        &mut self,
        caller: &Caller<'_>,
        request: &OffsetCommitRequestView<'_>,
        scene: Scene<'_>,
    ) -> Step {
        not_yet(
            caller.token,
            Answer::Commit(OffsetCommitResponse::default()),
        )
    }

    /// OffsetFetch, of one group.
    pub fn fetch(&mut self, caller: &Caller<'_>, wanted: &Wanted<'_>, scene: Scene<'_>) -> Step {
        not_yet(
            caller.token,
            Answer::Fetch(OffsetFetchResponseGroup::default()),
        )
    }
}

/// What administrators ask.
impl GroupShard {
    /// OffsetDelete.
    pub fn delete_offsets(
        &mut self,
        caller: &Caller<'_>,
        request: &OffsetDeleteRequestView<'_>,
        scene: Scene<'_>,
    ) -> Step {
        not_yet(
            caller.token,
            Answer::DeleteOffsets(OffsetDeleteResponse::default()),
        )
    }

    /// ListGroups: this shard's groups.
    pub fn list(&mut self, caller: &Caller<'_>, request: &ListGroupsRequestView<'_>) -> Step {
        not_yet(caller.token, Answer::List(Vec::new()))
    }

    /// DescribeGroups: the groups asked for that belong to this shard.
    pub fn describe(&mut self, caller: &Caller<'_>, groups: &[&str]) -> Step {
        not_yet(caller.token, Answer::Describe(Vec::new()))
    }

    /// DeleteGroups: the groups asked for that belong to this shard.
    pub fn delete_groups(&mut self, caller: &Caller<'_>, groups: &[&str]) -> Step {
        not_yet(caller.token, Answer::DeleteGroups(Vec::new()))
    }

    /// Topics have been deleted: their offsets go with the next ticks. Offsets that were committed for a later
    /// topic of that name stay.
    pub fn topics_deleted(&mut self, topics: &[(Uuid, &str)], now: TimestampMs) {}
}

/// A refusal until the handler is there.
fn not_yet(to: Token, answer: Answer) -> Step {
    Step {
        records: Vec::new(),
        replies: vec![Pending {
            to,
            answer: answer.refused(ErrorCode::CoordinatorNotAvailable),
            logged: false,
        }],
        then: Then::Nothing,
    }
}
