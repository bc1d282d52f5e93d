//! What the log cleaner needs of the store: its turn, and the swap.

use std::path::PathBuf;

use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

use super::Store;
use crate::clean::names::settle;
use crate::disk::{Disk, DiskResult};
use crate::error::StoreError;
use crate::journal::entry::EntrySink;
use crate::segment::segment::Segment;

impl<D: Disk> Store<D> {
    /// Partitions that the cleaner may look at.
    pub(crate) fn compacted(&self, now: TimestampMs) -> Vec<PartitionId> {
        let state = self.state.borrow();
        let slots = state.slots.iter().filter(|(_, slot)| {
            slot.log.config().cleanup.compact && !slot.failed && slot.uncleaned_until <= now
        });
        slots.map(|(id, _)| *id).collect()
    }

    pub(crate) fn set_cleaning(&self, id: PartitionId, cleaning: bool) {
        if let Some(slot) = self.state.borrow_mut().slots.get_mut(&id) {
            slot.cleaning = cleaning;
        }
        self.moved.notify();
    }

    pub(crate) fn leave_alone(&self, id: PartitionId, until: TimestampMs) {
        if let Some(slot) = self.state.borrow_mut().slots.get_mut(&id) {
            slot.uncleaned_until = until;
        }
    }

    pub(crate) fn cleaning_is_wanted(&self, id: PartitionId) -> bool {
        let state = self.state.borrow();
        let wanted = state.slots.get(&id).is_some_and(|slot| !slot.unwanted);
        wanted && !state.stopping && self.journal.poisoned().is_none()
    }

    pub(super) fn is_cleaning(&self) -> bool {
        let state = self.state.borrow();
        state.slots.values().any(|slot| slot.cleaning)
    }

    /// Moves what of a partition is durable into its files, and says so in the journal, durably: what
    /// older entries say of its sealed segments is void from then on.
    pub(crate) async fn empty_into_files(&self, id: PartitionId) -> Result<(), StoreError> {
        self.take_movers_seat().await?;
        self.set_moving(&[id], true);
        let moved = self.move_one(id).await;
        self.set_moving(&[id], false);
        self.state.borrow_mut().mover_busy = false;
        self.moved.notify();
        self.moves.notify();
        moved?;
        let round = self.state.borrow_mut().change(id, |slot| {
            slot.journaled.then(|| {
                self.journal.push(|queue| {
                    queue.push(slot.moved_to());
                    queue.newest()
                })
            })
        });
        match round.flatten() {
            Some(round) => self.journal.wait_flushed(round).await,
            None => Ok(()),
        }
    }

    async fn take_movers_seat(&self) -> Result<(), StoreError> {
        self.moved
            .until(|| {
                if let Some(refusal) = self.refusal() {
                    return Some(Err(refusal));
                }
                let mut state = self.state.borrow_mut();
                if state.mover_busy {
                    return None;
                }
                state.mover_busy = true;
                Some(Ok(()))
            })
            .await
    }

    /// Puts a cleaned segment in; false if what it replaces is not there any more.
    pub(crate) fn swap_cleaned(
        &self,
        id: PartitionId,
        range: (Offset, Offset),
        cleaned: Segment,
        due: TimestampMs,
    ) -> bool {
        let mut state = self.state.borrow_mut();
        let swapped = state.change(id, |slot| slot.log.swap(range, cleaned, due));
        swapped == Some(true)
    }

    /// Files of segments that were replaced long enough ago.
    pub(super) fn retired(&self, now: TimestampMs) -> Vec<PathBuf> {
        let mut state = self.state.borrow_mut();
        let slots = state.slots.values_mut();
        slots.flat_map(|slot| slot.log.take_retired(now)).collect()
    }

    /// Gives Kafka's names to cleaned segments, and removes what they replaced: the last step of a clean
    /// stop that touches files.
    pub(super) async fn settle_names(&self) -> DiskResult<()> {
        let dirs: Vec<PathBuf> = {
            let state = self.state.borrow();
            let slots = state.slots.values();
            let named = slots.filter(|slot| slot.log.has_cleaned_names());
            named.map(|slot| slot.log.dir().to_path_buf()).collect()
        };
        for dir in dirs {
            self.handles.forget(&dir);
            settle(&self.disk, &dir).await?;
        }
        Ok(())
    }
}
