//! The only clock of the node.
//!
//! Wall time for timestamps and what clients see, monotonic time for everything that waits.
//! Everything else gets time as an argument.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use thalweg_wire::ids::TimestampMs;

use crate::shard::host::Now;

static START: OnceLock<Instant> = OnceLock::new();

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    let start = *START.get_or_init(Instant::now);
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
    Now {
        wall: TimestampMs(wall),
        mono: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
    }
}
