//! Consumer groups of KIP-848 on a real node: members share, give up, outlive a kill, and are fenced; topics that
//! grow or come into being are assigned; the cluster's level switches the protocol off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use live::groups::consumer_heartbeat;
use live::{Node, PATIENCE, Peer, Topic};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use thalweg_wire::messages::consumer_group_describe_response::ConsumerGroupDescribeResponseView;
use thalweg_wire::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use thalweg_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseView;
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use thalweg_wire::messages::create_partitions_response::CreatePartitionsResponseView;
use thalweg_wire::messages::list_groups_request::ListGroupsRequest;
use thalweg_wire::messages::list_groups_response::ListGroupsResponseView;
use thalweg_wire::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use thalweg_wire::messages::update_features_response::UpdateFeaturesResponseView;

const GROUP: &str = "g";
/// As long a session as a short test needs, and no wait between two assignments.
const QUICK: &[&str] = &[
    "group.consumer.min.session.timeout.ms=1",
    "group.consumer.min.heartbeat.interval.ms=1",
    "group.consumer.heartbeat.interval.ms=100",
    "group.consumer.assignment.interval.ms=0",
];

/// What the tests know of a topic's partition.
type Place = (Uuid, i32);

/// A member as a client keeps it.
struct Member {
    id: &'static str,
    epoch: i32,
    owned: BTreeSet<Place>,
}

impl Member {
    fn join(
        peer: &mut Peer,
        id: &'static str,
        request: &ConsumerGroupHeartbeatRequest<'_>,
    ) -> Self {
        let mut member = Self {
            id,
            epoch: 0,
            owned: BTreeSet::new(),
        };
        assert_eq!(member.send(peer, request), 0);
        member
    }

    fn send(&mut self, peer: &mut Peer, request: &ConsumerGroupHeartbeatRequest<'_>) -> i16 {
        let reply = peer.ask(request, 1);
        let answer: ConsumerGroupHeartbeatResponseView<'_> = reply.view();
        if answer.error_code == 0 {
            assert!(request.member_epoch < 0 || answer.member_epoch >= self.epoch);
            self.epoch = answer.member_epoch;
            if let Some(assignment) = &answer.assignment {
                let topics = assignment.topic_partitions.iter();
                self.owned = topics
                    .flat_map(|topic| {
                        let partitions: Vec<i32> = topic.partitions.iter().collect();
                        partitions.into_iter().map(move |one| (topic.topic_id, one))
                    })
                    .collect();
            }
        }
        answer.error_code
    }

    /// A heartbeat that says what it owns.
    fn beat(&mut self, peer: &mut Peer) -> i16 {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.into(),
            member_epoch: self.epoch,
            topic_partitions: Some(
                self.owned
                    .iter()
                    .map(|(topic, partition)| TopicPartitions {
                        topic_id: *topic,
                        partitions: vec![*partition],
                    })
                    .collect(),
            ),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.send(peer, &request)
    }
}

/// Has all members heartbeat until they own these numbers of partitions, never two the same one.
fn until(peer: &mut Peer, members: &mut [&mut Member], wanted: &[usize]) {
    let started = Instant::now();
    loop {
        for at in 0..members.len() {
            assert_eq!(members[at].beat(peer), 0, "{}", members[at].id);
            let all: usize = members.iter().map(|member| member.owned.len()).sum();
            let apart: BTreeSet<&Place> = members.iter().flat_map(|member| &member.owned).collect();
            assert_eq!(all, apart.len(), "a partition is owned twice");
        }
        let mut sizes: Vec<usize> = members.iter().map(|member| member.owned.len()).collect();
        sizes.sort_unstable();
        if sizes == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{sizes:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(settings: &[&str]) -> (Node, Peer, Topic) {
    let settings: Vec<&str> = QUICK.iter().chain(settings).copied().collect();
    let node = Node::start(&settings);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 4);
    peer.find_coordinator(GROUP);
    (node, peer, topic)
}

/// Id, epoch, numbers of partitions assigned and in target.
type DescribedMember = (String, i32, usize, usize);

/// State and members, or the code of the refusal.
fn described(peer: &mut Peer, group: &str) -> Result<(String, Vec<DescribedMember>), i16> {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.into()],
        include_authorized_operations: true,
    };
    let reply = peer.ask(&request, 1);
    let answer: ConsumerGroupDescribeResponseView<'_> = reply.view();
    let found = answer.groups.iter().next().unwrap();
    assert_eq!(found.group_id, group);
    if found.error_code != 0 {
        return Err(found.error_code);
    }
    assert_eq!(found.authorized_operations, 0b1101_0100_1000);
    let members = found.members.iter().map(|member| {
        assert_eq!(member.member_type, 1);
        let count = |topics: Vec<usize>| topics.into_iter().sum();
        let has = member.assignment.topic_partitions.iter();
        let gets = member.target_assignment.topic_partitions.iter();
        (
            member.member_id.to_owned(),
            member.member_epoch,
            count(has.map(|topic| topic.partitions.iter().count()).collect()),
            count(gets.map(|topic| topic.partitions.iter().count()).collect()),
        )
    });
    Ok((found.group_state.to_owned(), members.collect()))
}

