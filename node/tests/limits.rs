//! One test for each named limit of the node's sockets and handlers: it is reached, and its refusal
//! seen. Limits that would take a gigabyte or minutes to reach are set lower by their Kafka key.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use live::requests::{fetch, padded, socket_buffers};
use live::{Node, PATIENCE, Peer, Topic, batch, batch_of, produce_request};
use thalweg_wire::batch::BatchSpec;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::header::encode_request;
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::describe_topic_partitions_request as describe;
use thalweg_wire::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest};
use thalweg_wire::messages::fetch_response::FetchResponseView;

const MIB: usize = 1 << 20;
/// `PIPELINE_REQUESTS_MAX` and `PIPELINE_BYTES_MAX` of `runtime/facts.rs`.
const PIPELINE_REQUESTS_MAX: usize = 128;
const PIPELINE_BYTES_MAX: usize = 16 * MIB;
/// `SHARD_PARTIAL_BYTES_MAX` of `runtime/facts.rs`.
const SHARD_PARTIAL_BYTES_MAX: usize = 128 * MIB;

#[test]
fn a_frame_has_its_limit() {
    let node = Node::start(&["socket.request.max.bytes=65536"]);
    let mut peer = node.connect();
    peer.raw(&padded(1, 65_536));
    assert_eq!(peer.answered(), Some(1));
    peer.raw(&65_537_i32.to_be_bytes());
    assert!(peer.is_closed());
    node.still_serves();
}

#[test]
fn connections_have_their_limit() {
    let node = Node::start(&["max.connections=4", "shards.count=1"]);
    let mut held: Vec<Peer> = (0..4)
        .map(|_| {
            let mut peer = node.connect();
            peer.ping();
            peer
        })
        .collect();
    let mut refused = node.connect();
    assert!(refused.is_closed());
    // Those that are there are served, and a place that is given back can be had.
    held.iter_mut().for_each(Peer::ping);
    drop(held);
    let mut served = false;
    for _ in 0..200 {
        let mut peer = node.connect();
        peer.raw(&padded(7, 10));
        served = peer.answered() == Some(7);
        if served {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(served, "no place was given back");
    node.still_serves();
}

/// The limit is the node's, whatever the number of its shards.
#[test]
fn connections_of_all_shards_have_one_limit() {
    let node = Node::start(&["max.connections=3", "shards.count=2"]);
    let mut held: Vec<Peer> = (0..3).map(|_| node.connect()).collect();
    held.iter_mut().for_each(Peer::ping);
    assert!(node.connect().is_closed());
    assert!(
        node.errors()
            .contains("as many connections as there may be")
    );
    drop(held);
}

#[test]
fn connections_of_an_address_have_their_limit() {
    let node = Node::start(&["max.connections.per.ip=2"]);
    let mut held: Vec<Peer> = (0..2).map(|_| node.connect()).collect();
    held.iter_mut().for_each(Peer::ping);
    for _ in 0..40 {
        assert!(node.connect().is_closed());
    }
    held.iter_mut().for_each(Peer::ping);
    let told = node.errors();
    let lines = told.lines().filter(|line| line.contains("its address has"));
    let lines = lines.count();
    assert!((1..40).contains(&lines), "{lines} lines for 40 refusals");
    drop(held);
    let zero = "max.connections.per.ip.overrides=127.0.0.1:1";
    let node = Node::start(&["max.connections.per.ip=0", zero]);
    let mut only = node.connect();
    only.ping();
    assert!(node.connect().is_closed());
}

/// New connections beyond the rate wait; none is refused.
#[test]
fn new_connections_have_their_rate() {
    let node = Node::start(&["max.connection.creation.rate=2"]);
    let since = std::time::Instant::now();
    let mut peers: Vec<Peer> = (0..6).map(|_| node.connect()).collect();
    peers.iter_mut().for_each(Peer::ping);
    // Two at once are a second's worth; those behind come half a second apart.
    assert!(
        since.elapsed() > Duration::from_millis(1_400),
        "{:?}",
        since.elapsed()
    );
    drop(peers);
}

#[test]
fn silence_has_its_limit() {
    let node = Node::start(&["connections.max.idle.ms=1000"]);
    let mut silent = node.connect();
    silent.ping();
    assert!(silent.is_closed());
    // Waiting for records is not silence.
    let mut waiting = node.connect();
    let topic = waiting.create_topic("topic", 1);
    let id = waiting.send(&fetch(&topic.name, 4_000, 1 << 20), 11);
    assert_eq!(waiting.answered(), Some(id));
    drop(waiting);
    node.still_serves();
}

/// A fetch that waits is answered when a record becomes visible, long before its time is up.
#[test]
fn a_wait_ends_with_the_record() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 4);
    let mut waiting: Vec<Peer> = (0..4).map(|_| node.connect()).collect();
    for (index, peer) in (0..).zip(&mut waiting) {
        let mut request = fetch("topic", 600_000, 1 << 20);
        request.topics[0].partitions[0].partition = index;
        peer.send(&request, 11);
    }
    for (index, mut peer) in (0..).zip(waiting) {
        assert_eq!(honest.produce(&topic, index, &batch(1)), (0, 0));
        assert_eq!(peer.answered(), Some(0), "partition {index}");
    }
    drop(honest);
    node.still_serves();
}

