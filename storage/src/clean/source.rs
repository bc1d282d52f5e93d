//! The batches of a sealed segment's file, in order, read directly, checksums checked.

use std::path::{Path, PathBuf};

use thalweg_wire::batch::{BatchRef, LOG_OVERHEAD, SplitError};

use crate::disk::{BLOCK_BYTES, Disk, DiskError, DiskResult, File, OpenMode};

/// Bytes of one read: a shard works on so much before others have their turn.
const READ_BYTES: usize = 256 << 10;

/// Where a batch says how long it is.
const LENGTH_AT: usize = 8;

/// Why a segment cannot be cleaned.
#[derive(Debug)]
pub(crate) enum SourceError {
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
pub(crate) struct Batches<F> {
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
        Ok(Self::open_at(disk, path, total, 0).await?)
    }

    /// From a batch's begin on.
    pub(crate) async fn open_at<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        total: u64,
        position: u64,
    ) -> DiskResult<Self> {
        let skip = position % BLOCK_BYTES as u64;
        Ok(Self {
            file: disk.open(path, OpenMode::Read).await?,
            path: path.to_path_buf(),
            total,
            read: position - skip,
            buffer: Vec::new(),
            at: usize::try_from(skip).unwrap_or(0),
        })
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.read + self.at as u64 - self.buffer.len() as u64
    }

    /// Where the length at the next batch's begin says that it ends, if that lies within the segment.
    pub(crate) fn claimed(&self) -> Option<u64> {
        self.claim().filter(|end| *end <= self.total)
    }

    /// True if the next batch, by its length, ends behind the segment, or not even its header is whole.
    pub(crate) fn claims_more(&self) -> bool {
        self.claim().is_none_or(|end| end > self.total)
    }

    fn claim(&self) -> Option<u64> {
        let length = self
            .buffer
            .get(self.at..)?
            .get(LENGTH_AT..)?
            .first_chunk()?;
        let length = u64::try_from(i32::from_be_bytes(*length)).ok()?;
        Some(self.position() + length + LOG_OVERHEAD as u64)
    }

    /// The next batch; `None` at the segment's end.
    pub(crate) async fn next(&mut self) -> Result<Option<BatchRef<'_>>, SourceError> {
        let bytes = loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if rest.is_empty() && self.read >= self.total {
                return Ok(None);
            }
            match BatchRef::first(rest) {
                Ok(batch) if batch.crc_matches() => break batch.bytes().len(),
                Err(SplitError::Truncated) if self.read < self.total && !self.is_beyond() => {
                    self.fill().await?;
                }
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

    /// A length that points behind the segment: nothing is read for its sake.
    fn is_beyond(&self) -> bool {
        self.claim().is_some_and(|end| end > self.total)
    }

    fn corrupt(&self) -> SourceError {
        SourceError::Corrupt {
            path: self.path.clone(),
            position: self.position(),
        }
    }

    async fn fill(&mut self) -> Result<(), SourceError> {
        // More than there is only before the first read, which begins on a block.
        let spent = self.at.min(self.buffer.len());
        self.buffer.drain(..spent);
        self.at -= spent;
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
