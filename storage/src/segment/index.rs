//! The offset index: last offset of a batch -> where the batch begins. Kafka's `.index`. Pure.
//!
//! The entries are held as the file's own bytes: offset less the base (4 bytes, big-endian), then
//! position (4 bytes). Entries ascend strictly in both. An entry names the *last* offset of the
//! batch that begins at its position, so the floor of an offset is where a scan for it starts.
//! Deliberately absent: when an entry is due (the segment decides), files.

use thalweg_wire::ids::Offset;

use super::table::Table;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 8;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Last offset of a batch.
    pub offset: Offset,
    /// First byte of that batch.
    pub position: u64,
}

/// The index of one segment.
#[derive(Clone, Debug)]
pub struct OffsetIndex {
    base: Offset,
    entries: Table<ENTRY_BYTES>,
    /// First offset, less the base, of the batches of the last entries: those made here rather
    /// than loaded. It tells which offset a reader asks for that goes on at an entry.
    first_offsets: Vec<u32>,
}

impl OffsetIndex {
    /// An empty index.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self {
            base,
            entries: Table::default(),
            first_offsets: Vec::new(),
        }
    }

    /// Takes the valid front of a file: ascending entries whose batches begin below `log_bytes`.
    /// What follows (preallocated zeros, entries beyond a cut, rot) is dropped.
    #[must_use]
    pub fn from_bytes(base: Offset, bytes: Vec<u8>, log_bytes: u64) -> Self {
        let mut last = (0, 0);
        let entries = Table::valid_front(bytes, |entry| {
            let (offset, position) = split(entry);
            let ascends = offset > last.0 && position > last.1;
            last = (offset, position);
            ascends && u64::from(position) < log_bytes && offset <= i32::MAX as u32
        });
        Self {
            base,
            entries,
            first_offsets: Vec::new(),
        }
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

    /// True if no entry fits into a file of `bytes_max` any more.
    #[must_use]
    pub fn is_full(&self, bytes_max: u32) -> bool {
        self.len() >= bytes_max as usize / ENTRY_BYTES
    }

    /// Adds an entry for a batch whose first offset is `first`; both numbers of the entry must be
    /// above the last entry's.
    pub fn push(&mut self, entry: IndexEntry, first: Offset) {
        let relative = u32::try_from(entry.offset.0 - self.base.0);
        let position = u32::try_from(entry.position);
        let (Ok(relative), Ok(position)) = (relative, position) else {
            debug_assert!(false, "a segment rolls before its index overflows");
            return;
        };
        debug_assert!(self.last().is_none_or(|last| entry.offset > last.offset));
        self.entries
            .push(&relative.to_be_bytes(), &position.to_be_bytes());
        let behind = u32::try_from(entry.offset.0 - first.0).unwrap_or(relative);
        self.first_offsets.push(relative.saturating_sub(behind));
    }

    /// The first offset of the batch at an entry's position, where it is known.
    #[must_use]
    pub fn first_offset(&self, position: u64) -> Option<Offset> {
        let at = self.count_while(|entry| entry.position < position);
        let entry = self.decode(self.entries.get(at)?);
        if entry.position != position {
            return None;
        }
        let at = at.checked_sub(self.len() - self.first_offsets.len())?;
        let first = self.first_offsets.get(at)?;
        Some(self.base.plus(i64::from(*first)))
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<IndexEntry> {
        self.entries.last().map(|entry| self.decode(entry))
    }

    /// Where a scan for `offset` starts: the last entry up to it, or the segment's begin.
    #[must_use]
    pub fn floor(&self, offset: Offset) -> IndexEntry {
        self.floor_by(|entry| entry.offset <= offset)
    }

    /// The last batch begin up to `position` that the index knows.
    #[must_use]
    pub fn floor_position(&self, position: u64) -> IndexEntry {
        self.floor_by(|entry| entry.position <= position)
    }

    /// The last offset of the first batch at `position` or later that the index knows.
    #[must_use]
    pub fn offset_from(&self, position: u64) -> Option<Offset> {
        let at = self.count_while(|entry| entry.position < position);
        Some(self.decode(self.entries.get(at)?).offset)
    }

    /// Drops entries of batches that end at `offset` or later.
    pub fn cut(&mut self, offset: Offset) {
        let keep = self.count_while(|entry| entry.offset < offset);
        let loaded = self.len() - self.first_offsets.len();
        self.entries.truncate(keep);
        self.first_offsets.truncate(keep.saturating_sub(loaded));
    }

    /// The file's content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.entries.bytes()
    }

    fn floor_by(&self, below: impl Fn(IndexEntry) -> bool) -> IndexEntry {
        let entry = self.entries.floor(|entry| below(self.decode(entry)));
        let begin = IndexEntry {
            offset: self.base,
            position: 0,
        };
        entry.map_or(begin, |entry| self.decode(entry))
    }

    fn count_while(&self, below: impl Fn(IndexEntry) -> bool) -> usize {
        self.entries.count_while(|entry| below(self.decode(entry)))
    }

    fn decode(&self, entry: [u8; ENTRY_BYTES]) -> IndexEntry {
        let (offset, position) = split(entry);
        IndexEntry {
            offset: self.base.plus(i64::from(offset)),
            position: u64::from(position),
        }
    }
}

