//! One consumer's dealings with one broker: positions, fetches, and a close look at what comes.
//!
//! Every batch's checksum and offset is verified, and every record's sequence unless told not to:
//! the speed of wrong answers is worth nothing. One fetch is under way at a time, and the next one
//! leaves before the answer is looked through, as with Kafka's own client. With a fetch session,
//! only partitions that moved are named.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use thalweg_wire::batch::header::{BatchRef, split};
use thalweg_wire::header::encode_request;
use thalweg_wire::messages::fetch_request as fetch;
use thalweg_wire::messages::fetch_response::FetchResponseView;

use super::order::Order;
use super::stage::Stage;
use super::tally::Tally;
use super::worker::Actor;
use crate::client::{Answer, CLIENT_ID, Cluster, Connection, Link, Request};
use crate::error::decode;
use crate::settings::Verify;
use crate::{BenchError, Settings};

/// Topic by name, flexible, with sessions; every server since Kafka 2.7 has it.
pub(super) const VERSION: i16 = 12;
/// Kafka's default for fetch.max.bytes.
pub(super) const ANSWER_BYTES_MAX: i32 = 50 << 20;
/// The session is gone, or its count is off: begin another one.
const SESSION_LOST: [i16; 2] = [70, 71];
/// After the last acknowledgement a consumer has so long to see everything.
const CATCH_UP_NS: u64 = 10_000_000_000;

/// What a consumer's latencies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// From asking to having an answer whole.
    Fetch,
    /// Of each of this run's records, from its intended send time to here.
    Record,
}

/// What all consumers of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) measure: Measure,
    /// Stop after so many.
    pub(super) records: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    offset: i64,
    /// The session does not know of this position yet.
    moved: bool,
}

#[derive(Debug)]
pub(super) struct Consumer {
    stage: Arc<Stage>,
    link: Link,
    task: Task,
    topic: String,
    fetch_bytes: i32,
    wait_ms: i32,
    verify: Verify,
    record_bytes: u64,
    positions: BTreeMap<i32, Position>,
    /// None without sessions.
    session: Option<Session>,
    asked_ns: Option<u64>,
    order: Order,
    seen: u64,
    /// When the end was first known and not yet reached.
    late_since_ns: Option<u64>,
    spare: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    id: i32,
    epoch: i32,
}

/// A consumer on each broker that leads some of `partitions`, from these offsets on.
pub(super) fn start(
    settings: &Settings,
    stage: &Arc<Stage>,
    cluster: &Cluster,
    (from, task): (&BTreeMap<i32, i64>, Task),
) -> Result<Vec<Box<dyn Actor>>, BenchError> {
    let mut consumers: Vec<Box<dyn Actor>> = Vec::new();
    for (address, led) in cluster.leaders() {
        let position = |partition: &i32| {
            let offset = *from.get(partition)?;
            let moved = true;
            Some((*partition, Position { offset, moved }))
        };
        let positions: BTreeMap<i32, Position> = led.iter().filter_map(position).collect();
        if positions.is_empty() {
            continue;
        }
        consumers.push(Box::new(Consumer {
            stage: Arc::clone(stage),
            link: Link::new(Connection::open(address)?.into_socket())?,
            task,
            topic: settings.topic.clone(),
            fetch_bytes: settings.fetch_bytes,
            wait_ms: settings.fetch_wait_ms,
            verify: settings.verify,
            record_bytes: settings.record_bytes as u64,
            positions,
            session: settings.fetch_session.then(Session::default),
            asked_ns: None,
            order: Order::default(),
            seen: 0,
            late_since_ns: None,
            spare: Vec::new(),
            ended: false,
        }));
    }
    Ok(consumers)
}

impl Consumer {
    fn ask(&mut self) -> Result<(), BenchError> {
        let request = self.request();
        let frame = encode_request(&request, VERSION, 0, Some(CLIENT_ID))?;
        self.asked_ns = Some(self.stage.clock.now_ns());
        self.link.send(Request::plain(frame))
    }

