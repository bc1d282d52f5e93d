//! What all threads of a run share: the clock, the part of it that counts, where to stop, and the
//! counters that the progress line reads.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::clock::Clock;
use super::tally::Tally;
use super::template::Due;

/// Shared by the threads of one run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) from_ns: u64,
    /// Producers stop here; it may be brought forward.
    to_ns: AtomicU64,
    /// Tells this run's records from those of others.
    pub(super) run: u16,
    records_max: u64,
    /// Where consumers are done, by partition, once that is known.
    ends: OnceLock<BTreeMap<i32, i64>>,
    failed: AtomicBool,
    pub(super) produced: Live,
    pub(super) consumed: Live,
}

/// Counters of one side, for the progress line only.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) errors: AtomicU64,
    /// The longest latency since it was last taken.
    pub(super) worst_ns: AtomicU64,
}

impl Live {
    pub(super) fn count(&self, records: u64, bytes: u64, worst_ns: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.worst_ns.fetch_max(worst_ns, Ordering::Relaxed);
    }
}

impl Stage {
    pub(super) fn new(clock: Clock, (from_ns, to_ns): (u64, u64)) -> Self {
        Self {
            clock,
            from_ns,
            to_ns: AtomicU64::new(to_ns),
            run: run_number(),
            records_max: u64::MAX,
            ends: OnceLock::new(),
            failed: AtomicBool::new(false),
            produced: Live::default(),
            consumed: Live::default(),
        }
    }

    /// Producers stop when so many records are acknowledged.
    pub(super) const fn with_records_max(mut self, records: u64) -> Self {
        self.records_max = records;
        self
    }

    /// Stops producers if that is reached.
    pub(super) fn stop_when_enough(&self) {
        if self.produced.records.load(Ordering::Relaxed) >= self.records_max {
            self.stop_producers();
        }
    }

    pub(super) fn to_ns(&self) -> u64 {
        self.to_ns.load(Ordering::Relaxed)
    }

    /// The part of the run that counts, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.to_ns().saturating_sub(self.from_ns) as f64 / 1e9
    }

    /// True for a moment that counts.
    pub(super) fn holds(&self, ns: u64) -> bool {
        self.from_ns <= ns && ns < self.to_ns()
    }

    /// Which second of the part that counts.
    pub(super) fn second(&self, ns: u64) -> usize {
        (ns.saturating_sub(self.from_ns) / 1_000_000_000) as usize
    }

    /// Ends the producers' part now, if it has not ended.
    pub(super) fn stop_producers(&self) {
        self.to_ns.fetch_min(self.clock.now_ns(), Ordering::Relaxed);
    }

    /// Counts a request whose records were acknowledged now.
    pub(super) fn acknowledged(
        &self,
        now: u64,
        dues: &[Due],
        record_bytes: u64,
        tally: &mut Tally,
    ) {
        let records = dues.len() as u64;
        tally.requests += 1;
        tally.records_in_all += records;
        let mut worst = 0;
        let same = |one: &Due, other: &Due| one.intended_ns == other.intended_ns;
        for run in dues.chunk_by(same) {
            let intended = run.first().map_or(now, |due| due.intended_ns);
            let latency = now.saturating_sub(intended);
            worst = worst.max(latency);
            if self.holds(intended) {
                tally.latency(self.second(intended), latency, run.len() as u64);
            }
        }
        let bytes = records * record_bytes;
        if self.holds(now) {
            tally.arrive(self.second(now), records, bytes);
        }
        self.produced.count(records, bytes, worst);
    }

    /// Tells consumers where they are done. Only the first word counts.
    pub(super) fn set_ends(&self, ends: BTreeMap<i32, i64>) {
        // Whoever was first has said the same.
        let _ = self.ends.set(ends);
    }

    pub(super) fn ends(&self) -> Option<&BTreeMap<i32, i64>> {
        self.ends.get()
    }

    /// One thread has failed: the others need not go on.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Differs from run to run, so that a topic may hold several.
fn run_number() -> u16 {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let run = RUNS.fetch_add(1, Ordering::Relaxed) + u64::from(std::process::id());
    let mixed = (since.as_nanos() as u64 ^ (run << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as u16
}
