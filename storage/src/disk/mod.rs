//! The disk as the storage engine sees it: a small trait, two implementations.
//!
//! `uring` is the real one (the shard's second ring, direct I/O, our own buffers); `memory` is a
//! seeded one that tears, drops and reorders what was not flushed, rots bits, fills up and fails
//! flushes. All of storage is written against [`Disk`] and [`File`] and tested on both.
//!
//! Rules that every caller keeps:
//! - Paths are relative to the node's data directory.
//! - `write_at` takes whole 4 KiB blocks: position and total length are multiples of
//!   [`BLOCK_BYTES`]; the slices stay untouched until the future resolves. Dropping the future
//!   frees nothing: the ring owns descriptor and buffers until the completion arrives.
//! - A write is durable only when its own `durable` flag was set or a later `sync`/`barrier`
//!   that covers the file returned `Ok`. After a failed flush nothing is known of what it covered.
//!
//! Deliberately absent: buffered writes, memory maps, retries. A failed operation is told once.

use std::future::Future;
use std::path::{Path, PathBuf};

mod buffer;
pub mod memory;
pub mod ring;
pub mod uring;
mod helper;
mod pieces;
mod replace;
pub mod probe;
pub mod resident;
pub mod lock;
pub mod outq;
#[cfg(test)]
pub(crate) mod tests;

pub use buffer::{Memory, Slice, give_back_freed, live_blocks, live_bytes};
pub use memory::MemoryDisk;
pub use uring::UringDisk;

/// Unit of every direct read and write, and of the journal's rounds.
pub const BLOCK_BYTES: usize = 4096;
/// Largest single read or write handed to the kernel; glommio and several kernels misbehave above.
pub const IO_BYTES_MAX: usize = 1 << 20;

/// Result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// What a disk operation could not do, with its cause.
#[derive(Debug)]
pub struct DiskError {
    /// The operation, as a verb: `open`, `write`, `flush`.
    pub operation: &'static str,
    /// The path it was about, relative to the data directory.
    pub path: PathBuf,
    /// The kernel's (or the fault disk's) answer.
    pub cause: std::io::Error,
}

impl DiskError {
    pub(crate) fn new(operation: &'static str, path: &Path, cause: std::io::Error) -> Self {
        Self {
            operation,
            path: path.to_path_buf(),
            cause,
        }
    }

    /// No space left: not a reason to poison anything (promise 5).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.cause.raw_os_error() == Some(28)
    }

    /// There is no such name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == std::io::ErrorKind::NotFound
    }
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.operation,
            self.path.display(),
            self.cause
        )
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// Must not exist; reads and writes. Durable in its directory only after `sync_dir`.
    Create,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// File name, without its directory.
    pub name: String,
    /// True for a directory.
    pub is_dir: bool,
    /// Length in bytes (0 for a directory).
    pub bytes: u64,
}

/// The name space of one data directory. Cheap to clone; belongs to one shard.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: File;

    /// Opens a file for direct I/O.
    fn open(&self, path: &Path, mode: OpenMode) -> impl Future<Output = DiskResult<Self::File>>;
    /// Names in a directory, sorted. A missing directory is an error of kind `NotFound`.
    fn list(&self, dir: &Path) -> impl Future<Output = DiskResult<Vec<Entry>>>;
    /// Makes a directory and its parents; existing ones are no error.
    fn create_dir(&self, dir: &Path) -> impl Future<Output = DiskResult<()>>;
    /// Renames within the data directory. Durable only after `sync_dir` of the parent(s).
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = DiskResult<()>>;
    /// Removes a file, or an empty directory. Missing is an error of kind `NotFound`.
    fn remove(&self, path: &Path) -> impl Future<Output = DiskResult<()>>;
    /// Whole content of a small file (checkpoints, snapshots, indexes), by any means.
    fn read_file(&self, path: &Path) -> impl Future<Output = DiskResult<Vec<u8>>>;
    /// Replaces a small file: temporary file, flush, rename, flush of the directory.
    fn replace_file(&self, path: &Path, bytes: &[u8]) -> impl Future<Output = DiskResult<()>>;
    /// [`Disk::replace_file`] of many, each whole or not at all, with two flushes for all of them.
    fn replace_files(&self, files: Vec<(PathBuf, Vec<u8>)>)
    -> impl Future<Output = DiskResult<()>>;
    /// Makes names created, renamed or removed in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> impl Future<Output = DiskResult<()>>;
    /// [`Disk::sync_dir`] of many: one flush for all where the disk can.
    fn sync_dirs(&self, dirs: &[PathBuf]) -> impl Future<Output = DiskResult<()>>;
    /// Makes everything written so far to `files` durable, new extents and sizes included
    /// (`syncfs`, or `fdatasync` of each of `files`, whichever is cheaper for their number). Files
    /// not named and names of any kind may or may not be covered: names are for `sync_dir`. An
    /// empty list means every file.
    fn barrier(&self, files: &[Self::File]) -> impl Future<Output = DiskResult<()>>;
    /// Free bytes that this process may still use.
    fn free_bytes(&self) -> impl Future<Output = DiskResult<u64>>;
    /// What this disk was asked to do since it was opened.
    fn counters(&self) -> Counters;
}

