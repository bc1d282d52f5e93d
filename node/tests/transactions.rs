//! Transactions over the wire, against a real node: what is committed is read, what is aborted is listed, what is
//! open holds readers back; epochs fence; a decision survives kill -9 and is carried to its end after it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use live::Node;
use live::transactions::{Committed, Producer, add_request, end_request};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::add_partitions_to_txn_response::AddPartitionsToTxnResponseView;
use thalweg_wire::messages::end_txn_response::EndTxnResponseView;
use thalweg_wire::messages::txn_offset_commit_request as commit;
use thalweg_wire::messages::txn_offset_commit_response::TxnOffsetCommitResponseView;

#[test]
fn readers_of_committed_records_see_what_was_decided() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 2);
    let first = peer.begin("id");
    assert_eq!(
        (first.epoch, peer.produce_as(12, &first, (&topic, 0), 0)),
        (0, (0, 0))
    );
    assert_eq!(peer.produce_as(12, &first, (&topic, 1), 0), (0, 0));
    assert_eq!(peer.produce_as(12, &first, (&topic, 0), 1), (0, 1));
    let open = Committed {
        last_stable: 0,
        high_watermark: 2,
        aborted: Vec::new(),
    };
    assert_eq!(peer.read_committed(&topic, 0), open);
    let second = peer.end(&first, true).unwrap();
    assert_eq!((second.producer, second.epoch), (first.producer, 1));
    // The answer was lost: the same request again.
    peer.stable(&topic, 0, 3);
    peer.stable(&topic, 1, 2);
    assert_eq!(peer.end(&first, true), Ok(second.clone()));
    // Of the epoch that has ended.
    let (late, _) = peer.produce_as(12, &first, (&topic, 0), 2);
    assert_eq!(late, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(peer.produce_as(12, &second, (&topic, 0), 0), (0, 3));
    let third = peer.end(&second, false).unwrap();
    peer.stable(&topic, 0, 5);
    let aborted = Committed {
        last_stable: 5,
        high_watermark: 5,
        aborted: vec![(first.producer, 3)],
    };
    assert_eq!(peer.read_committed(&topic, 0), aborted);
    // A new producer of the same id fences this one, and its open transaction is aborted.
    assert_eq!(peer.produce_as(12, &third, (&topic, 1), 0), (0, 2));
    let fresh = peer.begin("id");
    assert!(fresh.epoch > third.epoch);
    let fenced = peer.end(&third, true);
    assert_eq!(fenced, Err(ErrorCode::ProducerFenced.code()));
    peer.stable(&topic, 1, 4);
    drop(peer);
    node.still_serves();
}

#[test]
fn clients_before_version_2_add_their_partitions() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let who = peer.begin("old");
    let (unknown, _) = peer.produce_as(9, &who, (&topic, 0), 0);
    assert_eq!(unknown, ErrorCode::InvalidTxnState.code());
    let reply = peer.ask(&add_request(3, &who, &topic), 3);
    let added: AddPartitionsToTxnResponseView<'_> = reply.view();
    let rows = added.results_by_topic_v3_and_below.iter().next().unwrap();
    let row = rows.results_by_partition.iter().next().unwrap();
    assert_eq!(row.partition_error_code, 0);
    assert_eq!(peer.produce_as(9, &who, (&topic, 0), 0), (0, 0));
    let end = |peer: &mut live::Peer, who: &Producer| {
        let reply = peer.ask(&end_request(who, true), 3);
        reply.view::<EndTxnResponseView>().error_code
    };
    assert_eq!(end(&mut peer, &who), 0);
    peer.stable(&topic, 0, 2);
    // The epoch stays, and the next transaction needs its partitions again.
    let (again, _) = peer.produce_as(9, &who, (&topic, 0), 1);
    assert_eq!(again, ErrorCode::InvalidTxnState.code());
    drop(peer);
    node.still_serves();
}

#[test]
fn a_decision_is_carried_to_its_end_after_kill_9() {
    let mut node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let mut ends = 0;
    for round in 0..4 {
        let commit = round % 2 == 0;
        let mut who = peer.begin("id");
        for _ in 0..3 {
            assert_eq!(peer.produce_as(12, &who, (&topic, 0), 0), (0, ends));
            who = peer.end(&who, commit).unwrap();
            peer.stable(&topic, 0, ends + 2);
            ends += 2;
        }
        assert_eq!(peer.produce_as(12, &who, (&topic, 0), 0), (0, ends));
        let next = peer.end(&who, commit).unwrap();
        // Decided and told; the marker may or may not be there.
        drop(peer);
        node.kill_and_start();
        peer = node.connect();
        peer.stable(&topic, 0, ends + 2);
        assert_eq!(peer.end_offset("topic", 0), ends + 2, "one marker");
        ends += 2;
        peer.begin("other");
        assert_eq!(peer.end(&who, commit), Ok(next));
    }
    let read = peer.read_committed(&topic, 0);
    assert_eq!((read.last_stable, read.aborted.len()), (32, 8));
    drop(peer);
    node.still_serves();
}

#[test]
fn offsets_count_when_their_transaction_commits() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    peer.find_coordinator("group");
    let mut who = peer.begin("id");
    for (offset, is_commit, counts) in [(5, true, 5), (7, false, 5), (9, true, 9)] {
        let request = commit::TxnOffsetCommitRequest {
            transactional_id: who.id.clone().into(),
            group_id: "group".into(),
            producer_id: who.producer,
            producer_epoch: who.epoch,
            generation_id: -1,
            member_id: "".into(),
            group_instance_id: None,
            topics: vec![commit::TxnOffsetCommitRequestTopic {
                name: topic.name.as_str().into(),
                partitions: vec![commit::TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    committed_leader_epoch: -1,
                    committed_metadata: None,
                }],
            }],
        };
        let mut code = -1;
        while code != 0 {
            // While the transaction before is completed.
            let reply = peer.ask(&request, 5);
            let answer: TxnOffsetCommitResponseView<'_> = reply.view();
            let rows = answer.topics.iter().next().unwrap();
            code = rows.partitions.iter().next().unwrap().error_code;
            let is_busy = code == ErrorCode::CoordinatorNotAvailable.code();
            assert!(code == 0 || is_busy, "{code}");
        }
        who = peer.end(&who, is_commit).unwrap();
        // Answers once nothing of the group is undecided.
        let mut tries = 0;
        while peer.committed("group", (&topic, 0)) != counts {
            tries += 1;
            assert!(tries < 1000, "offset {offset}, {is_commit}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    drop(peer);
    node.still_serves();
}
