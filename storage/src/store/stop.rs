//! A clean stop: everything to segments, then one last entry that says so.
//!
//! What Kafka would find afterwards is a directory of its own. The padded last block of each
//! segment is written and cut to the exact size, indexes, snapshots and epochs are written whole,
//! the barrier passes, and only then the journal's last round says trim and clean-stop. A crash
//! before that is a crash like any other. The log start of a partition has no other home than the
//! journal, so that last round holds it again where it is not 0. Kafka's checkpoint files, which
//! say it too, are for Kafka: `recover/clean.rs` writes them once every shard has stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

use super::{MovedPlace, Mutation, StoppedLog, Store};
use crate::disk::{Disk, File};
use crate::error::StoreError;
use crate::journal::entry::{Entry, EntrySink, Place};
use crate::journal::wait::concurrently;
use crate::log::Log;
use crate::moves::runner::Target;
use crate::segment::name::{Kind, file_name, parse};

/// Partitions whose records are written at once.
const PARTITIONS_IN_FLIGHT: usize = 8;
/// Small files of this many bytes are made ready before they are flushed together.
const IMAGE_BYTES_MAX: usize = 16 << 20;

fn active_path(log: &Log) -> Arc<Path> {
    let name = file_name(log.place_end().segment, Kind::Log);
    Arc::from(log.dir().join(name))
}

fn stopped_log(log: &Log) -> StoppedLog {
    let view = log.view();
    let name = log.dir().file_name().unwrap_or_default();
    StoppedLog {
        dir_name: name.to_string_lossy().into_owned(),
        log_start: view.log_start,
        first_segment: log
            .segments
            .iter()
            .next()
            .map_or(Offset(0), |first| first.base),
        log_end: view.log_end,
        high_watermark: view.high_watermark,
        cleaned_to: log.cleaned_to(),
    }
}

impl<D: Disk> Store<D> {
    /// Stops: nothing is accepted any more, everything goes to segments, checkpoints and snapshots
    /// are written, and the clean-stop entry is durable when it returns. The loops end. What it
    /// returns is for [`mark_clean`](crate::recover::mark_clean).
    ///
    /// With a failed partition, or a full disk, the stop is an orderly one but not clean: the error
    /// says so, the loops end, and the next start replays the journal.
    pub async fn stop_clean(&self, now: TimestampMs) -> Result<Vec<StoppedLog>, StoreError> {
        {
            let mut state = self.state.borrow_mut();
            state.stopping = true;
            state.now = now;
        }
        self.moves.notify();
        self.journal.notify_room();
        self.moved
            .until(|| {
                let busy = self.state.borrow().mover_busy || self.is_cleaning();
                (!busy).then_some(())
            })
            .await;
        let stopped = self.drain().await;
        self.journal.close();
        stopped?;
        let state = self.state.borrow();
        Ok(state
            .slots
            .values()
            .map(|slot| stopped_log(&slot.log))
            .collect())
    }

    async fn drain(&self) -> Result<(), StoreError> {
        self.journal.wait(self.journal.newest()).await?;
        let ids = self.to_drain()?;
        let drains = ids.iter().map(|id| self.drain_partition(*id));
        let mut files = Vec::new();
        for drained in concurrently(PARTITIONS_IN_FLIGHT, drains).await {
            files.append(&mut drained?);
        }
        if self.config.mutation != Mutation::CleanBeforeBarrier {
            self.barrier(&files).await?;
        }
        drop(files);
        self.write_images(&ids).await?;
        self.settle_names().await?;
        for id in &ids {
            self.drained(*id);
        }
        let round = self.push_clean_stop();
        self.journal.wait_flushed(round).await
    }

    /// Partitions with entries in the journal; none may have failed.
    fn to_drain(&self) -> Result<Vec<PartitionId>, StoreError> {
        let state = self.state.borrow();
        if let Some((id, _)) = state.slots.iter().find(|(_, slot)| slot.failed) {
            return Err(StoreError::PartitionFailed(*id));
        }
        let journaled = state.slots.iter().filter(|(_, slot)| slot.journaled);
        Ok(journaled.map(|(id, _)| *id).collect())
    }

    /// Writes all of a partition's records to its segments.
    async fn drain_partition(&self, id: PartitionId) -> Result<Vec<D::File>, StoreError> {
        let mut files = Vec::new();
        let pending = self.with_log(id, |log| log.pending()).unwrap_or_default();
        for segment in &pending {
            let mut target = Target {
                to: segment.end,
                written: &mut 0,
                files: &mut files,
            };
            self.move_segment(id, segment, &mut target).await?;
        }
        let Some((end, path)) = self.with_log(id, |log| (log.place_end(), active_path(log))) else {
            return Ok(files);
        };
        match self.handles.existing(&path).await {
            // Space reserved ahead goes: the file ends where the log does.
            Ok(file) => {
                file.truncate(end.position).await?;
                self.handles.resized(&path, end.position);
                files.push(file);
            }
            Err(error) if error.is_missing() && end.position == 0 => {}
            Err(error) => return Err(error.into()),
        }
        self.state
            .borrow_mut()
            .dirs_unsynced
            .insert(Path::new(super::lifecycle::LOG_DIR).into());
        Ok(files)
    }

    /// Writes what stands beside the segments: with a flush for each of thousands of partitions a
    /// stop would take minutes.
    async fn write_images(&self, ids: &[PartitionId]) -> Result<(), StoreError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let images = self.with_log(*id, |log| log.stop_images());
            for image in images.unwrap_or_default() {
                bytes += image.bytes.len();
                batch.push((image.path, image.bytes));
            }
            if bytes >= IMAGE_BYTES_MAX {
                bytes = 0;
                self.write_batch(std::mem::take(&mut batch)).await?;
            }
        }
        self.write_batch(batch).await
    }

    /// Producer snapshots come after the rest: a start that finds one reads nothing before it again, not
    /// the markers either by which it would know what a transaction index lacks.
    async fn write_batch(&self, mut batch: Vec<(PathBuf, Vec<u8>)>) -> Result<(), StoreError> {
        let is_snapshot = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            matches!(name.and_then(parse), Some((_, Kind::Snapshot)))
        };
        let snapshots = batch.extract_if(.., |(path, _)| is_snapshot(path));
        let snapshots: Vec<_> = snapshots.collect();
        for files in [batch, snapshots] {
            self.disk.replace_files(files).await?;
        }
        Ok(())
    }

    /// After the barrier.
    fn drained(&self, id: PartitionId) {
        let pending = self.with_log(id, |log| log.pending()).unwrap_or_default();
        let places: Vec<MovedPlace> = pending
            .iter()
            .map(|segment| MovedPlace {
                place: Place {
                    segment: segment.segment,
                    position: segment.end,
                },
                sealed: segment.sealed,
            })
            .collect();
        self.state.borrow_mut().moved(id, &places);
    }

    /// The last round: everything before it is void.
    fn push_clean_stop(&self) -> u64 {
        let state = self.state.borrow();
        self.journal.push(|queue| {
            let rounds_below = queue.next_round();
            for (id, slot) in &state.slots {
                let log_start = slot.log.log_start;
                if log_start.0 > 0 {
                    queue.push(slot.moved_to());
                    queue.push(Entry::LogStart {
                        partition: *id,
                        offset: log_start,
                    });
                }
            }
            queue.push(Entry::Trim { rounds_below });
            queue.push(Entry::CleanStop);
            queue.newest()
        })
    }
}