/// Operations of one disk since it was opened: the proof that acknowledgements were flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of `write_at`, split ones counted by piece.
    pub writes: u64,
    /// Those of them that were flushed before they were answered.
    pub durable_writes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// `sync`, `barrier` and `sync_dir`.
    pub flushes: u64,
    /// Direct reads.
    pub reads: u64,
    /// Bytes read directly.
    pub read_bytes: u64,
}

/// Callers' side of [`File::write_at`]: a broken rule here is a bug of ours, found in simulation.
fn assert_writable(position: u64, parts: &[Slice]) -> usize {
    assert!(
        position.is_multiple_of(BLOCK_BYTES as u64),
        "write at {position}"
    );
    assert!(
        parts.iter().all(Slice::is_whole_blocks),
        "parts of a write are whole blocks"
    );
    parts.iter().map(|part| part.len()).sum()
}

/// Callers' side of [`File::read_long`].
fn assert_long(position: u64, bytes: usize) {
    assert!(
        position.is_multiple_of(BLOCK_BYTES as u64) && bytes.is_multiple_of(BLOCK_BYTES),
        "read of {bytes} at {position}"
    );
}

/// Callers' side of [`File::read_at`].
fn assert_readable(position: u64, bytes: usize) {
    assert!(
        position.is_multiple_of(BLOCK_BYTES as u64),
        "read at {position}"
    );
    assert!(
        bytes.is_multiple_of(BLOCK_BYTES) && bytes <= IO_BYTES_MAX,
        "read of {bytes}"
    );
}

/// One open file. Cheap to clone (shared descriptor); closed when the last clone is gone.
pub trait File: Clone + 'static {
    /// Writes whole blocks at a block-aligned position, gathered from `parts` in order; each part
    /// is itself whole blocks on block addresses (see [`Slice::is_whole_blocks`]).
    /// With `durable` the answer comes after the data is flushed (RWF_DSYNC or a linked fsync).
    /// Larger totals than [`IO_BYTES_MAX`] are split by the implementation.
    fn write_at(
        &self,
        position: u64,
        parts: Vec<Slice>,
        durable: bool,
    ) -> impl Future<Output = DiskResult<()>>;
    /// Reads up to `bytes` (a multiple of the block, at most [`IO_BYTES_MAX`]) from a
    /// block-aligned position; shorter at the end of the file.
    fn read_at(&self, position: u64, bytes: usize) -> impl Future<Output = DiskResult<Slice>>;
    /// Reads like [`File::read_at`], any number of blocks: in pieces of [`IO_BYTES_MAX`] that are
    /// under way at the same time, into one memory without copying. For recovery, which reads
    /// journal files whole.
    fn read_long(&self, position: u64, bytes: usize) -> impl Future<Output = DiskResult<Slice>>;
    /// Reads like [`File::read_at`], but through the page cache, so that its pages are there for
    /// sendfile afterwards; a direct read where the disk has no page cache.
    fn read_cached(&self, position: u64, bytes: usize) -> impl Future<Output = DiskResult<Slice>>;
    /// Flushes this file's data and size (`fdatasync`).
    fn sync(&self) -> impl Future<Output = DiskResult<()>>;
    /// Reserves space up to `bytes` (fallocate; the size grows with it). Existing bytes stay.
    fn allocate(&self, bytes: u64) -> impl Future<Output = DiskResult<()>>;
    /// Cuts (or extends) the file to `bytes`. Durable after the next `sync` or `barrier`.
    fn truncate(&self, bytes: u64) -> impl Future<Output = DiskResult<()>>;
    /// Current length in bytes.
    fn length(&self) -> impl Future<Output = DiskResult<u64>>;
    /// A descriptor for buffered reads of the same file, for sendfile (opened at first use with
    /// `POSIX_FADV_RANDOM`); `None` where the disk has none (the seeded disk).
    fn buffered(
        &self,
    ) -> impl Future<Output = DiskResult<Option<std::sync::Arc<std::os::fd::OwnedFd>>>>;
}

/// Where `replace_file` writes before it renames. Kafka's own name for it, so that a left-over one
/// means the same to both.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
