//! Reading: from an offset to pieces of memory and files, and from a range of a file to something a
//! socket can send: memory again, or a range of a descriptor for sendfile.
//!
//! In the order of the path: `plan` finds the pieces (pure), [`tier`] decides (pure), [`cold`] reads
//! directly, [`fill`] reads through the page cache, [`verify`] walks the batches, [`lease`] knows
//! what sockets still refer to.
//!
//! Invariants:
//! - Nothing leaves here whose batches' checksums were not verified since they were last read from
//!   the device: direct reads and fills are verified as they come; a range for sendfile is verified
//!   once and remembered until it is found to have left the page cache.
//! - A range is whole batches and lies below the segment's last whole block moved (the plan's
//!   promise), so no page is ever cached of a block that is still to be written.
//! - sendfile is offered only for ranges that are resident now.
//!
//! Deliberately absent: the tail (the plan hands out its chunks), waiting for room on sockets.

pub(crate) mod plan;
pub mod cold;
pub mod fill;
pub mod lease;
pub mod tier;
pub mod verify;
mod open;
#[cfg(test)]
mod tests;
mod verified;

use std::cell::Cell;
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::disk::resident::{self, Residency};
use crate::disk::{Disk, DiskError, File, Slice};
use cold::ColdBlocks;
use fill::FillBudget;
use open::{OpenSegments, Segment};
use tier::{Facts, Tier};
use verify::{Corrupt, Verifier};

/// Who reads: one number per consumer connection, to tell a lone reader of old data from several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReaderId(pub u64);

/// Batches in a segment file, all of it final. Only the last batch may go on beyond the range: the
/// rest of its block was not moved yet.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The segment's file, relative to the data directory.
    pub path: Arc<Path>,
    /// First byte.
    pub position: u64,
    /// Count.
    pub bytes: usize,
    /// What follows in memory, if the last batch goes on there: without its end it cannot be
    /// verified.
    pub rest: Vec<Slice>,
}

impl FileRange {
    fn end(&self) -> u64 {
        self.position + self.bytes as u64
    }
}

/// What a socket can send.
#[derive(Clone, Debug)]
pub enum Bound {
    /// These bytes, in order.
    Memory(Vec<Slice>),
    /// This range of a descriptor, by sendfile. It was resident just now.
    File {
        /// A buffered descriptor of the segment.
        descriptor: Arc<OwnedFd>,
        /// First byte.
        position: u64,
        /// Count.
        bytes: usize,
    },
}

/// Why a range cannot be sent.
#[derive(Debug)]
pub enum BindError {
    /// The device or the file system refused.
    Disk(DiskError),
    /// A batch in it fails its checksum or is no batch: to be quarantined, never sent.
    Corrupt {
        /// The segment's file.
        path: PathBuf,
        /// Where the bad batch begins.
        position: u64,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Corrupt { path, position } => {
                write!(
                    f,
                    "the batch at {position} of {} fails its checksum",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            Self::Corrupt { .. } => None,
        }
    }
}

impl From<DiskError> for BindError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Bytes by the way they were made ready. Numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounters {
    /// Offered for sendfile.
    pub send_file_bytes: u64,
    /// Read directly.
    pub direct_bytes: u64,
    /// Read through the page cache to fill it.
    pub fill_bytes: u64,
    /// Ranges of which a part was missing in the page cache and was read back into it.
    pub mended: u64,
    /// Walked in the page cache before they were offered for sendfile.
    pub verified_bytes: u64,
    /// Ranges that had left the page cache between the question and the walk.
    pub reclaimed: u64,
    /// Ranges refused because a batch was bad.
    pub corrupt: u64,
}

/// One shard's reader of segments.
pub struct SegmentReader<D: Disk> {
    disk: D,
    open: OpenSegments<D>,
    cold: ColdBlocks<D::File>,
    budget: FillBudget,
    counters: Cell<ReadCounters>,
}

impl<D: Disk> SegmentReader<D> {
    /// A reader that keeps at most `open_max` segments open.
    #[must_use]
    pub fn new(disk: D, open_max: usize) -> Self {
        Self {
            disk,
            open: OpenSegments::new(open_max),
            cold: ColdBlocks::default(),
            budget: FillBudget::default(),
            counters: Cell::default(),
        }
    }

    /// Makes a range ready to be sent to `reader`.
    pub async fn bind(&self, reader: ReaderId, range: &FileRange) -> Result<Bound, BindError> {
        let bound = self.bind_by_tier(reader, range).await;
        if matches!(bound, Err(BindError::Corrupt { .. })) {
            self.count(|counters| counters.corrupt += 1);
        }
        bound
    }

