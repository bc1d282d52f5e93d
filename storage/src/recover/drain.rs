//! One partition's journaled bytes go to its segments.
//!
//! Whole blocks only, and the last block of a segment that has a successor, padded and cut. What
//! the journals hold lies at explicit places, so writing it over what a move wrote already, or an
//! earlier recovery, changes nothing.

use std::path::Path;

use super::Recovery;
use super::journaled::{Journaled, block_of};
use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, IO_BYTES_MAX, OpenMode, Slice};
use crate::error::{Refusal, StoreError};
use crate::journal::entry::Place;
use crate::log::{Found, LoadError, Loaded, Log, LogSpec};
use crate::segment::name::{Kind, file_name};
use thalweg_wire::ids::{Offset, PartitionId};

/// What is known of a partition once its segments hold what they can.
pub(crate) struct Settled<F> {
    pub(crate) found: Found,
    /// Files to be covered by a barrier before anything is believed.
    pub(crate) files: Vec<F>,
    pub(crate) bytes: u64,
}

/// What a log is loaded with, given what the journals say of it.
pub(crate) fn found_of(journaled: &Journaled, tail: Vec<u8>) -> Found {
    Found {
        end: journaled.end,
        tail,
        unsure_from: (!journaled.is_plain())
            .then(|| journaled.moved.map_or(Offset(0), |moved| moved.segment)),
        cut: journaled.cut,
        log_start: journaled.log_start,
        epochs: journaled.epochs.clone(),
        state: journaled.state.clone(),
    }
}

/// The partial last block of a log, if the journal holds it.
pub(crate) fn tail_of(journaled: &Journaled) -> Option<Vec<u8>> {
    let end = journaled.end?;
    let (from, image) = journaled.image_of(end.segment)?;
    let at = usize::try_from(block_of(end).position.checked_sub(from)?).ok()?;
    let to = usize::try_from(end.position - from).ok()?;
    image.get(at..to).map(<[u8]>::to_vec)
}

pub(crate) async fn load<D: Disk>(
    disk: &D,
    spec: LogSpec,
    found: Found,
) -> Result<Loaded, StoreError> {
    let dir = spec.dir.clone();
    Log::load(disk, spec, found)
        .await
        .map_err(|error| match error {
            LoadError::Disk(cause) => cause.into(),
            LoadError::Corrupt(place) => StoreError::Refused(Refusal::Corrupt {
                dir,
                segment: place.segment.0,
                position: place.position,
            }),
        })
}

impl<D: Disk> Recovery<D> {
    /// Writes what the journals hold of a partition into its segments, as far as whole blocks go.
    pub(super) async fn settle(
        &self,
        id: PartitionId,
        dir: &Path,
    ) -> Result<Settled<D::File>, StoreError> {
        let mut settled = Settled {
            found: Found::default(),
            files: Vec::new(),
            bytes: 0,
        };
        let Some(journaled) = self.image.partitions.get(&id) else {
            return Ok(settled);
        };
        let segments = journaled.segments();
        let last = journaled.end.map(|end| end.segment);
        for segment in &segments {
            let Some((from, mut image)) = journaled.image_of(*segment) else {
                return Err(super::malformed(
                    dir,
                    "the journal leaves a gap in a segment",
                ));
            };
            let exact = from + image.len() as u64;
            if last == Some(*segment) {
                image.truncate(image.len() - image.len() % BLOCK_BYTES);
            }
            let path = dir.join(file_name(*segment, Kind::Log));
            let whole = from + image.len() as u64;
            let cut = if last == Some(*segment) { whole } else { exact };
            settled.bytes += image.len() as u64;
            let file = write_image(&self.disk, &path, from, image).await?;
            file.truncate(cut).await?;
            settled.files.push(file);
        }
        let tail = tail_of(journaled).unwrap_or_default();
        // Space that was reserved ahead, or that a truncation left, is not part of the log; nor of
        // a segment that was written whole before it was sealed.
        for place in [journaled.moved, journaled.end].into_iter().flatten() {
            if !segments.contains(&place.segment) {
                settled.files.extend(self.cut(dir, place).await?);
            }
        }
        settled.found = found_of(journaled, tail);
        Ok(settled)
    }
}

impl<D: Disk> Recovery<D> {
    /// Cuts a segment's file to end at a place, if it is longer.
    async fn cut(&self, dir: &Path, place: Place) -> DiskResult<Option<D::File>> {
        let path = dir.join(file_name(place.segment, Kind::Log));
        let Some(file) = existing(&self.disk, &path).await? else {
            return Ok(None);
        };
        if file.length().await? <= place.position {
            return Ok(None);
        }
        file.truncate(place.position).await?;
        Ok(Some(file))
    }
}

async fn existing<D: Disk>(disk: &D, path: &Path) -> DiskResult<Option<D::File>> {
    match disk.open(path, OpenMode::Write).await {
        Err(error) if error.is_missing() => Ok(None),
        opened => opened.map(Some),
    }
}

/// Writes bytes from a block boundary on, the last block padded.
async fn write_image<D: Disk>(
    disk: &D,
    path: &Path,
    from: u64,
    mut image: Vec<u8>,
) -> DiskResult<D::File> {
    let file = match existing(disk, path).await? {
        Some(file) => file,
        None => disk.open(path, OpenMode::Create).await?,
    };
    image.resize(image.len().next_multiple_of(BLOCK_BYTES), 0);
    let image = Slice::from_vec(image);
    let mut at = 0;
    while at < image.len() {
        let to = image.len().min(at + IO_BYTES_MAX);
        file.write_at(from + at as u64, vec![image.sub(at..to)], false)
            .await?;
        at = to;
    }
    Ok(file)
}
