//! A real node under test: the binary in a process of its own, on a directory of its own, and raw
//! connections to it that can say anything.

#![allow(dead_code, reason = "each test file uses its part of this")]

pub(crate) mod admin;
pub(crate) mod groups;
pub(crate) mod requests;
pub(crate) mod transactions;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, Record};
use thalweg_wire::bytes::{Message, Records, View};
use thalweg_wire::header::{ResponseHead, encode_request};
use thalweg_wire::ids::{TimestampMs, Uuid};
use thalweg_wire::messages::api_versions_request::ApiVersionsRequest;
use thalweg_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;
use thalweg_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use thalweg_wire::messages::produce_response::ProduceResponseView;

/// Longest wait for anything that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running node. Dropping it kills the process and removes its directory.
pub(crate) struct Node {
    child: Child,
    dir: PathBuf,
    settings: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
}

impl Node {
    /// Starts a node with these settings (`--set`) beside those that keep it small.
    pub(crate) fn start(settings: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("node-{}-{number}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        Self::launch(dir, settings.iter().map(|one| (*one).to_owned()).collect())
    }

    fn launch(dir: PathBuf, settings: Vec<String>) -> Self {
        let errors = fs::File::create(dir.join("stderr")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.join("data"));
        let small = [
            "listen.internal=none",
            "listen.controller=none",
            "listen.admin=127.0.0.1:0",
            "storage.journal=32MiB",
            "storage.journal_file=4MiB",
            "shards.count=2",
        ];
        // A setting given twice: the later one counts.
        for setting in small
            .iter()
            .copied()
            .chain(settings.iter().map(String::as_str))
        {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let banner = read_banner(&mut child, &dir);
        let after = |words: &str| {
            let line = banner.lines().find(|line| line.contains(words))?;
            let rest = line.split_once(words)?.1;
            let end = rest.find([',', '/', ' ']).unwrap_or(rest.len());
            rest[..end].parse().ok()
        };
        Self {
            address: after("listening on ").unwrap_or_else(|| panic!("no address: {banner}")),
            admin: after("http://"),
            child,
            dir,
            settings,
        }
    }

    /// Killed, and started again on the same directory; at another address.
    pub(crate) fn kill_and_start(&mut self) {
        self.kill_change_and_start(|_| {});
    }

    /// The same, and its data is changed in between.
    pub(crate) fn kill_change_and_start(&mut self, change: impl FnOnce(&Path)) {
        drop(self.child.kill());
        drop(self.child.wait());
        change(&self.data());
        let dir = std::mem::take(&mut self.dir);
        let fresh = Self::launch(dir, self.settings.clone());
        // The old one has no directory any more, so nothing is removed with it.
        drop(std::mem::replace(self, fresh));
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What it has told on standard error.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// The process is alive, an honest client is served, nothing panicked; then it stops cleanly.
    pub(crate) fn still_serves(mut self) {
        let mut honest = self.connect();
        let topic = honest.create_topic("honest-at-the-end", 1);
        assert_eq!(honest.produce(&topic, 0, &batch(1)), (0, 0));
        drop(honest);
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "it ended: {status:?}\n{}", self.errors());
        let pid = self.child.id().to_string();
        let told = Command::new("kill").arg(&pid).status().unwrap();
        assert!(told.success());
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if started.elapsed() > PATIENCE => {
                    panic!("it does not stop\n{}", threads(self.child.id()))
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let errors = self.errors();
        assert!(status.success(), "{status}\n{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if self.dir.as_os_str().is_empty() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("--- the node's standard error ---\n{}", self.errors());
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// The lines up to `ready`. A node that says nothing for too long is a failure and not a hang.
pub(crate) fn read_banner(child: &mut Child, dir: &Path) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel();
    // Ends with the process, or with the first line that nobody waits for.
    std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .try_for_each(|line| tell.send(line))
    });
    let mut banner = String::new();
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(line) if line.trim() == "ready" => return banner,
            Ok(line) => banner.extend([&line, "\n"]),
            Err(reason) => {
                let threads = threads(child.id());
                drop(child.kill());
                let errors = fs::read_to_string(dir.join("stderr")).unwrap_or_default();
                panic!("it does not start: {reason}\n{banner}\n{errors}\n{threads}");
            }
        }
    }
}

/// Where each thread of a process stands, as far as the kernel tells.
fn threads(pid: u32) -> String {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return "it is gone".to_owned();
    };
    let mut all = String::new();
    for task in tasks.flatten() {
        let of = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, at) = (of("comm"), of("wchan"));
        let (call, state) = (of("syscall"), of("stat"));
        let state = state.rsplit(')').next().unwrap_or_default();
        let words = [
            name.trim(),
            at.trim(),
            call.trim(),
            state.get(..3).unwrap_or(""),
        ];
        all.extend([&words.join(" | "), "\n"]);
    }
    all
}

/// A topic as produce requests of all versions name it.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
}

/// A connection that can say anything.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    next_id: i32,
}

/// The body of an answer.
pub(crate) struct Reply {
    frame: Vec<u8>,
    head: ResponseHead,
}

