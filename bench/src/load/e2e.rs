//! End to end: producers as in `produce`, consumers that wait at the end of the log.
//!
//! A record's latency runs from the time it was meant to be sent to the time a consumer had it in
//! hand. Each consumer checks that every producer's records come in order, without gap or repeat,
//! for each partition; together they have to see as many as were sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use thalweg_wire::batch::header::BatchRef;
use thalweg_wire::batch::records::Records;

use super::consume::{Fetcher, share};
use super::payload::stamp;
use super::{Clock, Tally, Window, joined, produce};
use crate::{BenchError, Settings, client};

/// After the last acknowledgement a consumer has so long to see everything.
const CATCH_UP_NS: u64 = 10_000_000_000;

pub(super) fn run(settings: &Settings) -> Result<Tally, BenchError> {
    let ends = client::end_offsets(settings)?;
    let clock = Clock::start();
    let done = Arc::new(AtomicBool::new(false));
    let mut consumers = Vec::new();
    for index in 0..settings.consumers {
        let fetcher = Fetcher::new(settings, share(settings, index, &ends))?;
        let reader = Reader::new(settings, clock, Arc::clone(&done));
        consumers.push(thread::spawn(move || reader.run(fetcher)));
    }
    let mut producers = Vec::new();
    for index in 0..settings.producers {
        producers.push(produce::start(settings, clock, index)?);
    }
    let mut sent = Tally::default();
    for producer in producers {
        sent.add(&joined(producer)?);
    }
    let written = client::end_offsets(settings)?;
    done.store(true, Ordering::Release);
    let mut total = Tally::default();
    let mut seen = 0;
    for consumer in consumers {
        let (tally, records) = joined(consumer)?;
        total.add(&tally);
        seen += records;
    }
    let expected: i64 = written
        .iter()
        .zip(&ends)
        .map(|(after, before)| after - before)
        .sum();
    if i64::try_from(seen).ok() != Some(expected) {
        return Err(BenchError::Wrong(format!(
            "{expected} records written, {seen} consumed"
        )));
    }
    total.seconds = settings.duration.as_secs_f64();
    total.lags = sent.lags;
    total.errors += sent.errors;
    total.first_error = total.first_error.or(sent.first_error);
    Ok(total)
}

struct Reader {
    clock: Clock,
    window: Window,
    record_bytes: u64,
    done: Arc<AtomicBool>,
    /// By partition and producer: the last sequence seen.
    last: BTreeMap<(i32, u64), u64>,
    tally: Tally,
    seen: u64,
}

impl Reader {
    fn new(settings: &Settings, clock: Clock, done: Arc<AtomicBool>) -> Self {
        Self {
            clock,
            window: Window::of(settings),
            record_bytes: settings.record_bytes as u64,
            done,
            last: BTreeMap::new(),
            tally: Tally::default(),
            seen: 0,
        }
    }

    /// Until the producers are done and nothing more comes.
    fn run(mut self, mut fetcher: Fetcher) -> Result<(Tally, u64), BenchError> {
        let mut done_ns = None;
        loop {
            let done = self.done.load(Ordering::Acquire);
            let bytes = fetcher.fetch(|partition, batch| self.take(partition, batch))?;
            let now = self.clock.now_ns();
            if done && (bytes == 0 || now > *done_ns.get_or_insert(now) + CATCH_UP_NS) {
                return Ok((self.tally, self.seen));
            }
        }
    }

    fn take(&mut self, partition: i32, batch: &BatchRef<'_>) -> Result<(), BenchError> {
        let now = self.clock.now_ns();
        self.tally.batches += 1;
        for record in Records::new(batch.payload(), batch.header().record_count()) {
            let Some(stamp) = record.ok().and_then(|record| stamp(record.value?)) else {
                return Err(BenchError::Wrong("a record that nobody sent".to_owned()));
            };
            self.seen += 1;
            let last = self
                .last
                .insert((partition, stamp.producer), stamp.sequence);
            if last.is_some_and(|last| last >= stamp.sequence) {
                let what = format!("{partition}: {stamp:?} came after sequence {last:?}");
                return Err(BenchError::Wrong(what));
            }
            let latency = now.saturating_sub(stamp.intended_ns);
            if self.window.holds(stamp.intended_ns) {
                self.tally.records += 1;
                self.tally.bytes += self.record_bytes;
                self.tally.latencies.record(latency);
                let second = (stamp.intended_ns - self.window.from_ns) / 1_000_000_000;
                self.tally.tick(second as usize, 1, latency);
            }
        }
        Ok(())
    }
}
