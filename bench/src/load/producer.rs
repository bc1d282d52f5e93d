//! One producer's dealings with one broker: what is due, in which request, and its answer.
//!
//! Records become due by the schedule, whether or not the broker has room for them; they wait in
//! their partition's queue and their latency counts from the time they were due. At maximum rate
//! records are made when a request has room. A request takes at most one batch a partition and
//! [`REQUEST_BYTES_MAX`], as Kafka's own client does. What was due and did not get out before the
//! end is told, with the time it had waited: a lower bound, never left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thalweg_wire::messages::produce_response::ProduceResponseView;

use super::frames::{Batch, Frames};
use super::keys::Plan;
use super::pace::Schedule;
use super::queues::{Limits, Load, Part, Queues};
use super::stage::Stage;
use super::stamp::Stamp;
use super::tally::Tally;
use super::template::{Due, Fill, Shape, Template};
use super::worker::Actor;
use crate::client::{Cluster, Connection, Link, Request, producer_id};
use crate::error::decode;
use crate::settings::Keys;
use crate::{BenchError, Settings};

/// Kafka's default for max.request.size.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Topic by name, flexible; every server since Kafka 2.8 has it.
pub(super) const VERSION: i16 = 9;
/// Requests sent in one turn, before others have theirs: without acknowledgements nothing else
/// would end it.
const TURN_REQUESTS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Producer {
    stage: Arc<Stage>,
    link: Link,
    number: u16,
    idempotent: bool,
    acks: i16,
    record_bytes: u64,
    in_flight_max: usize,
    linger_ns: u64,
    queues: Queues,
    template: Template,
    frames: Frames,
    /// By slot: its partition, and the sequence of its next record.
    partitions: Vec<i32>,
    sequences: Vec<u32>,
    flights: VecDeque<Load>,
    spare: Vec<Load>,
    /// When the last answer made room for a request; only lateness after that is our own.
    room_since_ns: u64,
    ended: bool,
}

/// The producers of a run, by broker; each has a connection of its own.
pub(super) fn start(
    settings: &Settings,
    stage: &Arc<Stage>,
    cluster: &Cluster,
) -> Result<Vec<Box<dyn Actor>>, BenchError> {
    let mut producers: Vec<Box<dyn Actor>> = Vec::new();
    for number in 0..settings.producers {
        let mut identity = None;
        for (address, led) in cluster.leaders() {
            let mut connection = Connection::open(address)?;
            if settings.idempotent && identity.is_none() {
                identity = Some(producer_id(&mut connection)?);
            }
            let link = Link::new(connection.into_socket())?;
            let plan = Plan {
                keys: settings.keys,
                partitioner: settings.partitioner,
                batch_records: settings.batch_records_max(),
                partitions: usize::try_from(settings.partitions).unwrap_or(1),
                led,
                producer: number,
                producers: settings.producers,
            };
            let share = plan.share();
            if share > 0.0 {
                let schedule = Schedule::new(settings.rate, (number, settings.producers), share);
                let start = (link, plan, schedule);
                let producer = Producer::new(settings, Arc::clone(stage), start, identity)?;
                producers.push(Box::new(producer));
            }
        }
    }
    Ok(producers)
}

