//! The real disk: the second ring for reads, writes and flushes, helper threads for the rest.
//!
//! - Files are opened with O_DIRECT (unless the probe found a file system without it); segments
//!   have a second, buffered descriptor for sendfile, opened when it is first asked for.
//! - A durable write is one operation where it fits into one piece; larger ones are written in
//!   pieces side by side and flushed once, since each piece's own flush would be one more.
//! - A barrier of few files flushes each, one of many is a syncfs: a bare device flush would not
//!   commit new extents.
//!
//! glommio's own files are not used at all, save for reading the eventfd; so its fault with a first
//! empty direct file does not concern this disk.
//!
//! Deliberately absent: retries, timeouts, a cache of descriptors (the log's business).

use std::cell::{Cell, OnceCell};
use std::fs::{File as StdFile, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::buffer::Space;
use super::helper::Helper;
use super::pieces::{Piece, pieces_of, whole};
use super::probe::{Probe, WriteThrough};
use super::replace::{replace, replace_all};
use super::ring::{Durable, Operation, Ring};
use super::{
    Counters, Disk, DiskError, DiskResult, Entry, File, IO_BYTES_MAX, OpenMode, Slice, assert_long,
    assert_readable, assert_writable,
};

/// Barriers of more files than this are a syncfs. Measured on ext4 for 64 files: 0.5 to 1 ms against
/// 10 ms by file; for a handful the file system's other dirty data would cost more.
pub const BARRIER_FILES_MAX: usize = 8;

struct Shared {
    root: PathBuf,
    probe: Probe,
    ring: Ring,
    /// Names and sizes.
    names: Helper,
    /// Flushes that are no ring operation.
    flushes: Helper,
    counters: Cell<Counters>,
}

/// One shard's view of the data directory.
#[derive(Clone)]
pub struct UringDisk {
    shared: Rc<Shared>,
}

impl UringDisk {
    /// Opens `root` (which must exist) for the calling thread. `helper_cpus` is where the blocking
    /// calls run; none means where the caller runs.
    pub fn open(root: &Path, probe: Probe, helper_cpus: &[usize]) -> DiskResult<Self> {
        let told = |operation| move |cause| DiskError::new(operation, Path::new(""), cause);
        let shared = Shared {
            root: root.to_path_buf(),
            probe,
            ring: Ring::new().map_err(told("io_uring_setup"))?,
            names: Helper::start("disk-names", helper_cpus).map_err(told("start a thread"))?,
            flushes: Helper::start("disk-flushes", helper_cpus).map_err(told("start a thread"))?,
            counters: Cell::default(),
        };
        Ok(Self {
            shared: Rc::new(shared),
        })
    }

    /// The ring, for the node's sockets and for the task that runs [`Ring::drive`].
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.shared.ring
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.shared.counters.get();
        change(&mut counters);
        self.shared.counters.set(counters);
    }

    /// A blocking call about `path`, given its place in the file system.
    async fn call<T: Send + 'static>(
        &self,
        helper: &Helper,
        operation: &'static str,
        path: &Path,
        call: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
    ) -> DiskResult<T> {
        let place = self.shared.root.join(path);
        helper
            .run(&self.shared.ring, move || call(&place))
            .await
            .map_err(|cause| DiskError::new(operation, path, cause))
    }

    fn durable(&self) -> Durable {
        match self.shared.probe.write_through {
            WriteThrough::Flag => Durable::Flag,
            WriteThrough::LinkedSync => Durable::LinkedSync,
        }
    }
}

impl Disk for UringDisk {
    type File = UringFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> DiskResult<UringFile> {
        let flags = if self.shared.probe.is_direct {
            libc::O_DIRECT
        } else {
            0
        };
        let open = move |place: &Path| -> Result<OwnedFd, Error> {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(mode != OpenMode::Read)
                .custom_flags(flags | libc::O_CLOEXEC);
            options.create_new(mode == OpenMode::Create);
            let file = options.open(place)?;
            if mode == OpenMode::Read && file.metadata()?.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            Ok(file.into())
        };
        let descriptor = self.call(&self.shared.names, "open", path, open).await?;
        let inner = Inner {
            disk: self.clone(),
            descriptor: Some(Arc::new(descriptor)),
            buffered: OnceCell::new(),
            path: path.to_path_buf(),
        };
        Ok(UringFile {
            inner: Rc::new(inner),
        })
    }

    async fn list(&self, dir: &Path) -> DiskResult<Vec<Entry>> {
        self.call(&self.shared.names, "list", dir, list).await
    }

    async fn create_dir(&self, dir: &Path) -> DiskResult<()> {
        let create = |place: &Path| std::fs::create_dir_all(place);
        self.call(&self.shared.names, "create directory", dir, create)
            .await
    }

