//! A member of a consumer group, in the classic protocol: join, take or make the assignment, stay
//! alive, leave. A static member does not leave: the group keeps its place until it comes back or
//! its session ends.
//!
//! Everything is asked from the one loop that also fetches: heartbeats go out between fetches,
//! which come back often enough. Deliberately absent: reading on while a rebalance runs, which
//! cooperative members of Kafka's clients do; here they keep their partitions and places.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use thalweg_wire::api::ApiKey;
use thalweg_wire::bytes::{DecodeError, EncodeError};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, ConsumerProtocolAssignmentView, TopicPartition as AssignedTopic,
};
use thalweg_wire::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, ConsumerProtocolSubscriptionView, TopicPartition as OwnedTopic,
};
use thalweg_wire::messages::coordinator::encode_value;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequest;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponseView;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::join_group_response::JoinGroupResponseView;
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use thalweg_wire::messages::sync_group_response::SyncGroupResponseView;

use super::super::client::Reply;
use super::super::committed::Committer;
use super::super::failure::Failure;
use super::super::routing::{Call, Cluster, Patience, TopicPartition};
use super::assignor::{Assignor, Subscriber};

const JOIN: (i16, i16) = (2, 9);
const SYNC: (i16, i16) = (1, 5);
const HEARTBEAT: (i16, i16) = (1, 4);
const LEAVE: (i16, i16) = (1, 5);
/// The first versions that know static members.
const JOIN_STATIC: i16 = 5;
/// The first version of LeaveGroup that names members in a list.
const LEAVE_MEMBERS: i16 = 3;
/// How long the group waits for its members to join again.
const REBALANCE: Duration = Duration::from_secs(60);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const PROTOCOL_TYPE: &str = "consumer";
/// The newest layouts that are understood; younger ones begin like them.
const LAYOUT_MAX: i16 = 3;

/// How a member takes part.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) group: String,
    /// The name under which a static member comes back.
    pub(crate) instance: Option<String>,
    pub(crate) assignor: Assignor,
    /// A member that is silent for so long is dead.
    pub(crate) session: Duration,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Member {
    terms: Terms,
    topics: Vec<String>,
    committer: Committer,
    /// What is ours while we are in the group, and the generation in which it was given.
    owned: Vec<TopicPartition>,
    owned_in: i32,
    last_beat: Instant,
}

/// What a rebalance came to.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// Ours from now on.
    pub(crate) partitions: Vec<TopicPartition>,
    /// Those among them that were ours before and were not given up in between.
    pub(crate) kept: BTreeSet<TopicPartition>,
    /// Something was given up for others, who get it when we join again.
    pub(crate) must_rejoin: bool,
}

/// What joining came to.
struct Joined {
    leader: bool,
    skip_assignment: bool,
    subscribers: Vec<Subscriber>,
}

