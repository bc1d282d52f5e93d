//! The seeded disk: the same calls as the real one, in memory, with every fault that a device or a
//! file system may show between two flushes.
//!
//! - What was not flushed is in doubt: [`MemoryDisk::crash`] keeps any subset of unflushed writes,
//!   torn at 512-byte sectors, and any subset of names that no `sync_dir` covered.
//! - A flush covers what was *answered* before it was submitted, never what was in flight.
//! - A durable write covers itself and the sizes it needs, not other writes of the file.
//! - A barrier covers exactly the files it names, or all (the real one may cover more).
//! - A failed flush loses what it covered: later flushes succeed without having written it.
//! - Operations are answered after a seeded number of polls, so completions overtake one another.
//!   Dropping a write's future does not recall the write.
//!
//! It runs under any single-threaded executor: a delayed operation wakes itself, a held flush is
//! woken by [`MemoryDisk::release_flushes`].
//!
//! Deliberately absent: latency in time, a page cache, descriptors (`buffered` answers `None`).

mod fault;
mod file;
mod inode;
mod names;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Counters, Disk, DiskError, DiskResult, Entry, File, OpenMode};
use crate::testing::Prng;
pub use fault::FaultPlan;
use fault::{EIO, ENOSPC, Faults};
pub use file::MemoryFile;
use inode::Inode;
use names::{Names, Node};

/// What `free_bytes` says where the plan names no capacity.
const UNLIMITED_BYTES: u64 = 1 << 50;

struct Core {
    files: Vec<Inode>,
    names: Names,
    faults: Faults,
    counters: Counters,
    /// Counts crashes: handles from before one answer nothing but errors.
    generation: u64,
    flushes_held: bool,
    /// Flushes that wait for [`MemoryDisk::release_flushes`].
    held: Vec<Waker>,
    operations: u64,
    freeze_at: u64,
}

impl Core {
    fn used_bytes(&self) -> u64 {
        self.names
            .files()
            .map(|file| self.files[file].bytes().len() as u64)
            .sum()
    }

    /// May `file` grow to `bytes`?
    fn check_room(&self, file: usize, bytes: usize) -> Result<(), Error> {
        let have = self.files[file].bytes().len();
        let Some(capacity) = self.faults.plan.capacity_bytes else {
            return Ok(());
        };
        if bytes > have && self.used_bytes() + (bytes - have) as u64 > capacity {
            return Err(Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }
}

/// See the module's head. Clones are handles of one disk.
#[derive(Clone)]
pub struct MemoryDisk {
    core: Rc<RefCell<Core>>,
    generation: u64,
}

impl MemoryDisk {
    /// An empty disk without faults; `seed` decides the order of completions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_faults(seed, FaultPlan::default())
    }

    /// An empty disk with the faults of `plan`, drawn from `seed`.
    #[must_use]
    pub fn with_faults(seed: u64, plan: FaultPlan) -> Self {
        let core = Core {
            files: Vec::new(),
            names: Names::new(),
            faults: Faults::new(plan, Prng::new(seed)),
            counters: Counters::default(),
            generation: 0,
            flushes_held: false,
            held: Vec::new(),
            operations: 0,
            freeze_at: u64::MAX,
        };
        Self {
            core: Rc::new(RefCell::new(core)),
            generation: 0,
        }
    }

    /// Cuts the power and turns it on again: the returned handle sees what survived; all older
    /// handles answer errors. Operations in flight may have landed in any part. Held flushes,
    /// a freeze and planned one-time failures are gone; the plan stays.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut core = self.core.borrow_mut();
        for file in &mut core.files {
            file.crash(&mut prng);
        }
        core.names.crash(&mut prng);
        drop(core);
        self.begin_anew(prng)
    }

    /// Kills the process while power stays on, as `kill -9` does: like [`MemoryDisk::crash`], but
    /// the returned handle sees all that was answered, and it is as durable as it was.
    #[must_use]
    pub fn kill(&self, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        for file in &mut self.core.borrow_mut().files {
            file.kill(&mut prng);
        }
        self.begin_anew(prng)
    }

