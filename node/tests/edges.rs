//! What Kafka answers to requests that no client of its own sends: found by the differential runner,
//! and kept here so that each rule fails by name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use live::{Node, Peer, Topic, batch, produce_request};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::delete_groups_request::DeleteGroupsRequest;
use thalweg_wire::messages::delete_groups_response::DeleteGroupsResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::init_producer_id_request::InitProducerIdRequest;
use thalweg_wire::messages::init_producer_id_response::InitProducerIdResponseView;
use thalweg_wire::messages::produce_request::ProduceRequest;
use thalweg_wire::messages::produce_response::ProduceResponseView;

/// The codes of a produce answer, in the order of the request.
fn produced(peer: &mut Peer, request: &ProduceRequest<'_>) -> Vec<i16> {
    let reply = peer.ask(request, 9);
    let view: ProduceResponseView<'_> = reply.view();
    let rows = view.responses.iter();
    rows.flat_map(|topic| topic.partition_responses.iter())
        .map(|row| row.error_code)
        .collect()
}

/// One partition of each topic, and its records.
fn request<'a>(acks: i16, parts: &[(&'a Topic, &'a [u8])]) -> ProduceRequest<'a> {
    let mut all: Option<ProduceRequest<'a>> = None;
    for (topic, records) in parts {
        let one = produce_request(9, topic, 0, records, acks);
        match &mut all {
            None => all = Some(one),
            Some(all) => all.topic_data.extend(one.topic_data),
        }
    }
    all.unwrap()
}

#[test]
fn refusals_of_produce_come_in_kafkas_order() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let known = peer.create_topic("known", 1);
    let nowhere = Topic {
        name: "nowhere".to_owned(),
        ..known.clone()
    };
    let sound = batch(1);
    let with = |at: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[at] = byte;
        bytes
    };
    let (old, broken, transactional) = (with(16, 1), with(16, 3), with(22, 0x10));
    let [corrupt, acks, rights] = [
        ErrorCode::CorruptMessage,
        ErrorCode::InvalidRequiredAcks,
        ErrorCode::TransactionalIdAuthorizationFailed,
    ]
    .map(ErrorCode::code);
    let mut codes = |acks, parts: &[(&Topic, &[u8])]| produced(&mut peer, &request(acks, parts));
    // Topic and shape come before acks.
    assert_eq!(codes(2, &[(&nowhere, &sound), (&known, &old)]), [3, 87]);
    assert_eq!(codes(2, &[(&known, &sound)]), [acks]);
    // One batch that cannot be refuses the whole request, known topics or not.
    let parts = [(&nowhere, &sound[..]), (&known, &broken), (&known, &sound)];
    assert_eq!(codes(-1, &parts), [corrupt; 3]);
    // So does a transaction without an id, unless a broken batch comes before it.
    let parts = [(&nowhere, &transactional[..]), (&known, &broken)];
    assert_eq!(codes(-1, &parts), [rights; 2]);
    let parts = [(&known, &broken[..]), (&nowhere, &transactional)];
    assert_eq!(codes(-1, &parts), [corrupt; 2]);
    node.still_serves();
}

#[test]
fn a_fetch_beside_the_log_is_out_of_range_and_tells_no_offsets() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    assert_eq!(peer.produce(&topic, 0, &batch(3)), (0, 0));
    let mut fetched = |offset, last_fetched_epoch, current_leader_epoch| {
        let request = FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: "topic".into(),
                partitions: vec![FetchPartition {
                    partition: 0,
                    fetch_offset: offset,
                    last_fetched_epoch,
                    current_leader_epoch,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let reply = peer.ask(&request, 12);
        let view: FetchResponseView<'_> = reply.view();
        let row = view.responses.iter().next().unwrap();
        let row = row.partitions.iter().next().unwrap();
        (row.error_code, row.high_watermark, row.log_start_offset)
    };
    let beside = (ErrorCode::OffsetOutOfRange.code(), -1, -1);
    assert_eq!(fetched(0, -1, -1), (0, 3, 0));
    assert_eq!(fetched(4, -1, -1), beside);
    // Epochs below 0 are none.
    assert_eq!(fetched(4, -2, -1), beside);
    assert_eq!(fetched(4, -1, -2), beside);
    // Nobody knows where the epoch 7 ended.
    assert_eq!(fetched(1, 7, -1), beside);
    let fenced = ErrorCode::UnknownLeaderEpoch.code();
    assert_eq!(fetched(4, -1, 9), (fenced, -1, -1));
    node.still_serves();
}

#[test]
fn half_an_identity_is_no_producer() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let mut code = |producer_id, producer_epoch| {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        };
        let reply = peer.ask(&request, 4);
        reply.view::<InitProducerIdResponseView>().error_code
    };
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!((code(-1, 3), code(3, -1)), (invalid, invalid));
    assert_eq!((code(-1, -1), code(3, 3)), (0, 0));
    node.still_serves();
}

#[test]
fn a_group_named_twice_is_deleted_once() {
    let node = Node::start(&["offsets.topic.num.partitions=4"]);
    let mut peer = node.connect();
    let find = FindCoordinatorRequest {
        key: "a".into(),
        ..FindCoordinatorRequest::default()
    };
    // The topic comes with the first question, and is loaded soon after.
    for _ in 0..600 {
        peer.ask(&find, 3);
        let request = DeleteGroupsRequest {
            groups_names: vec!["a".into(), "b".into(), "a".into(), "c".into(), "b".into()],
        };
        let reply = peer.ask(&request, 2);
        let view: DeleteGroupsResponseView<'_> = reply.view();
        let rows: Vec<(String, i16)> = view
            .results
            .iter()
            .map(|row| (row.group_id.to_owned(), row.error_code))
            .collect();
        let missing = ErrorCode::GroupIdNotFound.code();
        if rows.iter().all(|(_, code)| *code == missing) {
            let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["a", "b", "c"]);
            return node.still_serves();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the groups were never loaded");
}
