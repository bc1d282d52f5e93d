//! What Apache Kafka did to the directory while nobody of us looked.
//!
//! After a clean stop the journals hold nothing but the places where files end and log starts. If
//! Kafka served the directory since, its files go further than those places say: then the files
//! count, or records it acknowledged would be cut off. Files that end earlier have lost something,
//! and are dealt with as ever. A log start that DeleteRecords raised into the middle of a segment is
//! told by `log-start-offset-checkpoint` alone; it is taken into the journal here, once.
//!
//! That file is believed only where it cannot be stale: where there is no journal yet, and after a
//! clean stop whose mark is there, which is written after it and removed by the next start, ours or
//! Kafka's. A stale line may be that of a deleted topic of the same name. Deliberately absent:
//! `recovery-point-offset-checkpoint` and `replication-offset-checkpoint`. The first would save a
//! scan, which is made whatever it says; the second is behind the log's end only while followers
//! are, and the only replica has none.

use std::collections::BTreeMap;
use std::path::Path;

use thalweg_wire::ids::{Offset, PartitionId};

use super::journaled::Journaled;
use super::{METADATA_DIR, METADATA_PARTITION, Recovery, malformed};
use crate::disk::{Disk, DiskResult};
use crate::error::StoreError;
use crate::files::checkpoint::{LOG_START, decode};
use crate::files::meta::CLEAN_SHUTDOWN;
use crate::segment::name::{Kind, parse};
use crate::store::PartitionSpec;
use crate::store::lifecycle::{LOG_DIR, partition_dir};

impl<D: Disk> Recovery<D> {
    /// Before the metadata log is read: whether Kafka wrote to it.
    pub(super) async fn trust_metadata_files(&mut self) -> Result<(), StoreError> {
        self.trust_files(METADATA_PARTITION, METADATA_DIR).await
    }

    /// Before anything is changed: what Kafka left counts.
    pub(super) async fn take_back(&mut self, specs: &[PartitionSpec]) -> Result<(), StoreError> {
        if !self.image.clean {
            return Ok(());
        }
        for spec in specs {
            self.trust_files(spec.id, &spec.dir_name).await?;
        }
        let starts = self.log_starts().await?;
        for spec in specs {
            let Some(start) = starts.get(&spec.dir_name) else {
                continue;
            };
            let journaled = self.image.partitions.entry(spec.id);
            let journaled = journaled.or_insert_with(|| Journaled::begun(self.next_round));
            journaled.log_start = journaled.log_start.max(Some(*start));
        }
        Ok(())
    }

    /// Forgets the journaled end of a partition whose files go further, after a clean stop: it is then
    /// loaded as if there had never been a journal.
    async fn trust_files(&mut self, id: PartitionId, dir_name: &str) -> Result<(), StoreError> {
        if !self.image.clean {
            return Ok(());
        }
        let Some(journaled) = self.image.partitions.get_mut(&id) else {
            return Ok(());
        };
        let Some(moved) = journaled.moved.filter(|_| journaled.is_plain()) else {
            return Ok(());
        };
        let last = last_segment(&self.disk, &partition_dir(dir_name)).await?;
        // Kafka only ever goes on from where we stopped.
        if last > Some((moved.segment, moved.position)) {
            (journaled.moved, journaled.end) = (None, None);
        }
        Ok(())
    }

    /// Log starts that Kafka's checkpoint tells, by directory; none where it may be stale.
    async fn log_starts(&self) -> Result<BTreeMap<String, Offset>, StoreError> {
        let dir = Path::new(LOG_DIR);
        if !self.report.fresh && !exists(&self.disk, CLEAN_SHUTDOWN).await? {
            return Ok(BTreeMap::new());
        }
        let path = dir.join(LOG_START);
        let bytes = match self.disk.read_file(&path).await {
            Err(error) if error.is_missing() => return Ok(BTreeMap::new()),
            read => read?,
        };
        // Not passed over: deleted records would come back.
        let lines = decode(&bytes).map_err(|error| malformed(&path, &error.to_string()))?;
        let lines = lines
            .into_iter()
            .map(|line| (format!("{}-{}", line.topic, line.partition), line.offset));
        Ok(lines.collect())
    }
}

async fn exists<D: Disk>(disk: &D, name: &str) -> DiskResult<bool> {
    match disk.list(Path::new(LOG_DIR)).await {
        Err(error) if error.is_missing() => Ok(false),
        listed => Ok(listed?.iter().any(|entry| entry.name == name)),
    }
}

/// Base and size of the newest segment's file.
async fn last_segment<D: Disk>(disk: &D, dir: &Path) -> DiskResult<Option<(Offset, u64)>> {
    let entries = match disk.list(dir).await {
        Err(error) if error.is_missing() => return Ok(None),
        listed => listed?,
    };
    let logs = entries.iter().filter_map(|entry| match parse(&entry.name) {
        Some((base, Kind::Log)) => Some((base, entry.bytes)),
        _ => None,
    });
    Ok(logs.max())
}
