//! Groups under everything at once: random joins, leaves, silence, restarts of static members, commits, expiry of
//! time and of offsets, topics deleted and made again (some of it unseen), refused appends, a high watermark that
//! lags, crashes that lose what is above it; over seeds.
//!
//! Held against it:
//! - one owner a partition and generation, and one who assigns;
//! - the offset of a partition never goes back, neither in the log nor as it is read, and what was answered is
//!   there after a crash;
//! - the log makes the same state again, whenever it is replayed;
//! - an offset goes only with its topic, or when its group has been without members for as long as it is kept; and
//!   in the end all of those are gone;
//! - every request is answered, and once; members that are silent are out in the end.
//!
//! `THALWEG_GROUP_SEEDS=100000` runs that many seeds, `THALWEG_GROUP_SEED=7` one. Planted bugs show that each of
//! these checks can fail.

mod group_world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use group_world::{Bug, World, add_topic, topic_id};

use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::step::{Answer, Token};
use thalweg_coordinator::metadata::image::Image;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::group_metadata_value::GroupMetadataValueView;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequest;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::join_group_response::JoinGroupResponse;
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::offset_commit_value::OffsetCommitValueView;
use thalweg_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};

/// Seeds of one run unless the environment says otherwise: some seconds on a slow machine.
const SEEDS: u64 = 2_000;
/// What happens in one seed.
const EVENTS: usize = 400;
/// Partitions that the group shares out.
const PARTITIONS: i32 = 4;
/// The group.
const GROUP: &str = "g";

/// Marsaglia's xorshift, started by splitmix: the same on every machine and in every version.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mixed = (seed.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What a client is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Nothing,
    Join(Token),
    Sync(Token),
    Fetch(Token),
}

/// A consumer, as far as the group knows it. One that believes it is in an old generation goes on all the same.
#[derive(Clone, Debug)]
struct Client {
    instance: Option<String>,
    member: String,
    generation: i32,
    /// Partitions it was assigned in its generation, each with the offset up to which it has worked.
    owned: BTreeMap<i32, Option<i64>>,
    /// The members among whom it is to share the partitions out.
    leads: Option<Vec<String>>,
    waiting: Waiting,
    /// Each with how often the partition's offset had been buried when it was sent.
    commits: Vec<(Token, i32, i64, usize)>,
    /// What was answered to others before it asked where the group stands.
    floor: BTreeMap<i32, i64>,
    /// How often offsets had been buried by then.
    buried: BTreeMap<i32, usize>,
    /// It is in a generation and has not asked for its share yet.
    is_unsynced: bool,
    /// It has its share of a generation.
    is_assigned: bool,
    /// It works on without asking anybody, as after a long pause: generations must stop it.
    is_deaf: bool,
}

impl Client {
    fn new(instance: Option<String>) -> Self {
        Self {
            instance,
            member: String::new(),
            generation: -1,
            owned: BTreeMap::new(),
            leads: None,
            waiting: Waiting::Nothing,
            commits: Vec::new(),
            floor: BTreeMap::new(),
            buried: BTreeMap::new(),
            is_unsynced: false,
            is_assigned: false,
            is_deaf: false,
        }
    }

    fn forget(&mut self) {
        *self = Self::new(self.instance.take());
    }
}

struct Model {
    world: World,
    random: Random,
    clients: Vec<Client>,
    /// Who was told that a partition is his, by deletions of the group so far, generation and partition.
    owners: BTreeMap<(usize, i32, i32), usize>,
    /// Who was told to assign, by crashes so far and generation.
    assigners: BTreeMap<(u32, usize, i32), usize>,
    /// The last offset of each partition of which a commit was answered.
    answered: BTreeMap<i32, i64>,
    crashes: u32,
    /// How much of the log has been looked at, and what it said last.
    seen: usize,
    logged: BTreeMap<i32, (i64, Uuid)>,
    /// What the last record of the group said: since when, and with how many members; and how often the log had
    /// refused one by then.
    group: Option<(i64, usize, usize)>,
    /// How often a partition's offset has been buried.
    buried: BTreeMap<i32, usize>,
    /// How often the topic has been made.
    topics: u8,
    expired: usize,
    forgotten: usize,
}

