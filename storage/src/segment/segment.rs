//! One segment: its file, how much of it the file holds, the bytes in memory, its indexes.
//!
//! ```text
//! 0 ........ chain.start ........ moved ........ bytes
//! |   file only    | file and memory | memory only |
//! ```
//! `moved` is a multiple of the block, except in a segment whose file is complete. A segment
//! without a chain lies in its file only. Entries come into the indexes as Kafka makes them: after
//! more than `index.interval.bytes`, one entry for the batch that begins there, and a time entry
//! if the largest timestamp grew; and one time entry at the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, LOG_OVERHEAD};
use thalweg_wire::ids::{Offset, TimestampMs};

use super::BatchFacts;
use super::bad::{BadRange, BadRanges};
use super::index::{IndexEntry, OffsetIndex};
use super::name::{Kind, file_name};
use super::time_index::{TimeEntry, TimeIndex};
use super::txn_index::TxnIndex;
use crate::chunks::Chain;
use crate::disk::BLOCK_BYTES;
use crate::log::LogConfig;

/// The indexes of a segment.
#[derive(Clone, Debug)]
pub(crate) enum Indexes {
    /// In memory.
    Held(OffsetIndex, TimeIndex),
    /// In their files only.
    OnDisk,
}

/// See the module's head.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) path: Arc<Path>,
    /// Grows with each cleaning; 0 for a segment as it was appended or loaded. Places in segments of
    /// one base and another generation have nothing to do with each other.
    pub(crate) generation: u64,
    /// End of the batches.
    pub(crate) bytes: u64,
    /// The offset after the last record.
    pub(crate) next: Offset,
    /// The file holds everything below.
    pub(crate) moved: u64,
    /// No batch will be added.
    pub(crate) sealed: bool,
    pub(crate) chain: Option<Chain>,
    pub(crate) indexes: Indexes,
    pub(crate) txn: TxnIndex,
    /// The largest timestamp and the last offset of its batch; `None`: not yet read.
    pub(crate) max: Option<TimeEntry>,
    /// Size of the `.timeindex` file as the directory told, for reading its end.
    pub(crate) time_index_bytes: u64,
    /// Largest timestamp of the first batch, from which the segment's age counts.
    pub(crate) first_timestamp: Option<TimestampMs>,
    /// When this segment was made or loaded.
    pub(crate) created: TimestampMs,
    /// Log bytes since the last index entry.
    since_entry: u64,
    /// Producer state at the segment's end, until it is written.
    pub(crate) snapshot: Option<Vec<u8>>,
    /// What fails its checksum and is not served.
    pub(crate) bad: BadRanges,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("base", &self.base)
            .field("bytes", &self.bytes)
            .field("moved", &self.moved)
            .field("next", &self.next)
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// The directory of a partition and the time: what a new segment needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) now: TimestampMs,
}

impl Segment {
    /// An empty segment.
    pub(crate) fn new(base: Offset, birth: Birth<'_>) -> Self {
        Self {
            base,
            path: birth.dir.join(file_name(base, Kind::Log)).into(),
            generation: 0,
            bytes: 0,
            next: base,
            moved: 0,
            sealed: false,
            chain: None,
            indexes: Indexes::Held(OffsetIndex::new(base), TimeIndex::new(base)),
            txn: TxnIndex::default(),
            max: Some(TimeEntry {
                timestamp: TimestampMs::NONE,
                offset: base,
            }),
            time_index_bytes: 0,
            first_timestamp: None,
            created: birth.now,
            since_entry: 0,
            snapshot: None,
            bad: BadRanges::default(),
        }
    }

    /// Path of a file of this segment.
    pub(crate) fn file(&self, kind: Kind) -> PathBuf {
        match kind {
            // Of a log at an offset; a cleaned segment has none of its own.
            Kind::Snapshot => self.path.with_file_name(file_name(self.base, kind)),
            kind => self
                .path
                .with_extension(kind.suffix().trim_start_matches('.')),
        }
    }

