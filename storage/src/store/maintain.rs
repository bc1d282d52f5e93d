//! What goes on beside requests: when to move, retention, files of deleted partitions.

use std::ops::Bound;
use std::path::Path;

use thalweg_wire::ids::{PartitionId, TimestampMs};

use super::{Durability, Store};
use crate::disk::{Disk, DiskResult};
use crate::error::StoreError;
use crate::log::Step;
use crate::moves::runner::Outcome;

/// Partitions looked at for retention in one call: all of 10,000 in a bit over a minute, without
/// holding up the shard.
const RETAIN_PARTITIONS_MAX: usize = 128;
/// Files of deleted partitions unlinked in one call: unlinking a large file may take milliseconds.
const UNLINK_FILES_MAX: usize = 32;

impl<D: Disk> Store<D> {
    /// About once a second, with the time: retention, files of deleted partitions in steps, expiry
    /// of producers, the flush interval of `Write`, another try after a full disk.
    pub async fn maintain(&self, now: TimestampMs) -> Result<(), StoreError> {
        let due = {
            let mut state = self.state.borrow_mut();
            state.now = now;
            state.retry = true;
            let due = now.0 - state.flushed_at.0 >= self.config.flush_ms;
            if due {
                state.flushed_at = now;
            }
            due
        };
        self.moves.notify();
        if due && self.config.durability == Durability::Write {
            self.journal.ask_flush();
        }
        self.unlink_trash().await?;
        for path in self.retired(now) {
            self.handles.forget(&path);
            self.unlink(&path).await?;
        }
        if self.refusal().is_some() {
            return Ok(());
        }
        for id in self.next_to_retain() {
            self.retain(id, now).await?;
        }
        Ok(())
    }

    /// The partitions whose turn it is, in a circle.
    fn next_to_retain(&self) -> Vec<PartitionId> {
        let mut state = self.state.borrow_mut();
        let from = state.retained.map_or(Bound::Unbounded, Bound::Excluded);
        let after = state
            .slots
            .range((from, Bound::Unbounded))
            .map(|(id, _)| *id);
        let ids: Vec<_> = after.take(RETAIN_PARTITIONS_MAX).collect();
        state.retained = ids
            .last()
            .copied()
            .filter(|_| ids.len() == RETAIN_PARTITIONS_MAX);
        ids
    }

    /// Lets go of a partition's old segments and forgotten producers.
    async fn retain(&self, id: PartitionId, now: TimestampMs) -> Result<(), StoreError> {
        let begun = self.with_log(id, |log| {
            log.expire_producers(now);
            log.retention(now)
        });
        let Some(mut step) = begun else {
            return Ok(());
        };
        let plan = loop {
            match step {
                Step::Done(plan) => break plan,
                Step::Need(need, query) => {
                    let read = self.feed(need).await?;
                    let resumed =
                        self.resume(id, read, |log, fed| log.resume_retention(query, fed));
                    let Some(next) = resumed else {
                        return Ok(());
                    };
                    step = next;
                }
            }
        };
        if plan.segments == 0 {
            return self.unlink_removed(id).await;
        }
        if self.with_log(id, |_| ()).is_none() {
            return Ok(());
        }
        self.push_of(id, |slot, queue| {
            slot.keep_state(queue);
            slot.log.retain(plan, now, queue);
        })?;
        self.journal.wait(self.journal.newest()).await?;
        self.unlink_removed(id).await
    }

    /// Lets go of segments that are below the log start and unlinks their files; what said so is
    /// durable.
    async fn unlink_removed(&self, id: PartitionId) -> Result<(), StoreError> {
        let removed = self.state.borrow_mut().change(id, |slot| {
            if slot.moving || slot.cleaning {
                // A move that runs knows the segments by name, the cleaner reads them: the next turn
                // does it.
                return Vec::new();
            }
            let removed = slot.log.take_removed();
            if !removed.is_empty() {
                slot.recount();
            }
            removed
        });
        for path in removed.unwrap_or_default() {
            self.handles.forget(&path);
            self.unlink(&path).await?;
        }
        Ok(())
    }

    async fn unlink(&self, path: &Path) -> DiskResult<()> {
        match self.disk.remove(path).await {
            Err(error) if error.is_missing() => Ok(()),
            result => result,
        }
    }

    /// Unlinks some files of deleted partitions.
    async fn unlink_trash(&self) -> Result<(), StoreError> {
        let mut left = UNLINK_FILES_MAX;
        while left > 0 {
            let Some(dir) = self.state.borrow().trash.front().cloned() else {
                return Ok(());
            };
            left = self.empty_dir(&dir, left).await?;
            if left > 0 {
                self.unlink(&dir).await?;
                self.state.borrow_mut().trash.pop_front();
            }
        }
        Ok(())
    }

    /// Removes up to `left` files of a directory; what is left of `left`, 0 if it was used up.
    async fn empty_dir(&self, dir: &Path, mut left: usize) -> DiskResult<usize> {
        let entries = match self.disk.list(dir).await {
            Err(error) if error.is_missing() => return Ok(left),
            entries => entries?,
        };
        for entry in entries {
            if left == 0 {
                break;
            }
            self.unlink(&dir.join(entry.name)).await?;
            left -= 1;
        }
        Ok(left)
    }

    /// Waits for a reason to empty the oldest journal file; `None` when moving is over.
    pub(crate) async fn next_victim(&self) -> Option<u64> {
        self.moves
            .until(|| {
                if self.refusal().is_some() {
                    return Some(None);
                }
                let end = self.journal.pool().victim_end()?;
                if !self.under_pressure() && !self.is_short() {
                    return None;
                }
                let mut state = self.state.borrow_mut();
                if state.mover_busy || (state.full && !state.retry) {
                    return None;
                }
                state.retry = false;
                state.mover_busy = true;
                Some(Some(end))
            })
            .await
    }

    /// Half of the journal's files are full, or none is free.
    pub(super) fn under_pressure(&self) -> bool {
        let pool = self.journal.pool();
        let free = pool.files_free();
        free == 0 || 2 * free < pool.files()
    }

    /// A victim was dealt with, or the journal failed (`None`).
    pub(crate) fn victim_done(&self, outcome: Option<Outcome>) {
        let full = matches!(outcome, Some(Outcome::Full | Outcome::Stuck));
        let mut state = self.state.borrow_mut();
        state.mover_busy = false;
        if full && !state.full {
            let why = match outcome {
                Some(Outcome::Stuck) => "partitions whose files cannot be written hold the journal",
                _ => "disk full",
            };
            tracing::warn!(
                shard = self.config.shard.0,
                "{why}: produce is refused once the journal's window is used up"
            );
        } else if state.full && !full {
            tracing::info!(
                shard = self.config.shard.0,
                "the journal can be emptied again"
            );
        }
        state.full = full;
        drop(state);
        self.moved.notify();
        self.journal.notify_room();
    }

    /// Marks partitions whose files a move is writing.
    pub(crate) fn set_moving(&self, ids: &[PartitionId], moving: bool) {
        let mut state = self.state.borrow_mut();
        for id in ids {
            if let Some(slot) = state.slots.get_mut(id) {
                slot.moving = moving;
            }
        }
        drop(state);
        self.moved.notify();
    }
}