    fn begin_anew(&self, prng: Prng) -> Self {
        let mut core = self.core.borrow_mut();
        core.faults.restart(prng);
        core.generation += 1;
        core.flushes_held = false;
        core.freeze_at = u64::MAX;
        for waker in core.held.drain(..) {
            waker.wake();
        }
        Self {
            core: Rc::clone(&self.core),
            generation: core.generation,
        }
    }

    /// From now on no flush or durable write is answered (nor done) until they are released.
    pub fn hold_flushes(&self) {
        self.core.borrow_mut().flushes_held = true;
    }

    /// Ends [`MemoryDisk::hold_flushes`].
    pub fn release_flushes(&self) {
        let mut core = self.core.borrow_mut();
        core.flushes_held = false;
        for waker in core.held.drain(..) {
            waker.wake();
        }
    }

    /// Number of flushes and durable writes that are being held.
    #[must_use]
    pub fn flushes_waiting(&self) -> usize {
        self.core.borrow().held.len()
    }

    /// The next `count` writes fail with EIO; any part of them may have landed.
    pub fn fail_writes(&self, count: u32) {
        self.core.borrow_mut().faults.writes_to_fail = count;
    }

    /// The next `count` flushes (durable writes and barriers included) fail with EIO.
    pub fn fail_flushes(&self, count: u32) {
        self.core.borrow_mut().faults.flushes_to_fail = count;
    }

