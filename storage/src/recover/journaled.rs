//! What the journals say of each partition, entry by entry in round order. Pure.
//!
//! The result is not a list of events but a state: bytes at explicit places that files may lack,
//! where the log ends, and what else changed. Applying entries whose effect is in the files
//! already gives the same state, which is why recovery may be cut and repeated.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::ids::{Epoch, Offset, PartitionId};

use super::run::Run;
use crate::disk::{BLOCK_BYTES, Slice};
use crate::journal::entry::{Entry, MORE, Place};
use crate::journal::replay::{FoundRound, ReplayError, entries};
use crate::store::Mutation;

/// Bytes at a place.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) place: Place,
    pub(crate) bytes: Slice,
}

impl Range {
    fn end(&self) -> Place {
        further(self.place, self.bytes.len() as u64)
    }
}

/// What the journals say of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journaled {
    /// Oldest round with an entry of it.
    pub(crate) first_round: u64,
    /// Files hold everything below, durably.
    pub(crate) moved: Option<Place>,
    /// In the order of journaling: later ones lie over earlier ones.
    pub(crate) ranges: Vec<Range>,
    /// Parts of a batch whose last part has not come.
    parts: Vec<Range>,
    /// Where the log ends.
    pub(crate) end: Option<Place>,
    pub(crate) log_start: Option<Offset>,
    pub(crate) epochs: Vec<(Epoch, Offset)>,
    pub(crate) state: Option<Vec<u8>>,
    state_parts: Vec<u8>,
    /// The lowest cut among the entries: files may tell of what was behind it.
    pub(crate) cut: Option<(Place, Offset)>,
}

/// All partitions of some journals.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) partitions: BTreeMap<PartitionId, Journaled>,
    /// Partitions whose deletion is journaled.
    pub(crate) deleted: BTreeSet<PartitionId>,
    /// The last entry of the last round was clean-stop, in every journal read.
    pub(crate) clean: bool,
}

impl Image {
    /// Applies one journal's live rounds.
    pub(crate) fn apply(
        &mut self,
        rounds: &[FoundRound],
        mutation: Mutation,
    ) -> Result<(), ReplayError> {
        let mut clean = rounds.is_empty();
        for round in rounds {
            for entry in entries(round) {
                let (entry, flags) = entry?;
                clean = entry == Entry::CleanStop;
                self.apply_entry(round, &entry, flags, mutation);
            }
        }
        self.clean &= clean;
        Ok(())
    }

    fn apply_entry(
        &mut self,
        round: &FoundRound,
        entry: &Entry<'_>,
        flags: u8,
        mutation: Mutation,
    ) {
        let Some(id) = entry.partition() else {
            return;
        };
        if matches!(entry, Entry::PartitionDeleted { .. }) {
            if mutation != Mutation::ResurrectDeleted {
                self.partitions.remove(&id);
                self.deleted.insert(id);
            }
            return;
        }
        let partition = self.partitions.entry(id).or_insert_with(|| Journaled {
            first_round: round.header.round,
            ..Journaled::default()
        });
        let more = flags & MORE != 0;
        match *entry {
            Entry::Append { place, bytes, .. } | Entry::Carried { place, bytes, .. } => {
                partition.put(place, slice_of(round, bytes), more);
            }
            Entry::TruncateTo { offset, place, .. } => partition.truncate(offset, place),
            Entry::LogStart { .. } if mutation == Mutation::ResurrectDeleted => {}
            Entry::LogStart { offset, .. } => {
                partition.log_start = partition.log_start.max(Some(offset));
            }
            Entry::MovedTo { place, .. } => partition.moved_to(place),
            Entry::ProducerState { bytes, .. } => partition.put_state(bytes, more),
            Entry::EpochStart {
                epoch,
                start_offset,
                ..
            } => partition.epochs.push((epoch, start_offset)),
            Entry::PartitionDeleted { .. } | Entry::Trim { .. } | Entry::CleanStop => {}
        }
    }
}

/// The slice of a round's payload that an entry borrows.
fn slice_of(round: &FoundRound, bytes: &[u8]) -> Slice {
    let from = bytes.as_ptr() as usize - round.payload.as_ptr() as usize;
    round.payload.sub(from..from + bytes.len())
}

fn further(place: Place, bytes: u64) -> Place {
    Place {
        position: place.position + bytes,
        ..place
    }
}

/// The block boundary at or below a place.
pub(crate) fn block_of(place: Place) -> Place {
    Place {
        position: place.position - place.position % BLOCK_BYTES as u64,
        ..place
    }
}

impl Journaled {
    /// Nothing said yet.
    pub(crate) fn begun(first_round: u64) -> Self {
        Self {
            first_round,
            ..Self::default()
        }
    }

    /// Only what says where the files end, and the log start: nothing to write, nothing to scan.
    pub(crate) fn is_plain(&self) -> bool {
        self.leaves_files() && self.moved.is_some()
    }

    /// Nothing is said of what the files hold: at most where they end, and the log start.
    pub(crate) fn leaves_files(&self) -> bool {
        self.ranges.is_empty()
            && self.epochs.is_empty()
            && self.state.is_none()
            && self.cut.is_none()
    }

