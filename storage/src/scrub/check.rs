//! One segment from begin to end: is every batch what it was, and do the indexes tell the truth?
//!
//! Behind a bad batch the next sound one is looked for where the bad one's length points to, and
//! where the index knows that a batch begins; what looks like a batch elsewhere may be somebody's
//! record. A sound one has its checksum and an offset that follows.

use std::path::Path;

use thalweg_wire::ids::Offset;

use super::entries::Entries;
use super::{Scrubbed, Target};
use crate::clean::source::{Batches, SourceError};
use crate::disk::{Disk, DiskError, DiskResult};
use crate::error::StoreError;
use crate::segment::BatchFacts;
use crate::segment::bad::BadRange;
use crate::segment::index::OffsetIndex;
use crate::segment::name::Kind;
use crate::segment::segment::{Birth, Indexes, Segment, facts};
use crate::segment::time_index::TimeIndex;
use crate::store::Store;

/// Bytes between two calls of whoever paces the check.
const PACE_BYTES: u64 = 256 << 10;
/// What opening a segment and its indexes counts as, for the pace.
const SEGMENT_COST_BYTES: u64 = 64 << 10;

/// The indexes as they are.
struct Said {
    index: Vec<u8>,
    time_index: Vec<u8>,
    /// The files go on behind what can be taken of them.
    goes_on: bool,
}

/// A batch behind a gap. A batch's own offset is outside of its checksum: whether there is a gap, or
/// the offset is wrong, only the batch behind it tells.
struct Doubt {
    position: u64,
    batch: BatchFacts,
}

/// A check under way.
struct Check<'a> {
    target: &'a Target,
    entries: Entries<'a>,
    /// With the indexes that the log makes.
    fresh: Segment,
    interval: u32,
    /// The lowest offset that may come next.
    expected: Offset,
    doubt: Option<Doubt>,
    bad: Vec<BadRange>,
}

impl<D: Disk> Store<D> {
    pub(super) async fn check(
        &self,
        target: &Target,
        pace: impl AsyncFn(u64) -> bool,
    ) -> Result<Scrubbed, StoreError> {
        match self.read_through(target, pace).await {
            // Retention or the cleaner took it meanwhile.
            Err(StoreError::Disk(error)) if error.is_missing() => Ok(Scrubbed::default()),
            checked => checked,
        }
    }

    async fn read_through(
        &self,
        target: &Target,
        pace: impl AsyncFn(u64) -> bool,
    ) -> Result<Scrubbed, StoreError> {
        let Some((said, interval)) = self.said(target).await? else {
            return Ok(Scrubbed::default());
        };
        let mut check = Check::new(target, &said, interval);
        let mut batches = Batches::open_at(&self.disk, &target.path, target.bytes, 0).await?;
        let mut told = 0;
        while batches.position() < target.bytes {
            let position = batches.position();
            let (bad, claimed) = match batches.next().await {
                Ok(None) => break,
                Ok(Some(batch)) => {
                    let bytes = batch.bytes();
                    let end = position + bytes.len() as u64;
                    (!check.batch(position, bytes), Some(end))
                }
                Err(SourceError::Corrupt { .. }) => (true, batches.claimed()),
                Err(SourceError::Disk(error)) => return Err(error.into()),
            };
            if bad {
                // What an unsealed segment's file lacks of its last batch is still to come.
                if !target.whole && batches.claims_more() {
                    break;
                }
                let behind = check.behind(&self.disk, (position, claimed)).await?;
                batches = Batches::open_at(&self.disk, &target.path, target.bytes, behind).await?;
            }
            let done = batches.position();
            if done >= told + PACE_BYTES {
                self.state.borrow_mut().counters.scrubbed_bytes += done - told;
                if !pace(done - told).await {
                    return Ok(Scrubbed::default());
                }
                told = done;
            }
        }
        check.settle(target.bytes, target.next);
        let rest = batches.position().saturating_sub(told);
        self.state.borrow_mut().counters.scrubbed_bytes += rest;
        // Who has thousands of small segments is no less in need of a pace.
        pace(rest + SEGMENT_COST_BYTES).await;
        let bad_ranges = self.quarantine(target, &check.bad);
        let reindexed =
            target.whole && check.is_misled(&said) && self.reindex(target, check.fresh).await?;
        Ok(Scrubbed {
            bytes: target.bytes,
            bad_ranges,
            reindexed,
        })
    }

