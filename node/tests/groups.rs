//! Groups on a real node: members of every version, rebalances, silent members, restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::time::Instant;

use live::groups::{Joined, commit_request, fetch_request};
use live::{Node, PATIENCE, Peer, Topic, batch};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::describe_groups_request::DescribeGroupsRequest;
use thalweg_wire::messages::describe_groups_response::DescribeGroupsResponseView;
use thalweg_wire::messages::list_groups_request::ListGroupsRequest;
use thalweg_wire::messages::list_groups_response::ListGroupsResponseView;
use thalweg_wire::messages::metadata_request::MetadataRequest;
use thalweg_wire::messages::metadata_response::MetadataResponseView;
use thalweg_wire::messages::offset_commit_request::OffsetCommitRequest;
use thalweg_wire::messages::offset_commit_response::OffsetCommitResponseView;
use thalweg_wire::messages::offset_fetch_request::OffsetFetchRequest;
use thalweg_wire::messages::offset_fetch_response::OffsetFetchResponseView;

const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const NOBODY: (&str, i32) = ("", -1);

#[test]
fn a_group_lives_in_every_version() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    for version in 0..=10 {
        let (join, sync) = (version.min(9), version.min(5));
        let (beat, leave) = (version.min(4), version.min(5));
        let (commit, fetch) = (version.clamp(2, 10), version.clamp(1, 10));
        let group = format!("group-{version}");
        peer.find_coordinator(&group);
        let id = peer.member_id(&group, join);
        let joined = peer.join(&group, &id, join);
        assert!(joined.leads(), "{version}: {joined:?}");
        assert_eq!(
            joined.members,
            std::slice::from_ref(&joined.member),
            "{version}"
        );
        let mine: &[(&str, &[u8])] = &[(&joined.member, b"all of it")];
        let got = peer.sync((&group, &joined), mine, sync).unwrap();
        assert_eq!(got, b"all of it", "{version}");
        assert_eq!(peer.heartbeat(&group, &joined, beat), 0, "{version}");
        let by = (group.as_str(), joined.membership());
        let code = peer.commit_in(commit, by, (&topic, 0), 40 + i64::from(version));
        assert_eq!(code, 0, "{version}");
        let offset = peer.committed_in(fetch, &group, (&topic, 0));
        assert_eq!(offset, Ok(40 + i64::from(version)), "{version}");
        let stranger = peer.commit_in(commit, (&group, ("someone", 1)), (&topic, 0), 1);
        assert_eq!(stranger, ErrorCode::UnknownMemberId.code(), "{version}");
        assert_eq!(peer.leave(&group, &joined, leave), 0, "{version}");
        let gone = peer.heartbeat(&group, &joined, beat);
        assert_eq!(gone, ErrorCode::UnknownMemberId.code(), "{version}");
    }
    assert_internal(&mut peer);
    drop(peer);
    node.still_serves();
}

/// The topic of groups is Kafka's: 50 partitions, marked as internal, and closed to producers.
fn assert_internal(peer: &mut Peer) {
    let everything = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let reply = peer.ask(&everything, 12);
    let answer: MetadataResponseView<'_> = reply.view();
    let named = |name| {
        let mut topics = answer.topics.iter();
        topics.find(|topic| topic.name == Some(name)).unwrap()
    };
    let internal = named("__consumer_offsets");
    assert!(internal.is_internal && !named("topic").is_internal);
    assert_eq!(internal.partitions.iter().count(), 50);
    let topic = Topic {
        name: "__consumer_offsets".to_owned(),
        id: internal.topic_id,
    };
    let (code, _) = peer.produce(&topic, 0, &batch(1));
    assert_eq!(code, ErrorCode::InvalidTopicException.code());
}

/// A group of one member, synced.
fn found_group(peer: &mut Peer, group: &str) -> Joined {
    peer.find_coordinator(group);
    let id = peer.member_id(group, JOIN);
    let joined = peer.join(group, &id, JOIN);
    let assigned = peer.sync((group, &joined), &[(&joined.member, b"all")], SYNC);
    assert_eq!(assigned.unwrap(), b"all");
    joined
}

