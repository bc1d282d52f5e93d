//! Start-up: all journals are read, drained into segments, and begun anew for the shards of today.
//!
//! In two phases, because which partitions exist is written in the metadata log, whose own newest
//! records may lie in a journal:
//! 1. [`Recovery::read`] flushes and reads every journal, and judges torn ends against rot.
//!    [`Recovery::metadata`] gives the metadata log's batches.
//! 2. The node replays them and calls [`Recovery::finish`] with the partitions that exist. Entries
//!    of all others are dropped. Whole blocks go to segments; the rest is carried to new journals
//!    of today's shard count; one small file is replaced, and from then on these count.
//!
//! Then each shard opens its [`Store`](crate::store::Store). Recovery may be cut at any point and
//! run again: until that file is replaced, the old journals count, and all writes before it repeat
//! what they say.
//!
//! Deliberately absent: the directory's lock (taken by the node before), guessing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thalweg_wire::ids::{PartitionId, PartitionIndex, ShardId, TimestampMs, Uuid};

use crate::disk::{Disk, DiskResult, File};
use crate::error::{Refusal, StoreError};
use crate::journal::pool::FileIndex;
use crate::journal::replay::Wanted;
use crate::log::{Found, LogSpec, Piece, ReadSpec, Step};
use crate::store::StoreConfig;
use crate::store::lifecycle::partition_dir;

mod begin;
mod clean;
mod dirs;
pub(crate) mod drain;
pub(crate) mod journaled;
pub(crate) mod manifest;
mod returned;
mod run;
pub(crate) mod scan;

pub use clean::mark_clean;
use journaled::Image;
use manifest::Manifest;

/// In `log/` while the journals hold records that its segments lack, for whoever looks there.
const NOTICE: &str = "log/THALWEG-JOURNAL-NOT-EMPTY.txt";
const NOTICE_TEXT: &str = "\
The newest records of these partitions are not in this directory but in ../journal.\n\
Thalweg is running, or was not stopped cleanly. To use this directory with Apache Kafka, or to copy\n\
it, stop Thalweg cleanly first (SIGTERM): that moves everything here and removes this file.\n";
/// Name of the metadata log's directory, as Kafka's.
pub const METADATA_DIR: &str = "__cluster_metadata-0";
/// The metadata log's only partition.
pub const METADATA_PARTITION: PartitionId = PartitionId {
    topic: Uuid::METADATA_TOPIC,
    index: PartitionIndex(0),
};

/// What recovery found and did, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The directory held no journal: the node is new.
    pub fresh: bool,
    /// The last stop was clean: nothing had to be replayed.
    pub clean: bool,
    /// Shards that wrote the journals found.
    pub shards_before: u16,
    /// Journal bytes read.
    pub journal_bytes: u64,
    /// Rounds replayed.
    pub rounds: u64,
    /// Journals with something behind their end that was never acknowledged.
    pub torn_ends: u32,
    /// Bytes written to segments.
    pub moved_bytes: u64,
    /// Bytes carried to the new journals.
    pub carried_bytes: u64,
    /// Partitions with journaled entries.
    pub partitions: usize,
    /// Partitions in the journals that exist no more.
    pub partitions_dropped: usize,
}

/// Journals that were read, between the two phases.
pub struct Recovery<D: Disk> {
    disk: D,
    config: StoreConfig,
    shards: u16,
    now: TimestampMs,
    image: Image,
    /// Journal files that must not be written before the new journals count.
    live: BTreeMap<ShardId, BTreeSet<FileIndex>>,
    /// Number of the first round of the new journals.
    next_round: u64,
    /// Id of the new journals.
    journal: Uuid,
    report: Report,
}

impl<D: Disk> Recovery<D> {
    /// Phase one: reads all journals. `config` is any shard's (sizes are the same for all) and
    /// `shards` today's count. `journal` is the id of the journals that this start begins: a random
    /// one, since rounds of another start with the same id would be believed. A directory without
    /// journals is a new node's: no error.
    pub async fn read(
        disk: D,
        config: StoreConfig,
        shards: u16,
        now: TimestampMs,
        journal: Uuid,
    ) -> Result<Self, StoreError> {
        let manifest = read_manifest(&disk).await?;
        let mut recovery = Self {
            disk,
            config,
            shards,
            now,
            image: Image {
                clean: true,
                ..Image::default()
            },
            live: BTreeMap::new(),
            next_round: 1,
            journal,
            report: Report {
                fresh: manifest.is_none(),
                ..Report::default()
            },
        };
        if let Some(manifest) = manifest {
            recovery.report.shards_before = manifest.shards;
            recovery.next_round = manifest.first;
            for shard in 0..manifest.shards {
                recovery.read_journal(&manifest, ShardId(shard)).await?;
            }
        }
        recovery.report.clean = recovery.image.clean;
        Ok(recovery)
    }

    async fn read_journal(
        &mut self,
        manifest: &Manifest,
        shard: ShardId,
    ) -> Result<(), StoreError> {
        let wanted = Wanted {
            journal: manifest.journal,
            shard,
            first: manifest.first,
            mutation: self.config.mutation,
        };
        let scanned = scan::scan(&self.disk, &wanted, scan::Extent::Careful).await?;
        let rounds = &scanned.replayed.rounds;
        self.image
            .apply(rounds, self.config.mutation)
            .map_err(|error| scan::refusal(&scanned.dir, error))?;
        self.next_round = self.next_round.max(scanned.replayed.newest + 1);
        self.report.rounds += rounds.len() as u64;
        self.report.journal_bytes += scanned.bytes_read;
        self.report.torn_ends += u32::from(scanned.replayed.torn);
        let files = scanned.live().into_iter().map(|(file, ..)| file);
        self.live.insert(shard, files.collect());
        Ok(())
    }

