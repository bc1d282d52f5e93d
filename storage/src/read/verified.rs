//! Which parts of a file were verified since they were last read from the device: a sorted set of
//! ranges that do not touch. Pure.

use std::ops::Range;

/// Ranges kept for one file. Sequential readers make one range; a file with more holes than this
/// starts anew, which costs a walk in memory and no correctness.
pub(super) const RANGES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Verified {
    ranges: Vec<Range<u64>>,
}

impl Verified {
    pub(super) fn contains(&self, range: &Range<u64>) -> bool {
        self.ranges
            .iter()
            .any(|known| known.start <= range.start && range.end <= known.end)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        let mut merged = range;
        self.ranges.retain(|known| {
            let touches = known.start <= merged.end && merged.start <= known.end;
            if touches {
                merged = known.start.min(merged.start)..known.end.max(merged.end);
            }
            !touches
        });
        if self.ranges.len() >= RANGES_MAX {
            self.ranges.clear();
        }
        let at = self
            .ranges
            .partition_point(|known| known.start < merged.start);
        self.ranges.insert(at, merged);
    }

    pub(super) fn remove(&mut self, range: &Range<u64>) {
        let known = std::mem::take(&mut self.ranges);
        for known in known {
            let below = known.start..known.end.min(range.start);
            let above = known.start.max(range.end)..known.end;
            self.ranges.extend(
                [below, above]
                    .into_iter()
                    .filter(|part| part.start < part.end),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_part() {
        let mut verified = Verified::default();
        for range in [0..10, 20..30, 10..20] {
            verified.insert(range);
        }
        assert!(verified.ranges.len() == 1 && verified.contains(&(0..30)));
        assert!(verified.contains(&(5..30)) && !verified.contains(&(5..31)));
        verified.remove(&(8..12));
        assert_eq!(verified.ranges, [0..8, 12..30]);
        verified.remove(&(0..100));
        assert_eq!(verified.ranges, []);
    }

    #[test]
    fn too_many_holes_start_anew() {
        let mut verified = Verified::default();
        for at in 0..=RANGES_MAX as u64 {
            verified.insert(at * 10..at * 10 + 1);
        }
        assert_eq!(verified.ranges.len(), 1);
    }
}
