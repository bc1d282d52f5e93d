//! Groups: one behaviour a test, errors as tables.

mod group_world;

use group_world::{World, topic_id};

use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::config::GroupConfig;
use thalweg_coordinator::groups::step::{Answer, Token};
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::heartbeat_request::HeartbeatRequest;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::join_group_response::JoinGroupResponse;
use thalweg_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use thalweg_wire::messages::list_groups_request::ListGroupsRequest;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use thalweg_wire::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use thalweg_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use thalweg_wire::messages::sync_group_response::SyncGroupResponse;

const JOIN: i16 = 9;
const SYNC: i16 = 5;

/// No delay, so that a lone member is done at once.
fn config() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: 0,
        ..GroupConfig::default()
    }
}

/// A subscription to those topics, as a consumer writes it.
fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    bytes.extend(i32::try_from(topics.len()).expect("few").to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).expect("short").to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.extend(0_i32.to_be_bytes());
    bytes
}

fn protocol(name: &str, metadata: Vec<u8>) -> JoinGroupRequestProtocol<'static> {
    JoinGroupRequestProtocol {
        name: name.to_owned().into(),
        metadata: metadata.into(),
    }
}

fn join_request<'a>(member: &'a str, instance: Option<&'a str>) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member.into(),
        group_instance_id: instance.map(Into::into),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", subscription(&["t1"]))],
        reason: None,
    }
}

fn joined(world: &World, token: Token) -> JoinGroupResponse<'static> {
    match world.answer(token) {
        Some(Answer::Join(answer)) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

fn synced(world: &World, token: Token) -> SyncGroupResponse<'static> {
    match world.answer(token) {
        Some(Answer::Sync(answer)) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

/// The id that a new dynamic member is given.
fn new_id(world: &mut World) -> String {
    let token = world.join(JOIN, &join_request("", None));
    let answer = joined(world, token);
    assert_eq!(answer.error_code, ErrorCode::MemberIdRequired as i16);
    answer.member_id.into_owned()
}

fn sync_request<'a>(
    member: &'a str,
    generation: i32,
    assignments: &[(&'a str, &'a [u8])],
) -> SyncGroupRequest<'a> {
    let assignments = assignments
        .iter()
        .map(|(member, bytes)| SyncGroupRequestAssignment {
            member_id: (*member).into(),
            assignment: (*bytes).into(),
        });
    SyncGroupRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.into(),
        group_instance_id: None,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assignments.collect(),
    }
}

/// A group of one member, stable in generation 1.
fn stable(world: &mut World) -> String {
    let id = new_id(world);
    let join = world.join(JOIN, &join_request(&id, None));
    world.pass(0);
    assert_eq!(joined(world, join).generation_id, 1);
    let sync = world.sync(SYNC, &sync_request(&id, 1, &[(&id, b"all")]));
    assert_eq!(&*synced(world, sync).assignment, b"all");
    id
}

#[test]
fn a_lone_member_joins_syncs_and_survives_a_restart() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    world.crash();
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: id.as_str().into(),
        group_instance_id: None,
    };
    let token = world.heartbeat(4, &beat);
    let Some(Answer::Heartbeat(answer)) = world.answer(token) else {
        panic!("heartbeats are answered at once");
    };
    assert_eq!(answer.error_code, 0);
    // Nobody is heard of after the restart: the session ends, and so does the generation.
    world.pass(10_001);
    let token = world.heartbeat(4, &beat);
    let Some(Answer::Heartbeat(answer)) = world.answer(token) else {
        panic!("heartbeats are answered at once");
    };
    assert_eq!(answer.error_code, ErrorCode::UnknownMemberId as i16);
}

/// The code of an answer, the first one in it if it has several.
fn code(world: &World, token: Token) -> ErrorCode {
    let answer = world.answer(token).expect("an answer");
    let code = match answer {
        Answer::Join(answer) => answer.error_code,
        Answer::Sync(answer) => answer.error_code,
        Answer::Heartbeat(answer) => answer.error_code,
        Answer::ConsumerHeartbeat(answer) => answer.error_code,
        Answer::DescribeConsumers(groups) => groups[0].error_code,
        Answer::Leave(answer) => answer
            .members
            .first()
            .map_or(answer.error_code, |member| member.error_code),
        Answer::Commit(answer) => answer.topics[0].partitions[0].error_code,
        Answer::Fetch(answer) => match answer.topics.first() {
            Some(topic) => topic.partitions[0].error_code,
            None => answer.error_code,
        },
        Answer::DeleteOffsets(answer) => match answer.topics.first() {
            Some(topic) => topic.partitions[0].error_code,
            None => answer.error_code,
        },
        Answer::TxnCommit(answer) => answer.topics[0].partitions[0].error_code,
        Answer::Marked(code) => *code as i16,
        Answer::Describe(groups) => groups[0].error_code,
        Answer::DeleteGroups(groups) => groups[0].error_code,
        Answer::List(_) => 0,
    };
    ErrorCode::from_code(code).expect("a code of Kafka's")
}

