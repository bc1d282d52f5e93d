//! Walking the batches of a segment while a log is loaded.

use std::collections::VecDeque;

use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchRef};

use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, IO_BYTES_MAX, OpenMode, Slice};
use crate::journal::entry::Place;
use crate::segment::BatchFacts;
use crate::segment::segment::{Segment, facts};

/// Bytes of a segment in order: from its file up to what is held in memory, then from there.
pub(super) struct Walk<F> {
    file: Option<F>,
    /// What need not be read from the file, to the walk's end: each piece with its position. Those
    /// that were passed are gone.
    held: VecDeque<(u64, Slice)>,
    held_from: u64,
    /// No batch ends later.
    limit: u64,
    /// Checksums are computed of batches that begin in the file. The others were in the journal,
    /// whose own checksums were right.
    verify: bool,
    /// Begin of the batch that comes next.
    position: u64,
    /// Bytes that are not in one piece, or of the file.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// There are no more bytes.
    ended: bool,
}

impl<F: File> Walk<F> {
    /// Begins at `position`, the begin of a batch. What is in `held` of the segment reaches to its
    /// end; without any, the walk goes on in the log's memory.
    pub(super) async fn begin<D: Disk<File = F>>(
        disk: &D,
        segment: &Segment,
        position: u64,
        verify: bool,
        held: &[(Place, Slice)],
    ) -> DiskResult<Self> {
        let here = held.iter().filter(|(at, _)| at.segment == segment.base);
        let mut held: VecDeque<_> = here
            .map(|(at, bytes)| (at.position, bytes.clone()))
            .collect();
        if let (true, Some(chain)) = (held.is_empty(), &segment.chain) {
            let mut at = chain.start();
            for slice in chain.slices(at..chain.end()) {
                let bytes = slice.len() as u64;
                held.push_back((at, slice));
                at += bytes;
            }
        }
        let held_from = held.front().map_or(segment.bytes, |(at, _)| *at);
        let file = match position < held_from {
            true => Some(disk.open(&segment.path, OpenMode::Read).await?),
            false => None,
        };
        Ok(Self {
            file,
            held,
            held_from,
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
        let from = self.position;
        if from + BATCH_HEADER_BYTES as u64 > self.limit {
            return Ok(None);
        }
        let in_piece = self.in_piece();
        let batch = match in_piece {
            Some((batch, _)) => batch,
            None => {
                if !self.fill(BATCH_HEADER_BYTES).await? {
                    return Ok(None);
                }
                let Some(batch) = facts(self.ahead()) else {
                    return Ok(None);
                };
                let bytes = usize::try_from(batch.bytes).unwrap_or(usize::MAX);
                if from + batch.bytes > self.limit || !self.fill(bytes).await? {
                    return Ok(None);
                }
                batch
            }
        };
        self.position += batch.bytes;
        let bytes = match (in_piece, self.held.front()) {
            (Some((_, skip)), Some((_, piece))) => piece.get(skip..),
            _ => {
                let skip = usize::try_from(from - self.buffer_at).unwrap_or(usize::MAX);
                self.buffer.get(skip..)
            }
        };
        let whole = BatchRef::first(bytes.unwrap_or(&[])).ok();
        let verify = self.verify && from < self.held_from;
        let sound = whole.filter(|whole| !verify || whole.crc_matches());
        if sound.is_none() {
            self.position = from;
        }
        Ok(sound.map(|whole| (batch, whole)))
    }

    /// The batch at the position, if it lies in one piece, and where in that.
    fn in_piece(&mut self) -> Option<(BatchFacts, usize)> {
        let passed = |(at, bytes): &(u64, Slice)| at + bytes.len() as u64 <= self.position;
        while self.held.front().is_some_and(passed) {
            self.held.pop_front();
        }
        let (at, piece) = self.held.front()?;
        let skip = usize::try_from(self.position.checked_sub(*at)?).ok()?;
        let batch = facts(piece.get(skip..)?)?;
        let end = self.position + batch.bytes;
        let is_whole = end <= self.limit && end <= at + piece.len() as u64;
        is_whole.then_some((batch, skip))
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
        if at >= self.held_from {
            let next = self.held.partition_point(|(begin, _)| *begin <= at);
            let piece = next.checked_sub(1).and_then(|index| self.held.get(index));
            let rest = piece.and_then(|(begin, bytes)| {
                let skip = usize::try_from(at - begin).ok()?;
                bytes.get(skip..)
            });
            let rest = rest.unwrap_or_default();
            self.buffer.extend_from_slice(rest);
            return Ok(!rest.is_empty());
        }
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let block = at - at % BLOCK_BYTES as u64;
        let wanted = (self.held_from - block).min(IO_BYTES_MAX as u64);
        let wanted = usize::try_from(wanted).unwrap_or(IO_BYTES_MAX);
        let read = file
            .read_at(block, wanted.next_multiple_of(BLOCK_BYTES))
            .await?;
        let end = usize::try_from(self.held_from - block)
            .unwrap_or(usize::MAX)
            .min(read.len());
        let skip = usize::try_from(at - block).unwrap_or(usize::MAX);
        let fresh = read.get(skip..end).unwrap_or(&[]);
        self.buffer.extend_from_slice(fresh);
        Ok(!fresh.is_empty())
    }
}
