//! The time index: a timestamp -> the offset up to which no later timestamp lies. Kafka's
//! `.timeindex`. Pure.
//!
//! The entries are held as the file's own bytes: timestamp (8 bytes, big-endian), offset less the
//! base (4 bytes). An entry (t, o) says that t is the largest timestamp of all records up to o,
//! and that it is found in the batch that ends at o. Timestamps ascend strictly, offsets do not
//! fall. Deliberately absent: when an entry is due (the segment decides), files.

use thalweg_wire::ids::{Offset, TimestampMs};

use super::table::Table;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 12;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Largest timestamp so far.
    pub timestamp: TimestampMs,
    /// Last offset of the batch that has it.
    pub offset: Offset,
}

/// The time index of one segment.
#[derive(Clone, Debug)]
pub struct TimeIndex {
    base: Offset,
    entries: Table<ENTRY_BYTES>,
}

impl TimeIndex {
    /// An empty index.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self {
            base,
            entries: Table::default(),
        }
    }

    /// Takes the valid front of a file; what follows (zeros, rot) is dropped.
    #[must_use]
    pub fn from_bytes(base: Offset, bytes: Vec<u8>) -> Self {
        let mut index = Self::new(base);
        let mut last = index.none();
        index.entries = Table::valid_front(bytes, |bytes| {
            let entry = decode(base, bytes);
            let ascends = entry.timestamp > last.timestamp && entry.offset >= last.offset;
            last = entry;
            ascends && entry != Self::zeros(base)
        });
        index
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if no entry fits into a file of `bytes_max` any more. The one place that a seal may
    /// still need is kept free.
    #[must_use]
    pub fn is_full(&self, bytes_max: u32) -> bool {
        self.len() + 1 >= bytes_max as usize / ENTRY_BYTES
    }

    /// Adds an entry if its timestamp is above the last one. A scan that begins before the last
    /// entry brings nothing new until it has passed it.
    pub fn push_if_later(&mut self, entry: TimeEntry) {
        let last = self.last();
        if entry.timestamp <= last.timestamp || entry.offset < last.offset {
            return;
        }
        let Ok(relative) = u32::try_from(entry.offset.0 - self.base.0) else {
            debug_assert!(false, "a segment rolls before its index overflows");
            return;
        };
        self.entries
            .push(&entry.timestamp.0.to_be_bytes(), &relative.to_be_bytes());
    }

    /// The last entry; timestamp -1 at the base if there is none.
    #[must_use]
    pub fn last(&self) -> TimeEntry {
        let last = self.entries.last();
        last.map_or(self.none(), |entry| decode(self.base, entry))
    }

    /// The last entry up to `timestamp`: a record with this or a later timestamp lies above its
    /// offset, or in the batch that ends there.
    #[must_use]
    pub fn floor(&self, timestamp: TimestampMs) -> TimeEntry {
        let below = |entry| decode(self.base, entry).timestamp <= timestamp;
        let floor = self.entries.floor(below);
        floor.map_or(self.none(), |entry| decode(self.base, entry))
    }

    /// Drops entries at `offset` or later.
    pub fn cut(&mut self, offset: Offset) {
        let below = |entry| decode(self.base, entry).offset < offset;
        let keep = self.entries.count_while(below);
        self.entries.truncate(keep);
    }

    /// The file's content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.entries.bytes()
    }

    const fn none(&self) -> TimeEntry {
        TimeEntry {
            timestamp: TimestampMs::NONE,
            offset: self.base,
        }
    }

    /// What a preallocated, unused entry decodes to.
    const fn zeros(base: Offset) -> TimeEntry {
        TimeEntry {
            timestamp: TimestampMs(0),
            offset: base,
        }
    }
}

fn decode(base: Offset, entry: [u8; ENTRY_BYTES]) -> TimeEntry {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = entry;
    TimeEntry {
        timestamp: TimestampMs(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        offset: base.plus(i64::from(u32::from_be_bytes([i, j, k, l]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp: i64, offset: i64) -> TimeEntry {
        TimeEntry {
            timestamp: TimestampMs(timestamp),
            offset: Offset(offset),
        }
    }

    fn index() -> TimeIndex {
        let mut index = TimeIndex::new(Offset(100));
        for (timestamp, offset) in [(10, 109), (10, 111), (5, 120), (30, 130)] {
            index.push_if_later(entry(timestamp, offset));
        }
        index
    }

    #[test]
    fn only_later_timestamps_enter() {
        assert_eq!(index().len(), 2);
        assert_eq!(index().last(), entry(30, 130));
        assert_eq!(TimeIndex::new(Offset(7)).last(), entry(-1, 7));
    }

    #[test]
    fn floor_is_the_last_entry_up_to_a_time() {
        for (timestamp, found) in [
            (9, entry(-1, 100)),
            (10, entry(10, 109)),
            (29, entry(10, 109)),
            (30, entry(30, 130)),
            (99, entry(30, 130)),
        ] {
            assert_eq!(index().floor(TimestampMs(timestamp)), found, "{timestamp}");
        }
    }

    #[test]
    fn a_file_is_taken_up_to_its_first_bad_entry() {
        let good = index().bytes().to_vec();
        let len = |bytes: Vec<u8>| TimeIndex::from_bytes(Offset(100), bytes).len();
        assert_eq!(len(good.clone()), 2);
        assert_eq!(len([good.as_slice(), &[0; 120]].concat()), 2);
        assert_eq!(len(vec![0; 120]), 0);
        assert_eq!(len([&good[12..], &good[..12]].concat()), 1);
        assert_eq!(len(good[..23].to_vec()), 1);
    }

    #[test]
    fn a_cut_drops_entries_that_reach_it() {
        let mut cut = index();
        cut.cut(Offset(130));
        assert_eq!(cut.last(), entry(10, 109));
    }

    #[test]
    fn full_keeps_a_place_for_the_seal() {
        assert!(index().is_full(36));
        assert!(!index().is_full(48));
    }
}
