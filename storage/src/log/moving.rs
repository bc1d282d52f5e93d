//! What moves take from a log and tell it, and the files beside the segments.

use thalweg_wire::ids::Offset;

use super::{FileImage, INDEXES_HELD_MAX, Log, PendingSegment};
use crate::disk::{BLOCK_BYTES, Slice};
use crate::files::{epochs, meta};
use crate::journal::entry::Place;
use crate::segment::name::{Kind, file_name};
use crate::segment::segment::{Indexes, Segment};

impl Log {
    /// Segments with bytes that their files lack, oldest first; also a sealed segment that only
    /// lacks its small files (`moved == end`).
    #[must_use]
    pub fn pending(&self) -> Vec<PendingSegment> {
        let lacks = |s: &&Segment| s.moved < s.bytes || s.snapshot.is_some();
        let segments = self.segments.iter().filter(lacks);
        segments
            .map(|segment| self.pending_segment(segment))
            .collect()
    }

    fn pending_segment(&self, segment: &Segment) -> PendingSegment {
        let (_, durable) = self.durable;
        PendingSegment {
            segment: segment.base,
            path: segment.path.clone(),
            moved: segment.moved,
            end: segment.bytes,
            durable: if segment.base < durable.segment {
                segment.bytes
            } else if segment.base == durable.segment {
                durable.position
            } else {
                0
            },
            next: segment.next,
            sealed: segment.sealed,
        }
    }

    /// Bytes of a segment from `from` (a block boundary, at or above the moved position) to `to`
    /// as whole blocks: `to` is a block boundary, or the segment's end, whose block is padded with
    /// zeros (a sealed segment, or a clean stop).
    #[must_use]
    pub fn move_parts(&self, from: Place, to: u64) -> Vec<Slice> {
        let Some((segment, chain)) = self.chain_of(from.segment) else {
            return Vec::new();
        };
        if to < segment.bytes || to.is_multiple_of(BLOCK_BYTES as u64) {
            return chain.blocks(from.position..to);
        }
        let mut parts = chain.blocks(from.position..segment.whole_end());
        parts.extend(chain.padded_tail().map(|(_, block)| block));
        parts
    }

    /// The bytes of a segment from `from` to `to`, as they are: for carrying them.
    #[must_use]
    pub fn tail_parts(&self, from: Place, to: u64) -> Vec<Slice> {
        self.chain_of(from.segment)
            .map(|(_, chain)| chain.slices(from.position..to))
            .unwrap_or_default()
    }

    fn chain_of(&self, base: Offset) -> Option<(&Segment, &crate::chunks::Chain)> {
        let segment = self.segments.get(base)?;
        Some((segment, segment.chain.as_ref()?))
    }

    /// The file durably holds everything below `moved`; chunks below are let go. A sealed segment
    /// that is moved whole is complete: the files of [`Log::seal_images`] are written before.
    pub fn moved(&mut self, moved: Place) {
        let Some(segment) = self.segments.get_mut(moved.segment) else {
            return;
        };
        debug_assert!(segment.moved <= moved.position && moved.position <= segment.bytes);
        segment.moved = moved.position;
        let whole = moved.position == segment.bytes;
        let on_block = moved.position.is_multiple_of(BLOCK_BYTES as u64);
        debug_assert!(
            whole || on_block,
            "part of a block is moved with the end only"
        );
        if whole && (segment.sealed || !on_block) {
            segment.chain = None;
        } else if let Some(chain) = &mut segment.chain {
            chain.release_below(moved.position);
        }
        if segment.sealed && whole {
            let next = segment.next;
            if segment.snapshot.take().is_some() {
                self.snapshot_written(next);
            }
            self.hold_indexes(moved.segment);
        }
    }