    async fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        let to = self.shared.root.join(to);
        let rename = move |place: &Path| std::fs::rename(place, to);
        self.call(&self.shared.names, "rename", from, rename).await
    }

    async fn remove(&self, path: &Path) -> DiskResult<()> {
        let remove = |place: &Path| {
            if std::fs::symlink_metadata(place)?.is_dir() {
                std::fs::remove_dir(place)
            } else {
                std::fs::remove_file(place)
            }
        };
        self.call(&self.shared.names, "remove", path, remove).await
    }

    async fn read_file(&self, path: &Path) -> DiskResult<Vec<u8>> {
        self.call(&self.shared.names, "read", path, read_whole)
            .await
    }

    async fn replace_file(&self, path: &Path, bytes: &[u8]) -> DiskResult<()> {
        let bytes = bytes.to_vec();
        self.count(|counters| counters.flushes += 2);
        self.call(&self.shared.flushes, "replace", path, move |place| {
            replace(place, &bytes)
        })
        .await
    }

    async fn replace_files(&self, files: Vec<(PathBuf, Vec<u8>)>) -> DiskResult<()> {
        self.count(|counters| counters.flushes += 2);
        let replace = move |root: &Path| replace_all(root, &files);
        self.call(&self.shared.flushes, "replace", Path::new(""), replace)
            .await
    }

    async fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        self.count(|counters| counters.flushes += 1);
        let sync = |place: &Path| StdFile::open(place)?.sync_all();
        self.call(&self.shared.flushes, "flush directory", dir, sync)
            .await
    }

    async fn sync_dirs(&self, dirs: &[PathBuf]) -> DiskResult<()> {
        if dirs.len() > BARRIER_FILES_MAX {
            // A syncfs commits names as well.
            return self.barrier(&[]).await;
        }
        for dir in dirs {
            self.sync_dir(dir).await?;
        }
        Ok(())
    }

    async fn barrier(&self, files: &[UringFile]) -> DiskResult<()> {
        if (1..=BARRIER_FILES_MAX).contains(&files.len()) {
            let under_way: Vec<_> = files.iter().map(UringFile::start_sync).collect();
            let mut result = Ok(());
            for (sync, file) in under_way.into_iter().zip(files) {
                let done = sync
                    .await
                    .bytes()
                    .map_err(|cause| file.told("flush", cause));
                result = result.and(done.map(|_| ()));
            }
            return result;
        }
        self.count(|counters| counters.flushes += 1);
        let sync = |place: &Path| Ok(rustix::fs::syncfs(StdFile::open(place)?)?);
        self.call(&self.shared.flushes, "barrier", Path::new(""), sync)
            .await
    }

    async fn free_bytes(&self) -> DiskResult<u64> {
        let free = |place: &Path| {
            let stat = rustix::fs::statvfs(place)?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        };
        self.call(&self.shared.names, "free space", Path::new(""), free)
            .await
    }

    fn counters(&self) -> Counters {
        self.shared.counters.get()
    }
}

struct Inner {
    disk: UringDisk,
    /// `None` only while dropping.
    descriptor: Option<Arc<OwnedFd>>,
    buffered: OnceCell<Arc<OwnedFd>>,
    path: PathBuf,
}

impl Drop for Inner {
    /// The last close of an unlinked file frees its blocks, which takes too long for a shard.
    fn drop(&mut self) {
        let (direct, buffered) = (self.descriptor.take(), self.buffered.take());
        self.disk
            .shared
            .names
            .run_detached(move || drop((direct, buffered)));
    }
}

/// One open file of the real disk.
#[derive(Clone)]
pub struct UringFile {
    inner: Rc<Inner>,
}

impl UringFile {
    fn descriptor(&self) -> &Arc<OwnedFd> {
        self.inner
            .descriptor
            .as_ref()
            .expect("only dropping takes it away")
    }

    fn ring(&self) -> &Ring {
        &self.inner.disk.shared.ring
    }

    fn told(&self, operation: &'static str, cause: Error) -> DiskError {
        DiskError::new(operation, &self.inner.path, cause)
    }

    fn start_sync(&self) -> Operation {
        self.inner.disk.count(|counters| counters.flushes += 1);
        self.ring().sync(self.descriptor())
    }

    fn start_write(&self, piece: Piece, durable: Durable) -> (Operation, usize) {
        let bytes = piece.bytes;
        self.inner.disk.count(|counters| {
            counters.writes += 1;
            counters.durable_writes += u64::from(durable != Durable::No);
            counters.write_bytes += bytes as u64;
        });
        (
            self.ring()
                .write(self.descriptor(), piece.position, piece.parts, durable),
            bytes,
        )
    }

    /// Reads in pieces side by side, into one memory; ends where the file does.
    async fn read_from(
        &self,
        descriptor: &Arc<OwnedFd>,
        position: u64,
        bytes: usize,
    ) -> DiskResult<Slice> {
        let mut at = position;
        let under_way: Vec<_> = Space::parts(bytes, IO_BYTES_MAX)
            .into_iter()
            .map(|part| {
                let (from, wanted) = (at, part.bytes());
                at += wanted as u64;
                (self.ring().read(descriptor, from, part), wanted)
            })
            .collect();
        let mut whole: Option<Slice> = None;
        let mut ended = false;
        let mut failed = None;
        for (read, wanted) in under_way {
            // All are awaited, whatever became of those before.
            match read.await.into_slice() {
                Ok(part) if !ended => {
                    ended = part.len() < wanted;
                    whole = match whole {
                        Some(front) => front.joined(&part),
                        None => Some(part),
                    };
                }
                Ok(_) => {}
                Err(cause) => failed = failed.or(Some(cause)),
            }
        }
        match (failed, whole) {
            (Some(cause), _) => Err(self.told("read", cause)),
            (None, whole) => Ok(whole.expect("a read has at least one part")),
        }
    }

