//! Producers: each a connection with a sending and a receiving thread.
//!
//! The sender takes one of the in-flight tokens, gathers what is due (at most one batch a partition
//! and [`REQUEST_BYTES_MAX`], as Kafka's own client does) and sends it; the receiver matches answers
//! in order and gives the token back. A record's latency ends when its answer was read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver as Inbox, Sender as Outbox};
use std::thread;

use thalweg_wire::bytes::Records;
use thalweg_wire::messages::{produce_request as request, produce_response};

use super::pace::{Schedule, Spread};
use super::payload::{Due, Payload};
use super::{Clock, Tally, Window, joined, wake_on_time};
use crate::client::{self, Receiver, Sender};
use crate::{BenchError, Settings};

/// Kafka's default for max.request.size.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Topic by name, flexible; every server since Kafka 2.8 has it.
const VERSION: i16 = 9;
const TIMEOUT_MS: i32 = 30_000;

/// What the receiver has to know about a request under way.
struct InFlight {
    sent_ns: u64,
    dues: Vec<Due>,
}

/// The sending side of one producer.
struct Source {
    settings: Settings,
    clock: Clock,
    window: Window,
    schedule: Schedule,
    spread: Spread,
    payload: Payload,
    /// Next sequence number of each partition.
    sequences: Vec<i32>,
    next: u64,
}

pub(super) fn run(settings: &Settings) -> Result<Tally, BenchError> {
    let clock = Clock::start();
    let mut producers = Vec::new();
    for index in 0..settings.producers {
        producers.push(start(settings, clock, index)?);
    }
    let mut total = Tally::default();
    for producer in producers {
        total.add(&joined(producer)?);
    }
    total.seconds = settings.duration.as_secs_f64();
    Ok(total)
}

/// A running producer; its thread ends after the window with everything answered.
pub(super) fn start(
    settings: &Settings,
    clock: Clock,
    index: usize,
) -> Result<thread::JoinHandle<Result<Tally, BenchError>>, BenchError> {
    let (mut sender, mut receiver) = client::connect(&settings.brokers)?;
    let identity = match settings.idempotent {
        true => Some(client::producer_id(&mut sender, &mut receiver)?),
        false => None,
    };
    let partitions = usize::try_from(settings.partitions).unwrap_or(1);
    let source = Source {
        settings: settings.clone(),
        clock,
        window: Window::of(settings),
        schedule: Schedule::new(settings.rate, index, settings.producers),
        spread: Spread {
            partitioner: settings.partitioner,
            partitions: partitions as u64,
            batch_records: settings.batch_records_max() as u64,
            first: (index * partitions / settings.producers) as u64,
        },
        payload: Payload::new(settings.record_bytes, settings.codec()?, index, identity),
        sequences: vec![0; partitions],
        next: 0,
    };
    Ok(thread::spawn(move || drive(source, sender, receiver)))
}

fn drive(source: Source, sender: Sender, receiver: Receiver) -> Result<Tally, BenchError> {
    let (clock, window) = (source.clock, source.window);
    let record_bytes = source.settings.record_bytes as u64;
    let (token_out, token_in) = mpsc::channel();
    let (flight_out, flight_in) = mpsc::channel();
    for _ in 0..source.settings.in_flight {
        let _ = token_out.send(());
    }
    let sending = thread::spawn(move || send_all(source, sender, &token_in, &flight_out));
    let mut sink = Sink {
        clock,
        window,
        record_bytes,
        tally: Tally::default(),
    };
    let received = sink.receive_all(receiver, &flight_in, &token_out);
    drop(token_out);
    let lags = joined(sending);
    received?;
    sink.tally.lags = lags?;
    Ok(sink.tally)
}

fn send_all(
    mut source: Source,
    mut sender: Sender,
    tokens: &Inbox<()>,
    flights: &Outbox<InFlight>,
) -> Result<super::Latencies, BenchError> {
    wake_on_time();
    let mut lags = super::Latencies::default();
    loop {
        // Without a token giver the receiver has failed, and it tells why.
        if tokens.recv().is_err() {
            return Ok(lags);
        }
        source.wait();
        let now = source.clock.now_ns();
        if now >= source.window.to_ns {
            return Ok(lags);
        }
        let groups = source.gather(now);
        let dues: Vec<Due> = groups.values().flatten().copied().collect();
        if let Some(first) = dues.first().filter(|_| source.window.holds(now)) {
            lags.record(now.saturating_sub(first.intended_ns));
        }
        let message = source.request(&groups)?;
        // The receiver has to know of a request before its answer can come.
        drop(flights.send(InFlight { sent_ns: now, dues }));
        sender.send(&message, VERSION)?;
    }
}

