//! What members of groups and their administrators say, in every version.

use std::time::Instant;

use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::find_coordinator_response::FindCoordinatorResponseView;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequest;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponseView;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::join_group_response::JoinGroupResponseView;
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use thalweg_wire::messages::leave_group_response::LeaveGroupResponseView;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponseView;
use thalweg_wire::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseView;
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use thalweg_wire::messages::sync_group_response::SyncGroupResponseView;

use super::{PATIENCE, Peer, Reply, Topic};

/// The first version of JoinGroup that has a member ask twice.
const MEMBER_ID_REQUIRED: i16 = 4;
/// Milliseconds of the sessions of members; none of the tests lets one end but on purpose.
pub(crate) const SESSION_MS: i32 = 60_000;

/// A member as its group knows it: its id and generation.
pub(crate) type Membership<'a> = (&'a str, i32);

/// What a join came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) member: String,
    pub(crate) generation: i32,
    pub(crate) leader: String,
    /// Members, as only the leader is told.
    pub(crate) members: Vec<String>,
}

impl Joined {
    pub(crate) fn membership(&self) -> Membership<'_> {
        (&self.member, self.generation)
    }

    pub(crate) fn leads(&self) -> bool {
        self.member == self.leader
    }
}

pub(crate) fn join_request<'a>(
    group: &'a str,
    member: &'a str,
    version: i16,
) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: if version < 1 { -1 } else { SESSION_MS },
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: b"subscribed".as_slice().into(),
        }],
        ..JoinGroupRequest::default()
    }
}

/// The first heartbeat of a member that names its id, and wants a topic.
pub(crate) fn consumer_heartbeat<'a>(
    group: &'a str,
    member: &'a str,
    topic: &'a Topic,
) -> ConsumerGroupHeartbeatRequest<'a> {
    ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        rebalance_timeout_ms: SESSION_MS,
        subscribed_topic_names: Some(vec![topic.name.as_str().into()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// A commit of one offset, by a member or by none.
pub(crate) fn commit_request<'a>(
    version: i16,
    (group, (member, generation)): (&'a str, Membership<'a>),
    (topic, partition): (&'a Topic, i32),
    offset: i64,
) -> OffsetCommitRequest<'a> {
    let by_id = version >= 10;
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id { "" } else { &topic.name }.into(),
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: -1,
                committed_metadata: Some("words".into()),
            }],
        }],
        ..OffsetCommitRequest::default()
    }
}

pub(crate) fn fetch_request<'a>(
    version: i16,
    group: &'a str,
    (topic, partition): (&'a Topic, i32),
) -> OffsetFetchRequest<'a> {
    let by_id = version >= 10;
    let mut request = OffsetFetchRequest::default();
    if version < 8 {
        request.group_id = group.into();
        request.topics = Some(vec![OffsetFetchRequestTopic {
            name: topic.name.as_str().into(),
            partition_indexes: vec![partition],
        }]);
    } else {
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: if by_id { "" } else { &topic.name }.into(),
                topic_id: if by_id { topic.id } else { Uuid::ZERO },
                partition_indexes: vec![partition],
            }]),
            ..OffsetFetchRequestGroup::default()
        }];
    }
    request
}

