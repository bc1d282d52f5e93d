//! The batches of a sealed segment's file, in order, read directly, checksums checked.

use std::path::{Path, PathBuf};

use thalweg_wire::batch::{BatchRef, SplitError};

use crate::disk::{BLOCK_BYTES, Disk, DiskError, File, OpenMode};

/// Bytes of one read: a shard works on so much before others have their turn.
const READ_BYTES: usize = 256 << 10;

/// Why a segment cannot be cleaned.
#[derive(Debug)]
pub(super) enum SourceError {
    Disk(DiskError),
    /// No sound batch begins here.
    Corrupt {
        path: PathBuf,
        position: u64,
    },
}

impl From<DiskError> for SourceError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// See the module's head.
pub(super) struct Batches<F> {
    file: F,
    path: PathBuf,
    /// Bytes of the segment, and how many of them were read.
    total: u64,
    read: u64,
    buffer: Vec<u8>,
    /// Where the next batch begins in the buffer.
    at: usize,
}

impl<F: File> Batches<F> {
    pub(super) async fn open<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        total: u64,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            file: disk.open(path, OpenMode::Read).await?,
            path: path.to_path_buf(),
            total,
            read: 0,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// The next batch; `None` at the segment's end.
    pub(super) async fn next(&mut self) -> Result<Option<BatchRef<'_>>, SourceError> {
        let bytes = loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if rest.is_empty() && self.read == self.total {
                return Ok(None);
            }
            match BatchRef::first(rest) {
                Ok(batch) if batch.crc_matches() => break batch.bytes().len(),
                Err(SplitError::Truncated) if self.read < self.total => self.fill().await?,
                Ok(_) | Err(_) => return Err(self.corrupt()),
            }
        };
        let from = self.at;
        self.at += bytes;
        let corrupt = |_| SourceError::Corrupt {
            path: self.path.clone(),
            position: self.read,
        };
        BatchRef::first(&self.buffer[from..self.at])
            .map(Some)
            .map_err(corrupt)
    }

    /// Whether the batch given last is the segment's last.
    pub(super) fn is_at_end(&self) -> bool {
        self.read == self.total && self.at == self.buffer.len()
    }

    fn corrupt(&self) -> SourceError {
        SourceError::Corrupt {
            path: self.path.clone(),
            position: self.read - (self.buffer.len() - self.at) as u64,
        }
    }

    async fn fill(&mut self) -> Result<(), SourceError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        // Reads begin on blocks, and all but the last end on one.
        let left = usize::try_from(self.total - self.read).unwrap_or(READ_BYTES);
        let wanted = left.next_multiple_of(BLOCK_BYTES).min(READ_BYTES);
        let read = self.file.read_at(self.read, wanted).await?;
        let fresh = read.get(..left.min(wanted)).unwrap_or(&read);
        if fresh.len() < left.min(wanted) {
            return Err(self.corrupt());
        }
        self.buffer.extend_from_slice(fresh);
        self.read += fresh.len() as u64;
        Ok(())
    }
}
