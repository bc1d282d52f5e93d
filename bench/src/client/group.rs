//! A consumer group for a run: all members join, then nothing moves until the end.
//!
//! The classic protocol, range assignment by the leader. A generation counts once it holds all
//! members; one thread then sends everybody's heartbeats. A rebalance during the run ends it, since
//! what it measured would be something else. Deliberately absent: commits of offsets.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::bytes::Message;
use thalweg_wire::messages::{
    api_versions_request, api_versions_response, consumer_protocol_assignment as assignment,
    consumer_protocol_subscription as subscription, find_coordinator_request as find,
    find_coordinator_response, heartbeat_request as heartbeat, heartbeat_response,
    join_group_request as join, join_group_response, leave_group_request as leave,
    leave_group_response, sync_group_request as sync, sync_group_response,
};

use super::{Cluster, Connection};
use crate::error::decode;
use crate::{BenchError, Settings};

const JOIN_GROUP_KEY: i16 = 11;
const SESSION_MS: i32 = 45_000;
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
const JOIN_MAX: Duration = Duration::from_secs(60);
const MEMBER_ID_REQUIRED: i16 = 79;
/// Coordinator loading, not available, elsewhere; wrong generation, unknown member, rebalance.
const AGAIN_CODES: [i16; 6] = [14, 15, 16, 22, 25, 27];

/// One member, in a generation that holds all.
#[derive(Debug)]
pub struct Member {
    connection: Connection,
    member_id: String,
    generation: i32,
    pub partitions: Vec<i32>,
}

/// The members of a run, kept alive.
#[derive(Debug)]
pub struct Group {
    stop: Arc<AtomicBool>,
    keeper: thread::JoinHandle<Result<(), BenchError>>,
}

/// What joining needs to know.
#[derive(Clone, Debug)]
struct Entry {
    address: String,
    group: String,
    topic: String,
    partitions: i32,
    members: usize,
    /// The generation that holds all members, once there is one.
    complete: Arc<AtomicI32>,
    deadline: Instant,
}

impl Group {
    /// Whether the server has consumer groups at all.
    pub fn supported(cluster: &Cluster) -> Result<bool, BenchError> {
        let mut connection = Connection::open(cluster.bootstrap())?;
        let request = api_versions_request::ApiVersionsRequest::default();
        let answer: api_versions_response::ApiVersionsResponseView<'_> =
            connection.call(&request, 0)?;
        Ok(answer
            .api_keys
            .iter()
            .any(|api| api.api_key == JOIN_GROUP_KEY))
    }

    /// Lets as many members join as there are consumers; each has its partitions.
    pub fn join(
        cluster: &Cluster,
        settings: &Settings,
        name: &str,
    ) -> Result<Vec<Member>, BenchError> {
        let entry = Entry {
            address: find_coordinator(cluster, name)?,
            group: name.to_owned(),
            topic: settings.topic.clone(),
            partitions: settings.partitions,
            members: settings.consumers,
            complete: Arc::new(AtomicI32::new(-1)),
            deadline: Instant::now() + JOIN_MAX,
        };
        let joining: Vec<_> = (0..settings.consumers)
            .map(|_| {
                let entry = entry.clone();
                thread::spawn(move || entry.enter())
            })
            .collect();
        joining.into_iter().map(crate::load::joined).collect()
    }

    /// Keeps the members' heartbeats up until [`Group::leave`].
    #[must_use]
    pub fn keep(members: Vec<Member>, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, name) = (Arc::clone(&stop), name.to_owned());
        let keeper = thread::spawn(move || keep_alive(members, &name, &stopped));
        Self { stop, keeper }
    }

    /// Ends the membership of all; an error if the group had moved.
    pub fn leave(self) -> Result<(), BenchError> {
        self.stop.store(true, Ordering::Release);
        crate::load::joined(self.keeper)
    }
}

fn keep_alive(mut members: Vec<Member>, group: &str, stop: &AtomicBool) -> Result<(), BenchError> {
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        thread::sleep(PAUSE);
        if last.elapsed() < HEARTBEAT_EVERY {
            continue;
        }
        last = Instant::now();
        for member in &mut members {
            let code = member.heartbeat(group)?;
            if code != 0 {
                let what = "a heartbeat: the group moved during the run";
                return Err(BenchError::Refused { what, code });
            }
        }
    }
    for member in &mut members {
        member.leave(group)?;
    }
    Ok(())
}

fn find_coordinator(cluster: &Cluster, group: &str) -> Result<String, BenchError> {
    let request = find::FindCoordinatorRequest {
        coordinator_keys: vec![Cow::Borrowed(group)],
        ..Default::default()
    };
    let started = Instant::now();
    loop {
        let mut connection = Connection::open(cluster.bootstrap())?;
        let answer: find_coordinator_response::FindCoordinatorResponseView<'_> =
            connection.call(&request, 4)?;
        match answer.coordinators.iter().next() {
            Some(found) if found.error_code == 0 => {
                return Ok(format!("{}:{}", found.host, found.port));
            }
            Some(found)
                if AGAIN_CODES.contains(&found.error_code) && started.elapsed() < JOIN_MAX =>
            {
                thread::sleep(PAUSE);
            }
            other => {
                let code = other.map_or(-1, |found| found.error_code);
                let what = "finding the group's coordinator";
                return Err(BenchError::Refused { what, code });
            }
        }
    }
}

impl Entry {
    /// Joins until a generation holds all members.
    fn enter(&self) -> Result<Member, BenchError> {
        let mut member = Member {
            connection: Connection::open(&self.address)?,
            member_id: String::new(),
            generation: -1,
            partitions: Vec::new(),
        };
        while Instant::now() < self.deadline {
            if self.join_once(&mut member)? && self.settled(&mut member)? {
                return Ok(member);
            }
        }
        Err(BenchError::Protocol(format!(
            "the group did not get its {} members together",
            self.members
        )))
    }