fn split(entry: [u8; ENTRY_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = entry;
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: i64, position: u64) -> IndexEntry {
        IndexEntry {
            offset: Offset(offset),
            position,
        }
    }

    fn index() -> OffsetIndex {
        let mut index = OffsetIndex::new(Offset(100));
        index.push(entry(109, 5000), Offset(105));
        index.push(entry(120, 9200), Offset(120));
        index.push(entry(150, 14_000), Offset(140));
        index
    }

    #[test]
    fn floor_by_offset_and_by_position() {
        for (offset, found) in [
            (100, entry(100, 0)),
            (108, entry(100, 0)),
            (109, entry(109, 5000)),
            (119, entry(109, 5000)),
            (120, entry(120, 9200)),
            (9999, entry(150, 14_000)),
        ] {
            assert_eq!(index().floor(Offset(offset)), found, "{offset}");
        }
        for (position, found) in [
            (0, entry(100, 0)),
            (4999, entry(100, 0)),
            (5000, entry(109, 5000)),
            (99_999, entry(150, 14_000)),
        ] {
            assert_eq!(index().floor_position(position), found, "{position}");
        }
    }

    #[test]
    fn a_file_is_taken_up_to_its_first_bad_entry() {
        let good = index().bytes().to_vec();
        let check = |bytes: Vec<u8>, log_bytes, entries| {
            let taken = OffsetIndex::from_bytes(Offset(100), bytes, log_bytes);
            assert_eq!(taken.len(), entries);
        };
        check(good.clone(), 1 << 20, 3);
        check(good.clone(), 14_000, 2);
        check([good.as_slice(), &[0; 4096]].concat(), 1 << 20, 3);
        check(good[..20].to_vec(), 1 << 20, 2);
        check([&good[8..16], &good[..8]].concat(), 1 << 20, 1);
        check(vec![0xff; 64], u64::MAX, 0);
    }

    #[test]
    fn a_cut_drops_batches_that_reach_it() {
        let mut cut = index();
        cut.cut(Offset(120));
        assert_eq!(cut.last(), Some(entry(109, 5000)));
        cut.cut(Offset(0));
        assert!(cut.is_empty());
    }

    #[test]
    fn first_offsets_are_known_for_entries_made_here() {
        let loaded = OffsetIndex::from_bytes(Offset(100), index().bytes().to_vec(), 1 << 20);
        assert_eq!(loaded.first_offset(9200), None);
        let mut grown = loaded;
        grown.push(entry(180, 20_000), Offset(170));
        for (position, first) in [(14_000, None), (20_000, Some(Offset(170))), (20_001, None)] {
            assert_eq!(grown.first_offset(position), first);
        }
        assert_eq!(index().first_offset(5000), Some(Offset(105)));
        grown.cut(Offset(180));
        assert_eq!((grown.len(), grown.first_offset(20_000)), (3, None));
    }

    #[test]
    fn full_counts_whole_entries() {
        assert!(index().is_full(24 + 7));
        assert!(!index().is_full(32));
    }
}
