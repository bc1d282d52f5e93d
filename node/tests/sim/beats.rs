//! Members live on while the journal has no room: their heartbeats do not wait behind commits that
//! do; and once flushes come again, so does room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::store::StoreConfig;
use thalweg_storage::testing::{Executor, Handle, Prng, Task};
use thalweg_wire::ids::{ShardId, TimestampMs};
use thalweg_wire::messages::heartbeat_request::HeartbeatRequest;
use thalweg_wire::messages::heartbeat_response::HeartbeatResponseView;
use thalweg_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use thalweg_wire::messages::join_group_response::JoinGroupResponseView;
use thalweg_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_wire::messages::sync_group_request::SyncGroupRequest;
use thalweg_wire::messages::sync_group_response::SyncGroupResponseView;

use crate::client::Client;
use crate::groups::GROUPS;
use crate::workload::{Desk, LASTING};
use crate::world::{Birth, EPOCH_MS};

/// The session of the member.
const SESSION_MS: i32 = 6_000;
/// What an answer that waits for nothing may take.
const PROMPT: Duration = Duration::from_millis(100);
/// Commits that the window has no room for: 4 KB each.
const COMMITS: usize = 600;
/// The last version in which a member gets its id with its generation.
const JOIN_VERSION: i16 = 3;

fn birth(seed: u64, handle: Handle) -> Birth {
    Birth {
        handle,
        disk: MemoryDisk::new(seed),
        shards: u16::try_from(1 + seed % 3).unwrap(),
        store: StoreConfig {
            journal_file_bytes: 256 << 10,
            journal_bytes_max: 1 << 20,
            round_bytes_max: 32 << 10,
            ..StoreConfig::new(ShardId(0))
        },
        born: TimestampMs(EPOCH_MS),
        dice: Rc::new(RefCell::new(Prng::new(seed))),
    }
}

/// Becomes the only member of the first group.
async fn join(client: &Client) -> String {
    let request = JoinGroupRequest {
        group_id: GROUPS[0].into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: SESSION_MS,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Vec::new().into(),
        }],
        ..JoinGroupRequest::default()
    };
    let body = client.call(&request, JOIN_VERSION).await.unwrap();
    let view = JoinGroupResponseView::decode(&body, JOIN_VERSION).unwrap();
    assert_eq!((view.error_code, view.generation_id), (0, 1));
    let member = view.member_id.to_owned();
    let request = SyncGroupRequest {
        group_id: GROUPS[0].into(),
        generation_id: 1,
        member_id: member.as_str().into(),
        ..SyncGroupRequest::default()
    };
    let body = client.call(&request, 2).await.unwrap();
    let view = SyncGroupResponseView::decode(&body, 2).unwrap();
    assert_eq!(view.error_code, 0);
    member
}

fn commit<'a>(desk: &Desk, member: &'a str, offset: i64) -> OffsetCommitRequest<'a> {
    let (topic, partition) = desk.any_partition().unwrap();
    OffsetCommitRequest {
        group_id: GROUPS[0].into(),
        generation_id_or_member_epoch: 1,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: desk.name_of(topic).into(),
            topic_id: topic,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: -1,
                committed_metadata: Some("m".repeat(4_000).into()),
            }],
        }],
        ..OffsetCommitRequest::default()
    }
}

async fn beat(client: &Client, member: &str) -> i16 {
    let request = HeartbeatRequest {
        group_id: GROUPS[0].into(),
        generation_id: 1,
        member_id: member.into(),
        group_instance_id: None,
    };
    let body = client.call(&request, 2).await.unwrap();
    let view = HeartbeatResponseView::decode(&body, 2).unwrap();
    view.error_code
}

async fn full(birth: Birth) {
    let desk = Desk {
        node: birth.start().await.unwrap(),
        checker: Rc::default(),
        faults: Rc::default(),
        poisoned: Cell::new(false),
    };
    let (client, other) = (Client::connect(&desk.node), Client::connect(&desk.node));
    desk.create(&client, LASTING[0]).await.unwrap();
    desk.find_groups(&client).await.unwrap();
    desk.settle_groups(&client).await.unwrap();
    let member = join(&client).await;

    desk.node.disk.hold_flushes();
    let commits: Vec<_> = (0..COMMITS)
        .map(|offset| client.begin(&commit(&desk, &member, i64::try_from(offset).unwrap()), 8))
        .collect();
    let session = Duration::from_millis(u64::from(SESSION_MS.unsigned_abs()));
    for _ in 0..6 {
        desk.node.handle.sleep(session / 3).await;
        let asked = desk.node.handle.now();
        assert_eq!(beat(&other, &member).await, 0);
        assert!(desk.node.handle.now() - asked < PROMPT, "it waited");
    }
    let appended = desk.node.counters().into_iter();
    let appended: u64 = appended.map(|shard| shard.appends).sum();
    assert!(appended < COMMITS as u64, "there was room for everything");
    let answered = commits.iter().filter_map(Task::try_take).count();
    assert_eq!(answered, 0, "nothing is flushed");

    // What was appended beyond the oldest file's rounds must not be carried with it: there would
    // be no room, and the journal would wait for itself.
    desk.node.disk.release_flushes();
    desk.node.handle.sleep(session / 2).await;
    let answered = commits.iter().filter_map(Task::try_take).count();
    assert_eq!(answered, COMMITS, "the journal moves again");
    assert_eq!(beat(&other, &member).await, 0, "the member is still there");
}

#[test]
fn heartbeats_do_not_wait_for_room_in_the_journal() {
    for seed in 0..6 {
        let mut executor = Executor::new(seed);
        executor.block_on(full(birth(seed, executor.handle())));
    }
}