/// The request behind 128 that wait is not looked at before one of them is answered.
#[test]
fn a_pipeline_has_its_limit_in_requests() {
    let node = Node::start(&[]);
    let mut watcher = node.connect();
    let topic = watcher.create_topic("topic", 1);
    watcher.create_topic("silent", 1);
    let mut peer = node.connect();
    for _ in 0..PIPELINE_REQUESTS_MAX {
        peer.send(&fetch("silent", 3_000, 1 << 20), 11);
    }
    let last = peer.send(&produce_request(9, &topic, 0, &batch(1), -1), 9);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(watcher.end_offset("topic", 0), 0);
    for id in 0..=last {
        assert_eq!(peer.answered(), Some(id));
    }
    assert_eq!(watcher.end_offset("topic", 0), 1);
    drop((peer, watcher));
    node.still_serves();
}

/// Behind a request that waits, no more bytes are taken than the limit and the sockets hold.
#[test]
fn a_pipeline_has_its_limit_in_bytes() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let before = node.resident_bytes();
    let mut peer = node.connect();
    peer.send(&fetch(&topic.name, 600_000, 1 << 20), 11);
    let request = padded(1, MIB);
    peer.socket
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    let mut rest = Vec::new();
    let offered = (2 * PIPELINE_BYTES_MAX + 2 * socket_buffers()) / MIB;
    'sending: for _ in 0..offered {
        let mut left = request.as_slice();
        while !left.is_empty() {
            match peer.socket.write(left) {
                Ok(bytes) => {
                    sent += bytes;
                    left = &left[bytes..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    rest = left.to_vec();
                    break 'sending;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    // What the kernel holds on both sides is the machine's; a frame or two are under way.
    let bound = PIPELINE_BYTES_MAX + socket_buffers() + 4 * MIB;
    assert!(sent < bound, "{sent} bytes were taken, {bound} may be");
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < PIPELINE_BYTES_MAX + 24 * MIB, "{grown} bytes more");
    // The wait ends, and everything is answered in order.
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 0));
    peer.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut writer = peer.socket.try_clone().unwrap();
    let whole = (sent + rest.len()) / request.len();
    let sending = std::thread::spawn(move || writer.write_all(&rest).unwrap());
    assert_eq!(peer.answered(), Some(0));
    for at in 0..whole {
        assert_eq!(peer.answered(), Some(1), "{at} of {whole}");
    }
    sending.join().unwrap();
    drop((peer, honest));
    node.still_serves();
}

/// `SHARD_REQUEST_BYTES_MAX`: work under way is limited; answers that a peer does not read are not
/// work, so peers that sit on theirs cannot keep others waiting.
#[test]
fn peers_that_hold_back_do_not_use_up_the_shard() {
    let node = Node::start(&["shards.count=1"]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let request = padded(1, MIB);
    let mut held = Vec::new();
    // Each keeps a pipeline's worth behind a request that waits: more than the shard's limit.
    for _ in 0..10 {
        let mut peer = node.connect();
        peer.send(&fetch(&topic.name, 600_000, 1 << 20), 11);
        for _ in 0..15 {
            peer.raw(&request);
        }
        held.push(peer);
        honest.ping();
    }
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 0));
    drop((held, honest));
    node.still_serves();
}

