//! The log cleaner on a real node: compacted topics and `__consumer_offsets`, through kill and stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use live::requests::fetch;
use live::{Node, PATIENCE, Peer, Topic, now};
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record, Records, split};
use thalweg_wire::messages::fetch_response::FetchResponseView;

const NOBODY: (&str, i32) = ("", -1);
/// How the names of a log's first segment begin.
const FIRST: &str = "00000000000000000000";
const KEYS: usize = 10;
/// What `__consumer_offsets` and the topic are written in: segments are rolled, and soon cleaned.
const SETTINGS: &[&str] = &[
    "log.cleaner.backoff.ms=50",
    "log.cleanup.policy=compact",
    "log.segment.bytes=1048576",
    "log.segment.delete.delay.ms=500",
    "offsets.topic.num.partitions=1",
    "offsets.topic.segment.bytes=1048576",
];

/// One batch with a record of each key, of 2 KiB.
fn round(number: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    let mut value = vec![b'.'; 2_048];
    for key in 0..KEYS {
        let text = format!("{number}/{key}");
        value[..text.len()].copy_from_slice(text.as_bytes());
        builder.push(&Record {
            timestamp: now(),
            key: Some(key.to_string().as_bytes()),
            // The last key ends as a tombstone.
            value: (key + 1 < KEYS || number.is_multiple_of(2)).then_some(&value),
            headers: &[],
        });
    }
    builder.finish_plain()
}

/// The newest record of each key from the begin on, and how many records there were.
fn read(peer: &mut Peer, topic: &Topic) -> (BTreeMap<String, (i64, Option<String>)>, usize) {
    let end = peer.end_offset(&topic.name, 0);
    let (mut newest, mut count, mut offset) = (BTreeMap::new(), 0, 0);
    while offset < end {
        let mut request = fetch(&topic.name, 0, 1 << 20);
        request.topics[0].partitions[0].fetch_offset = offset;
        let reply = peer.ask(&request, 11);
        let answer: FetchResponseView<'_> = reply.view();
        let topic = answer.responses.iter().next().unwrap();
        let part = topic.partitions.iter().next().unwrap();
        assert_eq!(part.error_code, 0);
        let before = offset;
        for batch in split(part.records.unwrap()) {
            let Ok(batch) = batch else { break };
            assert!(batch.crc_matches());
            let header = batch.header();
            for record in Records::new(batch.payload(), header.record_count()) {
                let record = record.unwrap();
                let at = header.base_offset().0 + i64::from(record.offset_delta);
                let text = |bytes: &[u8]| {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    text.trim_end_matches('.').to_owned()
                };
                newest.insert(text(record.key.unwrap()), (at, record.value.map(text)));
                count += usize::from(at >= before);
            }
            offset = header.next_offset().0;
        }
        assert!(offset > before, "nothing at {before} below {end}");
    }
    (newest, count)
}

fn bytes_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"));
    logs.map(|entry| entry.metadata().map_or(0, |of| of.len()))
        .sum()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_compacted_topic_shrinks_and_keeps_the_newest_of_each_key() {
    let mut node = Node::start(SETTINGS);
    let mut peer = node.connect();
    let topic = peer.create_topic("compacted", 1);
    let rounds = 300;
    for number in 0..rounds {
        assert_eq!(peer.produce(&topic, 0, &round(number)).0, 0);
    }
    let end = peer.end_offset("compacted", 0);
    let dir = node.data().join("log/compacted-0");
    let sent = u64::try_from(rounds * round(0).len()).unwrap();
    wait_until("the log never shrank", || {
        let (newest, count) = read(&mut peer, &topic);
        assert_eq!(newest.len(), KEYS);
        for (key, (offset, value)) in &newest {
            let number = rounds - 1;
            let expected = (key != "9").then(|| format!("{number}/{key}"));
            assert_eq!(value, &expected);
            assert_eq!(*offset, end - 10 + key.parse::<i64>().unwrap());
        }
        // The active segment of 1 MiB is left alone.
        count < rounds * KEYS / 2 && bytes_of(&dir) < sent / 2
    });
    let before = read(&mut peer, &topic);
    drop(peer);
    node.kill_and_start();
    let mut peer = node.connect();
    assert_eq!(
        peer.end_offset("compacted", 0),
        end,
        "offsets are never re-used"
    );
    let after = read(&mut peer, &topic);
    assert_eq!(after.0, before.0);
    assert!(after.1 <= before.1);
    drop(peer);
    node.still_serves();
}

#[test]
fn committed_offsets_outlive_the_cleaning_of_their_log() {
    let mut node = Node::start(SETTINGS);
    let mut peer = node.connect();
    let topic = peer.create_topic("topic", 1);
    peer.find_coordinator("g-0");
    for offset in 0..3_000 {
        for group in 0..3 {
            let group = format!("g-{group}");
            peer.commit((&group, NOBODY), (&topic, 0), offset);
        }
    }
    let dir = node.data().join("log/__consumer_offsets-0");
    wait_until("the groups' log never shrank", || {
        // A file that was sealed at 1 MiB is gone; the one that is written has room reserved ahead.
        let names = std::fs::read_dir(&dir).unwrap().filter_map(Result::ok);
        let sizes = names.map(|entry| (entry.file_name(), entry.metadata().map_or(0, |m| m.len())));
        let logs: Vec<_> = sizes
            .filter_map(|(name, size)| Some((name.into_string().ok()?, size)))
            .filter(|(name, _)| name.ends_with(".log") && name.starts_with(FIRST))
            .collect();
        logs.len() == 1 && logs[0].1 < 10_000
    });
    drop(peer);
    node.kill_and_start();
    let mut peer = node.connect();
    for group in 0..3 {
        let group = format!("g-{group}");
        peer.find_coordinator(&group);
        assert_eq!(peer.committed(&group, (&topic, 0)), 2_999, "{group}");
    }
    drop(peer);
    node.still_serves();
}
