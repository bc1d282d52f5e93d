//! What clients must not be able to do: each test says something bad to a live node and sees a Kafka
//! error code or a closed connection, while honest clients on other connections are served. At the
//! end of each the process is alive, has not panicked, and stops cleanly (`Node::still_serves`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::io::{ErrorKind, Write};
use std::time::Duration;

use live::requests::samples;
use live::{Node, Peer, Topic, batch, batch_of, batch_with, frame, now, produce_request};
use thalweg_wire::api::ApiKey;
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, Record};
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::header::encode_request;
use thalweg_wire::ids::{TimestampMs, Uuid};
use thalweg_wire::messages::api_versions_request::ApiVersionsRequest;
use thalweg_wire::messages::api_versions_response::ApiVersionsResponseView;
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use thalweg_wire::messages::metadata_response::MetadataResponseView;

const MIB: usize = 1 << 20;

// ---- frames and heads ----

#[test]
fn impossible_frame_sizes_close() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    for size in [-1, 0, 1, 7, i32::MIN, i32::MAX, (100 << 20) + 1] {
        let mut peer = node.connect();
        peer.ping();
        peer.raw(&size.to_be_bytes());
        assert!(peer.is_closed(), "{size}");
        honest.ping();
    }
    node.still_serves();
}

#[test]
fn malformed_heads_close() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let heads: &[(&str, &[u8])] = &[
        ("no client id", b"\0\x03\0\x09\0\0\0\x01"),
        (
            "client id beyond the end",
            b"\0\x03\0\x09\0\0\0\x01\x7f\xffab",
        ),
        (
            "client id of length -2",
            b"\0\x03\0\x09\0\0\0\x01\xff\xfeab",
        ),
        (
            "client id is no text",
            b"\0\x03\0\x09\0\0\0\x01\0\x02\xff\xfe\0\0",
        ),
        (
            "2^32 tags",
            b"\0\x03\0\x09\0\0\0\x01\0\x01a\xff\xff\xff\xff\x0f",
        ),
        (
            "tags go back",
            b"\0\x03\0\x09\0\0\0\x01\0\x01a\x02\x05\0\x04\0",
        ),
        (
            "endless varint",
            b"\0\x03\0\x09\0\0\0\x01\0\x01a\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ];
    for (what, head) in heads {
        let mut peer = node.connect();
        peer.framed(head);
        assert!(peer.is_closed(), "{what}");
        honest.ping();
    }
    node.still_serves();
}

#[test]
fn unknown_keys_and_versions_close() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let key = |api: ApiKey| api.code();
    for (api, version) in [
        (4, 0),
        (-1, 0),
        (999, 0),
        (i16::MAX, i16::MAX),
        (key(ApiKey::Metadata), 14),
        (key(ApiKey::Metadata), -1),
        (key(ApiKey::Fetch), 3),
        // Kafka's, but not served here, or not on this listener.
        (key(ApiKey::SaslHandshake), 1),
        (key(ApiKey::Vote), 0),
        (key(ApiKey::BrokerRegistration), 4),
        (key(ApiKey::AlterPartition), 3),
        (key(ApiKey::Envelope), 0),
    ] {
        let mut head = Vec::new();
        head.extend(api.to_be_bytes());
        head.extend(version.to_be_bytes());
        head.extend(b"\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0");
        let mut peer = node.connect();
        peer.framed(&head);
        assert!(peer.is_closed(), "api {api} version {version}");
        honest.ping();
    }
    node.still_serves();
}

/// Advertised for librdkafka's sake, gone since Kafka 4.
#[test]
fn produce_below_version_3_closes() {
    let node = Node::start(&[]);
    for version in 0_i16..3 {
        let mut head = b"\0\0".to_vec();
        head.extend(version.to_be_bytes());
        head.extend(b"\0\0\0\x01\0\x01a\xff\xff\0\0\x75\x30\0\0\0\0");
        let mut peer = node.connect();
        peer.framed(&head);
        assert!(peer.is_closed(), "{version}");
    }
    node.still_serves();
}