    /// What the indexes say; `None` if the segment is gone.
    async fn said(&self, target: &Target) -> DiskResult<Option<(Said, u32)>> {
        let known = self.with_log(target.partition, |log| {
            let interval = log.config().index_interval_bytes;
            let segment = log.segments.get(target.base)?;
            let held = match &segment.indexes {
                Indexes::Held(index, time_index) if !target.whole => {
                    Some((index.bytes().to_vec(), time_index.bytes().to_vec()))
                }
                _ => None,
            };
            let files = (segment.file(Kind::Index), segment.file(Kind::TimeIndex));
            (segment.generation == target.generation).then_some((held, files, interval))
        });
        let Some((held, files, interval)) = known.flatten() else {
            return Ok(None);
        };
        let (index, time_index) = match held {
            Some(held) => held,
            None => (
                self.read_or_empty(&files.0).await?,
                self.read_or_empty(&files.1).await?,
            ),
        };
        // As readers take them: what follows the valid front does not exist.
        let whole = (index.len(), time_index.len());
        let index = OffsetIndex::from_bytes(target.base, index, target.bytes);
        let time_index = TimeIndex::from_bytes(target.base, time_index);
        let said = Said {
            index: index.bytes().to_vec(),
            time_index: time_index.bytes().to_vec(),
            goes_on: whole != (index.bytes().len(), time_index.bytes().len()),
        };
        Ok(Some((said, interval)))
    }

    async fn read_or_empty(&self, path: &Path) -> DiskResult<Vec<u8>> {
        match self.disk.read_file(path).await {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            read => read,
        }
    }

    /// Tells the log, and the operator; how many were not known yet.
    fn quarantine(&self, target: &Target, bad: &[BadRange]) -> u64 {
        let mut count = 0;
        for bad in bad {
            let is_new = self.with_log(target.partition, |log| {
                let segment = log.segments.get_mut(target.base)?;
                let is_same = segment.generation == target.generation;
                Some(is_same && segment.bad.put(*bad))
            });
            if is_new.flatten() != Some(true) {
                continue;
            }
            count += 1;
            tracing::error!(
                shard = self.config.shard.0, partition = %target.partition,
                file = %target.path.display(), from = bad.from, to = bad.to, next_offset = bad.next.0,
                "records fail their checksum and are served no more: consumers get CORRUPT_MESSAGE there. Restore \
                 the file from a copy while the node is stopped, let consumers go on at the next offset, or delete \
                 the records below it"
            );
        }
        self.state.borrow_mut().counters.quarantined_ranges += count;
        count
    }

    /// Puts indexes that follow from the log in the place of those that do not.
    async fn reindex(&self, target: &Target, mut fresh: Segment) -> Result<bool, StoreError> {
        fresh.seal();
        let Indexes::Held(index, time_index) = fresh.indexes else {
            return Ok(false);
        };
        let files = self.with_log(target.partition, |log| {
            let segment = log.segments.get_mut(target.base)?;
            if segment.generation != target.generation {
                return None;
            }
            let files = vec![
                (segment.file(Kind::Index), index.bytes().to_vec()),
                (segment.file(Kind::TimeIndex), time_index.bytes().to_vec()),
            ];
            segment.max = fresh.max;
            segment.time_index_bytes = time_index.bytes().len() as u64;
            segment.indexes = Indexes::Held(index, time_index);
            log.hold_indexes(target.base);
            log.hints.clear();
            Some(files)
        });
        let Some(files) = files.flatten() else {
            return Ok(false);
        };
        tracing::warn!(
            shard = self.config.shard.0, partition = %target.partition, file = %target.path.display(),
            "the indexes of this segment did not agree with it: they were made anew"
        );
        self.disk.replace_files(files).await?;
        self.state.borrow_mut().counters.reindexed_segments += 1;
        Ok(true)
    }
}

