//! How long a rebalance takes once the last member has asked for it.
//!
//! All members of a stable group join again at once, each with metadata that it did not have before.
//! The group is complete with the last of them, so no timer of the server has a part in what is
//! measured: from that JoinGroup sent to the last SyncGroup answered, the leader's assignment of
//! all partitions in between. Members do not think.

use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_bench::Settings;
use thalweg_bench::client::{Cluster, Connection};
use thalweg_bench::settings::Workload;
use thalweg_wire::messages::{
    find_coordinator_request as find, find_coordinator_response, join_group_request as join,
    join_group_response, leave_group_request as leave, sync_group_request as sync,
    sync_group_response,
};

use super::Shape;
use super::crowd::Crowd;
use crate::x::{Context, Failure, Outcome};

const TOPIC: &str = "shared";
const GROUP: &str = "members";
const PROTOCOL: &str = "range";
/// The last versions without tagged fields.
const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 3;
const FIND_VERSION: i16 = 1;
/// Longer than the session of whoever joins: 45 s, Kafka's default.
const SESSION_MS: i32 = 45_000;
const REBALANCE_MS: i32 = 60_000;
const MEMBER_ID_REQUIRED: i16 = 79;
/// Coordinator loading, not available, elsewhere; wrong generation, rebalance.
const AGAIN_CODES: [i16; 5] = [14, 15, 16, 22, 27];
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
/// Until a group that comes together has everybody in one generation.
const TRIES_MAX: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Join,
    Sync,
    Done,
}

#[derive(Clone, Debug)]
struct Member {
    id: String,
    generation: i32,
    waits: Waits,
    partitions: usize,
}

struct Party<'a> {
    crowd: Crowd,
    members: Vec<Member>,
    shape: &'a Shape,
    /// Told to everybody with each round, so that none of them is one the server knows already.
    round: u32,
    /// Codes that say "again" are taken for an answer only while the group comes together.
    is_strict: bool,
}

/// Milliseconds of each round.
pub(super) fn measure(address: &str, shape: &Shape) -> Outcome<Vec<f64>> {
    let mut settings = Settings::new(Workload::Produce);
    address.clone_into(&mut settings.brokers);
    TOPIC.clone_into(&mut settings.topic);
    settings.partitions = shape.partitions;
    Cluster::prepare(&settings).context(|| "making the topic")?;
    find_coordinator(address, GROUP)?;
    let unknown = Member {
        id: String::new(),
        generation: -1,
        waits: Waits::Join,
        partitions: 0,
    };
    let mut party = Party {
        crowd: Crowd::connect(address, shape.members)?,
        members: vec![unknown; shape.members],
        shape,
        round: 0,
        is_strict: false,
    };
    party.gather()?;
    party.is_strict = true;
    let mut rounds = Vec::new();
    for _ in 0..shape.rounds {
        rounds.push(party.rebalance()?.as_secs_f64() * 1e3);
        if !party.is_whole() {
            return Err(Failure::new("a round left members or partitions out"));
        }
    }
    party.leave()?;
    Ok(rounds)
}

/// Has the group's partition made and loaded.
pub(super) fn find_coordinator(address: &str, group: &str) -> Outcome<()> {
    let request = find::FindCoordinatorRequest {
        key: Cow::Borrowed(group),
        ..Default::default()
    };
    let mut connection = Connection::open(address).context(|| "connecting")?;
    let started = Instant::now();
    loop {
        let answer: find_coordinator_response::FindCoordinatorResponseView<'_> = connection
            .call(&request, FIND_VERSION)
            .context(|| "asking for a coordinator")?;
        match answer.error_code {
            0 => return Ok(()),
            code if started.elapsed() > PATIENCE => {
                return Err(Failure::new(format!("no coordinator: code {code}")));
            }
            _ => thread::sleep(PAUSE),
        }
    }
}