    fn request(&mut self) -> fetch::FetchRequest<'static> {
        let all = self.session.is_none_or(|session| session.epoch == 0);
        let mut partitions = Vec::new();
        for (partition, position) in &mut self.positions {
            if all || position.moved {
                position.moved = false;
                partitions.push(fetch::FetchPartition {
                    partition: *partition,
                    current_leader_epoch: -1,
                    fetch_offset: position.offset,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: self.fetch_bytes,
                    ..Default::default()
                });
            }
        }
        let topic = fetch::FetchTopic {
            topic: Cow::Owned(self.topic.clone()),
            partitions,
            ..Default::default()
        };
        let without = Session { id: 0, epoch: -1 };
        let session = self.session.unwrap_or(without);
        fetch::FetchRequest {
            replica_id: -1,
            max_wait_ms: self.wait_ms,
            min_bytes: 1,
            max_bytes: ANSWER_BYTES_MAX,
            session_id: session.id,
            session_epoch: session.epoch,
            topics: match topic.partitions.is_empty() {
                true => Vec::new(),
                false => vec![topic],
            },
            ..Default::default()
        }
    }

    /// Moves positions past what came, so that the next fetch can leave.
    fn follow(&mut self, body: &[u8]) -> Result<(), BenchError> {
        let answer = FetchResponseView::decode(body, VERSION).map_err(decode("FetchResponse"))?;
        if self.session.is_some() && SESSION_LOST.contains(&answer.error_code) {
            self.session = Some(Session::default());
            return Ok(());
        }
        refuse(answer.error_code)?;
        if let Some(session) = &mut self.session {
            // A server without room for sessions says 0.
            *session = match answer.session_id {
                0 => Session::default(),
                id => Session {
                    id,
                    epoch: (session.epoch % i32::MAX) + 1,
                },
            };
        }
        for data in partitions(&answer) {
            refuse(data.error_code)?;
            let Some(position) = self.positions.get_mut(&data.partition_index) else {
                let what = format!("partition {} was not asked for", data.partition_index);
                return Err(BenchError::Protocol(what));
            };
            // A batch that was cut at the end is fetched again.
            for batch in split(data.records.unwrap_or_default()).map_while(Result::ok) {
                check_place(&batch, data.partition_index, position.offset)?;
                position.offset = batch.header().next_offset().0;
                position.moved = true;
            }
        }
        Ok(())
    }

    /// Looks through an answer whose positions were followed already.
    fn look(&mut self, body: &[u8], tally: &mut Tally) -> Result<(), BenchError> {
        let answer = FetchResponseView::decode(body, VERSION).map_err(decode("FetchResponse"))?;
        let now = self.stage.clock.now_ns();
        let (mut records, mut bytes) = (0, 0);
        for data in partitions(&answer) {
            for batch in split(data.records.unwrap_or_default()).map_while(Result::ok) {
                let partition = data.partition_index;
                check_sum(&batch, partition)?;
                tally.batches += 1;
                bytes += batch.bytes().len() as u64;
                records += u64::try_from(batch.header().record_count()).unwrap_or(0);
                if self.verify == Verify::Full || self.task.measure == Measure::Record {
                    self.look_closely(partition, &batch, now, tally)?;
                }
            }
        }
        tally.requests += 1;
        self.seen += records;
        let asked = self.asked_ns.unwrap_or(now);
        let second = self.stage.second(now);
        let mut worst = 0;
        if self.task.measure == Measure::Fetch {
            tally.records_in_all += records;
            tally.arrive(second, records, bytes);
            tally.latency(second, now.saturating_sub(asked), 1);
            worst = now.saturating_sub(asked);
        }
        self.stage.consumed.count(records, bytes, worst);
        Ok(())
    }

    fn look_closely(
        &mut self,
        partition: i32,
        batch: &BatchRef<'_>,
        now: u64,
        tally: &mut Tally,
    ) -> Result<(), BenchError> {
        let stage = &self.stage;
        let each = self.task.measure == Measure::Record;
        let counts = each && stage.holds(now);
        let (mut own, mut worst) = (0, 0);
        self.order.see(partition, batch, |stamp| {
            if each && stamp.run == stage.run {
                own += 1;
                let latency = now.saturating_sub(stamp.intended_ns);
                worst = worst.max(latency);
                if stage.holds(stamp.intended_ns) {
                    tally.latency(stage.second(stamp.intended_ns), latency, 1);
                }
            }
        })?;
        tally.records_in_all += own;
        if counts {
            tally.arrive(stage.second(now), own, own * self.record_bytes);
        }
        stage.consumed.worst_ns.fetch_max(worst, Ordering::Relaxed);
        Ok(())
    }

    /// True once all was seen that there is to see.
    fn reached_the_end(&mut self) -> bool {
        if self
            .task
            .records
            .is_some_and(|records| self.seen >= records)
        {
            return true;
        }
        let Some(ends) = self.stage.ends() else {
            return false;
        };
        let behind = |(partition, position): (&i32, &Position)| {
            ends.get(partition)
                .is_some_and(|end| position.offset < *end)
        };
        if !self.positions.iter().any(behind) {
            return true;
        }
        let now = self.stage.clock.now_ns();
        let since = *self.late_since_ns.get_or_insert(now);
        self.task.measure == Measure::Record && now > since + CATCH_UP_NS
    }
}

