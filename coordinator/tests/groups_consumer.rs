//! Consumer groups of KIP-848: each rule, and a seeded model of members that join, leave, die and come back.
//!
//! The model's members do what clients do: they give up what they are told to before they say so, and start anew when
//! they are fenced. After every event no partition may belong to two of them, a replay of the log must give the same
//! state, and once nothing changes any more every partition must be owned.

mod group_world;

use std::collections::{BTreeMap, BTreeSet};

use group_world::{World, add_topic, topic_id};
use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::step::Answer;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::consumer_group_describe_response::DescribedGroup;
use thalweg_wire::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use thalweg_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use thalweg_wire::messages::list_groups_request::ListGroupsRequest;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

type Request = ConsumerGroupHeartbeatRequest<'static>;
type Response = ConsumerGroupHeartbeatResponse<'static>;
type Owned = BTreeSet<(Uuid, i32)>;

const SESSION_MS: i64 = 45_000;

fn world() -> World {
    World::new(GroupConfig {
        consumer_assignment_interval_ms: 0,
        ..GroupConfig::default()
    })
}

fn join(id: &str, topics: &[&str]) -> Request {
    let topics = topics.iter().map(|name| (*name).to_owned().into());
    Request {
        group_id: "g".into(),
        member_id: id.to_owned().into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(topics.collect()),
        topic_partitions: Some(Vec::new()),
        ..Request::default()
    }
}

fn beat(id: &str, epoch: i32, owned: Option<&Owned>) -> Request {
    Request {
        group_id: "g".into(),
        member_id: id.to_owned().into(),
        member_epoch: epoch,
        topic_partitions: owned.map(listed),
        ..Request::default()
    }
}

fn listed(owned: &Owned) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in owned {
        topics.entry(*topic).or_default().push(*partition);
    }
    let topics = topics.into_iter();
    topics
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id,
            partitions,
        })
        .collect()
}

fn send(world: &mut World, request: &Request) -> Response {
    let token = world.consumer_heartbeat(1, request);
    match world.answer(token) {
        Some(Answer::ConsumerHeartbeat(response)) => response.clone(),
        other => panic!("{other:?}"),
    }
}

fn given(response: &Response) -> Option<Owned> {
    let topics = &response.assignment.as_ref()?.topic_partitions;
    let each = topics
        .iter()
        .flat_map(|one| one.partitions.iter().map(|index| (one.topic_id, *index)));
    Some(each.collect())
}

fn code(response: &Response) -> ErrorCode {
    ErrorCode::from_code(response.error_code).expect("a code of Kafka's")
}