    /// Changes the disk's capacity; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.core.borrow_mut().faults.plan.capacity_bytes = bytes;
    }

    /// Changes the probabilities and the capacity.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.core.borrow_mut().faults.plan = plan;
    }

    /// Operations answered so far, of every kind.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.core.borrow().operations
    }

    /// After `operations` in all, nothing is answered any more (until a crash): with
    /// [`MemoryDisk::operations`] of a whole run this cuts that run at each of its steps.
    pub fn freeze_at(&self, operations: u64) {
        self.core.borrow_mut().freeze_at = operations;
    }

    /// Flips the bits of `mask` in one byte of a file, for good. Panics if there is no such file.
    pub fn rot(&self, path: &Path, position: usize, mask: u8) {
        let mut core = self.core.borrow_mut();
        match core.names.lookup(path) {
            Ok(Node::File(file)) => core.files[file].rot(position, mask),
            other => panic!("no file to rot at {}: {other:?}", path.display()),
        }
    }

    /// One operation's way through the disk: some polls of delay, then its turn. Flushes wait
    /// while they are held.
    async fn turn(&self, is_flush: bool) -> Result<(), Error> {
        let mut delay = self.core.borrow_mut().faults.delay_polls();
        poll_fn(|context| {
            let mut core = self.core.borrow_mut();
            if core.generation != self.generation {
                return Poll::Ready(Err(Error::from_raw_os_error(EIO)));
            }
            if core.operations >= core.freeze_at {
                return Poll::Pending;
            }
            if is_flush && core.flushes_held {
                core.held.push(context.waker().clone());
                return Poll::Pending;
            }
            if delay > 0 {
                delay -= 1;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            core.operations += 1;
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// A change or question about names: its turn, then `run` on the core.
    async fn named<T>(
        &self,
        operation: &'static str,
        path: &Path,
        run: impl FnOnce(&mut Core) -> Result<T, Error>,
    ) -> DiskResult<T> {
        let answer = match self.turn(false).await {
            Ok(()) => run(&mut self.core.borrow_mut()),
            Err(cause) => Err(cause),
        };
        answer.map_err(|cause| DiskError::new(operation, path, cause))
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> DiskResult<MemoryFile> {
        let file = self
            .named("open", path, |core| {
                if mode == OpenMode::Create {
                    let file = core.files.len();
                    core.names.create_file(path, file)?;
                    core.files.push(Inode::default());
                    return Ok(file);
                }
                match core.names.lookup(path)? {
                    Node::File(file) => Ok(file),
                    Node::Dir(_) => Err(std::io::ErrorKind::IsADirectory.into()),
                }
            })
            .await?;
        let is_writable = mode != OpenMode::Read;
        Ok(MemoryFile {
            disk: self.clone(),
            file,
            path: Rc::from(path),
            is_writable,
        })
    }

    async fn list(&self, dir: &Path) -> DiskResult<Vec<Entry>> {
        self.named("list", dir, |core| {
            let names = core.names.list(dir)?.into_iter();
            let entry = |(name, node)| match node {
                Node::Dir(_) => Entry {
                    name,
                    is_dir: true,
                    bytes: 0,
                },
                Node::File(file) => Entry {
                    name,
                    is_dir: false,
                    bytes: core.files[file].bytes().len() as u64,
                },
            };
            Ok(names.map(entry).collect())
        })
        .await
    }

    async fn create_dir(&self, dir: &Path) -> DiskResult<()> {
        self.named("create directory", dir, |core| core.names.create_dirs(dir))
            .await
    }

    async fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        self.named("rename", from, |core| core.names.rename(from, to))
            .await
    }

    async fn remove(&self, path: &Path) -> DiskResult<()> {
        self.named("remove", path, |core| core.names.remove(path))
            .await
    }

    async fn read_file(&self, path: &Path) -> DiskResult<Vec<u8>> {
        self.named("read", path, |core| match core.names.lookup(path)? {
            Node::File(file) => Ok(core.files[file].bytes().to_vec()),
            Node::Dir(_) => Err(std::io::ErrorKind::IsADirectory.into()),
        })
        .await
    }

    async fn replace_file(&self, path: &Path, bytes: &[u8]) -> DiskResult<()> {
        let files = vec![(path.to_path_buf(), bytes.to_vec())];
        self.replace_files(files).await
    }

    async fn replace_files(&self, files: Vec<(PathBuf, Vec<u8>)>) -> DiskResult<()> {
        let (mut written, mut paths) = (Vec::new(), Vec::new());
        for (path, bytes) in files {
            let temporary = super::temporary_path(&path);
            match self.remove(&temporary).await {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
            let file = self.open(&temporary, OpenMode::Create).await?;
            file.write_any(0, bytes, false).await?;
            written.push(file);
            paths.push(path);
        }
        for file in written {
            file.sync().await?;
        }
        for path in &paths {
            self.rename(&super::temporary_path(path), path).await?;
        }
        let dirs = paths.iter().filter_map(|path| path.parent());
        let dirs: BTreeSet<PathBuf> = dirs.map(Path::to_path_buf).collect();
        self.sync_dirs(&dirs.into_iter().collect::<Vec<_>>()).await
    }

    async fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        let told = |cause| DiskError::new("flush directory", dir, cause);
        let covered = self.core.borrow().names.pending(dir).map_err(told)?;
        self.turn(true).await.map_err(told)?;
        let mut core = self.core.borrow_mut();
        core.counters.flushes += 1;
        if core.faults.flush_fails() {
            return Err(told(Error::from_raw_os_error(EIO)));
        }
        core.names.flush(covered.0, covered.1);
        Ok(())
    }

    async fn sync_dirs(&self, dirs: &[PathBuf]) -> DiskResult<()> {
        for dir in dirs {
            self.sync_dir(dir).await?;
        }
        Ok(())
    }

    async fn barrier(&self, files: &[MemoryFile]) -> DiskResult<()> {
        let told = |cause| DiskError::new("barrier", Path::new(""), cause);
        let covered: Vec<_> = {
            let core = self.core.borrow();
            let named = files.iter().map(|file| file.file);
            let all = (0..core.files.len()).filter(|_| files.is_empty());
            named
                .chain(all)
                .map(|file| (file, core.files[file].done()))
                .collect()
        };
        self.turn(true).await.map_err(told)?;
        let mut core = self.core.borrow_mut();
        core.counters.flushes += 1;
        let failed = core.faults.flush_fails();
        for (file, ids) in covered {
            if failed {
                core.files[file].lose(&ids)
            } else {
                core.files[file].flush(&ids)
            }
        }
        if failed {
            Err(told(Error::from_raw_os_error(EIO)))
        } else {
            Ok(())
        }
    }

    async fn free_bytes(&self) -> DiskResult<u64> {
        self.named("free space", Path::new(""), |core| {
            let capacity = core.faults.plan.capacity_bytes.unwrap_or(UNLIMITED_BYTES);
            Ok(capacity.saturating_sub(core.used_bytes()))
        })
        .await
    }

    fn counters(&self) -> Counters {
        self.core.borrow().counters
    }
}
