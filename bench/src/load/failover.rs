//! How long a leader's end is felt: one idempotent writer a partition, one batch under way, sent
//! again until it is acknowledged, whoever leads the partition then.
//!
//! Open loop as everywhere: while nobody leads, records become due and wait, and their latency
//! counts from the time they were due. An *outage* is the time from sending the attempt that failed
//! first to the acknowledgement that ended it. All that becomes due is sent in the end, and then
//! each writer reads its partition back: every acknowledged record has to be there, once and in
//! order, on whichever broker leads now.
//!
//! Blocking sockets and a thread a partition, since a writer that waits for a leader has nothing
//! else to do. Deliberately absent: maximum rate (without times there is no waiting), keys (a writer
//! has its partition), more than one request in flight (what is sent again has to be the oldest).

use std::borrow::Cow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::bytes::Records;
use thalweg_wire::messages::produce_response::ProduceResponseView;
use thalweg_wire::messages::{produce_request as produce, produce_response};

use super::clock::Clock;
use super::pace::Schedule;
use super::producer::{VERSION, wall_clock_ms};
use super::stage::Stage;
use super::stamp::Stamp;
use super::tally::Tally;
use super::template::{Due, Fill, Shape, Template};
use super::{Measured, reread, window, worker};
use crate::client::{Cluster, Connection, producer_id};
use crate::report::{Report, Run};
use crate::{BenchError, Settings};

/// Connecting, or one attempt: longer than a flush takes, shorter than an operator's patience.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// A partition that nobody has led for so long is given up, and the run with it.
const OUTAGE_MAX: Duration = Duration::from_secs(120);
/// Between two attempts; Kafka's clients wait 100 ms, but here it is the server that is measured.
const PAUSE: Duration = Duration::from_millis(5);
/// What the broker takes for waiting on replicas, as Kafka's clients do.
const REPLICAS_MS: i32 = 4_000;
/// The batch of this sequence is there already: an answer was lost, not the batch.
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
/// What passes when another broker leads, or the same one again: unknown topic or partition, leader
/// not available, not the leader, timed out, network, too few replicas, storage, leader epochs.
const PASSING_CODES: [i16; 10] = [3, 5, 6, 7, 13, 19, 20, 56, 74, 75];

pub(super) fn run(settings: &Settings, cluster: &Cluster) -> Result<Report, BenchError> {
    let stage = Arc::new(Stage::new(Clock::real(), window(settings)));
    let starts = cluster.ends()?;
    let mut writers = Vec::new();
    for (partition, start) in starts {
        writers.push(Writer::new(settings, cluster, &stage, (partition, start))?);
    }
    stage.clock.start();
    let progress = super::Progress::start(settings, &stage, true);
    let work: Vec<_> = writers.into_iter().map(Writer::spawn).collect();
    let produced = super::sum(work);
    progress.stop();
    let mut produced = produced?;
    produced.seconds = stage.seconds();
    let measured = Measured {
        produced,
        ..Measured::default()
    };
    Ok(Report::new(settings, &Run::of(settings, &measured)))
}

struct Writer {
    settings: Settings,
    cluster: Cluster,
    stage: Arc<Stage>,
    partition: i32,
    /// Where this run's records begin.
    start: i64,
    schedule: Schedule,
    template: Template,
    /// None until a leader is found.
    leader: Option<Connection>,
    /// Of the next record to become due, and of the next one to be sent.
    next: u64,
    sequence: u32,
    tally: Tally,
}

/// What came of one attempt.
enum Attempt {
    Acknowledged,
    /// With the code that said so; none if the connection did not last.
    Passing(Option<i16>),
}

impl Writer {
    fn new(
        settings: &Settings,
        cluster: &Cluster,
        stage: &Arc<Stage>,
        (partition, start): (i32, i64),
    ) -> Result<Self, BenchError> {
        let mut leader = Connection::open_within(&cluster.leader(partition)?, ATTEMPT_MAX)?;
        let template = Template::new(Shape {
            record_bytes: settings.record_bytes,
            records_max: settings.batch_records_max(),
            keyed: false,
            codec: settings.codec()?,
            identity: Some(producer_id(&mut leader)?),
        });
        let index = usize::try_from(partition).unwrap_or(0);
        let writers = usize::try_from(settings.partitions).unwrap_or(1);
        Ok(Self {
            settings: settings.clone(),
            cluster: cluster.clone(),
            stage: Arc::clone(stage),
            partition,
            start,
            schedule: Schedule::new(settings.rate, (index, writers), 1.0),
            template,
            leader: Some(leader),
            next: 0,
            sequence: 0,
            tally: Tally::default(),
        })
    }

    fn spawn(mut self) -> thread::JoinHandle<Result<Tally, BenchError>> {
        thread::spawn(move || {
            worker::wake_on_time();
            let done = self.write().and_then(|()| self.read_back());
            if done.is_err() {
                self.stage.fail();
            }
            done?;
            self.tally.cpu_seconds = worker::cpu_seconds();
            Ok(self.tally)
        })
    }