    /// A blocking call on the file's descriptor.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&OwnedFd) -> Result<T, Error> + Send + 'static,
    ) -> DiskResult<T> {
        let descriptor = Arc::clone(self.descriptor());
        let shared = &self.inner.disk.shared;
        shared
            .names
            .run(&shared.ring, move || call(&descriptor))
            .await
            .map_err(|cause| self.told(operation, cause))
    }
}

impl File for UringFile {
    async fn write_at(&self, position: u64, parts: Vec<Slice>, durable: bool) -> DiskResult<()> {
        assert_writable(position, &parts);
        let pieces = pieces_of(position, parts);
        let is_one = pieces.len() <= 1;
        let through = if durable && is_one {
            self.inner.disk.durable()
        } else {
            Durable::No
        };
        let under_way: Vec<_> = pieces
            .into_iter()
            .map(|piece| self.start_write(piece, through))
            .collect();
        let mut result = Ok(());
        for (operation, expected) in under_way {
            let written = operation
                .await
                .bytes()
                .and_then(|bytes| whole(bytes, expected));
            result = result.and(written);
        }
        result.map_err(|cause| self.told("write", cause))?;
        if durable && !is_one {
            self.sync().await?;
        }
        Ok(())
    }

    async fn read_at(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        assert_readable(position, bytes);
        let slice = self.read_from(self.descriptor(), position, bytes).await?;
        self.inner.disk.count(|counters| {
            counters.reads += 1;
            counters.read_bytes += slice.len() as u64;
        });
        Ok(slice)
    }

    async fn read_long(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        assert_long(position, bytes);
        let slice = self.read_from(self.descriptor(), position, bytes).await?;
        self.inner.disk.count(|counters| {
            counters.reads += bytes.div_ceil(IO_BYTES_MAX) as u64;
            counters.read_bytes += slice.len() as u64;
        });
        Ok(slice)
    }

    async fn read_cached(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        assert_readable(position, bytes);
        match self.buffered().await? {
            Some(descriptor) => self.read_from(&descriptor, position, bytes).await,
            None => self.read_at(position, bytes).await,
        }
    }

    async fn sync(&self) -> DiskResult<()> {
        let done = self.start_sync().await;
        done.bytes()
            .map(|_| ())
            .map_err(|cause| self.told("flush", cause))
    }

    async fn allocate(&self, bytes: u64) -> DiskResult<()> {
        self.call("allocate", move |file| {
            Ok(rustix::fs::fallocate(
                file,
                rustix::fs::FallocateFlags::empty(),
                0,
                bytes,
            )?)
        })
        .await
    }

    async fn truncate(&self, bytes: u64) -> DiskResult<()> {
        self.call("truncate", move |file| {
            Ok(rustix::fs::ftruncate(file, bytes)?)
        })
        .await
    }

    async fn length(&self) -> DiskResult<u64> {
        // A question to the inode in memory: not worth a thread's turn.
        let stat = rustix::fs::fstat(self.descriptor());
        let stat = stat.map_err(|errno| self.told("stat", errno.into()))?;
        u64::try_from(stat.st_size).map_err(|cause| self.told("stat", Error::other(cause)))
    }

    async fn buffered(&self) -> DiskResult<Option<Arc<OwnedFd>>> {
        if let Some(descriptor) = self.inner.buffered.get() {
            return Ok(Some(Arc::clone(descriptor)));
        }
        // By the descriptor, not by the name: the file may have been renamed or unlinked since.
        let opened = self.call("open for sendfile", reopen_buffered).await?;
        // Two first calls may have run side by side; the first one's descriptor stays.
        Ok(Some(Arc::clone(
            self.inner.buffered.get_or_init(|| Arc::new(opened)),
        )))
    }
}

fn list(place: &Path) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let stat = entry.metadata()?;
        let is_dir = stat.is_dir();
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(Entry {
            name,
            is_dir,
            bytes: if is_dir { 0 } else { stat.len() },
        });
    }
    entries.sort();
    Ok(entries)
}

/// A buffered read of all, after which the pages are let go: nothing may stay cached of a block
/// that is still to be written directly.
fn read_whole(place: &Path) -> Result<Vec<u8>, Error> {
    let mut file = StdFile::open(place)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(bytes)
}

fn reopen_buffered(direct: &OwnedFd) -> Result<OwnedFd, Error> {
    let number = std::os::fd::AsRawFd::as_raw_fd(&direct.as_fd());
    let file = StdFile::open(format!("/proc/self/fd/{number}"))?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
    Ok(file.into())
}
