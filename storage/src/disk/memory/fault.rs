//! Which faults the seeded disk shows: plain probabilities, and failures ordered one by one.

use crate::testing::Prng;

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

/// Knobs of the seeded disk; the default has no faults but completions out of order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultPlan {
    /// Probability that a write fails; any part of it may have landed.
    pub write_error: f64,
    /// Probability that a flush fails; what it covered is in doubt for good.
    pub flush_error: f64,
    /// Probability that a direct read fails.
    pub read_error: f64,
    /// Sum of all file sizes at which writes and allocations answer ENOSPC; `None` is no limit.
    pub capacity_bytes: Option<u64>,
    /// An operation is answered after up to this many polls.
    pub delay_polls_max: usize,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            write_error: 0.0,
            flush_error: 0.0,
            read_error: 0.0,
            capacity_bytes: None,
            delay_polls_max: 3,
        }
    }
}

/// The plan in use, with its generator.
pub(super) struct Faults {
    pub(super) plan: FaultPlan,
    prng: Prng,
    pub(super) writes_to_fail: u32,
    pub(super) flushes_to_fail: u32,
}

impl Faults {
    pub(super) fn new(plan: FaultPlan, prng: Prng) -> Self {
        Self {
            plan,
            prng,
            writes_to_fail: 0,
            flushes_to_fail: 0,
        }
    }

    /// After a crash: a new stream, nothing ordered.
    pub(super) fn restart(&mut self, prng: Prng) {
        *self = Self::new(self.plan, prng);
    }

    pub(super) fn delay_polls(&mut self) -> usize {
        self.prng.below(self.plan.delay_polls_max + 1)
    }

    pub(super) fn write_fails(&mut self) -> bool {
        take_one(&mut self.writes_to_fail) || self.prng.chance(self.plan.write_error)
    }

    pub(super) fn flush_fails(&mut self) -> bool {
        take_one(&mut self.flushes_to_fail) || self.prng.chance(self.plan.flush_error)
    }

    pub(super) fn read_fails(&mut self) -> bool {
        self.prng.chance(self.plan.read_error)
    }
}

fn take_one(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}