/// Fetches that wait hold no frames and no share of the shard: however many wait, and however large
/// they were said, others are served.
#[test]
fn fetches_that_wait_do_not_use_up_the_shard() {
    let node = Node::start(&["shards.count=1"]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let silent = honest.create_topic("silent", 1);
    let before = node.resident_bytes();
    let mut held = Vec::new();
    // 150 MiB of frames: more than the shard's limit, and more than a connection's.
    for _ in 0..5 {
        let mut peer = node.connect();
        for id in 0..30 {
            let mut frame = encode_request(&fetch(&silent.name, 600_000, 1 << 20), 11, id, None)
                .unwrap()
                .split_off(4);
            // Bytes behind a message are left alone.
            frame.resize(MIB, 0);
            peer.framed(&frame);
        }
        held.push(peer);
        assert_eq!(honest.produce(&topic, 0, &batch(1)).0, 0);
    }
    // All of them are read: the last request of each connection was looked at.
    let parked = || metric(&node, "thalweg_parked_fetches");
    for _ in 0..600 {
        if parked() == 150 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(parked(), 150);
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 100 * MIB, "{grown} bytes more");
    // They still wait for what they asked for.
    assert_eq!(honest.produce(&silent, 0, &batch(1)), (0, 0));
    for peer in &mut held {
        for id in 0..30 {
            assert_eq!(peer.answered(), Some(id));
        }
    }
    drop((held, honest));
    node.still_serves();
}

/// `HELD_BYTES_MAX` and `BINDING_BYTES_MAX`: readers that take nothing give back what they hold when
/// others want it, and get the same bytes later, from wherever those are by then.
#[test]
fn slow_readers_do_not_use_up_the_memory_of_the_tail() {
    const READERS: usize = 200;
    const PARTITIONS: i32 = 4;
    let node = Node::start(&["shards.count=1", "fetch.max.bytes=57671680"]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", PARTITIONS);
    let large = batch_of(BatchSpec::default(), 1, &vec![1; 500_000]);
    let produce = |honest: &mut Peer, count: i64| {
        for index in 0..PARTITIONS {
            for _ in 0..count {
                assert_eq!(honest.produce(&topic, index, &large).0, 0);
            }
        }
    };
    produce(&mut honest, 4);
    let mut request = fetch("topic", 0, 2 << 20);
    request.max_bytes = i32::MAX;
    request.topics[0].partitions = (0..PARTITIONS)
        .map(|partition| FetchPartition {
            partition,
            partition_max_bytes: 2 << 20,
            ..Default::default()
        })
        .collect();
    let whole = encode_request(&request, 11, 7, None).unwrap();
    honest.raw(&whole);
    let expected = honest.frame().unwrap();
    assert!(expected.len() > 7 * MIB, "{}", expected.len());
    // Together they ask for 1.6 GB.
    let mut slow: Vec<Peer> = (0..READERS)
        .map(|_| {
            let mut peer = node.connect();
            peer.raw(&whole);
            peer
        })
        .collect();
    for _ in 0..20 {
        honest.raw(&whole);
        assert!(honest.frame().unwrap() == expected);
        let held = metric(&node, "thalweg_held_bytes");
        assert!(held <= 128 * MIB, "{held} bytes are held");
    }
    // The tail moves on, to segments: the journal is smaller than this.
    produce(&mut honest, 30);
    for peer in &mut slow[..20] {
        assert!(peer.frame().unwrap() == expected, "another answer");
    }
    drop((slow, honest));
    node.still_serves();
}

#[test]
fn unfinished_frames_of_a_shard_have_a_limit_together() {
    let node = Node::start(&["shards.count=1"]);
    let mut honest = node.connect();
    let block = vec![0; MIB];
    let mut held: Vec<Peer> = Vec::new();
    for _ in 0..2 {
        let mut peer = node.connect();
        peer.raw(&(99_i32 << 20).to_be_bytes());
        for _ in 0..SHARD_PARTIAL_BYTES_MAX / MIB * 6 / 10 {
            peer.raw(&block);
        }
        held.push(peer);
    }
    // The one that went over the limit is closed, the other one waits on.
    assert!(held.pop().unwrap().is_closed());
    honest.ping();
    let mut first = held.pop().unwrap();
    first
        .socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = first.socket.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop((first, honest));
    node.still_serves();
}

#[test]
fn a_batch_has_its_limit() {
    let node = Node::start(&["message.max.bytes=10000"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let sized = |bytes: usize| {
        let overhead = batch_of(BatchSpec::default(), 1, &vec![1; 9_000]).len() - 9_000;
        batch_of(BatchSpec::default(), 1, &vec![1; bytes - overhead])
    };
    assert_eq!(peer.produce(&topic, 0, &sized(10_000)), (0, 0));
    let too_large = ErrorCode::MessageTooLarge.code();
    assert_eq!(peer.produce(&topic, 0, &sized(10_001)), (too_large, -1));
    drop(peer);
    node.still_serves();
}

#[test]
fn fetch_sessions_have_their_limit() {
    let node = Node::start(&[
        "max.incremental.fetch.session.cache.slots=2",
        "shards.count=1",
    ]);
    let mut peer = node.connect();
    peer.create_topic("topic", 1);
    let mut ask = || {
        let request = FetchRequest {
            session_epoch: 0,
            min_bytes: 0,
            ..fetch("topic", 0, 1 << 20)
        };
        let reply = peer.ask(&request, 11);
        let view: FetchResponseView<'_> = reply.view();
        assert_eq!(view.error_code, 0);
        view.session_id
    };
    let ids = [ask(), ask(), ask()];
    assert!(ids[0] != 0 && ids[1] != 0 && ids[0] != ids[1], "{ids:?}");
    // Served all the same, but without a session.
    assert_eq!(ids[2], 0);
    drop(peer);
    node.still_serves();
}

fn fetched_bytes(peer: &mut Peer, request: &FetchRequest<'_>) -> usize {
    let reply = peer.ask(request, 11);
    let view: FetchResponseView<'_> = reply.view();
    let topic = view.responses.iter().next().unwrap();
    let part = topic.partitions.iter().next().unwrap();
    assert_eq!(part.error_code, 0);
    part.records.map_or(0, <[u8]>::len)
}

/// What one partition and one answer may carry; the first batch comes whole in any case.
#[test]
fn a_fetch_has_its_limits() {
    let node = Node::start(&["fetch.max.bytes=3145728"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let batch = batch_of(BatchSpec::default(), 1, &vec![1; 900_000]);
    for at in 0..5 {
        assert_eq!(peer.produce(&topic, 0, &batch), (0, at));
    }
    let all = FetchRequest {
        max_bytes: i32::MAX,
        ..fetch("topic", 0, i32::MAX)
    };
    let bytes = fetched_bytes(&mut peer, &all);
    assert!(batch.len() <= bytes && bytes <= 3 * MIB, "{bytes}");
    let small = fetch("topic", 0, 1);
    assert_eq!(fetched_bytes(&mut peer, &small), batch.len());
    drop(peer);
    node.still_serves();
}

#[test]
fn new_partitions_of_a_request_have_a_limit() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "wide".into(),
            num_partitions: 10_001,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let reply = peer.ask(&request, 7);
    let view: CreateTopicsResponseView<'_> = reply.view();
    let code = view.topics.iter().next().unwrap().error_code;
    let refused = [
        ErrorCode::InvalidPartitions,
        ErrorCode::PolicyViolation,
        ErrorCode::InvalidRequest,
    ];
    assert!(refused.iter().any(|good| good.code() == code), "{code}");
    let wide = Topic {
        name: "wide".to_owned(),
        id: Default::default(),
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(peer.produce(&wide, 0, &batch(1)), (unknown, -1));
    drop(peer);
    node.still_serves();
}

#[test]
fn partitions_of_a_description_have_a_limit() {
    let node = Node::start(&["max.request.partition.size.limit=3"]);
    let mut peer = node.connect();
    peer.create_topic("topic", 5);
    let mut cursor = None;
    let mut counts = Vec::new();
    loop {
        let request = describe::DescribeTopicPartitionsRequest {
            topics: vec![describe::TopicRequest {
                name: "topic".into(),
            }],
            response_partition_limit: 2_000,
            cursor,
        };
        let reply = peer.ask(&request, 0);
        let view: DescribeTopicPartitionsResponseView<'_> = reply.view();
        counts.push(view.topics.iter().next().unwrap().partitions.len());
        let Some(next) = view.next_cursor else { break };
        cursor = Some(describe::Cursor {
            topic_name: next.topic_name.to_owned().into(),
            partition_index: next.partition_index,
        });
    }
    assert_eq!(counts, [3, 2]);
    drop(peer);
    node.still_serves();
}

// ---- the admin port ----

fn metric(node: &Node, name: &str) -> usize {
    let text = http(node, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' '])
            .then(|| rest.rsplit(' ').next())?
    });
    values.map(|value| value.parse::<usize>().unwrap()).sum()
}

fn http(node: &Node, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(node.admin.expect("an admin port")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(socket.write_all(request));
    let mut answer = Vec::new();
    // A refusal may close before everything was read.
    drop(socket.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_request_head_has_its_limit() {
    let node = Node::start(&[]);
    let good = http(&node, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    let long = format!("GET /healthz HTTP/1.1\r\nx: {}", "y".repeat(9_000));
    let refused = http(&node, long.as_bytes());
    assert!(
        refused.starts_with("HTTP/1.1 431") || refused.is_empty(),
        "{refused}"
    );
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    let refused = http(&node, many.as_bytes());
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
    for path in [
        "/x/../metrics",
        "//metrics",
        "/metrics/",
        "/../../etc/passwd",
    ] {
        let answer = http(&node, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    node.still_serves();
}