impl Member {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            committer: nobody(&terms),
            terms,
            topics: Vec::new(),
            owned: Vec::new(),
            owned_in: -1,
            last_beat: Instant::now(),
        }
    }

    /// What is wanted from the next rebalance on.
    pub(crate) fn subscribe(&mut self, topics: Vec<String>) {
        self.topics = topics;
    }

    /// As whom offsets are committed.
    pub(crate) fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Joins, or joins again; answers the partitions that are ours now.
    pub(crate) fn join(&mut self, cluster: &mut Cluster) -> Result<Assignment, Failure> {
        if self.terms.assignor == Assignor::Range {
            self.owned.clear();
        }
        let patience = Patience::of(cluster.timeout() + REBALANCE);
        loop {
            let joined = match self.ask_join(cluster)? {
                Ok(joined) => joined,
                Err(code) if self.may_rejoin(code) && patience.again() => continue,
                Err(code) => return Err(self.refused("joining group", code)),
            };
            let assignments = match joined.leader && !joined.skip_assignment {
                true => assign(cluster, self.terms.assignor, &joined.subscribers)?,
                false => Vec::new(),
            };
            match self.ask_sync(cluster, &assignments)? {
                Ok(partitions) => {
                    self.last_beat = Instant::now();
                    return Ok(self.take(partitions));
                }
                Err(code) if self.may_rejoin(code) && patience.again() => {}
                Err(code) => return Err(self.refused("joining group", code)),
            }
        }
    }

    fn take(&mut self, partitions: Vec<TopicPartition>) -> Assignment {
        let had: BTreeSet<TopicPartition> = std::mem::take(&mut self.owned).into_iter().collect();
        let has: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        self.owned.clone_from(&partitions);
        self.owned_in = self.committer.generation;
        Assignment {
            must_rejoin: !had.is_subset(&has),
            kept: had.intersection(&has).cloned().collect(),
            partitions,
        }
    }

    fn refused(&self, doing: &str, code: i16) -> Failure {
        Failure::refused(doing, &self.terms.group, code, None)
    }

    /// Takes note of a code that asks for joining again; false for others.
    fn may_rejoin(&mut self, code: i16) -> bool {
        match ErrorCode::from_code(code) {
            Some(ErrorCode::RebalanceInProgress | ErrorCode::MemberIdRequired) => true,
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                // Others may have what was ours.
                self.committer = nobody(&self.terms);
                self.owned.clear();
                true
            }
            _ => false,
        }
    }

    fn instance(&self) -> Option<Cow<'_, str>> {
        self.terms.instance.as_deref().map(Cow::Borrowed)
    }

    fn subscription(&self) -> Result<Vec<u8>, EncodeError> {
        let topics = self.topics.iter().map(|topic| topic.as_str().into());
        let owned = by_topic(&self.owned).into_iter();
        let subscription = ConsumerProtocolSubscription {
            topics: topics.collect(),
            owned_partitions: owned
                .map(|(topic, partitions)| OwnedTopic {
                    topic: topic.into(),
                    partitions,
                })
                .collect(),
            generation_id: self.owned_in,
            ..ConsumerProtocolSubscription::default()
        };
        // What members that keep nothing have to say, old brokers' clients understand too.
        let version = match self.terms.assignor {
            Assignor::Range => 0,
            Assignor::CooperativeSticky => LAYOUT_MAX,
        };
        encode_value(&subscription, version)
    }

    fn ask_join(&mut self, cluster: &mut Cluster) -> Result<Result<Joined, i16>, Failure> {
        let metadata = self
            .subscription()
            .map_err(|error| Failure::protocol("the command", error))?;
        let oldest = match self.terms.instance {
            Some(_) => JOIN_STATIC,
            None => JOIN.0,
        };
        let call = Call {
            longer: REBALANCE,
            ..Call::new(ApiKey::JoinGroup, (oldest, JOIN.1))
        };
        let request = |_version| JoinGroupRequest {
            group_id: Cow::Borrowed(self.terms.group.as_str()),
            session_timeout_ms: millis(self.terms.session),
            rebalance_timeout_ms: millis(REBALANCE),
            member_id: Cow::Borrowed(self.committer.member.as_str()),
            group_instance_id: self.instance(),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: self.terms.assignor.name().into(),
                metadata: Cow::Borrowed(&metadata),
            }],
            ..JoinGroupRequest::default()
        };
        let code_of = |reply: &Reply| {
            let answer: JoinGroupResponseView<'_> = reply.view()?;
            Ok(answer.error_code)
        };
        let reply = cluster.ask_coordinator(&self.terms.group, &call, request, code_of)?;
        let answer: JoinGroupResponseView<'_> = reply.view()?;
        if answer.error_code == ErrorCode::MemberIdRequired.code() || answer.error_code == 0 {
            answer.member_id.clone_into(&mut self.committer.member);
            self.committer.generation = answer.generation_id;
        }
        if answer.error_code != 0 {
            return Ok(Err(answer.error_code));
        }
        let mut subscribers = Vec::new();
        for member in answer.members.iter() {
            let subscriber =
                subscriber_of(member.member_id, member.group_instance_id, member.metadata);
            subscribers.push(
                subscriber.map_err(|error| Failure::protocol("a member of the group", error))?,
            );
        }
        Ok(Ok(Joined {
            leader: answer.leader == answer.member_id,
            skip_assignment: answer.skip_assignment,
            subscribers,
        }))
    }

    fn ask_sync(
        &self,
        cluster: &mut Cluster,
        assignments: &[(String, Vec<u8>)],
    ) -> Result<Result<Vec<TopicPartition>, i16>, Failure> {
        let call = Call {
            longer: REBALANCE,
            ..Call::new(ApiKey::SyncGroup, SYNC)
        };
        let request = |_version| SyncGroupRequest {
            group_id: Cow::Borrowed(self.terms.group.as_str()),
            generation_id: self.committer.generation,
            member_id: Cow::Borrowed(self.committer.member.as_str()),
            group_instance_id: self.instance(),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: Some(self.terms.assignor.name().into()),
            assignments: assignments
                .iter()
                .map(|(member, assignment)| SyncGroupRequestAssignment {
                    member_id: Cow::Borrowed(member.as_str()),
                    assignment: Cow::Borrowed(assignment),
                })
                .collect(),
        };
        let code_of = |reply: &Reply| {
            let answer: SyncGroupResponseView<'_> = reply.view()?;
            Ok(answer.error_code)
        };
        let reply = cluster.ask_coordinator(&self.terms.group, &call, request, code_of)?;
        let answer: SyncGroupResponseView<'_> = reply.view()?;
        if answer.error_code != 0 {
            return Ok(Err(answer.error_code));
        }
        partitions_of(answer.assignment)
            .map(Ok)
            .map_err(|error| Failure::protocol("the leader of the group", error))
    }

    /// Says that we are alive, if it is time to; true if the group wants us to join again.
    pub(crate) fn beat(&mut self, cluster: &mut Cluster) -> Result<bool, Failure> {
        if self.last_beat.elapsed() < HEARTBEAT_EVERY {
            return Ok(false);
        }
        self.last_beat = Instant::now();
        let call = Call::new(ApiKey::Heartbeat, HEARTBEAT);
        let request = |_version| HeartbeatRequest {
            group_id: Cow::Borrowed(self.terms.group.as_str()),
            generation_id: self.committer.generation,
            member_id: Cow::Borrowed(self.committer.member.as_str()),
            group_instance_id: self.instance(),
        };
        let code_of = |reply: &Reply| {
            let answer: HeartbeatResponseView = reply.view()?;
            Ok(answer.error_code)
        };
        let reply = cluster.ask_coordinator(&self.terms.group, &call, request, code_of)?;
        match code_of(&reply)? {
            0 => Ok(false),
            code if self.may_rejoin(code) => Ok(true),
            code => Err(self.refused("staying in group", code)),
        }
    }

    /// Leaves, so that the others need not wait for the session's end. What goes wrong does not
    /// matter any more. The place of a static member is kept.
    pub(crate) fn leave(&self, cluster: &mut Cluster) {
        if self.committer.member.is_empty() || self.terms.instance.is_some() {
            return;
        }
        let member = || Cow::Borrowed(self.committer.member.as_str());
        let request = |version| {
            let mut request = LeaveGroupRequest {
                group_id: Cow::Borrowed(self.terms.group.as_str()),
                ..LeaveGroupRequest::default()
            };
            match version >= LEAVE_MEMBERS {
                true => request.members.push(MemberIdentity {
                    member_id: member(),
                    ..MemberIdentity::default()
                }),
                false => request.member_id = member(),
            }
            request
        };
        let call = Call::new(ApiKey::LeaveGroup, LEAVE);
        drop(cluster.ask_coordinator(&self.terms.group, &call, request, |_| Ok(0)));
    }
}