impl Source {
    /// Until the next record is due and has lingered.
    fn wait(&self) {
        let now = self.clock.now_ns();
        let linger = self.settings.linger.as_nanos() as u64;
        if self.settings.rate.is_some() {
            let due = self.schedule.intended_ns(self.next, now) + linger;
            self.clock.sleep_until(due.min(self.window.to_ns));
        }
    }

    /// What is due now, by partition: one batch each at most, so that order is kept.
    fn gather(&mut self, now: u64) -> BTreeMap<u64, Vec<Due>> {
        let batch_records = self.settings.batch_records_max();
        let records_max = (REQUEST_BYTES_MAX / self.settings.record_bytes).max(1);
        let mut groups: BTreeMap<u64, Vec<Due>> = BTreeMap::new();
        for _ in 0..records_max {
            let intended_ns = self.schedule.intended_ns(self.next, now);
            let group = groups.entry(self.spread.partition(self.next)).or_default();
            if intended_ns > now || group.len() >= batch_records {
                break;
            }
            group.push(Due {
                intended_ns,
                sequence: self.next,
            });
            self.next += 1;
        }
        groups.retain(|_, dues| !dues.is_empty());
        groups
    }

    fn request(
        &mut self,
        groups: &BTreeMap<u64, Vec<Due>>,
    ) -> Result<request::ProduceRequest<'static>, BenchError> {
        let mut partitions = Vec::with_capacity(groups.len());
        for (partition, dues) in groups {
            let sequence = self.sequences.get_mut(*partition as usize);
            let base = sequence.as_deref().copied().unwrap_or(0);
            let batch = self.payload.batch(base, dues)?;
            if let Some(next) = sequence {
                *next = next.wrapping_add(dues.len() as i32) & i32::MAX;
            }
            partitions.push(request::PartitionProduceData {
                index: *partition as i32,
                records: Records::Bytes(Cow::Owned(batch)),
            });
        }
        Ok(request::ProduceRequest {
            transactional_id: None,
            acks: self.settings.acks,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![request::TopicProduceData {
                name: Cow::Owned(self.settings.topic.clone()),
                partition_data: partitions,
                ..Default::default()
            }],
        })
    }
}

/// The receiving side of one producer.
struct Sink {
    clock: Clock,
    window: Window,
    record_bytes: u64,
    tally: Tally,
}

impl Sink {
    fn receive_all(
        &mut self,
        mut receiver: Receiver,
        flights: &Inbox<InFlight>,
        tokens: &Outbox<()>,
    ) -> Result<(), BenchError> {
        // The sender hangs up after its last request.
        while let Ok(flight) = flights.recv() {
            let answer: produce_response::ProduceResponseView<'_> = receiver.view(VERSION)?;
            let now = self.clock.now_ns();
            let mut failed = None;
            for partition in answer
                .responses
                .iter()
                .flat_map(|topic| topic.partition_responses.iter())
            {
                self.tally.batches += 1;
                if partition.error_code != 0 {
                    failed = Some(partition.error_code);
                    self.tally.error(partition.error_code);
                }
            }
            // A sender that has stopped needs no token.
            let _ = tokens.send(());
            if failed.is_none() {
                self.count(now, &flight);
            }
        }
        Ok(())
    }

    fn count(&mut self, now: u64, flight: &InFlight) {
        self.tally.requests += 1;
        debug_assert!(
            flight.sent_ns <= now,
            "an answer cannot come before its request"
        );
        for due in &flight.dues {
            let latency = now.saturating_sub(due.intended_ns);
            if self.window.holds(due.intended_ns) {
                self.tally.latencies.record(latency);
            }
            if self.window.holds(now) {
                self.tally.records += 1;
                self.tally.bytes += self.record_bytes;
                let second = (now - self.window.from_ns) / 1_000_000_000;
                self.tally.tick(second as usize, 1, latency);
            }
        }
    }
}
