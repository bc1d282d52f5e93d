//! Times of one kind of call, all of them kept.

use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Times one call.
    pub(super) fn of<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let value = call();
        self.0.push(begun.elapsed());
        value
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Microseconds; 0 where nothing was timed.
    pub(super) fn us(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * quantile) as usize;
        let time = sorted.get(at).or(sorted.last());
        time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}