#[test]
fn joins_that_are_refused() {
    type Change = fn(&mut JoinGroupRequest<'_>);
    let cases: [(&str, Change, ErrorCode); 9] = [
        (
            "no group",
            |r| r.group_id = "".into(),
            ErrorCode::InvalidGroupId,
        ),
        (
            "short session",
            |r| r.session_timeout_ms = 5_999,
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "long session",
            |r| r.session_timeout_ms = 1_800_001,
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "other group, known id",
            |r| r.group_id = "h".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown id",
            |r| r.member_id = "nobody".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown instance",
            |r| r.group_instance_id = Some("nobody".into()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "other kind",
            |r| r.protocol_type = "connect".into(),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no protocol in common",
            |r| r.protocols[0].name = "sticky".into(),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no protocol",
            |r| r.protocols.clear(),
            ErrorCode::InconsistentGroupProtocol,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = World::new(config());
        let id = stable(&mut world);
        let mut request = join_request(&id, None);
        change(&mut request);
        let token = world.join(JOIN, &request);
        assert_eq!(code(&world, token), expected, "{what}");
    }
}

#[test]
fn a_join_without_protocols_makes_an_empty_group_all_the_same() {
    let mut world = World::new(config());
    let request = JoinGroupRequest {
        protocols: Vec::new(),
        ..join_request("", None)
    };
    let token = world.join(JOIN, &request);
    assert_eq!(code(&world, token), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(world.shard.group_ids().collect::<Vec<_>>(), ["g"]);
    assert_eq!(world.log.len(), 1);
}

#[test]
fn an_old_client_joins_without_an_id() {
    let mut world = World::new(config());
    let first = world.join(3, &join_request("", None));
    assert!(
        world.answer(first).is_none(),
        "the delay, of no time, is still to end"
    );
    world.pass(0);
    let answer = joined(&world, first);
    assert_eq!((answer.error_code, answer.generation_id), (0, 1));
    assert_eq!(answer.leader, answer.member_id);
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    assert_eq!(answer.members.len(), 1);
}

#[test]
fn names_of_no_protocol_are_empty_before_version_7_and_null_from_then_on() {
    for (version, expected) in [(5, Some("")), (6, Some("")), (7, None), (9, None)] {
        let mut world = World::new(config());
        let token = world.join(version, &join_request("nobody", None));
        assert_eq!(
            joined(&world, token).protocol_name.as_deref(),
            expected,
            "{version}"
        );
    }
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let mut world = World::new(config());
    let first = stable(&mut world);
    let second = new_id(&mut world);
    let second_join = world.join(JOIN, &join_request(&second, None));
    assert!(
        world.answer(second_join).is_none(),
        "the first member is waited for"
    );
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: first.as_str().into(),
        group_instance_id: None,
    };
    let token = world.heartbeat(4, &beat);
    assert_eq!(code(&world, token), ErrorCode::RebalanceInProgress);
    let token = world.sync(SYNC, &sync_request(&first, 1, &[]));
    assert_eq!(code(&world, token), ErrorCode::RebalanceInProgress);
    let first_join = world.join(JOIN, &join_request(&first, None));
    let (leader, follower) = (joined(&world, first_join), joined(&world, second_join));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(
        (&leader.leader, &follower.leader),
        (&leader.member_id, &leader.member_id)
    );

    // The follower's sync waits for the leader's.
    let follower_sync = world.sync(SYNC, &sync_request(&second, 2, &[]));
    assert!(world.answer(follower_sync).is_none());
    world.commits_at_once = false;
    let shares: [(&str, &[u8]); 2] = [(&first, b"one"), (&second, b"two")];
    let leader_sync = world.sync(SYNC, &sync_request(&first, 2, &shares));
    assert!(world.answer(leader_sync).is_none() && world.answer(follower_sync).is_none());
    world.commit_log(usize::MAX);
    assert_eq!(&*synced(&world, leader_sync).assignment, b"one");
    assert_eq!(&*synced(&world, follower_sync).assignment, b"two");
}

#[test]
fn syncs_that_are_refused() {
    type Change = fn(&mut SyncGroupRequest<'_>);
    let cases: [(&str, Change, ErrorCode); 9] = [
        (
            "no group",
            |r| r.group_id = "".into(),
            ErrorCode::InvalidGroupId,
        ),
        (
            "other group",
            |r| r.group_id = "h".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown id",
            |r| r.member_id = "nobody".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown instance",
            |r| r.group_instance_id = Some("nobody".into()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "old generation",
            |r| r.generation_id = 0,
            ErrorCode::IllegalGeneration,
        ),
        (
            "other kind",
            |r| r.protocol_type = Some("connect".into()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "other protocol",
            |r| r.protocol_name = Some("sticky".into()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no kind",
            |r| r.protocol_type = None,
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no protocol",
            |r| r.protocol_name = None,
            ErrorCode::InconsistentGroupProtocol,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = World::new(config());
        let id = stable(&mut world);
        let mut request = sync_request(&id, 1, &[]);
        change(&mut request);
        let token = world.sync(SYNC, &request);
        assert_eq!(code(&world, token), expected, "{what}");
    }
}

#[test]
fn heartbeats_that_are_refused() {
    type Change = fn(&mut HeartbeatRequest<'_>);
    let cases: [(&str, Change, ErrorCode); 6] = [
        ("well", |_| (), ErrorCode::None),
        (
            "no group",
            |r| r.group_id = "".into(),
            ErrorCode::InvalidGroupId,
        ),
        (
            "other group",
            |r| r.group_id = "h".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown id",
            |r| r.member_id = "nobody".into(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "unknown instance",
            |r| r.group_instance_id = Some("nobody".into()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "later generation",
            |r| r.generation_id = 2,
            ErrorCode::IllegalGeneration,
        ),
    ];
    for (what, change, expected) in cases {
        let mut world = World::new(config());
        let id = stable(&mut world);
        let mut request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: id.as_str().into(),
            group_instance_id: None,
        };
        change(&mut request);
        let token = world.heartbeat(4, &request);
        assert_eq!(code(&world, token), expected, "{what}");
    }
}

#[test]
fn heartbeats_and_commits_keep_a_member_alive_and_silence_does_not() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    for _ in 0..5 {
        world.pass(9_999);
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: id.as_str().into(),
            group_instance_id: None,
        };
        let token = world.heartbeat(4, &beat);
        assert_eq!(code(&world, token), ErrorCode::None);
        world.pass(9_999);
        let token = world.commit(9, &commit_request(&id, 1, 5));
        assert_eq!(code(&world, token), ErrorCode::None);
    }
    world.pass(10_000);
    let token = world.commit(9, &commit_request(&id, 1, 6));
    assert_eq!(code(&world, token), ErrorCode::UnknownMemberId);
}

#[test]
fn setting_the_wall_clock_ends_no_session_and_prolongs_none() {
    for hour in [3_600_000, -3_600_000] {
        let mut world = World::new(config());
        let id = stable(&mut world);
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: id.as_str().into(),
            group_instance_id: None,
        };
        world.set_wall(hour);
        assert!(world.shard.tick(world.now).is_none(), "nothing is due");
        let token = world.heartbeat(4, &beat);
        assert_eq!(code(&world, token), ErrorCode::None);
        // Records say what the clock on the wall says.
        world.commit(9, &commit_request(&id, 1, 5));
        let logged = world.shard.logged_group("g").unwrap();
        let committed = logged.offsets.get("t1", 3).unwrap();
        assert_eq!(committed.commit_timestamp, world.now.wall.0);
        world.pass(9_999);
        let generation = |world: &World| {
            let logged = world.shard.logged_group("g").unwrap();
            logged.generation.as_ref().unwrap().members.len()
        };
        assert_eq!(generation(&world), 1);
        world.pass(1);
        let token = world.heartbeat(4, &beat);
        assert_eq!(code(&world, token), ErrorCode::UnknownMemberId);
    }
}

#[test]
fn the_first_rebalance_is_delayed_again_by_each_member_up_to_the_rebalance_timeout() {
    let mut world = World::new(GroupConfig {
        initial_rebalance_delay_ms: 3_000,
        ..GroupConfig::default()
    });
    let request = JoinGroupRequest {
        rebalance_timeout_ms: 7_000,
        ..join_request("", None)
    };
    let first = world.join(3, &request);
    world.pass(2_900);
    let second = world.join(3, &request);
    world.pass(2_900);
    let third = world.join(3, &request);
    assert!(
        world.answer(first).is_none(),
        "5.8 s: the second member prolonged the delay to 6 s"
    );
    world.pass(1_100);
    assert!(
        world.answer(first).is_none(),
        "6.9 s: the third member prolonged it to 7 s"
    );
    world.pass(200);
    for token in [first, second, third] {
        assert_eq!(joined(&world, token).generation_id, 1);
    }
}

#[test]
fn members_that_do_not_join_in_time_are_out() {
    let mut world = World::new(config());
    let first = stable(&mut world);
    let second = new_id(&mut world);
    let join = world.join(JOIN, &join_request(&second, None));
    // The first member stays alive by heartbeats, but does not join.
    for _ in 0..6 {
        assert!(world.answer(join).is_none());
        world.pass(9_990);
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: first.as_str().into(),
            group_instance_id: None,
        };
        let token = world.heartbeat(4, &beat);
        assert_eq!(code(&world, token), ErrorCode::RebalanceInProgress);
    }
    world.pass(60);
    let answer = joined(&world, join);
    assert_eq!((answer.generation_id, answer.members.len()), (2, 1));
    assert_eq!(answer.leader, answer.member_id);
}

#[test]
fn members_that_do_not_sync_in_time_are_out() {
    let mut world = World::new(config());
    let request = JoinGroupRequest {
        session_timeout_ms: 600_000,
        ..join_request("", None)
    };
    let joins = [world.join(3, &request), world.join(3, &request)];
    world.pass(0);
    let ids = joins.map(|token| joined(&world, token).member_id.into_owned());
    let leader = joined(&world, joins[0]).leader.into_owned();
    let sync = world.sync(SYNC, &sync_request(&leader, 1, &[]));
    assert_eq!(code(&world, sync), ErrorCode::None);
    let rejoin = |world: &mut World| world.join(JOIN, &join_request(&leader, None));
    world.pass(60_000);
    let token = rejoin(&mut world);
    assert_eq!(
        joined(&world, token).members.len(),
        1,
        "of {ids:?} only the leader is left"
    );
}

#[test]
fn a_pending_member_that_does_not_come_back_is_forgotten() {
    let mut world = World::new(config());
    let id = new_id(&mut world);
    world.pass(10_000);
    let token = world.join(JOIN, &join_request(&id, None));
    assert_eq!(code(&world, token), ErrorCode::UnknownMemberId);
}

#[test]
fn a_new_member_may_not_wait_for_ever() {
    let mut world = World::new(GroupConfig {
        initial_rebalance_delay_ms: 3_600_000,
        ..GroupConfig::default()
    });
    let request = JoinGroupRequest {
        rebalance_timeout_ms: 3_600_000,
        ..join_request("", None)
    };
    let token = world.join(3, &request);
    world.pass(299_999);
    assert!(world.answer(token).is_none());
    world.pass(1);
    assert_eq!(code(&world, token), ErrorCode::UnknownMemberId);
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut world = World::new(GroupConfig {
        members_max: 1,
        ..config()
    });
    let first = stable(&mut world);
    let token = world.join(JOIN, &join_request("", None));
    assert_eq!(code(&world, token), ErrorCode::GroupMaxSizeReached);
    let token = world.join(JOIN, &join_request(&first, None));
    assert_eq!(joined(&world, token).generation_id, 2);
}

#[test]
fn a_group_that_is_too_large_after_a_restart_is_rebalanced() {
    let mut world = World::new(config());
    let joins = [
        world.join(3, &join_request("", None)),
        world.join(3, &join_request("", None)),
    ];
    world.pass(0);
    let ids = joins.map(|token| joined(&world, token).member_id.into_owned());
    let leader = joined(&world, joins[0]).leader.into_owned();
    world.sync(SYNC, &sync_request(&leader, 1, &[]));
    world.config.members_max = 1;
    world.crash();
    let first = world.join(JOIN, &join_request(&ids[0], None));
    let second = world.join(JOIN, &join_request(&ids[1], None));
    assert!(world.answer(first).is_none() || joined(&world, first).members.len() <= 1);
    assert_eq!(code(&world, second), ErrorCode::GroupMaxSizeReached);
}

#[test]
fn limits_of_our_own_are_refusals() {
    let mut world = World::new(GroupConfig {
        groups_max: 1,
        pending_members_max: 2,
        ..config()
    });
    new_id(&mut world);
    new_id(&mut world);
    let token = world.join(JOIN, &join_request("", None));
    assert_eq!(code(&world, token), ErrorCode::GroupMaxSizeReached);
    let other = JoinGroupRequest {
        group_id: "h".into(),
        ..join_request("", None)
    };
    let token = world.join(JOIN, &other);
    assert_eq!(code(&world, token), ErrorCode::CoordinatorNotAvailable);
    let other = OffsetCommitRequest {
        group_id: "h".into(),
        ..commit_request("", -1, 1)
    };
    let token = world.commit(9, &other);
    assert_eq!(code(&world, token), ErrorCode::CoordinatorNotAvailable);
}

#[test]
fn a_client_id_of_the_greatest_length_makes_no_record_that_cannot_be_written() {
    let mut world = World::new(config());
    let name = "x".repeat(i16::MAX as usize);
    let token = world.join(JOIN, &join_request("", Some(&name)));
    assert_eq!(code(&world, token), ErrorCode::InvalidRequest);
}

#[test]
fn leaving_ends_the_group_and_is_logged() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: [id.as_str(), "nobody", ""].map(leaving).into(),
        ..LeaveGroupRequest::default()
    };
    world.commits_at_once = false;
    let token = world.leave(5, &request);
    assert!(
        world.answer(token).is_none(),
        "the empty generation is logged first"
    );
    world.commit_log(usize::MAX);
    let Some(Answer::Leave(answer)) = world.answer(token) else {
        panic!("an answer");
    };
    let codes: Vec<i16> = answer
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    let unknown = ErrorCode::UnknownMemberId as i16;
    assert_eq!((answer.error_code, codes), (0, vec![0, unknown, unknown]));
    let logged = world
        .shard
        .logged_group("g")
        .unwrap()
        .generation
        .clone()
        .unwrap();
    assert_eq!(
        (logged.number, logged.members.len(), logged.leader),
        (2, 0, None)
    );
    assert_eq!(logged.protocol_type.as_deref(), Some("consumer"));
}

fn leaving(id: &str) -> MemberIdentity<'_> {
    MemberIdentity {
        member_id: id.into(),
        ..MemberIdentity::default()
    }
}

#[test]
fn an_old_client_leaves_alone_and_errors_are_the_answers() {
    for (group, member, expected) in [
        ("g", "nobody", ErrorCode::UnknownMemberId),
        ("h", "nobody", ErrorCode::UnknownMemberId),
        ("", "nobody", ErrorCode::InvalidGroupId),
    ] {
        let mut world = World::new(config());
        stable(&mut world);
        let request = LeaveGroupRequest {
            group_id: group.into(),
            member_id: member.into(),
            ..LeaveGroupRequest::default()
        };
        let token = world.leave(2, &request);
        let Some(Answer::Leave(answer)) = world.answer(token) else {
            panic!("an answer");
        };
        assert_eq!(
            (answer.error_code, answer.members.len()),
            (expected as i16, 0),
            "{group}"
        );
    }
}

#[test]
fn who_leaves_while_it_waits_is_answered() {
    let mut world = World::new(config());
    let first = stable(&mut world);
    let second = new_id(&mut world);
    let join = world.join(JOIN, &join_request(&second, None));
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![leaving(&second)],
        ..LeaveGroupRequest::default()
    };
    world.leave(5, &request);
    assert_eq!(code(&world, join), ErrorCode::UnknownMemberId);
    let rejoin = world.join(JOIN, &join_request(&first, None));
    assert_eq!(joined(&world, rejoin).generation_id, 2);
    assert!(world.open.is_empty());
}

fn commit_request(member: &str, generation: i32, offset: i64) -> OffsetCommitRequest<'_> {
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t1".into(),
            topic_id: Uuid::ZERO,
            partitions: vec![partition(3, offset)],
        }],
        ..OffsetCommitRequest::default()
    }
}

