//! How far a journal has come: cursors over round numbers with a fixed order.
//!
//! `accepted >= submitted >= written >= durable`. Every change goes through a method that checks
//! it: a cursor that goes back, or overtakes its elder, is a broken invariant and ends the process.

/// See the module's head. Round 0 is "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    submitted: u64,
    written: u64,
    durable: u64,
}

impl Progress {
    /// Everything up to `round` is durable already.
    pub(crate) fn new(round: u64) -> Self {
        Self {
            submitted: round,
            written: round,
            durable: round,
        }
    }

    /// Newest round whose write is complete.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Newest round that is flushed, with all before it.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// The next round goes to the disk.
    pub(crate) fn submit(&mut self, round: u64) {
        assert_eq!(round, self.submitted + 1, "rounds go out in order");
        self.submitted = round;
    }

    /// A round's write is complete, after those of all rounds before it.
    pub(crate) fn write_done(&mut self, round: u64) {
        assert!(
            round > self.written && round <= self.submitted,
            "{round} {self:?}"
        );
        self.written = round;
    }

    /// A flush that began when `round` was written is complete.
    pub(crate) fn flush_done(&mut self, round: u64) {
        assert!(round <= self.written, "{round} {self:?}");
        self.durable = self.durable.max(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_forward_in_order() {
        let mut progress = Progress::new(4);
        progress.submit(5);
        progress.submit(6);
        progress.write_done(5);
        progress.flush_done(5);
        progress.flush_done(4);
        assert_eq!((progress.written(), progress.durable()), (5, 5));
    }

    #[test]
    #[should_panic(expected = "in order")]
    fn refuses_a_gap() {
        Progress::new(4).submit(6);
    }
}