type Check = Result<(), String>;

/// Offsets are looked through more often than most pauses of the model are long.
fn config(retention_ms: i64) -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: 500,
        offsets_retention_ms: retention_ms,
        expiry_interval_ms: 20_000,
        ..GroupConfig::default()
    }
}

impl Model {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed);
        let clients = 2 + random.below(4);
        let statics = random.below(3);
        let clients = (0..clients).map(|n| Client::new((n < statics).then(|| format!("i{n}"))));
        let retention_ms = [100_000, 7 * 24 * 3_600_000][usize::from(random.one_in(2))];
        let mut world = World::new(config(retention_ms));
        world.bug = bug;
        // Some bugs are in how a shard is made.
        world.crash();
        world.commits_at_once = random.one_in(2);
        Self {
            world,
            clients: clients.collect(),
            random,
            owners: BTreeMap::new(),
            assigners: BTreeMap::new(),
            answered: BTreeMap::new(),
            crashes: 0,
            seen: 0,
            logged: BTreeMap::new(),
            group: None,
            buried: BTreeMap::new(),
            topics: 1,
            expired: 0,
            forgotten: 0,
        }
    }

    fn run(&mut self) -> Check {
        for event in 0..EVENTS {
            self.event()
                .map_err(|what| format!("event {event}: {what}"))?;
        }
        self.finish()
    }

    fn event(&mut self) -> Check {
        match self.random.below(100) {
            0 => self.crash()?,
            1 => self.world.refusal = Some(ErrorCode::KafkaStorageError),
            2 => self.same_after_replay()?,
            3..=6 => {
                let ms = [10, 100, 400, 600, 600, 3_000, 12_000, 70_000][self.below(8)];
                self.world.pass(ms);
            }
            7 if self.random.one_in(4) => self.make_topic_again()?,
            7..=15 => {
                let upto = self.world.log.len();
                let upto = upto - self.below(3).min(upto);
                self.world.commit_log(upto);
            }
            _ => {
                let client = self.below(self.clients.len());
                self.act(client);
            }
        }
        self.check_log()?;
        for client in 0..self.clients.len() {
            self.listen(client)?;
        }
        Ok(())
    }

    /// The topic is deleted and made again. A shard that was not there then has to find out by itself.
    fn make_topic_again(&mut self) -> Check {
        let old = topic_id(self.topics);
        // Ids of its own: those of the other topics begin at 2.
        self.topics = self.topics.max(9) + 1;
        self.world.image = Image::default();
        add_topic(&mut self.world.image, "t1", topic_id(self.topics));
        self.answered.clear();
        for index in 0..PARTITIONS {
            *self.buried.entry(index).or_default() += 1;
        }
        for client in &mut self.clients {
            client.floor.clear();
        }
        if self.random.one_in(2) {
            let now = self.world.now;
            self.world.shard.topics_deleted(&[(old, "t1")], now);
            self.world.pass(0);
            return Ok(());
        }
        self.crash()?;
        self.world.pass(0);
        Ok(())
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.random.below(bound)).expect("small")
    }
}

/// What clients do.
impl Model {
    fn act(&mut self, client: usize) {
        if self.random.one_in(15) {
            self.clients[client].is_deaf ^= true;
        }
        if self.clients[client].is_deaf {
            self.commit(client);
            return;
        }
        let waiting = self.clients[client].waiting;
        if waiting != Waiting::Nothing && !self.random.one_in(20) {
            return;
        }
        match self.random.below(40) {
            0 => self.leave(client),
            1 => self.clients[client].forget(),
            2 => self.join(client),
            3 => self.sync(client),
            4..=9 => self.heartbeat(client),
            _ if self.clients[client].is_unsynced => self.sync(client),
            _ if self.clients[client].is_assigned => self.commit(client),
            _ => self.join(client),
        }
    }

