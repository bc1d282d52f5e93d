//! What every client has to do, in acts: the node is stopped and killed between them.
//!
//! Act one: all codecs, read back by offset and by time. Act two: two members share, one is killed.
//! Acts three and four: the same producer and the same member go on with a node that was stopped,
//! then killed. Act five: the member leaves and a new one starts exactly where it had committed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{expect_equal, expect_stored};
use super::client::{self, Client};
use super::record::{Read, STEP_MS, Shape};
use crate::x::probe;
use crate::x::talk::{PATIENCE, Talk};
use crate::x::{Context, Failure, Outcome};

/// Records written with each codec.
const CODED: usize = 200;
const PARTITIONS: usize = 4;
/// Records to each partition of the group's topic while two share it, then in each later act.
const SHARED: usize = 50;
const LATER: usize = 20;
/// The least that Kafka allows a classic member by default; for one of the consumer protocol the group
/// decides, and the default is 45 s.
const SESSION_MS: u32 = 6_000;
/// How long a member listens for records that must not come.
const QUIET: Duration = Duration::from_millis(500);

/// One client's part in the play.
pub(super) struct Cast {
    pub(super) client: Arc<Client>,
    /// Another one, which has to understand what this one wrote.
    reader: Arc<Client>,
    address: String,
    shape: Shape,
    logs: PathBuf,
    producer: Option<Talk>,
    member: Option<Member>,
    /// Records sent to each partition of the group's topic.
    sent: usize,
}

impl Cast {
    pub(super) fn new(
        [client, reader]: [Arc<Client>; 2],
        address: String,
        base_ms: u64,
        logs: PathBuf,
    ) -> Self {
        let shape = Shape {
            base_ms,
            null_headers: client.null_headers,
        };
        Self {
            client,
            reader,
            address,
            shape,
            logs,
            producer: None,
            member: None,
            sent: 0,
        }
    }

    fn talk(&self, command: &str, topic: &str, options: &Value) -> Outcome<Talk> {
        self.talk_to(&self.client, command, topic, options)
    }

    fn talk_to(
        &self,
        client: &Client,
        command: &str,
        topic: &str,
        options: &Value,
    ) -> Outcome<Talk> {
        let program = client.program(command, (&self.address, topic), options);
        let name = format!("{}-{command}", client.name);
        Talk::start(program, &client::log(&self.logs, &name))
    }

    fn coded_topic(&self) -> String {
        format!("{}-codecs", self.client.name)
    }

    fn group_topic(&self) -> String {
        format!("{}-group", self.client.name)
    }

    /// One partition for each codec.
    pub(super) fn codecs(&mut self) -> Outcome<()> {
        let (topic, codecs) = (self.coded_topic(), self.client.codecs());
        let partitions = json!({ "partitions": codecs.len() });
        self.talk("create", &topic, &partitions)?.close()?;
        for (partition, codec) in codecs.iter().enumerate() {
            let idempotent = Client::idempotent(codec);
            let options = json!({ "codec": codec, "idempotent": idempotent });
            let mut producer = self.talk("produce", &topic, &options)?;
            let records: Vec<Value> = (0..CODED)
                .map(|index| self.shape.record(partition, index))
                .collect();
            send(&mut producer, &records)?;
            producer.close()?;
        }
        self.read(&self.client, 0, false)?;
        self.read(&self.client, CODED / 2, false)?;
        self.read(&self.client, CODED / 3, true)
    }

    /// What stays true of act one, for another client's eyes.
    pub(super) fn verify_codecs(&self) -> Outcome<()> {
        let (topic, codecs) = (self.coded_topic(), self.client.codecs());
        for (partition, codec) in (0_i32..).zip(codecs) {
            expect_stored(&self.address, (&topic, partition), codec, CODED as i64)?;
        }
        self.read(&self.reader, 0, false)
    }

