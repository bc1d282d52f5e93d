//! The command line against a live node: every command, in text and in JSON, what it says of bad
//! input and with which exit code, and that a reader who leaves early is no failure.
//!
//! Calls that the node does not serve (yet) are refused in three lines; what depends on them is
//! asked only of a node that announces them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

mod live;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use live::Node;
use serde_json::Value;

/// What a command said, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It went well.
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It failed with this exit code, and told so in three lines with these words among them.
    #[track_caller]
    fn failed(self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(words), "{self:?}");
        assert!(self.err.contains("error["), "{self:?}");
        assert!(self.err.contains("\n  cause: "), "{self:?}");
        assert!(self.err.contains("\n  fix:   "), "{self:?}");
    }
}

fn run(brokers: &str, line: &str, input: &[u8]) -> Ran {
    let words: Vec<&str> = line.split_whitespace().collect();
    run_words(brokers, &words, input)
}

fn run_words(brokers: &str, words: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(words)
        .env("THALWEG_BROKERS", brokers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Commands that read nothing may be gone before everything is written.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A node and commands that ask it.
struct Server {
    node: Node,
    address: String,
}

impl Server {
    fn start() -> Self {
        let node = Node::start(&[]);
        Self {
            address: node.address.to_string(),
            node,
        }
    }

    fn run(&self, line: &str) -> Ran {
        run(&self.address, line, b"")
    }

    fn feed(&self, line: &str, input: &[u8]) -> Ran {
        run(&self.address, line, input)
    }

    fn serves(&self, api: &str) -> bool {
        let apis = self.run("cluster api-versions --format json").done().json();
        let apis = apis["apis"].as_array().unwrap();
        apis.iter().any(|row| row["name"] == api)
    }
}

/// Somewhere nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn topics_are_made_changed_and_deleted() {
    let server = Server::start();
    let created = server
        .run("topic create orders -p 2 --config retention.ms=7d")
        .done();
    assert_eq!(
        created.text(),
        "created orders: 2 partitions, replication factor 1\n"
    );
    let again = server
        .run("topic create orders --if-not-exists --format json")
        .done();
    assert_eq!(again.json()["topics"][0]["result"], "exists");
    server
        .run("topic create orders")
        .failed(1, "TOPIC_ALREADY_EXISTS");
    server
        .run("topic create a/b")
        .failed(1, "INVALID_TOPIC_EXCEPTION");
    server
        .run("topic create x --config no.such=1")
        .failed(1, "INVALID_CONFIG");
    server.run("topic create checked --dry-run").done();

    let listed = server.run("topic list").done();
    assert_eq!(
        listed.lines(),
        [
            "NAME    PARTITIONS  REPLICAS",
            "orders           2         1"
        ]
    );
    let added = server.run("topic add-partitions orders 1").done();
    assert_eq!(added.text(), "altered orders: 3 partitions\n");
    server
        .run("topic alter orders -p 1")
        .failed(1, "INVALID_PARTITIONS");
    let described = server
        .run("topic describe orders --format json")
        .done()
        .json();
    assert_eq!(described["topics"][0]["partition_count"], 3);
    server
        .run("topic describe nowhere")
        .failed(1, "UNKNOWN_TOPIC_OR_PARTITION");
    server
        .run("topic describe orders nowhere")
        .failed(6, "nowhere");
    let whole = server.run("topic describe --under-replicated").done();
    assert_eq!(whole.text(), "");
}

#[test]
fn topics_are_trimmed_and_deleted() {
    let server = Server::start();
    server.run("topic create orders -p 3").done();
    server.feed("produce orders -p 0", b"1\n2\n3\n").done();
    let offsets = server
        .run("topic offsets orders --at -1h --format json")
        .done()
        .json();
    let first = &offsets["partitions"][0];
    assert_eq!(
        (&first["first"], &first["end"], &first["at"]),
        (&0.into(), &3.into(), &0.into())
    );
    server
        .run("topic trim orders --before 9 -p 0 --dry-run")
        .failed(1, "OFFSET_OUT_OF_RANGE");
    server
        .run("topic trim orders --before 2 -p 7")
        .failed(1, "orders-7");
    let trimmed = server.run("topic trim orders --before 2 -p 0").done();
    assert_eq!(trimmed.text(), "orders-0 begins at 2\n");
    let offsets = server.run("topic offsets orders").done();
    assert_eq!(offsets.lines()[1], "orders          0      2    3");

    server.run("topic delete orders --dry-run").done();
    server
        .run("topic delete orders nowhere")
        .failed(6, "nowhere");
    let absent = server
        .run("topic delete orders --if-exists --format json")
        .done()
        .json();
    assert_eq!(absent["topics"][0]["result"], "absent");
    assert_eq!(server.run("topic offsets").done().lines().len(), 1);
}

#[test]
fn what_is_produced_is_consumed() {
    let server = Server::start();
    server.run("topic create t -p 3").done();
    let produced = server
        .feed("produce t --format json", b"one\ntwo\n")
        .done()
        .json();
    assert_eq!(
        (&produced["records"], &produced["refused"]),
        (&2.into(), &0.into())
    );
    let keyed = b"k\xff::v\xfe\nabc::\nk::NULL\n";
    server
        .feed("produce t -K :: -Z NULL -H h=1 -z zstd", keyed)
        .done();

    let all = server.run("consume t -o start -u now --format json").done();
    let mut values: Vec<Value> = all
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    values.sort_by_key(|record| record["timestamp"].as_i64());
    assert_eq!(values.len(), 5, "{all:?}");
    let binary = values
        .iter()
        .find(|record| record["key_base64"] == "a/8=")
        .unwrap();
    assert_eq!(binary["value_base64"], "dv4=");
    assert_eq!(binary["headers"][0]["value"], "1");
    // Where Java's default partitioner puts it: 479470107 mod 3.
    let abc = values.iter().find(|record| record["key"] == "abc").unwrap();
    assert_eq!((&abc["partition"], &abc["value"]), (&0.into(), &"".into()));
    let gone = values.iter().find(|record| record["key"] == "k").unwrap();
    assert_eq!(gone["value"], Value::Null);

    server.run("topic create copy").done();
    server
        .feed("produce copy --input json -p 0", &all.out)
        .done();
    let copied = server
        .run("consume copy -o start -n 5 --format json")
        .done();
    assert_eq!(copied.lines().len(), 5);
    let raw = server
        .run("consume copy -o start -u now --format raw")
        .done();
    assert!(raw.out.windows(2).any(|bytes| bytes == b"v\xfe"), "{raw:?}");
    let template = [
        "consume",
        "copy",
        "-o",
        "-1",
        "-u",
        "now",
        "-f",
        "%t/%p@%o %v{hex}\\n",
    ];
    let last = run_words(&server.address, &template, b"").done();
    assert!(last.text().starts_with("copy/0@4 "), "{last:?}");
    let wide = server.run("consume copy -o 2 -u 3 --format wide").done();
    assert_eq!(wide.lines().len(), 1);
    assert_eq!(server.run("consume copy -o @now -u now").done().text(), "");
    assert_eq!(
        server.run("consume copy -o end --idle 100ms").done().text(),
        ""
    );
}

#[test]
fn codecs_and_bad_input() {
    let server = Server::start();
    server.run("topic create t -p 1").done();
    assert_eq!(server.run("consume t -o start -u now").done().text(), "");
    let lines: String = (0..2_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        server
            .feed(&format!("produce t -z {codec}"), lines.as_bytes())
            .done();
    }
    server.feed("produce t --acks 1", b"1\n").done();
    server.feed("produce t --acks 0", b"0\n").done();
    server
        .feed("produce t --no-idempotence --input whole", b"a\nb")
        .done();
    let all = server
        .run("consume t -o start -u now --isolation read-committed")
        .done();
    // Nobody says when a record that is not acknowledged arrives.
    assert!(
        (10_003..=10_004).contains(&all.lines().len()),
        "{}",
        all.lines().len()
    );
    assert!(all.text().starts_with(&lines));

    server
        .feed("produce t -K :", b"no separator\n")
        .failed(1, "record 1 of the input");
    server
        .feed("produce t --input json", b"{\"value\":\"x\"}\n{\n")
        .failed(6, "record 2");
    server.feed("produce t -p 9", b"x\n").failed(1, "t-9");
    server
        .run("produce t no-such-file")
        .failed(1, "no-such-file");
    server.run("consume t -o 99999999 -u now").done();
    server
        .run("consume t -o 99999999 -n 1")
        .failed(1, "OFFSET_OUT_OF_RANGE");
    server.run("consume t -p 9").failed(1, "t-9");
    server
        .run("consume nowhere")
        .failed(1, "UNKNOWN_TOPIC_OR_PARTITION");
    for line in [
        "produce",
        "produce t -z rar",
        "consume",
        "consume t -o soon",
        "consume t -f %q",
        "consume t -p 0 -g g",
        "consume t --no-commit",
        "nonsense",
    ] {
        assert_eq!(server.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let server = Server::start();
    server.run("topic create t -p 1").done();
    let lines: String = (0..20_000)
        .map(|number| format!("a longer line {number}\n"))
        .collect();
    server.feed("produce t", lines.as_bytes()).done();
    let data = server.node.data();
    for line in [
        "consume t -o start -u now".to_owned(),
        format!("log dump --records {}", data.display()),
        "man topic create".to_owned(),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(line.split_whitespace())
            .env("THALWEG_BROKERS", &server.address)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
    }
}

#[test]
fn groups_commit_and_are_reset() {
    let server = Server::start();
    server.run("topic create t -p 2").done();
    server.feed("produce t -p 0", b"a\nb\nc\n").done();
    server.feed("produce t -p 1", b"d\n").done();
    if !server.serves("JoinGroup") {
        server.run("group list").failed(1, "does not serve");
        server
            .run("consume t -g g -o start -u now --timeout 1s")
            .failed(1, "");
        return;
    }
    assert_eq!(server.run("group list").done().lines().len(), 1);
    server
        .run("group describe g")
        .failed(1, "GROUP_ID_NOT_FOUND");
    server
        .run("consume t -g g -o 5")
        .failed(1, "where the group has committed");

    let all = server.run("consume t -g g -o start -u now").done();
    assert_eq!(all.lines().len(), 4, "{all:?}");
    assert_eq!(
        server.run("consume t -g g -o start -u now").done().text(),
        ""
    );
    let groups = server
        .run("group list --state empty --format json")
        .done()
        .json();
    assert_eq!(groups["groups"][0]["group"], "g");
    let group = server.run("group describe g --format json").done().json();
    let group = &group["groups"][0];
    assert_eq!(
        (&group["state"], &group["lag"]),
        (&"Empty".into(), &0.into())
    );
    assert_eq!(group["offsets"][0]["committed"], 3);
}

#[test]
fn groups_are_reset_and_deleted() {
    let server = Server::start();
    if !server.serves("JoinGroup") {
        return;
    }
    server.run("topic create t -p 2").done();
    server.feed("produce t -p 0", b"a\nb\nc\n").done();
    server.feed("produce t -p 1", b"d\n").done();
    server.run("consume t -g g -o start -u now").done();
    let dry = server.run("group reset g --topic t --shift-by -1").done();
    assert!(dry.err.contains("dry run"), "{dry:?}");
    assert_eq!(dry.lines()[1], "t              0     3   2");
    server
        .run("group reset g --topic t:0 --to-offset 1 --execute")
        .done();
    let group = server.run("group describe g").done();
    assert!(
        group.text().starts_with("g: Empty, 0 members, lag 2"),
        "{group:?}"
    );
    let file = server
        .run("group reset g --all-topics --to-earliest --export")
        .done();
    assert_eq!(file.text(), "\"t\",0,0\n\"t\",1,0\n");
    let path = server.node.data().join("offsets.csv");
    fs::write(&path, &file.out).unwrap();
    let from = format!(
        "group reset h --from-file {} --execute --format json",
        path.display()
    );
    assert_eq!(server.run(&from).done().json()["executed"], true);
    fs::write(&path, "t,zero,0\n").unwrap();
    server.run(&from).failed(1, "line 1");
    server
        .run("group reset h --topic t --by-duration P1D")
        .done();
    server
        .run("group reset new --topic t --shift-by 1")
        .failed(1, "cannot be shifted");
    server
        .run("group reset g --topic t:9 --to-latest")
        .failed(1, "t-9");

    let gone = server
        .run("group delete-offsets g --topic t:0 --format json")
        .done()
        .json();
    assert_eq!(gone["partitions"][0]["was"], 1);
    server.run("group delete g --dry-run").done();
    server
        .run("group delete g nobody")
        .failed(6, "GROUP_ID_NOT_FOUND");
    server.run("group delete g --if-exists").done();
    server
        .run("group describe g")
        .failed(1, "GROUP_ID_NOT_FOUND");
}

/// A consumer that runs beside the test.
struct Consumer(Option<Child>);

impl Consumer {
    fn start(server: &Server, line: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(line.split_whitespace())
            .env("THALWEG_BROKERS", &server.address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    /// As an operator would stop it; what it printed.
    fn stop(mut self) -> String {
        let child = self.0.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits until the group looks as it should.
#[track_caller]
fn settled(server: &Server, group: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut seen = String::new();
    for _ in 0..400 {
        let ran = server.run(&format!("group describe {group} --format json"));
        if ran.code == Some(0) {
            let group = ran.json()["groups"][0].clone();
            if is(&group) {
                return group;
            }
        }
        seen = format!("{ran:?}");
        thread::sleep(Duration::from_millis(100));
    }
    panic!("the group did not come to it: {seen}");
}

/// The number of partitions each member has, the smallest first.
fn sizes(group: &Value) -> Vec<usize> {
    let members = group["members"].as_array().unwrap();
    let mut sizes: Vec<usize> = members
        .iter()
        .map(|member| {
            let topics = member["assignment"].as_array().unwrap();
            let partitions = topics.iter().map(|topic| topic["partitions"].as_array());
            partitions.map(|some| some.unwrap().len()).sum()
        })
        .collect();
    sizes.sort_unstable();
    sizes
}

/// Everything in so many partitions is read, and committed.
fn caught_up(group: &Value, partitions: usize, end: i64) -> bool {
    let offsets = group["offsets"].as_array().unwrap();
    let done = |place: &&Value| place["committed"] == end && place["end"] == end;
    offsets.iter().filter(done).count() == partitions
}

/// Instances with their assignments.
fn places(group: &Value) -> Vec<(String, String)> {
    let members = group["members"].as_array().unwrap();
    let mut places: Vec<(String, String)> = members
        .iter()
        .map(|member| {
            (
                member["instance"].to_string(),
                member["assignment"].to_string(),
            )
        })
        .collect();
    places.sort();
    places
}

#[test]
fn a_static_member_comes_back_to_its_place() {
    let server = Server::start();
    server.run("topic create t -p 2").done();
    let line =
        |name: &str| format!("consume t -g g -o start --group-instance-id {name} --format json");
    let first = Consumer::start(&server, &line("one"));
    let second = Consumer::start(&server, &line("two"));
    let before = settled(&server, "g", |group| sizes(group) == [1, 1]);
    assert_eq!(places(&before)[0].0, "\"one\"");
    // Killed, not stopped: nothing is said to the group.
    drop(first);
    let first = Consumer::start(&server, &line("one"));
    server.feed("produce t -p 0", b"a\n").done();
    server.feed("produce t -p 1", b"b\n").done();
    let after = settled(&server, "g", |group| caught_up(group, 2, 1));
    assert_eq!(after["state"], "Stable");
    assert_eq!(places(&after), places(&before));
    let read = [first.stop(), second.stop()].concat();
    assert_eq!(read.lines().count(), 2, "{read}");
    // Static members do not leave: the group waits for them.
    let left = settled(&server, "g", |_| true);
    assert_eq!(sizes(&left), [1, 1]);
    server
        .run("consume t -g g --group-instance-id one --assignor cooperative-sticky --timeout 2s")
        .failed(1, "INCONSISTENT_GROUP_PROTOCOL");
}

#[test]
fn cooperative_members_share_without_reading_twice() {
    let server = Server::start();
    server.run("topic create t -p 4").done();
    let line = "consume t -g g -o start --assignor cooperative-sticky -f %v\\n";
    let first = Consumer::start(&server, line);
    settled(&server, "g", |group| sizes(group) == [4]);
    for partition in 0..4 {
        let value = format!("early-{partition}\n");
        let line = format!("produce t -p {partition}");
        server.feed(&line, value.as_bytes()).done();
    }
    let second = Consumer::start(&server, line);
    let group = settled(&server, "g", |group| sizes(group) == [2, 2]);
    assert_eq!(group["assignor"], "cooperative-sticky");
    for partition in 0..4 {
        let value = format!("late-{partition}\n");
        let line = format!("produce t -p {partition}");
        server.feed(&line, value.as_bytes()).done();
    }
    settled(&server, "g", |group| caught_up(group, 4, 2));
    let (first, second) = (first.stop(), second.stop());
    assert!(second.contains("late-"), "{second}");
    let mut read: Vec<&str> = first.lines().chain(second.lines()).collect();
    read.sort_unstable();
    let all = [
        "early-0", "early-1", "early-2", "early-3", "late-0", "late-1", "late-2", "late-3",
    ];
    assert_eq!(read, all);
}

#[test]
fn topics_are_read_by_pattern_also_those_to_come() {
    let server = Server::start();
    for topic in ["r-1", "r-2", "other-r-1"] {
        server.run(&format!("topic create {topic} -p 2")).done();
        server.feed(&format!("produce {topic}"), b"old\n").done();
    }
    let once = server
        .run("consume r-.* --regex -o start -u now -f %t\\n")
        .done();
    let mut topics = once.lines();
    topics.sort_unstable();
    assert_eq!(topics, ["r-1", "r-2"]);
    server
        .run("consume ( --regex")
        .failed(1, "cannot read the pattern");
    server
        .run("consume q-.* --regex")
        .failed(1, "no topic matches q-.*");

    let line = "consume r-.* --regex -g g -o start -f %t:%v\\n";
    let first = Consumer::start(&server, line);
    let second = Consumer::start(&server, line);
    settled(&server, "g", |group| sizes(group) == [2, 2]);
    server.run("topic create r-3 -p 2").done();
    settled(&server, "g", |group| sizes(group) == [3, 3]);
    server.feed("produce r-3 -p 0", b"new\n").done();
    server.feed("produce r-3 -p 1", b"new\n").done();
    server.feed("produce other-r-1", b"new\n").done();
    settled(&server, "g", |group| {
        let offsets = group["offsets"].as_array().unwrap();
        let new = |place: &&Value| place["topic"] == "r-3";
        let new: Vec<Value> = offsets.iter().filter(new).cloned().collect();
        caught_up(&serde_json::json!({ "offsets": new }), 2, 1)
    });
    let read = [first.stop(), second.stop()].concat();
    let mut read: Vec<&str> = read.lines().collect();
    read.sort_unstable();
    assert_eq!(read, ["r-1:old", "r-2:old", "r-3:new", "r-3:new"]);
}

#[test]
fn the_cluster_is_described_and_configured() {
    let server = Server::start();
    server.run("topic create t").done();
    let status = server.run("cluster status").done();
    assert!(status.text().contains(": healthy"), "{status:?}");
    assert_eq!(
        server.run("cluster health --format json").done().json()["partitions"],
        1
    );
    let brokers = server.run("cluster brokers --format json").done().json();
    assert_eq!(brokers["brokers"][0]["id"], 1);
    assert_eq!(
        server
            .run("cluster brokers --format wide")
            .done()
            .lines()
            .len(),
        2
    );
    let features = server.run("cluster features --format json").done().json();
    let features = features["features"].as_array().unwrap();
    assert!(
        features.iter().any(|row| row["name"] == "metadata.version"),
        "{features:?}"
    );
    assert!(server.run("cluster log-dirs").done().text().contains("log"));

    let broker = server.run("config describe broker 1 --all --format json");
    let topic = server.run("config describe topic t segment.bytes");
    if server.serves("IncrementalAlterConfigs") {
        assert_eq!(broker.done().json()["kind"], "broker");
        assert_eq!(topic.done().lines().len(), 2);
        server
            .run("config set topic t retention.ms=1h --dry-run")
            .done();
        let set = server.run("config set topic t retention.ms=1h").done();
        assert_eq!(set.text(), "altered topic t: retention.ms=3600000\n");
        let own = server.run("config describe topic t").done();
        assert_eq!(own.lines()[1].split_whitespace().nth(1), Some("3600000"));
        server
            .run("config set topic t no.such.key=1")
            .failed(1, "INVALID_CONFIG");
        server.run("config unset topic t retention.ms").done();
        server
            .run("topic alter t --set max.message.bytes=1MiB --unset retention.ms")
            .done();
    } else {
        server
            .run("config set topic t retention.ms=1h")
            .failed(1, "does not serve");
    }
    server
        .run("config describe broker one")
        .failed(1, "names no broker");
    assert_eq!(server.run("config set topic t novalue").code, Some(2));
}

#[test]
fn nobody_there_is_exit_5() {
    for line in [
        "topic list --timeout 1s",
        "produce t",
        "consume t",
        "group list",
        "cluster status",
        "config describe topic t",
    ] {
        run(NOWHERE, line, b"x\n").failed(5, "127.0.0.1:1");
    }
}

#[test]
fn what_needs_no_server() {
    let doctor = run(
        NOWHERE,
        "doctor --format json --listen 127.0.0.1:0 --disk-probe 1ms",
        b"",
    );
    let json = doctor.json();
    let checks = json["checks"].as_array().unwrap();
    let ring = checks
        .iter()
        .find(|check| check["name"] == "io_uring")
        .unwrap();
    assert_eq!(ring["passed"], true);
    assert_eq!(doctor.code, Some(if json["fit"] == true { 0 } else { 4 }));
    let one = run(
        NOWHERE,
        "doctor --explain io_uring --listen 127.0.0.1:0",
        b"",
    )
    .done();
    assert!(one.text().contains("why: "), "{one:?}");
    run(NOWHERE, "doctor --explain nonsense", b"").failed(1, "no check `nonsense`");
    assert!(
        run(NOWHERE, "doctor --script", b"")
            .text()
            .starts_with("#!/bin/sh\n")
    );
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("doctor --listen {}", busy.local_addr().unwrap());
    assert_eq!(run(NOWHERE, &line, b"").code, Some(4));

    for shell in ["bash", "zsh", "fish"] {
        let script = run(NOWHERE, &format!("completion {shell}"), b"").done();
        assert!(script.text().contains("add-partitions"), "{shell}");
    }
    let version = run(NOWHERE, "version --format json", b"").done().json();
    assert_eq!(version["io_uring"], "works");
    let codes = run(NOWHERE, "explain T0501 3 --format json", b"")
        .done()
        .json();
    assert_eq!(codes["codes"][1]["code"], "UNKNOWN_TOPIC_OR_PARTITION");
    run(NOWHERE, "explain T9999", b"").failed(1, "no error code `T9999`");

    let page = run(NOWHERE, "man group reset", b"").done();
    assert!(page.text().contains("shift"), "{page:?}");
    run(NOWHERE, "man nonsense", b"").failed(1, "nonsense");
    assert_eq!(
        run(NOWHERE, "config check --format json", b"")
            .done()
            .json()["valid"],
        true
    );
    assert_eq!(
        run(NOWHERE, "config check --set nonsense=1", b"").code,
        Some(3)
    );
}

#[test]
fn settings_are_shown_and_explained() {
    let shown = |line: &str| run(NOWHERE, line, b"").done();
    let json =
        shown("config show --set shards.count=3 --set num.partitions=4 --format json").json();
    let of = |key: &str| {
        let rows = json["settings"].as_array().unwrap();
        rows.iter().find(|row| row["key"] == key).cloned()
    };
    let count = of("shards.count").unwrap();
    assert_eq!(count["value"], "3", "{count}");
    assert_eq!(count["default"], "auto", "{count}");
    assert_eq!(count["source"], "--set", "{count}");
    assert_eq!(of("node.id").unwrap()["source"], "default");
    assert_eq!(of("num.partitions").unwrap()["value"], "4");
    assert_eq!(of("num.io.threads"), None);
    let all = shown("config show --all --source");
    assert!(all.text().contains("num.io.threads"), "{all:?}");
    let one = shown("config show log.retention.hours --source");
    let words: Vec<&str> = one.lines()[1].split_whitespace().collect();
    assert_eq!(
        words,
        ["log.retention.hours", "168", "(7d)", "168", "default"]
    );
    run(NOWHERE, "config show shards.cuont", b"").failed(1, "no key `shards.cuont`");
    assert_eq!(run(NOWHERE, "config show --set a=b", b"").code, Some(3));

    let both = shown("config explain compression.type shards.ring_entries --format json").json();
    let keys = both["keys"].as_array().unwrap();
    let told: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (key["of"].as_str().unwrap(), key["reload"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [("broker", "live"), ("topic", "live"), ("node", "restart")]
    );
    let one = shown("config explain num.network.threads");
    assert!(one.text().contains("it has no effect"), "{one:?}");
    run(NOWHERE, "config explain nonsense", b"").failed(1, "no key `nonsense`");
    let partly = run(NOWHERE, "config explain node.id nonsense", b"");
    assert_eq!(partly.code, Some(6), "{partly:?}");
}

#[test]
fn settings_are_imported_and_compared() {
    let server = Server::start();
    let file = |name: &str, text: &str| {
        let path = server.node.data().with_file_name(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let old = file(
        "old.properties",
        "node.id=1\nnum.partitions=3\nnum.io.threads=8\nlisteners=PLAINTEXT://127.0.0.1:9192\n",
    );
    let new = server
        .node
        .data()
        .with_file_name("new.toml")
        .display()
        .to_string();
    let import = format!("config import {old} --output {new}");
    let told = run(NOWHERE, &import, b"").done();
    assert!(told.err.contains("num.io.threads"), "{told:?}");
    // What is there is never written over.
    run(NOWHERE, &import, b"").failed(1, "new.toml");
    run(NOWHERE, &format!("config check --config {new}"), b"").done();
    let bad = file("bad.properties", "ssl.keystore.location=/k\nno.such=1\n");
    let told = run(NOWHERE, &format!("config import {bad} --format json"), b"");
    assert_eq!(told.code, Some(6), "{told:?}");
    assert_eq!(told.json()["left"].as_array().unwrap().len(), 2);
    let open = file("open.properties", "listeners=PLAINTEXT://:9092\n");
    let told = run(NOWHERE, &format!("config import {open}"), b"");
    assert_eq!(told.code, Some(3), "{told:?}");

    let same = run(
        NOWHERE,
        &format!("config diff {new} {old} --exit-code"),
        b"",
    );
    // Keys that have no effect here are the properties' own.
    assert!(!same.text().contains("num.partitions"), "{same:?}");
    assert!(!same.text().contains("node.id"), "{same:?}");
    let line = format!("config diff {new} --exit-code --format json");
    let told = run(NOWHERE, &line, b"");
    assert_eq!(told.code, Some(1), "{told:?}");
    let json = told.json();
    let rows = json["differences"].as_array().unwrap();
    let partitions = rows.iter().find(|row| row["key"] == "num.partitions");
    assert_eq!(partitions.unwrap()["left"], "1");
    assert_eq!(partitions.unwrap()["right"], "3");

    let live = server
        .run("config diff --live --set num.partitions=3 --format json")
        .done()
        .json();
    assert_eq!(live["right"], "node 1");
    let rows = live["differences"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["key"], "num.partitions");
    assert_eq!(rows[0]["right"], "1");
    run(NOWHERE, "config diff --live --timeout 1s", b"").failed(5, "127.0.0.1:1");
}

/// A copy of a live node's directory, as a crash would leave it.
fn copy_of(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_of(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn kinds(ran: &Ran, kind: &str) -> Vec<Value> {
    let values = ran
        .lines()
        .into_iter()
        .map(|line| serde_json::from_str(line).unwrap());
    values
        .filter(|value: &Value| value["kind"] == kind)
        .collect()
}

#[test]
fn logs_are_dumped_and_damage_is_found() {
    let server = Server::start();
    server.run("topic create t -p 1").done();
    server.feed("produce t", b"one\n").done();
    server.feed("produce t", b"two\n").done();
    let dir = server.node.data().with_file_name("copy");
    copy_of(&server.node.data(), &dir);
    let dump = |what: &str, path: &Path| {
        let words = ["log", what, "--format", "json", path.to_str().unwrap()];
        run_words(NOWHERE, &words, b"")
    };

    let journal = dir.join("journal");
    let rounds = dump("dump", &journal).done();
    let entries = kinds(&rounds, "round");
    let appends = entries
        .iter()
        .flat_map(|round| round["entries"].as_array().unwrap().clone())
        .filter(|entry| entry["entry"] == "append" && entry["partition"] == "t-0");
    assert_eq!(appends.count(), 2, "{rounds:?}");
    assert!(
        kinds(&rounds, "journal")
            .iter()
            .all(|journal| journal["state"] == "whole")
    );
    let text = run(NOWHERE, &format!("log dump {}", journal.display()), b"").done();
    assert!(text.text().contains("append, partition t-0"), "{text:?}");
    flip_a_round(&journal, &entries);
    let rotten = dump("check", &journal);
    assert_eq!(rotten.code, Some(1), "{rotten:?}");
    assert!(
        kinds(&rotten, "journal")
            .iter()
            .any(|journal| journal["state"] == "rot")
    );

    let snapshot = find(&dir.join("log/__cluster_metadata-0"), ".checkpoint");
    for (path, words) in [
        (snapshot, "KRaftVersion"),
        (dir.join("log/bootstrap.checkpoint"), "FeatureLevel"),
    ] {
        let line = ["log", "dump", "-r", path.to_str().unwrap()];
        let told = run_words(NOWHERE, &line, b"").done();
        assert!(told.text().contains(words), "{told:?}");
    }
    assert_eq!(
        dump("check", &dir.join("log/meta.properties")).done().code,
        Some(0)
    );
    dump("dump", &dir.join("lock")).failed(1, "nothing to show");
    dump("dump", &dir.join("no-such-file")).failed(1, "no-such-file");
    fs::remove_dir_all(dir).unwrap();
}

/// Damages a round that a later one of the same shard vouches for.
fn flip_a_round(journal: &Path, rounds: &[Value]) {
    let vouched = rounds.iter().find(|round| {
        round["live"] == true
            && rounds.iter().any(|later| {
                later["shard"] == round["shard"]
                    && later["durable_through"].as_u64() >= round["round"].as_u64()
            })
    });
    let round = vouched.unwrap();
    let file = PathBuf::from(round["file"].as_str().unwrap());
    assert!(file.starts_with(journal));
    let mut bytes = fs::read(&file).unwrap();
    bytes[round["position"].as_u64().unwrap() as usize + 64] ^= 1;
    fs::write(&file, bytes).unwrap();
}

fn find(dir: &Path, suffix: &str) -> PathBuf {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = entries.filter(|path| path.to_str().unwrap().ends_with(suffix));
    found.next().unwrap()
}