    /// The batch at the segment's end: counts it and makes due index entries. A batch that is seen
    /// again by a scan from the last index entry makes no second one.
    pub(crate) fn note(&mut self, batch: &BatchFacts, interval: u32) {
        let max = self.max.get_or_insert(TimeEntry {
            timestamp: TimestampMs::NONE,
            offset: self.base,
        });
        if batch.max_timestamp > max.timestamp {
            *max = TimeEntry {
                timestamp: batch.max_timestamp,
                offset: batch.last,
            };
        }
        if self.first_timestamp.is_none() && self.bytes == 0 {
            self.first_timestamp = Some(batch.max_timestamp);
        }
        if self.since_entry > u64::from(interval)
            && let Indexes::Held(index, time_index) = &mut self.indexes
        {
            let entry = IndexEntry {
                offset: batch.last,
                position: self.bytes,
            };
            index.push(entry, batch.base);
            time_index.push_if_later(*max);
            self.since_entry = 0;
        }
        self.bytes += batch.bytes;
        self.since_entry += batch.bytes;
        self.next = batch.last.plus(1);
    }

    /// The batch just counted, of `bytes`, has an index entry already.
    pub(crate) fn entry_made(&mut self, bytes: u64) {
        self.since_entry = bytes;
    }

    /// Goes back to `position`, the begin of an indexed batch or 0, so that a scan can go on there.
    pub(crate) fn rewind(&mut self, position: u64, next: Offset) {
        self.bytes = position;
        self.next = next;
        self.since_entry = 0;
    }

    /// Whether a batch must go to a new segment.
    pub(crate) fn must_roll(
        &self,
        batch: &BatchFacts,
        config: &LogConfig,
        now: TimestampMs,
    ) -> bool {
        let relative = batch.last.0 - self.base.0;
        if relative > i64::from(i32::MAX) {
            return true;
        }
        if self.bytes == 0 {
            return false;
        }
        let since = match self.first_timestamp {
            Some(first) if first.0 >= 0 => batch.max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(self.created.0),
        };
        let full = match &self.indexes {
            Indexes::Held(index, time_index) => {
                index.is_full(config.segment_index_bytes)
                    || time_index.is_full(config.segment_index_bytes)
            }
            Indexes::OnDisk => false,
        };
        self.bytes + batch.bytes > u64::from(config.segment_bytes)
            || self.is_old(since, config)
            || full
    }

    /// Whether `segment.ms` is over, less this segment's part of `segment.jitter.ms`. The part is drawn
    /// from the file's name, so that a restart draws the same; Kafka draws it by chance.
    fn is_old(&self, since: i64, config: &LogConfig) -> bool {
        let most = config.segment_jitter_ms.min(config.segment_ms);
        if since > config.segment_ms || most <= 0 {
            return since > config.segment_ms;
        }
        let name = self.path.as_os_str().as_encoded_bytes();
        let drawn = i64::from(crc32c::crc32c(name)) % most;
        since > config.segment_ms - drawn
    }

    /// Ends at `position`, a batch's begin, from now on, and is the active segment. What
    /// the file holds behind is void; a cut block is read and carried before the next append.
    pub(crate) fn cut(&mut self, position: u64, next: Offset, max: TimeEntry) {
        if let Indexes::Held(index, time_index) = &mut self.indexes {
            index.cut(next);
            time_index.cut(next);
            let last = index.last().map_or(0, |entry| entry.position);
            self.since_entry = position - last.min(position);
        }
        self.txn.cut(next);
        self.bytes = position;
        self.next = next;
        self.max = Some(max);
        self.sealed = false;
        self.snapshot = None;
        self.bad.cut(position);
        if position == 0 {
            self.first_timestamp = None;
        }
        if position < self.moved {
            self.moved = position;
            self.chain = None;
        } else if let Some(chain) = &mut self.chain {
            chain.truncate(position);
        }
    }