#[test]
fn api_versions_of_the_future_is_answered_in_version_0() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    for version in [5_i16, 99, i16::MAX] {
        let mut head = b"\0\x12".to_vec();
        head.extend(version.to_be_bytes());
        head.extend(b"\0\0\0\x09\0\x01a\0fields of the future");
        peer.framed(&head);
        let answer = peer.frame().expect("an answer");
        let view = <ApiVersionsResponseView<'_> as thalweg_wire::bytes::View<'_>>::decode_exact(
            &answer[4..],
            0,
        )
        .unwrap();
        assert_eq!(view.error_code, ErrorCode::UnsupportedVersion.code());
        let rows: Vec<_> = view.api_keys.iter().collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].api_key, rows[0].min_version, rows[0].max_version),
            (18, 0, 4)
        );
        // The client asks again, on the same connection.
        peer.ping();
    }
    drop(peer);
    node.still_serves();
}

// ---- bodies ----

#[test]
fn requests_cut_short_close() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    for (api, request) in samples(&topic, &batch(1)) {
        // From behind the client id on; before it the head itself is cut, which has its own test.
        for cut in 11..request.len() {
            let mut peer = node.connect();
            peer.framed(&request[..cut]);
            assert!(peer.is_closed(), "{api} cut at {cut} of {}", request.len());
        }
        honest.ping();
    }
    assert_eq!(honest.end_offset("topic", 0), 0);
    drop(honest);
    node.still_serves();
}

/// Counts, lengths, flags, ids: whatever a byte says, it may lie.
#[test]
fn lying_bytes_get_an_answer_or_a_closed_connection() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let ping = encode_request(&ApiVersionsRequest::default(), 0, 77, None).unwrap();
    for (api, request) in samples(&topic, &batch(1)) {
        for at in 8..request.len() {
            for lie in [0x80, 0x7f] {
                let mut bytes = request.clone();
                bytes[at] ^= lie;
                let mut peer = node.connect();
                peer.framed(&bytes);
                peer.raw(&ping);
                // Either one may be missing only if the connection was closed.
                let answers: Vec<i32> =
                    std::iter::from_fn(|| peer.answered()).take_while_inclusive(77);
                let good: &[&[i32]] = &[&[], &[1], &[1, 77], &[77]];
                assert!(
                    good.contains(&answers.as_slice()),
                    "{api} {at} ^ {lie}: {answers:?}"
                );
            }
        }
        honest.ping();
    }
    drop(honest);
    node.still_serves();
}