    fn put(&mut self, place: Place, bytes: Slice, more: bool) {
        self.parts.push(Range { place, bytes });
        if more {
            return;
        }
        for part in std::mem::take(&mut self.parts) {
            self.end = self.end.max(Some(part.end()));
            if !part.bytes.is_empty() {
                self.ranges.push(part);
            }
        }
    }

    fn put_state(&mut self, bytes: &[u8], more: bool) {
        self.state_parts.extend_from_slice(bytes);
        if !more {
            self.state = Some(std::mem::take(&mut self.state_parts));
        }
    }

    fn moved_to(&mut self, place: Place) {
        self.parts.clear();
        self.moved = Some(place);
        self.end = self.end.max(Some(place));
        self.ranges.retain(|range| range.end() > place);
    }

    fn truncate(&mut self, offset: Offset, place: Place) {
        self.parts.clear();
        let lowest = self.cut.unwrap_or((place, offset));
        self.cut = Some((lowest.0.min(place), lowest.1.min(offset)));
        self.ranges.retain(|range| range.place < place);
        for range in &mut self.ranges {
            if range.end() > place && range.place.segment == place.segment {
                let kept = usize::try_from(place.position - range.place.position);
                range.bytes = range.bytes.sub(0..kept.unwrap_or(0));
            }
        }
        self.end = Some(place);
        self.moved = self.moved.map(|moved| moved.min(place));
        self.epochs.retain(|(_, start)| *start < offset);
        self.state = None;
    }

    /// Segments with bytes that files may lack, in order.
    pub(crate) fn segments(&self) -> BTreeSet<Offset> {
        let moved = self.moved.map_or(Offset(0), |moved| moved.segment);
        let segments = self.ranges.iter().map(|range| range.place.segment);
        segments.filter(|segment| *segment >= moved).collect()
    }

    /// The bytes of a segment that files may lack, from a block boundary to their end. `None` if
    /// the journal leaves a gap, which only a defect can cause.
    pub(crate) fn run_of(&self, segment: Offset) -> Option<Run> {
        let floor = match self.moved {
            Some(moved) if moved.segment == segment => block_of(moved).position,
            _ => 0,
        };
        let mut run = Run {
            from: floor,
            pieces: Vec::new(),
        };
        let here = self
            .ranges
            .iter()
            .filter(|range| range.place.segment == segment);
        for range in here.filter(|range| range.end().position > floor) {
            let skipped = floor.saturating_sub(range.place.position);
            let skipped = usize::try_from(skipped).ok()?;
            let bytes = range.bytes.sub(skipped..range.bytes.len());
            run.lay((range.place.position.max(floor), bytes));
        }
        run.is_gapless().then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: i64, position: u64) -> Place {
        Place {
            segment: Offset(segment),
            position,
        }
    }

    fn put(journaled: &mut Journaled, place: Place, bytes: &[u8]) {
        journaled.put(place, Slice::copy_of(bytes), false);
    }

    #[test]
    fn later_bytes_lie_over_earlier_ones_and_moved_ones_are_left_out() {
        let mut journaled = Journaled::default();
        journaled.moved_to(at(0, 0));
        put(&mut journaled, at(0, 0), &[1; 5_000]);
        put(&mut journaled, at(0, 5_000), &[2; 100]);
        journaled.moved_to(at(0, 4_096));
        put(&mut journaled, at(0, 4_096), &[3; 904]);
        let run = journaled.run_of(Offset(0)).unwrap();
        let image = run.copy(run.from..run.end());
        assert_eq!((run.from, image.len()), (4_096, 1_004));
        assert_eq!((image[0], image[903], image[904]), (3, 3, 2));
        assert_eq!(journaled.end, Some(at(0, 5_100)));
    }

    #[test]
    fn an_incomplete_batch_does_not_count() {
        let mut journaled = Journaled::default();
        journaled.moved_to(at(0, 0));
        put(&mut journaled, at(0, 0), &[1; 10]);
        journaled.put(at(0, 10), Slice::copy_of(&[2; 10]), true);
        assert_eq!(journaled.end, Some(at(0, 10)));
        put(&mut journaled, at(0, 20), &[2; 10]);
        assert_eq!(journaled.end, Some(at(0, 30)));
        assert_eq!(journaled.run_of(Offset(0)).unwrap().end(), 30);
    }

    #[test]
    fn a_truncation_takes_bytes_segments_and_epochs_behind_it() {
        let mut journaled = Journaled::default();
        journaled.moved_to(at(0, 0));
        put(&mut journaled, at(0, 0), &[1; 100]);
        put(&mut journaled, at(7, 0), &[2; 100]);
        journaled.epochs = vec![(Epoch(1), Offset(0)), (Epoch(2), Offset(7))];
        journaled.truncate(Offset(3), at(0, 40));
        assert_eq!(
            journaled.segments().into_iter().collect::<Vec<_>>(),
            [Offset(0)]
        );
        assert_eq!(journaled.run_of(Offset(0)).unwrap().end(), 40);
        assert_eq!(journaled.epochs, [(Epoch(1), Offset(0))]);
    }

    #[test]
    fn a_gap_is_told() {
        let mut journaled = Journaled::default();
        journaled.moved_to(at(0, 4_096));
        put(&mut journaled, at(0, 4_100), &[1; 10]);
        assert!(journaled.run_of(Offset(0)).is_none());
    }
}
