//! When records are due: pure arithmetic on nanoseconds since the run began.

/// One producer's share of an open-loop rate.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Nanoseconds between two records of this producer; none: as fast as it goes.
    interval_ns: Option<f64>,
    /// Producers start apart, so that they do not all send at the same moment.
    phase_ns: f64,
}

impl Schedule {
    /// The share of producer `index` of `producers`; of its records only the part `share` goes to
    /// the broker that this schedule is for.
    #[must_use]
    pub fn new(rate: Option<f64>, (index, producers): (usize, usize), share: f64) -> Self {
        let interval_ns = rate.map(|rate| 1e9 * producers as f64 / (rate * share));
        let phase = index as f64 / producers as f64;
        Self {
            interval_ns,
            phase_ns: interval_ns.unwrap_or(0.0) * phase,
        }
    }

    /// True if records are due at times of their own.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// When record `index` is meant to be sent; at maximum rate, at the start.
    #[must_use]
    pub fn intended_ns(&self, index: u64) -> u64 {
        match self.interval_ns {
            Some(interval) => (self.phase_ns + interval * index as f64) as u64,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_share_the_rate_and_start_apart() {
        let schedule = |index| Schedule::new(Some(1e6), (index, 2), 1.0);
        let times: Vec<u64> = (0..3).map(|index| schedule(0).intended_ns(index)).collect();
        assert_eq!(times, [0, 2000, 4000]);
        assert_eq!(schedule(1).intended_ns(0), 1000);
        assert!(!Schedule::new(None, (1, 2), 1.0).is_open());
    }

    #[test]
    fn a_broker_gets_its_share() {
        let schedule = Schedule::new(Some(1e6), (0, 1), 0.25);
        assert_eq!(schedule.intended_ns(3), 12_000);
    }
}