trait TakeWhileInclusive: Iterator<Item = i32> + Sized {
    /// Everything up to and with the last one.
    fn take_while_inclusive(self, last: i32) -> Vec<i32> {
        let mut taken = Vec::new();
        for item in self {
            taken.push(item);
            if item == last {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator<Item = i32>> TakeWhileInclusive for I {}

#[test]
fn huge_counts_in_small_frames_close_and_cost_nothing() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    honest.ping();
    let before = node.resident_bytes();
    let head =
        |api: ApiKey, version: u8| vec![0, api.code() as u8, 0, version, 0, 0, 0, 1, 0, 1, b'a'];
    let bodies: &[(ApiKey, u8, &[u8])] = &[
        (ApiKey::Metadata, 1, b"\x7f\xff\xff\xff"),
        (ApiKey::Metadata, 1, b"\xff\xff\xff\xfe"),
        (ApiKey::Metadata, 9, b"\0\xff\xff\xff\xff\x0f\0\0\0\0"),
        (
            ApiKey::CreateTopics,
            2,
            b"\0\xff\xff\xff\0\x01t\0\0\0\x01\0\x01",
        ),
        (
            ApiKey::Fetch,
            4,
            b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\0\0",
        ),
        (ApiKey::DeleteTopics, 1, b"\x7f\xff\xff\xff\0\0\0\0\0\0\0\0"),
    ];
    for (api, version, body) in bodies {
        let mut request = head(*api, *version);
        request.extend_from_slice(body);
        for _ in 0..50 {
            let mut peer = node.connect();
            peer.framed(&request);
            assert!(peer.is_closed(), "{api} {version}: {body:?}");
        }
        honest.ping();
    }
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
    node.still_serves();
}

// ---- batches ----

/// Sets header fields of a batch and makes its checksum right again.
fn forged(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Bit by bit: a test's own, so that it does not depend on what it tests.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, add)
}

const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const LAST_OFFSET_DELTA: usize = 23;
const RECORD_COUNT: usize = 57;

type Bad = (&'static str, Vec<u8>, &'static [ErrorCode]);

const INVALID: &[ErrorCode] = &[ErrorCode::InvalidRecord];
const CORRUPT: &[ErrorCode] = &[ErrorCode::CorruptMessage];
/// Kafka's own answer depends on which of its checks comes first.
const EITHER: &[ErrorCode] = &[ErrorCode::InvalidRecord, ErrorCode::CorruptMessage];

/// What the header's place for bytes says is not what is there.
fn badly_framed() -> Vec<Bad> {
    let changed = |at: usize, bytes: &[u8]| {
        let mut batch = batch(2);
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    };
    let length = |length: i32| changed(LENGTH, &length.to_be_bytes());
    let mut wrong_crc = batch(2);
    wrong_crc[CRC] ^= 1;
    let mut flipped = batch(2);
    *flipped.last_mut().unwrap() ^= 1;
    let behind = [batch(2), b"behind".to_vec()].concat();
    vec![
        ("wrong crc", wrong_crc, CORRUPT),
        ("flipped byte", flipped, CORRUPT),
        ("magic 0", changed(MAGIC, &[0]), INVALID),
        ("magic 1", changed(MAGIC, &[1]), INVALID),
        ("magic 3", changed(MAGIC, &[3]), EITHER),
        ("base offset 5", changed(7, &[5]), INVALID),
        ("cut", batch(2)[..70].to_vec(), EITHER),
        ("bytes behind", behind, EITHER),
        ("two batches", [batch(1), batch(1)].concat(), INVALID),
        ("no batch", Vec::new(), INVALID),
        ("length 0", length(0), EITHER),
        ("length negative", length(-5), EITHER),
        ("length huge", length(i32::MAX), EITHER),
    ]
}

/// The checksum is right, but what it covers lies.
fn lying() -> Vec<Bad> {
    let last = |delta: i32| forged(batch(2), LAST_OFFSET_DELTA, &delta.to_be_bytes());
    let count =
        |codec, count: i32| forged(batch_with(codec, 2), RECORD_COUNT, &count.to_be_bytes());
    let spec = |control, transactional| BatchSpec {
        control,
        transactional,
        ..BatchSpec::default()
    };
    let no_codec = &[
        ErrorCode::UnsupportedCompressionType,
        ErrorCode::InvalidRecord,
    ];
    // Of a request without a transactional id: Kafka sees a question of rights.
    let no_id = &[ErrorCode::TransactionalIdAuthorizationFailed];
    let mut list = vec![
        ("last offset too far", last(7), INVALID),
        ("last offset negative", last(-1), INVALID),
        ("codec 7", forged(batch(2), 22, &[7]), &no_codec[..]),
        ("control", batch_of(spec(true, false), 1, b"x"), INVALID),
        (
            "transactional",
            batch_of(spec(false, true), 1, b"x"),
            &no_id[..],
        ),
        (
            "in two hours",
            in_two_hours(),
            &[ErrorCode::InvalidTimestamp][..],
        ),
    ];
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        for wrong in [-1, 0, 1, 3, i32::MAX] {
            list.push(("record count", count(codec, wrong), INVALID));
        }
        if codec != Codec::None {
            let mut torn = batch_with(codec, 200);
            let end = torn.len();
            torn[end - 8..].fill(0xa5);
            list.push(("torn compression", forged(torn, 0, &[]), EITHER));
        }
    }
    list
}

fn in_two_hours() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(&Record {
        timestamp: TimestampMs(now().0 + 2 * 3_600_000),
        value: Some(b"x"),
        ..Record::default()
    });
    builder.finish().unwrap()
}

#[test]
fn bad_batches_are_refused_and_never_appended() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 0));
    let mut peer = node.connect();
    let mut wrong = Vec::new();
    for (what, batch, codes) in badly_framed().into_iter().chain(lying()) {
        for version in [9, 13] {
            let (code, offset) = peer.produce_in(version, &topic, 0, &batch);
            if !codes.iter().any(|good| good.code() == code) || offset != -1 {
                wrong.push(format!(
                    "{what}, version {version}: code {code}, offset {offset}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(honest.end_offset("topic", 0), 1);
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 1));
    drop((honest, peer));
    node.still_serves();
}

#[test]
fn any_flipped_byte_of_a_batch_is_noticed() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    let good = batch(2);
    for at in 0..good.len() {
        // The leader epoch is the broker's to set: whatever a client says there is not looked at.
        if (12..16).contains(&at) {
            continue;
        }
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let (code, offset) = peer.produce(&topic, 0, &bad);
        assert!(
            code > 0 && offset == -1,
            "byte {at}: code {code}, offset {offset}"
        );
    }
    assert_eq!(peer.end_offset("topic", 0), 0);
    drop(peer);
    node.still_serves();
}

#[test]
fn decompression_bombs_are_refused_in_bounded_memory() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let before = node.resident_bytes();
    let zeros = vec![0; 256 * MIB];
    for codec in [Codec::Gzip, Codec::Zstd] {
        let spec = BatchSpec {
            codec,
            ..BatchSpec::default()
        };
        let bomb = batch_of(spec, 1, &zeros);
        assert!(bomb.len() < MIB, "{}", bomb.len());
        let mut peer = node.connect();
        let (code, _) = peer.produce(&topic, 0, &bomb);
        assert!(code > 0, "{codec:?}: {code}");
        honest.ping();
    }
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB, "{grown} bytes more");
    assert_eq!(honest.end_offset("topic", 0), 0);
    drop(honest);
    node.still_serves();
}