    /// One round of join and sync; false if there has to be another.
    fn join_once(&self, member: &mut Member) -> Result<bool, BenchError> {
        let subscription = subscription::ConsumerProtocolSubscription {
            topics: vec![Cow::Borrowed(&self.topic)],
            ..Default::default()
        };
        let request = join::JoinGroupRequest {
            group_id: Cow::Borrowed(&self.group),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: Cow::Owned(member.member_id.clone()),
            protocol_type: Cow::Borrowed("consumer"),
            protocols: vec![join::JoinGroupRequestProtocol {
                name: Cow::Borrowed("range"),
                metadata: Cow::Owned(versioned(&subscription)?),
            }],
            ..Default::default()
        };
        let answer: join_group_response::JoinGroupResponseView<'_> =
            member.connection.call(&request, 5)?;
        let code = answer.error_code;
        if code == MEMBER_ID_REQUIRED || code == 0 {
            answer.member_id.clone_into(&mut member.member_id);
        } else if AGAIN_CODES.contains(&code) {
            member.member_id.clear();
            thread::sleep(PAUSE);
        } else {
            let what = "joining the group";
            return Err(BenchError::Refused { what, code });
        }
        if code != 0 {
            return Ok(false);
        }
        member.generation = answer.generation_id;
        let mut members: Vec<String> = Vec::new();
        if answer.leader == answer.member_id {
            members.extend(answer.members.iter().map(|one| one.member_id.to_owned()));
        }
        self.synchronize(member, members)
    }

    /// The leader gives everybody's partitions; all learn their own.
    fn synchronize(
        &self,
        member: &mut Member,
        mut members: Vec<String>,
    ) -> Result<bool, BenchError> {
        members.sort_unstable();
        let mut assignments = Vec::new();
        for (index, member_id) in members.iter().enumerate() {
            assignments.push(sync::SyncGroupRequestAssignment {
                member_id: Cow::Borrowed(member_id),
                assignment: Cow::Owned(self.range(index, members.len())?),
            });
        }
        let request = sync::SyncGroupRequest {
            group_id: Cow::Borrowed(&self.group),
            generation_id: member.generation,
            member_id: Cow::Owned(member.member_id.clone()),
            assignments,
            ..Default::default()
        };
        let answer: sync_group_response::SyncGroupResponseView<'_> =
            member.connection.call(&request, 3)?;
        let code = answer.error_code;
        if AGAIN_CODES.contains(&code) {
            return Ok(false);
        }
        if code != 0 {
            let what = "synchronizing the group";
            return Err(BenchError::Refused { what, code });
        }
        member.partitions = own_partitions(answer.assignment)?;
        if members.len() == self.members {
            self.complete.store(member.generation, Ordering::Release);
        }
        Ok(true)
    }

    /// Waits for the word that this generation holds all; false if a rebalance came instead.
    fn settled(&self, member: &mut Member) -> Result<bool, BenchError> {
        while Instant::now() < self.deadline {
            if self.complete.load(Ordering::Acquire) == member.generation {
                return Ok(true);
            }
            thread::sleep(PAUSE);
            let code = member.heartbeat(&self.group)?;
            if AGAIN_CODES.contains(&code) {
                return Ok(false);
            }
            if code != 0 {
                let what = "a heartbeat";
                return Err(BenchError::Refused { what, code });
            }
        }
        Ok(false)
    }

    /// The `index`th of `members` shares, encoded.
    fn range(&self, index: usize, members: usize) -> Result<Vec<u8>, BenchError> {
        let partitions = usize::try_from(self.partitions).unwrap_or(0);
        let bound = |index: usize| (index * partitions / members) as i32;
        versioned(&assignment::ConsumerProtocolAssignment {
            assigned_partitions: vec![assignment::TopicPartition {
                topic: Cow::Borrowed(&self.topic),
                partitions: (bound(index)..bound(index + 1)).collect(),
            }],
            ..Default::default()
        })
    }
}

impl Member {
    fn heartbeat(&mut self, group: &str) -> Result<i16, BenchError> {
        let request = heartbeat::HeartbeatRequest {
            group_id: Cow::Borrowed(group),
            generation_id: self.generation,
            member_id: Cow::Owned(self.member_id.clone()),
            ..Default::default()
        };
        let answer: heartbeat_response::HeartbeatResponseView =
            self.connection.call(&request, 3)?;
        Ok(answer.error_code)
    }

    fn leave(&mut self, group: &str) -> Result<(), BenchError> {
        let request = leave::LeaveGroupRequest {
            group_id: Cow::Borrowed(group),
            members: vec![leave::MemberIdentity {
                member_id: Cow::Owned(self.member_id.clone()),
                ..Default::default()
            }],
            ..Default::default()
        };
        let _: leave_group_response::LeaveGroupResponseView<'_> =
            self.connection.call(&request, 3)?;
        Ok(())
    }
}

/// A message of the consumers among themselves: version 0 in front.
fn versioned<M: Message>(message: &M) -> Result<Vec<u8>, BenchError> {
    let mut bytes = vec![0, 0];
    bytes.extend(message.to_bytes(0)?);
    Ok(bytes)
}

fn own_partitions(bytes: &[u8]) -> Result<Vec<i32>, BenchError> {
    // A member without any partition gets no bytes at all.
    let Some((_, body)) = bytes.split_first_chunk::<2>() else {
        return Ok(Vec::new());
    };
    let view = assignment::ConsumerProtocolAssignmentView::decode(body, 0)
        .map_err(decode("ConsumerProtocolAssignment"))?;
    Ok(view
        .assigned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter())
        .collect())
}
