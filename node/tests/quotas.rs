//! Client quotas on a real node: set over the wire, enforced on every shard, kept over a kill.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::time::{Duration, Instant};

use live::requests::fetch;
use live::{Node, Peer, Topic, batch_of, produce_request};
use thalweg_wire::batch::BatchSpec;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::alter_client_quotas_request as alter;
use thalweg_wire::messages::alter_client_quotas_response::AlterClientQuotasResponseView;
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::describe_client_quotas_request as describe;
use thalweg_wire::messages::describe_client_quotas_response::DescribeClientQuotasResponseView;
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::metadata_request::MetadataRequest;
use thalweg_wire::messages::metadata_response::MetadataResponseView;
use thalweg_wire::messages::produce_response::ProduceResponseView;

/// Sets or takes away a quota; the error code.
fn set(peer: &mut Peer, entity: (&str, Option<&str>), key: &str, value: Option<f64>) -> i16 {
    let request = alter::AlterClientQuotasRequest {
        entries: vec![alter::EntryData {
            entity: vec![alter::EntityData {
                entity_type: entity.0.into(),
                entity_name: entity.1.map(Into::into),
            }],
            ops: vec![alter::OpData {
                key: key.into(),
                value: value.unwrap_or(0.0),
                remove: value.is_none(),
            }],
        }],
        validate_only: false,
    };
    let reply = peer.ask(&request, 1);
    let view: AlterClientQuotasResponseView<'_> = reply.view();
    view.entries.iter().next().unwrap().error_code
}

fn quotas(peer: &mut Peer) -> Vec<(String, f64)> {
    let request = describe::DescribeClientQuotasRequest {
        components: Vec::new(),
        strict: false,
    };
    let reply = peer.ask(&request, 1);
    let view: DescribeClientQuotasResponseView<'_> = reply.view();
    let entries = view.entries.unwrap();
    let values = entries.iter().flat_map(|entry| {
        let values = entry.values.iter();
        values
            .map(|value| (value.key.to_owned(), value.value))
            .collect::<Vec<_>>()
    });
    values.collect()
}

/// The throttle time of one produce.
fn produce(peer: &mut Peer, topic: &Topic, bytes: usize) -> i32 {
    let batch = batch_of(BatchSpec::default(), 1, &vec![7; bytes]);
    let reply = peer.ask(&produce_request(9, topic, 0, &batch, -1), 9);
    let view: ProduceResponseView<'_> = reply.view();
    let part = view.responses.iter().next().unwrap().partition_responses;
    assert_eq!(part.iter().next().unwrap().error_code, 0);
    view.throttle_time_ms
}

