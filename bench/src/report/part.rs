//! One side or phase of a run by itself.

use serde::{Deserialize, Serialize};

use crate::load::{Latencies, Second, Tally};

/// The window whose tail is told, beside the whole run's.
const WORST_WINDOW_SECONDS: usize = 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub records_per_second: f64,
    pub mb_per_second: f64,
    pub requests: u64,
    pub batches: u64,
    pub errors: u64,
    pub latency_us: Percentiles,
    pub worst_10s: Option<WorstWindow>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    #[serde(default)]
    pub deviation: f64,
}

/// A second of the part that counts. Latencies in us, of the records meant for it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TimelineSecond {
    pub records: u64,
    pub bytes: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

/// Ten seconds in a row, or the whole run if it is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstWindow {
    pub from_second: usize,
    pub seconds: usize,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub p9999_us: u64,
    pub max_us: u64,
}

impl Part {
    pub(crate) fn new(name: &str, tally: &Tally) -> Self {
        let seconds = tally.seconds.max(1e-9);
        Self {
            name: name.to_owned(),
            records: tally.records,
            bytes: tally.bytes,
            seconds,
            records_per_second: tally.records as f64 / seconds,
            mb_per_second: tally.bytes as f64 / seconds / 1e6,
            requests: tally.requests,
            batches: tally.batches,
            errors: tally.errors,
            latency_us: Percentiles::of(&tally.latencies),
            worst_10s: worst(&tally.timeline),
        }
    }
}

impl Percentiles {
    pub(crate) fn of(latencies: &Latencies) -> Self {
        Self {
            count: latencies.count(),
            mean: latencies.mean_us(),
            p50: latencies.quantile_us(0.50),
            p90: latencies.quantile_us(0.90),
            p99: latencies.quantile_us(0.99),
            p999: latencies.quantile_us(0.999),
            p9999: latencies.quantile_us(0.9999),
            max: latencies.max_us(),
            deviation: latencies.deviation_us(),
        }
    }
}

impl From<&Second> for TimelineSecond {
    fn from(second: &Second) -> Self {
        let us = |quantile| second.quantile_us(quantile).unwrap_or(0);
        Self {
            records: second.records,
            bytes: second.bytes,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: us(1.0),
        }
    }
}

fn worst(timeline: &[Second]) -> Option<WorstWindow> {
    let length = WORST_WINDOW_SECONDS.min(timeline.len()).max(1);
    let window = |(from_second, seconds): (usize, &[Second])| {
        let all = Second::together(seconds);
        Some(WorstWindow {
            from_second,
            seconds: length,
            p50_us: all.quantile_us(0.5)?,
            p99_us: all.quantile_us(0.99)?,
            p999_us: all.quantile_us(0.999)?,
            p9999_us: all.quantile_us(0.9999)?,
            max_us: all.quantile_us(1.0)?,
        })
    };
    timeline
        .windows(length)
        .enumerate()
        .filter_map(window)
        .max_by_key(|window| window.p99_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_ten_seconds_are_found() {
        let mut tally = Tally::default();
        for second in 0..30 {
            let ns = if (14..16).contains(&second) {
                9_000_000
            } else {
                1_000_000
            };
            tally.latency(second, ns, 100);
        }
        let found = worst(&tally.timeline).unwrap();
        // Every window that holds one of them has the same p99; which one is told does not matter.
        assert!((5..=15).contains(&found.from_second), "{found:?}");
        assert!((8_900..9_100).contains(&found.p99_us));
        assert!((990..1_010).contains(&found.p50_us));
        assert_eq!(worst(&[]), None);
        assert_eq!(worst(&tally.timeline[..3]).unwrap().seconds, 3);
    }
}