    /// No batch will be added: the last time entry is made.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
        if let (Indexes::Held(_, time_index), Some(max)) = (&mut self.indexes, self.max) {
            time_index.push_if_later(max);
        }
    }

    /// Where a scan for `offset` starts, if the indexes are in memory.
    pub(crate) fn floor(&self, offset: Offset) -> Option<u64> {
        match &self.indexes {
            Indexes::Held(index, _) => Some(index.floor(offset).position),
            Indexes::OnDisk if offset <= self.base => Some(0),
            Indexes::OnDisk => None,
        }
    }

    /// Copies bytes out of memory or `window` (bytes of the file at a position). `Err` tells the
    /// first byte that neither holds.
    pub(crate) fn peek(&self, at: u64, window: Window<'_>, out: &mut [u8]) -> Result<(), u64> {
        let end = at + out.len() as u64;
        let memory = self
            .chain
            .as_ref()
            .map_or(self.bytes, Chain::start)
            .min(end)
            .max(at);
        let from_file = usize::try_from(memory - at).unwrap_or(usize::MAX);
        let (front, back) = out.split_at_mut(from_file);
        if !front.is_empty() {
            if window.segment != self.base {
                return Err(at);
            }
            window.copy(at, front)?;
        }
        if !back.is_empty() {
            let chain = self.chain.as_ref().ok_or(memory)?;
            chain.read_into(memory, back);
        }
        Ok(())
    }

    /// Bytes from `at` on that one of `window` and memory holds without a gap.
    pub(crate) fn run(&self, at: u64, window: Window<'_>) -> u64 {
        if at >= self.memory_start() {
            return self.bytes - at;
        }
        let end = window.position + window.bytes.len() as u64;
        if window.segment != self.base || at < window.position || at >= end {
            return 0;
        }
        end.min(self.memory_start()) - at
    }

    /// The header of the batch at `position`: `Ok(None)` if none can begin there.
    pub(crate) fn header(
        &self,
        position: u64,
        window: Window<'_>,
    ) -> Result<Option<BatchFacts>, u64> {
        let mut header = [0; BATCH_HEADER_BYTES];
        if position + header.len() as u64 > self.bytes {
            return Ok(None);
        }
        self.peek(position, window, &mut header)?;
        Ok(facts(&header).filter(|batch| position + batch.bytes <= self.bytes))
    }

    /// Walks batch by batch from `position`, a batch's begin, to the first that `is_it`.
    pub(crate) fn walk(
        &self,
        position: u64,
        window: Window<'_>,
        is_it: impl Fn(&BatchFacts) -> bool,
    ) -> Walked {
        let mut position = position;
        while position < self.bytes {
            if let Some(bad) = self.bad.at(position) {
                return Walked::Bad(bad);
            }
            match self.header(position, window) {
                Ok(Some(batch)) if is_it(&batch) => return Walked::Found(position, batch),
                Ok(Some(batch)) => position += batch.bytes,
                Ok(None) => return Walked::Corrupt(position),
                Err(_) => return Walked::Unread(position),
            }
        }
        Walked::Passed
    }

    /// What memory holds begins here; the end for a segment without a chain.
    pub(crate) fn memory_start(&self) -> u64 {
        self.chain.as_ref().map_or(self.bytes, Chain::start)
    }

    /// Begin of the last, partial block.
    pub(crate) fn whole_end(&self) -> u64 {
        self.bytes - self.bytes % BLOCK_BYTES as u64
    }
}

/// What a walk over a segment's batches came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walked {
    /// The batch looked for begins here.
    Found(u64, BatchFacts),
    /// There is none.
    Passed,
    /// The header here must be read first.
    Unread(u64),
    /// No batch begins here, where one must.
    Corrupt(u64),
    /// The walk came to a quarantined range.
    Bad(BadRange),
}

/// Bytes of a segment's file that were read, at their position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// Of which segment: a walk goes on to the next one with the same window.
    pub(crate) segment: Offset,
    pub(crate) position: u64,
    pub(crate) bytes: &'a [u8],
}

impl Window<'_> {
    /// Nothing was read.
    pub(crate) const NONE: Self = Window {
        segment: Offset::NONE,
        position: 0,
        bytes: &[],
    };

    /// True if this is what was read of a segment from `position` on.
    pub(crate) fn holds(&self, segment: Offset, position: u64) -> bool {
        self.segment == segment && self.position == position
    }

    fn copy(&self, at: u64, out: &mut [u8]) -> Result<(), u64> {
        let skip = at.checked_sub(self.position).ok_or(at)?;
        let skip = usize::try_from(skip).or(Err(at))?;
        let held = self.bytes.get(skip..).unwrap_or(&[]);
        match held.get(..out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(at + held.len() as u64),
        }
    }
}

/// The facts in a batch's header, if it can be one.
pub(crate) fn facts(header: &[u8]) -> Option<BatchFacts> {
    let header = BatchHeader::of(header)?;
    let bytes = u64::try_from(header.length()).ok()? + LOG_OVERHEAD as u64;
    let sound = header.magic() == 2
        && bytes >= BATCH_HEADER_BYTES as u64
        && header.base_offset().0 >= 0
        && header.last_offset_delta() >= 0;
    sound.then(|| BatchFacts {
        bytes,
        base: header.base_offset(),
        last: header.last_offset(),
        max_timestamp: header.max_timestamp(),
    })
}
