//! Ranges of a segment's file that fail their checksums: quarantined. Pure.
//!
//! A range begins where a batch should, and ends where the next sound one does. Nothing in it is
//! served; what lies before and behind is. Ranges are known in memory only: after a restart whoever
//! reads there first, a consumer or the scrub, finds them again.

use thalweg_wire::ids::Offset;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange {
    /// File position of its first byte.
    pub from: u64,
    /// File position after its last byte.
    pub to: u64,
    /// Offset of the first record behind it.
    pub next: Offset,
}

/// Those of one segment, in order, apart from each other.
#[derive(Debug, Default)]
pub(crate) struct BadRanges(Vec<BadRange>);

impl BadRanges {
    /// Adds one, together with those it touches; false if all of it was known.
    pub(crate) fn put(&mut self, bad: BadRange) -> bool {
        let is_known = |known: &BadRange| known.from <= bad.from && bad.to <= known.to;
        if self.0.iter().any(is_known) {
            return false;
        }
        let touches = |known: &mut BadRange| known.from <= bad.to && bad.from <= known.to;
        let mut whole = bad;
        for known in self.0.extract_if(.., touches) {
            whole.from = whole.from.min(known.from);
            whole.to = whole.to.max(known.to);
            whole.next = whole.next.max(known.next);
        }
        let at = self.0.partition_point(|known| known.from < whole.from);
        self.0.insert(at, whole);
        true
    }

    /// The one that holds a position.
    pub(crate) fn at(&self, position: u64) -> Option<BadRange> {
        let above = self.0.partition_point(|bad| bad.from <= position);
        let last = self.0.get(above.checked_sub(1)?)?;
        (position < last.to).then_some(*last)
    }

    /// Where the first one behind a position begins; the largest number if there is none.
    pub(crate) fn next_from(&self, position: u64) -> u64 {
        let above = self.0.partition_point(|bad| bad.from < position);
        self.0.get(above).map_or(u64::MAX, |bad| bad.from)
    }

    /// Those that begin at `position` or behind were cut off.
    pub(crate) fn cut(&mut self, position: u64) {
        self.0.retain(|bad| bad.from < position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(from: u64, to: u64) -> BadRange {
        BadRange {
            from,
            to,
            next: Offset(to as i64),
        }
    }

    #[test]
    fn ranges_are_found_and_joined() {
        let mut ranges = BadRanges::default();
        assert!(ranges.put(bad(100, 200)) && ranges.put(bad(400, 500)));
        assert!(!ranges.put(bad(120, 200)));
        assert_eq!(ranges.at(99), None);
        assert_eq!(ranges.at(199), Some(bad(100, 200)));
        assert_eq!(ranges.at(200), None);
        assert_eq!((ranges.next_from(0), ranges.next_from(101)), (100, 400));
        assert_eq!(ranges.next_from(401), u64::MAX);
        assert!(ranges.put(bad(200, 400)));
        assert_eq!(ranges.0, [bad(100, 500)]);
        ranges.cut(100);
        assert!(ranges.0.is_empty());
    }
}
