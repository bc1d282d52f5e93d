//! The directories in `log/`: those that must be there, and those that belong to nobody.
//!
//! The metadata log says which partitions exist; a directory is missing if the node stopped right
//! after making the topic. A directory of a partition whose deletion is journaled, but that was not
//! renamed yet, gets its `-delete` name, whatever the metadata log says: its end was answered. One that the metadata log does not know of is set aside under Kafka's
//! `-stray` name and told of: records are never removed on the strength of a missing entry.

use std::collections::BTreeMap;
use std::path::Path;

use thalweg_wire::ids::{PartitionId, PartitionIndex, Uuid};

use super::Recovery;
use crate::disk::{Disk, DiskResult};
use crate::error::StoreError;
use crate::files::meta;
use crate::journal::wait::concurrently;
use crate::log::{Log, LogSpec};
use crate::store::PartitionSpec;
use crate::store::lifecycle::{DELETED, LOG_DIR, STRAY, aside_name, partition_dir};

/// Small files read at once.
const READS_IN_FLIGHT: usize = 16;

impl<D: Disk> Recovery<D> {
    /// Removes the mark that the last clean stop left for Kafka.
    pub(super) async fn remove_mark(&self) -> DiskResult<()> {
        let mark = Path::new(LOG_DIR).join(meta::CLEAN_SHUTDOWN);
        match self.disk.remove(&mark).await {
            Err(error) if error.is_missing() => Ok(()),
            removed => {
                removed?;
                self.disk.sync_dir(Path::new(LOG_DIR)).await
            }
        }
    }

    /// Makes missing directories and sets aside those of other topics.
    pub(super) async fn prepare_dirs(&self, specs: &[PartitionSpec]) -> Result<(), StoreError> {
        super::make_dir(&self.disk, Path::new(LOG_DIR)).await?;
        if !self.image.clean {
            self.remove_mark().await?;
        }
        let mut there = BTreeMap::new();
        for entry in self.disk.list(Path::new(LOG_DIR)).await? {
            if entry.is_dir {
                there.insert(entry.name.clone(), ());
            }
        }
        // Also after a clean stop: the start after it may have been cut while it made one.
        self.set_aside(specs, &mut there).await?;
        for spec in specs {
            if !there.contains_key(&spec.dir_name) {
                self.make_partition_dir(spec).await?;
            }
        }
        self.disk.sync_dir(Path::new(LOG_DIR)).await?;
        Ok(())
    }

    async fn make_partition_dir(&self, spec: &PartitionSpec) -> Result<(), StoreError> {
        let dir = partition_dir(&spec.dir_name);
        self.disk.create_dir(&dir).await?;
        let log = Log::create(LogSpec {
            id: spec.id,
            dir,
            config: spec.config,
            now: self.now,
        });
        for image in log.birth_images() {
            self.disk.replace_file(&image.path, &image.bytes).await?;
        }
        Ok(())
    }

    /// Renames directories whose topic id is not that of a partition of this name.
    async fn set_aside(
        &self,
        specs: &[PartitionSpec],
        there: &mut BTreeMap<String, ()>,
    ) -> Result<(), StoreError> {
        let by_name: BTreeMap<&str, PartitionId> = specs
            .iter()
            .map(|spec| (spec.dir_name.as_str(), spec.id))
            .collect();
        let names: Vec<String> = there.keys().cloned().collect();
        let topics = names.into_iter().map(|name| async move {
            let topic = self.topic_of(&name).await;
            (name, topic)
        });
        for (name, topic) in concurrently(READS_IN_FLIGHT, topics).await {
            let Some(topic) = topic? else {
                // Cut while it was made: nothing is ever written to a directory without it, so it
                // is made once more, where there is a partition of the name.
                if by_name.contains_key(name.as_str()) {
                    there.remove(&name);
                }
                continue;
            };
            let index = name
                .rsplit_once('-')
                .and_then(|(_, index)| index.parse().ok());
            let Some(index) = index.map(PartitionIndex) else {
                continue;
            };
            let id = PartitionId { topic, index };
            let is_deleted = self.image.deleted.contains(&id);
            if by_name.get(name.as_str()) == Some(&id) && !is_deleted {
                continue;
            }
            if !is_deleted {
                tracing::warn!(%name, %topic, "a partition that the metadata log does not know is set aside");
            }
            let ending = if is_deleted { DELETED } else { STRAY };
            // A recovery that was cut may have set aside one of this name before.
            let aside = (0..)
                .map(|again| aside_name(&name, id, again, ending))
                .find(|aside| !there.contains_key(aside))
                .unwrap_or_default();
            self.disk
                .rename(&partition_dir(&name), &partition_dir(&aside))
                .await?;
            there.insert(aside, ());
            there.remove(&name);
        }
        Ok(())
    }

    /// The topic id that a directory's `partition.metadata` names.
    async fn topic_of(&self, name: &str) -> DiskResult<Option<Uuid>> {
        let path = partition_dir(name).join(meta::PARTITION_METADATA);
        match self.disk.read_file(&path).await {
            Ok(bytes) => Ok(meta::decode_partition_metadata(&bytes).ok()),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
