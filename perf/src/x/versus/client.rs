//! A few requests to a server under test, apart from any generator: create a topic, ask where its
//! partitions end, hold a fetch session. What a row costs is divided by what these say.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::bytes::{Message, View, Writer};
use thalweg_wire::messages::{
    create_topics_request as create, create_topics_response, fetch_request as fetch,
    fetch_response, list_offsets_request as list, list_offsets_response,
};

use crate::x::{Context, Failure, Outcome};

/// A server that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// So long a server may take until all partitions of a new topic have leaders.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(120);
const ANSWER_BYTES_MAX: usize = 256 << 20;
const CLIENT_ID: &[u8] = b"versus";
const TOPIC_ALREADY_EXISTS: i16 = 36;
const UNKNOWN_TOPIC: i16 = 3;
/// The session is unknown, or its epoch is not the one expected.
const SESSION_CODES: [i16; 2] = [70, 71];
const LATEST: i64 = -1;

/// A connection that asks one thing at a time.
#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    answer: Vec<u8>,
    next_id: i32,
}

/// Where a consumer stands with its fetch session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
}

impl Client {
    pub(super) fn connect(address: &str) -> Outcome<Self> {
        let socket = TcpStream::connect(address).context(|| format!("connecting to {address}"))?;
        socket
            .set_read_timeout(Some(SILENCE_MAX))
            .context(|| "setting a time limit")?;
        socket.set_nodelay(true).context(|| "setting TCP_NODELAY")?;
        Ok(Self {
            socket,
            answer: Vec::new(),
            next_id: 0,
        })
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask<'a, M: Message, V: View<'a>>(
        &'a mut self,
        request: &M,
        version: i16,
    ) -> Outcome<V> {
        let key = M::API_KEY.context(|| "not a request")?;
        let flexible = M::FIRST_FLEXIBLE.is_some_and(|first| version >= first);
        let size = request.size(version).context(|| "sizing a request")?;
        let mut body = Writer::with_capacity(size);
        request
            .encode(version, &mut body)
            .context(|| "encoding a request")?;
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(self.next_id.to_be_bytes());
        frame.extend([0, CLIENT_ID.len() as u8]);
        frame.extend(CLIENT_ID);
        if flexible {
            frame.push(0);
        }
        frame.extend_from_slice(body.buffer());
        let length = u32::try_from(frame.len()).context(|| "a request beyond 4 GiB")?;
        self.socket
            .write_all(&[&length.to_be_bytes()[..], &frame].concat())
            .context(|| "sending")?;
        let body = self.receive(flexible)?;
        V::decode(body, version).context(|| format!("understanding an answer to key {key}"))
    }

    fn receive(&mut self, flexible: bool) -> Outcome<&[u8]> {
        let mut prefix = [0; 4];
        self.socket
            .read_exact(&mut prefix)
            .context(|| "receiving")?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(Failure::new(format!("an answer of {length} bytes")));
        }
        self.answer.resize(length, 0);
        self.socket
            .read_exact(&mut self.answer)
            .context(|| "receiving")?;
        let expected = self.next_id;
        self.next_id += 1;
        match self.answer.split_first_chunk::<4>() {
            Some((id, body)) if i32::from_be_bytes(*id) == expected => {
                Ok(body.get(usize::from(flexible)..).unwrap_or_default())
            }
            _ => Err(Failure::new("an answer to another request")),
        }
    }

    /// True if the topic was not there before.
    pub(super) fn create(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Outcome<bool> {
        let configs = configs
            .iter()
            .map(|(name, value)| create::CreatableTopicConfig {
                name: Cow::Borrowed(name),
                value: Some(Cow::Borrowed(value)),
            });
        let request = create::CreateTopicsRequest {
            topics: vec![create::CreatableTopic {
                name: Cow::Borrowed(topic),
                num_partitions: partitions,
                replication_factor: -1,
                configs: configs.collect(),
                ..Default::default()
            }],
            timeout_ms: 60_000,
            ..Default::default()
        };
        let answer: create_topics_response::CreateTopicsResponseView<'_> = self.ask(&request, 7)?;
        let code = answer.topics.iter().map(|topic| topic.error_code).next();
        match code {
            Some(0) => Ok(true),
            Some(TOPIC_ALREADY_EXISTS) => Ok(false),
            code => Err(Failure::new(format!(
                "creating topic {topic} was answered with {code:?}"
            ))),
        }
    }

    /// How many records are in all partitions, once all of them have leaders.
    pub(super) fn records(&mut self, topic: &str, partitions: i32) -> Outcome<u64> {
        let started = Instant::now();
        loop {
            match self.ends(topic, partitions)? {
                Ok(records) => return Ok(records),
                Err(code) if started.elapsed() > LEADER_WAIT_MAX => {
                    let what = format!("asking for the end of {topic} was answered with {code}");
                    return Err(Failure::new(what));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The sum of all ends, or the first partition's error.
    fn ends(&mut self, topic: &str, partitions: i32) -> Outcome<Result<u64, i16>> {
        let latest = |partition_index| list::ListOffsetsPartition {
            partition_index,
            current_leader_epoch: -1,
            timestamp: LATEST,
        };
        let request = list::ListOffsetsRequest {
            replica_id: -1,
            topics: vec![list::ListOffsetsTopic {
                name: Cow::Borrowed(topic),
                partitions: (0..partitions).map(latest).collect(),
            }],
            ..Default::default()
        };
        let answer: list_offsets_response::ListOffsetsResponseView<'_> = self.ask(&request, 7)?;
        let (mut sum, mut seen) = (0, 0);
        for partition in answer
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter())
        {
            if partition.error_code != 0 {
                return Ok(Err(partition.error_code));
            }
            sum += u64::try_from(partition.offset).unwrap_or(0);
            seen += 1;
        }
        Ok(if seen == partitions {
            Ok(sum)
        } else {
            Err(UNKNOWN_TOPIC)
        })
    }

    /// One fetch in a session: the first names its partitions, later ones only wait.
    pub(super) fn wait(
        &mut self,
        topic: &str,
        partitions: &[i32],
        session: &mut Session,
    ) -> Outcome<()> {
        let mine = partitions.iter().map(|partition| fetch::FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        });
        let topics = match session.epoch {
            0 => vec![fetch::FetchTopic {
                topic: Cow::Borrowed(topic),
                partitions: mine.collect(),
                ..Default::default()
            }],
            _ => Vec::new(),
        };
        let request = fetch::FetchRequest {
            replica_id: -1,
            // Kafka's default for fetch.max.wait.ms.
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 << 20,
            session_id: session.id,
            session_epoch: session.epoch,
            topics,
            ..Default::default()
        };
        let answer: fetch_response::FetchResponseView<'_> = self.ask(&request, 12)?;
        let (code, id) = (answer.error_code, answer.session_id);
        match code {
            // Without a session every fetch is a first one.
            0 if id == 0 => *session = Session::default(),
            0 => {
                session.id = id;
                session.epoch += 1;
            }
            code if SESSION_CODES.contains(&code) => *session = Session::default(),
            code => return Err(Failure::new(format!("a fetch was answered with {code}"))),
        }
        Ok(())
    }
}
