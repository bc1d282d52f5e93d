//! Leader epochs of a partition and where each began. Pure.
//!
//! Both columns ascend. An epoch that wrote nothing is replaced by the next one that begins at the
//! same offset. Deliberately absent: the file (see [`crate::files::epochs`]).

use thalweg_wire::ids::{Epoch, Offset};

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first offset.
    pub start: Offset,
}

/// Answer of `OffsetForLeaderEpoch`; both -1 if the epoch is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch up to the one asked for.
    pub epoch: Epoch,
    /// Where it ends.
    pub end: Offset,
}

impl EpochEnd {
    /// No such epoch.
    pub const UNKNOWN: Self = Self {
        epoch: Epoch::UNKNOWN,
        end: Offset::NONE,
    };
}

/// All epochs that have records in the log, and the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    entries: Vec<EpochEntry>,
}

impl Epochs {
    /// Takes entries in any state: one that contradicts a later one gives way to it.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start);
        }
        epochs
    }

    /// All epochs, ascending.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The latest epoch, -1 for none.
    #[must_use]
    pub fn latest(&self) -> Epoch {
        self.entries.last().map_or(Epoch::UNKNOWN, |e| e.epoch)
    }

    /// An epoch begins at `start`. True if that was news. Entries that this contradicts (an epoch
    /// not below, a start not below) give way: they wrote nothing, or were cut off.
    pub fn assign(&mut self, epoch: Epoch, start: Offset) -> bool {
        let last = self.entries.last();
        if epoch.0 < 0 || last.is_some_and(|e| e.epoch == epoch && start >= e.start) {
            return false;
        }
        while let Some(last) = self.entries.last() {
            if last.epoch < epoch && last.start < start {
                break;
            }
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// Where `epoch` ended; the latest one ends with the log.
    #[must_use]
    pub fn end_of(&self, epoch: Epoch, log_end: Offset) -> EpochEnd {
        if epoch.0 < 0 || self.entries.is_empty() {
            return EpochEnd::UNKNOWN;
        }
        if epoch == self.latest() {
            return EpochEnd {
                epoch,
                end: log_end,
            };
        }
        let above = self.entries.partition_point(|e| e.epoch <= epoch);
        let Some(higher) = self.entries.get(above) else {
            return EpochEnd::UNKNOWN;
        };
        let floor = above.checked_sub(1).and_then(|at| self.entries.get(at));
        EpochEnd {
            epoch: floor.map_or(epoch, |e| e.epoch),
            end: higher.start,
        }
    }

    /// The epoch of the record at `offset`, -1 if unknown.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Epoch {
        let above = self.entries.partition_point(|e| e.start <= offset);
        let floor = above.checked_sub(1).and_then(|at| self.entries.get(at));
        floor.map_or(Epoch::UNKNOWN, |e| e.epoch)
    }

    /// Records from `end` on are gone.
    pub fn cut_end(&mut self, end: Offset) {
        self.entries.retain(|e| e.start < end);
    }

    /// Records below `start` are gone: the epoch that covers `start` begins there now.
    pub fn cut_start(&mut self, start: Offset) {
        let gone = self.entries.partition_point(|e| e.start <= start);
        if let Some(first_left) = gone.checked_sub(1) {
            self.entries.drain(..first_left);
            if let Some(first) = self.entries.first_mut() {
                first.start = start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        Epochs::from_entries(entries.iter().map(|(epoch, start)| EpochEntry {
            epoch: Epoch(*epoch),
            start: Offset(*start),
        }))
    }

    #[test]
    fn an_epoch_replaces_what_it_contradicts() {
        for (given, kept) in [
            (
                &[(0, 0), (1, 10), (3, 20)][..],
                &[(0, 0), (1, 10), (3, 20)][..],
            ),
            // Nothing was written in epoch 1.
            (&[(0, 0), (1, 10), (2, 10)], &[(0, 0), (2, 10)]),
            // The log was cut and another leader went on.
            (&[(0, 0), (1, 10), (2, 20), (3, 5)], &[(0, 0), (3, 5)]),
            (&[(4, 7), (4, 9)], &[(4, 7)]),
            (&[(4, 7), (4, 3)], &[(4, 3)]),
            (&[(-1, 0)], &[]),
        ] {
            let got = epochs(given);
            let got: Vec<_> = got
                .entries()
                .iter()
                .map(|e| (e.epoch.0, e.start.0))
                .collect();
            assert_eq!(got, kept, "{given:?}");
        }
    }

    #[test]
    fn end_of_an_epoch() {
        let held = epochs(&[(1, 5), (3, 20), (6, 30)]);
        for (asked, epoch, end) in [
            (-1, -1, -1),
            (0, 0, 5),
            (1, 1, 20),
            (2, 1, 20),
            (3, 3, 30),
            (5, 3, 30),
            (6, 6, 44),
            (7, -1, -1),
        ] {
            let found = held.end_of(Epoch(asked), Offset(44));
            assert_eq!((found.epoch.0, found.end.0), (epoch, end), "{asked}");
        }
        let none = Epochs::default().end_of(Epoch(0), Offset(9));
        assert_eq!(none, EpochEnd::UNKNOWN);
    }

    #[test]
    fn cuts() {
        let mut held = epochs(&[(1, 5), (3, 20), (6, 30)]);
        held.cut_start(Offset(25));
        assert_eq!(held, epochs(&[(3, 25), (6, 30)]));
        assert_eq!(held.at(Offset(24)), Epoch::UNKNOWN);
        assert_eq!(held.at(Offset(29)), Epoch(3));
        held.cut_start(Offset(3));
        assert_eq!(held, epochs(&[(3, 25), (6, 30)]));
        held.cut_end(Offset(30));
        assert_eq!(held, epochs(&[(3, 25)]));
        held.cut_end(Offset(31));
        assert_eq!(held.latest(), Epoch(3));
    }
}