/// The batch that holds the position asked for, whole.
pub(super) fn check_place(
    batch: &BatchRef<'_>,
    partition: i32,
    position: i64,
) -> Result<(), BenchError> {
    let header = batch.header();
    if header.base_offset().0 > position || header.next_offset().0 <= position {
        let base = header.base_offset().0;
        let what = format!("{partition}: asked for {position}, got {base}");
        return Err(BenchError::Wrong(what));
    }
    Ok(())
}

pub(super) fn check_sum(batch: &BatchRef<'_>, partition: i32) -> Result<(), BenchError> {
    if !batch.crc_matches() {
        let offset = batch.header().base_offset().0;
        let what = format!("bad checksum at {partition}:{offset}");
        return Err(BenchError::Wrong(what));
    }
    Ok(())
}

fn refuse(code: i16) -> Result<(), BenchError> {
    let what = "fetching";
    match code {
        0 => Ok(()),
        code => Err(BenchError::Refused { what, code }),
    }
}

fn partitions<'a>(
    answer: &FetchResponseView<'a>,
) -> impl Iterator<Item = thalweg_wire::messages::fetch_response::PartitionDataView<'a>> + use<'a> {
    answer
        .responses
        .iter()
        .flat_map(|topic| topic.partitions.iter())
}

impl Actor for Consumer {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    fn act(&mut self, _tally: &mut Tally) -> Result<(), BenchError> {
        if self.ended || self.asked_ns.is_some() {
            return Ok(());
        }
        match self.reached_the_end() {
            true => self.ended = true,
            false => self.ask()?,
        }
        Ok(())
    }

    fn read(&mut self, tally: &mut Tally) -> Result<(), BenchError> {
        let spare = std::mem::take(&mut self.spare);
        let Some(Answer { bytes, body }) = self.link.take_answer(true, spare)? else {
            return Ok(());
        };
        let body = bytes.get(body).unwrap_or_default();
        let asked = self.asked_ns.take();
        self.follow(body)?;
        // The count of records decides there, so the answer has to be looked through first.
        let ahead = self.task.records.is_none() && !self.reached_the_end();
        let next = match ahead {
            true => {
                self.ask()?;
                self.asked_ns
            }
            false => None,
        };
        self.asked_ns = asked;
        self.look(body, tally)?;
        self.asked_ns = next;
        self.spare = bytes;
        Ok(())
    }

    fn wake_ns(&self) -> Option<u64> {
        match self.ended || self.asked_ns.is_some() {
            true => None,
            false => Some(0),
        }
    }

    fn is_waiting(&self) -> bool {
        self.asked_ns.is_some()
    }

    fn is_done(&self) -> bool {
        self.ended
    }

    fn finish(&mut self, tally: &mut Tally) {
        tally.missing_records += self.order.missing;
        tally.foreign_records += self.order.foreign;
    }
}
