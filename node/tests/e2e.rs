//! The binary over loopback: first start, produce, kill -9, restart, clean stop, refusals.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by it")]

mod live;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use thalweg_storage::testing::TempDir;
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Record};
use thalweg_wire::bytes::{Message, Records};
use thalweg_wire::header::{ResponseHead, encode_request};
use thalweg_wire::ids::TimestampMs;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use thalweg_wire::messages::produce_response::ProduceResponseView;

const BINARY: &str = env!("CARGO_BIN_EXE_thalweg");

struct Node {
    child: Child,
    address: String,
}

impl Node {
    /// Starts a node and waits until it says that it is ready.
    fn start(data: &Path, shards: &str) -> Self {
        let mut child = Command::new(BINARY)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--set",
                "listen.admin=none",
            ])
            .args(["--shards", shards, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let banner = live::read_banner(&mut child, data);
        let (_, rest) = banner.split_once("listening on ").unwrap();
        let address = rest.split([',', '\n']).next().unwrap().to_owned();
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(told.success());
    }

    fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    fn create(&self, topic: &str) {
        let created = Command::new(BINARY)
            .args([
                "topic",
                "create",
                topic,
                "--partitions",
                "2",
                "-b",
                &self.address,
            ])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(created.success());
    }

    fn call<M: Message>(&self, request: &M, version: i16) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .write_all(&encode_request(request, version, 7, Some("e2e")).unwrap())
            .unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut frame).unwrap();
        let head = ResponseHead {
            api_key: M::API_KEY.unwrap(),
            version,
            correlation_id: 7,
        };
        let (id, body) = head.decode(&frame).unwrap();
        assert_eq!(id, 7);
        body.to_vec()
    }

    fn produce(&self, topic: &str, partition: i32, value: &[u8]) -> i64 {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_millis();
        builder.push(&Record {
            timestamp: TimestampMs(i64::try_from(now).unwrap()),
            key: None,
            value: Some(value),
            headers: &[],
        });
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned().into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Records::Bytes(builder.finish_plain().into()),
                }],
                ..TopicProduceData::default()
            }],
        };
        let body = self.call(&request, 9);
        let view = ProduceResponseView::decode(&body, 9).unwrap();
        let topic = view.responses.iter().next().unwrap();
        let part = topic.partition_responses.iter().next().unwrap();
        assert_eq!(part.error_code, 0);
        part.base_offset
    }

    /// Record bytes from an offset on.
    fn fetch(&self, topic: &str, partition: i32, offset: i64) -> Vec<u8> {
        let request = FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            topics: vec![FetchTopic {
                topic: topic.to_owned().into(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let body = self.call(&request, 12);
        let view = FetchResponseView::decode(&body, 12).unwrap();
        let topic = view.responses.iter().next().unwrap();
        let part = topic.partitions.iter().next().unwrap();
        assert_eq!(part.error_code, 0);
        part.records.unwrap_or_default().to_vec()
    }
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn run(arguments: &[&str], data: &Path) -> (Option<i32>, String) {
    let output = Command::new(BINARY)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

#[test]
fn what_was_acknowledged_outlives_kills_and_stops() {
    let dir = TempDir::new("e2e");
    let data: PathBuf = dir.path().join("data");
    let node = Node::start(&data, "2");
    node.create("t");
    for partition in 0..2 {
        for at in 0..20 {
            let value = format!("value-{partition}-{at}-end");
            assert_eq!(node.produce("t", partition, value.as_bytes()), at);
        }
    }
    let check = |node: &Node| {
        for partition in 0..2 {
            let all = node.fetch("t", partition, 0);
            for at in 0..20 {
                assert!(has(&all, format!("value-{partition}-{at}-end").as_bytes()));
            }
            assert!(node.fetch("t", partition, 20).is_empty());
        }
    };
    check(&node);
    node.kill();
    // Another number of shards is nothing special.
    let node = Node::start(&data, "1");
    check(&node);
    assert_eq!(node.stop(), Some(0));
    let notice = data.join("log/THALWEG-JOURNAL-NOT-EMPTY.txt");
    assert!(
        !notice.exists(),
        "a clean stop leaves the directory to Kafka"
    );
    let node = Node::start(&data, "2");
    check(&node);
    assert_eq!(node.produce("t", 0, b"more"), 20);
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_second_node_gets_neither_directory_nor_port() {
    let dir = TempDir::new("e2e");
    let data: PathBuf = dir.path().join("data");
    let node = Node::start(&data, "2");
    let (code, errors) = run(&["serve", "--listen", "127.0.0.1:0"], &data);
    assert_eq!(code, Some(1));
    assert!(errors.contains("is in use by another process"), "{errors}");
    assert!(errors.contains("\n  fix:   "), "{errors}");
    let other = dir.path().join("other");
    let (code, errors) = run(&["serve", "--listen", &node.address], &other);
    assert_eq!(code, Some(1));
    assert!(errors.contains("can't listen on"), "{errors}");
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn settings_and_formats_are_refused_with_their_codes() {
    let dir = TempDir::new("e2e");
    let data: PathBuf = dir.path().join("data");
    let (code, errors) = run(&["config", "check", "--set", "shards.cout=2"], &data);
    assert_eq!(code, Some(3));
    assert!(
        errors.contains("shards.count"),
        "the nearest name: {errors}"
    );
    assert_eq!(run(&["format"], &data).0, Some(0));
    assert_eq!(run(&["format"], &data).0, Some(1));
    assert_eq!(run(&["format", "--ignore-formatted"], &data).0, Some(0));
    let (code, errors) = run(&["serve", "--set", "node.id=2"], &data);
    assert_eq!(code, Some(1));
    assert!(errors.contains("node id 1, configured is 2"), "{errors}");
}

#[test]
fn a_stop_answers_long_polls_and_is_quick() {
    let dir = TempDir::new("e2e");
    let node = Node::start(&dir.path().join("data"), "2");
    node.create("t");
    let request = FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition::default()],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let mut stream = TcpStream::connect(&node.address).unwrap();
    stream
        .write_all(&encode_request(&request, 12, 1, None).unwrap())
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let before = Instant::now();
    assert_eq!(node.stop(), Some(0));
    assert!(
        before.elapsed() < Duration::from_secs(20),
        "it waited for the poll's time"
    );
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 4, "the poll got an answer");
}
