//! Topics that are stored in a codec of their own (`compression.type`), whatever producers send.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use live::requests::fetch;
use live::{Node, Peer, Topic, batch_of, batch_with};
use thalweg_wire::batch::{BatchRef, BatchSpec, Codec, Scratch, inflate, split};
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence};
use thalweg_wire::messages::fetch_response::FetchResponseView;

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];
/// Far more than these batches inflate to.
const CAP: usize = 1 << 24;

fn payload(batch: &BatchRef<'_>) -> Vec<u8> {
    let codec = batch.header().attributes().codec().unwrap();
    inflate(codec, batch.payload(), CAP, &mut Scratch::default()).unwrap()
}

/// Codec and records of each stored batch.
fn stored(peer: &mut Peer, topic: &Topic) -> Vec<(Codec, Vec<u8>)> {
    let reply = peer.ask(&fetch(&topic.name, 0, 1 << 20), 11);
    let answer: FetchResponseView<'_> = reply.view();
    let topic = answer.responses.iter().next().unwrap();
    let part = topic.partitions.iter().next().unwrap();
    assert_eq!(part.error_code, 0);
    let batches = split(part.records.unwrap()).map(Result::unwrap);
    batches
        .map(|batch| {
            assert!(batch.crc_matches());
            (
                batch.header().attributes().codec().unwrap(),
                payload(&batch),
            )
        })
        .collect()
}

#[test]
fn batches_are_stored_in_the_topics_codec() {
    for (name, wanted) in [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ] {
        let mut node = Node::start(&[&format!("compression.type={name}")]);
        let mut peer = node.connect();
        let topic = peer.create_topic("t", 1);
        let sent: Vec<Vec<u8>> = CODECS.map(|codec| batch_with(codec, 20)).to_vec();
        for (number, batch) in (0..).zip(&sent) {
            assert_eq!(peer.produce(&topic, 0, batch), (0, number * 20));
        }
        let records = sent
            .iter()
            .map(|one| payload(&BatchRef::first(one).unwrap()));
        let expected: Vec<_> = records.map(|one| (wanted, one)).collect();
        assert_eq!(stored(&mut peer, &topic), expected);
        drop(peer);
        node.kill_and_start();
        assert_eq!(stored(&mut node.connect(), &topic), expected);
        node.still_serves();
    }
}

#[test]
fn a_batch_that_comes_twice_is_stored_once() {
    let node = Node::start(&["compression.type=zstd", "compression.zstd.level=9"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("t", 1);
    let spec = BatchSpec {
        producer_id: ProducerId(77),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
        ..BatchSpec::default()
    };
    let batch = batch_of(spec, 3, b"value");
    assert_eq!(peer.produce(&topic, 0, &batch), (0, 0));
    assert_eq!(peer.produce(&topic, 0, &batch), (0, 0));
    assert_eq!(peer.end_offset("t", 0), 3);
    drop(peer);
    node.still_serves();
}

#[test]
fn what_grows_past_the_limit_is_refused_and_nothing_is_lost() {
    const MESSAGE_TOO_LARGE: i16 = 10;
    let node = Node::start(&["compression.type=uncompressed", "message.max.bytes=10000"]);
    let mut peer = node.connect();
    let topic = peer.create_topic("t", 1);
    let spec = BatchSpec {
        codec: Codec::Zstd,
        ..BatchSpec::default()
    };
    let large = batch_of(spec, 1, &[b'.'; 11_000]);
    assert!(large.len() < 1_000);
    assert_eq!(peer.produce(&topic, 0, &large).0, MESSAGE_TOO_LARGE);
    assert_eq!(peer.produce(&topic, 0, &batch_with(Codec::Zstd, 2)), (0, 0));
    assert_eq!(peer.end_offset("t", 0), 2);
    drop(peer);
    node.still_serves();
}
