//! A member of a consumer group that only stays in it: joins, takes what it is given, sends heartbeats.
//!
//! On a connection of its own, as Kafka's own consumer keeps one for its group's coordinator. The
//! leader hands out empty shares: who reads what is decided by whoever uses this. Deliberately
//! absent: commits, and leaving (the server that knows the group goes away with the row).

use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::messages::{
    find_coordinator_request as find, find_coordinator_response, heartbeat_request as heartbeat,
    heartbeat_response, join_group_request as join, join_group_response,
    sync_group_request as sync, sync_group_response,
};

use super::client::Client;
use crate::x::{Failure, Outcome};

/// The last versions without tagged fields.
const FIND_VERSION: i16 = 1;
const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
/// Kafka's defaults.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const SESSION_MS: i32 = 45_000;
const REBALANCE_MS: i32 = 60_000;
/// The id to join with is in the answer.
const MEMBER_ID_REQUIRED: i16 = 79;
/// Coordinator loading, not available, elsewhere; wrong generation, unknown member, rebalance.
const AGAIN_CODES: [i16; 6] = [14, 15, 16, 22, 25, 27];
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A member, once its group is stable.
pub(super) struct Member {
    client: Client,
    group: String,
    id: String,
    generation: i32,
    heard: Instant,
}

impl Member {
    /// Joins, and comes back with the generation that has an assignment for it.
    pub(super) fn join(address: &str, group: String) -> Outcome<Self> {
        let mut member = Self {
            client: Client::connect(address)?,
            group,
            id: String::new(),
            generation: -1,
            heard: Instant::now(),
        };
        member.enter()?;
        Ok(member)
    }

    /// Tells the coordinator that the member is there, when that is due.
    pub(super) fn stay(&mut self) -> Outcome<()> {
        if self.heard.elapsed() < HEARTBEAT_EVERY {
            return Ok(());
        }
        let request = heartbeat::HeartbeatRequest {
            group_id: Cow::Borrowed(&self.group),
            generation_id: self.generation,
            member_id: Cow::Borrowed(&self.id),
            ..Default::default()
        };
        let answer: heartbeat_response::HeartbeatResponseView =
            self.client.ask(&request, HEARTBEAT_VERSION)?;
        let code = answer.error_code;
        self.heard = Instant::now();
        match code {
            0 => Ok(()),
            code if AGAIN_CODES.contains(&code) => self.enter(),
            code => Err(Failure::new(format!(
                "a heartbeat was answered with {code}"
            ))),
        }
    }

    fn enter(&mut self) -> Outcome<()> {
        let started = Instant::now();
        loop {
            let code = match self.find()? {
                0 => self.join_once()?,
                code => code,
            };
            match code {
                0 => {
                    self.heard = Instant::now();
                    return Ok(());
                }
                MEMBER_ID_REQUIRED => {}
                code if started.elapsed() > PATIENCE || !AGAIN_CODES.contains(&code) => {
                    return Err(Failure::new(format!("joining {}: code {code}", self.group)));
                }
                _ => thread::sleep(PAUSE),
            }
        }
    }

    fn find(&mut self) -> Outcome<i16> {
        let request = find::FindCoordinatorRequest {
            key: Cow::Borrowed(&self.group),
            ..Default::default()
        };
        let answer: find_coordinator_response::FindCoordinatorResponseView<'_> =
            self.client.ask(&request, FIND_VERSION)?;
        Ok(answer.error_code)
    }

    fn join_once(&mut self) -> Outcome<i16> {
        let request = join::JoinGroupRequest {
            group_id: Cow::Borrowed(&self.group),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id: Cow::Borrowed(&self.id),
            protocol_type: Cow::Borrowed("consumer"),
            protocols: vec![join::JoinGroupRequestProtocol {
                name: Cow::Borrowed("range"),
                // Version 0, no topics, no data of its own.
                metadata: Cow::Borrowed(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            }],
            ..Default::default()
        };
        let answer: join_group_response::JoinGroupResponseView<'_> =
            self.client.ask(&request, JOIN_VERSION)?;
        let code = answer.error_code;
        let (id, generation) = (answer.member_id.to_owned(), answer.generation_id);
        let members: Vec<String> = answer
            .members
            .iter()
            .map(|one| one.member_id.to_owned())
            .collect();
        if code == 0 || code == MEMBER_ID_REQUIRED {
            self.id = id;
        }
        match code {
            0 => self.sync(generation, &members),
            code => Ok(code),
        }
    }

    fn sync(&mut self, generation: i32, members: &[String]) -> Outcome<i16> {
        let share = |id: &String| sync::SyncGroupRequestAssignment {
            member_id: Cow::Owned(id.clone()),
            assignment: Cow::Borrowed(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        };
        let request = sync::SyncGroupRequest {
            group_id: Cow::Borrowed(&self.group),
            generation_id: generation,
            member_id: Cow::Borrowed(&self.id),
            assignments: members.iter().map(share).collect(),
            ..Default::default()
        };
        let answer: sync_group_response::SyncGroupResponseView<'_> =
            self.client.ask(&request, SYNC_VERSION)?;
        let code = answer.error_code;
        self.generation = generation;
        Ok(code)
    }
}