fn partition(index: i32, offset: i64) -> OffsetCommitRequestPartition<'static> {
    OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: 7,
        committed_metadata: Some("note".into()),
    }
}

/// Offsets of `t1`'s partition 3 and what else is asked for, as one text a partition.
fn fetched(world: &mut World, version: i16, topics: &[(&str, Uuid, i32)]) -> Vec<String> {
    let topics = topics
        .iter()
        .map(|(name, id, index)| OffsetFetchRequestTopics {
            name: (*name).to_owned().into(),
            topic_id: *id,
            partition_indexes: vec![*index],
        });
    fetch(world, version, Some(topics.collect()))
}

fn fetch(
    world: &mut World,
    version: i16,
    topics: Option<Vec<OffsetFetchRequestTopics<'_>>>,
) -> Vec<String> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics,
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let token = world.fetch(version, &request);
    let Some(Answer::Fetch(answer)) = world.answer(token) else {
        panic!("an answer");
    };
    assert_eq!(answer.error_code, 0);
    let mut lines = Vec::new();
    for topic in &answer.topics {
        for one in &topic.partitions {
            let metadata = one.metadata.as_deref().unwrap_or("null");
            let (index, offset, epoch) = (
                one.partition_index,
                one.committed_offset,
                one.committed_leader_epoch,
            );
            let code = ErrorCode::from_code(one.error_code)
                .expect("Kafka's")
                .name();
            lines.push(format!(
                "{}-{index} {offset} {epoch} {metadata:?} {code}",
                topic.name
            ));
        }
    }
    lines
}