    /// Lets go of everything known of the files at or below `path`: they were deleted, renamed,
    /// or cut back.
    pub fn forget(&self, path: &Path) {
        self.open.forget(path);
        self.cold.forget(path);
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> ReadCounters {
        self.counters.get()
    }

    async fn bind_by_tier(&self, reader: ReaderId, range: &FileRange) -> Result<Bound, BindError> {
        let segment = self.open.get(&self.disk, &range.path).await?;
        let descriptor = segment.file.buffered().await?;
        let residency = match &descriptor {
            Some(fd) => resident::residency(fd.as_fd(), range.position, range.bytes as u64)
                .map_err(|cause| DiskError::new("cachestat", &range.path, cause))?,
            None => Residency::Cold,
        };
        let is_cold = residency == Residency::Cold;
        let is_shared = is_cold && segment.note_cold_reader(reader, range.position..range.end());
        let holes = match &residency {
            Residency::Holes(holes) => holes.as_slice(),
            Residency::Full | Residency::Cold => &[],
        };
        let facts = Facts {
            has_descriptor: descriptor.is_some(),
            is_resident: residency == Residency::Full,
            is_nearly_resident: !holes.is_empty(),
            is_shared,
            fits_budget: self.budget.has_room(range.bytes),
        };
        match (tier::choose(facts), descriptor) {
            (Tier::SendFile, Some(descriptor)) => {
                self.offer_file(&segment, descriptor, range).await
            }
            (Tier::Mend, Some(descriptor)) => {
                self.mend(&segment, range, holes).await?;
                self.offer_file(&segment, descriptor, range).await
            }
            (Tier::Fill, _) => self.fill(&segment, range).await,
            (Tier::Direct | Tier::SendFile | Tier::Mend, _) => {
                segment.forget_verified(range.position..range.end());
                self.read_directly(&segment, range).await
            }
        }
    }

    /// Brings back into the page cache what is missing there.
    async fn mend(
        &self,
        segment: &Rc<Segment<D::File>>,
        range: &FileRange,
        holes: &[Range<u64>],
    ) -> Result<(), BindError> {
        let _share = self.budget.take(range.bytes);
        for hole in holes {
            segment.forget_verified(hole.clone());
            let bytes = usize::try_from(hole.end - hole.start).unwrap_or(range.bytes);
            let missing = FileRange {
                path: Arc::clone(&range.path),
                position: hole.start,
                bytes,
                rest: Vec::new(),
            };
            fill::read_through(&segment.file, &missing).await?;
            self.count(|counters| counters.fill_bytes += bytes as u64);
        }
        self.count(|counters| counters.mended += 1);
        Ok(())
    }

    /// A resident range: verified if that was not done since it was read from the device.
    async fn offer_file(
        &self,
        segment: &Rc<Segment<D::File>>,
        descriptor: Arc<OwnedFd>,
        range: &FileRange,
    ) -> Result<Bound, BindError> {
        if !segment.is_verified(range.position..range.end()) {
            if !self.verify_cached(&descriptor, range)? {
                self.count(|counters| counters.reclaimed += 1);
                return self.read_directly(segment, range).await;
            }
            segment.set_verified(range.position..range.end());
        }
        self.count(|counters| counters.send_file_bytes += range.bytes as u64);
        Ok(Bound::File {
            descriptor,
            position: range.position,
            bytes: range.bytes,
        })
    }

    /// Walks the batches of a range in the page cache, never waiting for the device; false if it
    /// would have had to.
    fn verify_cached(&self, descriptor: &OwnedFd, range: &FileRange) -> Result<bool, BindError> {
        let mut verifier = Verifier::new(range.position);
        let walked =
            resident::read_cached(descriptor.as_fd(), range.position, range.bytes, |bytes| {
                verifier.feed(bytes).is_ok()
            });
        let was_resident = walked.map_err(|cause| DiskError::new("read", &range.path, cause))?;
        if was_resident {
            verifier
                .finish_with(&range.rest)
                .map_err(|corrupt| corrupt_in(range, corrupt))?;
            self.count(|counters| counters.verified_bytes += range.bytes as u64);
        }
        Ok(was_resident)
    }

    async fn fill(
        &self,
        segment: &Rc<Segment<D::File>>,
        range: &FileRange,
    ) -> Result<Bound, BindError> {
        let _share = self.budget.take(range.bytes);
        let parts = fill::read_through(&segment.file, range).await?;
        verify(range, &parts)?;
        segment.set_verified(range.position..range.end());
        self.count(|counters| counters.fill_bytes += range.bytes as u64);
        Ok(Bound::Memory(parts))
    }

    async fn read_directly(
        &self,
        segment: &Rc<Segment<D::File>>,
        range: &FileRange,
    ) -> Result<Bound, BindError> {
        let mut parts = self.cold.read(&segment.file, range).await?;
        if verify(range, &parts).is_err() {
            // A block that was read ahead may be older than the move that filled it.
            self.cold.forget(&range.path);
            parts = self.cold.read(&segment.file, range).await?;
            verify(range, &parts)?;
        }
        self.count(|counters| counters.direct_bytes += range.bytes as u64);
        Ok(Bound::Memory(parts))
    }

    fn count(&self, change: impl FnOnce(&mut ReadCounters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

fn verify(range: &FileRange, parts: &[Slice]) -> Result<(), BindError> {
    verify::verify(range.position, parts, &range.rest).map_err(|corrupt| corrupt_in(range, corrupt))
}

fn corrupt_in(range: &FileRange, corrupt: Corrupt) -> BindError {
    BindError::Corrupt {
        path: range.path.to_path_buf(),
        position: corrupt.position,
    }
}

/// The file ended before the range did.
fn cut_short(range: &FileRange) -> DiskError {
    DiskError::new("read", &range.path, ErrorKind::UnexpectedEof.into())
}