#[test]
fn acks_that_mean_nothing_are_refused_and_acks_0_closes_on_an_error() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    for acks in [-2, 2, i16::MAX] {
        let reply = honest.ask(&produce_request(9, &topic, 0, &batch(1), acks), 9);
        let view: thalweg_wire::messages::produce_response::ProduceResponseView<'_> = reply.view();
        let topics = view.responses.iter().next().unwrap();
        let part = topics.partition_responses.iter().next().unwrap();
        assert_eq!(
            part.error_code,
            ErrorCode::InvalidRequiredAcks.code(),
            "{acks}"
        );
    }
    // Good: silence, and the next answer is the next request's, behind it in the log.
    honest.send(&produce_request(9, &topic, 0, &batch(1), 0), 9);
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 1));
    let mut peer = node.connect();
    peer.send(&produce_request(9, &topic, 7, &batch(1), 0), 9);
    assert!(peer.is_closed());
    drop(honest);
    node.still_serves();
}

// ---- names ----

fn bad_names() -> Vec<String> {
    let names = [
        "",
        ".",
        "..",
        "a/b",
        "../../etc/passwd",
        "/",
        "a\0b",
        "a b",
        "a\nb",
        "\u{1f600}",
        "ü",
        "a:b",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).to_vec();
    names.extend(["x".repeat(250), "x".repeat(32_000)]);
    names
}

#[test]
fn bad_topic_names_are_refused_everywhere_and_reach_no_file() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let entries = || {
        let dir = std::fs::read_dir(node.data().join("log")).unwrap();
        let mut names: Vec<_> = dir.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = entries();
    for name in bad_names() {
        let shown: String = name.escape_debug().take(20).collect();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.as_str().into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            ..Default::default()
        };
        let reply = peer.ask(&request, 7);
        let view: CreateTopicsResponseView<'_> = reply.view();
        let code = view.topics.iter().next().unwrap().error_code;
        assert_eq!(
            code,
            ErrorCode::InvalidTopicException.code(),
            "create {shown}"
        );

        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name.as_str().into()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let reply = peer.ask(&request, 9);
        let view: MetadataResponseView<'_> = reply.view();
        let code = view.topics.iter().next().unwrap().error_code;
        assert_eq!(
            code,
            ErrorCode::InvalidTopicException.code(),
            "metadata {shown}"
        );

        let topic = Topic {
            name,
            id: Uuid::ZERO,
        };
        let (code, _) = peer.produce(&topic, 0, &batch(1));
        let refused = [
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidTopicException,
        ];
        assert!(
            refused.iter().any(|good| good.code() == code),
            "produce {shown}: {code}"
        );
    }
    assert_eq!(entries(), before);
    drop(peer);
    node.still_serves();
}