type CommitCase = (
    &'static str,
    i16,
    fn(&mut OffsetCommitRequest<'_>),
    ErrorCode,
);

const COMMITS: [CommitCase; 13] = [
    ("well", 9, |_| (), ErrorCode::None),
    (
        "other id",
        9,
        |r| r.member_id = "nobody".into(),
        ErrorCode::UnknownMemberId,
    ),
    (
        "no id",
        9,
        |r| r.member_id = "".into(),
        ErrorCode::UnknownMemberId,
    ),
    (
        "no generation",
        9,
        |r| r.generation_id_or_member_epoch = -1,
        ErrorCode::IllegalGeneration,
    ),
    (
        "nobody, while there are members",
        9,
        |r| (r.generation_id_or_member_epoch, r.member_id) = (-1, "".into()),
        ErrorCode::UnknownMemberId,
    ),
    (
        "other generation",
        9,
        |r| r.generation_id_or_member_epoch = 2,
        ErrorCode::IllegalGeneration,
    ),
    (
        "unknown instance",
        9,
        |r| r.group_instance_id = Some("nobody".into()),
        ErrorCode::UnknownMemberId,
    ),
    (
        "other group",
        9,
        |r| r.group_id = "h".into(),
        ErrorCode::GroupIdNotFound,
    ),
    (
        "other group, of old",
        8,
        |r| r.group_id = "h".into(),
        ErrorCode::IllegalGeneration,
    ),
    (
        "no such topic",
        9,
        |r| r.topics[0].name = "t9".into(),
        ErrorCode::UnknownTopicOrPartition,
    ),
    (
        "no such partition",
        9,
        |r| r.topics[0].partitions[0].partition_index = 8,
        ErrorCode::UnknownTopicOrPartition,
    ),
    (
        "no such id",
        10,
        |r| r.topics[0].topic_id = topic_id(9),
        ErrorCode::UnknownTopicId,
    ),
    (
        "long note",
        9,
        |r| r.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_097).into()),
        ErrorCode::OffsetMetadataTooLarge,
    ),
];

