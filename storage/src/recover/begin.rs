//! The second phase: drain, carry, begin the new journals, and make them count.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use thalweg_wire::ids::{Offset, PartitionId, ShardId};

use super::drain::Touched;
use super::journaled::Journaled;
use super::manifest::Manifest;
use super::scan::{journal_files, journal_shards};
use super::{NOTICE, NOTICE_TEXT, Recovery, Report, drain, make_dir};
use crate::disk::{Disk, DiskResult, File, OpenMode};
use crate::error::StoreError;
use crate::journal::entry::{Entry, EntrySink};
use crate::journal::pool::{FileIndex, Pool};
use crate::journal::queue::RoundQueue;
use crate::journal::round::Seal;
use crate::journal::wait::concurrently;
use crate::journal::writer::{journal_dir, zeroed_file};
use crate::log::{Log, LogSpec};
use crate::store::lifecycle::partition_dir;
use crate::store::{Mutation, PartitionSpec, Slot};

/// Partitions drained at once: with the writes of each, enough for a device to be busy, and a
/// bound to the memory of what is under way (32 MiB).
const PARTITIONS_IN_FLIGHT: usize = 8;
/// Index files are written where they have this much: 64 entries, a quarter of a megabyte of log.
/// To walk less than that again costs less than two files.
const INDEX_BYTES_MIN: usize = 512;

/// What was done for partitions.
#[derive(Clone, Copy, Debug, Default)]
struct Drained {
    moved_bytes: u64,
    carried_bytes: u64,
}

/// Where partitions that are drained at the same time leave what comes after all of them.
struct Sinks<F> {
    /// By shard.
    queues: RefCell<Vec<RoundQueue>>,
    touched: RefCell<Touched<F>>,
}

impl<F> Sinks<F> {
    fn with_queue<T>(
        &self,
        spec: &PartitionSpec,
        push: impl FnOnce(&mut RoundQueue) -> T,
    ) -> Result<T, StoreError> {
        let mut queues = self.queues.borrow_mut();
        let queue = queues.get_mut(usize::from(spec.shard.0));
        let placed =
            queue.ok_or_else(|| super::malformed(Path::new(&spec.dir_name), "placed on no shard"));
        placed.map(push)
    }
}

fn carry_plain(id: PartitionId, journaled: &Journaled, queue: &mut RoundQueue) {
    let Some(place) = journaled.moved else {
        return;
    };
    queue.push(Entry::MovedTo {
        partition: id,
        place,
        next_offset: Offset::NONE,
    });
    if let Some(offset) = journaled.log_start {
        queue.push(Entry::LogStart {
            partition: id,
            offset,
        });
    }
}

impl<D: Disk> Recovery<D> {
    /// Phase two: `specs` are all partitions of this node, the metadata log included.
    pub async fn finish(mut self, specs: &[PartitionSpec]) -> Result<Report, StoreError> {
        self.take_back(specs).await?;
        self.prepare_dirs(specs).await?;
        self.report.partitions = self.image.partitions.len();
        let known: BTreeSet<_> = specs.iter().map(|spec| spec.id).collect();
        self.image.partitions.retain(|id, _| known.contains(id));
        self.report.partitions_dropped = self.report.partitions - self.image.partitions.len();
        let queues = self.drain_all(specs).await?;
        for (shard, queue) in (0..self.shards).map(ShardId).zip(queues) {
            self.write_journal(shard, queue).await?;
        }
        self.disk
            .replace_file(Path::new(NOTICE), NOTICE_TEXT.as_bytes())
            .await?;
        let manifest = Manifest {
            shards: self.shards,
            journal: self.journal,
            first: self.next_round,
        };
        self.disk
            .replace_file(&Manifest::path(), &manifest.encode())
            .await?;
        // After a clean stop the checkpoints beside it are believed until the new journals count,
        // so that this may be cut and repeated. Nothing of a partition has changed yet.
        self.remove_mark().await?;
        self.remove_unused().await?;
        Ok(self.report)
    }

    /// Writes journaled bytes to segments and makes that durable; what the new journals begin with.
    async fn drain_all(&mut self, specs: &[PartitionSpec]) -> Result<Vec<RoundQueue>, StoreError> {
        let queues = (0..self.shards)
            .map(|_| {
                RoundQueue::new(
                    self.next_round - 1,
                    self.config.round_bytes_max,
                    self.config.journal_file_bytes,
                )
            })
            .collect();
        let sinks = Sinks {
            queues: RefCell::new(queues),
            touched: RefCell::default(),
        };
        let mut journaled = std::mem::take(&mut self.image.partitions);
        let drains: Vec<_> = specs
            .iter()
            .filter_map(|spec| Some((spec, journaled.remove(&spec.id)?)))
            .collect();
        let (recovery, lent) = (&*self, &sinks);
        let drains = drains
            .into_iter()
            .map(|(spec, journaled)| recovery.drain(spec, journaled, lent));
        let mut drained = Drained::default();
        for one in concurrently(PARTITIONS_IN_FLIGHT, drains).await {
            let one = one?;
            drained.moved_bytes += one.moved_bytes;
            drained.carried_bytes += one.carried_bytes;
        }
        if self.config.mutation != Mutation::UnflushedDrain {
            sinks.touched.into_inner().flush(&self.disk).await?;
        }
        self.report.moved_bytes = drained.moved_bytes;
        self.report.carried_bytes = drained.carried_bytes;
        Ok(sinks.queues.into_inner())
    }

