//! The scrub: sealed segments are read again, slowly and for ever, so that rot is found while
//! something can be done about it, and not by a consumer a year later.
//!
//! ```text
//! pass     which segment is next
//! check    that segment from begin to end: batches, checksums, offsets; then its indexes
//! entries  an index held against the log, batch by batch   (pure)
//! ```
//! A batch that fails becomes a [`BadRange`](crate::segment::bad::BadRange): fetches of it get an
//! error, those before and behind it work. An index that says what the log does not is made anew,
//! since it follows from the log. The same check is run at once for a segment in which a reader met
//! something that is no sound batch.
//!
//! Invariants: only bytes that are final are looked at; nothing of a log is ever changed, its
//! indexes are; who paces the check can end it.
//!
//! Deliberately absent: repair (it needs a replica), transaction indexes, snapshots and checkpoints (a
//! start judges them), sectors that the device refuses to read (an error, not an answer),
//! the journal (every start reads all of it), a memory of ranges across restarts.

mod check;
mod entries;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use thalweg_wire::ids::{Offset, PartitionId};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::entry::Place;
use crate::log::Log;
use crate::segment::segment::Segment;
use crate::store::Store;

/// How far a pass over a shard's segments has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrubPass {
    last: Option<(PartitionId, Offset)>,
}

/// What the check of a segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Read.
    pub bytes: u64,
    /// Ranges that fail and were not known yet.
    pub bad_ranges: u64,
    /// Its indexes were made anew.
    pub reindexed: bool,
}

/// A segment to be checked: the part of it that is final.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) generation: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) bytes: u64,
    /// The offset after the last record.
    pub(crate) next: Offset,
    /// No batch will be added, and all of it is in the file.
    pub(crate) whole: bool,
}

impl Target {
    fn of(log: &Log, segment: &Segment) -> Self {
        Self {
            partition: log.id(),
            base: segment.base,
            generation: segment.generation,
            path: Arc::clone(&segment.path),
            bytes: segment.moved,
            next: segment.next,
            whole: segment.sealed && segment.moved == segment.bytes && segment.chain.is_none(),
        }
    }
}

impl<D: Disk> Store<D> {
    /// Checks the segment that comes next in a pass; `None` when the pass is over. `pace` is told how
    /// many bytes were read since it was told last, and takes its time; `false` ends the check.
    pub async fn scrub_next(
        &self,
        pass: &mut ScrubPass,
        pace: impl AsyncFn(u64) -> bool,
    ) -> Result<Option<Scrubbed>, StoreError> {
        let Some(target) = self.after(pass) else {
            return Ok(None);
        };
        pass.last = Some((target.partition, target.base));
        self.check(&target, pace).await.map(Some)
    }

    fn after(&self, pass: &ScrubPass) -> Option<Target> {
        let state = self.state.borrow();
        let from = pass
            .last
            .map_or(Bound::Unbounded, |(id, _)| Bound::Included(id));
        let slots = state.slots.range((from, Bound::Unbounded));
        slots
            .flat_map(|(_, slot)| {
                let segments = slot.log.segments.iter();
                segments.map(|segment| Target::of(&slot.log, segment))
            })
            .filter(|target| target.whole && target.bytes > 0)
            .find(|target| {
                pass.last
                    .is_none_or(|last| (target.partition, target.base) > last)
            })
    }

    /// Checks the segment in which a reader met something that is no sound batch. What was found is
    /// quarantined when it returns.
    pub async fn suspect(&self, id: PartitionId, place: Place) -> Result<Scrubbed, StoreError> {
        let target = self.with_log(id, |log| {
            let segment = log.segments.get(place.segment)?;
            Some(Target::of(log, segment))
        });
        self.check_once(target.flatten()).await
    }

    /// The same for a reader that knows the segment by its file.
    pub async fn suspect_file(&self, id: PartitionId, path: &Path) -> Result<Scrubbed, StoreError> {
        let target = self.with_log(id, |log| {
            let segment = log.segments.iter().find(|segment| *segment.path == *path)?;
            Some(Target::of(log, segment))
        });
        self.check_once(target.flatten()).await
    }

    /// Many readers may meet the same rot: one check will do.
    async fn check_once(&self, target: Option<Target>) -> Result<Scrubbed, StoreError> {
        let Some(target) = target else {
            return Ok(Scrubbed::default());
        };
        let key = (target.partition, target.base);
        if !self.state.borrow_mut().suspects.insert(key) {
            return Ok(Scrubbed::default());
        }
        let checked = self.check(&target, async |_| true).await;
        self.state.borrow_mut().suspects.remove(&key);
        checked
    }
}