    /// True if the directory held no journal yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.report.fresh
    }

    /// True if the last stop was clean.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.report.clean
    }

    /// All batches of the metadata log, in order; empty for a new node.
    pub async fn metadata(&mut self) -> Result<Vec<u8>, StoreError> {
        let dir = partition_dir(METADATA_DIR);
        if self
            .disk
            .list(&dir)
            .await
            .is_err_and(|error| error.is_missing())
        {
            return Ok(Vec::new());
        }
        let spec = LogSpec {
            id: METADATA_PARTITION,
            dir,
            config: crate::log::LogConfig::default(),
            now: self.now,
        };
        self.trust_metadata_files().await?;
        // Its journaled records go to its segments now, and once more in `finish`: that changes
        // nothing, because every entry names its place, and makes all of it durable.
        let found = match self.image.partitions.get(&METADATA_PARTITION) {
            Some(journaled) => {
                let touched = RefCell::default();
                let settled = self.settle(journaled, &spec.dir, &touched).await?;
                settled.found(journaled)
            }
            None => Found::default(),
        };
        let loaded = drain::load(&self.disk, spec, found).await?;
        let mut log = loaded.log;
        let mut batches = Vec::new();
        let view = log.view();
        let mut offset = view.log_start;
        while offset < view.log_end {
            let read = ReadSpec {
                offset,
                bytes_max: 1 << 20,
                min_one: true,
                upper: view.log_end,
            };
            let before = batches.len();
            read_all(&self.disk, &mut log, read, &mut batches).await?;
            let next = last_offset(&batches[before..]);
            offset = next.ok_or_else(|| malformed(log.dir(), "ends early"))?;
        }
        Ok(batches)
    }
}

/// Appends what a read gives to `out`.
async fn read_all<D: Disk>(
    disk: &D,
    log: &mut crate::log::Log,
    spec: ReadSpec,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let refuse = |dir: &Path| malformed(dir, "unreadable");
    let mut step = log.read(spec);
    let plan = loop {
        match step {
            Err(_) => return Err(refuse(log.dir())),
            Ok(Step::Done(plan)) => break plan,
            Ok(Step::Need(need, query)) => {
                let read = crate::store::read::feed(disk, need).await?;
                let mut next = None;
                read.fed(|fed| next = Some(log.resume_read(query, fed)));
                step = next.ok_or_else(|| refuse(log.dir()))?;
            }
        }
    };
    for piece in plan.pieces {
        match piece {
            Piece::Memory(slice) => out.extend_from_slice(&slice),
            Piece::File {
                path,
                position,
                bytes,
                ..
            } => read_range(disk, &path, position, bytes, out).await?,
        }
    }
    Ok(())
}

/// Appends `bytes` of a file from any position on.
async fn read_range<D: Disk>(
    disk: &D,
    path: &Path,
    position: u64,
    bytes: usize,
    out: &mut Vec<u8>,
) -> DiskResult<()> {
    use crate::disk::{BLOCK_BYTES, IO_BYTES_MAX, OpenMode};
    let file = disk.open(path, OpenMode::Read).await?;
    let mut from = position - position % BLOCK_BYTES as u64;
    let mut skip = usize::try_from(position - from).unwrap_or(0);
    let mut left = bytes;
    while left > 0 {
        let want = (skip + left)
            .next_multiple_of(BLOCK_BYTES)
            .min(IO_BYTES_MAX);
        let part = file.read_at(from, want).await?;
        let Some(useful) = part.get(skip..part.len().min(skip + left)) else {
            return Ok(());
        };
        if useful.is_empty() {
            return Ok(());
        }
        out.extend_from_slice(useful);
        left -= useful.len();
        from += part.len() as u64;
        skip = 0;
    }
    Ok(())
}

/// The offset after the last batch of some whole batches.
fn last_offset(batches: &[u8]) -> Option<thalweg_wire::ids::Offset> {
    let last = thalweg_wire::batch::split(batches).last()?.ok()?;
    Some(last.header().next_offset())
}

fn malformed(path: &Path, reason: &str) -> StoreError {
    StoreError::Refused(Refusal::Malformed {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    })
}

async fn read_manifest<D: Disk>(disk: &D) -> Result<Option<Manifest>, StoreError> {
    match disk.read_file(&Manifest::path()).await {
        Ok(bytes) => match Manifest::decode(&bytes) {
            Some(manifest) => Ok(Some(manifest)),
            None => Err(malformed(
                &Manifest::path(),
                "damaged: which journals count is unknown",
            )),
        },
        Err(error) if error.is_missing() => {
            for shard in scan::journal_shards(disk).await? {
                if scan::holds_rounds(disk, shard).await? {
                    return Err(malformed(
                        &Manifest::path(),
                        "missing beside journals with rounds",
                    ));
                }
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The node reads which journals count; for a shard that opens its store.
pub(crate) async fn current<D: Disk>(disk: &D) -> Result<Manifest, StoreError> {
    read_manifest(disk)
        .await?
        .ok_or_else(|| malformed(&Manifest::path(), "missing: recovery has not run"))
}

/// Makes a directory with its parents, durably.
async fn make_dir<D: Disk>(disk: &D, dir: &Path) -> DiskResult<()> {
    disk.create_dir(dir).await?;
    for parent in dir.ancestors().skip(1) {
        disk.sync_dir(parent).await?;
    }
    Ok(())
}