/// Heartbeats until the member is told to join again.
fn until_rebalance(peer: &mut Peer, group: &str, joined: &Joined) {
    let started = Instant::now();
    loop {
        match peer.heartbeat(group, joined, HEARTBEAT) {
            0 => std::thread::sleep(std::time::Duration::from_millis(10)),
            code => {
                assert_eq!(code, ErrorCode::RebalanceInProgress.code());
                return;
            }
        }
        assert!(started.elapsed() < PATIENCE, "no rebalance");
    }
}

#[test]
fn two_members_share_and_a_silent_one_is_left_behind() {
    let node = Node::start(&["group.min.session.timeout.ms=1"]);
    let (mut first, mut second) = (node.connect(), node.connect());
    let topic = first.create_topic("topic", 2);
    let alone = found_group(&mut first, "g");
    first.commit(("g", alone.membership()), (&topic, 0), 7);

    let id = second.member_id("g", JOIN);
    let mut request = live::groups::join_request("g", &id, JOIN);
    // Long enough to sync on a slow machine; then it says nothing any more.
    request.session_timeout_ms = 3_000;
    let joining = second.send(&request, JOIN);
    until_rebalance(&mut first, "g", &alone);
    let one = first.join("g", &alone.member, JOIN);
    let two = second.joined(joining, JOIN).unwrap();
    assert_eq!(one.generation, two.generation);
    assert!(one.generation > alone.generation);
    assert!(one.leads() && !two.leads());
    assert_eq!(one.members.len(), 2);
    let old = first.commit_in(8, ("g", alone.membership()), (&topic, 0), 8);
    assert_eq!(old, ErrorCode::IllegalGeneration.code());

    let waiting = second.begin_sync(("g", &two), &[], SYNC);
    let plan: &[(&str, &[u8])] = &[(&one.member, b"left"), (&two.member, b"right")];
    assert_eq!(first.sync(("g", &one), plan, SYNC).unwrap(), b"left");
    assert_eq!(second.synced(waiting, SYNC).unwrap(), b"right");

    drop(second);
    until_rebalance(&mut first, "g", &one);
    let again = first.join("g", &one.member, JOIN);
    assert_eq!(again.members, std::slice::from_ref(&again.member));
    let plan: &[(&str, &[u8])] = &[(&again.member, b"all")];
    assert_eq!(first.sync(("g", &again), plan, SYNC).unwrap(), b"all");
    assert_eq!(first.committed("g", (&topic, 0)), 7);
    drop(first);
    node.still_serves();
}

#[test]
fn groups_and_offsets_outlive_a_kill() {
    let mut node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let joined = found_group(&mut peer, "g");
    peer.commit(("g", joined.membership()), (&topic, 0), 11);
    for group in 0..40 {
        let group = format!("simple-{group}");
        peer.commit((&group, NOBODY), (&topic, 0), 5);
        peer.commit((&group, NOBODY), (&topic, 0), 6);
    }
    drop(peer);
    node.kill_and_start();
    let mut peer = node.connect();
    peer.find_coordinator("g");
    assert_eq!(peer.committed("g", (&topic, 0)), 11);
    for group in 0..40 {
        let group = format!("simple-{group}");
        peer.find_coordinator(&group);
        assert_eq!(peer.committed(&group, (&topic, 0)), 6, "{group}");
    }
    // The member goes on where it was: the group is Stable, in the same generation.
    assert_eq!(peer.heartbeat("g", &joined, HEARTBEAT), 0);
    peer.commit(("g", joined.membership()), (&topic, 0), 12);
    assert_eq!(listed(&mut peer), 41);
    let states = described(&mut peer, &["g", "simple-0", "simple-7"]);
    assert_eq!(states, ["Stable", "Empty", "Empty"]);
    drop(peer);
    node.still_serves();
}

fn listed(peer: &mut Peer) -> usize {
    let started = Instant::now();
    loop {
        let reply = peer.ask(&ListGroupsRequest::default(), 5);
        let answer: ListGroupsResponseView<'_> = reply.view();
        if answer.error_code == 0 {
            return answer.groups.iter().count();
        }
        assert_eq!(
            answer.error_code,
            ErrorCode::CoordinatorLoadInProgress.code()
        );
        assert!(started.elapsed() < PATIENCE, "never loaded");
    }
}