impl<'a> Check<'a> {
    fn new(target: &'a Target, said: &'a Said, interval: u32) -> Self {
        let dir = target.path.parent().unwrap_or(Path::new(""));
        let birth = Birth {
            dir,
            now: thalweg_wire::ids::TimestampMs(0),
        };
        Self {
            target,
            entries: Entries::new(target.base, &said.index, &said.time_index),
            fresh: Segment::new(target.base, birth),
            interval,
            expected: target.base,
            doubt: None,
            bad: Vec::new(),
        }
    }

    /// Takes a batch whose checksum is right; false if it does not follow.
    fn batch(&mut self, position: u64, bytes: &[u8]) -> bool {
        let Some(batch) = facts(bytes) else {
            return false;
        };
        self.settle(position, batch.base);
        if !self.follows(batch.base, batch.last) {
            return false;
        }
        match batch.base == self.expected {
            true => self.take(position, &batch),
            false => self.doubt = Some(Doubt { position, batch }),
        }
        true
    }

    fn take(&mut self, position: u64, batch: &BatchFacts) {
        self.entries.batch(position, batch);
        self.fresh.bytes = position;
        self.fresh.note(batch, self.interval);
        self.expected = batch.last.plus(1);
    }

    /// What comes at `position` has this offset: does it go on as if there were no gap?
    fn settle(&mut self, position: u64, next: Offset) {
        let Some(doubt) = self.doubt.take() else {
            return;
        };
        let count = doubt.batch.last.0 - doubt.batch.base.0 + 1;
        match next == self.expected.plus(count) {
            true => self.lose(doubt.position, position, next),
            false => self.take(doubt.position, &doubt.batch),
        }
    }

    fn lose(&mut self, from: u64, to: u64, next: Offset) {
        self.bad.push(BadRange { from, to, next });
        self.entries.skip_to(to);
        self.expected = next;
    }

    fn follows(&self, base: Offset, last: Offset) -> bool {
        self.expected <= base && base <= last && last < self.target.next
    }

    /// Notes that what begins at a position is bad; gives where the next sound batch begins, or where
    /// the segment ends. `claimed` is the end that the bad one's length points to.
    async fn behind<D: Disk>(
        &mut self,
        disk: &D,
        (from, claimed): (u64, Option<u64>),
    ) -> Result<u64, StoreError> {
        if let Some(doubt) = self.doubt.take() {
            // What would tell is bad itself.
            self.take(doubt.position, &doubt.batch);
        }
        let begins = self.entries.begins_after(from);
        let mut behind = (self.target.bytes, self.target.next);
        for begin in claimed.into_iter().chain(begins) {
            if begin >= self.target.bytes {
                continue;
            }
            if let Some(base) = self.sound_at(disk, begin).await? {
                behind = (begin, base);
                break;
            }
        }
        let (to, next) = behind;
        self.lose(from, to, next);
        Ok(to)
    }

    /// The first offset of the sound batch at a position.
    async fn sound_at<D: Disk>(&self, disk: &D, begin: u64) -> Result<Option<Offset>, DiskError> {
        let target = self.target;
        let at = Batches::open_at(disk, &target.path, target.bytes, begin).await;
        let found = match at {
            Ok(mut at) => at
                .next()
                .await
                .map(|batch| batch.and_then(|one| facts(one.bytes()))),
            Err(error) => return Err(error),
        };
        match found {
            Ok(batch) => Ok(batch
                .filter(|batch| self.follows(batch.base, batch.last))
                .map(|batch| batch.base)),
            Err(SourceError::Corrupt { .. }) => Ok(None),
            Err(SourceError::Disk(error)) => Err(error),
        }
    }

    /// True if the indexes say what is not so, or nothing where there is something to say.
    fn is_misled(&self, said: &Said) -> bool {
        let Indexes::Held(index, _) = &self.fresh.indexes else {
            return false;
        };
        said.goes_on || !self.entries.all_met() || (said.index.is_empty() && !index.is_empty())
    }
}
