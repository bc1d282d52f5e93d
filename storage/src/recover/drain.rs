//! One partition's journaled bytes go to its segments.
//!
//! Whole blocks only, and the last block of a segment that has a successor, padded and cut. What
//! the journals hold lies at explicit places, so writing it over what a move wrote already, or an
//! earlier recovery, changes nothing.
//!
//! The bytes are copied once, from what was read of the journal into aligned blocks, a few of which
//! are under way at a time. The log is loaded from the same slices: what was just written is not
//! read back, and its checksums, which the journal's rounds covered, are not computed again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Recovery;
use super::journaled::{Journaled, block_of};
use super::run::Run;
use crate::disk::{BLOCK_BYTES, Disk, DiskResult, File, IO_BYTES_MAX, OpenMode, Slice};
use crate::error::{Refusal, StoreError};
use crate::journal::entry::Place;
use crate::journal::wait::concurrently;
use crate::log::{FileImage, Found, LoadError, Loaded, Log, LogSpec};
use crate::segment::name::{Kind, file_name};
use thalweg_wire::ids::Offset;

/// Writes to one segment at once, of a megabyte each.
const WRITES_IN_FLIGHT: usize = 4;
/// Files that a barrier names one by one; with more it covers every file, and none is kept open.
const FILES_NAMED_MAX: usize = 8;

/// What the barrier after all writes has to cover: all that is right in the files, also what was
/// right before. A start that was killed may have written it, and left it in the page cache only.
#[derive(Debug)]
pub(super) struct Touched<F> {
    files: Vec<F>,
    count: usize,
    /// Directories of partitions: names may have been made or removed in them.
    dirs: BTreeSet<PathBuf>,
}

impl<F> Default for Touched<F> {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            count: 0,
            dirs: BTreeSet::new(),
        }
    }
}

impl<F: File> Touched<F> {
    pub(super) fn file(&mut self, file: F) {
        self.count += 1;
        self.files.push(file);
        if self.count > FILES_NAMED_MAX {
            self.files.clear();
        }
    }

    pub(super) fn dir(&mut self, dir: &Path) {
        if !self.dirs.contains(dir) {
            self.dirs.insert(dir.to_path_buf());
        }
    }

    /// Makes all of it durable: contents and sizes at once, then names.
    pub(super) async fn flush<D: Disk<File = F>>(self, disk: &D) -> DiskResult<()> {
        if self.count > 0 {
            disk.barrier(&self.files).await?;
        }
        let dirs: Vec<PathBuf> = self.dirs.into_iter().collect();
        disk.sync_dirs(&dirs).await
    }
}

/// What was written of a partition.
pub(super) struct Settled {
    pub(super) bytes: u64,
    /// What the log is loaded from in place of the files.
    held: Vec<(Place, Slice)>,
}

/// What a log is loaded with, given what the journals say of it.
pub(crate) fn found_of(journaled: &Journaled, tail: Vec<u8>) -> Found {
    Found {
        end: journaled.end,
        tail,
        unsure_from: (!journaled.leaves_files())
            .then(|| journaled.moved.map_or(Offset(0), |moved| moved.segment)),
        cut: journaled.cut,
        log_start: journaled.log_start,
        epochs: journaled.epochs.clone(),
        state: journaled.state.clone(),
        held: Vec::new(),
    }
}