    fn join(&mut self, client: usize) {
        let one = self.clients[client].clone();
        let names: &[&str] = if self.random.one_in(4) {
            &["sticky", "range"]
        } else {
            &["range"]
        };
        let protocols = names.iter().map(|name| JoinGroupRequestProtocol {
            name: (*name).into(),
            metadata: b"\0\0\0\0\0\x01\0\x02t1\xff\xff\xff\xff"[..].into(),
        });
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: one.member.into(),
            group_instance_id: one.instance.map(Into::into),
            protocol_type: "consumer".into(),
            protocols: protocols.collect(),
            reason: None,
        };
        let static_only = request.group_instance_id.is_some();
        let version = if static_only || !self.random.one_in(4) {
            9
        } else {
            3
        };
        let token = self.world.join(version, &request);
        self.clients[client].waiting = Waiting::Join(token);
    }

    fn sync(&mut self, client: usize) {
        let one = self.clients[client].clone();
        let mut shares: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        if let Some(members) = &one.leads {
            for partition in 0..PARTITIONS {
                let owner = members[self.below(members.len())].clone();
                shares
                    .entry(owner)
                    .or_default()
                    .push(u8::try_from(partition).expect("few"));
            }
        }
        let assignments = shares
            .into_iter()
            .map(|(member, share)| SyncGroupRequestAssignment {
                member_id: member.into(),
                assignment: share.into(),
            });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: one.generation,
            member_id: one.member.into(),
            group_instance_id: one.instance.map(Into::into),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let token = self.world.sync(4, &request);
        self.clients[client].waiting = Waiting::Sync(token);
    }

    fn heartbeat(&mut self, client: usize) {
        let one = self.clients[client].clone();
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: one.generation,
            member_id: one.member.into(),
            group_instance_id: one.instance.map(Into::into),
        };
        let token = self.world.heartbeat(4, &request);
        let Some(Answer::Heartbeat(answer)) = self.world.answer(token) else {
            panic!("a heartbeat waits for nothing");
        };
        // A client that is told of a rebalance mostly joins, now and then it dawdles.
        if answer.error_code == ErrorCode::RebalanceInProgress as i16 && !self.random.one_in(4) {
            self.join(client);
        }
    }

    fn leave(&mut self, client: usize) {
        let one = self.clients[client].clone();
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![MemberIdentity {
                member_id: one.member.into(),
                group_instance_id: one.instance.map(Into::into),
                reason: None,
            }],
            ..LeaveGroupRequest::default()
        };
        self.world.leave(5, &request);
        self.clients[client].forget();
    }

    /// Commits progress in a partition, if its offset is known already.
    fn commit(&mut self, client: usize) {
        let one = self.clients[client].clone();
        let mut known = one
            .owned
            .iter()
            .filter_map(|(index, at)| at.map(|at| (*index, at)));
        let Some((index, at)) = known.next() else {
            return;
        };
        let offset = at + i64::try_from(self.random.below(3)).expect("small");
        self.clients[client].owned.insert(index, Some(offset));
        let mut request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: one.generation,
            member_id: one.member.into(),
            group_instance_id: one.instance.map(Into::into),
            topics: vec![OffsetCommitRequestTopic {
                name: "t1".into(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: index,
                    committed_offset: offset,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        if self.world.bug == Some(Bug::GenerationUnchecked) {
            self.pretend(&mut request);
        }
        let token = self.world.commit(9, &request);
        // What it was answered counts as long as nothing has been buried since it was applied.
        let buried = self.buried.get(&index).copied().unwrap_or(0);
        self.clients[client]
            .commits
            .push((token, index, offset, buried));
    }

    /// What a coordinator that does not look at generations would make of a request.
    fn pretend(&self, request: &mut OffsetCommitRequest<'_>) {
        let logged = self.world.shard.logged_group(GROUP);
        let generation = logged.and_then(|logged| logged.generation.as_ref());
        if let Some(member) = generation.and_then(|generation| generation.members.first()) {
            request.member_id = member.id.to_string().into();
            request.group_instance_id =
                member.instance.as_ref().map(|name| name.to_string().into());
            request.generation_id_or_member_epoch = generation.map_or(-1, |found| found.number);
        }
    }

    /// Asks where the group stands, for what it was assigned.
    fn fetch(&mut self, client: usize) {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: GROUP.into(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            }],
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        let token = self.world.fetch(8, &request);
        self.clients[client].waiting = Waiting::Fetch(token);
        self.clients[client].floor = self.answered.clone();
        self.clients[client].buried = self.buried.clone();
    }
}

/// What clients hear.
impl Model {
    fn listen(&mut self, client: usize) -> Check {
        self.hear_commits(client);
        let one = &self.clients[client];
        if one.is_deaf {
            return Ok(());
        }
        match one.waiting {
            Waiting::Nothing => Ok(()),
            Waiting::Join(token) => match self.world.answer(token).cloned() {
                Some(Answer::Join(answer)) => self.on_joined(client, token, &answer),
                Some(other) => Err(format!("a join was answered by {other:?}")),
                None => Ok(()),
            },
            Waiting::Sync(token) => match self.world.answer(token).cloned() {
                Some(Answer::Sync(answer)) => {
                    let deletions = self.deletions(token);
                    self.on_synced(client, deletions, (answer.error_code, &answer.assignment))
                }
                Some(other) => Err(format!("a sync was answered by {other:?}")),
                None => Ok(()),
            },
            Waiting::Fetch(token) => match self.world.answer(token).cloned() {
                Some(Answer::Fetch(answer)) => {
                    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                    let read = partitions.map(|one| (one.partition_index, one.committed_offset));
                    self.on_fetched(client, &read.collect())
                }
                Some(other) => Err(format!("a fetch was answered by {other:?}")),
                None => Ok(()),
            },
        }
    }

    fn hear_commits(&mut self, client: usize) {
        let mut commits = std::mem::take(&mut self.clients[client].commits);
        commits.retain(
            |(token, index, offset, buried)| match self.world.answer(*token) {
                None => self.world.open.contains(token),
                Some(answer) => {
                    let still = self.buried.get(index).copied().unwrap_or(0) == *buried;
                    if is_committed(answer) && still {
                        let last = self.answered.entry(*index).or_insert(*offset);
                        *last = (*last).max(*offset);
                    }
                    false
                }
            },
        );
        self.clients[client].commits = commits;
    }

    fn on_joined(&mut self, client: usize, token: Token, answer: &JoinGroupResponse<'_>) -> Check {
        let key = (self.crashes, self.deletions(token), answer.generation_id);
        let one = &mut self.clients[client];
        one.waiting = Waiting::Nothing;
        one.leads = None;
        (one.is_unsynced, one.is_assigned) = (false, false);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                one.member = answer.member_id.to_string();
                return Ok(());
            }
            _ => {
                one.forget();
                return Ok(());
            }
        }
        if one.generation != answer.generation_id {
            one.owned.clear();
        }
        one.member = answer.member_id.to_string();
        one.generation = answer.generation_id;
        one.is_unsynced = true;
        if answer.members.is_empty() || answer.skip_assignment {
            return Ok(());
        }
        one.leads = Some(
            answer
                .members
                .iter()
                .map(|one| one.member_id.to_string())
                .collect(),
        );
        let first = *self.assigners.entry(key).or_insert(client);
        if first != client {
            return Err(format!(
                "clients {first} and {client} are both to assign {key:?}"
            ));
        }
        Ok(())
    }

    fn on_synced(&mut self, client: usize, deletions: usize, (code, share): (i16, &[u8])) -> Check {
        let one = &mut self.clients[client];
        one.waiting = Waiting::Nothing;
        one.leads = None;
        (one.is_unsynced, one.is_assigned) = (false, code == 0);
        if code != 0 {
            if code != ErrorCode::RebalanceInProgress as i16 {
                one.forget();
            }
            return Ok(());
        }
        let generation = one.generation;
        one.owned = share
            .iter()
            .map(|index| (i32::from(*index), None))
            .collect();
        for index in share {
            let key = (deletions, generation, i32::from(*index));
            let owner = *self.owners.entry(key).or_insert(client);
            if owner != client {
                return Err(format!("clients {owner} and {client} both own {key:?}"));
            }
        }
        self.fetch(client);
        Ok(())
    }

    fn on_fetched(&mut self, client: usize, read: &BTreeMap<i32, i64>) -> Check {
        for (index, answered) in &std::mem::take(&mut self.clients[client].floor) {
            let found = read.get(index).copied().unwrap_or(-1);
            if found < *answered {
                return Err(format!(
                    "{answered} was answered for {index}, {found} is read"
                ));
            }
        }
        // What was read once must be there after a crash like what was answered.
        let buried = std::mem::take(&mut self.clients[client].buried);
        for (index, read) in read {
            if buried.get(index) != self.buried.get(index) {
                continue;
            }
            let last = self.answered.entry(*index).or_insert(*read);
            *last = (*last).max(*read);
        }
        let one = &mut self.clients[client];
        one.waiting = Waiting::Nothing;
        for (index, at) in &mut one.owned {
            *at = Some(read.get(index).copied().unwrap_or(0).max(0));
        }
        Ok(())
    }

    /// Deletions of the group before that answer was made: its generations begin anew after each.
    fn deletions(&self, token: Token) -> usize {
        let is_deletion = |entry: &&group_world::Logged| {
            entry.record.value.is_none() && entry.record.key.starts_with(&[0, 2])
        };
        let upto = self.world.made_at.get(&token).copied().unwrap_or(0);
        let before = self.world.log.iter().take(upto);
        before.filter(is_deletion).count()
    }
}

