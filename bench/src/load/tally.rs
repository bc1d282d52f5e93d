//! What a thread measured: latencies, counts, a line a second. Merged at the end of a run.

use hdrhistogram::Histogram;

/// Longer than any time limit of a client.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
const DIGITS: u8 = 3;

/// Nanoseconds in three significant digits, percentiles to p99.99 and beyond.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // The bounds are constants that the crate accepts, which a test holds.
        Self(
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
                .unwrap_or_else(|error| unreachable!("constant bounds are in order: {error}")),
        )
    }
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
}

/// All that one thread, or one run, has to say.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Within the window.
    pub records: u64,
    pub bytes: u64,
    /// Requests, batches: how large the server's helpings were.
    pub requests: u64,
    pub batches: u64,
    pub errors: u64,
    pub first_error: Option<i16>,
    pub seconds: f64,
    pub latencies: Latencies,
    /// How late the generator itself was.
    pub lags: Latencies,
    /// Records of each second of the window.
    pub timeline: Vec<u64>,
    /// The longest latency of each second of the window, in us.
    pub worst_us: Vec<u64>,
}

impl Tally {
    /// Counts records into their second of the window.
    pub fn tick(&mut self, second: usize, records: u64, latency_ns: u64) {
        if self.timeline.len() <= second {
            self.timeline.resize(second + 1, 0);
            self.worst_us.resize(second + 1, 0);
        }
        if let (Some(count), Some(worst)) =
            (self.timeline.get_mut(second), self.worst_us.get_mut(second))
        {
            *count += records;
            *worst = (*worst).max(latency_ns / 1000);
        }
    }

    pub fn error(&mut self, code: i16) {
        self.errors += 1;
        self.first_error = self.first_error.or(Some(code));
    }

    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.batches += other.batches;
        self.errors += other.errors;
        self.first_error = self.first_error.or(other.first_error);
        self.seconds = self.seconds.max(other.seconds);
        self.latencies.add(&other.latencies);
        self.lags.add(&other.lags);
        for (second, (count, worst)) in other.timeline.iter().zip(&other.worst_us).enumerate() {
            self.tick(second, *count, worst * 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_merge() {
        let mut first = Tally {
            records: 2,
            ..Tally::default()
        };
        first.tick(1, 2, 5000);
        first.latencies.record(1_000_000);
        let mut second = Tally {
            records: 3,
            seconds: 2.0,
            ..Tally::default()
        };
        second.tick(0, 1, 0);
        second.tick(1, 2, 9000);
        second.error(7);
        first.add(&second);
        assert_eq!(
            (first.records, first.errors, first.first_error),
            (5, 1, Some(7))
        );
        assert_eq!((first.timeline, first.worst_us), (vec![1, 4], vec![0, 9]));
        assert!((first.latencies.max_us() - 1000.0).abs() < 2.0);
    }
}