#[test]
fn commits_that_are_refused() {
    for (what, version, change, expected) in COMMITS {
        let mut world = World::new(config());
        let id = stable(&mut world);
        let mut request = commit_request(&id, 1, 5);
        change(&mut request);
        let records = world.log.len();
        let token = world.commit(version, &request);
        assert_eq!(code(&world, token), expected, "{what}");
        let logged = usize::from(expected == ErrorCode::None);
        assert_eq!(world.log.len() - records, logged, "{what}");
    }
}

#[test]
fn commits_wait_for_a_rebalance_to_end_only_while_the_assignment_is_awaited() {
    let mut world = World::new(config());
    let id = new_id(&mut world);
    world.join(JOIN, &join_request(&id, None));
    world.pass(0);
    let token = world.commit(9, &commit_request(&id, 1, 5));
    assert_eq!(code(&world, token), ErrorCode::RebalanceInProgress);
    world.sync(SYNC, &sync_request(&id, 1, &[]));
    let other = new_id(&mut world);
    world.join(JOIN, &join_request(&other, None));
    let token = world.commit(9, &commit_request(&id, 1, 5));
    assert_eq!(
        code(&world, token),
        ErrorCode::None,
        "while members are collected"
    );
}

#[test]
fn a_group_that_only_keeps_offsets_is_made_by_a_commit() {
    let mut world = World::new(config());
    world.commits_at_once = false;
    let token = world.commit(9, &commit_request("", -1, 42));
    assert!(world.answer(token).is_none());
    world.commit_log(usize::MAX);
    assert_eq!(code(&world, token), ErrorCode::None);
    world.crash();
    let t1 = ("t1", Uuid::ZERO, 3);
    let expected = [
        "t1-3 42 7 \"note\" NONE",
        "t1-4 -1 -1 \"\" NONE",
        "t9-0 -1 -1 \"\" NONE",
    ];
    let other = [t1, ("t1", Uuid::ZERO, 4), ("t9", Uuid::ZERO, 0)];
    assert_eq!(fetched(&mut world, 9, &other), expected);
    let by_id = [("", topic_id(9), 0), ("", topic_id(1), 3)];
    let expected = ["t1-3 42 7 \"note\" NONE", "-0 -1 -1 \"\" UNKNOWN_TOPIC_ID"];
    assert_eq!(fetched(&mut world, 10, &by_id), expected);
    assert_eq!(fetch(&mut world, 10, None), ["t1-3 42 7 \"note\" NONE"]);
}

#[test]
fn an_offset_is_not_read_before_it_is_committed() {
    let mut world = World::new(config());
    world.commit(9, &commit_request("", -1, 1));
    world.commits_at_once = false;
    world.commit(9, &commit_request("", -1, 2));
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let token = world.fetch(8, &request);
    assert!(world.answer(token).is_none(), "it might read what is lost");
    world.crash();
    world.commits_at_once = true;
    assert_eq!(fetch(&mut world, 8, None), ["t1-3 1 7 \"note\" NONE"]);
}