impl Producer {
    fn new(
        settings: &Settings,
        stage: Arc<Stage>,
        (link, plan, schedule): (Link, Plan<'_>, Schedule),
        identity: Option<(i64, i16)>,
    ) -> Result<Self, BenchError> {
        let batch_records = settings.batch_records_max();
        let slots = plan.led.len();
        let limits = Limits {
            batch_records,
            request_records: (REQUEST_BYTES_MAX / settings.record_bytes).max(1),
            linger_ns: settings.linger.as_nanos() as u64,
        };
        let template = Template::new(Shape {
            record_bytes: settings.record_bytes,
            records_max: batch_records,
            keyed: settings.keys != Keys::None,
            codec: settings.codec()?,
            identity,
        });
        Ok(Self {
            link,
            number: plan.producer as u16,
            idempotent: identity.is_some(),
            acks: settings.acks,
            record_bytes: settings.record_bytes as u64,
            in_flight_max: settings.in_flight,
            linger_ns: limits.linger_ns,
            queues: Queues::new(limits, schedule, (plan.spread(), slots)),
            template,
            frames: Frames::new(settings.topic.clone(), settings.acks),
            partitions: plan.led.to_vec(),
            sequences: vec![0; slots],
            flights: VecDeque::new(),
            spare: Vec::new(),
            room_since_ns: 0,
            ended: false,
            stage,
        })
    }

    fn send(&mut self, now: u64, tally: &mut Tally) -> Result<(), BenchError> {
        let oldest = self.queues.oldest_ns().unwrap_or(now);
        let mut flight = self.spare.pop().unwrap_or_default();
        self.queues.take(&mut flight);
        if !self.queues.is_open() {
            // Latency counts from sending: there is no time these were meant for.
            flight.dues.iter_mut().for_each(|due| due.intended_ns = now);
        } else if self.stage.holds(now) {
            let due = oldest.saturating_add(self.linger_ns);
            tally.lags.record(now.saturating_sub(due));
            let since = due.max(self.room_since_ns);
            tally.own_lags.record(now.saturating_sub(since));
        }
        let mut request = self.link.buffer();
        match self.template.is_patched() {
            true => self.fill_plain(&mut request, &flight)?,
            false => self.fill_compressed(&mut request, &flight)?,
        }
        self.link.send(request)?;
        if self.acks == 0 {
            self.count(now, &flight, tally);
            self.spare.push(flight);
        } else {
            self.flights.push_back(flight);
        }
        Ok(())
    }

    /// Writes each batch's own values into its place in a frame of the same shape.
    fn fill_plain(&mut self, request: &mut Request, flight: &Load) -> Result<(), BenchError> {
        let counts = flight.parts.iter().map(|part| part.count);
        if !request.fits(counts.clone()) {
            let template = &self.template;
            let batches = counts.map(|records| Batch {
                partition: -1,
                records,
                bytes: template.bytes(records),
            });
            let batches: Vec<Batch> = batches.collect();
            self.frames.lay_out(request, &batches, |batch, out| {
                template.append(batch.records, out)
            })?;
        }
        let timestamp_ms = wall_clock_ms();
        let mut rest = flight.dues.as_slice();
        for (index, part) in flight.parts.iter().enumerate() {
            let (dues, later) = rest.split_at_checked(part.count).unwrap_or_default();
            rest = later;
            let partition = self.partition(part.slot);
            let fill = self.next_fill(part, timestamp_ms, dues);
            if let Some(batch) = request.batch(index, partition) {
                self.template.patch(batch, &fill);
            }
        }
        Ok(())
    }

    /// Compressed batches have no places that stay: they and the frame are made anew.
    fn fill_compressed(&mut self, request: &mut Request, flight: &Load) -> Result<(), BenchError> {
        let timestamp_ms = wall_clock_ms();
        let (mut batches, mut packed) = (Vec::new(), Vec::new());
        let mut rest = flight.dues.as_slice();
        for part in &flight.parts {
            let (dues, later) = rest.split_at_checked(part.count).unwrap_or_default();
            rest = later;
            let fill = self.next_fill(part, timestamp_ms, dues);
            let before = packed.len();
            self.template.append_compressed(&fill, &mut packed)?;
            batches.push(Batch {
                partition: self.partition(part.slot),
                records: part.count,
                bytes: packed.len() - before,
            });
        }
        let mut rest = packed.as_slice();
        self.frames.lay_out(request, &batches, |batch, out| {
            let (bytes, later) = rest.split_at_checked(batch.bytes).unwrap_or_default();
            rest = later;
            out.extend_from_slice(bytes);
        })
    }

    fn partition(&self, slot: usize) -> i32 {
        self.partitions.get(slot).copied().unwrap_or(-1)
    }

    /// The values of a partition's next batch; its sequence moves on.
    fn next_fill<'a>(&mut self, part: &Part, timestamp_ms: i64, dues: &'a [Due]) -> Fill<'a> {
        let mut sequence = 0;
        if let Some(next) = self.sequences.get_mut(part.slot) {
            sequence = *next;
            *next = next.wrapping_add(part.count as u32);
        }
        let base = (sequence & i32::MAX.cast_unsigned()).cast_signed();
        Fill {
            base_sequence: self.idempotent.then_some(base),
            timestamp_ms,
            first: Stamp {
                intended_ns: 0,
                run: self.stage.run,
                producer: self.number,
                sequence,
            },
            dues,
        }
    }

    fn answered(&mut self, tally: &mut Tally) -> Result<bool, BenchError> {
        let Some(body) = self.link.answer(true)? else {
            return Ok(false);
        };
        let Some(flight) = self.flights.pop_front() else {
            return Err(BenchError::Protocol("an answer to no request".to_owned()));
        };
        let answer =
            ProduceResponseView::decode(body, VERSION).map_err(decode("ProduceResponse"))?;
        let mut refused: Vec<i32> = Vec::new();
        for partition in answer
            .responses
            .iter()
            .flat_map(|topic| topic.partition_responses.iter())
        {
            tally.batches += 1;
            if partition.error_code != 0 {
                tally.error(partition.error_code);
                refused.push(partition.index);
            }
        }
        let now = self.stage.clock.now_ns();
        if self.flights.len() + 1 == self.in_flight_max {
            self.room_since_ns = now;
        }
        let flight = match refused.is_empty() {
            true => flight,
            false => self.without(flight, &refused, tally),
        };
        self.count(now, &flight, tally);
        self.spare.push(flight);
        Ok(true)
    }

    /// Only what was acknowledged counts.
    fn without(&self, flight: Load, refused: &[i32], tally: &mut Tally) -> Load {
        self.stage
            .produced
            .errors
            .fetch_add(refused.len() as u64, std::sync::atomic::Ordering::Relaxed);
        let mut kept = Load::default();
        let mut from = 0;
        for part in &flight.parts {
            let dues = flight.dues.get(from..from + part.count).unwrap_or_default();
            from += part.count;
            if refused.contains(&self.partition(part.slot)) {
                tally.refused_records += part.count as u64;
            } else {
                kept.dues.extend_from_slice(dues);
            }
        }
        kept
    }

    fn count(&self, now: u64, flight: &Load, tally: &mut Tally) {
        self.stage
            .acknowledged(now, &flight.dues, self.record_bytes, tally);
        self.stage.stop_when_enough();
    }

    /// What was due and never left has waited at least until now.
    fn tell_unsent(&mut self, now: u64, tally: &mut Tally) {
        if !self.queues.is_open() {
            return;
        }
        let stage = Arc::clone(&self.stage);
        for intended in self.queues.untaken(stage.to_ns()) {
            tally.unsent_records += 1;
            if stage.holds(intended) {
                tally.latency(stage.second(intended), now.saturating_sub(intended), 1);
            }
        }
    }
}

