//! What a thread measured: latencies, counts, a line a second. Merged at the end of a run.

use hdrhistogram::Histogram;

/// Longer than any time limit of a client.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
const LATENCY_US_MAX: u64 = LATENCY_NS_MAX / 1000;
const DIGITS: u8 = 3;
/// A second's own histogram: its tail has few records, two digits say all.
const SECOND_DIGITS: u8 = 2;

/// Nanoseconds in three significant digits, percentiles to p99.99 and beyond.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(histogram(LATENCY_NS_MAX, DIGITS))
    }
}

/// The bounds are constants that the crate accepts, which a test holds.
fn histogram<C: hdrhistogram::Counter>(max: u64, digits: u8) -> Histogram<C> {
    Histogram::new_with_bounds(1, max, digits)
        .unwrap_or_else(|error| unreachable!("constant bounds are in order: {error}"))
}

impl Latencies {
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub fn record_n(&mut self, ns: u64, count: u64) {
        self.0.saturating_record_n(ns, count);
    }

    pub fn add(&mut self, other: &Self) {
        // Same bounds on both sides: nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    #[must_use]
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    #[must_use]
    pub fn mean_us(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    #[must_use]
    pub fn deviation_us(&self) -> f64 {
        self.0.stdev() / 1000.0
    }

    /// How many were at most so long.
    #[must_use]
    pub fn count_to_us(&self, us: f64) -> u64 {
        self.0.count_between(0, (us * 1000.0) as u64)
    }
}

/// One second of the part that counts.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Answered, or in a consumer's hands, in this second.
    pub records: u64,
    pub bytes: u64,
    /// Latencies in us of the records that were meant for this second.
    latencies: Option<Histogram<u32>>,
}

impl Second {
    fn record(&mut self, ns: u64, count: u64) {
        self.latencies
            .get_or_insert_with(|| histogram(LATENCY_US_MAX, SECOND_DIGITS))
            .saturating_record_n(ns / 1000, u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.merge_latencies(other);
    }

    fn merge_latencies(&mut self, other: &Self) {
        if let Some(theirs) = &other.latencies {
            let mine = self
                .latencies
                .get_or_insert_with(|| histogram(LATENCY_US_MAX, SECOND_DIGITS));
            // Same bounds on both sides: nothing can be out of range.
            let _ = mine.add(theirs);
        }
    }

    /// None when nothing was meant for this second.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let latencies = self.latencies.as_ref()?;
        Some(latencies.value_at_quantile(quantile))
    }

    /// Seconds taken together, some perhaps more than once.
    #[must_use]
    pub fn together<'a>(seconds: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for second in seconds {
            all.add(second);
        }
        all
    }
}

/// When nobody took a partition's records, as its writer felt it.
#[derive(Clone, Debug, Default)]
pub struct Outages {
    /// From sending what failed to the acknowledgement that ended it.
    pub ns: Vec<u64>,
    /// Attempts that failed.
    pub retries: u64,
    pub reconnects: u64,
}

/// All that one thread, or one run, has to say about one side of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Within the part that counts.
    pub records: u64,
    pub bytes: u64,
    /// Over the whole run, warm-up included.
    pub records_in_all: u64,
    /// Requests, batches: how large the server's helpings were.
    pub requests: u64,
    pub batches: u64,
    pub errors: u64,
    pub first_error: Option<i16>,
    /// Records of batches that were answered with an error.
    pub refused_records: u64,
    /// Records that were due and could not be sent before the end.
    pub unsent_records: u64,
    pub missing_records: u64,
    pub foreign_records: u64,
    pub seconds: f64,
    pub latencies: Latencies,
    /// How late requests left, for whatever reason.
    pub lags: Latencies,
    /// How late they left though the server had room for them: the generator's own fault.
    pub own_lags: Latencies,
    pub timeline: Vec<Second>,
    /// CPU time of the generator's threads.
    pub cpu_seconds: f64,
    /// Only the failover load has any.
    pub outages: Outages,
}

impl Tally {
    /// Counts answered records into the second in which they were.
    pub fn arrive(&mut self, second: usize, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        let place = self.second(second);
        place.records += records;
        place.bytes += bytes;
    }

    /// Counts a latency into the second that its records were meant for.
    pub fn latency(&mut self, second: usize, ns: u64, count: u64) {
        self.latencies.record_n(ns, count);
        self.second(second).record(ns, count);
    }

    fn second(&mut self, second: usize) -> &mut Second {
        if self.timeline.len() <= second {
            self.timeline.resize_with(second + 1, Second::default);
        }
        match self.timeline.get_mut(second) {
            Some(place) => place,
            None => unreachable!("the timeline was made that long"),
        }
    }

    pub fn error(&mut self, code: i16) {
        self.errors += 1;
        self.first_error = self.first_error.or(Some(code));
    }

    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.records_in_all += other.records_in_all;
        self.requests += other.requests;
        self.batches += other.batches;
        self.errors += other.errors;
        self.first_error = self.first_error.or(other.first_error);
        self.refused_records += other.refused_records;
        self.unsent_records += other.unsent_records;
        self.missing_records += other.missing_records;
        self.foreign_records += other.foreign_records;
        self.seconds = self.seconds.max(other.seconds);
        self.cpu_seconds += other.cpu_seconds;
        self.outages.ns.extend(&other.outages.ns);
        self.outages.retries += other.outages.retries;
        self.outages.reconnects += other.outages.reconnects;
        self.latencies.add(&other.latencies);
        self.lags.add(&other.lags);
        self.own_lags.add(&other.own_lags);
        for (index, second) in other.timeline.iter().enumerate() {
            self.second(index).add(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_merge() {
        let mut first = Tally::default();
        first.arrive(1, 2, 200);
        first.latency(1, 1_000_000, 2);
        let mut second = Tally {
            seconds: 2.0,
            ..Tally::default()
        };
        second.arrive(0, 1, 100);
        second.latency(1, 9_000_000, 2);
        second.error(7);
        first.add(&second);
        assert_eq!(
            (first.records, first.bytes, first.errors, first.first_error),
            (3, 300, 1, Some(7))
        );
        let records: Vec<u64> = first.timeline.iter().map(|second| second.records).collect();
        assert_eq!(records, [1, 2]);
        assert_eq!(first.timeline[0].quantile_us(0.5), None);
        let worst = first.timeline[1].quantile_us(1.0).unwrap();
        assert!((8_900..9_100).contains(&worst), "{worst}");
        assert!((first.latencies.max_us() - 9000.0).abs() < 10.0);
        assert_eq!(first.latencies.count_to_us(5000.0), 2);
    }
}
