//! How much chance leaves open: a bootstrap over the seconds of a run.
//!
//! Seconds are drawn with replacement, in runs of neighbours, because what slows one second often
//! slows the next. The draw comes from a fixed seed: the same run gives the same interval.

use serde::{Deserialize, Serialize};

use crate::load::{Second, Tally};

/// With fewer seconds an interval would be made of nothing.
const SECONDS_MIN: usize = 5;
const REPLICATES: usize = 200;
/// Neighbours drawn together.
const BLOCK_SECONDS: usize = 3;

/// Lower and upper bounds at 95%.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    pub records_per_second: [f64; 2],
    /// In us, as all of these.
    pub p50: [f64; 2],
    pub p99: [f64; 2],
    pub p999: [f64; 2],
    pub p9999: [f64; 2],
}

impl Intervals {
    pub(crate) fn of(tally: &Tally) -> Option<Self> {
        // The last second may be a part of one.
        let whole = (tally.seconds as usize).min(tally.timeline.len());
        let seconds = tally.timeline.get(..whole)?;
        if seconds.len() < SECONDS_MIN {
            return None;
        }
        let mut draw = Draw::new(1);
        let mut found: [Vec<f64>; 5] = Default::default();
        for _ in 0..REPLICATES {
            let all = Second::together(draw.blocks(seconds));
            let us = |quantile| all.quantile_us(quantile).unwrap_or(0) as f64;
            let rate = all.records as f64 / seconds.len() as f64;
            let values = [rate, us(0.5), us(0.99), us(0.999), us(0.9999)];
            for (values, value) in found.iter_mut().zip(values) {
                values.push(value);
            }
        }
        let [records_per_second, p50, p99, p999, p9999] = found.map(middle_95);
        Some(Self {
            records_per_second,
            p50,
            p99,
            p999,
            p9999,
        })
    }
}

/// The bounds between which 95% of the values lie.
pub(crate) fn middle_95(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = (part * (values.len().max(1) - 1) as f64).round() as usize;
        values.get(index).copied().unwrap_or(f64::NAN)
    };
    [at(0.025), at(0.975)]
}

/// Numbers by chance, from a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Of the normal distribution: the sum of twelve uniform numbers is close enough.
    pub(crate) fn normal(&mut self) -> f64 {
        let uniform = |draw: &mut Self| (draw.next() >> 11) as f64 / (1u64 << 53) as f64;
        (0..12).map(|_| uniform(self)).sum::<f64>() - 6.0
    }

    /// As many as there are, drawn in blocks of neighbours.
    fn blocks<'a, T>(&mut self, all: &'a [T]) -> Vec<&'a T> {
        let mut drawn = Vec::with_capacity(all.len() + BLOCK_SECONDS);
        while drawn.len() < all.len() {
            let first = self.below(all.len());
            let block = all.iter().cycle().skip(first).take(BLOCK_SECONDS);
            drawn.extend(block);
        }
        drawn.truncate(all.len());
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_run_has_a_narrow_interval_and_a_wild_one_a_wide() {
        let run = |spread: u64| {
            let mut tally = Tally {
                seconds: 30.0,
                ..Tally::default()
            };
            let mut draw = Draw::new(7);
            for second in 0..30 {
                let records = 1000 + draw.below(spread as usize + 1) as u64;
                tally.arrive(second, records, 0);
                tally.latency(second, 1000 * records, 100);
            }
            Intervals::of(&tally).unwrap()
        };
        let (steady, wild) = (run(0), run(1000));
        assert_eq!(steady.records_per_second, [1000.0, 1000.0]);
        let [low, high] = wild.records_per_second;
        assert!(
            low < 1500.0 && high > 1500.0 && high - low > 50.0,
            "{wild:?}"
        );
        assert!(wild.p99[0] <= wild.p99[1]);
    }

    #[test]
    fn few_seconds_have_no_interval() {
        assert_eq!(Intervals::of(&Tally::default()), None);
    }
}
