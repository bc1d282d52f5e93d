//! A bit that turned on disk, on a real node: it is found, by a consumer or by the scrub, its records
//! are served no more, and all others are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use live::requests::fetch;
use live::{Node, PATIENCE, Peer, Topic, now};
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record, split};
use thalweg_wire::messages::fetch_response::FetchResponseView;

/// Whole batches of 64 KiB, so many that the first segments lie in their files for long.
const BATCHES: i64 = 600;
const CORRUPT_MESSAGE: i16 = 2;
const SEGMENT_BYTES: &str = "log.segment.bytes=1048576";

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(&Record {
        timestamp: now(),
        key: None,
        value: Some(&[b'v'; 64 << 10]),
        headers: &[],
    });
    builder.finish_plain()
}

/// The node with its topic; what of the first segment turned is the given byte of its third batch.
fn turned(settings: &[&str], byte: usize) -> (Node, Topic) {
    let settings: Vec<&str> = [SEGMENT_BYTES].iter().chain(settings).copied().collect();
    let mut node = Node::start(&settings);
    let mut peer = node.connect();
    let topic = peer.create_topic("rotten", 1);
    let batch = batch();
    for _ in 0..BATCHES {
        assert_eq!(peer.produce(&topic, 0, &batch).0, 0);
    }
    drop(peer);
    node.kill_change_and_start(|data| turn(data, 2 * batch.len() + byte));
    (node, topic)
}

fn turn(data: &Path, at: usize) {
    let path = data.join("log/rotten-0/00000000000000000000.log");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at as u64).unwrap();
    file.sync_all().unwrap();
}

/// What a fetch at an offset comes to: a code, or the offsets of the batches.
fn read(peer: &mut Peer, topic: &Topic, offset: i64) -> Result<Vec<i64>, i16> {
    let mut request = fetch(&topic.name, 0, 200_000);
    request.topics[0].partitions[0].fetch_offset = offset;
    let reply = peer.ask(&request, 11);
    let answer: FetchResponseView<'_> = reply.view();
    let topic = answer.responses.iter().next().unwrap();
    let part = topic.partitions.iter().next().unwrap();
    if part.error_code != 0 {
        return Err(part.error_code);
    }
    let batches = split(part.records.unwrap()).map_while(Result::ok);
    Ok(batches
        .map(|batch| {
            assert!(batch.crc_matches());
            batch.header().base_offset().0
        })
        .collect())
}

/// Everything but the record at offset 2 is served, in whatever order it is asked for.
fn check(node: &Node, topic: &Topic) {
    let mut peer = node.connect();
    assert_eq!(read(&mut peer, topic, 2), Err(CORRUPT_MESSAGE));
    assert_eq!(read(&mut peer, topic, 0), Ok(vec![0, 1]));
    assert_eq!(read(&mut peer, topic, 1), Ok(vec![1]));
    let mut offset = 3;
    while offset < BATCHES {
        let found = read(&mut peer, topic, offset).unwrap();
        assert_eq!(found.first(), Some(&offset));
        offset = found.last().unwrap() + 1;
    }
    assert_eq!(read(&mut peer, topic, 2), Err(CORRUPT_MESSAGE));
    assert_eq!(peer.end_offset(&topic.name, 0), BATCHES);
}

/// Until the operator is told of it.
fn until_told(node: &Node, mut turn: impl FnMut()) {
    let begun = Instant::now();
    while !node.errors().contains("fail their checksum") {
        assert!(begun.elapsed() < PATIENCE, "it was not found");
        turn();
    }
}

#[test]
fn what_a_consumer_meets_is_told_to_the_next() {
    for byte in [9, 16, 21, 100, 65_000] {
        let (node, topic) = turned(&[], byte);
        // Its answer may be on its way before the record is looked at: then the connection ends.
        let mut request = fetch(&topic.name, 0, 200_000);
        request.topics[0].partitions[0].fetch_offset = 0;
        let frame = thalweg_wire::header::encode_request(&request, 11, 1, None).unwrap();
        until_told(&node, || {
            let mut socket = TcpStream::connect(node.address).unwrap();
            socket.write_all(&frame).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let mut taken = Vec::new();
            drop(socket.read_to_end(&mut taken));
            assert!(taken.len() < 3 * 65_536, "all of it was sent");
        });
        check(&node, &topic);
        node.still_serves();
    }
}

#[test]
fn the_scrub_finds_it_before_anybody() {
    let settings = ["storage.scrub_rest=1ms", "storage.scrub_rate=1GiB"];
    let (node, topic) = turned(&settings, 1_000);
    until_told(&node, || std::thread::sleep(Duration::from_millis(20)));
    check(&node, &topic);
    node.still_serves();
}
