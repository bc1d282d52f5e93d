//! Partitions come, change and go.
//!
//! A partition's existence is the metadata log's: making one only needs its directory to be there
//! before its first file, and recovery makes it again. Deleting one is journaled before its
//! directory is renamed, so that no entry of it ever meets another topic of the same name.

use std::path::{Path, PathBuf};

use thalweg_wire::ids::{Epoch, Offset, PartitionId};

use super::{NewPartition, Slot, Store, Ticket};
use crate::disk::Disk;
use crate::error::{RequestError, StoreError};
use crate::journal::entry::{Entry, EntrySink};
use crate::journal::queue::RoundQueue;
use crate::log::{Log, LogConfig, LogSpec, ReadError};
use crate::store::Mutation;

/// The directory that is Kafka's log directory, within the data directory.
pub(crate) const LOG_DIR: &str = "log";
/// Ends the name of a deleted partition's directory.
pub(crate) const DELETED: &str = "-delete";
/// Ends the name of a directory that the metadata log does not know.
pub(crate) const STRAY: &str = "-stray";
/// Longest file name of common file systems.
const NAME_BYTES_MAX: usize = 255;

/// Kafka's name for the directory of a deleted partition: `topic-0.<32 hex digits>-delete`. Ours
/// is the topic's id, so that names of two topics that bore the same name differ, plus `again`
/// where that name is taken.
pub(crate) fn aside_name(dir_name: &str, id: PartitionId, again: u32, ending: &str) -> String {
    let unique = u128::from_be_bytes(id.topic.0).wrapping_add(u128::from(again));
    let suffix = format!(".{unique:032x}{ending}");
    let kept = dir_name.len().min(NAME_BYTES_MAX - suffix.len());
    let kept = (0..=kept)
        .rev()
        .find(|at| dir_name.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}{suffix}", &dir_name[..kept])
}

/// True for the directory of a deleted partition.
pub(crate) fn is_deleted_name(name: &str) -> bool {
    name.ends_with(DELETED)
}

pub(crate) fn partition_dir(dir_name: &str) -> PathBuf {
    Path::new(LOG_DIR).join(dir_name)
}

impl<D: Disk> Store<D> {
    /// Makes a partition: its directory, an empty log, its first epoch. Durable when it returns.
    pub async fn create_partition(&self, new: NewPartition) -> Result<(), StoreError> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let exists = |store: &Self| store.state.borrow().slots.contains_key(&new.id);
        if exists(self) {
            return Err(StoreError::PartitionExists(new.id));
        }
        let dir = partition_dir(&new.dir_name);
        self.disk.create_dir(&dir).await?;
        let spec = LogSpec {
            id: new.id,
            dir,
            config: new.config,
            now: self.state.borrow().now,
        };
        let log = Log::create(spec);
        for image in log.birth_images() {
            self.disk.replace_file(&image.path, &image.bytes).await?;
        }
        if exists(self) {
            return Err(StoreError::PartitionExists(new.id));
        }
        {
            let mut state = self.state.borrow_mut();
            state.dirs_unsynced.insert(PathBuf::from(LOG_DIR));
            state.insert(Slot::new(log));
        }
        let ticket = self.start_epoch(new.id, new.leader_epoch)?;
        self.wait(ticket).await
    }

    /// Deletes a partition. When it returns, its end is durable, its directory has Kafka's
    /// `-delete` name, and waiters on it got an error; the files go in steps by `maintain`.
    pub async fn delete_partition(&self, id: PartitionId) -> Result<(), StoreError> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        // A running move opens files by name; it must not find those of a successor.
        let slot = self
            .moved
            .until(|| {
                let mut state = self.state.borrow_mut();
                if let Some(slot) = state.slots.get_mut(&id)
                    && (slot.moving || slot.cleaning)
                {
                    slot.unwanted = true;
                    return None;
                }
                Some(state.remove(id))
            })
            .await
            .ok_or(StoreError::UnknownPartition(id))?;
        if slot.journaled && self.config.mutation != Mutation::ResurrectDeleted {
            let deleted = Entry::PartitionDeleted { partition: id };
            let round = self.journal.push(|queue| {
                queue.push(deleted);
                queue.newest()
            });
            self.journal.wait(round).await?;
        }
        let dir = slot.log.dir().to_path_buf();
        drop(slot);
        self.handles.forget(&dir);
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let trash = partition_dir(&aside_name(&name.unwrap_or_default(), id, 0, DELETED));
        self.disk.rename(&dir, &trash).await?;
        self.disk.sync_dir(Path::new(LOG_DIR)).await?;
        self.state.borrow_mut().trash.push_back(trash);
        Ok(())
    }

    /// Takes new topic settings; they hold from the next append on.
    pub fn set_config(&self, id: PartitionId, config: LogConfig) -> Result<(), StoreError> {
        self.with_log(id, |log| log.set_config(config))
            .ok_or(StoreError::UnknownPartition(id))
    }

    /// This node leads the partition from here on, in this epoch.
    pub fn start_epoch(&self, id: PartitionId, epoch: Epoch) -> Result<Ticket, StoreError> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        self.push_of(id, |slot, queue| slot.log.start_epoch(epoch, queue))?;
        Ok(self.ticket())
    }

    /// Deletes the records below `offset` (-1: below the high watermark); the new log start, when
    /// that is durable.
    pub async fn delete_records(
        &self,
        id: PartitionId,
        offset: Offset,
    ) -> Result<Offset, RequestError<ReadError>> {
        if let Some(error) = self.refusal() {
            return Err(error.into());
        }
        let start = self
            .push_of(id, |slot, queue| {
                slot.keep_state(queue);
                slot.log.delete_records(offset, queue)
            })?
            .map_err(RequestError::Log)?;
        if self.config.mutation != Mutation::AnswerDeleteEarly {
            self.journal.wait(self.journal.newest()).await?;
        }
        Ok(start)
    }

    /// Lets a partition journal something, as its first entry if need be.
    pub(super) fn push_of<T>(
        &self,
        id: PartitionId,
        push: impl FnOnce(&mut Slot, &mut RoundQueue) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.state.borrow_mut();
        state
            .change(id, |slot| {
                self.journal.push(|queue| {
                    slot.enter(queue);
                    push(slot, queue)
                })
            })
            .ok_or(StoreError::UnknownPartition(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::ids::{PartitionIndex, Uuid};

    #[test]
    fn the_name_of_a_deleted_partition_is_kafkas_and_fits() {
        let id = PartitionId {
            topic: Uuid([0xAB; 16]),
            index: PartitionIndex(0),
        };
        let hex = "ab".repeat(16);
        assert_eq!(
            aside_name("t-0", id, 0, DELETED),
            format!("t-0.{hex}-delete")
        );
        let long = aside_name(&"x".repeat(255), id, 7, DELETED);
        assert_eq!((long.len(), is_deleted_name(&long)), (255, true));
    }
}