/// The partial last block of a log, if the journal holds it.
pub(crate) fn tail_of(journaled: &Journaled) -> Option<Vec<u8>> {
    let end = journaled.end?;
    let run = journaled.run_of(end.segment)?;
    let range = block_of(end).position..end.position;
    (run.from <= range.start && range.end <= run.end()).then(|| run.copy(range))
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
        journaled: &Journaled,
        dir: &Path,
        touched: &RefCell<Touched<D::File>>,
    ) -> Result<Settled, StoreError> {
        let mut settled = Settled {
            bytes: 0,
            held: Vec::new(),
        };
        let segments = journaled.segments();
        let last = journaled.end.map(|end| end.segment);
        for segment in &segments {
            let Some(run) = journaled.run_of(*segment) else {
                return Err(super::malformed(
                    dir,
                    "the journal leaves a gap in a segment",
                ));
            };
            let to = match last == Some(*segment) {
                true => run.end() - run.end() % BLOCK_BYTES as u64,
                false => run.end(),
            };
            settled.bytes += to - run.from;
            let path = dir.join(file_name(*segment, Kind::Log));
            self.write_run(&path, &run, to, touched).await?;
            let held = run.pieces.into_iter().map(|(position, bytes)| {
                let segment = *segment;
                (Place { segment, position }, bytes)
            });
            settled.held.extend(held);
        }
        // Space that was reserved ahead, or that a truncation left, is not part of the log; nor of
        // a segment that was written whole before it was sealed.
        for place in [journaled.moved, journaled.end].into_iter().flatten() {
            if !segments.contains(&place.segment) {
                self.cut(dir, place, touched).await?;
            }
        }
        Ok(settled)
    }

    /// Writes a run up to `to`, the last block padded, and cuts the file there.
    async fn write_run(
        &self,
        path: &Path,
        run: &Run,
        to: u64,
        touched: &RefCell<Touched<D::File>>,
    ) -> DiskResult<()> {
        let file = match existing(&self.disk, path).await? {
            Some(file) => file,
            // Less than a block: it stays in the journal, as if nothing was moved yet.
            None if to == 0 => return Ok(()),
            None => self.disk.open(path, OpenMode::Create).await?,
        };
        let whole = to.next_multiple_of(BLOCK_BYTES as u64);
        if file.length().await? < whole {
            // Writes that extend a file go one after the other; these do not.
            file.allocate(whole).await?;
        }
        let file = &file;
        let writes = (run.from..to).step_by(IO_BYTES_MAX).map(|from| async move {
            let blocks = run.blocks(from..to.min(from + IO_BYTES_MAX as u64));
            file.write_at(from, vec![blocks], false).await
        });
        for written in concurrently(WRITES_IN_FLIGHT, writes).await {
            written?;
        }
        file.truncate(to).await?;
        touched.borrow_mut().file(file.clone());
        Ok(())
    }

    /// Cuts a segment's file to end at a place, if it is longer.
    async fn cut(
        &self,
        dir: &Path,
        place: Place,
        touched: &RefCell<Touched<D::File>>,
    ) -> DiskResult<()> {
        let path = dir.join(file_name(place.segment, Kind::Log));
        let Some(file) = existing(&self.disk, &path).await? else {
            return Ok(());
        };
        if file.length().await? > place.position {
            file.truncate(place.position).await?;
        }
        touched.borrow_mut().file(file);
        Ok(())
    }

    /// Makes a small file say what `image` does, which nearly always goes on where it ends. It need
    /// not happen at once: until the new journals count, the file is judged again at every start.
    pub(super) async fn write_image(
        &self,
        image: &FileImage,
        touched: &RefCell<Touched<D::File>>,
    ) -> DiskResult<()> {
        let old = match self.disk.read_file(&image.path).await {
            Err(error) if error.is_missing() => None,
            read => Some(read?),
        };
        let mode = match old {
            Some(_) => OpenMode::Write,
            None => OpenMode::Create,
        };
        let on_disk = old.as_deref().unwrap_or_default();
        let file = self.disk.open(&image.path, mode).await?;
        let same = common(on_disk, &image.bytes);
        if same < on_disk.len() {
            // Where written records were lost (`Write` durability, a power cut), their entries
            // must not come to mean others, whatever becomes of what is written now.
            file.truncate(same as u64).await?;
            file.sync().await?;
        }
        let from = same - same % BLOCK_BYTES;
        let fresh = image.bytes.get(from..).unwrap_or_default();
        if same < image.bytes.len() {
            let mut blocks = fresh.to_vec();
            blocks.resize(fresh.len().next_multiple_of(BLOCK_BYTES), 0);
            let blocks = Slice::from_vec(blocks);
            file.write_at(from as u64, vec![blocks], false).await?;
            file.truncate(image.bytes.len() as u64).await?;
        }
        touched.borrow_mut().file(file);
        Ok(())
    }
}

/// Leading bytes that are the same.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.iter().zip(b);
    pairs.take_while(|(a, b)| a == b).count()
}

impl Settled {
    /// What the log is loaded with.
    pub(super) fn found(self, journaled: &Journaled) -> Found {
        Found {
            held: self.held,
            ..found_of(journaled, tail_of(journaled).unwrap_or_default())
        }
    }
}

async fn existing<D: Disk>(disk: &D, path: &Path) -> DiskResult<Option<D::File>> {
    match disk.open(path, OpenMode::Write).await {
        Err(error) if error.is_missing() => Ok(None),
        opened => opened.map(Some),
    }
}
