//! Walking the batches of a segment while a log is loaded.

use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchRef};

use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, IO_BYTES_MAX, OpenMode};
use crate::segment::BatchFacts;
use crate::segment::segment::{Segment, facts};

/// Bytes of a segment in order: from its file up to what memory holds, then from memory.
pub(super) struct Walk<F> {
    file: Option<F>,
    /// What the file does not hold, and where it begins.
    memory: (u64, Vec<u8>),
    /// No batch ends later.
    limit: u64,
    /// Checksums are computed.
    verify: bool,
    /// Begin of the batch that comes next.
    position: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    /// The file has no more bytes.
    ended: bool,
}

impl<F: File> Walk<F> {
    /// Begins at `position`, the begin of a batch.
    pub(super) async fn begin<D: Disk<File = F>>(
        disk: &D,
        segment: &Segment,
        position: u64,
        verify: bool,
    ) -> DiskResult<Self> {
        let start = segment.memory_start();
        let held = segment
            .chain
            .as_ref()
            .map(|chain| chain.copy(start..chain.end()));
        let file = match position < start {
            true => Some(disk.open(&segment.path, OpenMode::Read).await?),
            false => None,
        };
        Ok(Self {
            file,
            memory: (start, held.unwrap_or_default()),
            limit: segment.bytes,
            verify,
            position,
            buffer: Vec::new(),
            buffer_at: position,
            ended: false,
        })
    }

    /// Where the walk stands: the end of the last batch given.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch, whole; `None` where no whole, sound batch begins.
    pub(super) async fn next(&mut self) -> DiskResult<Option<(BatchFacts, BatchRef<'_>)>> {
        if self.position + BATCH_HEADER_BYTES as u64 > self.limit
            || !self.fill(BATCH_HEADER_BYTES).await?
        {
            return Ok(None);
        }
        let Some(batch) = facts(self.ahead()) else {
            return Ok(None);
        };
        let bytes = usize::try_from(batch.bytes).unwrap_or(usize::MAX);
        if self.position + batch.bytes > self.limit || !self.fill(bytes).await? {
            return Ok(None);
        }
        let from = self.position;
        self.position += batch.bytes;
        let skip = usize::try_from(from - self.buffer_at).unwrap_or(usize::MAX);
        let whole = BatchRef::first(&self.buffer[skip..]).ok();
        let sound = whole.filter(|whole| !self.verify || whole.crc_matches());
        if sound.is_none() {
            self.position = from;
        }
        Ok(sound.map(|whole| (batch, whole)))
    }

    /// What is buffered from the position on.
    fn ahead(&self) -> &[u8] {
        let skip = usize::try_from(self.position - self.buffer_at).unwrap_or(usize::MAX);
        self.buffer.get(skip..).unwrap_or(&[])
    }

    /// Buffers at least `bytes` from the position on; false where there are not as many.
    async fn fill(&mut self, bytes: usize) -> DiskResult<bool> {
        while self.ahead().len() < bytes {
            let passed = usize::try_from(self.position - self.buffer_at).unwrap_or(usize::MAX);
            self.buffer.drain(..passed.min(self.buffer.len()));
            self.buffer_at = self.position;
            if self.ended || !self.read_more().await? {
                self.ended = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read_more(&mut self) -> DiskResult<bool> {
        let at = self.buffer_at + self.buffer.len() as u64;
        let (memory_at, memory) = &self.memory;
        if at >= *memory_at {
            let skip = usize::try_from(at - memory_at).unwrap_or(usize::MAX);
            let rest = memory.get(skip..).unwrap_or(&[]);
            self.buffer.extend_from_slice(rest);
            return Ok(!rest.is_empty());
        }
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let block = at - at % BLOCK_BYTES as u64;
        let wanted = (*memory_at - block).min(IO_BYTES_MAX as u64);
        let wanted = usize::try_from(wanted).unwrap_or(IO_BYTES_MAX);
        let read = file
            .read_at(block, wanted.next_multiple_of(BLOCK_BYTES))
            .await?;
        let end = usize::try_from(*memory_at - block)
            .unwrap_or(usize::MAX)
            .min(read.len());
        let skip = usize::try_from(at - block).unwrap_or(usize::MAX);
        let fresh = read.get(skip..end).unwrap_or(&[]);
        self.buffer.extend_from_slice(fresh);
        Ok(!fresh.is_empty())
    }
}