    /// Everything from an index on, found by its offset or by a time just after the one before.
    fn read(&self, reader: &Client, start: usize, by_time: bool) -> Outcome<()> {
        let (topic, partitions) = (self.coded_topic(), self.client.codecs().len());
        let places: Vec<Value> = (0..partitions)
            .map(|partition| match by_time {
                true => {
                    let time = self.shape.base_ms + STEP_MS * start as u64 - (STEP_MS - 1);
                    json!({ "partition": partition, "time": time, "end": CODED })
                }
                false => json!({ "partition": partition, "offset": start, "end": CODED }),
            })
            .collect();
        let wanted = self.shape.records(partitions, start..CODED);
        let mut reader = self.talk_to(reader, "consume", &topic, &json!({}))?;
        reader.send(&format!("{}\n", json!(places)))?;
        let mut read = Read::default();
        loop {
            let line = reader.answer()?;
            if line.get("end").is_some() {
                break;
            }
            read.take(line)?;
        }
        reader.close()?;
        let how = if by_time { "time" } else { "offset" };
        read.expect(&wanted)
            .context(|| format!("{topic} from {start} by {how}"))
    }

    pub(super) fn share(&mut self) -> Outcome<()> {
        let topic = self.group_topic();
        let partitions = json!({ "partitions": PARTITIONS });
        self.talk("create", &topic, &partitions)?.close()?;
        let options = json!({ "codec": "none", "idempotent": true });
        self.producer = Some(self.talk("produce", &topic, &options)?);
        let (mut first, mut second) = (self.join("first")?, self.join("second")?);
        until("two share", &mut [&mut first, &mut second], |members| {
            let owned: usize = members.iter().map(|one| one.owned.len()).sum();
            let all: BTreeSet<u64> = members.iter().flat_map(|one| one.owned.clone()).collect();
            owned == PARTITIONS
                && all.len() == PARTITIONS
                && members.iter().all(|one| !one.owned.is_empty())
        })?;
        self.produce(SHARED)?;
        let wanted = self.wanted(0);
        until("all is read", &mut [&mut first, &mut second], |members| {
            let read: usize = members.iter().map(|one| one.read.count()).sum();
            read >= wanted.len()
        })?;
        expect_equal("the second one idles", &(second.read.count() == 0), &false)?;
        let read = second.kill()?;
        until("the first one has all", &mut [&mut first], |members| {
            members.iter().all(|one| one.owned.len() == PARTITIONS)
        })?;
        first.read.absorb(read)?;
        self.member = Some(first);
        self.go_on()
    }

    /// The same producer writes more, the same member reads it.
    pub(super) fn go_on(&mut self) -> Outcome<()> {
        self.produce(LATER)?;
        let wanted = self.wanted(0);
        let member = self.member.as_mut().context(|| "no member is left")?;
        until("what was added is read", &mut [member], |members| {
            let read: usize = members.iter().map(|one| one.read.count()).sum();
            read >= wanted.len()
        })?;
        member.read.expect(&wanted)
    }

    pub(super) fn resume(&mut self) -> Outcome<()> {
        self.await_committed()?;
        self.member
            .take()
            .context(|| "no member is left")?
            .leave()?;
        let before = self.sent;
        self.verify_committed()?;
        let mut third = self.join("third")?;
        until("the third one has all", &mut [&mut third], |members| {
            members.iter().all(|one| one.owned.len() == PARTITIONS)
        })?;
        self.produce(LATER)?;
        let wanted = self.wanted(before);
        until("what was added is read", &mut [&mut third], |members| {
            members.iter().all(|one| one.read.count() >= wanted.len())
        })?;
        third.hear(QUIET)?;
        third.read.expect(&wanted).context(|| "a group resumes")?;
        third.leave()?;
        self.producer.take().context(|| "no producer")?.close()?;
        self.verify_committed()
    }

    /// Ends what would have to outlive the node.
    pub(super) fn retire(&mut self) {
        drop(self.member.take());
        drop(self.producer.take());
    }

