//! An index held against the log, batch by batch. Pure.
//!
//! Each entry of the offset index must name a batch's last offset at that batch's first byte; each
//! entry of the time index a timestamp that was the largest so far, and whose it was. Entries within
//! a bad range say what cannot be known any more: they are passed over.

use thalweg_wire::ids::{Offset, TimestampMs};

use crate::segment::BatchFacts;
use crate::segment::time_index::TimeEntry;
use crate::segment::{index, time_index};

/// The entries of both indexes that are still to be met.
pub(super) struct Entries<'a> {
    base: Offset,
    index: &'a [u8],
    time_index: &'a [u8],
    max: TimeEntry,
    sound: bool,
}

impl<'a> Entries<'a> {
    pub(super) fn new(base: Offset, index: &'a [u8], time_index: &'a [u8]) -> Self {
        Self {
            base,
            index,
            time_index,
            max: TimeEntry {
                timestamp: TimestampMs::NONE,
                offset: base,
            },
            sound: true,
        }
    }

    /// The next sound batch, which begins at `position`.
    pub(super) fn batch(&mut self, position: u64, batch: &BatchFacts) {
        while let Some((offset, begin)) = self.front()
            && begin <= position
        {
            self.sound &= begin == position && offset == batch.last;
            self.index = self.index.get(index::ENTRY_BYTES..).unwrap_or_default();
        }
        if batch.max_timestamp > self.max.timestamp {
            self.max = TimeEntry {
                timestamp: batch.max_timestamp,
                offset: batch.last,
            };
            if self.front_time() == Some(self.max) {
                let rest = self.time_index.get(time_index::ENTRY_BYTES..);
                self.time_index = rest.unwrap_or_default();
            }
        }
    }

    /// Bytes up to `position` cannot be read any more.
    pub(super) fn skip_to(&mut self, position: u64) {
        while self.front().is_some_and(|(_, begin)| begin < position) {
            self.index = self.index.get(index::ENTRY_BYTES..).unwrap_or_default();
        }
        // Whose the largest timestamp is, nobody knows any more.
        self.time_index = &[];
    }

    /// Begins of batches behind `position`, as far as the index knows.
    pub(super) fn begins_after(&self, position: u64) -> Vec<u64> {
        let entries = self.index.chunks_exact(index::ENTRY_BYTES);
        let begins = entries.filter_map(|entry| Some(u64::from(be32(entry, 4)?)));
        begins.filter(|begin| *begin > position).collect()
    }

    /// True if every entry was met.
    pub(super) fn all_met(&self) -> bool {
        self.sound && self.front().is_none() && self.time_index.is_empty()
    }

    fn front(&self) -> Option<(Offset, u64)> {
        let offset = self.base.plus(i64::from(be32(self.index, 0)?));
        Some((offset, u64::from(be32(self.index, 4)?)))
    }

    fn front_time(&self) -> Option<TimeEntry> {
        let timestamp = i64::from_be_bytes(*self.time_index.first_chunk()?);
        Some(TimeEntry {
            timestamp: TimestampMs(timestamp),
            offset: self.base.plus(i64::from(be32(self.time_index, 8)?)),
        })
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::index::{IndexEntry, OffsetIndex};
    use crate::segment::time_index::TimeIndex;

    const BATCHES: [(u64, i64, i64, i64); 3] =
        [(0, 10, 12, 500), (90, 13, 13, 400), (170, 14, 19, 700)];

    fn batch((_, base, last, time): (u64, i64, i64, i64)) -> BatchFacts {
        BatchFacts {
            bytes: 80,
            base: Offset(base),
            last: Offset(last),
            max_timestamp: TimestampMs(time),
        }
    }

    fn sound(index: &[(i64, u64)], times: &[(i64, i64)]) -> bool {
        let (mut offsets, mut by_time) = (OffsetIndex::new(Offset(10)), TimeIndex::new(Offset(10)));
        for (offset, position) in index {
            let entry = IndexEntry {
                offset: Offset(*offset),
                position: *position,
            };
            offsets.push(entry, Offset(*offset));
        }
        for (timestamp, offset) in times {
            by_time.push_if_later(TimeEntry {
                timestamp: TimestampMs(*timestamp),
                offset: Offset(*offset),
            });
        }
        let mut entries = Entries::new(Offset(10), offsets.bytes(), by_time.bytes());
        for one in BATCHES {
            entries.batch(one.0, &batch(one));
        }
        entries.all_met()
    }

    #[test]
    fn entries_must_be_what_the_log_says() {
        assert!(sound(&[(13, 90), (19, 170)], &[(500, 12), (700, 19)]));
        assert!(sound(&[], &[]));
        for (index, times) in [
            (&[(14, 90)][..], &[][..]),
            (&[(13, 91)], &[]),
            (&[(19, 90)], &[]),
            (&[(25, 400)], &[]),
            (&[], &[(500, 13)]),
            (&[], &[(400, 13)]),
            (&[], &[(800, 19)]),
        ] {
            assert!(!sound(index, times), "{index:?} {times:?}");
        }
    }
}