fn listed(peer: &mut Peer, kind: &'static str) -> Vec<(String, String)> {
    let request = ListGroupsRequest {
        types_filter: vec![kind.into()],
        ..ListGroupsRequest::default()
    };
    let reply = peer.ask(&request, 5);
    let answer: ListGroupsResponseView<'_> = reply.view();
    let groups = answer.groups.iter();
    groups
        .map(|group| (group.group_id.to_owned(), group.group_type.to_owned()))
        .collect()
}

#[test]
fn members_share_outlive_a_kill_and_follow_the_topic() {
    let (mut node, mut peer, topic) = start(&[]);
    let mut one = Member::join(&mut peer, "one", &consumer_heartbeat(GROUP, "one", &topic));
    until(&mut peer, &mut [&mut one], &[4]);
    let mut two = Member::join(&mut peer, "two", &consumer_heartbeat(GROUP, "two", &topic));
    until(&mut peer, &mut [&mut one, &mut two], &[2, 2]);
    let code = peer.commit_in(9, (GROUP, ("one", one.epoch)), (&topic, 0), 3);
    assert_eq!(code, 0);
    let stale = peer.commit_in(9, (GROUP, ("two", two.epoch + 7)), (&topic, 1), 3);
    assert_eq!(stale, ErrorCode::StaleMemberEpoch.code());

    drop(peer);
    node.kill_and_start();
    let mut peer = node.connect();
    peer.find_coordinator(GROUP);
    // The members go on where they were: same epochs, same partitions.
    let (before, held) = (one.epoch, one.owned.clone());
    until(&mut peer, &mut [&mut one, &mut two], &[2, 2]);
    assert_eq!((one.epoch, &one.owned), (before, &held));
    assert_eq!(peer.committed(GROUP, (&topic, 0)), 3);
    let (state, members) = described(&mut peer, GROUP).unwrap();
    assert_eq!(state, "Stable");
    let rows = [("one", one.epoch, 2, 2), ("two", two.epoch, 2, 2)];
    assert_eq!(
        members,
        rows.map(|row| (row.0.to_owned(), row.1, row.2, row.3))
    );

    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "topic".into(),
            count: 6,
            assignments: None,
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let reply = peer.ask(&request, 3);
    let answer: CreatePartitionsResponseView<'_> = reply.view();
    assert_eq!(answer.results.iter().next().unwrap().error_code, 0);
    until(&mut peer, &mut [&mut one, &mut two], &[3, 3]);
    assert!(one.epoch > before);

    let goes = ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: "two".into(),
        member_epoch: -1,
        ..ConsumerGroupHeartbeatRequest::default()
    };
    assert_eq!(two.send(&mut peer, &goes), 0);
    assert_eq!(two.beat(&mut peer), ErrorCode::UnknownMemberId.code());
    until(&mut peer, &mut [&mut one], &[6]);
    drop(peer);
    node.still_serves();
}

