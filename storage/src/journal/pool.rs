//! The journal's files: zeroed once, then written and freed in turns for ever. Pure bookkeeping.
//!
//! At any time one file is current; sealed ones hold live rounds, oldest first; free ones hold
//! nothing that counts. A round never spans two files. Freed files are re-used in the order in
//! which they were freed, so what is left of old rounds in them never lies between live ones.
//!
//! File order is not in the files: it comes from the numbers of the rounds found in them.

use std::collections::VecDeque;

/// Index of a journal file, which names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct FileIndex(pub(crate) u32);

impl FileIndex {
    /// Its name in the journal's directory.
    #[must_use]
    pub(crate) fn name(self) -> String {
        format!("{:04}.journal", self.0)
    }

    /// The index behind a name; `None` for other files.
    #[must_use]
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".journal")?;
        let index = digits.parse().ok().map(Self)?;
        (index.name() == name).then_some(index)
    }
}

/// A file with rounds that count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Live {
    file: FileIndex,
    /// Number of the first round in it.
    first: u64,
    /// Bytes written.
    position: u64,
}

/// Where a round goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    /// The file.
    pub(crate) file: FileIndex,
    /// Byte position in it.
    pub(crate) position: u64,
    /// True if this round begins a file.
    pub(crate) switched: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Pool {
    file_bytes: u64,
    free: VecDeque<FileIndex>,
    /// Oldest first; the last one is current.
    live: VecDeque<Live>,
}

impl Pool {
    /// A pool of free files.
    #[must_use]
    pub(crate) fn new(file_bytes: u64, free: Vec<FileIndex>) -> Self {
        Self {
            file_bytes,
            free: free.into(),
            live: VecDeque::new(),
        }
    }

    /// Says that a file holds live rounds from `first` on, in its first `position` bytes; younger
    /// than all said before. For opening a journal that recovery began.
    pub(crate) fn adopt(&mut self, file: FileIndex, first: u64, position: u64) {
        self.free.retain(|free| *free != file);
        self.live.push_back(Live {
            file,
            first,
            position,
        });
    }

    /// Takes room for a round of `bytes`; `None` if no file has any.
    pub(crate) fn place(&mut self, round: u64, bytes: usize) -> Option<Spot> {
        let bytes = bytes as u64;
        assert!(bytes <= self.file_bytes, "a round fits into a file");
        if let Some(current) = self.live.back_mut()
            && current.position + bytes <= self.file_bytes
        {
            let position = current.position;
            current.position += bytes;
            return Some(Spot {
                file: current.file,
                position,
                switched: false,
            });
        }
        let file = self.free.pop_front()?;
        self.live.push_back(Live {
            file,
            first: round,
            position: bytes,
        });
        Some(Spot {
            file,
            position: 0,
            switched: true,
        })
    }

    /// The first round after the oldest sealed file: with everything below it void, that file is
    /// free. `None` while only the current file holds live rounds.
    #[must_use]
    pub(crate) fn victim_end(&self) -> Option<u64> {
        self.live.get(1).map(|next| next.first)
    }

    /// Frees the sealed files whose rounds are all below `rounds_below`; returns how many.
    pub(crate) fn recycle(&mut self, rounds_below: u64) -> usize {
        let mut count = 0;
        while self.victim_end().is_some_and(|end| end <= rounds_below) {
            if let Some(live) = self.live.pop_front() {
                self.free.push_back(live.file);
            }
            count += 1;
        }
        count
    }

    /// Adds a zeroed file.
    pub(crate) fn add(&mut self, file: FileIndex) {
        self.free.push_back(file);
    }

    /// The index that a new file gets.
    #[must_use]
    pub(crate) fn next_index(&self) -> FileIndex {
        let free = self.free.iter().copied();
        let used = self.live.iter().map(|live| live.file);
        FileIndex(free.chain(used).map(|file| file.0 + 1).max().unwrap_or(0))
    }

    /// Number of files.
    #[must_use]
    pub(crate) fn files(&self) -> usize {
        self.free.len() + self.live.len()
    }

    /// Number of free files.
    #[must_use]
    pub(crate) fn files_free(&self) -> usize {
        self.free.len()
    }

    /// Bytes of all files.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.files() as u64 * self.file_bytes
    }

    /// Bytes that rounds of at most `round_bytes` can surely take: the end of each file may be
    /// left empty because the next round does not fit.
    #[must_use]
    pub(crate) fn room(&self, round_bytes: u64) -> u64 {
        let usable = self.file_bytes.saturating_sub(round_bytes);
        let current = self.live.back().map_or(0, |live| {
            self.file_bytes.saturating_sub(live.position + round_bytes)
        });
        current + self.free.len() as u64 * usable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(100, vec![FileIndex(0), FileIndex(1)])
    }

    #[test]
    fn names_are_read_back_and_others_are_not() {
        for index in [0, 7, 9_999, 12_345] {
            assert_eq!(
                FileIndex::parse(&FileIndex(index).name()),
                Some(FileIndex(index))
            );
        }
        for name in ["7.journal", "0007.journal.tmp", "+007.journal", "lock"] {
            assert_eq!(FileIndex::parse(name), None, "{name}");
        }
    }

    #[test]
    fn fills_files_in_turn_and_says_when_there_is_no_room() {
        let mut pool = pool();
        assert_eq!(pool.room(20), 160);
        let spots: Vec<_> = (1..=4).map(|round| pool.place(round, 40)).collect();
        let at = |file, position, switched| {
            Some(Spot {
                file: FileIndex(file),
                position,
                switched,
            })
        };
        assert_eq!(
            spots,
            [
                at(0, 0, true),
                at(0, 40, false),
                at(1, 0, true),
                at(1, 40, false)
            ]
        );
        assert_eq!(pool.place(5, 40), None);
        assert_eq!(pool.room(20), 0);
        assert_eq!(pool.place(5, 20), at(1, 80, false));
    }

    #[test]
    fn frees_only_what_lies_below_whole() {
        let mut pool = pool();
        for round in 1..=4 {
            pool.place(round, 40);
        }
        assert_eq!(pool.victim_end(), Some(3));
        assert_eq!(pool.recycle(2), 0);
        assert_eq!(pool.recycle(3), 1);
        assert_eq!((pool.victim_end(), pool.files_free()), (None, 1));
        assert_eq!(pool.recycle(99), 0, "the current file is never freed");
        assert_eq!(pool.next_index(), FileIndex(2));
    }
}
