//! The file of a cleaned segment while it is written, and its indexes.

use std::path::PathBuf;

use thalweg_wire::ids::Offset;

use super::names::UNFINISHED;
use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, Memory, OpenMode};
use crate::segment::BatchFacts;
use crate::segment::name::Kind;
use crate::segment::segment::{Indexes, Segment};

/// Bytes of one write.
const WRITE_BYTES: usize = 1 << 20;

/// See the module's head.
pub(super) struct Target<D: Disk> {
    disk: D,
    file: D::File,
    unfinished: PathBuf,
    buffer: Memory,
    written: u64,
    segment: Segment,
    index_interval_bytes: u32,
}

impl<D: Disk> Target<D> {
    /// Makes the file of `segment`, which is empty yet, with room for `room` bytes.
    pub(super) async fn create(
        disk: &D,
        segment: Segment,
        (room, index_interval_bytes): (u64, u32),
    ) -> DiskResult<Self> {
        let mut unfinished = segment.path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        // Left over by an attempt that failed.
        match disk.remove(&unfinished).await {
            Err(error) if !error.is_missing() => return Err(error),
            _ => {}
        }
        let file = disk.open(&unfinished, OpenMode::Create).await?;
        let target = Self {
            disk: disk.clone(),
            file,
            unfinished,
            buffer: Memory::new(WRITE_BYTES),
            written: 0,
            segment,
            index_interval_bytes,
        };
        let allocated = target
            .file
            .allocate(room.next_multiple_of(BLOCK_BYTES as u64))
            .await;
        match allocated {
            Ok(()) => Ok(target),
            Err(error) => {
                target.abandon().await;
                Err(error)
            }
        }
    }

    /// Adds a batch.
    pub(super) async fn push(&mut self, batch: &BatchFacts, bytes: &[u8]) -> DiskResult<()> {
        self.segment.note(batch, self.index_interval_bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.buffer.append(rest);
            rest = rest.get(taken..).unwrap_or_default();
            if self.buffer.spare() == 0 {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> DiskResult<()> {
        let mut full = std::mem::replace(&mut self.buffer, Memory::new(WRITE_BYTES));
        full.pad_to_block();
        let slice = full.freeze();
        let at = self.written;
        self.written += slice.len() as u64;
        self.file.write_at(at, vec![slice], false).await
    }

    pub(super) fn segment_mut(&mut self) -> &mut Segment {
        &mut self.segment
    }

    /// Removes what was written.
    pub(super) async fn abandon(self) {
        if let Err(error) = self.disk.remove(&self.unfinished).await {
            tracing::warn!(%error, "a cleaned segment that is not wanted stays until the next start");
        }
    }

    /// Makes the file whole and durable under its name; `next` is the offset after what it replaces.
    pub(super) async fn finish(mut self, next: Offset) -> DiskResult<Segment> {
        let finished = self.write_all(next).await;
        match finished {
            Ok(()) => Ok(self.segment),
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    async fn write_all(&mut self, next: Offset) -> DiskResult<()> {
        if !self.buffer.is_empty() {
            self.write().await?;
        }
        self.file.truncate(self.segment.bytes).await?;
        self.file.sync().await?;
        self.segment.complete(next);
        let mut images = Vec::new();
        if let Indexes::Held(index, time_index) = &self.segment.indexes {
            images.push((self.segment.file(Kind::Index), index.bytes().to_vec()));
            images.push((
                self.segment.file(Kind::TimeIndex),
                time_index.bytes().to_vec(),
            ));
        }
        // Also an empty one: where it is missing, `settle` takes it for one that was renamed.
        images.push((self.segment.file(Kind::TxnIndex), self.segment.txn.image()));
        self.disk.replace_files(images).await?;
        let dir = self
            .segment
            .path
            .parent()
            .unwrap_or(std::path::Path::new(""));
        self.disk.sync_dir(dir).await?;
        self.disk
            .rename(&self.unfinished, &self.segment.path)
            .await?;
        self.disk.sync_dir(dir).await
    }
}
