//! Log lines: where they go, and no flood of them.
//!
//! A hostile peer can make the node complain as fast as it can connect; [`RateLimit`] lets a few
//! lines of one kind through each second and counts the rest into the next one. Deliberately
//! absent: files, rotation (stderr belongs to whoever started us).

use std::cell::Cell;

/// Lines of one kind that may be written each second.
const LINES_PER_SECOND: u32 = 5;
const SECOND: u64 = 1_000_000_000;

/// Lets a few lines a second through.
#[derive(Debug, Default)]
pub struct RateLimit {
    second: Cell<u64>,
    written: Cell<u32>,
    suppressed: Cell<u64>,
}

impl RateLimit {
    /// Whether a line may be written at `mono` nanoseconds; if so, how many were left out before.
    pub fn admit(&self, mono: u64) -> Option<u64> {
        let second = mono / SECOND + 1;
        if self.second.get() != second {
            self.second.set(second);
            self.written.set(0);
        }
        if self.written.get() >= LINES_PER_SECOND {
            self.suppressed.set(self.suppressed.get() + 1);
            return None;
        }
        self.written.set(self.written.get() + 1);
        Some(self.suppressed.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let limit = RateLimit::default();
        let written = (0..100).filter(|_| limit.admit(7).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(limit.admit(SECOND + 7), Some(95));
        assert_eq!(limit.admit(SECOND + 8), Some(0));
    }
}