    /// Brings the files of a partition up to date, and puts into a new journal what they do not
    /// hold. Partitions that only remember where their files end are not touched.
    async fn drain(
        &self,
        spec: &PartitionSpec,
        journaled: Journaled,
        sinks: &Sinks<D::File>,
    ) -> Result<Drained, StoreError> {
        let dir = partition_dir(&spec.dir_name);
        if journaled.is_plain() {
            sinks.with_queue(spec, |queue| carry_plain(spec.id, &journaled, queue))?;
            return Ok(Drained::default());
        }
        sinks.touched.borrow_mut().dir(&dir);
        let settled = self.settle(&journaled, &dir, &sinks.touched).await?;
        let moved_bytes = settled.bytes;
        let found = settled.found(&journaled);
        drop(journaled);
        let log_spec = LogSpec {
            id: spec.id,
            dir,
            config: spec.config,
            now: self.now,
        };
        let loaded = drain::load(&self.disk, log_spec, found).await?;
        for stray in &loaded.strays {
            match self.disk.remove(stray).await {
                Err(error) if !error.is_missing() => return Err(error.into()),
                _ => {}
            }
        }
        for image in &loaded.repairs {
            self.write_image(image, &sinks.touched).await?;
        }
        self.write_indexes(&loaded.log, &sinks.touched).await?;
        let mut slot = Slot::new(loaded.log);
        Ok(Drained {
            moved_bytes,
            carried_bytes: sinks.with_queue(spec, |queue| slot.carry(0, true, queue))?,
        })
    }

    /// Brings the active segment's index files up to what is true of them: the shard that opens
    /// the log next shall not walk again what was walked now. Files of small partitions are only
    /// cut where they say too much.
    async fn write_indexes(
        &self,
        log: &Log,
        touched: &RefCell<Touched<D::File>>,
    ) -> DiskResult<()> {
        let images = log.index_images();
        let is_long = images
            .iter()
            .any(|image| image.bytes.len() >= INDEX_BYTES_MIN);
        for mut image in images {
            if !is_long {
                match self.disk.read_file(&image.path).await {
                    Err(error) if error.is_missing() => continue,
                    read => image.bytes.truncate(drain::common(&read?, &image.bytes)),
                }
            }
            self.write_image(&image, touched).await?;
        }
        Ok(())
    }

    /// Writes a new journal's rounds into files that hold nothing that still counts.
    async fn write_journal(&self, shard: ShardId, mut queue: RoundQueue) -> Result<(), StoreError> {
        let dir = journal_dir(shard);
        make_dir(&self.disk, &dir).await?;
        let all = self.sized_files(&dir).await?;
        let mut next = all.iter().map(|(file, _)| file.0 + 1).max().unwrap_or(0);
        let sound = all
            .iter()
            .filter(|(_, bytes)| *bytes == self.config.journal_file_bytes);
        let (live, free): (Vec<_>, Vec<_>) = sound
            .map(|(file, _)| *file)
            .partition(|file| self.is_live(shard, *file));
        let mut pool = Pool::new(self.config.journal_file_bytes, free);
        let mut previous = 0;
        let mut written: Vec<(FileIndex, D::File)> = Vec::new();
        while let Some(round) = queue.take() {
            let sealed = round.seal(&Seal {
                journal: self.journal,
                shard,
                previous,
                durable_through: 0,
            });
            previous = sealed.checksum;
            let spot = loop {
                if let Some(spot) = pool.place(sealed.number, sealed.bytes) {
                    break spot;
                }
                self.add_file(&dir, &mut next, &mut pool).await?;
            };
            if written.last().is_none_or(|(index, _)| *index != spot.file) {
                let path = dir.join(spot.file.name());
                written.push((spot.file, self.disk.open(&path, OpenMode::Write).await?));
            }
            if let Some((_, file)) = written.last() {
                file.write_at(spot.position, sealed.parts, false).await?;
            }
        }
        for (_, file) in written {
            if self.config.mutation != Mutation::UnflushedJournals {
                file.sync().await?;
            }
        }
        while pool.files() + live.len() < self.config.journal_files_min {
            self.add_file(&dir, &mut next, &mut pool).await?;
        }
        Ok(())
    }

    async fn add_file(&self, dir: &Path, next: &mut u32, pool: &mut Pool) -> DiskResult<()> {
        let index = FileIndex(*next);
        *next += 1;
        let path = dir.join(index.name());
        zeroed_file(&self.disk, &path, self.config.journal_file_bytes).await?;
        pool.add(index);
        Ok(())
    }

    fn is_live(&self, shard: ShardId, file: FileIndex) -> bool {
        self.live
            .get(&shard)
            .is_some_and(|files| files.contains(&file))
            && self.config.mutation != Mutation::OverwriteLive
    }

    async fn sized_files(&self, dir: &Path) -> DiskResult<Vec<(FileIndex, u64)>> {
        let entries = self.disk.list(dir).await?;
        let sized = entries
            .iter()
            .map(|entry| (FileIndex::parse(&entry.name), entry.bytes));
        Ok(sized
            .filter_map(|(file, bytes)| Some((file?, bytes)))
            .collect())
    }

    /// Journals of shards that are no more, and files of another size than today's.
    async fn remove_unused(&self) -> Result<(), StoreError> {
        for shard in journal_shards(&self.disk).await? {
            let dir = journal_dir(shard);
            if shard.0 >= self.shards {
                for file in journal_files(&self.disk, &dir).await? {
                    self.disk.remove(&dir.join(file.name())).await?;
                }
                self.disk.remove(&dir).await?;
                continue;
            }
            for (file, bytes) in self.sized_files(&dir).await? {
                if bytes != self.config.journal_file_bytes {
                    self.disk.remove(&dir.join(file.name())).await?;
                }
            }
        }
        Ok(())
    }
}
