//! Indexes of active segments go to disk with the moves, so that a start after a crash rescans
//! little: at most two megabytes of log a partition, not the whole segment.
//!
//! Whole blocks only, and only entries of batches that are durable in the journal, so that no file
//! ever names a batch that a crash takes away. They are a cache: an index block that is lost costs
//! a longer scan. Sealed segments and clean stops write their indexes whole, in place of these.

use std::path::Path;

use thalweg_wire::ids::{Offset, PartitionId};

use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, OpenMode, Slice};
use crate::log::{FileImage, PendingSegment};
use crate::store::Store;

/// Log bytes between two writes of a segment's indexes: 512 entries, a block of `.index`.
const INDEX_STEP_BYTES: u64 = 2 << 20;
/// Bytes of an entry in `.index`: relative offset and position.
const INDEX_ENTRY_BYTES: usize = 8;
/// Bytes of an entry in `.timeindex`: timestamp and relative offset.
const TIME_ENTRY_BYTES: usize = 12;

/// What of a partition's active segment is indexed on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Indexed {
    segment: Offset,
    /// Log position up to which entries were written.
    position: u64,
    index_bytes: usize,
    time_bytes: usize,
}

/// Blocks of index files that are new.
struct Blocks {
    image: FileImage,
    from: usize,
    to: usize,
}

fn be32(entry: &[u8], at: usize) -> u32 {
    entry
        .get(at..)
        .and_then(|field| field.first_chunk())
        .map_or(u32::MAX, |field| u32::from_be_bytes(*field))
}

/// Leading bytes of an index whose entries pass `keep`, cut to whole blocks.
fn whole_blocks(image: &[u8], entry_bytes: usize, keep: impl Fn(&[u8]) -> bool) -> usize {
    let entries = image.chunks_exact(entry_bytes);
    let kept = entries.take_while(|entry| keep(entry)).count() * entry_bytes;
    kept - kept % BLOCK_BYTES
}

/// The blocks to write of a segment's index images, for a log that is durable up to `limit`.
fn new_blocks(images: Vec<FileImage>, limit: u64, indexed: &mut Indexed) -> Vec<Blocks> {
    let mut blocks = Vec::new();
    let mut last_offset = 0;
    for image in images {
        let kind = image.path.extension().and_then(std::ffi::OsStr::to_str);
        let (from, to) = match kind {
            Some("index") => {
                let keep = |entry: &[u8]| u64::from(be32(entry, 4)) < limit;
                let to = whole_blocks(&image.bytes, INDEX_ENTRY_BYTES, keep);
                let last = to.checked_sub(INDEX_ENTRY_BYTES);
                last_offset = last.map_or(0, |at| be32(&image.bytes, at));
                (std::mem::replace(&mut indexed.index_bytes, to), to)
            }
            Some("timeindex") => {
                let keep = |entry: &[u8]| be32(entry, 8) <= last_offset;
                let to = whole_blocks(&image.bytes, TIME_ENTRY_BYTES, keep);
                (std::mem::replace(&mut indexed.time_bytes, to), to)
            }
            _ => continue,
        };
        if to > from {
            blocks.push(Blocks { image, from, to });
        }
    }
    indexed.position = limit;
    blocks
}

impl<D: Disk> Store<D> {
    /// Writes new index blocks of an active segment that was moved up to `moved`.
    pub(crate) async fn write_indexes(
        &self,
        id: PartitionId,
        segment: &PendingSegment,
        moved: u64,
        files: &mut Vec<D::File>,
    ) -> DiskResult<()> {
        let limit = moved.min(segment.durable);
        for blocks in self.due_blocks(id, segment.segment, limit) {
            let path = &blocks.image.path;
            let file = match self.disk.open(path, OpenMode::Write).await {
                Err(error) if error.is_missing() => {
                    let dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
                    self.state.borrow_mut().dirs_unsynced.insert(dir);
                    self.disk.open(path, OpenMode::Create).await?
                }
                opened => opened?,
            };
            let bytes = Slice::copy_of(&blocks.image.bytes[blocks.from..blocks.to]);
            file.write_at(blocks.from as u64, vec![bytes], false)
                .await?;
            files.push(file);
        }
        Ok(())
    }

    fn due_blocks(&self, id: PartitionId, segment: Offset, limit: u64) -> Vec<Blocks> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(&id) else {
            return Vec::new();
        };
        if slot.indexed.segment != segment {
            slot.indexed = Indexed {
                segment,
                ..Indexed::default()
            };
        }
        let is_active = slot.log.place_end().segment == segment;
        if !is_active || limit < slot.indexed.position + INDEX_STEP_BYTES {
            return Vec::new();
        }
        new_blocks(slot.log.index_images(), limit, &mut slot.indexed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn images(entries: u32) -> Vec<FileImage> {
        let index =
            (1..=entries).flat_map(|n| [n.to_be_bytes(), (n * 4_096).to_be_bytes()].concat());
        let time = (1..=entries)
            .flat_map(|n| [&i64::from(n).to_be_bytes()[..], &n.to_be_bytes()[..]].concat());
        vec![
            FileImage {
                path: PathBuf::from("0.index"),
                bytes: index.collect(),
            },
            FileImage {
                path: PathBuf::from("0.timeindex"),
                bytes: time.collect(),
            },
        ]
    }

    #[test]
    fn only_whole_blocks_of_durable_entries_go_out_and_each_once() {
        let mut indexed = Indexed::default();
        let ranges = |blocks: Vec<Blocks>| -> Vec<(usize, usize)> {
            blocks.iter().map(|one| (one.from, one.to)).collect()
        };
        // 600 entries are durable of 1,200: one block of the index, and of the time index.
        let first = new_blocks(images(1_200), 600 * 4_096 + 1, &mut indexed);
        assert_eq!(ranges(first), [(0, 4_096), (0, 4_096)]);
        let again = new_blocks(images(1_200), 601 * 4_096 + 1, &mut indexed);
        assert_eq!(ranges(again), []);
        let rest = new_blocks(images(1_200), 1_200 * 4_096 + 1, &mut indexed);
        assert_eq!(ranges(rest), [(4_096, 8_192), (4_096, 12_288)]);
    }
}