fn is_committed(answer: &Answer) -> bool {
    let Answer::Commit(answer) = answer else {
        panic!("a commit was answered by {answer:?}");
    };
    answer.topics[0].partitions[0].error_code == 0
}

/// What is always true.
impl Model {
    /// Offsets in the log never go back, and go only for a reason.
    fn check_log(&mut self) -> Check {
        let known = (self.answered.clone(), self.buried.clone());
        let is_again = self.seen == 0;
        let from = self.seen.min(self.world.log.len());
        for entry in self.world.log.split_off(from) {
            let (key, value) = (entry.record.key.clone(), entry.record.value.clone());
            self.world.log.push(entry);
            let index = || i32::from_be_bytes(key[key.len() - 4..].try_into().expect("four bytes"));
            match (key[1], value) {
                (2, value) => {
                    let said = value.map(|value| group_said(&value));
                    let at = self.world.log.len() - 1;
                    let refusals = self.world.refused_before[at];
                    self.group = said.map(|(since, count)| (since, count, refusals));
                }
                (_, Some(value)) => self.check_commit(index(), &value)?,
                (_, None) => self.check_burial(index())?,
            }
        }
        if is_again {
            // What is read once more says nothing new.
            (self.answered, self.buried) = known;
        }
        self.seen = self.world.log.len();
        Ok(())
    }

