//! The run's clock: the machine's own, or one that a test moves.
//!
//! With a virtual clock time passes only where somebody says so: a test server by the delay it
//! applies, the generator by going to its next due record while nothing is under way. What is
//! measured then is exact, however busy the machine is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Nanoseconds since the load began, the same for all of its threads.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's, once it was started; 0 until then.
    Real(Arc<OnceLock<Instant>>),
    /// It shows what somebody stores.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that waits until everything is connected.
    #[must_use]
    pub fn real() -> Self {
        Self::Real(Arc::new(OnceLock::new()))
    }

    /// Time runs from now on.
    pub fn start(&self) {
        if let Self::Real(started) = self {
            started.get_or_init(Instant::now);
        }
    }

    #[must_use]
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::Virtual(moved) => moved.load(Ordering::Acquire),
            Self::Real(started) => {
                let elapsed = started
                    .get()
                    .map_or(0, |started| started.elapsed().as_nanos());
                u64::try_from(elapsed).unwrap_or(u64::MAX)
            }
        }
    }

    /// Moves a virtual clock on; false for a real one, which has to be waited for.
    #[must_use]
    pub fn skip_to(&self, ns: u64) -> bool {
        match self {
            Self::Virtual(moved) => {
                moved.fetch_max(ns, Ordering::AcqRel);
                true
            }
            Self::Real(_) => false,
        }
    }
}
