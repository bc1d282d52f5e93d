//! Runs the moves: large writes, the barrier, the entries that say so, and only then the re-use
//! of the journal file.
//!
//! One victim at a time, always the oldest file, while there is pressure. The order is what makes
//! it safe: (1) blocks to segments, (2) the barrier over every file and directory touched, (3) in
//! the journal: where each partition was moved to, what is carried, and the trim, (4) that round
//! durable, (5) the file is free.
//!
//! A move that fails harms its partition's file only: from then on it is carried, and takes no
//! records. A full disk is no failure: the victim waits, and produce is refused once the window is
//! used up, until a later try succeeds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use thalweg_wire::ids::PartitionId;

use super::plan::{Budget, Candidate, Plan, plan};
use crate::disk::{BLOCK_BYTES, Disk, DiskError, DiskResult, File};
use crate::error::StoreError;
use crate::journal::entry::{Entry, EntrySink, Place};
use crate::journal::wait::concurrently;
use crate::log::PendingSegment;
use crate::store::{MovedPlace, Mutation, Store, Victim};

/// Moves in flight at once: enough to keep a device busy beside the journal's writes, few enough
/// not to queue in front of them.
const MOVES_IN_FLIGHT: usize = 4;
/// A segment's file has room for so much from the start.
const ROOM_BYTES_MIN: u64 = 64 << 10;

/// One partition's move, before the barrier.
struct Move<F> {
    id: PartitionId,
    /// How far its segments are written.
    places: Vec<MovedPlace>,
    files: Vec<F>,
    result: DiskResult<()>,
}

/// How far a segment is to be written, and how far it was.
pub(crate) struct Target<'a, F> {
    pub(crate) to: u64,
    pub(crate) written: &'a mut u64,
    /// Files that the barrier must cover.
    pub(crate) files: &'a mut Vec<F>,
}

/// How a victim ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Its file is free.
    Freed,
    /// The disk is full: try again later.
    Full,
    /// What would be carried does not fit, but more can be moved by now: try again at once.
    Short,
    /// It does not fit, and all that can be moved was: partitions whose moves failed hold too much.
    Stuck,
}

/// What carrying the rest of a victim means.
struct Carriage {
    /// There is room for it.
    fits: bool,
    /// It is a good deal less than what is freed.
    pays: bool,
}