    fn check_commit(&mut self, index: i32, value: &[u8]) -> Check {
        let value = OffsetCommitValueView::decode(&value[2..], version(value)).expect("our own");
        let said = (value.offset, value.topic_id);
        let before = self.logged.insert(index, said);
        match before {
            // The topic of before is gone, and nobody has come by to bury its offset.
            Some((_, topic)) if topic != value.topic_id => {
                *self.buried.entry(index).or_default() += 1;
                self.answered.remove(&index);
                Ok(())
            }
            Some((before, _)) if value.offset < before => Err(format!(
                "the offset of {index} went from {before} to {}",
                value.offset
            )),
            _ => Ok(()),
        }
    }

    fn check_burial(&mut self, index: i32) -> Check {
        *self.buried.entry(index).or_default() += 1;
        self.answered.remove(&index);
        let Some((offset, topic)) = self.logged.remove(&index) else {
            return Ok(());
        };
        if topic != topic_id(self.topics) {
            self.forgotten += 1;
            return Ok(());
        }
        let (since, members, refusals) =
            self.group.ok_or("an offset without a group was buried")?;
        if refusals != self.world.refusals {
            // What was refused may have been that nobody is left.
            return Ok(());
        }
        let age = self.world.now.wall.0 - since;
        if members > 0 || age < self.world.config.offsets_retention_ms {
            return Err(format!(
                "offset {offset} of {index} went with {members} members, {age} ms after the last"
            ));
        }
        self.expired += 1;
        Ok(())
    }