    /// Sends all that becomes due before the end, however late that is done.
    fn write(&mut self) -> Result<(), BenchError> {
        let records_max = self.settings.batch_records_max();
        let mut dues = Vec::with_capacity(records_max);
        while self.schedule.intended_ns(self.next) < self.stage.to_ns() {
            if self.stage.has_failed() {
                return Ok(());
            }
            let now = self.stage.clock.now_ns();
            let due_ns = self.schedule.intended_ns(self.next);
            if due_ns > now {
                thread::sleep(Duration::from_nanos(due_ns - now));
                continue;
            }
            let last = now.min(self.stage.to_ns() - 1);
            dues.clear();
            while dues.len() < records_max && self.schedule.intended_ns(self.next) <= last {
                let intended_ns = self.schedule.intended_ns(self.next);
                dues.push(Due {
                    intended_ns,
                    key: 0,
                });
                self.next += 1;
            }
            if self.stage.holds(due_ns) {
                self.tally.lags.record(now - due_ns);
            }
            self.deliver(&dues)?;
        }
        Ok(())
    }

    /// Sends one batch until it is acknowledged.
    fn deliver(&mut self, dues: &[Due]) -> Result<(), BenchError> {
        let batch = self.batch(dues)?;
        let (begun, mut failed) = (Instant::now(), None);
        loop {
            let code = match self.attempt(&batch)? {
                Attempt::Acknowledged => break,
                Attempt::Passing(code) => code,
            };
            self.leader = None;
            self.tally.outages.retries += 1;
            failed = failed.or(Some(code));
            if begun.elapsed() > OUTAGE_MAX {
                let partition = self.partition;
                let seconds = OUTAGE_MAX.as_secs();
                let last = code.map_or("the connection failed".to_owned(), |code| {
                    format!("error code {code}")
                });
                return Err(BenchError::Protocol(format!(
                    "partition {partition}: no leader that takes records for {seconds} s; last: {last}"
                )));
            }
            if self.stage.has_failed() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        if failed.is_some() {
            let ns = begun.elapsed().as_nanos() as u64;
            self.tally.outages.ns.push(ns);
        }
        self.tally.batches += 1;
        self.sequence = self.sequence.wrapping_add(dues.len() as u32);
        let bytes = self.settings.record_bytes as u64;
        let now = self.stage.clock.now_ns();
        self.stage.acknowledged(now, dues, bytes, &mut self.tally);
        Ok(())
    }

    /// Everything about it but the connection is made once: sent again, it is the same batch.
    fn batch(&mut self, dues: &[Due]) -> Result<Vec<u8>, BenchError> {
        let base = (self.sequence & i32::MAX.cast_unsigned()).cast_signed();
        let fill = Fill {
            base_sequence: Some(base),
            timestamp_ms: wall_clock_ms(),
            first: Stamp {
                intended_ns: 0,
                run: self.stage.run,
                producer: self.partition as u16,
                sequence: self.sequence,
            },
            dues,
        };
        let mut batch = Vec::new();
        match self.template.is_patched() {
            true => {
                self.template.append(dues.len(), &mut batch);
                self.template.patch(&mut batch, &fill);
            }
            false => self.template.append_compressed(&fill, &mut batch)?,
        }
        Ok(batch)
    }

    /// One request, to whoever leads as far as is known.
    fn attempt(&mut self, batch: &[u8]) -> Result<Attempt, BenchError> {
        let leader = match &mut self.leader {
            Some(leader) => leader,
            none => {
                let found = self.cluster.leader(self.partition);
                let found = found.and_then(|leader| Connection::open_within(&leader, ATTEMPT_MAX));
                let Ok(found) = found else {
                    return Ok(Attempt::Passing(None));
                };
                self.tally.outages.reconnects += 1;
                none.insert(found)
            }
        };
        let request = request(&self.settings.topic, self.partition, batch);
        let answer: ProduceResponseView<'_> = match leader.call(&request, VERSION) {
            Ok(answer) => answer,
            Err(BenchError::Io { .. }) => return Ok(Attempt::Passing(None)),
            Err(error) => return Err(error),
        };
        let answers = answer.responses.iter();
        let code = answers
            .flat_map(|topic| topic.partition_responses.iter())
            .map(
                |partition: produce_response::PartitionProduceResponseView<'_>| {
                    partition.error_code
                },
            )
            .next();
        match code {
            Some(0 | DUPLICATE_SEQUENCE_NUMBER) => Ok(Attempt::Acknowledged),
            Some(code) if PASSING_CODES.contains(&code) => Ok(Attempt::Passing(Some(code))),
            Some(OUT_OF_ORDER_SEQUENCE_NUMBER) => Err(BenchError::Wrong(format!(
                "partition {}: the leader lacks records before sequence {} that were acknowledged",
                self.partition, self.sequence
            ))),
            Some(code) => {
                let what = "producing";
                Err(BenchError::Refused { what, code })
            }
            None => Err(BenchError::Protocol(
                "no partition in the answer".to_owned(),
            )),
        }
    }

    /// Holds what is there now against what was acknowledged.
    fn read_back(&mut self) -> Result<(), BenchError> {
        if self.stage.has_failed() {
            return Ok(());
        }
        let from = (self.partition, self.start);
        let found = reread::records(&self.settings, &self.cluster, from, self.stage.run)?;
        let acknowledged = self.tally.records_in_all;
        if found != acknowledged {
            return Err(BenchError::Wrong(format!(
                "partition {}: {acknowledged} records acknowledged, {found} read back",
                self.partition
            )));
        }
        Ok(())
    }
}

fn request<'a>(topic: &'a str, partition: i32, batch: &'a [u8]) -> produce::ProduceRequest<'a> {
    produce::ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: REPLICAS_MS,
        topic_data: vec![produce::TopicProduceData {
            name: Cow::Borrowed(topic),
            partition_data: vec![produce::PartitionProduceData {
                index: partition,
                records: Records::Bytes(Cow::Borrowed(batch)),
            }],
            ..Default::default()
        }],
    }
}
