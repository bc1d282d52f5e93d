//! The second phase: drain, carry, begin the new journals, and make them count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thalweg_wire::ids::{Offset, ShardId, Uuid};

use super::manifest::Manifest;
use super::scan::{journal_files, journal_shards};
use super::{NOTICE, NOTICE_TEXT, Recovery, Report, drain, fresh_id, make_dir};
use crate::disk::{Disk, DiskResult, File, OpenMode};
use crate::error::StoreError;
use crate::journal::entry::{Entry, EntrySink};
use crate::journal::pool::{FileIndex, Pool};
use crate::journal::queue::RoundQueue;
use crate::journal::round::Seal;
use crate::journal::writer::{journal_dir, zeroed_file};
use crate::log::{Found, Log, LogSpec};
use crate::store::lifecycle::partition_dir;
use crate::store::{PartitionSpec, Slot};

impl<D: Disk> Recovery<D> {
    /// Phase two: `specs` are all partitions of this node, the metadata log included.
    pub async fn finish(mut self, specs: &[PartitionSpec]) -> Result<Report, StoreError> {
        self.prepare_dirs(specs).await?;
        self.report.partitions = self.image.partitions.len();
        let known: BTreeSet<_> = specs.iter().map(|spec| spec.id).collect();
        self.image.partitions.retain(|id, _| known.contains(id));
        self.report.partitions_dropped = self.report.partitions - self.image.partitions.len();
        let settled = self.settle_all(specs).await?;
        let mut queues: Vec<RoundQueue> = (0..self.shards)
            .map(|_| RoundQueue::new(self.next_round - 1, self.config.round_bytes_max))
            .collect();
        for (spec, found) in settled {
            let Some(queue) = queues.get_mut(usize::from(spec.shard.0)) else {
                return Err(super::malformed(
                    Path::new(&spec.dir_name),
                    "placed on no shard",
                ));
            };
            self.carry(spec, found, queue).await?;
        }
        let journal = fresh_id();
        for (shard, queue) in (0..self.shards).map(ShardId).zip(queues) {
            self.write_journal(journal, shard, queue).await?;
        }
        self.disk
            .replace_file(Path::new(NOTICE), NOTICE_TEXT.as_bytes())
            .await?;
        let manifest = Manifest {
            shards: self.shards,
            journal,
            first: self.next_round,
        };
        self.disk
            .replace_file(&Manifest::path(), &manifest.encode())
            .await?;
        self.remove_unused().await?;
        Ok(self.report)
    }

    /// Writes journaled bytes to segments, makes that durable, and says what each log begins with.
    /// Partitions that only remember where their files end are left to `carry`.
    async fn settle_all<'a>(
        &mut self,
        specs: &'a [PartitionSpec],
    ) -> Result<Vec<(&'a PartitionSpec, Option<Found>)>, StoreError> {
        let mut all = Vec::new();
        let mut files = Vec::new();
        let mut dirs = Vec::new();
        for spec in specs {
            let Some(journaled) = self.image.partitions.get(&spec.id) else {
                continue;
            };
            if journaled.is_plain() {
                all.push((spec, None));
                continue;
            }
            let dir = partition_dir(&spec.dir_name);
            let settled = self.settle(spec.id, &dir).await?;
            self.report.moved_bytes += settled.bytes;
            files.extend(settled.files);
            dirs.push(dir);
            all.push((spec, Some(settled.found)));
        }
        if !files.is_empty() {
            self.disk.barrier(&files).await?;
        }
        for dir in &dirs {
            self.disk.sync_dir(dir).await?;
        }
        Ok(all)
    }

    /// Puts into a new journal what the files of a partition do not hold.
    async fn carry(
        &mut self,
        spec: &PartitionSpec,
        found: Option<Found>,
        queue: &mut RoundQueue,
    ) -> Result<(), StoreError> {
        let Some(found) = found else {
            self.carry_plain(spec, queue);
            return Ok(());
        };
        let spec = LogSpec {
            id: spec.id,
            dir: partition_dir(&spec.dir_name),
            config: spec.config,
            now: self.now,
        };
        let loaded = drain::load(&self.disk, spec.clone(), found).await?;
        self.remove(&spec.dir, &loaded.strays).await?;
        for image in loaded.repairs {
            self.disk.replace_file(&image.path, &image.bytes).await?;
        }
        self.cut_indexes(&loaded.log).await?;
        self.report.carried_bytes += Slot::new(loaded.log).carry(0, true, queue);
        Ok(())
    }

    /// Removes files of a partition, durably: a segment behind the end must not come back between
    /// later ones.
    async fn remove(&self, dir: &Path, files: &[PathBuf]) -> DiskResult<()> {
        for file in files {
            match self.disk.remove(file).await {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        match files.is_empty() {
            true => Ok(()),
            false => self.disk.sync_dir(dir).await,
        }
    }

    /// Cuts the active segment's index files to what is true of them. Where written records were
    /// lost (`Write` durability, a power cut), their entries must not come to mean others.
    async fn cut_indexes(&self, log: &Log) -> Result<(), StoreError> {
        for image in log.index_images() {
            let on_disk = match self.disk.read_file(&image.path).await {
                Err(error) if error.is_missing() => continue,
                read => read?,
            };
            let same = on_disk
                .iter()
                .zip(&image.bytes)
                .take_while(|(a, b)| a == b)
                .count();
            if same < on_disk.len() {
                let file = self.disk.open(&image.path, OpenMode::Write).await?;
                file.truncate(same as u64).await?;
                file.sync().await?;
            }
        }
        Ok(())
    }

    fn carry_plain(&self, spec: &PartitionSpec, queue: &mut RoundQueue) {
        let journaled = self.image.partitions.get(&spec.id);
        let Some((journaled, place)) = journaled.and_then(|one| Some((one, one.moved?))) else {
            return;
        };
        queue.push(Entry::MovedTo {
            partition: spec.id,
            place,
            next_offset: Offset::NONE,
        });
        if let Some(offset) = journaled.log_start {
            queue.push(Entry::LogStart {
                partition: spec.id,
                offset,
            });
        }
    }

    /// Writes a new journal's rounds into files that hold nothing that still counts.
    async fn write_journal(
        &self,
        journal: Uuid,
        shard: ShardId,
        mut queue: RoundQueue,
    ) -> Result<(), StoreError> {
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
                journal,
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
            file.sync().await?;
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