/// Not in the group yet, or not any more.
fn nobody(terms: &Terms) -> Committer {
    Committer {
        instance: terms.instance.clone(),
        ..Committer::nobody()
    }
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let indexes = topics.entry(&partition.topic).or_default();
        indexes.push(partition.partition);
    }
    topics
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// What the group's leader tells each member.
fn assign(
    cluster: &mut Cluster,
    assignor: Assignor,
    subscribers: &[Subscriber],
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let topics: BTreeSet<&String> = subscribers.iter().flat_map(|one| &one.topics).collect();
    let names: Vec<String> = topics.into_iter().cloned().collect();
    cluster.refresh(Some(&names))?;
    let counts = names
        .iter()
        .filter_map(|name| {
            let facts = cluster
                .topics()
                .get(name)
                .filter(|facts| facts.error == 0)?;
            let count = i32::try_from(facts.leaders.len()).ok()?;
            Some((name.clone(), count))
        })
        .collect();
    let mut assignments = Vec::new();
    for (member, partitions) in assignor.assign(subscribers, &counts) {
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: by_topic(&partitions)
                .into_iter()
                .map(|(topic, partitions)| AssignedTopic {
                    topic: topic.into(),
                    partitions,
                })
                .collect(),
            user_data: None,
        };
        let bytes = encode_value(&assignment, 0)
            .map_err(|error| Failure::protocol("the command", error))?;
        assignments.push((member, bytes));
    }
    Ok(assignments)
}

/// The version in front of a layout, and what follows it.
fn layout(bytes: &[u8]) -> Result<(i16, &[u8]), DecodeError> {
    let truncated = DecodeError::Truncated {
        needed: 2,
        left: bytes.len(),
    };
    let (version, body) = bytes.split_first_chunk::<2>().ok_or(truncated)?;
    Ok((i16::from_be_bytes(*version).clamp(0, LAYOUT_MAX), body))
}

fn subscriber_of(
    member: &str,
    instance: Option<&str>,
    metadata: &[u8],
) -> Result<Subscriber, DecodeError> {
    let (version, body) = layout(metadata)?;
    let view = ConsumerProtocolSubscriptionView::decode(body, version)?;
    let owned = view.owned_partitions.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter();
        indexes.map(move |index| TopicPartition::new(topic.topic, index))
    });
    Ok(Subscriber {
        member: member.to_owned(),
        instance: instance.map(str::to_owned),
        topics: view.topics.iter().map(str::to_owned).collect(),
        owned: owned.collect(),
        generation: view.generation_id,
    })
}

/// A member that gets nothing may get no bytes at all.
fn partitions_of(assignment: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let (version, body) = layout(assignment)?;
    let view = ConsumerProtocolAssignmentView::decode(body, version)?;
    let topics = view.assigned_partitions.iter();
    let partitions = topics.flat_map(|topic| {
        let indexes = topic.partitions.iter();
        indexes.map(move |index| TopicPartition::new(topic.topic, index))
    });
    Ok(partitions.collect())
}