    /// A snapshot as of `offset` is on disk: the one before it may go, unless a segment begins
    /// there, with which it will go.
    fn snapshot_written(&mut self, offset: Offset) {
        let before = std::mem::replace(&mut self.snapshot_on_disk, offset);
        if before < offset && before.0 > 0 && self.segments.get(before).is_none() {
            self.removed
                .push(self.spec.dir.join(file_name(before, Kind::Snapshot)));
        }
    }

    /// A sealed segment's indexes are in memory and on disk; the longest unused ones are let go.
    pub(crate) fn hold_indexes(&mut self, base: Offset) {
        self.indexes_held.retain(|held| *held != base);
        self.indexes_held.push_back(base);
        while self.indexes_held.len() > INDEXES_HELD_MAX {
            let oldest = self.indexes_held.pop_front();
            if let Some(segment) = oldest.and_then(|base| self.segments.get_mut(base))
                && let Indexes::Held(_, time_index) = &segment.indexes
            {
                segment.time_index_bytes = time_index.bytes().len() as u64;
                segment.indexes = Indexes::OnDisk;
            }
        }
    }

    /// The small files of a sealed segment: indexes, and the producer snapshot taken at its end.
    #[must_use]
    pub fn seal_images(&self, segment: Offset) -> Vec<FileImage> {
        let Some(segment) = self.segments.get(segment) else {
            return Vec::new();
        };
        let mut images = index_images(segment);
        if let Some(snapshot) = &segment.snapshot {
            images.push(FileImage {
                path: self.spec.dir.join(file_name(segment.next, Kind::Snapshot)),
                bytes: snapshot.clone(),
            });
        }
        images
    }

    /// The indexes of the active segment as they are, to be written block by block.
    #[must_use]
    pub fn index_images(&self) -> Vec<FileImage> {
        index_images(self.segments.active())
    }

    /// The files that a new partition's directory begins with.
    #[must_use]
    pub fn birth_images(&self) -> Vec<FileImage> {
        vec![FileImage {
            path: self.spec.dir.join(meta::PARTITION_METADATA),
            bytes: meta::encode_partition_metadata(self.spec.id.topic),
        }]
    }

    /// The small files that a clean stop writes: indexes of the active segment, the producer
    /// snapshot, leader epochs, the topic's id, and an empty active segment's file. Segments are
    /// moved whole before.
    #[must_use]
    pub fn stop_images(&self) -> Vec<FileImage> {
        let active = self.segments.active();
        let mut images = self.birth_images();
        images.push(FileImage {
            path: self.spec.dir.join(epochs::NAME),
            bytes: epochs::encode(&self.epochs),
        });
        images.push(FileImage {
            path: self.spec.dir.join(file_name(self.next, Kind::Snapshot)),
            bytes: self.snapshot(),
        });
        images.extend(index_images(active));
        if let (Indexes::Held(_, time_index), Some(max)) = (&active.indexes, active.max) {
            let mut last = time_index.clone();
            last.push_if_later(max);
            let path = active.file(Kind::TimeIndex);
            images.retain(|image| image.path != path);
            let bytes = last.bytes().to_vec();
            images.push(FileImage { path, bytes });
        }
        if active.bytes == 0 {
            images.push(FileImage {
                path: active.path.to_path_buf(),
                bytes: Vec::new(),
            });
        }
        images
    }
}

/// Indexes as files; the transaction index only if it has entries, as in Kafka.
pub(super) fn index_images(segment: &Segment) -> Vec<FileImage> {
    let mut images = Vec::new();
    if let Indexes::Held(index, time_index) = &segment.indexes {
        images.push(FileImage {
            path: segment.file(Kind::Index),
            bytes: index.bytes().to_vec(),
        });
        images.push(FileImage {
            path: segment.file(Kind::TimeIndex),
            bytes: time_index.bytes().to_vec(),
        });
    }
    if !segment.txn.entries().is_empty() {
        images.push(FileImage {
            path: segment.file(Kind::TxnIndex),
            bytes: segment.txn.image(),
        });
    }
    images
}