#[test]
fn what_the_log_refuses_never_was() {
    for (said, expected) in [
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (
            ErrorCode::NotEnoughReplicas,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
        (
            ErrorCode::ThrottlingQuotaExceeded,
            ErrorCode::ThrottlingQuotaExceeded,
        ),
    ] {
        let mut world = World::new(config());
        world.refusal = Some(said);
        let token = world.commit(9, &commit_request("", -1, 42));
        assert_eq!(code(&world, token), expected);
        assert_eq!(world.shard.group_ids().count(), 0);

        world.refusal = Some(said);
        let token = world.join(JOIN, &join_request("", None));
        assert_eq!(code(&world, token), expected);
        world.refusal = Some(said);
        let token = world.join(3, &join_request("", None));
        assert_eq!(code(&world, token), expected);
        assert_eq!(world.shard.group_ids().count(), 0);
    }
}

#[test]
fn an_assignment_that_the_log_refuses_is_told_and_everybody_joins_again() {
    let mut world = World::new(config());
    let joins = [
        world.join(3, &join_request("", None)),
        world.join(3, &join_request("", None)),
    ];
    world.pass(0);
    let ids = joins.map(|token| joined(&world, token).member_id.into_owned());
    let leader = joined(&world, joins[0]).leader.into_owned();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    let waiting = world.sync(SYNC, &sync_request(&follower, 1, &[]));
    world.refusal = Some(ErrorCode::KafkaStorageError);
    let sync = world.sync(SYNC, &sync_request(&leader, 1, &[(&leader, b"all")]));
    assert_eq!(code(&world, sync), ErrorCode::NotCoordinator);
    assert_eq!(code(&world, waiting), ErrorCode::NotCoordinator);
    let again = [&leader, &follower].map(|id| world.join(JOIN, &join_request(id, None)));
    assert_eq!(
        again.map(|token| joined(&world, token).generation_id),
        [2, 2]
    );
}

/// A static member in a stable group. Gives its id.
fn stable_static(world: &mut World) -> String {
    let join = world.join(JOIN, &join_request("", Some("i")));
    world.pass(0);
    let id = joined(world, join).member_id.into_owned();
    let sync = SyncGroupRequest {
        group_instance_id: Some("i".into()),
        ..sync_request(&id, 1, &[(&id, b"all")])
    };
    let sync = world.sync(SYNC, &sync);
    assert_eq!(code(world, sync), ErrorCode::None);
    id
}

#[test]
fn a_restarted_static_member_keeps_its_assignment_and_fences_the_old_one() {
    for (version, skips) in [(9, true), (8, false)] {
        let mut world = World::new(config());
        let old = stable_static(&mut world);
        world.commits_at_once = false;
        let join = world.join(version, &join_request("", Some("i")));
        assert!(world.answer(join).is_none(), "the new id is logged first");
        world.commit_log(usize::MAX);
        let answer = joined(&world, join);
        assert_eq!((answer.error_code, answer.generation_id), (0, 1));
        assert_eq!(
            (answer.skip_assignment, answer.members.is_empty()),
            (skips, !skips)
        );
        let leader: &str = if skips { &answer.member_id } else { &old };
        assert_eq!(
            &*answer.leader, leader,
            "an old client must not take itself for the leader"
        );
        let sync = SyncGroupRequest {
            group_instance_id: Some("i".into()),
            ..sync_request(&answer.member_id, 1, &[])
        };
        let sync = world.sync(SYNC, &sync);
        assert_eq!(&*synced(&world, sync).assignment, b"all");
        for (instance, expected) in [
            (Some("i"), ErrorCode::FencedInstanceId),
            (None, ErrorCode::UnknownMemberId),
        ] {
            let beat = HeartbeatRequest {
                group_id: "g".into(),
                generation_id: 1,
                member_id: old.as_str().into(),
                group_instance_id: instance.map(Into::into),
            };
            let token = world.heartbeat(4, &beat);
            assert_eq!(code(&world, token), expected);
        }
        let token = world.join(JOIN, &join_request(&old, Some("i")));
        assert_eq!(code(&world, token), ErrorCode::FencedInstanceId);
        world.crash();
        let logged = world
            .shard
            .logged_group("g")
            .unwrap()
            .generation
            .clone()
            .unwrap();
        assert_eq!(*logged.members[0].id, *answer.member_id);
    }
}

#[test]
fn a_replacement_that_the_log_refuses_leaves_the_old_member() {
    let mut world = World::new(config());
    let old = stable_static(&mut world);
    world.refusal = Some(ErrorCode::KafkaStorageError);
    let join = world.join(JOIN, &join_request("", Some("i")));
    assert_eq!(code(&world, join), ErrorCode::NotCoordinator);
    let token = world.commit(9, &commit_request(&old, 1, 5));
    assert_eq!(code(&world, token), ErrorCode::None);
}

#[test]
fn a_restarted_static_member_with_another_protocol_rebalances() {
    let mut world = World::new(config());
    stable_static(&mut world);
    let request = JoinGroupRequest {
        protocols: vec![
            protocol("range", Vec::new()),
            protocol("sticky", Vec::new()),
        ],
        ..join_request("", Some("i"))
    };
    let join = world.join(JOIN, &request);
    assert_eq!(
        joined(&world, join).generation_id,
        1,
        "it still agrees on range"
    );
    let request = JoinGroupRequest {
        protocols: vec![
            protocol("sticky", Vec::new()),
            protocol("range", Vec::new()),
        ],
        ..request
    };
    let join = world.join(JOIN, &request);
    assert_eq!(
        joined(&world, join).generation_id,
        2,
        "it prefers sticky now"
    );
}

#[test]
fn administrators_remove_static_members_by_name() {
    let mut world = World::new(config());
    stable_static(&mut world);
    let request = |name: &'static str| LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![MemberIdentity {
            member_id: "".into(),
            group_instance_id: Some(name.into()),
            reason: None,
        }],
        ..LeaveGroupRequest::default()
    };
    let token = world.leave(5, &request("j"));
    assert_eq!(code(&world, token), ErrorCode::UnknownMemberId);
    let token = world.leave(5, &request("i"));
    assert_eq!(code(&world, token), ErrorCode::None);
    let generation = world.shard.logged_group("g").unwrap().generation.clone();
    assert_eq!(generation.unwrap().members.len(), 0);
}

#[test]
fn a_pending_member_cannot_become_static() {
    let mut world = World::new(config());
    let id = new_id(&mut world);
    let token = world.join(JOIN, &join_request(&id, Some("i")));
    assert_eq!(code(&world, token), ErrorCode::UnknownServerError);
}

#[test]
fn most_votes_choose_the_protocol() {
    // The names are what each member supports, in the order of its liking.
    let cases: [(&[&[&str]], &str); 4] = [
        (
            &[
                &["b", "a", "c"],
                &["c", "a", "b"],
                &["d", "b", "a"],
                &["b", "a"],
            ],
            "b",
        ),
        (&[&["a", "b"], &["b"]], "b"),
        // Equal votes: Kafka's choice, which is that of its hash map.
        (&[&["b", "a"], &["a", "b"]], "a"),
        (
            &[&["roundrobin", "range"], &["range", "roundrobin"]],
            "range",
        ),
    ];
    for (members, expected) in cases {
        let mut world = World::new(config());
        let mut joins = Vec::new();
        for names in members {
            let protocols = names.iter().map(|name| protocol(name, Vec::new()));
            let request = JoinGroupRequest {
                protocols: protocols.collect(),
                ..join_request("", None)
            };
            joins.push(world.join(3, &request));
        }
        world.pass(0);
        for token in joins {
            assert_eq!(
                joined(&world, token).protocol_name.as_deref(),
                Some(expected)
            );
        }
    }
}

#[test]
fn groups_are_listed() {
    let mut world = World::new(config());
    stable(&mut world);
    let other = OffsetCommitRequest {
        group_id: "simple".into(),
        ..commit_request("", -1, 1)
    };
    world.commit(9, &other);
    let cases: [(&[&str], &[&str], &[&str]); 7] = [
        (
            &[],
            &[],
            &["g Stable consumer classic", "simple Empty  classic"],
        ),
        (&[" stable "], &[], &["g Stable consumer classic"]),
        (&["Empty", "DEAD"], &[], &["simple Empty  classic"]),
        (&["nonsense"], &[], &[]),
        (
            &[],
            &["Classic"],
            &["g Stable consumer classic", "simple Empty  classic"],
        ),
        (&[], &["consumer"], &[]),
        (
            &["Empty"],
            &["share", "classic"],
            &["simple Empty  classic"],
        ),
    ];
    for (states, types, expected) in cases {
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|state| (*state).into()).collect(),
            types_filter: types.iter().map(|kind| (*kind).into()).collect(),
        };
        let token = world.list(5, &request);
        let Some(Answer::List(groups)) = world.answer(token) else {
            panic!("an answer");
        };
        let lines = groups.iter().map(|group| {
            let (state, kind) = (&group.group_state, &group.group_type);
            format!("{} {state} {} {kind}", group.group_id, group.protocol_type)
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{states:?} {types:?}");
    }
}