fn described(peer: &mut Peer, groups: &[&str]) -> Vec<String> {
    let request = DescribeGroupsRequest {
        groups: groups.iter().map(|group| (*group).into()).collect(),
        ..DescribeGroupsRequest::default()
    };
    let reply = peer.ask(&request, 5);
    let answer: DescribeGroupsResponseView<'_> = reply.view();
    let rows = answer.groups.iter().zip(groups);
    rows.map(|(row, group)| {
        assert_eq!(row.group_id, *group);
        row.group_state.to_owned()
    })
    .collect()
}

#[test]
fn offsets_go_with_their_topic() {
    let mut node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("short-lived", 1);
    peer.find_coordinator("g");
    peer.commit(("g", NOBODY), (&topic, 0), 3);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("short-lived".into()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    let reply = peer.ask(&request, 6);
    let answer: DeleteTopicsResponseView<'_> = reply.view();
    assert_eq!(answer.responses.iter().next().unwrap().error_code, 0);
    let unknown = Err(ErrorCode::UnknownTopicId.code());
    assert_eq!(peer.committed_in(10, "g", (&topic, 0)), unknown);
    let gone = peer.commit_in(8, ("g", NOBODY), (&topic, 0), 4);
    assert_eq!(gone, ErrorCode::UnknownTopicOrPartition.code());
    let fresh = peer.create_topic("short-lived", 1);
    for version in [1, 8, 10] {
        let offset = peer.committed_in(version, "g", (&fresh, 0));
        assert_eq!(offset, Ok(-1), "{version}");
    }
    peer.commit(("g", NOBODY), (&fresh, 0), 1);
    drop(peer);
    node.kill_and_start();
    let mut peer = node.connect();
    peer.find_coordinator("g");
    assert_eq!(peer.committed("g", (&fresh, 0)), 1);
    drop(peer);
    node.still_serves();
}

#[test]
fn requests_of_a_connection_are_worked_in_their_order() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    peer.find_coordinator("g");
    let mut sent = Vec::new();
    for offset in 0..50 {
        let commit = commit_request(8, ("g", NOBODY), (&topic, 0), offset);
        sent.push((offset, peer.send(&commit, 8)));
        sent.push((offset, peer.send(&fetch_request(8, "g", (&topic, 0)), 8)));
    }
    for pair in sent.chunks(2) {
        let reply = peer.reply::<OffsetCommitRequest<'_>>(pair[0].1, 8);
        let answer: OffsetCommitResponseView<'_> = reply.view();
        let rows = answer.topics.iter().next().unwrap().partitions;
        assert_eq!(rows.iter().next().unwrap().error_code, 0);
        let reply = peer.reply::<OffsetFetchRequest<'_>>(pair[1].1, 8);
        let answer: OffsetFetchResponseView<'_> = reply.view();
        let group = answer.groups.iter().next().unwrap();
        let rows = group.topics.iter().next().unwrap().partitions;
        assert_eq!(rows.iter().next().unwrap().committed_offset, pair[1].0);
    }
    drop(peer);
    node.still_serves();
}

/// A join that waits for others neither keeps the node from stopping nor is left without an answer.
#[test]
fn a_waiting_join_is_answered_when_the_node_stops() {
    let node = Node::start(&[]);
    let (mut first, mut second) = (node.connect(), node.connect());
    first.create_topic("topic", 1);
    let _alone = found_group(&mut first, "g");
    let id = second.member_id("g", JOIN);
    let joining = second.begin_join("g", &id, JOIN);
    // Behind it on the same connection: waits for its turn.
    let behind = second.send(&ListGroupsRequest::default(), 5);
    let waiter = std::thread::spawn(move || {
        let refused = second.joined(joining, JOIN);
        let listed = second.answered();
        (refused, listed == Some(behind))
    });
    node.still_serves();
    let (refused, listed) = waiter.join().unwrap();
    assert_eq!(refused, Err(ErrorCode::NotCoordinator.code()));
    assert!(listed);
}
