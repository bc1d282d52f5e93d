//! The segments that are open for reading, the least recently used of them closed beyond a limit,
//! and what is known of each: verified ranges, who read which part cold.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::ReaderId;
use super::verified::Verified;
use crate::disk::{Disk, DiskResult, OpenMode};

/// Granularity at which cold readers are remembered.
const SHARE_BYTES: u64 = 1 << 20;

pub(super) struct Segment<F> {
    pub(super) file: F,
    verified: RefCell<Verified>,
    /// Who last found each [`SHARE_BYTES`] of the file cold.
    cold_readers: RefCell<Vec<Option<ReaderId>>>,
}

impl<F> Segment<F> {
    fn new(file: F) -> Self {
        Self {
            file,
            verified: RefCell::default(),
            cold_readers: RefCell::default(),
        }
    }

    pub(super) fn is_verified(&self, range: Range<u64>) -> bool {
        self.verified.borrow().contains(&range)
    }

    pub(super) fn set_verified(&self, range: Range<u64>) {
        self.verified.borrow_mut().insert(range);
    }

    pub(super) fn forget_verified(&self, range: Range<u64>) {
        self.verified.borrow_mut().remove(&range);
    }

    /// Remembers that `reader` found the range cold; true if another one did before.
    pub(super) fn note_cold_reader(&self, reader: ReaderId, range: Range<u64>) -> bool {
        let first = index(range.start / SHARE_BYTES);
        let last = index(range.end.saturating_sub(1).max(range.start) / SHARE_BYTES);
        let mut readers = self.cold_readers.borrow_mut();
        if readers.len() <= last {
            readers.resize(last + 1, None);
        }
        let mut is_shared = false;
        for seen in &mut readers[first..=last] {
            is_shared |= seen.is_some_and(|other| other != reader);
            *seen = Some(reader);
        }
        is_shared
    }
}

fn index(share: u64) -> usize {
    usize::try_from(share).expect("segments are below 2 GiB, so are their counts of MiB")
}

pub(super) struct OpenSegments<D: Disk> {
    limit: usize,
    /// The most recently used is last. A linear search: the limit is some hundreds, and a range of
    /// up to a megabyte is read for each.
    entries: RefCell<Vec<Entry<D>>>,
}

struct Entry<D: Disk> {
    path: Arc<Path>,
    segment: Rc<Segment<D::File>>,
}

impl<D: Disk> OpenSegments<D> {
    pub(super) fn new(limit: usize) -> Self {
        assert!(limit > 0, "a reader needs one open segment");
        Self {
            limit,
            entries: RefCell::default(),
        }
    }

    pub(super) async fn get(&self, disk: &D, path: &Arc<Path>) -> DiskResult<Rc<Segment<D::File>>> {
        if let Some(segment) = self.find(path) {
            return Ok(segment);
        }
        let file = disk.open(path, OpenMode::Read).await?;
        // Somebody else may have opened it meanwhile; theirs may know more.
        if let Some(segment) = self.find(path) {
            return Ok(segment);
        }
        let segment = Rc::new(Segment::new(file));
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= self.limit {
            entries.remove(0);
        }
        entries.push(Entry {
            path: Arc::clone(path),
            segment: Rc::clone(&segment),
        });
        Ok(segment)
    }

    pub(super) fn forget(&self, path: &Path) {
        self.entries
            .borrow_mut()
            .retain(|entry| !entry.path.starts_with(path));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    fn find(&self, path: &Path) -> Option<Rc<Segment<D::File>>> {
        let mut entries = self.entries.borrow_mut();
        let at = entries.iter().rposition(|entry| *entry.path == *path)?;
        let entry = entries.remove(at);
        let segment = Rc::clone(&entry.segment);
        entries.push(entry);
        Some(segment)
    }
}