#[test]
fn unknown_and_deleted_topics_are_told_by_name_and_by_id() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let deleted = peer.create_topic("deleted", 1);
    assert_eq!(peer.produce(&deleted, 0, &batch(1)), (0, 0));
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("deleted".into()),
            topic_id: Uuid::ZERO,
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let reply = peer.ask(&request, 6);
    let view: DeleteTopicsResponseView<'_> = reply.view();
    assert_eq!(view.responses.iter().next().unwrap().error_code, 0);
    let unknown = Topic {
        name: "unknown".to_owned(),
        id: Uuid([9; 16]),
    };
    let by_name = ErrorCode::UnknownTopicOrPartition.code();
    let by_id = ErrorCode::UnknownTopicId.code();
    for topic in [&deleted, &unknown] {
        assert_eq!(
            peer.produce_in(9, topic, 0, &batch(1)).0,
            by_name,
            "{topic:?}"
        );
        assert_eq!(
            peer.produce_in(13, topic, 0, &batch(1)).0,
            by_id,
            "{topic:?}"
        );
    }
    // Made again, it is another topic: the old id stays unknown, offsets begin anew.
    let again = peer.create_topic("deleted", 1);
    assert_ne!(again.id, deleted.id);
    assert_eq!(peer.produce_in(13, &deleted, 0, &batch(1)).0, by_id);
    assert_eq!(peer.produce_in(13, &again, 0, &batch(1)), (0, 0));
    for partition in [1, -1, i32::MAX, i32::MIN] {
        assert_eq!(
            peer.produce(&again, partition, &batch(1)).0,
            by_name,
            "{partition}"
        );
    }
    drop(peer);
    node.still_serves();
}

// ---- connections ----

#[test]
fn a_hundred_huge_announcements_cost_what_was_received() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    honest.ping();
    let before = node.resident_bytes();
    let held: Vec<Peer> = (0..100)
        .map(|_| {
            let mut peer = node.connect();
            peer.raw(&(100_i32 << 20).to_be_bytes());
            peer.raw(&[0; 5000]);
            peer
        })
        .collect();
    for _ in 0..20 {
        honest.ping();
    }
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(
        grown < 48 * MIB,
        "{grown} bytes more for {} connections",
        held.len()
    );
    drop((held, honest));
    node.still_serves();
}

/// Such a peer stops being read; what it asked for is not piled up.
#[test]
fn a_client_that_never_reads_is_held_to_its_share() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let mut value = vec![0; MIB - 1000];
    value
        .iter_mut()
        .enumerate()
        .for_each(|(at, byte)| *byte = at as u8);
    for _ in 0..4 {
        honest.produce(&topic, 0, &batch_of(BatchSpec::default(), 1, &value));
    }
    let before = node.resident_bytes();
    let fetch = FetchRequest {
        max_bytes: 8 << 20,
        topics: vec![FetchTopic {
            topic: "topic".into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 8 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let bytes = encode_request(&fetch, 11, 1, None).unwrap();
    let mut deaf: Vec<Peer> = (0..10).map(|_| node.connect()).collect();
    for peer in &mut deaf {
        peer.socket
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        for _ in 0..5_000 {
            match peer.socket.write_all(&bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        honest.ping();
    }
    assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 4));
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB, "{grown} bytes more");
    drop((deaf, honest));
    node.still_serves();
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let node = Node::start(&[]);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 8);
    let mut bytes = Vec::new();
    for id in 0..1000 {
        let plain = batch_with(Codec::None, 1);
        let packed = batch_with(Codec::Zstd, 50);
        let request = match id % 4 {
            0 => encode_request(&produce_request(9, &topic, id % 8, &plain, -1), 9, id, None),
            1 => encode_request(&ApiVersionsRequest::default(), 0, id, None),
            2 => encode_request(&produce_request(9, &topic, 2, &packed, -1), 9, id, None),
            _ => encode_request(&MetadataRequest::default(), 9, id, None),
        };
        bytes.extend(request.unwrap());
    }
    let mut writer = peer.socket.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    for id in 0..1000 {
        assert_eq!(peer.answered(), Some(id));
    }
    sending.join().unwrap();
    drop(peer);
    node.still_serves();
}

#[test]
fn connections_that_vanish_leave_nothing_behind() {
    let node = Node::start(&[]);
    let mut honest = node.connect();
    let topic = honest.create_topic("topic", 1);
    let produce = frame(
        &encode_request(&produce_request(9, &topic, 0, &batch(1), -1), 9, 1, None).unwrap()[4..],
    );
    for round in 0..300 {
        let mut peer = node.connect();
        // Nothing, a part of a size, a part of a frame, a whole request whose answer nobody reads.
        peer.raw(&produce[..[0, 2, 30, produce.len()][round % 4]]);
        drop(peer);
    }
    honest.ping();
    drop(honest);
    node.still_serves();
}