    /// A commit that failed while the node was away is made again after the records were read again,
    /// which takes some clients a while.
    fn await_committed(&self) -> Outcome<()> {
        let started = Instant::now();
        loop {
            match self.verify_committed() {
                Err(_) if started.elapsed() < PATIENCE => thread::sleep(QUIET),
                done => return done,
            }
        }
    }

    /// What stays true of the other acts: the group stands at the end of every partition.
    pub(super) fn verify_committed(&self) -> Outcome<()> {
        let topic = self.group_topic();
        let committed = probe::committed(&self.address, &topic, (&topic, PARTITIONS))?;
        let wanted = vec![i64::try_from(self.sent).unwrap_or(i64::MAX); PARTITIONS];
        expect_equal("committed", &committed, &wanted)
    }

    fn wanted(&self, from: usize) -> Vec<Value> {
        self.shape.records(PARTITIONS, from..self.sent)
    }

    fn produce(&mut self, more: usize) -> Outcome<()> {
        let records = self.shape.records(PARTITIONS, self.sent..self.sent + more);
        let producer = self.producer.as_mut().context(|| "no producer")?;
        send(producer, &records)?;
        self.sent += more;
        Ok(())
    }

    fn join(&self, name: &str) -> Outcome<Member> {
        let topic = self.group_topic();
        let options = json!({
            "group": topic,
            "session": SESSION_MS,
            "cooperative": self.client.cooperative,
            "consumer_protocol": self.client.consumer_protocol,
        });
        let program = self
            .client
            .program("member", (&self.address, &topic), &options);
        let name = format!("{}-{name}", self.client.name);
        Ok(Member {
            talk: Talk::start(program, &client::log(&self.logs, &name))?,
            owned: BTreeSet::new(),
            read: Read::default(),
        })
    }
}

/// Sends a batch; each record has to be acknowledged at the offset that its index is.
fn send(producer: &mut Talk, records: &[Value]) -> Outcome<()> {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    producer.send(&format!("{lines}\n"))?;
    let answer = producer.answer()?;
    let wanted: Vec<Value> = records
        .iter()
        .map(|record| record.get("offset").cloned().unwrap_or_default())
        .collect();
    let offsets = answer.get("offsets").and_then(Value::as_array);
    expect_equal("acknowledged offsets", &offsets, &Some(&wanted))
}

/// One member of a group, as it tells of itself.
struct Member {
    talk: Talk,
    owned: BTreeSet<u64>,
    read: Read,
}

impl Member {
    /// Takes lines until there is none for a while.
    fn hear(&mut self, limit: Duration) -> Outcome<()> {
        while let Some(line) = self.talk.hear(limit)? {
            match line.get("assigned").and_then(Value::as_array) {
                Some(owned) => self.owned = owned.iter().filter_map(Value::as_u64).collect(),
                None => self.read.take(line)?,
            }
        }
        Ok(())
    }

    fn kill(self) -> Outcome<Read> {
        self.talk.kill()?;
        Ok(self.read)
    }

    fn leave(self) -> Outcome<()> {
        self.talk.close()?;
        Ok(())
    }
}

/// Listens to members until something holds for all of them.
fn until(
    what: &str,
    members: &mut [&mut Member],
    holds: impl Fn(&[&mut Member]) -> bool,
) -> Outcome<()> {
    let started = Instant::now();
    while !holds(members) {
        if started.elapsed() > PATIENCE {
            let state: Vec<_> = members
                .iter()
                .map(|one| format!("{:?} and {} records", one.owned, one.read.count()))
                .collect();
            return Err(Failure::new(format!(
                "{what}: not within {} s; they have {}",
                PATIENCE.as_secs(),
                state.join("; ")
            )));
        }
        for member in &mut *members {
            member.hear(Duration::from_millis(20))?;
        }
    }
    Ok(())
}