impl Reply {
    /// The body, which must fill the frame exactly.
    pub(crate) fn view<'a, V: View<'a>>(&'a self) -> V {
        let (_, body) = self.head.decode(&self.frame).unwrap();
        V::decode_exact(body, self.head.version)
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.head))
    }
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, next_id: 0 }
    }

    /// Sends bytes as they are. The peer may have closed already: what it says is what counts.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        drop(self.socket.write_all(bytes));
    }

    /// Sends bytes with their size before them.
    pub(crate) fn framed(&mut self, bytes: &[u8]) {
        self.raw(&frame(bytes));
    }

    /// Sends a request; answers its correlation id.
    pub(crate) fn send<M: Message>(&mut self, request: &M, version: i16) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        self.raw(&encode_request(request, version, id, Some("test")).unwrap());
        id
    }

    /// The next answer, or none if the connection was closed.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        if !self.fill(&mut size) {
            return None;
        }
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        assert!(self.fill(&mut frame), "closed in the middle of an answer");
        Some(frame)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.socket.read_exact(buffer) {
            Ok(()) => true,
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => false,
                _ => panic!("neither answered nor closed: {error}"),
            },
        }
    }

    /// The correlation id of the next answer, or none if the connection was closed.
    pub(crate) fn answered(&mut self) -> Option<i32> {
        let frame = self.frame()?;
        Some(i32::from_be_bytes(frame[..4].try_into().unwrap()))
    }

    /// Nothing comes any more, not even an answer.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.answered().is_none()
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask<M: Message>(&mut self, request: &M, version: i16) -> Reply {
        let correlation_id = self.send(request, version);
        self.reply::<M>(correlation_id, version)
    }

    /// The next answer, which must be that to this request.
    pub(crate) fn reply<M: Message>(&mut self, correlation_id: i32, version: i16) -> Reply {
        let head = ResponseHead {
            api_key: M::API_KEY.unwrap(),
            version,
            correlation_id,
        };
        let Some(frame) = self.frame() else {
            panic!("{} {version} closed the connection", M::NAME);
        };
        let (id, _) = head.decode(&frame).unwrap();
        assert_eq!(id, correlation_id, "{} {version}", M::NAME);
        Reply { frame, head }
    }

    /// The honest request that is asked after something else was said.
    pub(crate) fn ping(&mut self) {
        self.ask(&ApiVersionsRequest::default(), 0);
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32) -> Topic {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            timeout_ms: 60_000,
            validate_only: false,
        };
        let reply = self.ask(&request, 7);
        let answer: CreateTopicsResponseView<'_> = reply.view();
        let topic = answer.topics.iter().next().unwrap();
        assert_eq!(topic.error_code, 0, "{name}: {:?}", topic.error_message);
        Topic {
            name: name.to_owned(),
            id: topic.topic_id,
        }
    }

    /// Error code and base offset of one batch, produced by the topic's name.
    pub(crate) fn produce(&mut self, topic: &Topic, partition: i32, batch: &[u8]) -> (i16, i64) {
        self.produce_in(9, topic, partition, batch)
    }

    pub(crate) fn produce_in(
        &mut self,
        version: i16,
        to: &Topic,
        index: i32,
        batch: &[u8],
    ) -> (i16, i64) {
        let reply = self.ask(&produce_request(version, to, index, batch, -1), version);
        let answer: ProduceResponseView<'_> = reply.view();
        let topic = answer.responses.iter().next().unwrap();
        let part = topic.partition_responses.iter().next().unwrap();
        (part.error_code, part.base_offset)
    }

    /// Where a partition ends.
    pub(crate) fn end_offset(&mut self, topic: &str, partition: i32) -> i64 {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned().into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    current_leader_epoch: -1,
                    timestamp: -1,
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let reply = self.ask(&request, 7);
        let answer: ListOffsetsResponseView<'_> = reply.view();
        let topic = answer.topics.iter().next().unwrap();
        let part = topic.partitions.iter().next().unwrap();
        assert_eq!(part.error_code, 0);
        part.offset
    }
}

/// One batch to one partition.
pub(crate) fn produce_request<'a>(
    version: i16,
    topic: &'a Topic,
    index: i32,
    batch: &'a [u8],
    acks: i16,
) -> ProduceRequest<'a> {
    let by_id = version >= 13;
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: if by_id {
                "".into()
            } else {
                topic.name.as_str().into()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partition_data: vec![PartitionProduceData {
                index,
                records: Records::Bytes(batch.into()),
            }],
        }],
    }
}

/// Bytes with their size before them.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    framed
}

pub(crate) fn now() -> TimestampMs {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    TimestampMs(i64::try_from(since.as_millis()).unwrap())
}

/// A good batch.
pub(crate) fn batch(records: usize) -> Vec<u8> {
    batch_of(BatchSpec::default(), records, b"value")
}

pub(crate) fn batch_with(codec: Codec, records: usize) -> Vec<u8> {
    let spec = BatchSpec {
        codec,
        ..BatchSpec::default()
    };
    batch_of(spec, records, b"value")
}

pub(crate) fn batch_of(spec: BatchSpec, records: usize, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(spec);
    for _ in 0..records {
        builder.push(&Record {
            timestamp: now(),
            key: Some(b"key"),
            value: Some(value),
            ..Record::default()
        });
    }
    builder.finish().unwrap()
}
