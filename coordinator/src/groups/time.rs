//! The two clocks of groups.
//!
//! Deadlines count on a clock that only runs, so that setting the wall clock an hour forward ends no session and
//! setting it back prolongs none. Times in records, and the age of offsets, are wall time: they are compared with
//! what other starts and other nodes have written. The two are different types, so none is taken for the other.

use thalweg_wire::ids::TimestampMs;

/// Milliseconds of a clock that never jumps, from a beginning that means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Steady(pub i64);

impl Steady {
    /// That many milliseconds on.
    #[must_use]
    pub const fn after(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// For deadlines.
    pub steady: Steady,
    /// For records, and for what they say.
    pub wall: TimestampMs,
}