#[test]
fn groups_are_described() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    for (version, expected) in [(5, ErrorCode::None), (6, ErrorCode::GroupIdNotFound)] {
        let token = world.describe(version, &["none", "g"]);
        assert_eq!(code(&world, token), expected);
        let Some(Answer::Describe(groups)) = world.answer(token) else {
            panic!("an answer");
        };
        assert_eq!(groups[0].group_state, "Dead");
        // What everybody may do, where a version can say it and there is a group.
        let operations = |told: bool| if told { 3_400 } else { i32::MIN };
        assert_eq!(
            (
                groups[0].authorized_operations,
                groups[1].authorized_operations
            ),
            (
                operations((3..6).contains(&version)),
                operations(version >= 3)
            )
        );
        let (group, member) = (&groups[1], &groups[1].members[0]);
        assert_eq!(
            (&*group.group_state, &*group.protocol_data),
            ("Stable", "range")
        );
        assert_eq!(
            (&*member.member_id, &*member.client_host),
            (&*id, "/127.0.0.1")
        );
        assert_eq!(&*member.member_assignment, b"all");
        assert_eq!(*member.member_metadata, subscription(&["t1"]));
    }
}

#[test]
fn groups_are_deleted_with_their_offsets_once_they_are_empty() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    world.commit(9, &commit_request(&id, 1, 5));
    let token = world.delete_groups(&["g"]);
    assert_eq!(code(&world, token), ErrorCode::NonEmptyGroup);
    let token = world.delete_groups(&["h"]);
    assert_eq!(code(&world, token), ErrorCode::GroupIdNotFound);
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        members: vec![leaving(&id)],
        ..LeaveGroupRequest::default()
    };
    world.leave(5, &request);
    world.refusal = Some(ErrorCode::KafkaStorageError);
    let token = world.delete_groups(&["g"]);
    assert_eq!(code(&world, token), ErrorCode::NotCoordinator);
    assert_eq!(world.shard.group_ids().count(), 1);
    let token = world.delete_groups(&["g", "g"]);
    assert_eq!(code(&world, token), ErrorCode::None);
    assert_eq!(world.shard.group_ids().count(), 0);
    world.crash();
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn offsets_are_deleted_unless_a_member_wants_them() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    for topic in ["t1", "t2"] {
        let mut request = commit_request(&id, 1, 5);
        request.topics[0].name = topic.into();
        world.commit(9, &request);
    }
    let request = |group: &'static str, topic: &'static str, index: i32| OffsetDeleteRequest {
        group_id: group.into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetDeleteRequestPartition {
                partition_index: index,
            }],
        }],
    };
    for (group, topic, index, expected) in [
        ("", "t1", 3, ErrorCode::InvalidGroupId),
        ("h", "t1", 3, ErrorCode::GroupIdNotFound),
        ("g", "t1", 3, ErrorCode::GroupSubscribedToTopic),
        ("g", "t9", 3, ErrorCode::UnknownTopicOrPartition),
        ("g", "t2", 8, ErrorCode::UnknownTopicOrPartition),
        ("g", "t2", 4, ErrorCode::None),
        ("g", "t2", 3, ErrorCode::None),
    ] {
        let token = world.delete_offsets(0, &request(group, topic, index));
        assert_eq!(code(&world, token), expected, "{group} {topic} {index}");
    }
    assert_eq!(fetch(&mut world, 8, None), ["t1-3 5 7 \"note\" NONE"]);
}

#[test]
fn offsets_of_members_of_other_kinds_are_not_deleted() {
    let mut world = World::new(config());
    let request = JoinGroupRequest {
        protocol_type: "connect".into(),
        ..join_request("", None)
    };
    world.join(3, &request);
    world.pass(0);
    let request = OffsetDeleteRequest {
        group_id: "g".into(),
        topics: Vec::new(),
    };
    let token = world.delete_offsets(0, &request);
    assert_eq!(code(&world, token), ErrorCode::NonEmptyGroup);
}

const DAY: i64 = 24 * 3_600 * 1_000;