fn described(world: &mut World) -> DescribedGroup<'static> {
    let token = world.describe_consumers(&["g"]);
    match world.answer(token) {
        Some(Answer::DescribeConsumers(groups)) => groups[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lone_member_gets_everything_at_once() {
    let mut world = world();
    let first = send(&mut world, &join("a", &["t1"]));
    assert_eq!(
        (first.member_epoch, first.heartbeat_interval_ms),
        (2, 5_000)
    );
    assert_eq!(given(&first).unwrap().len(), 8);
    let next = send(&mut world, &beat("a", 2, None));
    assert_eq!((next.member_epoch, next.assignment), (2, None));
    let group = described(&mut world);
    assert_eq!(
        (
            &*group.group_state,
            group.group_epoch,
            group.assignment_epoch
        ),
        ("Stable", 2, 2)
    );
    assert_eq!(
        (&*group.assignor_name, group.members[0].member_type),
        ("uniform", 1)
    );
}

#[test]
fn partitions_are_given_up_before_they_are_given_away() {
    let mut world = world();
    let all = given(&send(&mut world, &join("a", &["t1"]))).unwrap();
    let second = send(&mut world, &join("b", &["t1"]));
    assert_eq!((second.member_epoch, given(&second).unwrap().len()), (3, 0));
    let told = send(&mut world, &beat("a", 2, Some(&all)));
    let kept = given(&told).unwrap();
    assert_eq!((told.member_epoch, kept.len()), (2, 4));
    let waits = send(&mut world, &beat("b", 3, None));
    assert_eq!(waits.assignment, None);
    let done = send(&mut world, &beat("a", 2, Some(&kept)));
    assert_eq!((done.member_epoch, done.assignment), (3, None));
    let taken = given(&send(&mut world, &beat("b", 3, None))).unwrap();
    assert_eq!(taken, all.difference(&kept).copied().collect());
}

#[test]
fn whoever_does_not_give_up_in_time_is_fenced() {
    let mut world = world();
    let all = given(&send(&mut world, &join("a", &["t1"]))).unwrap();
    send(&mut world, &join("b", &["t1"]));
    for _ in 0..6 {
        let told = send(&mut world, &beat("a", 2, Some(&all)));
        assert_eq!(code(&told), ErrorCode::None);
        send(&mut world, &beat("b", 3, None));
        world.pass(10_000);
    }
    assert_eq!(
        code(&send(&mut world, &beat("a", 2, Some(&all)))),
        ErrorCode::UnknownMemberId
    );
    let taken = send(&mut world, &beat("b", 3, None));
    assert_eq!((taken.member_epoch, given(&taken)), (4, Some(all)));
}

#[test]
fn a_silent_member_is_fenced_after_its_session() {
    let mut world = world();
    send(&mut world, &join("a", &["t1"]));
    world.pass(SESSION_MS - 1);
    assert_eq!(
        code(&send(&mut world, &beat("a", 2, None))),
        ErrorCode::None
    );
    world.pass(SESSION_MS + 1);
    assert_eq!(
        code(&send(&mut world, &beat("a", 2, None))),
        ErrorCode::UnknownMemberId
    );
    assert_eq!(&*described(&mut world).group_state, "Empty");
}

#[test]
fn epochs_that_are_not_the_members_are_fenced() {
    let mut world = world();
    let all = given(&send(&mut world, &join("a", &["t1"]))).unwrap();
    assert_eq!(
        code(&send(&mut world, &beat("a", 3, None))),
        ErrorCode::FencedMemberEpoch
    );
    add_topic(&mut world.image, "t5", topic_id(5));
    let moved = Request {
        subscribed_topic_names: Some(vec!["t1".into(), "t5".into()]),
        ..beat("a", 2, None)
    };
    assert_eq!(send(&mut world, &moved).member_epoch, 3);
    assert_eq!(
        code(&send(&mut world, &beat("a", 2, Some(&all)))),
        ErrorCode::None
    );
    assert_eq!(
        code(&send(&mut world, &beat("a", 2, None))),
        ErrorCode::FencedMemberEpoch
    );
    assert_eq!(
        code(&send(&mut world, &beat("b", 2, None))),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_static_member_takes_over_what_it_had() {
    let mut world = world();
    let named = |request: Request| Request {
        instance_id: Some("i".into()),
        ..request
    };
    let all = given(&send(&mut world, &named(join("a", &["t1"])))).unwrap();
    let early = send(&mut world, &named(join("b", &["t1"])));
    assert_eq!(code(&early), ErrorCode::UnreleasedInstanceId);
    let away = send(&mut world, &named(beat("a", -2, None)));
    assert_eq!((code(&away), away.member_epoch), (ErrorCode::None, -2));
    let back = send(&mut world, &named(join("b", &["t1"])));
    assert_eq!((back.member_epoch, given(&back)), (2, Some(all)));
    let old = send(&mut world, &named(beat("a", 2, None)));
    assert_eq!(code(&old), ErrorCode::FencedInstanceId);
    let stranger = Request {
        instance_id: Some("j".into()),
        ..beat("b", 2, None)
    };
    assert_eq!(
        code(&send(&mut world, &stranger)),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn requests_are_checked_as_kafka_does() {
    type Change = fn(&mut Request);
    let invalid: [Change; 9] = [
        |request| request.group_id = "".into(),
        |request| request.member_id = "".into(),
        |request| request.instance_id = Some("".into()),
        |request| request.rack_id = Some("".into()),
        |request| request.rebalance_timeout_ms = -1,
        |request| request.topic_partitions = None,
        |request| request.subscribed_topic_names = None,
        |request| request.member_epoch = -2,
        |request| request.member_epoch = -3,
    ];
    let others: [(Change, ErrorCode); 4] = [
        (
            |request| request.server_assignor = Some("x".into()),
            ErrorCode::UnsupportedAssignor,
        ),
        (
            |request| request.subscribed_topic_regex = Some("a)|(b".into()),
            ErrorCode::InvalidRegularExpression,
        ),
        (
            |request| request.member_epoch = 1,
            ErrorCode::GroupIdNotFound,
        ),
        (
            |request| request.member_epoch = -1,
            ErrorCode::GroupIdNotFound,
        ),
    ];
    let invalid = invalid.map(|change| (change, ErrorCode::InvalidRequest));
    for (change, expected) in invalid.into_iter().chain(others) {
        let (mut world, mut request) = (world(), join("a", &["t1"]));
        change(&mut request);
        assert_eq!(code(&send(&mut world, &request)), expected, "{request:?}");
        assert_eq!(world.log.len(), 0);
    }
}

#[test]
fn a_group_has_room_for_so_many() {
    let mut world = World::new(GroupConfig {
        consumer_members_max: 1,
        ..GroupConfig::default()
    });
    send(&mut world, &join("a", &["t1"]));
    assert_eq!(
        code(&send(&mut world, &join("b", &["t1"]))),
        ErrorCode::GroupMaxSizeReached
    );
}

#[test]
fn patterns_match_whole_names_and_new_topics_move_the_epoch() {
    let mut world = world();
    let request = Request {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("t[12]|x.*".into()),
        ..join("a", &[])
    };
    let first = send(&mut world, &request);
    assert_eq!((first.member_epoch, given(&first).unwrap().len()), (2, 16));
    add_topic(&mut world.image, "tx", topic_id(8));
    assert_eq!(send(&mut world, &beat("a", 2, None)).member_epoch, 2);
    add_topic(&mut world.image, "x1", topic_id(9));
    let next = send(&mut world, &beat("a", 2, None));
    assert_eq!((next.member_epoch, given(&next).unwrap().len()), (3, 24));
}

#[test]
fn range_gives_the_same_partitions_of_each_topic() {
    let mut world = world();
    let range = |id: &str| Request {
        server_assignor: Some("range".into()),
        ..join(id, &["t1", "t2"])
    };
    for id in ["a", "b", "c"] {
        send(&mut world, &range(id));
    }
    let group = described(&mut world);
    assert_eq!(&*group.assignor_name, "range");
    let targets = group.members.iter().map(|member| {
        let topics = &member.target_assignment.topic_partitions;
        topics
            .iter()
            .map(|one| one.partitions.clone())
            .collect::<Vec<_>>()
    });
    let targets: Vec<_> = targets.collect();
    assert_eq!(targets[0], [[0, 1, 2], [0, 1, 2]]);
    assert_eq!(targets[1], [[3, 4, 5], [3, 4, 5]]);
    assert_eq!(targets[2], [[6, 7], [6, 7]]);
}

#[test]
fn commits_name_the_members_epoch() {
    let mut world = world();
    send(&mut world, &join("a", &["t1"]));
    let mut commit = |id: &str, epoch: i32, version: i16| {
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: epoch,
            member_id: id.to_owned().into(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t1".into(),
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let token = world.commit(version, &request);
        match world.answer(token) {
            Some(Answer::Commit(answer)) => {
                ErrorCode::from_code(answer.topics[0].partitions[0].error_code).unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(commit("a", 2, 9), ErrorCode::None);
    assert_eq!(commit("a", 1, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit("a", 3, 9), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit("a", 2, 8), ErrorCode::UnsupportedVersion);
    assert_eq!(commit("b", 2, 9), ErrorCode::UnknownMemberId);
    assert_eq!(commit("", -1, 9), ErrorCode::UnknownMemberId);
}

#[test]
fn such_a_group_is_listed_and_deleted_when_empty() {
    let mut world = world();
    send(&mut world, &join("a", &["t1"]));
    let mut list = |types: &str| {
        let request = ListGroupsRequest {
            types_filter: vec![types.to_owned().into()],
            ..ListGroupsRequest::default()
        };
        let token = world.list(5, &request);
        match world.answer(token) {
            Some(Answer::List(groups)) => groups.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((list("consumer"), list("classic")), (1, 0));
    let mut delete = || {
        let token = world.delete_groups(&["g"]);
        match world.answer(token) {
            Some(Answer::DeleteGroups(results)) => results[0].error_code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(), ErrorCode::NonEmptyGroup as i16);
    send(&mut world, &beat("a", -1, None));
    let token = world.delete_groups(&["g"]);
    assert!(
        matches!(world.answer(token), Some(Answer::DeleteGroups(done)) if done[0].error_code == 0)
    );
    assert_eq!(world.shard.group_ids().count(), 0);
}

/// The tests' own randomness: the same seed, the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).expect("half a word") % end
    }
}

/// A client.
#[derive(Default)]
struct Client {
    epoch: i32,
    owned: Owned,
    topics: Vec<&'static str>,
    instance: Option<String>,
}

impl Client {
    /// One heartbeat; like a real client it says what it has, and drops what it is not given.
    fn beat(&mut self, id: &str, world: &mut World) {
        let mut request = if self.epoch == 0 {
            join(id, &self.topics)
        } else {
            beat(id, self.epoch, Some(&self.owned))
        };
        request.instance_id = self.instance.clone().map(Into::into);
        let response = send(world, &request);
        match code(&response) {
            ErrorCode::None => {
                self.epoch = response.member_epoch;
                if let Some(all) = given(&response) {
                    self.owned = all;
                }
            }
            ErrorCode::FencedMemberEpoch
            | ErrorCode::UnknownMemberId
            | ErrorCode::GroupIdNotFound => {
                self.epoch = 0;
                self.owned.clear();
            }
            ErrorCode::NotCoordinator => {}
            other => panic!("{id}: {other:?} {:?}", response.error_message),
        }
    }
}

fn check_owners(clients: &BTreeMap<String, Client>, seed: u64) {
    let mut seen = BTreeSet::new();
    for (id, client) in clients {
        for place in &client.owned {
            assert!(
                seen.insert(*place),
                "seed {seed}: {place:?} is {id}'s and another's"
            );
        }
    }
}

fn run(seed: u64) {
    const TOPICS: [&[&str]; 4] = [&["t1"], &["t1", "t2"], &["t2", "t3"], &["t1", "t2", "t3"]];
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = world();
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    let mut next = 0;
    for _ in 0..200 {
        let ids: Vec<String> = clients.keys().cloned().collect();
        let any = |random: &mut Random| {
            let count = ids.len();
            (count > 0).then(|| ids[random.below(count)].clone())
        };
        match random.below(16) {
            0 | 1 if clients.len() < 6 => {
                next += 1;
                let client = Client {
                    topics: TOPICS[random.below(4)].to_vec(),
                    instance: (random.below(3) == 0).then(|| format!("i{next}")),
                    ..Client::default()
                };
                clients.insert(format!("m{next}"), client);
            }
            2 => {
                if let Some(id) = any(&mut random) {
                    let client = clients.remove(&id).expect("it was there");
                    if client.epoch > 0 {
                        let instance_id = client.instance.map(Into::into);
                        send(
                            &mut world,
                            &Request {
                                instance_id,
                                ..beat(&id, -1, None)
                            },
                        );
                    }
                }
            }
            // It dies, or its machine does.
            3 => {
                any(&mut random).and_then(|id| clients.remove(&id));
                for _ in 0..3 {
                    world.pass(20_000);
                    clients
                        .iter_mut()
                        .for_each(|(id, client)| client.beat(id, &mut world));
                }
            }
            4 => world.crash(),
            5 => world.refusal = Some(ErrorCode::KafkaStorageError),
            6 => world.pass(3_000),
            _ => {
                if let Some(id) = any(&mut random) {
                    clients
                        .get_mut(&id)
                        .expect("it is there")
                        .beat(&id, &mut world);
                }
            }
        }
        check_owners(&clients, seed);
    }
    settle(&mut world, &mut clients, seed);
}

/// Nothing changes any more.
fn settle(world: &mut World, clients: &mut BTreeMap<String, Client>, seed: u64) {
    world.refusal = None;
    for _ in 0..40 {
        world.pass(5_000);
        clients
            .iter_mut()
            .for_each(|(id, client)| client.beat(id, world));
        check_owners(clients, seed);
    }
    let wanted: BTreeSet<&str> = clients
        .values()
        .flat_map(|client| client.topics.iter().copied())
        .collect();
    let owned: usize = clients.values().map(|client| client.owned.len()).sum();
    assert_eq!(owned, wanted.len() * 8, "seed {seed}");
    let before = world.shard.logged_group("g").cloned();
    world.crash();
    assert_eq!(
        world.shard.logged_group("g").cloned(),
        before,
        "seed {seed}"
    );
    if !clients.is_empty() {
        assert_eq!(&*described(world).group_state, "Stable", "seed {seed}");
    }
}

#[test]
fn no_partition_has_two_owners_and_none_stays_without() {
    for seed in 1..=200 {
        run(seed);
    }
}