#[test]
fn a_silent_member_is_fenced_and_a_pattern_finds_new_topics() {
    let (node, mut peer, topic) = start(&["group.consumer.session.timeout.ms=3000"]);
    let by_pattern = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("to.*".into()),
        ..consumer_heartbeat(GROUP, "one", &topic)
    };
    let mut one = Member::join(&mut peer, "one", &by_pattern);
    let mut two = Member::join(&mut peer, "two", &consumer_heartbeat(GROUP, "two", &topic));
    until(&mut peer, &mut [&mut one, &mut two], &[2, 2]);
    peer.create_topic("tomorrow", 3);
    peer.create_topic("yesterday", 3);
    until(&mut peer, &mut [&mut one, &mut two], &[3, 4]);
    // Nothing is heard of the second: the first gets all of it.
    until(&mut peer, &mut [&mut one], &[7]);
    assert_eq!(two.beat(&mut peer), ErrorCode::UnknownMemberId.code());
    let bad = ConsumerGroupHeartbeatRequest {
        subscribed_topic_regex: Some("to(".into()),
        ..consumer_heartbeat(GROUP, "three", &topic)
    };
    let code = two.send(&mut peer, &bad);
    assert_eq!(code, ErrorCode::InvalidRegularExpression.code());
    drop(peer);
    node.still_serves();
}

#[test]
fn the_kinds_of_groups_are_told_apart_and_change_only_while_empty() {
    let (node, mut peer, topic) = start(&[]);
    let id = peer.member_id("classic", 9);
    let classic = peer.join("classic", &id, 9);
    let mut one = Member::join(&mut peer, "one", &consumer_heartbeat(GROUP, "one", &topic));
    let row = |group: &str, kind: &str| vec![(group.to_owned(), kind.to_owned())];
    assert_eq!(listed(&mut peer, "consumer"), row(GROUP, "consumer"));
    assert_eq!(listed(&mut peer, "classic"), row("classic", "classic"));
    let not_found = ErrorCode::GroupIdNotFound.code();
    assert_eq!(described(&mut peer, "classic"), Err(not_found));
    assert_eq!(described(&mut peer, "nobody's"), Err(not_found));
    // Neither kind lets members of the other in.
    let mut other = consumer_heartbeat("classic", "one", &topic);
    assert_eq!(one.send(&mut peer, &other), not_found);
    let joining = peer.begin_join(GROUP, "", 3);
    let refused = peer.joined(joining, 3);
    assert_eq!(refused, Err(ErrorCode::InconsistentGroupProtocol.code()));
    // An empty group does, and keeps its offsets.
    let plan: &[(&str, &[u8])] = &[(&classic.member, b"all")];
    peer.sync(("classic", &classic), plan, 5).unwrap();
    peer.commit(("classic", classic.membership()), (&topic, 1), 9);
    assert_eq!(peer.leave("classic", &classic, 5), 0);
    other.member_id = "late".into();
    let late = Member::join(&mut peer, "late", &other);
    assert!(late.epoch > 0);
    assert_eq!(listed(&mut peer, "classic"), []);
    assert_eq!(peer.committed("classic", (&topic, 1)), 9);
    drop(peer);
    node.still_serves();
}

#[test]
fn the_clusters_level_and_the_brokers_protocols_switch_it_off() {
    let (node, mut peer, topic) = start(&[]);
    let update = UpdateFeaturesRequest {
        timeout_ms: 30_000,
        feature_updates: vec![FeatureUpdateKey {
            feature: "group.version".into(),
            max_version_level: 0,
            upgrade_type: 2,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    };
    let reply = peer.ask(&update, 2);
    assert_eq!(reply.view::<UpdateFeaturesResponseView<'_>>().error_code, 0);
    expect_off(&mut peer, &topic);
    drop(peer);
    node.still_serves();

    let (node, mut peer, topic) = start(&["group.coordinator.rebalance.protocols=classic"]);
    expect_off(&mut peer, &topic);
    drop(peer);
    node.still_serves();
}

fn expect_off(peer: &mut Peer, topic: &Topic) {
    let unsupported = ErrorCode::UnsupportedVersion.code();
    let reply = peer.ask(&consumer_heartbeat(GROUP, "one", topic), 1);
    let answer: ConsumerGroupHeartbeatResponseView<'_> = reply.view();
    assert_eq!(answer.error_code, unsupported);
    assert_eq!(described(peer, GROUP), Err(unsupported));
}