impl Actor for Producer {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        self.link.flush()?;
        self.room_since_ns = self.stage.clock.now_ns();
        Ok(())
    }

    fn act(&mut self, tally: &mut Tally) -> Result<(), BenchError> {
        for _ in 0..TURN_REQUESTS_MAX {
            let now = self.stage.clock.now_ns();
            if self.ended {
                return Ok(());
            }
            if now >= self.stage.to_ns() {
                self.ended = true;
                self.tell_unsent(now, tally);
                return Ok(());
            }
            let blocked = self.flights.len() >= self.in_flight_max || self.link.wants_to_write();
            if blocked {
                return Ok(());
            }
            let last = self.stage.to_ns().saturating_sub(1);
            self.queues.admit(now.min(last));
            if self.queues.is_empty() || self.queues.ready_ns() > now {
                return Ok(());
            }
            self.send(now, tally)?;
        }
        Ok(())
    }

    fn read(&mut self, tally: &mut Tally) -> Result<(), BenchError> {
        while self.answered(tally)? {}
        Ok(())
    }

    fn wake_ns(&self) -> Option<u64> {
        let to_ns = self.stage.to_ns();
        if self.ended {
            return None;
        }
        if self.flights.len() >= self.in_flight_max || self.link.wants_to_write() {
            return Some(to_ns);
        }
        Some(self.queues.ready_ns().min(to_ns))
    }

    fn is_waiting(&self) -> bool {
        !self.flights.is_empty()
    }

    fn is_done(&self) -> bool {
        self.ended && self.flights.is_empty() && !self.link.wants_to_write()
    }

    fn finish(&mut self, _tally: &mut Tally) {}
}

pub(super) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