impl<D: Disk> Store<D> {
    /// Moves records to segments and recycles journal files, until the store stops. Spawn once, in
    /// the background.
    pub async fn move_loop(self: Rc<Self>) {
        while let Some(end) = self.next_victim().await {
            let victim = Victim {
                end,
                move_bytes_min: self.config.move_bytes_min,
            };
            let outcome = self.move_victim(&victim).await;
            self.victim_done(outcome.as_ref().ok().copied());
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Empties the oldest journal file and frees it.
    async fn move_victim(&self, victim: &Victim) -> Result<Outcome, StoreError> {
        let plan = self.plan_victim(victim);
        self.set_moving(&plan.moved, true);
        let outcome = self.run_plan(victim, &plan).await;
        self.set_moving(&plan.moved, false);
        outcome
    }

    fn plan_victim(&self, victim: &Victim) -> Plan {
        let state = self.state.borrow();
        let pinning = state
            .slots
            .iter()
            .filter(|(_, slot)| slot.journaled && slot.pinned < victim.end);
        let candidates = pinning.map(|(id, slot)| Candidate {
            id: *id,
            pending: slot.pending,
            failed: slot.failed,
        });
        let budget = Budget {
            move_bytes_min: self.config.move_bytes_min,
            carry_bytes_max: self.journal.room() / 4,
        };
        plan(candidates.collect(), &budget)
    }

    async fn run_plan(&self, victim: &Victim, plan: &Plan) -> Result<Outcome, StoreError> {
        let moves = plan.moved.iter().map(|id| self.move_partition(*id));
        let moves = concurrently(MOVES_IN_FLIGHT, moves).await;
        let mut files = Vec::new();
        let mut done = Vec::new();
        let mut full = false;
        for mut one in moves {
            files.append(&mut one.files);
            match one.result {
                Err(error) if !error.is_full() => self.fail_partition(one.id, &error),
                result => {
                    full |= result.is_err();
                    done.push((one.id, one.places));
                }
            }
        }
        if self.config.mutation != Mutation::RecycleBeforeBarrier
            && let Err(error) = self.barrier(&files).await
        {
            if error.is_full() {
                return Ok(Outcome::Full);
            }
            for (id, _) in done.drain(..) {
                self.fail_partition(id, &error);
            }
        }
        let carriage = self.let_go(victim, plan, &done);
        if full && !(carriage.fits && carriage.pays) {
            return Ok(Outcome::Full);
        }
        if !carriage.fits {
            return self.fall_short().await;
        }
        let round = self.journal_moves(victim, plan);
        self.journal.wait_flushed(round).await?;
        self.journal.recycle(victim.end);
        Ok(Outcome::Freed)
    }

    /// Nothing may be pushed for which there is no room: rounds that find no file would wait for
    /// this victim for ever. Moves take what is durable when they begin; once all of today is, the
    /// next try can move it. Where that is not enough, another file may be.
    async fn fall_short(&self) -> Result<Outcome, StoreError> {
        let newest = self.journal.newest();
        if self.journal.is_flushed(newest) {
            return Ok(match self.journal.grown().await {
                true => Outcome::Short,
                false => Outcome::Stuck,
            });
        }
        self.journal.wait_flushed(newest).await?;
        Ok(Outcome::Short)
    }

    /// After the barrier: logs let go of what was moved. What is left to carry is little, unless
    /// moves were cut short, failed, or much was not durable yet when they began.
    fn let_go(
        &self,
        victim: &Victim,
        plan: &Plan,
        done: &[(PartitionId, Vec<MovedPlace>)],
    ) -> Carriage {
        let room = self.journal.room();
        let mut state = self.state.borrow_mut();
        for (id, places) in done {
            state.moved(*id, places);
        }
        let cost = state.carry_cost(&plan.moved, victim) + state.carry_cost(&plan.carried, victim);
        Carriage {
            // Rounds are padded to blocks.
            fits: cost + cost / 8 + 2 * BLOCK_BYTES as u64 <= room,
            pays: cost < self.config.journal_file_bytes / 4 * 3,
        }
    }

    /// Makes durable what moves wrote: contents and sizes of these files, and all new names.
    pub(crate) async fn barrier(&self, files: &[D::File]) -> DiskResult<()> {
        let dirs = std::mem::take(&mut self.state.borrow_mut().dirs_unsynced);
        if files.is_empty() && dirs.is_empty() {
            return Ok(());
        }
        let result = self.barrier_with(files, &dirs).await;
        let mut state = self.state.borrow_mut();
        match &result {
            Ok(()) => state.counters.barriers += 1,
            Err(_) => state.dirs_unsynced.extend(dirs),
        }
        result
    }

    async fn barrier_with(&self, files: &[D::File], dirs: &BTreeSet<PathBuf>) -> DiskResult<()> {
        self.disk.barrier(files).await?;
        if self.config.mutation == Mutation::SkipDirectories {
            return Ok(());
        }
        let dirs: Vec<PathBuf> = dirs.iter().cloned().collect();
        self.disk.sync_dirs(&dirs).await
    }

    /// Tells the journal where everything is now, and that the victim is void.
    fn journal_moves(&self, victim: &Victim, plan: &Plan) -> u64 {
        let mut state = self.state.borrow_mut();
        let rounds_below = match self.config.mutation {
            Mutation::TrimTooMuch => victim.end + 1,
            _ => victim.end,
        };
        self.journal.push(|queue| {
            for id in plan.moved.iter().chain(&plan.carried) {
                if self.config.mutation != Mutation::CarryNothing {
                    state.carry(*id, victim, queue);
                }
            }
            queue.push(Entry::Trim { rounds_below });
            queue.newest()
        })
    }

    /// Moves one partition, up to the barrier and what its log knows; the journal is the caller's.
    pub(crate) async fn move_one(&self, id: PartitionId) -> Result<(), StoreError> {
        let one = self.move_partition(id).await;
        let barrier = self.barrier(&one.files).await;
        match one.result.and(barrier) {
            Ok(()) => {
                self.state.borrow_mut().moved(id, &one.places);
                Ok(())
            }
            Err(error) => {
                if !error.is_full() {
                    self.fail_partition(id, &error);
                }
                Err(error.into())
            }
        }
    }

    async fn move_partition(&self, id: PartitionId) -> Move<D::File> {
        let mut files = Vec::new();
        let mut places = Vec::new();
        let pending = self.with_log(id, |log| log.pending()).unwrap_or_default();
        let mut result = Ok(());
        for mut segment in pending {
            // Files, snapshots and indexes never name what a crash may still take away: bytes move
            // when they are durable in the journal, and a segment is complete when all of it is.
            let durable = segment.durable.min(segment.end);
            let whole = segment.sealed && durable == segment.end;
            segment.sealed = whole;
            let to = match whole {
                true => segment.end,
                false => (durable - durable % BLOCK_BYTES as u64).max(segment.moved),
            };
            let mut written = segment.moved;
            let mut target = Target {
                to,
                written: &mut written,
                files: &mut files,
            };
            result = self.move_segment(id, &segment, &mut target).await;
            if written > segment.moved || result.is_ok() {
                places.push(MovedPlace {
                    place: Place {
                        segment: segment.segment,
                        position: written,
                    },
                    sealed: segment.sealed && result.is_ok(),
                });
            }
            if result.is_ok() && !segment.sealed {
                result = self.write_indexes(id, &segment, to, &mut files).await;
            }
            if result.is_err() || !whole {
                break;
            }
        }
        Move {
            id,
            places,
            files,
            result,
        }
    }

    /// Writes a segment's pending bytes up to a block boundary, or to the segment's end, where the
    /// padded last block is written and the file cut to size.
    pub(crate) async fn move_segment(
        &self,
        id: PartitionId,
        segment: &PendingSegment,
        target: &mut Target<'_, D::File>,
    ) -> DiskResult<()> {
        if target.to > segment.moved || segment.sealed {
            let file = self.segment_file(&segment.path).await?;
            target.files.push(file.clone());
            if !self.write_blocks(id, segment, target, &file).await? {
                // Deleted meanwhile: nothing of it counts any more.
                return Ok(());
            }
            // A sealed segment that ends with a block may have been written whole before it was
            // sealed, and still has room reserved behind its end.
            if segment.sealed || !target.to.is_multiple_of(BLOCK_BYTES as u64) {
                let size = match self.config.mutation {
                    Mutation::CutSealed => target.to - target.to % BLOCK_BYTES as u64,
                    _ => target.to,
                };
                file.truncate(size).await?;
                self.handles.resized(&segment.path, target.to);
            }
        }
        if segment.sealed {
            let images = self.with_log(id, |log| log.seal_images(segment.segment));
            for image in images.unwrap_or_default() {
                self.disk.replace_file(&image.path, &image.bytes).await?;
            }
        }
        *target.written = target.to;
        Ok(())
    }

    /// Writes pending blocks, and says in the target how far; false if the partition is gone.
    async fn write_blocks(
        &self,
        id: PartitionId,
        segment: &PendingSegment,
        target: &mut Target<'_, D::File>,
        file: &D::File,
    ) -> DiskResult<bool> {
        let step = self.config.move_write_bytes as u64;
        let mut from = segment.moved;
        while from < target.to {
            let upto = target.to.min(from + step);
            let place = Place {
                segment: segment.segment,
                position: from,
            };
            let parts = self.with_log(id, |log| log.move_parts(place, upto));
            let parts = parts.unwrap_or_default();
            if parts.is_empty() {
                return Ok(false);
            }
            self.grow(&segment.path, file, upto).await?;
            file.write_at(from, parts, false).await?;
            self.state.borrow_mut().counters.moved_bytes += upto - from;
            from = upto;
            // The padded last block counts only once the file is cut.
            *target.written = upto - upto % BLOCK_BYTES as u64;
        }
        Ok(true)
    }

    /// A segment's file, made if need be.
    async fn segment_file(&self, path: &Arc<Path>) -> DiskResult<D::File> {
        let opened = self.handles.for_move(path).await?;
        if opened.created {
            // The directory itself may be new, too.
            let dirs = path.ancestors().skip(1).take(2).map(Path::to_path_buf);
            self.state.borrow_mut().dirs_unsynced.extend(dirs);
        }
        Ok(opened.file)
    }

    /// Sees that a segment's file has room up to `to` and ahead of it; only as much as needed where
    /// the disk is nearly full.
    async fn grow(&self, path: &Arc<Path>, file: &D::File, to: u64) -> DiskResult<()> {
        let whole = to.next_multiple_of(BLOCK_BYTES as u64);
        if whole <= self.handles.size(path) {
            return Ok(());
        }
        let mut bytes = room(whole, self.config.segment_preallocate_bytes);
        let mut grown = file.allocate(bytes).await;
        if matches!(&grown, Err(error) if error.is_full()) {
            bytes = whole;
            grown = file.allocate(bytes).await;
        }
        grown?;
        self.handles.resized(path, bytes);
        Ok(())
    }

    fn fail_partition(&self, id: PartitionId, error: &DiskError) {
        tracing::error!(shard = self.config.shard.0, partition = %id, %error, "move failed: the partition takes nothing more");
        let mut state = self.state.borrow_mut();
        state.counters.moves_failed += 1;
        state.change(id, |slot| slot.failed = true);
    }
}

/// The size a file gets that needs `whole` bytes. It doubles up to `step` and grows by that from
/// then on: extents are few and growing is rare, and thousands of small partitions do not reserve
/// megabytes each. A step of 0 reserves nothing ahead.
fn room(whole: u64, step: u64) -> u64 {
    match step {
        0 => whole,
        step if whole < step => whole.next_power_of_two().max(ROOM_BYTES_MIN).min(step),
        step => whole.next_multiple_of(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_double_up_to_the_step() {
        let (kib, mib) = (1 << 10, 1 << 20);
        for (whole, step, bytes) in [
            (4 * kib, 16 * mib, 64 * kib),
            (68 * kib, 16 * mib, 128 * kib),
            (9 * mib, 16 * mib, 16 * mib),
            (16 * mib, 16 * mib, 16 * mib),
            (17 * mib, 16 * mib, 32 * mib),
            (4 * kib, 16 * kib, 16 * kib),
            (12 * kib, 0, 12 * kib),
        ] {
            assert_eq!(room(whole, step), bytes, "{whole} {step}");
        }
    }
}