impl Party<'_> {
    /// Everybody in one generation for the first time.
    fn gather(&mut self) -> Outcome<()> {
        for _ in 0..TRIES_MAX {
            self.rebalance()?;
            if self.is_whole() {
                return Ok(());
            }
        }
        Err(Failure::new("the members do not come together"))
    }

    fn is_whole(&self) -> bool {
        let generation = self.members.first().map(|member| member.generation);
        let shares: usize = self.members.iter().map(|member| member.partitions).sum();
        let mut members = self.members.iter();
        members.all(|member| Some(member.generation) == generation)
            && i32::try_from(shares).is_ok_and(|shares| shares == self.shape.partitions)
    }

    fn rebalance(&mut self) -> Outcome<Duration> {
        self.round += 1;
        for at in 0..self.members.len() {
            self.join(at)?;
        }
        let last_sent = Instant::now();
        while self.members.iter().any(|one| one.waits != Waits::Done) {
            if last_sent.elapsed() > PATIENCE {
                return Err(Failure::new("a rebalance does not end"));
            }
            for (at, body) in self.crowd.answers(PAUSE)? {
                match self.members.get(at).map(|member| member.waits) {
                    Some(Waits::Join) => self.joined(at, &body)?,
                    Some(Waits::Sync) => self.synced(at, &body)?,
                    _ => return Err(Failure::new("an answer that nobody waits for")),
                }
            }
        }
        Ok(last_sent.elapsed())
    }

    fn join(&mut self, at: usize) -> Outcome<()> {
        let member = self.members.get_mut(at).context(|| "no such member")?;
        member.waits = Waits::Join;
        let request = join::JoinGroupRequest {
            group_id: Cow::Borrowed(GROUP),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id: Cow::Borrowed(&member.id),
            protocol_type: Cow::Borrowed("consumer"),
            protocols: vec![join::JoinGroupRequestProtocol {
                name: Cow::Borrowed(PROTOCOL),
                metadata: Cow::Owned(subscription(self.round)),
            }],
            ..Default::default()
        };
        self.crowd.send(at, &request, JOIN_VERSION)
    }

    fn joined(&mut self, at: usize, body: &[u8]) -> Outcome<()> {
        let answer = join_group_response::JoinGroupResponseView::decode(body, JOIN_VERSION)
            .context(|| "reading a JoinGroup answer")?;
        let member = self.members.get_mut(at).context(|| "no such member")?;
        match answer.error_code {
            0 => {}
            MEMBER_ID_REQUIRED => {
                answer.member_id.clone_into(&mut member.id);
                return self.join(at);
            }
            code => return self.again(at, "JoinGroup", code),
        }
        answer.member_id.clone_into(&mut member.id);
        (member.generation, member.waits) = (answer.generation_id, Waits::Sync);
        let is_leader = answer.leader == answer.member_id;
        let members: Vec<&str> = answer.members.iter().map(|one| one.member_id).collect();
        let assignments = match is_leader {
            true => assignments(&members, self.shape.partitions),
            false => Vec::new(),
        };
        let request = sync::SyncGroupRequest {
            group_id: Cow::Borrowed(GROUP),
            generation_id: answer.generation_id,
            member_id: Cow::Borrowed(answer.member_id),
            assignments,
            ..Default::default()
        };
        self.crowd.send(at, &request, SYNC_VERSION)
    }

    fn synced(&mut self, at: usize, body: &[u8]) -> Outcome<()> {
        let answer = sync_group_response::SyncGroupResponseView::decode(body, SYNC_VERSION)
            .context(|| "reading a SyncGroup answer")?;
        if answer.error_code != 0 {
            return self.again(at, "SyncGroup", answer.error_code);
        }
        let member = self.members.get_mut(at).context(|| "no such member")?;
        member.partitions = assigned(answer.assignment);
        member.waits = Waits::Done;
        Ok(())
    }

    fn again(&mut self, at: usize, what: &str, code: i16) -> Outcome<()> {
        if self.is_strict || !AGAIN_CODES.contains(&code) {
            return Err(Failure::new(format!(
                "{what} was answered with code {code}"
            )));
        }
        thread::sleep(PAUSE);
        self.join(at)
    }

    /// Ends the group, so that its sessions do not end while something else is measured.
    fn leave(mut self) -> Outcome<()> {
        let members = self.members.iter().map(|member| leave::MemberIdentity {
            member_id: Cow::Borrowed(&member.id),
            ..Default::default()
        });
        let request = leave::LeaveGroupRequest {
            group_id: Cow::Borrowed(GROUP),
            members: members.collect(),
            ..Default::default()
        };
        self.crowd.send(0, &request, LEAVE_VERSION)?;
        let started = Instant::now();
        while self.crowd.answers(PAUSE)?.is_empty() {
            if started.elapsed() > PATIENCE {
                return Err(Failure::new("LeaveGroup is not answered"));
            }
        }
        Ok(())
    }
}

/// Version 0: the topic, and the round as the member's own data.
fn subscription(round: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(text(TOPIC));
    bytes.extend(4_i32.to_be_bytes());
    bytes.extend(round.to_be_bytes());
    bytes
}

/// Each member's share: partitions in a row, as even as they go.
fn assignments<'a>(
    members: &[&'a str],
    partitions: i32,
) -> Vec<sync::SyncGroupRequestAssignment<'a>> {
    let count = i32::try_from(members.len().max(1)).unwrap_or(i32::MAX);
    let members = (0..count).zip(members);
    let share = |at: i32| {
        let from = i64::from(partitions) * i64::from(at) / i64::from(count);
        let to = i64::from(partitions) * i64::from(at + 1) / i64::from(count);
        let mut bytes = vec![0, 0];
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(text(TOPIC));
        bytes.extend(i32::try_from(to - from).unwrap_or(0).to_be_bytes());
        for partition in from..to {
            bytes.extend(i32::try_from(partition).unwrap_or(0).to_be_bytes());
        }
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    };
    members
        .map(|(at, member)| sync::SyncGroupRequestAssignment {
            member_id: Cow::Borrowed(*member),
            assignment: Cow::Owned(share(at)),
        })
        .collect()
}

/// How many partitions such a share has.
fn assigned(share: &[u8]) -> usize {
    let at = 2 + 4 + 2 + TOPIC.len();
    let count = share
        .get(at..at + 4)
        .and_then(|count| count.try_into().ok());
    count.map_or(0, |count| {
        usize::try_from(i32::from_be_bytes(count)).unwrap_or(0)
    })
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap_or(0);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_assigned_once() {
        for (members, partitions) in [(200, 1_000), (3, 10), (7, 3)] {
            let names: Vec<String> = (0..members).map(|at| at.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let shares = assignments(&names, partitions);
            assert_eq!(shares.len(), members);
            let counts = shares.iter().map(|share| assigned(&share.assignment));
            assert_eq!(i32::try_from(counts.sum::<usize>()).unwrap(), partitions);
        }
    }

    #[test]
    fn each_round_says_something_new() {
        assert_ne!(subscription(1), subscription(2));
        assert_eq!(assigned(&[]), 0);
    }
}