    /// The log makes the same state again.
    fn same_after_replay(&mut self) -> Check {
        let again = self.world.reloaded();
        let groups: Vec<&str> = self.world.shard.group_ids().collect();
        let same: Vec<&str> = again.group_ids().collect();
        if groups != same {
            return Err(format!("groups {groups:?} became {same:?}"));
        }
        for id in &groups {
            let (before, after) = (self.world.shard.logged_group(id), again.logged_group(id));
            if before != after {
                return Err(format!("{before:?} became {after:?}"));
            }
        }
        self.same_description(again)
    }

    /// A stable group is the same to those who look at it.
    fn same_description(&mut self, again: thalweg_coordinator::groups::shard::GroupShard) -> Check {
        self.world.commit_log(usize::MAX);
        let token = self.world.describe(5, &[GROUP]);
        let before = self.world.answer(token).cloned();
        let running = std::mem::replace(&mut self.world.shard, again);
        let token = self.world.describe(5, &[GROUP]);
        let after = self.world.answer(token).cloned();
        self.world.shard = running;
        let Some(Answer::Describe(groups)) = &before else {
            return Err(format!("a description was answered by {before:?}"));
        };
        if groups[0].group_state == "Stable" && before != after {
            return Err(format!("{before:?} became {after:?}"));
        }
        Ok(())
    }

    fn crash(&mut self) -> Check {
        self.world.crash();
        self.crashes += 1;
        for client in &mut self.clients {
            client.waiting = Waiting::Nothing;
            client
                .commits
                .retain(|(token, ..)| self.world.answers.contains_key(token));
        }
        self.seen = 0;
        self.logged.clear();
        self.group = None;
        self.check_log()?;
        let logged = self.world.shard.logged_group(GROUP);
        for (index, answered) in &self.answered {
            let found = logged.and_then(|logged| logged.offsets.get("t1", *index));
            let found = found.map_or(-1, |found| found.offset);
            if found < *answered {
                return Err(format!(
                    "{answered} was answered for {index}, {found} survived"
                ));
            }
        }
        Ok(())
    }

    /// In the end everybody has an answer, however long it takes, and who is silent is out.
    fn finish(&mut self) -> Check {
        self.world.refusal = None;
        self.world.commits_at_once = true;
        self.world.pass(400_000);
        self.world.commit_log(usize::MAX);
        for client in 0..self.clients.len() {
            self.clients[client].is_deaf = false;
            self.listen(client)?;
        }
        self.world.pass(400_000);
        if !self.world.open.is_empty() {
            return Err(format!("no answer to {:?}", self.world.open));
        }
        let token = self.world.describe(5, &[GROUP]);
        match self.world.answer(token) {
            // Nobody has been heard of for longer than any session.
            Some(Answer::Describe(groups)) if groups[0].members.is_empty() => {}
            other => return Err(format!("members for ever: {other:?}")),
        }
        self.check_log()?;
        self.nothing_is_left_behind()?;
        self.same_after_replay()?;
        self.crash()
    }

