//! When records are due, and where they go: pure arithmetic on nanoseconds since the run began.

use crate::settings::Partitioner;

/// One producer's share of an open-loop rate.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Nanoseconds between two records of this producer; none: as fast as it goes.
    interval_ns: Option<f64>,
    /// Producers start apart, so that they do not all send at the same moment.
    phase_ns: f64,
}

impl Schedule {
    #[must_use]
    pub fn new(rate: Option<f64>, producer: usize, producers: usize) -> Self {
        let interval_ns = rate.map(|rate| 1e9 * producers as f64 / rate);
        let share = producer as f64 / producers as f64;
        Self {
            interval_ns,
            phase_ns: interval_ns.unwrap_or(0.0) * share,
        }
    }

    /// When record `index` is meant to be sent; at maximum rate, now.
    #[must_use]
    pub fn intended_ns(&self, index: u64, now_ns: u64) -> u64 {
        match self.interval_ns {
            Some(interval) => (self.phase_ns + interval * index as f64) as u64,
            None => now_ns,
        }
    }
}

/// Where record `index` of a producer goes.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub partitioner: Partitioner,
    pub partitions: u64,
    pub batch_records: u64,
    /// Producers begin at different partitions.
    pub first: u64,
}

impl Spread {
    #[must_use]
    pub fn partition(&self, index: u64) -> u64 {
        let turn = match self.partitioner {
            Partitioner::RoundRobin => index,
            Partitioner::Sticky => index / self.batch_records,
        };
        (self.first + turn) % self.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_share_the_rate_and_start_apart() {
        let (first, second) = (
            Schedule::new(Some(1e6), 0, 2),
            Schedule::new(Some(1e6), 1, 2),
        );
        let times: Vec<u64> = (0..3).map(|index| first.intended_ns(index, 7)).collect();
        assert_eq!(times, [0, 2000, 4000]);
        assert_eq!(second.intended_ns(0, 7), 1000);
        assert_eq!(Schedule::new(None, 1, 2).intended_ns(5, 7), 7);
    }

    #[test]
    fn sticky_fills_a_batch_before_it_moves_on() {
        let sticky = Spread {
            partitioner: Partitioner::Sticky,
            partitions: 3,
            batch_records: 2,
            first: 2,
        };
        let robin = Spread {
            partitioner: Partitioner::RoundRobin,
            ..sticky
        };
        let places = |spread: Spread| (0..6).map(|i| spread.partition(i)).collect::<Vec<_>>();
        assert_eq!(places(sticky), [2, 2, 0, 0, 1, 1]);
        assert_eq!(places(robin), [2, 0, 1, 2, 0, 1]);
    }
}
