//! Open segment files of a shard: opened when first needed, the longest unused ones closed.
//!
//! With 10,000 partitions not all can be open. A handle in use stays open by its own clone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskResult, File, OpenMode};

/// Handles kept open. Two descriptors each (direct and buffered) stay far below the usual soft
/// limit that the node raises at start.
const HANDLES_MAX: usize = 512;

struct Held<F> {
    file: F,
    /// The file's size, as far as it was grown from here.
    allocated: u64,
    used: u64,
}

struct Inner<F> {
    held: HashMap<Arc<Path>, Held<F>>,
    clock: u64,
}

/// See the module's head.
pub(crate) struct Handles<D: Disk> {
    disk: D,
    inner: RefCell<Inner<D::File>>,
}

/// A file opened for moving, and whether it was made for that.
pub(crate) struct ForMove<F> {
    pub(crate) file: F,
    pub(crate) created: bool,
}

impl<D: Disk> Handles<D> {
    pub(crate) fn new(disk: D) -> Self {
        let inner = Inner {
            held: HashMap::new(),
            clock: 0,
        };
        Self {
            disk,
            inner: RefCell::new(inner),
        }
    }

    /// An existing file.
    pub(crate) async fn existing(&self, path: &Arc<Path>) -> DiskResult<D::File> {
        if let Some(file) = self.inner.borrow_mut().find(path) {
            return Ok(file);
        }
        let file = self.disk.open(path, OpenMode::Write).await?;
        let allocated = file.length().await?;
        self.inner.borrow_mut().keep(path, file.clone(), allocated);
        Ok(file)
    }

    /// A file to write to, made if it is not there.
    pub(crate) async fn for_move(&self, path: &Arc<Path>) -> DiskResult<ForMove<D::File>> {
        if let Some(file) = self.inner.borrow_mut().find(path) {
            return Ok(ForMove {
                file,
                created: false,
            });
        }
        let (file, created) = match self.disk.open(path, OpenMode::Write).await {
            Err(error) if error.is_missing() => {
                (self.disk.open(path, OpenMode::Create).await?, true)
            }
            opened => (opened?, false),
        };
        let allocated = file.length().await?;
        self.inner.borrow_mut().keep(path, file.clone(), allocated);
        Ok(ForMove { file, created })
    }

    /// The size that the file has; 0 if it is not open.
    pub(crate) fn size(&self, path: &Path) -> u64 {
        let inner = self.inner.borrow();
        inner.held.get(path).map_or(0, |held| held.allocated)
    }

    /// The file has this size now.
    pub(crate) fn resized(&self, path: &Path, bytes: u64) {
        if let Some(held) = self.inner.borrow_mut().held.get_mut(path) {
            held.allocated = bytes;
        }
    }

    /// Lets go of the files below a directory, or of one file.
    pub(crate) fn forget(&self, path: &Path) {
        self.inner
            .borrow_mut()
            .held
            .retain(|held, _| !held.starts_with(path));
    }
}

impl<F: Clone> Inner<F> {
    fn find(&mut self, path: &Arc<Path>) -> Option<F> {
        self.clock += 1;
        let held = self.held.get_mut(path)?;
        held.used = self.clock;
        Some(held.file.clone())
    }

    fn keep(&mut self, path: &Arc<Path>, file: F, allocated: u64) {
        if self.held.len() >= HANDLES_MAX {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.used);
            if let Some(path) = oldest.map(|(path, _)| Arc::clone(path)) {
                self.held.remove(&path);
            }
        }
        let used = self.clock;
        let held = Held {
            file,
            allocated,
            used,
        };
        self.held.insert(Arc::clone(path), held);
    }
}
