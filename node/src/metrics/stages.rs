//! Where the time of requests goes: one histogram per stage, from the stamps a request collects.
//!
//! Stages follow each other, so their sums tell what a request waited for. Kept per shard in
//! microseconds with two significant digits, which is some kilobytes each; a scrape carries
//! quantiles only. Deliberately absent: stages per partition.

use std::cell::RefCell;

use hdrhistogram::Histogram;

/// Longest time told apart, in microseconds: a minute.
const MICROS_MAX: u64 = 60_000_000;
const DIGITS: u8 = 2;

/// A part of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Produce: head and batches checked.
    ProduceCheck,
    /// Produce: waiting for earlier appends of the connection.
    ProduceOrder,
    /// Produce: routed to the owning shards, admitted, in a round.
    ProduceAppend,
    /// Produce: written and flushed.
    ProduceFlush,
    /// Produce: from the whole frame to the answer.
    ProduceTotal,
    /// Fetch: one look at the owning shards.
    FetchRead,
    /// Fetch: from the whole frame to the answer, waiting for records included.
    FetchTotal,
}

/// All stages, in the order of the way.
const STAGES: [(Stage, &str, &str); 7] = [
    (Stage::ProduceCheck, "produce", "check"),
    (Stage::ProduceOrder, "produce", "order"),
    (Stage::ProduceAppend, "produce", "append"),
    (Stage::ProduceFlush, "produce", "flush"),
    (Stage::ProduceTotal, "produce", "total"),
    (Stage::FetchRead, "fetch", "read"),
    (Stage::FetchTotal, "fetch", "total"),
];

/// The histograms of one shard.
#[derive(Debug)]
pub struct Stages(RefCell<Vec<Histogram<u64>>>);

/// One stage in numbers, times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// `produce` or `fetch`.
    pub api: &'static str,
    /// The stage's name.
    pub stage: &'static str,
    /// How many requests.
    pub count: u64,
    /// Sum of their times.
    pub sum: f64,
    /// Median, 99%, 99.9%, largest.
    pub quantiles: [(&'static str, u64); 4],
}

impl Default for Stages {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, MICROS_MAX, DIGITS);
        // The bounds are constants that the library takes; none would be a defect found at once.
        Self(RefCell::new(
            STAGES.iter().filter_map(|_| histogram().ok()).collect(),
        ))
    }
}

impl Stages {
    /// Notes that a stage took from one stamp to another, in nanoseconds of the host's clock.
    pub fn record(&self, stage: Stage, from: u64, to: u64) {
        let micros = (to.saturating_sub(from) / 1000).clamp(1, MICROS_MAX);
        let mut histograms = self.0.borrow_mut();
        if let Some(histogram) = histograms.get_mut(stage as usize) {
            histogram.saturating_record(micros);
        }
    }

    /// The stages in numbers.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        let histograms = self.0.borrow();
        let summary = |((_, api, stage), histogram): (
            &(Stage, &'static str, &'static str),
            &Histogram<u64>,
        )| {
            let at = |quantile| histogram.value_at_quantile(quantile);
            Summary {
                api,
                stage,
                count: histogram.len(),
                // The mean of no values is 0.
                #[expect(clippy::cast_precision_loss, reason = "a sum for rates, not for money")]
                sum: histogram.mean() * histogram.len() as f64,
                quantiles: [
                    ("0.5", at(0.5)),
                    ("0.99", at(0.99)),
                    ("0.999", at(0.999)),
                    ("1", histogram.max()),
                ],
            }
        };
        STAGES.iter().zip(histograms.iter()).map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_their_places_and_times_their_bounds() {
        for (at, (stage, _, _)) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, at);
        }
        let stages = Stages::default();
        stages.record(Stage::ProduceFlush, 1_000_000, 3_000_000);
        stages.record(Stage::ProduceFlush, 0, u64::MAX);
        stages.record(Stage::ProduceFlush, 5, 3);
        let summary = stages.summaries()[Stage::ProduceFlush as usize];
        assert_eq!(
            (summary.api, summary.stage, summary.count),
            ("produce", "flush", 3)
        );
        assert!(
            (1990..2030).contains(&summary.quantiles[0].1),
            "{summary:?}"
        );
    }
}
