//! Cleans a log from begin to end; see the parent module's head for what makes it safe.

use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;

use thalweg_wire::batch::{InflateError, Scratch};
use thalweg_wire::ids::{PartitionId, TimestampMs};

use super::filter::{Filter, Kept, map_keys};
use super::keys::KeyMap;
use super::plan::groups;
use super::source::{Batches, SourceError};
use super::target::Target;
use super::txns::Transactions;
use crate::disk::{Disk, DiskError};
use crate::error::StoreError;
use crate::log::{CleanFacts, Source};
use crate::segment::name::CleanedName;
use crate::segment::segment::{Birth, Segment, facts};
use crate::store::Store;

/// A log whose cleaning failed is left alone for so long.
const FAILED_MS: i64 = 10 * 60 * 1000;

/// Why a log was not cleaned to the end.
#[derive(Debug)]
enum Stopped {
    /// It is to be deleted, or the store stops.
    Unwanted,
    Source(SourceError),
    Disk(DiskError),
    Codec(InflateError),
    Store(StoreError),
}

impl From<SourceError> for Stopped {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<DiskError> for Stopped {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<InflateError> for Stopped {
    fn from(error: InflateError) -> Self {
        Self::Codec(error)
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unwanted => write!(f, "the partition goes, or the node stops"),
            Self::Source(SourceError::Disk(error)) | Self::Disk(error) => error.fmt(f),
            Self::Source(SourceError::Corrupt { path, position }) => write!(
                f,
                "no sound batch begins at {position} of {}",
                path.display()
            ),
            Self::Codec(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl<D: Disk> Store<D> {
    /// Cleans the compacted log of this shard that is dirtiest, if one is dirty enough. True if one was,
    /// whether or not it went well: then there may be another. Call it from one task, in the background.
    pub async fn clean(&self, now: TimestampMs) -> bool {
        let Some(id) = self.dirtiest(now).await else {
            return false;
        };
        self.set_cleaning(id, true);
        let cleaned = self.clean_log(id, now).await;
        if let Err(stopped) = &cleaned
            && !matches!(stopped, Stopped::Unwanted)
        {
            tracing::warn!(shard = self.config.shard.0, partition = %id, error = %stopped,
                "cleaning failed; the log stays as it is and is tried again in ten minutes");
            self.leave_alone(id, TimestampMs(now.0.saturating_add(FAILED_MS)));
        }
        self.set_cleaning(id, false);
        true
    }

    async fn dirtiest(&self, now: TimestampMs) -> Option<PartitionId> {
        for id in self.compacted(now) {
            while let Some(need) = self.with_log(id, |log| log.unknown_time()).flatten() {
                let read = self.feed(need.clone()).await.ok()?;
                self.with_log(id, |log| read.fed(|fed| log.learn_time(&need, fed)));
            }
        }
        let dirty = self.compacted(now).into_iter().filter_map(|id| {
            let dirt = self.with_log(id, |log| log.dirt(now)).flatten()?;
            Some((dirt.ratio, id))
        });
        dirty.max().map(|(_, id)| id)
    }

    async fn clean_log(&self, id: PartitionId, now: TimestampMs) -> Result<(), Stopped> {
        self.empty_into_files(id).await?;
        let facts = self.with_log(id, |log| log.clean_facts(now)).flatten();
        let Some(facts) = facts else {
            // Its dirty segments are not durable yet: the next round finds them in their files.
            self.leave_alone(id, TimestampMs(now.0.saturating_add(1_000)));
            return Ok(());
        };
        let keys = self.map(id, &facts).await?;
        let end = keys.end();
        let count = facts.sources.partition_point(|s| s.facts.base < end);
        let sources = facts.sources.get(..count).unwrap_or_default();
        let (settings, txns) = self
            .with_log(id, |log| {
                let from = sources.first().map_or(end, |s| s.facts.base);
                let upto = sources.last().map_or(end, |s| s.facts.next);
                (*log.config(), log.aborted_txns(from, upto))
            })
            .ok_or(Stopped::Unwanted)?;
        let mut filter = Filter {
            keys: &keys,
            txns: Transactions::new(txns),
            producers: facts.producers,
            now,
            delete_retention_ms: settings.cleaning.delete_retention_ms,
            scratch: Scratch::default(),
            aborted: Vec::new(),
        };
        let sealed: Vec<_> = sources.iter().map(|source| source.facts).collect();
        let mut left = sources;
        for size in groups(&sealed, u64::from(settings.segment_bytes)) {
            let (group, rest) = left.split_at(size.min(left.len()));
            left = rest;
            self.clean_group(id, group, (facts.generation, now), &mut filter)
                .await?;
        }
        self.with_log(id, |log| log.set_cleaned_to(end));
        Ok(())
    }

    /// The newest offset of each key in the dirty part, as far as there is room for keys.
    async fn map(&self, id: PartitionId, facts: &CleanFacts) -> Result<KeyMap, Stopped> {
        let dirt = &facts.dirt;
        let aborted = self.with_log(id, |log| log.aborted_txns(dirt.first, dirt.upto));
        let mut txns = Transactions::new(aborted.ok_or(Stopped::Unwanted)?);
        let mut keys = KeyMap::new(dirt.first, self.config.cleaner_bytes_max);
        let mut scratch = Scratch::default();
        let dirty = facts.sources.iter().filter(|s| s.facts.next > dirt.first);
        for source in dirty {
            let mut batches = Batches::open(&self.disk, &source.path, source.facts.bytes).await?;
            while let Some(batch) = batches.next().await? {
                if batch.header().last_offset() < dirt.first {
                    continue;
                }
                if !map_keys(batch, &mut txns, &mut scratch, &mut keys)? {
                    return Ok(keys);
                }
                self.check_wanted(id)?;
            }
            keys.looked_to(source.facts.next);
        }
        Ok(keys)
    }

    /// Puts one segment in the place of several neighbours.
    async fn clean_group(
        &self,
        id: PartitionId,
        group: &[Source],
        (generation, now): (u64, TimestampMs),
        filter: &mut Filter<'_>,
    ) -> Result<(), Stopped> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(());
        };
        let total: u64 = group.iter().map(|source| source.facts.bytes).sum();
        if total == 0 {
            return Ok(());
        }
        let name = CleanedName {
            base: first.facts.base,
            next: last.facts.next,
            generation,
        };
        let begun = self.with_log(id, |log| {
            let dir = log.dir().to_path_buf();
            let birth = Birth { dir: &dir, now };
            let config = log.config();
            let interval = config.index_interval_bytes;
            (Segment::cleaned(&name, birth), interval, config.cleaning)
        });
        let (segment, interval, settings) = begun.ok_or(Stopped::Unwanted)?;
        let mut target = Target::create(&self.disk, segment, (total, interval)).await?;
        filter.aborted.clear();
        let changed = match self.fill(id, group, filter, &mut target).await {
            Ok(changed) => changed,
            Err(stopped) => {
                target.abandon().await;
                return Err(stopped);
            }
        };
        if !changed && group.len() == 1 {
            target.abandon().await;
            return Ok(());
        }
        for txn in std::mem::take(&mut filter.aborted) {
            target.segment_mut().txn.push(txn);
        }
        let cleaned = target.finish(last.facts.next).await?;
        let (bytes, path) = (cleaned.bytes, cleaned.path.clone());
        let due = TimestampMs(now.0.saturating_add(settings.file_delete_delay_ms));
        let range = (first.facts.base, last.facts.base);
        let swapped = self.swap_cleaned(id, range, cleaned, due);
        if !swapped {
            // Cannot be while `cleaning` keeps everybody else away; what is on disk must not come back.
            self.disk.remove(&path).await?;
            self.disk
                .sync_dir(path.parent().unwrap_or(Path::new("")))
                .await?;
            return Err(Stopped::Unwanted);
        }
        let mut state = self.state.borrow_mut();
        state.counters.cleaned_bytes += total;
        state.counters.cleaned_bytes_kept += bytes;
        Ok(())
    }

    /// Copies what stays of a group's batches; whether anything went.
    async fn fill(
        &self,
        id: PartitionId,
        group: &[Source],
        filter: &mut Filter<'_>,
        target: &mut Target<D>,
    ) -> Result<bool, Stopped> {
        let mut changed = false;
        let filled = group.iter().rposition(|source| source.facts.bytes > 0);
        for (at, source) in group.iter().enumerate() {
            let mut batches = Batches::open(&self.disk, &source.path, source.facts.bytes).await?;
            loop {
                let Some(batch) = batches.next().await? else {
                    break;
                };
                let whole = batch.bytes().to_vec();
                let is_last = Some(at) == filled && batches.is_at_end();
                let batch = whole_batch(&whole).ok_or(Stopped::Unwanted)?;
                let kept = filter.keep(batch, is_last)?;
                let bytes = match kept {
                    Kept::Whole => whole,
                    Kept::Part(bytes) => {
                        changed = true;
                        // Making it may have taken a while.
                        give_way().await;
                        bytes
                    }
                    Kept::Nothing => {
                        changed = true;
                        continue;
                    }
                };
                if let Some(facts) = facts(&bytes) {
                    target.push(&facts, &bytes).await?;
                }
                self.check_wanted(id)?;
            }
        }
        Ok(changed)
    }

    fn check_wanted(&self, id: PartitionId) -> Result<(), Stopped> {
        match self.cleaning_is_wanted(id) {
            true => Ok(()),
            false => Err(Stopped::Unwanted),
        }
    }
}

fn whole_batch(bytes: &[u8]) -> Option<thalweg_wire::batch::BatchRef<'_>> {
    thalweg_wire::batch::BatchRef::first(bytes).ok()
}

/// Lets other tasks run.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