#[test]
fn offsets_of_a_simple_group_expire_after_their_commit_and_the_group_with_them() {
    let mut world = World::new(config());
    world.commit(9, &commit_request("", -1, 5));
    world.pass(6 * DAY);
    world.commit(9, &commit_request("", -1, 6));
    world.pass(7 * DAY - 600_000);
    assert_eq!(fetch(&mut world, 8, None), ["t1-3 6 7 \"note\" NONE"]);
    world.pass(1_200_000);
    assert_eq!(world.shard.group_ids().count(), 0);
    world.crash();
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn offsets_of_members_expire_only_where_no_member_wants_the_topic() {
    let mut world = World::new(config());
    let id = stable(&mut world);
    for topic in ["t1", "t2"] {
        let mut request = commit_request(&id, 1, 5);
        request.topics[0].name = topic.into();
        world.commit(9, &request);
    }
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: id.as_str().into(),
        group_instance_id: None,
    };
    let start = world.now.wall.0;
    while world.now.wall.0 < start + 8 * DAY {
        world.pass(9_000);
        let token = world.heartbeat(4, &beat);
        assert_eq!(code(&world, token), ErrorCode::None);
    }
    assert_eq!(fetch(&mut world, 8, None), ["t1-3 5 7 \"note\" NONE"]);
    // Nobody is there any more: from now on the time counts for all.
    world.pass(7 * DAY - 600_000);
    assert_eq!(fetch(&mut world, 8, None).len(), 1);
    world.pass(1_300_000);
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn a_client_of_old_chooses_the_retention_itself() {
    let mut world = World::new(config());
    let request = OffsetCommitRequest {
        retention_time_ms: 3_600_000,
        ..commit_request("", -1, 5)
    };
    world.commit(4, &request);
    world.pass(3_599_999);
    assert_eq!(fetch(&mut world, 8, None), ["t1-3 5 -1 \"note\" NONE"]);
    world.pass(600_001);
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn a_sweep_goes_in_steps_and_is_tried_again() {
    let mut world = World::new(config());
    for n in 0..2_500 {
        let name = format!("g{n}");
        let request = OffsetCommitRequest {
            group_id: name.as_str().into(),
            ..commit_request("", -1, 5)
        };
        world.commit(9, &request);
    }
    world.refusal = Some(ErrorCode::KafkaStorageError);
    world.oversleep(7 * DAY);
    let mut largest = 0;
    while let Some(step) = world.shard.tick(world.now) {
        largest = largest.max(step.records().len());
        world.run(step);
    }
    assert_eq!(largest, 1_000);
    assert_eq!(
        world.shard.group_ids().count(),
        2_500,
        "a refusal ends the sweep"
    );
    world.pass(600_000);
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn a_group_of_many_offsets_expires_in_steps() {
    let mut world = World::new(config());
    let mut request = commit_request("", -1, 5);
    request.topics.clear();
    for n in 0..200_u8 {
        let (name, id) = (format!("many{n}"), Uuid([n.wrapping_add(50); 16]));
        group_world::add_topic(&mut world.image, &name, id);
        request.topics.push(OffsetCommitRequestTopic {
            name: name.into(),
            topic_id: Uuid::ZERO,
            partitions: (0..8).map(|index| partition(index, 5)).collect(),
        });
    }
    world.commit(9, &request);
    assert_eq!(world.log.len(), 1_600);
    world.oversleep(8 * DAY);
    let mut sizes = Vec::new();
    while let Some(step) = world.shard.tick(world.now) {
        sizes.push(step.records().len());
        world.run(step);
    }
    sizes.retain(|size| *size > 0);
    assert_eq!(sizes, [1_000, 601], "the group goes with its last offset");
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn tombstones_of_one_step_fit_into_a_batch() {
    let mut world = World::new(config());
    for n in 0..40 {
        let name = format!("{n:0>20000}");
        let request = OffsetCommitRequest {
            group_id: name.as_str().into(),
            ..commit_request("", -1, 5)
        };
        world.commit(9, &request);
    }
    world.oversleep(8 * DAY);
    while let Some(step) = world.shard.tick(world.now) {
        let bytes: usize = step.records().iter().map(|record| record.key.len()).sum();
        assert!(bytes <= 600_000, "{bytes}");
        world.run(step);
    }
    assert_eq!(world.shard.group_ids().count(), 0);
}

#[test]
fn offsets_of_deleted_topics_are_tried_again_after_a_refusal() {
    let mut world = World::new(config());
    world.commit(9, &commit_request("", -1, 5));
    world.refusal = Some(ErrorCode::KafkaStorageError);
    world
        .shard
        .topics_deleted(&[(topic_id(1), "t1")], world.now);
    world.pass(59_999);
    assert_eq!(fetch(&mut world, 8, None).len(), 1);
    world.pass(1);
    assert_eq!(fetch(&mut world, 8, None).len(), 0);
}

#[test]
fn offsets_of_a_deleted_topic_go_and_those_of_its_successor_stay() {
    let mut world = World::new(config());
    world.commit(9, &commit_request("", -1, 5));
    let mut other = commit_request("", -1, 6);
    other.topics[0].name = "t2".into();
    world.commit(9, &other);

    // The topic is made again before its old offsets are gone: they are not the new one's.
    world.image = thalweg_coordinator::metadata::image::Image::default();
    group_world::add_topic(&mut world.image, "t1", topic_id(7));
    group_world::add_topic(&mut world.image, "t2", topic_id(2));
    assert_eq!(
        fetched(&mut world, 8, &[("t1", Uuid::ZERO, 3)]),
        ["t1-3 -1 -1 \"\" NONE"]
    );
    assert_eq!(
        fetched(&mut world, 10, &[("", topic_id(7), 3)]),
        ["t1-3 -1 -1 \"\" NONE"]
    );
    assert_eq!(fetch(&mut world, 10, None), ["t2-3 6 7 \"note\" NONE"]);

    let mut next = commit_request("", -1, 9);
    next.topics[0].partitions = vec![partition(4, 9)];
    world.commit(9, &next);
    world
        .shard
        .topics_deleted(&[(topic_id(1), "t1")], world.now);
    world.pass(0);
    world.crash();
    let left = world.shard.logged_group("g").unwrap();
    let left: Vec<_> = left
        .offsets
        .topics()
        .map(|(name, ones)| (name, ones.len()))
        .collect();
    assert_eq!(left, [("t1", 1), ("t2", 1)]);
    assert_eq!(fetch(&mut world, 8, None)[0], "t1-4 9 7 \"note\" NONE");
}

#[test]
fn a_deletion_that_was_missed_is_found_at_the_load() {
    let mut world = World::new(config());
    world.commit(9, &commit_request("", -1, 5));
    for (topic, version) in [("t2", 9), ("t3", 10)] {
        let mut other = commit_request("", -1, 6);
        other.topics[0].name = topic.into();
        other.topics[0].topic_id = match topic {
            "t2" => Uuid::ZERO,
            _ => topic_id(3),
        };
        world.commit(version, &other);
    }
    // While nobody looks, t1 is made again and t3 is deleted.
    world.image = thalweg_coordinator::metadata::image::Image::default();
    group_world::add_topic(&mut world.image, "t1", topic_id(7));
    group_world::add_topic(&mut world.image, "t2", topic_id(2));
    world.crash();
    world.refusal = Some(ErrorCode::KafkaStorageError);
    world.pass(0);
    let left = |world: &World| -> Vec<String> {
        let logged = world.shard.logged_group("g").unwrap();
        let topics = logged.offsets.topics();
        topics.map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(left(&world), ["t1", "t2", "t3"], "the log refused");
    world.pass(60_000);
    assert_eq!(left(&world), ["t2"]);
    let records = world.log.len();
    world.crash();
    world.pass(60_000);
    assert_eq!(left(&world), ["t2"]);
    assert_eq!(world.log.len(), records, "once is enough");
}

#[test]
fn unloading_answers_everybody_who_waits() {
    let mut world = World::new(config());
    let first = stable(&mut world);
    let second = new_id(&mut world);
    let join = world.join(JOIN, &join_request(&second, None));
    let shard = std::mem::replace(&mut world.shard, World::new(config()).shard);
    let replies = shard.unload();
    let told: Vec<_> = replies.iter().map(|reply| reply.to).collect();
    assert_eq!(told, [join], "{first} waits for nothing");
    let Answer::Join(answer) = &replies[0].answer else {
        panic!("a join's answer");
    };
    assert_eq!(answer.error_code, ErrorCode::NotCoordinator as i16);
}