#[test]
fn a_producer_is_slowed_down_to_its_rate_on_all_connections_together() {
    let mut node = Node::start(&["kafka.\"quota.window.num\"=3"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let any = ("client-id", None);
    assert_eq!(
        set(&mut peer, any, "producer_byte_rate", Some(100_000.0)),
        0
    );
    assert_eq!(
        quotas(&mut peer),
        [("producer_byte_rate".to_owned(), 100_000.0)]
    );
    // On several shards, and each muted for as long as it was told.
    let mut peers: Vec<Peer> = (0..4).map(|_| node.connect()).collect();
    let (began, mut sent, mut throttled) = (Instant::now(), 0.0, 0);
    while began.elapsed() < Duration::from_secs(5) {
        for peer in &mut peers {
            let asked = Instant::now();
            let wait = produce(peer, &topic, 20_000);
            sent += 20_100.0;
            if wait > 0 {
                throttled += 1;
                peer.ping();
                let least = Duration::from_millis(u64::try_from(wait).unwrap());
                assert!(asked.elapsed() >= least, "{wait} ms, {:?}", asked.elapsed());
            }
        }
    }
    // What two windows allow at once, and the rate from then on.
    let rate = (sent - 200_000.0) / began.elapsed().as_secs_f64();
    assert!(
        throttled > 0 && (60_000.0..140_000.0).contains(&rate),
        "{throttled}, {rate}"
    );
    drop(peers);
    node.kill_and_start();
    let mut peer = node.connect();
    assert_eq!(
        quotas(&mut peer),
        [("producer_byte_rate".to_owned(), 100_000.0)]
    );
    assert_eq!(set(&mut peer, any, "producer_byte_rate", None), 0);
    assert_eq!(quotas(&mut peer), []);
    assert_eq!(produce(&mut peer, &topic, 900_000), 0);
    node.still_serves();
}

#[test]
fn a_throttled_fetch_gets_nothing_and_the_next_one_all() {
    let node = Node::start(&["kafka.\"quota.window.num\"=3"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    for _ in 0..10 {
        assert_eq!(produce(&mut peer, &topic, 100_000), 0);
    }
    let id = ("client-id", Some("test"));
    assert_eq!(set(&mut peer, id, "consumer_byte_rate", Some(100_000.0)), 0);
    let read = |peer: &mut Peer| {
        let request = fetch("topic", 100, 1_000_000);
        let reply = peer.ask(&request, 11);
        let view: FetchResponseView<'_> = reply.view();
        let parts = view
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter());
        let bytes: usize = parts
            .map(|part| part.records.unwrap_or_default().len())
            .sum();
        (bytes, view.throttle_time_ms)
    };
    // Never more than the windows allow, however much is asked for.
    let (bytes, wait) = read(&mut peer);
    assert!(bytes > 0 && bytes <= 200_000 && wait == 0, "{bytes} {wait}");
    let (bytes, wait) = read(&mut peer);
    assert!(bytes == 0 && wait > 0, "{bytes} {wait}");
    let asked = Instant::now();
    let mut waited = 0;
    let bytes = loop {
        let (bytes, wait) = read(&mut peer);
        waited += wait;
        if bytes > 0 {
            break bytes;
        }
    };
    assert!(
        bytes > 0 && asked.elapsed() < Duration::from_secs(10),
        "{waited}"
    );
    node.still_serves();
}

#[test]
fn changes_of_metadata_are_refused_or_slowed_down() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let any = ("user", None);
    assert_eq!(
        set(&mut peer, any, "controller_mutation_rate", Some(1.0)),
        0
    );
    let create = |peer: &mut Peer, name: &str, version: i16| {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: 12,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            timeout_ms: 60_000,
            validate_only: false,
        };
        let reply = peer.ask(&request, version);
        let view: CreateTopicsResponseView<'_> = reply.view();
        let code = view.topics.iter().next().unwrap().error_code;
        (code, view.throttle_time_ms)
    };
    assert_eq!(create(&mut peer, "first", 7).0, 0);
    let (code, wait) = create(&mut peer, "second", 7);
    assert_eq!(code, ErrorCode::ThrottlingQuotaExceeded.code());
    assert!((500..=1_000).contains(&wait), "{wait}");
    // Older clients know of no refusal: it is made, and they wait.
    let (code, wait) = create(&mut node.connect(), "third", 5);
    assert!(code == 0 && wait > 10_000, "{code} {wait}");
    let mut other = node.connect();
    assert_eq!(set(&mut other, any, "controller_mutation_rate", None), 0);
    assert_eq!(create(&mut other, "fourth", 7), (0, 0));
    node.still_serves();
}

#[test]
fn the_time_of_requests_is_counted_for_every_api() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    peer.create_topic("many", 500);
    let id = ("client-id", Some("test"));
    assert_eq!(set(&mut peer, id, "request_percentage", Some(0.001)), 0);
    let mut peer = node.connect();
    let request = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let mut wait = 0;
    for _ in 0..20 {
        let reply = peer.ask(&request, 12);
        let view: MetadataResponseView<'_> = reply.view();
        wait = view.throttle_time_ms;
        if wait > 0 {
            break;
        }
    }
    assert!(wait > 0 && wait <= 1_000, "at most a window: {wait}");
    let asked = Instant::now();
    peer.ping();
    assert!(asked.elapsed() >= Duration::from_millis(u64::try_from(wait).unwrap() / 2));
    node.still_serves();
}

#[test]
fn an_address_may_connect_at_its_rate() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let own = ("ip", Some("127.0.0.1"));
    assert_eq!(
        set(&mut peer, own, "producer_byte_rate", Some(1.0)),
        42,
        "not of an address"
    );
    assert_eq!(
        set(&mut peer, own, "connection_creation_rate", Some(2.0)),
        0
    );
    let mut open: Vec<Peer> = (0..20).map(|_| node.connect()).collect();
    open.iter_mut().for_each(Peer::ping);
    let asked = Instant::now();
    assert!(
        node.connect().is_closed(),
        "the one too many is kept for a while and closed"
    );
    assert!(
        asked.elapsed() >= Duration::from_millis(100),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(set(&mut peer, own, "connection_creation_rate", None), 0);
    node.connect().ping();
    node.still_serves();
}