impl Peer {
    /// Waits until the group has a coordinator that has read its state.
    pub(crate) fn find_coordinator(&mut self, group: &str) {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![group.into()],
            ..FindCoordinatorRequest::default()
        };
        self.patiently(&format!("coordinator of {group}"), |peer| {
            let reply = peer.ask(&request, 4);
            let found: FindCoordinatorResponseView<'_> = reply.view();
            found.coordinators.iter().next().unwrap().error_code
        });
        self.patiently(&format!("state of {group}"), |peer| {
            let request = HeartbeatRequest {
                group_id: group.into(),
                member_id: "nobody".into(),
                ..HeartbeatRequest::default()
            };
            let reply = peer.ask(&request, 4);
            let code = reply.view::<HeartbeatResponseView>().error_code;
            if code == ErrorCode::UnknownMemberId.code() {
                return 0;
            }
            code
        });
    }

    /// Asks again until there is no error.
    pub(crate) fn patiently(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> i16) {
        let started = Instant::now();
        loop {
            let code = ask(self);
            if code == 0 {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: error {code}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Sends a join that is answered once all members have joined.
    pub(crate) fn begin_join(&mut self, group: &str, member: &str, version: i16) -> i32 {
        self.send(&join_request(group, member, version), version)
    }

    /// The answer to [`Peer::begin_join`].
    pub(crate) fn joined(&mut self, correlation: i32, version: i16) -> Result<Joined, i16> {
        let reply = self.reply::<JoinGroupRequest<'_>>(correlation, version);
        read_join(&reply)
    }

    /// A new member's id, as versions from 4 on want it to be asked for.
    pub(crate) fn member_id(&mut self, group: &str, version: i16) -> String {
        if version < MEMBER_ID_REQUIRED {
            return String::new();
        }
        let reply = self.ask(&join_request(group, "", version), version);
        let answer: JoinGroupResponseView<'_> = reply.view();
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        answer.member_id.to_owned()
    }

    /// Joins (again), alone or last.
    pub(crate) fn join(&mut self, group: &str, member: &str, version: i16) -> Joined {
        let id = self.begin_join(group, member, version);
        self.joined(id, version).unwrap()
    }

    /// Syncs; the leader says who gets what. Its own assignment, or an error.
    pub(crate) fn sync(
        &mut self,
        (group, joined): (&str, &Joined),
        assignments: &[(&str, &[u8])],
        version: i16,
    ) -> Result<Vec<u8>, i16> {
        let id = self.begin_sync((group, joined), assignments, version);
        self.synced(id, version)
    }

    pub(crate) fn begin_sync(
        &mut self,
        (group, joined): (&str, &Joined),
        assignments: &[(&str, &[u8])],
        version: i16,
    ) -> i32 {
        let assignments = assignments
            .iter()
            .map(|(member, bytes)| SyncGroupRequestAssignment {
                member_id: (*member).into(),
                assignment: (*bytes).into(),
            });
        let words = (version >= 5).then(|| "consumer".into());
        let request = SyncGroupRequest {
            group_id: group.into(),
            generation_id: joined.generation,
            member_id: joined.member.as_str().into(),
            protocol_type: words,
            protocol_name: (version >= 5).then(|| "range".into()),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        self.send(&request, version)
    }

    pub(crate) fn synced(&mut self, correlation: i32, version: i16) -> Result<Vec<u8>, i16> {
        let reply = self.reply::<SyncGroupRequest<'_>>(correlation, version);
        let answer: SyncGroupResponseView<'_> = reply.view();
        match answer.error_code {
            0 => Ok(answer.assignment.to_vec()),
            code => Err(code),
        }
    }

    pub(crate) fn heartbeat(&mut self, group: &str, joined: &Joined, version: i16) -> i16 {
        let request = HeartbeatRequest {
            group_id: group.into(),
            generation_id: joined.generation,
            member_id: joined.member.as_str().into(),
            ..HeartbeatRequest::default()
        };
        let reply = self.ask(&request, version);
        reply.view::<HeartbeatResponseView>().error_code
    }

    pub(crate) fn leave(&mut self, group: &str, joined: &Joined, version: i16) -> i16 {
        let mut request = LeaveGroupRequest {
            group_id: group.into(),
            ..LeaveGroupRequest::default()
        };
        if version < 3 {
            request.member_id = joined.member.as_str().into();
        } else {
            request.members = vec![MemberIdentity {
                member_id: joined.member.as_str().into(),
                ..MemberIdentity::default()
            }];
        }
        let reply = self.ask(&request, version);
        reply.view::<LeaveGroupResponseView<'_>>().error_code
    }

    /// Commits without a group's members, or as one of them; must succeed.
    pub(crate) fn commit(&mut self, by: (&str, Membership<'_>), place: (&Topic, i32), offset: i64) {
        assert_eq!(self.commit_in(8, by, place, offset), 0);
    }

    pub(crate) fn commit_in(
        &mut self,
        version: i16,
        by: (&str, Membership<'_>),
        place: (&Topic, i32),
        offset: i64,
    ) -> i16 {
        let reply = self.ask(&commit_request(version, by, place, offset), version);
        let answer: OffsetCommitResponseView<'_> = reply.view();
        let topic = answer.topics.iter().next().unwrap();
        topic.partitions.iter().next().unwrap().error_code
    }

    /// A committed offset, -1 if there is none, or an error.
    pub(crate) fn committed_in(
        &mut self,
        version: i16,
        group: &str,
        place: (&Topic, i32),
    ) -> Result<i64, i16> {
        let reply = self.ask(&fetch_request(version, group, place), version);
        let answer: OffsetFetchResponseView<'_> = reply.view();
        let (code, offset) = if version < 8 {
            let topic = answer.topics.iter().next().unwrap();
            let row = topic.partitions.iter().next().unwrap();
            (row.error_code, row.committed_offset)
        } else {
            let found = answer.groups.iter().next().unwrap();
            assert_eq!(found.group_id, group);
            if found.error_code != 0 {
                return Err(found.error_code);
            }
            let topic = found.topics.iter().next().unwrap();
            let row = topic.partitions.iter().next().unwrap();
            (row.error_code, row.committed_offset)
        };
        match code {
            0 => Ok(offset),
            code => Err(code),
        }
    }

    pub(crate) fn committed(&mut self, group: &str, place: (&Topic, i32)) -> i64 {
        self.committed_in(8, group, place).unwrap()
    }
}

fn read_join(reply: &Reply) -> Result<Joined, i16> {
    let answer: JoinGroupResponseView<'_> = reply.view();
    if answer.error_code != 0 {
        return Err(answer.error_code);
    }
    Ok(Joined {
        member: answer.member_id.to_owned(),
        generation: answer.generation_id,
        leader: answer.leader.to_owned(),
        members: answer
            .members
            .iter()
            .map(|member| member.member_id.to_owned())
            .collect(),
    })
}