    /// Nobody has been there for long: what is not kept for longer is gone, and what had no topic any more.
    fn nothing_is_left_behind(&self) -> Check {
        let Some(logged) = self.world.shard.logged_group(GROUP) else {
            return Ok(());
        };
        if self.world.config.offsets_retention_ms < 400_000 {
            return Err(format!("never expired: {logged:?}"));
        }
        let offsets = logged.offsets.of_topic("t1");
        for (index, committed) in offsets {
            if committed.topic_id != topic_id(self.topics) {
                return Err(format!("{index} outlived its topic: {committed:?}"));
            }
        }
        Ok(())
    }
}

fn version(value: &[u8]) -> i16 {
    i16::from_be_bytes([value[0], value[1]])
}

/// Since when a group is as its record says, and how many members it has.
fn group_said(value: &[u8]) -> (i64, usize) {
    let said = GroupMetadataValueView::decode(&value[2..], version(value)).expect("our own");
    (said.current_state_timestamp, said.members.iter().count())
}

/// Runs a seed. A broken assertion inside counts as found.
fn run(seed: u64, bug: Option<Bug>) -> Check {
    match catch_unwind(AssertUnwindSafe(|| Model::new(seed, bug).run())) {
        Ok(check) => check,
        Err(_) => Err("it panicked".to_owned()),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_shared_or_left_unanswered() {
    if let Some(seed) = number("THALWEG_GROUP_SEED") {
        return run(seed, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
    let seeds = number("THALWEG_GROUP_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..seeds).step_by(usize::try_from(threads).expect("few")) {
                    if let Err(what) = run(seed, None) {
                        panic!("seed {seed}: {what}");
                    }
                }
            });
        }
    });
}

#[test]
fn planted_bugs_are_found() {
    // So few seeds find each of them that a check that went blind shows.
    for bug in [
        Bug::AnswerBeforeCommit,
        Bug::RefusalForgotten,
        Bug::RecordLost,
        Bug::GenerationUnchecked,
        Bug::ExpiredEarly,
    ] {
        let found = (0..200).find(|seed| run(*seed, Some(bug)).is_err());
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} is not found");
    }
}

/// What some seeds came to.
#[derive(Debug, Default)]
struct Reached {
    commits: usize,
    commits_refused: usize,
    shares: usize,
    syncs_refused: usize,
    replacements: usize,
    generations: usize,
    crashes: u32,
    expired: usize,
    forgotten: usize,
}

#[test]
fn seeds_reach_what_they_are_for() {
    let mut reached = Reached::default();
    for seed in 0..100 {
        let mut model = Model::new(seed, None);
        model
            .run()
            .unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        reached.crashes += model.crashes;
        reached.generations += model.assigners.len();
        reached.expired += model.expired;
        reached.forgotten += model.forgotten;
        for answer in model.world.answers.values() {
            match answer {
                Answer::Commit(_) if is_committed(answer) => reached.commits += 1,
                Answer::Commit(_) => reached.commits_refused += 1,
                Answer::Sync(sync) if sync.error_code == 0 => reached.shares += 1,
                Answer::Sync(_) => reached.syncs_refused += 1,
                Answer::Join(join) if join.skip_assignment => reached.replacements += 1,
                _ => {}
            }
        }
    }
    let least = [
        (reached.commits, 500),
        (reached.commits_refused, 200),
        (reached.shares, 200),
        (reached.syncs_refused, 100),
        (reached.replacements, 5),
        (reached.generations, 200),
        (reached.crashes as usize, 200),
        (reached.expired, 20),
        (reached.forgotten, 20),
    ];
    assert!(
        least.iter().all(|(found, least)| found >= least),
        "{reached:?}"
    );
}
